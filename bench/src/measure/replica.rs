//! Replication: the first copy against nbdcopy and cp, the price of a write, and what a difference costs.

use super::Bench;
use super::report::{Goal, Report, Row, median, micros, seconds};
use crate::content::{self, Mix};
use crate::failure::{Failure, Result};
use crate::nbd::{Address, Nbd};
use crate::replica::pair::{GROUP, Mode, Pair};
use crate::rng::Rng;
use cimwright_cim::Param;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

const MIB: u64 = 1 << 20;

/// The unit in which the engine remembers what the other side lacks.
const GRANULE: u64 = 64 << 10;

/// The size of a write whose latency is measured.
const WRITE: usize = 4096;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a volume in use holds: no holes, and a quarter of it text.
const FULL: Mix = Mix { holes: 0, text: 25 };

/// A plain server of a file, as the engine of a side is one.
struct Plain {
    _child: Child,
    socket: PathBuf,
}

/// Measures and reports.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    nbdcopy_version().await?;
    let size = bench.extent.replica;
    let pair = Pair::start(&bench.scratch, &bench.binary, |at, volume| match at {
        0 => content::write_raw(volume, size, FULL, 3),
        _ => empty(volume, size),
    })
    .await?;
    let whole = copies(bench, &pair, report).await?;
    latencies(bench, &pair, report).await?;
    difference(bench, &pair, report, whole).await?;
    pair.part(PATIENCE).await?;
    pair.stop().await
}

/// The first copy. Ends with a topology in the asynchronous mode, and gives the seconds that the copy took.
async fn copies(bench: &Bench, pair: &Pair, report: &mut Report) -> Result<f64> {
    let size = bench.extent.replica;
    let (mut ours, mut nbdcopies, mut cps) = (Vec::new(), Vec::new(), Vec::new());
    let (mut against_nbdcopy, mut against_cp) = (Vec::new(), Vec::new());
    let source = pair.source().volume.clone();
    let other = bench.scratch.path().join("copied");
    // The first one fills the page cache.
    nbdcopy(bench, &source, &other, size).await?;
    for round in 0..bench.extent.copies {
        if round > 0 {
            pair.part(PATIENCE).await?;
        }
        // Whoever is first may meet what the one before left to be written.
        let first = round.is_multiple_of(2);
        let mut floor = if first { 0.0 } else { nbdcopy(bench, &source, &other, size).await? };
        let copy = first_copy(pair, size).await?;
        if first {
            floor = nbdcopy(bench, &source, &other, size).await?;
        }
        let cp = plain_copy(&source, &other).await?;
        // The rate of ours in terms of that of the other.
        against_nbdcopy.push(floor / copy);
        against_cp.push(cp / copy);
        ours.push(copy);
        nbdcopies.push(floor);
        cps.push(cp);
    }
    remove(&other)?;
    let mib = size / MIB;
    let told = |times: &[f64]| {
        let time = median(times);
        format!("{}, {:.0} MiB/s", seconds(time), mib as f64 / time)
    };
    report.add(Row {
        what: format!(
            "first copy of {mib} MiB to the other server; nbdcopy over the loopback interface; both synced"
        ),
        ours: told(&ours),
        floor: told(&nbdcopies),
        ratio: Some(median(&against_nbdcopy)),
        goal: Goal::AtLeast(0.8),
    });
    report.add(Row {
        what: format!("first copy of {mib} MiB to the other server; cp --reflink=never and sync"),
        ours: told(&ours),
        floor: told(&cps),
        ratio: Some(median(&against_cp)),
        goal: Goal::None,
    });
    Ok(median(&ours))
}

/// Seconds from the call until both sides are the same and the destination is synced. The groups are there already.
async fn first_copy(pair: &Pair, size: u64) -> Result<f64> {
    let volume = &pair.destination().volume;
    empty(volume, size)?;
    pair.prepare(Mode::Async, PATIENCE).await?;
    rustix::fs::sync();
    let began = Instant::now();
    sync_group(pair).await?;
    synced(volume)?;
    Ok(began.elapsed().as_secs_f64())
}

/// SyncGroup, until its job says that both sides are the same.
async fn sync_group(pair: &Pair) -> Result<()> {
    let called = pair.source().call("SyncGroup", vec![Param::new("Name", GROUP)]).await?;
    pair.source().follow("SyncGroup", called, PATIENCE).await
}

/// Seconds of nbdcopy to a plain server over TCP, as far as a flush.
async fn nbdcopy(bench: &Bench, from: &Path, to: &Path, size: u64) -> Result<f64> {
    empty(to, size)?;
    let port = free_port()?;
    let address = format!("addr.type=inet,addr.host=127.0.0.1,addr.port={port}");
    let _server = daemon(bench, to, &address, "nbdcopy.pid").await?;
    rustix::fs::sync();
    let uri = format!("nbd://127.0.0.1:{port}/volume");
    let began = Instant::now();
    run_program("nbdcopy", &["--flush".as_ref(), from.as_os_str(), uri.as_ref()]).await?;
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds of cp and a sync of the copy.
async fn plain_copy(from: &Path, to: &Path) -> Result<f64> {
    remove(to)?;
    rustix::fs::sync();
    let began = Instant::now();
    run_program("cp", &["--reflink=never".as_ref(), from.as_os_str(), to.as_os_str()]).await?;
    synced(to)?;
    Ok(began.elapsed().as_secs_f64())
}

/// What a write of 4 KiB takes without replication, and in both modes.
async fn latencies(bench: &Bench, pair: &Pair, report: &mut Report) -> Result<()> {
    let size = bench.extent.replica;
    let file = bench.scratch.path().join("alone");
    content::write_raw(&file, size, FULL, 4)?;
    let alone = Plain::start(bench, &file).await?;
    let address = Address { export: "volume".to_owned(), socket: alone.socket.clone() };
    let (mut none, mut sync, mut asynchronous) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sync_ratios, mut async_ratios) = (Vec::new(), Vec::new());
    for round in 0..bench.extent.rounds {
        pair.set_mode(Mode::Async).await?;
        pair.in_mode(Mode::Async, PATIENCE).await?;
        let behind = writes(bench, &application(pair).await?, size, round).await?;
        let bare = writes(bench, &address, size, round).await?;
        pair.set_mode(Mode::Sync).await?;
        pair.in_mode(Mode::Sync, PATIENCE).await?;
        let both = writes(bench, &application(pair).await?, size, round).await?;
        async_ratios.push(behind / bare);
        sync_ratios.push(both / bare);
        none.push(bare);
        asynchronous.push(behind);
        sync.push(both);
    }
    drop(alone);
    remove(&file)?;
    let modes = [
        ("asynchronous", asynchronous, async_ratios, Goal::AtMost(1.2)),
        ("synchronous", sync, sync_ratios, Goal::None),
    ];
    for (name, times, ratios, goal) in modes {
        report.add(Row {
            what: format!("write of 4 KiB, replicated in {name} mode; the same daemon without replication"),
            ours: micros(median(&times)),
            floor: micros(median(&none)),
            ratio: Some(median(&ratios)),
            goal,
        });
    }
    Ok(())
}

/// The median of the seconds that a write takes, one at a time, anywhere on the volume.
async fn writes(bench: &Bench, address: &Address, size: u64, round: usize) -> Result<f64> {
    let (address, span) = (address.clone(), bench.extent.span);
    let work = move || -> std::io::Result<f64> {
        let mut nbd = Nbd::connect_again(&address, PATIENCE)?;
        let mut rng = Rng::new(round as u64);
        let mut block = [0; WRITE];
        rng.fill(&mut block);
        let mut times = Vec::new();
        let began = Instant::now();
        while began.elapsed() < span {
            let offset = rng.between(0, size / WRITE as u64 - 1) * WRITE as u64;
            let one = Instant::now();
            nbd.write(offset, &block, false)?;
            times.push(one.elapsed().as_secs_f64());
        }
        nbd.disconnect();
        Ok(median(&times))
    };
    blocking("writing", work).await
}

/// What a difference of some blocks costs, against the copy of everything.
async fn difference(bench: &Bench, pair: &Pair, report: &mut Report, whole: f64) -> Result<()> {
    let (size, much) = (bench.extent.replica, bench.extent.difference);
    pair.set_mode(Mode::Async).await?;
    pair.in_mode(Mode::Async, PATIENCE).await?;
    let mut times = Vec::new();
    for round in 0..bench.extent.copies {
        pair.in_sync(None, PATIENCE).await?;
        let called = pair.source().call("SuspendGroup", vec![Param::new("Name", GROUP)]).await?;
        pair.source().follow("SuspendGroup", called, PATIENCE).await?;
        let address = application(pair).await?;
        blocking("writing", move || scatter(&address, size, much, round as u64)).await?;
        rustix::fs::sync();
        let began = Instant::now();
        sync_group(pair).await?;
        synced(&pair.destination().volume)?;
        times.push(began.elapsed().as_secs_f64());
    }
    report.add(Row {
        what: format!(
            "the same sides again after a difference of {} MiB in {} MiB; the copy of everything",
            much / MIB,
            size / MIB
        ),
        ours: seconds(median(&times)),
        floor: seconds(whole),
        ratio: Some(median(&times) / whole),
        goal: Goal::AtMost(0.05),
    });
    Ok(())
}

/// Writes so many bytes in pieces all over the volume, no piece twice.
fn scatter(address: &Address, size: u64, much: u64, seed: u64) -> std::io::Result<()> {
    let mut nbd = Nbd::connect_again(address, PATIENCE)?;
    let mut rng = Rng::new(seed);
    let mut piece = vec![0; GRANULE as usize];
    let (pieces, places) = (much / GRANULE, size / GRANULE);
    let stride = places / pieces;
    for number in 0..pieces {
        rng.fill(&mut piece);
        let place = number * stride + rng.between(0, stride.saturating_sub(1));
        nbd.write(place * GRANULE, &piece, false)?;
    }
    nbd.flush()?;
    nbd.disconnect();
    Ok(())
}

impl Plain {
    async fn start(bench: &Bench, file: &Path) -> Result<Self> {
        let socket = bench.scratch.path().join("alone.sock");
        let address = format!("addr.type=unix,addr.path={}", socket.display());
        Ok(Self { _child: daemon(bench, file, &address, "alone.pid").await?, socket })
    }
}

/// A qemu-storage-daemon that offers a file as the engine does. It writes its number to a file when it listens.
async fn daemon(bench: &Bench, file: &Path, address: &str, ready: &str) -> Result<Child> {
    let ready = bench.scratch.path().join(ready);
    remove(&ready)?;
    let node = format!(
        "driver=raw,node-name=disk,discard=unmap,file.driver=raw,file.discard=unmap,file.file.driver=file,file.file.discard=unmap,file.file.filename={}",
        file.display()
    );
    let program = "qemu-storage-daemon";
    let mut command = Command::new(program);
    command
        .args(["--blockdev", &node, "--nbd-server", address, "--export"])
        .arg("type=nbd,id=volume,node-name=disk,name=volume,writable=on")
        .arg("--pidfile")
        .arg(&ready)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let failed = |said: String| Failure::Program { line: program.to_owned(), said };
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    let began = Instant::now();
    while !ready.exists() {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(failed(status.to_string()));
        }
        if began.elapsed() > PATIENCE {
            return Err(Failure::Late { what: "the start of a plain daemon", seconds: PATIENCE.as_secs() });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(child)
}

async fn application(pair: &Pair) -> Result<Address> {
    pair.application().await.ok_or_else(|| Failure::Answer {
        asked: "where applications reach the volume",
        answered: "no address".to_owned(),
    })
}

async fn nbdcopy_version() -> Result<()> {
    let missing = |_| Failure::Missing { what: "nbdcopy", run: "apt-get install libnbd-bin" };
    Command::new("nbdcopy").arg("--version").output().await.map(drop).map_err(missing)
}

async fn run_program(program: &str, arguments: &[&OsStr]) -> Result<()> {
    let failed = |said: String| Failure::Program { line: program.to_owned(), said };
    let command =
        Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = command.map_err(|e| failed(e.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Failure::Program { line: doing.to_owned(), said: e.to_string() })?
        .map_err(Failure::connection(doing))
}

/// A volume that nobody has written to.
fn empty(volume: &Path, size: u64) -> Result<()> {
    remove(volume)?;
    let made = std::fs::File::create(volume).and_then(|file| file.set_len(size));
    made.map_err(Failure::io("create", volume))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Failure::io("remove", path)(e)),
        _ => Ok(()),
    }
}

fn synced(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path).and_then(|file| file.sync_all());
    file.map_err(Failure::io("sync", path))
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    listener.map(|address| address.port()).map_err(Failure::connection("looking for a free port"))
}
