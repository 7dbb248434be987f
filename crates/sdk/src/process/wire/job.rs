//! Jobs as they are sent: what a method wants started, and what a step is told about the job it belongs to.

use super::WireError;
use super::value::{WirePath, parse};
use crate::outcome::NewJob;
use cimwright_cim::{DateTime, NamespaceName};
use cimwright_jobs::{Affected, JobSpec, OnRestart, Schedule, StepRecord};
use serde::{Deserialize, Serialize};
use std::time::{Duration, UNIX_EPOCH};

/// A [`NewJob`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireNewJob {
    /// One of the families of the dialects in the hello.
    pub family: String,
    /// One of the kinds in the hello.
    pub kind: String,
    payload: String,
    name: String,
    #[serde(default)]
    caption: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    job_type: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owning_element: Option<WirePath>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    affected: Vec<WireAffected>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer_within_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<WireSchedule>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct WireAffected {
    element: WirePath,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    effects: Vec<u16>,
}

/// The scheduling properties of CIM_Job; what is absent is not scheduled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct WireSchedule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scheduled_start_time: Option<String>,
    job_run_times: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_month: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_day: Option<i8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_day_of_week: Option<i8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_start_interval: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    local_or_utc_time: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_time: Option<String>,
}

/// A [`JobSpec`], without the call that made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireJob {
    id: String,
    /// The family, as the provider calls it.
    pub family: String,
    /// The kind, as the provider calls it.
    pub kind: String,
    payload: String,
    origin: String,
    owner: String,
    name: String,
    caption: String,
    description: String,
    job_type: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owning_element: Option<WirePath>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    affected: Vec<WireAffected>,
    /// Microseconds since 1970.
    submitted: u64,
}

/// What the server has to know about a step before it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireStep {
    /// Its name.
    pub name: String,
    /// What the job is doing while it runs.
    pub title: String,
    /// `redo`, `repeat` or `fail`.
    pub on_restart: WireOnRestart,
    /// Whether it only watches.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_watches: bool,
    /// Whether the job can be stopped while it runs.
    pub cancellable: bool,
}

/// An [`OnRestart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the variants are those of OnRestart")]
pub enum WireOnRestart {
    Redo,
    Repeat,
    Fail,
}

/// A [`StepRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireDone {
    name: String,
    output: String,
}

impl From<OnRestart> for WireOnRestart {
    fn from(on_restart: OnRestart) -> Self {
        match on_restart {
            OnRestart::Redo => Self::Redo,
            OnRestart::Repeat => Self::Repeat,
            OnRestart::Fail => Self::Fail,
        }
    }
}

impl From<WireOnRestart> for OnRestart {
    fn from(on_restart: WireOnRestart) -> Self {
        match on_restart {
            WireOnRestart::Redo => Self::Redo,
            WireOnRestart::Repeat => Self::Repeat,
            WireOnRestart::Fail => Self::Fail,
        }
    }
}

impl From<&StepRecord> for WireDone {
    fn from(done: &StepRecord) -> Self {
        Self { name: done.name.clone(), output: done.output.clone() }
    }
}

impl From<WireDone> for StepRecord {
    fn from(wire: WireDone) -> Self {
        Self { name: wire.name, output: wire.output }
    }
}

impl From<&NewJob> for WireNewJob {
    fn from(job: &NewJob) -> Self {
        Self {
            family: job.family.to_owned(),
            kind: job.kind.to_owned(),
            payload: job.payload.clone(),
            name: job.name.clone(),
            caption: job.caption.clone(),
            description: job.description.clone(),
            job_type: job.job_type,
            owning_element: job.owning_element.as_ref().map(Into::into),
            affected: job.affected.iter().map(Into::into).collect(),
            priority: job.priority,
            answer_within_ms: job.answer_within.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            schedule: (job.schedule != Schedule::default()).then(|| (&job.schedule).into()),
        }
    }
}

impl WireNewJob {
    /// The job, under the names that the server has for its family and kind.
    ///
    /// # Errors
    /// When a value in it means nothing.
    pub fn into_job(self, family: &'static str, kind: &'static str) -> Result<NewJob, WireError> {
        Ok(NewJob {
            family,
            kind,
            payload: self.payload,
            name: self.name,
            caption: self.caption,
            description: self.description,
            job_type: self.job_type,
            owning_element: self.owning_element.map(TryInto::try_into).transpose()?,
            affected: affected(self.affected)?,
            priority: self.priority,
            answer_within: self.answer_within_ms.map(Duration::from_millis),
            schedule: self.schedule.map_or_else(|| Ok(Schedule::default()), TryInto::try_into)?,
        })
    }
}

impl From<&JobSpec> for WireJob {
    fn from(spec: &JobSpec) -> Self {
        let submitted = spec.submitted.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            id: spec.id.to_string(),
            family: spec.family.clone(),
            kind: spec.kind.clone(),
            payload: spec.payload.clone(),
            origin: spec.origin.as_str().to_owned(),
            owner: spec.owner.clone(),
            name: spec.name.clone(),
            caption: spec.caption.clone(),
            description: spec.description.clone(),
            job_type: spec.job_type,
            owning_element: spec.owning_element.as_ref().map(Into::into),
            affected: spec.affected.iter().map(Into::into).collect(),
            submitted: u64::try_from(submitted.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl TryFrom<WireJob> for JobSpec {
    type Error = WireError;

    fn try_from(wire: WireJob) -> Result<Self, WireError> {
        Ok(Self {
            id: parse("id", &wire.id)?,
            family: wire.family,
            kind: wire.kind,
            payload: wire.payload,
            origin: NamespaceName::new(wire.origin),
            owner: wire.owner,
            name: wire.name,
            caption: wire.caption,
            description: wire.description,
            job_type: wire.job_type,
            owning_element: wire.owning_element.map(TryInto::try_into).transpose()?,
            affected: affected(wire.affected)?,
            submitted: UNIX_EPOCH
                .checked_add(Duration::from_micros(wire.submitted))
                .ok_or_else(|| WireError::new("submitted", wire.submitted.to_string()))?,
            call: None,
            run_of: None,
        })
    }
}

impl From<&Affected> for WireAffected {
    fn from(affected: &Affected) -> Self {
        Self { element: (&affected.element).into(), effects: affected.effects.clone() }
    }
}

impl From<&Schedule> for WireSchedule {
    fn from(schedule: &Schedule) -> Self {
        let text = |time: Option<DateTime>| time.map(|t| t.to_string());
        Self {
            scheduled_start_time: text(schedule.scheduled_start_time),
            job_run_times: schedule.job_run_times,
            run_month: schedule.run_month,
            run_day: schedule.run_day,
            run_day_of_week: schedule.run_day_of_week,
            run_start_interval: text(schedule.run_start_interval),
            local_or_utc_time: schedule.local_or_utc_time,
            until_time: text(schedule.until_time),
        }
    }
}

impl TryFrom<WireSchedule> for Schedule {
    type Error = WireError;

    fn try_from(wire: WireSchedule) -> Result<Self, WireError> {
        let time = |text: Option<String>| text.map(|t| parse("datetime", &t)).transpose();
        Ok(Self {
            scheduled_start_time: time(wire.scheduled_start_time)?,
            job_run_times: wire.job_run_times,
            run_month: wire.run_month,
            run_day: wire.run_day,
            run_day_of_week: wire.run_day_of_week,
            run_start_interval: time(wire.run_start_interval)?,
            local_or_utc_time: wire.local_or_utc_time,
            until_time: time(wire.until_time)?,
        })
    }
}

fn affected(wire: Vec<WireAffected>) -> Result<Vec<Affected>, WireError> {
    let each = |a: WireAffected| Ok(Affected { element: a.element.try_into()?, effects: a.effects });
    wire.into_iter().map(each).collect()
}
