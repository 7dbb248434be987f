//! Images that other programs use, change or replace.

use super::harness::{By, DYNAMIC, House, MIB, conversion, on, to_size};
use super::images::{assert_same_content, qemu_io, virtual_size};
use cimwright_sdk::jobs::{ChangeOutcome, JobState, RequestedState};
use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};

/// qemu-io with an image open, until this goes away.
struct User(Child);

impl User {
    fn of(path: &str, format: &str, reading: bool) -> Self {
        let mut command = qemu_io();
        command.args(["-f", format]).args(reading.then_some("-r")).arg(path);
        let mut user =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("qemu-io is installed");
        // It prompts once it has opened the image.
        let prompt = user.stdout.as_mut().expect("piped").read(&mut [0; 16]);
        assert!(prompt.is_ok_and(|bytes| bytes > 0), "qemu-io opened {path}");
        Self(user)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn an_image_that_is_being_read_cannot_be_changed() {
    let house = House::new().await;
    let path = house.qcow2("a.qcow2");
    let user = User::of(&path, "qcow2", true);
    let answer = house.call("ResizeVirtualHardDisk", to_size(&path, 16 * MIB)).await;
    house.provoked("CWDISK1012", &answer, &path, By::Engine);
    // Reading together is fine.
    house.call("ValidateVirtualHardDisk", on(&path)).await.completed();
    drop(user);
    house.call("ResizeVirtualHardDisk", to_size(&path, 16 * MIB)).await.completed();
    assert_eq!(virtual_size(&path), 16 * MIB);
}

#[tokio::test]
async fn an_image_that_is_being_written_cannot_be_read() {
    let house = House::new().await;
    let target = house.path("new.raw");
    for (path, format) in
        [(house.vhdx("a.vhdx"), "vhdx"), (house.qcow2("a.qcow2"), "qcow2"), (house.vhd("a.vhd"), "vpc")]
    {
        let user = User::of(&path, format, false);
        let answer = house.call("ValidateVirtualHardDisk", on(&path)).await;
        house.provoked("CWDISK1013", &answer, &path, By::Engine);
        let answer = house.call("ConvertVirtualHardDisk", conversion(&path, &target, DYNAMIC)).await;
        house.provoked("CWDISK1013", &answer, &path, By::Engine);
        let answer = house.call("CompactVirtualHardDisk", on(&path)).await;
        house.provoked("CWDISK1013", &answer, &path, By::Engine);
        // Looking is allowed, and tells that the image is in use.
        let state = house.call("GetVirtualHardDiskState", on(&path)).await;
        assert_eq!(state.instance().get("InUse").and_then(|v| v.as_bool()), Some(true), "{format}");
        drop(user);
        house.call("ValidateVirtualHardDisk", on(&path)).await.completed();
    }
}

/// Everything that takes the place of an image must be sure that it is still the image it was made from.
#[tokio::test]
async fn an_image_that_is_replaced_while_it_is_compacted() {
    let house = House::slow("4M").await;
    let path = house.vhdx("a.vhdx");
    let id = house.begin("CompactVirtualHardDisk", on(&path)).await;
    house.until(id, "some progress", |record| record.run.progress.done > 0).await;
    assert_eq!(house.change(id, RequestedState::Suspend).await, ChangeOutcome::Done);
    let other = house.image("b.vhdx", "", MIB);
    fs::copy(&other, house.root.join("same.vhdx")).expect("copied");
    fs::rename(&other, &path).expect("replaced");
    let before = house.finished_files();
    assert_eq!(house.change(id, RequestedState::Start).await, ChangeOutcome::Done);
    let answer = house.ended(before, id).await;
    house.provoked("CWDISK1040", &answer, &path, By::Server);
    assert_same_content(&path, &house.path("same.vhdx"));
}

#[tokio::test]
async fn an_unfinished_file_that_somebody_removes() {
    let house = House::slow("4M").await;
    let (source, target) = (house.vhdx("a.vhdx"), house.path("b.vhdx"));
    let before = house.files();
    let id = house.begin("ConvertVirtualHardDisk", conversion(&source, &target, DYNAMIC)).await;
    house.until(id, "some progress", |record| record.run.progress.done > 0).await;
    let (unfinished, _) = house.files().pop_first().expect("the unfinished file");
    assert!(unfinished.to_str().is_some_and(|name| name.ends_with(".cwpart")), "{unfinished:?}");
    fs::remove_file(unfinished).expect("removed");
    let answer = house.ended(before, id).await;
    house.provoked("CWDISK1040", &answer, &target, By::Server);
}

#[tokio::test]
async fn a_target_that_appears_meanwhile() {
    let house = House::slow("4M").await;
    let (source, target) = (house.vhdx("a.vhdx"), house.path("b.vhdx"));
    let id = house.begin("ConvertVirtualHardDisk", conversion(&source, &target, DYNAMIC)).await;
    house.until(id, "some progress", |record| record.run.progress.done > 0).await;
    fs::write(&target, "mine").expect("written");
    let before = house.finished_files();
    let answer = house.ended(before, id).await;
    house.provoked("CWDISK1103", &answer, &target, By::Server);
    assert_eq!(answer.job.as_ref().map(|job| job.run.state), Some(JobState::Exception));
    assert_eq!(fs::read(&target).expect("still there"), b"mine");
}
