//! What `/proc` tells about processes.

use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::Duration;

/// The memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What is resident now, in bytes.
    pub resident: u64,
    /// The most that ever was, in bytes.
    pub peak: u64,
}

/// A disk engine that was seen running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Its process id.
    pub pid: u32,
    /// When it was started, in ticks since the machine was; tells it from a later process with the same id.
    pub started: u64,
}

/// The memory of a process; `None` when there is no such process.
pub fn memory(pid: u32) -> Option<Memory> {
    parse_memory(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// How much processor time a process has used, with a resolution of 10 ms; `None` when there is no such process.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let fields = stat(pid)?;
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // USER_HZ is 100 on every Linux that has /proc.
    Some(Duration::from_millis(ticks * 10))
}

/// The qemu-img processes whose arguments name something below `root`.
pub fn engines(root: &Path) -> Vec<Engine> {
    let Some(root) = root.to_str() else { return Vec::new() };
    processes(|line| is_program(line, "qemu-img", root))
}

/// The qemu-storage-daemon processes whose arguments name something below `state`: those of the server with that state directory.
pub fn daemons(state: &Path) -> Vec<Engine> {
    let Some(state) = state.to_str() else { return Vec::new() };
    processes(|line| is_program(line, "qemu-storage-daemon", state))
}

/// Kills an engine that was seen with SIGKILL; FALSE when it is not there any more.
pub fn kill(engine: Engine) -> bool {
    signal(engine, Signal::KILL)
}

/// Keeps an engine that was seen from doing anything (SIGSTOP), or lets it go on; FALSE when it is not there any more.
pub fn freeze(engine: Engine, frozen: bool) -> bool {
    signal(engine, if frozen { Signal::STOP } else { Signal::CONT })
}

/// Whether an engine that was seen is still there.
pub fn is_alive(engine: Engine) -> bool {
    // A zombie has ended; somebody only has to notice.
    start_time(engine.pid) == Some(engine.started)
        && stat(engine.pid)
            .is_some_and(|fields| fields.first().is_some_and(|state| state != "Z" && state != "X"))
}

fn signal(engine: Engine, signal: Signal) -> bool {
    let pid = i32::try_from(engine.pid).ok().and_then(Pid::from_raw);
    is_alive(engine) && pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

fn start_time(pid: u32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

/// The fields behind the name, which may hold spaces itself: the first is the state.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// The processes with a command line of this kind.
fn processes(wanted: impl Fn(&[u8]) -> bool) -> Vec<Engine> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| wanted(&line)))
        .filter_map(|pid| Some(Engine { pid, started: start_time(pid)? }))
        .collect()
}

/// A helper that is about to become the program counts too.
fn is_program(command_line: &[u8], program: &str, place: &str) -> bool {
    let words: Vec<_> = command_line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    words.iter().any(|word| word.ends_with(program)) && words.iter().any(|word| word.contains(place))
}

fn parse_memory(status: &str) -> Option<Memory> {
    let bytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
    };
    Some(Memory { resident: bytes("VmRSS")?, peak: bytes("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_can_be_read() {
        let memory = memory(std::process::id()).expect("own memory");
        assert!(memory.peak >= memory.resident && memory.resident > 0);
        assert!(cpu_time(std::process::id()).is_some());
        let own =
            Engine { pid: std::process::id(), started: start_time(std::process::id()).expect("own start") };
        assert!(is_alive(own));
        assert!(!is_alive(Engine { started: own.started + 1, ..own }));
    }

    #[test]
    fn an_engine_is_known_by_its_name_and_its_files() {
        assert!(is_program(b"/usr/bin/qemu-img\0convert\0/r/a\0", "qemu-img", "/r"));
        assert!(is_program(b"sh\0-c\0x\0/usr/bin/qemu-img\0/r/a\0", "qemu-img", "/r"));
        assert!(!is_program(b"/usr/bin/qemu-img\0convert\0/other\0", "qemu-img", "/r"));
        assert!(!is_program(b"cimwright\0serve\0--storage-root\0/r\0", "qemu-img", "/r"));
    }

    #[test]
    fn kilobytes_are_read_as_bytes() {
        let memory = parse_memory("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n");
        assert_eq!(memory, Some(Memory { resident: 1 << 20, peak: 2 << 20 }));
        assert_eq!(parse_memory("Name:\tkthread\n"), None);
    }
}
