//! A good plugin in a process of its own does what it does within the server.

use crate::plugin::{self, plugin};
use crate::{NAMESPACE, actor, provoked};
use cimwright_cim::operation::{InstanceOptions, Operation, Param};
use cimwright_cim::{CimStatus, ErrorDetail, Instance, InstancePath, Value};
use cimwright_jobs::{JobState, RequestedState};
use cimwright_testkit::{Called, Testkit, assert_reason, assert_refused};
use std::os::unix::fs::PermissionsExt;

/// The plugin within the server, and outside.
async fn kits() -> [Testkit; 2] {
    [Testkit::of(plugin()).await, Testkit::of_program(actor("plugin")).await]
}

fn thing(name: &str) -> InstancePath {
    InstancePath::new(Some(NAMESPACE.into()), "Test_Thing").with_key("Name", name)
}

async fn work(kit: &Testkit, how: &str) -> Called {
    kit.operator("ann").invoke(thing("a"), "Work", vec![Param::new("How", how)]).await.unwrap()
}

#[tokio::test]
async fn instances_are_seen_made_changed_and_removed() {
    for kit in kits().await {
        let (admin, reader) = (kit.administrator(), kit.reader("ann"));
        let all = reader.enumerate(NAMESPACE, "CIM_LogicalElement").await.unwrap();
        assert_eq!(all.iter().map(|i| i.get_str("Name").unwrap()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(reader.get(&thing("b")).await.unwrap().get_u64("Size"), Some(8));
        assert_eq!(reader.get(&thing("c")).await.unwrap_err().status, CimStatus::NotFound);
        let new = Instance::new("Test_Thing").with("Name", "c");
        assert_eq!(admin.create(NAMESPACE, new.clone()).await.unwrap(), thing("c"));
        assert_eq!(
            reader.get(&thing("c")).await.unwrap().get_u64("Size"),
            Some(7),
            "the default of the class"
        );
        let twice = admin.create(NAMESPACE, new).await;
        assert_eq!(twice.as_ref().unwrap_err().status, CimStatus::AlreadyExists);
        assert_eq!(assert_refused(twice, "TEST1001"), plugin::full());
        let mut bigger = Instance::new("Test_Thing").with("Size", Value::Uint32(9));
        bigger.path = Some(thing("c"));
        admin.modify(bigger).await.unwrap();
        assert_eq!(reader.get(&thing("c")).await.unwrap().get_u64("Size"), Some(9));
        admin.delete(&thing("c")).await.unwrap();
        assert_eq!(reader.get(&thing("c")).await.unwrap_err().status, CimStatus::NotFound);
        let denied = kit.operator("ann").delete(&thing("a")).await;
        assert_eq!(denied.unwrap_err().status, CimStatus::AccessDenied);
    }
}

#[tokio::test]
async fn parameters_of_every_type_go_there_and_back() {
    let object = Instance::new("CIM_Error").with("Message", "<&>");
    let time: cimwright_cim::DateTime = "20261122010203.000004+060".parse().unwrap();
    let given = [
        ("Number", Value::Sint64(i64::MIN)),
        ("Time", Value::from(time)),
        ("Words", Value::Array(vec![Some("a".into()), None, Some("é".into())])),
        ("Thing", Value::from(thing("b"))),
        ("Object", Value::Instance(Box::new(object))),
        ("Real", Value::Real64(-0.1)),
        ("Letter", Value::Char16(0x20ac)),
    ];
    for kit in kits().await {
        let params = given.iter().map(|(name, value)| Param::new(*name, value.clone())).collect();
        let called = kit.operator("ann").invoke(thing("a"), "Echo", params).await.unwrap();
        assert_eq!(called.return_value, Some(9));
        assert_eq!(called.get("User"), Some(&Value::from("ann (operator)")));
        for (name, value) in &given {
            let back = called.get(&format!("{name}Out")).unwrap();
            match (back, value) {
                // An embedded instance comes back with every property of its class.
                (Value::Instance(back), Value::Instance(_)) => {
                    assert_eq!(back.get_str("Message"), Some("<&>"))
                }
                _ => assert_eq!(back, value, "{name}"),
            }
        }
    }
}

#[tokio::test]
async fn an_error_comes_with_everything_that_is_known() {
    for kit in kits().await {
        let act = |what: &str| {
            let (ann, what) = (kit.operator("ann"), Param::new("What", what));
            async move { ann.invoke(thing("a"), "Act", vec![what]).await }
        };
        let error = act("unknown").await.unwrap_err();
        assert_eq!((error.status, error.description.as_str()), (CimStatus::NotFound, "there is no unknown"));
        assert_eq!(error.details, [plugin::full().about("x").because(plugin::full())]);
    }
}

#[tokio::test]
async fn more_instances_than_memory_should_hold_come_portion_by_portion() {
    for kit in kits().await {
        let options = InstanceOptions::default();
        let operation = Operation::EnumerateInstances { class: "Test_Many".into(), deep: true, options };
        let request = cimwright_cim::operation::Request { namespace: NAMESPACE.into(), operation };
        let reader = cimwright_sdk::Principal::authenticated("ann", cimwright_sdk::Role::Reader);
        let answer = kit.broker().execute(&reader, request).await.unwrap();
        let cimwright_broker::Answer::Stream(mut stream) = answer else { panic!("no stream") };
        let (mut count, mut largest) = (0, 0);
        while let Some(portion) = stream.next().await.unwrap() {
            count += portion.len();
            largest = largest.max(portion.len());
        }
        assert_eq!(count, 640);
        assert!(largest <= 16, "{largest}");
        // One that is given up in the middle disturbs nobody.
        let half = kit.reader("ann").get(&thing("a")).await;
        assert!(half.is_ok());
    }
}

#[tokio::test]
async fn jobs_run_there_and_are_kept_here() {
    for kit in kits().await {
        let called = work(&kit, "well").await;
        let job = kit.end_of(&called).await;
        assert_eq!(job.run.state, JobState::Completed, "{:?}", job.run.errors);
        assert_eq!(job.run.steps[0].output, "from ann");
        let shown = kit.reader("ann").get(called.job()).await.unwrap();
        assert_eq!(shown.get_str("Found"), Some("from ann"));

        let job = kit.end_of(&work(&kit, "fail").await).await;
        assert_eq!(job.run.state, JobState::Exception);
        let reason = assert_reason(&job, "TEST1001");
        assert_eq!(*reason, plugin::full().because(plugin::full()));
        assert_eq!(job.run.undo_errors.len(), 1, "the first step could not be undone");
        assert_reason(&*kit.end_of(&work(&kit, "no steps").await).await, "TEST1001");

        let refused = work(&kit, "refused").await;
        assert_eq!(refused.return_value, Some(32778));
        assert_reason(&*kit.end_of(&refused).await, "TEST1001");
    }
}

#[tokio::test]
async fn a_job_is_paused_resumed_stopped_and_killed() {
    for kit in kits().await {
        for (ending, state) in
            [(RequestedState::Terminate, JobState::Terminated), (RequestedState::Kill, JobState::Killed)]
        {
            let called = work(&kit, "wait").await;
            let id = called.job_id();
            let change = |wanted: RequestedState| {
                let (ann, job) = (kit.operator("ann"), called.job().clone());
                let wanted = Param::new("RequestedState", Value::Uint16(wanted.code()));
                async move { ann.invoke(job, "RequestStateChange", vec![wanted]).await.unwrap() }
            };
            kit.until(id, |r| r.run.status.starts_with("Working") && r.run.steps.len() == 1).await;
            change(RequestedState::Suspend).await;
            kit.until(id, |r| r.run.state == JobState::Suspended).await;
            change(RequestedState::Start).await;
            kit.until(id, |r| r.run.state == JobState::Running).await;
            change(ending).await;
            assert_eq!(kit.end_of(&called).await.run.state, state);
        }
        // The process has lived through it.
        assert_eq!(kit.end_of(&work(&kit, "well").await).await.run.state, JobState::Completed);
    }
}

#[tokio::test]
async fn what_is_raised_there_is_told_here() {
    let kit = Testkit::of_program(actor("plugin")).await;
    let ann = kit.operator("ann");
    ann.invoke(thing("a"), "Act", vec![Param::new("What", "raise")]).await.unwrap();
    let raised = kit.raised();
    assert_eq!((raised.len(), raised[0].0.as_str()), (1, NAMESPACE));
    assert_eq!(raised[0].1.get_str("Text"), Some("it is hot"));
    let elsewhere = ann.invoke(thing("a"), "Act", vec![Param::new("What", "raise elsewhere")]).await;
    assert_eq!(elsewhere.unwrap_err().status, CimStatus::AccessDenied);
    assert_eq!(kit.raised().len(), 1);
}

#[tokio::test]
async fn a_panic_costs_one_operation_and_not_the_process() {
    let kit = Testkit::of_program(actor("plugin")).await;
    let pid = pid(&kit).await;
    let ann = kit.operator("ann");
    let reason =
        assert_refused(ann.invoke(thing("a"), "Act", vec![Param::new("What", "panic")]).await, "CWSDK1001");
    provoked("CWSDK1001", &reason);
    assert!(reason.message.contains("as the test wants"), "{}", reason.message);
    let job = kit.end_of(&work(&kit, "panic").await).await;
    provoked("CWSDK1001", first(&job));
    assert_eq!(self::pid(&kit).await, pid, "it is the same process");
}

#[tokio::test]
async fn a_step_that_is_not_there_any_more_is_named() {
    let kit = Testkit::of_program(actor("plugin")).await;
    let job = kit.end_of(&work(&kit, "no such step").await).await;
    provoked("CWSDK1002", first(&job));
}

pub(crate) async fn pid(kit: &Testkit) -> i32 {
    let thing = kit.reader("ann").get(&thing("a")).await.unwrap();
    i32::try_from(thing.get_u64("Pid").unwrap()).unwrap()
}

fn first(job: &cimwright_jobs::JobRecord) -> &ErrorDetail {
    cimwright_testkit::reasons(job)[0]
}

/// The value of a line of /proc/PID/status.
fn status(pid: i32, line: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = text.lines().find_map(|l| l.strip_prefix(line)).unwrap();
    found.trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_process_has_its_own_user_and_no_way_to_more_privileges() {
    const NOBODY: u32 = 65534;
    let kit = Testkit::of_program(actor("plugin")).await;
    assert_eq!(status(pid(&kit).await, "NoNewPrivs"), "1");

    let mut settings = actor("plugin");
    settings.user = Some((NOBODY, NOBODY));
    if !rustix::process::geteuid().is_root() {
        let refused = cimwright_host::ProviderProcess::start(settings).await.err().unwrap();
        assert!(refused.message.contains("Operation not permitted"), "{}", refused.message);
        return;
    }
    // Where anybody may run it.
    let directory = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap();
    let program = directory.path().join("actor");
    std::fs::copy(&settings.program, &program).unwrap();
    settings.program = program;
    let kit = Testkit::of_program(settings).await;
    let pid = pid(&kit).await;
    assert_eq!(status(pid, "Uid"), "65534 65534 65534 65534");
    assert_eq!(status(pid, "Gid"), "65534 65534 65534 65534");
    assert_eq!(status(pid, "Groups"), "");
}
