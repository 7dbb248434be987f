//! One job being run: takes the lease's record through its steps and writes every change of state before anybody sees it.
//!
//! The driver is one task; it alone owns the [`JobRun`](crate::JobRun). The running step is a future inside it, so dropping that
//! future is what "at once" means. `select!` yields only an event; what is done about it comes after.
//!
//! Here is the way from step to step; [`step`] runs one, [`ending`] undoes and ends, [`keep`] writes and keeps the lease.

mod ending;
mod keep;
mod step;

use crate::admit::{Admission, admit};
use crate::errors;
use crate::lease::Lease;
use crate::live::{CurrentStep, Live, Wish};
use crate::machine::{JobEvent, next};
use crate::record::{JobRecord, JobRun, StateRequest, StepRecord};
use crate::recovery::{EndAs, Plan, plan};
use crate::service::Shared;
use crate::state::{JobState, RequestedState};
use crate::step::{OnRestart, Step, StepContext};
use crate::store::StoreError;
use cimwright_cim::{DateTime, ErrorDetail};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use step::Outcome;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Why the driver stops without having ended the job.
enum Halt {
    /// Somebody else has the job. Nothing is written.
    LeaseLost,
    /// The store does not take what the driver has to write.
    Store(StoreError),
    /// The server shuts down; the job waits to be taken up again.
    Yielded,
}

/// How the job is to end once everything is undone.
enum Ending {
    Failed(Box<ErrorDetail>),
    Terminated(Vec<ErrorDetail>),
    Killed(ErrorDetail),
}

pub(crate) struct Driver {
    shared: Arc<Shared>,
    lease: Lease,
    record: JobRecord,
    live: Arc<Live>,
    permit: Option<OwnedSemaphorePermit>,
    steps: Vec<Arc<dyn Step>>,
    requests: watch::Receiver<Option<StateRequest>>,
    shutdown: watch::Receiver<bool>,
    /// The request that is being carried out or was last.
    current: Option<StateRequest>,
    /// UntilTime; it cannot change while the job runs.
    until: Option<SystemTime>,
    /// Whether the job is being stopped because of it.
    over: bool,
    /// The state before the one it has now.
    before: JobState,
}

/// Applies the events of a job that begins to run to its record.
pub(crate) fn begin(run: &mut JobRun, now: SystemTime) {
    run.due = None;
    for event in [JobEvent::Begin, JobEvent::Begun] {
        if let Ok(state) = next(run.state, event) {
            run.state = state;
        }
    }
    run.changed = Some(now);
    run.started.get_or_insert(now);
    run.running_since = Some(now);
    run.attempts += 1;
    "Running".clone_into(&mut run.status);
}

/// CIM_Job.JobStatus of a job that could run if there were room.
pub(crate) const WAITS_FOR_ROOM: &str = "Waiting for its turn";

/// CIM_Job.JobStatus of a job that is to run later.
pub(crate) fn waits_until(due: SystemTime) -> String {
    format!("Waiting until {}", DateTime::from_system_time(due))
}

/// The moment a job is due at, unless that is now.
pub(crate) fn has_to_wait(due: SystemTime, now: SystemTime) -> Option<SystemTime> {
    // The next run of a job that recurs without a calendar is looked for a microsecond later.
    (due > now + Duration::from_micros(1)).then_some(due)
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        record: JobRecord,
        lease: Lease,
        live: Arc<Live>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let requests = live.requests();
        let shutdown = shared.shutdown.subscribe();
        let (until, before) = (record.settings.schedule.until(), record.run.state);
        Self {
            shared,
            lease,
            record,
            live,
            permit,
            steps: Vec::new(),
            requests,
            shutdown,
            current: None,
            until,
            over: false,
            before,
        }
    }

    /// Runs the job until it has ended, is parked, or the driver has to give up.
    pub(crate) async fn drive(mut self, fresh: bool) {
        let id = self.record.id();
        match self.work(fresh).await {
            Ok(()) => tracing::debug!(job = %id, state = %self.record.run.state, "job at rest"),
            Err(Halt::Yielded) => tracing::info!(job = %id, "job left for the next start of the server"),
            Err(Halt::LeaseLost) => tracing::warn!(job = %id, "somebody else drives this job now; stopping"),
            Err(Halt::Store(error)) => {
                tracing::error!(job = %id, %error, "cannot write the state of the job; it will be taken up again");
            }
        }
        self.shared.live.remove(id, &self.live);
    }

    async fn work(&mut self, fresh: bool) -> Result<(), Halt> {
        let spec = Arc::clone(&self.record.spec);
        let Some(kind) = self.shared.kinds.get(&spec.kind).cloned() else {
            return self.end(Ending::Failed(Box::new(errors::unknown_kind(&spec)))).await;
        };
        // Another process may be asked for them, so that this can take longer than the lease.
        let found = self.holding(kind.find_steps(&spec)).await?;
        self.steps = match found {
            Ok(steps) => steps,
            Err(reason) => return self.end(Ending::Failed(Box::new(reason))).await,
        };
        let plan = if fresh { Plan::Continue } else { plan(&self.record, &self.steps) };
        if !matches!(plan, Plan::End(_))
            && let Some(ending) = self.ending_by_time()
        {
            return self.end(ending).await;
        }
        match plan {
            Plan::Continue if fresh => {}
            Plan::Begin => {
                begin(&mut self.record.run, self.shared.clock.now());
                self.write().await?;
            }
            Plan::Continue => {
                // The clean-up comes first: what the interrupted step left must not meet what it does again.
                let mut trouble = Vec::new();
                if self.current_step().is_some_and(|s| s.on_restart() != OnRestart::Repeat) {
                    self.undo_current(&mut trouble).await?;
                }
                if let Some(reason) = trouble.into_iter().next() {
                    // Here it is the reason: the work cannot be taken up again.
                    return self.end(Ending::Failed(Box::new(reason))).await;
                }
                self.step_to(JobEvent::Restart)?;
                self.step_to(JobEvent::Begun)?;
                self.record.run.attempts += 1;
                self.start_counting();
                self.write().await?;
            }
            Plan::End(EndAs::Terminated(by)) => {
                return self.end(Ending::Terminated(vec![errors::terminated(&spec, &by)])).await;
            }
            Plan::End(EndAs::Killed(by)) => {
                return self.end(Ending::Killed(errors::killed(&spec, &by))).await;
            }
            Plan::Fail(reason) => return self.end(Ending::Failed(reason)).await,
            Plan::Park => {
                let mut trouble = Vec::new();
                self.undo_current(&mut trouble).await?;
                self.record.run.undo_errors.append(&mut trouble);
                return self.give_back().await;
            }
        }
        self.run_steps().await
    }

    async fn run_steps(&mut self) -> Result<(), Halt> {
        while let Some(step) = self.steps.get(self.record.run.steps.len()).cloned() {
            loop {
                if let Some(ending) = self.border().await? {
                    return self.end(ending).await;
                }
                if self.take_place(step.only_watches()).await? {
                    break;
                }
            }
            self.record.run.cancellable = step.cancellable();
            self.record.run.status = step.title();
            self.live.set_step(Some(CurrentStep { title: step.title(), cancellable: step.cancellable() }));
            let outcome = self.run_step(&step).await;
            self.live.set_step(None);
            match outcome? {
                Outcome::Finished(output) => {
                    self.record.run.steps.push(StepRecord { name: step.name().to_owned(), output });
                    self.record.run.attempts = 1;
                    self.record.run.cancellable = true;
                    if self.record.run.steps.len() < self.steps.len() {
                        self.write().await?;
                    }
                }
                Outcome::Failed(reason) => return self.end(Ending::Failed(reason)).await,
                Outcome::Stopped => return self.end(self.stopped()).await,
                Outcome::Killed => {
                    let by = self.asker();
                    return self.end(Ending::Killed(errors::killed(&self.record.spec, &by))).await;
                }
                Outcome::ShutDown => return self.yield_job().await,
            }
        }
        self.step_to(JobEvent::Finish)?;
        "Completed".clone_into(&mut self.record.run.status);
        self.record.run.progress.share = 10_000;
        self.finish().await
    }

    /// A step that works needs a place among the jobs that run at once; one that only watches leaves it to others. `false` if
    /// something was asked before there was one.
    async fn take_place(&mut self, only_watches: bool) -> Result<bool, Halt> {
        if only_watches {
            if self.permit.take().is_some() {
                self.shared.wake.notify_one();
            }
            return Ok(true);
        }
        if self.permit.is_none() {
            let place = Arc::clone(&self.shared.permits).acquire_owned();
            let Some(permit) = self.unless_asked(place).await? else { return Ok(false) };
            self.permit = permit.ok();
        }
        Ok(true)
    }

    /// Between two steps: carries out what was asked for while no step could listen.
    async fn border(&mut self) -> Result<Option<Ending>, Halt> {
        // Nothing is half done here, whatever could be said of the last step.
        self.record.run.cancellable = true;
        if self.record.run.state == JobState::ShuttingDown {
            // The step was done before it came to stop.
            return Ok(Some(self.stopped()));
        }
        if self.live.wish() == Wish::Pause {
            // It was done before it came to pause.
            self.live.set_wish(Wish::Run);
            if let Some(wanted) = self.current.as_ref().map(|r| r.wanted).filter(|w| w.is_rest()) {
                self.rest(rest_event(wanted)).await?;
            }
        }
        let mut go_on = false;
        loop {
            if *self.shutdown.borrow() {
                self.yield_job().await?;
            }
            if let Some(ending) = self.ending_by_time() {
                return Ok(Some(ending));
            }
            if let Some(request) = self.take_request() {
                match request.wanted {
                    RequestedState::Kill => {
                        return Ok(Some(Ending::Killed(errors::killed(&self.record.spec, &request.by))));
                    }
                    RequestedState::Terminate => return Ok(Some(self.stopped())),
                    RequestedState::Start => go_on = true,
                    // Its time is over, and who asked has been told so.
                    RequestedState::Suspend | RequestedState::Service
                        if self.time_left(&request).is_some_and(|left| left.is_zero()) => {}
                    RequestedState::Suspend | RequestedState::Service => {
                        go_on = false;
                        self.rest(rest_event(request.wanted)).await?;
                    }
                }
            }
            if !self.is_at_rest() {
                return Ok(None);
            }
            if !go_on {
                self.unless_asked(std::future::pending::<()>()).await?;
            } else if self.take_place(false).await? {
                self.go_on().await?;
            }
        }
    }

    /// How the job ends because it was to be stopped.
    fn stopped(&self) -> Ending {
        let spec = &self.record.spec;
        let reason = match self.until.filter(|_| self.over) {
            Some(until) => errors::until_reached(spec, until),
            None => errors::terminated(spec, &self.asker()),
        };
        Ending::Terminated(vec![reason])
    }

    fn is_at_rest(&self) -> bool {
        matches!(self.record.run.state, JobState::Suspended | JobState::Service)
    }

    /// The job comes to rest: the engine has stopped, or no step is running.
    async fn rest(&mut self, event: JobEvent) -> Result<(), Halt> {
        if next(self.record.run.state, event).is_err() {
            // It rests already, and somebody who had it go on has changed his mind.
            return Ok(());
        }
        self.step_to(event)?;
        self.stop_counting();
        self.record.run.progress = self.live.progress();
        self.record.run.status = format!("{} at the request of {}", self.record.run.state, self.asker());
        self.write().await?;
        // Others may run meanwhile.
        self.permit = None;
        self.shared.wake.notify_one();
        Ok(())
    }

    /// A job at rest goes on; it has its place.
    async fn go_on(&mut self) -> Result<(), Halt> {
        self.step_to(JobEvent::Resume)?;
        self.step_to(JobEvent::Begun)?;
        self.start_counting();
        self.write().await
    }

    fn context(&self) -> StepContext {
        StepContext {
            spec: Arc::clone(&self.record.spec),
            done: self.record.run.steps.clone().into(),
            live: Arc::clone(&self.live),
        }
    }

    /// The latest request, if it has not been looked at and still makes sense.
    fn take_request(&mut self) -> Option<StateRequest> {
        let request = self.requests.borrow_and_update().clone()?;
        if self.current.as_ref() == Some(&request) {
            return None;
        }
        let admitted = admit(self.record.run.state, request.wanted, self.record.run.cancellable);
        let sensible = match admitted {
            Admission::Accept => true,
            // Said again, it takes back another word that has not been carried out yet.
            Admission::AlreadySo => request.wanted != RequestedState::Terminate,
            Admission::Refuse(_) => false,
        };
        if !sensible {
            return None;
        }
        self.current = Some(request.clone());
        Some(request)
    }

    fn peek_request(&self) -> Option<StateRequest> {
        let request = self.requests.borrow().clone()?;
        (self.current.as_ref() != Some(&request)).then_some(request)
    }

    fn asker(&self) -> String {
        self.current.as_ref().map_or_else(|| self.record.spec.owner.clone(), |r| r.by.clone())
    }
}

fn rest_event(wanted: RequestedState) -> JobEvent {
    if wanted == RequestedState::Service { JobEvent::Hold } else { JobEvent::Suspend }
}
