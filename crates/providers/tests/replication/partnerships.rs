//! What is seen of a partnership, and what it forbids. The model is written by hand, as another version might have left it.

use crate::harness::{Answer, Host, MIB, Net, number, output, strings, text, texts};
use cimwright_cim::NamespaceName;
use cimwright_sdk::jobs::{JobId, JobSettings, JobSpec};
use cimwright_store::MemoryStore;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const PARTNERSHIP: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

/// A computer whose group G is the source of RG02 on beta.
async fn source(place: &tempfile::TempDir) -> Host {
    for directory in ["root", "state"] {
        std::fs::create_dir(place.path().join(directory)).unwrap();
    }
    let net = Net::default();
    let host = Host::at("alpha", &net, place.path(), Arc::new(MemoryStore::new())).await;
    let group = host.group("G").await.get_str("Id").unwrap().to_owned();
    assert!(host.jobs.shut_down(Duration::from_secs(10)).await);
    let file = host.state.join("replication.json");
    drop(host);
    let mut stored: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    stored["partnerships"] = serde_json::json!([{
        "id": PARTNERSHIP,
        "source": { "computer": "alpha", "group": "G" },
        "destination": { "computer": "beta", "group": "RG02" },
        "local_group": group,
        "partner_group": PARTNERSHIP,
        "is_source": true,
    }]);
    std::fs::write(&file, serde_json::to_vec(&stored).unwrap()).unwrap();
    Host::at("alpha", &net, place.path(), Arc::new(MemoryStore::new())).await
}

#[tokio::test]
async fn a_partnership_is_shown_wherever_it_is_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let host = source(&place).await;
    for (method, params) in [
        ("GetPartnership", Vec::new()),
        ("GetPartnership", vec![text("DestinationComputerName", "BETA.example"), text("SourceRGName", "g")]),
        ("GetPartnershipFromGroup", vec![text("Name", "G")]),
    ] {
        let shown = output(&host.done(method, params).await);
        assert_eq!(shown.len(), 1, "{method}");
        assert_eq!(shown[0].get_str("Id"), Some(PARTNERSHIP));
        assert_eq!(shown[0].get_str("DestinationRGName"), Some("RG02"));
    }
    let other = vec![text("DestinationRGName", "other")];
    assert!(output(&host.done("GetPartnership", other).await).is_empty());
    let group = output(&host.done("GetGroupFromPartnership", Vec::new()).await).remove(0);
    assert_eq!(group.get("IsInPartnership").and_then(|v| v.as_bool()), Some(true));
    assert_eq!(group.get("IsPrimary").and_then(|v| v.as_bool()), Some(true));
    assert_eq!(group.get_u64("ReplicationStatus"), Some(7), "nobody has heard of the destination");
    let partners = host.done("QueryReplicationPartners", vec![text("ReplicationGroupName", "G")]).await;
    assert_eq!(strings(partners.get("PartnerGroupNames")), ["RG02"]);
    assert_eq!(strings(partners.get("PartnershipIds")), [PARTNERSHIP]);
    assert_eq!(host.instances("MSFT_WvrReplicationPartnership").await.len(), 1);
}

#[tokio::test]
async fn a_group_with_a_partner_is_not_changed_one_sidedly() {
    let place = tempfile::tempdir().unwrap();
    let host = source(&place).await;
    let g = || text("Name", "G");
    let free = host.volume("free", MIB);
    host.refused("CWREPL1106", "RemoveSrGroup", vec![g()]).await;
    host.refused("CWREPL1106", "SetGroupAddVolumes", vec![g(), texts("AddVolumeName", &[&free])]).await;
    let own = host.path("G.img");
    host.refused("CWREPL1106", "SetGroupRemoveVolumes", vec![g(), texts("RemoveVolumeName", &[&own])]).await;
    host.refused("CWREPL1106", "SetGroupModifyConfig", vec![g(), number("ReplicationMode", 2)]).await;
    host.done("SetGroupModifyConfig", vec![g(), text("Description", "words are free")]).await;
}

#[tokio::test]
async fn interfaces_are_bound_and_set_free() {
    let place = tempfile::tempdir().unwrap();
    let host = source(&place).await;
    let names = || vec![text("SourceRGName", "G"), text("DestinationRGName", "RG02")];
    let with = |index: &str| [names(), vec![texts("SourceNWInterfaceIndex", &[index])]].concat();
    host.refused("CWREPL1111", "SetNetworkConstraint", with("999999")).await;
    // The loopback interface is the first one everywhere.
    let set = output(&host.done("SetNetworkConstraint", with("1")).await);
    assert_eq!(strings(set[0].get("SourceNWInterface")), ["1"]);
    assert_eq!(output(&host.done("GetNetworkConstraint", Vec::new()).await).len(), 1);
    assert_eq!(host.instances("MSFT_WvrNetworkConstraint").await.len(), 1);
    host.done("RemoveNetworkConstraint", names()).await;
    assert!(output(&host.done("GetNetworkConstraint", Vec::new()).await).is_empty());
    let wvr =
        |partner: &str| vec![text("ReplicationGroupName", "G"), text("PartnerReplicationGroupName", partner)];
    let index = texts("NWInterfaceIndex", &["1"]);
    host.done("WvrSetNetworkConstraint", [wvr("rg02"), vec![index.clone()]].concat()).await;
    host.refused("CWREPL1107", "WvrSetNetworkConstraint", [wvr("x"), vec![index]].concat()).await;
    host.done("WvrRemoveNetworkConstraint", wvr("RG02")).await;
    host.refused("CWREPL1107", "RemoveNetworkConstraint", {
        vec![text("SourceRGName", "G"), text("DestinationRGName", "none")]
    })
    .await;
}

#[tokio::test]
async fn a_stored_job_that_cannot_be_read_fails_with_its_reason() {
    let host = Host::new().await;
    let spec = JobSpec {
        id: JobId::generate(),
        family: cimwright_providers::replication::FAMILY.to_owned(),
        kind: "replication.create-group".to_owned(),
        payload: "{".to_owned(),
        origin: NamespaceName::new("root/microsoft/windows/storagereplica"),
        owner: "root".to_owned(),
        name: "old".to_owned(),
        caption: String::new(),
        description: String::new(),
        job_type: 0,
        owning_element: None,
        affected: Vec::new(),
        submitted: SystemTime::UNIX_EPOCH,
        call: None,
        run_of: None,
    };
    let job = host.jobs.start(spec, JobSettings::default()).await.unwrap();
    host.jobs.wait_end(job.id(), Duration::from_secs(30)).await.unwrap();
    host.says("CWREPL1203", &Answer { code: 4, out: Vec::new() }).await;
}
