//! What the service, its drivers and its loops share: the lines to the drivers, and what the dispatcher has to know.

use super::JobsConfig;
use crate::clock::Clock;
use crate::driver::Driver;
use crate::lease::{Holder, Lease};
use crate::live::{Live, LiveJobs};
use crate::record::{JobId, JobRecord};
use crate::schedule::Zone;
use crate::step::JobKinds;
use crate::store::JobStore;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;

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
    pub(super) next_due: Mutex<Option<SystemTime>>,
    /// Whether runs of recurring jobs have gone to the history since it was last trimmed.
    pub(crate) history_grew: AtomicBool,
    /// Whether jobs may be waiting, with a counter so that a look that began earlier cannot clear a later mark.
    pub(super) backlog: AtomicU64,
    pub(super) has_backlog: AtomicBool,
    pub(super) unfinished: AtomicU64,
    pub(super) owners: Mutex<HashMap<JobId, String>>,
    pub(super) tasks: TaskTracker,
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
