//! The job service as its users see it: real drivers, the memory store, steps that do what the test says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use async_trait::async_trait;
use cimwright_cim::{ErrorDetail, NamespaceName};
use cimwright_jobs::errors;
use cimwright_jobs::live::Wish;
use cimwright_jobs::{
    ChangeOutcome, JobId, JobKind, JobKinds, JobRecord, JobSettings, JobSpec, JobState, JobStore, Jobs,
    JobsConfig, OnRestart, Progress, RequestedState, Step, StepContext, StepError, SystemClock,
};
use cimwright_store::MemoryStore;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What the scripted steps did, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// A kind whose payload is a list of words, one a step: `ok`, `fail`, `gate` (waits for a permit or the wish to stop), `stubborn`
/// (hears nothing), `watch` (waits for a permit without doing anything), `panic`, `once` (must not be redone after a restart), `final` (cannot be cancelled, waits for a permit),
/// `sticky` (fails to be undone), `endless` (is never done with being undone).
struct Scripted {
    log: Log,
    gate: Arc<Semaphore>,
}

struct Word {
    word: String,
    log: Log,
    gate: Arc<Semaphore>,
}

impl JobKind for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        Ok(spec
            .payload
            .split_whitespace()
            .map(|word| {
                Arc::new(Word {
                    word: word.to_owned(),
                    log: Arc::clone(&self.log),
                    gate: Arc::clone(&self.gate),
                }) as Arc<dyn Step>
            })
            .collect())
    }
}

impl Word {
    fn note(&self, what: &str) {
        self.log.lock().unwrap().push(format!("{what} {}", self.word));
    }
}

fn broken(word: &str) -> ErrorDetail {
    static ENTRY: cimwright_cim::CatalogueEntry = cimwright_cim::CatalogueEntry {
        id: "TEST1",
        message: "step {0} broke",
        meaning: "",
        error_type: cimwright_cim::ErrorType::Software,
        severity: cimwright_cim::Severity::Major,
        probable_cause: 47,
        probable_cause_description: "",
        actions: &[],
        status: cimwright_cim::CimStatus::Failed,
        code: 32768,
    };
    ENTRY.detail([word])
}

#[async_trait]
impl Step for Word {
    fn name(&self) -> &'static str {
        "word"
    }

    fn title(&self) -> String {
        format!("Doing {}", self.word)
    }

    fn cancellable(&self) -> bool {
        self.word != "final"
    }

    fn on_restart(&self) -> OnRestart {
        if self.word == "once" { OnRestart::Fail } else { OnRestart::Redo }
    }

    fn only_watches(&self) -> bool {
        self.word == "watch"
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        self.note("run");
        context.set_result("Child", self.word.as_str());
        match self.word.as_str() {
            "fail" => Err(broken("fail").into()),
            "panic" => panic!("the step went wrong"),
            "stubborn" => std::future::pending().await,
            "final" | "watch" => {
                self.gate.acquire().await.unwrap().forget();
                Ok("done".into())
            }
            "gate" | "once" => loop {
                context.set_progress(Progress { done: 30, total: 100, share: 3000 });
                match context.wish() {
                    Wish::Stop => return Err(StepError::Stopped),
                    Wish::Pause => {
                        context.report_paused(true);
                        context.wish_other_than(Wish::Pause).await;
                        context.report_paused(false);
                        continue;
                    }
                    Wish::Run => {}
                }
                tokio::select! {
                    permit = self.gate.acquire() => {
                        permit.unwrap().forget();
                        return Ok("through the gate".into());
                    }
                    _ = context.wish_other_than(Wish::Run) => {}
                }
            },
            _ => Ok("ok".into()),
        }
    }

    async fn undo(&self, _context: &StepContext, output: Option<&str>) -> Result<(), ErrorDetail> {
        self.note(if output.is_some() { "undo finished" } else { "undo" });
        if self.word == "endless" {
            std::future::pending::<()>().await;
        }
        if self.word == "sticky" { Err(broken("undo")) } else { Ok(()) }
    }
}

/// Asserts that a reason of the machinery stands among the errors of a job, whole and about this job.
fn provoked(id: &str, record: &JobRecord) {
    let reasons = record.reported_errors();
    let found = reasons.iter().find(|reason| reason.message_id == id);
    let reason = found.unwrap_or_else(|| panic!("{id} is not among {reasons:?}"));
    let entry = errors::CATALOGUE.find(id).unwrap_or_else(|| panic!("{id} is in no catalogue"));
    assert_eq!((reason.code, reason.status), (entry.code, entry.status));
    assert!(reason.message.contains(&format!("\"{}\"", record.spec.name)), "{}", reason.message);
    assert!(!reason.message.contains('{') && !reason.recommended_actions.is_empty(), "{reason:?}");
}

/// Whether every entry of the catalogue is provoked by a test of this file.
#[test]
fn every_reason_is_provoked() {
    let source = include_str!("service.rs");
    for entry in errors::CATALOGUE.entries {
        assert!(source.contains(&format!("provoked(\"{}\"", entry.id)), "no test provokes {}", entry.id);
    }
}

struct House {
    jobs: Jobs,
    store: Arc<MemoryStore>,
    log: Log,
    gate: Arc<Semaphore>,
}

fn config() -> JobsConfig {
    JobsConfig {
        concurrency: 2,
        tick: Duration::from_millis(10),
        poll_interval: Duration::from_millis(50),
        retention_interval: Duration::from_millis(20),
        ..JobsConfig::default()
    }
}

async fn house() -> House {
    open(Arc::new(MemoryStore::new()), config()).await
}

async fn open(store: Arc<MemoryStore>, config: JobsConfig) -> House {
    let log = Log::default();
    let gate = Arc::new(Semaphore::new(0));
    let mut kinds = JobKinds::new();
    kinds.register(Arc::new(Scripted { log: Arc::clone(&log), gate: Arc::clone(&gate) }));
    let jobs = Jobs::open(Arc::clone(&store) as Arc<dyn JobStore>, Arc::new(SystemClock), kinds, config)
        .await
        .unwrap();
    House { jobs, store, log, gate }
}

fn spec(payload: &str, owner: &str) -> JobSpec {
    use cimwright_jobs::Clock;
    JobSpec {
        id: JobId::generate(),
        family: "test".into(),
        kind: "scripted".into(),
        payload: payload.into(),
        origin: NamespaceName::new("root/test"),
        owner: owner.into(),
        name: "Test".into(),
        caption: String::new(),
        description: String::new(),
        job_type: 0,
        owning_element: None,
        affected: Vec::new(),
        submitted: SystemClock.now(),
    }
}

impl House {
    async fn start(&self, payload: &str) -> JobId {
        self.jobs.start(spec(payload, "anna"), JobSettings::default()).await.unwrap().id()
    }

    /// Waits until the job is as wanted; fails loudly if that takes far too long.
    async fn until(&self, id: JobId, what: &str, wanted: impl Fn(&JobRecord) -> bool) -> Arc<JobRecord> {
        let limit = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let record = self.jobs.load(id).await.unwrap().expect("the job is there");
            if wanted(&record) {
                return record;
            }
            assert!(tokio::time::Instant::now() < limit, "{what}: {:?}", record.run);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn until_state(&self, id: JobId, state: JobState) -> Arc<JobRecord> {
        self.until(id, &format!("waiting for {state}"), |r| r.run.state == state).await
    }

    async fn change(&self, id: JobId, wanted: RequestedState) -> ChangeOutcome {
        self.jobs.change_state(id, wanted, "bert", None).await.unwrap()
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    async fn until_logged(&self, line: &str) {
        let limit = tokio::time::Instant::now() + Duration::from_secs(20);
        while !self.log().iter().any(|l| l == line) {
            assert!(tokio::time::Instant::now() < limit, "never saw {line}: {:?}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

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
    assert_eq!(messages, ["step fail broke", "step undo broke"]);
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
    assert_eq!(
        h.change(id, RequestedState::Terminate).await,
        ChangeOutcome::Refused(cimwright_jobs::admit::Refusal::Finished)
    );
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
        let refused = ChangeOutcome::Refused(cimwright_jobs::admit::Refusal::NotCancellable);
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
    let mut last = None;
    for n in 0..10_000 {
        let owner = format!("user{}", n % 3);
        last = Some(h.jobs.start(spec("ok", &owner), JobSettings::default()).await.unwrap().id());
    }
    for id in running {
        h.until_state(id, JobState::Running).await;
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

#[tokio::test]
async fn a_kind_nobody_knows_fails_with_a_reason() {
    let h = house().await;
    let unknown = JobSpec { kind: "from another version".into(), ..spec("", "anna") };
    let id = h.jobs.start(unknown, JobSettings::default()).await.unwrap().id();
    let record = h.until_state(id, JobState::Exception).await;
    provoked("CWJOB1005", &record);
}
