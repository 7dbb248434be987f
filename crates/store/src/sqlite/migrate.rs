//! Brings a database file to the schema of this version.

use super::error::backend;
use cimwright_jobs::StoreError;
use sqlx::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

/// The scripts, in order; the number of those applied is the file's `user_version`. A script that has been released is never
/// changed: another one follows it.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/0001_jobs.sql")];

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
        let stamp = format!("PRAGMA application_id = {application_id}; PRAGMA user_version = {number}");
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(stamp))).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        tracing::info!(version = number, "{what} schema applied");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
