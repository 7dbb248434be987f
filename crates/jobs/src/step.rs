//! What a provider writes: a kind of job, made of steps that can be undone.
//!
//! Rules for a step:
//! - `run` may be dropped at any await point (Kill, a lost lease, the end of the server). Whatever it started must end with it.
//! - `undo` removes everything `run` may have left, whether `run` ended well, failed, was dropped, or died with its process. It is
//!   called more than once and must then find nothing to do.
//! - A step cannot fail without a reason: the error is an [`ErrorDetail`].

use crate::live::{Live, Wish};
use crate::record::{JobSpec, Progress, StepRecord};
use async_trait::async_trait;
use cimwright_cim::{ErrorDetail, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A kind of job: knows its steps.
#[async_trait]
pub trait JobKind: Send + Sync + 'static {
    /// The name that is stored in [`JobSpec::kind`]; never reused for something else.
    fn name(&self) -> &'static str;

    /// The steps of a job, from what is stored about it. The same steps every time: a restarted server asks again.
    ///
    /// # Errors
    /// When the payload cannot be understood; the job then fails with this reason.
    fn steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail>;

    /// The same, for a kind that has to ask somebody else. The driver calls this one; the default is [`JobKind::steps`].
    ///
    /// # Errors
    /// As [`JobKind::steps`].
    async fn find_steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        self.steps(spec)
    }
}

/// One step of a job.
#[async_trait]
pub trait Step: Send + Sync + 'static {
    /// Its name, unique within the job; stored.
    fn name(&self) -> &str;

    /// What the job is doing while this step runs, for CIM_Job.JobStatus.
    fn title(&self) -> String;

    /// Does the work. The returned text is stored with the job, given to later steps and to `undo`.
    ///
    /// # Errors
    /// [`StepError::Failed`] with the reason, or [`StepError::Stopped`] after [`StepContext::stopped`] said so.
    async fn run(&self, context: &StepContext) -> Result<String, StepError>;

    /// Removes what `run` left. `output` is what `run` returned, if it got that far.
    ///
    /// # Errors
    /// When something could not be removed; the reason is added to the job's errors and never hides the first one.
    async fn undo(&self, context: &StepContext, output: Option<&str>) -> Result<(), ErrorDetail>;

    /// What to do when the server died while this step ran.
    fn on_restart(&self) -> OnRestart {
        OnRestart::Redo
    }

    /// Whether it only watches what goes on without it. Such a step takes no place among the jobs that run at once.
    fn only_watches(&self) -> bool {
        false
    }

    /// Whether the job can be stopped while this step runs. FALSE only for steps that end soon and cannot be undone halfway.
    fn cancellable(&self) -> bool {
        true
    }
}

/// What to do with a step whose server died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRestart {
    /// Undo it and run it again.
    Redo,
    /// Run it again without undoing it: it finds out by itself how far it came.
    Repeat,
    /// Undo it and all before it; the job fails and says that the server stopped while it ran.
    Fail,
}

/// How a step ended when it did not end well.
#[derive(Debug)]
pub enum StepError {
    /// It failed, for this reason.
    Failed(Box<ErrorDetail>),
    /// It was told to stop and did.
    Stopped,
}

impl From<ErrorDetail> for StepError {
    fn from(detail: ErrorDetail) -> Self {
        Self::Failed(Box::new(detail))
    }
}

/// What a step may ask and tell while it runs.
#[derive(Clone)]
pub struct StepContext {
    pub(crate) spec: Arc<JobSpec>,
    pub(crate) done: Arc<[StepRecord]>,
    pub(crate) live: Arc<Live>,
}

impl StepContext {
    /// A context with nobody at the other end, for testing one step.
    pub fn detached(spec: JobSpec, done: Vec<StepRecord>) -> Self {
        Self { spec: Arc::new(spec), done: done.into(), live: Arc::new(Live::default()) }
    }

    /// A context whose other end is `live`, for whoever runs a step away from its driver and tells the driver what it says.
    pub fn over(spec: JobSpec, done: Vec<StepRecord>, live: Arc<Live>) -> Self {
        Self { spec: Arc::new(spec), done: done.into(), live }
    }

    /// The steps that ended well before this one.
    pub fn done(&self) -> &[StepRecord] {
        &self.done
    }

    /// What was asked for.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }

    /// What an earlier step returned.
    pub fn output_of(&self, step: &str) -> Option<&str> {
        self.done.iter().find(|s| s.name == step).map(|s| s.output.as_str())
    }

    /// Tells how much of the job is done. Only what the engine says; never a guess.
    pub fn set_progress(&self, progress: Progress) {
        self.live.set_progress(progress);
    }

    /// Sets a result: an output parameter or a class-specific property of the job, by its name.
    pub fn set_result(&self, name: &str, value: impl Into<Value>) {
        self.live.set_result(name, value.into());
    }

    /// What the step should be doing.
    pub fn wish(&self) -> Wish {
        self.live.wish()
    }

    /// Waits until the wish is no longer `known`.
    pub async fn wish_other_than(&self, known: Wish) -> Wish {
        self.live.wish_other_than(known).await
    }

    /// Waits until the step is told to stop. For steps that cannot pause: `select!` the work against this.
    pub async fn stopped(&self) {
        let mut wish = self.wish();
        while wish != Wish::Stop {
            wish = self.wish_other_than(wish).await;
        }
    }

    /// Tells that the work has really been paused, or really goes on.
    pub fn report_paused(&self, paused: bool) {
        self.live.report_paused(paused);
    }
}

impl fmt::Debug for StepContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext").field("job", &self.spec.id).finish_non_exhaustive()
    }
}

/// All kinds of jobs that a server can run.
#[derive(Clone, Default)]
pub struct JobKinds(HashMap<&'static str, Arc<dyn JobKind>>);

impl JobKinds {
    /// No kinds at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind; a later one of the same name replaces an earlier one.
    pub fn register(&mut self, kind: Arc<dyn JobKind>) {
        self.0.insert(kind.name(), kind);
    }

    /// The kind of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn JobKind>> {
        self.0.get(name)
    }
}

impl fmt::Debug for JobKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
