//! A process that is killed while it writes loses no job that it has answered for.
//!
//! The test starts this same binary again as a child that creates jobs from several tasks and prints each id once the store
//! has said that it is durable; the parent kills it with SIGKILL at a moment that differs from round to round.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests too")]

use cimwright_cim::NamespaceName;
use cimwright_jobs::{Holder, JobId, JobRecord, JobRun, JobSettings, JobSpec, JobState, JobStore, Lease};
use cimwright_store::{SqliteOptions, SqliteStore};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

/// Set for the child: where its database is.
const DATABASE: &str = "CIMWRIGHT_STORE_CRASH_DATABASE";

/// How many lines of the child are waited for before the kill, round by round: from hardly begun to well under way.
const ROUNDS: [usize; 8] = [1, 2, 7, 23, 60, 111, 250, 400];

/// Begins every line of the child that counts; the test harness prints lines of its own.
const CREATED: &str = "created ";
const FINISHED: &str = "finished ";

fn job() -> JobRecord {
    JobRecord::new(
        JobSpec {
            id: JobId::generate(),
            family: "test".to_owned(),
            kind: "test".to_owned(),
            payload: "x".repeat(500),
            origin: NamespaceName::new("root/test"),
            owner: "ada".to_owned(),
            name: String::new(),
            caption: String::new(),
            description: String::new(),
            job_type: 0,
            owning_element: None,
            affected: Vec::new(),
            submitted: SystemTime::UNIX_EPOCH,
            call: None,
            run_of: None,
        },
        JobSettings::default(),
    )
}

fn say(line: &str) {
    // Past the harness, which would keep what a test prints until it ends.
    let mut out = std::io::stderr().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// What the child runs; without the variable it is a test with nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(path) = std::env::var_os(DATABASE).map(PathBuf::from) else { return };
    let store = Arc::new(SqliteStore::open(&path, SqliteOptions::default()).await.unwrap());
    let tasks = (0..8).map(|n: u64| {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let job = job();
                let lease =
                    Lease::new(job.id(), Holder::random(), SystemTime::UNIX_EPOCH + Duration::from_secs(n));
                store.create(&job, Some(&lease)).await.unwrap();
                say(&format!("{CREATED}{}", job.id()));
                if n.is_multiple_of(2) {
                    let run = JobRun {
                        state: JobState::Completed,
                        finished: Some(SystemTime::UNIX_EPOCH),
                        ..JobRun::new()
                    };
                    store.record(&lease, &run).await.unwrap();
                    say(&format!("{FINISHED}{}", job.id()));
                }
            }
        })
    });
    futures_util::future::join_all(tasks).await;
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Not to be left running when the parent fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the child until it has printed `lines` lines, kills it, and returns all that it printed.
fn run_and_kill(database: &Path, lines: usize) -> Vec<String> {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(DATABASE, database)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let output = BufReader::new(child.0.stderr.take().unwrap());
    let (sender, printed) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut seen = Vec::new();
    while seen.len() < lines {
        seen.push(printed.recv_timeout(Duration::from_secs(60)).expect("the child goes on printing"));
    }
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    reader.join().unwrap();
    // What was printed before the kill was answered before the kill.
    seen.extend(printed.try_iter());
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_kill_9() {
    if std::env::var_os(DATABASE).is_some() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("jobs.sqlite");
    let (mut created, mut finished) = (Vec::new(), Vec::new());
    for lines in ROUNDS {
        let path = database.clone();
        let printed = tokio::task::spawn_blocking(move || run_and_kill(&path, lines)).await.unwrap();
        for line in &printed {
            // The last line may have been cut by the kill.
            if let Some(id) = line.strip_prefix(CREATED).filter(|id| id.len() == 36) {
                created.push(id.parse::<JobId>().unwrap());
            } else if let Some(id) = line.strip_prefix(FINISHED).filter(|id| id.len() == 36) {
                finished.push(id.parse::<JobId>().unwrap());
            }
        }

        let mut raw =
            SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&database)).await.unwrap();
        let verdict: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut raw).await.unwrap();
        assert_eq!(verdict, "ok");
        let counted: (i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE ended = 0), count(*) FILTER (WHERE ended = 1) FROM job",
        )
        .fetch_one(&mut raw)
        .await
        .unwrap();
        raw.close().await.unwrap();

        let store = SqliteStore::open(&database, SqliteOptions::default()).await.unwrap();
        for id in &created {
            assert!(store.load(*id).await.unwrap().is_some(), "{id} was answered and is gone");
        }
        for id in &finished {
            assert_eq!(store.load(*id).await.unwrap().unwrap().run.state, JobState::Completed);
        }
        let counts = store.count().await.unwrap();
        assert_eq!((counts.unfinished as i64, counts.finished as i64), counted);
        store.close().await;
    }
    assert!(created.len() >= ROUNDS.iter().sum::<usize>() / 2, "{} jobs", created.len());
}
