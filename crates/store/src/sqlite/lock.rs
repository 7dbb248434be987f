//! One process per database: an advisory lock on a file beside it.
//!
//! SQLite itself would let a second server in, and both would then drive the same jobs and trust their own caches.

use super::error::failed;
use cimwright_jobs::StoreError;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a lock is waited for whose holder is dead. A process that dies while it starts another one leaves it a copy of the
/// locked file, until that other one runs its own program a moment later: milliseconds, or more on a busy machine.
const ORPHANED: Duration = Duration::from_secs(5);

/// How often is looked whether it is free.
const GLANCE: Duration = Duration::from_millis(5);

/// Held as long as it lives; the kernel lets go when the process dies, however it dies.
#[derive(Debug)]
pub(crate) struct StateLock {
    _file: File,
}

impl StateLock {
    /// Locks the database at `path` for this process.
    ///
    /// # Errors
    /// If another process (or another store of this one) has it.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
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
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(failed(context("locking"), e)),
            }
            // Only for the text and for how long to wait; a lock file that cannot be read is still locked.
            let holder = std::fs::read_to_string(&lock_path).unwrap_or_default();
            let holder = holder.trim();
            if is_dead(holder) && began.elapsed() < ORPHANED {
                std::thread::sleep(GLANCE);
                continue;
            }
            let holder =
                if holder.is_empty() { "another process".to_owned() } else { format!("process {holder}") };
            return Err(failed(
                format!(
                    "{} is in use by {holder}; stop that server, or give this one a state directory of its own",
                    path.display()
                ),
                io::Error::from(io::ErrorKind::ResourceBusy),
            ));
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|e| failed(context("writing"), e))?;
        Ok(Self { _file: file })
    }
}

/// Makes an empty database file that only this user can read, if there is none. SQLite gives the files it puts beside it the
/// same mode.
pub(crate) fn create_private(path: &Path) -> Result<(), StoreError> {
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

/// Whether a text is the id of a process that no longer runs.
fn is_dead(holder: &str) -> bool {
    if holder.parse::<u32>().is_err() {
        return false;
    }
    match std::fs::read_to_string(format!("/proc/{holder}/stat")) {
        // The state stands behind the name: a zombie, or dead.
        Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    #[test]
    fn only_a_process_that_has_ended_is_dead() {
        assert!(!is_dead(&std::process::id().to_string()));
        assert!(!is_dead("") && !is_dead("../self"));
        let mut child = Command::new("true").spawn().unwrap();
        let id = child.id().to_string();
        child.wait().unwrap();
        assert!(is_dead(&id));
    }

    #[test]
    fn a_lock_that_a_dead_process_left_to_another_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobs.sqlite");
        let mut ended = Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let file = OpenOptions::new().write(true).create_new(true).open(beside(&path)).unwrap();
        file.lock().unwrap();
        std::fs::write(beside(&path), format!("{}\n", ended.id())).unwrap();
        // This one inherits the locked file as its input and keeps it for a while.
        let mut heir =
            Command::new("sleep").arg("0.2").stdin(Stdio::from(OwnedFd::from(file))).spawn().unwrap();
        let lock = StateLock::take(&path);
        assert!(heir.wait().unwrap().success());
        lock.unwrap();
        let holder = std::fs::read_to_string(beside(&path)).unwrap();
        assert_eq!(holder.trim(), std::process::id().to_string());
    }
}
