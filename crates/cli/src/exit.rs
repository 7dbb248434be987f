//! How the program ends: documented exit codes, and errors that say what to do.

use crate::render::text::clean;
use cimwright_client::ClientError;
use std::io::Write;
use std::process::ExitCode;

/// The exit codes, for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  the job ended without success, the method answered that it failed, or the MOF has mistakes
  2  the command line is wrong
  3  the server cannot be reached, or does not let this user in
  4  the server refused the operation
  5  there is no such job, object, message, user or computer
  6  something else: a file cannot be read, or an answer cannot be understood";

/// How the program ends; the discriminant is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// The job ended without success, the method answered that it failed, or the MOF has mistakes.
    Unsuccessful = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The server cannot be reached or does not let this user in.
    NoServer = 3,
    /// The server refused the operation.
    Refused = 4,
    /// There is no such thing.
    NotFound = 5,
    /// Something else.
    Trouble = 6,
}

/// Why a command cannot go on.
#[derive(Debug)]
pub(crate) struct CliError {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What was wrong. Empty: nothing is to be said.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) advice: Option<String>,
}

impl CliError {
    /// An error without advice.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), advice: None }
    }

    /// A wrong command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The same error with what to do about it.
    #[must_use]
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// What clap has to say. Help and version are no errors.
    pub(crate) fn from_clap(error: clap::Error) -> Self {
        let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        // Nobody left to tell when this fails.
        let _ = error.print();
        Self::new(exit, "")
    }

    /// Tells the person and ends.
    pub(crate) fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            let mut text = format!("cimwright: {}\n", clean(&self.message));
            if let Some(advice) = &self.advice {
                text.push_str(&format!("  what to do: {}\n", clean(advice)));
            }
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
        self.exit.into()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Connect { .. }
            | ClientError::Tls { .. }
            | ClientError::Unauthorized { .. }
            | ClientError::Timeout { .. }
            | ClientError::Lost { .. } => Exit::NoServer,
            ClientError::Http { status: 403 | 503, .. } => Exit::NoServer,
            ClientError::Cim(_) if error.is_not_found() => Exit::NotFound,
            ClientError::Cim(_) | ClientError::Http { .. } => Exit::Refused,
            ClientError::Method { .. } => Exit::Unsuccessful,
            ClientError::TooLarge { .. } | ClientError::Malformed { .. } => Exit::Trouble,
        };
        let advice = match &error {
            ClientError::Unauthorized { user: None, endpoint, .. } if endpoint.starts_with("unix://") => {
                Some("the server's administrator adds your uid to auth.unix_peers in its configuration; or give a user and a password: --user NAME --password-file FILE".to_owned())
            }
            ClientError::Unauthorized { user: None, .. } => {
                Some("give a user and a password: --user NAME --password-file FILE".to_owned())
            }
            ClientError::Connect { advice, .. } if advice.contains("cimwright serve") => {
                Some("start the local server with `cimwright serve`, name its state directory with --state DIR, or another server with --url URL".to_owned())
            }
            ClientError::Tls { advice, .. } if advice.contains("certificate to trust") => {
                Some("name the certificate to trust with --ca FILE or, knowing the risk, accept any with --insecure".to_owned())
            }
            ClientError::Cim(e) if e.status == cimwright_cim::CimStatus::InvalidNamespace => {
                Some("name a namespace of this server with --namespace".to_owned())
            }
            other => other.advice(),
        };
        let mut message = error.to_string();
        // The reasons behind a refusal belong to it.
        if let ClientError::Cim(e) = &error {
            for detail in e.details.iter().flat_map(|d| d.chain()).filter(|d| d.message != e.description) {
                message.push_str(&format!("\n  because: {} [{}]", detail.message, detail.message_id));
            }
        }
        Self { exit, message, advice }
    }
}

/// Writes a result to standard output. A reader that has seen enough ends the program quietly.
pub(crate) fn say(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let written =
        out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    written.map_err(|e| match e.kind() {
        std::io::ErrorKind::BrokenPipe => CliError::new(Exit::Ok, ""),
        _ => CliError::new(Exit::Trouble, format!("cannot write to standard output: {e}")),
    })
}

/// Writes a remark to standard error, where it does not mix with results.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", clean(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::CimError;

    #[test]
    fn errors_end_with_the_documented_codes() {
        let exit = |e: ClientError| CliError::from(e).exit;
        assert_eq!(exit(ClientError::Cim(CimError::not_found("x"))), Exit::NotFound);
        assert_eq!(exit(ClientError::Cim(CimError::access_denied("x"))), Exit::Refused);
        let unknown = ClientError::Unauthorized { endpoint: "e".into(), user: None, challenge: None };
        let error = CliError::from(unknown);
        assert_eq!(error.exit, Exit::NoServer);
        assert!(error.advice.is_some_and(|a| a.contains("--password-file")));
        let unknown = ClientError::Unauthorized { endpoint: "unix:///s".into(), user: None, challenge: None };
        assert!(CliError::from(unknown).advice.is_some_and(|a| a.contains("auth.unix_peers")));
        for code in 0..=6 {
            assert!(HELP.contains(&format!("\n  {code}  ")), "{code} is not documented");
        }
    }
}
