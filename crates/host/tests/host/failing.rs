//! Providers that do everything wrong: each costs its operations a reason, and the server nothing.

use crate::serving::pid;
use crate::{NAMESPACE, actor, provoked};
use cimwright_cim::operation::Param;
use cimwright_cim::{CimError, CimStatus, ErrorDetail, Instance, InstancePath};
use cimwright_host::{Namespaces, ProviderProcess};
use cimwright_jobs::JobState;
use cimwright_sdk::process::frame::{MAX_FRAME, encode};
use cimwright_sdk::process::wire::{FromProvider, Hello};
use cimwright_testkit::{PATIENCE, ProcessSettings, Testkit, reasons};
use rustix::process::{Pid, Signal, kill_process};
use std::sync::Arc;
use std::time::Duration;

fn thing(name: &str) -> InstancePath {
    InstancePath::new(Some(NAMESPACE.into()), "Test_Thing").with_key("Name", name)
}

/// Why a provider is not started, or not taken in.
async fn not_joined(settings: ProcessSettings) -> ErrorDetail {
    let mut namespaces = Namespaces::new();
    match ProviderProcess::start(settings).await {
        Err(reason) => reason,
        Ok(process) => {
            let refused = process.join(&mut namespaces).map(|p| p.name);
            assert!(namespaces.is_empty(), "nothing is added");
            refused.unwrap_err()
        }
    }
}

async fn get(kit: &Testkit) -> Result<Instance, CimError> {
    kit.reader("ann").get(&thing("a")).await
}

#[track_caller]
fn reason<T: std::fmt::Debug>(result: Result<T, CimError>) -> ErrorDetail {
    result.unwrap_err().details.remove(0)
}

#[tokio::test]
async fn a_program_that_does_not_start_is_no_provider() {
    let nowhere = not_joined(ProcessSettings::new("nowhere", "/no/such/program")).await;
    provoked("CWPRV1001", &nowhere);
    assert!(nowhere.message.contains("/no/such/program: No such file"), "{}", nowhere.message);
    let early = not_joined(actor("early end")).await;
    provoked("CWPRV1001", &early);
    assert!(early.message.contains("exit code 3"), "{}", early.message);
    let mut silent = actor("silent");
    silent.start_timeout = Duration::from_millis(200);
    let silent = not_joined(silent).await;
    provoked("CWPRV1001", &silent);
    assert!(silent.message.contains("said nothing within 0.2 seconds"), "{}", silent.message);
    provoked("CWPRV1004", &not_joined(actor("nonsense at once")).await);
}

/// What a program has started must not stay when the program itself is not wanted: every retry would leave one more.
#[tokio::test]
async fn what_a_program_has_started_ends_with_it_even_if_it_is_not_taken_in() {
    let folder = tempfile::tempdir().unwrap();
    let future = crate::actor::hello();
    let future = FromProvider::Hello(Box::new(Hello { versions: vec![7], ..future }));
    let future_path = folder.path().join("future");
    std::fs::write(&future_path, encode(&future).unwrap()).unwrap();
    for (id, what_it_does) in [
        ("CWPRV1004", "printf '\\000\\000\\000\\004what' >&0; wait"),
        ("CWPRV1001", "exit 3"),
        ("CWPRV1007", "cat \"$2\" >&0; wait"),
    ] {
        let helper = folder.path().join(id);
        let mut settings = ProcessSettings::new("script", "/bin/sh");
        settings.start_timeout = PATIENCE;
        let script = format!("sleep 1000 & echo $! > \"$1\"; {what_it_does}");
        settings.args = ["-c".into(), script.into(), "sh".into()].to_vec();
        settings.args.extend([helper.clone().into(), future_path.clone().into()]);
        provoked(id, &not_joined(settings).await);
        let helper = std::fs::read_to_string(helper).unwrap().trim().to_owned();
        let gone = async {
            while is_running(&helper) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, gone).await.is_ok(), "{helper} still runs after {id}");
    }
}

/// Whether there is a process of this number that has not ended; one that nobody has waited for does not count.
fn is_running(process: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

#[tokio::test]
async fn a_program_for_another_server_or_of_greed_is_not_taken_in() {
    for (part, why) in [
        ("future", "it speaks the versions [7]"),
        ("foreign namespace", "declare classes in root/virtualization/v2, which it is not allowed"),
        ("foreign class", "serve CIM_ConcreteJob in root/test, which it does not bring itself"),
        ("overrides", "CIM_Error"),
    ] {
        let reason = not_joined(actor(part)).await;
        provoked("CWPRV1007", &reason);
        assert!(reason.message.contains(why), "{part}: {}", reason.message);
    }
}

#[tokio::test]
async fn two_providers_cannot_have_one_class() {
    let mut namespaces = Namespaces::new();
    let first = ProviderProcess::start(actor("plugin")).await.unwrap();
    first.join(&mut namespaces).unwrap();
    let second = ProviderProcess::start(ProcessSettings { name: "second".into(), ..actor("plugin") }).await;
    let refused = second.unwrap().join(&mut namespaces).map(|p| p.name).unwrap_err();
    provoked("CWPRV1007", &refused);
    assert!(refused.message.contains("Test_Thing"), "{}", refused.message);
}

#[tokio::test]
async fn a_crash_costs_what_was_under_way_and_the_next_operation_works() {
    let kit = Testkit::of_program(actor("plugin")).await;
    let before = pid(&kit).await;
    let ann = kit.operator("ann");
    let job = ann.invoke(thing("a"), "Work", vec![Param::new("How", "wait")]).await.unwrap();
    kit.until(job.job_id(), |r| r.run.steps.len() == 1).await;
    let under_way = ann.invoke(thing("a"), "Act", vec![Param::new("What", "wait")]);
    let killed = async {
        // Once it answers another question, it has the first one too: they go one after the other.
        pid(&kit).await;
        kill_process(Pid::from_raw(before).unwrap(), Signal::KILL).unwrap();
    };
    let (under_way, ()) = tokio::join!(under_way, killed);
    let reason = reason(under_way);
    provoked("CWPRV1002", &reason);
    assert!(reason.message.contains("Test_Thing.Act (signal 9"), "{}", reason.message);

    let record = kit.end_of(&job).await;
    assert_eq!(record.run.state, JobState::Exception);
    provoked("CWPRV1002", reasons(&record)[0]);
    assert_eq!(record.run.undo_errors, [], "it was undone by the process that came after");
    assert_ne!(pid(&kit).await, before);
    let well = ann.invoke(thing("a"), "Work", vec![Param::new("How", "well")]).await.unwrap();
    assert_eq!(kit.end_of(&well).await.run.state, JobState::Completed);
}

#[tokio::test]
async fn a_crash_while_undoing_one_step_does_not_keep_the_others_from_being_undone() {
    let kit = Testkit::of_program(actor("plugin")).await;
    let die = vec![Param::new("How", "die undoing")];
    let called = kit.operator("ann").invoke(thing("a"), "Work", die).await.unwrap();
    let record = kit.end_of(&called).await;
    assert_eq!(record.run.state, JobState::Exception);
    // The second crash in a row is what a rest follows; the first step is undone after it.
    let trouble = &record.run.undo_errors;
    assert_eq!(trouble.len(), 2, "{trouble:?}");
    for (trouble, step) in trouble.iter().zip(["last", "second"]) {
        let reason = trouble.cause.as_deref().unwrap();
        provoked("CWPRV1002", reason);
        assert!(reason.message.contains(&format!("step \"{step}\"")), "{}", reason.message);
    }
}

#[tokio::test]
async fn a_provider_that_kills_itself_again_and_again_is_left_alone_for_a_while() {
    let kit = Testkit::of_program(actor("plugin")).await;
    let mut last = None;
    for _ in 0..3 {
        let ann = kit.operator("ann");
        let die = ann.invoke(thing("a"), "Work", vec![Param::new("How", "die")]).await;
        match die {
            Ok(job) => {
                let record = kit.end_of(&job).await;
                provoked("CWPRV1002", reasons(&record)[0]);
            }
            Err(error) => last = Some(error),
        }
    }
    // It answers before it dies, which counts in its favour.
    assert_eq!(last, None);

    let kit = Testkit::of_program(actor("nonsense")).await;
    provoked("CWPRV1004", &reason(get(&kit).await));
    provoked("CWPRV1004", &reason(get(&kit).await));
    let resting = reason(get(&kit).await);
    provoked("CWPRV1006", &resting);
    assert!(resting.message.contains("failed 2 times in a row"), "{}", resting.message);
    provoked("CWPRV1004", resting.cause.as_deref().unwrap());
}

#[tokio::test]
async fn nonsense_ends_the_process() {
    for (part, why) in [
        ("nonsense", "a message cannot be understood"),
        ("unasked", "which is not under way"),
        ("misplaced", "its answer to an instance of Test_Thing is one to something else"),
    ] {
        let kit = Testkit::of_program(actor(part)).await;
        let reason = reason(get(&kit).await);
        provoked("CWPRV1004", &reason);
        assert!(reason.message.contains(why), "{part}: {}", reason.message);
    }
}

#[tokio::test]
async fn what_a_provider_sends_is_bounded() {
    let kit = Testkit::of_program(actor("too long")).await;
    provoked("CWPRV1005", &reason(get(&kit).await));
    let kit = Testkit::of_program(actor("pushy")).await;
    // The first portion was asked for; whether it arrives before the verdict does not matter.
    let pushy = reason(kit.reader("ann").enumerate(NAMESPACE, "Test_Thing").await);
    provoked("CWPRV1005", &pushy);
    assert!(pushy.message.contains("not asked for"), "{}", pushy.message);
}

#[tokio::test]
async fn a_set_that_is_needed_whole_is_bounded() {
    let mut namespaces = Namespaces::new();
    let process = ProviderProcess::start(actor("endless")).await.unwrap();
    let plugin = process.join(&mut namespaces).unwrap();
    let provider = plugin.classes[0].instances.clone().unwrap();
    let (namespace, schema) = &namespaces[0];
    let principal = cimwright_sdk::Principal::authenticated("ann", cimwright_sdk::Role::Reader);
    let context = cimwright_sdk::Context { principal: &principal, namespace, schema };
    let whole = provider.enumerate(context, &"Test_Thing".into()).await;
    let reason = reason(whole.map(|all| all.len()));
    provoked("CWPRV1005", &reason);
    assert!(reason.message.contains("needed at once"), "{}", reason.message);
}

#[tokio::test]
async fn a_job_has_so_many_steps_and_no_more() {
    let kit = Testkit::of_program(actor("plugin")).await;
    let before = pid(&kit).await;
    let work = async |how: &str| {
        let called = kit.operator("ann").invoke(thing("a"), "Work", vec![Param::new("How", how)]).await;
        kit.end_of(&called.unwrap()).await
    };
    let many = work("many steps").await;
    assert_eq!(many.run.state, JobState::Completed, "{:?}", many.run.errors);
    let too_many = work("too many steps").await;
    assert_eq!(too_many.run.state, JobState::Exception);
    provoked("CWPRV1005", reasons(&too_many)[0]);
    assert!(reasons(&too_many)[0].message.contains("257 steps"), "{}", reasons(&too_many)[0].message);
    assert_eq!(pid(&kit).await, before, "it costs the job, not the process");
}

#[tokio::test]
async fn a_request_that_is_too_long_is_not_sent() {
    let kit = Testkit::of_program(actor("plugin")).await;
    let before = pid(&kit).await;
    let long = Param::new("What", "x".repeat(MAX_FRAME));
    provoked("CWPRV1008", &reason(kit.operator("ann").invoke(thing("a"), "Act", vec![long]).await));
    assert_eq!(pid(&kit).await, before, "the process has seen nothing of it");
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_given_up() {
    let mut settings = actor("plugin");
    settings.call_timeout = Duration::from_millis(300);
    let kit = Testkit::of_program(settings).await;
    let ann = kit.operator("ann");
    let late = reason(ann.invoke(thing("a"), "Act", vec![Param::new("What", "wait")]).await);
    provoked("CWPRV1003", &late);
    assert!(late.message.contains("Test_Thing.Act within 0.3 seconds"), "{}", late.message);
}

#[tokio::test]
async fn a_process_that_does_not_listen_any_more_is_ended() {
    let mut settings = actor("deaf");
    settings.call_timeout = Duration::from_millis(200);
    let kit = Testkit::of_program(settings).await;
    provoked("CWPRV1003", &reason(get(&kit).await));
    // Later calls fare no better, until it is ended and one of them learns why.
    let ended = async {
        loop {
            let reason = reason(get(&kit).await);
            if reason.message_id == "CWPRV1002" {
                return reason;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert!(ended.message.contains("did not listen any more"), "{}", ended.message);
}

/// The process is ended ten seconds after a cancellation that it does not answer. Of these it never hears, so there is none to answer.
#[tokio::test]
async fn a_process_is_not_ended_for_calls_that_were_given_up_while_there_was_no_room_for_them() {
    let mut settings = actor("plugin");
    settings.call_timeout = PATIENCE * 5;
    let kit = Arc::new(Testkit::of_program(settings).await);
    let before = pid(&kit).await;
    let process = Pid::from_raw(before).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    // More than the queue and the socket hold.
    let ask = || {
        let kit = Arc::clone(&kit);
        async move { kit.reader("ann").get(&thing(&"x".repeat(1 << 19))).await }
    };
    let patient: Vec<_> = (0..76).map(|_| tokio::spawn(ask())).collect();
    // In their own tasks, which come behind those of the others.
    let brief = Duration::from_secs(2);
    let given_up: Vec<_> = (0..4).map(|_| tokio::spawn(tokio::time::timeout(brief, ask()))).collect();
    for call in given_up {
        assert!(call.await.unwrap().is_err(), "the process is stopped");
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    kill_process(process, Signal::CONT).unwrap();
    for answer in patient {
        assert_eq!(answer.await.unwrap().unwrap_err().status, CimStatus::NotFound);
    }
    assert_eq!(pid(&kit).await, before, "it is the same process");
}

#[tokio::test]
async fn a_program_that_was_replaced_is_not_taken_for_the_old_one() {
    let kit = Testkit::of_program(actor("fickle")).await;
    // It answers once, and goes.
    assert_eq!(get(&kit).await.unwrap_err().details, []);
    let other = async {
        loop {
            let error = get(&kit).await.unwrap_err();
            // Until its end has been noticed, it is the old one that is asked.
            if let Some(reason) = error.details.first().filter(|r| r.message_id != "CWPRV1002") {
                return reason.clone();
            }
        }
    };
    let reason = tokio::time::timeout(PATIENCE, other).await.unwrap();
    provoked("CWPRV1007", &reason);
    assert!(reason.message.contains("something else than it said"), "{}", reason.message);
}
