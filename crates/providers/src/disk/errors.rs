//! From what went wrong to why: the one place where failures of the engine, of paths and of files become reasons.

mod catalogue;

pub use catalogue::CATALOGUE;

use super::engine::{EngineFailure, FailureCause, FileRole};
use super::engine::{EngineStatus, SpawnError};
use super::roots::{FileError, FileOperation, PathError, ResolvedPath};
use catalogue as c;
use cimwright_sdk::cim::{CatalogueEntry, ErrorDetail};

/// What a job works on, as the client wrote it: the names that messages use.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The image that is read or changed.
    pub source: Option<String>,
    /// The image that is written.
    pub target: Option<String>,
    /// Whether the source is being verified before any work begins.
    pub verifying: bool,
    /// Where the target is written: there is looked for what the engine does not say.
    pub place: Option<ResolvedPath>,
}

impl Names {
    /// A job on one image.
    pub fn one(path: &str) -> Self {
        Self { source: Some(path.to_owned()), ..Self::default() }
    }

    /// Whether the file system of the target has no room for anything.
    fn is_full(&self) -> bool {
        const NEXT_TO_NOTHING: u64 = 64 << 10;
        let free = self.place.as_ref().and_then(|place| place.available_bytes().ok());
        free.is_some_and(|bytes| bytes < NEXT_TO_NOTHING)
    }

    fn source(&self) -> &str {
        self.source.as_deref().or(self.target.as_deref()).unwrap_or("the image")
    }

    fn target(&self) -> &str {
        self.target.as_deref().or(self.source.as_deref()).unwrap_or("the image")
    }

    fn of(&self, role: FileRole) -> &str {
        match role {
            FileRole::Source => self.source(),
            FileRole::Target => self.target(),
            FileRole::Backing | FileRole::Other => self.source(),
        }
    }
}

/// The reason behind a failure of the engine; its own words are kept as the cause.
pub fn engine_failed(failure: &EngineFailure, names: &Names) -> ErrorDetail {
    explain(failure, names).because(engine_said(failure))
}

fn explain(failure: &EngineFailure, names: &Names) -> ErrorDetail {
    use FailureCause as F;
    let (source, target) = (names.source().to_owned(), names.target().to_owned());
    let at = |byte: &Option<u64>| {
        byte.map_or_else(|| "a place it did not tell".to_owned(), |b| format!("byte {b}"))
    };
    match &failure.cause {
        F::DiskFull { at_byte } | F::QuotaExceeded { at_byte } => {
            c::NO_SPACE_WRITING.detail([target, at(at_byte)])
        }
        F::PreallocationDiskFull { .. } => c::NO_SPACE_ALLOCATING.detail([target]),
        F::FileTooLarge { at_byte } => c::FILE_TOO_LARGE.detail([target, at(at_byte)]),
        F::ReadError { at_byte, reason } => c::READ_ERROR.detail([source, at(at_byte), reason.clone()]),
        // Of the header of a dynamic VHD the engine says only that it could not be written.
        F::WriteError { at_byte: None, .. } if names.is_full() => {
            c::NO_SPACE_WRITING.detail([target, "its beginning".into()])
        }
        F::WriteError { at_byte, reason } => c::WRITE_ERROR.detail([target, at(at_byte), reason.clone()]),
        F::SourceMissing { file } => c::SOURCE_MISSING.detail([names.of(file.role)]),
        F::TargetDirectoryMissing { file } => c::DIRECTORY_MISSING.detail([names.of(file.role)]),
        F::NotARegularFile { file } => c::NOT_A_FILE.detail([names.of(file.role), "directory or device"]),
        F::PermissionDenied { file } if file.role == FileRole::Target => c::TARGET_DENIED.detail([target]),
        F::PermissionDenied { file } if file.role == FileRole::Backing => {
            c::BACKING_MISSING.detail([source, format!("permission denied for {}", file_name(&file.path))])
        }
        F::PermissionDenied { file } => c::SOURCE_DENIED.detail([names.of(file.role)]),
        F::OperationNotPermitted { file } => c::TARGET_IMMUTABLE.detail([names.of(file.role)]),
        F::ReadOnlyFileSystem { file } => c::READ_ONLY.detail([names.of(file.role)]),
        F::WriteLockRefused { file } => c::IN_USE_WRITING.detail([names.of(file.role)]),
        F::SharedLockRefused { file } => c::IN_USE_READING.detail([names.of(file.role)]),
        F::VhdxUnreadable { .. } => c::NOT_VHDX.detail([source]),
        F::VhdxNoValidHeader { .. } => c::VHDX_HEADERS.detail([source]),
        F::VhdxTruncated { offset, file_bytes, .. } => {
            let entry = if names.verifying { &c::VHDX_TRUNCATED } else { &c::VHDX_TRUNCATED_OPENING };
            entry.detail([source, offset.to_string(), file_bytes.to_string()])
        }
        F::VhdxLogNotReplayed { .. } => c::VHDX_LOG.detail([source]),
        F::VhdxHasParent { .. } => c::VHDX_PARENT.detail([source]),
        F::VhdInvalid { .. } => c::NOT_VHD.detail([source]),
        F::VhdDynamicHeader { .. } => c::VHD_HEADER.detail([source, "its mark is missing".into()]),
        F::VhdChecksum { .. } => c::VHD_HEADER.detail([source, "its checksum is wrong".into()]),
        F::VhdTooSmall { .. } => c::VHD_TOO_SMALL.detail([source]),
        F::VhdTruncated { .. } => c::VHD_TRUNCATED.detail([source]),
        F::Qcow2Signature { .. } => c::NOT_QCOW2.detail([source]),
        F::Qcow2RefcountTable { .. } => {
            c::QCOW2_HEADER.detail([source, "the reference count table cannot be there".into()])
        }
        F::Qcow2Header { detail, .. } => c::QCOW2_HEADER.detail([source, detail.clone()]),
        F::ImageCorrupt { corruptions } => {
            let count = corruptions.map_or_else(|| "an unknown number of".to_owned(), |n| n.to_string());
            c::IMAGE_CORRUPT.detail([source, count])
        }
        F::UnknownOption { name } => c::ENGINE_OPTION.detail([target, name.clone()]),
        F::OptionValueRefused { name, value } => {
            c::ENGINE_SUBFORMAT.detail([target, format!("{name}={value}")])
        }
        F::UnknownFormat { name } => c::ENGINE_FORMAT.detail([target, name.clone()]),
        F::BadBlockSize { rule } => c::BAD_BLOCK_SIZE.detail([target, rule.clone()]),
        // What the formats themselves allow was checked before; what is left is a limit of the file system or of the process.
        F::ImageTooLarge { .. } => c::FILE_TOO_LARGE.detail([target, "its full size".to_owned()]),
        F::BadSize { .. } => c::BAD_SIZE.detail([target, "the engine does not accept it".into()]),
        F::SizeNotPositive => c::BAD_SIZE.detail([target, "it must be greater than zero".into()]),
        F::BackingFileMissing { backing } => {
            c::BACKING_MISSING.detail([source, format!("{} is missing", file_name(&backing.path))])
        }
        F::OutOfMemory => c::ENGINE_MEMORY.detail([source]),
        F::KilledBySignal { signal } => c::ENGINE_KILLED.detail([target, signal.to_string()]),
        F::CheckIncomplete { .. }
        | F::ShrinkNotAllowed
        | F::NotSupportedByFormat { .. }
        | F::CpuTimeExceeded
        | F::NotExecutable
        | F::UnreadableAnswer
        | F::Unrecognised => c::ENGINE_UNKNOWN.detail([source, quote(failure)]),
    }
}

fn engine_said(failure: &EngineFailure) -> ErrorDetail {
    let status = match &failure.status {
        EngineStatus::Exited(code) => code.to_string(),
        EngineStatus::Signaled(signal) => format!("signal {signal}"),
        EngineStatus::Unknown => "unknown".to_owned(),
    };
    c::ENGINE_SAID.detail(["qemu-img".to_owned(), status, quote(failure)])
}

/// How many lines of the engine's words are quoted, and how many characters in all: a damaged image can make it say the same
/// thing thousands of times.
const QUOTED_LINES: usize = 4;
const QUOTED_CHARS: usize = 600;

fn quote(failure: &EngineFailure) -> String {
    let mut lines: Vec<&str> = failure.stderr.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    // The last line is the one that says how it ended.
    let rest = lines.len().saturating_sub(QUOTED_LINES);
    if rest > 0 {
        lines.drain(QUOTED_LINES - 1..lines.len() - 1);
    }
    let mut text = lines.join(" / ");
    if let Some((cut, _)) = text.char_indices().nth(QUOTED_CHARS) {
        text.truncate(cut);
        text.push('…');
    }
    match (text.is_empty(), rest) {
        (true, _) => "it said nothing".to_owned(),
        (false, 0) => text,
        (false, more) => format!("{text} (and {more} more lines)"),
    }
}

/// Only the name: the server's own paths are nobody's business.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The reason why the engine did not start.
pub fn not_started(error: &SpawnError, names: &Names) -> ErrorDetail {
    let target = names.target().to_owned();
    match error {
        SpawnError::ProgramMissing { program } => {
            c::ENGINE_MISSING.detail([target, program.display().to_string()])
        }
        SpawnError::LandlockUnavailable
        | SpawnError::NoNewPrivilegesUnavailable
        | SpawnError::Confinement { .. }
        | SpawnError::HelperMissing { .. }
        | SpawnError::CannotChangeUser { .. } => c::ENGINE_UNCONFINED.detail([target, error.to_string()]),
        SpawnError::Start { .. } | SpawnError::Gate { .. } | SpawnError::StartTimeout => {
            c::ENGINE_START.detail([target, error.to_string()])
        }
    }
}

/// The reason why a path is refused.
pub fn path_refused(error: &PathError, path: &str) -> ErrorDetail {
    match error {
        PathError::OutsideRoots { .. } | PathError::SymbolicLink { .. } => c::OUTSIDE_ROOTS.detail([path]),
        PathError::ParentMissing { .. } | PathError::ParentNotADirectory { .. } => {
            c::DIRECTORY_MISSING.detail([path])
        }
        PathError::PermissionDenied { .. } => c::TARGET_DENIED.detail([path]),
        PathError::System { errno, .. } => {
            c::SYSTEM_ERROR.detail([path.to_owned(), "open the directory of".to_owned(), errno.to_string()])
        }
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

/// The reason behind a failure of a file operation of the server itself.
pub fn file_failed(error: &FileError) -> ErrorDetail {
    match error {
        FileError::NotFound { path } => c::SOURCE_MISSING.detail([path]),
        FileError::NotARegularFile { path, kind } => c::NOT_A_FILE.detail([path.clone(), kind.to_string()]),
        FileError::AlreadyExists { path } => c::TARGET_EXISTS.detail([path]),
        FileError::PermissionDenied { path, operation: FileOperation::Open | FileOperation::Inspect } => {
            c::SOURCE_DENIED.detail([path])
        }
        FileError::PermissionDenied { path, .. } => c::TARGET_DENIED.detail([path]),
        FileError::NotPermitted { path, .. } => c::TARGET_IMMUTABLE.detail([path]),
        FileError::NoSpace { path, operation: FileOperation::Allocate } => {
            c::NO_SPACE_ALLOCATING.detail([path])
        }
        FileError::NoSpace { path, operation: FileOperation::Create } => {
            c::NO_SPACE_WRITING.detail([path.as_str(), "its beginning"])
        }
        FileError::NoSpace { path, .. } => c::NO_SPACE_WRITING.detail([path.as_str(), "its end"]),
        FileError::AllocationUnsupported { path } => c::NO_ALLOCATION.detail([path]),
        FileError::BadJobId { job_id } => c::SYSTEM_ERROR.detail([
            job_id.as_str(),
            "name a file after",
            "it has characters that no name can have",
        ]),
        FileError::System { path, errno, .. } if *errno == rustix::io::Errno::ROFS => {
            c::READ_ONLY.detail([path])
        }
        FileError::System { path, operation, errno } => {
            c::SYSTEM_ERROR.detail([path.clone(), operation.to_string(), errno.to_string()])
        }
    }
}

/// The reason behind a failure of an operation on the unfinished file of a job, which the job itself has made.
pub fn unfinished_failed(error: &FileError) -> ErrorDetail {
    match error {
        FileError::NotFound { path } => c::CHANGED_MEANWHILE.detail([path]),
        other => file_failed(other),
    }
}

/// The reason why a file that was to be changed where it is cannot be opened.
pub fn in_place_failed(error: &FileError) -> ErrorDetail {
    match error {
        FileError::PermissionDenied { path, .. } => c::TARGET_DENIED.detail([path]),
        other => file_failed(other),
    }
}

cimwright_sdk::reasons! {
    /// The target exists.
    target_exists(path) = c::TARGET_EXISTS;
    /// The extension tells no format.
    unknown_extension(path) = c::UNKNOWN_EXTENSION;
    /// Extension and Format differ.
    format_mismatch(path, format) = c::FORMAT_MISMATCH;
    /// No such type of disk.
    type_unsupported(path, kind) = c::TYPE_UNSUPPORTED;
    /// Differencing disks.
    differencing(path, method) = c::DIFFERENCING;
    /// Attaching and mounting.
    attaching(path, method) = c::ATTACHING;
    /// VHD sets and change tracking.
    vhd_sets(path, method) = c::VHD_SETS;
    /// Not possible as a size.
    bad_size(path, why) = c::BAD_SIZE;
    /// Not possible as a block size.
    bad_block_size(path, why) = c::BAD_BLOCK_SIZE;
    /// Larger than a VHD may be.
    vhd_too_large(path) = c::VHD_TOO_LARGE;
    /// Larger than a VHDX may be.
    vhdx_too_large(path) = c::VHDX_TOO_LARGE;
    /// The new size is below the data.
    shrink_in_use(path, size, used) = c::SHRINK_IN_USE;
    /// The format does not shrink.
    shrink_format(path) = c::SHRINK_FORMAT;
    /// Source is target.
    same_file(path) = c::SAME_FILE;
    /// The setting data lacks something.
    setting_missing(path, what) = c::SETTING_MISSING;
    /// A sector size that cannot be.
    sector_size(path, which, bytes) = c::SECTOR_SIZE;
    /// Only dynamic disks are compacted.
    compact_type(path) = c::COMPACT_TYPE;
    /// The state of the service.
    service_state(path, method) = c::SERVICE_STATE;
    /// The settings of a disk cannot be changed.
    setting_change(path) = c::SETTING_CHANGE;
    /// A file is not the one it was.
    changed_meanwhile(path) = c::CHANGED_MEANWHILE;
    /// The payload cannot be read.
    stored_order(path, why) = c::STORED_ORDER;
    /// An image that another is based on cannot be used.
    backing_missing(path, why) = c::BACKING_MISSING;
    /// The image has a parent.
    vhdx_parent(path) = c::VHDX_PARENT;
}

/// The Win32 HRESULT that says the same as an entry, for Msvm_StorageJob.JobCompletionStatusCode.
pub fn hresult(detail: &ErrorDetail) -> u32 {
    let is = |entries: &[&CatalogueEntry]| entries.iter().any(|e| e.id == detail.message_id);
    const WIN32: u32 = 0x8007_0000;
    if is(&[&c::NO_SPACE_WRITING, &c::NO_SPACE_ALLOCATING]) {
        WIN32 | 112 // ERROR_DISK_FULL
    } else if is(&[&c::SOURCE_MISSING, &c::BACKING_MISSING]) {
        WIN32 | 2 // ERROR_FILE_NOT_FOUND
    } else if is(&[&c::DIRECTORY_MISSING]) {
        WIN32 | 3 // ERROR_PATH_NOT_FOUND
    } else if is(&[&c::SOURCE_DENIED, &c::TARGET_DENIED, &c::TARGET_IMMUTABLE, &c::OUTSIDE_ROOTS]) {
        WIN32 | 5 // ERROR_ACCESS_DENIED
    } else if is(&[&c::READ_ONLY]) {
        WIN32 | 19 // ERROR_WRITE_PROTECT
    } else if is(&[&c::IN_USE_WRITING, &c::IN_USE_READING]) {
        WIN32 | 32 // ERROR_SHARING_VIOLATION
    } else if is(&[&c::TARGET_EXISTS]) {
        WIN32 | 80 // ERROR_FILE_EXISTS
    } else if is(&[&c::FILE_TOO_LARGE]) {
        WIN32 | 223 // ERROR_FILE_TOO_LARGE
    } else if is(&[&c::READ_ERROR]) {
        WIN32 | 30 // ERROR_READ_FAULT
    } else if is(&[&c::WRITE_ERROR]) {
        WIN32 | 29 // ERROR_WRITE_FAULT
    } else if is(&[
        &c::VHDX_TRUNCATED,
        &c::VHDX_TRUNCATED_OPENING,
        &c::VHD_TRUNCATED,
        &c::NOT_VHD,
        &c::NOT_VHDX,
        &c::VHDX_HEADERS,
        &c::VHD_HEADER,
        &c::VHD_TOO_SMALL,
        &c::NOT_QCOW2,
        &c::QCOW2_HEADER,
        &c::IMAGE_CORRUPT,
    ]) {
        WIN32 | 1392 // ERROR_FILE_CORRUPT
    } else {
        match detail.code {
            32770 => WIN32 | 50, // ERROR_NOT_SUPPORTED
            32773 => WIN32 | 87, // ERROR_INVALID_PARAMETER
            32778 => WIN32 | 14, // ERROR_OUTOFMEMORY
            _ => 0x8000_4005,    // E_FAIL
        }
    }
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
            assert!(entry.id.starts_with("CWDISK") && entry.id.len() == 10, "{}", entry.id);
            assert!((32768..=32790).contains(&entry.code), "{}", entry.id);
            assert!(entry.probable_cause <= 130, "{}", entry.id);
            assert!(
                entry.id >= "CWDISK1900" || !entry.actions.is_empty(),
                "{} says not what to do",
                entry.id
            );
        }
    }
}
