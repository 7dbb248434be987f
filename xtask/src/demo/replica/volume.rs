//! A real file system with files in it, one of which is a diary whose place on the volume is known.

use crate::failure::{Failure, Result};
use crate::process;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The size of a block of the file system, in bytes. An entry of the diary takes one.
pub(super) const BLOCK: u64 = 4096;

/// How many entries the diary has room for.
const ENTRIES: usize = 2000;

/// What of the volume is files that do not compress; the rest is room.
const RANDOM_PERCENT: u64 = 85;
const RANDOM_FILE: u64 = 256 << 20;

/// What was made.
pub(super) struct Volume {
    /// The block of the volume that each entry of the diary lies in.
    pub(super) diary: Vec<u64>,
    /// In words.
    pub(super) made_of: String,
}

/// Makes the file system; `tree` is a directory for what is needed on the way.
pub(super) fn build(path: &Path, tree: &Path, size: u64) -> Result<Volume> {
    let blank = vec![b' '; ENTRIES * BLOCK as usize];
    let diary = tree.join("diary.txt");
    std::fs::write(&diary, blank).map_err(Failure::io("write", &diary))?;
    process::read(
        Command::new("cp").arg("-r").arg(process::workspace().join("crates")).arg(tree.join("crates")),
    )?;
    let count = size * RANDOM_PERCENT / 100 / RANDOM_FILE;
    for number in 0..count {
        let file = tree.join(format!("noise-{number}"));
        let script = r#"head -c "$1" /dev/urandom > "$2""#;
        let mut command = Command::new("sh");
        process::read(command.args(["-c", script, "sh", &RANDOM_FILE.to_string()]).arg(&file))?;
    }
    let image = File::create(path).and_then(|file| file.set_len(size));
    image.map_err(Failure::io("create", path))?;
    let program = process::find("mke2fs").unwrap_or_else(|| "mke2fs".into());
    let mut command = Command::new(program);
    command.args(["-q", "-F", "-t", "ext4", "-m", "0", "-b", &BLOCK.to_string(), "-L", "replicated"]);
    command.args(["-E", "root_owner=0:0", "-d"]).arg(tree).arg(path);
    process::read(&mut command)?;
    std::fs::remove_dir_all(tree).map_err(Failure::io("remove", tree))?;
    let diary: Vec<u64> =
        debugfs(path, "blocks /diary.txt")?.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    if diary.len() != ENTRIES {
        return Err(Failure::Server(format!("debugfs finds {} blocks of the diary", diary.len())));
    }
    Ok(Volume { diary, made_of: format!("the sources of this project, {count} files of noise and a diary") })
}

/// The diary as the file system on a volume has it: what is written in each entry, in order, without the blank ones.
pub(super) fn read_diary(volume: &Path) -> Result<Vec<String>> {
    let text = debugfs(volume, "cat /diary.txt")?;
    Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}

/// Whether the file system on a volume is whole.
pub(super) fn check(volume: &Path) -> Result<()> {
    let program = process::find("e2fsck").unwrap_or_else(|| PathBuf::from("e2fsck"));
    process::read(Command::new(program).args(["-f", "-n"]).arg(volume)).map(drop)
}

fn debugfs(volume: &Path, request: &str) -> Result<String> {
    let program = process::find("debugfs").unwrap_or_else(|| PathBuf::from("debugfs"));
    process::read(Command::new(program).args(["-R", request]).arg(volume))
}
