//! A place under a storage root, and the few things done there.
//!
//! All methods block for system calls; [`ResolvedPath::publish`] waits for the disk and belongs on a blocking thread.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::{TEMPORARY_SUFFIX, open_beneath};

const MAX_NAME_BYTES: usize = 255;
const MAX_JOB_ID_BYTES: usize = 100;

/// A file a client named: its directory is open, the file itself may not exist yet.
#[derive(Debug, Clone)]
pub struct ResolvedPath {
    place: Place,
}

/// The parts of a [`ResolvedPath`].
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) root: usize,
    pub(super) relative: String,
    pub(super) parent: Arc<OwnedFd>,
    pub(super) file_name: String,
    pub(super) display: String,
    pub(super) real: String,
}

/// The name of a job's unfinished file beside its final place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TempName {
    name: String,
}

/// What [`ResolvedPath::publish`] does with a file that already has the final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Take its place in one step.
    Replace,
    /// Leave it, and fail with [`FileError::AlreadyExists`].
    NoReplace,
}

/// What was being done when a [`FileError`] arose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOperation {
    /// Looking at a file.
    Inspect,
    /// Opening a file.
    Open,
    /// Creating a file.
    Create,
    /// Waiting until a file or directory is on the disk.
    Sync,
    /// Giving a file its final name.
    Rename,
    /// Removing a file.
    Remove,
    /// Reserving space.
    Allocate,
    /// Asking for the free space.
    MeasureSpace,
}

/// What a name stands for, when a regular file was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    SymbolicLink,
    /// A device, socket or pipe.
    Special,
}

/// Why something could not be done with a file. `path` is always the text as the client wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("`{path}` does not exist")]
    NotFound {
        /// The client's text.
        path: String,
    },
    /// There is something else of this name.
    #[error("`{path}` is a {kind}, not a regular file")]
    NotARegularFile {
        /// The client's text.
        path: String,
        /// What it is.
        kind: FileKind,
    },
    /// A file of this name exists already.
    #[error("`{path}` exists already")]
    AlreadyExists {
        /// The client's text.
        path: String,
    },
    /// The server has no right to do it.
    #[error("the server has no permission to {operation} `{path}`")]
    PermissionDenied {
        /// The client's text.
        path: String,
        /// What was being done.
        operation: FileOperation,
    },
    /// An attribute of the file or its directory forbids it, whoever asks: immutable or append-only.
    #[error("an attribute of the file system forbids to {operation} `{path}`")]
    NotPermitted {
        /// The client's text.
        path: String,
        /// What was being done.
        operation: FileOperation,
    },
    /// The file system is full or the owner's quota is used up.
    #[error("no space is left to {operation} `{path}`")]
    NoSpace {
        /// The client's text.
        path: String,
        /// What was being done.
        operation: FileOperation,
    },
    /// The file system cannot reserve space for a file.
    #[error("the file system of `{path}` cannot reserve space")]
    AllocationUnsupported {
        /// The client's text.
        path: String,
    },
    /// The identity of the job cannot be part of a file name.
    #[error("`{job_id}` cannot be part of a file name")]
    BadJobId {
        /// The identity as given.
        job_id: String,
    },
    /// The system refused for another reason.
    #[error("cannot {operation} `{path}`: {errno}")]
    System {
        /// The client's text.
        path: String,
        /// What was being done.
        operation: FileOperation,
        /// What the system answered.
        errno: Errno,
    },
}

impl ResolvedPath {
    pub(super) fn new(place: Place) -> Self {
        Self { place }
    }

    /// The position of the root in the configuration.
    pub fn root(&self) -> usize {
        self.place.root
    }

    /// The path below the root.
    pub fn relative(&self) -> &str {
        &self.place.relative
    }

    /// The name of the file in its directory.
    pub fn file_name(&self) -> &str {
        &self.place.file_name
    }

    /// The path as the client wrote it; the one to use in messages.
    pub fn display(&self) -> &str {
        &self.place.display
    }

    /// The absolute path that engines are given. It is only text: what it leads to may change, the directory held here not.
    pub fn real_path(&self) -> &str {
        &self.place.real
    }

    /// The absolute path of an unfinished file beside this one.
    pub fn temp_path(&self, temp: &TempName) -> String {
        let directory = self.place.real.len() - self.place.file_name.len();
        format!("{}{}", &self.place.real[..directory], temp.name)
    }

    /// Opens the file for reading. It must be a regular file; a pipe or device is never opened.
    ///
    /// # Errors
    /// [`FileError::NotFound`], [`FileError::NotARegularFile`], [`FileError::PermissionDenied`], [`FileError::System`].
    pub fn open_read(&self) -> Result<File, FileError> {
        self.open_file(&self.place.file_name, OFlags::RDONLY)
    }

    /// Opens the file for reading and writing, without creating or truncating it.
    ///
    /// # Errors
    /// The same as [`Self::open_read`].
    pub fn open_read_write(&self) -> Result<File, FileError> {
        self.open_file(&self.place.file_name, OFlags::RDWR)
    }

    /// Opens an unfinished file for reading and writing.
    ///
    /// # Errors
    /// The same as [`Self::open_read`].
    pub fn open_temp(&self, temp: &TempName) -> Result<File, FileError> {
        self.open_file(&temp.name, OFlags::RDWR)
    }

    /// Whether anything has this name, a dangling symbolic link included.
    ///
    /// # Errors
    /// [`FileError`] when the system does not tell.
    pub fn exists(&self) -> Result<bool, FileError> {
        match self.metadata() {
            Ok(_) => Ok(true),
            Err(FileError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the system knows about the name itself; a symbolic link is not followed.
    ///
    /// # Errors
    /// [`FileError::NotFound`] when nothing has this name.
    pub fn metadata(&self) -> Result<Stat, FileError> {
        rustix::fs::statat(&self.place.parent, self.place.file_name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.failed(FileOperation::Inspect, errno))
    }

    /// The name of the unfinished file of a job: `.NAME.JOB.cwpart`, with NAME shortened where needed.
    ///
    /// # Errors
    /// [`FileError::BadJobId`] unless the identity consists of 1 to 100 ASCII letters, digits, `-` and `_`.
    pub fn temp_sibling(&self, job_id: &str) -> Result<TempName, FileError> {
        if !is_job_id(job_id) {
            return Err(FileError::BadJobId { job_id: job_id.to_owned() });
        }
        let room = MAX_NAME_BYTES - job_id.len() - TEMPORARY_SUFFIX.len() - 2;
        let mut end = room.min(self.place.file_name.len());
        while !self.place.file_name.is_char_boundary(end) {
            end -= 1;
        }
        Ok(TempName { name: format!(".{}.{job_id}{TEMPORARY_SUFFIX}", &self.place.file_name[..end]) })
    }

    /// Creates the unfinished file, empty, readable and writable. `owner` is the user and group that the engine runs as,
    /// if it runs as another one; giving a file away needs the right to do so.
    ///
    /// # Errors
    /// [`FileError::AlreadyExists`] when a previous attempt left one: remove it first.
    pub fn create_temp(&self, temp: &TempName, owner: Option<(u32, u32)>) -> Result<File, FileError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
        let file = open_beneath(&self.place.parent, &temp.name, flags, mode)
            .map(File::from)
            .map_err(|errno| self.failed(FileOperation::Create, errno))?;
        if let Some((uid, gid)) = owner
            && let Err(error) = std::os::unix::fs::fchown(&file, Some(uid), Some(gid))
        {
            // An empty file nobody asked for would be a leftover; the first error is the one that matters.
            let _ = self.remove_temp(temp);
            return Err(match Errno::from_io_error(&error).unwrap_or(Errno::IO) {
                // Giving files away is a privilege; no attribute of the file is in the way.
                Errno::PERM => self.failed(FileOperation::Create, Errno::ACCESS),
                errno => self.failed(FileOperation::Create, errno),
            });
        }
        Ok(file)
    }

    /// Removes the unfinished file. Returns false when there was none.
    ///
    /// # Errors
    /// [`FileError`] when it is there and stays.
    pub fn remove_temp(&self, temp: &TempName) -> Result<bool, FileError> {
        self.unlink(&temp.name)
    }

    /// Removes the file itself. Returns false when there was none.
    ///
    /// # Errors
    /// [`FileError`] when it is there and stays.
    pub fn remove(&self) -> Result<bool, FileError> {
        self.unlink(&self.place.file_name)
    }

    /// Makes the unfinished file the file: its content is on the disk first, then it gets its final name in one step,
    /// then the directory is on the disk. After `Ok` a power failure loses nothing.
    ///
    /// # Errors
    /// [`FileError::AlreadyExists`] under [`Publish::NoReplace`]; the unfinished file then still exists. An error of the
    /// last step (syncing the directory) comes after the new name is already visible.
    pub fn publish(&self, temp: &TempName, mode: Publish) -> Result<(), FileError> {
        let file = self.open_file(&temp.name, OFlags::RDONLY)?;
        rustix::fs::fsync(&file).map_err(|errno| self.failed(FileOperation::Sync, errno))?;
        let (parent, from, to) = (&self.place.parent, temp.name.as_str(), self.place.file_name.as_str());
        match mode {
            Publish::Replace => rustix::fs::renameat(parent, from, parent, to),
            Publish::NoReplace => {
                match rustix::fs::renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
                    // Some network file systems do not know the flag; a hard link refuses an existing name just as well.
                    Err(Errno::INVAL | Errno::NOSYS) => {
                        rustix::fs::linkat(parent, from, parent, to, AtFlags::empty())
                            .and_then(|()| rustix::fs::unlinkat(parent, from, AtFlags::empty()))
                    }
                    other => other,
                }
            }
        }
        .map_err(|errno| self.failed(FileOperation::Rename, errno))?;
        rustix::fs::fsync(parent).map_err(|errno| self.failed(FileOperation::Sync, errno))
    }

    /// What it means for this place that a file beside it could not be synced.
    pub fn sync_failed(&self, error: &std::io::Error) -> FileError {
        self.failed(FileOperation::Sync, Errno::from_io_error(error).unwrap_or(Errno::IO))
    }

    /// Gives the unfinished file the owner and the permissions of the file whose place it will take. A server that may not give
    /// files away leaves the owner as it is.
    ///
    /// # Errors
    /// [`FileError`] when one of the two is not there or the permissions cannot be set.
    pub fn adopt_owner(&self, temp: &TempName) -> Result<(), FileError> {
        let system = |error: std::io::Error| {
            self.failed(FileOperation::Create, Errno::from_io_error(&error).unwrap_or(Errno::IO))
        };
        let (old, new) = (self.open_read()?, self.open_temp(temp)?);
        let metadata = old.metadata().map_err(system)?;
        let (uid, gid) =
            (std::os::unix::fs::MetadataExt::uid(&metadata), std::os::unix::fs::MetadataExt::gid(&metadata));
        let _ = std::os::unix::fs::fchown(&new, Some(uid), Some(gid));
        new.set_permissions(metadata.permissions()).map_err(system)
    }

    /// Reserves space for every byte of an unfinished file, so that writing to it cannot fail for lack of space.
    /// Returns the length of the file in bytes, which does not change.
    ///
    /// # Errors
    /// [`FileError::NoSpace`], [`FileError::AllocationUnsupported`].
    pub fn allocate_temp(&self, temp: &TempName) -> Result<u64, FileError> {
        let file = self.open_temp(temp)?;
        let length = file
            .metadata()
            .map_err(|error| {
                self.failed(FileOperation::Inspect, Errno::from_io_error(&error).unwrap_or(Errno::IO))
            })?
            .len();
        allocate_fully(&file, length).map_err(|errno| self.failed(FileOperation::Allocate, errno))?;
        Ok(length)
    }

    /// The bytes that an unprivileged user may still write to the file system of this place.
    ///
    /// # Errors
    /// [`FileError::System`] when the system does not tell.
    pub fn available_bytes(&self) -> Result<u64, FileError> {
        let space = rustix::fs::fstatvfs(&self.place.parent)
            .map_err(|errno| self.failed(FileOperation::MeasureSpace, errno))?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// Where the directory descriptor really leads, as the kernel sees it.
    #[cfg(test)]
    pub(super) fn parent_for_tests(&self) -> std::path::PathBuf {
        use std::os::fd::AsRawFd;
        std::fs::read_link(format!("/proc/self/fd/{}", self.place.parent.as_raw_fd()))
            .expect("an open descriptor")
    }

    fn unlink(&self, name: &str) -> Result<bool, FileError> {
        match rustix::fs::unlinkat(&self.place.parent, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            // A read-only file system refuses before it looks whether there is anything to remove.
            Err(Errno::ROFS) if self.is_absent(name) => Ok(false),
            Err(errno) => Err(self.failed(FileOperation::Remove, errno)),
        }
    }

    fn is_absent(&self, name: &str) -> bool {
        let seen = rustix::fs::statat(&self.place.parent, name, AtFlags::SYMLINK_NOFOLLOW);
        matches!(seen, Err(Errno::NOENT))
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<File, FileError> {
        let failed = |errno| self.failed(FileOperation::Open, errno);
        // Looking first keeps us from opening a device, which may act on it; looking again afterwards makes it certain.
        let before =
            rustix::fs::statat(&self.place.parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        self.require_regular(&before)?;
        let file = open_beneath(&self.place.parent, name, flags | OFlags::NONBLOCK, Mode::empty())
            .map_err(failed)?;
        self.require_regular(&rustix::fs::fstat(&file).map_err(failed)?)?;
        Ok(File::from(file))
    }

    fn require_regular(&self, stat: &Stat) -> Result<(), FileError> {
        match FileKind::of(stat) {
            FileKind::Regular => Ok(()),
            kind => Err(FileError::NotARegularFile { path: self.place.display.clone(), kind }),
        }
    }

    fn failed(&self, operation: FileOperation, errno: Errno) -> FileError {
        let path = self.place.display.clone();
        match errno {
            Errno::NOENT => FileError::NotFound { path },
            Errno::EXIST | Errno::NOTEMPTY => FileError::AlreadyExists { path },
            Errno::LOOP => FileError::NotARegularFile { path, kind: FileKind::SymbolicLink },
            Errno::ISDIR => FileError::NotARegularFile { path, kind: FileKind::Directory },
            Errno::ACCESS => FileError::PermissionDenied { path, operation },
            Errno::PERM => FileError::NotPermitted { path, operation },
            Errno::NOSPC | Errno::DQUOT => FileError::NoSpace { path, operation },
            Errno::OPNOTSUPP if operation == FileOperation::Allocate => {
                FileError::AllocationUnsupported { path }
            }
            errno => FileError::System { path, operation, errno },
        }
    }
}

/// Reserves `size` bytes of space from the start of a file without changing its length.
///
/// # Errors
/// What the system answered: `ENOSPC` when there is too little space, `EOPNOTSUPP` when the file system cannot do it.
pub fn allocate_fully(file: impl AsFd, size: u64) -> Result<(), Errno> {
    if size == 0 {
        return Ok(());
    }
    loop {
        match rustix::fs::fallocate(file.as_fd(), FallocateFlags::KEEP_SIZE, 0, size) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

impl TempName {
    /// The name in its directory.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl FileKind {
    fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Self::Regular,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::SymbolicLink,
            _ => Self::Special,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Regular => "regular file",
            Self::Directory => "directory",
            Self::SymbolicLink => "symbolic link",
            Self::Special => "device, socket or pipe",
        })
    }
}

impl fmt::Display for FileOperation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Inspect => "inspect",
            Self::Open => "open",
            Self::Create => "create",
            Self::Sync => "write to disk",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Allocate => "reserve space for",
            Self::MeasureSpace => "measure the free space at",
        })
    }
}

/// The job that an unfinished file belongs to, or nothing when the name is not one of ours.
pub(super) fn job_of_temporary(name: &str) -> Option<&str> {
    let (_, job_id) = name.strip_prefix('.')?.strip_suffix(TEMPORARY_SUFFIX)?.rsplit_once('.')?;
    is_job_id(job_id).then_some(job_id)
}

fn is_job_id(text: &str) -> bool {
    (1..=MAX_JOB_ID_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
