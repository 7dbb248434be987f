//! The queues of indications: filled in the transaction of the change that caused them, emptied as they are delivered.

use super::error::backend;
use super::row;
use super::work::{Op, unreadable};
use super::writer::Batch;
use crate::form::{self, micros, moment};
use cimwright_jobs::{Entry, EntryKind, Outgoing, QueueState, Queued, StoreError};
use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// [`cimwright_jobs::Outbox::register`].
pub(super) struct Register {
    id: Uuid,
    kind: EntryKind,
    form: Vec<u8>,
}

impl Register {
    pub(super) fn new(entry: &Entry) -> Result<Self, StoreError> {
        Ok(Self { id: entry.id, kind: entry.kind, form: form::encode_entry(entry)? })
    }
}

impl Op for Register {
    type Output = ();
    const NAME: &'static str = "storing a registration";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<(), StoreError>, sqlx::Error> {
        sqlx::query(
            "INSERT INTO registration (id, form) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET form = excluded.form",
        )
        .bind(row::bytes(self.id))
        .bind(self.form.clone())
        .execute(&mut *batch.conn)
        .await?;
        if self.kind == EntryKind::Destination {
            sqlx::query(
                "INSERT OR IGNORE INTO queue (destination, next, queued, dropped) VALUES (?1, 0, 0, 0)",
            )
            .bind(row::bytes(self.id))
            .execute(&mut *batch.conn)
            .await?;
        }
        Ok(Ok(()))
    }
}

/// [`cimwright_jobs::Outbox::follow`].
pub(super) struct Follow {
    pub(super) destination: Uuid,
    pub(super) source: Uuid,
    pub(super) from: Option<u64>,
}

impl Op for Follow {
    type Output = Option<u64>;
    const NAME: &'static str = "letting a queue follow another";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<Option<u64>, StoreError>, sqlx::Error> {
        let (destination, source) = (|| row::bytes(self.destination), || row::bytes(self.source));
        // What this transaction has still to queue has happened before.
        flush(batch).await?;
        let next: Option<i64> = sqlx::query_scalar("SELECT next FROM queue WHERE destination = ?1")
            .bind(source())
            .fetch_optional(&mut *batch.conn)
            .await?;
        let Some(next) = next else { return Ok(Ok(None)) };
        let from = self.from.and_then(|from| i64::try_from(from).ok()).map_or(next, |from| from.min(next));
        let copied = sqlx::query(
            "INSERT INTO outbox (destination, sequence, indication, filter) \
             SELECT ?1, sequence, indication, filter FROM outbox WHERE destination = ?2 AND sequence >= ?3",
        )
        .bind(destination())
        .bind(source())
        .bind(from)
        .execute(&mut *batch.conn)
        .await?
        .rows_affected();
        let held: Option<i64> = sqlx::query_scalar("SELECT min(sequence) FROM outbox WHERE destination = ?1")
            .bind(destination())
            .fetch_one(&mut *batch.conn)
            .await?;
        let first = held.unwrap_or(next);
        sqlx::query(
            "INSERT OR REPLACE INTO queue (destination, first, next, queued, dropped, follows) \
             VALUES (?1, ?2, ?3, ?4, 0, ?5)",
        )
        .bind(destination())
        .bind(first)
        .bind(next)
        .bind(i64::try_from(copied).unwrap_or(i64::MAX))
        .bind(source())
        .execute(&mut *batch.conn)
        .await?;
        batch.grown.push(self.destination);
        Ok(Ok(Some(first.max(0) as u64)))
    }
}

/// [`cimwright_jobs::Outbox::unregister`].
pub(super) struct Unregister {
    pub(super) id: Uuid,
}

impl Op for Unregister {
    type Output = bool;
    const NAME: &'static str = "removing a registration";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<bool, StoreError>, sqlx::Error> {
        let id = || row::bytes(self.id);
        // What this transaction has still to queue must not find the queue gone halfway.
        flush(batch).await?;
        let gone = sqlx::query("DELETE FROM registration WHERE id = ?1")
            .bind(id())
            .execute(&mut *batch.conn)
            .await?;
        sqlx::query("DELETE FROM queue WHERE destination = ?1").bind(id()).execute(&mut *batch.conn).await?;
        let rows = sqlx::query("DELETE FROM outbox WHERE destination = ?1 RETURNING indication")
            .bind(id())
            .fetch_all(&mut *batch.conn)
            .await?;
        forget_unwanted(batch, &rows).await?;
        Ok(Ok(gone.rows_affected() > 0))
    }
}

/// [`cimwright_jobs::Outbox::publish`].
pub(super) struct Publish {
    pub(super) outgoing: Vec<Outgoing>,
}

impl Op for Publish {
    type Output = ();
    const NAME: &'static str = "queueing an indication";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<(), StoreError>, sqlx::Error> {
        batch.outgoing.extend(self.outgoing.iter().cloned());
        Ok(Ok(()))
    }
}

/// [`cimwright_jobs::Outbox::settle`].
pub(super) struct Settle {
    pub(super) destination: Uuid,
    pub(super) sequence: u64,
}

impl Op for Settle {
    type Output = u64;
    const NAME: &'static str = "taking indications out of a queue";

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Result<u64, StoreError>, sqlx::Error> {
        let rows =
            sqlx::query("DELETE FROM outbox WHERE destination = ?1 AND sequence <= ?2 RETURNING indication")
                .bind(row::bytes(self.destination))
                .bind(i64::try_from(self.sequence).unwrap_or(i64::MAX))
                .fetch_all(&mut *batch.conn)
                .await?;
        left(batch, self.destination, &rows, false).await?;
        Ok(Ok(rows.len() as u64))
    }
}

/// Writes what a transaction has to tell into the queues.
pub(super) async fn flush(batch: &mut Batch<'_>) -> Result<(), sqlx::Error> {
    if batch.outgoing.is_empty() {
        return Ok(());
    }
    let mut rows: BTreeMap<Uuid, Vec<(i64, Arc<str>)>> = BTreeMap::new();
    let mut written = Vec::new();
    for outgoing in std::mem::take(&mut batch.outgoing) {
        let form = form::encode_instance(&outgoing.indication).map_err(|e| unreadable(e.into()))?;
        let row = sqlx::query("INSERT INTO indication (at, form) VALUES (?1, ?2) RETURNING id")
            .bind(micros(outgoing.at))
            .bind(form)
            .fetch_one(&mut *batch.conn)
            .await?;
        let indication: i64 = row.try_get(0)?;
        for (destination, filter) in outgoing.to {
            rows.entry(destination).or_default().push((indication, filter));
        }
        written.push(row);
    }
    let mut missed = false;
    for (destination, rows) in rows {
        missed |= !append(batch, destination, rows).await?;
    }
    if missed {
        forget_unwanted(batch, &written).await?;
    }
    Ok(())
}

/// Appends to one queue and to those that follow it; `false` if there is no such queue any more.
async fn append(
    batch: &mut Batch<'_>,
    destination: Uuid,
    rows: Vec<(i64, Arc<str>)>,
) -> Result<bool, sqlx::Error> {
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let row = sqlx::query(
        "UPDATE queue SET next = next + ?1, queued = queued + ?1 WHERE destination = ?2 \
         RETURNING next, queued, EXISTS (SELECT 1 FROM queue AS f WHERE f.follows = ?2)",
    )
    .bind(count)
    .bind(row::bytes(destination))
    .fetch_optional(&mut *batch.conn)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let (next, queued, followed): (i64, i64, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let lines: Vec<(i64, i64, &str)> =
        (next - count..).zip(&rows).map(|(sequence, (id, filter))| (sequence, *id, &**filter)).collect();
    let lines = serde_json::to_string(&lines).map_err(|e| sqlx::Error::Encode(Box::new(e)))?;
    place(batch, destination, &lines, queued).await?;
    if followed {
        let followers = sqlx::query(
            "UPDATE queue SET next = ?1, queued = queued + ?2 WHERE follows = ?3 RETURNING destination, queued",
        )
        .bind(next)
        .bind(count)
        .bind(row::bytes(destination))
        .fetch_all(&mut *batch.conn)
        .await?;
        for row in followers {
            let follower = Uuid::from_slice(row.try_get(0)?).map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
            place(batch, follower, &lines, row.try_get(1)?).await?;
        }
    }
    Ok(true)
}

/// Puts what has its numbers into one queue, which counts it already.
async fn place(
    batch: &mut Batch<'_>,
    destination: Uuid,
    lines: &str,
    queued: i64,
) -> Result<(), sqlx::Error> {
    // One statement however many they are: each is a message to the connection's thread and back.
    sqlx::query(
        "INSERT INTO outbox (destination, sequence, indication, filter) \
         SELECT ?1, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') \
         FROM json_each(?2)",
    )
    .bind(row::bytes(destination))
    .bind(lines.to_owned())
    .execute(&mut *batch.conn)
    .await?;
    batch.grown.push(destination);
    let limit = batch.observer.as_ref().map_or(u64::MAX, |o| o.queue_limit());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    if queued > limit {
        let rows = sqlx::query(
            "DELETE FROM outbox WHERE destination = ?1 AND sequence IN \
             (SELECT sequence FROM outbox WHERE destination = ?1 ORDER BY sequence LIMIT ?2) RETURNING indication",
        )
        .bind(row::bytes(destination))
        .bind(queued - limit)
        .fetch_all(&mut *batch.conn)
        .await?;
        left(batch, destination, &rows, true).await?;
    }
    Ok(())
}

/// Rows have left a queue.
async fn left(
    batch: &mut Batch<'_>,
    destination: Uuid,
    rows: &[SqliteRow],
    dropped: bool,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE queue SET queued = queued - ?1, dropped = dropped + CASE WHEN ?2 THEN ?1 ELSE 0 END WHERE destination = ?3",
    )
    .bind(i64::try_from(rows.len()).unwrap_or(i64::MAX))
    .bind(dropped)
    .bind(row::bytes(destination))
    .execute(&mut *batch.conn)
    .await?;
    forget_unwanted(batch, rows).await
}

/// Deletes those of the indications in the first column that no queue holds any more.
async fn forget_unwanted(batch: &mut Batch<'_>, rows: &[SqliteRow]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids = rows.iter().map(|r| r.try_get::<i64, _>(0)).collect::<Result<Vec<_>, _>>()?;
    let ids = serde_json::to_string(&ids).map_err(|e| sqlx::Error::Encode(Box::new(e)))?;
    sqlx::query(
        "DELETE FROM indication WHERE id IN (SELECT value FROM json_each(?1)) \
         AND NOT EXISTS (SELECT 1 FROM outbox INDEXED BY outbox_indication WHERE outbox.indication = indication.id)",
    )
    .bind(ids)
    .execute(&mut *batch.conn)
    .await?;
    Ok(())
}

/// Everything that is registered.
pub(super) async fn entries(pool: &SqlitePool) -> Result<Vec<Entry>, StoreError> {
    let failed = |e| backend("reading the registrations", e);
    let mut rows = sqlx::query("SELECT form FROM registration ORDER BY seq").fetch(pool);
    let mut entries = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        entries.push(form::decode_entry(row.try_get(0).map_err(failed)?)?);
    }
    Ok(entries)
}

/// The first indications of a queue.
pub(super) async fn pending(
    pool: &SqlitePool,
    destination: Uuid,
    limit: usize,
) -> Result<Vec<Queued>, StoreError> {
    let failed = |e| backend("reading a queue of indications", e);
    let mut rows = sqlx::query(
        "SELECT o.sequence, i.at, o.filter, i.form FROM outbox o JOIN indication i ON i.id = o.indication \
         WHERE o.destination = ?1 ORDER BY o.sequence LIMIT ?2",
    )
    .bind(row::bytes(destination))
    .bind(row::limit(limit))
    .fetch(pool);
    let mut queued = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        queued.push(Queued {
            sequence: row.try_get::<i64, _>(0).map_err(failed)?.max(0) as u64,
            at: moment(row.try_get(1).map_err(failed)?),
            filter: row.try_get(2).map_err(failed)?,
            indication: form::decode_instance(row.try_get(3).map_err(failed)?)?,
        });
    }
    Ok(queued)
}

/// How a queue stands.
pub(super) async fn queue(pool: &SqlitePool, destination: Uuid) -> Result<Option<QueueState>, StoreError> {
    let failed = |e| backend("looking at a queue of indications", e);
    let row = sqlx::query("SELECT next, queued, dropped, first FROM queue WHERE destination = ?1")
        .bind(row::bytes(destination))
        .fetch_optional(pool)
        .await
        .map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let number = |index: usize| row.try_get::<i64, _>(index).map(|n| n.max(0) as u64).map_err(failed);
    Ok(Some(QueueState { next: number(0)?, queued: number(1)?, dropped: number(2)?, first: number(3)? }))
}
