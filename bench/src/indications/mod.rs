//! The indication drill: jobs, subscriptions to all their changes, listeners that go and come back at random, and a server that is
//! killed with SIGKILL; and the proof afterwards that every listener was told every change in order.
//!
//! - `ears`: the listeners, and what each of them was told.
//! - `proof`: what must be true of it.

mod ears;
mod proof;

use crate::failure::{Failure, Result};
use crate::ports::Addresses;
use crate::program::{Place, fresh_seed, until_stopped};
use crate::rng::Rng;
use crate::scratch::Scratch;
use crate::server::{self, Server, Setup};
use cimwright_cim::{Instance, InstancePath, NamespaceName, Param, Value};
use cimwright_client::Client;
use ears::Ear;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long it may take, once nobody is killed any more, until the next job ends, and then until the next indication arrives.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server is told: listeners that come back are found soon, and no job leaves before the proof.
const CONFIG: &str = "[jobs]\nconcurrency = 8\ntime_before_removal_ms = 3600000\n\
                      [indications]\nretry_interval_ms = 100\nmax_retry_interval_ms = 400\n";

/// How the drill is carried out.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "drill indications",
    about = "Kill listeners and the server at random moments and prove that every change of every job was told, in order"
)]
pub struct Options {
    /// How many jobs are started
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub jobs: u32,

    /// How many listeners subscribe to all changes of jobs
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub subscriptions: u32,

    /// How often the server is killed
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub kills: u32,

    /// The seed of all that is random
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// How many clients start jobs at the same time
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub clients: u32,

    /// With what, and where
    #[command(flatten)]
    pub place: Place,
}

/// What all tasks share.
struct Drill {
    addresses: watch::Receiver<Addresses>,
    /// How many jobs the server has taken.
    started: AtomicU32,
    /// How many are to be started.
    wanted: u32,
    /// Whether listeners stay from now on.
    calm: AtomicBool,
}

/// Carries out a drill and prints what came of it. FALSE if something was lost, or came out of order.
///
/// # Errors
/// When the drill itself could not be carried out.
pub async fn run(options: Options) -> Result<bool> {
    until_stopped("drill indications", carry_out(options)).await
}

async fn carry_out(options: Options) -> Result<bool> {
    let seed = options.seed.unwrap_or_else(fresh_seed);
    println!(
        "Indication drill with seed {seed}: {} jobs, {} subscriptions, {} kills of the server",
        options.jobs, options.subscriptions, options.kills
    );
    let mut rng = Rng::new(seed);
    let scratch = Scratch::new(options.place.scratch.as_deref())?;
    let config = scratch.path().join("drill.toml");
    std::fs::write(&config, CONFIG).map_err(Failure::io("write", &config))?;
    let setup = Setup {
        binary: options.place.server.clone(),
        state: scratch.make("state")?,
        root: None,
        http: "127.0.0.1:0".to_owned(),
        arguments: vec!["--config".to_owned(), config.to_string_lossy().into_owned()],
        log: scratch.path().join("server.log"),
        guarded: true,
    };
    setup.add_user().await?;
    let began = Instant::now();
    let server = setup.start().await?;
    let (publish, addresses) = watch::channel(server.addresses().clone());
    let drill = Arc::new(Drill {
        addresses,
        started: AtomicU32::new(0),
        wanted: options.jobs,
        calm: AtomicBool::new(false),
    });

    let mut ears = Vec::new();
    for number in 0..options.subscriptions {
        ears.push(Arc::new(Ear::new(number).await?));
    }
    subscribe(server.addresses(), &ears).await?;
    let listening: Vec<_> = ears
        .iter()
        .map(|ear| tokio::spawn(listen(Arc::clone(&drill), Arc::clone(ear), rng.fork())))
        .collect();
    let clients: Vec<_> =
        (0..options.clients).map(|_| tokio::spawn(work(Arc::clone(&drill), rng.fork()))).collect();

    let mut server = server;
    for kill in 1..=options.kills {
        let due = options.jobs * kill / (options.kills + 1);
        while drill.started.load(Ordering::Acquire) < due {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(rng.millis(0, 300)).await;
        if server.kill().await? {
            println!("BROKEN: the server ended by itself before it was killed");
        }
        server = setup.start().await?;
        publish.send_replace(server.addresses().clone());
        println!("  killed {kill} times, {:.1} s", began.elapsed().as_secs_f64());
    }
    for client in clients {
        client.await.map_err(|e| Failure::Program { line: "a client".to_owned(), said: e.to_string() })??;
    }
    drill.calm.store(true, Ordering::Release);
    let load = began.elapsed();
    let jobs = ended_jobs(&server).await?;
    let arrived = proof::wait(&ears, &jobs, PATIENCE).await;
    let total = began.elapsed();
    for task in listening {
        task.abort();
    }
    let verdict = proof::check(&ears, &jobs, options.jobs);
    let status = server.stop().await?;

    let told: usize = ears.iter().map(|e| e.told().len()).sum();
    let repeated: u64 = ears.iter().map(|e| e.repeated()).sum();
    let absences: u64 = ears.iter().map(|e| e.absences()).sum();
    println!(
        "\n{} jobs in {:.1} s; all told after {:.1} s",
        jobs.len(),
        load.as_secs_f64(),
        total.as_secs_f64()
    );
    println!("{told} indications arrived at {} listeners, {repeated} of them a second time", ears.len());
    println!("{absences} times a listener was away; the server was killed {} times", options.kills);
    let mut sound = verdict.is_empty() && arrived && status.success();
    if !arrived {
        println!("BROKEN: nothing arrived any more for {} s, and not all was there", PATIENCE.as_secs());
    }
    if !status.success() {
        println!("BROKEN: the last server did not stop in order: {status}");
    }
    for line in verdict.iter().take(30) {
        println!("BROKEN: {line}");
    }
    if told == 0 {
        println!("BROKEN: nothing was told at all");
        sound = false;
    }
    println!("{}", if sound { "every listener saw every change in order" } else { "promises were broken" });
    if options.place.keep || !sound {
        println!("The scratch directory stays: {}", scratch.keep().display());
    }
    Ok(sound)
}

/// Subscribes every listener to all that happens to jobs of v2.
async fn subscribe(addresses: &Addresses, ears: &[Arc<Ear>]) -> Result<()> {
    let client = Client::connect(server::over_http(addresses)).await?;
    let interop = NamespaceName::new("root/interop");
    for ear in ears {
        let filter = Instance::new("CIM_IndicationFilter")
            .with("Name", format!("drill:{}", ear.number))
            .with("SourceNamespaces", Value::strings([namespace().as_str()]))
            .with("Query", "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA \"CIM_ConcreteJob\"")
            .with("QueryLanguage", "WQL");
        let destination = Instance::new("CIM_ListenerDestinationCIMXML")
            .with("Name", format!("drill:{}", ear.number))
            .with("Destination", format!("http://{}", ear.address));
        let filter = client.create_instance(&interop, filter).await?;
        let destination = client.create_instance(&interop, destination).await?;
        let subscription =
            Instance::new("CIM_IndicationSubscription").with("Filter", filter).with("Handler", destination);
        client.create_instance(&interop, subscription).await?;
    }
    Ok(())
}

/// Lets a listener come and go until all is calm; then it stays.
async fn listen(drill: Arc<Drill>, ear: Arc<Ear>, mut rng: Rng) {
    loop {
        let Ok(listener) = ear.open().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let stay = async {
            tokio::time::sleep(rng.millis(50, 1500)).await;
            while drill.calm.load(Ordering::Acquire) {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
        };
        // Dropped in the middle of whatever it does.
        tokio::select! {
            () = listener.run(ear.taker()) => {}
            () = stay => {}
        }
        ear.left();
        tokio::time::sleep(rng.millis(10, 700)).await;
    }
}

/// Starts jobs until there are enough. A call whose answer was lost may have started one more; that one counts too.
async fn work(drill: Arc<Drill>, mut rng: Rng) -> Result<()> {
    let mut client: Option<(Client, InstancePath)> = None;
    let mut addresses = drill.addresses.clone();
    while drill.started.load(Ordering::Acquire) < drill.wanted {
        if addresses.has_changed().unwrap_or(false) {
            client = None;
        }
        let (connection, service) = match &client {
            Some(known) => known,
            None => {
                let now = addresses.borrow_and_update().clone();
                match connect(&now).await {
                    Ok(known) => client.insert(known),
                    Err(_) => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        continue;
                    }
                }
            }
        };
        let ending = if rng.percent(20) { "fail" } else { "complete" };
        let params = vec![
            Param::new("Name", "drill"),
            Param::new("Steps", Value::Uint32(rng.between(1, 3) as u32)),
            Param::new("DurationMilliseconds", Value::Uint64(rng.between(0, 60))),
            Param::new("Ending", ending),
            Param::new("Bytes", Value::Uint64(1 << 20)),
        ];
        match connection.invoke(&service.clone().into(), "StartJob", params).await {
            Ok(answer) if answer.code() == Some(4096) => {
                drill.started.fetch_add(1, Ordering::AcqRel);
            }
            Ok(answer) => {
                return Err(Failure::Answer { asked: "StartJob", answered: format!("{:?}", answer.code()) });
            }
            Err(_) => client = None,
        }
    }
    Ok(())
}

async fn connect(addresses: &Addresses) -> Result<(Client, InstancePath)> {
    let client = Client::connect(server::over_http(addresses)).await?;
    let found = client.enumerate_instance_names(&namespace(), "Cimwright_DemoService").await?;
    let service = found.into_iter().next();
    let service = service.ok_or(Failure::Answer { asked: "the service", answered: "nothing".to_owned() })?;
    Ok((client, service))
}

/// All jobs, once all of them have ended.
async fn ended_jobs(server: &Server) -> Result<Vec<Instance>> {
    let client = Client::connect(server::over_http(server.addresses())).await?;
    let (mut deadline, mut left) = (Instant::now() + PATIENCE, usize::MAX);
    loop {
        let jobs = client.enumerate_instances(&namespace(), "Msvm_ConcreteJob", None).await?;
        let running = jobs.iter().filter(|j| j.get_u64("JobState").is_none_or(|s| s < 7)).count();
        if running == 0 {
            return Ok(jobs);
        }
        if running < left {
            (left, deadline) = (running, Instant::now() + PATIENCE);
        }
        if Instant::now() > deadline {
            return Err(Failure::Late { what: "the end of the jobs", seconds: PATIENCE.as_secs() });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn namespace() -> NamespaceName {
    NamespaceName::new("root/virtualization/v2")
}
