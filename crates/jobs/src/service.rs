//! The one entrance to jobs for everybody else: start, look, change state, configure, remove.

use crate::admit::{Admission, Refusal, admit};
use crate::clock::Clock;
use crate::dispatch;
use crate::driver::{Driver, WAITS_FOR_ROOM, begin, has_to_wait, waits_until};
use crate::errors;
use crate::lease::{Holder, Lease};
use crate::live::{Live, LiveJobs};
use crate::machine::{JobEvent, next};
use crate::record::{
    DEFAULT_TIME_BEFORE_REMOVAL, ElementKey, JobId, JobRecord, JobSettings, JobSpec, Progress, StateRequest,
};
use crate::retention;
use crate::schedule::{ScheduleMistake, Zone};
use crate::state::{JobState, RequestedState};
use crate::step::JobKinds;
use crate::store::{JobCounts, JobFilter, JobStore, StoreError};
use cimwright_cim::ErrorDetail;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Limits and periods of the job service.
#[derive(Clone, Debug)]
pub struct JobsConfig {
    /// How many jobs run at once.
    pub concurrency: usize,
    /// How many jobs that have not ended are accepted; one more is refused.
    pub max_unfinished: u64,
    /// How many ended jobs the history keeps.
    pub history_limit: u64,
    /// How long a lease lasts without being renewed.
    pub lease: Duration,
    /// How often a running job renews its lease and writes its progress.
    pub tick: Duration,
    /// How often the dispatcher looks for work without being told.
    pub poll_interval: Duration,
    /// How often finished jobs are looked through.
    pub retention_interval: Duration,
    /// How long a step may take to stop in order when the client sets no limit.
    pub stop_grace: Duration,
    /// How long one undo may take.
    pub undo_limit: Duration,
    /// How long RequestStateChange waits for the transition before it answers 4096.
    pub change_wait: Duration,
    /// TimeBeforeRemoval of a new job.
    pub time_before_removal: Duration,
    /// What LocalOrUtcTime means by local time; `None` for the time zone of the machine.
    pub zone: Option<Zone>,
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self {
            concurrency: 4,
            max_unfinished: 100_000,
            history_limit: 100_000,
            lease: Duration::from_secs(30),
            tick: Duration::from_secs(1),
            poll_interval: Duration::from_secs(5),
            retention_interval: Duration::from_secs(1),
            stop_grace: Duration::from_secs(30),
            undo_limit: Duration::from_secs(60),
            change_wait: Duration::from_secs(5),
            time_before_removal: DEFAULT_TIME_BEFORE_REMOVAL,
            zone: None,
        }
    }
}

/// What can go wrong besides the job itself.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// There is no such job (any more).
    #[error("there is no job {0}")]
    NotFound(JobId),
    /// The job has not ended and cannot be removed.
    #[error("job {0} has not ended; terminate it before you delete it")]
    NotFinished(JobId),
    /// Too many jobs are waiting.
    #[error("the server has {0} jobs that have not ended, which is its limit; wait for some of them")]
    QueueFull(u64),
    /// When a job is to run can be changed only before it runs.
    #[error(
        "job {0} is {1}: when it runs can be changed only while it has not begun (JobState New, or Suspended before it ran)"
    )]
    ScheduleFixed(JobId, JobState),
    /// Nobody can run a job then.
    #[error("{0}")]
    BadSchedule(#[from] ScheduleMistake),
    /// The server is being shut down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

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

/// The job service. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    shared: Arc<Shared>,
}

/// The job service as somebody sees it who must not keep it alive: its jobs may need them.
#[derive(Clone)]
pub struct WeakJobs {
    shared: Weak<Shared>,
}

impl WeakJobs {
    /// The service, if it is there still.
    pub fn upgrade(&self) -> Option<Jobs> {
        self.shared.upgrade().map(|shared| Jobs { shared })
    }
}

impl fmt::Debug for WeakJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakJobs").finish_non_exhaustive()
    }
}

/// What the service, the drivers and the loops share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) kinds: JobKinds,
    pub(crate) config: JobsConfig,
    pub(crate) holder: Holder,
    pub(crate) live: LiveJobs,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) wake: Notify,
    pub(crate) shutdown: watch::Sender<bool>,
    pub(crate) zone: Zone,
    /// No job is due before this moment; `None` if none is due at all.
    next_due: Mutex<Option<SystemTime>>,
    /// Whether runs of recurring jobs have gone to the history since it was last trimmed.
    pub(crate) history_grew: AtomicBool,
    /// Whether jobs may be waiting, with a counter so that a look that began earlier cannot clear a later mark.
    backlog: AtomicU64,
    has_backlog: AtomicBool,
    unfinished: AtomicU64,
    owners: Mutex<HashMap<JobId, String>>,
    tasks: TaskTracker,
}

impl Jobs {
    /// Opens the service: takes up what an earlier process left and starts the loops. Call inside a Tokio runtime.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(
        store: Arc<dyn JobStore>,
        clock: Arc<dyn Clock>,
        kinds: JobKinds,
        config: JobsConfig,
    ) -> Result<Self, StoreError> {
        store.abandon_leases().await?;
        let counts = store.count().await?;
        let now = clock.now();
        let shared = Arc::new(Shared {
            zone: config.zone.clone().unwrap_or_else(Zone::system),
            // Not known: the dispatcher looks.
            next_due: Mutex::new(Some(now)),
            history_grew: AtomicBool::new(false),
            permits: Arc::new(Semaphore::new(config.concurrency)),
            store,
            clock,
            kinds,
            config,
            holder: Holder::random(),
            live: LiveJobs::default(),
            wake: Notify::new(),
            shutdown: watch::Sender::new(false),
            backlog: AtomicU64::new(1),
            has_backlog: AtomicBool::new(true),
            unfinished: AtomicU64::new(counts.unfinished),
            owners: Mutex::default(),
            tasks: TaskTracker::new(),
        });
        let jobs = Self { shared };
        jobs.park_suspended().await?;
        jobs.shared.tasks.spawn(dispatch::run(Arc::clone(&jobs.shared)));
        jobs.shared.tasks.spawn(retention::run(Arc::clone(&jobs.shared)));
        Ok(jobs)
    }

    /// Accepts a job. When this returns, the job is durable; it runs at once if its schedule says nothing else and there is room,
    /// else when its time and its turn come.
    ///
    /// # Errors
    /// When the schedule cannot be followed, too many jobs wait, the server shuts down, or the store fails. Nothing was started
    /// then.
    pub async fn start(&self, spec: JobSpec, mut settings: JobSettings) -> Result<Arc<JobRecord>, JobsError> {
        let shared = &self.shared;
        if *shared.shutdown.borrow() {
            return Err(JobsError::ShuttingDown);
        }
        let mut due = None;
        if !settings.schedule.is_plain() {
            let now = shared.clock.now();
            due = self.plan(&mut settings, now)?;
        }
        if shared.unfinished.fetch_add(1, Ordering::AcqRel) >= shared.config.max_unfinished {
            shared.unfinished.fetch_sub(1, Ordering::AcqRel);
            return Err(JobsError::QueueFull(shared.config.max_unfinished));
        }
        let mut record = JobRecord::new(spec, settings);
        if let Some(due) = due {
            record.run.due = Some(due);
            record.run.status = waits_until(due);
        }
        let permit = if due.is_some() || shared.has_backlog.load(Ordering::Acquire) {
            None
        } else {
            Arc::clone(&shared.permits).try_acquire_owned().ok()
        };
        let Some(permit) = permit else {
            if let Err(error) = shared.store.create(&record, None).await {
                shared.unfinished.fetch_sub(1, Ordering::AcqRel);
                return Err(error.into());
            }
            let over = record.settings.schedule.until();
            match due {
                Some(due) => shared.expect_due(over.map_or(due, |over| over.min(due))),
                None => {
                    shared.mark_backlog();
                    if let Some(over) = over {
                        shared.expect_due(over);
                    }
                }
            }
            return Ok(Arc::new(record));
        };
        // There is room and nobody waits: create the job as running, in one write instead of two.
        let now = shared.clock.now();
        let lease = Lease::new(record.id(), shared.holder, now + shared.config.lease);
        begin(&mut record.run, now);
        if let Err(error) = shared.store.create(&record, Some(&lease)).await {
            shared.unfinished.fetch_sub(1, Ordering::AcqRel);
            return Err(error.into());
        }
        let answer = Arc::new(record.clone());
        shared.spawn_driver(record, lease, Some(permit), true);
        Ok(answer)
    }

    /// Stores a job that failed before it began, so that the caller can ask why.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn refuse(
        &self,
        spec: JobSpec,
        settings: JobSettings,
        reason: ErrorDetail,
    ) -> Result<Arc<JobRecord>, JobsError> {
        let now = self.shared.clock.now();
        let mut record = JobRecord::new(spec, settings);
        if let Ok(state) = next(record.run.state, JobEvent::Fail) {
            record.run.state = state;
        }
        record.run.changed = Some(now);
        record.run.finished = Some(now);
        record.run.cancellable = false;
        record.run.status = reason.message.clone();
        record.run.errors = vec![reason];
        self.shared.store.create(&record, None).await?;
        Ok(Arc::new(record))
    }

    /// The job, with the progress it has at this moment.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
        Ok(self.shared.store.load(id).await?.map(|record| self.freshen(record)))
    }

    /// As [`JobStore::list`], with the progress the jobs have at this moment.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        let page = self.shared.store.list(filter, after, limit).await?;
        Ok(page.into_iter().map(|record| self.freshen(record)).collect())
    }

    /// As [`JobStore::of_element`], with the progress the jobs have at this moment.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_element(
        &self,
        element: ElementKey,
        family: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        let page = self.shared.store.of_element(element, family, after, limit).await?;
        Ok(page.into_iter().map(|record| self.freshen(record)).collect())
    }

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
                live.ask(request);
                return Ok(self.wait_for(id, &live, wanted, timeout).await);
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

    /// Waits for the end of a job, at most `within`; the job as it is then. `None` if it is gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn wait_end(&self, id: JobId, within: Duration) -> Result<Option<Arc<JobRecord>>, StoreError> {
        let deadline = Instant::now() + within;
        loop {
            let live = self.shared.live.get(id);
            let record = self.load(id).await?;
            if record.as_ref().is_none_or(|r| r.run.state.is_finished()) || Instant::now() >= deadline {
                return Ok(record);
            }
            let now = Instant::now();
            match live {
                Some(live) => {
                    let mut states = live.states();
                    let ended = states.wait_for(|s| s.is_finished());
                    // Its driver may lose the job, and then does not tell how it ends.
                    let _ = tokio::time::timeout_at(deadline.min(now + Duration::from_secs(1)), ended).await;
                }
                // A queued job has no line yet, and one on another node never has: look again soon.
                None => {
                    tokio::time::sleep_until(deadline.min(now + Duration::from_millis(20))).await;
                }
            }
        }
    }

    /// Replaces the settings of a job.
    ///
    /// # Errors
    /// When there is no such job, the schedule is another one although the job has begun, or it cannot be followed, or the store
    /// fails.
    pub async fn configure(&self, id: JobId, settings: &JobSettings) -> Result<(), JobsError> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut settings = settings.clone();
        settings.schedule = settings.schedule.settled(now);
        let record = self.load(id).await?.ok_or(JobsError::NotFound(id))?;
        if settings.schedule == record.settings.schedule {
            let changed = shared.store.configure(id, &settings).await?;
            return changed.map(drop).ok_or(JobsError::NotFound(id));
        }
        let fixed = |state| JobsError::ScheduleFixed(id, state);
        if !record.run.is_unbegun() {
            return Err(fixed(record.run.state));
        }
        if !settings.schedule.allows_another(record.run.runs) {
            return Err(ScheduleMistake::RunOften.into());
        }
        let due = self.plan(&mut settings, now)?;
        let until = now + shared.config.lease;
        let Some((lease, record)) = shared.store.claim(id, shared.holder, now, until).await? else {
            // A driver was faster.
            return Err(fixed(JobState::Starting));
        };
        let mut run = record.run.clone();
        if !run.is_unbegun() {
            shared.store.release(&lease, &run).await?;
            return Err(fixed(run.state));
        }
        run.due = due;
        if run.state == JobState::New {
            run.status = due.map_or_else(|| WAITS_FOR_ROOM.to_owned(), waits_until);
        }
        shared.store.reschedule(&lease, &run, &settings).await?;
        for at in due.into_iter().chain(settings.schedule.until()) {
            shared.expect_due(at);
        }
        if due.is_none() {
            shared.mark_backlog();
        }
        Ok(())
    }

    /// Removes a finished job from the namespace; it stays in the history.
    ///
    /// # Errors
    /// When there is no such job, it has not ended, or the store fails.
    pub async fn delete(&self, id: JobId) -> Result<(), JobsError> {
        let record = self.shared.store.load(id).await?.ok_or(JobsError::NotFound(id))?;
        if !record.run.state.is_finished() {
            return Err(JobsError::NotFinished(id));
        }
        if self.shared.store.remove(id, self.shared.clock.now()).await? {
            Ok(())
        } else {
            Err(JobsError::NotFound(id))
        }
    }

    /// A job that has left the namespace.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn history(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
        self.shared.store.history(id).await
    }

    /// The most recent jobs that have left the namespace, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn recent_history(&self, limit: usize) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        self.shared.store.recent_history(limit).await
    }

    /// How many jobs there are.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn counts(&self) -> Result<JobCounts, StoreError> {
        self.shared.store.count().await
    }

    /// How many jobs are being driven by this process, suspended ones included.
    pub fn driven(&self) -> usize {
        self.shared.live.len()
    }

    /// The settings of a job for which nobody has said anything else.
    pub fn default_settings(&self) -> JobSettings {
        JobSettings { time_before_removal: self.shared.config.time_before_removal, ..JobSettings::default() }
    }

    /// The same service, without keeping it alive.
    pub fn downgrade(&self) -> WeakJobs {
        WeakJobs { shared: Arc::downgrade(&self.shared) }
    }

    /// The clock everybody uses.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// Stops taking work, brings running jobs to a safe point and waits for it at most `grace`. Returns whether all got there.
    pub async fn shut_down(&self, grace: Duration) -> bool {
        self.shared.shutdown.send_replace(true);
        self.shared.tasks.close();
        let calm = tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_ok();
        self.shared.store.close().await;
        calm
    }

    /// Settles and checks a new schedule; the moment the job is due at, unless that is now.
    fn plan(
        &self,
        settings: &mut JobSettings,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, ScheduleMistake> {
        let schedule = settings.schedule.clone().settled(now);
        schedule.check(now, &self.shared.zone)?;
        let due = schedule.next_run(now, &self.shared.zone).and_then(|due| has_to_wait(due, now));
        settings.schedule = schedule;
        Ok(due)
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

    /// Removes what suspended jobs of an earlier process left in the file system; they stay suspended.
    async fn park_suspended(&self) -> Result<(), StoreError> {
        let filter = JobFilter { families: Vec::new(), unfinished_only: true };
        let mut after = None;
        loop {
            let page = self.shared.store.list(&filter, after, 500).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id());
            for record in &page {
                if !matches!(record.run.state, JobState::Suspended | JobState::Service) {
                    continue;
                }
                let now = self.shared.clock.now();
                let until = now + self.shared.config.lease;
                if let Some((lease, record)) =
                    self.shared.store.claim(record.id(), self.shared.holder, now, until).await?
                {
                    let live = Arc::new(Live::new(record.run.state));
                    Driver::new(Arc::clone(&self.shared), (*record).clone(), lease, live, None)
                        .drive(false)
                        .await;
                }
            }
        }
    }

    fn freshen(&self, record: Arc<JobRecord>) -> Arc<JobRecord> {
        if record.run.state.is_finished() {
            return record;
        }
        match self.shared.live.get(record.id()) {
            Some(live) => {
                let mut fresh = (*record).clone();
                fresh.run.progress = live.progress();
                if fresh.run.state == JobState::Running
                    && let Some(step) = live.step()
                {
                    fresh.run.status = with_bytes(step.title, fresh.run.progress);
                    fresh.run.cancellable = step.cancellable;
                }
                Arc::new(fresh)
            }
            None => record,
        }
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
            return Ok(self.wait_for(live.0, &live.1, request.wanted, timeout).await);
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
        wanted: RequestedState,
        timeout: Option<Duration>,
    ) -> ChangeOutcome {
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
            // The driver has withdrawn it; drop it from the store too, so that a restart does not carry it out.
            if let Err(error) = self.shared.store.request(id, None).await {
                tracing::warn!(job = %id, %error, "cannot clear a request that was not met in time");
            }
            return ChangeOutcome::NotInTime;
        }
        ChangeOutcome::Started
    }
}

/// What a job is doing and how far it is in bytes: the classes have a property for the share only.
fn with_bytes(title: String, progress: Progress) -> String {
    if progress.total == 0 {
        return title;
    }
    format!("{title} ({} of {} bytes)", progress.done, progress.total)
}

impl Shared {
    /// Starts a driver and returns the line to it.
    pub(crate) fn spawn_driver(
        self: &Arc<Self>,
        record: JobRecord,
        lease: Lease,
        permit: Option<OwnedSemaphorePermit>,
        fresh: bool,
    ) -> (JobId, Arc<Live>) {
        let id = record.id();
        let live = Arc::new(Live::new(record.run.state));
        live.set_progress(record.run.progress);
        self.live.insert(id, Arc::clone(&live));
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).insert(id, record.spec.owner.clone());
        let shared = Arc::clone(self);
        let driver = Driver::new(Arc::clone(self), record, lease, Arc::clone(&live), permit);
        self.tasks.spawn(async move {
            driver.drive(fresh).await;
            shared.owners.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            shared.wake.notify_one();
        });
        (id, live)
    }

    /// How many jobs of each owner this process drives.
    pub(crate) fn running_by_owner(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for owner in self.owners.lock().unwrap_or_else(PoisonError::into_inner).values() {
            *counts.entry(owner.clone()).or_default() += 1;
        }
        counts
    }

    /// Called once for every job that has ended.
    pub(crate) fn job_ended(&self, record: &JobRecord) {
        let _ = self.unfinished.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
        let errors = record.run.errors.first().map(|e| e.message_id.as_str());
        tracing::info!(job = %record.id(), name = %record.spec.name, state = %record.run.state, error = errors, "job ended");
    }

    /// There is a job that is due at this moment.
    pub(crate) fn expect_due(&self, at: SystemTime) {
        let mut next = self.next_due.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none_or(|known| at < known) {
            *next = Some(at);
            // The dispatcher may be asleep until a later moment.
            self.wake.notify_one();
        }
    }

    /// As [`Shared::expect_due`], for the dispatcher, which is awake.
    pub(crate) fn keep_due(&self, at: SystemTime) {
        let mut next = self.next_due.lock().unwrap_or_else(PoisonError::into_inner);
        *next = Some(next.map_or(at, |known| known.min(at)));
    }

    /// The moment before which no job is due, which it forgets if it has come.
    pub(crate) fn take_next_due(&self, now: SystemTime) -> bool {
        self.next_due.lock().unwrap_or_else(PoisonError::into_inner).take_if(|at| *at <= now).is_some()
    }

    /// The moment before which no job is due; `None` if none is due at all.
    pub(crate) fn next_due(&self) -> Option<SystemTime> {
        *self.next_due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mark_backlog(&self) {
        self.backlog.fetch_add(1, Ordering::AcqRel);
        self.has_backlog.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// To be taken before looking for waiting jobs, and given to [`Shared::clear_backlog`] when none was found.
    pub(crate) fn backlog_mark(&self) -> u64 {
        self.backlog.load(Ordering::Acquire)
    }

    pub(crate) fn clear_backlog(&self, mark: u64) {
        self.has_backlog.store(false, Ordering::Release);
        // Somebody queued a job after the look began: the look says nothing about it.
        if self.backlog.load(Ordering::Acquire) != mark {
            self.has_backlog.store(true, Ordering::Release);
            self.wake.notify_one();
        }
    }
}
