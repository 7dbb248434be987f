//! Images made by the real tools, and ways to damage them.

use super::harness::{House, MIB, program};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The formats by extension, as the engine calls them.
fn format_of(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("vhd") => "vpc",
        Some("vhdx") => "vhdx",
        Some("qcow2") => "qcow2",
        _ => "raw",
    }
}

/// Runs qemu-img as a person would, outside of the server.
pub(crate) fn qemu_img(args: &[&str]) -> String {
    let output = Command::new(program()).args(args).output().expect("qemu-img is installed");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// qemu-io, which lies beside qemu-img.
pub(crate) fn qemu_io() -> Command {
    let mut command = Command::new(Path::new(&program()).with_file_name("qemu-io"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl House {
    /// A raw disk: a different word in every place, and a hole of zeros in the second quarter.
    pub(crate) fn raw(&self, name: &str, bytes: u64) -> String {
        let mut content: Vec<u8> = (1..=bytes / 8)
            .flat_map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(13).to_le_bytes())
            .collect();
        content.resize(usize::try_from(bytes).expect("small"), 7);
        let quarter = content.len() / 4;
        content[quarter..2 * quarter].fill(0);
        fs::write(self.root.join(name), content).expect("written");
        self.path(name)
    }

    /// An image of the format that its name tells, with content. `options` are those of the engine.
    pub(crate) fn image(&self, name: &str, options: &str, bytes: u64) -> String {
        let raw = self.raw("content.raw", bytes);
        let path = self.path(name);
        let mut args = vec!["convert", "-f", "raw", "-O", format_of(name)];
        if !options.is_empty() {
            args.extend(["-o", options]);
        }
        args.extend([raw.as_str(), &path]);
        qemu_img(&args);
        fs::remove_file(raw).expect("removed");
        path
    }

    /// A dynamic VHDX of 8 MiB.
    pub(crate) fn vhdx(&self, name: &str) -> String {
        self.image(name, "", 8 * MIB)
    }

    /// A dynamic VHD of 8 MiB.
    pub(crate) fn vhd(&self, name: &str) -> String {
        self.image(name, "force_size=on", 8 * MIB)
    }

    /// A fixed VHD of 4 MiB.
    pub(crate) fn fixed_vhd(&self, name: &str) -> String {
        self.image(name, "subformat=fixed,force_size=on", 4 * MIB)
    }

    pub(crate) fn qcow2(&self, name: &str) -> String {
        self.image(name, "", 8 * MIB)
    }
}

/// Writes bytes into the middle of a file.
pub(crate) fn damage(path: &str, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("opens");
    file.write_all_at(bytes, at).expect("written");
}

/// Cuts a file off.
pub(crate) fn cut(path: &str, bytes: u64) {
    OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(bytes)).expect("cut");
}

pub(crate) fn length(path: &str) -> u64 {
    fs::metadata(path).expect("it is there").len()
}

/// Asserts that a machine would see the same in both images, by the word of the engine's own compare.
pub(crate) fn assert_same_content(left: &str, right: &str) {
    qemu_img(&["compare", "-f", format_of(left), "-F", format_of(right), left, right]);
}

/// The size a machine would see, in bytes.
pub(crate) fn virtual_size(path: &str) -> u64 {
    let told = qemu_img(&["info", "--output=json", "-f", format_of(path), path]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    told["virtual-size"].as_u64().expect("a size")
}
