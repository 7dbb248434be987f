//! Real blocks between two computers, moved by the installed qemu-storage-daemon.

use crate::harness::{Answer, Host, MIB, Net, flag, number, output, text, texts};
use cimwright_sdk::cim::Instance;
use cimwright_sdk::jobs::{JobId, JobRecord, JobState};
use cimwright_sdk::remote::RemoteError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Only there to end a broken test.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Pair {
    pub(crate) net: Net,
    pub(crate) alpha: Host,
    pub(crate) beta: Host,
}

/// Two computers with a group each, whose volumes have this size; that of the source has content.
pub(crate) async fn pair(size: u64) -> Pair {
    let mut net = Net::default();
    net.engine = true;
    let (alpha, beta) = (Host::named("alpha", &net).await, Host::named("beta", &net).await);
    Pair::of(net, alpha, beta, size).await
}

pub(crate) fn content(size: u64, seed: u64) -> Vec<u8> {
    let mut value = seed;
    let words = std::iter::repeat_with(|| {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value
    });
    words.take((size / 8) as usize).flat_map(u64::to_le_bytes).collect()
}

impl Pair {
    /// Two computers with a group each; what is there of the volumes stays as it is.
    pub(crate) async fn of(net: Net, alpha: Host, beta: Host, size: u64) -> Self {
        let given = std::path::Path::new(&alpha.path("v")).exists();
        for (host, group) in [(&alpha, "A"), (&beta, "B")] {
            let volume = host.path("v");
            if !std::path::Path::new(&volume).exists() {
                host.volume("v", size);
            }
            let new = vec![
                text("Name", group),
                texts("VolumeName", &[&volume]),
                text("LogVolumeName", &host.path("log")),
                number("LogSizeInBytes", 2 * MIB),
            ];
            host.done("NewSrGroup", new).await;
        }
        if !given {
            std::fs::write(alpha.path("v"), content(size, 1)).expect("written");
        }
        Self { net, alpha, beta }
    }

    pub(crate) fn names(&self) -> Vec<cimwright_sdk::cim::Param> {
        vec![
            text("SourceRGName", "A"),
            text("DestinationComputerName", "beta"),
            text("DestinationRGName", "B"),
        ]
    }

    pub(crate) async fn join(&self, mode: u64) -> Arc<JobRecord> {
        let answer = self
            .alpha
            .call("CreatePartnership", [self.names(), vec![number("ReplicationMode", mode)]].concat());
        let answer = answer.await;
        self.ended(answer).await
    }

    /// The newest job of the source, once it has ended.
    pub(crate) async fn ended(&self, answer: Answer) -> Arc<JobRecord> {
        let id: JobId = self.alpha.newest().await.expect("a job").id();
        let job = self.alpha.jobs.wait_end(id, PATIENCE).await.expect("the store").expect("there");
        assert!(job.run.state.is_finished(), "{answer:?} {job:?}");
        job
    }

    pub(crate) async fn replica(&self) -> Instance {
        self.alpha.instances("MSFT_WvrReplica").await.remove(0)
    }

    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Instance) -> bool) -> Instance {
        let limit = Instant::now() + PATIENCE;
        loop {
            let replica = self.replica().await;
            if wanted(&replica) {
                return replica;
            }
            assert!(Instant::now() < limit, "not {what}: {replica:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn identical(&self) -> bool {
        std::fs::read(self.alpha.path("v")).unwrap() == std::fs::read(self.beta.path("v")).unwrap()
    }
}

pub(crate) fn status(replica: &Instance) -> Option<u64> {
    replica.get_u64("ReplicationStatus")
}

#[tokio::test(flavor = "multi_thread")]
async fn partners_become_the_same_pause_resume_and_part() {
    let pair = pair(32 * MIB).await;
    let job = pair.join(1).await;
    assert_eq!(job.run.state, JobState::Completed, "{job:?}");
    assert!(job.run.progress.total >= 32 * MIB, "the job counts bytes: {:?}", job.run.progress);
    let replica = pair.until("replicating", |r| status(r) == Some(1)).await;
    assert!(replica.get("LastInSyncTime").is_some());
    assert_eq!(replica.get_u64("NumOfBytesRemaining"), Some(0));
    assert!(pair.identical());
    let there = pair.beta.instances("MSFT_WvrReplicationPartnership").await;
    assert_eq!(there[0].get_str("SourceComputerName"), Some("alpha"));
    assert_eq!(pair.beta.instances("Cimwright_ReplicaEndpoint").await.len(), 1);
    let limit = Instant::now() + PATIENCE;
    while status(&pair.beta.instances("MSFT_WvrReplica").await[0]) != Some(1) {
        assert!(Instant::now() < limit, "the destination does not hear of its source");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    pair.alpha.done("SuspendGroup", vec![text("Name", "A")]).await;
    assert_eq!(status(&pair.replica().await), Some(5));
    let group = output(&pair.alpha.done("GetGroup", vec![text("Name", "A")]).await).remove(0);
    assert_eq!(group.get("IsSuspended").and_then(|v| v.as_bool()), Some(true));
    let answer = pair.alpha.call("SyncGroup", vec![text("Name", "A")]).await;
    assert_eq!(pair.ended(answer).await.run.state, JobState::Completed);

    let modify = |more| [pair.names(), vec![more]].concat();
    let method = "SetPartnershipModifyPartnership";
    pair.alpha.done(method, modify(number("ReplicationMode", 2))).await;
    pair.until("asynchronous", |r| status(r) == Some(12)).await;
    pair.alpha.done(method, modify(number("ReplicationMode", 1))).await;
    pair.until("synchronous", |r| status(r) == Some(1)).await;
    pair.alpha.refused("CWREPL1121", method, modify(number("LogSizeInBytes", 4 * MIB))).await;
    pair.alpha.refused("CWREPL1105", method, modify(number("AsyncRPO", 0))).await;

    pair.alpha.refused("CWREPL1106", "CreatePartnership", pair.names()).await;
    pair.alpha.done("RemovePartnership", pair.names()).await;
    for host in [&pair.alpha, &pair.beta] {
        assert!(host.instances("MSFT_WvrReplicationPartnership").await.is_empty());
        let group = host.instances("MSFT_WvrReplicationGroup").await.remove(0);
        assert_eq!(group.get_u64("ReplicationStatus"), Some(15));
    }
    pair.alpha.refused("CWREPL1107", "RemovePartnership", pair.names()).await;
    assert!(pair.identical());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partnership_can_wait_for_its_first_copy() {
    let pair = pair(8 * MIB).await;
    let waiting = [pair.names(), vec![flag("PreventReplication", true)]].concat();
    let made = pair.alpha.done("CreatePartnership", waiting).await;
    assert_eq!(output(&made)[0].get_str("DestinationRGName"), Some("B"));
    assert!(!pair.identical());
    let answer = pair.alpha.call("SyncGroup", vec![text("Name", "A")]).await;
    assert_eq!(pair.ended(answer).await.run.state, JobState::Completed);
    assert!(pair.identical());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_destination_comes_back_and_the_sides_become_the_same() {
    let pair = pair(16 * MIB).await;
    assert_eq!(pair.join(2).await.run.state, JobState::Completed);
    let endpoint = pair.beta.instances("Cimwright_ReplicaEndpoint").await.remove(0);
    assert!(endpoint.get("ApplicationUri").is_none(), "nobody writes to a destination");
    let daemon = crate::processes::listener(endpoint.get_u64("Port").expect("a port") as u16);
    crate::processes::signal(daemon, rustix::process::Signal::KILL);
    let uri = pair.alpha.instances("Cimwright_ReplicaEndpoint").await.remove(0);
    write(uri.get_str("ApplicationUri").expect("a source is there for applications"));
    pair.until("out of sync", |r| r.get("LastOutOfSyncTime").is_some()).await;
    pair.until("replicating again", |r| status(r) == Some(12) && r.get_u64("NumOfBytesRemaining") == Some(0))
        .await;
    let again = pair.beta.instances("Cimwright_ReplicaEndpoint").await.remove(0);
    assert_ne!(again.get_u64("Port"), endpoint.get_u64("Port"), "another daemon listens");
    // The loss was told with its reason, and then that all is well again.
    let told = [&pair.alpha, &pair.beta].map(|h| h.told.health());
    let fault = |t: &[(u64, Option<String>)]| t.iter().any(|(s, f)| *s == 2 && f.is_some());
    assert!(told.iter().any(|t| fault(t)), "{told:?}");
    let well = |t: &[(u64, Option<String>)]| t.last().is_none_or(|(s, f)| *s == 0 && f.is_none());
    assert!(told.iter().all(|t| well(t)), "{told:?}");
    assert_eq!(std::fs::read(pair.alpha.path("v")).unwrap()[..4096], [0x5a; 4096]);
    pair.alpha.done("RemovePartnership", pair.names()).await;
    assert!(pair.identical());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topology_is_made_and_removed_in_one_call() {
    let mut net = Net::default();
    net.engine = true;
    let (alpha, beta) = (Host::named("alpha", &net).await, Host::named("beta", &net).await);
    let (a, b) = (alpha.volume("v", 8 * MIB), beta.volume("v", 8 * MIB));
    std::fs::write(&a, content(8 * MIB, 3)).unwrap();
    let whole = vec![
        text("SourceRGName", "A"),
        texts("SourceVolumeName", &[&a]),
        text("SourceLogVolumeName", &alpha.path("log")),
        text("DestinationComputerName", "beta"),
        text("DestinationRGName", "B"),
        texts("DestinationVolumeName", &[&b]),
        text("DestinationLogVolumeName", &beta.path("log")),
        number("LogSizeInBytes", 2 * MIB),
    ];
    alpha.call("CreateTopology", whole.clone()).await;
    let pair = Pair { net, alpha, beta };
    let job = pair.ended(Answer { code: 0, out: Vec::new() }).await;
    assert_eq!(job.run.state, JobState::Completed, "{job:?}");
    assert!(pair.identical());
    pair.alpha.refused("CWREPL1106", "CreateTopology", whole).await;
    pair.alpha.done("RemoveTopology", pair.names()).await;
    for host in [&pair.alpha, &pair.beta] {
        assert!(host.instances("MSFT_WvrReplicationGroup").await.is_empty());
        let left: Vec<_> = std::fs::read_dir(&host.root).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["v"], "only the volume is left");
    }
    assert!(pair.identical());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topology_that_cannot_be_made_leaves_nothing_on_either_side() {
    let mut net = Net::default();
    net.engine = true;
    let (alpha, beta) = (Host::named("alpha", &net).await, Host::named("beta", &net).await);
    // Of different sizes, which is only seen when both groups are there.
    let (a, b) = (alpha.volume("v", 8 * MIB), beta.volume("v", 4 * MIB));
    let whole = vec![
        text("SourceRGName", "A"),
        texts("SourceVolumeName", &[&a]),
        text("SourceLogVolumeName", &alpha.path("log")),
        text("DestinationComputerName", "beta"),
        text("DestinationRGName", "B"),
        texts("DestinationVolumeName", &[&b]),
        text("DestinationLogVolumeName", &beta.path("log")),
    ];
    let answer = alpha.call("CreateTopology", whole).await;
    alpha.says("CWREPL1403", &answer).await;
    for host in [&alpha, &beta] {
        assert!(host.instances("MSFT_WvrReplicationGroup").await.is_empty());
        let left: Vec<_> = std::fs::read_dir(&host.root).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["v"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_made_there_without_a_word_does_not_stay() {
    let mut net = Net::default();
    net.engine = true;
    let (alpha, beta) = (Host::named("alpha", &net).await, Host::named("beta", &net).await);
    let (a, b) = (alpha.volume("v", 4 * MIB), beta.volume("v", 4 * MIB));
    let whole = vec![
        text("SourceRGName", "A"),
        texts("SourceVolumeName", &[&a]),
        text("SourceLogVolumeName", &alpha.path("log")),
        text("DestinationComputerName", "beta"),
        text("DestinationRGName", "B"),
        texts("DestinationVolumeName", &[&b]),
        text("DestinationLogVolumeName", &beta.path("log")),
    ];
    net.lose_answers_of("NewSrGroup");
    let answer = alpha.call("CreateTopology", whole).await;
    alpha.says("CWREPL1305", &answer).await;
    for host in [&alpha, &beta] {
        assert!(host.instances("MSFT_WvrReplicationGroup").await.is_empty());
        let left: Vec<_> = std::fs::read_dir(&host.root).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["v"]);
    }
}

/// Writes the first MiB through the export, as an application does.
pub(crate) fn write(uri: &str) {
    let output = std::process::Command::new("qemu-io")
        .args(["-f", "raw", "-c", "write -P 0x5a 0 1M", "-c", "flush", uri])
        .output()
        .expect("qemu-io is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("wrote 1048576"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_two_groups_apart_is_told() {
    let pair = pair(4 * MIB).await;
    let with = |more: Vec<cimwright_sdk::cim::Param>| [pair.names(), more].concat();
    let here = vec![
        text("SourceRGName", "A"),
        text("DestinationComputerName", "alpha"),
        text("DestinationRGName", "B"),
    ];
    pair.alpha.refused("CWREPL1417", "CreatePartnership", here).await;
    pair.alpha.refused("CWREPL1121", "CreatePartnership", with(vec![flag("Seeded", true)])).await;
    pair.alpha.refused("CWREPL1105", "CreatePartnership", with(vec![number("AsyncRPO", 0)])).await;
    pair.alpha.refused("CWREPL1107", "SuspendGroup", vec![text("Name", "A")]).await;
    pair.alpha.refused("CWREPL1107", "SyncGroup", vec![text("Name", "A")]).await;
    // Another volume there.
    let more = pair.beta.volume("more", MIB);
    pair.beta.done("SetGroupAddVolumes", vec![text("Name", "B"), texts("AddVolumeName", &[&more])]).await;
    let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
    pair.alpha.says("CWREPL1404", &answer).await;
    // Of another size.
    let small = pair.alpha.volume("small", 2 * MIB);
    pair.alpha.done("SetGroupAddVolumes", vec![text("Name", "A"), texts("AddVolumeName", &[&small])]).await;
    let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
    pair.alpha.says("CWREPL1403", &answer).await;
    // A partner that is away; nothing is left of the attempt.
    pair.net.break_with(RemoteError::Unreachable { name: "beta".to_owned(), reason: "gone".to_owned() });
    let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
    pair.alpha.says("CWREPL1302", &answer).await;
    pair.net.mend();
    for host in [&pair.alpha, &pair.beta] {
        assert!(host.instances("MSFT_WvrReplicationPartnership").await.is_empty());
    }
}

#[tokio::test]
async fn without_an_engine_there_are_no_partners() {
    let host = Host::new().await;
    host.group("G").await;
    host.refused("CWREPL1416", "CreatePartnership", vec![text("SourceRGName", "G")]).await;
}

/// Sends a signal to the daemon that listens at a port of the loopback interface.
pub(crate) fn signal_listener(port: u16, signal: rustix::process::Signal) {
    crate::processes::signal(crate::processes::listener(port), signal);
}
