//! Servers that end without notice, at any moment of a switch. Each runs in a runtime of its own, which is torn down under it: its
//! tasks end where they stand, and its engines with them.

use crate::harness::{Host, MIB, Net, number, text, texts};
use crate::switch::{PATIENCE, SWITCH, is_source, to};
use crate::sync::{content, status};
use cimwright_sdk::cim::Instance;
use cimwright_sdk::jobs::{JobFilter, JobState};
use cimwright_sdk::{Principal, Role};
use cimwright_store::MemoryStore;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// A computer whose server can crash.
pub(crate) struct Machine {
    name: &'static str,
    net: Net,
    place: TempDir,
    store: Arc<MemoryStore>,
    server: Option<(Runtime, Arc<Host>)>,
}

impl Machine {
    async fn new(name: &'static str, net: &Net) -> Self {
        let place = tempfile::tempdir().unwrap();
        for directory in ["root", "state"] {
            std::fs::create_dir(place.path().join(directory)).unwrap();
        }
        let store = Arc::new(MemoryStore::new());
        let mut machine = Self { name, net: net.clone(), place, store, server: None };
        machine.start().await;
        machine
    }

    pub(crate) async fn start(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
        let (name, net, place, store) =
            (self.name, self.net.clone(), self.place.path().to_owned(), self.store.clone());
        let started = runtime.spawn(async move {
            let host = Host::at(name, &net, Path::new(&place), store).await;
            net.join(&host, Principal::authenticated("root", Role::Administrator));
            Arc::new(host)
        });
        let host = started.await.unwrap();
        self.server = Some((runtime, host));
    }

    pub(crate) async fn crash(&mut self) {
        self.net.part(self.name);
        if let Some((runtime, host)) = self.server.take() {
            drop(host);
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10)))
                .await
                .unwrap();
        }
    }

    /// Ends the server in good order.
    pub(crate) async fn stop(&mut self) {
        self.does(|host| async move {
            assert!(host.jobs.shut_down(Duration::from_secs(10)).await);
            host.broker.end_background().await;
        })
        .await;
        self.crash().await;
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.path().join("root").join(name)
    }

    /// Has the server do something, in its own runtime.
    pub(crate) async fn does<T, F>(&self, work: impl FnOnce(Arc<Host>) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (runtime, host) = self.server.as_ref().expect("it runs");
        runtime.spawn(work(Arc::clone(host))).await.expect("it lives")
    }

    pub(crate) async fn shows(&self, class: &'static str) -> Instance {
        self.does(move |host| async move { host.instances(class).await.remove(0) }).await
    }

    pub(crate) async fn is_source(&self) -> bool {
        is_source(&self.shows("Cimwright_ReplicaEndpoint").await)
    }

    pub(crate) async fn is_writable(&self) -> bool {
        self.shows("Cimwright_ReplicaEndpoint").await.get("ApplicationUri").is_some()
    }

    pub(crate) fn volume(&self) -> Vec<u8> {
        std::fs::read(self.path("v")).unwrap()
    }

    async fn group(&self, name: &'static str) {
        self.does(move |host| async move {
            let volume = host.volume("v", 4 * MIB);
            let new = vec![
                text("Name", name),
                texts("VolumeName", &[&volume]),
                text("LogVolumeName", &host.path("log")),
                number("LogSizeInBytes", 2 * MIB),
            ];
            host.done("NewSrGroup", new).await;
        })
        .await;
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.net.part(self.name);
        if let Some((runtime, _)) = self.server.take() {
            // A runtime cannot wait for its own end within another.
            runtime.shutdown_background();
        }
    }
}

pub(crate) struct Two {
    pub(crate) alpha: Machine,
    pub(crate) beta: Machine,
}

impl Two {
    /// Alpha is the source, and both are the same.
    pub(crate) async fn new() -> Self {
        let mut net = Net::default();
        net.engine = true;
        let two = Self { alpha: Machine::new("alpha", &net).await, beta: Machine::new("beta", &net).await };
        two.alpha.group("A").await;
        two.beta.group("B").await;
        std::fs::write(two.alpha.place.path().join("root/v"), content(4 * MIB, 1)).unwrap();
        let make = vec![
            text("SourceRGName", "A"),
            text("DestinationComputerName", "beta"),
            text("DestinationRGName", "B"),
        ];
        two.alpha.does(|host| async move { host.call("CreatePartnership", make).await.code }).await;
        two.settled(true).await;
        two
    }

    /// Waits until the jobs have ended, one side is the source and the other has everything. Says whether that is alpha.
    pub(crate) async fn settled(&self, in_sync: bool) -> bool {
        let limit = Instant::now() + PATIENCE;
        loop {
            let (a, b) = (self.alpha.is_source().await, self.beta.is_source().await);
            // What is seen at two moments may be one before and one after a switch, so look again before saying so.
            if a && b {
                assert!(!self.beta.is_source().await || !self.alpha.is_source().await, "two sources");
            }
            let source = if a { &self.alpha } else { &self.beta };
            let replica = source.shows("MSFT_WvrReplica").await;
            let mut busy = false;
            for machine in [&self.alpha, &self.beta] {
                let jobs = machine.does(|host| async move {
                    host.jobs.list(&JobFilter::default(), None, 1000).await.expect("jobs")
                });
                let jobs = jobs.await;
                busy |= jobs.iter().any(|job| !job.run.state.is_finished());
            }
            if a != b && !busy && (!in_sync || status(&replica) == Some(1)) {
                return a;
            }
            assert!(Instant::now() < limit, "alpha {a}, beta {b}, busy {busy}, {replica:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn switch_begins(&self) {
        self.beta
            .does(|host| async move {
                tokio::spawn(async move { host.call(SWITCH, to("beta")).await.code });
            })
            .await;
    }
}

/// The moments, in milliseconds after the call; a switch takes about half a second on a machine that has nothing else to do.
const MOMENTS: [u64; 6] = [5, 40, 90, 150, 250, 400];

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_new_source_crashes_one_side_is_the_source_afterwards() {
    for moment in MOMENTS {
        let mut two = Two::new().await;
        two.switch_begins().await;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        two.beta.crash().await;
        two.beta.start().await;
        let since = Instant::now();
        let alpha = two.settled(true).await;
        println!(
            "beta crashed after {moment} ms, {:?}: {} is the source",
            since.elapsed(),
            if alpha { "alpha" } else { "beta" }
        );
        assert_eq!((two.alpha.is_writable().await, two.beta.is_writable().await), (alpha, !alpha));
        assert!(two.alpha.volume() == two.beta.volume(), "after {moment} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_old_source_crashes_one_side_is_the_source_afterwards() {
    for moment in MOMENTS {
        let mut two = Two::new().await;
        two.switch_begins().await;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        two.alpha.crash().await;
        two.alpha.start().await;
        let since = Instant::now();
        let alpha = two.settled(true).await;
        println!(
            "alpha crashed after {moment} ms, {:?}: {} is the source",
            since.elapsed(),
            if alpha { "alpha" } else { "beta" }
        );
        assert_eq!((two.alpha.is_writable().await, two.beta.is_writable().await), (alpha, !alpha));
        assert!(two.alpha.volume() == two.beta.volume(), "after {moment} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_maker_of_a_topology_crashes_it_is_made_once_or_not_at_all() {
    for moment in [3, 15, 30, 60, 120] {
        let mut net = Net::default();
        net.engine = true;
        let (mut alpha, beta) = (Machine::new("alpha", &net).await, Machine::new("beta", &net).await);
        let there = beta.does(|host| async move { (host.volume("v", MIB), host.path("log")) }).await;
        alpha
            .does(|host| async move {
                let whole = vec![
                    text("SourceRGName", "A"),
                    texts("SourceVolumeName", &[&host.volume("v", MIB)]),
                    text("SourceLogVolumeName", &host.path("log")),
                    text("DestinationComputerName", "beta"),
                    text("DestinationRGName", "B"),
                    texts("DestinationVolumeName", &[&there.0]),
                    text("DestinationLogVolumeName", &there.1),
                    number("LogSizeInBytes", 2 * MIB),
                ];
                tokio::spawn(async move { host.call("CreateTopology", whole).await.code });
            })
            .await;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        alpha.crash().await;
        alpha.start().await;
        let jobs = alpha.does(|host| async move {
            for job in host.jobs.list(&JobFilter::default(), None, 1000).await.unwrap() {
                let ended = host.jobs.wait_end(job.id(), PATIENCE).await.unwrap().expect("there");
                assert!(ended.run.state.is_finished(), "{ended:?}");
            }
            host.jobs.list(&JobFilter::default(), None, 1000).await.unwrap()
        });
        let made = jobs.await.iter().any(|job| job.run.state == JobState::Completed);
        println!("crashed after {moment} ms: {}", if made { "made" } else { "not made" });
        for machine in [&alpha, &beta] {
            let groups = machine.does(|h| async move { h.instances("MSFT_WvrReplicationGroup").await.len() });
            assert_eq!(groups.await, usize::from(made), "{} after {moment} ms", machine.name);
        }
    }
}
