//! Jobs as rows and lines.

use super::text::{clean_line, cut, duration, short_duration, table, with_readable_times};
use cimwright_client::job::{Bytes, JobSnapshot, State};
use std::time::SystemTime;

/// The widest a name is shown in the table.
const NAME_WIDTH: usize = 48;

/// A table of jobs.
pub(crate) fn jobs_table(jobs: &[JobSnapshot], now: SystemTime) -> String {
    let rows: Vec<Vec<String>> = jobs.iter().map(|job| row(job, now)).collect();
    table(&["JOB", "STATE", "%", "NAME", "OWNER", "AGE"], &rows)
}

fn row(job: &JobSnapshot, now: SystemTime) -> Vec<String> {
    let age = job.submitted_at().and_then(|t| now.duration_since(t).ok());
    vec![
        clean_line(&job.instance_id),
        job.state.to_string(),
        job.percent.map_or_else(|| "-".to_owned(), |p| p.to_string()),
        cut(&clean_line(job.name.as_deref().unwrap_or_else(|| job.title())), NAME_WIDTH),
        clean_line(job.owner.as_deref().unwrap_or("-")),
        age.map_or_else(|| "-".to_owned(), short_duration),
    ]
}

/// One line about a job that runs: `Running  37 %  1.2 GiB of 3.2 GiB  Converting`.
pub(crate) fn progress_line(job: &JobSnapshot) -> String {
    let mut parts = vec![job.state.to_string()];
    parts.extend(job.percent.map(|p| format!("{p} %")));
    parts.extend(job.bytes.map(|Bytes { done, total }| format!("{} of {}", size(done), size(total))));
    parts.extend(doing(job));
    parts.join("  ")
}

/// What the job says it does, without the bytes in brackets at its end where they are shown apart.
pub(crate) fn doing(job: &JobSnapshot) -> Option<String> {
    let told = with_readable_times(&clean_line(job.job_status.as_deref()?));
    let bare = match told.rsplit_once(" (") {
        Some((bare, bytes)) if job.bytes.is_some() && bytes.ends_with("bytes)") => bare.to_owned(),
        _ => told,
    };
    Some(bare)
}

/// One line about a job that ended: `Completed in 12 s: Convert a to b`.
pub(crate) fn ending_line(job: &JobSnapshot) -> String {
    let title = clean_line(job.title());
    let how = match job.state {
        State::EXCEPTION => "Failed".to_owned(),
        state => state.to_string(),
    };
    let length = job
        .elapsed
        .map(|e| format!(" {} {}", if job.state.is_success() { "in" } else { "after" }, duration(e)));
    let share = match job.percent {
        Some(percent) if !job.state.is_success() => format!(" at {percent} %"),
        _ => String::new(),
    };
    format!("{how}{}{share}: {title}", length.unwrap_or_default())
}

/// A number of bytes in binary units.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(amount < 100.0);
    format!("{amount:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{DateTime, Instance, Value};
    use std::time::{Duration, UNIX_EPOCH};

    fn job(state: u16) -> JobSnapshot {
        let submitted = DateTime::from_system_time(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        JobSnapshot::of(
            Instance::new("Msvm_StorageJob")
                .with("InstanceID", "0199A000-1")
                .with("Name", "Convert a.vhdx\u{1b}[1m")
                .with("JobState", Value::Uint16(state))
                .with("JobStatus", "Converting (512 of 2048 bytes)")
                .with("PercentComplete", Value::Uint16(25))
                .with("ElapsedTime", DateTime::from_duration(Duration::from_secs(12)))
                .with("TimeSubmitted", submitted),
        )
    }

    #[test]
    fn a_job_is_a_row() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_185);
        assert_eq!(
            jobs_table(&[job(4), job(12)], now),
            "JOB         STATE          %   NAME                OWNER  AGE\n\
             0199A000-1  Running        25  Convert a.vhdx\u{fffd}[1m  -      3 min\n\
             0199A000-1  Query Pending  25  Convert a.vhdx\u{fffd}[1m  -      3 min"
        );
    }

    #[test]
    fn a_job_is_a_line() {
        assert_eq!(progress_line(&job(4)), "Running  25 %  512 B of 2.0 KiB  Converting");
        let mut waiting = job(2);
        waiting.job_status = Some("Waiting until 20261122083252.712384+000".into());
        assert_eq!(doing(&waiting).as_deref(), Some("Waiting until 2026-11-22 08:32:52 UTC"));
        assert_eq!(ending_line(&job(7)), "Completed in 12 s: Convert a.vhdx\u{fffd}[1m");
        assert_eq!(ending_line(&job(10)), "Failed after 12 s at 25 %: Convert a.vhdx\u{fffd}[1m");
        assert_eq!(ending_line(&job(9)), "Killed after 12 s at 25 %: Convert a.vhdx\u{fffd}[1m");
    }

    #[test]
    fn sizes_have_three_digits() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(150 << 20), "150 MiB");
        assert_eq!(size(u64::MAX), "16384 PiB");
    }
}
