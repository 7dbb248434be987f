//! How a source was left when its server ended, and what that means for the next start.

use crate::crash::{Machine, Two};
use crate::harness::MIB;
use crate::switch::{PATIENCE, write};
use crate::sync::status;
use cimwright_sdk::cim::Instance;
use cimwright_sdk::jobs::{JobFilter, JobRecord};
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The jobs of a computer that nobody called for.
async fn own_jobs(machine: &Machine) -> Vec<Arc<JobRecord>> {
    let all = machine.does(|host| async move { host.jobs.list(&JobFilter::default(), None, 1000).await });
    all.await.unwrap().into_iter().filter(|job| job.spec.owner == "system").collect()
}

/// The job that follows the copy after a restart, once it has ended.
async fn resynchronised(machine: &Machine) -> Arc<JobRecord> {
    let limit = Instant::now() + PATIENCE;
    loop {
        if let Some(job) = own_jobs(machine).await.into_iter().find(|job| job.run.state.is_finished()) {
            return job;
        }
        assert!(Instant::now() < limit, "no job follows the copy");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until(machine: &Machine, what: &str, wanted: impl Fn(&Instance) -> bool) -> Instance {
    let limit = Instant::now() + PATIENCE;
    loop {
        let replica = machine.shows("MSFT_WvrReplica").await;
        if wanted(&replica) {
            return replica;
        }
        assert!(Instant::now() < limit, "not {what}: {replica:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn uri(machine: &Machine) -> String {
    let limit = Instant::now() + PATIENCE;
    loop {
        if let Some(uri) = machine.shows("Cimwright_ReplicaEndpoint").await.get_str("ApplicationUri") {
            return uri.to_owned();
        }
        assert!(Instant::now() < limit, "nothing is offered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn copied(replica: &Instance) -> u64 {
    replica.get_u64("NumOfBytesRecovered").unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_ended_in_order_needs_no_copy() {
    let mut two = Two::new().await;
    two.alpha.stop().await;
    two.alpha.start().await;
    let replica = until(&two.alpha, "in sync", |r| status(r) == Some(1)).await;
    assert_eq!(copied(&replica), 0, "{replica:?}");
    assert!(write(&uri(&two.alpha).await, 0, 0x51));
    // The destination need not be there: what is written meanwhile is remembered.
    two.alpha.stop().await;
    two.beta.stop().await;
    two.alpha.start().await;
    assert!(write(&uri(&two.alpha).await, 65536, 0x52));
    two.beta.start().await;
    let replica = until(&two.alpha, "in sync", |r| status(r) == Some(1)).await;
    assert!((1..MIB).contains(&copied(&replica)), "{replica:?}");
    assert!(two.alpha.volume() == two.beta.volume());
    assert_eq!(two.beta.volume()[65536..131_072], [0x52; 65536]);
    let jobs = own_jobs(&two.alpha).await;
    assert!(!jobs.iter().any(|job| job.spec.description.contains("everything")), "{jobs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_was_touched_meanwhile_is_copied_as_a_whole_and_the_job_says_so() {
    // Either side; that of the destination is seen by the source when it is back.
    for (here, other_starts_first) in [(true, true), (false, true), (false, false)] {
        let mut two = Two::new().await;
        two.alpha.stop().await;
        two.beta.stop().await;
        let touched = if here { &two.alpha } else { &two.beta };
        let mut file = std::fs::File::options().write(true).open(touched.path("v")).unwrap();
        file.seek(SeekFrom::Start(MIB)).unwrap();
        file.write_all(&[0x61; 4096]).unwrap();
        drop(file);
        if other_starts_first {
            two.beta.start().await;
            two.alpha.start().await;
        } else {
            two.alpha.start().await;
            uri(&two.alpha).await;
            two.beta.start().await;
        }
        let job = resynchronised(&two.alpha).await;
        assert!(job.spec.description.contains("a volume was touched while it was not replicated"), "{job:?}");
        let replica = until(&two.alpha, "in sync", |r| status(r) == Some(1)).await;
        assert!(copied(&replica) >= 4 * MIB, "{replica:?}");
        assert!(two.alpha.volume() == two.beta.volume());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_of_the_source_everything_is_copied_and_the_job_says_why() {
    let mut two = Two::new().await;
    assert!(write(&uri(&two.alpha).await, 0, 0x71));
    two.alpha.crash().await;
    two.alpha.start().await;
    let job = resynchronised(&two.alpha).await;
    assert!(job.spec.description.contains("not ended in good order"), "{job:?}");
    until(&two.alpha, "in sync", |r| status(r) == Some(1)).await;
    assert!(two.alpha.volume() == two.beta.volume());
    // A destination that crashes costs only the difference.
    two.beta.crash().await;
    assert!(write(&uri(&two.alpha).await, 65536, 0x72));
    two.beta.start().await;
    let limit = Instant::now() + PATIENCE;
    while two.alpha.volume() != two.beta.volume() {
        assert!(Instant::now() < limit, "the difference is not sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        own_jobs(&two.alpha).await.iter().filter(|j| j.spec.description.contains("everything")).count(),
        1
    );
}
