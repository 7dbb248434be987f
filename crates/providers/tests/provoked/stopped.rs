//! Jobs that a client stops, kills, suspends: in every step that allows it, and without anything left behind.

use super::harness::{DYNAMIC, FIXED, House, MIB, conversion, new_disk, on, to_size};
use super::images::{assert_same_content, virtual_size};
use cimwright_sdk::cim::Param;
use cimwright_sdk::jobs::{ChangeOutcome, JobState, RequestedState};

/// Starts a job whose engine stands still at the beginning of `command`, ends it there, and looks whether anything is left.
async fn ended_at(house: &House, step: &str, method: &str, params: Vec<Param>, wanted: RequestedState) {
    let before = house.files();
    let id = house.begin(method, params).await;
    house.held_engine(&house.path("")).await;
    let running = house.until(id, step, |record| record.run.steps.len() < 5).await;
    assert!(running.is_cancellable(), "{method} at {step}: {:?}", running.run);
    assert_eq!(house.change(id, wanted).await, ChangeOutcome::Done, "{method} at {step}");
    let record = house.until(id, "the end", |record| record.run.state.is_finished()).await;
    let (state, message) = match wanted {
        RequestedState::Kill => (JobState::Killed, "CWJOB1002"),
        _ => (JobState::Terminated, "CWJOB1001"),
    };
    assert_eq!(record.run.state, state, "{method} at {step}");
    let ids: Vec<_> = record.reported_errors().iter().map(|e| e.message_id.as_str()).collect();
    assert_eq!(ids, [message], "{method} at {step}: stopped in order, and undone without trouble");
    assert_eq!(house.files(), before, "{method} at {step}");
    house.no_engine_works().await;
}

#[tokio::test]
async fn a_job_can_be_ended_in_every_step_that_an_engine_works_in() {
    for wanted in [RequestedState::Terminate, RequestedState::Kill] {
        let house = House::holding("check").await;
        let (vhdx, qcow2, new) = (house.vhdx("a.vhdx"), house.qcow2("a.qcow2"), house.path("new.vhd"));
        for (method, params) in [
            ("ValidateVirtualHardDisk", on(&qcow2)),
            ("CompactVirtualHardDisk", on(&vhdx)),
            ("ResizeVirtualHardDisk", to_size(&vhdx, 16 * MIB)),
            ("ConvertVirtualHardDisk", conversion(&vhdx, &new, FIXED)),
        ] {
            ended_at(&house, "verify", method, params, wanted).await;
        }

        let house = House::holding("compare").await;
        let vhdx = house.vhdx("a.vhdx");
        ended_at(&house, "room", "ResizeVirtualHardDisk", to_size(&vhdx, 4 * MIB), wanted).await;

        let house = House::holding("convert").await;
        let (vhdx, new) = (house.vhdx("a.vhdx"), house.path("new.vhd"));
        for (method, params) in [
            ("CompactVirtualHardDisk", on(&vhdx)),
            ("ResizeVirtualHardDisk", to_size(&vhdx, 16 * MIB)),
            ("ConvertVirtualHardDisk", conversion(&vhdx, &new, FIXED)),
        ] {
            ended_at(&house, "write", method, params, wanted).await;
        }

        let house = House::holding("create").await;
        let (vhdx, new) = (house.vhdx("a.vhdx"), house.path("new.vhd"));
        ended_at(&house, "write", "CreateVirtualHardDisk", new_disk(&new, FIXED, MIB), wanted).await;
        ended_at(&house, "write", "CreateVirtualFloppyDisk", on(&house.path("a.vfd")), wanted).await;
        ended_at(&house, "write", "ResizeVirtualHardDisk", to_size(&vhdx, 16 * MIB), wanted).await;
    }
}

/// In the middle of the content, with the real progress of the engine.
#[tokio::test]
async fn a_conversion_is_ended_halfway() {
    for wanted in [RequestedState::Terminate, RequestedState::Kill] {
        let house = House::slow("2M").await;
        let (source, target) = (house.vhdx("a.vhdx"), house.path("b.vhd"));
        let before = house.files();
        let id = house.begin("ConvertVirtualHardDisk", conversion(&source, &target, FIXED)).await;
        let running = house.until(id, "some progress", |record| record.run.progress.done > 0).await;
        assert_eq!(running.run.progress.total, 8 * MIB);
        assert!((1..100).contains(&running.percent_complete()), "{:?}", running.run.progress);
        assert!(house.files().len() > before.len(), "the unfinished file is there");
        assert_eq!(house.change(id, wanted).await, ChangeOutcome::Done);
        let record = house.until(id, "the end", |record| record.run.state.is_finished()).await;
        assert!(!record.reported_errors().is_empty() && record.percent_complete() < 100);
        assert_eq!(house.files(), before);
    }
}

#[tokio::test]
async fn a_suspended_conversion_stands_still_and_then_goes_on() {
    let house = House::slow("4M").await;
    let (source, target) = (house.vhdx("a.vhdx"), house.path("b.qcow2"));
    let id = house.begin("ConvertVirtualHardDisk", conversion(&source, &target, DYNAMIC)).await;
    house.until(id, "some progress", |record| record.run.progress.done > 0).await;
    for _ in 0..2 {
        assert_eq!(house.change(id, RequestedState::Suspend).await, ChangeOutcome::Done);
        let suspended = house.until(id, "rest", |record| record.run.state == JobState::Suspended).await;
        let files = house.files();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let later = house.jobs.load(id).await.expect("readable").expect("there");
        assert_eq!(later.run.progress, suspended.run.progress, "no progress while suspended");
        assert_eq!(house.files(), files, "nothing is written while suspended");
        assert_eq!(house.change(id, RequestedState::Start).await, ChangeOutcome::Done);
    }
    let done = house.until(id, "the end", |record| record.run.state.is_finished()).await;
    assert_eq!(done.run.state, JobState::Completed, "{:?}", done.run);
    assert_same_content(&source, &target);
    assert_eq!(virtual_size(&target), 8 * MIB);
}

/// A suspended job is ended without being woken up first.
#[tokio::test]
async fn a_suspended_job_is_terminated() {
    let house = House::slow("2M").await;
    let path = house.vhdx("a.vhdx");
    let before = house.files();
    let id = house.begin("CompactVirtualHardDisk", on(&path)).await;
    house.until(id, "some progress", |record| record.run.progress.done > 0).await;
    assert_eq!(house.change(id, RequestedState::Suspend).await, ChangeOutcome::Done);
    assert_eq!(house.change(id, RequestedState::Terminate).await, ChangeOutcome::Done);
    house.until(id, "the end", |record| record.run.state == JobState::Terminated).await;
    assert_eq!(house.files(), before);
}

/// What cannot be undone halfway is not stopped halfway.
#[tokio::test]
async fn resizing_in_place_is_not_cancellable() {
    let house = House::holding("resize").await;
    let path = house.qcow2("a.qcow2");
    let id = house.begin("ResizeVirtualHardDisk", to_size(&path, 16 * MIB)).await;
    let engine = house.held_engine(&path).await;
    let running = house.until(id, "the last step", |record| record.run.steps.len() == 2).await;
    assert!(!running.is_cancellable());
    for wanted in [RequestedState::Terminate, RequestedState::Kill] {
        assert!(matches!(house.change(id, wanted).await, ChangeOutcome::Refused(_)));
    }
    engine.go_on();
    let done = house.until(id, "the end", |record| record.run.state.is_finished()).await;
    assert_eq!(done.run.state, JobState::Completed);
    assert_eq!(virtual_size(&path), 16 * MIB);
}
