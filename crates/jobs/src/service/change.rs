//! RequestStateChange: a request is stored, told to the driver if there is one, and waited for a while.

use super::{Jobs, JobsError};
use crate::admit::{Admission, Refusal, admit};
use crate::driver::WAITS_FOR_ROOM;
use crate::errors;
use crate::lease::Lease;
use crate::live::Live;
use crate::machine::{JobEvent, next};
use crate::record::{JobId, JobRecord, StateRequest};
use crate::state::{JobState, RequestedState};
use std::time::Duration;
use tokio::time::Instant;

/// The outcome of a request for another state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// The job is in the wanted state.
    Done,
    /// The request is stored and is being carried out.
    Started,
    /// It is refused; nothing was changed.
    Refused(Refusal),
    /// It could not be carried out within the TimeoutPeriod and was withdrawn.
    NotInTime,
}

impl Jobs {
    /// Asks for another state and waits a while for it.
    ///
    /// `timeout` is the TimeoutPeriod: a Suspend that does not come about within it is withdrawn; a Terminate has that long to stop
    /// in order before the engine is ended by force.
    ///
    /// # Errors
    /// When there is no such job or the store fails.
    pub async fn change_state(
        &self,
        id: JobId,
        wanted: RequestedState,
        by: &str,
        timeout: Option<Duration>,
    ) -> Result<ChangeOutcome, JobsError> {
        let shared = &self.shared;
        // Between the look and the request the job may move on; look again then.
        for _ in 0..8 {
            let record = self.load(id).await?.ok_or(JobsError::NotFound(id))?;
            if wanted == RequestedState::Start && record.run.waits_for_its_time() {
                if self.start_now(id).await? {
                    return Ok(ChangeOutcome::Done);
                }
                continue;
            }
            match admit(record.run.state, wanted, record.run.cancellable) {
                // A driver may be about to carry out another word; then this one takes it back.
                Admission::AlreadySo
                    if shared.live.get(id).is_some() && record.is_asked_otherwise(wanted) => {}
                Admission::AlreadySo => return Ok(ChangeOutcome::Done),
                Admission::Refuse(refusal) => return Ok(ChangeOutcome::Refused(refusal)),
                Admission::Accept => {}
            }
            let now = shared.clock.now();
            let request =
                StateRequest { wanted, by: by.to_owned(), at: now, deadline: timeout.map(|t| now + t) };
            let Some(_) = shared.store.request(id, Some(&request)).await? else { continue };
            if let Some(live) = shared.live.get(id) {
                live.ask(request.clone());
                return Ok(self.wait_for(id, &live, &request, timeout).await);
            }
            let until = now + shared.config.lease;
            let Some((lease, record)) = shared.store.claim(id, shared.holder, now, until).await? else {
                // Taken between two lines, here or on another node; look again.
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            return self.change_idle(lease, (*record).clone(), &request).await;
        }
        Ok(ChangeOutcome::Started)
    }

    /// Lets a job that waits for its time run without waiting. `false` if it does not wait any more.
    async fn start_now(&self, id: JobId) -> Result<bool, JobsError> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let until = now + shared.config.lease;
        let Some((lease, record)) = shared.store.claim(id, shared.holder, now, until).await? else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            return Ok(false);
        };
        let mut run = record.run.clone();
        let waited = run.waits_for_its_time();
        if waited {
            run.due = None;
            WAITS_FOR_ROOM.clone_into(&mut run.status);
        }
        shared.store.release(&lease, &run).await?;
        shared.mark_backlog();
        Ok(waited)
    }

    /// Changes the state of a job that nobody drives; this process holds its lease for the moment.
    async fn change_idle(
        &self,
        lease: Lease,
        mut record: JobRecord,
        request: &StateRequest,
    ) -> Result<ChangeOutcome, JobsError> {
        let shared = &self.shared;
        let began = record.run.state != JobState::New || !record.run.steps.is_empty();
        if request.wanted.is_end() && began {
            // Something may have to be undone; that is the driver's work.
            record.request = Some(request.clone());
            let live = shared.spawn_driver(record, lease, None, false);
            let timeout = request.deadline.and_then(|d| d.duration_since(request.at).ok());
            return Ok(self.wait_for(live.0, &live.1, request, timeout).await);
        }
        let event = match request.wanted {
            RequestedState::Start => JobEvent::Resume,
            RequestedState::Suspend => JobEvent::Suspend,
            RequestedState::Service => JobEvent::Hold,
            RequestedState::Terminate => JobEvent::EndStop,
            RequestedState::Kill => JobEvent::Kill,
        };
        let Ok(state) = next(record.run.state, event) else {
            shared.store.release(&lease, &record.run).await?;
            return Ok(ChangeOutcome::Refused(Refusal::NoSuchTransition));
        };
        let now = shared.clock.now();
        record.run.state = state;
        record.run.changed = Some(now);
        match request.wanted {
            RequestedState::Terminate | RequestedState::Kill => {
                let reason = if request.wanted == RequestedState::Kill {
                    errors::killed(&record.spec, &request.by)
                } else {
                    errors::terminated(&record.spec, &request.by)
                };
                record.run.status = reason.message.clone();
                record.run.errors = vec![reason];
                record.run.finished = Some(now);
                record.run.cancellable = false;
                shared.store.record(&lease, &record.run).await?;
                shared.job_ended(&record);
            }
            RequestedState::Start => {
                WAITS_FOR_ROOM.clone_into(&mut record.run.status);
                record.run.due = None;
                shared.store.release(&lease, &record.run).await?;
                shared.mark_backlog();
            }
            RequestedState::Suspend | RequestedState::Service => {
                record.run.status = format!("{state} at the request of {}", request.by);
                shared.store.release(&lease, &record.run).await?;
            }
        }
        Ok(ChangeOutcome::Done)
    }

    async fn wait_for(
        &self,
        id: JobId,
        live: &Live,
        request: &StateRequest,
        timeout: Option<Duration>,
    ) -> ChangeOutcome {
        let wanted = request.wanted;
        let mut states = live.states();
        // A Terminate is undone after its time is up, and that takes a moment too.
        let patience = match timeout {
            Some(limit) => limit.min(Duration::from_secs(30)) + Duration::from_millis(250),
            None => self.shared.config.change_wait,
        };
        let deadline = Instant::now() + patience;
        loop {
            let state = *states.borrow_and_update();
            let reached = match wanted {
                RequestedState::Start => matches!(state, JobState::Starting | JobState::Running),
                RequestedState::Suspend => state == JobState::Suspended,
                RequestedState::Service => state == JobState::Service,
                RequestedState::Terminate => state == JobState::Terminated,
                RequestedState::Kill => state == JobState::Killed,
            };
            if reached {
                return ChangeOutcome::Done;
            }
            if state.is_finished() {
                return ChangeOutcome::Refused(Refusal::Finished);
            }
            if tokio::time::timeout_at(deadline, states.changed()).await.is_err() {
                break;
            }
        }
        let suspending = matches!(wanted, RequestedState::Suspend | RequestedState::Service);
        if timeout.is_some_and(|t| t <= Duration::from_secs(30)) && suspending {
            // The driver has withdrawn it; drop it from the store too, so that a restart does not carry it out. What somebody else has
            // asked for since stays.
            let record = self.shared.store.load(id).await;
            let own = record.is_ok_and(|r| r.is_some_and(|r| r.request.as_ref() == Some(request)));
            if own && let Err(error) = self.shared.store.request(id, None).await {
                tracing::warn!(job = %id, %error, "cannot clear a request that was not met in time");
            }
            return ChangeOutcome::NotInTime;
        }
        ChangeOutcome::Started
    }
}
