//! Calls that cannot be carried out, whatever lies on the disk.

use super::harness::{
    By, DYNAMIC, FIXED, House, MIB, conversion, disk, embedded, new_disk, number, on, short, text, to_size,
};
use super::images::{assert_same_content, cut, virtual_size};
use cimwright_sdk::cim::{Param, Value};
use std::fs;

impl House {
    /// Every call must be refused for the reason `id` and name the file by `names`.
    async fn all_refused(&self, id: &str, names: &str, calls: Vec<(&str, Vec<Param>)>) {
        for (method, params) in calls {
            let answer = self.call(method, params).await;
            self.refused(id, &answer, names);
        }
    }
}

/// CreateVirtualHardDisk with one more property in the setting data.
fn with(path: &str, name: &str, value: Value) -> (&'static str, Vec<Param>) {
    ("CreateVirtualHardDisk", vec![embedded(disk(path, DYNAMIC, 8 * MIB).with(name, value))])
}

#[tokio::test]
async fn sizes_that_no_disk_can_have() {
    let house = House::new().await;
    let vhdx = house.path("a.vhdx");
    for bytes in [3_000_000, 512 << 10, 512 << 20] {
        let calls = vec![with(&vhdx, "BlockSize", Value::Uint32(bytes))];
        house.all_refused("CWDISK1030", &vhdx, calls).await;
    }
    let vhd = house.path("a.vhd");
    let odd = with(&vhd, "BlockSize", Value::Uint32(4 << 20));
    house.all_refused("CWDISK1030", &vhd, vec![odd]).await;

    let huge = vec![
        ("CreateVirtualHardDisk", new_disk(&vhdx, DYNAMIC, 65 << 40)),
        ("CreateFixedVirtualHardDisk", to_size(&vhdx, (64 << 40) + 512)),
    ];
    house.all_refused("CWDISK1031", &vhdx, huge).await;
    let large = vec![
        ("CreateVirtualHardDisk", new_disk(&vhd, FIXED, 3 << 40)),
        ("CreateDynamicVirtualHardDisk", to_size(&vhd, (2040 << 30) + 512)),
    ];
    house.all_refused("CWDISK1032", &vhd, large).await;

    let (raw, image) = (house.path("a.raw"), house.vhdx("image.vhdx"));
    let bad = vec![
        ("CreateFixedVirtualHardDisk", to_size(&raw, 0)),
        ("CreateFixedVirtualHardDisk", to_size(&raw, 1000)),
        ("CreateDynamicVirtualHardDisk", to_size(&raw, 513)),
        ("CreateVirtualHardDisk", new_disk(&raw, FIXED, u64::MAX)),
        ("CreateVirtualHardDisk", new_disk(&raw, FIXED, i64::MAX as u64)),
    ];
    house.all_refused("CWDISK1033", &raw, bad).await;
    let smaller = vec![
        ("ExpandVirtualHardDisk", to_size(&image, 4 * MIB)),
        ("ResizeVirtualHardDisk", to_size(&image, 0)),
    ];
    house.all_refused("CWDISK1033", &image, smaller).await;
}

#[tokio::test]
async fn paths_that_lead_nowhere_or_elsewhere() {
    let house = House::new().await;
    fs::create_dir(house.root.join("directory")).expect("directory");
    let mut odd = vec![
        "relative.vhdx".to_owned(),
        "C:relative.vhdx".to_owned(),
        r"\\server\share\a.vhdx".to_owned(),
        r"\\?\C:\VMs\a.vhdx".to_owned(),
        r"C:\VMs\..\a.vhdx".to_owned(),
        r"C:\VMs\a?.vhdx".to_owned(),
    ];
    odd.extend(
        ["../a.vhdx", "directory/../a.vhdx", "a\nb.vhdx", "back\\slash.vhdx"].map(|name| house.path(name)),
    );
    for path in odd {
        let calls = vec![
            ("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB)),
            ("ValidateVirtualHardDisk", on(&path)),
            ("GetVirtualHardDiskInfo", on(&path)),
        ];
        house.all_refused("CWDISK1101", &path, calls).await;
    }

    let outside = tempfile::tempdir().expect("scratch directory");
    fs::write(outside.path().join("secret.vhdx"), "secret").expect("written");
    std::os::unix::fs::symlink(outside.path(), house.root.join("way-out")).expect("link");
    let secret = outside.path().join("secret.vhdx").to_str().expect("text").to_owned();
    let paths = [secret, house.path("way-out/secret.vhdx"), "/etc/new.vhdx".into(), r"D:\VMs\a.vhdx".into()];
    for path in paths {
        let calls = vec![
            ("CreateVirtualHardDisk", new_disk(&path, FIXED, MIB)),
            ("ValidateVirtualHardDisk", on(&path)),
            ("CompactVirtualHardDisk", on(&path)),
            ("ResizeVirtualHardDisk", to_size(&path, MIB)),
            ("GetVirtualHardDiskSettingData", on(&path)),
            ("ConvertVirtualHardDisk", conversion(&path, &house.path("new.vhd"), DYNAMIC)),
        ];
        house.all_refused("CWDISK1102", &path, calls).await;
    }
    let (source, target) = (house.raw("a.raw", MIB), house.path("way-out/new.vhdx"));
    let calls = vec![("ConvertVirtualHardDisk", conversion(&source, &target, DYNAMIC))];
    house.all_refused("CWDISK1102", &target, calls).await;
    assert_eq!(fs::read_dir(outside.path()).expect("readable").count(), 1);
}

#[tokio::test]
async fn targets_that_cannot_be() {
    let house = House::new().await;
    let (source, taken) = (house.raw("a.raw", MIB), house.path("taken.vhdx"));
    fs::write(&taken, "mine").expect("written");
    let calls = vec![
        ("CreateVirtualHardDisk", new_disk(&taken, DYNAMIC, MIB)),
        ("CreateFixedVirtualHardDisk", to_size(&taken, MIB)),
        ("ConvertVirtualHardDisk", conversion(&source, &taken, DYNAMIC)),
    ];
    house.all_refused("CWDISK1103", &taken, calls).await;
    fs::create_dir(house.root.join("directory.vfd")).expect("directory");
    let directory = house.path("directory.vfd");
    house.all_refused("CWDISK1103", &directory, vec![("CreateVirtualFloppyDisk", on(&directory))]).await;

    let calls = vec![("ConvertVirtualHardDisk", conversion(&source, &source, DYNAMIC))];
    house.all_refused("CWDISK1112", &source, calls).await;
    let calls = vec![("ConvertVirtualHardDisk", conversion(&source, r"c:\vms\a.raw", DYNAMIC))];
    house.all_refused("CWDISK1112", &source, calls).await;
}

#[tokio::test]
async fn formats_and_types_that_cannot_be() {
    let house = House::new().await;
    for name in ["a.txt", "a", "a.vhds", "a.vmdk", "a.vhdx.cwpart"] {
        let path = house.path(name);
        let calls = vec![
            ("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB)),
            ("CreateVirtualFloppyDisk", on(&path)),
            ("ValidateVirtualHardDisk", on(&path)),
        ];
        house.all_refused("CWDISK1104", &path, calls).await;
    }
    let (vhd, vhdx, qcow2) = (house.path("a.vhd"), house.path("a.vhdx"), house.path("a.qcow2"));
    let calls = vec![with(&vhd, "Format", Value::Uint16(3)), ("CreateVirtualFloppyDisk", on(&vhd))];
    house.all_refused("CWDISK1105", &vhd, calls).await;
    let calls = vec![with(&qcow2, "Format", Value::Uint16(2)), with(&qcow2, "Format", Value::Uint16(9))];
    house.all_refused("CWDISK1105", &qcow2, calls).await;
    let calls = vec![
        ("CreateVirtualHardDisk", new_disk(&vhdx, 9, MIB)),
        ("CreateVirtualHardDisk", new_disk(&vhdx, 5, MIB)),
    ];
    house.all_refused("CWDISK1106", &vhdx, calls).await;
    house
        .all_refused("CWDISK1106", &qcow2, vec![("CreateVirtualHardDisk", new_disk(&qcow2, FIXED, MIB))])
        .await;

    let calls = vec![
        with(&vhdx, "LogicalSectorSize", Value::Uint32(4096)),
        with(&vhdx, "PhysicalSectorSize", Value::Uint32(1024)),
    ];
    house.all_refused("CWDISK1114", &vhdx, calls).await;
}

#[tokio::test]
async fn setting_data_that_lacks_something() {
    let house = House::new().await;
    let path = house.path("a.vhdx");
    let without = |name: &str| {
        let mut data = disk(&path, DYNAMIC, MIB);
        data.set(name, None);
        vec![("CreateVirtualHardDisk", vec![embedded(data)])]
    };
    house.all_refused("CWDISK1113", "unnamed disk", without("Path")).await;
    house.all_refused("CWDISK1113", &path, without("Type")).await;
    house.all_refused("CWDISK1113", &path, without("MaxInternalSize")).await;
}

#[tokio::test]
async fn what_this_server_does_not_do() {
    let house = House::new().await;
    let (a, b) = (house.vhdx("a.vhdx"), house.path("b.vhdx"));
    let source = vec![text("SourcePath", &a), text("DestinationPath", &b)];
    let child = vec![text("ChildPath", &a), text("ParentPath", &b)];
    let differencing = vec![
        ("CreateVirtualHardDisk", new_disk(&a, 4, MIB)),
        with(&a, "ParentPath", Value::from(b.as_str())),
        ("CreateDifferencingVirtualHardDisk", vec![text("Path", &a), text("ParentPath", &b)]),
        ("MergeVirtualHardDisk", source.clone()),
        ("ReconnectParentVirtualHardDisk", child.clone()),
        ("SetParentVirtualHardDisk", child),
    ];
    house.all_refused("CWDISK1107", &a, differencing).await;
    let calls = vec![("ConvertVirtualHardDisk", [&source[..], &[short("Type", 4)]].concat())];
    house.all_refused("CWDISK1107", &b, calls).await;

    let attaching = vec![
        ("Mount", on(&a)),
        ("Unmount", on(&a)),
        ("AttachVirtualHardDisk", on(&a)),
        ("FindMountedStorageImageInstance", vec![text("SelectionCriterion", &a), short("CriterionType", 1)]),
    ];
    house.all_refused("CWDISK1108", &a, attaching).await;

    let set = || vec![text("VHDSetPath", &a)];
    let sets = vec![
        with(&a, "Format", Value::Uint16(4)),
        ("ConvertVirtualHardDiskToVHDSet", vec![text("VirtualHardDiskPath", &a)]),
        ("OptimizeVHDSet", set()),
        ("GetVHDSetInformation", set()),
        ("GetVHDSnapshotInformation", set()),
        ("DeleteVHDSnapshot", set()),
        ("GetVirtualDiskChanges", vec![text("Path", &a), number("ByteOffset", 0)]),
        ("ValidatePersistentReservationSupport", on(&a)),
    ];
    house.all_refused("CWDISK1109", &a, sets).await;
    house.all_refused("CWDISK1109", "no image", vec![("SetVHDSnapshotInformation", vec![])]).await;

    let state = vec![
        ("StartService", vec![]),
        ("StopService", vec![]),
        ("RequestStateChange", vec![short("RequestedState", 3)]),
    ];
    house.all_refused("CWDISK1116", "no image", state).await;
    let calls = vec![("SetVirtualHardDiskSettingData", vec![embedded(disk(&a, DYNAMIC, MIB))])];
    house.all_refused("CWDISK1117", &a, calls).await;
}

#[tokio::test]
async fn disks_that_cannot_get_smaller() {
    let house = House::new().await;
    // The content goes up to the end of 8 MiB; the disk is larger.
    for (name, options) in
        [("a.vhdx", ""), ("fixed.vhdx", "subformat=fixed,block_state_zero=off"), ("a.qcow2", "")]
    {
        let path = house.image(name, options, 8 * MIB);
        house.call("ResizeVirtualHardDisk", to_size(&path, 16 * MIB)).await.completed();
        let answer = house.call("ResizeVirtualHardDisk", to_size(&path, 8 * MIB - 512)).await;
        house.provoked("CWDISK1110", &answer, &path, By::Server);
        let reason = &answer.job.as_ref().expect("a job").run.errors[0];
        let at: u64 = reason.arguments[2].parse().expect("a number");
        assert!((8 * MIB - 512..8 * MIB).contains(&at), "{name}: data at {at}");
        house.call("ResizeVirtualHardDisk", to_size(&path, 8 * MIB)).await.completed();
        assert_eq!(virtual_size(&path), 8 * MIB, "{name}");
    }
    // A raw image is nothing but its bytes.
    let (path, copy) = (house.raw("a.raw", 4 * MIB), house.raw("copy.raw", 4 * MIB));
    let answer = house.call("ResizeVirtualHardDisk", to_size(&path, MIB)).await;
    house.provoked("CWDISK1110", &answer, &path, By::Server);
    cut(&path, 6 * MIB);
    house.call("ResizeVirtualHardDisk", to_size(&path, 4 * MIB)).await.completed();
    assert_same_content(&path, &copy);

    for vhd in [house.vhd("a.vhd"), house.fixed_vhd("fixed.vhd")] {
        let calls = vec![("ResizeVirtualHardDisk", to_size(&vhd, 2 * MIB))];
        house.all_refused("CWDISK1111", &vhd, calls).await;
    }
}

#[tokio::test]
async fn disks_that_hold_no_unused_space() {
    let house = House::new().await;
    let fixed = house.image("fixed.vhdx", "subformat=fixed,block_state_zero=off", MIB);
    for path in [house.raw("a.raw", MIB), house.fixed_vhd("fixed.vhd"), fixed] {
        let calls = vec![("CompactVirtualHardDisk", on(&path))];
        house.all_refused("CWDISK1115", &path, calls).await;
    }
}
