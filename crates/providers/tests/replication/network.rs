//! Partnerships that are bound to network interfaces.

use crate::harness::{Host, behind, strings, text, texts};
use crate::sync::{Pair, pair, status};
use cimwright_sdk::jobs::JobState;

const MIB: u64 = crate::harness::MIB;
/// The loopback interface is the first one everywhere.
const LOOPBACK: &str = "1";

async fn bind(pair: &Pair, source: &[&str], destination: &[&str]) -> crate::harness::Answer {
    let interfaces =
        vec![texts("SourceNWInterfaceIndex", source), texts("DestinationNWInterfaceIndex", destination)];
    pair.alpha.call("SetNetworkConstraint", [pair.names(), interfaces].concat()).await
}

async fn resynchronised(pair: &Pair) -> crate::harness::Answer {
    pair.alpha.done("SuspendGroup", vec![text("Name", "A")]).await;
    pair.alpha.call("SyncGroup", vec![text("Name", "A")]).await
}

async fn bound(host: &Host) -> Vec<[Vec<String>; 2]> {
    let constraints = host.instances("MSFT_WvrNetworkConstraint").await;
    let interfaces = constraints
        .iter()
        .map(|c| ["SourceNWInterface", "DestinationNWInterface"].map(|name| strings(c.get(name))));
    interfaces.collect()
}

/// An interface that is not the loopback one, with or without addresses; some machines have none.
fn other_interface() -> Option<String> {
    let all = std::fs::read_dir("/sys/class/net").expect("the interfaces").flatten();
    let indexes = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("ifindex")).ok());
    indexes.map(|text| text.trim().to_owned()).find(|index| index != LOOPBACK)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_know_and_verify_their_interfaces() {
    let pair = pair(4 * MIB).await;
    assert_eq!(pair.join(1).await.run.state, JobState::Completed);
    let answer = bind(&pair, &[LOOPBACK], &["999999"]).await;
    let reason = pair.alpha.says("CWREPL1309", &answer).await;
    assert_eq!(reason.code, 5, "the other side has no such interface: {reason:?}");
    assert!(bound(&pair.alpha).await.is_empty() && bound(&pair.beta).await.is_empty());
    assert_eq!(bind(&pair, &[LOOPBACK], &[LOOPBACK]).await.code, 0);
    let one = || vec![LOOPBACK.to_owned()];
    assert_eq!(bound(&pair.alpha).await, [[one(), one()]]);
    assert_eq!(bound(&pair.beta).await, [[vec![], one()]], "a side is told its own");
    let answer = resynchronised(&pair).await;
    assert_eq!(pair.ended(answer).await.run.state, JobState::Completed);
    assert!(pair.identical());
    pair.alpha.done("RemoveNetworkConstraint", pair.names()).await;
    assert!(bound(&pair.alpha).await.is_empty() && bound(&pair.beta).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_would_leave_by_another_interface_stands_still() {
    let Some(other) = other_interface() else {
        return crate::apart::skip("network", "this machine has the loopback interface only");
    };
    let pair = pair(4 * MIB).await;
    assert_eq!(pair.join(1).await.run.state, JobState::Completed);
    assert_eq!(bind(&pair, &[&other], &[]).await.code, 0);
    let answer = resynchronised(&pair).await;
    let reason = pair.alpha.fails("CWREPL1418", &answer).await;
    assert!(reason.message.contains("leaves by the interface 1"), "{reason:?}");
    pair.alpha.done("RemoveNetworkConstraint", pair.names()).await;
    pair.until("replicating", |r| status(r) == Some(1)).await;
    // There the destination may not listen in plain text, or there is no address at all.
    assert_eq!(bind(&pair, &[], &[&other]).await.code, 0);
    let answer = resynchronised(&pair).await;
    let reason = pair.alpha.fails("CWREPL1402", &answer).await;
    let there = reason.cause.as_deref().expect("the other side says why");
    assert!(["CWREPL1413", "CWREPL1418"].contains(&there.message_id.as_str()), "{there:?}");
    behind(&reason, &there.message_id);
    pair.alpha.done("RemoveNetworkConstraint", pair.names()).await;
    pair.until("replicating", |r| status(r) == Some(1)).await;
    assert!(pair.identical());
}

/// The interfaces go with their computers.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_direction_keeps_the_interfaces() {
    let pair = pair(4 * MIB).await;
    assert_eq!(pair.join(1).await.run.state, JobState::Completed);
    assert_eq!(bind(&pair, &[LOOPBACK], &[]).await.code, 0);
    let switch = vec![
        text("NewSourceComputerName", "beta"),
        text("SourceRGName", "B"),
        text("DestinationComputerName", "alpha"),
        text("DestinationRGName", "A"),
    ];
    let answer = pair.alpha.call("SetPartnershipSetSourcePartnership", switch).await;
    assert!(answer.code == 0 || answer.code == 4096, "{answer:?}");
    let limit = tokio::time::Instant::now() + crate::harness::PATIENCE;
    while bound(&pair.alpha).await != [[vec![], vec![LOOPBACK.to_owned()]]] {
        assert!(tokio::time::Instant::now() < limit, "{:?}", bound(&pair.alpha).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
