//! Jobs that run at their time, run again, and end at theirs: real drivers, the memory store, a clock that the test moves.

use crate::harness::{broken, plain_spec, provoked, until};
use async_trait::async_trait;
use cimwright_cim::{DateTime, ErrorDetail};
use cimwright_jobs::live::Wish;
use cimwright_jobs::{
    ChangeOutcome, Clock, JobId, JobKind, JobKinds, JobRecord, JobSettings, JobSpec, JobState, JobStore,
    Jobs, JobsConfig, JobsError, ManualClock, RequestedState, Schedule, ScheduleMistake, Step, StepContext,
    StepError, Zone,
};
use cimwright_store::{BrittleStore, MemoryStore};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// What every run does, in turn: `ok`, `fail`, or `wait` until it is told to stop. When the list is empty, `ok`.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Vec<&'static str>>>);

struct Turn(Script);

impl JobKind for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn steps(&self, _spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        Ok(vec![Arc::new(Turn(self.clone()))])
    }
}

#[async_trait]
impl Step for Turn {
    fn name(&self) -> &'static str {
        "turn"
    }

    fn title(&self) -> String {
        "Working".into()
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let word = {
            let mut script = self.0.0.lock().unwrap();
            if script.is_empty() { "ok" } else { script.remove(0) }
        };
        match word {
            "fail" => Err(broken("turn").into()),
            "wait" => {
                while context.wish() != Wish::Stop {
                    context.wish_other_than(context.wish()).await;
                }
                Err(StepError::Stopped)
            }
            _ => Ok(String::new()),
        }
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}

struct House {
    jobs: Jobs,
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    script: Script,
}

/// Noon on the first of April 2026, a Wednesday.
fn noon() -> SystemTime {
    time("20260401120000.000000+000")
}

fn time(text: &str) -> SystemTime {
    text.parse::<DateTime>().unwrap().to_system_time().unwrap()
}

fn later(length: Duration) -> Option<DateTime> {
    Some(DateTime::from_system_time(noon() + length))
}

async fn open(store: Arc<MemoryStore>, clock: Arc<ManualClock>, words: &[&'static str]) -> House {
    open_over(store.clone(), store, clock, words).await
}

async fn open_over(
    over: Arc<dyn JobStore>,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    words: &[&'static str],
) -> House {
    let script = Script::default();
    script.0.lock().unwrap().extend(words);
    let mut kinds = JobKinds::new();
    kinds.register(Arc::new(script.clone()));
    let config = JobsConfig {
        concurrency: 2,
        // The clock jumps.
        lease: 1000 * DAY,
        tick: Duration::from_millis(10),
        poll_interval: Duration::from_millis(10),
        retention_interval: Duration::from_millis(10),
        zone: Some(Zone::utc()),
        ..JobsConfig::default()
    };
    let jobs = Jobs::open(over, clock.clone(), kinds, config).await.unwrap();
    House { jobs, clock, store, script }
}

async fn house(words: &[&'static str]) -> House {
    open(Arc::default(), Arc::new(ManualClock::new(noon())), words).await
}

fn settings(schedule: Schedule) -> JobSettings {
    JobSettings { schedule, time_before_removal: 1000 * DAY, ..JobSettings::default() }
}

impl House {
    fn spec(&self, name: &str) -> JobSpec {
        plain_spec("script", name, self.clock.now())
    }

    async fn start(&self, schedule: Schedule) -> JobId {
        self.jobs.start(self.spec("Test"), settings(schedule)).await.unwrap().id()
    }

    async fn until(&self, id: JobId, what: &str, wanted: impl Fn(&JobRecord) -> bool) -> Arc<JobRecord> {
        until(&self.jobs, id, what, wanted).await
    }

    async fn until_state(&self, id: JobId, state: JobState) -> Arc<JobRecord> {
        self.until(id, &format!("waiting for {state}"), |r| r.run.state == state).await
    }

    async fn until_runs(&self, id: JobId, runs: u32) -> Arc<JobRecord> {
        self.until(id, &format!("waiting for run {runs}"), |r| r.run.runs >= runs).await
    }

    /// Until the dispatcher has had every reason to look.
    async fn somebody_else_runs(&self) {
        let other = self.jobs.start(self.spec("Other"), settings(Schedule::default())).await.unwrap().id();
        self.until_state(other, JobState::Completed).await;
        let another =
            self.start(Schedule { scheduled_start_time: later(Duration::ZERO), ..Schedule::default() }).await;
        self.until_state(another, JobState::Completed).await;
    }

    async fn change(&self, id: JobId, wanted: RequestedState) -> ChangeOutcome {
        self.jobs.change_state(id, wanted, "bert", None).await.unwrap()
    }

    /// The runs of a job that the history has, oldest first.
    async fn past(&self, id: JobId) -> Vec<Arc<JobRecord>> {
        let mut runs = self.jobs.recent_history(100).await.unwrap();
        runs.retain(|r| r.spec.run_of == Some(id));
        runs.reverse();
        runs
    }
}

fn daily(times: u32) -> Schedule {
    Schedule {
        run_start_interval: Some("00000000020000.000000:000".parse().unwrap()),
        job_run_times: times,
        ..Schedule::default()
    }
}

#[tokio::test]
async fn a_job_waits_for_its_time() {
    let h = house(&[]).await;
    let id = h.start(Schedule { scheduled_start_time: later(HOUR), ..Schedule::default() }).await;
    let record = h.jobs.load(id).await.unwrap().unwrap();
    assert_eq!((record.run.state, record.run.due), (JobState::New, Some(noon() + HOUR)));
    assert_eq!(record.run.status, "Waiting until 20260401130000.000000+000");
    h.clock.advance(HOUR - Duration::from_micros(1));
    h.somebody_else_runs().await;
    assert_eq!(h.jobs.load(id).await.unwrap().unwrap().run.state, JobState::New);
    h.clock.advance(Duration::from_micros(1));
    let record = h.until_state(id, JobState::Completed).await;
    assert_eq!(record.run.started, Some(noon() + HOUR));
    assert_eq!((record.run.due, record.run.runs), (None, 0));
}

#[tokio::test]
async fn a_start_that_is_an_interval_is_from_now() {
    let h = house(&[]).await;
    let given = Some(DateTime::from_duration(HOUR));
    let id = h.start(Schedule { scheduled_start_time: given, ..Schedule::default() }).await;
    let record = h.jobs.load(id).await.unwrap().unwrap();
    assert_eq!(record.settings.schedule.scheduled_start_time, later(HOUR));
    h.clock.advance(HOUR);
    h.until_state(id, JobState::Completed).await;
}

#[tokio::test]
async fn a_time_that_passed_while_the_server_was_down_is_made_up_for_once() {
    let h = house(&[]).await;
    let id = h.start(daily(3)).await;
    assert!(h.jobs.shut_down(Duration::from_secs(20)).await);
    h.clock.advance(3 * DAY);
    let h = open(h.store, h.clock, &[]).await;
    let record = h.until_runs(id, 1).await;
    assert_eq!(record.run.state, JobState::New);
    // Now at once; the next at its own time, not one for each that was missed.
    assert_eq!(h.past(id).await[0].run.started, Some(noon() + 3 * DAY));
    assert_eq!(record.run.due, Some(time("20260405020000.000000+000")));
}

#[tokio::test]
async fn a_recurring_job_runs_that_often_and_leaves_every_run_in_the_history() {
    let h = house(&["ok", "fail", "ok"]).await;
    let id = h.start(daily(3)).await;
    for run in 1..=3u32 {
        h.clock.advance(DAY);
        let record = h.until_runs(id, run).await;
        if run < 3 {
            assert_eq!(record.run.state, JobState::New, "{:?}", record.run);
            assert!(record.reported_errors().is_empty() && record.run.started.is_none());
        }
    }
    let record = h.until_state(id, JobState::Completed).await;
    assert_eq!(record.run.runs, 3);
    let past = h.past(id).await;
    let told: Vec<_> = past
        .iter()
        .map(|r| (r.run.runs, r.run.state, r.run.errors.first().map(|e| e.message_id.as_str())))
        .collect();
    assert_eq!(told, [(1, JobState::Completed, None), (2, JobState::Exception, Some("TEST1"))]);
    assert!(past[0].id() != past[1].id() && past[0].id() != id);
    assert_eq!(h.jobs.counts().await.unwrap().unfinished, 0);
}

#[tokio::test]
async fn without_a_calendar_one_run_follows_the_other_and_the_last_one_decides() {
    let h = house(&["ok", "ok", "fail"]).await;
    let id = h.start(Schedule { job_run_times: 3, ..Schedule::default() }).await;
    let record = h.until_state(id, JobState::Exception).await;
    assert_eq!((record.run.runs, record.run.errors[0].message_id.as_str()), (3, "TEST1"));
    assert_eq!(h.past(id).await.len(), 2);
}

#[tokio::test]
async fn a_recurring_job_ends_when_it_is_terminated() {
    let h = house(&["ok", "wait"]).await;
    let id = h.start(daily(0)).await;
    h.clock.advance(DAY);
    h.until_runs(id, 1).await;
    h.clock.advance(DAY);
    h.until_state(id, JobState::Running).await;
    assert_eq!(h.change(id, RequestedState::Terminate).await, ChangeOutcome::Done);
    let waiting = h.start(daily(0)).await;
    assert_eq!(h.change(waiting, RequestedState::Kill).await, ChangeOutcome::Done);
    assert_eq!(h.jobs.counts().await.unwrap().unfinished, 0);
    assert_eq!(h.past(id).await.len(), 1);
}

#[tokio::test]
async fn no_further_run_begins_after_the_until_time() {
    let h = house(&["ok", "fail"]).await;
    let id = h.start(Schedule { until_time: later(2 * DAY), ..daily(0) }).await;
    h.clock.advance(DAY);
    h.until_runs(id, 1).await;
    h.clock.advance(DAY - HOUR);
    // The next would be later: this was the last.
    let record = h.until_state(id, JobState::Exception).await;
    assert_eq!(record.run.runs, 2);
}

#[tokio::test]
async fn a_job_whose_until_time_passes_before_it_begins_ends_with_a_reason() {
    let h = house(&[]).await;
    let until = |schedule| Schedule { until_time: later(2 * HOUR), ..schedule };
    let waiting = h.start(until(Schedule { scheduled_start_time: later(HOUR), ..Schedule::default() })).await;
    let held = h.start(until(Schedule { scheduled_start_time: later(HOUR), ..Schedule::default() })).await;
    assert_eq!(h.change(held, RequestedState::Suspend).await, ChangeOutcome::Done);
    // Down while both moments passed.
    assert!(h.jobs.shut_down(Duration::from_secs(20)).await);
    h.clock.advance(3 * HOUR);
    let h = open(h.store, h.clock, &[]).await;
    for id in [waiting, held] {
        let record = h.until_state(id, JobState::Terminated).await;
        provoked("CWJOB1010", &record);
        assert!(record.run.errors[0].message.contains("20260401140000.000000+000"));
    }
}

#[tokio::test]
async fn a_queue_without_room_does_not_keep_a_job_past_its_until_time() {
    let h = house(&["wait", "wait"]).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let id = h.start(Schedule::default()).await;
        h.until_state(id, JobState::Running).await;
        busy.push(id);
    }
    let queued = h.start(Schedule { until_time: later(HOUR), ..Schedule::default() }).await;
    h.clock.advance(HOUR);
    provoked("CWJOB1010", &*h.until_state(queued, JobState::Terminated).await);
    for id in busy {
        assert_eq!(h.change(id, RequestedState::Terminate).await, ChangeOutcome::Done);
    }
}

#[tokio::test]
async fn a_running_job_is_stopped_at_its_until_time() {
    let h = house(&["wait", "wait"]).await;
    let running = h.start(Schedule { until_time: later(HOUR), ..Schedule::default() }).await;
    h.until_state(running, JobState::Running).await;
    h.clock.advance(HOUR);
    let record = h.until_state(running, JobState::Terminated).await;
    provoked("CWJOB1011", &record);
}

#[tokio::test]
async fn start_means_now() {
    let h = house(&[]).await;
    let id = h.start(Schedule { scheduled_start_time: later(HOUR), ..Schedule::default() }).await;
    assert_eq!(h.change(id, RequestedState::Start).await, ChangeOutcome::Done);
    let record = h.until_state(id, JobState::Completed).await;
    assert_eq!(record.run.started, Some(noon()));
    let held = h.start(Schedule { scheduled_start_time: later(HOUR), ..Schedule::default() }).await;
    assert_eq!(h.change(held, RequestedState::Suspend).await, ChangeOutcome::Done);
    h.clock.advance(2 * HOUR);
    h.somebody_else_runs().await;
    assert_eq!(h.jobs.load(held).await.unwrap().unwrap().run.state, JobState::Suspended);
    assert_eq!(h.change(held, RequestedState::Start).await, ChangeOutcome::Done);
    h.until_state(held, JobState::Completed).await;
}

#[tokio::test]
async fn the_time_can_be_changed_until_the_job_begins() {
    let h = house(&["wait"]).await;
    let id = h.start(Schedule { scheduled_start_time: later(DAY), ..Schedule::default() }).await;
    let earlier = settings(Schedule { scheduled_start_time: later(HOUR), ..Schedule::default() });
    h.jobs.configure(id, &earlier).await.unwrap();
    let record = h.jobs.load(id).await.unwrap().unwrap();
    assert_eq!((record.run.due, &record.settings), (Some(noon() + HOUR), &earlier));
    let wrong = settings(Schedule { run_month: Some(1), run_day: Some(30), ..Schedule::default() });
    let refused = h.jobs.configure(id, &wrong).await;
    assert!(matches!(refused, Err(JobsError::BadSchedule(ScheduleMistake::NoSuchDay))), "{refused:?}");
    h.clock.advance(HOUR);
    h.until_state(id, JobState::Running).await;
    let refused = h.jobs.configure(id, &settings(daily(2))).await.unwrap_err();
    assert!(matches!(refused, JobsError::ScheduleFixed(..)), "{refused}");
    assert!(refused.to_string().contains("is Running"), "{refused}");
    // What is no schedule can still be changed.
    h.jobs.configure(id, &JobSettings { priority: 3, ..earlier }).await.unwrap();
    assert_eq!(h.change(id, RequestedState::Terminate).await, ChangeOutcome::Done);
    assert!(h.script.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn taking_the_schedule_away_starts_the_job() {
    let h = house(&[]).await;
    let id = h.start(Schedule { scheduled_start_time: later(DAY), ..Schedule::default() }).await;
    h.jobs.configure(id, &settings(Schedule::default())).await.unwrap();
    h.until_state(id, JobState::Completed).await;
}

#[tokio::test]
async fn a_schedule_that_cannot_be_followed_starts_nothing() {
    let h = house(&[]).await;
    let spinning = settings(Schedule { job_run_times: 0, ..Schedule::default() });
    let refused = h.jobs.start(h.spec("Test"), spinning).await.unwrap_err();
    assert!(matches!(refused, JobsError::BadSchedule(ScheduleMistake::NoPause)), "{refused}");
    assert_eq!(h.store.count().await.unwrap().unfinished, 0);
    // Nor is a job run again that has been run that often.
    let id = h.start(daily(3)).await;
    h.clock.advance(DAY);
    h.until_runs(id, 1).await;
    let refused =
        h.jobs.configure(id, &settings(Schedule { job_run_times: 1, ..daily(1) })).await.unwrap_err();
    assert!(matches!(refused, JobsError::BadSchedule(ScheduleMistake::RunOften)), "{refused}");
}

/// A store that fails for a moment, just when a job is due or over, does not make the server forget it.
#[tokio::test]
async fn a_look_that_fails_is_repeated() {
    for broken in ["due", "next_due", "claim"] {
        let (store, clock) = (Arc::<MemoryStore>::default(), Arc::new(ManualClock::new(noon())));
        let brittle = Arc::new(BrittleStore::new(Arc::clone(&store)));
        let h = open_over(brittle.clone(), store, clock, &[]).await;
        let at = |start| Schedule { scheduled_start_time: later(start), ..Schedule::default() };
        let soon = h.start(at(HOUR)).await;
        let over = h.start(Schedule { until_time: later(HOUR), ..at(HOUR / 2) }).await;
        let held = h.jobs.change_state(over, RequestedState::Suspend, "bert", None).await.unwrap();
        assert_eq!(held, ChangeOutcome::Done);
        let distant = h.start(at(5 * HOUR)).await;
        brittle.fail_at([broken]);
        h.clock.advance(HOUR);
        let limit = tokio::time::Instant::now() + Duration::from_secs(20);
        while brittle.failures() == 0 {
            assert!(tokio::time::Instant::now() < limit, "nobody looks");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        brittle.fail_at([]);
        h.until_state(soon, JobState::Completed).await;
        h.until_state(over, JobState::Terminated).await;
        h.clock.advance(4 * HOUR);
        h.until_state(distant, JobState::Completed).await;
    }
}
