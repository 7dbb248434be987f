//! What the programs of this crate have in common: how they start, what stops them, and the options of every drill.

use crate::failure::{Failure, Result};
use cimwright_jobs::{Clock as _, SystemClock};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Where a drill takes place.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The built server
    #[arg(long, value_name = "FILE")]
    pub server: PathBuf,

    /// Where the scratch directory is made: with some 10 GiB of room for jobs, at a short path for replication [default: $TMPDIR or /var/tmp]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,

    /// Leave the scratch directory behind
    #[arg(long)]
    pub keep: bool,
}

/// Runs a program to its end. What it gives is whether all was as it has to be; `what` names it where it could not be carried out.
pub fn main(what: &str, program: impl Future<Output = Result<bool>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(program) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{what} could not be carried out: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Drops what is being done when the program is told to stop: servers and daemons are children that die when they are dropped.
/// `line` is how the program was called.
pub(crate) async fn until_stopped<T>(line: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::connection("setting up signals"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::connection("setting up signals"))?;
    let stopped = |name: &str| Failure::Program { line: line.to_owned(), said: format!("stopped by {name}") };
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => Err(stopped("SIGINT")),
        _ = terminate.recv() => Err(stopped("SIGTERM")),
    }
}

/// A seed for a drill that was given none.
pub(crate) fn fresh_seed() -> u64 {
    let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_micros() as u64 % 1_000_000
}
