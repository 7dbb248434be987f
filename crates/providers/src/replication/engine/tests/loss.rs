//! What happens when a daemon is killed or stands still.

use std::time::Instant;

use super::super::*;
use super::support::*;

async fn died(replica: &Replica) {
    replica.daemon().kill();
    let mut ended = replica.daemon().ended();
    ended.wait_for(Option::is_some).await.expect("seen");
}

#[tokio::test]
async fn a_destination_that_returns_gets_only_the_difference() {
    for mode in [CopyMode::Asynchronous, CopyMode::Synchronous] {
        let stage = Stage::set().await;
        let (a, b, export) = stage.in_sync(64 * MIB, mode).await;
        let before = a.status().await.expect("alive").expect("a mirror");
        died(&b).await;
        write(&export, 5 * MIB, MIB, 0xd1).await;
        let failure = until_broken(&a).await;
        assert!(matches!(failure, Failure::PartnerUnreachable { .. }), "{failure:?}");
        write(&export, 40 * MIB, MIB, 0xd2).await;
        let refused = a.retry().await.expect_err("nobody is there");
        assert!(matches!(refused.failure(), Some(Failure::PartnerUnreachable { .. })), "{refused:?}");
        let broken = a.status().await.expect("alive").expect("a mirror");
        assert_eq!((broken.phase, broken.in_sync), (MirrorPhase::Broken, false));
        drop(b);

        let _b = stage.destination("b").await;
        let returned = Instant::now();
        a.retry().await.expect("goes on");
        let after = until_in_sync(&a).await;
        println!("{mode:?}: caught up in {:?} after the return", returned.elapsed());
        let sent = after.done_bytes - before.done_bytes;
        assert!((2 * MIB..3 * MIB).contains(&sent), "{mode:?}: {sent} bytes were sent");
        stage.assert_identical();
        write(&export, 0, MIB, 0xd3).await;
        until_in_sync(&a).await;
        stage.assert_identical();
    }
}

#[tokio::test]
async fn a_destination_that_is_back_before_it_is_missed_is_found_again() {
    let stage = Stage::set().await;
    let (a, b, export) = stage.in_sync(64 * MIB, CopyMode::Synchronous).await;
    died(&b).await;
    drop(b);
    let _b = stage.destination("b").await;
    write(&export, 7 * MIB, MIB, 0xd4).await;
    let status = until_in_sync(&a).await;
    assert_eq!(status.failure, None);
    stage.assert_identical();
}

#[tokio::test]
async fn a_destination_may_return_elsewhere() {
    let stage = Stage::set().await;
    let (a, b, export) = stage.in_sync(64 * MIB, CopyMode::Synchronous).await;
    died(&b).await;
    drop(b);
    write(&export, 7 * MIB, MIB, 0xd5).await;
    until_broken(&a).await;
    let elsewhere = std::net::SocketAddr::new(stage.address.ip(), stage.address.port() + 1);
    let b = stage.open("b").await;
    b.receive(&Listen { address: elsewhere, ..stage.listen() }).await.expect("listens");
    a.set_partner(Partner { port: elsewhere.port(), ..stage.partner() }).await.expect("told");
    a.retry().await.expect("goes on");
    until_in_sync(&a).await;
    stage.assert_identical();
}

#[tokio::test]
async fn a_mirror_can_be_suspended_while_the_partner_is_lost() {
    let stage = Stage::set().await;
    let (a, b, export) = stage.in_sync(64 * MIB, CopyMode::Synchronous).await;
    died(&b).await;
    drop(b);
    write(&export, 7 * MIB, MIB, 0xd6).await;
    until_broken(&a).await;
    a.suspend().await.expect("suspends");
    let _b = stage.destination("b").await;
    write(&export, 8 * MIB, MIB, 0xd7).await;
    assert!(!has(&stage.path("b"), 8 * MIB, MIB, 0xd7), "it was sent during the pause");
    a.resume().await.expect("resumes");
    until_in_sync(&a).await;
    stage.assert_identical();
}

#[tokio::test]
async fn a_source_that_is_killed_leaves_what_it_acknowledged_and_no_trust() {
    let stage = Stage::set().await;
    let marker = SyncMarker::new(stage.path("a.sync"));
    marker.break_seal().expect("broken");
    let (a, b, export) = stage.in_sync(64 * MIB, CopyMode::Synchronous).await;
    write(&export, 11 * MIB, MIB, 0xe1).await;
    died(&a).await;
    assert!(has(&stage.path("b"), 11 * MIB, MIB, 0xe1), "an acknowledged write is lost");
    let killed = |failure: Option<&Failure>| {
        let status = crate::disk::engine::EngineStatus::Signaled(9);
        matches!(failure, Some(Failure::DaemonDied { status: seen, .. }) if *seen == status)
    };
    let status = a.status().await.expect("an answer").expect("a mirror");
    assert!(status.phase == MirrorPhase::Lost && killed(status.failure.as_ref()), "{status:?}");
    let error = a.suspend().await.expect_err("it is dead");
    assert!(killed(error.failure()), "{error:?}");
    let mut changes = a.changes();
    let lost = changes.wait_for(|status| {
        status.as_ref().is_some_and(|status| status.phase == MirrorPhase::Lost && !status.in_sync)
    });
    tokio::time::timeout(PATIENCE, lost).await.expect("is told").expect("is published");
    drop(a);

    let volume = Volume::open(stage.path("a")).expect("opens");
    let standing = marker.standing(&volume);
    assert_eq!(standing, Standing::Untrusted(FullReason::NotEndedInOrder));
    let start = basis(&standing, &Standing::Sealed("any".into()));
    let a = stage.open("a").await;
    a.start(stage.partner(), start, CopyMode::Synchronous).await.expect("starts");
    let export = a.export().await.expect("offered");
    write(&export, 12 * MIB, MIB, 0xe2).await;
    until_in_sync(&a).await;
    stage.assert_identical();
    drop(b);
}

#[tokio::test]
async fn a_partner_that_stands_still_does_not_hold_up_applications_for_ever() {
    let stage = Stage::set().await;
    let (a, b, export) = stage.in_sync(64 * MIB, CopyMode::Synchronous).await;
    let pid = rustix::process::Pid::from_raw(b.daemon().pid()).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("stopped");
    let waiting = {
        let export = export.clone();
        tokio::spawn(async move { try_write(&export, 3 * MIB, MIB, 0xf1).await })
    };
    until(&a, "a write is under way", |status| {
        !status.in_sync || status.remaining_bytes > 0 || waiting.is_finished()
    })
    .await;
    let cut = a.daemon().sever(stage.address).expect("allowed");
    assert_eq!(cut, 1, "one connection");
    waiting.await.expect("no panic").expect("acknowledged here");
    let failure = until_broken(&a).await;
    assert!(matches!(failure, Failure::PartnerUnreachable { .. }), "{failure:?}");
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("goes on");
    a.retry().await.expect("goes on");
    until_in_sync(&a).await;
    stage.assert_identical();
}

#[tokio::test]
async fn a_steady_writer_notices_nothing_and_nothing_is_left_out() {
    let stage = Stage::set().await;
    let (a, mut b, export) = stage.in_sync(64 * MIB, CopyMode::Synchronous).await;
    for round in 0..4 {
        let writer = {
            let export = export.clone();
            tokio::spawn(async move { stream(&export, 64 * MIB, 500, round).await })
        };
        until(&a, "a write", |status| status.done_bytes > 64 * MIB || writer.is_finished()).await;
        match round {
            0 => {
                died(&b).await;
                drop(b);
                b = stage.destination("b").await;
            }
            1 => {
                a.suspend().await.expect("suspends");
                a.resume().await.expect("resumes");
            }
            2 => a.set_mode(CopyMode::Asynchronous).await.expect("changes"),
            _ => {
                died(&b).await;
                until(&a, "a loss, or no write that shows it", |status| {
                    status.phase == MirrorPhase::Broken || writer.is_finished()
                })
                .await;
                drop(b);
                b = stage.destination("b").await;
            }
        }
        writer.await.expect("no panic").expect("every write is acknowledged");
        // A mirror that was just tried once more by itself may break again; being told to go on is what an operator does.
        let start = Instant::now();
        while !a.status().await.expect("alive").expect("a mirror").in_sync {
            assert!(start.elapsed() < PATIENCE, "round {round}: {:?}", a.status().await);
            // Another refusal is seen by the next look.
            let _ = a.retry().await;
        }
        stage.assert_identical();
    }
}

#[tokio::test]
async fn applications_may_connect_while_mirrors_come_and_go() {
    let stage = Stage::set().await;
    let (a, _b, export) = stage.in_sync(64 * MIB, CopyMode::Synchronous).await;
    for round in 0..6 {
        let writer = {
            let export = export.clone();
            // Connects at some moment of what follows.
            tokio::spawn(async move {
                for seed in 0..4 {
                    stream(&export, 64 * MIB, 30, round * 10 + seed).await?;
                }
                Ok::<_, String>(())
            })
        };
        if round % 3 == 2 {
            a.stop().await.expect("stops");
            a.start(stage.partner(), Basis::Full(FullReason::Requested), CopyMode::Synchronous)
                .await
                .expect("starts");
        } else {
            a.set_mode(CopyMode::Asynchronous).await.expect("changes");
            a.set_mode(CopyMode::Synchronous).await.expect("changes back");
        }
        writer.await.expect("no panic").expect("every write is acknowledged");
        until_in_sync(&a).await;
        stage.assert_identical();
    }
}

#[tokio::test]
async fn a_broken_mirror_can_be_ended_and_started_anew() {
    let stage = Stage::set().await;
    let (a, b, export) = stage.in_sync(64 * MIB, CopyMode::Synchronous).await;
    died(&b).await;
    drop(b);
    write(&export, 0, MIB, 0x31).await;
    until_broken(&a).await;
    a.stop().await.expect("stops");
    assert_eq!(a.status().await.expect("alive"), None);
    let _b = stage.destination("b").await;
    write(&export, MIB, MIB, 0x32).await;
    a.start(stage.partner(), Basis::Full(FullReason::Requested), CopyMode::Synchronous)
        .await
        .expect("starts");
    until_in_sync(&a).await;
    stage.assert_identical();
    a.suspend().await.expect("suspends");
    a.stop().await.expect("stops while suspended");
    write(&export, 0, MIB, 0x33).await;
}
