//! The jobs that this process drives at the moment: what they are told, and what they tell between two writes to the store.

use crate::record::{JobId, Progress, StateRequest};
use crate::state::JobState;
use cimwright_cim::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What a step should be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Work.
    Run,
    /// Stop for a while and report it.
    Pause,
    /// Stop for good, in order.
    Stop,
}

/// The line between a running job and everybody else in the process.
#[derive(Debug)]
pub struct Live {
    control: watch::Sender<Option<StateRequest>>,
    state: watch::Sender<JobState>,
    wish: watch::Sender<Wish>,
    paused: watch::Sender<bool>,
    progress: Mutex<Progress>,
    step: Mutex<Option<CurrentStep>>,
    results: Mutex<Vec<(String, Value)>>,
}

/// The step that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentStep {
    /// What it is doing, for CIM_Job.JobStatus.
    pub title: String,
    /// Whether the job can be stopped while it runs.
    pub cancellable: bool,
}

impl Default for Live {
    fn default() -> Self {
        Self::new(JobState::Running)
    }
}

impl Live {
    /// A line for a job in `state`.
    pub fn new(state: JobState) -> Self {
        Self {
            control: watch::Sender::new(None),
            state: watch::Sender::new(state),
            wish: watch::Sender::new(Wish::Run),
            paused: watch::Sender::new(false),
            progress: Mutex::default(),
            step: Mutex::default(),
            results: Mutex::default(),
        }
    }

    /// Passes a client's request to the driver.
    pub fn ask(&self, request: StateRequest) {
        self.control.send_replace(Some(request));
    }

    /// The driver's end of [`Live::ask`].
    pub fn requests(&self) -> watch::Receiver<Option<StateRequest>> {
        self.control.subscribe()
    }

    /// Follows the state of the job.
    pub fn states(&self) -> watch::Receiver<JobState> {
        self.state.subscribe()
    }

    /// Publishes the state, after the store has it.
    pub fn set_state(&self, state: JobState) {
        self.state.send_replace(state);
    }

    /// How much of the job is done.
    pub fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how much of the job is done.
    pub fn set_progress(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// The step that runs; `None` between two steps and at rest.
    pub fn step(&self) -> Option<CurrentStep> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Publishes which step runs. The store learns of it with the next write, which need not be soon.
    pub fn set_step(&self, step: Option<CurrentStep>) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// Sets a result.
    pub fn set_result(&self, name: &str, value: Value) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.retain(|(n, _)| n != name);
        results.push((name.to_owned(), value));
    }

    /// Takes the results that were set since the last call.
    pub fn take_results(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the step should be doing.
    pub fn wish(&self) -> Wish {
        *self.wish.borrow()
    }

    /// Tells the step what to do.
    pub fn set_wish(&self, wish: Wish) {
        self.wish.send_replace(wish);
    }

    /// Waits until the wish is no longer `known`.
    pub async fn wish_other_than(&self, known: Wish) -> Wish {
        let mut wishes = self.wish.subscribe();
        let wish = wishes.wait_for(|w| *w != known).await.map(|w| *w);
        match wish {
            Ok(wish) => wish,
            // Cannot happen: the sender lives in self.
            Err(_) => std::future::pending().await,
        }
    }

    /// The step's word that it has paused or goes on.
    pub fn report_paused(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// The driver's end of [`Live::report_paused`].
    pub fn pauses(&self) -> watch::Receiver<bool> {
        self.paused.subscribe()
    }
}

/// All jobs that this process drives.
#[derive(Debug, Default)]
pub struct LiveJobs(Mutex<HashMap<JobId, Arc<Live>>>);

impl LiveJobs {
    /// The line to a job, if it is driven here.
    pub fn get(&self, id: JobId) -> Option<Arc<Live>> {
        self.lock().get(&id).cloned()
    }

    /// Adds a job.
    pub fn insert(&self, id: JobId, live: Arc<Live>) {
        self.lock().insert(id, live);
    }

    /// Takes a job out, if `live` is the line it has now.
    pub fn remove(&self, id: JobId, live: &Arc<Live>) {
        let mut jobs = self.lock();
        if jobs.get(&id).is_some_and(|l| Arc::ptr_eq(l, live)) {
            jobs.remove(&id);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Arc<Live>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
