//! Settings of a group, and the size of its log.

use crate::harness::{Host, MIB, flag, number, output, text};
use cimwright_sdk::cim::Instance;

async fn shown(host: &Host) -> Instance {
    output(&host.done("GetGroup", vec![text("Name", "G")]).await).remove(0)
}

#[tokio::test]
async fn what_is_given_changes_and_what_is_null_stays() {
    let host = Host::new().await;
    host.group("G").await;
    let change = vec![text("Name", "G"), text("Description", "new"), number("ReplicationMode", 2)];
    host.done("SetGroupModifyConfig", change).await;
    let wvr = vec![
        text("ReplicationGroupName", "g"),
        number("AsyncRPO", 60),
        flag("Encryption", true),
        flag("AllowVolumeResize", true),
        flag("EnableWriteConsistency", true),
    ];
    host.done("WvrModifyReplicationGroup", wvr).await;
    let group = shown(&host).await;
    assert_eq!(group.get_str("Description"), Some("new"));
    assert_eq!((group.get_u64("ReplicationMode"), group.get_u64("AsyncRPO")), (Some(2), Some(60)));
    for set in ["IsEncrypted", "AllowVolumeResize", "IsWriteConsistency"] {
        assert_eq!(group.get(set).and_then(|v| v.as_bool()), Some(true), "{set}");
    }
    host.done("SetGroupModifyConfig", vec![text("Name", "G"), text("Description", "")]).await;
    assert_eq!(shown(&host).await.get_str("Description"), None);
}

#[tokio::test]
async fn the_log_grows_and_shrinks_as_a_job() {
    let host = Host::new().await;
    host.group("G").await;
    for size in [6 * MIB, 3 * MIB] {
        host.done("SetGroupModifyConfig", vec![text("Name", "G"), number("LogSizeInBytes", size)]).await;
        assert_eq!(std::fs::metadata(host.path("G.log")).unwrap().len(), size);
        assert_eq!(shown(&host).await.get_u64("LogSizeInBytes"), Some(size));
    }
    let resize = |size| vec![text("Name", "G"), number("LogSizeInBytes", size)];
    let answer = host.call("SetGroupModifyConfig", resize(1 << 60)).await;
    host.says("CWREPL1022", &answer).await;
    assert_eq!(std::fs::metadata(host.path("G.log")).unwrap().len(), 3 * MIB, "the old log is as it was");
    host.refused("CWREPL1021", "SetGroupModifyConfig", resize(MIB)).await;
    std::fs::remove_file(host.path("G.log")).unwrap();
    let answer = host.call("SetGroupModifyConfig", resize(4 * MIB)).await;
    host.says("CWREPL1027", &answer).await;
}

#[tokio::test]
async fn values_that_mean_nothing_are_refused() {
    let host = Host::new().await;
    host.group("G").await;
    let mode = vec![text("Name", "G"), number("ReplicationMode", 3)];
    host.refused("CWREPL1105", "SetGroupModifyConfig", mode).await;
    let rpo = vec![text("ReplicationGroupName", "G"), number("AsyncRPO", 0)];
    host.refused("CWREPL1105", "WvrModifyReplicationGroup", rpo).await;
}
