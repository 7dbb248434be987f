//! The one entrance to jobs for everybody else: start, look, change state ([`change`]), configure, remove. [`shared`] is what the
//! drivers and the loops know of it.

mod change;
mod shared;

pub use change::ChangeOutcome;
pub(crate) use shared::Shared;

use crate::clock::Clock;
use crate::dispatch;
use crate::driver::{Driver, WAITS_FOR_ROOM, begin, has_to_wait, waits_until};
use crate::lease::{Holder, Lease};
use crate::live::{Live, LiveJobs};
use crate::machine::{JobEvent, next};
use crate::record::{
    DEFAULT_TIME_BEFORE_REMOVAL, ElementKey, JobId, JobRecord, JobSettings, JobSpec, Progress,
};
use crate::retention;
use crate::schedule::{ScheduleMistake, Zone};
use crate::state::JobState;
use crate::step::JobKinds;
use crate::store::{JobCounts, JobFilter, JobStore, StoreError};
use cimwright_cim::ErrorDetail;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, Semaphore, watch};
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
}

/// What a job is doing and how far it is in bytes: the classes have a property for the share only.
fn with_bytes(title: String, progress: Progress) -> String {
    if progress.total == 0 {
        return title;
    }
    format!("{title} ({} of {} bytes)", progress.done, progress.total)
}
