//! The method calls behind jobs: CIM_MethodResult, its tie to the job, and the parameters that a job shows (DSP1103).
//!
//! What is told comes from the [`Call`] in the job's spec and from its run, so it is there exactly as long as the job is.

use crate::broker::Scope;
use crate::errors;
use crate::job_instance::Template;
use crate::methods::table_code;
use crate::paths;
use crate::registry::{Dialect, blank};
use cimwright_cim::{Embedded, Instance, InstancePath, Method, ObjectPath, Parameter, Schema, Value};
use cimwright_jobs::{Call, JobId, JobRecord, JobState};
use cimwright_sdk::{ErrorForm, MethodCall};

/// The class that keeps a call.
pub(crate) const METHOD_RESULT: &str = "CIM_MethodResult";

/// The association between a job and its call.
pub(crate) const RESULT_OF_JOB: &str = "CIM_AssociatedJobMethodResult";

/// The class of the two indications that a call is told with.
const METHOD_CALL: &str = "CIM_InstMethodCall";

/// What stands before the InstanceID of the job in that of its method result: `<OrgID>:<LocalID>`.
const ORGANISATION: &str = "Cimwright:";

/// The call as it is stored with the job that it makes.
pub(crate) fn remember(call: &MethodCall, method: &Method, job: Option<&Parameter>) -> Call {
    let target = match &call.target {
        ObjectPath::Instance(path) => InstancePath { host: None, namespace: None, ..path.clone() },
        ObjectPath::Class(path) => InstancePath::new(None, path.class.clone()),
    };
    let given = call.params.iter().filter_map(|p| Some((p.name.as_str().to_owned(), p.value.clone()?)));
    let job = job.map(|p| &p.name);
    let outs = method.parameters.iter().filter(|p| p.is_out() && Some(&p.name) != job);
    Call {
        target,
        method: method.name.as_str().to_owned(),
        params: given.collect(),
        outs: outs.map(|p| p.name.as_str().to_owned()).collect(),
        job: job.map(|name| name.as_str().to_owned()),
    }
}

/// The path of the method result of a job, without namespace; `None` if no call made the job.
pub(crate) fn path(record: &JobRecord) -> Option<InstancePath> {
    record.spec.call.as_ref()?;
    Some(
        InstancePath::new(None, METHOD_RESULT)
            .with_key("InstanceID", format!("{ORGANISATION}{}", record.id())),
    )
}

/// The job of a method result; `None` for a path that is not one's.
pub(crate) fn job_of(path: &InstancePath) -> Option<JobId> {
    if !path.class.is(METHOD_RESULT) {
        return None;
    }
    let id = path.key_str("InstanceID")?.strip_prefix(ORGANISATION)?;
    paths::job_id(&Value::from(id))
}

/// The method result of a job, as a dialect shows it.
pub(crate) fn instance(scope: &Scope, dialect: &Dialect, record: &JobRecord) -> Option<Instance> {
    let namespace = &scope.namespace;
    let call = record.spec.call.as_ref()?;
    let class = namespace.schema.class(METHOD_RESULT)?;
    let mut instance = blank(class);
    let path = InstancePath { namespace: Some(namespace.name.clone()), ..path(record)? };
    instance.set("InstanceID", path.key("InstanceID").cloned());
    instance.set("ElementName", Some(Value::from(call.method.as_str())));
    instance.set("Caption", Some(Value::from(format!("Call of {}", call.method))));
    let ended = record.run.state.is_finished();
    let (template, form) = (&dialect.template, dialect.face.error_form);
    let told = |pre_call| {
        let told = self::call(&namespace.schema, template, form, record, pre_call)?;
        Some(Value::Instance(Box::new(told)))
    };
    instance.set("PreCallIndication", told(true));
    instance.set("PostCallIndication", if ended { told(false) } else { None });
    instance.path = Some(path);
    Some(instance)
}

/// CIM_ConcreteJob.JobInParameters: what was given, as it was given.
pub(crate) fn in_parameters(record: &JobRecord) -> Option<Value> {
    let call = record.spec.call.as_ref()?;
    let empty = Instance::new("__JobInParameters");
    Some(Value::Instance(Box::new(with_values(
        empty,
        call.params.iter().map(|(n, v)| (n.as_str(), v.clone())),
    ))))
}

/// CIM_ConcreteJob.JobOutParameters: what came of it, once the job has completed.
pub(crate) fn out_parameters(job: &InstancePath, record: &JobRecord) -> Option<Value> {
    let call = record.spec.call.as_ref().filter(|_| record.run.state == JobState::Completed)?;
    let instance = with_values(Instance::new("__JobOutParameters"), outs(call, job, record));
    Some(Value::Instance(Box::new(instance.with("__ReturnValue", Value::Uint32(0)))))
}

/// CIM_InstMethodCall before or after the call that made a job; `None` if none did or the namespace does not have the class.
pub(crate) fn call(
    schema: &Schema,
    template: &Template,
    form: ErrorForm,
    record: &JobRecord,
    pre_call: bool,
) -> Option<Instance> {
    let call = record.spec.call.as_ref()?;
    let mut told = blank(schema.class(METHOD_CALL)?);
    let parameters = Instance::new("__MethodParameters");
    let parameters = if pre_call {
        with_values(parameters, call.params.iter().map(|(name, value)| (name.as_str(), value.clone())))
    } else {
        with_values(parameters, outs(call, &template.path(record), record))
    };
    told.set("MethodName", Some(Value::from(call.method.as_str())));
    told.set("PreCall", Some(Value::Boolean(pre_call)));
    told.set("MethodParameters", Some(Value::Instance(Box::new(parameters))));
    told.set("ReturnValue", (!pre_call).then(|| Value::String(return_value(form, record).to_string())));
    let origin = &record.spec.origin;
    told.set("SourceInstance", Some(Value::Instance(Box::new(source(call)))));
    mark_object(&mut told, "SourceInstance");
    mark_object(&mut told, "MethodParameters");
    let target = InstancePath { namespace: Some(origin.clone()), ..call.target.clone() };
    told.set("SourceInstanceModelPath", Some(Value::String(paths::text(&target))));
    Some(told)
}

/// Says of a property that its value is an embedded object of whatever class.
fn mark_object(instance: &mut Instance, name: &str) {
    if let Some(property) = instance.properties.iter_mut().find(|p| p.name.is(name)) {
        property.embedded = Some(Embedded::Object);
    }
}

/// The instance that the method was called on, by its keys.
fn source(call: &Call) -> Instance {
    let mut instance = Instance::new(call.target.class.clone());
    for key in &call.target.keys {
        instance.set(key.name.clone(), Some(as_text(key.value.clone())));
    }
    instance
}

/// What the method came to in the end: 0, or the code of the reason for which the job did not complete.
fn return_value(form: ErrorForm, record: &JobRecord) -> u32 {
    errors::reported(record).first().map_or(0, |reason| table_code(form, errors::code_of(reason)))
}

/// The output parameters that have a value: results of the job under their names, and the job itself.
fn outs<'a>(
    call: &'a Call,
    job: &'a InstancePath,
    record: &'a JobRecord,
) -> impl Iterator<Item = (&'a str, Value)> {
    let found = call.outs.iter().filter_map(|name| Some((name.as_str(), record.result(name)?.clone())));
    found.chain(call.job.as_ref().map(|name| (name.as_str(), Value::from(job.clone()))))
}

fn with_values<'a>(mut instance: Instance, values: impl Iterator<Item = (&'a str, Value)>) -> Instance {
    for (name, value) in values {
        instance.set(name, Some(as_text(value)));
    }
    instance
}

/// References are told as text, the path in the form of a WBEM URI without host (CIM_InstMethodCall.MethodParameters).
fn as_text(value: Value) -> Value {
    match value {
        Value::Reference(path) => Value::String(match *path {
            ObjectPath::Instance(path) => paths::text(&path),
            ObjectPath::Class(path) => match path.namespace {
                Some(namespace) => format!("{namespace}:{}", path.class),
                None => path.class.as_str().to_owned(),
            },
        }),
        Value::Array(items) => Value::Array(items.into_iter().map(|v| v.map(as_text)).collect()),
        other => other,
    }
}
