//! Jobs that end well: what they leave is compared with the source by the engine's own compare, which is no part of the server.

use super::apart::is_root;
use super::harness::{
    Answer, DYNAMIC, FIXED, House, MIB, conversion, disk, embedded, new_disk, on, set_mode, short, text,
    to_size,
};
use super::images::{assert_same_content, cut, damage, length, qemu_img, virtual_size};
use cimwright_sdk::cim::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

fn is_allocated(path: &str) -> bool {
    let metadata = fs::metadata(path).expect("it is there");
    metadata.blocks() * 512 >= metadata.len()
}

/// What a finished job shows of the way it came.
fn assert_worked(answer: &Answer, job_type: u16, bytes: u64) {
    let job = answer.completed();
    assert_eq!(job.spec.job_type, job_type);
    assert_eq!((job.run.progress.done, job.run.progress.total), (bytes, bytes));
    assert!(job.run.finished.is_some() && job.run.started.is_some());
}

#[tokio::test]
async fn disks_of_every_kind_are_created() {
    let house = House::new().await;
    for (name, kind) in [
        ("d.vhd", DYNAMIC),
        ("f.vhd", FIXED),
        ("d.vhdx", DYNAMIC),
        ("f.vhdx", FIXED),
        ("d.qcow2", DYNAMIC),
        ("d.raw", DYNAMIC),
        ("f.raw", FIXED),
        ("upper.VHDX", DYNAMIC),
    ] {
        let path = house.path(name);
        let answer = house.call("CreateVirtualHardDisk", new_disk(&path, kind, 5 * MIB)).await;
        assert_eq!(answer.completed().spec.job_type, 1, "{name}");
        if name != "upper.VHDX" {
            assert_eq!(virtual_size(&path), 5 * MIB, "{name}");
        }
        assert!(kind == DYNAMIC || is_allocated(&path) && length(&path) >= 5 * MIB, "{name}");
        house.call("ValidateVirtualHardDisk", on(&path)).await.completed();
    }
    // 1 GiB is no size that the geometry of old disks can express.
    let path = house.path("exact.vhd");
    house.call("CreateDynamicVirtualHardDisk", to_size(&path, 1 << 30)).await.completed();
    assert_eq!(virtual_size(&path), 1 << 30);
    let path = house.path("fixed.vhd");
    house.call("CreateFixedVirtualHardDisk", to_size(&path, 2 * MIB + 512)).await.completed();
    assert!(virtual_size(&path) == 2 * MIB + 512 && is_allocated(&path));
    let path = house.path("default.vhd");
    house.call("CreateDynamicVirtualHardDisk", to_size(&path, 0)).await.completed();
    assert_eq!(virtual_size(&path), 3 * MIB);
    // Sizes are rounded up to whole sectors in v2.
    let path = house.path("rounded.vhdx");
    house.call("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB + 1)).await.completed();
    assert_eq!(virtual_size(&path), MIB + 512);
}

#[tokio::test]
async fn floppies_are_created() {
    let house = House::new().await;
    let path = house.path("a.vfd");
    let answer = house.call("CreateVirtualFloppyDisk", on(&path)).await;
    assert_eq!(answer.completed().spec.job_type, 2);
    assert_eq!(length(&path), 1_474_560);
    assert!(is_allocated(&path));
    assert!(fs::read(&path).expect("readable").iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn conversions_keep_the_content_both_ways() {
    let house = House::new().await;
    let raw = house.raw("disk.raw", 9 * MIB);
    for (name, kind) in [
        ("d.vhd", DYNAMIC),
        ("f.vhd", FIXED),
        ("d.vhdx", DYNAMIC),
        ("f.vhdx", FIXED),
        ("d.qcow2", DYNAMIC),
        ("f.raw", FIXED),
    ] {
        let (there, back) = (house.path(name), house.path(&format!("{name}.img")));
        let answer = house.call("ConvertVirtualHardDisk", conversion(&raw, &there, kind)).await;
        assert_worked(&answer, 6, 9 * MIB);
        assert_same_content(&raw, &there);
        assert_eq!(virtual_size(&there), 9 * MIB, "{name}");
        assert!(kind == DYNAMIC || is_allocated(&there), "{name}");
        house.call("ConvertVirtualHardDisk", conversion(&there, &back, FIXED)).await.completed();
        assert!(fs::read(&raw).expect("readable") == fs::read(&back).expect("readable"), "{name}");
    }
    // The call of the first version.
    let (vhdx, vhd) = (house.path("d.vhdx"), house.path("v1.vhd"));
    let params = vec![text("SourcePath", &vhdx), text("DestinationPath", &vhd), short("Type", FIXED)];
    house.call("ConvertVirtualHardDisk", params).await.completed();
    assert_same_content(&vhdx, &vhd);
}

#[tokio::test]
async fn block_sizes_and_overlays_are_honoured() {
    let house = House::new().await;
    let raw = house.raw("disk.raw", 3 * MIB);
    let path = house.path("a.vhdx");
    let wanted = disk(&path, DYNAMIC, 0).with("BlockSize", Value::Uint32(32 << 20));
    let answer = house.call("ConvertVirtualHardDisk", vec![text("SourcePath", &raw), embedded(wanted)]).await;
    answer.completed();
    house.call("CompactVirtualHardDisk", on(&path)).await.completed();
    let seen = house.call("GetVirtualHardDiskSettingData", on(&path)).await;
    assert_eq!(seen.instance().get_u64("BlockSize"), Some(32 << 20));
    assert_same_content(&raw, &path);

    let overlay = house.path("over.qcow2");
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", &path, "-F", "vhdx", &overlay]);
    house.call("ResizeVirtualHardDisk", to_size(&overlay, 4 * MIB)).await.completed();
    let flat = house.path("flat.vhd");
    house.call("ConvertVirtualHardDisk", conversion(&overlay, &flat, DYNAMIC)).await.completed();
    assert_eq!(virtual_size(&flat), 4 * MIB);
    cut(&raw, 4 * MIB);
    assert_same_content(&raw, &flat);
}

#[tokio::test]
async fn compacting_gives_space_back_and_keeps_all_else() {
    let house = House::new().await;
    for (name, options) in [("a.vhdx", "block_size=1M"), ("a.vhd", "force_size=on"), ("a.qcow2", "")] {
        let (path, raw) = (house.image(name, options, 16 * MIB), house.path("left.raw"));
        // A machine overwrites most of its disk with zeros, which the file keeps.
        let format = if name == "a.vhd" { "vpc" } else { &name[2..] };
        let wrote = super::images::qemu_io().args(["-f", format, "-c", "write -P 0 1M 14M", &path]).status();
        assert!(wrote.is_ok_and(|status| status.success()));
        qemu_img(&["convert", "-f", format, "-O", "raw", &path, &raw]);
        // Even the engine of root has no right to what others keep to themselves.
        set_mode(&path, 0o664);
        if is_root() {
            chown(&path, Some(1234), Some(4321)).expect("given away");
        }
        let before = fs::metadata(&path).expect("it is there");
        let answer = house.call("CompactVirtualHardDisk", on(&path)).await;
        assert_worked(&answer, 3, 16 * MIB);
        let after = fs::metadata(&path).expect("it is there");
        assert!(after.len() < before.len() - 4 * MIB, "{name}: {} to {}", before.len(), after.len());
        assert_eq!((before.uid(), before.gid(), before.mode()), (after.uid(), after.gid(), after.mode()));
        assert_same_content(&raw, &path);
        assert_eq!(virtual_size(&path), 16 * MIB);
        fs::remove_file(raw).expect("removed");
    }
}

#[tokio::test]
async fn disks_grow() {
    let house = House::new().await;
    for (name, options) in [
        ("d.vhdx", ""),
        ("f.vhdx", "subformat=fixed,block_state_zero=off"),
        ("d.vhd", "force_size=on"),
        ("f.vhd", "subformat=fixed,force_size=on"),
        ("a.qcow2", ""),
        ("a.raw", ""),
    ] {
        let path = house.image(name, options, 4 * MIB);
        let raw = house.raw("same.raw", 4 * MIB);
        let method = if name == "d.vhd" { "ExpandVirtualHardDisk" } else { "ResizeVirtualHardDisk" };
        let answer = house.call(method, to_size(&path, 10 * MIB)).await;
        assert_eq!(answer.completed().spec.job_type, 4);
        assert_eq!(virtual_size(&path), 10 * MIB, "{name}");
        cut(&raw, 10 * MIB);
        assert_same_content(&raw, &path);
        assert!(!name.starts_with('f') || is_allocated(&path), "{name}");
        let kind = house.call("GetVirtualHardDiskSettingData", on(&path)).await;
        let fixed = name.starts_with('f') || name == "a.raw";
        assert_eq!(kind.instance().get_u64("Type"), Some(if fixed { 2 } else { 3 }), "{name}");
    }
}

#[tokio::test]
async fn disks_shrink_down_to_their_content() {
    let house = House::new().await;
    for (name, options) in
        [("d.vhdx", ""), ("f.vhdx", "subformat=fixed,block_state_zero=off"), ("a.qcow2", ""), ("a.raw", "")]
    {
        let path = house.image(name, options, 4 * MIB);
        let raw = house.raw("same.raw", 4 * MIB);
        house.call("ResizeVirtualHardDisk", to_size(&path, 32 * MIB)).await.completed();
        house.call("ResizeVirtualHardDisk", to_size(&path, 4 * MIB)).await.completed();
        assert_eq!(virtual_size(&path), 4 * MIB, "{name}");
        assert_same_content(&raw, &path);
    }
}

#[tokio::test]
async fn sound_images_are_valid() {
    let house = House::new().await;
    for path in [
        house.vhdx("a.vhdx"),
        house.vhd("a.vhd"),
        house.fixed_vhd("f.vhd"),
        house.qcow2("a.qcow2"),
        house.raw("a.raw", MIB),
    ] {
        let answer = house.call("ValidateVirtualHardDisk", on(&path)).await;
        assert_eq!(answer.completed().spec.job_type, 9);
    }
    // A leak wastes space and harms nobody.
    let path = house.qcow2("leaky.qcow2");
    let end = length(&path);
    cut(&path, end + (1 << 16));
    // The reference count of the cluster behind the end, in the block that the third cluster holds.
    damage(&path, (2 << 16) + 2 * end.div_ceil(1 << 16), &[0, 1]);
    house.call("ValidateVirtualHardDisk", on(&path)).await.completed();
}

#[tokio::test]
async fn windows_paths_are_mapped_onto_the_root() {
    let house = House::new().await;
    fs::create_dir(house.root.join("Deep")).expect("directory");
    let path = r"c:\vms\Deep\a.vhdx";
    let answer = house.call("CreateVirtualHardDisk", new_disk(path, DYNAMIC, 2 * MIB)).await;
    assert!(answer.completed().spec.description.contains(path));
    assert_eq!(virtual_size(&house.path("Deep/a.vhdx")), 2 * MIB);
    let seen = house.call("GetVirtualHardDiskSettingData", on(r"C:/VMs/Deep/a.vhdx")).await;
    assert_eq!(seen.instance().get_str("Path"), Some("C:/VMs/Deep/a.vhdx"));
    // Failures name the file as the client does, too.
    let answer = house.call("ValidateVirtualHardDisk", on(r"C:\VMs\Deep\missing.vhdx")).await;
    house.refused("CWDISK1001", &answer, r"C:\VMs\Deep\missing.vhdx");
}
