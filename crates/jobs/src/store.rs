//! What a backend for jobs promises. Implementations and the conformance suite that every one of them passes are in the
//! `cimwright-store` crate.

use crate::lease::{Holder, Lease};
use crate::record::{ElementKey, JobId, JobRecord, JobRun, JobSettings, StateRequest};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::SystemTime;

/// Durable storage for jobs.
///
/// Every method that changes something has made it durable when it returns `Ok`, and changes nothing when it returns `Err`. The
/// methods never wait for one another longer than a write takes; none of them blocks the async runtime.
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Stores a new job. With a lease the job is created as taken by its holder, in the same transaction.
    async fn create(&self, job: &JobRecord, lease: Option<&Lease>) -> Result<(), StoreError>;

    /// The job with this id, if it is in the namespace (not in the history).
    async fn load(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError>;

    /// Up to `limit` jobs of `filter` with an id greater than `after`, by id ascending (which is by submission).
    async fn list(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError>;

    /// How many jobs there are.
    async fn count(&self) -> Result<JobCounts, StoreError>;

    /// Jobs that want a driver and have none (no lease, or an expired one): of every owner the first `per_owner` by priority and
    /// then age, and at most `limit` in all.
    async fn candidates(
        &self,
        now: SystemTime,
        per_owner: usize,
        limit: usize,
    ) -> Result<Vec<Candidate>, StoreError>;

    /// Up to `limit` jobs that nobody drives and whose time has come: those in the queue that were not to begin before now or
    /// earlier, and unfinished ones whose UntilTime has passed. [`JobStore::candidates`] has none of the former.
    async fn due(&self, now: SystemTime, limit: usize) -> Result<Vec<Arc<JobRecord>>, StoreError>;

    /// The first moment after `now` at which [`JobStore::due`] may have another job.
    async fn next_due(&self, now: SystemTime) -> Result<Option<SystemTime>, StoreError>;

    /// Up to `limit` jobs of a family that may be tied to an element, with an id greater than `after`, by id ascending. Jobs of
    /// other elements may be among them, but hardly ever are.
    async fn of_element(
        &self,
        element: ElementKey,
        family: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError>;

    /// Takes a job that has no lease or an expired one. `None` if it is gone, has ended, or somebody else has it.
    async fn claim(
        &self,
        id: JobId,
        holder: Holder,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Option<(Lease, Arc<JobRecord>)>, StoreError>;

    /// Writes how far the job is. A run that has ended releases the lease and drops a pending request in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if the lease is not the one in the store; nothing is written then.
    async fn record(&self, lease: &Lease, run: &JobRun) -> Result<(), StoreError>;

    /// Extends a lease and tells what clients have asked for meanwhile.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] as for [`JobStore::record`].
    async fn renew(&self, lease: &Lease, until: SystemTime) -> Result<Option<StateRequest>, StoreError>;

    /// Gives a lease back and writes the run in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] as for [`JobStore::record`].
    async fn release(&self, lease: &Lease, run: &JobRun) -> Result<(), StoreError>;

    /// Ends one run of a recurring job: puts `past` into the history, writes the run that comes next and gives the lease back, all
    /// in one transaction. A pending request for the end of the job stays and makes it a candidate at once; any other is dropped.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] as for [`JobStore::record`].
    async fn recur(
        &self,
        lease: &Lease,
        past: &JobRecord,
        run: &JobRun,
        now: SystemTime,
    ) -> Result<(), StoreError>;

    /// Gives a lease back and writes the run and the settings in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] as for [`JobStore::record`].
    async fn reschedule(&self, lease: &Lease, run: &JobRun, settings: &JobSettings)
    -> Result<(), StoreError>;

    /// Sets or (with `None`) clears what a client wants. `None` is returned if the job is gone or has ended; nothing is written
    /// then.
    async fn request(
        &self,
        id: JobId,
        request: Option<&StateRequest>,
    ) -> Result<Option<Arc<JobRecord>>, StoreError>;

    /// Replaces the settings; takes effect on finished jobs too. `None` if the job is gone.
    async fn configure(
        &self,
        id: JobId,
        settings: &JobSettings,
    ) -> Result<Option<Arc<JobRecord>>, StoreError>;

    /// Moves a finished job to the history. `false` if it is gone or has not ended.
    async fn remove(&self, id: JobId, now: SystemTime) -> Result<bool, StoreError>;

    /// Moves up to `limit` jobs whose time of removal has passed to the history; returns their ids.
    async fn expire(&self, now: SystemTime, limit: usize) -> Result<Vec<JobId>, StoreError>;

    /// A job that has left the namespace.
    async fn history(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError>;

    /// The most recent jobs of the history, newest first.
    async fn recent_history(&self, limit: usize) -> Result<Vec<Arc<JobRecord>>, StoreError>;

    /// Drops all of the history but the newest `keep` jobs; returns how many went.
    async fn trim_history(&self, keep: u64) -> Result<u64, StoreError>;

    /// Ends all leases of earlier processes. A backend that only one process can open at a time does so, since none of them can
    /// be alive; a shared backend does nothing and lets leases expire.
    async fn abandon_leases(&self) -> Result<(), StoreError>;

    /// Waits until everything is written and closes files.
    async fn close(&self);
}

/// Which jobs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only these families; empty means all.
    pub families: Vec<String>,
    /// Only jobs that have not ended.
    pub unfinished_only: bool,
}

/// How many jobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Not ended.
    pub unfinished: u64,
    /// Ended, still in the namespace.
    pub finished: u64,
    /// In the history.
    pub history: u64,
}

/// A job that wants a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The job.
    pub id: JobId,
    /// Who started it.
    pub owner: String,
    /// Its priority; lower numbers go first.
    pub priority: u32,
    /// When it was submitted.
    pub submitted: SystemTime,
}

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has the job now. The driver stops and writes nothing.
    #[error("the lease of job {0} is held by somebody else")]
    LeaseLost(JobId),
    /// A job with this id exists.
    #[error("job {0} exists already")]
    Exists(JobId),
    /// There is no space left where the store is.
    #[error("there is no space left for the job store: {0}")]
    Full(String),
    /// What is stored cannot be understood.
    #[error("the job store cannot be read: {0}")]
    Corrupt(String),
    /// The backend failed.
    #[error("the job store failed: {context}")]
    Backend {
        /// What was attempted.
        context: String,
        /// What the backend said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
