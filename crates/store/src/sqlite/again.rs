//! The operations on jobs that run at their time, and run again.

use super::row::{self, RunColumns};
use super::work::{Op, current, watched};
use super::writer::Batch;
use crate::form::{self, micros};
use cimwright_jobs::{JobRecord, JobRun, JobSettings, Lease, StoreError};
use std::sync::Arc;
use std::time::SystemTime;

/// [`cimwright_jobs::JobStore::recur`].
pub(super) struct Recur {
    lease: Lease,
    run: JobRun,
    columns: RunColumns,
    past_id: Vec<u8>,
    past_spec: Vec<u8>,
    past_run: Vec<u8>,
    now: SystemTime,
}

impl Recur {
    pub(super) fn new(
        lease: &Lease,
        past: &JobRecord,
        run: &JobRun,
        now: SystemTime,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            lease: lease.clone(),
            run: run.clone(),
            columns: RunColumns::new(run)?,
            past_id: row::key(past.id()),
            past_spec: form::encode_spec(&past.spec)?,
            past_run: form::encode_run(&past.run)?,
            now,
        })
    }
}

impl Op for Recur {
    type Output = ();
    const NAME: &'static str = "ending a run of a job";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<(), StoreError>, sqlx::Error> {
        let id = self.lease.job;
        let watched = watched(batch, id).await?;
        // A pending Terminate (4) or Kill (5) is for the job, not for the run that has ended; it is carried out at once.
        let row = sqlx::query(
            "UPDATE job SET run = ?1, state = ?2, finished = NULL, removal_at = NULL, \
             lease_holder = NULL, lease_token = NULL, lease_expires = NULL, \
             request = CASE WHEN json_extract(CAST(request AS TEXT), '$.wanted') IN (4, 5) THEN request END, \
             waiting = CASE WHEN json_extract(CAST(request AS TEXT), '$.wanted') IN (4, 5) THEN 1 ELSE ?3 END, \
             due_at = CASE WHEN json_extract(CAST(request AS TEXT), '$.wanted') IN (4, 5) THEN NULL ELSE ?4 END \
             WHERE id = ?5 AND lease_token = ?6 AND ended = 0 RETURNING spec, run, settings, request",
        )
        .bind(self.columns.form.clone())
        .bind(self.columns.state)
        .bind(self.columns.waiting)
        .bind(self.columns.due)
        .bind(row::key(id))
        .bind(row::bytes(self.lease.token))
        .fetch_optional(&mut *batch.conn)
        .await?;
        let Some(row) = row else { return Ok(Err(StoreError::LeaseLost(id))) };
        sqlx::query(
            "INSERT INTO history (id, removed, settings, spec, run) SELECT ?1, ?2, settings, ?3, ?4 FROM job WHERE id = ?5",
        )
        .bind(self.past_id.clone())
        .bind(micros(self.now))
        .bind(self.past_spec.clone())
        .bind(self.past_run.clone())
        .bind(row::key(id))
        .execute(&mut *batch.conn)
        .await?;
        batch.tally.history += 1;
        let old = current(batch, id, &row)?;
        let request = old.request.clone().filter(|r| r.wanted.is_end());
        let record = Arc::new(JobRecord { run: self.run.clone(), request, ..(*old).clone() });
        batch.tell(watched.as_deref(), Some(&record));
        batch.put(record);
        Ok(Ok(()))
    }
}

/// [`cimwright_jobs::JobStore::reschedule`].
pub(super) struct Reschedule {
    lease: Lease,
    run: JobRun,
    columns: RunColumns,
    settings: JobSettings,
    form: Vec<u8>,
}

impl Reschedule {
    pub(super) fn new(lease: &Lease, run: &JobRun, settings: &JobSettings) -> Result<Self, StoreError> {
        Ok(Self {
            lease: lease.clone(),
            run: run.clone(),
            columns: RunColumns::new(run)?,
            settings: settings.clone(),
            form: form::encode_settings(settings)?,
        })
    }
}

impl Op for Reschedule {
    type Output = ();
    const NAME: &'static str = "storing when a job is to run";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<(), StoreError>, sqlx::Error> {
        let id = self.lease.job;
        let watched = watched(batch, id).await?;
        let row = sqlx::query(
            "UPDATE job SET run = ?1, waiting = ?2, due_at = ?3, until_at = ?4, settings = ?5, priority = ?6, keep = ?7, \
             lease_holder = NULL, lease_token = NULL, lease_expires = NULL \
             WHERE id = ?8 AND lease_token = ?9 AND ended = 0 RETURNING spec, run, settings, request",
        )
        .bind(self.columns.form.clone())
        .bind(self.columns.waiting)
        .bind(self.columns.due)
        .bind(row::until(&self.settings))
        .bind(self.form.clone())
        .bind(i64::from(self.settings.priority))
        .bind(row::keep(&self.settings))
        .bind(row::key(id))
        .bind(row::bytes(self.lease.token))
        .fetch_optional(&mut *batch.conn)
        .await?;
        let Some(row) = row else { return Ok(Err(StoreError::LeaseLost(id))) };
        let old = current(batch, id, &row)?;
        let settings = self.settings.clone();
        let record = Arc::new(JobRecord { run: self.run.clone(), settings, ..(*old).clone() });
        batch.tell(watched.as_deref(), Some(&record));
        batch.put(record);
        Ok(Ok(()))
    }
}
