//! Ending a partnership when only one of its computers can be had, or when the other one is asked.

use crate::harness::{Host, MIB, Net, flag, text};
use crate::sync::pair;
use cimwright_sdk::jobs::JobState;

async fn partnerships(host: &Host) -> usize {
    host.instances("MSFT_WvrReplicationPartnership").await.len()
}

/// That nobody knows the other computer does not mean that it has nothing to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_cannot_be_asked_keeps_the_partnership() {
    let pair = pair(4 * MIB).await;
    assert_eq!(pair.join(1).await.run.state, JobState::Completed);
    pair.net.part("beta");
    pair.alpha.refused("CWREPL1301", "RemovePartnership", pair.names()).await;
    assert_eq!([partnerships(&pair.alpha).await, partnerships(&pair.beta).await], [1, 1]);
    let anyhow = [pair.names(), vec![flag("IgnoreRemovalFailure", true)]].concat();
    pair.alpha.done("RemovePartnership", anyhow).await;
    assert_eq!([partnerships(&pair.alpha).await, partnerships(&pair.beta).await], [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_destination_ends_it_on_both_sides_too() {
    let pair = pair(4 * MIB).await;
    assert_eq!(pair.join(1).await.run.state, JobState::Completed);
    let groups = vec![text("SourceRGName", "A"), text("DestinationRGName", "B")];
    pair.beta.done("RemovePartnership", groups).await;
    assert_eq!([partnerships(&pair.alpha).await, partnerships(&pair.beta).await], [0, 0]);
}

/// Two partners for one group at the same time: one of them gets it, the other one hears why not and has nothing left.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_gets_one_partner_whoever_asks_at_the_same_time() {
    let mut net = Net::default();
    net.engine = true;
    let (alpha, beta) = (Host::named("alpha", &net).await, Host::named("beta", &net).await);
    let gamma = Host::named("gamma", &net).await;
    for host in [&alpha, &beta, &gamma] {
        host.group("G").await;
    }
    let with = |computer: &str| {
        vec![
            text("SourceComputerName", "alpha"),
            text("SourceRGName", "G"),
            text("DestinationComputerName", computer),
            text("DestinationRGName", "G"),
            flag("PreventReplication", true),
        ]
    };
    let (one, other) = tokio::join!(
        alpha.call("CreatePartnership", with("beta")),
        alpha.call("CreatePartnership", with("gamma"))
    );
    assert_eq!([one.code, other.code].iter().filter(|code| **code == 0).count(), 1, "{one:?} {other:?}");
    let jobs = alpha.jobs.list(&Default::default(), None, 100).await.unwrap();
    let reasons: Vec<_> = jobs.iter().flat_map(|j| &j.run.errors).map(|e| e.message_id.as_str()).collect();
    assert_eq!(reasons, ["CWREPL1106"], "{jobs:?}");
    assert_eq!(partnerships(&alpha).await, 1);
    assert_eq!(partnerships(&beta).await + partnerships(&gamma).await, 1);
}
