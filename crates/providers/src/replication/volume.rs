//! Looking at a volume: a regular file or a block device under a storage root.

use super::errors::{self, What};
use crate::disk::roots::{FileKind, FileOperation, ResolvedPath, StorageRoots};
use cimwright_sdk::cim::ErrorDetail;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// The sector size of a volume that is a file, in bytes.
pub const FILE_SECTOR: u32 = 512;

/// What was found out about a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The path as the client wrote it.
    pub path: String,
    /// The path that it really is.
    pub real_path: String,
    /// The canonical path of the storage root it lies under.
    pub root: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its sector size in bytes.
    pub sector_size: u32,
}

/// The place a client's path stands for.
///
/// # Errors
/// When the path is refused.
pub fn resolve(roots: &StorageRoots, path: &str) -> Result<ResolvedPath, ErrorDetail> {
    roots.resolve(path).map_err(|e| errors::path_refused(&e, path))
}

/// Looks at a volume and makes sure that it can be replicated: it exists, can be read and written, and has a whole number of
/// sectors of which the first and the last can be read. Blocks for the disk.
///
/// # Errors
/// What is in the way.
pub fn look(roots: &StorageRoots, path: &str) -> Result<Volume, ErrorDetail> {
    let place = resolve(roots, path)?;
    let (mut file, block) = open(&place, path)?;
    let failed = |e: std::io::Error| {
        errors::volume_errno(path, FileOperation::Inspect, Errno::from_io_error(&e).unwrap_or(Errno::IO))
    };
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    let sector_size = if block {
        rustix::fs::ioctl_blksszget(&file)
            .map_err(|errno| errors::volume_errno(path, FileOperation::Inspect, errno))?
    } else {
        FILE_SECTOR
    };
    if size == 0 || !size.is_multiple_of(u64::from(sector_size)) {
        return Err(errors::volume_size(path, &size.to_string(), &sector_size.to_string()));
    }
    let mut sector = vec![0; sector_size as usize];
    for at in [0, size - u64::from(sector_size)] {
        file.read_exact_at(&mut sector, at).map_err(failed)?;
    }
    let root = roots.paths().nth(place.root()).map(|p| p.to_string_lossy().into_owned());
    Ok(Volume {
        path: path.to_owned(),
        real_path: place.real_path().to_owned(),
        root: root.unwrap_or_default(),
        size,
        sector_size,
    })
}

/// Opens a volume beneath its storage root, for reading and writing, and says whether it is a block device. Blocks for the disk.
///
/// # Errors
/// What is in the way.
pub fn open(place: &ResolvedPath, path: &str) -> Result<(File, bool), ErrorDetail> {
    let stat = place.metadata().map_err(|e| errors::file_failed(&e, What::Volume))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::BlockDevice => Ok((open_device(place, &stat)?, true)),
        FileType::RegularFile | FileType::Directory | FileType::Symlink => {
            let file = place.open_read_write().map_err(|e| errors::file_failed(&e, What::Volume))?;
            Ok((file, false))
        }
        _ => Err(errors::volume_kind(path, &FileKind::Special.to_string())),
    }
}

/// Opens a block device that lies under a root, and makes sure that it is the one that was looked at.
fn open_device(place: &ResolvedPath, seen: &Stat) -> Result<File, ErrorDetail> {
    let failed = |errno| errors::volume_errno(place.display(), FileOperation::Open, errno);
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let device = rustix::fs::open(place.real_path(), flags, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&device).map_err(failed)?;
    if (stat.st_dev, stat.st_ino, stat.st_rdev) != (seen.st_dev, seen.st_ino, seen.st_rdev) {
        return Err(failed(Errno::STALE));
    }
    Ok(File::from(device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::roots::RootConfig;

    fn roots(directory: &tempfile::TempDir) -> StorageRoots {
        let path = directory.path().to_owned();
        StorageRoots::open(vec![RootConfig { path, windows_prefixes: vec!["D:\\".to_owned()] }]).unwrap()
    }

    #[test]
    fn a_volume_is_measured() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.img");
        std::fs::write(&file, vec![1; 4096]).unwrap();
        let volume = look(&roots(&directory), "D:\\a.img").unwrap();
        assert_eq!((volume.size, volume.sector_size, volume.path.as_str()), (4096, 512, "D:\\a.img"));
        assert!(volume.real_path.ends_with("/a.img") && volume.real_path.starts_with(&volume.root));
    }

    #[test]
    fn what_is_no_volume_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("odd"), vec![1; 700]).unwrap();
        std::fs::write(path("empty"), []).unwrap();
        std::fs::create_dir(path("directory")).unwrap();
        std::os::unix::fs::symlink(path("odd"), path("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for (name, id) in [
            ("odd", "CWREPL1004"),
            ("empty", "CWREPL1004"),
            ("directory", "CWREPL1002"),
            ("link", "CWREPL1002"),
            ("socket", "CWREPL1002"),
            ("missing", "CWREPL1001"),
            ("no/where", "CWREPL1011"),
        ] {
            assert_eq!(look(&roots, &path(name)).unwrap_err().message_id, id, "{name}");
        }
        assert_eq!(look(&roots, "/etc/passwd").unwrap_err().message_id, "CWREPL1009");
        assert_eq!(look(&roots, "a.img").unwrap_err().message_id, "CWREPL1010");
    }
}
