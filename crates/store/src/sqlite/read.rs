//! What is read from the database, on connections of its own that never wait for the writer.

use super::error::backend;
use super::row;
use super::work::unreadable;
use crate::fair::take_turns;
use crate::form::{self, micros};
use cimwright_jobs::{Candidate, ElementKey, JobFilter, JobId, JobRecord, StoreError};
use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};
use std::sync::Arc;
use std::time::SystemTime;

const ONE: &str = "SELECT spec, run, settings, request FROM job WHERE id = ?1";

// Indexes are named, so that no statistics can talk SQLite into sorting a million rows for a page of a hundred.

const ALL: &str = "SELECT spec, run, settings, request FROM job WHERE id > ?1 ORDER BY id LIMIT ?2";

const OF_FAMILY: &str = "SELECT spec, run, settings, request FROM job INDEXED BY job_family \
     WHERE family = ?3 AND id > ?1 ORDER BY id LIMIT ?2";

const UNFINISHED: &str = "SELECT spec, run, settings, request FROM job INDEXED BY job_unfinished \
     WHERE ended = 0 AND id > ?1 ORDER BY id LIMIT ?2";

const UNFINISHED_OF_FAMILY: &str = "SELECT spec, run, settings, request FROM job INDEXED BY job_unfinished \
     WHERE ended = 0 AND id > ?1 AND family = ?3 ORDER BY id LIMIT ?2";

/// The owners are found by jumping from one to the next in the index, and of each only the first few jobs are looked at.
const CANDIDATES: &str = "WITH RECURSIVE owners (owner) AS ( \
       SELECT min(owner) FROM job INDEXED BY job_waiting WHERE waiting = 1 \
       UNION ALL \
       SELECT (SELECT min(j.owner) FROM job j INDEXED BY job_waiting WHERE j.waiting = 1 AND j.owner > owners.owner) \
       FROM owners WHERE owners.owner IS NOT NULL \
     ) \
     SELECT job.id, job.owner, job.priority, job.submitted FROM owners CROSS JOIN job ON job.id IN ( \
       SELECT w.id FROM job w INDEXED BY job_waiting \
       WHERE w.waiting = 1 AND w.owner = owners.owner AND (w.lease_expires IS NULL OR w.lease_expires <= ?1) \
       ORDER BY w.priority, w.id LIMIT ?2)";

const HISTORY: &str = "SELECT spec, run, settings, NULL FROM history WHERE id = ?1 ORDER BY seq DESC LIMIT 1";

const RECENT_HISTORY: &str = "SELECT spec, run, settings, NULL FROM history ORDER BY seq DESC LIMIT ?1";

const DUE: &str = "SELECT spec, run, settings, request FROM job INDEXED BY job_due \
     WHERE due_at <= ?1 AND (lease_expires IS NULL OR lease_expires <= ?1) ORDER BY due_at, id LIMIT ?2";

const OVER: &str = "SELECT spec, run, settings, request FROM job INDEXED BY job_until \
     WHERE until_at <= ?1 AND (lease_expires IS NULL OR lease_expires <= ?1) ORDER BY until_at, id LIMIT ?2";

const NEXT_DUE: &str = "SELECT min(due_at) FROM job INDEXED BY job_due WHERE due_at > ?1";

const NEXT_OVER: &str = "SELECT min(until_at) FROM job INDEXED BY job_until WHERE until_at > ?1";

const OF_ELEMENT: &str = "SELECT spec, run, settings, request FROM job_element e CROSS JOIN job ON job.id = e.id \
     WHERE e.element = ?4 AND e.id > ?1 AND job.family = ?3 ORDER BY e.id LIMIT ?2";

/// All of them, for the test that looks at their plans.
#[cfg(test)]
pub(super) const QUERIES: [&str; 13] = [
    ONE,
    ALL,
    OF_FAMILY,
    UNFINISHED,
    UNFINISHED_OF_FAMILY,
    CANDIDATES,
    HISTORY,
    RECENT_HISTORY,
    DUE,
    OVER,
    NEXT_DUE,
    NEXT_OVER,
    OF_ELEMENT,
];

/// The job with this id.
pub(super) async fn load(pool: &SqlitePool, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
    one(pool, ONE, id, "loading a job").await
}

/// The job of the history with this id; the latest, should there be several.
pub(super) async fn history(pool: &SqlitePool, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
    one(pool, HISTORY, id, "loading a job of the history").await
}

/// The newest jobs of the history.
pub(super) async fn recent_history(
    pool: &SqlitePool,
    limit: usize,
) -> Result<Vec<Arc<JobRecord>>, StoreError> {
    let failed = |e| backend("listing the history", e);
    let mut rows = sqlx::query(RECENT_HISTORY).bind(row::limit(limit)).fetch(pool);
    let mut records = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        records.push(row::record(&row)?);
    }
    Ok(records)
}

/// A page of jobs.
pub(super) async fn list(
    pool: &SqlitePool,
    filter: &JobFilter,
    after: Option<JobId>,
    limit: usize,
) -> Result<Vec<Arc<JobRecord>>, StoreError> {
    if filter.families.is_empty() {
        return page(pool, None, filter.unfinished_only, after, limit).await;
    }
    let mut families: Vec<&str> = filter.families.iter().map(String::as_str).collect();
    families.sort_unstable();
    families.dedup();
    let mut records = Vec::new();
    // One query for all families would have to sort everything behind `after`; a page of each is enough.
    for family in &families {
        records.append(&mut page(pool, Some(family), filter.unfinished_only, after, limit).await?);
    }
    if families.len() > 1 {
        records.sort_by_key(|r| r.id());
        records.truncate(limit);
    }
    Ok(records)
}

/// Jobs that want a driver.
pub(super) async fn candidates(
    pool: &SqlitePool,
    now: SystemTime,
    per_owner: usize,
    limit: usize,
) -> Result<Vec<Candidate>, StoreError> {
    let failed = |e| backend("looking for jobs to run", e);
    let mut rows = sqlx::query(CANDIDATES).bind(micros(now)).bind(row::limit(per_owner)).fetch(pool);
    let mut found = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        found.push(candidate(&row).map_err(failed)?);
    }
    Ok(take_turns(found, limit))
}

/// Jobs without a driver whose time has come.
pub(super) async fn due(
    pool: &SqlitePool,
    now: SystemTime,
    limit: usize,
) -> Result<Vec<Arc<JobRecord>>, StoreError> {
    let failed = |e| backend("looking for jobs that are due", e);
    let mut records: Vec<Arc<JobRecord>> = Vec::new();
    // What is over comes first: it makes room.
    for sql in [OVER, DUE] {
        let mut rows = sqlx::query(sql).bind(micros(now)).bind(row::limit(limit)).fetch(pool);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let record = row::record(&row)?;
            if records.len() < limit && records.iter().all(|r| r.id() != record.id()) {
                records.push(record);
            }
        }
    }
    Ok(records)
}

/// When the next job is due.
pub(super) async fn next_due(pool: &SqlitePool, now: SystemTime) -> Result<Option<SystemTime>, StoreError> {
    let mut next: Option<i64> = None;
    for sql in [NEXT_DUE, NEXT_OVER] {
        let found: Option<i64> = sqlx::query_scalar(sql)
            .bind(micros(now))
            .fetch_one(pool)
            .await
            .map_err(|e| backend("looking when a job is due", e))?;
        next = next.into_iter().chain(found).min();
    }
    Ok(next.map(form::moment))
}

/// A page of the jobs of an element.
pub(super) async fn of_element(
    pool: &SqlitePool,
    element: ElementKey,
    family: &str,
    after: Option<JobId>,
    limit: usize,
) -> Result<Vec<Arc<JobRecord>>, StoreError> {
    let query = sqlx::query(OF_ELEMENT)
        .bind(after.map(row::key).unwrap_or_default())
        .bind(row::limit(limit))
        .bind(family.to_owned())
        .bind(row::element(element));
    let mut rows = query.fetch(pool);
    let mut records = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(|e| backend("listing the jobs of an element", e))? {
        records.push(row::record(&row)?);
    }
    Ok(records)
}

async fn one(
    pool: &SqlitePool,
    sql: &'static str,
    id: JobId,
    context: &str,
) -> Result<Option<Arc<JobRecord>>, StoreError> {
    let row =
        sqlx::query(sql).bind(row::key(id)).fetch_optional(pool).await.map_err(|e| backend(context, e))?;
    row.as_ref().map(row::record).transpose()
}

async fn page(
    pool: &SqlitePool,
    family: Option<&str>,
    unfinished_only: bool,
    after: Option<JobId>,
    limit: usize,
) -> Result<Vec<Arc<JobRecord>>, StoreError> {
    let sql = match (family, unfinished_only) {
        (None, false) => ALL,
        (Some(_), false) => OF_FAMILY,
        (None, true) => UNFINISHED,
        (Some(_), true) => UNFINISHED_OF_FAMILY,
    };
    // Less than every id.
    let after = after.map(row::key).unwrap_or_default();
    let mut query = sqlx::query(sql).bind(after).bind(row::limit(limit));
    if let Some(family) = family {
        query = query.bind(family.to_owned());
    }
    let mut rows = query.fetch(pool);
    let mut records = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(|e| backend("listing jobs", e))? {
        records.push(row::record(&row)?);
    }
    Ok(records)
}

fn candidate(row: &SqliteRow) -> Result<Candidate, sqlx::Error> {
    Ok(Candidate {
        id: row::id(row.try_get(0)?).map_err(unreadable)?,
        owner: row.try_get(1)?,
        priority: row.try_get(2)?,
        submitted: form::moment(row.try_get(3)?),
    })
}
