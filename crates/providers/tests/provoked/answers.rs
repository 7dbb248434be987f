//! What is told about images without a job.

use super::harness::{House, MIB, on};
use super::images::{length, qemu_img};
use cimwright_sdk::cim::Value;

#[tokio::test]
async fn setting_data_tells_what_an_image_is() {
    let house = House::new().await;
    let fixed_vhdx = house.image("f.vhdx", "subformat=fixed,block_state_zero=off", 4 * MIB);
    for (path, kind, format, block) in [
        (house.vhd("d.vhd"), 3, Some(2), Some(2 << 20)),
        (house.fixed_vhd("f.vhd"), 2, Some(2), Some(0)),
        (house.image("d.vhdx", "block_size=4M", 4 * MIB), 3, Some(3), Some(4 << 20)),
        (fixed_vhdx, 2, Some(3), Some(8 << 20)),
        (house.qcow2("a.qcow2"), 3, None, Some(1 << 16)),
        (house.raw("a.raw", MIB), 2, None, Some(0)),
    ] {
        let answer = house.call("GetVirtualHardDiskSettingData", on(&path)).await;
        let data = answer.instance();
        assert_eq!(data.get_str("Path"), Some(path.as_str()));
        assert_eq!(data.get_u64("Type"), Some(kind), "{path}");
        assert_eq!(data.get_u64("Format"), format, "{path}");
        assert_eq!(data.get_u64("BlockSize"), block, "{path}");
        assert_eq!(data.get_u64("LogicalSectorSize"), Some(512), "{path}");
        let size = super::images::virtual_size(&path);
        assert_eq!(data.get_u64("MaxInternalSize"), Some(size), "{path}");
        assert_eq!(data.get_str("VirtualDiskId").map(str::len), format.map(|_| 36), "{path}");
        assert_eq!(data.get("ParentPath"), None, "{path}");
        assert!(answer.job.is_none(), "nothing of this needs a job");
    }
    // Two copies are two disks; looking again is the same disk.
    let id = async |name: &str| {
        let answer = house.call("GetVirtualHardDiskSettingData", on(&house.path(name))).await;
        answer.instance().get_str("VirtualDiskId").map(str::to_owned)
    };
    assert_eq!(id("d.vhdx").await, id("d.vhdx").await);
    assert_ne!(id("d.vhdx").await, id("f.vhdx").await);
}

#[tokio::test]
async fn information_of_the_first_version() {
    let house = House::new().await;
    let base = house.vhdx("base.vhdx");
    let over = house.path("over.qcow2");
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", &base, "-F", "vhdx", &over]);
    for (path, kind, parent) in
        [(house.fixed_vhd("f.vhd"), 2, None), (base.clone(), 3, None), (over, 4, Some(base.as_str()))]
    {
        let answer = house.call("GetVirtualHardDiskInfo", on(&path)).await;
        let info = answer.instance();
        assert_eq!(info.get_u64("Type"), Some(kind), "{path}");
        assert_eq!(info.get_u64("FileSize"), Some(length(&path)), "{path}");
        assert_eq!(info.get_u64("MaxInternalSize"), Some(super::images::virtual_size(&path)), "{path}");
        assert_eq!(info.get("InUse"), Some(&Value::Boolean(false)));
        assert_eq!(info.get("InSavedState"), Some(&Value::Boolean(false)));
        assert_eq!(info.get_str("ParentPath"), parent, "{path}");
    }
}

#[tokio::test]
async fn the_state_of_an_image() {
    let house = House::new().await;
    for (path, least) in [
        (house.vhd("a.vhd"), Some(8 * MIB)),
        // Of a VHDX the engine does not know where the data ends.
        (house.vhdx("a.vhdx"), None),
        (house.qcow2("a.qcow2"), Some(8 * MIB)),
    ] {
        let answer = house.call("GetVirtualHardDiskState", on(&path)).await;
        let state = answer.instance();
        assert_eq!(state.get_u64("FileSize"), Some(length(&path)), "{path}");
        assert_eq!(state.get("InUse"), Some(&Value::Boolean(false)));
        assert_eq!(state.get_u64("MinInternalSize"), least, "{path}");
        assert!(
            state.get_u64("PhysicalSectorSize").is_some_and(|bytes| bytes == 512 || bytes == 4096),
            "{path}"
        );
        assert_eq!(state.get("FragmentationPercentage"), None, "nothing is invented");
        assert!(matches!(state.get("Timestamp"), Some(Value::DateTime(_))));
    }
    let path = house.path("empty.qcow2");
    qemu_img(&["create", "-q", "-f", "qcow2", &path, "1G"]);
    let answer = house.call("GetVirtualHardDiskState", on(&path)).await;
    assert_eq!(answer.instance().get_u64("MinInternalSize"), None);
}
