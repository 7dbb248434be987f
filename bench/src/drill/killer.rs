//! When the server dies, and what has to be true right afterwards.

use super::Drill;
use crate::failure::Result;
use crate::ports::Addresses;
use crate::proc::{self, Engine};
use crate::rng::Rng;
use crate::server::{self, Server};
use cimwright_client::Client;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long an engine may outlive its server. The kernel kills it at once; a write that is under way has to end first.
const ENGINE_PATIENCE: Duration = Duration::from_secs(3);

/// In how many of a hundred cases the next server is killed while it is starting.
const EARLY: u64 = 10;

/// What the killer did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kills {
    /// Servers that were killed while they served.
    pub(crate) serving: u32,
    /// Servers that were killed while they were starting.
    pub(crate) starting: u32,
    /// Engines that ran at such a moment.
    pub(crate) engines: u32,
    /// From the start of a server on what it found to its first answer.
    pub(crate) first_answers: Vec<Duration>,
}

/// Kills servers.
pub(crate) struct Killer {
    drill: Rc<Drill>,
    publish: watch::Sender<Addresses>,
    rng: Rng,
}

impl Killer {
    /// A killer that tells the clients where the next server listens.
    pub(crate) fn new(drill: Rc<Drill>, publish: watch::Sender<Addresses>, rng: Rng) -> Self {
        Self { drill, publish, rng }
    }

    /// Kills servers, each a random time after its first answer, and gives the last one, which lives.
    ///
    /// # Errors
    /// When a server does not start.
    pub(crate) async fn run(
        &mut self,
        mut server: Server,
        count: u32,
        limit: Duration,
    ) -> Result<(Server, Kills)> {
        let began = Instant::now();
        let mut kills = Kills::default();
        let ledger = &self.drill.ledger;
        first_answer(&server).await?;
        while kills.serving + kills.starting < count {
            if began.elapsed() > limit {
                ledger.violation(format!(
                    "only {} of {count} kills within {} s",
                    kills.serving + kills.starting,
                    limit.as_secs()
                ));
                break;
            }
            tokio::time::sleep(self.rng.millis(20, 400)).await;
            let mut left = proc::engines(self.drill.site.root());
            kills.engines += left.len() as u32;
            if server.kill().await? {
                ledger.violation("the server ended by itself before it was killed".to_owned());
            }
            kills.serving += 1;
            // Some may have been started between the two.
            left.extend(proc::engines(self.drill.site.root()));
            tokio::task::spawn_local(expect_gone(Rc::clone(&self.drill), left));
            while kills.serving + kills.starting < count && self.rng.percent(EARLY) {
                let starting = self.drill.setup.spawn()?;
                tokio::time::sleep(self.rng.millis(1, 40)).await;
                if starting.kill().await? {
                    ledger.violation("a server ended by itself while it was starting".to_owned());
                }
                kills.starting += 1;
            }
            server = self.drill.setup.start().await?;
            self.publish.send_replace(server.addresses().clone());
            first_answer(&server).await?;
            kills.first_answers.push(server.spawned().elapsed());
            let done = kills.serving + kills.starting;
            if done.is_multiple_of(10) {
                println!("  {done:4} kills, {:7.1} s", began.elapsed().as_secs_f64());
            }
        }
        Ok((server, kills))
    }
}

/// Waits for the first answer of a server.
async fn first_answer(server: &Server) -> Result<()> {
    let client = Client::connect(server::over_unix(server.addresses())).await?;
    let namespace = super::work::Version::V2.namespace();
    client.enumerate_instance_names(&namespace, "Msvm_ImageManagementService").await?;
    Ok(())
}

async fn expect_gone(drill: Rc<Drill>, engines: Vec<Engine>) {
    let deadline = Instant::now() + ENGINE_PATIENCE;
    for engine in engines {
        while proc::is_alive(engine) {
            if Instant::now() > deadline {
                drill
                    .ledger
                    .violation(format!("qemu-img {} outlived the server that started it", engine.pid));
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
