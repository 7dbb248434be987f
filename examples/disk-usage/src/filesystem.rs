//! The file systems, and their methods.

use crate::measure::{self, Order};
use crate::{FILE_SYSTEM, errors};
use async_trait::async_trait;
use cimwright_sdk::cim::{CimError, CimStatus, ClassName, ErrorDetail, Instance, InstancePath, Param, Value};
use cimwright_sdk::jobs::Affected;
use cimwright_sdk::{Context, InstanceProvider, MethodCall, MethodOutcome, MethodProvider, NewJob};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// The return value for a parameter that makes no sense.
const INVALID_PARAMETER: u32 = 5;

pub(crate) struct FileSystems;

/// A line of /proc/self/mounts.
struct Mount {
    device: String,
    point: String,
    kind: String,
}

#[async_trait]
impl InstanceProvider for FileSystems {
    async fn enumerate(&self, _: Context<'_>, _: &ClassName) -> Result<Vec<Instance>, CimError> {
        Ok(mounts()?.iter().filter_map(instance).collect())
    }
}

fn instance(mount: &Mount) -> Option<Instance> {
    // Some of what is mounted has no size, or may not be looked at; it is no file system that can be measured.
    let space = rustix::fs::statvfs(mount.point.as_str()).ok().filter(|s| s.f_blocks > 0)?;
    Some(
        Instance::new(FILE_SYSTEM)
            .with("Name", mount.point.as_str())
            .with("Device", mount.device.as_str())
            .with("FileSystemType", mount.kind.as_str())
            .with("Size", Value::Uint64(space.f_blocks * space.f_frsize))
            .with("AvailableSpace", Value::Uint64(space.f_bavail * space.f_frsize)),
    )
}

#[async_trait]
impl MethodProvider for FileSystems {
    async fn invoke(&self, _: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        let target = call.target.as_instance().cloned();
        let target = target.ok_or_else(|| CimError::invalid_parameter("the method is one of an instance"))?;
        let point = target.key_str("Name").unwrap_or_default();
        match call.method.as_str() {
            "Sample" => sample(point, call.required_u64("Seconds")?).await,
            "Measure" => Ok(measure(&target, point, &call)?),
            other => Err(CimError::new(CimStatus::MethodNotAvailable, format!("{other} is not implemented"))),
        }
    }
}

async fn sample(point: &str, seconds: u64) -> Result<MethodOutcome, CimError> {
    if !(1..=50).contains(&seconds) {
        return Ok(MethodOutcome::code(INVALID_PARAMETER));
    }
    let before = used(point)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let growth = used(point)? - before;
    Ok(MethodOutcome::Done { return_value: 0, out: vec![Param::new("Growth", Value::Sint64(growth))] })
}

fn measure(target: &InstancePath, point: &str, call: &MethodCall) -> Result<MethodOutcome, CimError> {
    let path = call.required_str("Path")?;
    let order = Order { path: path.into(), entries_per_second: call.u64("EntriesPerSecond").unwrap_or(0) };
    let job = Box::new(NewJob {
        family: measure::FAMILY,
        kind: measure::KIND,
        payload: order.to_payload(),
        name: format!("Measure {path}"),
        description: format!("Counts the files below {path} and what they occupy."),
        affected: vec![Affected {
            element: InstancePath { namespace: None, ..target.clone() },
            effects: vec![],
        }],
        ..NewJob::default()
    });
    // What can be known to be wrong is refused at once; the job service keeps the reason all the same.
    Ok(match check(path, point) {
        Ok(()) => MethodOutcome::Job(job),
        Err(reason) => MethodOutcome::Refused { job, reason: Box::new(reason) },
    })
}

fn check(path: &str, point: &str) -> Result<(), ErrorDetail> {
    if !Path::new(path).is_absolute() {
        return Err(errors::no_directory(path, "it is not absolute"));
    }
    let device = |p: &str| std::fs::metadata(p).map_err(|e| errors::no_directory(path, e));
    let directory = device(path)?;
    if !directory.is_dir() {
        return Err(errors::no_directory(path, "it is something else"));
    }
    if directory.dev() != device(point)?.dev() {
        return Err(errors::elsewhere(path, point));
    }
    Ok(())
}

fn used(point: &str) -> Result<i64, CimError> {
    let space = rustix::fs::statvfs(point).map_err(|e| CimError::failed(format!("{point}: {e}")))?;
    Ok(((space.f_blocks - space.f_bfree) * space.f_frsize).cast_signed())
}

/// What is mounted; of several things at one place the last, which hides the others.
fn mounts() -> Result<Vec<Mount>, CimError> {
    let text = std::fs::read_to_string("/proc/self/mounts")
        .map_err(|e| CimError::failed(format!("the mounted file systems cannot be found out: {e}")))?;
    let mut mounts: Vec<Mount> = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ').map(unescaped);
        let (Some(device), Some(point), Some(kind)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        mounts.retain(|m| m.point != point);
        mounts.push(Mount { device, point, kind });
    }
    Ok(mounts)
}

/// The kernel writes blanks, tabs, line ends and backslashes as three octal digits.
fn unescaped(word: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(word.to_owned(), |text, (code, character)| text.replace(code, character))
}
