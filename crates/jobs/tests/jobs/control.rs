//! What clients ask of jobs that run or wait.

use crate::harness::{config, house, open, provoked};
use cimwright_jobs::admit::Refusal;
use cimwright_jobs::{ChangeOutcome, JobState, JobsConfig, RequestedState};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn terminate_stops_in_order_and_undoes() {
    let h = house().await;
    let id = h.start("ok gate").await;
    h.until_logged("run gate").await;
    assert_eq!(h.change(id, RequestedState::Terminate).await, ChangeOutcome::Done);
    let record = h.until_state(id, JobState::Terminated).await;
    provoked("CWJOB1001", &record);
    assert!(record.run.errors[0].message.contains("bert"));
    assert_eq!(record.operational_status(), [10, 17]);
    assert_eq!(h.log(), ["run ok", "run gate", "undo gate", "undo finished ok"]);
    assert_eq!(h.change(id, RequestedState::Terminate).await, ChangeOutcome::Refused(Refusal::Finished));
}

#[tokio::test]
async fn kill_does_not_wait_for_the_step() {
    let h = house().await;
    let id = h.start("stubborn").await;
    h.until_logged("run stubborn").await;
    assert_eq!(h.change(id, RequestedState::Kill).await, ChangeOutcome::Done);
    let record = h.until_state(id, JobState::Killed).await;
    provoked("CWJOB1002", &record);
    assert_eq!(h.log(), ["run stubborn", "undo stubborn"]);
}

#[tokio::test]
async fn a_step_that_does_not_stop_in_time_is_ended_by_force() {
    let h = house().await;
    let id = h.start("stubborn").await;
    h.until_logged("run stubborn").await;
    let outcome = h
        .jobs
        .change_state(id, RequestedState::Terminate, "bert", Some(Duration::from_millis(50)))
        .await
        .unwrap();
    assert_eq!(outcome, ChangeOutcome::Done);
    let record = h.until_state(id, JobState::Terminated).await;
    provoked("CWJOB1001", &record);
    provoked("CWJOB1008", &record);
}

#[tokio::test]
async fn suspend_stops_progress_and_start_goes_on() {
    let h = house().await;
    let id = h.start("gate ok").await;
    h.until(id, "progress", |r| r.run.progress.done == 30).await;
    assert_eq!(h.change(id, RequestedState::Suspend).await, ChangeOutcome::Done);
    let record = h.until_state(id, JobState::Suspended).await;
    assert!(record.run.running_since.is_none());
    assert_eq!(record.percent_complete(), 30);
    assert_eq!(h.change(id, RequestedState::Suspend).await, ChangeOutcome::Done, "already so");
    assert_eq!(h.change(id, RequestedState::Start).await, ChangeOutcome::Done);
    h.gate.add_permits(1);
    h.until_state(id, JobState::Completed).await;
    assert_eq!(h.log(), ["run gate", "run ok"], "the step went on; it did not begin again");
}

#[tokio::test]
async fn a_suspension_that_does_not_come_in_time_is_withdrawn() {
    let h = house().await;
    let id = h.start("stubborn").await;
    h.until_logged("run stubborn").await;
    let outcome = h
        .jobs
        .change_state(id, RequestedState::Suspend, "bert", Some(Duration::from_millis(50)))
        .await
        .unwrap();
    assert_eq!(outcome, ChangeOutcome::NotInTime);
    assert_eq!(h.jobs.load(id).await.unwrap().unwrap().run.state, JobState::Running);
    h.change(id, RequestedState::Kill).await;
}

#[tokio::test]
async fn suspended_jobs_make_room_for_others() {
    let h = house().await;
    let a = h.start("gate").await;
    let b = h.start("gate").await;
    let c = h.start("ok").await;
    h.until_state(b, JobState::Running).await;
    assert_eq!(h.jobs.load(c).await.unwrap().unwrap().run.state, JobState::New);
    assert_eq!(h.change(a, RequestedState::Suspend).await, ChangeOutcome::Done);
    h.until_state(c, JobState::Completed).await;
    h.change(a, RequestedState::Start).await;
    h.gate.add_permits(2);
    h.until_state(a, JobState::Completed).await;
    h.until_state(b, JobState::Completed).await;
}

#[tokio::test]
async fn a_step_that_cannot_be_stopped_is_not() {
    let h = house().await;
    let id = h.start("final").await;
    h.until_logged("run final").await;
    h.until(id, "not cancellable", |r| !r.is_cancellable()).await;
    for wanted in [RequestedState::Terminate, RequestedState::Kill] {
        let refused = ChangeOutcome::Refused(Refusal::NotCancellable);
        assert_eq!(h.change(id, wanted).await, refused);
    }
    h.gate.add_permits(1);
    h.until_state(id, JobState::Completed).await;
}

#[tokio::test]
async fn queued_jobs_can_be_stopped_suspended_and_started() {
    let h = house().await;
    let running = [h.start("gate").await, h.start("gate").await];
    let queued = [h.start("ok").await, h.start("ok").await, h.start("ok").await];
    assert_eq!(h.change(queued[0], RequestedState::Kill).await, ChangeOutcome::Done);
    assert_eq!(h.change(queued[1], RequestedState::Suspend).await, ChangeOutcome::Done);
    assert_eq!(h.change(queued[2], RequestedState::Service).await, ChangeOutcome::Done);
    h.until_state(queued[0], JobState::Killed).await;
    h.until_state(queued[1], JobState::Suspended).await;
    h.until_state(queued[2], JobState::Service).await;
    h.gate.add_permits(2);
    for id in running {
        h.until_state(id, JobState::Completed).await;
    }
    assert_eq!(h.jobs.load(queued[1]).await.unwrap().unwrap().run.state, JobState::Suspended);
    h.change(queued[1], RequestedState::Start).await;
    h.change(queued[2], RequestedState::Start).await;
    h.until_state(queued[1], JobState::Completed).await;
    h.until_state(queued[2], JobState::Completed).await;
}

/// A step that was told to stop may be done before it hears of it; what comes after it must not begin then.
#[tokio::test]
async fn a_job_that_is_to_stop_begins_no_further_step() {
    let h = house().await;
    let id = h.start("watch ok").await;
    h.until_logged("run watch").await;
    let (outcome, ()) = tokio::join!(h.change(id, RequestedState::Terminate), async {
        h.until_state(id, JobState::ShuttingDown).await;
        h.gate.add_permits(1);
    });
    assert_eq!(outcome, ChangeOutcome::Done);
    let record = h.until(id, "its end", |r| r.run.state.is_finished()).await;
    assert_eq!(record.run.state, JobState::Terminated);
    assert!(!h.log().contains(&"run ok".to_owned()), "{:?}", h.log());
}

/// A step that cannot pause ends; the job rests before the next one.
#[tokio::test]
async fn a_suspension_that_the_step_does_not_hear_comes_after_it() {
    let h = open(Arc::default(), JobsConfig { change_wait: Duration::ZERO, ..config() }).await;
    for (wanted, state) in
        [(RequestedState::Suspend, JobState::Suspended), (RequestedState::Service, JobState::Service)]
    {
        let id = h.start("watch ok").await;
        h.until_logged("run watch").await;
        assert_eq!(h.change(id, wanted).await, ChangeOutcome::Started);
        h.gate.add_permits(1);
        h.until_state(id, state).await;
        assert!(!h.log().contains(&"run ok".to_owned()), "{:?}", h.log());
        h.change(id, RequestedState::Start).await;
        h.until_state(id, JobState::Completed).await;
        h.log_mut().clear();
    }
}

#[tokio::test]
async fn a_suspension_that_has_not_come_yet_can_be_taken_back() {
    let h = open(Arc::default(), JobsConfig { change_wait: Duration::ZERO, ..config() }).await;
    let id = h.start("watch ok").await;
    h.until_logged("run watch").await;
    assert_eq!(h.change(id, RequestedState::Suspend).await, ChangeOutcome::Started);
    h.change(id, RequestedState::Start).await;
    h.gate.add_permits(1);
    h.until_state(id, JobState::Completed).await;
}

/// Two jobs may run; a third one has watched and needs a place again.
#[tokio::test]
async fn a_job_that_waits_for_a_place_hears_what_is_asked_of_it() {
    let h = house().await;
    let waiting = h.start("watch ok").await;
    h.until_logged("run watch").await;
    let running = [h.start("stubborn").await, h.start("stubborn").await];
    for id in running {
        h.until_state(id, JobState::Running).await;
    }
    h.gate.add_permits(1);
    h.until(waiting, "its first step is done", |r| r.run.steps.len() == 1).await;
    assert_eq!(h.change(waiting, RequestedState::Suspend).await, ChangeOutcome::Done);
    let h = &h;
    let impatient = |wanted| async move {
        h.jobs.change_state(waiting, wanted, "bert", Some(Duration::ZERO)).await.unwrap()
    };
    assert_eq!(impatient(RequestedState::Start).await, ChangeOutcome::Started, "there is no room");
    assert_eq!(h.change(waiting, RequestedState::Suspend).await, ChangeOutcome::Done, "it rests on");
    h.change(running[0], RequestedState::Kill).await;
    let other = h.start("ok").await;
    h.until_state(other, JobState::Completed).await;
    assert_eq!(h.jobs.load(waiting).await.unwrap().unwrap().run.state, JobState::Suspended);
    let filling = h.start("stubborn").await;
    h.until_state(filling, JobState::Running).await;
    assert_eq!(impatient(RequestedState::Start).await, ChangeOutcome::Started, "there is no room again");
    assert_eq!(h.change(waiting, RequestedState::Terminate).await, ChangeOutcome::Done);
    let record = h.until_state(waiting, JobState::Terminated).await;
    assert!(record.run.errors[0].message.contains("bert"));
    for id in [running[1], filling] {
        h.change(id, RequestedState::Kill).await;
    }
}

/// That a step could not be ended says nothing about the moment after it.
#[tokio::test]
async fn a_job_can_be_ended_after_a_step_that_could_not() {
    let h = house().await;
    let waiting = h.start("watch final gate").await;
    h.until_logged("run watch").await;
    h.gate.add_permits(2);
    h.until_logged("run gate").await;
    assert_eq!(h.change(waiting, RequestedState::Suspend).await, ChangeOutcome::Done);
    assert_eq!(h.change(waiting, RequestedState::Terminate).await, ChangeOutcome::Done);
}
