//! `cimwright completions`

use crate::exit::{CliError, Exit, say};
use clap_complete::Shell;

/// Print the completion script of a shell
///
/// For bash: cimwright completions bash > ~/.local/share/bash-completion/completions/cimwright
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub(crate) fn run(args: Args, mut command: clap::Command) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "cimwright", &mut script);
    say(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Ok)
}
