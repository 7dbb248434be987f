//! A directory that goes away, and processes that end, however the chore ends.
//!
//! A chore may be interrupted at any moment, even with a signal that cannot be caught. So the cleaning is left to a small
//! shell that waits at the other end of a pipe: when the chore is gone, the pipe is at its end, and the shell ends the
//! processes it was told of and removes the directory.

use crate::failure::{Failure, Result};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Reads "+PID", "-PID", "mount DIRECTORY" and "keep", one a line; at the end of its input it cleans up. $1 is the directory.
const CLEANER: &str = r#"
trap '' INT TERM HUP
pids=' '
mount=
keep=
while read -r line; do
    case $line in
        +*) pids="$pids${line#+} " ;;
        -*) gone=${line#-}
            case $pids in *" $gone "*) pids="${pids%% $gone *} ${pids#* $gone }" ;; esac ;;
        mount\ *) mount=${line#mount } ;;
        keep) keep=yes ;;
    esac
done
for pid in $pids; do kill -TERM "$pid" 2>/dev/null; done
for pid in $pids; do
    tries=0
    while kill -0 "$pid" 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ]; then kill -KILL "$pid" 2>/dev/null; break; fi
        sleep 0.1
    done
done
[ -z "$mount" ] || umount "$mount"
[ -n "$keep" ] || rm -rf -- "$1"
"#;

/// A scratch directory with its cleaner.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: PathBuf,
    cleaner: Child,
    orders: Option<ChildStdin>,
}

impl Scratch {
    /// A new directory whose name begins with `prefix`, on a disk rather than in memory: `$TMPDIR`, else `/var/tmp`.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        let base = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let directory = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(&base)
            .map_err(Failure::io("make a directory in", &base))?
            .keep();
        let mut cleaner = Command::new("/bin/sh")
            .args(["-c", CLEANER, "cleaner"])
            .arg(&directory)
            .stdin(Stdio::piped())
            // Not in the foreground group: an interrupt from the keyboard must not reach it.
            .process_group(0)
            .spawn()
            .map_err(Failure::io("start", Path::new("/bin/sh")))?;
        let orders = cleaner.stdin.take();
        Ok(Self { directory, cleaner, orders })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// A new directory in it.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        std::fs::create_dir(&path).map_err(Failure::io("create", &path))?;
        Ok(path)
    }

    /// Sees to it that this process ends when the chore does.
    pub(crate) fn guard(&mut self, pid: u32) {
        self.order(&format!("+{pid}"));
    }

    /// This process has ended and been waited for: its number may belong to somebody else now.
    pub(crate) fn release(&mut self, pid: u32) {
        self.order(&format!("-{pid}"));
    }

    /// A file system is mounted on this directory and has to go with it.
    pub(crate) fn mounted(&mut self, directory: &Path) {
        self.order(&format!("mount {}", directory.display()));
    }

    /// Leaves the directory behind.
    pub(crate) fn keep(&mut self) {
        self.order("keep");
    }

    fn order(&mut self, text: &str) {
        if let Some(orders) = &mut self.orders {
            // Without its cleaner the chore still works; it only leaves something behind.
            let _ = writeln!(orders, "{text}");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.cleaner.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_and_the_processes_are_gone_afterwards() {
        let mut scratch = Scratch::new("cimwright-test-").expect("scratch");
        let directory = scratch.directory("inner").expect("inner");
        let mut sleeper = Command::new("sleep").arg("600").spawn().expect("sleep");
        let mut other = Command::new("sleep").arg("600").spawn().expect("sleep");
        for child in [&other, &sleeper] {
            scratch.guard(child.id());
        }
        scratch.release(other.id());
        // The cleaner waits until the processes are gone, so somebody has to reap them meanwhile.
        let reaper = std::thread::spawn(move || sleeper.wait());
        drop(scratch);
        assert!(!directory.exists());
        let status = reaper.join().expect("reaper").expect("wait");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
        assert!(other.try_wait().expect("wait").is_none(), "a released process is left alone");
        other.kill().expect("kill");
        other.wait().expect("wait");
    }

    #[test]
    fn a_kept_directory_stays() {
        let mut scratch = Scratch::new("cimwright-test-").expect("scratch");
        let directory = scratch.path().to_owned();
        scratch.keep();
        drop(scratch);
        assert!(directory.exists());
        std::fs::remove_dir_all(&directory).expect("remove");
    }
}
