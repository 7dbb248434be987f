//! Extrinsic methods: GetError in all its forms, state changes, a method that starts a job.

use crate::model::{
    JOB, ask, call, embedded, error_detail, error_instance, file_path, hyper_v, job_path, returned,
};
use crate::{Case, case};
use cimwright_cim::{
    CimError, CimStatus, CimType, ClassPath, Embedded, Instance, InstancePath, ObjectPath, OperationResult,
    Param, Value,
};
use cimwright_codec::cimxml::{instance_text, parse_instance_text};

pub(crate) fn cases() -> Vec<Case> {
    let get_error = || call(job_path(), "GetError", Vec::new());
    let get_errors = || call(job_path(), "GetErrors", Vec::new());
    let state_change = |state: u16| {
        let timeout = Value::DateTime("00000000000130.000000:000".parse().expect("an interval"));
        call(
            job_path(),
            "RequestStateChange",
            vec![Param::new("RequestedState", Value::Uint16(state)), Param::new("TimeoutPeriod", timeout)],
        )
    };
    let null_error = Param { embedded: Some(Embedded::Instance), ..Param::null("Error", CimType::String) };
    let errors = Value::Array(vec![
        Some(embedded(error_instance("CIM_Error"))),
        Some(embedded(Instance::new("CIM_Error").with("Message", "The copy could not be removed"))),
    ]);
    let no_errors = Param {
        is_array: true,
        embedded: Some(Embedded::Instance),
        ..Param::new("Errors", Value::Array(Vec::new()))
    };
    let no_errors = Param { cim_type: Some(CimType::String), ..no_errors };
    vec![
        Case {
            read_back: Some(returned(
                0,
                vec![Param::new("Error", instance_text(&error_instance("Msvm_Error")))],
            )),
            ..case(
                "m01-get-error-as-text",
                get_error(),
                Ok(returned(
                    0,
                    vec![Param::new("Error", Value::InstanceText(Box::new(error_instance("Msvm_Error"))))],
                )),
            )
        },
        case(
            "m02-get-error-embedded",
            get_error(),
            Ok(returned(0, vec![Param::new("Error", embedded(error_instance("CIM_Error")))])),
        ),
        case("m03-get-error-none", get_error(), Ok(returned(0, Vec::new()))),
        case("m04-get-error-null", get_error(), Ok(returned(0, vec![null_error]))),
        case("m05-get-errors", get_errors(), Ok(returned(0, vec![Param::new("Errors", errors)]))),
        case("m06-get-errors-empty", get_errors(), Ok(returned(0, vec![no_errors]))),
        case(
            "m07-get-error-job-gone",
            get_error(),
            Err(CimError::not_found(format!("There is no job {JOB}")).with_detail(error_detail())),
        ),
        case(
            "m08-method-not-found",
            call(job_path(), "Frobnicate", Vec::new()),
            Err(CimError::new(CimStatus::MethodNotFound, "Msvm_StorageJob has no method Frobnicate")),
        ),
        case("m09-request-state-change", state_change(4), Ok(returned(4096, Vec::new()))),
        case("m10-request-state-change-refused", state_change(2), Ok(returned(32775, Vec::new()))),
        case("m11-start-job", convert(), Ok(started())),
        case(
            "m12-static-method",
            call(
                ClassPath::new(hyper_v(), "Msvm_ImageManagementService"),
                "Echo",
                vec![Param::new("Text", " two\r\nlines\t")],
            ),
            Ok(OperationResult::Method { return_value: Some(" two\r\nlines\t".into()), out: Vec::new() }),
        ),
        case("m13-kill-job", call(job_path(), "KillJob", Vec::new()), Ok(returned(1, Vec::new()))),
        case(
            "m14-no-return-value",
            call(job_path(), "Touch", Vec::new()),
            Ok(OperationResult::Method {
                return_value: None,
                out: vec![Param::new("Count", Value::Sint64(-1))],
            }),
        ),
        case(
            "m15-access-denied",
            get_error(),
            Err(CimError::access_denied("you may read jobs, but not call their methods")),
        ),
        case(
            "m16-unknown-operation",
            ask(cimwright_cim::Operation::Unsupported { name: "FrobInstances".into() }),
            Err(CimError::not_supported("there is no operation FrobInstances")),
        ),
    ]
}

/// A call with a parameter of every kind.
fn convert() -> cimwright_cim::Request {
    let service = InstancePath::new(hyper_v(), "Msvm_ImageManagementService")
        .with_key("CreationClassName", "Msvm_ImageManagementService")
        .with_key("Name", "vhdsvc")
        .with_key("SystemCreationClassName", "Msvm_ComputerSystem")
        .with_key("SystemName", "HOST1");
    let settings = Instance::new("Msvm_VirtualHardDiskSettingData")
        .with("Path", "/srv/vhd/b & c.vhdx")
        .with("BlockSize", Value::Uint32(33_554_432));
    let targets = Value::Array(vec![
        Some(Value::Reference(Box::new(ObjectPath::Instance(file_path())))),
        None,
        Some(Value::Reference(Box::new(ClassPath::new(hyper_v(), "CIM_LogicalFile").into()))),
    ]);
    let untyped = Param { cim_type: None, ..Param::new("Note", "no type") };
    call(
        service,
        "ConvertVirtualHardDisk",
        vec![
            Param::new("SourcePath", file_path()),
            Param::new("VirtualDiskSettingData", embedded(settings)),
            Param::new("Tags", Value::strings(["a", "b & c", ""])),
            Param::new("Sizes", Value::Array(vec![Some(Value::Uint64(0)), Some(Value::Uint64(u64::MAX))])),
            Param::new("Targets", targets),
            Param::new("Force", false),
            Param::new("Ratio", Value::Real64(0.1)),
            Param::null("Nothing", CimType::Uint8),
            untyped,
        ],
    )
}

fn started() -> OperationResult {
    returned(4096, vec![Param::new("Job", job_path())])
}

#[test]
fn the_text_of_get_error_is_the_instance() {
    let text = instance_text(&error_instance("Msvm_Error"));
    assert_eq!(parse_instance_text(&text), Ok(error_instance("Msvm_Error")));
}
