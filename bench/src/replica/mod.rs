//! The drill of Storage Replica: two servers, a volume that is replicated, applications that write all the time, and SIGKILL for
//! daemons and servers of either side at random moments.
//!
//! What must be true:
//! - An answered write is on the source, always, whatever was killed.
//! - In the synchronous mode, once both sides were the same, an answered write is on the destination too, at the moment of the kill.
//! - In the asynchronous mode the destination lacks nothing that was answered before the LastInSyncTime reported last.
//! - After every fault both sides become identical again by themselves, or a job says why not.
//!
//! Files:
//! - `pair`: the two servers.
//! - `ledger`: what was written and answered, and what a volume must therefore hold.
//! - `writer`: the applications.
//! - `fault`: when something is killed, and what has to be true right afterwards.
//! - `tally`: what can be killed, and what came of it.
//! - `summary`: what is printed.

mod fault;
pub(crate) mod ledger;
pub(crate) mod pair;
mod summary;
mod tally;
mod writer;

use crate::failure::{Failure, Result};
use crate::program::{Place, fresh_seed, until_stopped};
use crate::rng::Rng;
use crate::scratch::Scratch;
use fault::Executioner;
use ledger::{BLOCK, Ledger};
use pair::{Mode, Pair};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use writer::{Desk, Writers};

const MIB: u64 = 1 << 20;

/// How long the first copy may take.
const FIRST_COPY: Duration = Duration::from_secs(60);

/// How the drill is carried out.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "drill replica",
    about = "Kill daemons and servers of either side of a replicated volume under a verifying writer, and prove that nothing was lost"
)]
pub struct Options {
    /// How many faults there are
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub faults: u32,

    /// The seed of all that is random; a drill is played again with the seed that it printed, as far as the machine does the same
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Give up after this many seconds [default: 120 and 10 for each fault]
    #[arg(long, value_name = "S")]
    pub seconds_limit: Option<u64>,

    /// The size of the volume, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    pub size: u64,

    /// How many applications write at the same time
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub writers: usize,

    /// With what, and where
    #[command(flatten)]
    pub place: Place,
}

/// Carries out a drill and prints what came of it. FALSE if a promise was broken.
///
/// # Errors
/// When the drill itself could not be carried out.
pub async fn run(options: Options) -> Result<bool> {
    until_stopped("drill replica", carry_out(options)).await
}

async fn carry_out(options: Options) -> Result<bool> {
    let seed = options.seed.unwrap_or_else(fresh_seed);
    let size = options.size.max(1) * MIB;
    println!(
        "Drill of replication with seed {seed}: {} faults, a volume of {} MiB, {} writers",
        options.faults,
        size / MIB,
        options.writers
    );
    let mut rng = Rng::new(seed);
    let scratch = Scratch::new(options.place.scratch.as_deref())?;
    let pair = Pair::start(&scratch, &options.place.server, |_, volume| {
        let file = std::fs::File::create(volume).and_then(|file| file.set_len(size));
        file.map_err(Failure::io("create", volume))
    })
    .await?;
    let desk = Arc::new(Desk::new(Ledger::new(size as usize / BLOCK, seed)));
    let began = Instant::now();
    pair.join(Mode::Sync, FIRST_COPY).await?;
    let writers = Writers::start(&desk, options.writers.max(1), &mut rng);

    let limit = options.seconds_limit.unwrap_or(120 + 10 * u64::from(options.faults));
    let mut executioner = Executioner::new(pair, Arc::clone(&desk), rng.fork());
    executioner.run(options.faults, began + Duration::from_secs(limit)).await?;
    let (pair, mut tally) = executioner.into_parts();
    // A writer may wait for the answer of a daemon that is being stopped: that has to end first.
    tokio::task::spawn_blocking(move || drop(writers))
        .await
        .map_err(|e| Failure::Program { line: "the writers".to_owned(), said: e.to_string() })?;
    for host in pair.hosts() {
        let log = std::fs::read_to_string(host.log()).unwrap_or_default();
        for line in log.lines().filter(|line| line.contains("panicked")) {
            tally.violations.push(format!("{} panicked: {line}", host.name));
        }
    }
    // What the drill has left behind must let itself be taken down in order.
    if let Err(failure) = pair.part(FIRST_COPY).await {
        tally.violations.push(format!("the topology could not be removed in the end: {failure}"));
    }
    let states: Vec<PathBuf> = pair.hosts().iter().map(|h| h.state().to_owned()).collect();
    pair.stop().await?;
    for state in &states {
        for daemon in crate::proc::daemons(state) {
            tally.violations.push(format!("a daemon outlived its server (process {})", daemon.pid));
        }
    }
    tally.violations.extend(desk.take_violations());
    let sound = summary::print(&tally, &desk, seed, began.elapsed());
    if options.place.keep || !sound {
        println!("\nThe scratch directory stays: {}", scratch.keep().display());
    }
    Ok(sound)
}
