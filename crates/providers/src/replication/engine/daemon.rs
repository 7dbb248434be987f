//! One qemu-storage-daemon: started confined, greeted, watched, ended.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinHandle;

use super::failure::{About, Failure, ReplicationError, classify};
use super::qmp::{DaemonEvent, EventBook, Qmp, QmpError};
use crate::disk::engine::{
    EngineExit, EnginePolicy, EngineProcess, EngineSpec, EngineVersion, FileAccess, Grant,
};

/// The oldest daemon that will do: it is the first that can change the mode of a mirror.
pub const OLDEST_DAEMON: (u32, u32, u32) = (8, 2, 0);
/// How long a daemon may take to call back. It needs 20 to 30 ms.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a daemon may take to end when it is asked to. It closes its files, which may mean writing what is cached.
const QUIT_LIMIT: Duration = Duration::from_secs(10);
/// How long the end of the process is waited for when the connection has ended.
const DEATH_LIMIT: Duration = Duration::from_secs(2);
/// The kernel's limit on the name of a unix socket, in bytes, without the final zero.
const SOCKET_NAME_LIMIT: usize = 107;

/// What a daemon needs to be started.
#[derive(Debug, Clone)]
pub struct DaemonSpec {
    /// The directory in which it gets a private one of its own. Best a short path below `/run`.
    pub runtime_directory: PathBuf,
    /// Names the private directory: letters, digits, `-`, `_` and `.`, at most 40.
    pub name: String,
    /// The files it may open: its volume, and directories with certificates.
    pub grants: Vec<Grant>,
}

/// A running daemon. Dropping it kills the process; so does the death of this server.
#[derive(Debug)]
pub struct Daemon {
    qmp: Qmp,
    version: EngineVersion,
    directory: PathBuf,
    pid: i32,
    pidfd: OwnedFd,
    ended: watch::Receiver<Option<EngineExit>>,
    kill: Arc<Notify>,
    keeper: JoinHandle<()>,
}

impl Daemon {
    /// Starts a daemon and waits until it can be spoken to.
    ///
    /// # Errors
    /// [`ReplicationError::Spawn`], [`ReplicationError::TooOld`], [`ReplicationError::NotReady`],
    /// [`ReplicationError::RuntimeDirectory`]. Nothing is running then.
    pub async fn start(policy: &EnginePolicy, spec: DaemonSpec) -> Result<Self, ReplicationError> {
        let directory = private_directory(&spec)?;
        let unusable = |source| ReplicationError::RuntimeDirectory { path: directory.clone(), source };
        // The daemon calls us, so there is nothing to poll for; and once it has, the name is removed, so that nobody else
        // can ever give it orders.
        let socket = directory.join("qmp");
        let listener = UnixListener::bind(&socket).map_err(unusable)?;
        if let Some((uid, gid)) = policy.other_user()? {
            for path in [&directory, &socket] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(unusable)?;
            }
        }
        let mut grants = spec.grants;
        let opened = File::open(&directory).map_err(unusable)?;
        grants.push(Grant::new(opened, FileAccess::Sockets));
        let args = arguments(&socket);
        let mut process =
            EngineProcess::spawn(policy, EngineSpec { args, grants, network: true, ..EngineSpec::default() })
                .await?;

        let pid = process.pid();
        let called = async {
            loop {
                let (stream, _) = listener.accept().await?;
                if stream.peer_cred().is_ok_and(|peer| peer.pid() == Some(pid)) {
                    return Ok::<_, std::io::Error>(stream);
                }
            }
        };
        let stream = tokio::select! {
            called = tokio::time::timeout(START_LIMIT, called) => match called {
                Ok(stream) => stream.map_err(unusable)?,
                Err(_) => return Err(ReplicationError::NotReady { status: None, stderr: String::new() }),
            },
            exit = process.wait() => {
                return Err(ReplicationError::NotReady { status: Some(exit.status), stderr: exit.stderr });
            }
        };
        // A name that cannot be removed is useless anyway once the listener is gone.
        let _ = std::fs::remove_file(&socket);
        drop(listener);
        let greeted = tokio::time::timeout(START_LIMIT, Qmp::greet(stream)).await;
        let Ok(Ok((qmp, greeting))) = greeted else {
            return Err(ReplicationError::NotReady { status: None, stderr: String::new() });
        };
        let version = version(&greeting);
        if version.numbers < OLDEST_DAEMON {
            return Err(ReplicationError::TooOld { found: version, needed: oldest() });
        }

        let pidfd = process.pidfd().map_err(unusable)?;
        let (sender, ended) = watch::channel(None);
        let kill = Arc::new(Notify::new());
        let keeper = tokio::spawn(keep(process, kill.clone(), sender));
        Ok(Self { qmp, version, directory, pid, pidfd, ended, kill, keeper })
    }

    /// Asks an installed daemon for its version without using it: the test at the server's start.
    ///
    /// # Errors
    /// [`ReplicationError::Spawn`], [`ReplicationError::TooOld`]; [`ReplicationError::NotReady`] when it is no such daemon.
    pub async fn probe(policy: &EnginePolicy) -> Result<EngineVersion, ReplicationError> {
        let spec = EngineSpec { args: vec!["--version".into()], ..EngineSpec::default() };
        let exit = EngineProcess::spawn(policy, spec).await?.wait().await;
        let stdout = String::from_utf8_lossy(&exit.stdout);
        match printed_version(&stdout) {
            Some(version) if version.numbers < OLDEST_DAEMON => {
                Err(ReplicationError::TooOld { found: version, needed: oldest() })
            }
            Some(version) => Ok(version),
            None => Err(ReplicationError::NotReady { status: Some(exit.status), stderr: exit.stderr }),
        }
    }

    /// Its version.
    pub fn version(&self) -> &EngineVersion {
        &self.version
    }

    /// Its process number, for logs and measurements.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its private directory, in which its sockets lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All it reports from now on. Who reads too slowly misses some.
    pub fn events(&self) -> broadcast::Receiver<DaemonEvent> {
        self.qmp.events()
    }

    /// How it ended; nothing while it runs.
    pub fn ended(&self) -> watch::Receiver<Option<EngineExit>> {
        self.ended.clone()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) {
        self.kill.notify_one();
    }

    /// Asks it to end and waits for it; kills it when it does not.
    pub async fn quit(&self) -> EngineExit {
        let mut ended = self.ended.clone();
        // When it has ended already there is nobody to ask.
        let _ = tokio::time::timeout(QUIT_LIMIT, self.qmp.execute("quit", json!({}))).await;
        if tokio::time::timeout(QUIT_LIMIT, ended.wait_for(Option::is_some)).await.is_err() {
            self.kill();
        }
        match ended.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or_else(lost),
            Err(_) => lost(),
        }
    }

    /// What events have said.
    pub(super) fn book(&self) -> &Arc<EventBook> {
        self.qmp.book()
    }

    /// The process itself.
    pub(super) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// Executes a command; a refusal becomes a failure with the facts of `about`.
    pub(super) async fn execute(
        &self,
        command: &'static str,
        arguments: Value,
        about: About<'_>,
    ) -> Result<(), ReplicationError> {
        self.ask::<Value>(command, arguments, about).await.map(drop)
    }

    /// Executes a command and reads its answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        command: &'static str,
        arguments: Value,
        about: About<'_>,
    ) -> Result<T, ReplicationError> {
        match self.qmp.ask(command, arguments).await {
            Ok(answer) => Ok(answer),
            Err(QmpError::Refused(desc)) => Err(classify(&desc, about).into()),
            Err(QmpError::Closed) => Err(self.death().await.into()),
            Err(QmpError::TimedOut(limit)) => Err(ReplicationError::Timeout { what: command, limit }),
            Err(QmpError::Unreadable(desc)) => Err(ReplicationError::Protocol { command, desc }),
        }
    }

    /// How it died, once it does not answer any more.
    async fn death(&self) -> Failure {
        let mut ended = self.ended.clone();
        let exit = match tokio::time::timeout(DEATH_LIMIT, ended.wait_for(Option::is_some)).await {
            Ok(Ok(exit)) => exit.clone().unwrap_or_else(lost),
            _ => lost(),
        };
        Failure::DaemonDied { status: exit.status, stderr: exit.stderr }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The keeper owns the process, whose drop kills it.
        self.keeper.abort();
        // Leftovers are removed by the next daemon of that name too.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Owns the process until its end.
async fn keep(mut process: EngineProcess, kill: Arc<Notify>, ended: watch::Sender<Option<EngineExit>>) {
    loop {
        tokio::select! {
            exit = process.wait() => {
                ended.send_replace(Some(exit));
                return;
            }
            () = kill.notified() => {}
        }
        // The only failure is that it has ended.
        let _ = process.kill();
    }
}

/// The directory that only this daemon uses, empty.
fn private_directory(spec: &DaemonSpec) -> Result<PathBuf, ReplicationError> {
    let directory = spec.runtime_directory.join(&spec.name);
    let unusable =
        |source: std::io::Error| ReplicationError::RuntimeDirectory { path: directory.clone(), source };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let (name, longest) = (spec.name.as_bytes(), directory.as_os_str().len() + "/volume.shut".len());
    if name.is_empty() || name.len() > 40 || name[0] == b'.' || !name.iter().copied().all(plain) {
        return Err(unusable(std::io::ErrorKind::InvalidFilename.into()));
    }
    if longest > SOCKET_NAME_LIMIT {
        return Err(unusable(rustix::io::Errno::NAMETOOLONG.into()));
    }
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable(error)),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&directory).map_err(unusable)?;
    // The mask of the process may have taken more away.
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o700)).map_err(unusable)?;
    Ok(directory)
}

fn arguments(socket: &Path) -> Vec<OsString> {
    // In an option, a comma is written twice.
    let socket = socket.to_string_lossy().replace(',', ",,");
    let channel = format!("socket,id=qmp,path={socket}");
    ["--chardev", &channel, "--monitor", "chardev=qmp"].into_iter().map(OsString::from).collect()
}

fn version(greeting: &Value) -> EngineVersion {
    let number = |name: &str| {
        greeting["qemu"][name].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
    };
    let numbers = (number("major"), number("minor"), number("micro"));
    let package = greeting["package"].as_str().unwrap_or_default();
    let (major, minor, micro) = numbers;
    let text = format!("qemu-storage-daemon {major}.{minor}.{micro} {package}").trim_end().to_owned();
    EngineVersion { numbers, text }
}

fn printed_version(stdout: &str) -> Option<EngineVersion> {
    let text = stdout.lines().next()?;
    let number = text.strip_prefix("qemu-storage-daemon version ")?.split([' ', '(']).next()?;
    let mut parts = number.split('.').map(str::parse);
    let major = parts.next()?.ok()?;
    let mut rest = || parts.next().and_then(Result::ok).unwrap_or(0);
    Some(EngineVersion { numbers: (major, rest(), rest()), text: text.to_owned() })
}

fn oldest() -> EngineVersion {
    let (major, minor, micro) = OLDEST_DAEMON;
    EngineVersion { numbers: OLDEST_DAEMON, text: format!("qemu-storage-daemon {major}.{minor}.{micro}") }
}

/// For an end that nobody saw.
fn lost() -> EngineExit {
    EngineExit {
        status: crate::disk::engine::EngineStatus::Unknown,
        stdout: Vec::new(),
        stdout_truncated: false,
        stderr: String::new(),
        stderr_truncated: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_greeting_and_from_the_first_line() {
        let greeting = json!({ "qemu": { "micro": 22, "minor": 2, "major": 7 }, "package": "Debian 1:7.2" });
        let found = version(&greeting);
        assert!(found.numbers < OLDEST_DAEMON);
        assert_eq!(found.to_string(), "7.2.22");
        let printed = printed_version("qemu-storage-daemon version 8.2.0 (Debian)\nCopyright");
        assert_eq!(printed.map(|version| version.numbers), Some(OLDEST_DAEMON));
        assert_eq!(printed_version("qemu-img version 8.2.0"), None);
    }

    #[test]
    fn a_comma_in_the_path_is_no_end_of_an_option() {
        assert_eq!(arguments(Path::new("/run/a,b/qmp"))[1], "socket,id=qmp,path=/run/a,,b/qmp");
    }

    #[test]
    fn names_that_leave_the_directory_or_do_not_fit_are_refused() {
        let runtime = tempfile::tempdir().expect("a directory");
        let spec = |name: &str| DaemonSpec {
            runtime_directory: runtime.path().to_path_buf(),
            name: name.to_owned(),
            grants: Vec::new(),
        };
        for name in ["", ".", "..", "a/b", "a b", &"a".repeat(41)] {
            assert!(private_directory(&spec(name)).is_err(), "{name:?}");
        }
        let made = private_directory(&spec("volume-1.a_b")).expect("made");
        std::fs::write(made.join("leftover"), "").expect("written");
        private_directory(&spec("volume-1.a_b")).expect("made again");
        assert!(!made.join("leftover").exists());
        assert_eq!(std::fs::metadata(&made).expect("there").permissions().mode() & 0o777, 0o700);
    }
}
