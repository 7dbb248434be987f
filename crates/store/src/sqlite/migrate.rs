//! Brings a database file to the schema of this version.

use super::error::backend;
use super::row;
use crate::form;
use cimwright_jobs::StoreError;
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqliteConnection};

/// The scripts, in order; the number of those applied is the file's `user_version`. A script that has been released is never
/// changed: another one follows it.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_jobs.sql"),
    include_str!("../../migrations/0002_outbox.sql"),
    include_str!("../../migrations/0003_schedule.sql"),
    include_str!("../../migrations/0004_followers.sql"),
];

/// The script after which the elements of the jobs that are there have to be written into their column.
const ADDS_ELEMENTS: &str = "ADD COLUMN elements";

/// How many jobs are read at a time while their elements are added.
const PAGE: i64 = 500;

/// What a file of ours has as its `application_id`: "CWJS".
const APPLICATION_ID: i64 = 0x4357_4a53;

/// Applies the scripts that the file lacks, each in a transaction of its own.
///
/// # Errors
/// [`StoreError::Corrupt`] if the file belongs to another program or to a later version of this one.
pub(super) async fn migrate(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    bring_up(conn, "job store", APPLICATION_ID, MIGRATIONS).await
}

/// Applies the scripts of a kind of file, which has `application_id` and is called `what` in the log.
///
/// # Errors
/// As [`migrate`].
pub(crate) async fn bring_up(
    conn: &mut SqliteConnection,
    what: &'static str,
    application_id: i64,
    scripts: &'static [&'static str],
) -> Result<(), StoreError> {
    let failed = |e| backend("reading the version of the database", e);
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *conn).await.map_err(failed)?;
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *conn).await.map_err(failed)?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *conn)
        .await
        .map_err(failed)?;
    if application != application_id && (application != 0 || version != 0 || tables != 0) {
        return Err(StoreError::Corrupt("the database file belongs to another program".to_owned()));
    }
    let applied = usize::try_from(version).unwrap_or(usize::MAX);
    if applied > scripts.len() {
        return Err(StoreError::Corrupt(format!(
            "the database has schema version {version} and was written by a later version of this program, which knows \
             versions up to {}; run that later version, or restore a backup made before the upgrade",
            scripts.len()
        )));
    }
    for (number, script) in (1..).zip(scripts).skip(applied) {
        let failed = |e| backend(format!("applying schema version {number}"), e);
        let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        transaction.execute(sqlx::raw_sql(*script)).await.map_err(failed)?;
        if script.contains(ADDS_ELEMENTS) {
            add_elements(&mut transaction).await?;
        }
        let stamp = format!("PRAGMA application_id = {application_id}; PRAGMA user_version = {number}");
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(stamp))).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        tracing::info!(version = number, "{what} schema applied");
    }
    Ok(())
}

/// Reads the specs of all jobs and says in the new column which elements they are tied to; triggers do the rest.
async fn add_elements(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let failed = |e| backend("adding the elements of jobs", e);
    let mut after: Vec<u8> = Vec::new();
    loop {
        let rows = sqlx::query("SELECT id, spec FROM job WHERE id > ?1 ORDER BY id LIMIT ?2")
            .bind(after.clone())
            .bind(PAGE)
            .fetch_all(&mut *conn)
            .await
            .map_err(failed)?;
        for row in &rows {
            after = row.try_get(0).map_err(failed)?;
            let spec: &[u8] = row.try_get(1).map_err(failed)?;
            // A spec that cannot be read hides no other job; it is told when the job is asked for.
            let Ok(spec) = form::decode_spec(spec) else { continue };
            let Some(elements) = row::elements(&spec) else { continue };
            sqlx::query("UPDATE job SET elements = ?1 WHERE id = ?2")
                .bind(elements)
                .bind(after.clone())
                .execute(&mut *conn)
                .await
                .map_err(failed)?;
        }
        if rows.len() < PAGE as usize {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    async fn empty() -> SqliteConnection {
        SqliteConnection::connect("sqlite::memory:").await.unwrap()
    }

    #[tokio::test]
    async fn twice_is_once() {
        let mut conn = empty().await;
        migrate(&mut conn).await.unwrap();
        migrate(&mut conn).await.unwrap();
        let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut conn).await.unwrap();
        assert_eq!(version, MIGRATIONS.len() as i64);
    }

    #[tokio::test]
    async fn jobs_that_were_there_before_get_their_elements() {
        let mut conn = empty().await;
        conn.execute(sqlx::raw_sql(MIGRATIONS[0])).await.unwrap();
        conn.execute(AssertSqlSafe(format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1"
        )))
        .await
        .unwrap();
        // As the first version wrote it, and more than one page.
        for n in 0..1_200u128 {
            let job =
                if n % 2 == 0 { samples::every_field(samples::id(n)) } else { samples::job(samples::id(n)) };
            let spec = if n == 4 { b"damaged".to_vec() } else { form::encode_spec(&job.spec).unwrap() };
            sqlx::query(
                "INSERT INTO job (id, family, owner, priority, submitted, state, ended, waiting, settings, spec, run) \
                 VALUES (?1, 'f', 'o', 1, 0, 2, 0, 1, ?2, ?3, ?2)",
            )
            .bind(row::key(job.id()))
            .bind(b"{}".to_vec())
            .bind(spec)
            .execute(&mut conn)
            .await
            .unwrap();
        }
        migrate(&mut conn).await.unwrap();
        let element = &samples::every_field(samples::id(0)).spec.affected[0].element.clone();
        let tied: i64 = sqlx::query_scalar("SELECT count(*) FROM job_element WHERE element = ?1")
            .bind(row::element(cimwright_jobs::ElementKey::of(element)))
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(tied, 599);
    }

    #[tokio::test]
    async fn a_later_version_is_refused() {
        let mut conn = empty().await;
        migrate(&mut conn).await.unwrap();
        conn.execute("PRAGMA user_version = 999").await.unwrap();
        let refusal = migrate(&mut conn).await.unwrap_err().to_string();
        assert!(refusal.contains("schema version 999"), "{refusal}");
        assert!(refusal.contains("later version"), "{refusal}");
    }

    #[tokio::test]
    async fn a_file_of_another_program_is_refused_and_left_alone() {
        let mut conn = empty().await;
        conn.execute("CREATE TABLE t (x)").await.unwrap();
        assert!(matches!(migrate(&mut conn).await, Err(StoreError::Corrupt(_))));
        let tables: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut conn).await.unwrap();
        assert_eq!(tables, 1);
    }
}
