//! The methods of job classes: GetError, GetErrorEx, GetErrors, RequestStateChange and KillJob, in the words of each dialect.

use crate::broker::Scope;
use crate::errors;
use crate::instances;
use crate::methods::method_result;
use crate::params::declared_param;
use crate::paths;
use crate::registry::Dialect;
use cimwright_cim::operation::OperationResult;
use cimwright_cim::{CimError, CimStatus, ErrorDetail, Instance, InstancePath, Method, Name, Param, Value};
use cimwright_jobs::{ChangeOutcome, JobRecord, JobsError, RequestedState};
use cimwright_sdk::{ChangeCodes, ErrorForm};
use std::sync::Arc;
use std::time::Duration;

/// A method that every job class has, or may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// GetError, GetErrorEx and GetErrors; which of them shows in the declaration.
    Errors,
    RequestStateChange,
    KillJob,
}

/// What came of a request for another state, before it is put into the numbers of a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Started,
    InvalidTransition,
    NotInTime,
    InvalidParameter,
    AccessDenied,
}

impl Control {
    pub(crate) fn of(method: &Name) -> Option<Self> {
        if ["GetError", "GetErrorEx", "GetErrors"].iter().any(|m| method.is(m)) {
            Some(Self::Errors)
        } else if method.is("RequestStateChange") {
            Some(Self::RequestStateChange)
        } else if method.is("KillJob") {
            Some(Self::KillJob)
        } else {
            None
        }
    }

    /// Whether it changes nothing.
    pub(crate) fn only_looks(self) -> bool {
        self == Self::Errors
    }
}

/// GetError, GetErrorEx or GetErrors. The return value tells how the question was answered, not how the job fares.
pub(crate) async fn look(
    scope: &Scope,
    dialect: &Dialect,
    method: &Method,
    path: &InstancePath,
) -> Result<OperationResult, CimError> {
    let record = match instances::job_at(scope, dialect, path).await {
        Ok(record) => record,
        Err(error) if error.status == CimStatus::NotFound => return Err(error),
        Err(_) => return Ok(method_result(method, look_failed(dialect), Vec::new())),
    };
    let Some(parameter) = method.parameters.iter().find(|p| p.is_out()) else {
        return Ok(method_result(method, 0, Vec::new()));
    };
    let reported = errors::reported(&record);
    let value = if parameter.is_array {
        let show = |e: &ErrorDetail| Some(shown(dialect, &dialect.blank_errors, &record, e));
        (!reported.is_empty()).then(|| Value::Array(reported.iter().map(|e| show(e)).collect()))
    } else {
        reported.first().map(|e| shown(dialect, &dialect.blank_error, &record, e))
    };
    Ok(method_result(method, 0, vec![declared_param(parameter, value)]))
}

/// RequestStateChange or KillJob.
pub(crate) async fn control(
    scope: &Scope,
    dialect: &Dialect,
    control: Control,
    method: &Method,
    path: &InstancePath,
    params: &[Param],
) -> Result<OperationResult, CimError> {
    let record = instances::job_at(scope, dialect, path).await?;
    let code = if control == Control::KillJob {
        kill(scope, dialect, &record, params).await?
    } else {
        let answer = change(scope, &record, params).await?;
        change_code(dialect.face.change_codes, answer)
            .ok_or_else(|| errors::not_owner(&scope.principal, &record))?
    };
    Ok(method_result(method, code, Vec::new()))
}

async fn change(scope: &Scope, record: &Arc<JobRecord>, params: &[Param]) -> Result<Answer, CimError> {
    if !scope.principal.may_control(&record.spec.owner) {
        return Ok(Answer::AccessDenied);
    }
    let value = |name: &str| params.iter().find(|p| p.name.is(name)).and_then(|p| p.value.as_ref());
    let wanted = value("RequestedState")
        .and_then(Value::as_u64)
        .and_then(|n| u16::try_from(n).ok())
        .and_then(RequestedState::from_code);
    let Some(wanted) = wanted else { return Ok(Answer::InvalidParameter) };
    let timeout = match value("TimeoutPeriod") {
        None => None,
        Some(Value::DateTime(period)) => match period.to_duration() {
            Some(Duration::ZERO) => None,
            Some(period) => Some(period),
            // A point in time is no period.
            None => return Ok(Answer::InvalidParameter),
        },
        Some(_) => return Ok(Answer::InvalidParameter),
    };
    let outcome = scope.inner.jobs.change_state(record.id(), wanted, scope.principal.name(), timeout).await;
    Ok(match outcome.map_err(errors::from_jobs)? {
        ChangeOutcome::Done => Answer::Done,
        ChangeOutcome::Started => Answer::Started,
        ChangeOutcome::Refused(_) => Answer::InvalidTransition,
        ChangeOutcome::NotInTime => Answer::NotInTime,
    })
}

/// The number a dialect has for an answer; `None` where it has none and the operation fails instead.
fn change_code(codes: ChangeCodes, answer: Answer) -> Option<u32> {
    match (codes, answer) {
        (_, Answer::Done) => Some(0),
        (_, Answer::Started) => Some(4096),
        (ChangeCodes::Dmtf, Answer::InvalidTransition) => Some(4097),
        (ChangeCodes::Dmtf, Answer::NotInTime) => Some(3),
        (ChangeCodes::Dmtf, Answer::InvalidParameter) => Some(5),
        (ChangeCodes::Dmtf, Answer::AccessDenied) => None,
        (ChangeCodes::HyperV, Answer::InvalidTransition) => Some(32775),
        (ChangeCodes::HyperV, Answer::NotInTime) => Some(32772),
        (ChangeCodes::HyperV, Answer::InvalidParameter) => Some(32773),
        (ChangeCodes::HyperV, Answer::AccessDenied) => Some(32769),
    }
}

/// KillJob, with the return codes of CIM_Job.
async fn kill(
    scope: &Scope,
    dialect: &Dialect,
    record: &JobRecord,
    params: &[Param],
) -> Result<u32, CimError> {
    const SUCCESS: u32 = 0;
    const NOT_SUPPORTED: u32 = 1;
    const TIMEOUT: u32 = 3;
    const FAILED: u32 = 4;
    const ACCESS_DENIED: u32 = 6;
    const NOT_FOUND: u32 = 7;
    if !dialect.face.kill_job {
        return Ok(NOT_SUPPORTED);
    }
    if !scope.principal.may_control(&record.spec.owner) {
        return Ok(ACCESS_DENIED);
    }
    let id = record.id();
    let jobs = &scope.inner.jobs;
    let code = match jobs.change_state(id, RequestedState::Kill, scope.principal.name(), None).await {
        Ok(ChangeOutcome::Done) => SUCCESS,
        Ok(ChangeOutcome::Started | ChangeOutcome::NotInTime) => TIMEOUT,
        Ok(ChangeOutcome::Refused(_)) => FAILED,
        Err(JobsError::NotFound(_)) => NOT_FOUND,
        Err(error) => return Err(errors::from_jobs(error)),
    };
    let delete = params.iter().find(|p| p.name.is("DeleteOnKill")).and_then(|p| p.value.as_ref());
    if code == SUCCESS
        && let Some(delete) = delete.and_then(Value::as_bool)
    {
        // DeleteOnKill wins over DeleteOnCompletion; both leave the job in place for TimeBeforeRemoval.
        let _turn = scope.inner.settings.lock().await;
        if let Some(record) = instances::job(scope, dialect, id).await? {
            let mut settings = record.settings.clone();
            settings.delete_on_completion = delete;
            jobs.configure(id, &settings).await.map_err(errors::from_jobs)?;
        }
    }
    Ok(code)
}

/// One reason as an instance of the error class, in the form the dialect wants.
fn shown(dialect: &Dialect, blank: &Instance, record: &JobRecord, detail: &ErrorDetail) -> Value {
    let face = &dialect.face;
    let mut instance = blank.clone();
    if detail.source.is_some() {
        detail.fill(&mut instance, face.hyper_v_severity);
    } else {
        // Nobody knows better: the error is about the job.
        let detail = detail.clone().about_path(paths::text(&dialect.template.path(record)));
        detail.fill(&mut instance, face.hyper_v_severity);
    }
    if detail.status.code() > face.max_status_code {
        // The description keeps the true name.
        instance.set("CIMStatusCode", Some(Value::Uint32(CimStatus::Failed.code())));
    }
    match face.error_form {
        ErrorForm::Text => Value::InstanceText(Box::new(instance)),
        ErrorForm::Embedded => {
            // Where GetError is the only question, its one answer tells what is behind the reason too.
            if detail.cause.is_some() {
                let words = std::iter::once(&detail.probable_cause_description);
                let words = words.chain(detail.chain().skip(1).map(|cause| &cause.message));
                let words = words.map(String::as_str).collect::<Vec<_>>().join(": ");
                instance.set("ProbableCauseDescription", Some(words.as_str().into()));
            }
            Value::Instance(Box::new(instance))
        }
    }
}

/// What GetError returns when it cannot find out.
fn look_failed(dialect: &Dialect) -> u32 {
    match dialect.face.error_form {
        ErrorForm::Text => 32768,
        ErrorForm::Embedded => 4,
    }
}
