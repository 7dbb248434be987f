//! The repository in an SQLite file of its own, beside that of the jobs.

use crate::form;
use crate::sqlite::connect_options;
use crate::sqlite::error::backend;
use crate::sqlite::lock::{StateLock, create_private};
use crate::sqlite::migrate::bring_up;
use async_trait::async_trait;
use cimwright_cim::{Name, NamespaceName};
use cimwright_jobs::StoreError;
use cimwright_repository::keys::key_text;
use cimwright_repository::{Change, Content, RepositoryError, RepositoryStore};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use std::path::Path;
use tokio::sync::Mutex;

/// The scripts, in order. A script that has been released is never changed: another one follows it.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/repository/0001_repository.sql")];

/// What a file of ours has as its `application_id`: "CWRP".
const APPLICATION_ID: i64 = 0x4357_5250;

/// A [`RepositoryStore`] in an SQLite file.
#[derive(Debug)]
pub struct SqliteRepository {
    conn: Mutex<SqliteConnection>,
    _lock: StateLock,
}

/// A change, as the statement that makes it wants it.
enum Statement {
    AddNamespace(String),
    RemoveNamespace(String),
    SetQualifier(String, String, Vec<u8>),
    RemoveQualifier(String, String),
    SetClass(String, String, Vec<u8>),
    RemoveClass(String, String),
    SetInstance(String, String, String, Vec<u8>),
    RemoveInstance(String, String, String),
}

impl SqliteRepository {
    /// Opens the database at `path`, making it or bringing it up to date if need be. The directory must exist; the file is
    /// readable for this user only.
    ///
    /// # Errors
    /// If another server has it open, if it was written by a later version or another program, or if SQLite fails.
    pub async fn open(path: &Path) -> Result<Self, RepositoryError> {
        let lock = StateLock::take(path).map_err(of_store)?;
        create_private(path).map_err(of_store)?;
        let mut conn = connect_options(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .connect()
            .await
            .map_err(|e| of_store(backend(format!("opening {}", path.display()), e)))?;
        bring_up(&mut conn, "repository", APPLICATION_ID, MIGRATIONS).await.map_err(of_store)?;
        Ok(Self { conn: Mutex::new(conn), _lock: lock })
    }
}

#[async_trait]
impl RepositoryStore for SqliteRepository {
    async fn load(&self) -> Result<Content, RepositoryError> {
        let mut conn = self.conn.lock().await;
        let mut content = Content::default();
        for row in rows(&mut conn, "SELECT name FROM namespace ORDER BY name").await? {
            content.namespaces.push(namespace(&row, 0)?);
        }
        for row in rows(&mut conn, "SELECT namespace, form FROM qualifier ORDER BY namespace, name").await? {
            let declaration = form::decode_qualifier(blob(&row)?).map_err(damaged)?;
            content.qualifiers.push((namespace(&row, 0)?, declaration));
        }
        let classes = rows(&mut conn, "SELECT namespace, form FROM class ORDER BY seq").await?;
        content.classes = decoded(&classes, form::decode_class)?;
        let instances = rows(&mut conn, "SELECT namespace, form FROM instance").await?;
        content.instances = decoded(&instances, form::decode_instance)?;
        Ok(content)
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), RepositoryError> {
        let statements =
            changes.iter().filter_map(|c| statement(c).transpose()).collect::<Result<Vec<_>, _>>()?;
        let failed = |e| of_store(backend("changing the repository", e));
        let mut conn = self.conn.lock().await;
        // Dropped before the commit, it rolls back.
        let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        for statement in statements {
            statement.run(&mut transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }
}

impl Statement {
    async fn run(self, conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        match self {
            Self::AddNamespace(name) => {
                run(conn, "INSERT OR IGNORE INTO namespace (name) VALUES (?1)", [name]).await
            }
            Self::RemoveNamespace(name) => {
                for sql in [
                    "DELETE FROM namespace WHERE name = ?1",
                    "DELETE FROM qualifier WHERE namespace = ?1",
                    "DELETE FROM class WHERE namespace = ?1",
                    "DELETE FROM instance WHERE namespace = ?1",
                ] {
                    run(conn, sql, [name.clone()]).await?;
                }
                Ok(())
            }
            Self::SetQualifier(namespace, name, form) => {
                let sql = "INSERT INTO qualifier (namespace, name, form) VALUES (?1, ?2, ?3) \
                           ON CONFLICT (namespace, name) DO UPDATE SET form = excluded.form";
                run_with(conn, sql, [namespace, name], form).await
            }
            Self::RemoveQualifier(namespace, name) => {
                run(conn, "DELETE FROM qualifier WHERE namespace = ?1 AND name = ?2", [namespace, name]).await
            }
            Self::SetClass(namespace, name, form) => {
                // A class that is modified keeps its place in the order.
                let sql = "INSERT INTO class (namespace, name, form) VALUES (?1, ?2, ?3) \
                           ON CONFLICT (namespace, name) DO UPDATE SET form = excluded.form";
                run_with(conn, sql, [namespace, name], form).await
            }
            Self::RemoveClass(namespace, name) => {
                run(conn, "DELETE FROM class WHERE namespace = ?1 AND name = ?2", [namespace, name]).await
            }
            Self::SetInstance(namespace, class, key, form) => {
                let sql = "INSERT INTO instance (namespace, class, key, form) VALUES (?1, ?2, ?3, ?4) \
                           ON CONFLICT (namespace, class, key) DO UPDATE SET form = excluded.form";
                run_with(conn, sql, [namespace, class, key], form).await
            }
            Self::RemoveInstance(namespace, class, key) => {
                let sql = "DELETE FROM instance WHERE namespace = ?1 AND class = ?2 AND key = ?3";
                run(conn, sql, [namespace, class, key]).await
            }
        }
    }
}

async fn run<const N: usize>(
    conn: &mut SqliteConnection,
    sql: &'static str,
    names: [String; N],
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(sql);
    for name in names {
        query = query.bind(name);
    }
    query.execute(conn).await.map(|_| ())
}

async fn run_with<const N: usize>(
    conn: &mut SqliteConnection,
    sql: &'static str,
    names: [String; N],
    form: Vec<u8>,
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(sql);
    for name in names {
        query = query.bind(name);
    }
    query.bind(form).execute(conn).await.map(|_| ())
}

fn statement(change: &Change) -> Result<Option<Statement>, RepositoryError> {
    let at = |n: &NamespaceName| n.as_str().to_owned();
    let named = |n: &Name| n.as_str().to_owned();
    Ok(Some(match change {
        Change::AddNamespace(n) => Statement::AddNamespace(at(n)),
        Change::RemoveNamespace(n) => Statement::RemoveNamespace(at(n)),
        Change::SetQualifier(n, q) => {
            Statement::SetQualifier(at(n), named(&q.name), form::encode_qualifier(q).map_err(damaged)?)
        }
        Change::RemoveQualifier(n, name) => Statement::RemoveQualifier(at(n), named(name)),
        Change::SetClass(n, c) => {
            Statement::SetClass(at(n), named(&c.name), form::encode_class(c).map_err(damaged)?)
        }
        Change::RemoveClass(n, name) => Statement::RemoveClass(at(n), named(name)),
        Change::SetInstance(n, instance) => {
            let Some(path) = &instance.path else { return Ok(None) };
            let form = form::encode_instance(instance).map_err(damaged)?;
            Statement::SetInstance(at(n), named(&path.class), key_text(path), form)
        }
        Change::RemoveInstance(n, path) => {
            Statement::RemoveInstance(at(n), named(&path.class), key_text(path))
        }
    }))
}

async fn rows(
    conn: &mut SqliteConnection,
    sql: &'static str,
) -> Result<Vec<sqlx::sqlite::SqliteRow>, RepositoryError> {
    sqlx::query(sql).fetch_all(conn).await.map_err(|e| of_store(backend("reading the repository", e)))
}

/// The forms of many rows, in their order. A start waits for this, so all processors take part.
fn decoded<T: Send>(
    rows: &[sqlx::sqlite::SqliteRow],
    decode: fn(&[u8]) -> Result<T, form::FormError>,
) -> Result<Vec<(NamespaceName, T)>, RepositoryError> {
    let one = |row| Ok((namespace(row, 0)?, decode(blob(row)?).map_err(damaged)?));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let share = rows.len().div_ceil(threads).max(64);
    std::thread::scope(|scope| {
        let parts: Vec<_> = rows
            .chunks(share)
            .map(|part| {
                scope.spawn(move || part.iter().map(one).collect::<Result<Vec<_>, RepositoryError>>())
            })
            .collect();
        let mut all = Vec::with_capacity(rows.len());
        for part in parts {
            // A panic of a part is one of the whole.
            all.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}

fn namespace(row: &sqlx::sqlite::SqliteRow, column: usize) -> Result<NamespaceName, RepositoryError> {
    let name: &str = row.try_get(column).map_err(|e| of_store(backend("reading a namespace", e)))?;
    Ok(NamespaceName::new(name))
}

fn blob(row: &sqlx::sqlite::SqliteRow) -> Result<&[u8], RepositoryError> {
    row.try_get(1).map_err(|e| of_store(backend("reading a stored form", e)))
}

fn damaged(error: form::FormError) -> RepositoryError {
    RepositoryError::Corrupt(error.to_string())
}

/// What the parts shared with the job store say.
fn of_store(error: StoreError) -> RepositoryError {
    match error {
        StoreError::Full(text) => RepositoryError::Full(text),
        StoreError::Corrupt(text) => RepositoryError::Corrupt(text),
        StoreError::Backend { context, source } => RepositoryError::Backend { context, source },
        other => RepositoryError::Backend { context: "opening".to_owned(), source: Box::new(other) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_survives_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repository.sqlite");
        let before = {
            let repository = SqliteRepository::open(&path).await.unwrap();
            super::super::conformance::fill(&repository).await;
            let second = SqliteRepository::open(&path).await.unwrap_err();
            assert!(second.to_string().contains("in use"), "{second:?}");
            repository.load().await.unwrap()
        };
        let repository = SqliteRepository::open(&path).await.unwrap();
        assert_eq!(repository.load().await.unwrap(), before);
        assert!(!before.instances.is_empty());
    }

    #[tokio::test]
    async fn a_file_of_the_jobs_is_no_repository() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobs.sqlite");
        drop(crate::SqliteStore::open(&path, crate::SqliteOptions::default()).await.unwrap());
        // The lock goes when the writer of the store has ended.
        let refused = loop {
            match SqliteRepository::open(&path).await {
                Err(RepositoryError::Backend { .. }) => tokio::task::yield_now().await,
                other => break other.map(|_| ()),
            }
        };
        assert!(matches!(refused, Err(RepositoryError::Corrupt(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn the_sqlite_repository_keeps_the_promise() {
        let directory = tempfile::tempdir().unwrap();
        let repository = SqliteRepository::open(&directory.path().join("r.sqlite")).await.unwrap();
        super::super::conformance::all(&repository).await;
    }

    #[tokio::test]
    async fn the_memory_repository_keeps_the_promise() {
        super::super::conformance::all(&crate::MemoryRepository::new()).await;
    }
}
