//! The daemons of a test, found where the system lists processes, and disks that fail.

use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const DAEMON: &str = "qemu-storage-daemon";

/// A file that is really a program: a daemon that serves another file through a filter of its own, over FUSE.
pub(crate) struct Disk {
    server: Child,
    place: PathBuf,
}

impl Disk {
    /// Makes it. `options` describes the nodes `filter` and whatever that needs, above the node `data`.
    pub(crate) fn new(place: &Path, backing: &Path, data: &[u8], options: &str) -> Self {
        std::fs::File::create(backing).and_then(|mut f| f.write_all(data)).expect("written");
        std::fs::File::create(place).and_then(|f| f.set_len(data.len() as u64)).expect("a place");
        let own = std::fs::metadata(place).expect("it is there");
        let mut command = Command::new(DAEMON);
        command.arg("--blockdev").arg(format!("driver=file,node-name=data,filename={}", backing.display()));
        command.args(options.split_whitespace());
        let export = format!("type=fuse,id=disk,node-name=filter,writable=on,mountpoint={}", place.display());
        let server =
            command.args(["--export", &export]).stdin(Stdio::null()).spawn().expect("it is installed");
        let disk = Self { server, place: place.to_owned() };
        let limit = std::time::Instant::now() + crate::harness::PATIENCE;
        loop {
            let now = std::fs::metadata(place).expect("it is there");
            if std::os::unix::fs::MetadataExt::dev(&now) != std::os::unix::fs::MetadataExt::dev(&own) {
                return disk;
            }
            assert!(std::time::Instant::now() < limit, "the disk does not come: is there /dev/fuse?");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("umount").arg("--lazy").arg(&self.place).status();
    }
}

/// A filter in which this kind of access to the middle of the third MiB fails.
pub(crate) fn failing(kind: &str) -> String {
    let rule = format!("inject-error.0.event=none,inject-error.0.iotype={kind},inject-error.0.sector=5120");
    let more = "inject-error.0.errno=5,inject-error.0.once=off,inject-error.0.immediately=on";
    format!("--blockdev driver=blkdebug,node-name=filter,image=data,{rule},{more}")
}

/// A filter that takes so many bytes a second.
pub(crate) fn slow(rate: u64) -> String {
    let group = format!("--object throttle-group,id=slow,limits.bps-write={rate}");
    format!("{group} --blockdev driver=throttle,node-name=filter,throttle-group=slow,file=data")
}

/// The daemon that listens at a port of the loopback interface.
pub(crate) fn listener(port: u16) -> Pid {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of sockets");
    let wanted = format!("0100007F:{port:04X}");
    let line = table.lines().find(|l| l.contains(&wanted) && l.contains(" 0A ")).expect("a listener");
    let inode = line.split_whitespace().nth(9).expect("an inode").to_owned();
    let link = format!("socket:[{inode}]");
    let has = |pid: &Pid| {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).into_iter().flatten();
        let mut links = fds.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
        links.any(|found| found.as_os_str() == link.as_str())
    };
    all().into_iter().find(has).unwrap_or_else(|| panic!("nobody listens at {port}"))
}

/// The daemons of the computer with this storage root.
pub(crate) fn daemons(root: &Path) -> Vec<Pid> {
    let place = root.parent().and_then(Path::to_str).expect("text").to_owned() + "/";
    let of = |pid: &Pid| {
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(&place) && !line.contains("type=fuse")
    };
    all().into_iter().filter(of).collect()
}

/// Those of them that offer their volume to applications.
pub(crate) fn exporting(root: &Path) -> Vec<Pid> {
    let place = root.parent().expect("a place");
    let mut offered = std::fs::read_dir(place).into_iter().flatten().flatten();
    let offered = offered.any(|entry| entry.path().join("volume").exists());
    if offered { daemons(root) } else { Vec::new() }
}

pub(crate) fn signal(daemon: Pid, signal: Signal) {
    // It may have ended by itself.
    let _ = kill_process(daemon, signal);
}

/// The most files that a process may ever open.
pub(crate) fn open_files_limit(daemon: Pid) -> u64 {
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", daemon.as_raw_nonzero())).expect("it runs");
    let line = limits.lines().find(|l| l.starts_with("Max open files")).expect("the limit");
    line.split_whitespace().nth(4).and_then(|n| n.parse().ok()).expect("a number")
}

/// The number that the next file would get that a process opens.
pub(crate) fn open_files(daemon: Pid) -> u64 {
    let place = format!("/proc/{}/fd", daemon.as_raw_nonzero());
    (0..).find(|n: &u64| std::fs::symlink_metadata(format!("{place}/{n}")).is_err()).expect("there is an end")
}

/// All daemons of this machine.
fn all() -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let found = processes.filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
        // The system keeps fifteen characters of it.
        name.trim_end().starts_with(&DAEMON[..15]).then(|| Pid::from_raw(pid))?
    });
    found.collect()
}
