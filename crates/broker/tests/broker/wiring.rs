//! Putting a broker together: mistakes of the wiring are found at the start.

use crate::house::*;
use cimwright_broker::{Broker, BrokerBuilder, BuildError};
use cimwright_jobs::{JobKinds, Jobs, JobsConfig, SystemClock};
use cimwright_sdk::{JobDialect, Plugin};
use cimwright_store::MemoryStore;
use std::sync::Arc;
use tokio::sync::Semaphore;

async fn builder() -> BrokerBuilder {
    let jobs = Jobs::open(
        Arc::new(MemoryStore::new()),
        Arc::new(SystemClock),
        JobKinds::new(),
        JobsConfig::default(),
    )
    .await
    .unwrap();
    Broker::builder(jobs).namespace(V1.into(), schema(V1))
}

async fn mistake(plugin: Plugin) -> BuildError {
    match builder().await.plugin(plugin).build() {
        Ok(_) => panic!("the mistake was not found"),
        Err(error) => error,
    }
}

fn whole() -> Plugin {
    plugin(&Arc::new(Semaphore::new(0)))
}

fn of(dialects: Vec<JobDialect>) -> Plugin {
    Plugin { name: "wrong", dialects, ..Plugin::default() }
}

#[tokio::test]
async fn what_does_not_fit_is_found() {
    let good = dialect(V1, "Msvm_StorageJob");
    assert!(matches!(mistake(whole()).await, BuildError::NoNamespace { .. }), "only v1 is there");
    let twice = of(vec![good.clone(), good.clone()]);
    assert!(matches!(mistake(twice).await, BuildError::TwoDialects { .. }));
    let absent = of(vec![JobDialect { class: "Nope".into(), ..good.clone() }]);
    assert!(matches!(mistake(absent).await, BuildError::NoClass { .. }));
    let no_job = of(vec![JobDialect { class: "Test_Disk".into(), ..good.clone() }]);
    assert!(matches!(mistake(no_job).await, BuildError::NoJobClass { .. }));
    let no_link = of(vec![JobDialect { affected_class: Some("Test_Holds".into()), ..good.clone() }]);
    assert!(matches!(mistake(no_link).await, BuildError::NoJobAssociation { .. }));
    let mut served = whole();
    served.dialects.clear();
    served.classes.truncate(1);
    served.classes.extend(served.classes.clone());
    assert!(matches!(mistake(served).await, BuildError::ServedTwice { .. }));
    let same = builder().await.namespace("ROOT/Virtualization".into(), schema(V1)).build();
    assert!(matches!(same, Err(BuildError::NamespaceTwice(_))));
}

#[tokio::test]
async fn a_broker_tells_what_it_is_made_of() {
    let house = House::open().await;
    assert!(house.broker.schema(&V2.into()).unwrap().contains("Msvm_StorageJob"));
    assert!(house.broker.schema(&"root/nowhere".into()).is_none());
    let known = |id: &str| house.broker.catalogues().iter().any(|c| c.find(id).is_some());
    assert!(known("CWJOB1001") && known("CWBRK1001"));
    assert_eq!(house.broker.jobs().driven(), 0);
}
