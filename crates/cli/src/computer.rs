//! `cimwright computer`: tells a server how to reach the servers of other computers. The file is read by a running server.

use crate::args::is_loopback;
use crate::exit::{CliError, Exit, remark, say};
use crate::state_directory::{self, StateArgs, read_password};
use cimwright_client::{Address, Credentials, Endpoint};
use cimwright_sdk::remote::same_computer;
use cimwright_server::auth::users::write_private;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to try to connect to another computer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_NAME: usize = 255;

/// Manage the other computers that a server knows; takes effect on a running one.
#[derive(Debug, Args)]
pub(crate) struct ComputerArgs {
    #[command(subcommand)]
    command: ComputerCommand,
}

#[derive(Debug, Subcommand)]
enum ComputerCommand {
    /// Tell the server how to reach another computer.
    Add {
        /// Name of the other computer, as its own server has it (--computer-name there).
        name: String,
        /// Address of its server: https://HOST[:5989], http://HOST[:5988] or unix:///PATH.
        #[arg(long, value_name = "URL")]
        url: String,
        /// PEM file with the certificates to trust for https, instead of the system's.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// User to be there.
        #[arg(long, value_name = "NAME")]
        user: String,
        /// Read the password from standard input (one line); the only way, so that it is seen in no list of processes.
        #[arg(long, required = true)]
        password_stdin: bool,
        /// Replace a computer of that name.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        place: StateArgs,
    },
    /// Forget another computer.
    Rm {
        /// Name of the computer.
        name: String,
        #[command(flatten)]
        place: StateArgs,
    },
    /// List the other computers, their addresses and the users to be there.
    Ls {
        #[command(flatten)]
        place: StateArgs,
    },
}

/// How to reach another computer.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Computer {
    /// Its name.
    pub(crate) name: String,
    /// The address of its server.
    pub(crate) url: String,
    /// The certificates to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// Who to be there.
    pub(crate) user: String,
    /// The password of that user. The other side wants it as it is, so no hash would do.
    pub(crate) password: String,
}

/// The file of other computers in a state directory.
#[derive(Clone, Debug)]
pub(crate) struct ComputersFile {
    path: PathBuf,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default, rename = "computer")]
    computers: Vec<Computer>,
}

/// Carries out the command.
///
/// # Errors
/// With a text that says what is wrong and what to do.
pub(crate) fn run(args: ComputerArgs) -> Result<Exit, CliError> {
    change(args.command).map(|()| Exit::Ok)
}

fn change(command: ComputerCommand) -> Result<(), CliError> {
    let trouble = |text: String| CliError::new(Exit::Trouble, text);
    match command {
        ComputerCommand::Add { name, url, ca, user, password_stdin: _, replace, place } => {
            let password = read_password("cimwright computer add").map_err(trouble)?;
            let ca = ca.map(std::path::absolute).transpose().map_err(|e| trouble(e.to_string()))?;
            let computer = Computer { name, url, ca, user, password };
            computer.check().map_err(CliError::usage)?;
            if let Address::Tcp { host, tls: false, .. } =
                computer.endpoint().map_err(CliError::usage)?.address
                && !is_loopback(&host)
            {
                remark(&format!(
                    "warning: the password will travel to {host} unencrypted; https:// would protect it"
                ));
            }
            state_directory::make(&place.state).map_err(trouble)?;
            ComputersFile::in_state(&place.state).add(computer, replace).map_err(trouble)?;
        }
        ComputerCommand::Rm { name, place } => {
            state_directory::existing(&place.state)?;
            let file = ComputersFile::in_state(&place.state);
            if !file.list().map_err(trouble)?.iter().any(|c| same_computer(&c.name, &name)) {
                return Err(CliError::new(Exit::NotFound, format!("there is no computer {name}"))
                    .advise("`cimwright computer ls` shows the computers of a state directory"));
            }
            file.remove(&name).map_err(trouble)?;
        }
        ComputerCommand::Ls { place } => {
            state_directory::existing(&place.state)?;
            for computer in ComputersFile::in_state(&place.state).list().map_err(trouble)? {
                say(&format!("{}\t{}\t{}", computer.name, computer.url, computer.user))?;
            }
        }
    }
    Ok(())
}

impl Computer {
    /// Where its server is and who asks.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, String> {
        let mut endpoint = Endpoint::from_url(&self.url).map_err(|e| e.to_string())?;
        endpoint.tls.ca_file.clone_from(&self.ca);
        endpoint.credentials = Some(Credentials { user: self.user.clone(), password: self.password.clone() });
        endpoint.connect_timeout = CONNECT_TIMEOUT;
        Ok(endpoint)
    }

    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        if name.is_empty() || name.chars().count() > MAX_NAME {
            return Err("the name of a computer has 1 to 255 characters".to_owned());
        }
        if name.chars().any(|c| c.is_control() || c.is_whitespace() || "<>&\"\\/".contains(c)) {
            return Err(format!("{name:?} has characters that no computer name has"));
        }
        if self.user.is_empty() || self.user.contains(':') {
            return Err(format!("{name}: a user name is not empty and has no colon"));
        }
        if let Some(ca) = &self.ca
            && !ca.is_absolute()
        {
            return Err(format!("{name}: the path {} is not absolute", ca.display()));
        }
        self.endpoint().map(|_| ()).map_err(|e| format!("{name}: {e}"))
    }
}

impl ComputersFile {
    /// The file of a state directory, whether it exists or not.
    pub(crate) fn in_state(state: &Path) -> Self {
        Self { path: state.join("computers.toml") }
    }

    /// Adds a computer, or with `replace` gives one that is there another address.
    ///
    /// # Errors
    /// With a text that says what is wrong and what to do.
    pub(crate) fn add(&self, computer: Computer, replace: bool) -> Result<(), String> {
        computer.check()?;
        self.change(|computers| {
            match computers.iter_mut().find(|c| same_computer(&c.name, &computer.name)) {
                Some(known) if !replace => {
                    return Err(format!(
                        "there is a computer {} already; add --replace to change it",
                        known.name
                    ));
                }
                Some(known) => *known = computer,
                None => computers.push(computer),
            }
            Ok(())
        })
    }

    /// Forgets a computer.
    ///
    /// # Errors
    /// When there is none of that name, or the file cannot be written.
    pub(crate) fn remove(&self, name: &str) -> Result<(), String> {
        self.change(|computers| {
            let before = computers.len();
            computers.retain(|c| !same_computer(&c.name, name));
            if computers.len() == before { Err(format!("there is no computer {name}")) } else { Ok(()) }
        })
    }

    /// The computers in the order of the file; none when there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub(crate) fn list(&self) -> Result<Vec<Computer>, String> {
        let path = self.path.display();
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(format!("{path}: cannot read it: {e}")),
        };
        // What the parser says may quote the file, which holds passwords.
        let contents: Contents = toml::from_str(&text)
            .map_err(|e: toml::de::Error| format!("{path}: no list of computers: {}", e.message().trim()))?;
        contents.computers.iter().try_for_each(Computer::check).map_err(|e| format!("{path}: {e}"))?;
        Ok(contents.computers)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Computer>) -> Result<(), String>) -> Result<(), String> {
        let failed = |what: &str, e: io::Error| format!("{}: cannot {what}: {e}", self.path.display());
        let lock =
            private().open(self.path.with_extension("lock")).map_err(|e| failed("open its lock", e))?;
        lock.lock().map_err(|e| failed("lock it", e))?;
        let mut computers = self.list()?;
        change(&mut computers)?;
        let text = toml::to_string(&Contents { computers })
            .map_err(|e| format!("{}: cannot be written: {e}", self.path.display()))?;
        let text =
            format!("# Written by `cimwright computer`. Holds passwords: nobody else is to read it.\n{text}");
        write_private(&self.path, text.as_bytes()).map_err(|e| failed("write it", e))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn computer(name: &str) -> Computer {
        Computer {
            name: name.to_owned(),
            url: "https://10.0.0.1".to_owned(),
            ca: None,
            user: "ann".to_owned(),
            password: "hush".to_owned(),
        }
    }

    #[test]
    fn computers_come_and_go() {
        let state = tempfile::tempdir().unwrap();
        let file = ComputersFile::in_state(state.path());
        assert!(file.list().unwrap().is_empty());
        file.add(computer("beta"), false).unwrap();
        file.add(computer("gamma.example"), false).unwrap();
        assert!(file.add(computer("BETA.example"), false).unwrap_err().contains("--replace"));
        file.add(Computer { url: "http://b:1".to_owned(), ..computer("beta") }, true).unwrap();
        let names: Vec<_> = file.list().unwrap().into_iter().map(|c| (c.name, c.url)).collect();
        let wanted = [("beta", "http://b:1"), ("gamma.example", "https://10.0.0.1")];
        assert_eq!(names, wanted.map(|(n, u)| (n.to_owned(), u.to_owned())));
        let mode = std::fs::metadata(state.path().join("computers.toml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        file.remove("Gamma").unwrap();
        assert!(file.remove("Gamma").unwrap_err().contains("no computer"));
        assert_eq!(file.list().unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_a_computer_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let file = ComputersFile::in_state(state.path());
        let wrong = [
            computer(""),
            computer("a b"),
            Computer { url: "nowhere".to_owned(), ..computer("a") },
            Computer { user: "a:b".to_owned(), ..computer("a") },
            Computer { ca: Some("relative.pem".into()), ..computer("a") },
        ];
        for computer in wrong {
            assert!(file.add(computer, false).is_err());
        }
        assert!(file.list().unwrap().is_empty());
    }

    #[test]
    fn a_broken_file_is_told_without_its_secrets() {
        let state = tempfile::tempdir().unwrap();
        let file = ComputersFile::in_state(state.path());
        std::fs::write(
            state.path().join("computers.toml"),
            "[[computer]]\npassword = \"hush\"\nnonsense = 1\n",
        )
        .unwrap();
        let told = file.list().err().unwrap();
        assert!(told.contains("computers.toml") && !told.contains("hush"), "{told}");
        assert!(file.add(computer("a"), false).is_err());
    }
}
