//! Files that are not there, are no files, or may not be touched.

use super::apart::{World, apart, directory, is_root, mount, skip};
use super::harness::{
    By, DYNAMIC, FIXED, House, MIB, conversion, new_disk, on, policy, program, set_mode, to_size,
};
use cimwright_providers::disk::engine::EnginePolicy;
use cimwright_sdk::MethodOutcome;
use std::fs;
use std::process::Command;

#[tokio::test]
async fn an_image_that_is_not_there() {
    let house = House::new().await;
    let path = house.path("missing.vhdx");
    for (method, params) in [
        ("ValidateVirtualHardDisk", on(&path)),
        ("CompactVirtualHardDisk", on(&path)),
        ("ResizeVirtualHardDisk", to_size(&path, MIB)),
        ("ConvertVirtualHardDisk", conversion(&path, &house.path("new.vhd"), FIXED)),
        ("GetVirtualHardDiskState", on(&path)),
    ] {
        let answer = house.call(method, params).await;
        house.refused("CWDISK1001", &answer, &path);
    }
}

#[tokio::test]
async fn an_image_that_vanishes_before_its_turn() {
    let house = House::new().await;
    let path = house.vhd("a.vhd");
    let planned =
        house.plan("ConvertVirtualHardDisk", conversion(&path, &house.path("b.vhdx"), DYNAMIC)).await;
    fs::remove_file(&path).expect("removed");
    let answer = house.carry_out(house.files(), planned).await;
    house.provoked("CWDISK1001", &answer, &path, By::Server);
}

#[tokio::test]
async fn an_image_that_vanishes_under_the_engine() {
    let house = House::holding("convert").await;
    let path = house.vhdx("a.vhdx");
    let id = house.begin("ConvertVirtualHardDisk", conversion(&path, &house.path("b.vhd"), DYNAMIC)).await;
    let engine = house.held_engine(&house.path("")).await;
    fs::remove_file(&path).expect("removed");
    let before = house.finished_files();
    engine.go_on();
    let answer = house.ended(before, id).await;
    house.provoked("CWDISK1001", &answer, &path, By::Engine);
}

#[tokio::test]
async fn a_directory_that_is_not_there() {
    let house = House::new().await;
    let path = house.path("nowhere/a.vhdx");
    for params in [new_disk(&path, DYNAMIC, MIB), new_disk(&path, FIXED, MIB)] {
        let answer = house.call("CreateVirtualHardDisk", params).await;
        house.refused("CWDISK1002", &answer, &path);
    }
    fs::write(house.root.join("file"), "").expect("file");
    let path = house.path("file/a.vhdx");
    let answer = house.call("ValidateVirtualHardDisk", on(&path)).await;
    house.refused("CWDISK1002", &answer, &path);
}

#[tokio::test]
async fn a_directory_that_vanishes_under_the_engine() {
    let house = House::holding("create").await;
    let before = house.files();
    fs::create_dir(house.root.join("gone")).expect("directory");
    let path = house.path("gone/a.vhdx");
    let id = house.begin("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB)).await;
    let engine = house.held_engine(&house.path("gone")).await;
    fs::remove_dir_all(house.root.join("gone")).expect("removed");
    engine.go_on();
    let answer = house.ended(before, id).await;
    house.provoked("CWDISK1002", &answer, &path, By::Engine);
}

#[tokio::test]
async fn something_that_is_no_file() {
    let house = House::new().await;
    fs::create_dir(house.root.join("directory.vhdx")).expect("directory");
    fs::write(house.root.join("real.vhdx"), "").expect("file");
    std::os::unix::fs::symlink("real.vhdx", house.root.join("link.vhdx")).expect("link");
    let made = Command::new("mkfifo").arg(house.root.join("pipe.vhdx")).status();
    assert!(made.is_ok_and(|status| status.success()), "a pipe is made");
    for name in ["directory.vhdx", "link.vhdx", "pipe.vhdx"] {
        let path = house.path(name);
        let answer = house.call("ValidateVirtualHardDisk", on(&path)).await;
        house.refused("CWDISK1003", &answer, &path);
    }
}

#[tokio::test]
async fn an_image_that_the_engines_user_may_not_read() {
    if !is_root() {
        return skip("access::an_image_that_the_engines_user_may_not_read", "only root changes users");
    }
    let house = House::with_engine(EnginePolicy { user: Some((65533, 65533)), ..policy(program()) }).await;
    let path = house.vhdx("a.vhdx");
    set_mode(&path, 0o600);
    let answer = house.call("ConvertVirtualHardDisk", conversion(&path, &house.path("b.vhd"), DYNAMIC)).await;
    house.provoked("CWDISK1008", &answer, &path, By::Engine);
    // With the right to it everything works, and what the engine's user wrote appears like any other image.
    set_mode(&path, 0o644);
    let answer = house.call("ConvertVirtualHardDisk", conversion(&path, &house.path("b.vhd"), DYNAMIC)).await;
    answer.completed();
}

#[test]
fn places_that_a_user_has_no_right_to() {
    apart(World::NoPrivileges, "access::places_that_a_user_has_no_right_to", async |scratch| {
        let house = House::at(&directory(&scratch, "root"), policy(program())).await;
        let path = house.vhdx("secret.vhdx");
        set_mode(&path, 0o000);
        let answer = house.call("ValidateVirtualHardDisk", on(&path)).await;
        house.refused("CWDISK1008", &answer, &path);

        // Reading is allowed, writing is not: in place, and beside.
        let image = house.raw("fixed.raw", MIB);
        set_mode(&image, 0o444);
        let answer = house.call("ResizeVirtualHardDisk", to_size(&image, 2 * MIB)).await;
        house.provoked("CWDISK1009", &answer, &image, By::Server);
        let closed = directory(&house.root, "closed");
        let image = house.vhdx("closed/a.vhdx");
        set_mode(&closed, 0o555);
        let path = house.path("closed/new.vhdx");
        let answer = house.call("CreateVirtualHardDisk", new_disk(&path, FIXED, MIB)).await;
        house.provoked("CWDISK1009", &answer, &path, By::Server);
        let answer = house.call("CompactVirtualHardDisk", on(&image)).await;
        house.provoked("CWDISK1009", &answer, &image, By::Server);
        set_mode(&closed, 0o000);
        let answer = house.call("CreateVirtualHardDisk", new_disk(&path, FIXED, MIB)).await;
        house.refused("CWDISK1009", &answer, &path);
        set_mode(&closed, 0o755);
    });
}

/// Takes the attribute away again, or the scratch directory could not be removed.
struct Immutable(String);

impl Immutable {
    fn set(path: &str) -> Option<Self> {
        let set = Command::new("chattr").args(["+i", path]).output();
        set.is_ok_and(|output| output.status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args(["-i", &self.0]).output();
    }
}

#[tokio::test]
async fn files_and_directories_with_the_immutable_attribute() {
    let test = "access::files_and_directories_with_the_immutable_attribute";
    let house = House::new().await;
    fs::create_dir(house.root.join("frozen")).expect("directory");
    let (raw, vhdx) = (house.raw("a.raw", MIB), house.vhdx("a.vhdx"));
    let Some(directory) = Immutable::set(&house.path("frozen")) else {
        return skip(test, "the attribute cannot be set here");
    };
    let path = house.path("frozen/new.vhdx");
    let answer = house.call("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB)).await;
    house.provoked("CWDISK1010", &answer, &path, By::Server);
    drop(directory);

    let (_raw, _vhdx) = (Immutable::set(&raw), Immutable::set(&vhdx));
    let answer = house.call("ResizeVirtualHardDisk", to_size(&raw, 2 * MIB)).await;
    house.provoked("CWDISK1010", &answer, &raw, By::Server);
    // The whole copy is made; only taking the place of the image is forbidden.
    let answer = house.call("CompactVirtualHardDisk", on(&vhdx)).await;
    house.provoked("CWDISK1010", &answer, &vhdx, By::Server);
}

#[test]
fn a_file_system_that_is_mounted_read_only() {
    apart(World::Mounts, "access::a_file_system_that_is_mounted_read_only", async |scratch| {
        let root = directory(&scratch, "root");
        let house = House::at(&root, policy(program())).await;
        let frozen = directory(&root, "frozen");
        let raw = house.raw("frozen/a.raw", MIB);
        let frozen = frozen.to_str().expect("text");
        mount(&["--bind", frozen, frozen]);
        mount(&["-o", "remount,ro,bind", frozen]);
        let path = house.path("frozen/new.vhdx");
        for params in [new_disk(&path, DYNAMIC, MIB), new_disk(&path, FIXED, MIB)] {
            let answer = house.call("CreateVirtualHardDisk", params).await;
            house.provoked("CWDISK1011", &answer, &path, By::Server);
        }
        let answer = house.call("ResizeVirtualHardDisk", to_size(&raw, 2 * MIB)).await;
        house.provoked("CWDISK1011", &answer, &raw, By::Server);
    });
}

/// A server that may not change users finds out before anything is written.
#[test]
fn an_engine_user_that_the_server_cannot_become() {
    apart(World::NoPrivileges, "access::an_engine_user_that_the_server_cannot_become", async |scratch| {
        let policy = EnginePolicy { user: Some((65533, 65533)), ..policy(program()) };
        let house = House::at(&directory(&scratch, "root"), policy).await;
        let (source, path) = (house.raw("a.raw", MIB), house.path("b.vhdx"));
        let answer = house.call("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB)).await;
        house.provoked("CWDISK1202", &answer, &path, By::Server);
        let answer = house.call("ConvertVirtualHardDisk", conversion(&source, &path, DYNAMIC)).await;
        house.provoked("CWDISK1202", &answer, &source, By::Server);
        assert!(matches!(
            house.plan("CompactVirtualHardDisk", on(&source)).await,
            MethodOutcome::Refused { .. }
        ));
    });
}
