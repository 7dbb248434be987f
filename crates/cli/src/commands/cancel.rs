//! `cimwright cancel`

use super::change::{Common, ask, late, told, wait};
use crate::exit::{CliError, Exit};
use crate::session::Session;
use cimwright_client::job::Wanted;
use std::time::Duration;

/// Stop a job: it ends in order and undoes what it did
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,

    /// Stop it at once, without order
    #[arg(long)]
    kill: bool,

    /// Ask and do not wait for the end
    #[arg(long)]
    no_wait: bool,
}

/// Runs the command. A job that has ended already needs no stopping: that is success.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let session = Session::open(&args.common.connect).await?;
    let job = session.job(&args.common.job).await?;
    let before = job.snapshot().await?;
    if before.state.is_ended() {
        return told(&session, &before, Exit::Ok);
    }
    let limit = Duration::from_secs(args.common.timeout);
    let wanted = if args.kill { Wanted::Kill } else { Wanted::Terminate };
    if let Err(refused) = ask(&job, wanted, limit).await {
        // It may have ended while the request travelled.
        return match job.snapshot().await {
            Ok(now) if now.state.is_ended() => told(&session, &now, Exit::Ok),
            _ => Err(refused),
        };
    }
    if args.no_wait {
        return told(&session, &job.snapshot().await?, Exit::Ok);
    }
    match wait(&job, limit, |state| state.is_ended()).await? {
        Some(job) if job.state.is_ended() => told(&session, &job, Exit::Ok),
        Some(job) => Err(match args.kill {
            true => late(&job, args.common.timeout),
            false => late(&job, args.common.timeout).advise("`cimwright cancel --kill` stops it at once"),
        }),
        None => Err(session.no_job(&args.common.job)),
    }
}
