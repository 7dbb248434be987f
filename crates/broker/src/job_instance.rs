//! How a stored job looks as an instance of a job class.
//!
//! Which property shows what is found out once per class, so that making an instance is one pass without comparing names:
//! EnumerateInstances may make a million of them.

use crate::errors;
use crate::registry::JOB_KEY;
use crate::results;
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::{
    CimType, Class, ClassName, DateTime, ErrorDetail, Instance, InstancePath, Name, NamespaceName, Property,
    Value,
};
use cimwright_jobs::{JobRecord, JobState};
use std::borrow::Cow;
use std::time::SystemTime;

/// The HRESULT of a job that failed and did not say more: E_FAIL.
const E_FAIL: u32 = 0x8000_4005;

/// The HRESULT of a job that a client stopped: ERROR_CANCELLED.
const E_CANCELLED: u32 = 0x8007_04C7;

/// CIM_ManagedSystemElement.HealthState OK. Hyper-V's pages say that a job always has it: the failure of a job is no defect
/// of the job; OperationalStatus is where it shows.
const HEALTHY: u16 = 5;

/// What a property of a job class shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    InstanceId,
    Name,
    ElementName,
    Caption,
    Description,
    Owner,
    TimeSubmitted,
    StartTime,
    ScheduledStartTime,
    ElapsedTime,
    PercentComplete,
    JobState,
    JobStatus,
    OperationalStatus,
    StatusDescriptions,
    HealthState,
    TimeOfLastStateChange,
    TimeBeforeRemoval,
    DeleteOnCompletion,
    Cancellable,
    JobType,
    ErrorCode,
    ErrorDescription,
    ErrorSummaryDescription,
    RecoveryAction,
    JobCompletionStatusCode,
    JobRunTimes,
    RunMonth,
    RunDay,
    RunDayOfWeek,
    RunStartInterval,
    LocalOrUtcTime,
    UntilTime,
    Notify,
    Priority,
    JobInParameters,
    JobOutParameters,
    /// What the job found out under this name, else the default of the class.
    Result,
}

/// The properties that are known, with the type their values have.
const FIELDS: [(&str, Field, CimType, bool); 36] = [
    (JOB_KEY, Field::InstanceId, CimType::String, false),
    ("Name", Field::Name, CimType::String, false),
    ("ElementName", Field::ElementName, CimType::String, false),
    ("Caption", Field::Caption, CimType::String, false),
    ("Description", Field::Description, CimType::String, false),
    ("Owner", Field::Owner, CimType::String, false),
    ("TimeSubmitted", Field::TimeSubmitted, CimType::DateTime, false),
    ("StartTime", Field::StartTime, CimType::DateTime, false),
    ("ScheduledStartTime", Field::ScheduledStartTime, CimType::DateTime, false),
    ("ElapsedTime", Field::ElapsedTime, CimType::DateTime, false),
    ("PercentComplete", Field::PercentComplete, CimType::Uint16, false),
    ("JobState", Field::JobState, CimType::Uint16, false),
    ("JobStatus", Field::JobStatus, CimType::String, false),
    ("OperationalStatus", Field::OperationalStatus, CimType::Uint16, true),
    ("StatusDescriptions", Field::StatusDescriptions, CimType::String, true),
    ("HealthState", Field::HealthState, CimType::Uint16, false),
    ("TimeOfLastStateChange", Field::TimeOfLastStateChange, CimType::DateTime, false),
    ("TimeBeforeRemoval", Field::TimeBeforeRemoval, CimType::DateTime, false),
    ("DeleteOnCompletion", Field::DeleteOnCompletion, CimType::Boolean, false),
    ("Cancellable", Field::Cancellable, CimType::Boolean, false),
    ("ErrorCode", Field::ErrorCode, CimType::Uint16, false),
    ("ErrorDescription", Field::ErrorDescription, CimType::String, false),
    ("ErrorSummaryDescription", Field::ErrorSummaryDescription, CimType::String, false),
    ("RecoveryAction", Field::RecoveryAction, CimType::Uint16, false),
    ("JobCompletionStatusCode", Field::JobCompletionStatusCode, CimType::Uint32, false),
    ("JobRunTimes", Field::JobRunTimes, CimType::Uint32, false),
    ("RunMonth", Field::RunMonth, CimType::Uint8, false),
    ("RunDay", Field::RunDay, CimType::Sint8, false),
    ("RunDayOfWeek", Field::RunDayOfWeek, CimType::Sint8, false),
    ("RunStartInterval", Field::RunStartInterval, CimType::DateTime, false),
    ("LocalOrUtcTime", Field::LocalOrUtcTime, CimType::Uint16, false),
    ("UntilTime", Field::UntilTime, CimType::DateTime, false),
    ("Notify", Field::Notify, CimType::String, false),
    ("Priority", Field::Priority, CimType::Uint32, false),
    ("JobInParameters", Field::JobInParameters, CimType::String, false),
    ("JobOutParameters", Field::JobOutParameters, CimType::String, false),
];

/// Makes instances of one job class.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    class: ClassName,
    namespace: NamespaceName,
    key: Name,
    slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    /// The property as the instance shows it, with the default of the class.
    property: Property,
    /// The declaring class, for those who ask for it.
    origin: Option<ClassName>,
    field: Field,
}

impl Template {
    pub(crate) fn new(class: &Class, namespace: &NamespaceName, type_property: Option<&str>) -> Self {
        let slots = class
            .properties
            .iter()
            .map(|p| Slot {
                field: field_of(p, type_property),
                origin: p.class_origin.clone(),
                property: Property {
                    qualifiers: Vec::new(),
                    propagated: false,
                    class_origin: None,
                    ..p.clone()
                },
            })
            .collect();
        let key = class.property(JOB_KEY).map_or_else(|| Name::new(JOB_KEY), |p| p.name.clone());
        Self { class: class.name.clone(), namespace: namespace.clone(), key, slots }
    }

    /// A template that shows only these properties, and on request the class each was declared in.
    pub(crate) fn restricted(&self, list: Option<&[Name]>, include_class_origin: bool) -> Self {
        let mut template = self.clone();
        if let Some(list) = list {
            template.slots.retain(|s| list.contains(&s.property.name));
        }
        if include_class_origin {
            for slot in &mut template.slots {
                slot.property.class_origin = slot.origin.clone();
            }
        }
        template
    }

    /// What a property shows.
    pub(crate) fn field(&self, property: &Name) -> Option<Field> {
        self.slots.iter().find(|s| s.property.name == *property).map(|s| s.field)
    }

    /// The path of a job.
    pub(crate) fn path(&self, record: &JobRecord) -> InstancePath {
        InstancePath::new(self.namespace.clone(), self.class.clone())
            .with_key(self.key.clone(), record.id().to_string())
    }

    /// The path of a job as an instance without properties.
    pub(crate) fn name_only(&self, record: &JobRecord) -> Instance {
        Instance { class: self.class.clone(), path: Some(self.path(record)), properties: Vec::new() }
    }

    /// A job as it is at `now`.
    pub(crate) fn instance(&self, record: &JobRecord, now: SystemTime) -> Instance {
        let errors = errors::reported(record);
        let properties = self
            .slots
            .iter()
            .map(|slot| Property {
                name: slot.property.name.clone(),
                value: match slot.field {
                    Field::JobOutParameters => results::out_parameters(&self.path(record), record),
                    _ => value(slot, record, &errors, now),
                },
                reference_class: slot.property.reference_class.clone(),
                class_origin: slot.property.class_origin.clone(),
                qualifiers: Vec::new(),
                ..slot.property
            })
            .collect();
        Instance { class: self.class.clone(), path: Some(self.path(record)), properties }
    }
}

impl Field {
    /// Whether the value comes from the run of the job and may be another one at the next look.
    pub(crate) fn moves_by_itself(self) -> bool {
        matches!(
            self,
            Self::StartTime
                | Self::ScheduledStartTime
                | Self::ElapsedTime
                | Self::PercentComplete
                | Self::JobState
                | Self::JobStatus
                | Self::OperationalStatus
                | Self::StatusDescriptions
                | Self::TimeOfLastStateChange
                | Self::Cancellable
                | Self::ErrorCode
                | Self::ErrorDescription
                | Self::ErrorSummaryDescription
                | Self::JobCompletionStatusCode
                | Self::JobOutParameters
                | Self::Result
        )
    }
}

/// A property that has the name but not the type of a known one is left to the results of the job.
fn field_of(property: &Property, type_property: Option<&str>) -> Field {
    let is = |cim_type, is_array| property.cim_type == cim_type && property.is_array == is_array;
    if type_property.is_some_and(|t| property.name.is(t)) && is(CimType::Uint16, false) {
        return Field::JobType;
    }
    FIELDS
        .iter()
        .find(|(name, _, cim_type, is_array)| property.name.is(name) && is(*cim_type, *is_array))
        .map_or(Field::Result, |(_, field, ..)| *field)
}

fn value(slot: &Slot, record: &JobRecord, errors: &[Cow<'_, ErrorDetail>], now: SystemTime) -> Option<Value> {
    let (spec, run, settings) = (&record.spec, &record.run, &record.settings);
    let schedule = &settings.schedule;
    let text = |s: &str| if s.is_empty() { slot.property.value.clone() } else { Some(Value::from(s)) };
    let time = |t: SystemTime| Some(Value::DateTime(DateTime::from_system_time(t)));
    match slot.field {
        Field::InstanceId => Some(Value::String(record.id().to_string())),
        Field::Name | Field::ElementName => text(&spec.name),
        Field::Caption => text(&spec.caption),
        Field::Description => text(&spec.description),
        Field::Owner => text(&spec.owner),
        Field::TimeSubmitted => time(spec.submitted),
        Field::StartTime => run.started.and_then(time),
        Field::ScheduledStartTime => match (schedule.scheduled_start_time, run.started) {
            (Some(planned), _) => Some(planned.into()),
            // All zeros say that the job has begun already.
            (None, Some(_)) => Some(DateTime::ZERO_INTERVAL.into()),
            (None, None) => None,
        },
        Field::ElapsedTime => Some(DateTime::from_duration(record.elapsed(now)).into()),
        Field::PercentComplete => Some(Value::Uint16(record.percent_complete())),
        Field::JobState => Some(Value::Uint16(run.state.code())),
        Field::JobStatus => text(&run.status),
        Field::OperationalStatus => Some(Value::uint16s(record.operational_status().iter().copied())),
        Field::StatusDescriptions => {
            Some(Value::strings(record.operational_status().iter().map(|s| status_name(*s))))
        }
        Field::HealthState => Some(Value::Uint16(HEALTHY)),
        Field::TimeOfLastStateChange => {
            Some(run.changed.map_or(DateTime::ZERO_INTERVAL, DateTime::from_system_time).into())
        }
        Field::TimeBeforeRemoval => Some(DateTime::from_duration(settings.time_before_removal).into()),
        Field::DeleteOnCompletion => Some(Value::Boolean(settings.delete_on_completion)),
        Field::Cancellable => Some(Value::Boolean(record.is_cancellable())),
        Field::JobType => Some(Value::Uint16(spec.job_type)),
        Field::ErrorCode => Some(Value::Uint16(errors.first().map_or(0, |e| errors::code_of(e)))),
        Field::ErrorDescription => errors.first().map(|e| Value::String(e.message.clone())),
        Field::ErrorSummaryDescription => errors.first().map(|e| Value::String(summary(e))),
        Field::RecoveryAction => Some(Value::Uint16(0)),
        Field::JobCompletionStatusCode => {
            result(slot, record).or_else(|| completion_code(run.state).map(Value::Uint32))
        }
        Field::JobRunTimes => Some(Value::Uint32(schedule.job_run_times)),
        Field::RunMonth => schedule.run_month.map(Value::Uint8),
        Field::RunDay => schedule.run_day.map(Value::Sint8),
        Field::RunDayOfWeek => schedule.run_day_of_week.map(Value::Sint8),
        Field::RunStartInterval => schedule.run_start_interval.map(Value::DateTime),
        Field::LocalOrUtcTime => schedule.local_or_utc_time.map(Value::Uint16),
        Field::UntilTime => schedule.until_time.map(Value::DateTime),
        Field::Notify => settings.notify.as_deref().map(Value::from),
        Field::Priority => Some(Value::Uint32(settings.priority)),
        Field::JobInParameters => results::in_parameters(record),
        // Needs the path of the job as well; made where that is known.
        Field::JobOutParameters => None,
        Field::Result => result(slot, record).or_else(|| slot.property.value.clone()),
    }
}

/// What the job found out under the name of the property, if it fits the class.
fn result(slot: &Slot, record: &JobRecord) -> Option<Value> {
    if record.run.results.is_empty() {
        return None;
    }
    let Property { cim_type, is_array, embedded, .. } = slot.property;
    let found = record.result(slot.property.name.as_str())?.clone();
    coerce(found, Declared { cim_type, is_array, embedded }, &|_| Err("not read from text here".to_owned()))
        .ok()
}

fn completion_code(state: JobState) -> Option<u32> {
    match state {
        JobState::Completed => Some(0),
        JobState::Exception => Some(E_FAIL),
        JobState::Terminated | JobState::Killed => Some(E_CANCELLED),
        JobState::New
        | JobState::Starting
        | JobState::Running
        | JobState::Suspended
        | JobState::ShuttingDown
        | JobState::Service
        | JobState::QueryPending => None,
    }
}

/// The name in the value map of OperationalStatus.
fn status_name(status: u16) -> &'static str {
    match status {
        2 => "OK",
        6 => "Error",
        10 => "Stopped",
        11 => "In Service",
        17 => "Completed",
        _ => "Unknown",
    }
}

/// The whole chain of reasons and the most promising remedy, in one line.
fn summary(error: &ErrorDetail) -> String {
    let mut line = error.message.clone();
    for cause in error.chain().skip(1) {
        line.push_str(" Because: ");
        line.push_str(&cause.message);
    }
    if let Some(action) = error.chain().find_map(|e| e.recommended_actions.first()) {
        line.push_str(" What to do: ");
        line.push_str(action);
    }
    if line.contains(['\n', '\r']) {
        line =
            line.split(['\n', '\r']).map(str::trim).filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_jobs::{JobId, JobSettings, JobSpec, Progress};
    use std::time::{Duration, UNIX_EPOCH};

    fn class() -> Class {
        let mut class = Class::new("Msvm_StorageJob");
        for (name, _, cim_type, is_array) in FIELDS {
            let mut property = Property::new(name, cim_type, None);
            property.is_array = is_array;
            class.properties.push(property);
        }
        class.properties.push(Property::new("Type", CimType::Uint16, None));
        class.properties.push(Property::new("Child", CimType::String, None));
        class.properties.push(Property::new("InstallDate", CimType::DateTime, None));
        class
    }

    fn record() -> JobRecord {
        let spec = JobSpec {
            id: JobId::generate(),
            family: "f".into(),
            kind: "k".into(),
            payload: String::new(),
            origin: "root/a".into(),
            owner: "ada".into(),
            name: "Convert".into(),
            caption: "Converting".into(),
            description: String::new(),
            job_type: 6,
            owning_element: None,
            affected: Vec::new(),
            submitted: UNIX_EPOCH + Duration::from_secs(1),
            call: None,
            run_of: None,
        };
        JobRecord::new(spec, JobSettings::default())
    }

    fn shown(record: &JobRecord) -> Instance {
        Template::new(&class(), &"root/a".into(), Some("Type"))
            .instance(record, UNIX_EPOCH + Duration::from_secs(100))
    }

    #[test]
    fn a_new_job_knows_all_but_its_run() {
        let record = record();
        let instance = shown(&record);
        let null: Vec<&str> =
            instance.properties.iter().filter(|p| p.value.is_none()).map(|p| p.name.as_str()).collect();
        let wanted = [
            "Description",
            "StartTime",
            "ScheduledStartTime",
            "ErrorDescription",
            "ErrorSummaryDescription",
            "JobCompletionStatusCode",
            "RunMonth",
            "RunDay",
            "RunDayOfWeek",
            "RunStartInterval",
            "LocalOrUtcTime",
            "UntilTime",
            "Notify",
            "JobInParameters",
            "JobOutParameters",
            "Child",
            "InstallDate",
        ];
        assert_eq!(null, wanted);
        assert_eq!(instance.get("Type"), Some(&Value::Uint16(6)));
        assert_eq!(instance.get("TimeOfLastStateChange"), Some(&DateTime::ZERO_INTERVAL.into()));
        assert_eq!(instance.get("ErrorCode"), Some(&Value::Uint16(0)));
        assert_eq!(instance.path.unwrap().key_str("InstanceID"), Some(record.id().to_string().as_str()));
    }

    #[test]
    fn a_failed_job_tells_its_reason_in_every_place() {
        let mut record = record();
        record.run.state = JobState::Exception;
        let inner = ErrorDetail {
            message: "No space.\nReally.".into(),
            code: 1,
            ..errors::CATALOGUE.entries[0].detail(["a"])
        };
        record.run.errors = vec![errors::CATALOGUE.entries[0].detail(["n", "s"]).because(inner)];
        record.run.results =
            vec![("child".into(), Value::from("/x")), ("Type".into(), Value::from("ignored"))];
        record.run.progress = Progress { done: 1, total: 2, share: 9999 };
        let instance = shown(&record);
        assert_eq!(instance.get("OperationalStatus"), Some(&Value::uint16s([6, 17])));
        assert_eq!(instance.get("StatusDescriptions"), Some(&Value::strings(["Error", "Completed"])));
        assert_eq!(instance.get("ErrorCode"), Some(&Value::Uint16(32768)));
        assert_eq!(instance.get_str("ErrorDescription"), Some(record.run.errors[0].message.as_str()));
        let summary = instance.get_str("ErrorSummaryDescription").unwrap();
        assert!(summary.contains("Because: No space. Really. What to do: Look into the log"), "{summary}");
        assert_eq!(instance.get_str("Child"), Some("/x"));
        assert_eq!(instance.get("JobCompletionStatusCode"), Some(&Value::Uint32(E_FAIL)));
        assert_eq!(instance.get("PercentComplete"), Some(&Value::Uint16(99)));
        assert_eq!(instance.get("HealthState"), Some(&Value::Uint16(5)));
    }

    #[test]
    fn an_end_without_reason_still_has_one() {
        let mut record = record();
        record.run.state = JobState::Terminated;
        let instance = shown(&record);
        assert_eq!(instance.get("ErrorCode"), Some(&Value::Uint16(32768)));
        assert!(instance.get_str("ErrorDescription").unwrap().contains("Terminated"));
    }

    #[test]
    fn a_restricted_template_shows_what_is_listed() {
        let template = Template::new(&class(), &"root/a".into(), None);
        let record = record();
        let list = ["jobstate".into(), "Nope".into()];
        let instance = template.restricted(Some(&list), false).instance(&record, UNIX_EPOCH);
        assert_eq!(instance.properties.len(), 1);
        assert_eq!(instance.get_u64("JobState"), Some(2));
        assert!(instance.path.is_some());
    }

    #[test]
    fn a_known_name_of_another_type_is_left_alone() {
        let mut class = class();
        class.properties.retain(|p| !p.name.is("Owner"));
        class.properties.push(Property::new("Owner", CimType::Uint8, None));
        let instance = Template::new(&class, &"root/a".into(), None).instance(&record(), UNIX_EPOCH);
        assert_eq!(instance.get("Owner"), None);
    }
}
