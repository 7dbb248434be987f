//! InvokeMethod: finds who answers, checks the call against the class, and makes long work into a job.

use crate::authorize::Permission;
use crate::broker::Scope;
use crate::errors;
use crate::instances;
use crate::job_control::{self, Control};
use crate::params::{declared_param, fit_in, fit_out};
use crate::paths;
use crate::registry::{Dialect, JOB_ROOT};
use crate::results;
use crate::statistics::{Meter, asking};
use cimwright_cim::coerce::integer_value;
use cimwright_cim::operation::OperationResult;
use cimwright_cim::{
    CimError, CimStatus, CimType, Class, ClassPath, ErrorDetail, InstancePath, Method, Name, ObjectPath,
    Param, Parameter, Value,
};
use cimwright_jobs::{Call, JobId, JobRecord, JobSettings, JobSpec};
use cimwright_sdk::{ErrorForm, MethodCall, MethodOutcome, NewJob};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument as _;

/// "Method Parameters Checked - Job Started".
const JOB_STARTED: u32 = 4096;

/// CIM_ManagedElement.Caption: MaxLen.
const CAPTION_LENGTH: usize = 64;

/// InvokeMethod.
pub(crate) async fn invoke(
    scope: Scope,
    permission: Permission,
    target: ObjectPath,
    method: Name,
    params: Vec<Param>,
) -> Result<OperationResult, CimError> {
    let class = Arc::clone(scope.namespace.class(target.class())?);
    let Some(method) = class.method(method.as_str()) else {
        let text = format!("{} has no method {method}", class.name);
        return Err(CimError::new(CimStatus::MethodNotFound, text));
    };
    if let Some(dialect) = scope.namespace.dialect(&class.name).cloned()
        && let Some(control) = Control::of(&method.name)
    {
        let params = fit_in(&scope, method, params)?;
        let path = instance_path(&scope, &class, method, target)?;
        if control.only_looks() {
            return job_control::look(&scope, &dialect, method, &path).await;
        }
        // Not before: a declaration brings all its qualifiers, and to copy them for every GetError shows in a profile.
        let method = method.clone();
        return detached(async move {
            job_control::control(&scope, &dialect, control, &method, &path, &params).await
        })
        .await;
    }
    if permission == Permission::Denied {
        return Err(errors::denied(&scope.principal, format_args!("{}.{}", class.name, method.name)));
    }
    let Some(provider) = scope.namespace.methods(&class.name).cloned() else {
        let text = format!("{}.{} is declared, but nobody implements it here", class.name, method.name);
        return Err(CimError::new(CimStatus::MethodNotAvailable, text));
    };
    let params = fit_in(&scope, method, params)?;
    let target = if method.is_static() || class.keys().next().is_none() {
        ObjectPath::Class(ClassPath::new(scope.namespace.name.clone(), class.name.clone()))
    } else {
        let path = instance_path(&scope, &class, method, target)?;
        if instances::find(&scope, &path).await?.is_none() {
            return Err(instances::absent(&path));
        }
        ObjectPath::Instance(path)
    };
    let method = method.clone();
    detached(async move {
        let made = MethodCall { target, method: method.name.clone(), params };
        // A job keeps what nobody can ask for only in its payload.
        let shows_calls = scope.inner.registry.shows_calls();
        let call = shows_calls.then(|| results::remember(&made, &method, job_parameter(&scope, &method)));
        let outcome = asking(provider.invoke(scope.context(), made)).await?;
        answer(&scope, &method, call, outcome).await
    })
    .await
}

/// Runs to the end whatever becomes of the client that asked; a panic becomes an error of this one operation.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, CimError>> + Send + 'static,
) -> Result<T, CimError> {
    let meter = Meter::current();
    let work = async move { meter.measure(work).await };
    match tokio::spawn(work.in_current_span()).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => {
            tracing::error!(%error, "an operation panicked");
            Err(CimError::failed("the operation met a defect of the server; its log says more"))
        }
        Err(_) => Err(CimError::new(CimStatus::ServerIsShuttingDown, "the server is shutting down")),
    }
}

/// The answer of a method with a return value of its declared type.
pub(crate) fn method_result(method: &Method, code: u32, out: Vec<Param>) -> OperationResult {
    let cim_type = method.return_type.unwrap_or(CimType::Uint32);
    let value = integer_value(i128::from(code), cim_type).unwrap_or(Value::Uint32(code));
    OperationResult::Method { return_value: method.return_type.map(|_| value), out }
}

/// The path of the instance that a method is called on.
fn instance_path(
    scope: &Scope,
    class: &Class,
    method: &Method,
    target: ObjectPath,
) -> Result<InstancePath, CimError> {
    match target {
        ObjectPath::Instance(path) => paths::exact(&scope.namespace, &path),
        ObjectPath::Class(_) => Err(CimError::invalid_parameter(format!(
            "{}.{} is not static: call it on an instance of {0}, not on the class",
            class.name, method.name
        ))),
    }
}

async fn answer(
    scope: &Scope,
    method: &Method,
    call: Option<Call>,
    outcome: MethodOutcome,
) -> Result<OperationResult, CimError> {
    match outcome {
        MethodOutcome::Done { return_value, out } => {
            Ok(method_result(method, return_value, fit_out(scope, method, out)))
        }
        MethodOutcome::Job(job) => {
            let dialect = face(scope, &job)?;
            let within = job.answer_within;
            let (spec, settings) = spec(scope, call, *job);
            let started = scope.inner.jobs.start(spec, settings).await.map_err(errors::from_jobs)?;
            let ended = match within {
                Some(within) => wait_end(scope, &started, within).await?,
                None => None,
            };
            let reference = job_parameter(scope, method).map(|p| job_reference(p, &dialect, &started));
            let (code, mut out) = match ended {
                None => (JOB_STARTED, Vec::new()),
                Some(record) => answer_of(scope, method, &dialect, &record),
            };
            out.extend(reference);
            Ok(method_result(method, code, out))
        }
        MethodOutcome::Refused { job, reason } => refuse(scope, method, call, *job, *reason).await,
    }
}

/// The job once it has ended; `None` if it did not in time.
async fn wait_end(
    scope: &Scope,
    started: &JobRecord,
    within: Duration,
) -> Result<Option<Arc<JobRecord>>, CimError> {
    let record = scope.inner.jobs.wait_end(started.id(), within).await;
    let record = record.map_err(|e| errors::from_jobs(e.into()))?;
    Ok(record.filter(|r| r.run.state.is_finished()))
}

/// What a method answers whose job has ended: 0 and the results that are output parameters, or the code of the reason.
fn answer_of(scope: &Scope, method: &Method, dialect: &Dialect, record: &JobRecord) -> (u32, Vec<Param>) {
    if let Some(reason) = errors::reported(record).first() {
        return (table_code(dialect.face.error_form, errors::code_of(reason)), Vec::new());
    }
    let results = record.run.results.iter().map(|(name, value)| Param::new(name.as_str(), value.clone()));
    let declared = results.filter(|r| method.parameter(r.name.as_str()).is_some_and(Parameter::is_out));
    (0, fit_out(scope, method, declared.collect()))
}

/// The code in the table of the dialect: a reason of the job machinery carries Hyper-V's code, whoever shows it.
pub(crate) fn table_code(form: ErrorForm, code: u16) -> u32 {
    match (form, code) {
        (ErrorForm::Text, code) | (ErrorForm::Embedded, code @ 0..=6) => u32::from(code),
        (ErrorForm::Embedded, 32769) => 6,
        (ErrorForm::Embedded, 32770) => 1,
        (ErrorForm::Embedded, 32772) => 3,
        (ErrorForm::Embedded, 32773) => 5,
        (ErrorForm::Embedded, _) => 4,
    }
}

/// The reason's code, and a job that has failed already and can be asked for the whole reason.
async fn refuse(
    scope: &Scope,
    method: &Method,
    call: Option<Call>,
    job: NewJob,
    reason: ErrorDetail,
) -> Result<OperationResult, CimError> {
    let code = u32::from(errors::code_of(&reason));
    tracing::info!(method = %method.name, code, error = reason.message_id, "refused: {}", reason.message);
    let dialect = face(scope, &job)?;
    let (spec, settings) = spec(scope, call, job);
    let record = match scope.inner.jobs.refuse(spec, settings, reason.clone()).await {
        Ok(record) => record,
        // Without the job the reason would be lost; an error can carry it.
        Err(error) => return Err(errors::from_jobs(error).with_detail(reason)),
    };
    let reference = job_parameter(scope, method).map(|p| job_reference(p, &dialect, &record));
    Ok(method_result(method, code, reference.into_iter().collect()))
}

/// The class that shows the job in the namespace that was called.
fn face(scope: &Scope, job: &NewJob) -> Result<Arc<Dialect>, CimError> {
    scope.namespace.dialect_of(job.family).cloned().ok_or_else(|| {
        tracing::error!(family = job.family, namespace = %scope.namespace.name, "no class shows jobs of this family");
        CimError::failed(format!("{} has no class for the job that would do this", scope.namespace.name))
    })
}

/// The output parameter that takes the job, whatever its name.
fn job_parameter<'a>(scope: &Scope, method: &'a Method) -> Option<&'a Parameter> {
    method.parameters.iter().find(|p| {
        let class = p.reference_class.as_ref().filter(|_| p.is_out() && paths::is_reference(p.cim_type));
        class.is_some_and(|c| scope.namespace.schema.is_a(c.as_str(), JOB_ROOT))
    })
}

fn job_reference(parameter: &Parameter, dialect: &Dialect, record: &JobRecord) -> Param {
    let path: Value = dialect.template.path(record).into();
    let value = if parameter.is_array { Value::Array(vec![Some(path)]) } else { path };
    declared_param(parameter, Some(value))
}

fn spec(scope: &Scope, call: Option<Call>, job: NewJob) -> (JobSpec, JobSettings) {
    let spec = JobSpec {
        id: JobId::generate(),
        family: job.family.to_owned(),
        kind: job.kind.to_owned(),
        payload: job.payload,
        origin: scope.namespace.name.clone(),
        owner: scope.principal.name().to_owned(),
        name: job.name,
        caption: shortened(job.caption, CAPTION_LENGTH),
        description: job.description,
        job_type: job.job_type,
        owning_element: job.owning_element,
        affected: job.affected,
        submitted: scope.inner.jobs.clock().now(),
        call,
        run_of: None,
    };
    let mut settings = scope.inner.jobs.default_settings();
    settings.priority = job.priority.unwrap_or(settings.priority);
    settings.schedule = job.schedule;
    (spec, settings)
}

fn shortened(text: String, length: usize) -> String {
    if text.chars().count() <= length {
        return text;
    }
    let mut short: String = text.chars().take(length - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_one_of_the_table_of_its_dialect() {
        assert_eq!([32768, 32777, 5].map(|c| table_code(ErrorForm::Text, c)), [32768, 32777, 5]);
        let codes = [1, 4, 6, 32768, 32769, 32770, 32772, 32773, 32777];
        assert_eq!(codes.map(|c| table_code(ErrorForm::Embedded, c)), [1, 4, 6, 4, 6, 1, 3, 5, 4]);
    }

    #[test]
    fn captions_fit_their_class() {
        assert_eq!(shortened("é".repeat(64), 64).chars().count(), 64);
        let short = shortened("é".repeat(65), 64);
        assert_eq!(short.chars().count(), 64);
        assert!(short.ends_with("é…"));
    }
}
