//! The drill: clients that start, watch, stop, suspend and delete jobs over CIM-XML; a killer that ends the server with SIGKILL at
//! random moments and starts it again; and the proof afterwards that every promise was kept.
//!
//! - `site`: the images there are before anything happens.
//! - `work`: what the clients ask for, and what must be true of the files afterwards.
//! - `ledger`: what the clients were told.
//! - `worker`: what the clients do.
//! - `killer`: when the server dies.
//! - `verify`, `files`: the proof.
//! - `summary`: what is printed.

mod files;
mod killer;
mod ledger;
mod site;
mod summary;
mod verify;
mod work;
mod worker;

use crate::failure::Result;
use crate::ports::Addresses;
use crate::program::{Place, fresh_seed, until_stopped};
use crate::rng::Rng;
use crate::scratch::Scratch;
use crate::server::{self, Setup};
use crate::{proc, qemu};
use ledger::Ledger;
use site::Site;
use std::rc::Rc;
use std::time::{Duration, Instant};
use summary::Summary;
pub(crate) use summary::median;
use tokio::sync::watch;
use tokio::task::LocalSet;

/// How the drill is carried out.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "drill",
    about = "Kill the server at random moments under load and prove that nothing was lost"
)]
pub struct Options {
    /// How often the server is killed
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub kills: u32,

    /// Give up killing after this many seconds; settling and checking come on top [default: 60 and 3 for each kill]
    #[arg(long, value_name = "S")]
    pub seconds_limit: Option<u64>,

    /// The seed of all that is random; a drill is played again with the seed that it printed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// How many clients work at the same time
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub clients: u32,

    /// With what, and where
    #[command(flatten)]
    pub place: Place,
}

/// What all parts of a drill share.
pub(crate) struct Drill {
    pub(crate) setup: Setup,
    pub(crate) site: Site,
    pub(crate) ledger: Ledger,
    /// Where the server listens at the moment; the last known place while it is down.
    pub(crate) addresses: watch::Receiver<Addresses>,
    /// TRUE once no more work is to be started.
    pub(crate) over: watch::Receiver<bool>,
}

/// Carries out a drill and prints what came of it. FALSE if a promise was broken.
///
/// # Errors
/// When the drill itself could not be carried out.
pub async fn run(options: Options) -> Result<bool> {
    until_stopped("drill", LocalSet::new().run_until(carry_out(options))).await
}

async fn carry_out(options: Options) -> Result<bool> {
    let version = qemu::version().await?;
    let seed = options.seed.unwrap_or_else(fresh_seed);
    println!(
        "Drill with seed {seed}: {} kills, {} clients, qemu-img {version}",
        options.kills, options.clients
    );
    let mut rng = Rng::new(seed);

    let scratch = Scratch::new(options.place.scratch.as_deref())?;
    let setup = Setup {
        binary: options.place.server.clone(),
        state: scratch.make("state")?,
        root: Some(scratch.make("images")?),
        http: server::ANY_PORT.to_owned(),
        arguments: Vec::new(),
        log: scratch.path().join("server.log"),
        guarded: true,
    };
    let site = Site::prepare(&scratch.make("images")?, &mut rng).await?;
    setup.add_user().await?;
    let began = Instant::now();
    let server = setup.start().await?;
    let (publish, addresses) = watch::channel(server.addresses().clone());
    let (finish, over) = watch::channel(false);
    let drill = Rc::new(Drill { setup, site, ledger: Ledger::new(), addresses, over });
    let services = work::Services::find(server.addresses()).await?;

    let workers: Vec<_> = (0..options.clients)
        .map(|number| {
            let worker = worker::Worker::new(Rc::clone(&drill), services.clone(), number, rng.fork());
            tokio::task::spawn_local(worker.run())
        })
        .collect();
    let limit = Duration::from_secs(options.seconds_limit.unwrap_or(60 + 3 * u64::from(options.kills)));
    let mut killer = killer::Killer::new(Rc::clone(&drill), publish, rng.fork());
    let killed = killer.run(server, options.kills, limit).await;
    finish.send_replace(true);
    let (server, kills) = killed?;
    for worker in workers {
        if let Err(error) = worker.await {
            drill.ledger.violation(format!("a client of the drill panicked: {error}"));
        }
    }
    let load_seconds = began.elapsed().as_secs_f64();
    let mut verdict = verify::Verifier::new(Rc::clone(&drill), server.addresses());
    verdict.settle().await?;
    verdict.check_jobs().await?;
    let checked = files::check(&drill, &verdict.ends).await?;
    let status = server.stop().await?;
    if !status.success() {
        drill.ledger.violation(format!("the last server did not stop in order: {status}"));
    }
    if let Some(root) = &drill.setup.root {
        for engine in proc::engines(root) {
            drill
                .ledger
                .violation(format!("a qemu-img of the server is still running (process {})", engine.pid));
        }
    }
    verify::check_database(&drill).await?;
    verify::check_log(&drill);

    let summary = Summary {
        seed,
        load_seconds,
        total_seconds: began.elapsed().as_secs_f64(),
        kills,
        ends: &verdict.ends,
        reasons: &verdict.reasons,
        checked,
    };
    let sound = summary.print(&drill.ledger);
    if options.place.keep || !sound {
        let log = drill.setup.log.clone();
        println!("\nThe scratch directory stays: {} (log: {})", scratch.keep().display(), log.display());
    }
    Ok(sound)
}
