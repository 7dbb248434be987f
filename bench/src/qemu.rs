//! qemu-img, called directly: to prepare images, to compare them, and as the floor that a conversion is measured against.

use crate::failure::{Failure, Result};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Where the server's configuration expects it by default.
pub const PROGRAM: &str = "/usr/bin/qemu-img";

/// A format, as an extension tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the names of formats")]
pub enum Format {
    Raw,
    Vhd,
    Vhdx,
    Qcow2,
}

impl Format {
    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Qcow2 => "qcow2",
        }
    }

    /// What qemu-img calls it.
    pub fn engine_name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Vhd => "vpc",
            Self::Vhdx => "vhdx",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// Sees to it that there is one.
///
/// # Errors
/// When there is none.
pub async fn version() -> Result<String> {
    let missing = |_| Failure::Missing { what: "qemu-img", run: "apt-get install qemu-utils" };
    let output = Command::new(PROGRAM).arg("--version").output().await.map_err(missing)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default();
    Ok(first.trim_start_matches("qemu-img version ").to_owned())
}

/// Runs it and gives its standard output.
///
/// # Errors
/// When it fails.
pub async fn run(arguments: &[&str]) -> Result<String> {
    let line = format!("qemu-img {}", arguments.join(" "));
    let command =
        Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = command.map_err(|e| Failure::Program { line: line.clone(), said: e.to_string() })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = format!("{} {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        Err(Failure::Program { line, said })
    }
}

/// Whether two images hold the same content; where one is larger, the rest of it must be zeros. The text says what differs.
///
/// # Errors
/// When they cannot be compared, with what qemu-img said.
pub async fn compare(
    left: (&Path, Format),
    right: (&Path, Format),
) -> Result<std::result::Result<(), String>> {
    let (left_path, right_path) = (left.0.to_string_lossy(), right.0.to_string_lossy());
    let arguments =
        ["compare", "-f", left.1.engine_name(), "-F", right.1.engine_name(), &left_path, &right_path];
    let line = format!("qemu-img {}", arguments.join(" "));
    let command =
        Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = command.map_err(|e| Failure::Program { line: line.clone(), said: e.to_string() })?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => Ok(Ok(())),
        Some(1) => Ok(Err(said.trim().to_owned())),
        _ => Err(Failure::Program { line, said }),
    }
}

/// The size of the disk in an image, in bytes.
///
/// # Errors
/// When the image cannot be read.
pub async fn virtual_size(path: &Path, format: Format) -> Result<u64> {
    let name = path.to_string_lossy();
    let text = run(&["info", "--output=json", "-f", format.engine_name(), &name]).await?;
    let value: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    value
        .as_ref()
        .and_then(|v| v.get("virtual-size")?.as_u64())
        .ok_or_else(|| Failure::Program { line: format!("qemu-img info {name}"), said: text.clone() })
}
