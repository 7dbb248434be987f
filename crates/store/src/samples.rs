//! Records for tests.

use cimwright_cim::{
    CimStatus, CimType, Class, ClassPath, Embedded, ErrorDetail, ErrorType, Flavor, Instance, InstancePath,
    Method, NamespaceName, ObjectPath, Parameter, Property, Qualifier, Severity, Value,
};
use cimwright_jobs::{
    Affected, Call, JobId, JobRecord, JobRun, JobSettings, JobSpec, JobState, Progress, RequestedState,
    Schedule, StateRequest, StepRecord,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The `n`th id: greater than the one before.
pub(crate) fn id(n: u128) -> JobId {
    JobId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n))
}

/// A moment `seconds` after the one all tests begin at.
pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_750_000_000 + seconds)
}

/// A job that was just asked for.
pub(crate) fn job(id: JobId) -> JobRecord {
    JobRecord::new(
        JobSpec {
            id,
            family: "hyperv.storage".to_owned(),
            kind: "disk.convert".to_owned(),
            payload: r#"{"source":"a.vhdx"}"#.to_owned(),
            origin: NamespaceName::new("root/virtualization/v2"),
            owner: "ada".to_owned(),
            name: "Convert".to_owned(),
            caption: "Converting".to_owned(),
            description: "Converting a.vhdx".to_owned(),
            job_type: 2,
            owning_element: None,
            affected: Vec::new(),
            submitted: at(0),
            call: None,
            run_of: None,
        },
        JobSettings::default(),
    )
}

/// The run of a job that ended at `when`.
pub(crate) fn ended(state: JobState, when: SystemTime) -> JobRun {
    JobRun { state, finished: Some(when), changed: Some(when), ..JobRun::new() }
}

/// A job with every field set. The files in `forms/v1` hold exactly this, so it is never changed; what later versions add gets
/// a sample of its own.
pub(crate) fn every_field(id: JobId) -> JobRecord {
    let mut path = InstancePath::new(NamespaceName::new("root/virtualization/v2"), "Msvm_Disk")
        .with_key("DeviceID", "a \"quoted\" \\ one\n")
        .with_key("Slot", Value::Uint8(3));
    path.host = Some("host:5989".to_owned());
    JobRecord {
        spec: Arc::new(JobSpec {
            owning_element: Some(path.clone()),
            affected: vec![
                Affected { element: path.clone(), effects: vec![2, 5] },
                Affected { element: InstancePath::new(None, "CIM_Whole"), effects: Vec::new() },
            ],
            ..(*job(id).spec).clone()
        }),
        run: JobRun {
            state: JobState::Exception,
            status: "Failed – größtenteils".to_owned(),
            started: Some(at(1)),
            changed: Some(at(9) + Duration::from_micros(123_456)),
            finished: Some(at(9)),
            ran: Duration::from_micros(7_000_001),
            running_since: Some(at(8)),
            progress: Progress { done: 5, total: u64::MAX, share: 9_999 },
            cancellable: false,
            steps: vec![
                StepRecord { name: "prepare".to_owned(), output: r#"{"temp":"x"}"#.to_owned() },
                StepRecord { name: "copy".to_owned(), output: String::new() },
            ],
            attempts: 3,
            errors: vec![
                error("CWDISK1004").because(error("CWDISK1005").because(bare_error())),
                bare_error(),
            ],
            results: values(path),
            ..JobRun::new()
        },
        settings: JobSettings {
            time_before_removal: Duration::from_micros(600_000_001),
            delete_on_completion: false,
            priority: 7,
            notify: Some("ops@example.com".to_owned()),
            schedule: Schedule {
                scheduled_start_time: Some("20260131123000.000000+060".parse().unwrap()),
                job_run_times: 2,
                run_month: Some(11),
                run_day: Some(-31),
                run_day_of_week: Some(-7),
                run_start_interval: Some("00000001020304.000005:000".parse().unwrap()),
                local_or_utc_time: Some(2),
                until_time: Some("20270101******.******+000".parse().unwrap()),
            },
        },
        request: Some(StateRequest {
            wanted: RequestedState::Terminate,
            by: "bob".to_owned(),
            at: at(5),
            deadline: Some(at(65)),
        }),
    }
}

/// What version 2 of the forms of spec and run added; `forms/v2` holds exactly this.
pub(crate) fn every_field_of_2(id: JobId) -> JobRecord {
    let target = InstancePath::new(None, "Msvm_ImageManagementService").with_key("Name", "vhdsvc");
    let plain = job(id);
    JobRecord {
        spec: Arc::new(JobSpec {
            call: Some(Call {
                target: target.clone(),
                method: "ConvertVirtualHardDisk".to_owned(),
                params: vec![
                    ("SourcePath".to_owned(), Value::from("/a.vhdx")),
                    ("Service".to_owned(), target.into()),
                ],
                outs: vec!["Info".to_owned()],
                job: Some("Job".to_owned()),
            }),
            run_of: Some(self::id(7)),
            ..(*plain.spec).clone()
        }),
        run: JobRun {
            undo_errors: vec![error("CWJOB1009").because(bare_error())],
            due: Some(at(60)),
            runs: 3,
            ..JobRun::new()
        },
        ..plain
    }
}

fn error(id: &str) -> ErrorDetail {
    ErrorDetail {
        message_id: id.to_owned(),
        message: "No space left for a.vhd".to_owned(),
        arguments: vec!["a.vhd".to_owned(), "12".to_owned()],
        error_type: ErrorType::UnavailableResource,
        severity: Severity::Critical,
        probable_cause: 51,
        probable_cause_description: "The storage root is full".to_owned(),
        recommended_actions: vec!["Free space".to_owned(), "Try again".to_owned()],
        source: Some("root/virtualization/v2:Msvm_Disk.DeviceID=\"a\"".to_owned()),
        source_is_path: true,
        status: CimStatus::ServerLimitsExceeded,
        code: 32_779,
        cause: None,
    }
}

fn bare_error() -> ErrorDetail {
    ErrorDetail {
        message_id: String::new(),
        message: String::new(),
        arguments: Vec::new(),
        error_type: ErrorType::Unknown,
        severity: Severity::Unknown,
        probable_cause: 0,
        probable_cause_description: String::new(),
        recommended_actions: Vec::new(),
        source: None,
        source_is_path: false,
        status: CimStatus::Failed,
        code: 0,
        cause: None,
    }
}

/// One result of every type.
fn values(path: InstancePath) -> Vec<(String, Value)> {
    let class_path =
        ClassPath { host: Some("h".to_owned()), ..ClassPath::new(NamespaceName::new("root/a"), "C") };
    let mut inner = Instance::new("Msvm_Inner").with("N", Value::Sint64(i64::MIN));
    inner.path = Some(path.clone());
    let instance = Instance {
        class: "Msvm_Outer".into(),
        path: None,
        properties: vec![Property {
            name: "Inner".into(),
            cim_type: CimType::String,
            is_array: true,
            array_size: Some(4),
            value: Some(Value::Array(vec![Some(Value::Instance(Box::new(inner.clone()))), None])),
            embedded: Some(Embedded::Instance),
            reference_class: Some("Msvm_Inner".into()),
            class_origin: Some("Msvm_Base".into()),
            propagated: true,
            qualifiers: Vec::new(),
        }],
    };
    let items = [
        Value::Boolean(true),
        Value::String("text".to_owned()),
        Value::Char16(0xd800),
        Value::Uint8(u8::MAX),
        Value::Sint8(i8::MIN),
        Value::Uint16(u16::MAX),
        Value::Sint16(i16::MIN),
        Value::Uint32(u32::MAX),
        Value::Sint32(i32::MIN),
        Value::Uint64(u64::MAX),
        Value::Sint64(i64::MIN),
        Value::Real32(f32::MIN_POSITIVE),
        Value::Real64(f64::NEG_INFINITY),
        Value::DateTime("00000000000500.000000:000".parse().unwrap()),
        path.into(),
        Value::Reference(Box::new(ObjectPath::Class(class_path))),
        Value::Instance(Box::new(instance)),
        Value::Class(Box::new(class())),
        Value::InstanceText(Box::new(inner)),
        Value::Array(vec![Some(Value::Uint16(1)), None, Some(Value::Uint16(2))]),
        Value::Array(Vec::new()),
    ];
    items.into_iter().enumerate().map(|(n, value)| (format!("R{n}"), value)).collect()
}

fn class() -> Class {
    let qualifier = Qualifier {
        name: "ValueMap".into(),
        cim_type: CimType::String,
        is_array: true,
        value: Some(Value::strings(["1", "2"])),
        flavor: Flavor { overridable: false, to_subclass: true, to_instance: true, translatable: true },
        propagated: true,
    };
    let property = Property {
        name: "P".into(),
        cim_type: CimType::Reference,
        is_array: false,
        array_size: None,
        value: None,
        embedded: Some(Embedded::Object),
        reference_class: None,
        class_origin: None,
        propagated: false,
        qualifiers: vec![qualifier.clone()],
    };
    let parameter = Parameter {
        name: "In".into(),
        cim_type: CimType::Uint16,
        is_array: true,
        array_size: Some(2),
        embedded: None,
        reference_class: Some("X".into()),
        qualifiers: vec![qualifier.clone()],
    };
    let method = Method {
        name: "M".into(),
        return_type: Some(CimType::Uint32),
        parameters: vec![parameter],
        class_origin: Some("Base".into()),
        propagated: true,
        qualifiers: vec![qualifier.clone()],
    };
    Class {
        name: "Derived".into(),
        superclass: Some("Base".into()),
        qualifiers: vec![qualifier],
        properties: vec![property],
        methods: vec![method],
    }
}

/// Records as chance makes them.
pub(crate) mod random {
    use super::*;
    use cimwright_cim::DateTime;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    /// Any record with this id.
    pub(crate) fn record(id: JobId) -> impl Strategy<Value = JobRecord> {
        (spec(id), run(), settings(), option::of(request())).prop_map(|(spec, run, settings, request)| {
            JobRecord { spec: Arc::new(spec), run, settings, request }
        })
    }

    fn spec(id: JobId) -> impl Strategy<Value = JobSpec> {
        let texts = vec(text(), 8);
        let affected = vec(
            (path(), vec(any::<u16>(), 0..3)).prop_map(|(element, effects)| Affected { element, effects }),
            0..3,
        );
        let params = vec((text(), value()), 0..3);
        let call = (path(), text(), params, vec(text(), 0..2), option::of(text()))
            .prop_map(|(target, method, params, outs, job)| Call { target, method, params, outs, job });
        let made = (option::of(call), option::of(any::<u128>()));
        (texts, any::<u16>(), option::of(path()), affected, time(), made).prop_map(
            move |(texts, job_type, owning_element, affected, submitted, (call, run_of))| {
                let mut texts = texts.into_iter();
                let mut next = || texts.next().unwrap();
                JobSpec {
                    id,
                    family: next(),
                    kind: next(),
                    payload: next(),
                    origin: NamespaceName::new(next()),
                    owner: next(),
                    name: next(),
                    caption: next(),
                    description: next(),
                    job_type,
                    owning_element,
                    affected,
                    submitted,
                    call,
                    run_of: run_of.map(|n| JobId(Uuid::from_u128(n))),
                }
            },
        )
    }

    fn run() -> impl Strategy<Value = JobRun> {
        let times = (option::of(time()), option::of(time()), option::of(time()), option::of(time()));
        let lists = (
            vec((text(), text()).prop_map(|(name, output)| StepRecord { name, output }), 0..3),
            vec(error(), 0..3),
            vec((text(), value()), 0..4),
            vec(error(), 0..2),
            (option::of(time()), any::<u32>()),
        );
        let progress =
            any::<(u64, u64, u16)>().prop_map(|(done, total, share)| Progress { done, total, share });
        (
            proptest::sample::select(&JobState::ALL[..]),
            text(),
            times,
            duration(),
            progress,
            any::<(bool, u32)>(),
            lists,
        )
            .prop_map(|(state, status, times, ran, progress, (cancellable, attempts), lists)| {
                let (steps, errors, results, undo_errors, (due, runs)) = lists;
                let (started, changed, finished, running_since) = times;
                JobRun {
                    state,
                    status,
                    started,
                    changed,
                    finished,
                    ran,
                    running_since,
                    progress,
                    cancellable,
                    steps,
                    attempts,
                    errors,
                    undo_errors,
                    results,
                    due,
                    runs,
                }
            })
    }

    fn settings() -> impl Strategy<Value = JobSettings> {
        (duration(), any::<(bool, u32)>(), option::of(text()), schedule()).prop_map(
            |(time_before_removal, (delete_on_completion, priority), notify, schedule)| JobSettings {
                time_before_removal,
                delete_on_completion,
                priority,
                notify,
                schedule,
            },
        )
    }

    fn schedule() -> impl Strategy<Value = Schedule> {
        let numbers = any::<(u32, Option<u8>, Option<i8>, Option<i8>, Option<u16>)>();
        (numbers, option::of(date_time()), option::of(date_time()), option::of(date_time())).prop_map(
            |(numbers, scheduled_start_time, run_start_interval, until_time)| {
                let (job_run_times, run_month, run_day, run_day_of_week, local_or_utc_time) = numbers;
                Schedule {
                    scheduled_start_time,
                    job_run_times,
                    run_month,
                    run_day,
                    run_day_of_week,
                    run_start_interval,
                    local_or_utc_time,
                    until_time,
                }
            },
        )
    }

    fn request() -> impl Strategy<Value = StateRequest> {
        let wanted = proptest::sample::select(&RequestedState::ALL[..]);
        (wanted, text(), time(), option::of(time())).prop_map(|(wanted, by, at, deadline)| StateRequest {
            wanted,
            by,
            at,
            deadline,
        })
    }

    fn error() -> impl Strategy<Value = ErrorDetail> {
        let one = (
            vec(text(), 3),
            vec(text(), 0..3),
            vec(text(), 0..3),
            option::of(text()),
            any::<(u16, u16, bool)>(),
        )
            .prop_map(
                |(texts, arguments, recommended_actions, source, (probable_cause, code, source_is_path))| {
                    let [message_id, message, probable_cause_description] = texts.try_into().unwrap();
                    ErrorDetail {
                        message_id,
                        message,
                        arguments,
                        error_type: ErrorType::Software,
                        severity: Severity::Minor,
                        probable_cause,
                        probable_cause_description,
                        recommended_actions,
                        source,
                        source_is_path,
                        status: CimStatus::NotFound,
                        code,
                        cause: None,
                    }
                },
            );
        vec(one, 1..5).prop_map(|chain| chain.into_iter().reduce(ErrorDetail::because).unwrap())
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            text().prop_map(Value::String),
            any::<u64>().prop_map(Value::Uint64),
            any::<i64>().prop_map(Value::Sint64),
            any::<u16>().prop_map(Value::Char16),
            any::<f32>().prop_filter("equal to itself", |v| !v.is_nan()).prop_map(Value::Real32),
            any::<f64>().prop_filter("equal to itself", |v| !v.is_nan()).prop_map(Value::Real64),
            date_time().prop_map(Value::DateTime),
            path().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                vec(option::of(inner.clone()), 0..3).prop_map(Value::Array),
                vec((text(), inner), 0..3).prop_map(|properties| {
                    let empty = Instance::new("Random");
                    Value::Instance(Box::new(properties.into_iter().fold(empty, |i, (n, v)| i.with(n, v))))
                }),
            ]
        })
    }

    fn path() -> impl Strategy<Value = InstancePath> {
        (option::of(text()), option::of(text()), text(), vec((text(), text()), 0..3)).prop_map(
            |(host, namespace, class, keys)| {
                let path = InstancePath::new(namespace.map(NamespaceName::new), class);
                let path = keys.into_iter().fold(path, |path, (name, value)| path.with_key(name, value));
                InstancePath { host, ..path }
            },
        )
    }

    fn text() -> impl Strategy<Value = String> {
        "[\\PC\\n\\t\\\\\"]{0,8}"
    }

    fn time() -> impl Strategy<Value = SystemTime> {
        (0u64..4_000_000_000_000_000).prop_map(|n| UNIX_EPOCH + Duration::from_micros(n))
    }

    fn duration() -> impl Strategy<Value = Duration> {
        (0u64..1 << 60).prop_map(Duration::from_micros)
    }

    fn date_time() -> impl Strategy<Value = DateTime> {
        prop_oneof![
            time().prop_map(DateTime::from_system_time),
            (0u64..1 << 50).prop_map(|n| DateTime::from_duration(Duration::from_micros(n))),
        ]
    }
}
