//! What qemu-img answers when it succeeds, taken out of its JSON and its sentences.

use std::fmt;

use serde::Deserialize;

use super::process::{EngineExit, EngineStatus};

/// The version of an installed engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// Major, minor and patch number; comparable.
    pub numbers: (u32, u32, u32),
    /// The whole first line it prints.
    pub text: String,
}

/// The answer of `info`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QemuInfo {
    /// The size of the disk a machine sees, in bytes.
    pub virtual_size_bytes: u64,
    /// The space the file takes, in bytes.
    pub actual_size_bytes: u64,
    /// The unit of allocation in bytes, where the format has one.
    pub cluster_size_bytes: Option<u64>,
    /// The image was not closed properly.
    pub dirty: bool,
    /// The image is marked as corrupt.
    pub corrupt: bool,
    /// The content is encrypted.
    pub encrypted: bool,
    /// The backing file as the image names it.
    pub backing_file: Option<String>,
    /// The format of the backing file as the image names it.
    pub backing_format: Option<String>,
    /// The content lies in another file, which the image names so.
    pub data_file: Option<String>,
    /// How many snapshots are inside.
    pub internal_snapshots: usize,
}

/// The answer of `check` for an image that can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Space that is allocated and belongs to nothing: wasteful, harmless. In clusters.
    pub leaks: u64,
    /// Errors that were repaired.
    pub corruptions_fixed: u64,
    /// Leaks that were repaired.
    pub leaks_fixed: u64,
    /// Clusters in use, where the format tells.
    pub allocated_clusters: Option<u64>,
    /// Clusters in all, where the format tells.
    pub total_clusters: Option<u64>,
}

/// The answer of `compare`. A longer disk counts as identical when only zeros are in the part that the other lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// A machine would see the same content.
    Identical {
        /// One of the disks is longer, by zeros.
        sizes_differ: bool,
    },
    /// The content differs.
    Different {
        /// Near the first difference, in bytes from the start of the disk.
        at_byte: Option<u64>,
    },
}

/// The answer of `measure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// The space the new file will take, in bytes.
    pub required_bytes: u64,
    /// The space it will take when everything has been written once, in bytes.
    pub fully_allocated_bytes: u64,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The run failed; the messages tell why.
    Failed,
    /// The run succeeded, and the output is not what it should be.
    Unreadable,
}

pub(super) fn nothing(exit: &EngineExit) -> Result<(), NoAnswer> {
    succeeded(exit, &[0])
}

pub(super) fn version(exit: &EngineExit) -> Result<EngineVersion, NoAnswer> {
    succeeded(exit, &[0])?;
    let stdout = String::from_utf8_lossy(&exit.stdout);
    let text = stdout.lines().next().unwrap_or_default();
    let parse = || {
        let number = text.strip_prefix("qemu-img version ")?.split([' ', '(']).next()?;
        let mut parts = number.split('.').map(str::parse);
        let major = parts.next()?.ok()?;
        // A missing part of the number is a zero; so is one with letters, as in a development version.
        let mut rest = || parts.next().and_then(Result::ok).unwrap_or(0);
        Some(EngineVersion { numbers: (major, rest(), rest()), text: text.to_owned() })
    };
    parse().ok_or(NoAnswer::Unreadable)
}

pub(super) fn info(exit: &EngineExit) -> Result<QemuInfo, NoAnswer> {
    succeeded(exit, &[0])?;
    let answer: JsonInfo = json(exit)?;
    let specific = answer.format_specific.data;
    Ok(QemuInfo {
        virtual_size_bytes: answer.virtual_size,
        actual_size_bytes: answer.actual_size,
        cluster_size_bytes: answer.cluster_size,
        dirty: answer.dirty_flag,
        corrupt: specific.corrupt,
        encrypted: answer.encrypted,
        backing_file: answer.backing_filename,
        backing_format: answer.backing_filename_format,
        data_file: specific.data_file,
        internal_snapshots: answer.snapshots.len(),
    })
}

/// 0 is a sound image, 3 one with leaks. Everything else is a failure, corrupt images included.
pub(super) fn check(exit: &EngineExit) -> Result<CheckReport, NoAnswer> {
    succeeded(exit, &[0, 3])?;
    let answer: JsonCheck = json(exit)?;
    Ok(CheckReport {
        leaks: answer.leaks,
        corruptions_fixed: answer.corruptions_fixed,
        leaks_fixed: answer.leaks_fixed,
        allocated_clusters: answer.allocated_clusters,
        total_clusters: answer.total_clusters,
    })
}

pub(super) fn compare(exit: &EngineExit) -> Result<Comparison, NoAnswer> {
    succeeded(exit, &[0, 1])?;
    let stdout = String::from_utf8_lossy(&exit.stdout);
    if exit.status == EngineStatus::Exited(0) {
        return Ok(Comparison::Identical { sizes_differ: stdout.contains("size mismatch") });
    }
    let at_byte = stdout.split_once("at offset ").and_then(|(_, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    // Without any sentence about a difference, 1 is the code of any program that fails.
    if at_byte.is_none() && !stdout.contains("mismatch") {
        Err(NoAnswer::Failed)
    } else {
        Ok(Comparison::Different { at_byte })
    }
}

pub(super) fn measure(exit: &EngineExit) -> Result<Measurement, NoAnswer> {
    succeeded(exit, &[0])?;
    let answer: JsonMeasure = json(exit)?;
    Ok(Measurement { required_bytes: answer.required, fully_allocated_bytes: answer.fully_allocated })
}

fn succeeded(exit: &EngineExit, codes: &[i32]) -> Result<(), NoAnswer> {
    match exit.status {
        EngineStatus::Exited(code) if codes.contains(&code) => Ok(()),
        _ => Err(NoAnswer::Failed),
    }
}

fn json<T: for<'bytes> Deserialize<'bytes>>(exit: &EngineExit) -> Result<T, NoAnswer> {
    if exit.stdout_truncated {
        return Err(NoAnswer::Unreadable);
    }
    serde_json::from_slice(&exit.stdout).map_err(|_| NoAnswer::Unreadable)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonInfo {
    virtual_size: u64,
    actual_size: u64,
    cluster_size: Option<u64>,
    #[serde(default)]
    dirty_flag: bool,
    #[serde(default)]
    encrypted: bool,
    backing_filename: Option<String>,
    backing_filename_format: Option<String>,
    #[serde(default)]
    snapshots: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    format_specific: JsonSpecific,
}

#[derive(Deserialize, Default)]
struct JsonSpecific {
    #[serde(default)]
    data: JsonSpecificData,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct JsonSpecificData {
    #[serde(default)]
    corrupt: bool,
    data_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonCheck {
    #[serde(default)]
    leaks: u64,
    #[serde(default)]
    corruptions_fixed: u64,
    #[serde(default)]
    leaks_fixed: u64,
    allocated_clusters: Option<u64>,
    total_clusters: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonMeasure {
    required: u64,
    fully_allocated: u64,
}

impl fmt::Display for EngineVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.numbers;
        write!(formatter, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32, stdout: &str) -> EngineExit {
        EngineExit {
            status: EngineStatus::Exited(code),
            stdout: stdout.as_bytes().to_vec(),
            stdout_truncated: false,
            stderr: String::new(),
            stderr_truncated: false,
        }
    }

    #[test]
    fn versions_of_debian_and_others_are_read() {
        for (line, numbers) in [
            ("qemu-img version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c)", (7, 2, 22)),
            ("qemu-img version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)", (10, 0, 2)),
            ("qemu-img version 9.1", (9, 1, 0)),
        ] {
            assert_eq!(version(&exit(0, line)).expect("known").numbers, numbers);
        }
        assert_eq!(version(&exit(0, "something else")), Err(NoAnswer::Unreadable));
        assert_eq!(version(&exit(1, "qemu-img version 9.1")), Err(NoAnswer::Failed));
    }

    #[test]
    fn the_answer_of_info_is_read_in_both_generations() {
        let old = r#"{"virtual-size": 8388608, "filename": "o", "cluster-size": 65536, "format": "qcow2",
            "actual-size": 200704, "format-specific": {"type": "qcow2", "data": {"compat": "1.1", "corrupt": true,
            "data-file": "d.raw"}}, "full-backing-filename": "s", "backing-filename": "s",
            "backing-filename-format": "vhdx", "snapshots": [{"id": "1"}], "dirty-flag": true}"#;
        let expected = QemuInfo {
            virtual_size_bytes: 8_388_608,
            actual_size_bytes: 200_704,
            cluster_size_bytes: Some(65536),
            dirty: true,
            corrupt: true,
            encrypted: false,
            backing_file: Some("s".into()),
            backing_format: Some("vhdx".into()),
            data_file: Some("d.raw".into()),
            internal_snapshots: 1,
        };
        assert_eq!(info(&exit(0, old)), Ok(expected));
        let new = r#"{"children": [{"name": "file", "info": {"children": [], "virtual-size": 1, "filename": "f",
            "format": "file", "actual-size": 2, "format-specific": {"type": "file", "data": {}},
            "dirty-flag": false}}], "virtual-size": 8388608, "filename": "f", "format": "raw",
            "actual-size": 4096, "dirty-flag": false}"#;
        let raw = QemuInfo { virtual_size_bytes: 8_388_608, actual_size_bytes: 4096, ..QemuInfo::default() };
        assert_eq!(info(&exit(0, new)), Ok(raw));
        assert_eq!(info(&exit(0, "{}")), Err(NoAnswer::Unreadable));
        assert_eq!(info(&EngineExit { stdout_truncated: true, ..exit(0, new) }), Err(NoAnswer::Unreadable));
    }

    #[test]
    fn a_check_succeeds_only_for_usable_images() {
        let clean =
            r#"{"image-end-offset": 1, "total-clusters": 128, "check-errors": 0, "allocated-clusters": 3}"#;
        let report = check(&exit(0, clean)).expect("clean");
        assert_eq!((report.allocated_clusters, report.total_clusters, report.leaks), (Some(3), Some(128), 0));
        let leaking = r#"{"check-errors": 0, "leaks": 4}"#;
        assert_eq!(check(&exit(3, leaking)).expect("usable").leaks, 4);
        assert_eq!(check(&exit(2, r#"{"corruptions": 3, "check-errors": 0}"#)), Err(NoAnswer::Failed));
    }

    #[test]
    fn comparisons_tell_where_and_whether() {
        let same = Comparison::Identical { sizes_differ: false };
        assert_eq!(compare(&exit(0, "\nImages are identical.\n")), Ok(same));
        let longer = Comparison::Identical { sizes_differ: true };
        assert_eq!(compare(&exit(0, "Warning: Image size mismatch!\nImages are identical.\n")), Ok(longer));
        let different = Comparison::Different { at_byte: Some(4_999_680) };
        assert_eq!(compare(&exit(1, "Content mismatch at offset 4999680!\n")), Ok(different));
        assert_eq!(compare(&exit(1, "")), Err(NoAnswer::Failed));
        assert_eq!(compare(&exit(2, "")), Err(NoAnswer::Failed));
    }
}
