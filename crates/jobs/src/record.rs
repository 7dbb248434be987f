//! What is stored about a job, in four parts by who may write them.
//!
//! - [`JobSpec`]: what was asked for. Written once, when the job is created.
//! - [`JobRun`]: how far it is. Written by the driver that holds the lease, and by nobody else.
//! - [`JobSettings`]: what a client may change on the instance.
//! - [`StateRequest`]: what a client wants to happen next.

use crate::state::{JobState, RequestedState};
use cimwright_cim::{DateTime, ErrorDetail, InstancePath, NamespaceName, Value};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// How long a finished job stays when nobody says otherwise (CIM_ConcreteJob.TimeBeforeRemoval).
pub const DEFAULT_TIME_BEFORE_REMOVAL: Duration = Duration::from_secs(300);

/// The priority of a job when nobody says otherwise; lower numbers go first (CIM_Job.Priority).
pub const DEFAULT_PRIORITY: u32 = 100;

/// The InstanceID of a job: a GUID, shown in capitals as Hyper-V does. Ids made later sort after ids made earlier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub Uuid);

impl JobId {
    /// An id that was never used.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}", self.0.as_hyphenated())
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self)
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    /// The InstanceID.
    pub id: JobId,
    /// Which classes show the job, and where: the name of a group of dialects, such as `hyperv.storage`.
    pub family: String,
    /// Which code runs it: the name of a [`crate::step::JobKind`].
    pub kind: String,
    /// What that code needs to know, in its own form (JSON by custom).
    pub payload: String,
    /// The namespace the job was started in.
    pub origin: NamespaceName,
    /// Who started it.
    pub owner: String,
    /// CIM_Job.Name; need not be unique.
    pub name: String,
    /// One line for a person.
    pub caption: String,
    /// A sentence for a person, naming what is worked on.
    pub description: String,
    /// Msvm_StorageJob.JobType (Type in v1), or that of another class.
    pub job_type: u16,
    /// The element that created the job, without namespace: CIM_OwningJobElement.
    pub owning_element: Option<InstancePath>,
    /// The elements it works on: CIM_AffectedJobElement.
    pub affected: Vec<Affected>,
    /// When it was submitted.
    pub submitted: SystemTime,
    /// The method call that made the job: CIM_MethodResult. `None` if no client made it.
    pub call: Option<Call>,
    /// For the record of one run of a recurring job, which is a job of its own in the history: the recurring job.
    pub run_of: Option<JobId>,
}

/// A method call that made a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What it was made on, without namespace; for a static method a path without keys.
    pub target: InstancePath,
    /// The method, in the declared spelling.
    pub method: String,
    /// The input parameters that were not NULL, by name.
    pub params: Vec<(String, Value)>,
    /// The names of the output parameters, without the one for the job.
    pub outs: Vec<String>,
    /// The name of the output parameter for the job, if there is one.
    pub job: Option<String>,
}

/// An element of jobs, as an index keeps it: equal for paths that are equal, and hardly ever equal for others.
///
/// Stores write it down, so what it is made of never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ElementKey(pub u64);

/// An element a job works on, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Affected {
    /// The element, without namespace.
    pub element: InstancePath,
    /// CIM_AffectedJobElement.ElementEffects: 0 Unknown, 1 Other, 2 Exclusive Use, 3 Performance Impact, 4 Element Integrity, 5 Create.
    pub effects: Vec<u16>,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRun {
    /// Its state.
    pub state: JobState,
    /// CIM_Job.JobStatus: what it is doing, for a person.
    pub status: String,
    /// When it first began to run.
    pub started: Option<SystemTime>,
    /// When the state last changed; `None` if it never did.
    pub changed: Option<SystemTime>,
    /// When it ended.
    pub finished: Option<SystemTime>,
    /// How long it ran before `running_since`.
    pub ran: Duration,
    /// Since when it has been running without a break; `None` while it is not.
    pub running_since: Option<SystemTime>,
    /// How much of the work is done.
    pub progress: Progress,
    /// Whether the step that runs (or would run next) can be stopped and undone.
    pub cancellable: bool,
    /// The steps that ended well and were not undone, in order.
    pub steps: Vec<StepRecord>,
    /// How often a driver has taken the job up.
    pub attempts: u32,
    /// Why it failed or was stopped, the most relevant first.
    pub errors: Vec<ErrorDetail>,
    /// What went wrong while undoing what it had done; no reason for its failure.
    pub undo_errors: Vec<ErrorDetail>,
    /// What the job found out: output parameters and class-specific properties, by property name.
    pub results: Vec<(String, Value)>,
    /// Not to be begun before this moment; `None`: as soon as there is room. Matters only in the state New.
    pub due: Option<SystemTime>,
    /// How many runs of a recurring job have ended.
    pub runs: u32,
}

/// How much of the work is done, as the engine tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all; 0 while unknown.
    pub total: u64,
    /// Hundredths of a percent, 0 to 10,000, if the engine tells a share.
    pub share: u16,
}

/// A step that ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// What it left for later steps and for its undo, in its own form.
    pub output: String,
}

/// What a client may change on the instance, where the class allows it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSettings {
    /// How long the job stays after its end.
    pub time_before_removal: Duration,
    /// Whether it leaves by itself after that time.
    pub delete_on_completion: bool,
    /// Lower numbers go first.
    pub priority: u32,
    /// Whom to tell.
    pub notify: Option<String>,
    /// When to run.
    pub schedule: Schedule,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            time_before_removal: DEFAULT_TIME_BEFORE_REMOVAL,
            delete_on_completion: true,
            priority: DEFAULT_PRIORITY,
            notify: None,
            schedule: Schedule::default(),
        }
    }
}

/// The scheduling properties of CIM_Job; [`crate::schedule`] says what they mean.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are the properties of CIM_Job")]
pub struct Schedule {
    pub scheduled_start_time: Option<DateTime>,
    pub job_run_times: u32,
    pub run_month: Option<u8>,
    pub run_day: Option<i8>,
    pub run_day_of_week: Option<i8>,
    pub run_start_interval: Option<DateTime>,
    pub local_or_utc_time: Option<u16>,
    pub until_time: Option<DateTime>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            scheduled_start_time: None,
            job_run_times: 1,
            run_month: None,
            run_day: None,
            run_day_of_week: None,
            run_start_interval: None,
            local_or_utc_time: None,
            until_time: None,
        }
    }
}

/// What a client wants to happen next. A later request replaces an earlier one that is still pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRequest {
    /// What is wanted.
    pub wanted: RequestedState,
    /// Who wants it.
    pub by: String,
    /// Since when.
    pub at: SystemTime,
    /// Until when it should have happened (TimeoutPeriod); `None` for no limit.
    pub deadline: Option<SystemTime>,
}

/// Everything that is stored about a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRecord {
    /// What was asked for.
    pub spec: Arc<JobSpec>,
    /// How far it is.
    pub run: JobRun,
    /// What a client may change.
    pub settings: JobSettings,
    /// What a client wants next.
    pub request: Option<StateRequest>,
}

impl JobRun {
    /// The run of a job that was just created.
    pub fn new() -> Self {
        Self {
            state: JobState::New,
            status: crate::driver::WAITS_FOR_ROOM.to_owned(),
            started: None,
            changed: None,
            finished: None,
            ran: Duration::ZERO,
            running_since: None,
            progress: Progress::default(),
            cancellable: true,
            steps: Vec::new(),
            attempts: 0,
            errors: Vec::new(),
            undo_errors: Vec::new(),
            results: Vec::new(),
            due: None,
            runs: 0,
        }
    }

    /// Whether no step has begun, nor will before somebody does something about it.
    pub fn is_unbegun(&self) -> bool {
        matches!(self.state, JobState::New | JobState::Suspended | JobState::Service)
            && self.attempts == 0
            && self.steps.is_empty()
    }

    /// Whether the job is in the queue but its time has not come.
    pub fn waits_for_its_time(&self) -> bool {
        self.state == JobState::New && self.due.is_some()
    }
}

impl JobSpec {
    /// All elements it is tied to: the one that made it and those it works on.
    pub fn elements(&self) -> impl Iterator<Item = &InstancePath> {
        self.owning_element.iter().chain(self.affected.iter().map(|a| &a.element))
    }
}

impl ElementKey {
    /// The key of the element with this path; host and namespace do not matter.
    pub fn of(element: &InstancePath) -> Self {
        let mut hash = Fnv::default();
        hash.path(element);
        Self(hash.0)
    }
}

/// FNV-1a with 64 bits: the same in every version of this program and its tools.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn text(&mut self, text: &str) {
        // The byte behind it keeps two texts apart; UTF-8 has no 0xff.
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn path(&mut self, path: &InstancePath) {
        self.text(&path.class.as_str().to_ascii_lowercase());
        let mut keys: Vec<(String, &Value)> =
            path.keys.iter().map(|k| (k.name.as_str().to_ascii_lowercase(), &k.value)).collect();
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, value) in keys {
            self.text(&name);
            self.value(value);
        }
    }

    /// Numbers of all types are alike, and a datetime is like its text: so are the values of equal keys.
    fn value(&mut self, value: &Value) {
        if let Some(number) = value.as_i128() {
            return self.text(&number.to_string());
        }
        match value {
            Value::String(text) => self.text(text),
            Value::DateTime(time) => self.text(&time.to_string()),
            Value::Reference(path) => match path.as_instance() {
                Some(path) => self.path(path),
                None => self.text(&path.class().as_str().to_ascii_lowercase()),
            },
            Value::Boolean(flag) => self.text(if *flag { "true" } else { "false" }),
            // Nothing else can be a key.
            _ => self.text(""),
        }
    }
}

impl Default for JobRun {
    fn default() -> Self {
        Self::new()
    }
}

impl JobRecord {
    /// A job that was just asked for.
    pub fn new(spec: JobSpec, settings: JobSettings) -> Self {
        Self { spec: Arc::new(spec), run: JobRun::new(), settings, request: None }
    }

    /// The InstanceID.
    pub fn id(&self) -> JobId {
        self.spec.id
    }

    /// CIM_Job.PercentComplete: what the engine tells, and 100 only when the job has ended well. Clients stop waiting at 100.
    pub fn percent_complete(&self) -> u16 {
        match self.run.state {
            JobState::Completed => 100,
            _ => (self.run.progress.share / 100).min(99),
        }
    }

    /// CIM_Job.ElapsedTime: how long the job has been running, breaks left out.
    pub fn elapsed(&self, now: SystemTime) -> Duration {
        let current =
            self.run.running_since.and_then(|since| now.duration_since(since).ok()).unwrap_or_default();
        self.run.ran + current
    }

    /// Whether the last word about going on or resting was another one than this.
    pub(crate) fn is_asked_otherwise(&self, wanted: RequestedState) -> bool {
        let last = self.request.as_ref().map(|r| r.wanted).filter(|last| !last.is_end());
        !wanted.is_end() && last.is_some_and(|last| last != wanted)
    }

    /// CIM_Job.Cancellable: whether Terminate or Kill would be accepted now.
    pub fn is_cancellable(&self) -> bool {
        match self.run.state {
            JobState::New => true,
            JobState::Starting
            | JobState::Running
            | JobState::Suspended
            | JobState::Service
            | JobState::QueryPending => self.run.cancellable,
            JobState::ShuttingDown
            | JobState::Completed
            | JobState::Terminated
            | JobState::Killed
            | JobState::Exception => false,
        }
    }

    /// OperationalStatus (Hyper-V's order, OK first): the deciding value of GetError. A failed or stopped job is never OK.
    pub fn operational_status(&self) -> &'static [u16] {
        match self.run.state {
            JobState::New
            | JobState::Starting
            | JobState::Running
            | JobState::Suspended
            | JobState::ShuttingDown
            | JobState::QueryPending => &[2],
            JobState::Completed => &[2, 17],
            JobState::Exception => &[6, 17],
            JobState::Terminated | JobState::Killed => &[10, 17],
            JobState::Service => &[11],
        }
    }

    /// What GetError, GetErrorEx and GetErrors report: nothing while the job is OK, else everything that is known, each reason
    /// followed by the reasons behind it, and last what went wrong while undoing.
    pub fn reported_errors(&self) -> Vec<&ErrorDetail> {
        match self.run.state {
            JobState::Exception | JobState::Terminated | JobState::Killed => {
                self.run.errors.iter().chain(&self.run.undo_errors).flat_map(ErrorDetail::chain).collect()
            }
            JobState::New
            | JobState::Starting
            | JobState::Running
            | JobState::Suspended
            | JobState::ShuttingDown
            | JobState::Completed
            | JobState::Service
            | JobState::QueryPending => Vec::new(),
        }
    }

    /// When the job leaves the namespace by itself; `None` while it has not ended or is to stay until it is deleted.
    pub fn removal_time(&self) -> Option<SystemTime> {
        let finished = self.run.finished?;
        self.settings.delete_on_completion.then(|| finished + self.settings.time_before_removal)
    }

    /// A result by name.
    pub fn result(&self, name: &str) -> Option<&Value> {
        self.run.results.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_paths_have_equal_element_keys() {
        let path = |name: &str, slot: Value| {
            InstancePath::new(NamespaceName::new("root/a"), "CIM_DataFile")
                .with_key("Name", name)
                .with_key("Slot", slot)
        };
        let mut other =
            InstancePath::new(None, "cim_datafile").with_key("SLOT", Value::Sint64(3)).with_key("name", "/a");
        other.host = Some("elsewhere".to_owned());
        let one = path("/a", Value::Uint8(3));
        assert_eq!(one, other);
        assert_eq!(ElementKey::of(&one), ElementKey::of(&other));
        for different in
            [path("/A", Value::Uint8(3)), path("/a", Value::Uint8(4)), path("/a3", Value::from(""))]
        {
            assert_ne!(ElementKey::of(&one), ElementKey::of(&different));
        }
        // Written down in databases.
        assert_eq!(
            ElementKey::of(&InstancePath::new(None, "X").with_key("K", "v")),
            ElementKey(15_754_635_861_197_723_145)
        );
    }
}
