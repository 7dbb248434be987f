//! Every kind of job, once for each of its steps with that step failing: nothing may be left behind, and what was there before
//! must be as it was.

use super::apart::{World, apart, directory, mount, settled};
use super::harness::{
    Answer, By, DYNAMIC, FIXED, House, MIB, conversion, new_disk, on, policy, program, to_size,
};
use super::images::{cut, damage};
use cimwright_sdk::MethodOutcome;
use cimwright_sdk::cim::Param;
use std::fs;

/// Plans a call, changes the world, and only then lets the job begin.
async fn after(house: &House, method: &str, params: Vec<Param>, change: impl FnOnce()) -> Answer {
    let planned = house.plan(method, params).await;
    assert!(matches!(planned, MethodOutcome::Job(_)), "{method}: {planned:?}");
    change();
    house.carry_out(house.files(), planned).await
}

/// The steps of a job that was planned: those that the tests below let fail.
fn steps(house: &House, outcome: &MethodOutcome) -> Vec<String> {
    let MethodOutcome::Job(job) = outcome else { panic!("no job: {outcome:?}") };
    house.steps(job)
}

#[tokio::test]
async fn the_steps_are_these() {
    let house = House::new().await;
    let (vhdx, raw, new) = (house.vhdx("a.vhdx"), house.raw("a.raw", MIB), house.path("new.vhd"));
    let fixed = house.fixed_vhd("fixed.vhd");
    for (method, params, expected) in [
        ("CreateVirtualHardDisk", new_disk(&new, DYNAMIC, MIB), &["write", "publish"][..]),
        ("CreateVirtualHardDisk", new_disk(&new, FIXED, MIB), &["write", "allocate", "publish"]),
        ("ConvertVirtualHardDisk", conversion(&vhdx, &new, DYNAMIC), &["verify", "write", "publish"]),
        (
            "ConvertVirtualHardDisk",
            conversion(&vhdx, &new, FIXED),
            &["verify", "write", "allocate", "publish"],
        ),
        ("CompactVirtualHardDisk", on(&vhdx), &["verify", "write", "publish"]),
        ("ResizeVirtualHardDisk", to_size(&vhdx, MIB), &["verify", "room", "write", "publish"]),
        (
            "ResizeVirtualHardDisk",
            to_size(&fixed, 5 * MIB),
            &["verify", "room", "write", "allocate", "publish"],
        ),
        ("ResizeVirtualHardDisk", to_size(&raw, 2 * MIB), &["verify", "room", "resize"]),
        ("ValidateVirtualHardDisk", on(&vhdx), &["verify"]),
    ] {
        let planned = house.plan(method, params).await;
        assert_eq!(steps(&house, &planned), expected, "{method}");
    }
}

/// The step that looks before anything is done, in every kind of job that has it.
#[tokio::test]
async fn verify_fails() {
    let house = House::new().await;
    let pristine = house.vhdx("pristine.vhdx");
    let path = house.path("a.vhdx");
    let calls = [
        ("ValidateVirtualHardDisk", on(&path)),
        ("CompactVirtualHardDisk", on(&path)),
        ("ResizeVirtualHardDisk", to_size(&path, 16 * MIB)),
        ("ConvertVirtualHardDisk", conversion(&path, &house.path("new.vhd"), FIXED)),
    ];
    for (method, params) in calls {
        fs::copy(&pristine, &path).expect("copied");
        let answer = after(&house, method, params, || damage(&path, 0, b"XXXX")).await;
        house.provoked("CWDISK1014", &answer, &path, By::Engine);
    }
}

#[tokio::test]
async fn room_fails() {
    let house = House::new().await;
    for path in [house.vhdx("a.vhdx"), house.raw("a.raw", 8 * MIB)] {
        let answer = house.call("ResizeVirtualHardDisk", to_size(&path, MIB)).await;
        house.provoked("CWDISK1110", &answer, &path, By::Server);
    }
}

#[tokio::test]
async fn publish_fails_because_the_name_is_taken() {
    let house = House::new().await;
    let (source, target) = (house.vhdx("a.vhdx"), house.path("new.vhd"));
    for kind in [DYNAMIC, FIXED] {
        for (method, params) in [
            ("CreateVirtualHardDisk", new_disk(&target, kind, MIB)),
            ("ConvertVirtualHardDisk", conversion(&source, &target, kind)),
        ] {
            let answer = after(&house, method, params, || fs::write(&target, "mine").expect("written")).await;
            house.provoked("CWDISK1103", &answer, &target, By::Server);
            assert_eq!(fs::read(&target).expect("still there"), b"mine");
            fs::remove_file(&target).expect("removed");
        }
    }
}

#[tokio::test]
async fn resize_in_place_fails() {
    let house = House::holding("resize").await;
    let path = house.raw("a.raw", MIB);
    let before = house.files();
    let id = house.begin("ResizeVirtualHardDisk", to_size(&path, 2 * MIB)).await;
    house.held_engine(&path).await.kill();
    let answer = house.ended(before, id).await;
    house.provoked("CWDISK1035", &answer, &path, By::Engine);
}

/// Somebody else makes the disk larger after its end was looked at: nothing of that may be cut off, then or when it is undone.
#[tokio::test]
async fn resize_in_place_finds_another_disk_than_it_has_looked_at() {
    let house = House::holding("compare").await;
    for (name, grown) in [("a.raw", 4 * MIB), ("b.raw", 2 * MIB)] {
        let path = house.raw(name, 0);
        cut(&path, 2 * MIB);
        let id = house.begin("ResizeVirtualHardDisk", to_size(&path, MIB)).await;
        let engine = house.held_engine(&path).await;
        let file = fs::OpenOptions::new().write(true).open(&path).expect("the disk");
        file.set_len(grown).expect("grown");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("written at another time");
        let before = house.files();
        engine.go_on();
        let answer = house.ended(before, id).await;
        house.provoked("CWDISK1040", &answer, &path, By::Server);
        assert_eq!(fs::metadata(&path).expect("still there").len(), grown);
    }
}

/// 10 MiB of space: first too little for the content, then for the promise of a fixed disk; and in the end the name cannot be taken.
#[test]
fn write_allocate_and_publish_fail() {
    apart(World::Mounts, "failing_steps::write_allocate_and_publish_fail", async |scratch| {
        let root = directory(&scratch, "root");
        let small = directory(&root, "small");
        mount(&["-t", "tmpfs", "-o", "size=10m", "tmpfs", small.to_str().expect("text")]);
        let house = House::at(&root, policy(program())).await;
        let (source, target) = (house.image("source.raw", "", 16 * MIB), house.path("small/new.raw"));
        let mut calls = vec![
            ("CreateVirtualHardDisk", new_disk(&target, FIXED, 16 * MIB)),
            ("ConvertVirtualHardDisk", conversion(&source, &target, FIXED)),
        ];
        for (method, params) in calls.drain(..) {
            settled(&small).await;
            let answer = house.call(method, params).await;
            house.provoked("CWDISK1005", &answer, &target, By::Engine);
        }
        settled(&small).await;
        let answer = house.call("ConvertVirtualHardDisk", conversion(&source, &target, DYNAMIC)).await;
        house.provoked("CWDISK1004", &answer, &target, By::Engine);

        // The image and its copy do not fit together.
        settled(&small).await;
        let path = house.image("small/a.vhd", "force_size=on", 8 * MIB);
        for (method, params) in
            [("CompactVirtualHardDisk", on(&path)), ("ResizeVirtualHardDisk", to_size(&path, 16 * MIB))]
        {
            settled(&small).await;
            let answer = house.call(method, params).await;
            house.provoked("CWDISK1004", &answer, &path, By::Engine);
        }
        fs::remove_file(&path).expect("removed");
        // The copy is written as holes; its promise does not fit.
        let fixed = house.raw("empty.raw", 0);
        cut(&fixed, 4 * MIB);
        let path = house.path("small/a.vhd");
        settled(&small).await;
        house.call("ConvertVirtualHardDisk", conversion(&fixed, &path, FIXED)).await.completed();
        settled(&small).await;
        let answer = house.call("ResizeVirtualHardDisk", to_size(&path, 10 * MIB)).await;
        house.provoked("CWDISK1005", &answer, &path, By::Server);

        // What something is mounted on keeps its name.
        for (name, calls) in [
            ("d.vhdx", &["CompactVirtualHardDisk", "ResizeVirtualHardDisk"][..]),
            ("f.vhd", &["ResizeVirtualHardDisk"]),
        ] {
            let path = if name == "f.vhd" { house.fixed_vhd(name) } else { house.vhdx(name) };
            mount(&["--bind", &path, &path]);
            for method in calls {
                let params =
                    if *method == "CompactVirtualHardDisk" { on(&path) } else { to_size(&path, 9 * MIB) };
                let answer = house.call(method, params).await;
                house.provoked("CWDISK1039", &answer, &path, By::Server);
            }
        }
    });
}
