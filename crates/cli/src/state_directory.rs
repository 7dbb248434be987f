//! The directory of the server's own files.

use crate::args::DEFAULT_STATE;
use crate::exit::{CliError, Exit};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Passwords are short; whatever is longer was piped by mistake.
const MAX_PASSWORD: u64 = 4096;

/// Which one is meant, in the commands that change it.
#[derive(Debug, clap::Args)]
pub(crate) struct StateArgs {
    /// State directory of the server.
    #[arg(long, value_name = "DIR", env = "CIMWRIGHT_STATE", default_value = DEFAULT_STATE)]
    pub(crate) state: PathBuf,
}

/// Makes the directory if it is not there. Passwords and the private key lie in it: nobody else looks in.
///
/// # Errors
/// With a text that says what to do.
pub(crate) fn make(path: &Path) -> Result<(), String> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| {
        format!("cannot make the state directory {}: {e}; choose another with --state DIR", path.display())
    })
}

/// Makes sure that the directory is there, for commands that look at what is in it or take something out.
///
/// # Errors
/// When it is not, with what to do.
pub(crate) fn existing(path: &Path) -> Result<(), CliError> {
    if path.is_dir() {
        return Ok(());
    }
    let advice =
        "name that of the server with --state DIR; `cimwright serve`, `user add` and `computer add` make one";
    Err(CliError::new(Exit::NotFound, format!("there is no state directory {}", path.display()))
        .advise(advice))
}

/// The first line of standard input. `command` is what was called, for the advice.
///
/// # Errors
/// With a text that says what to do.
pub(crate) fn read_password(command: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = io::stdin().take(MAX_PASSWORD).read_to_string(&mut text);
    read.map_err(|e| format!("cannot read the password from standard input: {e}"))?;
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(password.to_owned()),
        _ => Err(format!("standard input holds no password; try: echo SECRET | {command} …")),
    }
}
