//! The life of a group.

use crate::harness::{Host, MIB, embedded, flag, number, output, strings, text, texts};
use cimwright_sdk::cim::{InstancePath, ObjectPath};
use cimwright_sdk::jobs::JobState;
use cimwright_sdk::{Principal, Role};

#[tokio::test]
async fn a_group_is_made_shown_and_removed() {
    let host = Host::new().await;
    let (a, b) = (host.volume("a.img", 4 * MIB), host.volume("b.img", 8 * MIB));
    let made = host
        .done(
            "NewSrGroup",
            vec![
                text("Name", "RG01"),
                text("Description", "Two volumes"),
                texts("VolumeName", &[&a, "D:\\b.img"]),
                text("LogVolumeName", &host.path("rg01.log")),
                number("LogSizeInBytes", 2 * MIB),
                flag("EnableEncryption", true),
            ],
        )
        .await;
    let [group] = &output(&made)[..] else { panic!("{made:?}") };
    assert_eq!(group.get_str("Name"), Some("RG01"));
    assert_eq!(group.get_str("ComputerName"), Some("alpha"));
    assert_eq!(group.get_u64("ReplicationStatus"), Some(15));
    assert_eq!(group.get_u64("LogSizeInBytes"), Some(2 * MIB));
    assert_eq!(group.get_u64("NumOfReplicas"), Some(2));
    assert!(group.get("LastInSyncTime").is_none() && group.get("AsyncRPO").is_none());
    let replicas = embedded(group.get("Replicas"));
    let seen: Vec<_> = replicas
        .iter()
        .map(|r| (r.get_str("DataVolume").unwrap(), r.get_u64("PartitionSize").unwrap()))
        .collect();
    assert_eq!(seen, [(a.as_str(), 4 * MIB), ("D:\\b.img", 8 * MIB)]);
    assert!(replicas.iter().all(|r| r.get("CurrentLsn").is_none() && r.get("NumOfBytesRemaining").is_none()));
    // The log is there, of its full size, and really reserved.
    let log = std::fs::metadata(host.path("rg01.log")).unwrap();
    assert_eq!(log.len(), 2 * MIB);
    assert!(std::os::unix::fs::MetadataExt::blocks(&log) * 512 >= 2 * MIB);

    // The same over enumeration and GetGroup.
    assert_eq!(host.instances("MSFT_WvrReplicationGroup").await.len(), 1);
    assert_eq!(host.instances("MSFT_WvrReplica").await.len(), 2);
    assert_eq!(host.instances("MSFT_WvrPartitionDbRecord").await.len(), 2);
    let health = host.instances("MSFT_WvrHealth").await;
    assert_eq!(health.len(), 4);
    assert!(health.iter().all(|h| h.get_u64("HealthStatus") == Some(0)), "{health:?}");
    let got = host.done("GetGroup", vec![text("Name", "rg01")]).await;
    assert_eq!(output(&got)[0].get_str("Id"), group.get_str("Id"));

    std::fs::write(&b, vec![7; 8 * MIB as usize]).unwrap();
    host.done("RemoveSrGroup", vec![text("Name", "RG01")]).await;
    assert!(host.instances("MSFT_WvrReplicationGroup").await.is_empty());
    assert!(host.instances("MSFT_WvrPartitionDbRecord").await.is_empty());
    assert!(!std::path::Path::new(&host.path("rg01.log")).exists());
    assert_eq!(std::fs::read(&b).unwrap(), vec![7; 8 * MIB as usize], "the volumes keep their data");
}

#[tokio::test]
async fn the_first_form_answers_with_a_job_that_tells_what_it_affects() {
    let host = Host::new().await;
    let volume = host.volume("v.img", MIB);
    let answer = host
        .call(
            "WvrCreateReplicationGroup",
            vec![
                text("ReplicationGroupName", "G"),
                texts("VolumeNames", &[&volume]),
                text("LogPath", &host.path("g.log")),
                number("ReplicationMode", 2),
            ],
        )
        .await;
    assert_eq!(answer.code, 4096);
    let Some(ObjectPath::Instance(task)) = answer.get("Task").and_then(|v| v.as_reference()) else {
        panic!("no job in {answer:?}")
    };
    let id = task.key_str("InstanceID").unwrap().parse().unwrap();
    let ended = host.jobs.wait_end(id, std::time::Duration::from_secs(30)).await.unwrap().unwrap();
    assert_eq!(ended.run.state, JobState::Completed, "{ended:?}");
    assert_eq!(ended.spec.affected[0].element.key_str("Name"), Some("G"));
    assert!(ended.run.progress.total > 0, "a job of bytes tells them");
    let shown = host.instances("MSFT_SrJob").await;
    assert_eq!(shown[0].get_u64("PercentComplete"), Some(100));
    let group = host.instances("MSFT_WvrReplicationGroup").await.remove(0);
    assert_eq!(group.get_u64("ReplicationMode"), Some(2));
    assert_eq!(group.get_u64("AsyncRPO"), Some(300), "the default of the asynchronous mode");
    assert_eq!(host.instances("CIM_AffectedJobElement").await.len(), 1);
    assert_eq!(host.instances("CIM_OwningJobElement").await.len(), 1);
}

#[tokio::test]
async fn class_and_instance_take_the_methods_alike() {
    let host = Host::new().await;
    host.group("G").await;
    let [admin] = &host.instances("MSFT_WvrAdminTasks").await[..] else { panic!("one instance") };
    let path = admin.path.clone().unwrap();
    assert!(path.keys.is_empty());
    let root = Principal::authenticated("root", Role::Administrator);
    let bare = InstancePath::new(cimwright_providers::replication::namespace(), "MSFT_WvrAdminTasks");
    for target in [path, bare] {
        let answer = host.call_on(&root, target.into(), "GetGroup", Vec::new()).await.unwrap();
        assert_eq!((answer.code, output(&answer).len()), (0, 1));
    }
}

#[tokio::test]
async fn a_call_that_cannot_succeed_is_refused_with_its_reason() {
    let host = Host::new().await;
    host.group("G").await;
    let free = host.volume("free.img", 4 * MIB);
    let log = host.path("new.log");
    let new = |name: &str, volumes: &[&str], log: &str| {
        vec![text("Name", name), texts("VolumeName", volumes), text("LogVolumeName", log)]
    };
    host.refused("CWREPL1101", "NewSrGroup", new("g", &[&free], &log)).await;
    host.refused("CWREPL1103", "NewSrGroup", new(&"x".repeat(256), &[&free], &log)).await;
    host.refused("CWREPL1104", "NewSrGroup", new("", &[&free], &log)).await;
    host.refused("CWREPL1104", "NewSrGroup", new("N", &[], &log)).await;
    host.refused("CWREPL1001", "NewSrGroup", new("N", &[&host.path("no.img")], &log)).await;
    host.refused(
        "CWREPL1002",
        "NewSrGroup",
        new(
            "N",
            &[&{
                std::fs::create_dir(host.path("dir")).unwrap();
                host.path("dir")
            }],
            &log,
        ),
    )
    .await;
    host.refused("CWREPL1004", "NewSrGroup", new("N", &[&host.volume("odd.img", 700)], &log)).await;
    host.refused("CWREPL1005", "NewSrGroup", new("N", &[&host.path("G.img")], &log)).await;
    host.refused("CWREPL1006", "NewSrGroup", new("N", &[&free, "D:\\free.img"], &log)).await;
    host.refused("CWREPL1009", "NewSrGroup", new("N", &["/etc/passwd"], &log)).await;
    host.refused("CWREPL1010", "NewSrGroup", new("N", &["free.img"], &log)).await;
    host.refused("CWREPL1011", "NewSrGroup", new("N", &[&host.path("no/where.img")], &log)).await;
    host.refused("CWREPL1020", "NewSrGroup", new("N", &[&free], &host.path("G.log"))).await;
    host.refused("CWREPL1023", "NewSrGroup", new("N", &[&free], &free)).await;
    host.refused("CWREPL1023", "NewSrGroup", new("N", &[&host.path("G.log")], &log)).await;
    let mut small = new("N", &[&free], &log);
    small.push(number("LogSizeInBytes", MIB));
    let reason = host.refused("CWREPL1021", "NewSrGroup", small).await;
    assert!(reason.message.contains("1056768"), "it says how much is needed: {}", reason.message);
    let mut partners = new("N", &[&free], &log);
    partners.push(number("MinimumPartnersInSync", 2));
    host.refused("CWREPL1123", "NewSrGroup", partners).await;
    let other = host.volume("other.img", MIB);
    let mut ordered = new("N", &[&free, &other], &log);
    ordered.push(flag("EnableConsistencyGroups", true));
    host.refused("CWREPL1122", "NewSrGroup", ordered).await;
    host.refused("CWREPL1102", "GetGroup", vec![text("Name", "N")]).await;
    host.refused("CWREPL1102", "RemoveSrGroup", vec![text("Name", "N")]).await;
    assert!(!std::path::Path::new(&log).exists(), "nothing is left of what was refused");
    assert_eq!(host.instances("MSFT_WvrReplicationGroup").await.len(), 1);
}

#[tokio::test]
async fn a_job_that_fails_leaves_nothing_behind() {
    let host = Host::new().await;
    let volume = host.volume("v.img", 4 * MIB);
    let answer = host
        .call(
            "NewSrGroup",
            vec![
                text("Name", "N"),
                texts("VolumeName", &[&volume]),
                text("LogVolumeName", &host.path("n.log")),
                // More than any file system has.
                number("LogSizeInBytes", 1 << 60),
            ],
        )
        .await;
    host.says("CWREPL1022", &answer).await;
    assert!(host.instances("MSFT_WvrReplicationGroup").await.is_empty());
    let left: Vec<_> = std::fs::read_dir(&host.root).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["v.img"], "the unfinished log is gone");
}

#[tokio::test]
async fn without_full_cleanup_orphans_stay_and_can_be_cleared() {
    let host = Host::new().await;
    let group = host.group("G").await;
    host.done("WvrDeleteReplicationGroup", vec![text("ReplicationGroupName", "G")]).await;
    assert!(std::path::Path::new(&host.path("G.log")).exists());
    let orphans =
        host.done("WvrGetOrphanedPartitionDbRecords", vec![text("ReplicationGroupName", "g")]).await;
    let [record] = &embedded(orphans.get("OrphanedDbRecords"))[..] else { panic!("{orphans:?}") };
    assert_eq!(record.get_str("GroupId"), group.get_str("Id"));
    assert_eq!(record.get_str("PartitionGuid"), strings(group.get("Partitions")).first().map(String::as_str));
    // The volume is free again, and keeps its identifier.
    let again = host
        .done(
            "NewSrGroup",
            vec![
                text("Name", "H"),
                texts("VolumeName", &[&host.path("G.img")]),
                text("LogVolumeName", &host.path("H.log")),
            ],
        )
        .await;
    assert_eq!(strings(output(&again)[0].get("Partitions")), strings(group.get("Partitions")));
    host.done("WvrClearOrphanedLogs", Vec::new()).await;
    assert!(!std::path::Path::new(&host.path("G.log")).exists());
    assert!(std::path::Path::new(&host.path("H.log")).exists(), "the log of a living group stays");
}

#[tokio::test]
async fn a_log_that_is_another_file_by_now_is_left_alone_and_the_group_stays() {
    let host = Host::new().await;
    host.group("G").await;
    std::fs::write(host.path("G.log"), "precious").unwrap();
    let answer = host.call("RemoveSrGroup", vec![text("Name", "G")]).await;
    host.says("CWREPL1026", &answer).await;
    assert_eq!(std::fs::read_to_string(host.path("G.log")).unwrap(), "precious");
    assert_eq!(host.instances("MSFT_WvrReplicationGroup").await.len(), 1, "removing was undone");
    let health = host.instances("MSFT_WvrHealth").await;
    let sick: Vec<_> = health.iter().filter(|h| h.get_u64("HealthStatus") == Some(2)).collect();
    assert_eq!(sick.len(), 2, "the log and with it the group: {health:?}");
    assert!(sick.iter().all(|h| h.get_str("FaultTypeId") == Some("CWREPL1026")));
}
