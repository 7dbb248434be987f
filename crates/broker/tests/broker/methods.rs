//! InvokeMethod on providers: how a call is checked and answered.

use crate::house::*;
use cimwright_cim::operation::{Operation, OperationResult, Param};
use cimwright_cim::{CimError, CimStatus, ClassPath, Instance, InstancePath, Value};
use cimwright_jobs::JobsConfig;
use std::time::Duration;

async fn wrong(house: &House, method: &str, params: Vec<Param>) -> CimError {
    house.call(&operator(), &at(V1, service()), method, params).await.unwrap_err()
}

fn work() -> Vec<Param> {
    vec![Param::new("Script", "ok"), Param::new("Label", "w")]
}

#[tokio::test]
async fn parameters_take_the_declared_types() {
    let house = House::open().await;
    let settings = Instance::new("test_settings").with("size", "0x10").with("Path", "/x");
    let params = vec![
        Param::new("count", "3"),
        Param::new("SETTINGS", Value::Instance(Box::new(settings))),
        Param::null("Words", cimwright_cim::CimType::String),
    ];
    let (code, out) = house.call(&operator(), &at(V1, service()), "echo", params).await.unwrap();
    assert_eq!(code, 3);
    let names: Vec<&str> = out.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["Words", "Number"], "in declared order, NULL left out");
    assert_eq!(out[1].value, Some(Value::Uint64(9)));
    assert_eq!(out[1].cim_type, Some(cimwright_cim::CimType::Uint64));
    let words = out[0].value.as_ref().unwrap().as_str().unwrap();
    assert!(words.contains("Uint64(16)") && words.contains("Test_Settings"), "{words}");
}

#[tokio::test]
async fn an_instance_may_come_as_text() {
    let house = House::open().await;
    let text = "<INSTANCE CLASSNAME=\"Test_Settings\"><PROPERTY NAME=\"Size\" TYPE=\"uint64\"><VALUE>5</VALUE></PROPERTY></INSTANCE>";
    let (_, out) = house
        .call(&operator(), &at(V1, service()), "Echo", vec![Param::new("Settings", text)])
        .await
        .unwrap();
    assert!(out[0].value.as_ref().unwrap().as_str().unwrap().contains("Uint64(5)"));
    let error = wrong(&house, "Echo", vec![Param::new("Settings", "nonsense")]).await;
    assert_eq!(error.status, CimStatus::InvalidParameter);
    assert!(error.description.contains("Settings"), "{error}");
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let house = House::open().await;
    let embedded = |i: Instance| Param::new("Settings", Value::Instance(Box::new(i)));
    let mut twice = work();
    twice.push(Param::new("script", "ok"));
    let null = vec![Param::null("Script", cimwright_cim::CimType::String), Param::new("Label", "x")];
    let elsewhere = InstancePath::new(None, "Test_Orphan").with_key("Id", "x");
    let rows: [(&str, Vec<Param>, &[&str]); 9] = [
        ("StartWork", vec![Param::new("Skript", "ok")], &["Skript", "Script, Label, Count, Settings, Disk"]),
        ("StartWork", twice, &["script", "twice"]),
        ("StartWork", vec![Param::new("Script", "ok")], &["Label", "required"]),
        ("StartWork", null, &["Script", "NULL"]),
        ("Echo", vec![Param::new("Count", "70000")], &["Count", "out of range"]),
        ("Echo", vec![Param::new("Words", "x")], &["Words", "output"]),
        ("Echo", vec![embedded(Instance::new("Test_Orphan"))], &["Settings", "Test_Orphan"]),
        ("Echo", vec![embedded(Instance::new("Test_Settings").with("Sise", "1"))], &["Settings", "Sise"]),
        ("StartWork", [work(), vec![Param::new("Disk", elsewhere)]].concat(), &["Disk", "Test_Disk"]),
    ];
    for (method, params, words) in rows {
        let error = wrong(&house, method, params).await;
        assert_eq!(error.status, CimStatus::InvalidParameter, "{error}");
        for word in words {
            assert!(error.description.contains(word), "{word} in {error}");
        }
    }
    assert_eq!(house.jobs.counts().await.unwrap().finished, 0, "nothing was started");
}

#[tokio::test]
async fn a_reference_to_a_subclass_fits() {
    let house = House::open().await;
    let big = InstancePath::new(None, "Test_BigDisk").with_key("Name", "big");
    let params = [work(), vec![Param::new("Disk", big)]].concat();
    assert_eq!(house.call(&operator(), &at(V1, service()), "StartWork", params).await.unwrap().0, 4096);
}

#[tokio::test]
async fn the_target_must_exist_and_have_the_method() {
    let house = House::open().await;
    let absent = at(V1, InstancePath::new(None, "Test_Service").with_key("Name", "other"));
    let orphan = at(V1, InstancePath::new(None, "Test_Orphan").with_key("Id", "x"));
    let unknown = at(V1, InstancePath::new(None, "Nope").with_key("Id", "x"));
    let keyless = at(V1, InstancePath::new(None, "Test_Service"));
    let rows = [
        (&absent, "StartWork", CimStatus::NotFound),
        (&orphan, "Move", CimStatus::MethodNotAvailable),
        (&absent, "Fly", CimStatus::MethodNotFound),
        (&unknown, "Fly", CimStatus::InvalidClass),
        (&keyless, "StartWork", CimStatus::InvalidParameter),
    ];
    for (target, method, status) in rows {
        let params = if method == "StartWork" { work() } else { vec![] };
        let error = house.call(&operator(), target, method, params).await.unwrap_err();
        assert_eq!(error.status, status, "{error}");
    }
}

#[tokio::test]
async fn only_static_methods_are_called_on_the_class() {
    let house = House::open().await;
    let on_class = |method: &str, params| Operation::InvokeMethod {
        target: ClassPath::new(None, "Test_Service").into(),
        method: method.into(),
        params,
    };
    let OperationResult::Method { out, .. } =
        house.ask(&operator(), V1, on_class("Version", vec![])).await.unwrap()
    else {
        panic!("no method answer")
    };
    assert_eq!(out[0].value, Some("of Test_Service".into()));
    let error = house.refused(V1, on_class("StartWork", work())).await;
    assert_eq!(error.status, CimStatus::InvalidParameter);
    assert!(error.description.contains("not static"), "{error}");
    let error = house.refused(V1, on_class("ForbidSilently", vec![])).await;
    assert_eq!(error.status, CimStatus::InvalidParameter);
}

#[tokio::test]
async fn a_refusal_leaves_a_job_to_ask() {
    let house = House::open().await;
    let (code, out) = house.call(&operator(), &at(V2, service()), "Forbid", vec![]).await.unwrap();
    assert_eq!(code, 32778);
    let job = out[0].value.as_ref().unwrap().as_reference().unwrap().as_instance().unwrap().clone();
    let shown = house.get(&job).await.unwrap();
    assert_eq!(shown.get_u64("JobState"), Some(10));
    assert_eq!(shown.get("ErrorCode"), Some(&Value::Uint16(32778)));
    assert_eq!(house.error(&job, "GetErrorEx").await.unwrap().as_array().unwrap().len(), 2);
    let (code, out) = house.call(&operator(), &at(V2, service()), "ForbidSilently", vec![]).await.unwrap();
    assert_eq!((code, out.len()), (32778, 0));
}

#[tokio::test]
async fn a_panicking_provider_costs_one_operation() {
    let house = House::open().await;
    let error = wrong(&house, "Panic", vec![]).await;
    assert_eq!(error.status, CimStatus::Failed);
    house.start(&operator(), V1, "ok", "after").await;
}

#[tokio::test]
async fn a_full_queue_and_a_server_that_ends_take_no_jobs() {
    let house =
        House::with(JobsConfig { max_unfinished: 1, ..JobsConfig::default() }, Default::default()).await;
    let job = house.start(&operator(), V1, "gate", "first").await;
    let error = wrong(&house, "StartWork", work()).await;
    assert_eq!(error.status, CimStatus::ServerLimitsExceeded);
    house.script.end("first", true);
    house.until(&job, 7).await;
    assert!(house.jobs.shut_down(Duration::from_secs(10)).await);
    let error = wrong(&house, "StartWork", work()).await;
    assert_eq!(error.status, CimStatus::ServerIsShuttingDown);
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_nothing() {
    let house = House::open().await;
    let otto = operator();
    let call = house.start(&otto, V1, "ok", "w");
    tokio::select! {
        biased;
        _ = call => panic!("starting a job takes more than one look"),
        () = std::future::ready(()) => {}
    }
    let wait = async {
        while house.jobs.counts().await.unwrap().finished == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
}

/// Methods that are documented to answer with a result do so when their job is quick, and never lose the job when it is not.
#[tokio::test]
async fn a_method_may_wait_for_its_job_and_answer_the_result() {
    let house = House::open().await;
    let call = async |script: &str, milliseconds: u32| {
        let params =
            vec![Param::new("Script", script), Param::new("Milliseconds", Value::Uint32(milliseconds))];
        house.call(&operator(), &at(V2, service()), "WorkWithin", params).await.unwrap()
    };
    let (code, out) = call("ok", 20_000).await;
    assert_eq!((code, out), (0, vec![Param::new("Child", "/images/child.vhdx")]));
    let (code, out) = call("fail", 20_000).await;
    assert_eq!((code, out), (u64::from(broken().code), vec![]));
    let (code, out) = call("gate", 1).await;
    assert_eq!((code, out), (4096, vec![]));
    house.script.end("within", true);
}
