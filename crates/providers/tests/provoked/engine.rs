//! What the engine itself, or its start, can go wrong with.
//!
//! Where the failure needs broken hardware or another version of the engine, a script starts the real engine with its own fault
//! injection or with the arguments that it refuses; the job, the confinement and the words are the real ones.

use super::harness::{Answer, By, DYNAMIC, FIXED, House, MIB, conversion, new_disk, on, policy, program};
use super::images::cut;
use cimwright_providers::disk::engine::EnginePolicy;
use cimwright_providers::hyper_v;
use cimwright_sdk::NewJob;
use std::process::Command;

/// Takes the arguments of a conversion apart: `$from`, `$to`, `$with`, and source and target as `$1` and `$2`.
const APART: &str = r#"
[ "$1" = convert ] || exec "$QEMU" "$@"
while [ $# -gt 2 ]; do
    case $1 in -f) from=$2; shift;; -O) to=$2; shift;; -o) with=$2; shift;; esac
    shift
done
faulty=file.driver=blkdebug,file.image.driver=file,file.inject-error.0.event=none,file.inject-error.0.sector=8192
"#;

#[tokio::test]
async fn a_source_on_a_device_that_fails() {
    let script = "exec \"$QEMU\" convert -p ${with:+-o \"$with\"} -O $to --image-opts \
        \"driver=$from,$faulty,file.inject-error.0.iotype=read,file.image.filename=$1\" \"$2\"";
    let house = House::with_script(&format!("{APART}{script}")).await;
    let source = house.raw("a.raw", 8 * MIB);
    for name in ["b.vhdx", "b.vhd"] {
        let answer =
            house.call("ConvertVirtualHardDisk", conversion(&source, &house.path(name), DYNAMIC)).await;
        house.provoked("CWDISK1007", &answer, &source, By::Engine);
        let reason = &answer.job.as_ref().expect("a job").run.errors[0];
        assert_eq!(reason.arguments[1..], ["byte 4194304", "Input/output error"]);
    }
}

#[tokio::test]
async fn a_target_on_a_device_that_fails() {
    let script = "truncate -s 8M \"$2\"; exec \"$QEMU\" convert -p -n -f $from --target-image-opts \"$1\" \
        \"driver=$to,$faulty,file.inject-error.0.iotype=write,file.image.filename=$2\"";
    let house = House::with_script(&format!("{APART}{script}")).await;
    let (source, target) = (house.raw("a.raw", 8 * MIB), house.path("b.raw"));
    let answer = house.call("ConvertVirtualHardDisk", conversion(&source, &target, DYNAMIC)).await;
    house.provoked("CWDISK1037", &answer, &target, By::Engine);
    let reason = &answer.job.as_ref().expect("a job").run.errors[0];
    assert_eq!(reason.arguments[1..], ["byte 4194304", "Input/output error"]);
}

/// Another version of the engine knows other options, types and formats.
#[tokio::test]
async fn arguments_that_the_engine_does_not_know() {
    let creating = |more: &str| format!("[ \"$1\" = create ] && set -- \"$@\" {more}\nexec \"$QEMU\" \"$@\"");
    let house = House::with_script(&creating("-o colour=red")).await;
    let path = house.path("a.vhdx");
    let answer = house.call("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB)).await;
    house.provoked("CWDISK1027", &answer, &path, By::Engine);

    let house = House::with_script(&creating("-o subformat=round")).await;
    let path = house.path("a.vhd");
    let answer = house.call("CreateVirtualHardDisk", new_disk(&path, FIXED, MIB)).await;
    house.provoked("CWDISK1028", &answer, &path, By::Engine);

    let house = House::with_script(&creating("-f fancy")).await;
    let path = house.path("a.qcow2");
    let answer = house.call("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB)).await;
    house.provoked("CWDISK1029", &answer, &path, By::Engine);
}

/// The sizes of sources are not known to be impossible for a target before the engine says so.
#[tokio::test]
async fn a_source_too_large_for_the_target() {
    let house = House::new().await;
    let (source, target) = (house.raw("a.raw", MIB), house.path("b.vhd"));
    cut(&source, 3 << 40);
    for kind in [DYNAMIC, FIXED] {
        let answer = house.call("ConvertVirtualHardDisk", conversion(&source, &target, kind)).await;
        house.provoked("CWDISK1032", &answer, &target, By::Server);
    }
}

#[tokio::test]
async fn an_engine_that_somebody_kills() {
    let house = House::slow("2M").await;
    let (source, target) = (house.vhdx("a.vhdx"), house.path("b.vhd"));
    let before = house.files();
    let id = house.begin("ConvertVirtualHardDisk", conversion(&source, &target, FIXED)).await;
    house.until(id, "some progress", |record| record.run.progress.done > 0).await;
    house.running_engine(&id.to_string()).await.kill();
    let answer = house.ended(before, id).await;
    house.provoked("CWDISK1035", &answer, &target, By::Engine);
    assert_eq!(answer.job.expect("a job").run.errors[0].arguments[1], "9");
}

#[tokio::test]
async fn an_engine_that_fails_without_a_word() {
    let house = House::with_engine(policy("/bin/false")).await;
    let (source, target) = (house.vhdx("a.vhdx"), house.path("b.vhd"));
    let answer = house.call("ConvertVirtualHardDisk", conversion(&source, &target, DYNAMIC)).await;
    house.provoked("CWDISK1036", &answer, &source, By::Engine);
    let answer = house.call("CreateVirtualHardDisk", new_disk(&target, FIXED, MIB)).await;
    house.provoked("CWDISK1036", &answer, &target, By::Engine);
    let answer = house.call("GetVirtualHardDiskState", on(&source)).await;
    house.provoked("CWDISK1036", &answer, &source, By::Engine);
}

#[tokio::test]
async fn an_engine_whose_answer_makes_no_sense() {
    let house = House::with_engine(policy("/bin/true")).await;
    let source = house.vhd("a.vhd");
    let answer = house.call("ValidateVirtualHardDisk", on(&source)).await;
    house.provoked("CWDISK1036", &answer, &source, By::Engine);
}

/// The last cause is what the engine printed, word for word.
#[tokio::test]
async fn the_words_of_the_engine() {
    let house = House::new().await;
    let path = house.vhdx("a.vhdx");
    cut(&path, 6_000_000);
    let answer = house.call("ValidateVirtualHardDisk", on(&path)).await;
    let by_hand = Command::new(program())
        .args(["check", "--output=json", "-f", "vhdx", &path])
        .env("LC_ALL", "C")
        .output()
        .expect("qemu-img is installed");
    let words = String::from_utf8_lossy(&by_hand.stderr).trim().replace('\n', " / ");
    let code = by_hand.status.code().expect("a code").to_string();
    house.caused("CWDISK1901", &answer, &["qemu-img".to_owned(), code, words]);
}

impl House {
    /// Asserts that the innermost cause of a failure is this entry with these arguments.
    fn caused(&self, id: &str, answer: &Answer, arguments: &[String]) {
        let job = answer.job.as_ref().expect("a job");
        let reasons = job.reported_errors();
        let (first, last) = (reasons[0], reasons[reasons.len() - 1]);
        assert!(reasons.len() > 1 && first.message_id != id);
        assert_eq!((last.message_id.as_str(), last.arguments.as_slice()), (id, arguments));
        assert!(arguments.iter().all(|argument| last.message.contains(argument)), "{}", last.message);
    }
}

#[tokio::test]
async fn an_engine_that_is_not_installed() {
    let house = House::with_engine(policy("/usr/bin/no-such-qemu-img")).await;
    let (source, target) = (house.raw("a.raw", MIB), house.path("b.vhd"));
    let answer = house.call("ConvertVirtualHardDisk", conversion(&source, &target, DYNAMIC)).await;
    house.provoked("CWDISK1201", &answer, &source, By::Server);
    let answer = house.call("CreateVirtualHardDisk", new_disk(&target, FIXED, MIB)).await;
    house.provoked("CWDISK1201", &answer, &target, By::Server);
    let answer = house.call("GetVirtualHardDiskSettingData", on(&source)).await;
    house.refused("CWDISK1201", &answer, &source);
}

#[tokio::test]
async fn a_machine_without_memory_for_another_process() {
    // Not even the shell before the engine fits.
    let house = House::with_engine(EnginePolicy { memory_limit_bytes: 4096, ..policy(program()) }).await;
    let path = house.path("a.vhdx");
    let answer = house.call("CreateVirtualHardDisk", new_disk(&path, DYNAMIC, MIB)).await;
    house.provoked("CWDISK1203", &answer, &path, By::Server);
}

#[tokio::test]
async fn an_engine_that_needs_more_memory_than_it_may_have() {
    // The shell fits. Then it is the engine's libraries that do not, or its threads.
    for mebibytes in [8, 18] {
        let policy = EnginePolicy { memory_limit_bytes: mebibytes * MIB, ..policy(program()) };
        let house = House::with_engine(policy).await;
        let (source, target) = (house.raw("a.raw", MIB), house.path("b.vhdx"));
        let answer = house.call("ConvertVirtualHardDisk", conversion(&source, &target, DYNAMIC)).await;
        house.provoked("CWDISK1205", &answer, &source, By::Engine);
        let answer = house.call("CreateVirtualHardDisk", new_disk(&target, FIXED, MIB)).await;
        house.provoked("CWDISK1205", &answer, &target, By::Engine);
    }
}

#[tokio::test]
async fn jobs_stored_by_another_version() {
    let house = House::new().await;
    for kind in ["disk.create", "disk.convert", "disk.compact", "disk.resize", "disk.validate"] {
        for payload in ["", "{", "{}", "[1,2]", r#"{"path":"/x","format":"vhd2","layout":null,"size":-1}"#] {
            let before = house.files();
            let job = NewJob {
                family: hyper_v::STORAGE,
                kind,
                payload: payload.to_owned(),
                name: "Old job".to_owned(),
                ..NewJob::default()
            };
            let id = house.start(job).await;
            let answer = house.ended(before, id).await;
            house.provoked("CWDISK1204", &answer, "Old job", By::Server);
        }
    }
}
