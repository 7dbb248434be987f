//! Single volumes of a partnership, and what one side tells about the other.

use crate::harness::{Host, MIB, text, texts};
use crate::sync::{pair, status, write};
use cimwright_sdk::cim::Value;
use cimwright_sdk::jobs::JobState;

const SET: &str = "11111111-2222-4333-8444-555555555555";
const OTHER: &str = "11111111-2222-4333-8444-666666666666";

#[tokio::test]
async fn identifiers_are_given_to_the_volumes_of_a_group_without_partner() {
    let host = Host::new().await;
    host.group("G").await;
    let second = host.volume("second", MIB);
    host.done("WvrAddReplica", vec![text("ReplicationGroupName", "G"), text("VolumeName", &second)]).await;
    let with = |sets: &[&str]| vec![text("ReplicationGroupName", "G"), texts("ReplicaSetId", sets)];
    host.done("ActivateReplicaSet", with(&[SET, OTHER])).await;
    let asked = vec![text("ReplicationGroupName", "G"), text("VolumeName", &second)];
    assert_eq!(host.done("QueryReplicaSet", asked).await.str("ReplicaSetId"), OTHER);
    host.refused("CWREPL1113", "ActivateReplicaSet", with(&[SET])).await;
    host.refused("CWREPL1113", "ActivateReplicaSet", with(&[SET, SET])).await;
    host.refused("CWREPL1114", "ActivateReplicaSet", with(&["x", SET])).await;
    host.refused("CWREPL1107", "DeactivateReplicaSet", with(&[SET])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_taken_out_of_replication_and_put_back() {
    let pair = pair(4 * MIB).await;
    assert_eq!(pair.join(1).await.run.state, JobState::Completed);
    let volume = pair.alpha.path("v");
    let asked = vec![text("ReplicationGroupName", "A"), text("VolumeName", &volume)];
    let set = pair.alpha.done("QueryReplicaSet", asked).await.str("ReplicaSetId").to_owned();
    let with =
        |group: &str, set: &str| vec![text("ReplicationGroupName", group), texts("ReplicaSetId", &[set])];
    pair.alpha.refused("CWREPL1112", "DeactivateReplicaSet", with("A", SET)).await;
    pair.beta.refused("CWREPL1107", "DeactivateReplicaSet", with("B", &set)).await;
    pair.alpha.done("DeactivateReplicaSet", with("A", &set)).await;
    pair.until("paused", |r| status(r) == Some(5)).await;
    let uri = pair.alpha.instances("Cimwright_ReplicaEndpoint").await.remove(0);
    write(uri.get_str("ApplicationUri").expect("applications go on"));
    let replica = pair.until("behind", |r| r.get_u64("NumOfBytesRemaining") > Some(0)).await;
    assert!(replica.get_u64("NumOfBytesRemaining") < Some(4 * MIB), "only the difference is lacking");
    assert!(!pair.identical());
    pair.alpha.done("ActivateReplicaSet", with("A", &set)).await;
    pair.until("replicating", |r| status(r) == Some(1) && r.get_u64("NumOfBytesRemaining") == Some(0)).await;
    assert!(pair.identical());
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_tells_how_far_the_destination_is() {
    let pair = pair(4 * MIB).await;
    assert_eq!(pair.join(1).await.run.state, JobState::Completed);
    pair.until("replicating", |r| status(r) == Some(1)).await;
    let id = |instance: &cimwright_sdk::cim::Instance| instance.get_str("PartitionId").unwrap().to_owned();
    let own = [
        id(&pair.alpha.instances("MSFT_WvrReplica").await[0]),
        id(&pair.beta.instances("MSFT_WvrReplica").await[0]),
    ];
    for (host, group, volume, partner, there) in
        [(&pair.alpha, "A", &own[0], "beta", &own[1]), (&pair.beta, "B", &own[1], "alpha", &own[0])]
    {
        let named = || text("ReplicationGroupName", group);
        let told = host.done("SmapiQueryPartnerGroupStatus", vec![named()]).await;
        assert_eq!(told.get("PercentSynced"), Some(&Value::Uint16(100)), "{}", host.name);
        assert_eq!(told.get("ReplicationStatus"), Some(&Value::Uint32(1)));
        assert!(matches!(told.get("LastSyncTime"), Some(Value::DateTime(_))));
        let told = host.done("SmapiQueryPartnerPartitions", vec![named(), text("PartitionId", volume)]).await;
        assert_eq!(
            (told.str("PartnerComputerName"), told.str("PartnerPartitionObjectId")),
            (partner, there.as_str())
        );
        assert_eq!(told.get("PartnerPercentSynced"), Some(&Value::Uint16(100)));
        assert_eq!(told.get("PartnerReplicationStatus"), Some(&Value::Uint32(1)));
        assert!(told.get("PartnerLastSyncTime").is_some());
    }
    let foreign = vec![text("ReplicationGroupName", "A"), text("PartitionId", &own[1])];
    pair.alpha.refused("CWREPL1108", "SmapiQueryPartnerPartitions", foreign).await;
    pair.alpha.done("RemovePartnership", pair.names()).await;
    pair.alpha
        .refused("CWREPL1107", "SmapiQueryPartnerGroupStatus", vec![text("ReplicationGroupName", "A")])
        .await;
}

#[tokio::test]
async fn groups_exchange_their_identifiers_and_are_compared() {
    let host = Host::new().await;
    let group = host.group("G").await;
    let exchange = |target: &str| {
        let own = vec![text("SourceReplicationGroupName", "S"), text("SourceReplicationGroupId", SET)];
        [own, vec![text("TargetReplicationGroupName", target)]].concat()
    };
    let told = host.done("ExchangeReplicationGroupId", exchange("g")).await;
    assert_eq!(Some(told.str("TargetReplicationGroupId")), group.get_str("Id"));
    host.refused("CWREPL1102", "ExchangeReplicationGroupId", exchange("none")).await;

    let compare = |vector: &str| vec![text("ReplicationGroupName", "G"), text("ReplicationVector", vector)];
    let method = "CompareReplicationVector";
    let told = host.done(method, compare("version=1;log=2097152;volumes=4194304/512")).await;
    assert_eq!(told.get("IsNewPartner"), Some(&Value::Boolean(true)));
    host.refused("CWREPL1403", method, compare("version=1;log=2097152;volumes=8388608/512")).await;
    host.refused("CWREPL1404", method, compare("version=1;log=2097152;volumes=4194304/512,512/512")).await;
    host.refused("CWREPL1021", method, compare("version=1;log=4096;volumes=4194304/512")).await;
    host.refused("CWREPL1105", method, compare("version=2;log=2097152;volumes=4194304/512")).await;
    // The same numbers as the server tells of a group.
    let info = host.done("WvrQueryReplicationGroupInfo", vec![text("ReplicationGroupName", "G")]).await;
    let numbers = |name: &str| {
        let items = info.get(name).and_then(Value::as_array).unwrap().iter().flatten();
        items.map(|v| v.as_u64().unwrap()).collect::<Vec<_>>()
    };
    let pairs = numbers("DataVolumeSize").into_iter().zip(numbers("DataVolumeSectorSize"));
    let volumes: Vec<String> = pairs.map(|(size, sector)| format!("{size}/{sector}")).collect();
    let log = info.get("LogSizeInBytes").and_then(Value::as_u64).unwrap();
    host.done(method, compare(&format!("version=1;log={log};volumes={}", volumes.join(",")))).await;
}
