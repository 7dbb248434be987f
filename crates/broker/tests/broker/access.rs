//! Who may what, as a client meets it.

use crate::house::*;
use cimwright_cim::operation::{Operation, Param};
use cimwright_cim::{CimStatus, Instance, Value};

#[tokio::test]
async fn a_reader_sees_and_changes_nothing() {
    let house = House::open().await;
    let job = house.start(&operator(), V2, "gate", "w").await;
    house.until(&job, 4).await;
    let rita = reader();
    for operation in [
        Operation::EnumerateInstanceNames { class: "CIM_Job".into() },
        Operation::GetInstance { path: job.clone(), options: Default::default() },
        Operation::EnumerateClassNames { class: None, deep: true },
        Operation::AssociatorNames { object: job.clone().into(), filter: Default::default() },
    ] {
        house.ask(&rita, V2, operation).await.unwrap();
    }
    assert_eq!(house.error(&job, "GetError").await, None, "asked by a reader");
    let denied = [
        Operation::ModifyInstance { instance: house.get(&job).await.unwrap(), property_list: None },
        Operation::DeleteInstance { path: job.clone() },
        Operation::CreateInstance { instance: Instance::new("Test_Disk") },
        Operation::InvokeMethod {
            target: at(V2, service()).into(),
            method: "StartWork".into(),
            params: vec![Param::new("Script", "ok"), Param::new("Label", "x")],
        },
    ];
    for operation in denied {
        let error = house.ask(&rita, V2, operation).await.unwrap_err();
        assert_eq!(error.status, CimStatus::AccessDenied, "{error}");
    }
    assert_eq!(house.change(&rita, &job, 4, None).await, 32769);
    assert_eq!(house.get(&job).await.unwrap().get_u64("JobState"), Some(4));
    house.script.end("w", true);
}

#[tokio::test]
async fn an_operator_controls_its_own_jobs_and_an_administrator_all() {
    let house = House::open().await;
    let v1 = house.start(&operator(), V1, "gate", "w").await;
    let v2 = seen_in(V2, "Msvm_StorageJob", &v1);
    house.until(&v1, 4).await;
    // The DMTF table of RequestStateChange has no code for it.
    let params = vec![Param::new("RequestedState", Value::Uint16(3))];
    let error = house.call(&stranger(), &v1, "RequestStateChange", params).await.unwrap_err();
    assert_eq!(error.status, CimStatus::AccessDenied);
    assert!(error.description.contains("otto"), "{error}");
    assert_eq!(house.change(&stranger(), &v2, 3, None).await, 32769);
    let delete = Operation::DeleteInstance { path: v1.clone() };
    let error = house.ask(&stranger(), V1, delete.clone()).await.unwrap_err();
    assert_eq!(error.status, CimStatus::AccessDenied);
    let modify = Operation::ModifyInstance { instance: house.get(&v1).await.unwrap(), property_list: None };
    let error = house.ask(&stranger(), V1, modify.clone()).await.unwrap_err();
    assert_eq!(error.status, CimStatus::AccessDenied);
    assert_eq!(house.get(&v1).await.unwrap().get_u64("JobState"), Some(4), "nothing has happened");

    house.ask(&operator(), V1, modify).await.unwrap();
    assert_eq!(house.change(&operator(), &v1, 3, None).await, 0);
    assert_eq!(house.change(&admin(), &v2, 4, None).await, 0);
    house.until(&v1, 8).await;
    house.ask(&operator(), V1, delete).await.unwrap();
}

#[tokio::test]
async fn what_is_not_served_says_so_to_everybody() {
    let house = House::open().await;
    for who in [reader(), operator(), admin()] {
        let error =
            house.ask(&who, V1, Operation::Unsupported { name: "DeleteClass".into() }).await.unwrap_err();
        assert_eq!(error.status, CimStatus::NotSupported);
        let error = house.ask(&who, "root/nowhere", Operation::EnumerateQualifiers).await.unwrap_err();
        assert_eq!(error.status, CimStatus::InvalidNamespace);
    }
    let create = Operation::CreateInstance { instance: Instance::new("Test_Disk") };
    assert_eq!(house.refused(V1, create).await.status, CimStatus::NotSupported);
}
