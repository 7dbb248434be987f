//! File systems that are full, small or odd.

use super::apart::{World, apart, directory, mount, settled};
use super::harness::{By, DYNAMIC, FIXED, House, MIB, conversion, new_disk, on, policy, program, to_size};
use super::images::{assert_same_content, cut, qemu_img, qemu_io};
use std::fs;

/// A house whose directory `small` has 4 MiB of space.
async fn cramped(scratch: &std::path::Path) -> House {
    let root = directory(scratch, "root");
    let small = directory(&root, "small");
    mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs", small.to_str().expect("text")]);
    House::at(&root, policy(program())).await
}

#[test]
fn a_file_system_that_becomes_full_while_it_is_written() {
    apart(World::Mounts, "space::a_file_system_that_becomes_full_while_it_is_written", async |scratch| {
        let house = cramped(&scratch).await;
        let source = house.vhdx("a.vhdx");
        for name in ["small/b.vhdx", "small/b.vhd", "small/b.qcow2", "small/b.raw"] {
            let target = house.path(name);
            let answer = house.call("ConvertVirtualHardDisk", conversion(&source, &target, DYNAMIC)).await;
            house.provoked("CWDISK1004", &answer, &target, By::Engine);
        }
        // Something small still fits, as soon as the kernel has let go of what was removed.
        settled(&house.root.join("small")).await;
        let target = house.path("small/c.qcow2");
        house.call("CreateVirtualHardDisk", new_disk(&target, DYNAMIC, 64 * MIB)).await.completed();
    });
}

/// Not even an empty image fits, and the formats say so in very different words.
#[test]
fn a_file_system_that_is_full_already() {
    apart(World::Mounts, "space::a_file_system_that_is_full_already", async |scratch| {
        let house = cramped(&scratch).await;
        let source = house.raw("a.raw", MIB);
        // Writing ends at the last free byte.
        assert!(fs::write(house.root.join("small/rest"), vec![1; 5 << 20]).is_err());
        for name in ["small/b.vhd", "small/b.vhdx", "small/b.qcow2"] {
            let path = house.path(name);
            for (method, params) in [
                ("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB)),
                ("ConvertVirtualHardDisk", conversion(&source, &path, DYNAMIC)),
            ] {
                let answer = house.call(method, params).await;
                house.provoked("CWDISK1004", &answer, &path, By::Engine);
            }
        }
        // Not even an empty file can be made.
        let tiny = directory(&house.root, "tiny");
        mount(&["-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", tiny.to_str().expect("text")]);
        let path = house.path("tiny/c.vhdx");
        let answer = house.call("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB)).await;
        house.provoked("CWDISK1004", &answer, &path, By::Server);
    });
}

#[test]
fn a_file_system_without_room_for_a_whole_fixed_disk() {
    apart(World::Mounts, "space::a_file_system_without_room_for_a_whole_fixed_disk", async |scratch| {
        let house = cramped(&scratch).await;
        // A raw disk is reserved by the engine, the others by the server once they are laid out.
        for (name, by) in
            [("small/a.vhd", By::Server), ("small/a.vhdx", By::Server), ("small/a.raw", By::Engine)]
        {
            let path = house.path(name);
            let answer = house.call("CreateVirtualHardDisk", new_disk(&path, FIXED, 8 * MIB)).await;
            house.provoked("CWDISK1005", &answer, &path, by);
        }
        // The content fits, the promise does not.
        let source = house.image("few.vhdx", "", MIB);
        let source_raw = house.raw("few.raw", MIB);
        cut(&source_raw, 8 * MIB);
        let target = house.path("small/b.vhd");
        let answer = house.call("ConvertVirtualHardDisk", conversion(&source_raw, &target, FIXED)).await;
        house.provoked("CWDISK1005", &answer, &target, By::Server);
        settled(&house.root.join("small")).await;
        house.call("ConvertVirtualHardDisk", conversion(&source, &target, FIXED)).await.completed();
        assert_same_content(&source, &target);
    });
}

#[test]
fn a_limit_on_the_length_of_files() {
    apart(World::SmallFiles(4 * MIB), "space::a_limit_on_the_length_of_files", async |scratch| {
        let house = House::at(&directory(&scratch, "root"), policy(program())).await;
        let (whole, source) = (house.image("few.vhd", "force_size=on", 2 * MIB), house.path("a.qcow2"));
        // A source that is short only because it is compressed, and one that is short because it is empty.
        qemu_img(&["create", "-q", "-f", "qcow2", &source, "8M"]);
        let written = qemu_io().args(["-f", "qcow2", "-c", "write -c -P 5 0 8M", &source]).status();
        assert!(written.is_ok_and(|status| status.success()));
        for name in ["b.raw", "b.vhdx"] {
            let target = house.path(name);
            let answer = house.call("ConvertVirtualHardDisk", conversion(&source, &target, DYNAMIC)).await;
            house.provoked("CWDISK1006", &answer, &target, By::Engine);
        }
        let empty = house.path("empty.qcow2");
        qemu_img(&["create", "-q", "-f", "qcow2", &empty, "64M"]);
        let target = house.path("c.raw");
        let answer = house.call("ConvertVirtualHardDisk", conversion(&empty, &target, DYNAMIC)).await;
        house.provoked("CWDISK1006", &answer, &target, By::Engine);
        house.call("ConvertVirtualHardDisk", conversion(&whole, &target, DYNAMIC)).await.completed();
    });
}

#[test]
fn a_file_system_that_cannot_reserve_space() {
    apart(World::Mounts, "space::a_file_system_that_cannot_reserve_space", async |scratch| {
        let root = directory(&scratch, "root");
        let house = House::at(&root, policy(program())).await;
        mount(&["-t", "ramfs", "ramfs", directory(&root, "odd").to_str().expect("text")]);
        for name in ["odd/a.vhd", "odd/a.vhdx", "odd/a.raw"] {
            let path = house.path(name);
            let answer = house.call("CreateVirtualHardDisk", new_disk(&path, FIXED, MIB)).await;
            house.provoked("CWDISK1038", &answer, &path, By::Server);
        }
        let path = house.path("odd/b.vhdx");
        house.call("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB)).await.completed();
    });
}

/// Nothing can take the name of a file that something is mounted on, and no entry of its own says so.
#[test]
fn an_image_that_is_a_mount_point() {
    apart(World::Mounts, "space::an_image_that_is_a_mount_point", async |scratch| {
        let house = House::at(&directory(&scratch, "root"), policy(program())).await;
        let path = house.vhdx("a.vhdx");
        mount(&["--bind", &path, &path]);
        let answer = house.call("CompactVirtualHardDisk", on(&path)).await;
        house.provoked("CWDISK1039", &answer, &path, By::Server);
        let answer = house.call("ResizeVirtualHardDisk", to_size(&path, 16 * MIB)).await;
        house.provoked("CWDISK1039", &answer, &path, By::Server);
    });
}
