//! One running engine: started confined, watched, paused, ended, and never left behind.
//!
//! Every engine has a thread of its own. The thread gives up its rights, starts the engine (which inherits what is left)
//! and waits for it. It must live as long as the engine, because the kernel's parent-death signal, which kills the
//! engine when the server dies, belongs to the thread that started it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::output::{SharedCapture, capture};
use super::sandbox::{self, EnginePolicy, GATE_GO, GATE_READY, Grant};

const STDOUT_LIMIT: usize = 1 << 20;
const STDERR_LIMIT: usize = 64 << 10;
/// How long the programs before the engine may take. They need milliseconds; a machine in trouble gets more.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long the last output may take after the end; only a process that inherited the pipes could hold it up.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// How long a stop may take to be seen. A thread inside a disk write stops only after it.
const PAUSE_LIMIT: Duration = Duration::from_secs(10);
const PAUSE_POLL: Duration = Duration::from_millis(1);

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct EngineSpec {
    /// The arguments after the program.
    pub args: Vec<OsString>,
    /// The files the engine may open.
    pub grants: Vec<Grant>,
    /// The largest size in bytes that a file may get by its writes.
    pub max_file_bytes: Option<u64>,
    /// The longest processor time in seconds.
    pub cpu_seconds: Option<u64>,
    /// Its standard output carries progress lines, which are then taken out of the output.
    pub reports_progress: bool,
    /// It may listen and connect over TCP. Only replication needs that.
    pub network: bool,
}

/// Why an engine could not be started. It has then done nothing.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The engine is not installed at the configured place.
    #[error("{} is not a program on this machine", program.display())]
    ProgramMissing {
        /// The configured path.
        program: PathBuf,
    },
    /// A program of the base system that the confinement needs is missing.
    #[error("the program `{name}` of the base system is missing")]
    HelperMissing {
        /// The name of the program.
        name: &'static str,
    },
    /// The policy demands Landlock, and this kernel has none or it is switched off.
    #[error("this kernel does not offer Landlock, which the policy requires")]
    LandlockUnavailable,
    /// The kernel did not let the thread give up gaining privileges.
    #[error("this kernel does not offer no_new_privs")]
    NoNewPrivilegesUnavailable,
    /// The confinement could not be built.
    #[error("the engine cannot be confined")]
    Confinement {
        /// What went wrong.
        #[source]
        source: Box<landlock::RulesetError>,
    },
    /// The policy names another user, and the server may not change users.
    #[error("the server may not run an engine as user {uid}, group {gid}")]
    CannotChangeUser {
        /// The user of the policy.
        uid: u32,
        /// The group of the policy.
        gid: u32,
    },
    /// The system did not start a thread or process.
    #[error("no process can be started")]
    Start {
        /// What the system answered.
        #[source]
        source: std::io::Error,
    },
    /// The programs before the engine ended without letting it start.
    #[error("the confinement of the engine failed ({status}): {stderr}")]
    Gate {
        /// How they ended.
        status: EngineStatus,
        /// What they printed.
        stderr: String,
    },
    /// The programs before the engine did not come to an end in time.
    #[error("the confinement of the engine was not ready in time")]
    StartTimeout,
}

/// Why an engine is not paused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// It has ended already.
    #[error("the engine has ended")]
    Ended,
    /// It was told to stop but was not seen stopped within ten seconds. It will stop as soon as it can.
    #[error("the engine has not stopped yet")]
    NotConfirmed,
    /// The system refused.
    #[error("the engine cannot be signalled: {errno}")]
    System {
        /// What the system answered.
        errno: rustix::io::Errno,
    },
}

/// How an engine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineStatus {
    /// By itself, with this code.
    Exited(i32),
    /// Killed by this signal.
    Signaled(i32),
    /// The system did not tell.
    Unknown,
}

/// What is left of an engine that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineExit {
    /// How it ended.
    pub status: EngineStatus,
    /// The first mebibyte of its standard output, without progress lines.
    pub stdout: Vec<u8>,
    /// There was more.
    pub stdout_truncated: bool,
    /// The first 64 KiB of its standard error.
    pub stderr: String,
    /// There was more.
    pub stderr_truncated: bool,
}

/// A running engine. Dropping it kills the engine at once; its thread collects what is left. Only the engine itself is
/// meant: programs it starts in turn are not followed, and the engines used here start none.
#[derive(Debug)]
pub struct EngineProcess {
    handle: Handle,
    ended: watch::Receiver<Option<EngineStatus>>,
    progress: watch::Receiver<f64>,
    readers: [JoinHandle<()>; 2],
    stdout: SharedCapture,
    stderr: SharedCapture,
}

/// The process, killed when this goes away. The descriptor names the process itself, so no other one that later got the
/// same number can be hit.
#[derive(Debug)]
struct Handle {
    pid: i32,
    pidfd: OwnedFd,
}

struct Started {
    handle: Handle,
    stdin: std::process::ChildStdin,
    stdout: std::process::ChildStdout,
    stderr: std::process::ChildStderr,
}

impl EngineProcess {
    /// Starts an engine under a policy. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SpawnError`]; nothing is running then. Errors of the engine itself come from [`Self::wait`].
    pub async fn spawn(policy: &EnginePolicy, spec: EngineSpec) -> Result<Self, SpawnError> {
        let (started_sender, started) = oneshot::channel();
        let (ended_sender, mut ended) = watch::channel(None);
        let policy = policy.clone();
        let reports_progress = spec.reports_progress;
        std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || supervise(&policy, spec, started_sender, &ended_sender))
            .map_err(|source| SpawnError::Start { source })?;
        let Started { handle, stdin, stdout, stderr } = started.await.map_err(|_| SpawnError::Start {
            source: std::io::Error::other("the thread of the engine ended early"),
        })??;

        let failed = |source| SpawnError::Start { source };
        let stdin = ChildStdin::from_std(stdin).map_err(failed)?;
        let mut stdout = ChildStdout::from_std(stdout).map_err(failed)?;
        let mut stderr = ChildStderr::from_std(stderr).map_err(failed)?;
        match tokio::time::timeout(START_LIMIT, pass_gate(stdin, &mut stdout)).await {
            Err(_) => return Err(SpawnError::StartTimeout),
            Ok(true) => {}
            Ok(false) => {
                let status = end_of(&mut ended).await;
                let mut text = Vec::new();
                let reading = (&mut stderr).take(STDERR_LIMIT as u64).read_to_end(&mut text).await;
                if let Err(source) = reading {
                    return Err(failed(source));
                }
                let stderr = String::from_utf8_lossy(&text).trim_end().to_owned();
                return Err(SpawnError::Gate { status, stderr });
            }
        }

        let (progress_sender, progress) = watch::channel(0.0);
        let (kept_stdout, kept_stderr) = (SharedCapture::default(), SharedCapture::default());
        let reporting = reports_progress.then_some(progress_sender);
        let readers = [
            tokio::spawn(capture(stdout, STDOUT_LIMIT, kept_stdout.clone(), reporting)),
            tokio::spawn(capture(stderr, STDERR_LIMIT, kept_stderr.clone(), None)),
        ];
        Ok(Self { handle, ended, progress, readers, stdout: kept_stdout, stderr: kept_stderr })
    }

    /// The process number, for logs. Never signal it: use the methods.
    pub fn pid(&self) -> i32 {
        self.handle.pid
    }

    /// Another handle of the process, for the system calls that take one.
    ///
    /// # Errors
    /// What the system answers when no descriptor is free.
    pub fn pidfd(&self) -> std::io::Result<OwnedFd> {
        self.handle.pidfd.try_clone()
    }

    /// The percentage the engine last reported, from 0 to 100; it never goes back. The channel closes when the engine
    /// closes its output.
    pub fn progress(&self) -> watch::Receiver<f64> {
        self.progress.clone()
    }

    /// Whether the engine has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Stops the engine where it is, and returns when every thread of it stands still.
    ///
    /// # Errors
    /// [`SignalError::Ended`]; [`SignalError::NotConfirmed`] when it did not stand still within ten seconds.
    pub async fn pause(&self) -> Result<(), SignalError> {
        self.handle.send(Signal::STOP)?;
        let confirmed = async {
            loop {
                match all_threads_stopped(self.handle.pid) {
                    Some(true) => return Ok(()),
                    _ if self.has_ended() => return Err(SignalError::Ended),
                    _ => tokio::time::sleep(PAUSE_POLL).await,
                }
            }
        };
        tokio::time::timeout(PAUSE_LIMIT, confirmed).await.unwrap_or(Err(SignalError::NotConfirmed))
    }

    /// Lets a paused engine go on. Does nothing to one that runs.
    ///
    /// # Errors
    /// [`SignalError::Ended`], [`SignalError::System`].
    pub fn resume(&self) -> Result<(), SignalError> {
        self.handle.send(Signal::CONT)
    }

    /// Asks the engine to end. A paused one ends too, without going on first.
    ///
    /// # Errors
    /// [`SignalError::Ended`], [`SignalError::System`].
    pub fn terminate(&self) -> Result<(), SignalError> {
        // In this order the first thing a paused engine sees when it wakes is the request to end.
        self.handle.send(Signal::TERM)?;
        self.handle.send(Signal::CONT)
    }

    /// Ends the engine at once.
    ///
    /// # Errors
    /// [`SignalError::Ended`], [`SignalError::System`].
    pub fn kill(&self) -> Result<(), SignalError> {
        self.handle.send(Signal::KILL)
    }

    /// Waits for the end. May be called again, or given up and called later.
    pub async fn wait(&mut self) -> EngineExit {
        let status = end_of(&mut self.ended).await;
        let drained = async {
            for reader in &mut self.readers {
                if !reader.is_finished() {
                    // A reader that panicked has nothing more to say.
                    let _ = reader.await;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_LIMIT, drained).await;
        let take =
            |shared: &SharedCapture| shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let (stdout, stderr) = (take(&self.stdout), take(&self.stderr));
        EngineExit {
            status,
            stdout: stdout.bytes,
            stdout_truncated: stdout.truncated,
            stderr: String::from_utf8_lossy(&stderr.bytes).into_owned(),
            stderr_truncated: stderr.truncated,
        }
    }
}

impl Handle {
    fn send(&self, signal: Signal) -> Result<(), SignalError> {
        pidfd_send_signal(&self.pidfd, signal).map_err(|errno| match errno {
            rustix::io::Errno::SRCH => SignalError::Ended,
            errno => SignalError::System { errno },
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The only failure is that it has ended.
        let _ = self.send(Signal::KILL);
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        for reader in &self.readers {
            reader.abort();
        }
    }
}

/// The life of the engine's thread.
fn supervise(
    policy: &EnginePolicy,
    spec: EngineSpec,
    started: oneshot::Sender<Result<Started, SpawnError>>,
    ended: &watch::Sender<Option<EngineStatus>>,
) {
    let (mut child, parts) = match start(policy, spec) {
        Ok(both) => both,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    // If nobody waits any more, the parts come back and are dropped here, which kills the child.
    drop(started.send(Ok(parts)));
    let status = child.wait().map_or(EngineStatus::Unknown, EngineStatus::from);
    ended.send_replace(Some(status));
}

/// The granted files are closed again when this returns; the kernel's rules do not need them open.
fn start(policy: &EnginePolicy, spec: EngineSpec) -> Result<(Child, Started), SpawnError> {
    let mut command = sandbox::command(policy, &spec)?;
    sandbox::restrict_this_thread(policy, &spec)?;
    drop(spec);
    let mut child = command.spawn().map_err(|source| SpawnError::Start { source })?;
    let pid = i32::try_from(child.id()).unwrap_or_default();
    let opened = Pid::from_raw(pid)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    match (opened, pipes) {
        (Ok(pidfd), (Some(stdin), Some(stdout), Some(stderr))) => {
            Ok((child, Started { handle: Handle { pid, pidfd }, stdin, stdout, stderr }))
        }
        (opened, _) => {
            // It is our own child and not yet waited for, so killing it by number is safe here.
            let _ = child.kill();
            let _ = child.wait();
            let source = opened.err().unwrap_or(rustix::io::Errno::BADF).into();
            Err(SpawnError::Start { source })
        }
    }
}

/// Waits until everything before the engine is done, then lets the engine start.
async fn pass_gate(mut stdin: ChildStdin, stdout: &mut ChildStdout) -> bool {
    let mut line = [0; GATE_READY.len()];
    stdout.read_exact(&mut line).await.is_ok() && line == GATE_READY && stdin.write_all(GATE_GO).await.is_ok()
}

async fn end_of(ended: &mut watch::Receiver<Option<EngineStatus>>) -> EngineStatus {
    match ended.wait_for(Option::is_some).await {
        Ok(status) => status.unwrap_or(EngineStatus::Unknown),
        Err(_) => EngineStatus::Unknown,
    }
}

/// Whether every thread of the process stands still; nothing when it cannot be seen.
fn all_threads_stopped(pid: i32) -> Option<bool> {
    let mut any = false;
    for entry in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        // The name in parentheses may contain anything, so the state is what follows the last parenthesis.
        let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
        if !matches!(state, 'T' | 't') {
            return Some(false);
        }
        any = true;
    }
    Some(any)
}

impl From<ExitStatus> for EngineStatus {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => Self::Signaled(signal),
            (None, None) => Self::Unknown,
        }
    }
}

impl std::fmt::Display for EngineStatus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(formatter, "exit code {code}"),
            Self::Signaled(signal) => write!(formatter, "signal {signal}"),
            Self::Unknown => formatter.write_str("unknown end"),
        }
    }
}

#[cfg(test)]
mod tests;
