//! From the facts of the replication engine to reasons.

use super::catalogue as c;
use crate::disk::roots::FileOperation;
use crate::replication::engine::{Failure, ReplicationError, VolumeError};
use crate::replication::volume::FILE_SECTOR;
use cimwright_sdk::cim::ErrorDetail;
use rustix::io::Errno;

/// The reason behind an operation of the engine that failed, about the volume with this path.
pub fn engine_failed(error: &ReplicationError, volume: &str) -> ErrorDetail {
    let chain = || {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    };
    match error {
        ReplicationError::Failed(reason) => failure(reason, volume),
        ReplicationError::PlaintextRefused { .. } | ReplicationError::Tls(_) => {
            c::PLAINTEXT.detail([volume.to_owned(), chain()])
        }
        ReplicationError::Spawn(_)
        | ReplicationError::TooOld { .. }
        | ReplicationError::NotReady { .. }
        | ReplicationError::RuntimeDirectory { .. } => {
            c::ENGINE_UNUSABLE.detail([volume.to_owned(), chain()])
        }
        ReplicationError::Volume(error) => volume_unusable(error, volume),
        ReplicationError::WrongState { .. }
        | ReplicationError::ExportInUse
        | ReplicationError::Timeout { .. }
        | ReplicationError::Protocol { .. } => c::ENGINE_FAILED.detail([volume.to_owned(), chain()]),
    }
}

/// The reason behind a failure that the engine has a word for; what the engine itself reports is its cause.
pub fn failure(failure: &Failure, volume: &str) -> ErrorDetail {
    explain(failure, volume).because(c::ENGINE_SAID.detail([said(failure)]))
}

/// The reason why a volume cannot be opened: it was all right when it joined its group.
fn volume_unusable(error: &VolumeError, volume: &str) -> ErrorDetail {
    match error {
        VolumeError::Open { source, .. } => {
            let errno = source.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            super::volume_errno(volume, FileOperation::Open, errno)
        }
        VolumeError::WrongKind { .. } => {
            c::VOLUME_KIND.detail([volume, "thing that is neither a regular file nor a block device"])
        }
        VolumeError::OddSize { bytes, .. } => {
            c::VOLUME_SIZE.detail([volume.to_owned(), bytes.to_string(), FILE_SECTOR.to_string()])
        }
    }
}

/// The facts, and the daemon's words where there are some.
fn said(failure: &Failure) -> String {
    let words = match failure {
        Failure::PartnerUnreachable { desc, .. }
        | Failure::ExportMissing { desc, .. }
        | Failure::PermissionDenied { desc, .. }
        | Failure::TlsRefused { desc, .. }
        | Failure::TrackingLost { desc } => desc,
        Failure::DaemonDied { stderr, .. } => stderr,
        // Their sentence holds all there is.
        Failure::SizeMismatch { .. }
        | Failure::DestinationFull { .. }
        | Failure::SourceReadError { .. }
        | Failure::DestinationGone { .. }
        | Failure::AddressInUse { .. }
        | Failure::Locked { .. }
        | Failure::Unrecognised { .. } => "",
    };
    match words.trim() {
        "" => failure.to_string(),
        words => format!("{failure}: {words}"),
    }
}

fn explain(failure: &Failure, volume: &str) -> ErrorDetail {
    let text = |detail: &str| [volume.to_owned(), detail.to_owned()];
    match failure {
        Failure::PartnerUnreachable { partner, .. } => c::PARTNER_UNREACHABLE.detail(text(partner)),
        Failure::ExportMissing { .. } => c::PARTNER_NOT_READY.detail(text(&failure.to_string())),
        Failure::SizeMismatch { source_bytes, destination_bytes } => c::SIZE_MISMATCH.detail([
            volume.to_owned(),
            source_bytes.to_string(),
            destination_bytes.to_string(),
        ]),
        Failure::DestinationFull { .. } => c::DESTINATION_FULL.detail([volume]),
        Failure::SourceReadError { .. } => c::SOURCE_READ.detail([volume]),
        Failure::DestinationGone { .. } => c::DESTINATION_GONE.detail([volume]),
        Failure::PermissionDenied { .. } => c::VOLUME_DENIED.detail([volume]),
        Failure::TlsRefused { desc, .. } => c::TLS_REFUSED.detail(text(desc)),
        Failure::Locked { .. } => c::VOLUME_LOCKED.detail([volume]),
        Failure::DaemonDied { status, .. } => c::DAEMON_DIED.detail(text(&status.to_string())),
        Failure::TrackingLost { desc } => c::TRACKING_LOST.detail(text(desc)),
        Failure::AddressInUse { .. } | Failure::Unrecognised { .. } => {
            c::ENGINE_FAILED.detail(text(&failure.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::engine::{EngineStatus, SpawnError};
    use std::time::Duration;

    #[test]
    fn every_failure_of_the_engine_has_its_reason() {
        let (partner, desc) = ("10.0.0.2:10809".to_owned(), "so it is".to_owned());
        let path = std::path::PathBuf::from("/r/v");
        let rows = [
            (Failure::PartnerUnreachable { partner: partner.clone(), desc: desc.clone() }, "CWREPL1401"),
            (
                Failure::ExportMissing {
                    partner: partner.clone(),
                    export: "x".to_owned(),
                    desc: desc.clone(),
                },
                "CWREPL1402",
            ),
            (Failure::SizeMismatch { source_bytes: 1, destination_bytes: 2 }, "CWREPL1403"),
            (Failure::DestinationFull { partner: partner.clone() }, "CWREPL1405"),
            (Failure::SourceReadError { path: path.clone() }, "CWREPL1406"),
            (Failure::DestinationGone { partner: partner.clone() }, "CWREPL1407"),
            (Failure::PermissionDenied { path: path.clone(), desc: desc.clone() }, "CWREPL1003"),
            (Failure::TlsRefused { partner, desc: desc.clone() }, "CWREPL1408"),
            (Failure::Locked { path }, "CWREPL1409"),
            (Failure::DaemonDied { status: EngineStatus::Signaled(9), stderr: String::new() }, "CWREPL1410"),
            (Failure::TrackingLost { desc: desc.clone() }, "CWREPL1411"),
            (Failure::AddressInUse { address: "a".to_owned() }, "CWREPL1414"),
            (Failure::Unrecognised { desc }, "CWREPL1414"),
        ];
        for (fact, id) in rows {
            let reason = engine_failed(&ReplicationError::Failed(fact), "/r/v");
            assert_eq!(reason.message_id, id);
            assert!(reason.message.contains("/r/v"), "{}", reason.message);
        }
    }

    #[test]
    fn what_keeps_the_engine_from_working_has_its_reason() {
        let missing = SpawnError::ProgramMissing { program: "/nowhere".into() };
        let reason = engine_failed(&ReplicationError::Spawn(missing), "/r/v");
        assert_eq!(reason.message_id, "CWREPL1412");
        assert!(reason.message.contains("/nowhere"), "{}", reason.message);
        let plain = ReplicationError::PlaintextRefused { address: ([10, 0, 0, 1], 1).into() };
        assert_eq!(engine_failed(&plain, "/r/v").message_id, "CWREPL1413");
        let late = ReplicationError::Timeout { what: "x", limit: Duration::from_secs(1) };
        assert_eq!(engine_failed(&late, "/r/v").message_id, "CWREPL1414");
        assert_eq!(crate::replication::errors::no_sync("/r/v", "30").code, 3);
    }
}
