//! The provider in a server, first within it and then in a process of its own: nothing is different.
#![allow(clippy::unwrap_used, reason = "a test stops where its ground gives way")]

use cimwright_sdk::cim::operation::Param;
use cimwright_sdk::cim::{Instance, InstancePath, Value};
use cimwright_sdk::jobs::{JobState, RequestedState};
use cimwright_testkit::{ProcessSettings, Testkit, assert_reason};
use disk_usage::{FILE_SYSTEM, NAMESPACE};
use std::path::Path;

async fn kits() -> [Testkit; 2] {
    let mut program = ProcessSettings::new("disk-usage", env!("CARGO_BIN_EXE_disk-usage"));
    program.namespaces = vec![NAMESPACE.into()];
    [Testkit::of(disk_usage::plugin()).await, Testkit::of_program(program).await]
}

/// The file system that has a directory: the one with the longest name that the path begins with.
async fn home_of(kit: &Testkit, directory: &Path) -> InstancePath {
    let all = kit.reader("ann").enumerate(NAMESPACE, FILE_SYSTEM).await.unwrap();
    let holds = |i: &&Instance| directory.starts_with(i.get_str("Name").unwrap());
    let home = all.iter().filter(holds).max_by_key(|i| i.get_str("Name").unwrap().len());
    home.unwrap().path.clone().unwrap()
}

fn path(directory: &Path) -> Param {
    Param::new("Path", directory.to_str().unwrap())
}

#[tokio::test]
async fn a_file_system_has_a_size() {
    for kit in kits().await {
        let home = home_of(&kit, &std::env::temp_dir()).await;
        let found = kit.reader("ann").get(&home).await.unwrap();
        assert!(found.get_u64("Size") > Some(0), "{found:?}");
        assert!(found.get_u64("AvailableSpace") <= found.get_u64("Size"));
        let nowhere = InstancePath::new(home.namespace.clone(), FILE_SYSTEM).with_key("Name", "/no/such");
        assert_eq!(kit.reader("ann").get(&nowhere).await.unwrap_err().status.code(), 6);
    }
}

#[tokio::test]
async fn a_directory_is_measured_in_a_job() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("below")).unwrap();
    for (name, length) in [("a", 5), ("below/b", 7)] {
        std::fs::write(directory.path().join(name), vec![0; length]).unwrap();
    }
    for kit in kits().await {
        let home = home_of(&kit, directory.path()).await;
        let called = kit.operator("ann").invoke(home, "Measure", vec![path(directory.path())]).await.unwrap();
        assert!(called.started_a_job());
        let job = kit.end_of(&called).await;
        assert_eq!(job.run.state, JobState::Completed, "{job:?}");
        let shown = kit.reader("ann").get(called.job()).await.unwrap();
        assert_eq!((shown.get_u64("Files"), shown.get_u64("Bytes")), (Some(2), Some(12)));
        assert_eq!(shown.get_str("Owner"), Some("ann"));
    }
}

#[tokio::test]
async fn what_cannot_be_measured_is_refused_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    for kit in kits().await {
        let home = home_of(&kit, directory.path()).await;
        let ann = kit.operator("ann");
        for (wrong, id) in
            [("relative", "DISKUSE1001"), ("/no/such/place", "DISKUSE1001"), ("/proc", "DISKUSE1002")]
        {
            let called = ann.invoke(home.clone(), "Measure", vec![path(Path::new(wrong))]).await.unwrap();
            assert_eq!(called.return_value, Some(5), "{wrong}");
            assert_reason(&*kit.end_of(&called).await, id);
        }
        let seconds = Param::new("Seconds", Value::Uint32(0));
        let called = ann.invoke(home.clone(), "Sample", vec![seconds]).await.unwrap();
        assert_eq!(called.return_value, Some(5));
        let denied = kit.reader("bob").invoke(home, "Measure", vec![path(directory.path())]).await;
        assert_eq!(denied.unwrap_err().status.code(), 2);
    }
}

#[tokio::test]
async fn a_directory_that_goes_away_fails_the_job() {
    for kit in kits().await {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..100 {
            std::fs::write(directory.path().join(number.to_string()), "x").unwrap();
        }
        let home = home_of(&kit, directory.path()).await;
        let slowly = Param::new("EntriesPerSecond", Value::Uint32(1));
        let ann = kit.operator("ann");
        let called = ann.invoke(home, "Measure", vec![path(directory.path()), slowly]).await.unwrap();
        drop(directory);
        let job = kit.end_of(&called).await;
        let reason = assert_reason(&job, "DISKUSE1003");
        assert!(reason.message.contains("No such file"), "{reason:?}");
    }
}

#[tokio::test]
async fn a_job_can_be_paused_and_stopped() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..100 {
        std::fs::write(directory.path().join(number.to_string()), "x").unwrap();
    }
    for kit in kits().await {
        let home = home_of(&kit, directory.path()).await;
        let slowly = Param::new("EntriesPerSecond", Value::Uint32(1));
        let ann = kit.operator("ann");
        let called = ann.invoke(home, "Measure", vec![path(directory.path()), slowly]).await.unwrap();
        let job = called.job().clone();
        let change = |wanted: RequestedState| {
            let wanted = Param::new("RequestedState", Value::Uint16(wanted.code()));
            let ann = kit.operator("ann");
            let job = job.clone();
            async move { ann.invoke(job, "RequestStateChange", vec![wanted]).await.unwrap() }
        };
        change(RequestedState::Suspend).await;
        kit.until(called.job_id(), |r| r.run.state == JobState::Suspended).await;
        change(RequestedState::Start).await;
        kit.until(called.job_id(), |r| r.run.state == JobState::Running).await;
        change(RequestedState::Terminate).await;
        let ended = kit.end_of(&called).await;
        assert_eq!(ended.run.state, JobState::Terminated);
    }
}
