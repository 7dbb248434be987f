//! `cimwright user`: who may use the server.

use crate::exit::{CliError, Exit, say};
use crate::state_directory::{self, StateArgs, read_password};
use cimwright_sdk::Role;
use cimwright_server::auth::Thumbprint;
use cimwright_server::auth::users::{Credentials, UsersError, UsersFile};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Manage the users of a server; takes effect on a running one.
#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user, or with --replace give an existing one a new role and new credentials.
    Add {
        /// Name the user logs in with.
        name: String,
        /// What the user may do.
        #[arg(long, value_enum)]
        role: RoleName,
        /// Read the password from standard input (one line); the only way, so that it is seen in no list of processes.
        #[arg(long, required_unless_present = "certificate")]
        password_stdin: bool,
        /// Certificate in PEM that the user shows over https; may be given several times. Which authorities are trusted is set with
        /// tls.client_ca in the configuration of the server.
        #[arg(long, value_name = "FILE")]
        certificate: Vec<PathBuf>,
        /// Also let the user log in with NTLM (WS-Management over HTTP). The hash that this needs is as good as the password for
        /// whoever can read the users file.
        #[arg(long, requires = "password_stdin")]
        ntlm: bool,
        /// Replace a user of that name.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        place: StateArgs,
    },
    /// Remove a user; requests of that user are refused from now on.
    Rm {
        /// Name of the user.
        name: String,
        #[command(flatten)]
        place: StateArgs,
    },
    /// List the users and their roles.
    Ls {
        #[command(flatten)]
        place: StateArgs,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// May look.
    Reader,
    /// May look, start operations and control its own jobs.
    Operator,
    /// May do everything.
    Administrator,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Reader => Self::Reader,
            RoleName::Operator => Self::Operator,
            RoleName::Administrator => Self::Administrator,
        }
    }
}

/// Carries out the command.
///
/// # Errors
/// With a text that says what is wrong and what to do.
pub(crate) fn run(args: UserArgs) -> Result<Exit, CliError> {
    change(args.command).map(|()| Exit::Ok)
}

fn change(command: UserCommand) -> Result<(), CliError> {
    match command {
        UserCommand::Add { name, role, password_stdin, certificate, ntlm, replace, place } => {
            let credentials = Credentials {
                password: password_stdin
                    .then(|| read_password("cimwright user add"))
                    .transpose()
                    .map_err(trouble)?,
                ntlm,
                certificates: certificate
                    .iter()
                    .map(|f| Thumbprint::of_file(f))
                    .collect::<Result<_, _>>()
                    .map_err(trouble)?,
            };
            state_directory::make(&place.state).map_err(trouble)?;
            UsersFile::in_state(&place.state)
                .add_with(&name, role.into(), &credentials, replace)
                .map_err(refused)?;
        }
        UserCommand::Rm { name, place } => {
            state_directory::existing(&place.state)?;
            UsersFile::in_state(&place.state).remove(&name).map_err(refused)?;
        }
        UserCommand::Ls { place } => {
            state_directory::existing(&place.state)?;
            for user in UsersFile::in_state(&place.state).list().map_err(refused)? {
                say(&format!("{}\t{}", user.name, user.role))?;
            }
        }
    }
    Ok(())
}

fn trouble(error: impl ToString) -> CliError {
    CliError::new(Exit::Trouble, error.to_string())
}

/// The users file's refusal: of what stands on the command line, of a name that is not there, or of the file itself.
fn refused(error: UsersError) -> CliError {
    match &error {
        UsersError::BadName(_) | UsersError::NoCredentials => CliError::usage(error.to_string()),
        UsersError::NoSuchUser(_) => CliError::new(Exit::NotFound, error.to_string())
            .advise("`cimwright user ls` shows the users of a state directory"),
        UsersError::Exists(name) => trouble(format!("there is a user {name} already"))
            .advise("add --replace to give that user a new role and new credentials"),
        _ => trouble(error),
    }
}
