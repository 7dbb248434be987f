//! What can go wrong with a copy, made to happen: with the daemons, with the partner, and with what the volumes lie on.

use crate::apart::{World, apart, directory, mount};
use crate::harness::{Host, MIB, Net, PATIENCE, behind, eventually, flag, text};
use crate::processes::{self, Disk};
use crate::sync::{Pair, content, pair, write};
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::JobState;
use cimwright_sdk::remote::RemoteError;
use cimwright_sdk::{Principal, Role};
use rustix::process::{Resource, Rlimit, Signal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Computers with an engine.
fn net() -> Net {
    let mut net = Net::default();
    net.engine = true;
    net
}

/// A pair whose first copy waits for SyncGroup.
async fn waiting() -> Pair {
    let pair = pair(4 * MIB).await;
    pair.alpha
        .done("CreatePartnership", [pair.names(), vec![flag("PreventReplication", true)]].concat())
        .await;
    pair
}

/// What becomes of the copy of a pair that was joined already.
async fn sync_fails(pair: &Pair, id: &str) -> ErrorDetail {
    let answer = pair.alpha.call("SyncGroup", vec![text("Name", "A")]).await;
    pair.alpha.fails(id, &answer).await
}

/// The reason that a computer gives for a volume in MSFT_WvrHealth.
async fn fault(host: &Host) -> Option<String> {
    const VOLUME: u64 = 1;
    let health = host.instances("MSFT_WvrHealth").await;
    let volume = health.iter().find(|h| h.get_u64("ObjectType") == Some(VOLUME)).expect("a volume");
    volume.get_str("FaultTypeId").map(str::to_owned)
}

async fn until_fault(host: &Host, wanted: Option<&str>) {
    let limit = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = fault(host).await;
        if found.as_deref() == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < limit, "{} is {found:?}, not {wanted:?}", host.name);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn listener(host_endpoint: &cimwright_sdk::cim::Instance) -> rustix::process::Pid {
    processes::listener(host_endpoint.get_u64("Port").expect("a port") as u16)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_does_not_answer_any_more() {
    let pair = pair(4 * MIB).await;
    assert_eq!(pair.join(2).await.run.state, JobState::Completed);
    pair.alpha.done("SuspendGroup", vec![text("Name", "A")]).await;
    let daemon = listener(&pair.beta.instances("Cimwright_ReplicaEndpoint").await[0]);
    processes::signal(daemon, Signal::STOP);
    let reason = sync_fails(&pair, "CWREPL1401").await;
    assert!(reason.message.contains("127.0.0.1:"), "it says where: {reason:?}");
    behind(&reason, "CWREPL1901");
    processes::signal(daemon, Signal::CONT);
    pair.until("replicating again", |r| crate::sync::status(r) == Some(12)).await;
}

/// The daemon of the destination cannot be started, and the source tells why.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_missing_at_either_side() {
    let mut net = net();
    net.adjust = Some(Arc::new(|computer, settings| {
        if computer == "beta" {
            settings.policy.program = "/nowhere/qemu-storage-daemon".into();
        }
    }));
    let (alpha, beta) = (Host::named("alpha", &net).await, Host::named("beta", &net).await);
    let pair = Pair::of(net, alpha, beta, 4 * MIB).await;
    let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
    let reason = pair.alpha.fails("CWREPL1402", &answer).await;
    let there = behind(&reason, "CWREPL1412");
    assert!(there.message.contains("/nowhere/qemu-storage-daemon"), "{there:?}");
    assert_eq!(fault(&pair.beta).await.as_deref(), Some("CWREPL1412"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_missing_at_the_source() {
    let mut net = net();
    net.adjust = Some(Arc::new(|computer, settings| {
        if computer == "alpha" {
            settings.policy.program = "/nowhere/qemu-storage-daemon".into();
        }
    }));
    let (alpha, beta) = (Host::named("alpha", &net).await, Host::named("beta", &net).await);
    let pair = Pair::of(net, alpha, beta, 4 * MIB).await;
    let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
    let reason = pair.alpha.fails("CWREPL1412", &answer).await;
    assert!(reason.recommended_actions.iter().any(|a| a.contains("apt-get install")), "{reason:?}");
}

/// The name of the partner leads to another computer by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_partner() {
    let pair = pair(4 * MIB).await;
    assert_eq!(pair.join(1).await.run.state, JobState::Completed);
    pair.alpha.done("SuspendGroup", vec![text("Name", "A")]).await;
    let stranger = Host::named("beta", &pair.net).await;
    let reason = sync_fails(&pair, "CWREPL1402").await;
    assert!(reason.cause.is_none(), "a stranger knows nothing of the group: {reason:?}");
    assert!(stranger.instances("MSFT_WvrReplicationGroup").await.is_empty());
    // The right one again.
    pair.net.join(&pair.beta, Principal::authenticated("root", Role::Administrator));
    pair.until("replicating again", |r| crate::sync::status(r) == Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_grant_on_the_partner() {
    let pair = pair(4 * MIB).await;
    pair.net.join(&pair.beta, Principal::authenticated("ann", Role::Operator));
    let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
    let reason = pair.alpha.fails("CWREPL1309", &answer).await;
    assert_eq!(reason.code, 6, "access denied: {reason:?}");
    let there = pair.beta.newest().await.expect("the refusal is kept there");
    assert_eq!(there.run.errors[0].message_id, "CWREPL1310");
    assert!(pair.alpha.instances("MSFT_WvrReplicationPartnership").await.is_empty());
    pair.beta.done("GrantSrUserAccess", vec![text("UserName", "ann")]).await;
    assert_eq!(pair.join(1).await.run.state, JobState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_another_program_uses() {
    let pair = pair(4 * MIB).await;
    let file = std::fs::File::open(pair.alpha.path("v")).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).expect("free");
    let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
    let reason = pair.alpha.fails("CWREPL1409", &answer).await;
    behind(&reason, "CWREPL1901");
    drop(file);
    let answer = pair.alpha.call("SyncGroup", vec![text("Name", "A")]).await;
    assert_eq!(pair.ended(answer).await.run.state, JobState::Completed, "it goes on by itself");
}

/// Nobody wants the copy to begin, so nothing is in the way; but the job that was to follow it does not wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_does_not_begin() {
    let pair = waiting().await;
    pair.net.break_with(RemoteError::Unreachable { name: "beta".to_owned(), reason: "gone".to_owned() });
    let answer = pair.alpha.call("SyncGroup", vec![text("Name", "A")]).await;
    pair.alpha.done("SuspendGroup", vec![text("Name", "A")]).await;
    let reason = pair.alpha.fails("CWREPL1415", &answer).await;
    assert_eq!(reason.code, 3, "a matter of time: {reason:?}");
}

/// Something that the daemon has a word for, but nobody else: it may open nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_at_its_limits() {
    let pair = waiting().await;
    eventually(|| processes::exporting(&pair.alpha.root).len() == 1).await;
    let daemon = processes::daemons(&pair.alpha.root)[0];
    let (maximum, used) = (processes::open_files_limit(daemon), processes::open_files(daemon));
    let limit = |current| Rlimit { current: Some(current), maximum: Some(maximum) };
    rustix::process::prlimit(Some(daemon), Resource::Nofile, limit(used)).expect("may be lowered");
    let reason = sync_fails(&pair, "CWREPL1414").await;
    behind(&reason, "CWREPL1901");
    assert!(reason.message.contains("Too many open files"), "{reason:?}");
    rustix::process::prlimit(Some(daemon), Resource::Nofile, limit(maximum)).expect("may be raised");
    pair.until("replicating", |r| crate::sync::status(r) == Some(1)).await;
}

/// What was all right when it joined its group.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_volume_that_is_gone_or_cut_off() {
    let pair = pair(4 * MIB).await;
    let file = std::fs::File::options().write(true).open(pair.alpha.path("v")).unwrap();
    file.set_len(700).unwrap();
    let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
    pair.alpha.fails("CWREPL1004", &answer).await;
    std::fs::remove_file(pair.alpha.path("v")).unwrap();
    sync_fails(&pair, "CWREPL1001").await;
    pair.alpha.volume("v", 2 * MIB);
    let reason = sync_fails(&pair, "CWREPL1403").await;
    assert!(reason.message.contains("2097152") && reason.message.contains("4194304"), "{reason:?}");
}

/// A destination that nobody can reach by its name any more takes no more writes, or they would be lost with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_volume_that_is_removed() {
    let pair = pair(4 * MIB).await;
    assert_eq!(pair.join(2).await.run.state, JobState::Completed);
    std::fs::remove_file(pair.beta.path("v")).unwrap();
    until_fault(&pair.beta, Some("CWREPL1001")).await;
    let uri = pair.alpha.instances("Cimwright_ReplicaEndpoint").await.remove(0);
    write(uri.get_str("ApplicationUri").expect("applications go on"));
    pair.until("out of sync", |r| r.get("LastOutOfSyncTime").is_some()).await;
    let reason = sync_fails(&pair, "CWREPL1407").await;
    let there = behind(&reason, "CWREPL1001");
    assert!(there.message.contains(&pair.beta.path("v")), "it names the volume there: {there:?}");
    until_fault(&pair.alpha, Some("CWREPL1407")).await;
}

#[test]
fn a_destination_that_is_full_gets_the_rest_later() {
    apart(World::Mounts, "faults::a_destination_that_is_full_gets_the_rest_later", async |scratch| {
        let (alpha, beta) = (directory(&scratch, "a"), directory(&scratch, "b"));
        let small = directory(&beta, "root");
        let small = small.to_str().unwrap();
        mount(&["-t", "tmpfs", "-o", "size=12m", "tmpfs", small]);
        let net = net();
        let hosts = (Host::in_place("alpha", &net, &alpha).await, Host::in_place("beta", &net, &beta).await);
        let pair = Pair::of(net, hosts.0, hosts.1, 32 * MIB).await;
        let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
        let reason = pair.alpha.fails("CWREPL1405", &answer).await;
        let said = behind(&reason, "CWREPL1901");
        assert!(said.message.contains("127.0.0.1:"), "it names the partner: {said:?}");
        assert!(reason.recommended_actions[0].contains("Free space"), "{reason:?}");
        mount(&["-o", "remount,size=64m", small]);
        pair.until("replicating", |r| crate::sync::status(r) == Some(1)).await;
        assert!(pair.identical());
    });
}

/// Two computers, of which one has its volume on a disk that fails.
async fn on_bad_disk(scratch: &Path, bad: &str, size: u64, options: &str) -> (Pair, Disk) {
    let places = ["alpha", "beta"].map(|name| (name, directory(scratch, name)));
    let net = net();
    let mut disk = None;
    for (name, place) in &places {
        let root = directory(place, "root");
        let data = if *name == "alpha" { content(size, 5) } else { vec![0; size as usize] };
        if *name == bad {
            disk = Some(Disk::new(&root.join("v"), &place.join("backing"), &data, options));
        } else {
            std::fs::write(root.join("v"), data).unwrap();
        }
    }
    let [(_, a), (_, b)] = &places;
    let hosts = (Host::in_place("alpha", &net, a).await, Host::in_place("beta", &net, b).await);
    (Pair::of(net, hosts.0, hosts.1, size).await, disk.expect("one of the two"))
}

#[test]
fn a_source_that_cannot_be_read() {
    apart(World::Mounts, "faults::a_source_that_cannot_be_read", async |scratch| {
        let (pair, _disk) = on_bad_disk(&scratch, "alpha", 4 * MIB, &processes::failing("read")).await;
        let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
        let reason = pair.alpha.fails("CWREPL1406", &answer).await;
        assert!(reason.message.contains(&pair.alpha.path("v")), "{reason:?}");
        behind(&reason, "CWREPL1901");
        until_fault(&pair.alpha, Some("CWREPL1406")).await;
    });
}

#[test]
fn a_destination_that_takes_no_writes() {
    apart(World::Mounts, "faults::a_destination_that_takes_no_writes", async |scratch| {
        let (pair, _disk) = on_bad_disk(&scratch, "beta", 4 * MIB, &processes::failing("write")).await;
        let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
        let reason = pair.alpha.fails("CWREPL1407", &answer).await;
        let said = behind(&reason, "CWREPL1901");
        assert!(said.message.contains("127.0.0.1:"), "it names the partner: {said:?}");
    });
}

/// Once, it is started again and all goes on; again and again, the job gives up and says so.
#[test]
fn a_daemon_that_is_killed() {
    apart(World::Mounts, "faults::a_daemon_that_is_killed", async |scratch| {
        // So slow that no copy is done before the next kill.
        let (pair, _disk) = on_bad_disk(&scratch, "beta", 32 * MIB, &processes::slow(MIB)).await;
        let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
        let ended = Arc::new(AtomicBool::new(false));
        let (stop, root) = (Arc::clone(&ended), pair.alpha.root.clone());
        let killer = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for daemon in processes::exporting(&root) {
                    processes::signal(daemon, Signal::KILL);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let reason = pair.alpha.fails("CWREPL1410", &answer).await;
        ended.store(true, Ordering::Relaxed);
        killer.join().expect("it only kills");
        let said = behind(&reason, "CWREPL1901");
        assert!(said.message.contains("signal 9") || said.message.contains('9'), "how it ended: {said:?}");
        until_fault(&pair.alpha, None).await;
        let root = pair.alpha.root.clone();
        eventually(move || processes::exporting(&root).len() == 1).await;
        let answer = pair.alpha.call("SyncGroup", vec![text("Name", "A")]).await;
        assert_eq!(answer.code, 4096, "the copy has begun anew");
        let job = pair.alpha.newest().await.expect("a job");
        let title = job.run.status.clone();
        assert!(title.contains("Copying everything"), "it says why: {title:?}");
    });
}
