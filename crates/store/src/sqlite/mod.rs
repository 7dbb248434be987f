//! The default store: one SQLite file, one process.
//!
//! - `writer`: the only one that writes; many callers share a commit.
//! - `work`, `again`, `leave`, `outbox`: what it does, one type per method of the traits.
//! - `read`: connections that only read, beside the writer.
//! - `cache`: records that cost no SQL at all.
//! - `migrate`, `lock`: what happens when the file is opened.

mod again;
mod cache;
pub(crate) mod error;
mod leave;
pub(crate) mod lock;
pub(crate) mod migrate;
mod outbox;
mod read;
mod row;
mod work;
mod writer;

use crate::form;
use again::{Recur, Reschedule};
use async_trait::async_trait;
use cache::{Cache, Lookup};
use cimwright_jobs::{
    Candidate, ChangeObserver, ElementKey, Entry, Holder, JobCounts, JobFilter, JobId, JobRecord, JobRun,
    JobSettings, JobStore, Lease, Outbox, Outgoing, QueueState, Queued, StateRequest, StoreError,
};
use error::backend;
use leave::{AbandonLeases, Expire, Remove, TrimHistory};
use lock::StateLock;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqliteConnection, SqlitePool};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use uuid::Uuid;
use work::{Claim, Configure, Create, Record, Renew, Request};
use writer::{ObserverSlot, Queue, Writer};

/// How long a statement waits for a lock that somebody from outside (a backup, a person with a shell) holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many rows of the history go in one piece.
const TRIM_AT_ONCE: u64 = 500;

/// How much a [`SqliteStore`] may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// How many job records are kept in memory.
    pub cache_records: NonZeroUsize,
    /// How many connections read at the same time; at least one.
    pub readers: u32,
    /// How many changes may wait for the writer before callers have to.
    pub queue: usize,
    /// How many changes share a transaction at most.
    pub group: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { cache_records: NonZeroUsize::MIN.saturating_add(4095), readers: 3, queue: 4096, group: 512 }
    }
}

/// A [`JobStore`] in an SQLite file. Dropping it without [`JobStore::close`] loses nothing that was answered.
pub struct SqliteStore {
    queue: Queue,
    readers: SqlitePool,
    cache: Arc<Cache>,
    counts: Arc<Mutex<JobCounts>>,
    observer: ObserverSlot,
}

impl SqliteStore {
    /// Opens the database at `path`, making it or bringing it up to date if need be. The directory must exist; the file and the
    /// ones beside it are readable for this user only. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If another server has it open, if it was written by a later version or another program, or if SQLite fails.
    pub async fn open(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let lock = StateLock::take(path)?;
        lock::create_private(path)?;
        let opening = |e| backend(format!("opening {}", path.display()), e);
        let mut conn = connect_options(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // Fewer checkpoints than by default: each makes a commit wait for two more syncs.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("journal_size_limit", "67108864")
            .pragma("cache_size", "-32768")
            .connect()
            .await
            .map_err(opening)?;
        migrate::migrate(&mut conn).await?;
        let counts = Arc::new(Mutex::new(read_tally(&mut conn).await?));
        let readers = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(options.readers.max(1))
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(connect_options(path).read_only(true).pragma("cache_size", "-16384"))
            .await
            .map_err(opening)?;
        let cache = Arc::new(Cache::new(options.cache_records));
        let observer = ObserverSlot::default();
        let (queued, group) = (options.queue, options.group);
        let (writer, queue) =
            Writer::new(conn, cache.clone(), counts.clone(), queued, group, lock, observer.clone());
        tokio::spawn(writer.run());
        Ok(Self { queue, readers, cache, counts, observer })
    }
}

#[async_trait]
impl JobStore for SqliteStore {
    async fn create(&self, job: &JobRecord, lease: Option<&Lease>) -> Result<(), StoreError> {
        self.queue.create(Create::new(job, lease)?).await
    }

    async fn load(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
        let ticket = match self.cache.lookup(id) {
            Lookup::Hit(record) => return Ok(Some(record)),
            Lookup::Miss(ticket) => ticket,
        };
        let record = read::load(&self.readers, id).await?;
        if let Some(record) = &record {
            self.cache.offer(&ticket, record);
        }
        Ok(record)
    }

    async fn list(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        read::list(&self.readers, filter, after, limit).await
    }

    async fn count(&self) -> Result<JobCounts, StoreError> {
        Ok(*self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn candidates(
        &self,
        now: SystemTime,
        per_owner: usize,
        limit: usize,
    ) -> Result<Vec<Candidate>, StoreError> {
        read::candidates(&self.readers, now, per_owner, limit).await
    }

    async fn due(&self, now: SystemTime, limit: usize) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        read::due(&self.readers, now, limit).await
    }

    async fn next_due(&self, now: SystemTime) -> Result<Option<SystemTime>, StoreError> {
        read::next_due(&self.readers, now).await
    }

    async fn of_element(
        &self,
        element: ElementKey,
        family: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        read::of_element(&self.readers, element, family, after, limit).await
    }

    async fn claim(
        &self,
        id: JobId,
        holder: Holder,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Option<(Lease, Arc<JobRecord>)>, StoreError> {
        self.queue.run(Claim::new(id, holder, now, until)).await
    }

    async fn record(&self, lease: &Lease, run: &JobRun) -> Result<(), StoreError> {
        self.queue.run(Record::new(lease, run, false)?).await
    }

    async fn renew(&self, lease: &Lease, until: SystemTime) -> Result<Option<StateRequest>, StoreError> {
        self.queue.run(Renew { lease: lease.clone(), until }).await
    }

    async fn release(&self, lease: &Lease, run: &JobRun) -> Result<(), StoreError> {
        self.queue.run(Record::new(lease, run, true)?).await
    }

    async fn recur(
        &self,
        lease: &Lease,
        past: &JobRecord,
        run: &JobRun,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        self.queue.run(Recur::new(lease, past, run, now)?).await
    }

    async fn reschedule(
        &self,
        lease: &Lease,
        run: &JobRun,
        settings: &JobSettings,
    ) -> Result<(), StoreError> {
        self.queue.run(Reschedule::new(lease, run, settings)?).await
    }

    async fn request(
        &self,
        id: JobId,
        request: Option<&StateRequest>,
    ) -> Result<Option<Arc<JobRecord>>, StoreError> {
        let form = request.map(form::encode_request).transpose()?;
        self.queue.run(Request { id, request: request.cloned(), form }).await
    }

    async fn configure(
        &self,
        id: JobId,
        settings: &JobSettings,
    ) -> Result<Option<Arc<JobRecord>>, StoreError> {
        let form = form::encode_settings(settings)?;
        self.queue.run(Configure { id, settings: settings.clone(), form }).await
    }

    async fn remove(&self, id: JobId, now: SystemTime) -> Result<bool, StoreError> {
        self.queue.run(Remove { id, now }).await
    }

    async fn expire(&self, now: SystemTime, limit: usize) -> Result<Vec<JobId>, StoreError> {
        self.queue.run(Expire { now, limit }).await
    }

    async fn history(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
        read::history(&self.readers, id).await
    }

    async fn recent_history(&self, limit: usize) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        read::recent_history(&self.readers, limit).await
    }

    async fn trim_history(&self, keep: u64) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let now = self.queue.run(TrimHistory { keep, at_most: TRIM_AT_ONCE }).await?;
            gone += now;
            if now < TRIM_AT_ONCE {
                return Ok(gone);
            }
        }
    }

    async fn abandon_leases(&self) -> Result<(), StoreError> {
        self.queue.run(AbandonLeases).await
    }

    async fn close(&self) {
        // The readers first: the last connection to close writes the log back into the database file.
        self.readers.close().await;
        self.queue.close().await;
    }
}

#[async_trait]
impl Outbox for SqliteStore {
    fn watch(&self, observer: Arc<dyn ChangeObserver>) {
        if self.observer.set(observer).is_err() {
            tracing::error!("the job store is watched already; the second observer is not heard");
        }
    }

    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        outbox::entries(&self.readers).await
    }

    async fn register(&self, entry: &Entry) -> Result<(), StoreError> {
        self.queue.run(outbox::Register::new(entry)?).await
    }

    async fn follow(
        &self,
        destination: Uuid,
        source: Uuid,
        from: Option<u64>,
    ) -> Result<Option<u64>, StoreError> {
        self.queue.run(outbox::Follow { destination, source, from }).await
    }

    async fn unregister(&self, id: Uuid) -> Result<bool, StoreError> {
        self.queue.run(outbox::Unregister { id }).await
    }

    async fn publish(&self, outgoing: Vec<Outgoing>) -> Result<(), StoreError> {
        self.queue.run(outbox::Publish { outgoing }).await
    }

    async fn pending(&self, destination: Uuid, limit: usize) -> Result<Vec<Queued>, StoreError> {
        outbox::pending(&self.readers, destination, limit).await
    }

    async fn settle(&self, destination: Uuid, sequence: u64) -> Result<u64, StoreError> {
        self.queue.run(outbox::Settle { destination, sequence }).await
    }

    async fn queue(&self, destination: Uuid) -> Result<Option<QueueState>, StoreError> {
        outbox::queue(&self.readers, destination).await
    }
}

pub(crate) fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(64)
        .disable_statement_logging()
}

async fn read_tally(conn: &mut SqliteConnection) -> Result<JobCounts, StoreError> {
    let failed = |e| backend("reading how many jobs there are", e);
    let row = sqlx::query("SELECT unfinished, finished, history FROM tally")
        .fetch_one(conn)
        .await
        .map_err(failed)?;
    let number = |index: usize| row.try_get::<i64, _>(index).map(|n| n.max(0) as u64).map_err(failed);
    Ok(JobCounts { unfinished: number(0)?, finished: number(1)?, history: number(2)? })
}

#[cfg(test)]
mod tests;
