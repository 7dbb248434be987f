//! A store that fails when it is told to, for tests of what is built on stores.

use crate::MemoryStore;
use async_trait::async_trait;
use cimwright_jobs::{
    Candidate, ElementKey, Holder, JobCounts, JobFilter, JobId, JobRecord, JobRun, JobSettings, JobStore,
    Lease, StateRequest, StoreError,
};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// A store in memory of which single operations fail for as long as a test wants it.
#[derive(Debug)]
pub struct BrittleStore {
    inner: Arc<MemoryStore>,
    broken: Mutex<HashSet<&'static str>>,
    failures: AtomicUsize,
}

impl BrittleStore {
    /// A store that works so far.
    pub fn new(inner: Arc<MemoryStore>) -> Self {
        Self { inner, broken: Mutex::default(), failures: AtomicUsize::new(0) }
    }

    /// From now on only these fail: operations by the name they have in [`JobStore`].
    pub fn fail_at(&self, operations: impl IntoIterator<Item = &'static str>) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = operations.into_iter().collect();
    }

    /// How often an operation has failed.
    pub fn failures(&self) -> usize {
        self.failures.load(Ordering::Acquire)
    }

    fn check(&self, operation: &str) -> Result<(), StoreError> {
        if !self.broken.lock().unwrap_or_else(PoisonError::into_inner).contains(operation) {
            return Ok(());
        }
        self.failures.fetch_add(1, Ordering::AcqRel);
        let source = std::io::Error::other("/secret/jobs.db: I/O error").into();
        Err(StoreError::Backend { context: format!("{operation} of /secret/jobs.db"), source })
    }
}

#[async_trait]
impl JobStore for BrittleStore {
    async fn create(&self, job: &JobRecord, lease: Option<&Lease>) -> Result<(), StoreError> {
        self.check("create")?;
        self.inner.create(job, lease).await
    }
    async fn load(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
        self.check("load")?;
        self.inner.load(id).await
    }
    async fn list(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        self.check("list")?;
        self.inner.list(filter, after, limit).await
    }
    async fn count(&self) -> Result<JobCounts, StoreError> {
        self.check("count")?;
        self.inner.count().await
    }
    async fn candidates(
        &self,
        now: SystemTime,
        per_owner: usize,
        limit: usize,
    ) -> Result<Vec<Candidate>, StoreError> {
        self.check("candidates")?;
        self.inner.candidates(now, per_owner, limit).await
    }
    async fn due(&self, now: SystemTime, limit: usize) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        self.check("due")?;
        self.inner.due(now, limit).await
    }
    async fn next_due(&self, now: SystemTime) -> Result<Option<SystemTime>, StoreError> {
        self.check("next_due")?;
        self.inner.next_due(now).await
    }
    async fn of_element(
        &self,
        element: ElementKey,
        family: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        self.check("of_element")?;
        self.inner.of_element(element, family, after, limit).await
    }
    async fn recur(
        &self,
        lease: &Lease,
        past: &JobRecord,
        run: &JobRun,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        self.check("recur")?;
        self.inner.recur(lease, past, run, now).await
    }
    async fn reschedule(
        &self,
        lease: &Lease,
        run: &JobRun,
        settings: &JobSettings,
    ) -> Result<(), StoreError> {
        self.check("reschedule")?;
        self.inner.reschedule(lease, run, settings).await
    }
    async fn claim(
        &self,
        id: JobId,
        holder: Holder,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Option<(Lease, Arc<JobRecord>)>, StoreError> {
        self.check("claim")?;
        self.inner.claim(id, holder, now, until).await
    }
    async fn record(&self, lease: &Lease, run: &JobRun) -> Result<(), StoreError> {
        self.check("record")?;
        self.inner.record(lease, run).await
    }
    async fn renew(&self, lease: &Lease, until: SystemTime) -> Result<Option<StateRequest>, StoreError> {
        self.check("renew")?;
        self.inner.renew(lease, until).await
    }
    async fn release(&self, lease: &Lease, run: &JobRun) -> Result<(), StoreError> {
        self.check("release")?;
        self.inner.release(lease, run).await
    }
    async fn request(
        &self,
        id: JobId,
        request: Option<&StateRequest>,
    ) -> Result<Option<Arc<JobRecord>>, StoreError> {
        self.check("request")?;
        self.inner.request(id, request).await
    }
    async fn configure(
        &self,
        id: JobId,
        settings: &JobSettings,
    ) -> Result<Option<Arc<JobRecord>>, StoreError> {
        self.check("configure")?;
        self.inner.configure(id, settings).await
    }
    async fn remove(&self, id: JobId, now: SystemTime) -> Result<bool, StoreError> {
        self.check("remove")?;
        self.inner.remove(id, now).await
    }
    async fn expire(&self, now: SystemTime, limit: usize) -> Result<Vec<JobId>, StoreError> {
        self.check("expire")?;
        self.inner.expire(now, limit).await
    }
    async fn history(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
        self.check("history")?;
        self.inner.history(id).await
    }
    async fn recent_history(&self, limit: usize) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        self.check("recent_history")?;
        self.inner.recent_history(limit).await
    }
    async fn trim_history(&self, keep: u64) -> Result<u64, StoreError> {
        self.check("trim_history")?;
        self.inner.trim_history(keep).await
    }
    async fn abandon_leases(&self) -> Result<(), StoreError> {
        self.check("abandon_leases")?;
        self.inner.abandon_leases().await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}
