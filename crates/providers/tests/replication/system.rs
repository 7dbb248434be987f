//! What the system refuses: places without rights, file systems that cannot do what is needed, and limits of the process.

use crate::apart::{World, apart, directory, mount};
use crate::harness::{Host, MIB, Net, number, set_mode, text, texts};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn group(host: &Host, volume: &str, log: &str) -> Vec<cimwright_sdk::cim::Param> {
    let volume = host.path(volume);
    let (name, log) = (text("Name", "G"), text("LogVolumeName", &host.path(log)));
    vec![name, texts("VolumeName", &[&volume]), log, number("LogSizeInBytes", 2 * MIB)]
}

#[test]
fn volumes_and_logs_without_rights() {
    apart(World::NoPrivileges, "system::volumes_and_logs_without_rights", async |scratch| {
        let host = Host::in_place("alpha", &Net::default(), &scratch).await;
        let secret = host.volume("secret", MIB);
        set_mode(&secret, 0o000);
        let answer = host.call("NewSrGroup", group(&host, "secret", "log")).await;
        let reason = host.says("CWREPL1003", &answer).await;
        assert!(reason.message.contains("secret"), "{reason:?}");
        // To be read is not enough.
        set_mode(&secret, 0o400);
        let answer = host.call("NewSrGroup", group(&host, "secret", "log")).await;
        host.says("CWREPL1003", &answer).await;
        set_mode(&secret, 0o600);
        let closed = directory(&host.root, "closed");
        set_mode(&closed, 0o555);
        let answer = host.call("NewSrGroup", group(&host, "secret", "closed/log")).await;
        host.says("CWREPL1024", &answer).await;
        assert!(host.instances("MSFT_WvrReplicationGroup").await.is_empty());
        set_mode(&closed, 0o755);
        host.done("NewSrGroup", group(&host, "secret", "closed/log")).await;
    });
}

#[test]
fn file_systems_that_have_no_room_or_promise_none() {
    apart(World::Mounts, "system::file_systems_that_have_no_room_or_promise_none", async |scratch| {
        let host = Host::in_place("alpha", &Net::default(), &scratch).await;
        host.volume("v", MIB);
        let odd = directory(&host.root, "odd");
        mount(&["-t", "ramfs", "ramfs", odd.to_str().unwrap()]);
        let answer = host.call("NewSrGroup", group(&host, "v", "odd/log")).await;
        host.says("CWREPL1025", &answer).await;
        let small = directory(&host.root, "small");
        mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs", small.to_str().unwrap()]);
        let answer = host.call("NewSrGroup", group(&host, "v", "small/log")).await;
        host.says("CWREPL1022", &answer).await;
        for place in [odd, small] {
            assert_eq!(std::fs::read_dir(place).unwrap().count(), 0, "nothing is left of the log");
        }
        let closed = directory(&host.root, "closed");
        mount(&["-t", "tmpfs", "-o", "size=4m,ro", "tmpfs", closed.to_str().unwrap()]);
        let answer = host.call("NewSrGroup", group(&host, "v", "closed/log")).await;
        host.says("CWREPL1024", &answer).await;
    });
}

#[test]
fn a_process_that_may_open_no_more_files() {
    apart(World::NoPrivileges, "system::a_process_that_may_open_no_more_files", async |scratch| {
        let host = Host::in_place("alpha", &Net::default(), &scratch).await;
        let volume = host.volume("v", MIB);
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).expect("may be lowered");
        let answer = host.call("VerifyReplicablePartition", vec![text("PartitionId", &volume)]).await;
        let reason = host.says("CWREPL1013", &answer).await;
        setrlimit(Resource::Nofile, before).expect("may be raised again");
        assert!(reason.message.contains("Too many open files"), "{reason:?}");
        host.done("VerifyReplicablePartition", vec![text("PartitionId", &volume)]).await;
    });
}
