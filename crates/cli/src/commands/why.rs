//! `cimwright why`

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit, say};
use crate::render::json;
use crate::render::why::Why;
use crate::session::Session;
use cimwright_cim::Catalogue;
use cimwright_client::ClientError;
use cimwright_client::job::JobHandle;

/// Tell why a job failed or was stopped, and what to do about it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The job: its InstanceID, the beginning of it, or its full path. Jobs that have left are found in the history
    job: String,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args, catalogues: &[&Catalogue]) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    if let Some(job) = session.try_job(&args.job, session.finder()).await? {
        match tell(&session, &job, false, catalogues).await {
            // It left between the two questions.
            Err(e) if e.exit == Exit::NotFound => {}
            other => return other,
        }
    }
    match session.try_job(&args.job, session.finder().in_history()).await? {
        Some(job) => tell(&session, &job, true, catalogues).await,
        None => Err(session.no_job(&args.job)),
    }
}

/// Tells why a job failed. The question was answered, so the exit code is 0 whatever the answer.
pub(crate) async fn tell(
    session: &Session,
    job: &JobHandle<'_>,
    from_history: bool,
    catalogues: &[&Catalogue],
) -> Result<Exit, CliError> {
    let snapshot = job.snapshot().await?;
    let errors = match job.errors().await {
        Ok(errors) => errors,
        // The job itself tells the chief reason as well.
        Err(ClientError::Method { .. }) => Vec::new(),
        Err(e) if e.is_unsupported() => Vec::new(),
        Err(e) => return Err(e.into()),
    };
    let why = Why { job: &snapshot, errors: &errors, from_history, catalogues };
    say(&if session.json { json::pretty(&why.json()) } else { why.text() })?;
    Ok(Exit::Ok)
}
