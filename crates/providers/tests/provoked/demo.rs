//! The reasons of the demonstration job.

use super::harness::{House, assert_reason, entry, number, text};
use cimwright_providers::hyper_v;
use cimwright_sdk::NewJob;
use cimwright_sdk::jobs::{JobRecord, JobState};

fn provoked(id: &str, job: &JobRecord, names: &str) {
    assert_eq!(job.run.state, JobState::Exception);
    assert_eq!(job.run.errors.len(), 1);
    assert_reason(id, &job.run.errors[0], names);
}

fn caused(id: &str, job: &JobRecord) {
    let chain = job.reported_errors();
    assert_eq!(chain.iter().map(|reason| reason.message_id.as_str()).collect::<Vec<_>>()[1..], [id]);
    assert_eq!(chain[1].message, entry(id).message);
}

#[tokio::test]
async fn a_job_that_is_told_to_fail() {
    let house = House::new().await;
    let params = vec![text("Name", "Show {0}"), number("DurationMilliseconds", 1), text("Ending", "fail")];
    let answer = house.call("StartJob", params).await;
    let job = answer.job.expect("a job");
    provoked("CWDEMO1001", &job, "Show {0}");
    caused("CWDEMO1002", &job);
}

#[tokio::test]
async fn a_job_stored_by_another_version() {
    let house = House::new().await;
    let job = NewJob {
        family: hyper_v::CONCRETE,
        kind: "demo.wait",
        payload: r#"{"steps":"many"}"#.to_owned(),
        name: "Old job".to_owned(),
        ..NewJob::default()
    };
    let id = house.start(job).await;
    let job = house.until(id, "the end", |record| record.run.state.is_finished()).await;
    provoked("CWDEMO1003", &job, "Old job");
}
