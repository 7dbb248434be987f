//! The job state machine: one function decides every transition, for live running, recovery and replay alike.
//!
//! ```text
//!            Begin             Begun            Finish
//!   New ───────────▶ Starting ───────▶ Running ───────────────▶ Completed
//!    │ ▲                ▲               │  ▲ │
//!    │ │Resume (queued) │Resume         │  │ │ Stop               EndStop
//!    │ │                │        Suspend│  │ └──▶ ShuttingDown ───────────▶ Terminated
//!    │ └─────── Suspended ◀─────────────┘  │           │ Finish: the step was faster ▶ Completed
//!    │             │    ▲                  │Answer
//!    │             ▼    │ Hold/Suspend     │
//!    │           Service            QueryPending
//!    │
//!    └── every state that is not finished ── Kill ▶ Killed, Fail ▶ Exception
//!        Starting, Running, QueryPending ── Restart ▶ Starting   (the driver died; the work is taken up again)
//!        Starting, Running ── Recur ▶ New   (one run of a recurring job is over; it waits for the next)
//! ```
//!
//! Who may raise an event: the driver that holds the lease raises all of them; for a job that nobody drives (queued,
//! suspended before it ran) the service takes the lease for a moment and raises Suspend, Resume, Stop, EndStop, Kill or Hold.
//! Clients raise none: they leave a request, and [`crate::admit`] says whether it makes sense.

use crate::state::JobState;
use std::fmt;

/// Something that happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobEvent {
    /// A driver took the job.
    Begin,
    /// Its first (or next) step runs.
    Begun,
    /// The running step has stopped for a while, or the job is to wait in the queue.
    Suspend,
    /// It may go on.
    Resume,
    /// A Terminate request was taken up: the step is told to stop.
    Stop,
    /// The step has stopped and everything is undone.
    EndStop,
    /// A Kill request was carried out.
    Kill,
    /// The last step ended well.
    Finish,
    /// The job failed.
    Fail,
    /// An operator holds it.
    Hold,
    /// The job asks a question.
    Ask,
    /// The question was answered.
    Answer,
    /// A new driver takes up what a dead one left.
    Restart,
    /// A run of a recurring job has ended, well or not, and there is to be another one.
    Recur,
}

impl JobEvent {
    /// Every event.
    pub const ALL: [Self; 14] = [
        Self::Begin,
        Self::Begun,
        Self::Suspend,
        Self::Resume,
        Self::Stop,
        Self::EndStop,
        Self::Kill,
        Self::Finish,
        Self::Fail,
        Self::Hold,
        Self::Ask,
        Self::Answer,
        Self::Restart,
        Self::Recur,
    ];
}

/// A transition that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// The state the job is in.
    pub state: JobState,
    /// What was said to have happened.
    pub event: JobEvent,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a job in state {} cannot see {:?}", self.state, self.event)
    }
}

impl std::error::Error for Impossible {}

/// The state after `event`.
///
/// # Errors
/// [`Impossible`] if the event cannot happen in this state.
pub fn next(state: JobState, event: JobEvent) -> Result<JobState, Impossible> {
    use JobEvent as E;
    use JobState as S;
    let next = match state {
        S::New => match event {
            E::Begin => Some(S::Starting),
            E::Suspend => Some(S::Suspended),
            E::Hold => Some(S::Service),
            // Nothing has run, so there is nothing to shut down.
            E::EndStop => Some(S::Terminated),
            E::Kill => Some(S::Killed),
            E::Fail => Some(S::Exception),
            E::Begun | E::Resume | E::Stop | E::Finish | E::Ask | E::Answer | E::Restart | E::Recur => None,
        },
        S::Starting => match event {
            E::Begun => Some(S::Running),
            E::Suspend => Some(S::Suspended),
            E::Stop => Some(S::ShuttingDown),
            E::Kill => Some(S::Killed),
            E::Fail => Some(S::Exception),
            E::Restart => Some(S::Starting),
            E::Recur => Some(S::New),
            E::Begin | E::Resume | E::EndStop | E::Finish | E::Hold | E::Ask | E::Answer => None,
        },
        S::Running => match event {
            E::Suspend => Some(S::Suspended),
            E::Stop => Some(S::ShuttingDown),
            E::Kill => Some(S::Killed),
            E::Finish => Some(S::Completed),
            E::Fail => Some(S::Exception),
            E::Hold => Some(S::Service),
            E::Ask => Some(S::QueryPending),
            E::Restart => Some(S::Starting),
            E::Recur => Some(S::New),
            E::Begin | E::Begun | E::Resume | E::EndStop | E::Answer => None,
        },
        S::Suspended => match event {
            E::Resume => Some(S::Starting),
            E::Stop => Some(S::ShuttingDown),
            E::Kill => Some(S::Killed),
            E::Fail => Some(S::Exception),
            E::Hold => Some(S::Service),
            E::Begin
            | E::Begun
            | E::Suspend
            | E::EndStop
            | E::Finish
            | E::Ask
            | E::Answer
            | E::Restart
            | E::Recur => None,
        },
        S::ShuttingDown => match event {
            E::EndStop => Some(S::Terminated),
            E::Kill => Some(S::Killed),
            // The step ended before it saw the request: the truth is that the job completed.
            E::Finish => Some(S::Completed),
            E::Fail => Some(S::Exception),
            E::Restart => Some(S::ShuttingDown),
            // Somebody asked for the end of the job: there is no further run.
            E::Begin
            | E::Begun
            | E::Suspend
            | E::Resume
            | E::Stop
            | E::Hold
            | E::Ask
            | E::Answer
            | E::Recur => None,
        },
        S::Service => match event {
            E::Resume => Some(S::Starting),
            E::Suspend => Some(S::Suspended),
            E::Stop => Some(S::ShuttingDown),
            E::Kill => Some(S::Killed),
            E::Fail => Some(S::Exception),
            E::Begin
            | E::Begun
            | E::EndStop
            | E::Finish
            | E::Hold
            | E::Ask
            | E::Answer
            | E::Restart
            | E::Recur => None,
        },
        S::QueryPending => match event {
            E::Answer => Some(S::Running),
            E::Suspend => Some(S::Suspended),
            E::Stop => Some(S::ShuttingDown),
            E::Kill => Some(S::Killed),
            E::Fail => Some(S::Exception),
            E::Restart => Some(S::Starting),
            E::Begin | E::Begun | E::Resume | E::EndStop | E::Finish | E::Hold | E::Ask | E::Recur => None,
        },
        S::Completed | S::Terminated | S::Killed | S::Exception => match event {
            E::Begin
            | E::Begun
            | E::Suspend
            | E::Resume
            | E::Stop
            | E::EndStop
            | E::Kill
            | E::Finish
            | E::Fail
            | E::Hold
            | E::Ask
            | E::Answer
            | E::Restart
            | E::Recur => None,
        },
    };
    next.ok_or(Impossible { state, event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_finished_job_never_moves() {
        for state in JobState::ALL.into_iter().filter(|s| s.is_finished()) {
            for event in JobEvent::ALL {
                assert!(next(state, event).is_err(), "{state} {event:?}");
            }
        }
    }

    #[test]
    fn every_unfinished_job_can_be_killed_and_can_fail() {
        for state in JobState::ALL.into_iter().filter(|s| !s.is_finished()) {
            assert_eq!(next(state, JobEvent::Kill), Ok(JobState::Killed));
            assert_eq!(next(state, JobEvent::Fail), Ok(JobState::Exception));
        }
    }

    #[test]
    fn only_work_that_ran_can_complete() {
        for state in JobState::ALL {
            let may = matches!(state, JobState::Running | JobState::ShuttingDown);
            assert_eq!(next(state, JobEvent::Finish).is_ok(), may, "{state}");
        }
    }

    proptest! {
        #[test]
        fn any_history_ends_at_most_once(events in proptest::collection::vec(0usize..14, 0..60)) {
            let mut state = JobState::New;
            for event in events {
                let before = state;
                if let Ok(after) = next(state, JobEvent::ALL[event]) {
                    prop_assert!(!before.is_finished());
                    state = after;
                }
            }
        }
    }
}
