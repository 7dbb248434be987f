//! Whether a RequestStateChange makes sense now: a pure decision, apart from carrying it out (DSP1103; set R of return codes).

use crate::state::{JobState, RequestedState};

/// The answer to a request before anything is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is stored and carried out.
    Accept,
    /// The job is in the wanted state already; there is nothing to do.
    AlreadySo,
    /// It is refused.
    Refuse(Refusal),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The job has ended; ended jobs never restart.
    Finished,
    /// There is no such transition from the state the job is in.
    NoSuchTransition,
    /// The job is at a point where it cannot be stopped any more (Cancellable is FALSE).
    NotCancellable,
}

/// Decides on a request.
///
/// `cancellable` is whether the step that runs now can be stopped and its effects undone; it matters only for Terminate and
/// Kill of a job that has begun.
pub fn admit(state: JobState, wanted: RequestedState, cancellable: bool) -> Admission {
    use Admission::{Accept, AlreadySo, Refuse};
    use JobState as S;
    use RequestedState as R;
    let end = if cancellable { Accept } else { Refuse(Refusal::NotCancellable) };
    match state {
        S::Completed | S::Terminated | S::Killed | S::Exception => match wanted {
            R::Start | R::Suspend | R::Terminate | R::Kill | R::Service => Refuse(Refusal::Finished),
        },
        S::New => match wanted {
            // A queued job starts as soon as there is room; asking again changes nothing.
            R::Start => AlreadySo,
            R::Suspend | R::Terminate | R::Kill | R::Service => Accept,
        },
        S::Starting => match wanted {
            R::Start => AlreadySo,
            R::Suspend | R::Service => Refuse(Refusal::NoSuchTransition),
            R::Terminate | R::Kill => end,
        },
        S::Running => match wanted {
            R::Start => AlreadySo,
            R::Suspend | R::Service => Accept,
            R::Terminate | R::Kill => end,
        },
        S::Suspended => match wanted {
            R::Start | R::Service => Accept,
            R::Suspend => AlreadySo,
            R::Terminate | R::Kill => end,
        },
        S::ShuttingDown => match wanted {
            R::Start | R::Suspend | R::Service => Refuse(Refusal::NoSuchTransition),
            R::Terminate => AlreadySo,
            // Already stopping: a Kill only makes it faster.
            R::Kill => Accept,
        },
        S::Service => match wanted {
            R::Start | R::Suspend => Accept,
            R::Service => AlreadySo,
            R::Terminate | R::Kill => end,
        },
        S::QueryPending => match wanted {
            R::Start | R::Service => Refuse(Refusal::NoSuchTransition),
            R::Suspend => Accept,
            R::Terminate | R::Kill => end,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{JobEvent, next};

    #[test]
    fn finished_jobs_refuse_everything() {
        for state in JobState::ALL.into_iter().filter(|s| s.is_finished()) {
            for wanted in RequestedState::ALL {
                assert_eq!(admit(state, wanted, true), Admission::Refuse(Refusal::Finished));
            }
        }
    }

    #[test]
    fn what_is_admitted_can_be_carried_out() {
        for state in JobState::ALL {
            for wanted in RequestedState::ALL {
                if admit(state, wanted, true) != Admission::Accept {
                    continue;
                }
                let events: &[JobEvent] = match wanted {
                    RequestedState::Start => &[JobEvent::Resume],
                    RequestedState::Suspend => &[JobEvent::Suspend],
                    RequestedState::Service => &[JobEvent::Hold],
                    RequestedState::Kill => &[JobEvent::Kill],
                    RequestedState::Terminate => &[JobEvent::Stop, JobEvent::EndStop],
                };
                let possible = events.iter().any(|e| next(state, *e).is_ok());
                assert!(possible, "{state} accepts {wanted:?} but the machine has no way");
            }
        }
    }

    #[test]
    fn a_job_that_cannot_be_cancelled_is_not_ended() {
        for state in [JobState::Starting, JobState::Running, JobState::Suspended] {
            for wanted in [RequestedState::Terminate, RequestedState::Kill] {
                assert_eq!(admit(state, wanted, false), Admission::Refuse(Refusal::NotCancellable));
            }
        }
        assert_eq!(admit(JobState::New, RequestedState::Kill, false), Admission::Accept);
    }
}
