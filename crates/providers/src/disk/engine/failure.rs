//! Why an engine failed, read from its messages.
//!
//! qemu-img speaks to people: its exit code is nearly always 1 and the reason is one line of text, which ends in the
//! words of the C library. The texts of versions 7.2 to 10 are known here. The order of the readers matters: the line
//! that names the deepest cause wins over the one that only says that opening failed.

mod read;

use super::process::{EngineExit, EngineStatus};
use crate::disk::image::ImageFormat;

/// What a file was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileRole {
    /// It was read from (or looked at, checked, changed in place).
    Source,
    /// It was to be written.
    Target,
    /// It is the backing file of another.
    Backing,
    /// The engine named a file that it was not given.
    Other,
}

/// A file that a message names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// The path as the engine was given it, or as it wrote it when it was not.
    pub path: String,
    /// What it was used for.
    pub role: FileRole,
}

/// What was being done: needed to know which of several files a message means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailureContext {
    files: Vec<GivenFile>,
}

/// A file the engine was given, and the format it was to be taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GivenFile {
    file: NamedFile,
    format: Option<ImageFormat>,
}

/// Something that a format cannot do at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnsupportedFeature {
    /// Checking its own structure.
    Check,
    /// Changing its size in place.
    Resize,
    /// Telling beforehand how much space it will need.
    Measure,
    /// Being based on another image.
    BackingFile,
}

/// The reason. Byte offsets count from the start of the virtual disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FailureCause {
    /// The file system of the target is full.
    #[error("no space is left")]
    DiskFull {
        /// Where writing stopped, when it was writing content.
        at_byte: Option<u64>,
    },
    /// The space for the whole file could not be reserved.
    #[error("no space is left to reserve the whole file")]
    PreallocationDiskFull {
        /// The target.
        file: NamedFile,
    },
    /// The quota of the user that writes is used up.
    #[error("the disk quota is used up")]
    QuotaExceeded {
        /// Where writing stopped.
        at_byte: Option<u64>,
    },
    /// The file would be larger than the limit of the process or of the file system.
    #[error("the file would be larger than allowed")]
    FileTooLarge {
        /// Where writing stopped, when it was writing content.
        at_byte: Option<u64>,
    },
    /// The source could not be read at some place.
    #[error("reading failed: {reason}")]
    ReadError {
        /// Where reading stopped, when the engine tells.
        at_byte: Option<u64>,
        /// The words of the system.
        reason: String,
    },
    /// The target could not be written at some place, for a reason other than space.
    #[error("writing failed: {reason}")]
    WriteError {
        /// Where writing stopped, when the engine tells.
        at_byte: Option<u64>,
        /// The words of the system.
        reason: String,
    },
    /// A file that was to be read does not exist.
    #[error("{} does not exist", file.path)]
    SourceMissing {
        /// The file.
        file: NamedFile,
    },
    /// The directory of a file that was to be created does not exist.
    #[error("the directory of {} does not exist", file.path)]
    TargetDirectoryMissing {
        /// The file.
        file: NamedFile,
    },
    /// A directory or device stands where a file is needed.
    #[error("{} is not a regular file", file.path)]
    NotARegularFile {
        /// What was named.
        file: NamedFile,
    },
    /// The engine has no right to open the file: the owner's settings, or its confinement.
    #[error("permission to open {} is denied", file.path)]
    PermissionDenied {
        /// The file.
        file: NamedFile,
    },
    /// The file system forbids it whoever asks: the file is immutable or append-only.
    #[error("the operation on {} is not permitted", file.path)]
    OperationNotPermitted {
        /// The file.
        file: NamedFile,
    },
    /// The file system is mounted for reading only.
    #[error("{} is on a read-only file system", file.path)]
    ReadOnlyFileSystem {
        /// The file.
        file: NamedFile,
    },
    /// The file is in use, so it cannot be written.
    #[error("{} is in use by another program and cannot be locked for writing", file.path)]
    WriteLockRefused {
        /// The file.
        file: NamedFile,
    },
    /// The file is being written by another program, so it cannot even be read safely.
    #[error("{} is being written by another program", file.path)]
    SharedLockRefused {
        /// The file.
        file: NamedFile,
    },
    /// The signature or both region tables of a VHDX are damaged, or the file is empty.
    #[error("{} is not a readable VHDX", file.path)]
    VhdxUnreadable {
        /// The file.
        file: NamedFile,
    },
    /// Both headers of a VHDX are damaged.
    #[error("{} has no valid VHDX header", file.path)]
    VhdxNoValidHeader {
        /// The file.
        file: NamedFile,
    },
    /// A VHDX is shorter than its block table says.
    #[error("the VHDX is truncated: block {bat_entry} reaches beyond its {file_bytes} bytes")]
    VhdxTruncated {
        /// The first entry of the block allocation table that points outside.
        bat_entry: u64,
        /// Where it points, in bytes of the file.
        offset: u64,
        /// The length that the engine saw, in bytes.
        file_bytes: u64,
    },
    /// A VHDX was not closed properly; its log must be replayed before it can be read.
    #[error("{} was not closed properly and its log must be replayed", file.path)]
    VhdxLogNotReplayed {
        /// The file.
        file: NamedFile,
    },
    /// A VHDX is a differencing disk, which the engine cannot read.
    #[error("{} is a differencing VHDX", file.path)]
    VhdxHasParent {
        /// The file.
        file: NamedFile,
    },
    /// The footer of a VHD is damaged or missing.
    #[error("{} is not a VHD", file.path)]
    VhdInvalid {
        /// The file.
        file: NamedFile,
    },
    /// The dynamic header of a VHD does not begin with its mark.
    #[error("{} has a damaged dynamic disk header", file.path)]
    VhdDynamicHeader {
        /// The file.
        file: NamedFile,
    },
    /// A header of a VHD does not match its checksum.
    #[error("{} has a header with a wrong checksum", file.path)]
    VhdChecksum {
        /// The file.
        file: NamedFile,
    },
    /// A file is too short to be a VHD.
    #[error("{} is too small for a VHD", file.path)]
    VhdTooSmall {
        /// The file.
        file: NamedFile,
    },
    /// A dynamic VHD is shorter than its block table says.
    #[error("{} is truncated", file.path)]
    VhdTruncated {
        /// The file.
        file: NamedFile,
    },
    /// A file does not begin with the mark of qcow2.
    #[error("{} is not a qcow2 image", file.path)]
    Qcow2Signature {
        /// The file.
        file: NamedFile,
    },
    /// The reference count table of a qcow2 image cannot be where its header says.
    #[error("{} has an invalid reference count table", file.path)]
    Qcow2RefcountTable {
        /// The file.
        file: NamedFile,
    },
    /// Another part of the header of a qcow2 image is invalid.
    #[error("{} has an invalid qcow2 header: {detail}", file.path)]
    Qcow2Header {
        /// The file.
        file: NamedFile,
        /// What the engine said about it.
        detail: String,
    },
    /// A check found the image's own bookkeeping wrong, or the image is marked as corrupt.
    #[error("the image is corrupt")]
    ImageCorrupt {
        /// How many errors a check found.
        corruptions: Option<u64>,
    },
    /// A check could not be completed.
    #[error("the image could not be checked completely: {check_errors} errors")]
    CheckIncomplete {
        /// How often the check itself failed.
        check_errors: u64,
    },
    /// The engine does not know an option.
    #[error("the option `{name}` is not known for this format")]
    UnknownOption {
        /// The option.
        name: String,
    },
    /// The engine refuses the value of an option.
    #[error("the option `{name}` does not accept `{value}`")]
    OptionValueRefused {
        /// The option.
        name: String,
        /// The value.
        value: String,
    },
    /// The engine does not know a format.
    #[error("the format `{name}` is not known")]
    UnknownFormat {
        /// The name of the format.
        name: String,
    },
    /// The block size is not one the format allows.
    #[error("the block size is not allowed: {rule}")]
    BadBlockSize {
        /// The rule in the engine's words.
        rule: String,
    },
    /// The disk is larger than the format allows.
    #[error("the disk is too large for the format")]
    ImageTooLarge {
        /// The engine's name of the format, when it tells.
        format: Option<String>,
        /// The limit in the engine's words, when it tells.
        limit: Option<String>,
    },
    /// The size is no number the engine accepts.
    #[error("the size is not valid")]
    BadSize {
        /// The size as it was given, when the engine repeats it.
        size: Option<String>,
    },
    /// The new size would be zero or less.
    #[error("the new size must be positive")]
    SizeNotPositive,
    /// The image would become smaller, and nobody allowed that.
    #[error("the image would be shrunk without permission")]
    ShrinkNotAllowed,
    /// The backing file of an image does not exist.
    #[error("the backing file {} does not exist", backing.path)]
    BackingFileMissing {
        /// The backing file.
        backing: NamedFile,
    },
    /// The format cannot do this.
    #[error("the format does not support this operation")]
    NotSupportedByFormat {
        /// What it cannot do.
        feature: UnsupportedFeature,
    },
    /// The engine reached its limit of memory.
    #[error("the engine ran out of memory")]
    OutOfMemory,
    /// The engine reached its limit of processor time.
    #[error("the engine used up its processor time")]
    CpuTimeExceeded,
    /// The engine program could not be executed although it is there.
    #[error("the engine program could not be executed")]
    NotExecutable,
    /// The engine was killed.
    #[error("the engine was killed by signal {signal}")]
    KilledBySignal {
        /// The number of the signal.
        signal: i32,
    },
    /// The engine succeeded but its answer cannot be understood.
    #[error("the engine's answer cannot be understood")]
    UnreadableAnswer,
    /// The engine failed with a message that is not known here.
    #[error("the engine failed for an unknown reason")]
    Unrecognised,
}

/// A failed run of an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct EngineFailure {
    /// The reason.
    pub cause: FailureCause,
    /// How the engine ended.
    pub status: EngineStatus,
    /// The line of its messages from which the reason was read; empty when it said nothing.
    pub line: String,
    /// Everything it said on standard error, bounded.
    pub stderr: String,
}

/// Reads the reason for a failure out of what an engine left behind. Call it only for a run that failed: exit codes
/// that mean success for some commands (1 of compare, 3 of check) are not known here.
pub fn classify(exit: &EngineExit, context: &FailureContext) -> EngineFailure {
    let lines: Vec<&str> = exit.stderr.lines().map(without_program).filter(|line| !line.is_empty()).collect();
    let stdout = String::from_utf8_lossy(&exit.stdout);
    let (cause, index) =
        read::cause(exit.status, &lines, &stdout, context).unwrap_or((FailureCause::Unrecognised, 0));
    let line = lines.get(index).copied().unwrap_or_default().to_owned();
    EngineFailure { cause, status: exit.status, line, stderr: exit.stderr.clone() }
}

impl FailureContext {
    /// Adds a file the engine is given, and the format it takes it for.
    #[must_use]
    pub fn with_file(
        mut self,
        path: impl Into<String>,
        role: FileRole,
        format: impl Into<Option<ImageFormat>>,
    ) -> Self {
        let file = NamedFile { path: path.into(), role };
        self.files.push(GivenFile { file, format: format.into() });
        self
    }
}

fn without_program(line: &str) -> &str {
    line.strip_prefix("qemu-img: ").unwrap_or(line).trim_end()
}

#[cfg(test)]
mod tests;
