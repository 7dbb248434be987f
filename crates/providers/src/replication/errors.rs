//! From what went wrong to why: the one place where failures of paths, files and other computers become reasons.

mod catalogue;
mod engine;

pub use catalogue::CATALOGUE;
pub use engine::{engine_failed, failure};

use crate::disk::roots::{FileError, FileKind, FileOperation, PathError};
use catalogue as c;
use cimwright_sdk::cim::{CimStatus, ErrorDetail};
use cimwright_sdk::remote::RemoteError;
use rustix::io::Errno;

/// What a file is to replication: the same failure has another name for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A volume.
    Volume,
    /// A log of this many bytes.
    Log(u64),
}

/// The reason why a path is refused.
pub fn path_refused(error: &PathError, path: &str) -> ErrorDetail {
    match error {
        PathError::OutsideRoots { .. } | PathError::SymbolicLink { .. } => c::OUTSIDE_ROOTS.detail([path]),
        PathError::ParentMissing { .. } | PathError::ParentNotADirectory { .. } => {
            c::DIRECTORY_MISSING.detail([path])
        }
        PathError::PermissionDenied { .. } => c::VOLUME_DENIED.detail([path]),
        PathError::System { errno, .. } => system(path, "open the directory of", *errno),
        PathError::Empty
        | PathError::TooLong { .. }
        | PathError::ComponentTooLong { .. }
        | PathError::ControlCharacter { .. }
        | PathError::Relative { .. }
        | PathError::DeviceOrNetwork { .. }
        | PathError::ParentReference { .. }
        | PathError::ForbiddenCharacter { .. }
        | PathError::Reserved { .. }
        | PathError::NoFileName { .. } => c::PATH_SYNTAX.detail([path.to_owned(), error.to_string()]),
    }
}

/// The reason behind a failure with a volume or a log.
pub fn file_failed(error: &FileError, what: What) -> ErrorDetail {
    match (error, what) {
        (FileError::NotFound { path }, _) => c::VOLUME_MISSING.detail([path]),
        (FileError::NotARegularFile { path, kind }, _) => {
            c::VOLUME_KIND.detail([path.clone(), kind.to_string()])
        }
        (FileError::AlreadyExists { path }, _) => c::LOG_EXISTS.detail([path]),
        (FileError::PermissionDenied { path, .. } | FileError::NotPermitted { path, .. }, What::Volume) => {
            c::VOLUME_DENIED.detail([path])
        }
        (FileError::PermissionDenied { path, .. } | FileError::NotPermitted { path, .. }, What::Log(_)) => {
            c::LOG_DENIED.detail([path])
        }
        (FileError::System { path, errno: Errno::ROFS, .. }, What::Log(_)) => c::LOG_DENIED.detail([path]),
        (
            FileError::System { path, errno: Errno::FBIG, .. } | FileError::NoSpace { path, .. },
            What::Log(size),
        ) => c::LOG_NO_SPACE.detail([path.clone(), size.to_string()]),
        (FileError::AllocationUnsupported { path }, _) => c::LOG_NO_ALLOCATION.detail([path]),
        (FileError::NoSpace { path, operation }, What::Volume) => {
            system(path, &operation.to_string(), Errno::NOSPC)
        }
        (FileError::BadJobId { job_id }, _) => system(job_id, "name a file after", Errno::INVAL),
        (FileError::System { path, operation, errno }, _) => system(path, &operation.to_string(), *errno),
    }
}

/// The reason behind a failure of the system with a volume that is opened without the roots' own means.
pub fn volume_errno(path: &str, operation: FileOperation, errno: Errno) -> ErrorDetail {
    let path = path.to_owned();
    let error = match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV => FileError::NotFound { path },
        Errno::LOOP => FileError::NotARegularFile { path, kind: FileKind::SymbolicLink },
        Errno::ACCESS | Errno::PERM | Errno::ROFS => FileError::PermissionDenied { path, operation },
        errno => FileError::System { path, operation, errno },
    };
    file_failed(&error, What::Volume)
}

fn system(path: &str, operation: &str, errno: Errno) -> ErrorDetail {
    c::SYSTEM_ERROR.detail([path.to_owned(), operation.to_owned(), errno.to_string()])
}

/// The reason why another computer did not do what this one, `here`, asked of it.
pub fn remote_failed(error: &RemoteError, here: &str) -> ErrorDetail {
    match error {
        RemoteError::UnknownComputer { name } => c::COMPUTER_UNKNOWN.detail([name.as_str(), here]),
        RemoteError::List { reason } => c::COMPUTERS_LIST.detail([reason]),
        RemoteError::Unreachable { name, reason } => c::COMPUTER_UNREACHABLE.detail([name, reason]),
        RemoteError::CertificateRefused { name, reason } => c::CERTIFICATE_REFUSED.detail([name, reason]),
        RemoteError::AccessDenied { name, reason } => c::COMPUTER_DENIES.detail([name, reason]),
        RemoteError::NoAnswer { name, reason } => c::COMPUTER_SILENT.detail([name, reason]),
        RemoteError::Cim { name, status: CimStatus::AccessDenied, text } => {
            c::COMPUTER_DENIES.detail([name, text])
        }
        RemoteError::Cim { name, status, text } => {
            c::COMPUTER_FAILED.detail([name.clone(), format!("{status}: {text}")])
        }
        RemoteError::Malformed { name, reason } => c::COMPUTER_STRANGE.detail([name, reason]),
    }
}

/// The reason when another computer answered a method with a code that means failure; the code is passed on.
pub fn remote_code(computer: &str, method: &str, code: u32) -> ErrorDetail {
    let name = match code {
        1 => "1 (Not Supported)",
        2 => "2 (Unspecified Error)",
        3 => "3 (Timeout)",
        4 => "4 (Failed)",
        5 => "5 (Invalid Parameter)",
        6 => "6 (Access Denied)",
        _ => "",
    };
    let text = if name.is_empty() { code.to_string() } else { name.to_owned() };
    let mut detail = c::REMOTE_CODE.detail([computer.to_owned(), method.to_owned(), text]);
    if let (1..=6, Ok(code)) = (code, u16::try_from(code)) {
        detail.code = code;
    }
    detail
}

/// Whether a reason is that a volume is gone or cannot be used.
pub fn is_about_a_volume(reason: &ErrorDetail) -> bool {
    [&c::VOLUME_MISSING, &c::VOLUME_KIND, &c::VOLUME_DENIED, &c::VOLUME_SIZE]
        .iter()
        .any(|entry| reason.message_id == entry.id)
}

/// Whether another computer said that it has nothing of what was to be ended there. That it cannot be asked is something else.
pub fn is_gone_there(reason: &ErrorDetail) -> bool {
    reason.message_id == REMOTE && reason.code == 5
}

/// The reason when nothing is known about what another computer did.
pub const SILENT: &str = c::COMPUTER_SILENT.id;
/// The reason when another computer refused.
pub const REMOTE: &str = c::REMOTE_CODE.id;

cimwright_sdk::reasons! {
    /// The copy may not go over the interfaces that are left.
    interface_away(volume, interfaces, why) = c::INTERFACE_AWAY;
    /// The volume is gone.
    volume_missing(path) = c::VOLUME_MISSING;
    /// The volume of the other side is gone or takes no writes.
    destination_gone(path) = c::DESTINATION_GONE;
    /// The volume is something else.
    volume_kind(path, kind) = c::VOLUME_KIND;
    /// The volume has no whole number of sectors.
    volume_size(path, size, sector) = c::VOLUME_SIZE;
    /// The volume is taken.
    volume_in_group(path, group) = c::VOLUME_IN_GROUP;
    /// The volume is named twice.
    volume_twice(path) = c::VOLUME_TWICE;
    /// The volume is elsewhere.
    volume_not_in_group(path, group) = c::VOLUME_NOT_IN_GROUP;
    /// The group would be empty.
    last_volume(path, group) = c::LAST_VOLUME;
    /// The log exists.
    log_exists(path) = c::LOG_EXISTS;
    /// The log is too small.
    log_too_small(group, wanted, needed) = c::LOG_TOO_SMALL;
    /// The log is a volume.
    log_is_volume(path) = c::LOG_IS_VOLUME;
    /// The file is not the log of the group.
    log_foreign(path, group) = c::LOG_FOREIGN;
    /// The log is gone.
    log_missing(path, group) = c::LOG_MISSING;
    /// The name is taken.
    group_exists(group, computer) = c::GROUP_EXISTS;
    /// There is no such group.
    group_missing(group, computer) = c::GROUP_MISSING;
    /// Not possible as a name.
    group_name(name, why) = c::GROUP_NAME;
    /// A parameter is missing.
    parameter_missing(method, parameter) = c::PARAMETER_MISSING;
    /// A parameter has a value that it cannot have.
    parameter_value(method, parameter, value) = c::PARAMETER_VALUE;
    /// The group replicates.
    group_in_partnership(group, partner, computer) = c::GROUP_IN_PARTNERSHIP;
    /// There is no such partnership.
    no_partnership(group, computer) = c::NO_PARTNERSHIP;
    /// No volume has this identifier.
    partition_unknown(id) = c::PARTITION_UNKNOWN;
    /// A group owns the record.
    partition_owned(path, group) = c::PARTITION_OWNED;
    /// The group is not gone.
    group_alive(group) = c::GROUP_ALIVE;
    /// No interface has this index.
    interface_unknown(index, computer) = c::INTERFACE_UNKNOWN;
    /// No volume of the group has this replica set.
    replica_set_unknown(id, group) = c::REPLICA_SET_UNKNOWN;
    /// Lists that do not fit.
    counts_differ(method, list, given, needed) = c::COUNTS_DIFFER;
    /// No GUID.
    identifier(method, text) = c::IDENTIFIER;
    /// Clusters.
    clusters(method, computer) = c::CLUSTERS;
    /// Not done by this version.
    not_yet(method, what) = c::NOT_YET;
    /// Order across volumes.
    write_order(group, volumes) = c::WRITE_ORDER;
    /// More than one partner.
    one_partner(group, number) = c::ONE_PARTNER;
    /// Performance counters.
    no_counters(volume) = c::NO_COUNTERS;
    /// Not a moment for a switch.
    not_same(what, why) = c::NOT_SAME;
    /// The old source cannot be asked.
    source_silent(group, computer) = c::SOURCE_SILENT;
    /// The other side is the source.
    still_source(group, computer) = c::STILL_SOURCE;
    /// The model cannot be stored.
    state_unwritable(why) = c::STATE_UNWRITABLE;
    /// The payload cannot be read.
    stored_order(job, why) = c::STORED_ORDER;
    /// The user may not manage replication.
    not_granted(user, computer) = c::NOT_GRANTED;
    /// Only administrators may.
    administrators(user, method) = c::ADMINISTRATORS;
    /// There is no such user.
    account_unknown(user, computer) = c::ACCOUNT_UNKNOWN;
    /// The partner offers nothing.
    partner_not_ready(volume, why) = c::PARTNER_NOT_READY;
    /// Two volumes of different sizes.
    size_mismatch(volume, here, there) = c::SIZE_MISMATCH;
    /// Two groups with different numbers of volumes.
    volumes_differ(here, there, count_here, count_there) = c::VOLUMES_DIFFER;
    /// Plain traffic is not allowed.
    plaintext(volume, why) = c::PLAINTEXT;
    /// Copying did not begin in time.
    no_sync(volume, seconds) = c::NO_SYNC;
    /// No engine is configured.
    no_engine(method, computer) = c::NO_ENGINE;
    /// Partners on one computer.
    one_computer(method, computer) = c::ONE_COMPUTER;
    /// The other computer is this one.
    itself(computer, method) = c::ITSELF;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_ascending_and_well_formed() {
        let ids: Vec<_> = CATALOGUE.entries.iter().map(|e| e.id).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert!(ids.is_sorted());
        for entry in CATALOGUE.entries {
            assert!(entry.id.starts_with("CWREPL") && entry.id.len() == 10, "{}", entry.id);
            assert!((1..=6).contains(&entry.code), "{} has a code of another table", entry.id);
            assert!(entry.probable_cause <= 130, "{}", entry.id);
            assert!(!entry.actions.is_empty(), "{} says not what to do", entry.id);
        }
    }

    #[test]
    fn what_the_system_says_of_volumes_and_logs_is_told_apart() {
        let path = || "/r/v".to_owned();
        let operation = FileOperation::Open;
        let id = |error: FileError, what| file_failed(&error, what).message_id;
        let denied = || FileError::PermissionDenied { path: path(), operation };
        let fixed = || FileError::NotPermitted { path: path(), operation };
        assert_eq!([id(denied(), What::Volume), id(fixed(), What::Volume)], ["CWREPL1003", "CWREPL1003"]);
        assert_eq!([id(denied(), What::Log(1)), id(fixed(), What::Log(1))], ["CWREPL1024", "CWREPL1024"]);
        let system = |errno| FileError::System { path: path(), operation, errno };
        assert_eq!(id(system(Errno::ROFS), What::Log(1)), "CWREPL1024");
        assert_eq!(id(system(Errno::FBIG), What::Log(1)), "CWREPL1022");
        assert_eq!(id(system(Errno::IO), What::Volume), "CWREPL1013");
        assert_eq!(id(FileError::AllocationUnsupported { path: path() }, What::Log(1)), "CWREPL1025");
        let errno = |errno| volume_errno("/r/v", operation, errno).message_id;
        assert_eq!(errno(Errno::ACCESS), "CWREPL1003");
        assert_eq!(errno(Errno::NXIO), "CWREPL1001");
        assert_eq!(errno(Errno::LOOP), "CWREPL1002");
        assert_eq!(errno(Errno::STALE), "CWREPL1013");
    }

    #[test]
    fn the_code_of_the_other_side_is_passed_on_if_it_is_one() {
        assert_eq!(remote_code("b", "NewSrGroup", 5).code, 5);
        assert!(remote_code("b", "NewSrGroup", 6).message.contains("6 (Access Denied)"));
        assert_eq!(remote_code("b", "NewSrGroup", 32768).code, 4);
    }
}
