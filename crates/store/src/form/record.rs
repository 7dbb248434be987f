//! The stored forms of the four parts of a job record.

use super::error::{StoredError, from_chain, to_chain};
use super::path::StoredPath;
use super::time::{length, micros, moment};
use super::value::{StoredValue, parse};
use super::{Form, FormError, VERSION};
use cimwright_cim::{DateTime, ErrorDetail, NamespaceName, Value};
use cimwright_jobs::{
    Affected, Call, JobId, JobRun, JobSettings, JobSpec, JobState, Progress, RequestedState, Schedule,
    StateRequest, StepRecord,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// A [`JobSpec`].
#[derive(Serialize, Deserialize)]
pub(super) struct StoredSpec<'a> {
    v: u32,
    id: Cow<'a, str>,
    family: Cow<'a, str>,
    kind: Cow<'a, str>,
    payload: Cow<'a, str>,
    origin: Cow<'a, str>,
    owner: Cow<'a, str>,
    name: Cow<'a, str>,
    caption: Cow<'a, str>,
    description: Cow<'a, str>,
    job_type: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owning_element: Option<StoredPath<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    affected: Vec<StoredAffected<'a>>,
    submitted: i64,
    /// Since version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call: Option<StoredCall<'a>>,
    /// Since version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_of: Option<Cow<'a, str>>,
}

/// A [`Call`].
#[derive(Serialize, Deserialize)]
struct StoredCall<'a> {
    target: StoredPath<'a>,
    method: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    params: Vec<(Cow<'a, str>, StoredValue<'a>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outs: Vec<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<Cow<'a, str>>,
}

/// An [`Affected`].
#[derive(Serialize, Deserialize)]
struct StoredAffected<'a> {
    element: StoredPath<'a>,
    #[serde(default, skip_serializing_if = "<[u16]>::is_empty")]
    effects: Cow<'a, [u16]>,
}

/// A [`JobRun`].
#[derive(Serialize, Deserialize)]
pub(super) struct StoredRun<'a> {
    v: u32,
    state: u16,
    status: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished: Option<i64>,
    ran: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    running_since: Option<i64>,
    /// Done, total, share.
    progress: (u64, u64, u16),
    cancellable: bool,
    /// Name and output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    attempts: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Vec<StoredError<'a>>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    results: Vec<(Cow<'a, str>, StoredValue<'a>)>,
    /// Since version 2; before that they stood among the errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    undo_errors: Vec<Vec<StoredError<'a>>>,
    /// Since version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<i64>,
    /// Since version 2.
    #[serde(default, skip_serializing_if = "is_zero")]
    runs: u32,
}

/// A [`JobSettings`].
#[derive(Serialize, Deserialize)]
pub(super) struct StoredSettings<'a> {
    v: u32,
    time_before_removal: u64,
    delete_on_completion: bool,
    priority: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notify: Option<Cow<'a, str>>,
    /// Absent while nothing was scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<StoredSchedule<'a>>,
}

/// A [`Schedule`].
#[derive(Serialize, Deserialize)]
struct StoredSchedule<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Cow<'a, str>>,
    run_times: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    month: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    day: Option<i8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    day_of_week: Option<i8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_interval: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    local_or_utc: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Cow<'a, str>>,
}

/// A [`StateRequest`].
#[derive(Serialize, Deserialize)]
pub(super) struct StoredRequest<'a> {
    v: u32,
    wanted: u16,
    by: Cow<'a, str>,
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<i64>,
}

impl Form for StoredSpec<'static> {
    const NEWEST: u32 = 2;

    fn version(&self) -> u32 {
        self.v
    }
}

impl Form for StoredRun<'static> {
    const NEWEST: u32 = 2;

    fn version(&self) -> u32 {
        self.v
    }
}

impl Form for StoredSettings<'static> {
    fn version(&self) -> u32 {
        self.v
    }
}

impl Form for StoredRequest<'static> {
    fn version(&self) -> u32 {
        self.v
    }
}

impl<'a> From<&'a JobSpec> for StoredSpec<'a> {
    fn from(spec: &'a JobSpec) -> Self {
        let plain = spec.call.is_none() && spec.run_of.is_none();
        Self {
            v: if plain { VERSION } else { 2 },
            id: spec.id.to_string().into(),
            family: spec.family.as_str().into(),
            kind: spec.kind.as_str().into(),
            payload: spec.payload.as_str().into(),
            origin: spec.origin.as_str().into(),
            owner: spec.owner.as_str().into(),
            name: spec.name.as_str().into(),
            caption: spec.caption.as_str().into(),
            description: spec.description.as_str().into(),
            job_type: spec.job_type,
            owning_element: spec.owning_element.as_ref().map(Into::into),
            affected: spec
                .affected
                .iter()
                .map(|a| StoredAffected {
                    element: (&a.element).into(),
                    effects: a.effects.as_slice().into(),
                })
                .collect(),
            submitted: micros(spec.submitted),
            call: spec.call.as_ref().map(Into::into),
            run_of: spec.run_of.map(|id| id.to_string().into()),
        }
    }
}

impl TryFrom<StoredSpec<'_>> for JobSpec {
    type Error = FormError;

    fn try_from(stored: StoredSpec<'_>) -> Result<Self, FormError> {
        let job_id = |field, text: Cow<'_, str>| -> Result<JobId, FormError> {
            text.parse().map_err(|_| FormError::Field { form: "job spec", field, found: text.into_owned() })
        };
        let id = job_id("id", stored.id)?;
        Ok(Self {
            id,
            family: stored.family.into_owned(),
            kind: stored.kind.into_owned(),
            payload: stored.payload.into_owned(),
            origin: NamespaceName::new(stored.origin),
            owner: stored.owner.into_owned(),
            name: stored.name.into_owned(),
            caption: stored.caption.into_owned(),
            description: stored.description.into_owned(),
            job_type: stored.job_type,
            owning_element: stored.owning_element.map(TryInto::try_into).transpose()?,
            affected: stored
                .affected
                .into_iter()
                .map(|a| Ok(Affected { element: a.element.try_into()?, effects: a.effects.into_owned() }))
                .collect::<Result<_, FormError>>()?,
            submitted: moment(stored.submitted),
            call: stored.call.map(TryInto::try_into).transpose()?,
            run_of: stored.run_of.map(|text| job_id("run_of", text)).transpose()?,
        })
    }
}

impl<'a> From<&'a Call> for StoredCall<'a> {
    fn from(call: &'a Call) -> Self {
        Self {
            target: (&call.target).into(),
            method: call.method.as_str().into(),
            params: call.params.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            outs: call.outs.iter().map(Into::into).collect(),
            job: call.job.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<StoredCall<'_>> for Call {
    type Error = FormError;

    fn try_from(stored: StoredCall<'_>) -> Result<Self, FormError> {
        Ok(Self {
            target: stored.target.try_into()?,
            method: stored.method.into_owned(),
            params: named_values(stored.params)?,
            outs: stored.outs.into_iter().map(Cow::into_owned).collect(),
            job: stored.job.map(Cow::into_owned),
        })
    }
}

impl<'a> From<&'a JobRun> for StoredRun<'a> {
    fn from(run: &'a JobRun) -> Self {
        let plain = run.undo_errors.is_empty() && run.due.is_none() && run.runs == 0;
        Self {
            v: if plain { VERSION } else { 2 },
            state: run.state.code(),
            status: run.status.as_str().into(),
            started: run.started.map(micros),
            changed: run.changed.map(micros),
            finished: run.finished.map(micros),
            ran: length(run.ran),
            running_since: run.running_since.map(micros),
            progress: (run.progress.done, run.progress.total, run.progress.share),
            cancellable: run.cancellable,
            steps: run.steps.iter().map(|s| (s.name.as_str().into(), s.output.as_str().into())).collect(),
            attempts: run.attempts,
            errors: run.errors.iter().map(to_chain).collect(),
            results: run.results.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            undo_errors: run.undo_errors.iter().map(to_chain).collect(),
            due: run.due.map(micros),
            runs: run.runs,
        }
    }
}

impl TryFrom<StoredRun<'_>> for JobRun {
    type Error = FormError;

    fn try_from(stored: StoredRun<'_>) -> Result<Self, FormError> {
        let state = JobState::from_code(stored.state).ok_or_else(|| FormError::Field {
            form: "job run",
            field: "state",
            found: stored.state.to_string(),
        })?;
        let (done, total, share) = stored.progress;
        Ok(Self {
            state,
            status: stored.status.into_owned(),
            started: stored.started.map(moment),
            changed: stored.changed.map(moment),
            finished: stored.finished.map(moment),
            ran: Duration::from_micros(stored.ran),
            running_since: stored.running_since.map(moment),
            progress: Progress { done, total, share },
            cancellable: stored.cancellable,
            steps: stored
                .steps
                .into_iter()
                .map(|(name, output)| StepRecord { name: name.into_owned(), output: output.into_owned() })
                .collect(),
            attempts: stored.attempts,
            errors: chains(stored.errors)?,
            undo_errors: chains(stored.undo_errors)?,
            results: named_values(stored.results)?,
            due: stored.due.map(moment),
            runs: stored.runs,
        })
    }
}

impl<'a> From<&'a JobSettings> for StoredSettings<'a> {
    fn from(settings: &'a JobSettings) -> Self {
        Self {
            v: VERSION,
            time_before_removal: length(settings.time_before_removal),
            delete_on_completion: settings.delete_on_completion,
            priority: settings.priority,
            notify: settings.notify.as_deref().map(Cow::from),
            schedule: (settings.schedule != Schedule::default()).then(|| (&settings.schedule).into()),
        }
    }
}

impl TryFrom<StoredSettings<'_>> for JobSettings {
    type Error = FormError;

    fn try_from(stored: StoredSettings<'_>) -> Result<Self, FormError> {
        Ok(Self {
            time_before_removal: Duration::from_micros(stored.time_before_removal),
            delete_on_completion: stored.delete_on_completion,
            priority: stored.priority,
            notify: stored.notify.map(Cow::into_owned),
            schedule: stored.schedule.map_or_else(|| Ok(Schedule::default()), TryInto::try_into)?,
        })
    }
}

impl From<&Schedule> for StoredSchedule<'_> {
    fn from(schedule: &Schedule) -> Self {
        let text = |value: &Option<DateTime>| value.map(|v| v.to_string().into());
        Self {
            start: text(&schedule.scheduled_start_time),
            run_times: schedule.job_run_times,
            month: schedule.run_month,
            day: schedule.run_day,
            day_of_week: schedule.run_day_of_week,
            start_interval: text(&schedule.run_start_interval),
            local_or_utc: schedule.local_or_utc_time,
            until: text(&schedule.until_time),
        }
    }
}

impl TryFrom<StoredSchedule<'_>> for Schedule {
    type Error = FormError;

    fn try_from(stored: StoredSchedule<'_>) -> Result<Self, FormError> {
        let time = |text: Option<Cow<'_, str>>| text.map(|t| parse("datetime", t)).transpose();
        Ok(Self {
            scheduled_start_time: time(stored.start)?,
            job_run_times: stored.run_times,
            run_month: stored.month,
            run_day: stored.day,
            run_day_of_week: stored.day_of_week,
            run_start_interval: time(stored.start_interval)?,
            local_or_utc_time: stored.local_or_utc,
            until_time: time(stored.until)?,
        })
    }
}

impl<'a> From<&'a StateRequest> for StoredRequest<'a> {
    fn from(request: &'a StateRequest) -> Self {
        Self {
            v: VERSION,
            wanted: request.wanted.code(),
            by: request.by.as_str().into(),
            at: micros(request.at),
            deadline: request.deadline.map(micros),
        }
    }
}

impl TryFrom<StoredRequest<'_>> for StateRequest {
    type Error = FormError;

    fn try_from(stored: StoredRequest<'_>) -> Result<Self, FormError> {
        Ok(Self {
            wanted: RequestedState::from_code(stored.wanted).ok_or_else(|| FormError::Field {
                form: "state request",
                field: "wanted",
                found: stored.wanted.to_string(),
            })?,
            by: stored.by.into_owned(),
            at: moment(stored.at),
            deadline: stored.deadline.map(moment),
        })
    }
}

fn chains(stored: Vec<Vec<StoredError<'_>>>) -> Result<Vec<ErrorDetail>, FormError> {
    stored.into_iter().filter_map(|chain| from_chain(chain).transpose()).collect()
}

fn named_values(stored: Vec<(Cow<'_, str>, StoredValue<'_>)>) -> Result<Vec<(String, Value)>, FormError> {
    stored.into_iter().map(|(name, value)| Ok((name.into_owned(), Value::try_from(value)?))).collect()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
