//! What is still known of a job that has left its namespace.

use crate::house::*;
use cimwright_cim::operation::Operation;
use cimwright_cim::{CimStatus, InstancePath, Value};

const CLASS: &str = "Cimwright_JobHistory";

/// A job that failed and was deleted.
async fn gone(house: &House) -> InstancePath {
    let job = house.start(&operator(), V2, "gate", "w").await;
    house.script.end("w", false);
    house.until(&job, 10).await;
    house.ask(&operator(), V2, Operation::DeleteInstance { path: job.clone() }).await.unwrap();
    assert_eq!(house.get(&job).await.unwrap_err().status, CimStatus::NotFound);
    job
}

#[tokio::test]
async fn a_job_that_left_can_still_say_why_it_failed() {
    let house = House::open().await;
    let job = gone(&house).await;
    for namespace in [V1, V2] {
        let path = seen_in(namespace, CLASS, &job);
        let remembered = house.get(&path).await.unwrap();
        assert_eq!(remembered.get_u64("JobState"), Some(10));
        assert_eq!(remembered.get_str("Owner"), Some("otto"));
        assert!(remembered.get_str("ErrorDescription").is_some_and(|d| !d.is_empty()));
        let (code, out) = house.call(&reader(), &path, "GetErrorEx", vec![]).await.unwrap();
        assert_eq!(code, 0);
        let errors = out[0].value.as_ref().and_then(Value::as_array).unwrap();
        let first = errors[0].as_ref().and_then(Value::as_instance).unwrap();
        assert_eq!(first.get_str("Message"), remembered.get_str("ErrorDescription"));
        let (_, out) = house.call(&reader(), &path, "GetError", vec![]).await.unwrap();
        assert!(matches!(out[0].value, Some(Value::InstanceText(_))));
    }
}

#[tokio::test]
async fn the_history_is_listed_and_unknown_jobs_are_not_found() {
    let house = House::open().await;
    let job = gone(&house).await;
    let names = house.items(V2, Operation::EnumerateInstanceNames { class: CLASS.into() }).await.unwrap();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0].path.as_ref().unwrap().key_str("InstanceID"), job.key_str("InstanceID"));
    for id in ["no guid", "00000000-0000-0000-0000-000000000000"] {
        let path = at(V2, InstancePath::new(None, CLASS).with_key("InstanceID", id));
        assert_eq!(house.get(&path).await.unwrap_err().status, CimStatus::NotFound);
    }
}
