//! A server of its own for a chore: scratch state, free loopback ports, users with known passwords.

use crate::failure::{Failure, Result};
use crate::process;
use crate::scratch::Scratch;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it listens, and until it has stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked whether it does.
const GLANCE: Duration = Duration::from_millis(10);

/// How the server is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build.
    Dev,
    /// Quick to run.
    Release,
}

/// Builds the binary and says where it is.
pub(crate) fn build(profile: Profile) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--quiet", "--package", "cimwright-cli"]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    process::show(&mut cargo)?;
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    Ok(process::target_directory().join(folder).join("cimwright"))
}

/// Where a server listens unless it is to be found again at the same place.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

/// What a server is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The program.
    pub(crate) binary: PathBuf,
    /// The state directory.
    pub(crate) state: PathBuf,
    /// The storage roots.
    pub(crate) roots: Vec<PathBuf>,
    /// A configuration file.
    pub(crate) config: Option<PathBuf>,
    /// More arguments of `serve`.
    pub(crate) arguments: Vec<String>,
    /// Where it listens for HTTP; port 0 takes a free one.
    pub(crate) http: String,
    /// Where its log goes.
    pub(crate) log: PathBuf,
    /// The largest file the server and its engine may write, in bytes.
    pub(crate) file_size_limit: Option<u64>,
}

impl Setup {
    /// Adds a user; works before the start and on a running server.
    pub(crate) fn add_user(&self, name: &str, role: &str, password: &str) -> Result<()> {
        self.tell(&["user", "add", name, "--role", role], password)
    }

    /// Tells the server how to reach another one, as this user there; works before the start and on a running server.
    pub(crate) fn add_computer(&self, name: &str, url: &str, user: &str, password: &str) -> Result<()> {
        self.tell(&["computer", "add", name, "--url", url, "--user", user], password)
    }

    /// Runs the program on the state directory, with a password on its standard input.
    fn tell(&self, words: &[&str], password: &str) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(words).args(["--password-stdin", "--state"]).arg(&self.state);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let line = process::line_of(&command);
        let failed =
            |how: &str, said: String| Failure::Program { line: line.clone(), how: how.to_owned(), said };
        let mut child = command.spawn().map_err(|e| failed("could not be started", e.to_string()))?;
        if let Some(mut input) = child.stdin.take() {
            // A child that ends without reading has a better reason to give than the broken pipe.
            let _ = writeln!(input, "{password}");
        }
        let output = child.wait_with_output().map_err(|e| failed("was lost", e.to_string()))?;
        if output.status.success() { Ok(()) } else { Err(failed("failed", process::spoken(&output))) }
    }

    /// Starts the server and waits until it listens.
    pub(crate) fn start(&self, scratch: &mut Scratch) -> Result<Server> {
        let ports = self.state.with_extension("ports");
        match std::fs::remove_file(&ports) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", &ports)(e));
            }
            _ => {}
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(Failure::io("write", &self.log))?;
        let errors = log.try_clone().map_err(Failure::io("write", &self.log))?;
        let mut command = self.command(&ports);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        // An interrupt from the keyboard ends the chore, and the cleaner then ends the server.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|e| Failure::Program {
            line: process::line_of(&command),
            how: "could not be started".to_owned(),
            said: e.to_string(),
        })?;
        scratch.guard(child.id());
        let mut server = Server { child, setup: self.clone(), addresses: Addresses::default() };
        match server.wait_until_listening(&ports) {
            Ok(addresses) => {
                server.addresses = addresses;
                Ok(server)
            }
            Err(failure) => {
                server.end(Signal::Kill, scratch)?;
                Err(failure)
            }
        }
    }

    fn command(&self, ports: &Path) -> Command {
        let mut command = match self.file_size_limit {
            None => Command::new(&self.binary),
            Some(limit) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--fsize={limit}")).arg(&self.binary);
                command
            }
        };
        command.args(["serve", "--http", &self.http, "--https", "127.0.0.1:0", "--demo-provider", "--state"]);
        command.arg(&self.state).arg("--port-file").arg(ports).args(&self.arguments);
        for root in &self.roots {
            command.arg("--storage-root").arg(root);
        }
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command
    }
}

/// Where a server listens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    /// `HOST:PORT` of HTTP.
    pub(crate) http: String,
    /// `HOST:PORT` of HTTPS.
    pub(crate) https: String,
}

/// How a server is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM: in order.
    Terminate,
    /// SIGKILL: at once.
    Kill,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    setup: Setup,
    addresses: Addresses,
}

impl Server {
    /// Where it listens.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server and says how it ended.
    pub(crate) fn end(mut self, signal: Signal, scratch: &mut Scratch) -> Result<ExitStatus> {
        let pid = self.child.id();
        if signal == Signal::Kill {
            // It may have ended by itself already, which is what was wanted.
            let _ = self.child.kill();
        } else {
            // The shell's own kill: a small system has no other.
            process::read(Command::new("/bin/sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid.to_string()]))?;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    scratch.release(pid);
                    return Ok(status);
                }
                Ok(None) if Instant::now() < deadline => std::thread::sleep(GLANCE),
                Ok(None) => {
                    return Err(self.failure(&format!("did not stop within {} s", PATIENCE.as_secs())));
                }
                Err(e) => return Err(Failure::Server(format!("the server was lost: {e}"))),
            }
        }
    }

    fn wait_until_listening(&mut self, ports: &Path) -> Result<Addresses> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(addresses) = std::fs::read_to_string(ports).ok().and_then(|t| parse_ports(&t)) {
                return Ok(addresses);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.failure(&format!("ended while it was starting ({status})")));
            }
            if Instant::now() > deadline {
                return Err(self.failure(&format!("does not listen after {} s", PATIENCE.as_secs())));
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// A failure that quotes the end of the log.
    fn failure(&self, what: &str) -> Failure {
        Failure::Server(format!("the server {what}; the end of its log:\n{}", tail(&self.setup.log, 20)))
    }
}

/// The last lines of a file.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The addresses, once the file is complete: the line of the unix socket is its last.
fn parse_ports(text: &str) -> Option<Addresses> {
    let value =
        |key: &str| text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned);
    let complete = text.ends_with('\n') && value("unix").is_some();
    complete.then_some(Addresses { http: value("http")?, https: value("https")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_port_file_is_not_taken() {
        let whole = "http=127.0.0.1:1\nhttps=127.0.0.1:2\nunix=/s\n";
        let addresses = parse_ports(whole).expect("complete");
        assert_eq!((addresses.http.as_str(), addresses.https.as_str()), ("127.0.0.1:1", "127.0.0.1:2"));
        for end in 0..whole.len() {
            assert!(parse_ports(&whole[..end]).is_none(), "{:?}", &whole[..end]);
        }
    }
}
