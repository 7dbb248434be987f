//! The conformance suite on SQLite, and what only SQLite promises.

use super::*;
use crate::conformance::{StoreFactory, run_on};
use crate::samples::{at, id, job};
use sqlx::{Connection, Executor};
use tempfile::TempDir;

struct InDirectory(TempDir);

#[async_trait]
impl StoreFactory for InDirectory {
    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn JobStore> {
        // Small, so that records also come from the database and not from the cache alone.
        let options =
            SqliteOptions { cache_records: NonZeroUsize::new(8).unwrap(), ..SqliteOptions::default() };
        Arc::new(SqliteStore::open(&self.path(), options).await.unwrap())
    }
}

impl InDirectory {
    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("jobs.sqlite")
    }

    async fn open_default(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.path(), SqliteOptions::default()).await
    }

    async fn raw(&self) -> SqliteConnection {
        connect_options(&self.path()).connect().await.unwrap()
    }
}

run_on!(InDirectory);

mod outbox_of_the_store {
    use super::*;
    use crate::conformance_outbox::{OutboxFactory, run_on};

    #[async_trait]
    impl OutboxFactory for InDirectory {
        fn fresh() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        async fn open(&self) -> (Arc<dyn JobStore>, Arc<dyn Outbox>) {
            let options =
                SqliteOptions { cache_records: NonZeroUsize::new(8).unwrap(), ..SqliteOptions::default() };
            let store = Arc::new(SqliteStore::open(&self.path(), options).await.unwrap());
            (store.clone(), store)
        }
    }

    run_on!(InDirectory);

    /// What nobody waits for any more takes no room.
    #[tokio::test]
    async fn delivered_indications_leave_the_file() {
        let place = <InDirectory as OutboxFactory>::fresh();
        let (store, outbox) = OutboxFactory::open(&place).await;
        crate::conformance_outbox::fill_and_settle(&*store, &*outbox).await;
        store.close().await;
        let mut conn = place.raw().await;
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM indication").fetch_one(&mut conn).await.unwrap();
        assert_eq!(left, 0);
    }
}

#[tokio::test]
async fn a_second_server_is_refused_until_the_first_is_closed() {
    let place = InDirectory::fresh();
    let first = place.open_default().await.unwrap();
    let refusal = place.open_default().await.err().unwrap().to_string();
    assert!(refusal.contains("jobs.sqlite is in use by process"), "{refusal}");
    assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
    first.close().await;
    place.open_default().await.unwrap().close().await;
}

#[tokio::test]
async fn the_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = InDirectory::fresh();
    let store = place.open_default().await.unwrap();
    store.create(&job(id(1)), None).await.unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(place.0.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.file_name());
        seen += 1;
    }
    // Database, log, index of the log, lock.
    assert_eq!(seen, 4);
    store.close().await;
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let place = InDirectory::fresh();
    let store = place.open_default().await.unwrap();
    store.close().await;
    store.close().await;
    assert!(store.create(&job(id(1)), None).await.unwrap_err().to_string().contains("closed"));
    assert!(store.load(id(1)).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_left_alone() {
    let place = InDirectory::fresh();
    let store = place.open_default().await.unwrap();
    store.create(&job(id(1)), None).await.unwrap();
    store.create(&job(id(2)), None).await.unwrap();
    store.close().await;
    let mut raw = place.raw().await;
    sqlx::query("UPDATE job SET run = ?1 WHERE id = ?2")
        .bind(r#"{"v":9}"#.as_bytes())
        .bind(row::key(id(1)))
        .execute(&mut raw)
        .await
        .unwrap();
    raw.close().await.unwrap();

    let store = place.open_default().await.unwrap();
    let refusal = store.load(id(1)).await.unwrap_err();
    assert!(matches!(&refusal, StoreError::Corrupt(text) if text.contains("form version 9")), "{refusal}");
    // A claim that cannot tell what it got has not got it, and does no harm to the one beside it.
    let (bad, good) = tokio::join!(
        store.claim(id(1), Holder::random(), at(0), at(9)),
        store.claim(id(2), Holder::random(), at(0), at(9)),
    );
    assert!(matches!(bad, Err(StoreError::Corrupt(_))), "{bad:?}");
    assert!(good.unwrap().is_some());
    store.close().await;
    let mut raw = place.raw().await;
    let leased: i64 = sqlx::query_scalar("SELECT count(*) FROM job WHERE lease_token IS NOT NULL")
        .fetch_one(&mut raw)
        .await
        .unwrap();
    assert_eq!(leased, 1);
}

#[tokio::test]
async fn a_failing_statement_spoils_only_its_own_command() {
    let place = InDirectory::fresh();
    let store = place.open_default().await.unwrap();
    let mut raw = place.raw().await;
    raw.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON job WHEN new.owner = 'mallory' \
         BEGIN SELECT RAISE(ABORT, 'refused by the test'); END",
    )
    .await
    .unwrap();
    raw.close().await.unwrap();
    let creates = (0..20u128).map(|n| {
        let mut record = job(id(n));
        if n == 7 {
            Arc::make_mut(&mut record.spec).owner = "mallory".to_owned();
        }
        let store = &store;
        async move { store.create(&record, None).await }
    });
    for (n, result) in (0u128..).zip(futures_util::future::join_all(creates).await) {
        match result {
            Ok(()) => assert!(n != 7 && store.load(id(n)).await.unwrap().is_some()),
            Err(e) => {
                assert_eq!(n, 7, "{e}");
                assert!(matches!(e, StoreError::Backend { .. }), "{e}");
                assert!(store.load(id(n)).await.unwrap().is_none());
            }
        }
    }
    assert_eq!(store.count().await.unwrap().unfinished, 19);
    store.close().await;
}

#[tokio::test]
async fn a_failing_commit_fails_everybody_and_changes_nothing() {
    let place = InDirectory::fresh();
    let store = place.open_default().await.unwrap();
    store.create(&job(id(1)), None).await.unwrap();
    let mut raw = place.raw().await;
    // The tally is written in the text of the commit.
    raw.execute(
        "CREATE TRIGGER refuse BEFORE UPDATE ON tally BEGIN SELECT RAISE(ABORT, 'refused by the test'); END",
    )
    .await
    .unwrap();
    let creates = (2..10u128).map(|n| {
        let store = &store;
        async move { store.create(&job(id(n)), None).await }
    });
    for result in futures_util::future::join_all(creates).await {
        assert!(matches!(result, Err(StoreError::Backend { .. })), "{result:?}");
    }
    assert!(store.load(id(2)).await.unwrap().is_none());
    assert_eq!(store.count().await.unwrap().unfinished, 1);
    raw.execute("DROP TRIGGER refuse").await.unwrap();
    raw.close().await.unwrap();
    store.create(&job(id(2)), None).await.unwrap();
    assert_eq!(store.count().await.unwrap().unfinished, 2);
    store.close().await;
}

/// Every query that must not slow down with the number of jobs uses its index, and sorts nothing.
#[tokio::test]
async fn nothing_scans() {
    let place = InDirectory::fresh();
    place.open_default().await.unwrap().close().await;
    let mut raw = place.raw().await;
    for sql in read::QUERIES {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::query(explain).fetch_all(&mut raw).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|r| r.get::<String, _>("detail")).collect();
        let bad = plan.iter().find(|line| line.starts_with("SCAN job") || line.contains("TEMP B-TREE"));
        assert_eq!(bad, None, "{sql}\n{plan:#?}");
    }
}
