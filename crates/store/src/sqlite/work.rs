//! The operations that the writer carries out, one SQL statement each where that is possible.

use super::error::is_duplicate;
use super::row::{self, COLUMN_COUNT, COLUMNS, Columns, RunColumns};
use super::writer::Batch;
use crate::form::{self, micros};
use cimwright_jobs::{Holder, JobId, JobRecord, JobRun, JobSettings, Lease, StateRequest, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};
use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

/// Something that changes the database.
pub(super) trait Op: Send + Sync + Sized + 'static {
    /// What the caller gets.
    type Output: Send;

    /// What it is, for error texts.
    const NAME: &'static str;

    /// Runs the statements. The outer error is the backend's and undoes the transaction; the inner one is the operation's own
    /// answer, and then the operation has changed nothing.
    fn apply(
        &self,
        batch: &mut Batch<'_>,
    ) -> impl Future<Output = Result<Result<Self::Output, StoreError>, sqlx::Error>> + Send;
}

/// [`cimwright_jobs::JobStore::create`].
pub(super) struct Create {
    columns: Columns,
    record: Arc<JobRecord>,
}

impl Create {
    pub(super) fn new(job: &JobRecord, lease: Option<&Lease>) -> Result<Self, StoreError> {
        let columns = Columns::new(job, lease)?;
        let mut record = job.clone();
        if columns.ended() {
            record.request = None;
        }
        Ok(Self { columns, record: Arc::new(record) })
    }
}

impl Op for Create {
    type Output = ();
    const NAME: &'static str = "creating a job";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<(), StoreError>, sqlx::Error> {
        Ok(insert(batch, &[self]).await?.pop().unwrap_or(Ok(())))
    }
}

/// Statements that insert 1, 2, 4, … rows. Powers of two keep the number of prepared statements small.
static INSERTS: LazyLock<Vec<Arc<str>>> = LazyLock::new(|| {
    let marks = format!("({})", vec!["?"; COLUMN_COUNT].join(", "));
    (0..=6u32)
        .map(|power| {
            let rows = vec![marks.as_str(); 1 << power].join(", ");
            Arc::from(format!("INSERT INTO job ({COLUMNS}) VALUES {rows}"))
        })
        .collect()
});

/// Inserts many jobs in few statements, and says of each whether it could be.
pub(super) async fn insert(
    batch: &mut Batch<'_>,
    creates: &[&Create],
) -> Result<Vec<Result<(), StoreError>>, sqlx::Error> {
    let mut outcomes = Vec::with_capacity(creates.len());
    let mut rest = creates;
    while !rest.is_empty() {
        let power = (INSERTS.len() - 1).min(rest.len().ilog2() as usize);
        let (rows, behind) = rest.split_at(1 << power);
        rest = behind;
        match insert_rows(batch, power, rows).await {
            Ok(()) => outcomes.extend(rows.iter().map(|_| Ok(()))),
            // Such a statement has changed nothing at all: find out which rows are at fault.
            Err(e) if is_duplicate(&e) => {
                for create in rows {
                    match insert_rows(batch, 0, &[create]).await {
                        Ok(()) => outcomes.push(Ok(())),
                        Err(e) if is_duplicate(&e) => {
                            outcomes.push(Err(StoreError::Exists(create.record.id())));
                        }
                        Err(e) => return Err(e),
                    }
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(outcomes)
}

async fn insert_rows(batch: &mut Batch<'_>, power: usize, rows: &[&Create]) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(INSERTS[power].clone()));
    for create in rows {
        query = create.columns.bind(query);
    }
    query.execute(&mut *batch.conn).await?;
    for create in rows {
        if create.columns.ended() {
            batch.tally.finished += 1;
        } else {
            batch.tally.unfinished += 1;
        }
        batch.put(create.record.clone());
        batch.tell(None, Some(&create.record));
    }
    Ok(())
}

/// [`cimwright_jobs::JobStore::claim`].
pub(super) struct Claim {
    pub(super) lease: Lease,
    pub(super) now: SystemTime,
}

impl Claim {
    pub(super) fn new(id: JobId, holder: Holder, now: SystemTime, until: SystemTime) -> Self {
        Self { lease: Lease::new(id, holder, until), now }
    }
}

impl Op for Claim {
    type Output = Option<(Lease, Arc<JobRecord>)>;
    const NAME: &'static str = "claiming a job";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<Self::Output, StoreError>, sqlx::Error> {
        let row = sqlx::query(
            "UPDATE job SET lease_holder = ?1, lease_token = ?2, lease_expires = ?3 \
             WHERE id = ?4 AND ended = 0 AND (lease_token IS NULL OR lease_expires <= ?5) \
             RETURNING spec, run, settings, request",
        )
        .bind(row::bytes(self.lease.holder.0))
        .bind(row::bytes(self.lease.token))
        .bind(micros(self.lease.expires))
        .bind(row::key(self.lease.job))
        .bind(micros(self.now))
        .fetch_optional(&mut *batch.conn)
        .await?;
        let Some(row) = row else { return Ok(Ok(None)) };
        let record = current(batch, self.lease.job, &row)?;
        Ok(Ok(Some((self.lease.clone(), record))))
    }
}

/// [`cimwright_jobs::JobStore::record`] and, with `free`, [`cimwright_jobs::JobStore::release`].
pub(super) struct Record {
    lease: Lease,
    run: JobRun,
    columns: RunColumns,
    free: bool,
}

impl Record {
    pub(super) fn new(lease: &Lease, run: &JobRun, free: bool) -> Result<Self, StoreError> {
        let columns = RunColumns::new(run)?;
        Ok(Self { lease: lease.clone(), run: run.clone(), columns, free })
    }
}

impl Op for Record {
    type Output = ();
    const NAME: &'static str = "writing a job's progress";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<(), StoreError>, sqlx::Error> {
        let id = self.lease.job;
        let ended = self.columns.ended;
        let watched = watched(batch, id).await?;
        let done = sqlx::query(
            "UPDATE job SET run = ?1, state = ?2, ended = ?3, waiting = ?4, finished = ?5, removal_at = ?6 + keep, \
             due_at = ?10, until_at = CASE WHEN ?3 THEN NULL ELSE until_at END, \
             lease_holder = CASE WHEN ?7 THEN NULL ELSE lease_holder END, \
             lease_token = CASE WHEN ?7 THEN NULL ELSE lease_token END, \
             lease_expires = CASE WHEN ?7 THEN NULL ELSE lease_expires END, \
             request = CASE WHEN ?3 THEN NULL ELSE request END \
             WHERE id = ?8 AND lease_token = ?9 AND ended = 0",
        )
        .bind(self.columns.form.clone())
        .bind(self.columns.state)
        .bind(ended)
        .bind(self.columns.waiting)
        .bind(self.columns.finished)
        .bind(self.columns.removal_base())
        .bind(ended || self.free)
        .bind(row::key(id))
        .bind(row::bytes(self.lease.token))
        .bind(self.columns.due)
        .execute(&mut *batch.conn)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(Err(StoreError::LeaseLost(id)));
        }
        if ended {
            batch.tally.unfinished = batch.tally.unfinished.saturating_sub(1);
            batch.tally.finished += 1;
        }
        match watched.clone().or_else(|| batch.known(id)) {
            Some(old) => {
                let record = Arc::new(JobRecord {
                    spec: old.spec.clone(),
                    run: self.run.clone(),
                    settings: old.settings.clone(),
                    request: old.request.clone().filter(|_| !ended),
                });
                batch.tell(watched.as_deref(), Some(&record));
                batch.put(record);
            }
            None => batch.forget(id),
        }
        Ok(Ok(()))
    }
}

/// [`cimwright_jobs::JobStore::renew`].
pub(super) struct Renew {
    pub(super) lease: Lease,
    pub(super) until: SystemTime,
}

impl Op for Renew {
    type Output = Option<StateRequest>;
    const NAME: &'static str = "renewing a lease";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<Self::Output, StoreError>, sqlx::Error> {
        let row = sqlx::query(
            "UPDATE job SET lease_expires = ?1 WHERE id = ?2 AND lease_token = ?3 AND ended = 0 RETURNING request",
        )
        .bind(micros(self.until))
        .bind(row::key(self.lease.job))
        .bind(row::bytes(self.lease.token))
        .fetch_optional(&mut *batch.conn)
        .await?;
        let Some(row) = row else { return Ok(Err(StoreError::LeaseLost(self.lease.job))) };
        let request: Option<&[u8]> = row.try_get(0)?;
        let request = request.map(form::decode_request).transpose();
        Ok(Ok(request.map_err(|e| unreadable(e.into()))?))
    }
}

/// [`cimwright_jobs::JobStore::request`].
pub(super) struct Request {
    pub(super) id: JobId,
    pub(super) request: Option<StateRequest>,
    pub(super) form: Option<Vec<u8>>,
}

impl Op for Request {
    type Output = Option<Arc<JobRecord>>;
    const NAME: &'static str = "storing a request";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<Self::Output, StoreError>, sqlx::Error> {
        let row = sqlx::query(
            "UPDATE job SET request = ?1 WHERE id = ?2 AND ended = 0 RETURNING spec, run, settings, request",
        )
        .bind(self.form.clone())
        .bind(row::key(self.id))
        .fetch_optional(&mut *batch.conn)
        .await?;
        let Some(row) = row else { return Ok(Ok(None)) };
        let old = current(batch, self.id, &row)?;
        let record = Arc::new(JobRecord { request: self.request.clone(), ..(*old).clone() });
        batch.put(record.clone());
        Ok(Ok(Some(record)))
    }
}

/// [`cimwright_jobs::JobStore::configure`].
pub(super) struct Configure {
    pub(super) id: JobId,
    pub(super) settings: JobSettings,
    pub(super) form: Vec<u8>,
}

impl Op for Configure {
    type Output = Option<Arc<JobRecord>>;
    const NAME: &'static str = "storing settings";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<Self::Output, StoreError>, sqlx::Error> {
        let watched = watched(batch, self.id).await?;
        let row = sqlx::query(
            "UPDATE job SET settings = ?1, priority = ?2, keep = ?3, \
             removal_at = CASE WHEN ended THEN finished + ?3 END, \
             until_at = CASE WHEN ended THEN NULL ELSE ?5 END \
             WHERE id = ?4 RETURNING spec, run, settings, request",
        )
        .bind(self.form.clone())
        .bind(i64::from(self.settings.priority))
        .bind(row::keep(&self.settings))
        .bind(row::key(self.id))
        .bind(row::until(&self.settings))
        .fetch_optional(&mut *batch.conn)
        .await?;
        let Some(row) = row else { return Ok(Ok(None)) };
        let old = current(batch, self.id, &row)?;
        let record = Arc::new(JobRecord { settings: self.settings.clone(), ..(*old).clone() });
        batch.tell(watched.as_deref(), Some(&record));
        batch.put(record.clone());
        Ok(Ok(Some(record)))
    }
}

/// The record behind a row that an update returned: the one that is known, else the row itself.
pub(super) fn current(
    batch: &mut Batch<'_>,
    id: JobId,
    row: &SqliteRow,
) -> Result<Arc<JobRecord>, sqlx::Error> {
    match batch.known(id) {
        Some(record) => Ok(record),
        None => {
            let record = row::record(row).map_err(unreadable)?;
            batch.put(record.clone());
            Ok(record)
        }
    }
}

/// The record before a change, if somebody wants to know what changes; it is read where it is not known.
pub(super) async fn watched(batch: &mut Batch<'_>, id: JobId) -> Result<Option<Arc<JobRecord>>, sqlx::Error> {
    if batch.observer.is_none() {
        return Ok(None);
    }
    if let Some(record) = batch.known(id) {
        return Ok(Some(record));
    }
    let row = sqlx::query("SELECT spec, run, settings, request FROM job WHERE id = ?1")
        .bind(row::key(id))
        .fetch_optional(&mut *batch.conn)
        .await?;
    row.as_ref().map(|r| row::record(r).map_err(unreadable)).transpose()
}

/// What is stored cannot be read: an error of the backend, so that the change that came across it is undone.
pub(super) fn unreadable(error: StoreError) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
