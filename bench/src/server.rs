//! The built server as a child process.

use crate::failure::{Failure, Result};
use crate::ports::{self, Addresses};
use crate::proc::{self, Memory};
use cimwright_client::{Address, Endpoint};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// The user whose password the load generator knows.
pub const USER: &str = "drill";

/// Where a server listens unless it is to be found again at the same place.
pub const ANY_PORT: &str = "127.0.0.1:0";

/// Its password. It protects nothing: the server listens on loopback, for as long as the drill lasts.
pub const PASSWORD: &str = "only for this drill";

/// How long a server may take until it listens, and until it has stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked whether it does.
const GLANCE: Duration = Duration::from_micros(500);

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub binary: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// The storage root, if it has one.
    pub root: Option<PathBuf>,
    /// Where it listens for HTTP; port 0 takes a free one.
    pub http: String,
    /// More arguments of `serve`.
    pub arguments: Vec<String>,
    /// Where its log goes.
    pub log: PathBuf,
    /// Whether the kernel kills it when this program dies, however it dies. Takes a program more, and so a moment more to start.
    pub guarded: bool,
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pid: u32,
    spawned: Instant,
    addresses: Addresses,
    log: PathBuf,
}

/// A server that was started and may not listen yet. Dropping it kills it.
#[derive(Debug)]
pub struct Starting {
    child: Child,
    pid: u32,
    spawned: Instant,
    ports: PathBuf,
    log: PathBuf,
}

impl Setup {
    /// Makes the user of the load generator an administrator. Works with and without a running server.
    ///
    /// # Errors
    /// When the program fails.
    pub async fn add_user(&self) -> Result<()> {
        self.tell(&["user", "add", USER, "--role", "administrator"]).await
    }

    /// Tells the server how to reach another one, as that user there. Works with and without a running server.
    ///
    /// # Errors
    /// When the program fails.
    pub async fn add_computer(&self, name: &str, url: &str) -> Result<()> {
        self.tell(&["computer", "add", name, "--url", url, "--user", USER]).await
    }

    /// Runs the program on the state directory, with the password on its standard input.
    async fn tell(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(words).args(["--password-stdin", "--state"]).arg(&self.state);
        let line = format!("cimwright {} {}", words[0], words[1]);
        let failed = |said: String| Failure::Program { line: line.clone(), said };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        if let Some(mut input) = child.stdin.take() {
            // A child that ends without reading has a better reason to give than the broken pipe.
            let _ = input.write_all(format!("{PASSWORD}\n").as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(|e| failed(e.to_string()))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }

    /// Starts the server.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(&self) -> Result<Starting> {
        let ports = self.state.with_extension("ports");
        match std::fs::remove_file(&ports) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", &ports)(e));
            }
            _ => {}
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(Failure::io("write", &self.log))?;
        let errors = log.try_clone().map_err(Failure::io("write", &self.log))?;
        let mut command = match self.guarded {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL", "--"]).arg(&self.binary);
                command
            }
            false => Command::new(&self.binary),
        };
        command
            .args(["serve", "--http", &self.http, "--https", "none", "--demo-provider", "--state"])
            .arg(&self.state)
            .args(&self.arguments)
            .arg("--port-file")
            .arg(&ports);
        if let Some(root) = &self.root {
            command.arg("--storage-root").arg(root);
        }
        let spawned = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // An interrupt from the keyboard ends whoever holds this, and that ends the server.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| Failure::Program { line: self.binary.display().to_string(), said: e.to_string() })?;
        let pid = child.id().unwrap_or_default();
        Ok(Starting { child, pid, spawned, ports, log: self.log.clone() })
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Errors
    /// When it does not come so far.
    pub async fn start(&self) -> Result<Server> {
        self.spawn()?.listening().await
    }
}

impl Starting {
    /// Waits until the server listens.
    ///
    /// # Errors
    /// When it ends before, or takes too long.
    pub async fn listening(mut self) -> Result<Server> {
        let failed = |what: String, log: &Path| Failure::Server { what, log: tail(log, 20) };
        loop {
            let found = std::fs::read_to_string(&self.ports).ok().and_then(|text| ports::parse(&text));
            if let Some(addresses) = found {
                let Self { child, pid, spawned, log, .. } = self;
                return Ok(Server { child, pid, spawned, addresses, log });
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(failed(format!("ended while it was starting ({status})"), &self.log));
            }
            if self.spawned.elapsed() > PATIENCE {
                return Err(failed(format!("does not listen after {} s", PATIENCE.as_secs()), &self.log));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Kills it before it may be ready. Returns whether it had ended by itself, which it should not.
    ///
    /// # Errors
    /// When the process is lost.
    pub async fn kill(mut self) -> Result<bool> {
        kill(&mut self.child).await
    }
}

impl Server {
    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// When it was started.
    pub fn spawned(&self) -> Instant {
        self.spawned
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its memory now.
    pub fn memory(&self) -> Memory {
        proc::memory(self.pid).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it with SIGKILL. Returns whether it had ended by itself, which it should not.
    ///
    /// # Errors
    /// When the process is lost.
    pub async fn kill(mut self) -> Result<bool> {
        kill(&mut self.child).await
    }

    /// Stops its work without ending it (SIGSTOP), or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // A server that has ended is noticed by whoever asks it next.
            let _ = kill_process(pid, if frozen { Signal::STOP } else { Signal::CONT });
        }
    }

    /// Stops it in order with SIGTERM.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself, which the exit status tells.
            let _ = kill_process(pid, Signal::TERM);
        }
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.map_err(Failure::io("wait for", Path::new("the server"))),
            Err(_) => Err(Failure::Server {
                what: format!("did not stop within {} s", PATIENCE.as_secs()),
                log: tail(&self.log, 20),
            }),
        }
    }
}

/// The endpoint of a client with name and password.
pub fn over_http(addresses: &Addresses) -> Endpoint {
    let address = Address::Tcp {
        host: addresses.http.ip().to_string(),
        port: addresses.http.port(),
        tls: false,
        path: "/cimom".to_owned(),
    };
    Endpoint::new(address).with_credentials(USER, PASSWORD)
}

/// The endpoint of a client that is known by its uid.
pub fn over_unix(addresses: &Addresses) -> Endpoint {
    Endpoint::new(Address::Unix(addresses.unix.clone()))
}

/// The last lines of a file.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

async fn kill(child: &mut Child) -> Result<bool> {
    let lost = || Failure::io("wait for", Path::new("the server"));
    if child.try_wait().map_err(lost())?.is_some() {
        return Ok(true);
    }
    // It may end between the two lines.
    let _ = child.start_kill();
    let status = child.wait().await.map_err(lost())?;
    Ok(std::os::unix::process::ExitStatusExt::signal(&status) != Some(9))
}
