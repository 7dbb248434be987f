//! Test bodies in a child of this program, in a small world of its own: what is mounted there vanishes with it, what is forbidden
//! there is allowed to everybody else.

use super::harness::{eventually, set_mode};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

const CHILD: &str = "CIMWRIGHT_TEST_CHILD";
const SCRATCH: &str = "CIMWRIGHT_TEST_SCRATCH";
const NOBODY: u32 = 65534;

/// What is different for the child.
#[derive(Clone, Copy)]
pub(crate) enum World {
    /// Mounts of its own, and the right to mount.
    Mounts,
    /// A user without any privileges.
    NoPrivileges,
    /// No file may get longer than so many bytes.
    SmallFiles(u64),
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that a machine does not allow a test; fails where that is not accepted.
pub(crate) fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("CIMWRIGHT_TEST_NO_SKIP").is_none(), "{test} cannot be run: {why}");
    eprintln!("skipped: {test}: {why}");
}

/// Runs `body` in a child of this program, with a directory that is removed afterwards. `test` is the name of the calling test,
/// with its module.
pub(crate) fn apart(world: World, test: &str, body: impl AsyncFnOnce(PathBuf)) {
    let mark = format!("the body of {test} has run");
    if std::env::var(CHILD).as_deref() == Ok(test) {
        let scratch = std::env::var(SCRATCH).expect("the parent names it");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(body(scratch.into()));
        println!("{mark}");
        return;
    }
    let scratch = tempfile::tempdir().expect("scratch directory");
    set_mode(scratch.path(), 0o755);
    let Some(mut command) = world.command(scratch.path()) else {
        return skip(test, "this machine does not allow such a child");
    };
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    let output = command.env(CHILD, test).env(SCRATCH, scratch.path()).output().expect("starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A child that found no test of this name would end well too.
    assert!(
        output.status.success() && out.contains(&mark),
        "{test} failed apart: {}\n{out}\n{err}",
        output.status
    );
}

impl World {
    /// The beginning of the child's command line; nothing when the machine does not allow it.
    fn command(self, scratch: &Path) -> Option<Command> {
        let place = scratch.to_str().expect("text");
        let words = self.words();
        let mut probe = Command::new(&words[0]);
        probe.args(&words[1..]);
        match self {
            Self::Mounts => probe.args(["mount", "-t", "tmpfs", "probe", place]),
            Self::NoPrivileges | Self::SmallFiles(_) => probe.arg("true"),
        };
        if !probe.output().is_ok_and(|output| output.status.success()) {
            return None;
        }
        let mut program = std::env::current_exe().expect("this program");
        if matches!(self, Self::NoPrivileges) && is_root() {
            chown(scratch, Some(NOBODY), Some(NOBODY)).expect("given away");
            // Another user may not be able to reach the place where this program lies.
            let copy = scratch.join("program");
            fs::hard_link(&program, &copy)
                .or_else(|_| fs::copy(&program, &copy).map(|_| ()))
                .expect("copied");
            program = copy;
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program);
        Some(command)
    }

    fn words(self) -> Vec<String> {
        let own: &[&str] = match self {
            Self::Mounts if is_root() => &["unshare", "--mount", "--propagation", "private"],
            Self::Mounts => &["unshare", "--mount", "--propagation", "private", "--user", "--map-root-user"],
            Self::NoPrivileges if is_root() => {
                &["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
            }
            Self::NoPrivileges => &["env"],
            Self::SmallFiles(bytes) => {
                return vec!["prlimit".into(), format!("--fsize={bytes}"), "--".into()];
            }
        };
        own.iter().map(|word| (*word).to_owned()).collect()
    }
}

/// Mounts something in a child with mounts of its own.
pub(crate) fn mount(args: &[&str]) {
    let output = Command::new("mount").args(args).output().expect("mount is installed");
    assert!(output.status.success(), "mount {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A directory under the scratch directory of a child.
pub(crate) fn directory(scratch: &Path, name: &str) -> PathBuf {
    let path = scratch.join(name);
    fs::create_dir_all(&path).expect("directory");
    path
}

/// Waits until only the files in a directory, which is a file system of its own, take space there: the kernel lets go of a removed
/// file a moment after the engine that wrote it has ended.
pub(crate) async fn settled(directory: &Path) {
    let taken = || -> u64 {
        let files = fs::read_dir(directory).expect("readable").flatten();
        files.map(|file| file.metadata().map_or(0, |metadata| metadata.blocks() * 512)).sum()
    };
    eventually(|| {
        let space = rustix::fs::statvfs(directory).expect("a file system");
        (space.f_blocks - space.f_bfree) * space.f_frsize == taken()
    })
    .await;
}
