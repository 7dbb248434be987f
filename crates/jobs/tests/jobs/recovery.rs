//! What is left when the server stops, in order or not, and what the next one makes of it.

use crate::harness::{House, config, house, open, provoked};
use cimwright_jobs::{
    ChangeOutcome, Clock, Holder, JobId, JobState, JobStore, JobsConfig, RequestedState, SystemClock,
};
use cimwright_store::MemoryStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A server that stopped in order leaves jobs that the next one takes up where they were.
#[tokio::test]
async fn shutting_down_leaves_everything_resumable() {
    let h = house().await;
    let running = h.start("ok gate").await;
    let suspended = h.start("gate").await;
    h.until_logged("run gate").await;
    h.until_state(suspended, JobState::Running).await;
    assert_eq!(h.change(suspended, RequestedState::Suspend).await, ChangeOutcome::Done);
    assert!(h.jobs.shut_down(Duration::from_secs(20)).await);
    assert!(h.log().iter().filter(|l| *l == "undo gate").count() == 2, "{:?}", h.log());

    let h = open(Arc::clone(&h.store), config()).await;
    h.gate.add_permits(2);
    h.until_state(running, JobState::Completed).await;
    assert!(!h.log().contains(&"run ok".to_owned()), "a finished step is not done again: {:?}", h.log());
    assert_eq!(h.jobs.load(suspended).await.unwrap().unwrap().run.state, JobState::Suspended);
    h.change(suspended, RequestedState::Start).await;
    h.until_state(suspended, JobState::Completed).await;
}

/// A crash is a runtime that is dropped: every driver vanishes at its await point and writes nothing more.
fn crash_while(payload: &str, line: &str, wish: Option<RequestedState>) -> (Arc<MemoryStore>, JobId) {
    let store = Arc::new(MemoryStore::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let id = runtime.block_on(async {
        let h = open(Arc::clone(&store), config()).await;
        let id = h.start(payload).await;
        h.until_logged(line).await;
        if let Some(wanted) = wish {
            let request = cimwright_jobs::StateRequest {
                wanted,
                by: "bert".into(),
                at: cimwright_jobs::Clock::now(&SystemClock),
                deadline: None,
            };
            // The request is stored, and the server dies before the driver hears of it.
            store.request(id, Some(&request)).await.unwrap();
        }
        id
    });
    runtime.shutdown_background();
    (store, id)
}

#[test]
fn after_a_crash_the_job_goes_on_from_its_last_finished_step() {
    let (store, id) = crash_while("ok gate", "run gate", None);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let h = open(store, config()).await;
        h.gate.add_permits(1);
        let record = h.until_state(id, JobState::Completed).await;
        assert_eq!(h.log(), ["undo gate", "run gate"]);
        assert!(record.reported_errors().is_empty());
    });
}

#[test]
fn after_a_crash_a_step_that_must_not_be_repeated_fails_with_a_reason() {
    let (store, id) = crash_while("ok once", "run once", None);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let h = open(store, config()).await;
        let record = h.until_state(id, JobState::Exception).await;
        provoked("CWJOB1003", &record);
        assert_eq!(h.log(), ["undo once", "undo finished ok"]);
    });
}

#[test]
fn a_request_that_was_stored_before_the_crash_is_carried_out() {
    for (wanted, state) in
        [(RequestedState::Terminate, JobState::Terminated), (RequestedState::Kill, JobState::Killed)]
    {
        let (store, id) = crash_while("ok once", "run once", Some(wanted));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let h = open(store, config()).await;
            h.until_state(id, state).await;
            assert_eq!(h.log(), ["undo once", "undo finished ok"]);
        });
    }
}

#[test]
fn a_job_that_brings_the_server_down_every_time_is_given_up() {
    let (store, id) = crash_while("gate", "run gate", None);
    for round in 0.. {
        assert!(round < 20, "the job is never given up");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let over = runtime.block_on(async {
            let h = open(Arc::clone(&store), config()).await;
            let record = h
                .until(id, "taken up or given up", |r| {
                    r.run.state == JobState::Exception
                        || (r.run.state == JobState::Running
                            && h.jobs.driven() > 0
                            && h.log().contains(&"run gate".to_owned()))
                })
                .await;
            (record.run.state == JobState::Exception).then_some(record)
        });
        runtime.shutdown_background();
        if let Some(record) = over {
            provoked("CWJOB1004", &record);
            break;
        }
    }
}

/// Asserts that for three times the lease nobody else can have a job.
async fn unclaimed(house: &House, id: JobId, when: &str) {
    let mine = Holder::random();
    let limit = Instant::now() + Duration::from_millis(1200);
    while Instant::now() < limit {
        let now = SystemClock.now();
        let taken = house.store.claim(id, mine, now, now + Duration::from_secs(60)).await.unwrap();
        assert!(taken.is_none(), "{when}: the lease was let go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A job that waits, or is being undone, is still the driver's: no other one may take it for dead.
#[tokio::test]
async fn the_lease_is_kept_while_no_step_runs() {
    let short = JobsConfig {
        concurrency: 1,
        lease: Duration::from_millis(400),
        undo_limit: Duration::from_millis(2500),
        change_wait: Duration::ZERO,
        ..config()
    };
    // Being undone.
    let h = open(Arc::default(), short.clone()).await;
    let id = h.start("ok endless fail").await;
    h.until_state(id, JobState::Exception).await;
    let undone = h.log().iter().filter(|l| l.starts_with("undo")).count();
    assert_eq!(undone, 3, "by one driver: {:?}", h.log());

    // Asked for its steps.
    let h = open(Arc::default(), short.clone()).await;
    let id = h.start("late ok").await;
    h.until_logged("asked for steps").await;
    unclaimed(&h, id, "asked for its steps").await;
    h.gate.add_permits(1);
    h.until_state(id, JobState::Completed).await;
    let asked = h.log().iter().filter(|l| *l == "asked for steps").count();
    assert_eq!(asked, 1, "by one driver: {:?}", h.log());

    // Waiting for a place, running and suspended.
    let h = open(Arc::default(), short).await;
    let waiting = h.start("watch ok").await;
    h.until_logged("run watch").await;
    let busy = h.start("stubborn").await;
    h.until_state(busy, JobState::Running).await;
    h.gate.add_permits(1);
    h.until(waiting, "its first step is done", |r| r.run.steps.len() == 1).await;
    unclaimed(&h, waiting, "Running").await;
    h.change(waiting, RequestedState::Suspend).await;
    h.until_state(waiting, JobState::Suspended).await;
    unclaimed(&h, waiting, "Suspended").await;
    h.change(waiting, RequestedState::Start).await;
    unclaimed(&h, waiting, "Suspended").await;
    h.change(busy, RequestedState::Kill).await;
    h.until_state(waiting, JobState::Completed).await;
}

/// Somebody waits for the end of a job that this driver loses: it ends elsewhere, and the wait with it.
#[tokio::test]
async fn who_waits_for_a_job_hears_of_an_end_elsewhere() {
    let h = house().await;
    let id = h.start("gate").await;
    h.until_logged("run gate").await;
    let elsewhere = async {
        let later = SystemClock.now() + Duration::from_secs(3600);
        let claimed = h.store.claim(id, Holder::random(), later, later).await.unwrap();
        let (lease, record) = claimed.expect("the lease is over by then");
        let mut run = record.run.clone();
        run.state = JobState::Completed;
        while h.jobs.driven() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        h.store.record(&lease, &run).await.unwrap();
    };
    let waiting = async {
        let limit = Duration::from_secs(600);
        h.jobs.wait_end(id, limit).await.unwrap().expect("it is there")
    };
    let both = async { tokio::join!(waiting, elsewhere) };
    let (ended, ()) =
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("long before the limit");
    assert_eq!(ended.run.state, JobState::Completed);
}
