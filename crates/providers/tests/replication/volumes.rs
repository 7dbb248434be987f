//! Volumes that join and leave.

use crate::harness::{Host, MIB, embedded, flag, output, strings, text, texts};
use cimwright_sdk::cim::{Instance, Value};

async fn volumes(host: &Host, group: &str) -> Vec<String> {
    let got = host.done("GetGroup", vec![text("Name", group)]).await;
    let replicas = embedded(output(&got)[0].get("Replicas"));
    replicas.iter().map(|r| r.get_str("DataVolume").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn volumes_join_and_leave_by_path_and_by_replica_set() {
    let host = Host::new().await;
    host.group("G").await;
    let first = host.path("G.img");
    let (b, c, d) = (host.volume("b", MIB), host.volume("c", MIB), host.volume("d", MIB));
    host.done("SetGroupAddVolumes", vec![text("Name", "G"), texts("AddVolumeName", &[&b])]).await;
    host.done("WvrAddReplica", vec![text("ReplicationGroupName", "G"), text("VolumeName", &c)]).await;
    let set = "11111111-2222-4333-8444-555555555555";
    let by_id =
        vec![text("ReplicationGroupName", "G"), texts("VolumeName", &[&d]), texts("ReplicaSetId", &[set])];
    host.done("WvrAddReplicaById", by_id).await;
    assert_eq!(volumes(&host, "G").await, [first.clone(), b.clone(), c.clone(), d.clone()]);

    let asked = vec![text("ReplicationGroupName", "G"), text("VolumeName", &d)];
    let answer = host.done("QueryReplicaSet", asked).await;
    assert_eq!(answer.str("ReplicaSetId"), set);
    let id = answer.str("PartitionId").to_owned();
    let info = vec![text("ReplicationGroupName", "G"), text("PartitionId", &id)];
    let info = host.done("QueryPartitionInfo", info).await;
    assert_eq!(info.get("CapacityInBytes"), Some(&Value::Uint64(MIB)));
    assert!(info.get("PercentLogConsumed").is_none() && info.get("FreeSpaceInBytes").is_none());

    let by_id = vec![text("ReplicationGroupName", "G"), texts("ReplicaSetId", &[&format!("{{{set}}}")])];
    host.done("WvrRemoveReplicaById", by_id).await;
    host.done("WvrRemoveReplica", vec![text("ReplicationGroupName", "G"), text("VolumeName", &c)]).await;
    host.done("SetGroupRemoveVolumes", vec![text("Name", "G"), texts("RemoveVolumeName", &["D:\\b"])]).await;
    assert_eq!(volumes(&host, "G").await, [first]);
    assert_eq!(host.instances("MSFT_WvrPartitionDbRecord").await.len(), 1);

    let group = host.done("WvrQueryReplicationGroupInfo", vec![text("ReplicationGroupName", "G")]).await;
    assert_eq!(group.get("LogSizeInBytes"), Some(&Value::Uint64(2 * MIB)));
    assert_eq!(group.get("DataVolumeSize"), Some(&Value::Array(vec![Some(Value::Uint64(4 * MIB))])));
    assert_eq!(group.get("DataVolumeSectorSize"), Some(&Value::Array(vec![Some(Value::Uint32(512))])));
}

#[tokio::test]
async fn what_cannot_join_or_leave_is_told() {
    let host = Host::new().await;
    host.group("G").await;
    host.group("H").await;
    let g = || text("ReplicationGroupName", "G");
    let (own, foreign, free) = (host.path("G.img"), host.path("H.img"), host.volume("free", MIB));
    let add = |volume: &str| vec![g(), text("VolumeName", volume)];
    host.refused("CWREPL1005", "WvrAddReplica", add(&own)).await;
    let answer = host.call("WvrAddReplica", add(&foreign)).await;
    host.says("CWREPL1005", &answer).await;
    let answer = host.call("WvrAddReplica", add(&host.path("none"))).await;
    host.says("CWREPL1001", &answer).await;
    host.refused("CWREPL1007", "WvrRemoveReplica", add(&free)).await;
    host.refused("CWREPL1008", "WvrRemoveReplica", add(&own)).await;
    let twice = vec![text("Name", "G"), texts("RemoveVolumeName", &[&own, &own])];
    host.refused("CWREPL1006", "SetGroupRemoveVolumes", twice).await;
    let uneven = vec![g(), texts("VolumeName", &[&free]), texts("ReplicaSetId", &[])];
    host.refused("CWREPL1113", "WvrAddReplicaById", uneven).await;
    host.refused("CWREPL1114", "WvrRemoveReplicaById", vec![g(), texts("ReplicaSetId", &["x"])]).await;
    let unknown = "11111111-2222-4333-8444-555555555555";
    host.refused("CWREPL1112", "WvrRemoveReplicaById", vec![g(), texts("ReplicaSetId", &[unknown])]).await;
    // A volume so large that the log cannot keep track of it.
    let huge = host.volume("huge", 1 << 40);
    let answer = host.call("WvrAddReplica", add(&huge)).await;
    host.says("CWREPL1021", &answer).await;
    assert_eq!(volumes(&host, "G").await, [own]);
}

#[tokio::test]
async fn partitions_are_noted_down_verified_and_struck_off() {
    let host = Host::new().await;
    host.group("G").await;
    let free = host.volume("free", MIB);
    host.done("VerifyReplicablePartition", vec![text("PartitionId", &free)]).await;
    host.done("ProvisionPartitionsAdd", vec![texts("PartitionIds", &[&free])]).await;
    host.done("ProvisionPartitionsAdd", vec![texts("PartitionIds", &[&free])]).await;
    let records = host.instances("MSFT_WvrPartitionDbRecord").await;
    let record = records.iter().find(|r| r.get("GroupId").is_none()).expect("a record without group");
    let id = record.get_str("PartitionGuid").unwrap().to_owned();
    assert_eq!(records.iter().filter(|r| r.get_str("DiskGuid") == record.get_str("DiskGuid")).count(), 2);
    host.done("VerifyReplicablePartition", vec![text("PartitionId", &id)]).await;
    // By its identifier it joins and leaves, and stays noted down.
    let member = |name| vec![text("ReplicationGroupName", "G"), texts(name, &[&id])];
    host.done("SmapiAddMember", member("PartitionObjectIds")).await;
    let all = host.done("SmapiQueryReplicatedPartitions", Vec::new()).await;
    assert_eq!(strings(all.get("PartitionObjectIds")).len(), 2);
    host.refused("CWREPL1005", "VerifyReplicablePartition", vec![text("PartitionId", &id)]).await;
    host.refused("CWREPL1109", "ProvisionPartitionsRemove", vec![texts("PartitionIds", &[&id])]).await;
    host.done("SmapiRemoveMember", member("PartitionObjectIds")).await;
    host.refused("CWREPL1007", "SmapiRemoveMember", member("PartitionObjectIds")).await;
    assert_eq!(host.instances("MSFT_WvrPartitionDbRecord").await.len(), 2);
    host.done("ProvisionPartitionsRemove", vec![texts("PartitionIds", &[&id])]).await;
    host.refused("CWREPL1108", "VerifyReplicablePartition", vec![text("PartitionId", &id)]).await;
    host.refused("CWREPL1108", "ProvisionPartitionsRemove", vec![texts("PartitionIds", &[&id])]).await;
    host.refused("CWREPL1023", "VerifyReplicablePartition", vec![text("PartitionId", &host.path("G.log"))])
        .await;
}

#[tokio::test]
async fn a_volume_is_known_as_the_log_of_a_group_or_not() {
    let host = Host::new().await;
    host.group("G").await;
    let ask = |volume: &str| vec![text("ReplicationGroupName", "G"), text("VolumeName", volume)];
    let check = "WvrCheckIfGroupsLogVolumeMatchVolume";
    assert_eq!(host.call(check, ask("D:\\G.log")).await.code, 0);
    assert_eq!(host.call(check, ask(&host.path("G.img"))).await.code, 4);
    let unnamed = vec![text("ReplicationGroupName", "G"), flag("ContainSourceGroup", true)];
    let partners = host.done("QueryReplicationPartners", unnamed).await;
    assert!(strings(partners.get("PartnerGroupNames")).is_empty());
    assert_eq!(partners.str("OwnerNode"), "alpha");
}

#[tokio::test]
async fn a_record_of_a_living_group_cannot_be_cleared() {
    let host = Host::new().await;
    host.group("G").await;
    let record = host.instances("MSFT_WvrPartitionDbRecord").await.remove(0);
    let given = |record: &Instance| {
        let bare = Instance { path: None, ..record.clone() };
        vec![cimwright_sdk::cim::Param::new("OrphanedDbRecord", Value::Instance(Box::new(bare)))]
    };
    host.refused("CWREPL1109", "WvrClearOrphanedPartitionDbRecord", given(&record)).await;
    host.done("WvrDeleteReplicationGroup", vec![text("ReplicationGroupName", "G")]).await;
    let cleared = host.done("WvrClearOrphanedPartitionDbRecord", given(&record)).await;
    assert_eq!(cleared.get("RebootRequired"), Some(&Value::Boolean(false)));
    host.refused("CWREPL1108", "WvrClearOrphanedPartitionDbRecord", given(&record)).await;
}
