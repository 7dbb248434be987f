//! Cimwright_JobHistory: jobs that have left their namespace, so that "why did it fail?" still has an answer.

use async_trait::async_trait;
use cimwright_cim::{
    CimError, CimStatus, ClassName, DateTime, Instance, InstancePath, NamespaceName, Param, Value,
};
use cimwright_jobs::{JobId, JobRecord, Jobs};
use cimwright_sdk::{
    Context, InstanceProvider, MethodCall, MethodOutcome, MethodProvider, Plugin, ServedClass,
};
use std::sync::Arc;

const CLASS: &str = "Cimwright_JobHistory";

/// How many jobs an enumeration shows, newest first. Every job that is kept can be asked for by its InstanceID.
const SHOWN: usize = 1000;

struct History {
    jobs: Jobs,
}

/// The class in each of `namespaces`.
pub fn history(jobs: &Jobs, namespaces: &[NamespaceName]) -> Plugin {
    let provider = Arc::new(History { jobs: jobs.clone() });
    let classes = namespaces
        .iter()
        .map(|namespace| ServedClass {
            namespace: namespace.clone(),
            class: CLASS.into(),
            instances: Some(Arc::clone(&provider) as Arc<dyn InstanceProvider>),
            methods: Some(Arc::clone(&provider) as Arc<dyn MethodProvider>),
        })
        .collect();
    Plugin { name: "job history", classes, ..Plugin::default() }
}

impl History {
    async fn find(&self, path: &InstancePath) -> Result<Option<Arc<JobRecord>>, CimError> {
        let Some(id) = path.key_str("InstanceID").and_then(|k| k.parse::<JobId>().ok()) else {
            return Ok(None);
        };
        self.jobs.history(id).await.map_err(|e| CimError::failed(e.to_string()))
    }
}

#[async_trait]
impl InstanceProvider for History {
    async fn enumerate(&self, context: Context<'_>, class: &ClassName) -> Result<Vec<Instance>, CimError> {
        let recent = self.jobs.recent_history(SHOWN).await.map_err(|e| CimError::failed(e.to_string()))?;
        Ok(recent.iter().filter_map(|record| instance(context, class, record)).collect())
    }

    async fn get(&self, context: Context<'_>, path: &InstancePath) -> Result<Option<Instance>, CimError> {
        Ok(self.find(path).await?.and_then(|record| instance(context, &path.class, &record)))
    }
}

#[async_trait]
impl MethodProvider for History {
    async fn invoke(&self, context: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        let record = match call.target.as_instance() {
            Some(path) => self.find(path).await?,
            None => None,
        };
        let record = record.ok_or_else(|| CimError::not_found("the history has no such job"))?;
        let errors = record.reported_errors();
        let to_value = |error: &&cimwright_cim::ErrorDetail| {
            let class = context.schema.class("Msvm_Error")?;
            let mut instance = Instance::of_class(class);
            error.fill(&mut instance, true);
            Some(Value::InstanceText(Box::new(instance)))
        };
        let out = if call.method.is("GetError") {
            errors.first().and_then(to_value).map(|v| Param::new("Error", v))
        } else if call.method.is("GetErrorEx") {
            let all: Vec<_> = errors.iter().filter_map(to_value).map(Some).collect();
            (!all.is_empty()).then(|| Param::new("Errors", Value::Array(all)))
        } else {
            let text = format!("{CLASS} does not implement {}", call.method);
            return Err(CimError::new(CimStatus::MethodNotAvailable, text));
        };
        Ok(MethodOutcome::Done { return_value: 0, out: out.into_iter().collect() })
    }
}

fn instance(context: Context<'_>, class: &ClassName, record: &JobRecord) -> Option<Instance> {
    let (spec, run) = (&record.spec, &record.run);
    let time = |t| Value::DateTime(DateTime::from_system_time(t));
    let first = run.errors.first();
    let recurs = record.settings.schedule.job_run_times != 1;
    let values = [
        ("InstanceID", Some(Value::String(spec.id.to_string()))),
        ("Name", Some(Value::from(spec.name.as_str()))),
        ("Caption", Some(Value::from(spec.caption.as_str()))),
        ("Description", Some(Value::from(spec.description.as_str()))),
        ("Owner", Some(Value::from(spec.owner.as_str()))),
        ("JobState", Some(Value::Uint16(run.state.code()))),
        ("JobType", Some(Value::Uint16(spec.job_type))),
        ("JobStatus", Some(Value::from(run.status.as_str()))),
        ("TimeSubmitted", Some(time(spec.submitted))),
        ("StartTime", run.started.map(time)),
        ("EndTime", run.finished.map(time)),
        ("ElapsedTime", Some(Value::DateTime(DateTime::from_duration(run.ran)))),
        ("PercentComplete", Some(Value::Uint16(record.percent_complete()))),
        ("ErrorCode", Some(Value::Uint16(first.map_or(0, |e| e.code)))),
        ("RecurringJobID", spec.run_of.map(|id| Value::String(id.to_string()))),
        ("RunNumber", (recurs && run.runs > 0).then_some(Value::Uint32(run.runs))),
        ("ErrorDescription", first.map(|e| Value::from(e.message.as_str()))),
    ];
    let mut instance = Instance::of_class(context.schema.class(class.as_str())?);
    for (name, value) in values {
        instance.set(name, value);
    }
    Some(instance)
}
