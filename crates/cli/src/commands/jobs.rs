//! `cimwright jobs`

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit, say};
use crate::render::job::jobs_table;
use crate::render::json;
use crate::session::Session;
use cimwright_client::job::{JobSnapshot, State};
use cimwright_jobs::clock::{Clock, SystemClock};
use std::cmp::Reverse;
use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

/// How many jobs are shown when not all are asked for.
const SHOWN: usize = 50;

/// What the list needs to know; not more, since there may be very many jobs.
const PROPERTIES: [&str; 19] = [
    "InstanceID",
    "Name",
    "Caption",
    "Description",
    "Owner",
    "JobState",
    "JobStatus",
    "OperationalStatus",
    "StatusDescriptions",
    "PercentComplete",
    "TimeSubmitted",
    "StartTime",
    "ElapsedTime",
    "TimeOfLastStateChange",
    "Cancellable",
    "ErrorCode",
    "ErrorDescription",
    "ErrorSummaryDescription",
    "Removed",
];

/// List the jobs of a server, newest first
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Show only jobs in this state: new, starting, running, suspended, shutting-down, completed, terminated, killed, exception,
    /// service, query-pending. May be given several times
    #[arg(long, value_name = "STATE", value_parser = state)]
    only: Vec<State>,

    /// Show all jobs, not just the 50 newest
    #[arg(long)]
    all: bool,

    /// Show the ended jobs that have left the namespace (Cimwright servers keep them for a while)
    #[arg(long)]
    history: bool,

    /// Show the list again every second until interrupted
    #[arg(long, conflicts_with = "json")]
    watch: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    loop {
        let (jobs, left_out) = collect(&session, &args).await?;
        let text = if session.json {
            json::pretty(&jobs.iter().map(json::job).collect())
        } else {
            listing(&jobs, left_out, &args, SystemClock.now())
        };
        if args.watch && std::io::stdout().is_terminal() {
            // Cursor to the top left, screen empty: the list stays in its place.
            say(&format!("\u{1b}[H\u{1b}[2J{text}"))?;
        } else {
            say(&text)?;
        }
        if !args.watch {
            return Ok(Exit::Ok);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn state(text: &str) -> Result<State, String> {
    State::from_name(text)
        .ok_or_else(|| "no such state; try running, suspended, completed or exception".to_owned())
}

/// The jobs to show, newest first, and how many more there are.
async fn collect(session: &Session, args: &Args) -> Result<(Vec<JobSnapshot>, usize), CliError> {
    let finder = if args.history { session.finder().in_history() } else { session.finder() };
    let mut jobs: Vec<JobSnapshot> = Vec::new();
    let mut matching = 0;
    let found = finder.list(Some(&PROPERTIES), |job| {
        if args.only.is_empty() || args.only.contains(&job.state) {
            matching += 1;
            jobs.push(job);
            // Only the newest are kept while looking, so that a long list costs no memory.
            if !args.all && jobs.len() >= SHOWN * 20 {
                keep_newest(&mut jobs, SHOWN);
            }
        }
        true
    });
    found.await.map_err(|e| match (args.history, e.is_unsupported()) {
        (true, true) => CliError::new(Exit::NotFound, "this server keeps no history of its jobs"),
        _ => e.into(),
    })?;
    keep_newest(&mut jobs, if args.all { usize::MAX } else { SHOWN });
    let left_out = matching - jobs.len();
    Ok((jobs, left_out))
}

fn keep_newest(jobs: &mut Vec<JobSnapshot>, count: usize) {
    jobs.sort_by_cached_key(|j| {
        Reverse((j.time_submitted.and_then(|t| t.to_unix_micros()), j.instance_id.clone()))
    });
    jobs.truncate(count);
}

fn listing(jobs: &[JobSnapshot], left_out: usize, args: &Args, now: SystemTime) -> String {
    if jobs.is_empty() {
        let which = match (args.only.is_empty(), args.history) {
            (true, false) => {
                "There are no jobs. Ended jobs leave after a while: `cimwright jobs --history` shows them."
            }
            (true, true) => "The history is empty.",
            (false, _) => "There are no jobs in this state.",
        };
        return which.to_owned();
    }
    let mut text = jobs_table(jobs, now);
    if left_out > 0 {
        text.push_str(&format!("\n… and {left_out} older ones; --all shows them"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{DateTime, Instance};

    fn job(id: &str, second: u64) -> JobSnapshot {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let instance = Instance::new("X").with("InstanceID", id);
        JobSnapshot::of(instance.with("TimeSubmitted", DateTime::from_system_time(at)))
    }

    #[test]
    fn the_newest_come_first_and_stay() {
        let mut jobs = vec![job("a", 1), job("c", 3), job("b", 2)];
        jobs.push(JobSnapshot::of(Instance::new("X").with("InstanceID", "undated")));
        keep_newest(&mut jobs, 3);
        let ids: Vec<&str> = jobs.iter().map(|j| j.instance_id.as_str()).collect();
        assert_eq!(ids, ["c", "b", "a"]);
    }

    #[test]
    fn states_are_read_in_any_spelling() {
        assert_eq!(state("Shutting-Down"), Ok(State(6)));
        assert!(state("busy").is_err());
    }
}
