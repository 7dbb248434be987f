//! Turning a partnership round, with both sides at work and with one of them away.

use crate::harness::{Answer, Host, MIB, flag, output, text, texts};
use crate::sync::{Pair, pair, status};
use cimwright_sdk::cim::{Instance, Param};
use cimwright_sdk::jobs::{JobRecord, JobState};
use cimwright_sdk::remote::RemoteError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Only there to end a broken test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const SWITCH: &str = "SetPartnershipSetSourcePartnership";

/// Beta is to be the source of alpha, or the other way round.
pub(crate) fn to(source: &str) -> Vec<Param> {
    let (group, there, other) = if source == "beta" { ("B", "alpha", "A") } else { ("A", "beta", "B") };
    vec![
        text("SourceRGName", group),
        text("NewSourceComputerName", source),
        text("DestinationComputerName", there),
        text("DestinationRGName", other),
    ]
}

/// The newest job of a computer, once it has ended.
pub(crate) async fn ended(host: &Host, answer: &Answer) -> Arc<JobRecord> {
    let id = host.newest().await.expect("a job").id();
    let job = host.jobs.wait_end(id, PATIENCE).await.expect("the store").expect("there");
    assert!(job.run.state.is_finished(), "{answer:?} {job:?}");
    job
}

pub(crate) async fn endpoint(host: &Host) -> Instance {
    host.instances("Cimwright_ReplicaEndpoint").await.remove(0)
}

pub(crate) fn is_source(endpoint: &Instance) -> bool {
    endpoint.get("IsSource").and_then(|v| v.as_bool()).expect("a flag")
}

async fn uri(host: &Host) -> String {
    let limit = Instant::now() + PATIENCE;
    loop {
        if let Some(uri) = endpoint(host).await.get_str("ApplicationUri") {
            return uri.to_owned();
        }
        assert!(Instant::now() < limit, "{} offers nothing", host.name);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn until(host: &Host, what: &str, wanted: impl Fn(&Instance) -> bool) -> Instance {
    let limit = Instant::now() + PATIENCE;
    loop {
        let replica = host.instances("MSFT_WvrReplica").await.remove(0);
        if wanted(&replica) {
            return replica;
        }
        assert!(Instant::now() < limit, "{}: not {what}: {replica:?}", host.name);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Writes a block as an application does. `false` when there is nobody to take it.
pub(crate) fn write(uri: &str, offset: u64, pattern: u8) -> bool {
    let command = format!("write -P {pattern} {offset} 64k");
    let output = std::process::Command::new("qemu-io")
        .args(["-f", "raw", "-c", &command, "-c", "flush", uri])
        .output()
        .expect("qemu-io is installed");
    output.status.success() && String::from_utf8_lossy(&output.stdout).contains("wrote 65536")
}

fn has(host: &Host, offset: u64, pattern: u8) -> bool {
    std::fs::read(host.path("v")).unwrap()[offset as usize..][..65536].iter().all(|b| *b == pattern)
}

/// Waits until a block is there.
async fn arrives(host: &Host, offset: u64, pattern: u8) {
    let limit = Instant::now() + PATIENCE;
    while !has(host, offset, pattern) {
        assert!(Instant::now() < limit, "{} does not get it", host.name);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn joined(mode: u64) -> Pair {
    let pair = pair(16 * MIB).await;
    assert_eq!(pair.join(mode).await.run.state, JobState::Completed);
    pair
}

#[tokio::test(flavor = "multi_thread")]
async fn the_direction_is_turned_round_and_back_without_copying_anything() {
    let pair = joined(2).await;
    let old = uri(&pair.alpha).await;
    assert!(write(&old, 0, 0x11));
    // Asked at the old source, which passes it on.
    pair.alpha.done(SWITCH, to("beta")).await;
    assert!(pair.identical() && has(&pair.beta, 0, 0x11));
    let (a, b) = (endpoint(&pair.alpha).await, endpoint(&pair.beta).await);
    assert!(is_source(&b) && !is_source(&a));
    assert!(a.get("ApplicationUri").is_none() && !write(&old, 0, 0x12), "the old source is not writable");
    for host in [&pair.alpha, &pair.beta] {
        let shown = host.instances("MSFT_WvrReplicationPartnership").await.remove(0);
        assert_eq!(shown.get_str("SourceComputerName"), Some("beta"));
        assert_eq!(shown.get_str("DestinationRGName"), Some("A"));
    }
    let group = output(&pair.beta.done("GetGroup", vec![text("Name", "B")]).await).remove(0);
    assert_eq!(group.get_u64("ReplicationMode"), Some(2), "the mode goes with the direction");
    let replica = until(&pair.beta, "in sync", |r| status(r) == Some(12)).await;
    assert!(replica.get_u64("NumOfBytesRecovered") < Some(MIB), "it was copied again: {replica:?}");
    assert!(write(&uri(&pair.beta).await, 65536, 0x13));
    arrives(&pair.alpha, 65536, 0x13).await;
    // Who is the source already has nothing to do.
    pair.beta.done(SWITCH, to("beta")).await;

    pair.beta.done(SWITCH, to("alpha")).await;
    assert!(pair.identical() && has(&pair.alpha, 65536, 0x13));
    assert!(is_source(&endpoint(&pair.alpha).await) && !is_source(&endpoint(&pair.beta).await));
    assert!(write(&uri(&pair.alpha).await, 131_072, 0x14));
    arrives(&pair.beta, 131_072, 0x14).await;
    pair.alpha.done("RemovePartnership", pair.names()).await;
    assert!(pair.identical());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_hand_over_stays_the_source() {
    let pair = joined(1).await;
    pair.alpha.done("SuspendGroup", vec![text("Name", "A")]).await;
    let answer = pair.beta.call(SWITCH, to("beta")).await;
    let reason = pair.beta.says("CWREPL1430", &answer).await;
    assert!(reason.message.contains("ReplicationStatus 5"), "{reason:?}");
    assert!(write(&uri(&pair.alpha).await, 0, 0x21), "applications go on");
    let answer = pair.alpha.call("SyncGroup", vec![text("Name", "A")]).await;
    assert_eq!(pair.ended(answer).await.run.state, JobState::Completed);
    // Nobody becomes the source while the other side is.
    let alone = vec![text("ReplicationGroupName", "B")];
    pair.beta.refused("CWREPL1432", "WvrSetPrimaryReplicationGroup", alone.clone()).await;
    // Nor while it cannot be asked.
    let gone = || RemoteError::Unreachable { name: "alpha".to_owned(), reason: "gone".to_owned() };
    pair.net.break_with(gone());
    let reason = pair.beta.refused("CWREPL1431", "WvrSetPrimaryReplicationGroup", alone).await;
    assert_eq!(reason.cause.map(|c| c.message_id), Some("CWREPL1302".to_owned()));
    let answer = pair.beta.call(SWITCH, to("beta")).await;
    pair.beta.says("CWREPL1431", &answer).await;
    pair.net.mend();
    let other = vec![text("ReplicationGroupName", "B"), texts("SecondaryComputerName", &["gamma"])];
    pair.beta.refused("CWREPL1107", "WvrSetPrimaryReplicationGroup", other).await;
    assert!(is_source(&endpoint(&pair.alpha).await) && !is_source(&endpoint(&pair.beta).await));
    pair.beta.done(SWITCH, to("beta")).await;
    assert!(pair.identical());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_fails_half_way_gives_the_old_source_its_part_back() {
    let pair = joined(1).await;
    // A directory where the new model would be written: beta cannot note down that it is the source.
    let obstacle = pair.beta.state.join("replication.json.new");
    std::fs::create_dir(&obstacle).unwrap();
    let answer = pair.beta.call(SWITCH, to("beta")).await;
    pair.beta.says("CWREPL1202", &answer).await;
    assert!(is_source(&endpoint(&pair.alpha).await) && !is_source(&endpoint(&pair.beta).await));
    assert!(write(&uri(&pair.alpha).await, 0, 0x31));
    let replica = until(&pair.alpha, "in sync", |r| status(r) == Some(1)).await;
    assert!(replica.get_u64("NumOfBytesRecovered") < Some(MIB), "it was copied again: {replica:?}");
    assert!(has(&pair.beta, 0, 0x31));
    std::fs::remove_dir(&obstacle).unwrap();
    pair.beta.done(SWITCH, to("beta")).await;
    assert!(pair.identical() && is_source(&endpoint(&pair.beta).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_takes_over_alone_and_the_old_source_yields_when_it_is_back() {
    let pair = joined(1).await;
    let old = uri(&pair.alpha).await;
    pair.net.break_with(RemoteError::Unreachable { name: "it".to_owned(), reason: "gone".to_owned() });
    let force = vec![text("ReplicationGroupName", "B"), flag("Force", true)];
    let answer = pair.beta.call("WvrSetPrimaryReplicationGroup", force).await;
    let job = ended(&pair.beta, &answer).await;
    assert_eq!(job.run.state, JobState::Completed, "{job:?}");
    assert!(job.spec.description.contains("everything is copied to it once it is back"), "{job:?}");
    let new = uri(&pair.beta).await;
    assert!(write(&new, 0, 0x41));
    // Each cannot know about the other; what the old source takes now will be lost.
    assert!(write(&old, 65536, 0x42));
    pair.net.mend();
    until(&pair.beta, "in sync", |r| status(r) == Some(1)).await;
    assert!(!is_source(&endpoint(&pair.alpha).await) && !write(&old, 0, 0x43));
    assert!(pair.identical() && has(&pair.alpha, 0, 0x41) && !has(&pair.alpha, 65536, 0x42));
    let log = vec![text("Name", "B")];
    let answer = pair.beta.call("SyncGroup", log).await;
    assert_eq!(ended(&pair.beta, &answer).await.run.state, JobState::Completed);
    pair.alpha.done(SWITCH, to("alpha")).await;
    assert!(pair.identical() && is_source(&endpoint(&pair.alpha).await));
    pair.alpha
        .refused("CWREPL1107", SWITCH, {
            vec![
                text("SourceRGName", "A"),
                text("DestinationComputerName", "beta"),
                text("DestinationRGName", "X"),
            ]
        })
        .await;
}
