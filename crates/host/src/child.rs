//! Starts the program of a provider, with as little as it needs: a socket, a bare environment and no way to more privileges.

use crate::process::ProcessSettings;
use rustix::process::{Pid, Signal};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The longest piece of a line of output that goes to the log at once.
const LINE: u64 = 4096;

/// How many lines of a provider go to the log within [`SPAN`]. What is more is counted and left out.
const LINES: u32 = 100;

/// What the lines are counted over.
const SPAN: Duration = Duration::from_secs(1);

/// A program that was started. Dropping it ends it, and what it has started itself.
pub(crate) struct Started {
    /// First, so that the group is ended while its leader still is in it.
    pub(crate) group: Group,
    pub(crate) child: Child,
    pub(crate) stream: UnixStream,
    /// The last line it printed.
    pub(crate) last_words: Arc<Mutex<String>>,
}

/// The processes of a provider: the program and what it has started. Dropping it ends them all.
pub(crate) struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // None are left is the usual answer.
        if let Some(leader) = self.0 {
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Starts the program.
pub(crate) async fn start(settings: &ProcessSettings) -> io::Result<Started> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = command(settings, theirs.into());
    let (sender, spawned) = oneshot::channel();
    let runtime = Handle::current();
    // A thread of its own: what it gives up, it gives up for itself and the child only.
    std::thread::Builder::new().name("provider".to_owned()).spawn(move || {
        let _context = runtime.enter();
        // Ambient capabilities outlive a change of the user; a server that was given some keeps them to itself.
        let result = rustix::thread::set_no_new_privs(true)
            .and_then(|()| rustix::thread::clear_ambient_capability_set())
            .map_err(io::Error::from);
        let spawned = result.and_then(|()| command.spawn());
        // If nobody waits for it any more, it ends here with its group.
        let _ = sender.send(spawned.map(|child| (Group::of(&child), child)));
        // The command holds the other end of the socket; it goes with this closure, so that its closing is seen.
    })?;
    let (group, mut child) =
        spawned.await.map_err(|_| io::Error::other("the thread that starts providers ended early"))??;
    let last_words = Arc::new(Mutex::new(String::new()));
    let budget = Arc::new(Mutex::new(Budget::new(Instant::now())));
    let name = settings.name.clone();
    if let Some(output) = child.stdout.take() {
        tokio::spawn(log(name.clone(), output, Arc::clone(&budget), Arc::clone(&last_words)));
    }
    if let Some(output) = child.stderr.take() {
        tokio::spawn(log(name, output, budget, Arc::clone(&last_words)));
    }
    Ok(Started { group, child, stream: UnixStream::from_std(ours)?, last_words })
}

/// How a program ended, in words.
pub(crate) fn in_words(status: ExitStatus, last_words: &Mutex<String>) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown end".to_owned(),
    };
    let words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
    if words.is_empty() { how } else { format!("{how}; its last words: {words}") }
}

fn command(settings: &ProcessSettings, socket: OwnedFd) -> Command {
    let mut command = Command::new(&settings.program);
    command.args(&settings.args);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command.envs(settings.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir("/").kill_on_drop(true);
    // A group of its own, so that a Ctrl+C meant for the server does not reach it before the server has finished.
    command.process_group(0);
    command.stdin(Stdio::from(socket)).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some((uid, gid)) = settings.user {
        // Setting the user of a child also clears its supplementary groups.
        command.uid(uid).gid(gid);
    }
    command
}

/// What of its output goes to the log, so that a provider cannot fill the disk of the server with it.
struct Budget {
    since: Instant,
    lines: u32,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Told,
    /// Left out, and the first one that nothing has been said of yet.
    LeftOutFirst,
    LeftOut,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self { since: now, lines: 0, left_out: 0 }
    }

    /// Takes a line that was printed now.
    fn take(&mut self, now: Instant) -> Fate {
        if now.saturating_duration_since(self.since) >= SPAN {
            (self.since, self.lines) = (now, 0);
        }
        if self.lines < LINES {
            self.lines += 1;
            return Fate::Told;
        }
        self.left_out += 1;
        if self.left_out == 1 { Fate::LeftOutFirst } else { Fate::LeftOut }
    }

    /// How many lines were left out since this was asked last.
    fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

async fn log(
    name: String,
    output: impl AsyncRead + Unpin,
    budget: Arc<Mutex<Budget>>,
    last_words: Arc<Mutex<String>>,
) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut output).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !text.is_empty() {
            let fate = budget.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
            match fate {
                Fate::Told => tracing::info!(provider = name, "{text}"),
                Fate::LeftOutFirst => {
                    tokio::spawn(tell_left_out(name.clone(), Arc::clone(&budget)));
                }
                Fate::LeftOut => {}
            }
            *last_words.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
    }
}

/// Says how many lines were left out, once for all that are left out until then, also if nothing more is printed.
async fn tell_left_out(name: String, budget: Arc<Mutex<Budget>>) {
    tokio::time::sleep(SPAN).await;
    let left_out = budget.lock().unwrap_or_else(PoisonError::into_inner).take_left_out();
    tracing::warn!(provider = name, left_out, "left out {left_out} lines that the provider printed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_are_told_and_the_others_are_counted() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let soon = start + SPAN / 2;
        let told = |budget: &mut Budget, now| (0..250).filter(|_| budget.take(now) == Fate::Told).count();
        for _ in 0..LINES {
            assert_eq!(budget.take(soon), Fate::Told);
        }
        assert_eq!(budget.take(soon), Fate::LeftOutFirst, "it is what the count is told for");
        assert_eq!(budget.take(soon), Fate::LeftOut);
        assert_eq!(told(&mut budget, start + SPAN), 100, "the next second has its own");
        assert_eq!(budget.take_left_out(), 152, "counted on until it is told");
        assert_eq!(budget.take(start + SPAN), Fate::LeftOutFirst);
        assert_eq!(budget.take_left_out(), 1);
        // A clock that seems to go back gives nothing away and takes nothing.
        assert_eq!(told(&mut budget, start), 0);
        assert_eq!(budget.take_left_out(), 250);
        assert_eq!(told(&mut budget, start + SPAN * 9), 100);
    }
}
