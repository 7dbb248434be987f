//! `cimwright watch`, and how the other commands wait for a job.

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit, remark, say};
use crate::render::job::{doing, ending_line, progress_line};
use crate::render::json;
use crate::render::text::clean_line;
use crate::session::Session;
use cimwright_client::job::{Followed, JobHandle, JobSnapshot, Patience, PollEvent, State};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// Steps of the bar when the job tells no bytes.
const STEPS: u64 = 1000;

/// Follow a job to its end; exit code 0 if it completed, 1 if not
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The job: its InstanceID, the beginning of it, or its full path
    job: String,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    let job = session.job(&args.job).await?;
    let exit = follow(&session, &job).await?;
    if exit == Exit::Unsuccessful && !session.json {
        let id = job.path().key_str("InstanceID").unwrap_or_default();
        remark(&format!("`cimwright why {id}` tells why and what to do."));
    }
    Ok(exit)
}

/// Follows a job to its end, shows how it goes and says how it ended.
pub(crate) async fn follow(session: &Session, job: &JobHandle<'_>) -> Result<Exit, CliError> {
    let last = to_the_end(session, job).await?;
    finish(session, &last)
}

/// Follows a job to its end and shows how it goes; how it ended is for the caller to say.
pub(crate) async fn to_the_end(session: &Session, job: &JobHandle<'_>) -> Result<JobSnapshot, CliError> {
    let mut view = if session.json {
        View::Json { last: None }
    } else if std::io::stderr().is_terminal() {
        View::bar()
    } else {
        View::Lines { last: None }
    };
    let mut trouble = Ok(());
    let following = job.follow(Patience::default(), |event| match view.show(event) {
        Ok(()) => true,
        Err(e) => {
            trouble = Err(e);
            false
        }
    });
    let end = tokio::select! {
        end = following => end,
        _ = tokio::signal::ctrl_c() => {
            view.close();
            let id = job.path().key_str("InstanceID").unwrap_or_default();
            remark(&format!("The job goes on. `cimwright watch {id}` follows it again, `cimwright cancel {id}` stops it."));
            return Err(CliError::new(Exit::Unsuccessful, ""));
        }
    };
    view.close();
    trouble?;
    match end? {
        Followed::Ended(last) | Followed::Left(last) => Ok(*last),
        Followed::Gone(_) => ended_unseen(session, job).await,
    }
}

/// Says how a job ended.
pub(crate) fn finish(session: &Session, last: &JobSnapshot) -> Result<Exit, CliError> {
    if !session.json {
        say(&ending_line(last))?;
        let reason = last.error_description.as_deref().or(last.error_summary.as_deref());
        if let Some(reason) = reason.filter(|_| !last.state.is_success()) {
            say(&format!("  {}", clean_line(reason)))?;
        }
    }
    Ok(if last.state.is_success() { Exit::Ok } else { Exit::Unsuccessful })
}

/// The end of a job that left its namespace between two looks.
async fn ended_unseen(session: &Session, job: &JobHandle<'_>) -> Result<JobSnapshot, CliError> {
    let id = job.path().key_str("InstanceID").unwrap_or_default();
    if let Some(past) = session.try_job(id, session.finder().in_history()).await? {
        let past = past.snapshot().await?;
        if session.json {
            say(&json::job(&past).to_string())?;
        }
        return Ok(past);
    }
    Err(CliError::new(Exit::NotFound, format!("the job {id} was removed before its end was seen"))
        .advise("somebody deleted it, or it ended while the server could not be asked; its result tells"))
}

/// How the progress is shown.
enum View {
    /// A bar on a terminal.
    Bar { bar: ProgressBar, in_bytes: bool },
    /// A line when something worth telling changed.
    Lines { last: Option<Told> },
    /// One JSON object on a line per change.
    Json { last: Option<Told> },
}

/// What was told last, to tell only what is new: state, share, and what the job says it does.
type Told = (State, Option<u16>, String);

impl View {
    fn bar() -> Self {
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
        bar.set_style(style(false));
        Self::Bar { bar, in_bytes: false }
    }

    fn show(&mut self, event: PollEvent<'_>) -> Result<(), CliError> {
        match (self, event) {
            (Self::Bar { bar, .. }, PollEvent::Away(error)) => {
                bar.set_message(format!("waiting for the server: {}", clean_line(&error.to_string())));
            }
            (_, PollEvent::Away(error)) => remark(&format!("waiting for the server: {error}")),
            (Self::Bar { bar, in_bytes }, PollEvent::Seen(job)) => {
                let told = job.bytes.filter(|b| b.total > 0);
                if told.is_some() != *in_bytes {
                    *in_bytes = told.is_some();
                    bar.set_style(style(*in_bytes));
                }
                bar.set_length(told.map_or(STEPS, |b| b.total));
                let position = match told {
                    Some(bytes) => bytes.done,
                    None => (job.share().unwrap_or(0.0) * STEPS as f64) as u64,
                };
                bar.set_position(position);
                bar.set_message(message(job));
            }
            (Self::Lines { last }, PollEvent::Seen(job)) => {
                // Every fifth part of the way is enough for a log, and numbers in the text are no news.
                let doing = job.job_status.as_deref().unwrap_or_default();
                let doing = doing.chars().filter(|c| !c.is_ascii_digit()).collect();
                let now = (job.state, job.percent.map(|p| p / 20), doing);
                if !job.state.is_ended() && last.as_ref() != Some(&now) {
                    say(&progress_line(job))?;
                    *last = Some(now);
                }
            }
            (Self::Json { last }, PollEvent::Seen(job)) => {
                let now = (job.state, job.percent, job.job_status.clone().unwrap_or_default());
                if last.as_ref() != Some(&now) {
                    say(&json::job(job).to_string())?;
                    *last = Some(now);
                }
            }
        }
        Ok(())
    }

    fn close(&self) {
        if let Self::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

/// What stands beside the bar: the state unless it simply runs, and what the job says it does.
fn message(job: &JobSnapshot) -> String {
    let doing = doing(job).unwrap_or_else(|| clean_line(job.title()));
    match job.state {
        State::RUNNING => doing,
        state => format!("{state}: {doing}"),
    }
}

fn style(in_bytes: bool) -> ProgressStyle {
    let template = if in_bytes {
        "{bar:30} {percent:>3} %  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  ETA {eta}  {wide_msg}"
    } else {
        "{bar:30} {percent:>3} %  ETA {eta}  {wide_msg}"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▉▊▋▌▍▎▏ ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{Instance, Value};

    fn job(state: u16, status: &str) -> JobSnapshot {
        JobSnapshot::of(Instance::new("X").with("JobState", Value::Uint16(state)).with("JobStatus", status))
    }

    #[test]
    fn the_message_names_the_state_unless_the_job_runs() {
        assert_eq!(message(&job(4, "Converting")), "Converting");
        assert_eq!(message(&job(5, "Converting")), "Suspended: Converting");
        assert_eq!(message(&job(4, "")), "job");
    }

    #[test]
    fn both_templates_are_sound() {
        for template in [true, false] {
            let bar = ProgressBar::hidden();
            bar.set_style(style(template));
            bar.set_message("x");
            bar.tick();
        }
    }
}
