//! `cimwright`: the server and the tools that talk to it or to any other WBEM server. The only crate that knows all others.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod computer;
mod exit;
mod listeners;
mod output;
mod processes;
mod remote;
mod render;
mod schema;
mod serve;
mod session;
mod state_directory;
mod user;
mod values;
mod wiring;

use crate::exit::{CliError, Exit};
use cimwright_cim::Catalogue;
use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// Every message catalogue of the project, for `explain` and `why`.
static CATALOGUES: &[&Catalogue] = &[
    &cimwright_providers::disk::errors::CATALOGUE,
    &cimwright_providers::replication::errors::CATALOGUE,
    &cimwright_jobs::errors::CATALOGUE,
    &cimwright_broker::errors::CATALOGUE,
    &cimwright_providers::demo::CATALOGUE,
    &cimwright_host::errors::CATALOGUE,
    &cimwright_sdk::process::CATALOGUE,
];

/// Long-running operations as durable CIM jobs: start one, watch it, stop it, and ask why it failed.
#[derive(Parser)]
#[command(name = "cimwright", version, after_long_help = exit::HELP, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    User(user::UserArgs),
    Computer(computer::ComputerArgs),
    Jobs(commands::jobs::Args),
    Watch(commands::watch::Args),
    Why(commands::why::Args),
    Cancel(commands::cancel::Args),
    Suspend(commands::change::SuspendArgs),
    Resume(commands::change::ResumeArgs),
    Invoke(commands::invoke::Args),
    Ls(commands::ls::Args),
    Get(commands::get::Args),
    Replica(commands::replica::Args),
    Enum(commands::enumerate::Args),
    Assoc(commands::assoc::Args),
    Query(commands::query::Args),
    Class(commands::class::Args),
    Mof(commands::mof::Args),
    Explain(commands::explain::Args),
    Listen(commands::listen::Args),
    Completions(commands::completions::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(cli) => run(cli.command),
        Err(error) => Err(CliError::from_clap(error)),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => error.report(),
    }
}

fn run(command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::User(args) => user::run(args),
        Command::Computer(args) => computer::run(args),
        Command::Jobs(args) => commands::block_on(commands::jobs::run(args)),
        Command::Watch(args) => commands::block_on(commands::watch::run(args)),
        Command::Why(args) => commands::block_on(commands::why::run(args, CATALOGUES)),
        Command::Cancel(args) => commands::block_on(commands::cancel::run(args)),
        Command::Suspend(args) => commands::block_on(commands::change::suspend(args)),
        Command::Resume(args) => commands::block_on(commands::change::resume(args)),
        Command::Invoke(args) => commands::block_on(commands::invoke::run(args, CATALOGUES)),
        Command::Ls(args) => commands::block_on(commands::ls::run(args)),
        Command::Enum(args) => commands::block_on(commands::enumerate::run(args)),
        Command::Assoc(args) => commands::block_on(commands::assoc::run(args)),
        Command::Query(args) => commands::block_on(commands::query::run(args)),
        Command::Class(args) => commands::block_on(commands::class::run(args)),
        Command::Mof(args) => commands::mof::run(args),
        Command::Get(args) => commands::block_on(commands::get::run(args)),
        Command::Replica(args) => commands::block_on(commands::replica::run(args, CATALOGUES)),
        Command::Explain(args) => commands::explain::run(args, CATALOGUES),
        Command::Listen(args) => commands::block_on(commands::listen::run(args)),
        Command::Completions(args) => commands::completions::run(args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_has_help() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        let mut command = Cli::command();
        command.build();
        check(&command);
    }

    #[test]
    fn the_documentation_names_every_command_option_and_exit_code() {
        let document = include_str!("../../../docs/cli.md");
        let command = Cli::command();
        for sub in command.get_subcommands() {
            let heading = format!("## cimwright {}", sub.get_name());
            assert!(document.contains(&heading), "docs/cli.md has no \"{heading}\"");
            for level in std::iter::once(sub).chain(sub.get_subcommands()) {
                for option in level.get_arguments().filter_map(clap::Arg::get_long) {
                    assert!(
                        document.contains(&format!("--{option}")),
                        "docs/cli.md does not tell --{option}"
                    );
                }
            }
        }
        for code in 0..=6 {
            assert!(document.contains(&format!("| {code} |")), "docs/cli.md does not tell exit code {code}");
        }
    }

    #[test]
    fn the_same_options_lead_to_a_server_everywhere() {
        for command in [
            "jobs",
            "watch J",
            "why J",
            "cancel J",
            "suspend J",
            "resume J",
            "invoke X M",
            "get X",
            "replica ls",
            "replica watch",
            "replica suspend G",
            "replica resume G",
            "replica switch G",
            "replica rm G",
            "replica new G --source-volume a --source-log b --destination c --destination-volume d --destination-log e",
            "ls",
            "enum X",
            "assoc X",
            "query X",
            "class X",
        ] {
            let line = format!(
                "cimwright {command} --url http://a --user u --password-file p --namespace root/x --json"
            );
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_wrong_argument_is_a_usage_error() {
        let error = Cli::try_parse_from(["cimwright", "jobs", "--nope"]).err().map(CliError::from_clap);
        assert_eq!(error.map(|e| e.exit), Some(Exit::Usage));
    }
}
