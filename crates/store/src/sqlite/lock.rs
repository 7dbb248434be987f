//! One process per database: an advisory lock on a file beside it.
//!
//! SQLite itself would let a second server in, and both would then drive the same jobs and trust their own caches.

use super::error::failed;
use cimwright_jobs::StoreError;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Held as long as it lives; the kernel lets go when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct StateLock {
    _file: File,
}

impl StateLock {
    /// Locks the database at `path` for this process.
    ///
    /// # Errors
    /// If another process (or another store of this one) has it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let lock_path = beside(path);
        let context = |what: &str| format!("{what} {}", lock_path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|e| failed(context("opening the lock file"), e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the text; a lock file that cannot be read is still locked.
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("process {pid}"),
                };
                return Err(failed(
                    format!(
                        "{} is in use by {holder}; stop that server, or give this one a state directory of its own",
                        path.display()
                    ),
                    io::Error::from(io::ErrorKind::ResourceBusy),
                ));
            }
            Err(TryLockError::Error(e)) => return Err(failed(context("locking"), e)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|e| failed(context("writing"), e))?;
        Ok(Self { _file: file })
    }
}

/// Makes an empty database file that only this user can read, if there is none. SQLite gives the files it puts beside it the
/// same mode.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    let context = || format!("creating {}", path.display());
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all().map_err(|e| failed(context(), e))?;
            let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            // A file is there after a power cut only when its directory was written too.
            File::open(directory).and_then(|d| d.sync_all()).map_err(|e| failed(context(), e))
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(failed(context(), e)),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
