//! Images whose bytes are wrong: made by the real engine, then damaged as disks, networks and power failures do.

use super::harness::{By, DYNAMIC, House, MIB, conversion, on, to_size};
use super::images::{cut, damage, length, qemu_img, qemu_io};
use std::fs;

impl House {
    /// Validating and converting must both fail for the reason `id`, by the words of the engine.
    async fn useless(&self, id: &str, path: &str) {
        self.useless_by(id, path, By::Engine).await;
    }

    async fn useless_by(&self, id: &str, path: &str, by: By) {
        let answer = self.call("ValidateVirtualHardDisk", on(path)).await;
        self.provoked(id, &answer, path, by);
        let answer =
            self.call("ConvertVirtualHardDisk", conversion(path, &self.path("new.raw"), DYNAMIC)).await;
        self.provoked(id, &answer, path, by);
    }
}

#[tokio::test]
async fn a_vhdx_without_signature_region_tables_or_content() {
    let house = House::new().await;
    let path = house.vhdx("signature.vhdx");
    damage(&path, 0, b"XXXXXXXX");
    house.useless("CWDISK1014", &path).await;
    let path = house.vhdx("regions.vhdx");
    for table in [192 << 10, 256 << 10] {
        damage(&path, table, &[0; 64]);
    }
    house.useless("CWDISK1014", &path).await;
    let path = house.path("empty.vhdx");
    fs::write(&path, "").expect("written");
    house.useless("CWDISK1014", &path).await;
    house.provoked("CWDISK1014", &house.call("CompactVirtualHardDisk", on(&path)).await, &path, By::Engine);
}

#[tokio::test]
async fn a_vhdx_whose_headers_are_both_lost() {
    let house = House::new().await;
    let path = house.vhdx("a.vhdx");
    damage(&path, 64 << 10, &[0; 4096]);
    // One of them is enough.
    house.call("ValidateVirtualHardDisk", on(&path)).await.completed();
    damage(&path, 128 << 10, &[0; 4096]);
    house.useless("CWDISK1015", &path).await;
}

#[tokio::test]
async fn a_truncated_vhdx_is_found_by_its_verification() {
    let house = House::new().await;
    let path = house.vhdx("a.vhdx");
    cut(&path, 6_000_000);
    house.useless("CWDISK1016", &path).await;
    // A job that was accepted while the image was whole meets it too.
    let path = house.vhdx("b.vhdx");
    let planned = house.plan("CompactVirtualHardDisk", on(&path)).await;
    cut(&path, 6_000_000);
    let answer = house.carry_out(house.files(), planned).await;
    house.provoked("CWDISK1016", &answer, &path, By::Engine);
}

#[tokio::test]
async fn a_truncated_vhdx_cannot_be_opened_for_work() {
    let house = House::new().await;
    let path = house.vhdx("a.vhdx");
    cut(&path, 6_000_000);
    for (method, params) in [
        ("CompactVirtualHardDisk", on(&path)),
        ("ResizeVirtualHardDisk", to_size(&path, 16 * MIB)),
        ("GetVirtualHardDiskSettingData", on(&path)),
    ] {
        let answer = house.call(method, params).await;
        house.provoked("CWDISK1017", &answer, &path, By::Engine);
    }
}

/// A virtual machine whose storage failed and which then died: the log holds a write that never reached its place.
#[tokio::test]
async fn a_vhdx_whose_log_was_never_replayed() {
    let house = House::new().await;
    let path = house.path("a.vhdx");
    qemu_img(&["create", "-q", "-f", "vhdx", &path, "16M"]);
    let failing =
        "file.inject-error.0.event=none,file.inject-error.0.iotype=write,file.inject-error.0.sector=4096";
    let options = format!(
        "driver=vhdx,file.driver=blkdebug,file.image.driver=file,file.image.filename={path},{failing}"
    );
    let died =
        qemu_io().args(["--image-opts", &options, "-c", "write -P 1 0 1M", "-c", "sigraise 9"]).status();
    assert!(died.is_ok_and(|status| !status.success()), "qemu-io dies");
    house.useless("CWDISK1018", &path).await;
    // What the entry recommends does help.
    qemu_img(&["check", "-q", "-r", "all", "-f", "vhdx", &path]);
    house.call("ValidateVirtualHardDisk", on(&path)).await.completed();
}

#[tokio::test]
async fn a_vhdx_with_a_parent() {
    let house = House::new().await;
    let path = house.vhdx("child.vhdx");
    let parameters = file_parameters(&fs::read(&path).expect("readable"));
    // Block size, then the flags: bit 1 says that there is a parent.
    damage(&path, parameters + 4, &[2]);
    house.useless_by("CWDISK1019", &path, By::Server).await;
    for method in ["CompactVirtualHardDisk", "GetVirtualHardDiskSettingData"] {
        let answer = house.call(method, on(&path)).await;
        house.refused("CWDISK1019", &answer, &path);
    }
}

/// Where the file parameters of a VHDX stand: found through the region table and the metadata table.
fn file_parameters(file: &[u8]) -> u64 {
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes")) as usize;
    let entry = |table: usize, first: usize, guid: [u8; 4]| {
        (0..16)
            .map(|n| table + first + n * 32)
            .find(|at| file[*at..at + 4] == guid)
            .expect("the entry is there")
    };
    let region = entry(192 << 10, 16, [0x06, 0xA2, 0x7C, 0x8B]);
    let metadata = number(region + 16);
    let item = entry(metadata, 32, [0x37, 0x67, 0xA1, 0xCA]);
    (metadata + number(item + 16)) as u64
}

#[tokio::test]
async fn a_vhd_without_a_footer() {
    let house = House::new().await;
    let path = house.fixed_vhd("cut.vhd");
    cut(&path, length(&path) - 512);
    house.useless("CWDISK1020", &path).await;
    let path = house.vhd("dynamic.vhd");
    damage(&path, 0, b"XXXXXXXX");
    damage(&path, length(&path) - 512, b"XXXXXXXX");
    house.useless("CWDISK1020", &path).await;
}

#[tokio::test]
async fn a_dynamic_vhd_with_a_wrong_header() {
    let house = House::new().await;
    let path = house.vhd("mark.vhd");
    damage(&path, 512, b"XXXX");
    house.useless("CWDISK1021", &path).await;
    let path = house.vhd("checksum.vhd");
    // A field of the footer's copy that only the checksum protects.
    damage(&path, 40, b"XX");
    house.useless("CWDISK1021", &path).await;
}

#[tokio::test]
async fn a_file_too_small_for_a_vhd() {
    let house = House::new().await;
    let path = house.path("a.vhd");
    for bytes in [0, 1, 100, 511] {
        fs::write(&path, vec![0; bytes]).expect("written");
        house.useless("CWDISK1022", &path).await;
    }
}

#[tokio::test]
async fn a_truncated_dynamic_vhd() {
    let house = House::new().await;
    let path = house.vhd("a.vhd");
    cut(&path, MIB);
    house.useless("CWDISK1023", &path).await;
    house.provoked("CWDISK1023", &house.call("CompactVirtualHardDisk", on(&path)).await, &path, By::Engine);
}

#[tokio::test]
async fn something_else_called_qcow2() {
    let house = House::new().await;
    let raw = house.raw("a.raw", MIB);
    let path = house.path("a.qcow2");
    fs::rename(raw, &path).expect("renamed");
    house.useless("CWDISK1024", &path).await;
}

#[tokio::test]
async fn a_qcow2_whose_header_points_nowhere() {
    let house = House::new().await;
    // The offsets of the reference count table and of the first-level table.
    for (name, field) in [("refcounts.qcow2", 48), ("table.qcow2", 40)] {
        let path = house.qcow2(name);
        damage(&path, field, &[1; 8]);
        house.useless("CWDISK1025", &path).await;
    }
}

#[tokio::test]
async fn a_qcow2_with_wrong_reference_counts() {
    let house = House::new().await;
    let path = house.qcow2("a.qcow2");
    // The first reference counts lie in the third cluster of a new image.
    damage(&path, 2 << 16, &[0; 6]);
    house.useless("CWDISK1026", &path).await;
    // An image that was cut off converts into zeros without a word; only the check sees it.
    let path = house.qcow2("cut.qcow2");
    cut(&path, length(&path) / 2);
    house.useless("CWDISK1026", &path).await;
}

#[tokio::test]
async fn an_overlay_without_its_base() {
    let house = House::new().await;
    let (base, path) = (house.vhdx("base.vhdx"), house.path("over.qcow2"));
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", "base.vhdx", "-F", "vhdx", &path]);
    house
        .call("ConvertVirtualHardDisk", conversion(&path, &house.path("flat.vhd"), DYNAMIC))
        .await
        .completed();
    fs::rename(&base, house.root.join("elsewhere.vhdx")).expect("renamed");
    house.useless_by("CWDISK1034", &path, By::Server).await;
    // Neither does an image outside the storage roots count, however it is written.
    for outside in
        ["/etc/hostname", "../../../../../etc/hostname", "json:{\"driver\":\"null-co\"}", "nbd://localhost/x"]
    {
        qemu_img(&["rebase", "-q", "-u", "-f", "qcow2", "-b", outside, "-F", "raw", &path]);
        house.useless_by("CWDISK1034", &path, By::Server).await;
    }
}

/// The base is there when it is looked for, and gone when the engine opens it.
#[tokio::test]
async fn an_overlay_whose_base_vanishes_under_the_engine() {
    let house = House::holding("convert").await;
    let (base, path) = (house.raw("base.raw", MIB), house.path("over.qcow2"));
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", &base, "-F", "raw", &path]);
    let id = house.begin("ConvertVirtualHardDisk", conversion(&path, &house.path("b.vhd"), DYNAMIC)).await;
    let engine = house.held_engine(&house.path("")).await;
    fs::remove_file(&base).expect("removed");
    let before = house.finished_files();
    engine.go_on();
    let answer = house.ended(before, id).await;
    house.provoked("CWDISK1034", &answer, &path, By::Engine);
}
