//! Operations on single instances and sets of them, with values of every type.

use crate::model::{
    affected, affected_path, ask, embedded, error_instance, file_path, hyper_v, interop, job, job_path,
    null_object, path_only, with_path,
};
use crate::{Case, HOST, case};
use cimwright_cim::operation::{AssociationFilter, InstanceOptions, ObjectShape};
use cimwright_cim::{
    CimError, CimStatus, CimType, Class, ClassName, ClassPath, Embedded, Instance, InstancePath,
    NamespaceName, Operation, OperationResult, Property, Request, Value,
};

pub(crate) fn cases() -> Vec<Case> {
    let get = |path: InstancePath, list: Option<&[&str]>| {
        ask(Operation::GetInstance {
            path,
            options: InstanceOptions {
                include_class_origin: false,
                property_list: list.map(|l| l.iter().map(|n| (*n).into()).collect()),
            },
        })
    };
    let set = |shape, items| Ok(OperationResult::Instances { shape, items });
    let mut with_origin = with_path(job(), job_path());
    with_origin.properties[2].class_origin = Some("CIM_ConcreteJob".into());
    let enumerate = |class: &str, origin: bool| {
        ask(Operation::EnumerateInstances {
            class: class.into(),
            deep: !origin,
            options: InstanceOptions { include_class_origin: origin, property_list: None },
        })
    };
    let note = Instance::new("Cimwright_Note")
        .with("Text", "one\rtwo\nthree ")
        .with("Count", Value::Uint64(u64::MAX));
    let filter = AssociationFilter {
        assoc_class: Some("CIM_AffectedJobElement".into()),
        result_class: Some("CIM_LogicalFile".into()),
        role: Some("AffectingElement".into()),
        result_role: Some("AffectedElement".into()),
    };
    let of_references = AssociationFilter { assoc_class: None, result_role: None, ..filter.clone() };
    let none = AssociationFilter::default;
    let object_class = || ClassPath::new(hyper_v(), "CIM_ConcreteJob");
    let found_class = ClassPath { host: Some(HOST.into()), ..ClassPath::new(hyper_v(), "CIM_LogicalFile") };
    vec![
        case("i01-get-job", get(job_path(), None), Ok(OperationResult::Instance(Box::new(job())))),
        case(
            "i02-get-with-property-list",
            get(job_path(), Some(&["jobstate", "NoSuchThing"])),
            Ok(OperationResult::Instance(Box::new(
                Instance::new("Msvm_StorageJob").with("JobState", Value::Uint16(10)),
            ))),
        ),
        case(
            "i03-get-with-empty-property-list",
            get(job_path(), Some(&[])),
            Ok(OperationResult::Instance(Box::new(Instance::new("Msvm_StorageJob")))),
        ),
        case("i04-all-types", get(typed_path(), None), Ok(OperationResult::Instance(Box::new(all_types())))),
        case(
            "i05-objects-in-objects",
            get(job_path(), Some(&["JobOutParameters", "Errors"])),
            Ok(OperationResult::Instance(Box::new(nested()))),
        ),
        case(
            "i06-enumerate",
            enumerate("CIM_ConcreteJob", true),
            set(ObjectShape::NamedInstance, vec![with_origin]),
        ),
        case(
            "i07-enumerate-none",
            enumerate("Msvm_MigrationJob", false),
            set(ObjectShape::NamedInstance, Vec::new()),
        ),
        case(
            "i08-enumerate-names",
            ask(Operation::EnumerateInstanceNames { class: "CIM_LogicalElement".into() }),
            set(ObjectShape::InstanceName, vec![path_only(job_path()), path_only(file_path())]),
        ),
        case(
            "i09-create",
            ask(Operation::CreateInstance { instance: note.clone() }),
            Ok(OperationResult::Created(
                InstancePath::new(hyper_v(), "Cimwright_Note").with_key("Id", Value::Uint32(12)),
            )),
        ),
        case(
            "i10-create-existing",
            ask(Operation::CreateInstance { instance: note }),
            Err(CimError::already_exists("there is a Cimwright_Note with this Id")),
        ),
        case(
            "i11-modify",
            ask(Operation::ModifyInstance {
                instance: with_path(
                    Instance::new("Msvm_StorageJob")
                        .with("DeleteOnCompletion", true)
                        .with("Priority", Value::Uint32(1)),
                    job_path(),
                ),
                property_list: Some(vec!["DeleteOnCompletion".into(), "Priority".into()]),
            }),
            Ok(OperationResult::Void),
        ),
        case("i12-delete", ask(Operation::DeleteInstance { path: job_path() }), Ok(OperationResult::Void)),
        case(
            "i13-associators",
            ask(Operation::Associators {
                object: job_path().into(),
                filter: filter.clone(),
                options: InstanceOptions::default(),
            }),
            set(
                ObjectShape::ObjectWithPath,
                vec![with_path(Instance::new("CIM_LogicalFile").with("Name", "x"), file_path())],
            ),
        ),
        case(
            "i14-associator-names",
            ask(Operation::AssociatorNames { object: job_path().into(), filter: none() }),
            set(ObjectShape::ObjectPath, vec![path_only(file_path())]),
        ),
        case(
            "i15-references",
            ask(Operation::References {
                object: job_path().into(),
                filter: of_references,
                options: InstanceOptions { include_class_origin: true, property_list: Some(Vec::new()) },
            }),
            set(ObjectShape::ObjectWithPath, vec![with_path(affected(), affected_path())]),
        ),
        case(
            "i16-reference-names",
            ask(Operation::ReferenceNames { object: job_path().into(), filter: none() }),
            set(ObjectShape::ObjectPath, vec![path_only(affected_path())]),
        ),
        case(
            "i17-associators-of-a-class",
            ask(Operation::Associators {
                object: object_class().into(),
                filter,
                options: InstanceOptions::default(),
            }),
            Ok(OperationResult::ClassObjects(vec![(
                found_class.clone(),
                Class { superclass: Some("CIM_LogicalElement".into()), ..Class::new("CIM_LogicalFile") },
            )])),
        ),
        case(
            "i18-associator-names-of-a-class",
            ask(Operation::AssociatorNames { object: object_class().into(), filter: none() }),
            Ok(OperationResult::ClassPaths(vec![found_class])),
        ),
        case(
            "i19-unknown-namespace",
            Request {
                namespace: NamespaceName::new("root/nowhere"),
                operation: Operation::EnumerateInstanceNames { class: "CIM_Namespace".into() },
            },
            Err(CimError::invalid_namespace("there is no namespace root/nowhere")),
        ),
        case(
            "i20-unknown-class",
            enumerate("CIM_Nothing", false),
            Err(CimError::new(CimStatus::InvalidClass, "")),
        ),
        subscription(),
    ]
}

/// Keys of every type that a key can have.
fn typed_path() -> InstancePath {
    InstancePath::new(hyper_v(), "Cimwright_AllTypes")
        .with_key("B", false)
        .with_key("U8", Value::Uint8(255))
        .with_key("S64", Value::Sint64(i64::MIN))
        .with_key("C", Value::Char16(0xe9))
        .with_key("R", Value::Real64(-0.5))
        .with_key("D", Value::DateTime("99991231235959.999999+000".parse().expect("a timestamp")))
        .with_key("P", file_path())
        .with_key("S", "\t\"'&<> ]]> \r\n")
}

fn all_types() -> Instance {
    let time = |text: &str| Value::DateTime(text.parse().expect("a datetime"));
    let mut instance = Instance::new("Cimwright_AllTypes")
        .with("B", true)
        .with("U8", Value::Uint8(255))
        .with("S8", Value::Sint8(-128))
        .with("U16", Value::Uint16(65535))
        .with("S16", Value::Sint16(-32768))
        .with("U32", Value::Uint32(u32::MAX))
        .with("S32", Value::Sint32(i32::MIN))
        .with("U64", Value::Uint64(u64::MAX))
        .with("S64", Value::Sint64(i64::MIN))
        .with("R32", Value::Real32(1.5e-7))
        .with("R64", Value::Real64(f64::MAX))
        .with("Infinite", Value::Real64(f64::NEG_INFINITY))
        .with("C", Value::Char16(u16::from(b'<')))
        .with("S", "tab\there & <tag> \"q\" 'a' ]]> ü 😀\r\n ")
        .with("Empty", "")
        .with("Time", time("20260131******.******+000"))
        .with("Zero", time("00000000000000.000000:000"))
        .with("EmptyArray", Value::Array(Vec::new()))
        .with("Holes", Value::Array(vec![Some("1".into()), None, Some("".into())]))
        .with("Flags", Value::Array(vec![Some(Value::Boolean(true)), Some(Value::Boolean(false))]))
        .with("Error", embedded(error_instance("CIM_Error")));
    instance
        .properties
        .push(Property { is_array: true, ..Property::new("NullArray", CimType::Boolean, None) });
    instance.properties.push(null_object("NullObject", Embedded::Object));
    instance.properties.push(Property {
        reference_class: Some(ClassName::from("CIM_LogicalFile")),
        ..Property::new("Path", CimType::Reference, Some(file_path().into()))
    });
    instance.properties.push(Property::new("NullPath", CimType::Reference, None));
    instance
}

/// Objects in an object in an object, and an array of objects with a hole.
fn nested() -> Instance {
    let innermost = Instance::new("__Parameters").with("Note", "a & b");
    let call = Instance::new("CIM_InstMethodCall")
        .with("MethodParameters", embedded(innermost))
        .with("PreCall", true);
    let result = Instance::new("__JobOutParameters")
        .with("__ReturnValue", Value::Uint32(0))
        .with("Call", embedded(call));
    let errors = Value::Array(vec![
        Some(embedded(error_instance("CIM_Error"))),
        None,
        Some(Value::Class(Box::new(Class::new("CIM_Error")))),
    ]);
    let mut instance = Instance::new("Msvm_StorageJob");
    let object = |name: &str, value| Property {
        embedded: Some(Embedded::Object),
        ..Property::new(name, CimType::String, Some(value))
    };
    instance.properties.push(object("JobOutParameters", embedded(result)));
    instance.properties.push(object("Errors", errors));
    instance
}

/// A subscription to job events: an instance whose keys are references.
fn subscription() -> Case {
    let part = |class: &str, name: &str| {
        InstancePath::new(interop(), class)
            .with_key("CreationClassName", class)
            .with_key("SystemCreationClassName", "CIM_ComputerSystem")
            .with_key("SystemName", "HOST1")
            .with_key("Name", name)
    };
    let (filter, handler) =
        (part("CIM_IndicationFilter", "jobs"), part("CIM_ListenerDestinationCIMXML", "d1"));
    let end = |name: &str, class: &str, path: &InstancePath| Property {
        reference_class: Some(ClassName::from(class)),
        ..Property::new(name, CimType::Reference, Some(path.clone().into()))
    };
    let mut instance = Instance::new("CIM_IndicationSubscription");
    instance.properties.push(end("Filter", "CIM_IndicationFilter", &filter));
    instance.properties.push(end("Handler", "CIM_ListenerDestination", &handler));
    let path = InstancePath::new(interop(), "CIM_IndicationSubscription")
        .with_key("Filter", filter)
        .with_key("Handler", handler);
    case(
        "i21-create-subscription",
        Request { namespace: interop(), operation: Operation::CreateInstance { instance } },
        Ok(OperationResult::Created(path)),
    )
}
