//! Where a disk has data: `qemu-img map`.

use super::failure::FileRole;
use super::process::{EngineExit, EngineStatus};
use super::qemu_img::{EngineError, QemuImg};
use super::report::NoAnswer;
use super::request::{EngineFile, Invocation};
use crate::disk::image::ImageFormat;
use serde::Deserialize;

#[derive(Deserialize)]
struct Extent {
    start: u64,
    length: u64,
    #[serde(default)]
    data: bool,
    #[serde(default)]
    zero: bool,
}

impl QemuImg {
    /// The end of the last extent at or behind byte `from` that is not known to be zeros; `None` if there is none. An image in so
    /// many pieces that the answer is too long counts as having data up to its end (`u64::MAX`): nothing is cut off on a guess.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn data_end(
        &self,
        file: &EngineFile,
        format: ImageFormat,
        backing: &[EngineFile],
        from: u64,
    ) -> Result<Option<u64>, EngineError> {
        let start = format!("--start-offset={from}");
        let invocation = Invocation::new(["map", "--output=json", &start, "-f", format.engine_name()])
            .file(file, FileRole::Source, format)
            .backing(backing);
        self.run(invocation, data_end).await
    }
}

fn data_end(exit: &EngineExit) -> Result<Option<u64>, NoAnswer> {
    if exit.status != EngineStatus::Exited(0) {
        return Err(NoAnswer::Failed);
    }
    if exit.stdout_truncated {
        return Ok(Some(u64::MAX));
    }
    let extents: Vec<Extent> = serde_json::from_slice(&exit.stdout).map_err(|_| NoAnswer::Unreadable)?;
    Ok(extents.iter().filter(|e| e.data && !e.zero).map(|e| e.start.saturating_add(e.length)).max())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(stdout: &str) -> EngineExit {
        EngineExit {
            status: EngineStatus::Exited(0),
            stdout: stdout.as_bytes().to_vec(),
            stdout_truncated: false,
            stderr: String::new(),
            stderr_truncated: false,
        }
    }

    #[test]
    fn only_data_counts() {
        let text = r#"[{"start": 0, "length": 4096, "depth": 0, "present": true, "zero": false, "data": true, "offset": 0},
            {"start": 4096, "length": 4096, "zero": true, "data": true},
            {"start": 8192, "length": 100, "zero": true, "data": false}]"#;
        assert_eq!(data_end(&exit(text)), Ok(Some(4096)));
        assert_eq!(data_end(&exit("[]")), Ok(None));
        assert_eq!(data_end(&EngineExit { stdout_truncated: true, ..exit("[{") }), Ok(Some(u64::MAX)));
    }
}
