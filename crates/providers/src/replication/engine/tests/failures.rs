//! Every failure that this engine has a word for, made to happen.

use std::fs::File;
use std::process::Command;

use serde_json::json;

use super::super::failure::About;
use super::super::*;
use super::support::*;
use crate::disk::engine::{EnginePolicy, SpawnError};

const FULL: Basis = Basis::Full(FullReason::Requested);
const TMPFS: &str = "CIMWRIGHT_TEST_TMPFS";

async fn refusal(stage: &Stage, partner: Partner) -> (Replica, Failure) {
    let a = stage.open("a").await;
    let error = a.start(partner, FULL, CopyMode::Asynchronous).await.expect_err("cannot start");
    assert_eq!(a.status().await.expect("alive"), None, "nothing is left of the mirror");
    let failure = error.failure().cloned().unwrap_or_else(|| panic!("{error:?}"));
    (a, failure)
}

#[tokio::test]
async fn volumes_of_different_sizes_are_refused_with_both_sizes() {
    let stage = Stage::set().await;
    stage.volumes(64 * MIB);
    File::options().write(true).open(stage.path("b")).expect("opens").set_len(32 * MIB).expect("sized");
    let _b = stage.destination("b").await;
    let (_, failure) = refusal(&stage, stage.partner()).await;
    let (source_bytes, destination_bytes) = (64 * MIB, 32 * MIB);
    assert_eq!(failure, Failure::SizeMismatch { source_bytes, destination_bytes });
}

#[tokio::test]
async fn a_partner_that_is_not_there_and_one_without_the_volume_differ() {
    let stage = Stage::set().await;
    stage.volumes(64 * MIB);
    let (a, failure) = refusal(&stage, stage.partner()).await;
    assert!(
        matches!(&failure, Failure::PartnerUnreachable { partner, .. } if *partner == stage.partner().place())
    );
    drop(a);
    let _b = stage.destination("b").await;
    let (a, failure) = refusal(&stage, Partner { export: "other".into(), ..stage.partner() }).await;
    assert!(matches!(&failure, Failure::ExportMissing { export, .. } if export == "other"), "{failure:?}");
    a.start(stage.partner(), FULL, CopyMode::Asynchronous)
        .await
        .expect("a failed start does not spoil the next");
    until_in_sync(&a).await;
    stage.assert_identical();
}

#[tokio::test]
async fn one_volume_has_one_daemon() {
    let stage = Stage::set().await;
    stage.volumes(64 * MIB);
    let a = stage.open("a").await;
    let error = stage.try_open("a").await.expect_err("in use");
    assert_eq!(error.failure(), Some(&Failure::Locked { path: stage.path("a") }));
    a.close().await;
    let a = stage.open("a").await;
    drop(a);
    // A dropped side's daemon is killed, not waited for; it must not be possible to come in between.
    for _ in 0..200 {
        match stage.try_open("a").await {
            Ok(_) => return,
            Err(error) => assert!(matches!(error.failure(), Some(Failure::Locked { .. })), "{error:?}"),
        }
    }
    panic!("still locked");
}

#[tokio::test]
async fn a_volume_that_another_program_of_qemu_uses_is_refused() {
    let stage = Stage::set().await;
    stage.volumes(64 * MIB);
    // It writes the file with its number once it serves.
    let (ready, socket) = (stage.path("ready"), stage.path("socket"));
    let mut other = Command::new(policy().program)
        .arg("--blockdev")
        .arg(format!("driver=file,node-name=a,filename={}", stage.path("a").display()))
        .arg("--nbd-server")
        .arg(format!("addr.type=unix,addr.path={}", socket.display()))
        .args(["--export", "type=nbd,id=a,node-name=a,writable=on", "--pidfile"])
        .arg(&ready)
        .spawn()
        .expect("starts");
    let waiting = std::time::Instant::now();
    while !ready.exists() && waiting.elapsed() < PATIENCE {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let refused = stage.try_open("a").await;
    other.kill().expect("killed");
    other.wait().expect("waited");
    let error = refused.expect_err("in use");
    assert_eq!(error.failure(), Some(&Failure::Locked { path: stage.path("a") }));
    stage.open("a").await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let stage = Stage::set().await;
    stage.volumes(64 * MIB);
    let _taken = std::net::TcpListener::bind(stage.address).expect("free");
    let b = stage.open("b").await;
    let error = b.receive(&stage.listen()).await.expect_err("taken");
    assert_eq!(error.failure(), Some(&Failure::AddressInUse { address: stage.address.to_string() }));
    assert_eq!(b.role().await, Role::Idle);
    drop(_taken);
    b.receive(&stage.listen()).await.expect("free now");
}

#[tokio::test]
async fn a_side_has_one_role() {
    let stage = Stage::set().await;
    let (a, b, _export) = stage.in_sync(64 * MIB, CopyMode::Asynchronous).await;
    let wrong = |result: Result<(), ReplicationError>| {
        assert!(matches!(result, Err(ReplicationError::WrongState { .. })), "{result:?}");
    };
    wrong(b.export().await.map(drop));
    wrong(b.start(stage.partner(), FULL, CopyMode::Asynchronous).await);
    wrong(b.receive(&stage.listen()).await);
    wrong(b.suspend().await);
    wrong(a.receive(&stage.listen()).await);
    wrong(a.start(stage.partner(), FULL, CopyMode::Asynchronous).await);
    wrong(a.export().await.map(drop));
    a.stop().await.expect("stops");
    assert_eq!(a.status().await.expect("alive"), None);
    wrong(a.retry().await);
}

#[tokio::test]
async fn plain_traffic_does_not_leave_the_machine() {
    let stage = Stage::set().await;
    stage.volumes(64 * MIB);
    let b = stage.open("b").await;
    let address = "0.0.0.0:10809".parse().expect("an address");
    let error = b.receive(&Listen { address, ..stage.listen() }).await.expect_err("not without TLS");
    assert!(matches!(error, ReplicationError::PlaintextRefused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_source_that_cannot_be_read_is_said_to_be_the_source() {
    let stage = Stage::set().await;
    stage.volumes(64 * MIB);
    let (a, _b) = (stage.open("a").await, stage.destination("b").await);
    let daemon = &a.shared.daemon;
    let faulty = json!({
        "driver": "blkdebug", "node-name": "faulty", "image": "file", "inject-error": [
            { "event": "none", "iotype": "read", "sector": 4096, "errno": 5, "once": true, "immediately": true },
        ],
    });
    daemon.execute("blockdev-add", faulty, About::default()).await.expect("added");
    let reopen = json!({ "options": [{ "driver": "raw", "node-name": "base", "file": "faulty" }] });
    daemon.execute("blockdev-reopen", reopen, About::default()).await.expect("put in between");
    a.start(stage.partner(), FULL, CopyMode::Asynchronous).await.expect("starts");
    assert_eq!(until_broken(&a).await, Failure::SourceReadError { path: stage.path("a") });
    a.retry().await.expect("goes on, for the fault is gone");
    until_in_sync(&a).await;
    stage.assert_identical();
}

#[tokio::test]
async fn a_destination_that_takes_no_writes_is_told_from_one_that_is_not_there() {
    let stage = Stage::set().await;
    let (a, b, export) = stage.in_sync(64 * MIB, CopyMode::Synchronous).await;
    let daemon = &b.shared.daemon;
    let broken = json!({
        "driver": "blkdebug", "node-name": "faulty", "image": "file", "inject-error": [
            { "event": "none", "iotype": "write", "errno": 5, "once": false, "immediately": true },
        ],
    });
    daemon.execute("blockdev-add", broken, About::default()).await.expect("added");
    let reopen = json!({ "options": [{ "driver": "raw", "node-name": "base", "file": "faulty" }] });
    daemon.execute("blockdev-reopen", reopen, About::default()).await.expect("put in between");
    write(&export, 9 * MIB, MIB, 0x91).await;
    assert_eq!(until_broken(&a).await, Failure::DestinationGone { partner: stage.partner().place() });
    let reopen = json!({ "options": [{ "driver": "raw", "node-name": "base", "file": "file" }] });
    daemon.execute("blockdev-reopen", reopen, About::default()).await.expect("taken out");
    a.retry().await.expect("goes on");
    until_in_sync(&a).await;
    stage.assert_identical();
}

/// Runs itself again where it may mount a small file system that nobody else sees.
#[tokio::test]
async fn a_full_destination_is_said_to_be_full_and_gets_the_rest_later() {
    let stage = Stage::set().await;
    let Some(small) = std::env::var_os(TMPFS).map(std::path::PathBuf::from) else {
        let name = "replication::engine::tests::failures::a_full_destination_is_said_to_be_full_and_gets_the_rest_later";
        let mut unshare = Command::new("unshare");
        unshare.arg("--mount");
        if !rustix::process::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        let script = r#"mount -t tmpfs -o size=24m none "$1" && exec "$2" --exact "$3" --nocapture"#;
        let output = unshare
            .args(["--", "sh", "-c", script, "sh"])
            .args([stage.directory.path(), &std::env::current_exe().expect("a program")])
            .arg(name)
            .env(TMPFS, stage.directory.path())
            .output()
            .expect("unshare of util-linux");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    };
    stage.volumes(64 * MIB);
    let volume = small.join("small");
    File::create(&volume).expect("created").set_len(64 * MIB).expect("sized");
    let ballast = small.join("ballast");
    std::fs::write(&ballast, vec![1; 20 << 20]).expect("written");
    let spec = ReplicaSpec {
        volume: Volume::open(&volume).expect("opens"),
        runtime_directory: stage.directory.path().to_path_buf(),
        name: "small".into(),
        tls: Vec::new(),
    };
    let b = Replica::open(&policy(), spec).await.expect("opens");
    b.receive(&stage.listen()).await.expect("listens");
    // Only a part of the source has content, so that it fits when the ballast is gone.
    File::options().write(true).open(stage.path("a")).expect("opens").set_len(16 * MIB).expect("sized");
    File::options().write(true).open(stage.path("a")).expect("opens").set_len(64 * MIB).expect("sized");
    let a = stage.open("a").await;
    a.start(stage.partner(), FULL, CopyMode::Synchronous).await.expect("starts");
    let export = a.export().await.expect("offered");
    assert_eq!(until_broken(&a).await, Failure::DestinationFull { partner: stage.partner().place() });
    write(&export, 0, MIB, 0x77).await;
    std::fs::remove_file(&ballast).expect("removed");
    a.retry().await.expect("goes on");
    until_in_sync(&a).await;
    assert!(std::fs::read(&volume).expect("read") == std::fs::read(stage.path("a")).expect("read"));
}

#[tokio::test]
async fn a_missing_and_an_old_daemon_are_told_apart() {
    let stage = Stage::set().await;
    let probe = async |program: &std::path::Path| {
        let policy = EnginePolicy { program: program.to_path_buf(), ..policy() };
        Daemon::probe(&policy).await
    };
    let missing = probe(&stage.path("nothing")).await.expect_err("missing");
    assert!(matches!(missing, ReplicationError::Spawn(SpawnError::ProgramMissing { .. })), "{missing:?}");

    let old = stage.path("old");
    script(&old, "echo 'qemu-storage-daemon version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)'");
    let error = probe(&old).await.expect_err("too old");
    assert!(
        matches!(&error, ReplicationError::TooOld { found, .. } if found.numbers == (7, 2, 22)),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "qemu-storage-daemon 7.2.22 is too old; 8.2.0 or newer is needed");

    script(&old, "echo complaint >&2; exit 1");
    assert!(matches!(probe(&old).await, Err(ReplicationError::NotReady { .. })));
    let policy = EnginePolicy { program: old, ..policy() };
    let spec = DaemonSpec {
        runtime_directory: stage.directory.path().to_path_buf(),
        name: "none".into(),
        grants: Vec::new(),
    };
    let error = Daemon::start(&policy, spec).await.expect_err("no daemon");
    assert!(
        matches!(&error, ReplicationError::NotReady { stderr, .. } if stderr.contains("complaint")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_daemon_is_up_quickly_and_takes_orders_from_nobody_else() {
    let stage = Stage::set().await;
    stage.volumes(64 * MIB);
    let started = std::time::Instant::now();
    let a = stage.open("a").await;
    println!("up in {:?}, version {}", started.elapsed(), a.daemon().version());
    assert!(a.daemon().version().numbers >= OLDEST_DAEMON);
    let left: Vec<_> = std::fs::read_dir(a.daemon().directory()).expect("read").collect();
    assert!(left.is_empty(), "no socket is left to connect to: {left:?}");
    let directory = a.daemon().directory().to_path_buf();
    assert_eq!(a.close().await.status, crate::disk::engine::EngineStatus::Exited(0));
    assert!(!directory.exists());
}
