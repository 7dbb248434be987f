//! The associations of jobs, and those that providers serve.

use crate::house::*;
use cimwright_cim::operation::{AssociationFilter, InstanceOptions, ObjectShape, Operation, OperationResult};
use cimwright_cim::{CimStatus, ClassPath, Instance, InstancePath, ObjectPath, Value};

fn filter(
    assoc: Option<&str>,
    result: Option<&str>,
    role: Option<&str>,
    result_role: Option<&str>,
) -> AssociationFilter {
    AssociationFilter {
        assoc_class: assoc.map(Into::into),
        result_class: result.map(Into::into),
        role: role.map(Into::into),
        result_role: result_role.map(Into::into),
    }
}

fn any() -> AssociationFilter {
    AssociationFilter::default()
}

async fn associators(house: &House, from: &InstancePath, filter: AssociationFilter) -> Vec<Instance> {
    let namespace = from.namespace.as_ref().unwrap().as_str().to_owned();
    let operation =
        Operation::Associators { object: from.clone().into(), filter, options: InstanceOptions::default() };
    house.items(&namespace, operation).await.unwrap()
}

async fn names(house: &House, from: &InstancePath, filter: AssociationFilter) -> Vec<String> {
    let namespace = from.namespace.as_ref().unwrap().as_str().to_owned();
    let operation = Operation::AssociatorNames { object: from.clone().into(), filter };
    let items = house.items(&namespace, operation).await.unwrap();
    items.iter().map(|i| i.class.to_string()).collect()
}

async fn references(house: &House, from: &InstancePath, filter: AssociationFilter) -> Vec<Instance> {
    let namespace = from.namespace.as_ref().unwrap().as_str().to_owned();
    let operation =
        Operation::References { object: from.clone().into(), filter, options: InstanceOptions::default() };
    house.items(&namespace, operation).await.unwrap()
}

#[tokio::test]
async fn a_job_leads_to_its_elements_and_its_owner() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "ok", "w").await;
    let found = associators(&house, &job, any()).await;
    let classes: Vec<&str> = found.iter().map(|i| i.class.as_str()).collect();
    assert_eq!(
        classes,
        ["Test_Disk", "Test_Image", "Test_Service"],
        "what the namespace does not know is left out"
    );
    assert_eq!(found[0].path.as_ref(), Some(&at(V1, disk("a"))));
    assert_eq!(found[0].get("Size"), Some(&Value::Uint64(7)), "from its provider");
    assert_eq!(found[1].get_str("Name"), Some("/images/x"), "from its path alone");
    let affected = filter(Some("CIM_AffectedJobElement"), None, None, None);
    assert_eq!(names(&house, &job, affected).await, ["Test_Disk", "Test_Image"]);
    let owner = filter(None, None, Some("ownedelement"), Some("OwningElement"));
    assert_eq!(names(&house, &job, owner).await, ["Test_Service"]);
    let disks = filter(None, Some("Test_Disk"), None, None);
    assert_eq!(names(&house, &job, disks).await, ["Test_Disk"]);
    let wrong_end = filter(None, None, Some("AffectedElement"), None);
    assert!(names(&house, &job, wrong_end).await.is_empty());
    let dmtf = seen_in(DMTF, "Test_Job", &job);
    assert_eq!(names(&house, &dmtf, any()).await, ["Test_Disk", "Test_Image", "CIM_MethodResult"]);
}

#[tokio::test]
async fn an_association_tells_what_is_done_to_the_element() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "ok", "w").await;
    let found = references(&house, &job, any()).await;
    assert_eq!(found.len(), 3);
    let link = &found[0];
    assert!(link.class.is("Msvm_AffectedStorageJobElement"));
    let end = |name: &str| link.get(name).unwrap().as_reference().unwrap().as_instance().unwrap().clone();
    assert_eq!(end("AffectingElement"), job);
    assert_eq!(end("AffectedElement"), at(V1, disk("a")));
    assert_eq!(link.get("ElementEffects"), Some(&Value::uint16s([2, 1])));
    assert_eq!(link.get("OtherElementEffectsDescriptions"), Some(&Value::strings(["", "The work w"])));
    assert_eq!(found[1].get("OtherElementEffectsDescriptions"), None);
    assert_eq!(&house.get(link.path.as_ref().unwrap()).await.unwrap(), link);
    let gone = link.path.clone().map(|mut p| {
        p.keys.iter_mut().find(|k| k.name.is("AffectedElement")).unwrap().value = disk("b").into();
        p
    });
    assert_eq!(house.get(&gone.unwrap()).await.unwrap_err().status, CimStatus::NotFound);
    let owning = filter(None, Some("CIM_OwningJobElement"), None, None);
    assert_eq!(references(&house, &job, owning).await.len(), 1);
    let roles = filter(None, None, Some("OwnedElement"), None);
    assert_eq!(references(&house, &job, roles).await.len(), 1);
    let all = Operation::EnumerateInstances {
        class: "CIM_AffectedJobElement".into(),
        deep: true,
        options: InstanceOptions::default(),
    };
    assert_eq!(house.items(V1, all).await.unwrap(), found[..2]);
    let mut short = Operation::ReferenceNames { object: job.clone().into(), filter: any() };
    let paths = house.items(V1, short.clone()).await.unwrap();
    assert!(paths.iter().all(|i| i.properties.is_empty() && i.path.is_some()));
    if let Operation::ReferenceNames { object, .. } = &mut short {
        *object = at(V1, disk("c")).into();
    }
    assert_eq!(house.refused(V1, short).await.status, CimStatus::NotFound);
}

#[tokio::test]
async fn an_association_of_a_job_is_there_but_is_not_changed() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "ok", "w").await;
    let owning = filter(None, Some("CIM_OwningJobElement"), None, None);
    let link = references(&house, &job, owning).await.remove(0);
    let path = link.path.clone().unwrap();
    assert_eq!(house.get(&path).await.unwrap(), link);
    let modify = |path: &InstancePath| Operation::ModifyInstance {
        instance: Instance { path: Some(path.clone()), properties: Vec::new(), ..link.clone() },
        property_list: None,
    };
    let delete = |path: &InstancePath| Operation::DeleteInstance { path: path.clone() };
    for operation in [modify(&path), delete(&path)] {
        let error = house.ask(&operator(), V1, operation.clone()).await.unwrap_err();
        assert_eq!(error.status, CimStatus::AccessDenied, "{operation:?}");
        assert_eq!(
            house.refused(V1, operation.clone()).await.status,
            CimStatus::NotSupported,
            "{operation:?}"
        );
    }
    let mut other = path;
    other.keys.iter_mut().find(|k| k.name.is("OwningElement")).unwrap().value = disk("a").into();
    for operation in [modify(&other), delete(&other)] {
        assert_eq!(house.refused(V1, operation.clone()).await.status, CimStatus::NotFound, "{operation:?}");
    }
}

#[tokio::test]
async fn an_element_leads_to_its_jobs() {
    let house = House::open().await;
    let first = house.start(&operator(), V1, "ok", "w1").await;
    let second = house.start(&operator(), V2, "ok", "w2").await;
    house.until(&first, 7).await;
    house.until(&second, 7).await;
    let jobs = associators(&house, &at(V2, disk("a")), filter(None, Some("CIM_Job"), None, None)).await;
    let labels: Vec<_> = jobs.iter().map(|j| j.get_str("Name").unwrap()).collect();
    assert_eq!(labels, ["w1", "w2"]);
    assert_eq!(jobs[1].path.as_ref(), Some(&second));
    assert!(associators(&house, &at(V2, disk("b")), any()).await.is_empty());
    let image = at(V2, InstancePath::new(None, "Test_Image").with_key("Name", "/images/x"));
    assert_eq!(names(&house, &image, any()).await, ["Msvm_StorageJob", "Msvm_StorageJob"]);
    let owned = filter(Some("Msvm_OwningJobElement"), None, None, None);
    assert_eq!(names(&house, &at(V2, service()), owned).await.len(), 2);
    let links = references(&house, &at(V2, service()), filter(None, None, Some("OwningElement"), None)).await;
    assert_eq!(links.len(), 2);
    assert!(
        names(&house, &at(V2, disk("a")), filter(None, None, None, Some("OwnedElement"))).await.is_empty()
    );
}

#[tokio::test]
async fn associations_of_providers_are_followed() {
    let house = House::open().await;
    let held = filter(Some("Test_Holds"), None, None, None);
    assert_eq!(names(&house, &at(V1, service()), held.clone()).await, ["Test_Disk"]);
    let holder = associators(&house, &at(V1, disk("a")), held.clone()).await;
    assert_eq!(holder[0].path.as_ref(), Some(&at(V1, service())));
    assert!(names(&house, &at(V1, disk("b")), held).await.is_empty());
    let links =
        references(&house, &at(V1, service()), filter(None, Some("Test_Holds"), Some("Holder"), None)).await;
    assert_eq!(links.len(), 1);
}

#[tokio::test]
async fn the_shapes_are_those_of_the_operations() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "ok", "w").await;
    let object: ObjectPath = job.into();
    let options = InstanceOptions { property_list: Some(vec!["Name".into()]), include_class_origin: true };
    let rows = [
        (
            Operation::Associators { object: object.clone(), filter: any(), options: options.clone() },
            ObjectShape::ObjectWithPath,
        ),
        (
            Operation::References { object: object.clone(), filter: any(), options },
            ObjectShape::ObjectWithPath,
        ),
        (Operation::AssociatorNames { object: object.clone(), filter: any() }, ObjectShape::ObjectPath),
        (Operation::ReferenceNames { object, filter: any() }, ObjectShape::ObjectPath),
    ];
    for (operation, wanted) in rows {
        let OperationResult::Instances { shape, items } = house.ask(&reader(), V1, operation).await.unwrap()
        else {
            panic!("no instances")
        };
        assert_eq!(shape, wanted);
        assert!(items.iter().all(|i| i.properties.len() <= 1));
    }
}

#[tokio::test]
async fn unknown_classes_are_refused() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "ok", "w").await;
    for wrong in [filter(Some("Nope"), None, None, None), filter(None, Some("Nope"), None, None)] {
        for object in [ObjectPath::from(job.clone()), ClassPath::new(None, "CIM_Job").into()] {
            let operation = Operation::AssociatorNames { object, filter: wrong.clone() };
            assert_eq!(house.refused(V1, operation).await.status, CimStatus::InvalidParameter);
        }
    }
    let object = ClassPath::new(None, "Nope").into();
    let operation = Operation::ReferenceNames { object, filter: any() };
    assert_eq!(house.refused(V1, operation).await.status, CimStatus::InvalidClass);
    let gone = at(V1, InstancePath::new(None, "Msvm_StorageJob")).with_key("InstanceID", "gone");
    let operation = Operation::ReferenceNames { object: gone.into(), filter: any() };
    assert_eq!(house.refused(V1, operation).await.status, CimStatus::NotFound);
}

#[tokio::test]
async fn classes_have_associations_too() {
    let house = House::open().await;
    let paths = async |operation| match house.ask(&reader(), V1, operation).await.unwrap() {
        OperationResult::ClassPaths(paths) => paths.iter().map(|p| p.class.to_string()).collect::<Vec<_>>(),
        other => panic!("no class paths: {other:?}"),
    };
    let object = || ClassPath::new(None, "Test_Disk").into();
    let found = paths(Operation::ReferenceNames { object: object(), filter: any() }).await;
    for wanted in ["CIM_AffectedJobElement", "Msvm_AffectedStorageJobElement", "Test_Holds"] {
        assert!(found.iter().any(|f| f == wanted), "{wanted} in {found:?}");
    }
    let over = filter(Some("Test_Holds"), None, Some("Held"), None);
    assert_eq!(paths(Operation::AssociatorNames { object: object(), filter: over }).await, ["Test_Service"]);
    let jobs =
        filter(Some("Msvm_AffectedStorageJobElement"), Some("CIM_Job"), None, Some("AffectingElement"));
    let operation =
        Operation::Associators { object: object(), filter: jobs, options: InstanceOptions::default() };
    let OperationResult::ClassObjects(found) = house.ask(&reader(), V1, operation).await.unwrap() else {
        panic!("no classes")
    };
    assert_eq!(found.len(), 1);
    assert!(found[0].1.name.is("Msvm_StorageJob"));
    assert_eq!(found[0].0.namespace, Some(V1.into()));
}
