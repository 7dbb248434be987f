//! What groups leave behind.

use crate::harness::{Host, embedded, flag, text};

#[tokio::test]
async fn everything_left_behind_is_wiped_and_nothing_else() {
    let host = Host::new().await;
    host.group("Gone").await;
    host.group("Here").await;
    host.done("WvrDeleteReplicationGroup", vec![text("ReplicationGroupName", "Gone")]).await;
    host.done("ClearMetadataAll", vec![flag("AllPartitions", true)]).await;
    let orphans = host.done("WvrGetOrphanedPartitionDbRecords", Vec::new()).await;
    assert!(embedded(orphans.get("OrphanedDbRecords")).is_empty());
    assert!(std::path::Path::new(&host.path("Gone.log")).exists());
    host.done("ClearMetadataAll", vec![flag("AllLogs", true), flag("NoRestart", true)]).await;
    assert!(!std::path::Path::new(&host.path("Gone.log")).exists());
    assert!(std::path::Path::new(&host.path("Here.log")).exists());
    assert_eq!(host.instances("MSFT_WvrPartitionDbRecord").await.len(), 1);
}

#[tokio::test]
async fn of_one_group_only_when_it_is_gone() {
    let host = Host::new().await;
    host.group("G").await;
    let clear = vec![text("Name", "G"), flag("Logs", true), flag("Partition", true)];
    host.refused("CWREPL1110", "ClearMetadataForReplicationGroup", clear.clone()).await;
    host.done("WvrDeleteReplicationGroup", vec![text("ReplicationGroupName", "G")]).await;
    host.done("ClearMetadataForReplicationGroup", clear).await;
    assert!(host.instances("MSFT_WvrPartitionDbRecord").await.is_empty());
    let full = vec![text("ReplicationGroupName", "H"), flag("FullCleanup", true)];
    host.group("H").await;
    host.done("WvrDeleteReplicationGroup", full).await;
    assert!(!std::path::Path::new(&host.path("H.log")).exists());
}
