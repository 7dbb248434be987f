//! Classes and qualifier declarations.

use crate::model::{ask, job_path};
use crate::{Case, case};
use cimwright_cim::operation::ClassOptions;
use cimwright_cim::{
    CimError, CimStatus, CimType, Class, Embedded, Flavor, Method, Operation, OperationResult, Parameter,
    Property, Qualifier, QualifierDeclaration, QualifierScope, Scopes, Value,
};

pub(crate) fn cases() -> Vec<Case> {
    let options = |list: Option<&[&str]>| ClassOptions {
        local_only: false,
        include_qualifiers: true,
        include_class_origin: true,
        property_list: list.map(|l| l.iter().map(|n| (*n).into()).collect()),
    };
    let get = |class: &str, list| ask(Operation::GetClass { class: class.into(), options: options(list) });
    let classes = || vec![Class::new("CIM_ManagedElement"), job_class()];
    vec![
        case(
            "s01-get-class",
            get("msvm_storagejob", None),
            Ok(OperationResult::Class(Box::new(job_class()))),
        ),
        case(
            "s02-get-class-unknown",
            get("CIM_Nothing", Some(&["A"])),
            Err(CimError::not_found("there is no class CIM_Nothing")),
        ),
        case(
            "s03-enumerate-classes",
            ask(Operation::EnumerateClasses {
                class: Some("CIM_Job".into()),
                deep: true,
                options: ClassOptions { local_only: true, include_qualifiers: false, ..options(None) },
            }),
            Ok(OperationResult::Classes(classes())),
        ),
        case(
            "s04-enumerate-class-names",
            ask(Operation::EnumerateClassNames { class: None, deep: false }),
            Ok(OperationResult::ClassNames(vec!["CIM_ManagedElement".into(), "CIM_Error".into()])),
        ),
        case(
            "s05-get-qualifier",
            ask(Operation::GetQualifier { name: "key".into() }),
            Ok(OperationResult::Qualifier(Box::new(key()))),
        ),
        case(
            "s06-enumerate-qualifiers",
            ask(Operation::EnumerateQualifiers),
            Ok(OperationResult::Qualifiers(vec![key(), value_map()])),
        ),
        case(
            "s07-no-qualifier",
            ask(Operation::GetQualifier { name: "Nothing".into() }),
            Err(CimError::not_found("there is no qualifier Nothing")),
        ),
        case(
            "s08-create-class",
            ask(Operation::CreateClass { class: Box::new(job_class()) }),
            Ok(OperationResult::Void),
        ),
        case(
            "s09-modify-class",
            ask(Operation::ModifyClass { class: Box::new(Class::new("Msvm_StorageJob")) }),
            Err(CimError::new(CimStatus::ClassHasChildren, "Msvm_StorageJob has subclasses")),
        ),
        case(
            "s10-delete-class",
            ask(Operation::DeleteClass { class: "Msvm_StorageJob".into() }),
            Ok(OperationResult::Void),
        ),
        case(
            "s11-set-qualifier",
            ask(Operation::SetQualifier { declaration: Box::new(value_map()) }),
            Ok(OperationResult::Void),
        ),
        case(
            "s12-delete-qualifier",
            ask(Operation::DeleteQualifier { name: "ValueMap".into() }),
            Ok(OperationResult::Void),
        ),
        case(
            "s13-get-property",
            ask(Operation::GetProperty { path: job_path(), property: "JobStatus".into() }),
            Ok(OperationResult::Property(Some("a <text>".into()))),
        ),
        case(
            "s14-get-property-null",
            ask(Operation::GetProperty { path: job_path(), property: "JobStatus".into() }),
            Ok(OperationResult::Property(None)),
        ),
        case(
            "s15-set-property",
            ask(Operation::SetProperty {
                path: job_path(),
                property: "Roles".into(),
                value: Some(Value::strings(["a", "b"])),
            }),
            Ok(OperationResult::Void),
        ),
        case(
            "s16-set-property-null",
            ask(Operation::SetProperty { path: job_path(), property: "Roles".into(), value: None }),
            Err(CimError::new(CimStatus::NoSuchProperty, "there is no property Roles")),
        ),
    ]
}

fn qualifier(name: &str, value: Value) -> Qualifier {
    Qualifier {
        cim_type: value.cim_type().expect("a typed value"),
        is_array: matches!(value, Value::Array(_)),
        value: Some(value),
        ..Qualifier::flag(name)
    }
}

/// A class with every kind of feature and qualifier.
fn job_class() -> Class {
    let fixed = |q: Qualifier| Qualifier { flavor: Flavor { overridable: false, ..q.flavor }, ..q };
    let mut class = Class::new("Msvm_StorageJob");
    class.superclass = Some("Msvm_ConcreteJob".into());
    class.qualifiers = vec![
        Qualifier {
            flavor: Flavor { to_subclass: false, translatable: true, ..Flavor::default() },
            ..qualifier("Description", "A job on a virtual disk, \"vhdx\" & co.".into())
        },
        Qualifier { value: None, ..qualifier("Version", "2.0".into()) },
    ];
    class.properties = vec![
        Property {
            class_origin: Some("CIM_ConcreteJob".into()),
            propagated: true,
            qualifiers: vec![fixed(Qualifier { propagated: true, ..Qualifier::flag("Key") })],
            ..Property::new("InstanceID", CimType::String, None)
        },
        Property {
            qualifiers: vec![
                qualifier("ValueMap", Value::strings(["2", "10"])),
                qualifier("Values", Value::strings(["New", "Exception"])),
            ],
            ..Property::new("JobState", CimType::Uint16, Some(Value::Uint16(2)))
        },
        Property {
            is_array: true,
            array_size: Some(2),
            ..Property::new("OperationalStatus", CimType::Uint16, Some(Value::uint16s([2, 17])))
        },
        Property {
            embedded: Some(Embedded::Instance),
            reference_class: Some("CIM_Error".into()),
            qualifiers: vec![qualifier("EmbeddedInstance", "CIM_Error".into())],
            ..Property::new("LastError", CimType::String, None)
        },
        Property {
            reference_class: Some("CIM_ManagedElement".into()),
            ..Property::new("Owner", CimType::Reference, None)
        },
    ];
    let parameter = |name: &str, cim_type, is_array, class: Option<&str>, qualifiers| Parameter {
        name: name.into(),
        cim_type,
        is_array,
        array_size: None,
        embedded: None,
        reference_class: class.map(Into::into),
        qualifiers,
    };
    let out = |more: Vec<Qualifier>| {
        let mut all = vec![fixed(qualifier("In", Value::Boolean(false))), fixed(Qualifier::flag("Out"))];
        all.extend(more);
        all
    };
    let method = |name: &str, return_type, parameters| Method {
        name: name.into(),
        return_type,
        parameters,
        class_origin: None,
        propagated: false,
        qualifiers: Vec::new(),
    };
    class.methods = vec![
        Method {
            class_origin: Some("Msvm_ConcreteJob".into()),
            propagated: true,
            qualifiers: vec![qualifier("ValueMap", Value::strings(["0", ".."]))],
            ..method(
                "GetError",
                Some(CimType::Uint32),
                vec![parameter("Error", CimType::String, false, None, out(Vec::new()))],
            )
        },
        method(
            "GetErrors",
            Some(CimType::Uint32),
            vec![Parameter {
                embedded: Some(Embedded::Instance),
                ..parameter(
                    "Errors",
                    CimType::String,
                    true,
                    Some("CIM_Error"),
                    out(vec![qualifier("EmbeddedInstance", "CIM_Error".into())]),
                )
            }],
        ),
        method(
            "Attach",
            None,
            vec![
                parameter("To", CimType::Reference, false, Some("CIM_ManagedElement"), Vec::new()),
                Parameter {
                    array_size: Some(4),
                    ..parameter("Numbers", CimType::Uint8, true, None, Vec::new())
                },
                parameter("Others", CimType::Reference, true, None, Vec::new()),
                Parameter {
                    embedded: Some(Embedded::Object),
                    ..parameter("Any", CimType::String, false, None, vec![Qualifier::flag("EmbeddedObject")])
                },
            ],
        ),
    ];
    class
}

fn key() -> QualifierDeclaration {
    QualifierDeclaration {
        name: "Key".into(),
        cim_type: CimType::Boolean,
        is_array: false,
        array_size: None,
        value: Some(Value::Boolean(false)),
        scopes: Scopes::default().with(QualifierScope::Property).with(QualifierScope::Reference),
        flavor: Flavor { overridable: false, ..Flavor::default() },
    }
}

fn value_map() -> QualifierDeclaration {
    QualifierDeclaration {
        name: "ValueMap".into(),
        cim_type: CimType::String,
        is_array: true,
        array_size: Some(3),
        value: None,
        scopes: Scopes::ANY,
        flavor: Flavor { to_instance: true, translatable: true, to_subclass: false, overridable: true },
    }
}
