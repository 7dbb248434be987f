//! The class operations against the classes that are really served.

use crate::house::*;
use cimwright_cim::operation::{ClassOptions, Operation, OperationResult};
use cimwright_cim::{CimStatus, Class};

fn options(local_only: bool) -> ClassOptions {
    ClassOptions { local_only, include_qualifiers: true, include_class_origin: true, property_list: None }
}

async fn class(house: &House, namespace: &str, name: &str, local_only: bool) -> Class {
    let operation = Operation::GetClass { class: name.into(), options: options(local_only) };
    match house.ask(&reader(), namespace, operation).await.unwrap() {
        OperationResult::Class(class) => *class,
        other => panic!("no class: {other:?}"),
    }
}

#[tokio::test]
async fn get_class_knows_inheritance() {
    let house = House::open().await;
    let whole = class(&house, V1, "msvm_storagejob", false).await;
    assert!(whole.name.is("Msvm_StorageJob"));
    let id = whole.property("InstanceID").unwrap();
    assert!(id.is_key() && id.propagated);
    assert!(whole.method("KillJob").unwrap().propagated);
    assert!(!whole.is_abstract(), "Abstract is not inherited");
    let local = class(&house, V1, "Msvm_StorageJob", true).await;
    assert!(local.property("InstanceID").is_none());
    assert!(local.property("Parent").is_some());
    assert!(local.properties.len() < whole.properties.len());
}

#[tokio::test]
async fn classes_are_enumerated_by_level() {
    let house = House::open().await;
    let names = async |class: Option<&str>, deep| {
        let operation = Operation::EnumerateClassNames { class: class.map(Into::into), deep };
        match house.ask(&reader(), V2, operation).await.unwrap() {
            OperationResult::ClassNames(names) => names,
            other => panic!("no names: {other:?}"),
        }
    };
    assert_eq!(names(Some("CIM_Job"), false).await, ["CIM_ConcreteJob"]);
    assert!(names(Some("CIM_Job"), true).await.iter().any(|n| n.is("Msvm_StorageJob")));
    assert!(names(None, true).await.len() > names(None, false).await.len());
    let operation =
        Operation::EnumerateClasses { class: Some("CIM_Job".into()), deep: true, options: options(true) };
    let OperationResult::Classes(classes) = house.ask(&reader(), V2, operation).await.unwrap() else {
        panic!("no classes")
    };
    assert!(classes.len() >= 3);
}

#[tokio::test]
async fn unknown_names_have_the_status_of_their_operation() {
    let house = House::open().await;
    let nope = || "Nope".into();
    let rows = [
        (Operation::GetClass { class: nope(), options: options(true) }, CimStatus::NotFound),
        (
            Operation::EnumerateClasses { class: Some(nope()), deep: true, options: options(true) },
            CimStatus::InvalidClass,
        ),
        (Operation::EnumerateClassNames { class: Some(nope()), deep: true }, CimStatus::InvalidClass),
        (Operation::GetQualifier { name: nope() }, CimStatus::NotFound),
        (Operation::EnumerateInstanceNames { class: nope() }, CimStatus::InvalidClass),
        (
            Operation::EnumerateInstances { class: nope(), deep: true, options: Default::default() },
            CimStatus::InvalidClass,
        ),
    ];
    for (operation, status) in rows {
        assert_eq!(house.refused(V1, operation.clone()).await.status, status, "{operation:?}");
    }
}

#[tokio::test]
async fn qualifiers_are_told() {
    let house = House::open().await;
    let OperationResult::Qualifiers(all) =
        house.ask(&reader(), V1, Operation::EnumerateQualifiers).await.unwrap()
    else {
        panic!("no qualifiers")
    };
    assert!(all.iter().any(|q| q.name.is("ValueMap") && q.is_array));
    let key = house.ask(&reader(), V1, Operation::GetQualifier { name: "KEY".into() }).await.unwrap();
    assert!(matches!(key, OperationResult::Qualifier(q) if q.name.is("Key")));
}
