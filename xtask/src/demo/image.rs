//! The disk that the demonstration works on: a real, bootable one, made of Debian packages.
//!
//! It is what a person gets who writes GRUB's rescue image to a USB stick and puts a file system with Debian's network
//! installer behind it. The installer is there several times, so that the disk is large enough to watch its conversion.

use crate::failure::{Failure, Result};
use crate::{install, process};
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const BOOT_PACKAGE: &str = "grub-rescue-pc";
const BOOT_IMAGE: &str = "usr/lib/grub-rescue/grub-rescue-cdrom.iso";
const PAYLOAD_PACKAGE: &str = "debian-installer-12-netboot-amd64";
const PAYLOAD: &str = "usr/lib/debian-installer/images/12/amd64";

const SECTOR: u64 = 512;
/// Where the file system begins: behind the boot image, on a boundary that every disk likes.
const PARTITION_START: u64 = 16 << 20;
/// Room for the file system's own tables and a little more.
const SLACK: u64 = 64 << 20;
/// The second entry of the partition table; the boot image uses the first for itself.
const SECOND_ENTRY: u64 = 446 + 16;
const LINUX: u8 = 0x83;

/// What was made.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) made_of: String,
}

/// Makes the disk with `copies` of the installer as `path`; `work` is a directory for what is needed on the way.
pub(crate) fn build(path: &Path, work: &Path, copies: u32) -> Result<Disk> {
    let boot = work.join("boot");
    let payload = work.join("payload");
    install::unpack(BOOT_PACKAGE, &boot)?;
    install::unpack(PAYLOAD_PACKAGE, &payload)?;
    let tree = work.join("tree");
    std::fs::create_dir(&tree).map_err(Failure::io("create", &tree))?;
    for copy in 1..=copies {
        let into = tree.join(format!("installer-{copy}"));
        process::read(Command::new("cp").arg("-r").arg(payload.join(PAYLOAD)).arg(into))?;
    }
    let content = process::read(Command::new("du").args(["-sb"]).arg(&tree))?;
    let content: u64 = content.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let partition = (content + content / 20 + SLACK).next_multiple_of(1 << 20);
    let bytes = PARTITION_START + partition;

    let boot_image = boot.join(BOOT_IMAGE);
    std::fs::copy(&boot_image, path).map_err(Failure::io("copy", &boot_image))?;
    let mut disk = File::options().write(true).open(path).map_err(Failure::io("open", path))?;
    disk.set_len(bytes).map_err(Failure::io("enlarge", path))?;
    let entry = partition_entry(PARTITION_START, partition);
    disk.write_all_at(&entry, SECOND_ENTRY).map_err(Failure::io("write", path))?;
    make_file_system(path, &tree, partition)?;
    disk.seek(SeekFrom::End(0)).and_then(|_| disk.flush()).map_err(Failure::io("write", path))?;
    std::fs::remove_dir_all(work).map_err(Failure::io("remove", work))?;
    Ok(Disk {
        path: path.to_owned(),
        bytes,
        made_of: format!("{BOOT_PACKAGE} (boot), {copies} × {PAYLOAD_PACKAGE} (ext4)"),
    })
}

/// Writes several copies of a file one after another into a new one.
pub(crate) fn repeat(source: &Path, target: &Path, copies: u64) -> Result<()> {
    let mut output = File::create_new(target).map_err(Failure::io("create", target))?;
    for _ in 0..copies {
        let mut input = File::open(source).map_err(Failure::io("open", source))?;
        std::io::copy(&mut input, &mut output).map_err(Failure::io("write", target))?;
    }
    Ok(())
}

fn make_file_system(disk: &Path, tree: &Path, bytes: u64) -> Result<()> {
    let program = process::find("mke2fs").unwrap_or_else(|| "mke2fs".into());
    let mut command = Command::new(program);
    command.args(["-q", "-F", "-t", "ext4", "-m", "0", "-L", "installer", "-E"]);
    command.arg(format!("offset={PARTITION_START},root_owner=0:0")).arg("-d").arg(tree).arg(disk);
    command.arg(format!("{}k", bytes >> 10));
    process::read(&mut command).map(drop)
}

/// An entry of a PC partition table; the addresses in cylinders say "look at the sectors", as is usual since disks are large.
fn partition_entry(start: u64, bytes: u64) -> [u8; 16] {
    let mut entry = [0xff_u8; 16];
    entry[0] = 0;
    entry[4] = LINUX;
    entry[8..12].copy_from_slice(&((start / SECTOR) as u32).to_le_bytes());
    entry[12..16].copy_from_slice(&((bytes / SECTOR) as u32).to_le_bytes());
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_entry_names_sectors() {
        let entry = partition_entry(16 << 20, 1 << 20);
        assert_eq!(entry, [0, 255, 255, 255, 0x83, 255, 255, 255, 0, 0x80, 0, 0, 0, 8, 0, 0]);
    }
}
