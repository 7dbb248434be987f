//! A server that starts again on the directories of one that stopped.

use crate::harness::{Host, MIB, Net, number, text, texts};
use cimwright_store::MemoryStore;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn groups_and_grants_are_there_after_a_restart() {
    let place = tempfile::tempdir().unwrap();
    for directory in ["root", "state"] {
        std::fs::create_dir(place.path().join(directory)).unwrap();
    }
    let net = Net::default();
    let store = Arc::new(MemoryStore::new());
    let host = Host::at("alpha", &net, place.path(), store.clone()).await;
    let group = host.group("G").await;
    host.done("GrantSrUserAccess", vec![text("UserName", "ann")]).await;
    assert!(host.jobs.shut_down(Duration::from_secs(10)).await);
    drop(host);
    let host = Host::at("alpha", &net, place.path(), store).await;
    assert_eq!(host.instances("MSFT_WvrReplicationGroup").await[0].get_str("Id"), group.get_str("Id"));
    assert_eq!(host.instances("MSFT_WvrUser").await.len(), 1);
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_fails_the_job_and_removes_the_log() {
    let host = Host::new().await;
    let volume = host.volume("v.img", MIB);
    // A directory where the new model would be written.
    std::fs::create_dir(host.state.join("replication.json.new")).unwrap();
    let new = vec![
        text("Name", "G"),
        texts("VolumeName", &[&volume]),
        text("LogVolumeName", &host.path("g.log")),
        number("LogSizeInBytes", 2 * MIB),
    ];
    let answer = host.call("NewSrGroup", new).await;
    host.says("CWREPL1202", &answer).await;
    assert!(host.instances("MSFT_WvrReplicationGroup").await.is_empty());
    let left: Vec<_> = std::fs::read_dir(&host.root).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["v.img"]);
}
