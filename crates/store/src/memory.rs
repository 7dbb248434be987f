//! A store that forgets everything with its process: for tests, and as the shortest statement of what a store does.

use crate::fair::take_turns;
use crate::memory_outbox::MemoryOutbox;
use async_trait::async_trait;
use cimwright_jobs::{
    Candidate, ChangeObserver, ElementKey, Entry as Registration, Holder, JobCounts, JobFilter, JobId,
    JobRecord, JobRun, JobSettings, JobStore, Lease, Outbox, Outgoing, QueueState, Queued, StateRequest,
    StoreError,
};
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use uuid::Uuid;

/// A [`JobStore`] in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    jobs: BTreeMap<JobId, Entry>,
    /// Oldest removal first.
    history: Vec<Arc<JobRecord>>,
    outbox: MemoryOutbox,
}

#[derive(Debug)]
struct Entry {
    record: Arc<JobRecord>,
    lease: Option<Lease>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    /// The entry of a job that has not ended and whose lease this is.
    fn leased(&mut self, lease: &Lease) -> Result<&mut Entry, StoreError> {
        self.jobs
            .get_mut(&lease.job)
            .filter(|e| e.is_open() && e.lease.as_ref().is_some_and(|l| l.token == lease.token))
            .ok_or(StoreError::LeaseLost(lease.job))
    }

    /// The moments at which jobs that nobody drives have to be looked at.
    fn planned(&self, now: SystemTime) -> impl Iterator<Item = (SystemTime, &Entry)> {
        let free = self.jobs.values().filter(move |e| e.is_free(now));
        free.flat_map(|e| e.moments().into_iter().flatten().map(move |at| (at, e)))
    }

    fn archive(&mut self, id: JobId) {
        if let Some(entry) = self.jobs.remove(&id) {
            self.outbox.tell(Some(&entry.record), None);
            self.history.push(entry.record);
        }
    }

    /// Writes the run of a job whose lease this is, and tells it.
    fn write(&mut self, lease: &Lease, run: &JobRun) -> Result<&mut Entry, StoreError> {
        let before = self.leased(lease)?.record.clone();
        let entry = self.leased(lease)?;
        entry.write(run);
        let after = entry.record.clone();
        self.outbox.tell(Some(&before), Some(&after));
        self.jobs.get_mut(&lease.job).ok_or(StoreError::LeaseLost(lease.job))
    }
}

impl Entry {
    fn is_open(&self) -> bool {
        !self.record.run.state.is_finished()
    }

    fn is_free(&self, now: SystemTime) -> bool {
        self.lease.as_ref().is_none_or(|l| l.expires <= now)
    }

    /// Whether a driver may begin or go on at once.
    fn wants_driver(&self) -> bool {
        let asked_to_end = self.record.request.as_ref().is_some_and(|r| r.wanted.is_end());
        self.record.run.state.wants_driver() && (!self.record.run.waits_for_its_time() || asked_to_end)
    }

    /// When the job has to be looked at: its time has come, or it is over.
    fn moments(&self) -> [Option<SystemTime>; 2] {
        let run = &self.record.run;
        let due = run.due.filter(|_| run.waits_for_its_time());
        let until = self.record.settings.schedule.until().filter(|_| self.is_open());
        [due, until]
    }

    fn write(&mut self, run: &JobRun) {
        let ended = run.state.is_finished();
        let record = Arc::make_mut(&mut self.record);
        record.run = run.clone();
        if ended {
            record.request = None;
            self.lease = None;
        }
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn create(&self, job: &JobRecord, lease: Option<&Lease>) -> Result<(), StoreError> {
        let mut content = self.content();
        if content.jobs.contains_key(&job.id()) {
            return Err(StoreError::Exists(job.id()));
        }
        let mut entry = Entry { record: Arc::new(job.clone()), lease: lease.cloned() };
        entry.write(&job.run);
        let record = entry.record.clone();
        content.jobs.insert(job.id(), entry);
        content.outbox.tell(None, Some(&record));
        Ok(())
    }

    async fn load(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
        Ok(self.content().jobs.get(&id).map(|e| e.record.clone()))
    }

    async fn list(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let content = self.content();
        let wanted = content.jobs.range((from, Bound::Unbounded)).map(|(_, e)| e).filter(|e| {
            (filter.families.is_empty() || filter.families.contains(&e.record.spec.family))
                && (!filter.unfinished_only || e.is_open())
        });
        Ok(wanted.take(limit).map(|e| e.record.clone()).collect())
    }

    async fn count(&self) -> Result<JobCounts, StoreError> {
        let content = self.content();
        let unfinished = content.jobs.values().filter(|e| e.is_open()).count();
        Ok(JobCounts {
            unfinished: unfinished as u64,
            finished: (content.jobs.len() - unfinished) as u64,
            history: content.history.len() as u64,
        })
    }

    async fn candidates(
        &self,
        now: SystemTime,
        per_owner: usize,
        limit: usize,
    ) -> Result<Vec<Candidate>, StoreError> {
        let content = self.content();
        let mut by_owner: BTreeMap<&str, Vec<Candidate>> = BTreeMap::new();
        for entry in content.jobs.values().filter(|e| e.wants_driver() && e.is_free(now)) {
            let spec = &entry.record.spec;
            by_owner.entry(&spec.owner).or_default().push(Candidate {
                id: spec.id,
                owner: spec.owner.clone(),
                priority: entry.record.settings.priority,
                submitted: spec.submitted,
            });
        }
        let mut found = Vec::new();
        for mut jobs in by_owner.into_values() {
            jobs.sort_by_key(|c| (c.priority, c.id));
            jobs.truncate(per_owner);
            found.append(&mut jobs);
        }
        Ok(take_turns(found, limit))
    }

    async fn due(&self, now: SystemTime, limit: usize) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        let content = self.content();
        let mut found: Vec<_> = content.planned(now).filter(|(at, _)| *at <= now).collect();
        found.sort_by_key(|(at, e)| (*at, e.record.id()));
        let mut seen = HashSet::new();
        found.retain(|(_, e)| seen.insert(e.record.id()));
        Ok(found.into_iter().take(limit).map(|(_, e)| e.record.clone()).collect())
    }

    async fn next_due(&self, now: SystemTime) -> Result<Option<SystemTime>, StoreError> {
        Ok(self.content().planned(now).map(|(at, _)| at).filter(|at| *at > now).min())
    }

    async fn of_element(
        &self,
        element: ElementKey,
        family: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let content = self.content();
        let tied = content.jobs.range((from, Bound::Unbounded)).map(|(_, e)| &e.record).filter(|r| {
            r.spec.family == family && r.spec.elements().any(|path| ElementKey::of(path) == element)
        });
        Ok(tied.take(limit).cloned().collect())
    }

    async fn claim(
        &self,
        id: JobId,
        holder: Holder,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Option<(Lease, Arc<JobRecord>)>, StoreError> {
        let mut content = self.content();
        Ok(content.jobs.get_mut(&id).filter(|e| e.is_open() && e.is_free(now)).map(|entry| {
            let lease = Lease::new(id, holder, until);
            entry.lease = Some(lease.clone());
            (lease, entry.record.clone())
        }))
    }

    async fn record(&self, lease: &Lease, run: &JobRun) -> Result<(), StoreError> {
        self.content().write(lease, run)?;
        Ok(())
    }

    async fn renew(&self, lease: &Lease, until: SystemTime) -> Result<Option<StateRequest>, StoreError> {
        let mut content = self.content();
        let entry = content.leased(lease)?;
        entry.lease = Some(Lease { expires: until, ..lease.clone() });
        Ok(entry.record.request.clone())
    }

    async fn release(&self, lease: &Lease, run: &JobRun) -> Result<(), StoreError> {
        self.content().write(lease, run)?.lease = None;
        Ok(())
    }

    async fn recur(
        &self,
        lease: &Lease,
        past: &JobRecord,
        run: &JobRun,
        _now: SystemTime,
    ) -> Result<(), StoreError> {
        let mut content = self.content();
        let entry = content.write(lease, run)?;
        entry.lease = None;
        let record = Arc::make_mut(&mut entry.record);
        record.request = record.request.take().filter(|r| r.wanted.is_end());
        let settings = record.settings.clone();
        content.history.push(Arc::new(JobRecord { settings, request: None, ..past.clone() }));
        Ok(())
    }

    async fn reschedule(
        &self,
        lease: &Lease,
        run: &JobRun,
        settings: &JobSettings,
    ) -> Result<(), StoreError> {
        let mut content = self.content();
        let entry = content.leased(lease)?;
        let before = entry.record.clone();
        entry.write(run);
        entry.lease = None;
        Arc::make_mut(&mut entry.record).settings = settings.clone();
        let after = entry.record.clone();
        content.outbox.tell(Some(&before), Some(&after));
        Ok(())
    }

    async fn request(
        &self,
        id: JobId,
        request: Option<&StateRequest>,
    ) -> Result<Option<Arc<JobRecord>>, StoreError> {
        let mut content = self.content();
        Ok(content.jobs.get_mut(&id).filter(|e| e.is_open()).map(|entry| {
            Arc::make_mut(&mut entry.record).request = request.cloned();
            entry.record.clone()
        }))
    }

    async fn configure(
        &self,
        id: JobId,
        settings: &JobSettings,
    ) -> Result<Option<Arc<JobRecord>>, StoreError> {
        let mut content = self.content();
        let Some(entry) = content.jobs.get_mut(&id) else { return Ok(None) };
        let before = entry.record.clone();
        Arc::make_mut(&mut entry.record).settings = settings.clone();
        let after = entry.record.clone();
        content.outbox.tell(Some(&before), Some(&after));
        Ok(Some(after))
    }

    async fn remove(&self, id: JobId, _now: SystemTime) -> Result<bool, StoreError> {
        let mut content = self.content();
        let ended = content.jobs.get(&id).is_some_and(|e| !e.is_open());
        if ended {
            content.archive(id);
        }
        Ok(ended)
    }

    async fn expire(&self, now: SystemTime, limit: usize) -> Result<Vec<JobId>, StoreError> {
        let mut content = self.content();
        let mut due: Vec<(SystemTime, JobId)> = content
            .jobs
            .iter()
            .filter(|(_, e)| !e.is_open())
            .filter_map(|(id, e)| Some((e.record.removal_time()?, *id)))
            .filter(|(at, _)| *at <= now)
            .collect();
        due.sort();
        due.truncate(limit);
        let ids: Vec<JobId> = due.into_iter().map(|(_, id)| id).collect();
        for id in &ids {
            content.archive(*id);
        }
        Ok(ids)
    }

    async fn history(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
        Ok(self.content().history.iter().rev().find(|r| r.id() == id).cloned())
    }

    async fn recent_history(&self, limit: usize) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        Ok(self.content().history.iter().rev().take(limit).cloned().collect())
    }

    async fn trim_history(&self, keep: u64) -> Result<u64, StoreError> {
        let mut content = self.content();
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let excess = content.history.len().saturating_sub(keep);
        content.history.drain(..excess);
        Ok(excess as u64)
    }

    async fn abandon_leases(&self) -> Result<(), StoreError> {
        for entry in self.content().jobs.values_mut() {
            entry.lease = None;
        }
        Ok(())
    }

    async fn close(&self) {}
}

#[async_trait]
impl Outbox for MemoryStore {
    fn watch(&self, observer: Arc<dyn ChangeObserver>) {
        self.content().outbox.observer = Some(observer);
    }

    async fn entries(&self) -> Result<Vec<Registration>, StoreError> {
        Ok(self.content().outbox.entries())
    }

    async fn register(&self, entry: &Registration) -> Result<(), StoreError> {
        self.content().outbox.register(entry);
        Ok(())
    }

    async fn follow(
        &self,
        destination: Uuid,
        source: Uuid,
        from: Option<u64>,
    ) -> Result<Option<u64>, StoreError> {
        Ok(self.content().outbox.follow(destination, source, from))
    }

    async fn unregister(&self, id: Uuid) -> Result<bool, StoreError> {
        Ok(self.content().outbox.unregister(id))
    }

    async fn publish(&self, outgoing: Vec<Outgoing>) -> Result<(), StoreError> {
        self.content().outbox.publish(outgoing);
        Ok(())
    }

    async fn pending(&self, destination: Uuid, limit: usize) -> Result<Vec<Queued>, StoreError> {
        Ok(self.content().outbox.pending(destination, limit))
    }

    async fn settle(&self, destination: Uuid, sequence: u64) -> Result<u64, StoreError> {
        Ok(self.content().outbox.settle(destination, sequence))
    }

    async fn queue(&self, destination: Uuid) -> Result<Option<QueueState>, StoreError> {
        Ok(self.content().outbox.queue(destination))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{StoreFactory, run_on};

    struct Memory(Arc<MemoryStore>);

    #[async_trait]
    impl StoreFactory for Memory {
        fn fresh() -> Self {
            Self(Arc::default())
        }

        async fn open(&self) -> Arc<dyn JobStore> {
            self.0.clone()
        }
    }

    run_on!(Memory);

    mod outbox {
        use super::*;
        use crate::conformance_outbox::{OutboxFactory, run_on};

        #[async_trait]
        impl OutboxFactory for Memory {
            fn fresh() -> Self {
                Self(Arc::default())
            }

            async fn open(&self) -> (Arc<dyn JobStore>, Arc<dyn Outbox>) {
                (self.0.clone(), self.0.clone())
            }
        }

        run_on!(Memory);
    }
}
