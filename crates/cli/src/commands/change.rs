//! `cimwright suspend`, `cimwright resume`, and how a change of state is asked for and waited for.

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit, say};
use crate::render::job::ending_line;
use crate::render::json;
use crate::render::text::clean_line;
use crate::session::Session;
use cimwright_client::job::{Followed, JobHandle, JobSnapshot, Patience, PollEvent, State, Wanted};
use std::time::Duration;

/// RequestStateChange's way to say that it takes no TimeoutPeriod.
const TIMEOUT_NOT_SUPPORTED: i128 = 4098;

/// What Hyper-V's methods return to who may not call them.
const ACCESS_DENIED: i128 = 32769;

/// Pause a job; it keeps what it has done
#[derive(clap::Args)]
pub(crate) struct SuspendArgs {
    #[command(flatten)]
    common: Common,
}

/// Let a suspended job go on
#[derive(clap::Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    common: Common,
}

/// What all changes of state need to know.
#[derive(clap::Args)]
pub(crate) struct Common {
    /// The job: its InstanceID, the beginning of it, or its full path
    pub(crate) job: String,

    /// How long the change may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout: u64,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Runs `suspend`.
pub(crate) async fn suspend(args: SuspendArgs) -> Result<Exit, CliError> {
    change(&args.common, Wanted::Suspend, |state| state == State::SUSPENDED).await
}

/// Runs `resume`.
pub(crate) async fn resume(args: ResumeArgs) -> Result<Exit, CliError> {
    change(&args.common, Wanted::Start, |state| state == State::RUNNING).await
}

async fn change(args: &Common, wanted: Wanted, there: fn(State) -> bool) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    let job = session.job(&args.job).await?;
    let before = job.snapshot().await?;
    if there(before.state) {
        return told(&session, &before, Exit::Ok);
    }
    if before.state.is_ended() {
        return Err(CliError::new(
            Exit::Unsuccessful,
            format!("the job has ended: {}", ending_line(&before)),
        ));
    }
    let limit = Duration::from_secs(args.timeout);
    ask(&job, wanted, limit).await?;
    let after = wait(&job, limit, there).await?;
    match after {
        Some(job) if there(job.state) => told(&session, &job, Exit::Ok),
        Some(job) if job.state.is_ended() => told(&session, &job, Exit::Unsuccessful),
        Some(job) => Err(late(&job, args.timeout)),
        None => Err(session.no_job(&args.job)),
    }
}

/// Asks for a change of state. A server that takes no time limit is asked without one.
pub(crate) async fn ask(job: &JobHandle<'_>, wanted: Wanted, limit: Duration) -> Result<(), CliError> {
    let within = Some(limit).filter(|l| !l.is_zero());
    let mut answer = job.request(wanted, within).await?;
    if answer.code == TIMEOUT_NOT_SUPPORTED && within.is_some() {
        answer = job.request(wanted, None).await?;
    }
    if answer.accepted() {
        return Ok(());
    }
    let meaning = answer.meaning.map_or_else(String::new, |m| format!(" ({m})"));
    let advice = match wanted {
        _ if answer.code == ACCESS_DENIED => {
            "the job is another user's; ask as its owner or as an administrator"
        }
        Wanted::Start => "only a suspended job can be resumed",
        Wanted::Suspend => "only a running job can be suspended",
        Wanted::Terminate => "a step that cannot be stopped may be running; try again later, or --kill",
        Wanted::Kill => "look at the job with `cimwright why`; it may have ended, or belong to another user",
    };
    Err(CliError::new(Exit::Refused, format!("the server refused: {}{meaning}", answer.code)).advise(advice))
}

/// Looks at the job until `enough` says so, it has ended, or the time is over. `None`: it left the namespace.
pub(crate) async fn wait(
    job: &JobHandle<'_>,
    limit: Duration,
    enough: fn(State) -> bool,
) -> Result<Option<JobSnapshot>, CliError> {
    let mut last = None;
    let following = job.follow(Patience::default(), |event| match event {
        PollEvent::Seen(job) => {
            last = Some(job.clone());
            !enough(job.state)
        }
        PollEvent::Away(_) => true,
    });
    match tokio::time::timeout(limit.max(Duration::from_secs(1)), following).await {
        Ok(Ok(Followed::Ended(job) | Followed::Left(job))) => Ok(Some(*job)),
        Ok(Ok(Followed::Gone(_))) => Ok(None),
        Ok(Err(e)) if e.is_not_found() => Ok(None),
        Ok(Err(e)) => Err(e.into()),
        Err(_) => Ok(last),
    }
}

/// That a job has not got there in time.
pub(crate) fn late(job: &JobSnapshot, seconds: u64) -> CliError {
    CliError::new(
        Exit::Unsuccessful,
        format!("after {seconds} s the job is still {}; the request stands", job.state),
    )
    .advise(format!("`cimwright watch {}` follows it", clean_line(&job.instance_id)))
}

/// Says where the job is now.
pub(crate) fn told(session: &Session, job: &JobSnapshot, exit: Exit) -> Result<Exit, CliError> {
    let text = if session.json {
        json::pretty(&json::job(job))
    } else if job.state.is_ended() {
        ending_line(job)
    } else {
        format!("{}: {}", job.state, clean_line(job.title()))
    };
    say(&text)?;
    Ok(exit)
}
