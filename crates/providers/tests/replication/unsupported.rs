//! What is not supported says so, and why.

use crate::harness::{Host, SCHEMA, text, texts};
use cimwright_sdk::cim::{CimType, Param, Value};

/// Methods that belong to clusters.
const CLUSTERS: [&str; 11] = [
    "CreateStretchPartnership",
    "CreateStretchTopology",
    "GetStretchPartnership",
    "RemoveStretchPartnership",
    "SmapiGetPairCluster",
    "SmapiPairCluster",
    "SmapiUnpairCluster",
    "WvrAddVolumePartnerStretchById",
    "WvrClearOrphanedClusterResources",
    "WvrQueryClusterId",
    "WvrRemoveVolumePartnerStretch",
];

#[tokio::test]
async fn clusters_are_not_supported() {
    let host = Host::new().await;
    for method in CLUSTERS {
        let reason = host.refused("CWREPL1120", method, Vec::new()).await;
        assert_eq!(reason.code, 1, "{method}");
        assert!(reason.message.contains(method), "{reason:?}");
    }
    let counters = vec![text("PartitionId", "x")];
    assert_eq!(host.refused("CWREPL1124", "QueryCounterInstance", counters).await.code, 1);
}

/// Every method of the class gives a code of the table, whatever it is called with; none is without an implementation.
#[tokio::test]
async fn every_method_answers_with_a_code_of_the_table() {
    let host = Host::new().await;
    let class = SCHEMA.class("MSFT_WvrAdminTasks").unwrap().clone();
    assert_eq!(class.methods.len(), 84);
    for method in &class.methods {
        let given = |p: &&cimwright_sdk::cim::Parameter| p.is_in() && p.cim_type == CimType::String;
        let params = method.parameters.iter().filter(given).filter(|p| p.embedded.is_none());
        let local = |name: &str| name.ends_with("ComputerName");
        let params: Vec<Param> = params
            .map(|p| match (p.is_array, local(p.name.as_str())) {
                (true, _) => texts(p.name.as_str(), &["11111111-2222-4333-8444-555555555555"]),
                (false, true) => text(p.name.as_str(), "alpha"),
                (false, false) => Param::new(p.name.clone(), Value::from("nothing")),
            })
            .collect();
        let answer = host.call(method.name.as_str(), params).await;
        assert!(answer.code <= 6 || answer.code == 4096, "{}: {}", method.name, answer.code);
    }
}
