//! Rows of the job table.

use crate::form::{self, micros};
use cimwright_jobs::{ElementKey, JobId, JobRecord, JobRun, JobSettings, JobSpec, Lease, StoreError};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite};
use std::sync::Arc;
use uuid::Uuid;

/// The columns that [`Columns::bind`] fills, in its order.
pub(super) const COLUMNS: &str = "id, family, owner, priority, submitted, state, ended, waiting, finished, keep, removal_at, \
     lease_holder, lease_token, lease_expires, request, settings, spec, run, due_at, until_at, elements";

/// How many they are.
pub(super) const COLUMN_COUNT: usize = 21;

/// A row that is about to be written.
pub(super) struct Columns {
    id: Vec<u8>,
    family: String,
    owner: String,
    priority: i64,
    submitted: i64,
    run: RunColumns,
    keep: Option<i64>,
    lease: Option<(Vec<u8>, Vec<u8>, i64)>,
    request: Option<Vec<u8>>,
    settings: Vec<u8>,
    spec: Vec<u8>,
    until: Option<i64>,
    elements: Option<String>,
}

/// What the row says about the run.
pub(super) struct RunColumns {
    pub(super) form: Vec<u8>,
    pub(super) state: i64,
    pub(super) ended: bool,
    pub(super) waiting: bool,
    pub(super) finished: Option<i64>,
    pub(super) due: Option<i64>,
}

impl Columns {
    /// The row of a new job. A job that has ended has neither lease nor request.
    pub(super) fn new(job: &JobRecord, lease: Option<&Lease>) -> Result<Self, StoreError> {
        let run = RunColumns::new(&job.run)?;
        let lease = lease.filter(|_| !run.ended);
        let request = job.request.as_ref().filter(|_| !run.ended);
        Ok(Self {
            id: key(job.id()),
            family: job.spec.family.clone(),
            owner: job.spec.owner.clone(),
            priority: i64::from(job.settings.priority),
            submitted: micros(job.spec.submitted),
            keep: keep(&job.settings),
            lease: lease.map(|l| (bytes(l.holder.0), bytes(l.token), micros(l.expires))),
            request: request.map(form::encode_request).transpose()?,
            settings: form::encode_settings(&job.settings)?,
            spec: form::encode_spec(&job.spec)?,
            until: until(&job.settings).filter(|_| !run.ended),
            elements: elements(&job.spec),
            run,
        })
    }

    /// Adds the values of [`COLUMNS`].
    pub(super) fn bind<'q>(
        &self,
        query: Query<'q, Sqlite, SqliteArguments>,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        let (holder, token, expires) = match &self.lease {
            Some((holder, token, expires)) => (Some(holder.clone()), Some(token.clone()), Some(*expires)),
            None => (None, None, None),
        };
        query
            .bind(self.id.clone())
            .bind(self.family.clone())
            .bind(self.owner.clone())
            .bind(self.priority)
            .bind(self.submitted)
            .bind(self.run.state)
            .bind(self.run.ended)
            .bind(self.run.waiting)
            .bind(self.run.finished)
            .bind(self.keep)
            .bind(self.run.removal_base().zip(self.keep).map(|(finished, keep)| finished + keep))
            .bind(holder)
            .bind(token)
            .bind(expires)
            .bind(self.request.clone())
            .bind(self.settings.clone())
            .bind(self.spec.clone())
            .bind(self.run.form.clone())
            .bind(self.run.due)
            .bind(self.until)
            .bind(self.elements.clone())
    }

    /// Whether the job has ended.
    pub(super) fn ended(&self) -> bool {
        self.run.ended
    }
}

impl RunColumns {
    pub(super) fn new(run: &JobRun) -> Result<Self, StoreError> {
        Ok(Self {
            form: form::encode_run(run)?,
            state: i64::from(run.state.code()),
            ended: run.state.is_finished(),
            waiting: run.state.wants_driver() && !run.waits_for_its_time(),
            finished: run.finished.map(micros),
            due: run.due.filter(|_| run.waits_for_its_time()).map(micros),
        })
    }

    /// What `keep` is added to for the time of removal.
    pub(super) fn removal_base(&self) -> Option<i64> {
        self.finished.filter(|_| self.ended)
    }
}

/// The record of a row that begins with spec, run, settings and request.
pub(super) fn record(row: &SqliteRow) -> Result<Arc<JobRecord>, StoreError> {
    let blob = |index: usize| {
        row.try_get::<Option<&[u8]>, _>(index)
            .map_err(|e| super::error::backend("reading a row of the job table", e))
    };
    Ok(Arc::new(JobRecord {
        spec: Arc::new(form::decode_spec(blob(0)?.unwrap_or_default())?),
        run: form::decode_run(blob(1)?.unwrap_or_default())?,
        settings: form::decode_settings(blob(2)?.unwrap_or_default())?,
        request: blob(3)?.map(form::decode_request).transpose()?,
    }))
}

/// The key of a job.
pub(super) fn key(id: JobId) -> Vec<u8> {
    bytes(id.0)
}

/// A UUID as it is stored.
pub(super) fn bytes(uuid: Uuid) -> Vec<u8> {
    uuid.as_bytes().to_vec()
}

/// The job of a key.
pub(super) fn id(key: &[u8]) -> Result<JobId, StoreError> {
    Uuid::from_slice(key)
        .map(JobId)
        .map_err(|e| StoreError::Corrupt(format!("a job whose id has {} bytes: {e}", key.len())))
}

/// The time before removal; `None` if the job is to stay until it is deleted.
pub(super) fn keep(settings: &JobSettings) -> Option<i64> {
    /// So long that the sum with any time of our days still fits 64 bits.
    const LONGEST: i64 = i64::MAX / 2;
    settings
        .delete_on_completion
        .then(|| i64::try_from(settings.time_before_removal.as_micros()).unwrap_or(LONGEST).min(LONGEST))
}

/// When the job is over, whether or not it has been run.
pub(super) fn until(settings: &JobSettings) -> Option<i64> {
    settings.schedule.until().map(micros)
}

/// The keys of the elements of a job; `None` if it has none.
pub(super) fn elements(spec: &JobSpec) -> Option<String> {
    let keys: Vec<String> = spec.elements().map(|e| element(ElementKey::of(e)).to_string()).collect();
    (!keys.is_empty()).then(|| format!("[{}]", keys.join(",")))
}

/// The key of an element; SQLite knows signed numbers only.
pub(super) fn element(key: ElementKey) -> i64 {
    key.0.cast_signed()
}

/// A limit as SQL takes it.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
