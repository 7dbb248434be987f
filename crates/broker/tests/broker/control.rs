//! A job from its start to its end, and the methods that control it.

use crate::house::*;
use cimwright_cim::operation::Param;
use cimwright_cim::{CimStatus, DateTime, Instance, Value};
use cimwright_jobs::{JobRecord, JobSettings, JobSpec, JobState, JobStore, JobsConfig};
use std::time::{Duration, UNIX_EPOCH};

const START: u16 = 2;
const SUSPEND: u16 = 3;
const TERMINATE: u16 = 4;
const KILL: u16 = 5;
const SERVICE: u16 = 6;

fn text_of(value: &Value) -> &Instance {
    match value {
        Value::InstanceText(instance) => instance,
        other => panic!("not the text of an instance: {other:?}"),
    }
}

#[tokio::test]
async fn the_path_of_a_started_job_works_at_once_in_every_namespace() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "gate", "w").await;
    assert_eq!(job.namespace, Some(V1.into()));
    assert!(job.class.is("Msvm_StorageJob"));
    let first = house.get(&job).await.unwrap();
    assert_eq!(first.get_str("InstanceID"), job.key_str("InstanceID"));
    assert_eq!(first.get_str("Owner"), Some("otto"));
    assert_eq!(first.get_str("Name"), Some("w"));
    assert_eq!(first.get("Type"), Some(&Value::Uint16(6)));
    assert_eq!(first.path.as_ref(), Some(&job));
    let second = house.get(&seen_in(V2, "Msvm_StorageJob", &job)).await.unwrap();
    assert_eq!(second.get("JobType"), Some(&Value::Uint16(6)));
    assert!(second.property("Type").is_none());
    assert_eq!(second.get_str("Caption"), Some("The work w"));
    let third = house.get(&seen_in(DMTF, "Test_Job", &job)).await.unwrap();
    assert!(third.property("Cancellable").is_none());
    house.script.end("w", true);
}

#[tokio::test]
async fn a_job_that_ends_well_has_no_error() {
    let house = House::open().await;
    let job = house.start(&operator(), V2, "gate", "w").await;
    let running = house.until(&job, 4).await;
    assert_eq!(running.get("OperationalStatus"), Some(&Value::uint16s([2])));
    assert_eq!(running.get("ErrorCode"), Some(&Value::Uint16(0)));
    assert_eq!(running.get("Cancellable"), Some(&Value::Boolean(true)));
    for method in ["GetError", "GetErrorEx"] {
        assert_eq!(house.error(&job, method).await, None, "{method} while the job runs");
    }
    house.script.end("w", true);
    let ended = house.until(&job, 7).await;
    assert_eq!(ended.get("OperationalStatus"), Some(&Value::uint16s([2, 17])));
    assert_eq!(ended.get("StatusDescriptions"), Some(&Value::strings(["OK", "Completed"])));
    assert_eq!(ended.get("PercentComplete"), Some(&Value::Uint16(100)));
    assert_eq!(ended.get("ErrorCode"), Some(&Value::Uint16(0)));
    assert_eq!(ended.get("ErrorDescription"), None);
    assert_eq!(ended.get("ErrorSummaryDescription"), None);
    assert_eq!(ended.get("JobCompletionStatusCode"), Some(&Value::Uint32(0)));
    assert_eq!(ended.get_str("Child"), Some("/images/child.vhdx"));
    assert_eq!(ended.get("Cancellable"), Some(&Value::Boolean(false)));
    assert!(matches!(ended.get("TimeOfLastStateChange"), Some(Value::DateTime(DateTime::Timestamp { .. }))));
    for method in ["GetError", "GetErrorEx"] {
        assert_eq!(house.error(&job, method).await, None, "{method} after success");
    }
    assert_eq!(house.error(&seen_in(DMTF, "Test_Job", &job), "GetErrors").await, None);
}

#[tokio::test]
async fn one_failure_has_the_face_of_each_dialect() {
    let house = House::open().await;
    let v1 = house.start(&operator(), V1, "fail", "w").await;
    let shown = house.until(&v1, 10).await;
    assert_eq!(shown.get("ErrorCode"), Some(&Value::Uint16(32778)));
    assert_eq!(shown.get_str("ErrorDescription"), Some("The work broke."));
    assert_eq!(shown.get("OperationalStatus"), Some(&Value::uint16s([6, 17])));

    let error = house.error(&v1, "GetError").await.unwrap();
    let error = text_of(&error);
    assert!(error.class.is("CIM_Error"));
    assert_eq!(error.path, None);
    assert_eq!(error.get_str("MessageID"), Some("TEST1001"));
    assert_eq!(error.get("PerceivedSeverity"), Some(&Value::Uint16(4)), "High of 2 to 5");
    assert_eq!(error.get("CIMStatusCode"), Some(&Value::Uint32(27)));
    assert_eq!(error.get("ErrorSourceFormat"), Some(&Value::Uint16(2)));
    let source =
        format!("root/virtualization:Msvm_StorageJob.InstanceID=\"{}\"", v1.key_str("InstanceID").unwrap());
    assert_eq!(error.get_str("ErrorSource"), Some(source.as_str()));

    let v2 = seen_in(V2, "Msvm_StorageJob", &v1);
    let summary = house.get(&v2).await.unwrap();
    let summary = summary.get_str("ErrorSummaryDescription").unwrap();
    assert_eq!(summary, "The work broke. Because: The disk is full. What to do: Try again.");
    let error = house.error(&v2, "GetError").await.unwrap();
    let error = text_of(&error);
    assert!(error.class.is("Msvm_Error"));
    assert_eq!(error.get("CIMStatusCode"), Some(&Value::Uint32(1)), "Msvm_Error of v2 stops at 20");
    assert_eq!(error.get_str("CIMStatusCodeDescription"), Some("CIM_ERR_SERVER_LIMITS_EXCEEDED"));
    let errors = house.error(&v2, "GetErrorEx").await.unwrap();
    let ids: Vec<&str> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|e| text_of(e.as_ref().unwrap()).get_str("MessageID").unwrap())
        .collect();
    assert_eq!(ids, ["TEST1001", "TEST1002"], "outermost first");
    let inner = text_of(errors.as_array().unwrap()[1].as_ref().unwrap());
    assert_eq!(inner.get_str("ErrorSource"), Some("/dev/x"));
    assert_eq!(inner.get("ErrorSourceFormat"), Some(&Value::Uint16(1)));

    let dmtf = seen_in(DMTF, "Test_Job", &v1);
    let error = house.error(&dmtf, "GetError").await.unwrap();
    let Value::Instance(error) = error else { panic!("not embedded: {error:?}") };
    assert_eq!(error.get("PerceivedSeverity"), Some(&Value::Uint16(6)), "Critical of 0 to 7");
    let errors = house.error(&dmtf, "GetErrors").await.unwrap();
    assert_eq!(errors.as_array().unwrap().len(), 2);
    assert!(matches!(errors.as_array().unwrap()[0], Some(Value::Instance(_))));
}

#[tokio::test]
async fn a_stopped_job_tells_who_stopped_it() {
    let house = House::open().await;
    for (wanted, state, id) in [(TERMINATE, 8, "CWJOB1001"), (KILL, 9, "CWJOB1002")] {
        let job = house.start(&operator(), V2, "gate", &format!("w{wanted}")).await;
        house.until(&job, 4).await;
        assert_eq!(house.change(&operator(), &job, wanted, None).await, 0);
        let ended = house.until(&job, state).await;
        assert_eq!(ended.get("OperationalStatus"), Some(&Value::uint16s([10, 17])));
        assert_ne!(ended.get("ErrorCode"), Some(&Value::Uint16(0)));
        assert!(ended.get_str("ErrorDescription").unwrap().contains("otto"));
        for method in ["GetError", "GetErrorEx"] {
            let error = house.error(&job, method).await.unwrap();
            let first = error.as_array().map_or(&error, |all| all[0].as_ref().unwrap());
            assert_eq!(text_of(first).get_str("MessageID"), Some(id), "{method}");
        }
    }
}

#[tokio::test]
async fn an_end_without_recorded_reason_is_still_explained() {
    let house = House::open().await;
    let spec = JobSpec {
        id: cimwright_jobs::JobId::generate(),
        family: FAMILY.into(),
        kind: "test".into(),
        payload: String::new(),
        origin: V2.into(),
        owner: "otto".into(),
        name: "old".into(),
        caption: String::new(),
        description: String::new(),
        job_type: 0,
        owning_element: None,
        affected: Vec::new(),
        submitted: UNIX_EPOCH,
        call: None,
        run_of: None,
    };
    let mut record = JobRecord::new(spec, JobSettings::default());
    record.run.state = JobState::Exception;
    house.store.create(&record, None).await.unwrap();
    let job = at(V2, cimwright_cim::InstancePath::new(None, "Msvm_StorageJob"))
        .with_key("InstanceID", record.id().to_string());
    let error = house.error(&job, "GetError").await.unwrap();
    assert_eq!(text_of(&error).get_str("MessageID"), Some("CWBRK1001"));
    assert_eq!(text_of(&error).get_str("Message").unwrap().matches("Exception").count(), 1);
    assert_eq!(house.error(&job, "GetErrorEx").await.unwrap().as_array().unwrap().len(), 1);
    let shown = house.get(&job).await.unwrap();
    assert_eq!(shown.get("ErrorCode"), Some(&Value::Uint16(32768)));
}

#[tokio::test]
async fn suspend_service_and_start() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "gate", "w").await;
    house.until(&job, 4).await;
    assert_eq!(house.change(&operator(), &job, START, None).await, 0, "it runs already");
    assert_eq!(house.change(&operator(), &job, SUSPEND, None).await, 0);
    let parked = house.get(&job).await.unwrap();
    assert_eq!(parked.get("JobState"), Some(&Value::Uint16(5)));
    assert_eq!(parked.get("OperationalStatus"), Some(&Value::uint16s([2])));
    assert_eq!(house.change(&operator(), &job, SUSPEND, None).await, 0, "it is suspended already");
    assert_eq!(house.change(&operator(), &job, START, Some("00000000001000.000000:000")).await, 0);
    house.until(&job, 4).await;
    assert_eq!(house.change(&operator(), &job, SERVICE, None).await, 0);
    let held = house.get(&job).await.unwrap();
    assert_eq!(held.get("OperationalStatus"), Some(&Value::uint16s([11])));
    assert_eq!(held.get("StatusDescriptions"), Some(&Value::strings(["In Service"])));
    assert_eq!(house.error(&job, "GetError").await, None);
    assert_eq!(house.change(&operator(), &job, START, None).await, 0);
    house.script.end("w", true);
    house.until(&job, 7).await;
}

#[tokio::test]
async fn each_dialect_has_its_own_codes_for_a_refused_change() {
    let house = House::open().await;
    let v1 = house.start(&operator(), V1, "deaf", "w").await;
    let v2 = seen_in(V2, "Msvm_StorageJob", &v1);
    house.until(&v1, 4).await;
    for (job, invalid, late, transition) in [(&v1, 5, 3, 4097), (&v2, 32773, 32772, 32775)] {
        for state in [0, 1, 7, 32768] {
            assert_eq!(house.change(&operator(), job, state, None).await, invalid, "state {state}");
        }
        let (code, _) = house.call(&operator(), job, "RequestStateChange", vec![]).await.unwrap();
        assert_eq!(code, invalid, "no RequestedState");
        let point = Some("20300101000000.000000+000");
        assert_eq!(
            house.change(&operator(), job, SUSPEND, point).await,
            invalid,
            "a point in time is no period"
        );
        let soon = Some("00000000000000.020000:000");
        assert_eq!(house.change(&operator(), job, SUSPEND, soon).await, late);
        let done = house.start(&operator(), V1, "ok", &format!("done{invalid}")).await;
        house.until(&done, 7).await;
        let done = seen_in(job.namespace.as_ref().unwrap().as_str(), "Msvm_StorageJob", &done);
        for state in [START, SUSPEND, TERMINATE, KILL, SERVICE] {
            assert_eq!(house.change(&operator(), &done, state, None).await, transition, "state {state}");
        }
    }
    house.script.end("w", true);
    house.until(&v1, 7).await;
}

#[tokio::test]
async fn a_job_that_cannot_be_cancelled_is_not() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "firm", "w").await;
    let wait = async {
        while house.get(&job).await.unwrap().get("Cancellable") != Some(&Value::Boolean(false)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    assert_eq!(house.change(&operator(), &job, TERMINATE, None).await, 4097);
    assert_eq!(house.change(&operator(), &seen_in(V2, "Msvm_StorageJob", &job), KILL, None).await, 32775);
    house.script.end("w", true);
    house.until(&job, 7).await;
}

#[tokio::test]
async fn a_change_that_takes_long_answers_4096() {
    let config =
        JobsConfig { change_wait: Duration::from_millis(1), concurrency: 64, ..JobsConfig::default() };
    let house = House::with(config, Default::default()).await;
    for namespace in [V1, V2] {
        let job = house.start(&operator(), namespace, "deaf", namespace).await;
        house.until(&job, 4).await;
        assert_eq!(house.change(&operator(), &job, TERMINATE, None).await, 4096);
        house.until(&job, 6).await;
        // The step came to its end before it could be stopped.
        house.script.end(namespace, true);
        house.until(&job, 7).await;
    }
}

#[tokio::test]
async fn kill_job_works_where_the_dialect_has_it() {
    let house = House::open().await;
    let v1 = house.start(&operator(), V1, "gate", "w").await;
    house.until(&v1, 4).await;
    let kill = |delete: bool| vec![Param::new("DeleteOnKill", delete)];
    let (code, _) = house.call(&operator(), &v1, "KillJob", kill(true)).await.unwrap();
    assert_eq!(code, 1, "not supported");
    let dmtf = seen_in(DMTF, "Test_Job", &v1);
    assert_eq!(house.call(&stranger(), &dmtf, "KillJob", kill(true)).await.unwrap().0, 6);
    assert_eq!(house.call(&operator(), &dmtf, "KillJob", kill(false)).await.unwrap().0, 0);
    let killed = house.until(&dmtf, 9).await;
    assert_eq!(killed.get("DeleteOnCompletion"), Some(&Value::Boolean(false)));
    assert_eq!(house.call(&operator(), &dmtf, "KillJob", vec![]).await.unwrap().0, 4, "it has ended");
}

#[tokio::test]
async fn a_job_that_is_gone_is_not_found() {
    let house = House::open().await;
    let job = house.start(&operator(), V2, "ok", "w").await;
    house.until(&job, 7).await;
    house.jobs.delete(job.key_str("InstanceID").unwrap().parse().unwrap()).await.unwrap();
    for method in ["GetError", "GetErrorEx", "RequestStateChange", "KillJob"] {
        let error = house.call(&admin(), &job, method, vec![]).await.unwrap_err();
        assert_eq!(error.status, CimStatus::NotFound, "{method}");
    }
    assert_eq!(house.get(&job).await.unwrap_err().status, CimStatus::NotFound);
}

#[tokio::test]
async fn methods_that_a_dialect_does_not_declare_are_not_found() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "ok", "w").await;
    let error = house.call(&admin(), &job, "GetErrors", vec![]).await.unwrap_err();
    assert_eq!(error.status, CimStatus::MethodNotFound);
    let dmtf = seen_in(DMTF, "Test_Job", &job);
    let error = house.call(&admin(), &dmtf, "GetErrorEx", vec![]).await.unwrap_err();
    assert_eq!(error.status, CimStatus::MethodNotFound);
}
