//! What can go wrong, as facts; and the one place that reads the daemon's sentences.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tls::TlsDirectoryError;
use super::volume::VolumeError;
use crate::disk::engine::{EngineStatus, EngineVersion, SpawnError};

/// Why replication does not work, or stopped. `desc` is what the daemon or the system said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing answers at the partner's address.
    #[error("the partner {partner} cannot be reached")]
    PartnerUnreachable {
        /// Host and port.
        partner: String,
        /// What was said.
        desc: String,
    },
    /// The partner answers but does not offer the volume.
    #[error("the partner {partner} does not offer the volume {export}")]
    ExportMissing {
        /// Host and port.
        partner: String,
        /// The name of the volume there.
        export: String,
        /// What was said.
        desc: String,
    },
    /// The volumes have different sizes.
    #[error(
        "the volumes have different sizes: {source_bytes} bytes here, {destination_bytes} at the partner"
    )]
    SizeMismatch {
        /// The size of the source, in bytes.
        source_bytes: u64,
        /// The size of the destination, in bytes.
        destination_bytes: u64,
    },
    /// The file system that holds the destination has no space left.
    #[error("the file system of the destination at {partner} is full")]
    DestinationFull {
        /// Host and port.
        partner: String,
    },
    /// The source volume cannot be read.
    #[error("the source volume {} cannot be read", path.display())]
    SourceReadError {
        /// The volume.
        path: PathBuf,
    },
    /// The partner answers, but its volume does not take writes.
    #[error("the partner {partner} cannot write to its volume")]
    DestinationGone {
        /// Host and port.
        partner: String,
    },
    /// The daemon may not use a file.
    #[error("the replication engine may not use {}", path.display())]
    PermissionDenied {
        /// The file.
        path: PathBuf,
        /// What was said.
        desc: String,
    },
    /// One side does not accept the certificate of the other, or the two do not agree on TLS at all.
    #[error("no TLS connection with {partner}")]
    TlsRefused {
        /// Host and port of the other side.
        partner: String,
        /// What was said.
        desc: String,
    },
    /// Another program listens at the address.
    #[error("another program listens at {address}")]
    AddressInUse {
        /// The address.
        address: String,
    },
    /// The daemon has ended without being told to.
    #[error("the replication engine ended ({status})")]
    DaemonDied {
        /// How it ended.
        status: EngineStatus,
        /// What it printed last.
        stderr: String,
    },
    /// Another program uses the volume.
    #[error("another program uses the volume {}", path.display())]
    Locked {
        /// The volume.
        path: PathBuf,
    },
    /// A mirror ended although nobody ended it, and its record of the difference with it.
    #[error("the record of what has to be copied is lost")]
    TrackingLost {
        /// What was said.
        desc: String,
    },
    /// The daemon gave a reason that this engine has no word for.
    #[error("the replication engine failed: {desc}")]
    Unrecognised {
        /// What was said.
        desc: String,
    },
}

/// Why an operation of this engine did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// A reason that the world outside gave.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The daemon could not be started.
    #[error("the replication engine cannot be started")]
    Spawn(#[from] SpawnError),
    /// The installed daemon is too old.
    #[error("qemu-storage-daemon {found} is too old; {needed} or newer is needed")]
    TooOld {
        /// The version found.
        found: EngineVersion,
        /// The oldest that will do.
        needed: EngineVersion,
    },
    /// The daemon did not come up.
    #[error("the replication engine did not answer")]
    NotReady {
        /// How it ended, when it did.
        status: Option<EngineStatus>,
        /// What it printed.
        stderr: String,
    },
    /// The private directory of the daemon cannot be used.
    #[error("the directory {} cannot be used for the engine's sockets", path.display())]
    RuntimeDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The volume cannot be used.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The directory with the certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsDirectoryError),
    /// Traffic without TLS is for the loopback interface only.
    #[error("{address} is not a loopback address, and TLS is not configured")]
    PlaintextRefused {
        /// The address.
        address: SocketAddr,
    },
    /// The operation makes no sense now.
    #[error("cannot {operation}: {state}")]
    WrongState {
        /// What was wanted.
        operation: &'static str,
        /// What is in its way.
        state: &'static str,
    },
    /// Applications are still connected to the volume.
    #[error("applications use the volume")]
    ExportInUse,
    /// Something did not happen in time.
    #[error("{what} took longer than {limit:?}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// The daemon does not speak the protocol.
    #[error("the replication engine gave an answer that cannot be read")]
    Protocol {
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        desc: String,
    },
}

impl ReplicationError {
    /// The outside reason, when there is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

/// What a command was about, for the facts of a failure.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About<'a> {
    /// Host and port of the partner.
    pub(super) partner: Option<&'a str>,
    /// The name of the partner's volume.
    pub(super) export: Option<&'a str>,
    /// The file.
    pub(super) path: Option<&'a Path>,
    /// The address to listen at.
    pub(super) listen: Option<SocketAddr>,
    /// The connection was to be made over TLS.
    pub(super) tls: bool,
}

/// Reads a sentence of the daemon. Nearly all its errors are of one class, so the sentence is all there is. What follows
/// the last colon is the system's own text of an error number, which does not change.
pub(super) fn classify(desc: &str, about: About<'_>) -> Failure {
    let has = |part: &str| desc.contains(part);
    let owned = || desc.to_owned();
    let partner = || about.partner.unwrap_or_default().to_owned();
    let path = || about.path.map(Path::to_path_buf).unwrap_or_default();

    if has("Address already in use") {
        let address =
            about.listen.map_or_else(|| path().display().to_string(), |address| address.to_string());
        return Failure::AddressInUse { address };
    }
    if has("lock") && has("Failed to get") {
        return Failure::Locked { path: path() };
    }
    if about.partner.is_some() {
        // A refusal by TLS 1.3 can reach the client after its own handshake is done, as the end of the connection.
        let cut_short = has("end-of-file") || has("Failed to read") || has("Connection reset");
        let speaks_of_tls = ["TLS", "ertificate", "handshake", "starttls"].into_iter().any(has);
        if speaks_of_tls || (about.tls && cut_short) {
            return Failure::TlsRefused { partner: partner(), desc: owned() };
        }
        if has("Requested export not available") || has("export") && has("not found") {
            let export = about.export.unwrap_or_default().to_owned();
            return Failure::ExportMissing { partner: partner(), export, desc: owned() };
        }
        if has("Failed to connect") || has("timed out") || cut_short {
            return Failure::PartnerUnreachable { partner: partner(), desc: owned() };
        }
        if has("No space left on device") {
            return Failure::DestinationFull { partner: partner() };
        }
    }
    if ["Permission denied", "Operation not permitted", "Read-only file system"].into_iter().any(has) {
        return Failure::PermissionDenied { path: path(), desc: owned() };
    }
    Failure::Unrecognised { desc: owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About<'static> {
        About { partner: Some("b:10809"), export: Some("volume"), ..About::default() }
    }

    #[test]
    fn sentences_about_the_partner_are_told_apart() {
        let read = |desc: &str| classify(desc, about());
        assert!(matches!(
            read("Failed to connect to 'b:10809': Connection refused"),
            Failure::PartnerUnreachable { partner, .. } if partner == "b:10809"
        ));
        assert!(matches!(
            read("Requested export not available"),
            Failure::ExportMissing { export, .. } if export == "volume"
        ));
        assert_eq!(
            read("write failed: No space left on device"),
            Failure::DestinationFull { partner: "b:10809".into() }
        );
        assert!(matches!(read("The certificate hasn't got a known issuer"), Failure::TlsRefused { .. }));
    }

    #[test]
    fn an_early_end_is_a_refusal_only_over_tls() {
        let desc = "Failed to read option reply: Unexpected end-of-file before all data were read";
        assert!(matches!(classify(desc, about()), Failure::PartnerUnreachable { .. }));
        let over_tls = About { tls: true, ..about() };
        assert!(matches!(classify(desc, over_tls), Failure::TlsRefused { .. }));
    }

    #[test]
    fn sentences_about_files_and_addresses_name_them() {
        let path = Path::new("/volumes/a");
        let file = About { path: Some(path), ..About::default() };
        let denied = classify("Could not open '/volumes/a': Permission denied", file);
        assert!(matches!(denied, Failure::PermissionDenied { path, .. } if path == Path::new("/volumes/a")));
        let locked = classify("Failed to get \"write\" lock", file);
        assert_eq!(locked, Failure::Locked { path: path.into() });
        let listen = "127.0.0.1:9".parse().expect("an address");
        let taken = classify(
            "Failed to find an available port: Address already in use",
            About { listen: Some(listen), ..About::default() },
        );
        assert_eq!(taken, Failure::AddressInUse { address: "127.0.0.1:9".into() });
    }

    #[test]
    fn what_is_not_understood_is_kept_whole() {
        let desc = "Need a root block node";
        assert_eq!(classify(desc, about()), Failure::Unrecognised { desc: desc.into() });
    }
}
