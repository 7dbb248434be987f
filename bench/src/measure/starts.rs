//! Durable job starts, against bare SQLite commits of the same size on the same disk.

use super::Bench;
use super::load::{ClientKind, Connection, Load};
use super::message;
use super::reads::demo_service;
use super::report::{Goal, Report, Row, mebibytes, median, micros, rate};
use crate::failure::{Failure, Result};
use crate::server::{self, Server};
use bytes::Bytes;
use cimwright_client::Client;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// How many jobs the server runs at once by default: with that many waiting, every other job is only queued.
const CONCURRENCY: usize = 4;

/// More rounds would tell no more.
const MOST_ROUNDS: usize = 5;

/// Rates of one kind, one for each round.
#[derive(Default)]
struct Rates {
    one: Vec<f64>,
    many: Vec<f64>,
    /// Processor time of the server for each start with many connections, in seconds.
    cpu: Vec<f64>,
}

/// Measures and reports.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let (mut queued, mut run, mut floor) = (Rates::default(), Rates::default(), Rates::default());
    let mut row_bytes = 0;
    let (mut held, mut ended) = (Vec::new(), Vec::new());
    // Each round takes long: what was started has to be run before the next measurement.
    for round in 0..bench.extent.rounds.min(MOST_ROUNDS) {
        // A new database each time, so that every round meets the same.
        let setup = bench.setup(&format!("starts-{round}"), None).await?;
        let server = setup.start().await?;
        let client = Client::connect(server::over_unix(server.addresses())).await?;
        let service = demo_service(&client).await?;
        let requests: Arc<[Bytes]> = Arc::from([message::start_job(&service, "complete")]);
        let load = |connections| Load {
            address: server.addresses().http,
            pid: server.pid(),
            requests: Arc::clone(&requests),
            connections,
            span: bench.extent.span,
            expect: ">4096<",
            client: ClientKind::Lean,
        };
        run.one.push(load(1).run().await?.per_second);
        let many = load(32).run().await?;
        run.many.push(many.per_second);
        run.cpu.push(many.cpu.as_secs_f64());
        ended.extend(drained(&server).await?);
        for _ in 0..CONCURRENCY {
            client.invoke(&service.clone().into(), "StartJob", message::start_params("wait")).await?;
        }
        queued.one.push(load(1).run().await?.per_second);
        if row_bytes == 0 {
            row_bytes = size_of_row(&setup.state.join("jobs.sqlite")).await?;
        }
        let file = bench.scratch.path().join(format!("floor-{round}.sqlite"));
        floor.one.push(commits(&file, row_bytes, 1, bench.extent.span).await?);
        let many = load(32).run().await?;
        queued.many.push(many.per_second);
        queued.cpu.push(many.cpu.as_secs_f64());
        floor.many.push(commits(&file, row_bytes, 32, bench.extent.span).await?);
        held.push((unfinished(&server).await?, server.memory().resident));
        drop(client);
        server.kill().await?;
    }
    let ratios = |left: &[f64], right: &[f64]| -> f64 {
        median(&left.iter().zip(right).map(|(a, b)| a / b).collect::<Vec<_>>())
    };
    let mut row = |what: String, ours: &[f64], cpu: &[f64], other: &[f64], goal| {
        let cpu = if cpu.is_empty() { String::new() } else { format!(", {} CPU each", micros(median(cpu))) };
        report.add(Row {
            what,
            ours: format!("{}{cpu}", rate(median(ours))),
            floor: rate(median(other)),
            ratio: Some(ratios(ours, other)),
            goal,
        });
    };
    let of = format!("rows of {row_bytes} bytes");
    row(
        format!("durable job starts (queued), 1 connection; SQLite: 1 caller, {of}"),
        &queued.one,
        &[],
        &floor.one,
        Goal::None,
    );
    row(
        "durable job starts (queued), 32 connections; SQLite: 32 callers of one connection".into(),
        &queued.many,
        &queued.cpu,
        &floor.many,
        Goal::AtLeast(0.5),
    );
    row(
        "durable job starts (queued), 32 connections against 1 connection".into(),
        &queued.many,
        &[],
        &queued.one,
        Goal::AtLeast(5.0),
    );
    row(
        "jobs started and run to Completed meanwhile, 1 connection; SQLite: 1 caller".into(),
        &run.one,
        &[],
        &floor.one,
        Goal::None,
    );
    row(
        "jobs started and run to Completed meanwhile, 32 connections; SQLite: 32 callers".into(),
        &run.many,
        &run.cpu,
        &floor.many,
        Goal::None,
    );
    if !ended.is_empty() {
        report.add(Row {
            what: "waiting jobs run to Completed, when nothing else is asked for".to_owned(),
            ours: rate(median(&ended)),
            floor: String::new(),
            ratio: None,
            goal: Goal::None,
        });
    }
    if let Some((jobs, bytes)) = held.into_iter().max() {
        report.add(Row {
            what: format!("resident memory with {jobs} jobs in the queue"),
            ours: mebibytes(bytes),
            floor: String::new(),
            ratio: None,
            goal: Goal::None,
        });
    }
    Ok(())
}

/// Waits until nothing is left to run; gives how many jobs a second ended meanwhile, if there were enough to tell.
async fn drained(server: &Server) -> Result<Option<f64>> {
    const LIMIT: u64 = 120;
    let waiting = unfinished(server).await?;
    let began = Instant::now();
    while unfinished(server).await? > 0 {
        if began.elapsed() > Duration::from_secs(LIMIT) {
            return Err(Failure::Late { what: "running the jobs that were started", seconds: LIMIT });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((waiting > 500).then(|| f64::from(waiting) / began.elapsed().as_secs_f64()))
}

/// How many jobs have not ended.
async fn unfinished(server: &Server) -> Result<u32> {
    let mut connection = Connection::open(server.addresses().http).await?;
    connection.ask(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let text = String::from_utf8_lossy(connection.body()).into_owned();
    let number =
        text.lines().find_map(|l| l.strip_prefix("cimwright_jobs{state=\"unfinished\"} ")?.parse().ok());
    number.ok_or_else(|| Failure::Answer { asked: "GET /metrics", answered: "no number of jobs".to_owned() })
}

/// What the row of a job holds, in bytes.
async fn size_of_row(database: &Path) -> Result<usize> {
    let mut connection = SqliteConnectOptions::new().filename(database).read_only(true).connect().await?;
    let row = sqlx::query(
        "SELECT CAST(avg(length(id) + length(family) + length(owner) + length(settings) + length(spec) + length(run) + 24) AS INTEGER) \
         FROM (SELECT * FROM job ORDER BY id DESC LIMIT 100)",
    )
    .fetch_one(&mut connection)
    .await?;
    let bytes: i64 = row.try_get(0)?;
    connection.close().await?;
    Ok(usize::try_from(bytes).unwrap_or_default())
}

/// How many commits of one row SQLite makes durable in a second, for so many callers of one connection.
async fn commits(path: &Path, row_bytes: usize, callers: usize, span: Duration) -> Result<f64> {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // As the server has it.
        .pragma("wal_autocheckpoint", "4000")
        .disable_statement_logging()
        .connect()
        .await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS floor (id BLOB NOT NULL PRIMARY KEY, data BLOB NOT NULL)")
        .execute(&mut connection)
        .await?;
    let connection = Arc::new(Mutex::new(connection));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let connection = Arc::clone(&connection);
        let data = vec![b'x'; row_bytes.saturating_sub(16)];
        tasks.spawn(async move {
            let mut count = 0u64;
            while began.elapsed() < span {
                commit(&mut *connection.lock().await, &data).await?;
                count += 1;
            }
            Ok::<u64, Failure>(count)
        });
    }
    let mut count = 0;
    while let Some(done) = tasks.join_next().await {
        count += done.map_err(|e| Failure::connection("committing")(std::io::Error::other(e)))??;
    }
    let passed = began.elapsed();
    if let Some(connection) = Arc::into_inner(connection) {
        connection.into_inner().close().await?;
    }
    Ok(count as f64 / passed.as_secs_f64())
}

async fn commit(connection: &mut SqliteConnection, data: &[u8]) -> Result<()> {
    let id = cimwright_jobs::JobId::generate();
    sqlx::query("INSERT INTO floor (id, data) VALUES (?1, ?2)")
        .bind(&id.0.as_bytes()[..])
        .bind(data)
        .execute(connection)
        .await?;
    Ok(())
}
