//! A partner that stands still without a word.

use crate::harness::{MIB, text};
use crate::switch::write;
use crate::sync::{pair, signal_listener, status};
use cimwright_sdk::jobs::JobState;
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn applications_do_not_wait_for_a_partner_that_stands_still() {
    let pair = pair(8 * MIB).await;
    assert_eq!(pair.join(1).await.run.state, JobState::Completed);
    let endpoint = pair.beta.instances("Cimwright_ReplicaEndpoint").await.remove(0);
    let port = endpoint.get_u64("Port").expect("a port") as u16;
    let uri = pair.alpha.instances("Cimwright_ReplicaEndpoint").await.remove(0);
    let uri = uri.get_str("ApplicationUri").expect("a source").to_owned();
    signal_listener(port, Signal::STOP);
    let begun = Instant::now();
    let first = uri.clone();
    // Without help, this would be acknowledged when the partner goes on: never.
    assert!(tokio::task::spawn_blocking(move || write(&first, 0, 0x81)).await.unwrap());
    println!("acknowledged after {:?}", begun.elapsed());
    pair.until("waiting for the destination", |r| status(r) == Some(7)).await;
    // And while it is tried again and again, nobody waits at all.
    let mut longest = Duration::ZERO;
    for turn in 1..20_u64 {
        let (uri, begun) = (uri.clone(), Instant::now());
        assert!(tokio::task::spawn_blocking(move || write(&uri, turn * 65536, 0x82)).await.unwrap());
        longest = longest.max(begun.elapsed());
    }
    println!("afterwards at most {longest:?}");
    signal_listener(port, Signal::CONT);
    pair.until("in sync", |r| status(r) == Some(1)).await;
    pair.alpha.done("RemovePartnership", pair.names()).await;
    assert!(pair.identical());
    assert_eq!(std::fs::read(pair.beta.path("v")).unwrap()[65536..20 * 65536], [0x82; 19 * 65536]);
    pair.alpha.refused("CWREPL1107", "SuspendGroup", vec![text("Name", "A")]).await;
}
