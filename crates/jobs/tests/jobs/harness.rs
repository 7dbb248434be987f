//! A house of jobs whose steps are scripted.

use async_trait::async_trait;
use cimwright_cim::{ErrorDetail, NamespaceName};
use cimwright_jobs::errors;
use cimwright_jobs::live::Wish;
use cimwright_jobs::{
    ChangeOutcome, Clock, JobId, JobKind, JobKinds, JobRecord, JobSettings, JobSpec, JobState, JobStore,
    Jobs, JobsConfig, OnRestart, Progress, RequestedState, Step, StepContext, StepError, SystemClock,
};
use cimwright_store::MemoryStore;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;

/// What the scripted steps did, in order.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// A kind whose payload is a list of words, one a step: `ok`, `fail`, `gate` (waits for a permit or the wish to stop), `stubborn`
/// (hears nothing), `watch` (waits for a permit without doing anything), `panic`, `once` (must not be redone after a restart), `final` (cannot be cancelled, waits for a permit),
/// `sticky` (fails to be undone), `endless` (is never done with being undone), `late` (as the first one: the steps are not known before
/// there is a permit).
struct Scripted {
    log: Log,
    gate: Arc<Semaphore>,
}

struct Word {
    word: String,
    log: Log,
    gate: Arc<Semaphore>,
}

#[async_trait]
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

    async fn find_steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        if spec.payload.starts_with("late ") {
            self.log.lock().unwrap().push("asked for steps".to_owned());
            self.gate.acquire().await.unwrap().forget();
        }
        self.steps(spec)
    }
}

impl Word {
    fn note(&self, what: &str) {
        self.log.lock().unwrap().push(format!("{what} {}", self.word));
    }
}

pub(crate) fn broken(word: &str) -> ErrorDetail {
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
pub(crate) fn provoked(id: &str, record: &JobRecord) {
    let reasons = record.reported_errors();
    let found = reasons.iter().find(|reason| reason.message_id == id);
    let reason = found.unwrap_or_else(|| panic!("{id} is not among {reasons:?}"));
    let entry = errors::CATALOGUE.find(id).unwrap_or_else(|| panic!("{id} is in no catalogue"));
    assert_eq!((reason.code, reason.status), (entry.code, entry.status));
    assert!(reason.message.contains(&format!("\"{}\"", record.spec.name)), "{}", reason.message);
    assert!(!reason.message.contains('{') && !reason.recommended_actions.is_empty(), "{reason:?}");
}

pub(crate) struct House {
    pub(crate) jobs: Jobs,
    pub(crate) store: Arc<MemoryStore>,
    log: Log,
    pub(crate) gate: Arc<Semaphore>,
}

pub(crate) fn config() -> JobsConfig {
    JobsConfig {
        concurrency: 2,
        tick: Duration::from_millis(10),
        poll_interval: Duration::from_millis(50),
        retention_interval: Duration::from_millis(20),
        ..JobsConfig::default()
    }
}

pub(crate) async fn house() -> House {
    open(Arc::new(MemoryStore::new()), config()).await
}

pub(crate) async fn open(store: Arc<MemoryStore>, config: JobsConfig) -> House {
    let log = Log::default();
    let gate = Arc::new(Semaphore::new(0));
    let mut kinds = JobKinds::new();
    kinds.register(Arc::new(Scripted { log: Arc::clone(&log), gate: Arc::clone(&gate) }));
    let jobs = Jobs::open(Arc::clone(&store) as Arc<dyn JobStore>, Arc::new(SystemClock), kinds, config)
        .await
        .unwrap();
    House { jobs, store, log, gate }
}

pub(crate) fn spec(payload: &str, owner: &str) -> JobSpec {
    JobSpec {
        payload: payload.into(),
        owner: owner.into(),
        ..plain_spec("scripted", "Test", SystemClock.now())
    }
}

/// A job of this kind with nothing special about it.
pub(crate) fn plain_spec(kind: &str, name: &str, submitted: SystemTime) -> JobSpec {
    JobSpec {
        id: JobId::generate(),
        family: "test".into(),
        kind: kind.into(),
        payload: String::new(),
        origin: NamespaceName::new("root/test"),
        owner: "anna".into(),
        name: name.into(),
        caption: String::new(),
        description: String::new(),
        job_type: 0,
        owning_element: None,
        affected: Vec::new(),
        submitted,
        call: None,
        run_of: None,
    }
}

/// Waits until the job is as wanted; fails loudly if that takes far too long.
pub(crate) async fn until(
    jobs: &Jobs,
    id: JobId,
    what: &str,
    wanted: impl Fn(&JobRecord) -> bool,
) -> Arc<JobRecord> {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let record = jobs.load(id).await.unwrap().expect("the job is there");
        if wanted(&record) {
            return record;
        }
        assert!(tokio::time::Instant::now() < limit, "{what}: {:?}", record.run);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl House {
    pub(crate) async fn start(&self, payload: &str) -> JobId {
        self.jobs.start(spec(payload, "anna"), JobSettings::default()).await.unwrap().id()
    }

    /// Waits until the job is as wanted; fails loudly if that takes far too long.
    pub(crate) async fn until(
        &self,
        id: JobId,
        what: &str,
        wanted: impl Fn(&JobRecord) -> bool,
    ) -> Arc<JobRecord> {
        until(&self.jobs, id, what, wanted).await
    }

    pub(crate) async fn until_state(&self, id: JobId, state: JobState) -> Arc<JobRecord> {
        self.until(id, &format!("waiting for {state}"), |r| r.run.state == state).await
    }

    pub(crate) async fn change(&self, id: JobId, wanted: RequestedState) -> ChangeOutcome {
        self.jobs.change_state(id, wanted, "bert", None).await.unwrap()
    }

    pub(crate) fn log_mut(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.log.lock().unwrap()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) async fn until_logged(&self, line: &str) {
        let limit = tokio::time::Instant::now() + Duration::from_secs(20);
        while !self.log().iter().any(|l| l == line) {
            assert!(tokio::time::Instant::now() < limit, "never saw {line}: {:?}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
