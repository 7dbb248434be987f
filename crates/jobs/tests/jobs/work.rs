//! Jobs that run, fail, wait for their turn and leave.

use crate::harness::{broken, config, house, open, provoked, spec};
use cimwright_jobs::{ChangeOutcome, JobSettings, JobSpec, JobState, JobsConfig, RequestedState};
use cimwright_store::MemoryStore;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_step_that_only_watches_takes_no_place() {
    let h = house().await;
    // Two may run at once; after watching, each needs a place again.
    let watching = [h.start("watch ok").await, h.start("watch ok").await, h.start("watch ok").await];
    for id in watching {
        h.until(id, "watching", |r| r.run.state == JobState::Running).await;
    }
    let id = h.start("ok").await;
    h.until_state(id, JobState::Completed).await;
    h.gate.add_permits(3);
    for id in watching {
        h.until_state(id, JobState::Completed).await;
    }
}

#[tokio::test]
async fn a_job_runs_its_steps_and_completes() {
    let h = house().await;
    let id = h.start("ok ok").await;
    let record = h.until_state(id, JobState::Completed).await;
    assert_eq!(record.percent_complete(), 100);
    assert_eq!(record.operational_status(), [2, 17]);
    assert!(record.reported_errors().is_empty());
    assert_eq!(record.result("child").and_then(|v| v.as_str()), Some("ok"));
    assert!(record.run.finished.is_some() && record.run.started.is_some());
    assert_eq!(h.log(), ["run ok", "run ok"]);
}

#[tokio::test]
async fn a_failing_step_undoes_the_finished_ones_in_reverse() {
    for (payload, expected) in [
        ("fail", vec!["run fail", "undo fail"]),
        ("ok fail", vec!["run ok", "run fail", "undo fail", "undo finished ok"]),
        (
            "one two fail four",
            vec!["run one", "run two", "run fail", "undo fail", "undo finished two", "undo finished one"],
        ),
    ] {
        let h = house().await;
        let id = h.start(payload).await;
        let record = h.until_state(id, JobState::Exception).await;
        assert_eq!(record.reported_errors()[0].message_id, "TEST1");
        assert_eq!(record.operational_status(), [6, 17]);
        assert!(record.percent_complete() < 100);
        assert_eq!(h.log(), expected, "{payload}");
    }
}

#[tokio::test]
async fn trouble_while_undoing_never_hides_the_first_reason() {
    let h = house().await;
    let id = h.start("sticky fail").await;
    let record = h.until_state(id, JobState::Exception).await;
    let messages: Vec<_> = record.reported_errors().iter().map(|e| e.message.clone()).collect();
    let undoing = "Undoing step \"word\" of the job \"Test\" went wrong; something may be left behind.";
    assert_eq!(messages, ["step fail broke", undoing, "step undo broke"]);
    assert_eq!((record.run.errors.len(), record.run.undo_errors.len()), (1, 1));
    provoked("CWJOB1009", &record);
}

#[tokio::test]
async fn an_undo_that_does_not_end_is_given_up() {
    let impatient = JobsConfig { undo_limit: Duration::from_millis(50), ..config() };
    let h = open(Arc::new(MemoryStore::new()), impatient).await;
    let id = h.start("ok endless fail").await;
    let record = h.until_state(id, JobState::Exception).await;
    assert_eq!(record.reported_errors()[0].message_id, "TEST1", "the first reason stays the first");
    provoked("CWJOB1007", &record);
    assert_eq!(
        h.log().last().map(String::as_str),
        Some("undo finished ok"),
        "the others are undone all the same"
    );
}

#[tokio::test]
async fn a_panic_is_a_reason_not_a_crash() {
    let h = house().await;
    let id = h.start("panic").await;
    let record = h.until_state(id, JobState::Exception).await;
    provoked("CWJOB1006", &record);
    assert!(record.run.errors[0].message.contains("went wrong"));
    let next = h.start("ok").await;
    h.until_state(next, JobState::Completed).await;
}

#[tokio::test]
async fn no_more_jobs_run_than_allowed_and_none_is_forgotten() {
    let h = house().await;
    let mut ids = Vec::new();
    for n in 0..200 {
        let owner = format!("user{}", n % 7);
        let record = h.jobs.start(spec("ok ok", &owner), JobSettings::default()).await.unwrap();
        ids.push(record.id());
        assert!(h.jobs.driven() <= 2 + 1, "a driver that just ended may still be counted");
    }
    for id in ids {
        h.until_state(id, JobState::Completed).await;
    }
}

/// What waits is in the store, not in memory: only what runs has a driver.
#[tokio::test]
async fn ten_thousand_waiting_jobs_are_just_rows() {
    let h = house().await;
    let running = [h.start("gate").await, h.start("gate").await];
    // Before the others come: theirs would go first, for they have none that runs.
    for id in running {
        h.until_state(id, JobState::Running).await;
    }
    let mut last = None;
    for n in 0..10_000 {
        let owner = format!("user{}", n % 3);
        last = Some(h.jobs.start(spec("ok", &owner), JobSettings::default()).await.unwrap().id());
    }
    assert_eq!(h.jobs.driven(), 2);
    let last = last.unwrap();
    assert_eq!(h.change(last, RequestedState::Kill).await, ChangeOutcome::Done, "the service still answers");
    h.until_state(last, JobState::Killed).await;
    h.gate.add_permits(2);
    for id in running {
        h.until_state(id, JobState::Completed).await;
    }
    // The queue moves, and never with more than two at once.
    let limit = tokio::time::Instant::now() + Duration::from_secs(60);
    while h.jobs.counts().await.unwrap().unfinished > 9_900 {
        assert!(tokio::time::Instant::now() < limit, "{:?}", h.jobs.counts().await);
        assert!(h.jobs.driven() <= 3, "a driver that just ended may still be counted");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn too_many_unfinished_jobs_are_refused() {
    let h = open(Arc::new(MemoryStore::new()), JobsConfig { max_unfinished: 3, ..config() }).await;
    let ids = [h.start("gate").await, h.start("gate").await, h.start("gate").await];
    let refused = h.jobs.start(spec("ok", "anna"), JobSettings::default()).await;
    assert!(matches!(refused, Err(cimwright_jobs::JobsError::QueueFull(3))));
    h.gate.add_permits(3);
    for id in ids {
        h.until_state(id, JobState::Completed).await;
    }
    h.start("ok").await;
}

#[tokio::test]
async fn a_refused_call_leaves_a_job_that_can_be_asked() {
    let h = house().await;
    let record = h.jobs.refuse(spec("ok", "anna"), JobSettings::default(), broken("call")).await.unwrap();
    assert_eq!(record.run.state, JobState::Exception);
    let found = h.jobs.load(record.id()).await.unwrap().unwrap();
    assert_eq!(found.reported_errors()[0].message, "step call broke");
    assert!(h.log().is_empty());
}

#[tokio::test]
async fn finished_jobs_leave_after_their_time_and_stay_in_the_history() {
    let h = house().await;
    let short = JobSettings { time_before_removal: Duration::from_millis(30), ..JobSettings::default() };
    let kept = JobSettings { delete_on_completion: false, ..short.clone() };
    let gone = h.jobs.start(spec("fail", "anna"), short).await.unwrap().id();
    let stays = h.jobs.start(spec("ok", "anna"), kept).await.unwrap().id();
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while h.jobs.load(gone).await.unwrap().is_some() {
        assert!(tokio::time::Instant::now() < limit, "the job never left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let remembered = h.jobs.history(gone).await.unwrap().unwrap();
    assert_eq!(remembered.reported_errors()[0].message_id, "TEST1");
    h.until_state(stays, JobState::Completed).await;
    h.jobs.delete(stays).await.unwrap();
    assert!(h.jobs.load(stays).await.unwrap().is_none());
    assert!(h.jobs.history(stays).await.unwrap().is_some());
}

#[tokio::test]
async fn an_unfinished_job_is_not_deleted() {
    let h = house().await;
    let id = h.start("gate").await;
    assert!(matches!(h.jobs.delete(id).await, Err(cimwright_jobs::JobsError::NotFinished(_))));
    h.gate.add_permits(1);
    h.until_state(id, JobState::Completed).await;
}

#[tokio::test]
async fn a_kind_nobody_knows_fails_with_a_reason() {
    let h = house().await;
    let unknown = JobSpec { kind: "from another version".into(), ..spec("", "anna") };
    let id = h.jobs.start(unknown, JobSettings::default()).await.unwrap().id();
    let record = h.until_state(id, JobState::Exception).await;
    provoked("CWJOB1005", &record);
}
