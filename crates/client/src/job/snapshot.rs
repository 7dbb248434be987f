//! What a job says about itself, whatever its class.

use cimwright_cim::{DateTime, Instance, InstancePath, Value};
use std::fmt;
use std::time::{Duration, SystemTime};

/// CIM_ConcreteJob.JobState as the server gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State(pub u16);

/// How much of the work is done, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// Done so far.
    pub done: u64,
    /// In all.
    pub total: u64,
}

/// A job at one moment. Properties that its class does not have, or that are NULL, are `None` or empty.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are the properties of CIM_Job and CIM_ConcreteJob")]
pub struct JobSnapshot {
    pub path: Option<InstancePath>,
    pub instance_id: String,
    pub name: Option<String>,
    pub caption: Option<String>,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub state: State,
    pub job_status: Option<String>,
    pub operational_status: Vec<u16>,
    pub status_descriptions: Vec<String>,
    /// PercentComplete, at most 100.
    pub percent: Option<u16>,
    /// Bytes done and in all, where the job tells them.
    pub bytes: Option<Bytes>,
    pub time_submitted: Option<DateTime>,
    pub start_time: Option<DateTime>,
    pub elapsed: Option<Duration>,
    pub time_of_last_state_change: Option<DateTime>,
    pub time_before_removal: Option<Duration>,
    pub error_code: Option<u64>,
    pub error_description: Option<String>,
    pub error_summary: Option<String>,
    /// Whether it can be stopped now.
    pub cancellable: Option<bool>,
    /// When it left the namespace: only in a history.
    pub removed: Option<DateTime>,
    /// Everything the server showed.
    pub instance: Instance,
}

impl State {
    /// Started and waiting for its turn.
    pub const NEW: Self = Self(2);
    /// Running.
    pub const RUNNING: Self = Self(4);
    /// Paused.
    pub const SUSPENDED: Self = Self(5);
    /// Ended well.
    pub const COMPLETED: Self = Self(7);
    /// Ended by a request to terminate.
    pub const TERMINATED: Self = Self(8);
    /// Ended by a request to kill.
    pub const KILLED: Self = Self(9);
    /// Failed.
    pub const EXCEPTION: Self = Self(10);
    /// What some Hyper-V clients take for "completed with warnings".
    pub const COMPLETED_WITH_WARNINGS: Self = Self(32768);

    /// Whether it will not change any more.
    pub fn is_ended(self) -> bool {
        matches!(self.0, 7..=10) || self == Self::COMPLETED_WITH_WARNINGS
    }

    /// Whether the job did what it was asked for.
    pub fn is_success(self) -> bool {
        matches!(self, Self::COMPLETED | Self::COMPLETED_WITH_WARNINGS)
    }

    /// The name in the value map of JobState.
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            2 => "New",
            3 => "Starting",
            4 => "Running",
            5 => "Suspended",
            6 => "Shutting Down",
            7 => "Completed",
            8 => "Terminated",
            9 => "Killed",
            10 => "Exception",
            11 => "Service",
            12 => "Query Pending",
            32768 => "Completed with Warnings",
            _ => return None,
        })
    }

    /// The state with this name, in any case and with or without its spaces.
    pub fn from_name(name: &str) -> Option<Self> {
        let folded = |text: &str| text.replace([' ', '-', '_'], "").to_ascii_lowercase();
        (2..=12).map(State).find(|s| s.name().is_some_and(|n| folded(n) == folded(name)))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("state {}", self.0)),
        }
    }
}

impl JobSnapshot {
    /// Reads an instance of any job class.
    pub fn of(instance: Instance) -> Self {
        let text = |name: &str| instance.get_str(name).filter(|t| !t.is_empty()).map(str::to_owned);
        let time = |name: &str| match instance.get(name) {
            Some(Value::DateTime(time)) => Some(*time),
            _ => None,
        };
        let length = |name: &str| time(name).and_then(|t| t.to_duration());
        let items = |name: &str| instance.get(name).and_then(Value::as_array).unwrap_or_default();
        let operational_status: Vec<u16> = items("OperationalStatus")
            .iter()
            .flatten()
            .filter_map(|v| v.as_u64().and_then(|n| u16::try_from(n).ok()))
            .collect();
        let status_descriptions: Vec<String> = items("StatusDescriptions")
            .iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect();
        let state = match instance.get_u64("JobState").and_then(|n| u16::try_from(n).ok()) {
            Some(number) => State(number),
            None => state_of(&operational_status),
        };
        let job_status = text("JobStatus");
        let bytes = bytes_of(&instance)
            .or_else(|| job_status.iter().chain(&status_descriptions).find_map(|told| bytes_in(told)));
        Self {
            instance_id: super::instance_id(&instance).unwrap_or_default().to_owned(),
            name: text("Name"),
            caption: text("Caption"),
            description: text("Description"),
            owner: text("Owner"),
            state,
            percent: instance
                .get_u64("PercentComplete")
                .and_then(|n| u16::try_from(n).ok())
                // 101 is the schema's way to say that nobody knows.
                .filter(|n| *n <= 100),
            bytes,
            time_submitted: time("TimeSubmitted"),
            start_time: time("StartTime"),
            elapsed: length("ElapsedTime"),
            time_of_last_state_change: time("TimeOfLastStateChange"),
            time_before_removal: length("TimeBeforeRemoval"),
            error_code: instance.get_u64("ErrorCode"),
            error_description: text("ErrorDescription"),
            error_summary: text("ErrorSummaryDescription"),
            cancellable: instance.get("Cancellable").and_then(Value::as_bool),
            removed: time("Removed"),
            job_status,
            operational_status,
            status_descriptions,
            path: instance.path.clone(),
            instance,
        }
    }

    /// What a person would call the job: its description, caption or name.
    pub fn title(&self) -> &str {
        [&self.description, &self.caption, &self.name].into_iter().find_map(|t| t.as_deref()).unwrap_or("job")
    }

    /// How much of the work is done, from 0 to 1: exact where bytes are told.
    pub fn share(&self) -> Option<f64> {
        match (self.bytes, self.percent) {
            (Some(Bytes { done, total }), _) if total > 0 => Some((done as f64 / total as f64).min(1.0)),
            (_, Some(percent)) => Some(f64::from(percent) / 100.0),
            _ => None,
        }
    }

    /// When the job was submitted, where the server has a clock.
    pub fn submitted_at(&self) -> Option<SystemTime> {
        self.time_submitted.and_then(|t| t.to_system_time()).filter(|t| *t > SystemTime::UNIX_EPOCH)
    }

    /// When it ended: the last change of state of a job that has ended.
    pub fn ended_at(&self) -> Option<SystemTime> {
        let changed = self.time_of_last_state_change.filter(|_| self.state.is_ended())?;
        changed.to_system_time().filter(|t| *t > SystemTime::UNIX_EPOCH)
    }
}

/// The state of a job whose class has no JobState: CIM_Job alone has OperationalStatus, where 17 (Completed) tells the end.
fn state_of(operational_status: &[u16]) -> State {
    let has = |n| operational_status.contains(&n);
    match (has(17), has(6) || has(7) || has(14)) {
        (true, false) => State::COMPLETED,
        (_, true) => State::EXCEPTION,
        (false, false) if has(15) => State::NEW,
        (false, false) => State::RUNNING,
    }
}

/// Bytes in properties of their own, as some job classes have them.
fn bytes_of(instance: &Instance) -> Option<Bytes> {
    let number = |names: [&str; 2]| names.into_iter().find_map(|n| instance.get_u64(n));
    let done = number(["BytesProcessed", "BytesTransferred"])?;
    let total = number(["BytesTotal", "TotalBytes"])?;
    (total > 0).then_some(Bytes { done, total })
}

/// Bytes in a free text such as `Converting (1,234 of 5,678 bytes)`.
fn bytes_in(text: &str) -> Option<Bytes> {
    let mut words = text.split([' ', '(', ')', ';', ':']).filter(|w| !w.is_empty());
    let number = |word: &str| -> Option<u64> {
        word.bytes().any(|b| b.is_ascii_digit()).then(|| word.replace([',', '_'], "").parse().ok())?
    };
    let mut window: [&str; 4] = [""; 4];
    loop {
        window = [window[1], window[2], window[3], words.next()?];
        let [done, of, total, unit] = window;
        if let ("of", true) = (of, unit.trim_end_matches(['.', ',']).eq_ignore_ascii_case("bytes"))
            && let (Some(done), Some(total)) = (number(done), number(total))
            && total > 0
        {
            return Some(Bytes { done, total });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_of_any_class_is_read() {
        let job = JobSnapshot::of(
            Instance::new("ACME_ConcreteJob")
                .with("InstanceID", "ACME:Job:7")
                .with("Name", "Copy vol1")
                .with("JobState", Value::Uint16(10))
                .with("PercentComplete", Value::Uint16(40))
                .with("OperationalStatus", Value::uint16s([6, 17]))
                .with("ElapsedTime", "00000000000107.000000:000".parse::<DateTime>().unwrap())
                .with("Notify", ""),
        );
        assert_eq!(job.instance_id, "ACME:Job:7");
        assert_eq!((job.state, job.percent, job.title()), (State::EXCEPTION, Some(40), "Copy vol1"));
        assert_eq!(job.elapsed, Some(Duration::from_secs(67)));
        assert_eq!(job.error_code, None);
        assert_eq!(job.share(), Some(0.4));
    }

    #[test]
    fn a_job_without_state_is_known_by_its_status() {
        let state = |items: &[u16]| {
            let status = Value::uint16s(items.iter().copied());
            JobSnapshot::of(Instance::new("X").with("OperationalStatus", status)).state
        };
        assert_eq!(state(&[2, 17]), State::COMPLETED);
        assert_eq!(state(&[17, 6]), State::EXCEPTION);
        assert_eq!(state(&[2]), State::RUNNING);
        assert_eq!(state(&[15]), State::NEW);
    }

    #[test]
    fn bytes_are_taken_from_the_text_that_tells_them() {
        let bytes = |done, total| Some(Bytes { done, total });
        assert_eq!(bytes_in("Converting (1,234 of 5,678 bytes)"), bytes(1234, 5678));
        assert_eq!(bytes_in("12 of 34 bytes."), bytes(12, 34));
        assert_eq!(bytes_in("Step 1 of 2"), None);
        assert_eq!(bytes_in("0 of 0 bytes"), None);
        assert_eq!(bytes_in("some of the bytes"), None);
    }

    #[test]
    fn states_have_names_both_ways() {
        assert_eq!(State::from_name("shuttingdown"), Some(State(6)));
        assert_eq!(State::from_name("Query Pending"), Some(State(12)));
        assert_eq!(State::from_name("done"), None);
        assert_eq!(State(99).to_string(), "state 99");
        assert!(State::KILLED.is_ended() && !State::SUSPENDED.is_ended());
    }
}
