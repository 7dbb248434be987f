//! The objects that the golden files are about: a disk conversion that fails for want of space, and what hangs on it.

use cimwright_cim::{
    CimStatus, CimType, ClassName, Embedded, ErrorDetail, ErrorType, Instance, InstancePath, NamespaceName,
    ObjectPath, Operation, OperationResult, Param, Property, Request, Severity, Value,
};

pub(crate) fn hyper_v() -> NamespaceName {
    NamespaceName::new("root/virtualization/v2")
}

pub(crate) fn interop() -> NamespaceName {
    NamespaceName::new("root/interop")
}

pub(crate) const JOB: &str = "3F2504E0-4F89-11D3-9A0C-0305E82C3301";

pub(crate) fn job_path() -> InstancePath {
    InstancePath::new(hyper_v(), "Msvm_StorageJob").with_key("InstanceID", JOB)
}

/// A path whose key needs escaping in XML and in text.
pub(crate) fn file_path() -> InstancePath {
    InstancePath::new(hyper_v(), "CIM_LogicalFile").with_key("Name", "/srv/vhd/\"a\" & <b>.vhdx")
}

pub(crate) fn ask(operation: Operation) -> Request {
    Request { namespace: hyper_v(), operation }
}

pub(crate) fn call(target: impl Into<ObjectPath>, method: &str, params: Vec<Param>) -> Request {
    ask(Operation::InvokeMethod { target: target.into(), method: method.into(), params })
}

pub(crate) fn returned(code: u32, out: Vec<Param>) -> OperationResult {
    OperationResult::Method { return_value: Some(Value::Uint32(code)), out }
}

/// The error of the failed conversion, as an instance.
pub(crate) fn error_instance(class: &str) -> Instance {
    Instance::new(class)
        .with("ErrorType", Value::Uint16(6))
        .with("OwningEntity", "Cimwright")
        .with("MessageID", "CWDISK1004")
        .with("Message", "No space for \"b.vhdx\" in /srv: 4 < 8 GB & shrinking")
        .with("MessageArguments", Value::Array(vec![Some("b.vhdx".into()), None, Some("".into())]))
        .with("PerceivedSeverity", Value::Uint16(5))
        .with("ProbableCause", Value::Uint16(51))
        .with("CIMStatusCode", Value::Uint32(1))
}

/// The same as a detail of an operation that failed.
pub(crate) fn error_detail() -> ErrorDetail {
    ErrorDetail {
        message_id: "CWJOB1001".into(),
        message: format!("There is no job {JOB}"),
        arguments: vec![JOB.into()],
        error_type: ErrorType::Software,
        severity: Severity::Minor,
        probable_cause: 0,
        probable_cause_description: String::new(),
        recommended_actions: vec!["List the jobs".into(), "Look into the history".into()],
        source: Some(format!("root/virtualization/v2:Msvm_StorageJob.InstanceID=\"{JOB}\"")),
        source_is_path: true,
        status: CimStatus::NotFound,
        code: 32768,
        cause: None,
    }
}

/// The failed job. With every kind of property a job has: NULL, empty text, arrays, timestamps and intervals.
pub(crate) fn job() -> Instance {
    let time = |text: &str| Value::DateTime(text.parse().expect("a datetime"));
    let mut job = Instance::new("Msvm_StorageJob")
        .with("InstanceID", JOB)
        .with("Caption", "Convert \u{201e}b.vhdx\u{201c}")
        .with("JobState", Value::Uint16(10))
        .with("OperationalStatus", Value::uint16s([6, 17]))
        .with("StatusDescriptions", Value::Array(vec![Some("Error".into()), None]))
        .with("PercentComplete", Value::Uint16(62))
        .with("TimeSubmitted", time("20260131235959.123456+060"))
        .with("StartTime", time("20260131230000.******+000"))
        .with("ElapsedTime", time("00000000000107.000000:000"))
        .with("DeleteOnCompletion", Value::Boolean(false))
        .with("ErrorCode", Value::Uint16(32768))
        .with("ErrorDescription", "")
        .with("Priority", Value::Uint32(0));
    job.properties.push(Property::new("UntilTime", CimType::DateTime, None));
    job
}

pub(crate) fn with_path(mut instance: Instance, path: InstancePath) -> Instance {
    instance.path = Some(path);
    instance
}

/// Only a path, as the operations on names answer.
pub(crate) fn path_only(path: InstancePath) -> Instance {
    Instance { class: path.class.clone(), path: Some(path), properties: Vec::new() }
}

/// The association between the job and the file it worked on.
pub(crate) fn affected() -> Instance {
    let end = |name: &str, class: &str, path: InstancePath| Property {
        reference_class: Some(ClassName::from(class)),
        ..Property::new(name, CimType::Reference, Some(path.into()))
    };
    let mut instance = Instance::new("Msvm_AffectedStorageJobElement");
    instance.properties.push(end("AffectedElement", "CIM_ManagedElement", file_path()));
    instance.properties.push(end("AffectingElement", "CIM_Job", job_path()));
    instance.with("ElementEffects", Value::uint16s([5]))
}

pub(crate) fn affected_path() -> InstancePath {
    InstancePath::new(hyper_v(), "Msvm_AffectedStorageJobElement")
        .with_key("AffectedElement", file_path())
        .with_key("AffectingElement", job_path())
}

pub(crate) fn embedded(instance: Instance) -> Value {
    Value::Instance(Box::new(instance))
}

/// A property or parameter that could hold an object and is NULL.
pub(crate) fn null_object(name: &str, mark: Embedded) -> Property {
    Property { embedded: Some(mark), ..Property::new(name, CimType::String, None) }
}
