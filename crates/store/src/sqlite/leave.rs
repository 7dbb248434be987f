//! The operations by which jobs leave: to the history, and out of it.

use super::row;
use super::work::{Op, unreadable, watched};
use super::writer::Batch;
use crate::form::micros;
use cimwright_jobs::{JobId, StoreError};
use sqlx::Row;
use std::time::SystemTime;

/// [`cimwright_jobs::JobStore::remove`].
pub(super) struct Remove {
    pub(super) id: JobId,
    pub(super) now: SystemTime,
}

impl Op for Remove {
    type Output = bool;
    const NAME: &'static str = "removing a job";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<bool, StoreError>, sqlx::Error> {
        let watched = watched(batch, self.id).await?;
        let moved = sqlx::query(
            "INSERT INTO history (id, removed, settings, spec, run) \
             SELECT id, ?1, settings, spec, run FROM job WHERE id = ?2 AND ended = 1",
        )
        .bind(micros(self.now))
        .bind(row::key(self.id))
        .execute(&mut *batch.conn)
        .await?;
        if moved.rows_affected() == 0 {
            return Ok(Ok(false));
        }
        sqlx::query("DELETE FROM job WHERE id = ?1")
            .bind(row::key(self.id))
            .execute(&mut *batch.conn)
            .await?;
        if let Some(record) = watched {
            batch.tell(Some(&record), None);
        }
        left(batch, &[self.id]);
        Ok(Ok(true))
    }
}

/// [`cimwright_jobs::JobStore::expire`].
pub(super) struct Expire {
    pub(super) now: SystemTime,
    pub(super) limit: usize,
}

impl Op for Expire {
    type Output = Vec<JobId>;
    const NAME: &'static str = "removing expired jobs";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<Vec<JobId>, StoreError>, sqlx::Error> {
        let rows = sqlx::query(
            "INSERT INTO history (id, removed, settings, spec, run) \
             SELECT id, ?1, settings, spec, run FROM job INDEXED BY job_removal \
             WHERE removal_at <= ?1 ORDER BY removal_at, id LIMIT ?2 RETURNING id",
        )
        .bind(micros(self.now))
        .bind(row::limit(self.limit))
        .fetch_all(&mut *batch.conn)
        .await?;
        if rows.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            ids.push(row::id(row.try_get(0)?).map_err(unreadable)?);
        }
        for id in &ids {
            if let Some(record) = watched(batch, *id).await? {
                batch.tell(Some(&record), None);
            }
        }
        // The same rows: nothing came between in this transaction.
        sqlx::query(
            "DELETE FROM job WHERE id IN (SELECT id FROM job INDEXED BY job_removal \
             WHERE removal_at <= ?1 ORDER BY removal_at, id LIMIT ?2)",
        )
        .bind(micros(self.now))
        .bind(row::limit(self.limit))
        .execute(&mut *batch.conn)
        .await?;
        left(batch, &ids);
        Ok(Ok(ids))
    }
}

/// A piece of [`cimwright_jobs::JobStore::trim_history`].
pub(super) struct TrimHistory {
    pub(super) keep: u64,
    /// How many rows may go at once, so that others need not wait long.
    pub(super) at_most: u64,
}

impl Op for TrimHistory {
    type Output = u64;
    const NAME: &'static str = "trimming the history";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<u64, StoreError>, sqlx::Error> {
        let excess = batch.tally.history.saturating_sub(self.keep).min(self.at_most);
        if excess == 0 {
            return Ok(Ok(0));
        }
        let gone =
            sqlx::query("DELETE FROM history WHERE seq IN (SELECT seq FROM history ORDER BY seq LIMIT ?1)")
                .bind(excess as i64)
                .execute(&mut *batch.conn)
                .await?
                .rows_affected();
        batch.tally.history = batch.tally.history.saturating_sub(gone);
        Ok(Ok(gone))
    }
}

/// [`cimwright_jobs::JobStore::abandon_leases`].
pub(super) struct AbandonLeases;

impl Op for AbandonLeases {
    type Output = ();
    const NAME: &'static str = "ending the leases of earlier processes";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<(), StoreError>, sqlx::Error> {
        sqlx::query(
            "UPDATE job SET lease_holder = NULL, lease_token = NULL, lease_expires = NULL \
             WHERE id IN (SELECT id FROM job INDEXED BY job_leased WHERE lease_token IS NOT NULL)",
        )
        .execute(&mut *batch.conn)
        .await?;
        Ok(Ok(()))
    }
}

fn left(batch: &mut Batch<'_>, ids: &[JobId]) {
    batch.tally.finished = batch.tally.finished.saturating_sub(ids.len() as u64);
    batch.tally.history += ids.len() as u64;
    for id in ids {
        batch.forget(*id);
    }
}
