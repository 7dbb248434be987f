//! The log of a group: a file of fixed size whose space is reserved when it is made, with a mark that tells whose it is.
//!
//! The mark is what makes it safe to remove a log: a file that somebody put in its place is left alone.

use super::errors::{self, What};
use super::volume;
use crate::disk::roots::{
    FileError, FileOperation, PathError, Publish, ResolvedPath, StorageRoots, TempName,
};
use crate::replication::guid::Guid;
use cimwright_sdk::cim::ErrorDetail;
use rustix::fs::{FallocateFlags, FileType};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The unit in which a log is made, in bytes.
pub const BLOCK: u64 = 4096;

/// What a log takes whatever the volumes, in bytes.
const LEAST: u64 = 1 << 20;

/// The size of a log when nobody says otherwise, in bytes, if the volumes do not need more.
const USUAL: u64 = 64 << 20;

/// How much of a volume one bit of the log stands for, in bytes.
const GRANULE: u64 = 64 << 10;

const MARK: &str = "CIMWRIGHT REPLICATION LOG 1\n";

/// What the log of these volumes needs at least, in bytes: two maps with a bit for every 64 KiB.
pub fn needed(volume_sizes: impl IntoIterator<Item = u64>) -> u64 {
    let maps: u64 =
        volume_sizes.into_iter().map(|s| 2 * s.div_ceil(GRANULE).div_ceil(8).next_multiple_of(BLOCK)).sum();
    LEAST + maps
}

/// The size that a log gets: what was asked for as whole blocks, or the usual one.
///
/// # Errors
/// When that is less than is needed.
pub fn size(group: &str, wanted: Option<u64>, needed: u64) -> Result<u64, ErrorDetail> {
    match wanted {
        None | Some(0) => Ok(USUAL.max(needed)),
        Some(wanted) if wanted < needed => {
            Err(errors::log_too_small(group, &wanted.to_string(), &needed.to_string()))
        }
        Some(wanted) => wanted
            .checked_next_multiple_of(BLOCK)
            .ok_or_else(|| errors::parameter_value("the log", "size", &wanted.to_string())),
    }
}

/// The file that the log of a group becomes: the place itself, or a file in it where it is a directory.
///
/// # Errors
/// When the path is refused, or there is a file already.
pub fn file_for(roots: &StorageRoots, place: &str, group: Guid) -> Result<String, ErrorDetail> {
    let separator = if place.contains('\\') { '\\' } else { '/' };
    let within = || format!("{}{separator}{group}.srlog", place.trim_end_matches(['/', '\\']));
    let file = match roots.resolve(place) {
        Ok(resolved) => match resolved.metadata() {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => within(),
            Ok(_) => return Err(errors::log_exists(place)),
            Err(FileError::NotFound { .. }) => place.to_owned(),
            Err(error) => return Err(errors::file_failed(&error, What::Log(0))),
        },
        Err(PathError::NoFileName { .. }) => within(),
        Err(error) => return Err(errors::path_refused(&error, place)),
    };
    match volume::resolve(roots, &file)?.exists() {
        Ok(false) => Ok(file),
        Ok(true) => Err(errors::log_exists(&file)),
        Err(error) => Err(errors::file_failed(&error, What::Log(0))),
    }
}

/// Makes the unfinished log beside its final place: marked, of its full size, and reserved. Blocks for the disk.
///
/// # Errors
/// When there is no room or it cannot be written.
pub fn reserve(place: &ResolvedPath, temp: &TempName, group: Guid, size: u64) -> Result<(), ErrorDetail> {
    let failed = |e: FileError| errors::file_failed(&e, What::Log(size));
    let file = place.create_temp(temp, None).map_err(failed)?;
    let io = |operation, errno| system(place, operation, errno, size);
    file.set_len(size).map_err(|e| io(FileOperation::Allocate, errno_of(&e)))?;
    place.allocate_temp(temp).map_err(failed)?;
    file.write_all_at(mark(group).as_bytes(), 0).map_err(|e| io(FileOperation::Create, errno_of(&e)))
}

/// Gives the unfinished log its name; what is there already by that name, if it is the log of the group, is fine.
///
/// # Errors
/// When another file has the name.
pub fn publish(place: &ResolvedPath, temp: &TempName, group: Guid, size: u64) -> Result<(), ErrorDetail> {
    match place.publish(temp, Publish::NoReplace) {
        Ok(()) => Ok(()),
        // A server before this one may have come as far as the new name and died before it could say so.
        Err(FileError::NotFound { .. }) if belongs_to(place, group).is_ok_and(|b| b) => Ok(()),
        Err(error) => Err(errors::file_failed(&error, What::Log(size))),
    }
}

/// Whether the file is the log of the group.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn belongs_to(place: &ResolvedPath, group: Guid) -> Result<bool, FileError> {
    let file = place.open_read()?;
    let mut bytes = vec![0; mark(group).len()];
    Ok(file.read_exact_at(&mut bytes, 0).is_ok() && bytes == mark(group).as_bytes())
}

/// Removes the log of a group; finding none is fine. Blocks for the disk.
///
/// # Errors
/// When the file is not that log, or stays.
pub fn remove(roots: &StorageRoots, file: &str, group: Guid, group_name: &str) -> Result<(), ErrorDetail> {
    let place = match roots.resolve(file) {
        Ok(place) => place,
        Err(PathError::ParentMissing { .. }) => return Ok(()),
        Err(error) => return Err(errors::path_refused(&error, file)),
    };
    match belongs_to(&place, group) {
        Ok(true) => place.remove().map(|_| ()).map_err(|e| errors::file_failed(&e, What::Log(0))),
        Ok(false) => Err(errors::log_foreign(file, group_name)),
        Err(FileError::NotFound { .. }) => Ok(()),
        Err(FileError::NotARegularFile { .. }) => Err(errors::log_foreign(file, group_name)),
        Err(error) => Err(errors::file_failed(&error, What::Log(0))),
    }
}

/// Gives the log of a group another size. Growing reserves the new space first; a shorter log gives the rest back.
///
/// # Errors
/// When it is not there, is not that log, or there is no room; it then has the old size.
pub fn resize(
    roots: &StorageRoots,
    file: &str,
    group: Guid,
    group_name: &str,
    size: u64,
) -> Result<(), ErrorDetail> {
    let place = volume::resolve(roots, file)?;
    match belongs_to(&place, group) {
        Ok(true) => {}
        Ok(false) => return Err(errors::log_foreign(file, group_name)),
        Err(FileError::NotFound { .. }) => return Err(errors::log_missing(file, group_name)),
        Err(error) => return Err(errors::file_failed(&error, What::Log(size))),
    }
    let log = place.open_read_write().map_err(|e| errors::file_failed(&e, What::Log(size)))?;
    let io = |operation, errno| system(&place, operation, errno, size);
    let before = log.metadata().map_err(|e| io(FileOperation::Inspect, errno_of(&e)))?.len();
    if size > before
        && let Err(errno) = grow(&log, before, size)
    {
        // Not all of it could be had: what was had goes back, and the old log is as it was.
        let _ = log.set_len(before);
        return Err(io(FileOperation::Allocate, errno));
    }
    log.set_len(size).and_then(|()| log.sync_all()).map_err(|e| io(FileOperation::Sync, errno_of(&e)))
}

fn grow(log: &File, before: u64, size: u64) -> Result<(), Errno> {
    loop {
        match rustix::fs::fallocate(log, FallocateFlags::KEEP_SIZE, before, size - before) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

fn mark(group: Guid) -> String {
    format!("{MARK}{group}\n")
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn system(place: &ResolvedPath, operation: FileOperation, errno: Errno, size: u64) -> ErrorDetail {
    let path = place.display().to_owned();
    let error = match errno {
        Errno::NOSPC | Errno::DQUOT => FileError::NoSpace { path, operation },
        Errno::OPNOTSUPP => FileError::AllocationUnsupported { path },
        Errno::ACCESS | Errno::PERM => FileError::PermissionDenied { path, operation },
        errno => FileError::System { path, operation, errno },
    };
    errors::file_failed(&error, What::Log(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::roots::RootConfig;

    struct Ground {
        directory: tempfile::TempDir,
        roots: StorageRoots,
    }

    fn ground() -> Ground {
        let directory = tempfile::tempdir().unwrap();
        let config = RootConfig { path: directory.path().to_owned(), windows_prefixes: Vec::new() };
        Ground { roots: StorageRoots::open(vec![config]).unwrap(), directory }
    }

    impl Ground {
        fn path(&self, name: &str) -> String {
            self.directory.path().join(name).to_str().unwrap().to_owned()
        }

        fn make(&self, name: &str, group: Guid, size: u64) -> Result<String, ErrorDetail> {
            let file = file_for(&self.roots, &self.path(name), group)?;
            let place = volume::resolve(&self.roots, &file)?;
            let temp = place.temp_sibling("J1").unwrap();
            reserve(&place, &temp, group, size)?;
            publish(&place, &temp, group, size)?;
            // As after a crash between the new name and the note of it.
            publish(&place, &temp, group, size)?;
            Ok(file)
        }
    }

    #[test]
    fn what_is_needed_grows_with_the_volumes() {
        assert_eq!(needed([]), 1 << 20);
        assert_eq!(needed([1]), (1 << 20) + 8192);
        assert_eq!(needed([1 << 40]), (1 << 20) + 2 * (1 << 21));
        assert_eq!(size("g", None, needed([1])).unwrap(), 64 << 20);
        assert_eq!(size("g", Some((1 << 20) + 8193), needed([1])).unwrap(), (1 << 20) + 12288);
        assert_eq!(size("g", Some(1 << 20), needed([1])).unwrap_err().message_id, "CWREPL1021");
        assert_eq!(size("g", Some(u64::MAX), 1).unwrap_err().message_id, "CWREPL1105");
    }

    #[test]
    fn a_log_is_reserved_marked_resized_and_removed() {
        let ground = ground();
        let group = Guid::generate();
        let file = ground.make("log", group, 1 << 20).unwrap();
        assert_eq!(file, ground.path("log"));
        let blocks = || std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&file).unwrap()) * 512;
        assert!(blocks() >= 1 << 20, "only {} bytes are reserved", blocks());
        resize(&ground.roots, &file, group, "g", 2 << 20).unwrap();
        assert!(blocks() >= 2 << 20 && std::fs::metadata(&file).unwrap().len() == 2 << 20);
        resize(&ground.roots, &file, group, "g", 1 << 20).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().len(), 1 << 20);
        let stranger = remove(&ground.roots, &file, Guid::generate(), "other").unwrap_err();
        assert_eq!(stranger.message_id, "CWREPL1026");
        remove(&ground.roots, &file, group, "g").unwrap();
        assert!(!std::path::Path::new(&file).exists());
        remove(&ground.roots, &file, group, "g").unwrap();
        assert_eq!(resize(&ground.roots, &file, group, "g", 9).unwrap_err().message_id, "CWREPL1027");
    }

    #[test]
    fn a_directory_takes_a_log_of_the_servers_own_name() {
        let ground = ground();
        let group = Guid::generate();
        std::fs::create_dir(ground.path("logs")).unwrap();
        let file = ground.make("logs", group, 1 << 20).unwrap();
        assert_eq!(file, ground.path(&format!("logs/{group}.srlog")));
        // The root itself is a directory too.
        let root = ground.directory.path().to_str().unwrap();
        let file = file_for(&ground.roots, root, group).unwrap();
        assert_eq!(file, format!("{root}/{group}.srlog"));
    }

    #[test]
    fn a_file_that_is_there_is_never_replaced() {
        let ground = ground();
        std::fs::write(ground.path("mine"), "precious").unwrap();
        assert_eq!(ground.make("mine", Guid::generate(), 4096).unwrap_err().message_id, "CWREPL1020");
        let removed = remove(&ground.roots, &ground.path("mine"), Guid::generate(), "g").unwrap_err();
        assert_eq!(removed.message_id, "CWREPL1026");
        assert_eq!(std::fs::read_to_string(ground.path("mine")).unwrap(), "precious");
    }

    #[test]
    fn a_log_larger_than_the_file_system_is_refused() {
        let ground = ground();
        let failed = ground.make("huge", Guid::generate(), 1 << 60).unwrap_err();
        assert_eq!(failed.message_id, "CWREPL1022", "{failed:?}");
    }
}
