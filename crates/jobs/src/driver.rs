//! One job being run: takes the lease's record through its steps and writes every change of state before anybody sees it.
//!
//! The driver is one task; it alone owns the [`JobRun`](crate::JobRun). The running step is a future inside it, so dropping that
//! future is what "at once" means. `select!` yields only an [`Event`]; what is done about it comes after.

use crate::admit::{Admission, admit};
use crate::errors;
use crate::lease::Lease;
use crate::live::{CurrentStep, Live, Wish};
use crate::machine::{JobEvent, next};
use crate::record::{JobId, JobRecord, JobRun, JobSpec, StateRequest, StepRecord};
use crate::recovery::{EndAs, Plan, plan};
use crate::service::Shared;
use crate::state::{JobState, RequestedState};
use crate::step::{OnRestart, Step, StepContext, StepError};
use crate::store::StoreError;
use cimwright_cim::{DateTime, ErrorDetail};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

/// Why the driver stops without having ended the job.
enum Halt {
    /// Somebody else has the job. Nothing is written.
    LeaseLost,
    /// The store does not take what the driver has to write.
    Store(StoreError),
    /// The server shuts down; the job waits to be taken up again.
    Yielded,
}

/// How one step came out.
enum Outcome {
    Finished(String),
    Failed(Box<ErrorDetail>),
    Stopped,
    Killed,
    ShutDown,
}

/// What the driver's `select!` saw.
enum Event {
    StepEnded(Result<Result<String, StepError>, String>),
    Asked,
    PauseReported,
    Permit(OwnedSemaphorePermit),
    Tick,
    Deadline,
    ShutDown,
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
        self.steps = match kind.find_steps(&spec).await {
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
                    self.undo_current(&mut trouble).await;
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
                self.undo_current(&mut trouble).await;
                self.record.run.undo_errors.append(&mut trouble);
                return self.give_back().await;
            }
        }
        self.run_steps().await
    }

    async fn run_steps(&mut self) -> Result<(), Halt> {
        while let Some(step) = self.steps.get(self.record.run.steps.len()).cloned() {
            if let Some(ending) = self.border().await? {
                return self.end(ending).await;
            }
            self.take_place(step.only_watches()).await?;
            self.record.run.cancellable = step.cancellable();
            self.record.run.status = step.title();
            self.live.set_step(Some(CurrentStep { title: step.title(), cancellable: step.cancellable() }));
            let outcome = self.run_step(&step).await;
            self.live.set_step(None);
            match outcome? {
                Outcome::Finished(output) => {
                    self.record.run.steps.push(StepRecord { name: step.name().to_owned(), output });
                    self.record.run.attempts = 1;
                    if self.record.run.steps.len() < self.steps.len() {
                        self.write().await?;
                    }
                }
                Outcome::Failed(reason) => return self.end(Ending::Failed(reason)).await,
                Outcome::Stopped => {
                    if let Some(until) = self.until.filter(|_| self.over) {
                        let reason = errors::until_reached(&self.record.spec, until);
                        return self.end(Ending::Terminated(vec![reason])).await;
                    }
                    let by = self.asker();
                    let reason = errors::terminated(&self.record.spec, &by);
                    return self.end(Ending::Terminated(vec![reason])).await;
                }
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

    /// A step that works needs a place among the jobs that run at once; one that only watches leaves it to others.
    async fn take_place(&mut self, only_watches: bool) -> Result<(), Halt> {
        if only_watches {
            if self.permit.take().is_some() {
                self.shared.wake.notify_one();
            }
        } else if self.permit.is_none() {
            tokio::select! {
                permit = Arc::clone(&self.shared.permits).acquire_owned() => self.permit = permit.ok(),
                _ = self.shutdown.changed() => self.yield_job().await?,
            }
        }
        Ok(())
    }

    /// Between two steps: carries out what was asked for while no step could listen.
    async fn border(&mut self) -> Result<Option<Ending>, Halt> {
        loop {
            if *self.shutdown.borrow() {
                self.yield_job().await?;
            }
            if let Some(ending) = self.ending_by_time() {
                return Ok(Some(ending));
            }
            let Some(request) = self.take_request() else { return Ok(None) };
            let spec = Arc::clone(&self.record.spec);
            match request.wanted {
                RequestedState::Kill => return Ok(Some(Ending::Killed(errors::killed(&spec, &request.by)))),
                RequestedState::Terminate => {
                    return Ok(Some(Ending::Terminated(vec![errors::terminated(&spec, &request.by)])));
                }
                RequestedState::Start => {}
                RequestedState::Suspend => self.rest(JobEvent::Suspend).await?,
                RequestedState::Service => self.rest(JobEvent::Hold).await?,
            }
            if self.record.run.state == JobState::Running {
                continue;
            }
            // At rest between two steps: wait for the next word.
            tokio::select! {
                _ = self.requests.changed() => {}
                () = tokio::time::sleep(self.shared.config.tick), if self.until.is_some() => {}
                _ = self.shutdown.changed() => self.yield_job().await?,
            }
            if self.peek_request().is_some_and(|r| r.wanted == RequestedState::Start) {
                self.take_request();
                self.wake_up().await?;
            }
        }
    }

    async fn run_step(&mut self, step: &Arc<dyn Step>) -> Result<Outcome, Halt> {
        let context = self.context();
        self.live.set_wish(Wish::Run);
        self.live.report_paused(false);
        let mut pauses = self.live.pauses();
        let mut work = Box::pin(AssertUnwindSafe(run_owned(Arc::clone(step), context)).catch_unwind());
        let mut tick = tokio::time::interval(self.shared.config.tick);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tick.tick().await;
        let mut deadline: Option<Instant> = None;
        let mut waiting_for_permit = false;
        loop {
            let permits = Arc::clone(&self.shared.permits);
            let event = tokio::select! {
                biased;
                result = &mut work => Event::StepEnded(result.map_err(|p| panic_text(p.as_ref()))),
                _ = self.requests.changed() => Event::Asked,
                _ = pauses.changed() => Event::PauseReported,
                Ok(permit) = permits.acquire_owned(), if waiting_for_permit => Event::Permit(permit),
                () = sleep_until(deadline) => Event::Deadline,
                _ = self.shutdown.changed() => Event::ShutDown,
                _ = tick.tick() => Event::Tick,
            };
            match event {
                Event::StepEnded(result) => {
                    self.collect_results();
                    // A step that ended while at rest did so in the same instant; the machine wants it running again.
                    if matches!(self.record.run.state, JobState::Suspended | JobState::Service) {
                        self.step_to(JobEvent::Resume)?;
                        self.step_to(JobEvent::Begun)?;
                        self.start_counting();
                    }
                    return Ok(match result {
                        Ok(Ok(output)) => Outcome::Finished(output),
                        Ok(Err(StepError::Failed(reason))) => Outcome::Failed(reason),
                        Ok(Err(StepError::Stopped)) => Outcome::Stopped,
                        Err(text) => {
                            Outcome::Failed(Box::new(errors::panicked(&self.record.spec, step.name(), &text)))
                        }
                    });
                }
                Event::Asked => {
                    let Some(request) = self.take_request() else { continue };
                    let limit = self.time_left(&request);
                    match request.wanted {
                        RequestedState::Kill => return Ok(Outcome::Killed),
                        RequestedState::Terminate => {
                            self.step_to(JobEvent::Stop)?;
                            self.stop_counting();
                            "Stopping".clone_into(&mut self.record.run.status);
                            self.write().await?;
                            self.live.set_wish(Wish::Stop);
                            deadline = Some(Instant::now() + limit.unwrap_or(self.shared.config.stop_grace));
                            waiting_for_permit = false;
                        }
                        RequestedState::Suspend | RequestedState::Service => {
                            if matches!(self.record.run.state, JobState::Suspended | JobState::Service) {
                                self.rest(rest_event(request.wanted)).await?;
                                waiting_for_permit = false;
                                continue;
                            }
                            self.live.set_wish(Wish::Pause);
                            deadline = limit.map(|l| Instant::now() + l);
                        }
                        RequestedState::Start => {
                            deadline = None;
                            if matches!(self.record.run.state, JobState::Suspended | JobState::Service) {
                                waiting_for_permit = true;
                            } else {
                                self.live.set_wish(Wish::Run);
                            }
                        }
                    }
                }
                Event::PauseReported => {
                    let paused = *pauses.borrow_and_update();
                    let wanted = self.current.as_ref().map(|r| r.wanted);
                    if paused
                        && let Some(wanted @ (RequestedState::Suspend | RequestedState::Service)) = wanted
                    {
                        deadline = None;
                        self.rest(rest_event(wanted)).await?;
                    }
                }
                Event::Permit(permit) => {
                    waiting_for_permit = false;
                    self.permit = Some(permit);
                    self.step_to(JobEvent::Resume)?;
                    self.step_to(JobEvent::Begun)?;
                    self.start_counting();
                    self.record.run.status = step.title();
                    self.write().await?;
                    self.live.set_wish(Wish::Run);
                }
                Event::Deadline => {
                    deadline = None;
                    if self.record.run.state == JobState::ShuttingDown {
                        drop(work);
                        let seconds = self.allowed_seconds();
                        let forced = errors::stop_forced(&self.record.spec, step.name(), seconds);
                        self.record.run.errors.push(forced);
                        return Ok(Outcome::Stopped);
                    }
                    // A suspension that did not come in time is withdrawn; the job goes on.
                    self.live.set_wish(Wish::Run);
                }
                Event::ShutDown => {
                    if !*self.shutdown.borrow() {
                        continue;
                    }
                    if step.cancellable() {
                        return Ok(Outcome::ShutDown);
                    }
                }
                Event::Tick => {
                    self.tick().await?;
                    if !self.over && step.cancellable() && self.time_is_over() {
                        if next(self.record.run.state, JobEvent::Stop).is_err() {
                            continue;
                        }
                        self.over = true;
                        self.step_to(JobEvent::Stop)?;
                        self.stop_counting();
                        "Stopping, UntilTime has come".clone_into(&mut self.record.run.status);
                        self.write().await?;
                        self.live.set_wish(Wish::Stop);
                        deadline = Some(Instant::now() + self.shared.config.stop_grace);
                        waiting_for_permit = false;
                    }
                }
            }
        }
    }

    /// Once in a while: keep the lease, publish progress, hear what was asked on another node.
    async fn tick(&mut self) -> Result<(), Halt> {
        self.record.run.progress = self.live.progress();
        let until = self.shared.clock.now() + self.shared.config.lease;
        match self.shared.store.renew(&self.lease, until).await {
            Ok(pending) => {
                self.lease.expires = until;
                if let Some(request) = pending
                    && self.current.as_ref().is_none_or(|c| c.at < request.at)
                    && self.peek_request().is_none_or(|p| p.at < request.at)
                {
                    self.live.ask(request);
                }
            }
            Err(StoreError::LeaseLost(_)) => return Err(Halt::LeaseLost),
            Err(error) => {
                tracing::warn!(job = %self.record.id(), %error, "cannot renew the lease yet");
                return Ok(());
            }
        }
        match self.shared.store.record(&self.lease, &self.record.run).await {
            Err(StoreError::LeaseLost(_)) => Err(Halt::LeaseLost),
            Err(error) => {
                tracing::warn!(job = %self.record.id(), %error, "cannot write the progress yet");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Undoes everything and ends the job.
    async fn end(&mut self, ending: Ending) -> Result<(), Halt> {
        self.collect_results();
        self.stop_counting();
        if matches!(ending, Ending::Terminated(_))
            && !matches!(self.record.run.state, JobState::New | JobState::ShuttingDown)
        {
            self.step_to(JobEvent::Stop)?;
            "Stopping".clone_into(&mut self.record.run.status);
            self.write().await?;
        }
        let mut trouble = Vec::new();
        self.undo_current(&mut trouble).await;
        while let Some(done) = self.record.run.steps.pop() {
            if let Some(step) = self.steps.get(self.record.run.steps.len()).cloned() {
                self.undo(&step, Some(&done.output), &mut trouble).await;
            }
        }
        let run = &mut self.record.run;
        let mut later = std::mem::take(&mut run.errors);
        match ending {
            Ending::Failed(reason) => {
                run.status = reason.message.clone();
                run.errors = vec![*reason];
                self.step_to(JobEvent::Fail)?;
            }
            Ending::Terminated(reasons) => {
                run.status = reasons.first().map_or_else(String::new, |r| r.message.clone());
                run.errors = reasons;
                self.step_to(JobEvent::EndStop)?;
            }
            Ending::Killed(reason) => {
                run.status = reason.message.clone();
                run.errors = vec![reason];
                self.step_to(JobEvent::Kill)?;
            }
        }
        self.record.run.errors.append(&mut later);
        self.record.run.undo_errors.append(&mut trouble);
        self.finish().await
    }

    fn time_is_over(&self) -> bool {
        self.until.is_some_and(|until| self.shared.clock.now() >= until)
    }

    /// How the job ends because its UntilTime has passed; `None` if it has not.
    fn ending_by_time(&self) -> Option<Ending> {
        let until = self.until.filter(|_| self.time_is_over())?;
        let spec = &self.record.spec;
        let began = self.record.run.started.is_some();
        let reason =
            if began { errors::until_reached(spec, until) } else { errors::until_passed(spec, until) };
        Some(Ending::Terminated(vec![reason]))
    }

    /// Writes the end of the job, which releases the lease.
    async fn finish(&mut self) -> Result<(), Halt> {
        self.collect_results();
        self.stop_counting();
        let share = self.record.run.progress.share;
        self.record.run.progress = self.live.progress();
        self.record.run.progress.share = share.max(self.record.run.progress.share);
        let now = self.shared.clock.now();
        self.record.run.finished = Some(now);
        self.record.run.cancellable = false;
        if self.record.settings.schedule.job_run_times != 1 {
            self.record.run.runs += 1;
            if let Some(due) = self.next_run(now) {
                return self.recur(now, due).await;
            }
        }
        self.write().await?;
        self.permit = None;
        self.shared.job_ended(&self.record);
        Ok(())
    }

    /// When the job runs again; `None` if this was its last run.
    fn next_run(&self, now: SystemTime) -> Option<SystemTime> {
        let schedule = &self.record.settings.schedule;
        let run = &self.record.run;
        let by_itself = matches!(run.state, JobState::Completed | JobState::Exception);
        let asked_to_end = self.requests.borrow().as_ref().is_some_and(|r| r.wanted.is_end());
        if !by_itself || asked_to_end || !schedule.allows_another(run.runs) {
            return None;
        }
        // Later than the moment this run was for, even if it took no time at all.
        let due = schedule.next_run(now + Duration::from_micros(1), &self.shared.zone)?;
        self.until.is_none_or(|until| due < until).then_some(due)
    }

    /// One run of several is over: it goes to the history, and the job waits for the next.
    async fn recur(&mut self, now: SystemTime, due: SystemTime) -> Result<(), Halt> {
        let Ok(state) = next(self.before, JobEvent::Recur) else {
            self.write().await?;
            self.permit = None;
            self.shared.job_ended(&self.record);
            return Ok(());
        };
        let spec =
            JobSpec { id: JobId::generate(), run_of: Some(self.record.id()), ..(*self.record.spec).clone() };
        let past = JobRecord { spec: Arc::new(spec), ..self.record.clone() };
        let waiting = has_to_wait(due, now);
        let run = JobRun {
            state,
            status: waiting.map_or_else(|| WAITS_FOR_ROOM.to_owned(), waits_until),
            changed: Some(now),
            runs: self.record.run.runs,
            due: waiting,
            ..JobRun::new()
        };
        let mut wait = Duration::from_millis(50);
        for attempt in 1.. {
            match self.shared.store.recur(&self.lease, &past, &run, now).await {
                Ok(()) => break,
                Err(error @ (StoreError::Backend { .. } | StoreError::Full(_))) if attempt < 8 => {
                    tracing::warn!(job = %self.record.id(), %error, attempt, "cannot write the end of a run; trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => return Err(halt(error)),
            }
        }
        let (id, ended) = (self.record.id(), past.run.state);
        tracing::info!(job = %id, name = %past.spec.name, run = past.run.runs, state = %ended, "run ended");
        self.shared.history_grew.store(true, Ordering::Release);
        self.record.run = run;
        self.live.set_state(state);
        self.permit = None;
        match waiting {
            Some(due) => self.shared.expect_due(due),
            None => self.shared.mark_backlog(),
        }
        Ok(())
    }

    /// The server shuts down: leave nothing half done and give the job back.
    async fn yield_job(&mut self) -> Result<(), Halt> {
        self.collect_results();
        self.stop_counting();
        let mut trouble = Vec::new();
        self.undo_current(&mut trouble).await;
        self.record.run.undo_errors.append(&mut trouble);
        if self.record.run.state == JobState::Running {
            self.step_to(JobEvent::Restart)?;
            "Waiting for the server to start again".clone_into(&mut self.record.run.status);
            // Being asked to wait is no failed attempt.
            self.record.run.attempts = self.record.run.attempts.saturating_sub(1);
        }
        self.give_back().await?;
        Err(Halt::Yielded)
    }

    async fn give_back(&mut self) -> Result<(), Halt> {
        self.shared.store.release(&self.lease, &self.record.run).await.map_err(halt)?;
        self.live.set_state(self.record.run.state);
        self.permit = None;
        Ok(())
    }

    /// The job comes to rest: the engine has stopped, or no step is running.
    async fn rest(&mut self, event: JobEvent) -> Result<(), Halt> {
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

    async fn wake_up(&mut self) -> Result<(), Halt> {
        if self.permit.is_none() {
            self.permit = Arc::clone(&self.shared.permits).acquire_owned().await.ok();
        }
        self.step_to(JobEvent::Resume)?;
        self.step_to(JobEvent::Begun)?;
        self.start_counting();
        self.write().await
    }

    fn current_step(&self) -> Option<&Arc<dyn Step>> {
        self.steps.get(self.record.run.steps.len())
    }

    async fn undo_current(&mut self, trouble: &mut Vec<ErrorDetail>) {
        if let Some(step) = self.current_step().cloned() {
            self.undo(&step, None, trouble).await;
        }
    }

    async fn undo(&mut self, step: &Arc<dyn Step>, output: Option<&str>, trouble: &mut Vec<ErrorDetail>) {
        let context = self.context();
        let limit = self.shared.config.undo_limit;
        let undo = AssertUnwindSafe(step.undo(&context, output)).catch_unwind();
        match tokio::time::timeout(limit, undo).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(reason))) => trouble.push(errors::undo_failed(&self.record.spec, step.name(), reason)),
            Ok(Err(panic)) => {
                let spec = &self.record.spec;
                let reason = errors::panicked(spec, step.name(), &panic_text(panic.as_ref()));
                trouble.push(errors::undo_failed(spec, step.name(), reason));
            }
            Err(_) => trouble.push(errors::undo_timed_out(&self.record.spec, step.name(), limit.as_secs())),
        }
    }

    fn context(&self) -> StepContext {
        StepContext {
            spec: Arc::clone(&self.record.spec),
            done: self.record.run.steps.clone().into(),
            live: Arc::clone(&self.live),
        }
    }

    fn step_to(&mut self, event: JobEvent) -> Result<(), Halt> {
        match next(self.record.run.state, event) {
            Ok(state) => {
                if state != self.record.run.state {
                    self.before = self.record.run.state;
                    self.record.run.changed = Some(self.shared.clock.now());
                }
                self.record.run.state = state;
                Ok(())
            }
            // A defect of the driver; writing a state that cannot be would make it worse.
            Err(impossible) => {
                Err(Halt::Store(StoreError::Corrupt(format!("job {}: {impossible}", self.record.id()))))
            }
        }
    }

    /// Writes the run; a store that fails for a moment is tried again, since a job must not be lost to it.
    async fn write(&mut self) -> Result<(), Halt> {
        let mut wait = Duration::from_millis(50);
        for attempt in 1.. {
            match self.shared.store.record(&self.lease, &self.record.run).await {
                Ok(()) => break,
                Err(error @ (StoreError::Backend { .. } | StoreError::Full(_))) if attempt < 8 => {
                    tracing::warn!(job = %self.record.id(), %error, attempt, "cannot write the state; trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => return Err(halt(error)),
            }
        }
        self.live.set_state(self.record.run.state);
        Ok(())
    }

    fn collect_results(&mut self) {
        for (name, value) in self.live.take_results() {
            self.record.run.results.retain(|(n, _)| *n != name);
            self.record.run.results.push((name, value));
        }
    }

    fn start_counting(&mut self) {
        let now = self.shared.clock.now();
        self.record.run.started.get_or_insert(now);
        self.record.run.running_since.get_or_insert(now);
    }

    fn stop_counting(&mut self) {
        if let Some(since) = self.record.run.running_since.take() {
            self.record.run.ran += self.shared.clock.now().duration_since(since).unwrap_or_default();
        }
    }

    /// The latest request, if it has not been looked at and still makes sense.
    fn take_request(&mut self) -> Option<StateRequest> {
        let request = self.requests.borrow_and_update().clone()?;
        if self.current.as_ref() == Some(&request) {
            return None;
        }
        let admitted = admit(self.record.run.state, request.wanted, self.record.run.cancellable);
        if admitted != Admission::Accept && request.wanted != RequestedState::Start {
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

    fn time_left(&self, request: &StateRequest) -> Option<Duration> {
        let deadline = request.deadline?;
        Some(deadline.duration_since(self.shared.clock.now()).unwrap_or_default())
    }

    fn allowed_seconds(&self) -> u64 {
        let asked = self.current.as_ref().and_then(|r| r.deadline?.duration_since(r.at).ok());
        asked.unwrap_or(self.shared.config.stop_grace).as_secs()
    }
}

/// Owns the step and its context, so that the future borrows nothing from the driver.
async fn run_owned(step: Arc<dyn Step>, context: StepContext) -> Result<String, StepError> {
    step.run(&context).await
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn rest_event(wanted: RequestedState) -> JobEvent {
    if wanted == RequestedState::Service { JobEvent::Hold } else { JobEvent::Suspend }
}

fn halt(error: StoreError) -> Halt {
    match error {
        StoreError::LeaseLost(_) => Halt::LeaseLost,
        other => Halt::Store(other),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned())
}
