//! What is answered when the store cannot be read.

use crate::house::*;
use cimwright_cim::operation::{OpenOptions, Operation, OperationResult, PullKind};
use cimwright_cim::{CimStatus, InstancePath};
use cimwright_store::{BrittleStore, MemoryStore};
use std::sync::Arc;

/// What a store that cannot be read does not do.
const READS: [&str; 4] = ["create", "load", "list", "of_element"];

#[tokio::test]
async fn a_store_that_fails_is_said_in_each_place_in_its_own_way() {
    let inner = Arc::new(MemoryStore::new());
    let brittle = Arc::new(BrittleStore::new(Arc::clone(&inner)));
    let house = House::over(brittle.clone(), inner, Default::default(), Default::default()).await;
    let v2 = house.start(&operator(), V2, "ok", "w").await;
    house.until(&v2, 7).await;
    brittle.fail_at(READS);
    assert_eq!(house.call(&reader(), &v2, "GetError", vec![]).await.unwrap(), (32768, vec![]));
    let dmtf = seen_in(DMTF, "Test_Job", &v2);
    assert_eq!(house.call(&reader(), &dmtf, "GetErrors", vec![]).await.unwrap(), (4, vec![]));
    let start = vec![cimwright_cim::Param::new("Script", "ok"), cimwright_cim::Param::new("Label", "x")];
    let refusals = [
        house.get(&v2).await.unwrap_err(),
        house.call(&admin(), &v2, "RequestStateChange", vec![]).await.unwrap_err(),
        house.call(&admin(), &at(V2, service()), "StartWork", start).await.unwrap_err(),
        house.refused(V2, Operation::EnumerateInstanceNames { class: "CIM_Job".into() }).await,
    ];
    for error in refusals {
        assert_eq!(error.status, CimStatus::Failed);
        assert!(!error.description.contains("secret"), "{error}");
    }
    // A refusal that cannot be stored as a job still tells the reason.
    let error = house.call(&admin(), &at(V2, service()), "Forbid", vec![]).await.unwrap_err();
    assert_eq!(error.details[0].message_id, "TEST1001");
    let elsewhere = at(V2, InstancePath::new(None, "Test_Disk").with_key("Name", "a"));
    assert!(house.get(&elsewhere).await.is_ok(), "what needs no jobs goes on");
}

#[tokio::test]
async fn an_enumeration_goes_on_after_an_error_when_it_is_told_to() {
    let inner = Arc::new(MemoryStore::new());
    let brittle = Arc::new(BrittleStore::new(Arc::clone(&inner)));
    let house = House::over(brittle.clone(), inner, Default::default(), Default::default()).await;
    brittle.fail_at(READS);
    let open = |continue_on_error, max_object_count| Operation::OpenEnumerateInstances {
        class: "CIM_LogicalElement".into(),
        deep: true,
        options: Default::default(),
        open: OpenOptions { continue_on_error, max_object_count, ..OpenOptions::default() },
    };
    assert_eq!(house.refused(V2, open(false, 1000)).await.status, CimStatus::Failed);

    let (mut seen, mut errors) = (0, 0);
    let mut operation = open(true, 1000);
    let mut context = None;
    loop {
        match house.ask(&admin(), V2, operation).await {
            Ok(OperationResult::Pulled { items, context: next, .. }) => {
                seen += items.len();
                context = next;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.status, CimStatus::Failed);
                errors += 1;
            }
        }
        let Some(context) = context.clone() else { break };
        operation = Operation::Pull { kind: PullKind::InstancesWithPath, context, max_object_count: 1000 };
    }
    assert!(errors > 0, "the jobs cannot be read");
    assert!(seen >= 2, "the disks can");
}
