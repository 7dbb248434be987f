//! What is replicated: a regular file or a block device, taken as it is, without a format.

use std::fs::{File, OpenOptions};
use std::io::Seek;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The unit that the daemon writes in; a size that is no multiple of it would be rounded.
const SECTOR_BYTES: u64 = 512;

/// What a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeKind {
    /// A regular file.
    File,
    /// A block device.
    Device,
}

/// An open volume. Its name was looked up once; what is done later is done to the file that was found then.
#[derive(Debug)]
pub struct Volume {
    path: PathBuf,
    kind: VolumeKind,
    bytes: u64,
    file: File,
}

/// Why something cannot be replicated.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// It cannot be opened.
    #[error("the volume {} cannot be opened", path.display())]
    Open {
        /// Its name.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is neither a file nor a block device.
    #[error("{} is neither a regular file nor a block device", path.display())]
    WrongKind {
        /// Its name.
        path: PathBuf,
    },
    /// Its size is zero or no multiple of 512.
    #[error("{} has {bytes} bytes, which is not a positive multiple of 512", path.display())]
    OddSize {
        /// Its name.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

impl Volume {
    /// Opens a volume for reading and writing. The last part of the path must not be a symbolic link.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, VolumeError> {
        let path: PathBuf = path.into();
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
            .open(&path);
        match opened {
            Ok(file) => Self::of(path, file),
            Err(source) => Err(VolumeError::Open { path, source }),
        }
    }

    /// A volume that somebody has opened already, for reading and writing, under this name.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn of(path: impl Into<PathBuf>, mut file: File) -> Result<Self, VolumeError> {
        let path = path.into();
        let looked = file.metadata().map(|m| (m.file_type(), file.seek(std::io::SeekFrom::End(0))));
        let (kind, bytes) = match looked {
            Ok(looked) => looked,
            Err(source) => return Err(VolumeError::Open { path, source }),
        };
        let kind = match (kind.is_file(), kind.is_block_device()) {
            (true, _) => VolumeKind::File,
            (_, true) => VolumeKind::Device,
            _ => return Err(VolumeError::WrongKind { path }),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(source) => return Err(VolumeError::Open { path, source }),
        };
        if bytes == 0 || !bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(VolumeError::OddSize { path, bytes });
        }
        Ok(Self { path, kind, bytes, file })
    }

    /// The name it was opened under.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn kind(&self) -> VolumeKind {
        self.kind
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether its name still leads to it; it does not once the file was removed, renamed or replaced. When that cannot be
    /// found out it is taken to be so.
    pub fn is_where_it_was(&self) -> bool {
        match (std::fs::symlink_metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(here)) => (there.dev(), there.ino()) == (here.dev(), here.ino()),
            (Err(error), _) => error.kind() != std::io::ErrorKind::NotFound,
            (Ok(_), Err(_)) => true,
        }
    }

    /// The same open file for somebody else to keep.
    pub(super) fn share(&self) -> Result<File, VolumeError> {
        self.file.try_clone().map_err(|source| VolumeError::Open { path: self.path.clone(), source })
    }

    /// What the file looks like now; nothing for a device, which does not show that it was written to.
    pub(super) fn looks(&self) -> std::io::Result<Option<Looks>> {
        if self.kind == VolumeKind::Device {
            return Ok(None);
        }
        let metadata = self.file.metadata()?;
        Ok(Some(Looks {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }))
    }
}

/// What a volume that is a file looks like now, as a text that another computer can keep and compare: it differs once the file
/// was written to or exchanged. Nothing for a device, which does not show that, and for a file that cannot be looked at.
pub fn fingerprint(path: &Path) -> Option<String> {
    let m = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let changed = (m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
    let (ms, mn, cs, cn) = changed;
    Some(format!("{:x}-{:x}-{:x}-{ms:x}.{mn:x}-{cs:x}.{cn:x}", m.dev(), m.ino(), m.size()))
}

/// By what a file shows that nobody has touched it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Looks {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_sectors_of_files_are_taken() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("volume");
        assert!(matches!(Volume::open(&path), Err(VolumeError::Open { .. })));
        for (bytes, good) in [(0, false), (511, false), (513, false), (512, true), (1 << 20, true)] {
            File::create(&path).expect("created").set_len(bytes).expect("sized");
            assert_eq!(Volume::open(&path).is_ok(), good, "{bytes} bytes");
        }
        let volume = Volume::open(&path).expect("opens");
        assert!(volume.is_where_it_was());
        std::fs::rename(&path, directory.path().join("elsewhere")).expect("renamed");
        assert!(!volume.is_where_it_was());
        File::create(&path).expect("created").set_len(512).expect("sized");
        assert!(!volume.is_where_it_was(), "another file");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(matches!(Volume::open(&link), Err(VolumeError::Open { .. })));
        assert!(Volume::open(directory.path()).is_err());
        assert!(matches!(Volume::open("/dev/null"), Err(VolumeError::WrongKind { .. })));
    }
}
