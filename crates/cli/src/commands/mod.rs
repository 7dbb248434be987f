//! One file per command. Each has its arguments, `run`, and what it alone needs.

pub(crate) mod assoc;
pub(crate) mod cancel;
pub(crate) mod change;
pub(crate) mod class;
pub(crate) mod completions;
pub(crate) mod enumerate;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod invoke;
pub(crate) mod jobs;
pub(crate) mod listen;
pub(crate) mod ls;
pub(crate) mod mof;
pub(crate) mod query;
pub(crate) mod replica;
pub(crate) mod watch;
pub(crate) mod why;

use crate::exit::{CliError, Exit};

/// Runs a command that asks a server. One thread is enough for one question at a time.
pub(crate) fn block_on(command: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::new(Exit::Trouble, format!("cannot start: {e}")))?;
    runtime.block_on(command)
}
