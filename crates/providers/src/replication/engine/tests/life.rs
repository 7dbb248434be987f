//! What works when nothing goes wrong.

use std::time::{Duration, Instant};

use super::super::*;
use super::support::*;

#[tokio::test]
async fn a_full_synchronisation_makes_both_sides_identical() {
    let stage = Stage::set().await;
    stage.volumes(256 * MIB);
    let (a, b) = (stage.open("a").await, stage.destination("b").await);
    assert_eq!((a.role().await, b.role().await), (Role::Idle, Role::Destination));
    let started = Instant::now();
    a.start(stage.partner(), Basis::Full(FullReason::NeverSynchronised), CopyMode::Asynchronous)
        .await
        .expect("starts");
    assert_eq!(a.role().await, Role::Source);
    let status = until_in_sync(&a).await;
    let took = started.elapsed();
    println!("256 MiB, half of it zeros, in {took:?}");
    assert_eq!(status.phase, MirrorPhase::Following);
    assert_eq!((status.remaining_bytes, status.failure), (0, None));
    a.finish(PATIENCE).await.expect("finishes");
    assert_eq!(a.status().await.expect("alive"), None);
    stage.assert_identical();
}

#[tokio::test]
async fn a_synchronous_write_is_on_both_sides_when_it_is_acknowledged() {
    let stage = Stage::set().await;
    let (a, _b, export) = stage.in_sync(64 * MIB, CopyMode::Synchronous).await;
    assert_eq!(a.status().await.expect("alive").expect("a mirror").mode_in_force, CopyMode::Synchronous);
    for number in 0..8u8 {
        let offset = u64::from(number) * 7 * MIB + 4096;
        write(&export, offset, 65536, number + 1).await;
        assert!(has(&stage.path("b"), offset, 65536, number + 1), "write {number} is only here");
    }
    until_in_sync(&a).await;
    stage.assert_identical();
}

#[tokio::test]
async fn after_a_pause_only_the_difference_is_sent() {
    for mode in [CopyMode::Asynchronous, CopyMode::Synchronous] {
        let stage = Stage::set().await;
        let (a, _b, export) = stage.in_sync(64 * MIB, mode).await;
        let before = a.status().await.expect("alive").expect("a mirror");
        a.suspend().await.expect("suspends");
        a.suspend().await.expect("is suspended already");
        write(&export, 5 * MIB, MIB, 0xa1).await;
        write(&export, 50 * MIB, 2 * MIB, 0xa2).await;
        let suspended = until(&a, "what is missing", |status| status.remaining_bytes >= 3 * MIB).await;
        assert_eq!((suspended.phase, suspended.in_sync), (MirrorPhase::Suspended, false));
        assert_eq!(suspended.failure, None);
        assert!(!has(&stage.path("b"), 5 * MIB, MIB, 0xa1), "{mode:?}: it was sent during the pause");
        let resumed = Instant::now();
        a.resume().await.expect("resumes");
        let after = until_in_sync(&a).await;
        println!("{mode:?}: 3 MiB brought over in {:?}", resumed.elapsed());
        let sent = after.done_bytes - before.done_bytes;
        assert!((3 * MIB..4 * MIB).contains(&sent), "{mode:?}: {sent} bytes were sent");
        stage.assert_identical();
        assert!(a.resume().await.is_err(), "it is not suspended any more");
        write(&export, 9 * MIB, MIB, 0xa3).await;
        until_in_sync(&a).await;
        stage.assert_identical();
    }
}

#[tokio::test]
async fn a_mirror_can_be_suspended_while_it_copies_for_the_first_time() {
    let stage = Stage::set().await;
    stage.volumes(256 * MIB);
    let (a, _b) = (stage.open("a").await, stage.destination("b").await);
    a.start(stage.partner(), Basis::Full(FullReason::Requested), CopyMode::Synchronous)
        .await
        .expect("starts");
    a.suspend().await.expect("suspends");
    let status = a.status().await.expect("alive").expect("a mirror");
    assert_eq!(status.phase, MirrorPhase::Suspended);
    assert!(a.finish(PATIENCE).await.is_err(), "it cannot finish like this");
    a.resume().await.expect("resumes");
    until_in_sync(&a).await;
    stage.assert_identical();
}

#[tokio::test]
async fn the_mode_can_be_changed_both_ways_under_a_writer() {
    let stage = Stage::set().await;
    let (a, _b, export) = stage.in_sync(64 * MIB, CopyMode::Asynchronous).await;
    let writer = {
        let export = export.clone();
        tokio::spawn(async move {
            for seed in 0..4 {
                stream(&export, 64 * MIB, 400, seed).await.expect("written");
            }
        })
    };
    let mut changes = 0;
    while !writer.is_finished() || changes < 3 {
        changes += 1;
        a.set_mode(CopyMode::Synchronous).await.expect("changes");
        until_in_sync(&a).await;
        a.set_mode(CopyMode::Asynchronous).await.expect("changes back");
        let status = a.status().await.expect("alive").expect("a mirror");
        assert_eq!((status.mode_in_force, status.failure), (CopyMode::Asynchronous, None));
    }
    writer.await.expect("writes");
    until_in_sync(&a).await;
    stage.assert_identical();
    println!("changed both ways {changes} times");
}

#[tokio::test]
async fn the_direction_can_be_switched() {
    let stage = Stage::set().await;
    let (a, b, export) = stage.in_sync(64 * MIB, CopyMode::Synchronous).await;
    write(&export, 0, MIB, 0xb1).await;
    assert!(
        matches!(a.finish(PATIENCE).await, Err(ReplicationError::WrongState { .. })),
        "applications could still write"
    );
    let started = Instant::now();
    a.unexport(false).await.expect("no application is connected");
    a.finish(PATIENCE).await.expect("finishes");
    b.stop_receiving().await.expect("stops");
    a.receive(&stage.listen()).await.expect("listens");
    b.start(stage.partner(), Basis::Identical, CopyMode::Synchronous).await.expect("starts");
    let export = b.export().await.expect("offered");
    until_in_sync(&b).await;
    println!("switched in {:?}", started.elapsed());
    assert_eq!((a.role().await, b.role().await), (Role::Destination, Role::Source));
    write(&export, 60 * MIB, MIB, 0xb2).await;
    assert!(has(&stage.path("a"), 60 * MIB, MIB, 0xb2));
    let status = until_in_sync(&b).await;
    assert!(status.done_bytes <= 2 * MIB, "only what was written is sent, not {} bytes", status.done_bytes);
    stage.assert_identical();
}

#[tokio::test]
async fn sides_that_were_ended_in_order_need_no_copy() {
    let stage = Stage::set().await;
    let (a, b, export) = stage.in_sync(64 * MIB, CopyMode::Asynchronous).await;
    let markers = [SyncMarker::new(stage.path("a.sync")), SyncMarker::new(stage.path("b.sync"))];
    for marker in &markers {
        marker.break_seal().expect("broken");
    }
    write(&export, MIB, MIB, 0xc1).await;
    a.unexport(true).await.expect("ends");
    a.finish(PATIENCE).await.expect("finishes");
    b.stop_receiving().await.expect("stops");
    assert_eq!(a.close().await.status, crate::disk::engine::EngineStatus::Exited(0));
    b.close().await;
    let volumes = ["a", "b"].map(|name| Volume::open(stage.path(name)).expect("opens"));
    for (marker, volume) in markers.iter().zip(&volumes) {
        marker.seal("this time", volume).expect("sealed");
    }

    let start = basis(&markers[0].standing(&volumes[0]), &markers[1].standing(&volumes[1]));
    assert_eq!(start, Basis::Identical);
    let (a, _b) = (stage.open("a").await, stage.destination("b").await);
    a.start(stage.partner(), start, CopyMode::Asynchronous).await.expect("starts");
    let export = a.export().await.expect("offered");
    write(&export, 3 * MIB, MIB, 0xc2).await;
    let status = until_in_sync(&a).await;
    assert!(status.done_bytes <= 2 * MIB, "{} bytes were sent", status.done_bytes);
    stage.assert_identical();
}

#[tokio::test]
async fn applications_are_a_reason_not_to_end_the_export() {
    let stage = Stage::set().await;
    let (a, _b, export) = stage.in_sync(64 * MIB, CopyMode::Asynchronous).await;
    let mut client = std::os::unix::net::UnixStream::connect(&export.socket).expect("connects");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    negotiate(&mut client);
    assert!(matches!(a.unexport(false).await, Err(ReplicationError::ExportInUse)));
    a.unexport(true).await.expect("they are cut off");
    a.unexport(true).await.expect("nothing is offered any more");
    assert_eq!(std::io::Read::read(&mut client, &mut [0; 8]).unwrap_or(0), 0, "the client was cut off");
    a.export().await.expect("offered again");
}

/// The first steps of an NBD client: it chooses the export and has it in use from then on.
fn negotiate(client: &mut std::os::unix::net::UnixStream) {
    use std::io::{Read, Write};
    let mut greeting = [0; 18];
    client.read_exact(&mut greeting).expect("greets");
    // Fixed newstyle, no zeroes; then NBD_OPT_EXPORT_NAME.
    let mut choice = 3u32.to_be_bytes().to_vec();
    choice.extend(b"IHAVEOPT");
    choice.extend(1u32.to_be_bytes());
    choice.extend(6u32.to_be_bytes());
    choice.extend(b"volume");
    client.write_all(&choice).expect("chosen");
    client.read_exact(&mut [0; 10]).expect("size and flags");
}
