//! The jobs of a provider in a process of its own: the record is the server's, the work is the process's.

use crate::errors;
use crate::link::{Event, Link};
use crate::process::Inner;
use crate::remote::reason_of;
use async_trait::async_trait;
use cimwright_cim::{CimError, ErrorDetail, Value};
use cimwright_jobs::live::Wish;
use cimwright_jobs::{JobKind, JobSpec, OnRestart, Progress, Step, StepContext, StepError};
use cimwright_sdk::process::frame;
use cimwright_sdk::process::wire::{Answer, Operation, WireDone, WireJob, WireStep, from_reason, sent};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many results a step may have; together they are no longer than one message may be.
const MOST_RESULTS: usize = 1024;

/// How many steps a job may have. Each of them may leave results, and all of them are kept in the record.
const MOST_STEPS: usize = 256;

/// A kind of job that a process runs.
pub(crate) struct RemoteKind {
    pub(crate) inner: Arc<Inner>,
    /// The name that the server has for it.
    pub(crate) name: &'static str,
    /// The name that the process has for it.
    pub(crate) theirs: String,
}

struct RemoteStep {
    inner: Arc<Inner>,
    kind: String,
    at: usize,
    form: WireStep,
    /// The last call that worked on it. When that was dropped it may still be being cancelled.
    ran: Mutex<Option<(Arc<Link>, u64)>>,
}

#[async_trait]
impl JobKind for RemoteKind {
    fn name(&self) -> &'static str {
        self.name
    }

    fn steps(&self, _: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        // Nobody asks this way: a process cannot be asked without waiting for it.
        Err(errors::not_started(&self.inner.settings.name, "its steps have to be waited for"))
    }

    async fn find_steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        let Inner { settings, .. } = self.inner.as_ref();
        let asked = Operation::Steps { job: Box::new(self.inner.job(spec, &self.theirs)) };
        let mut conversation = self.inner.ask(None, asked, &format!("the job \"{}\"", spec.name)).await?;
        match conversation.answer_within(settings.call_timeout).await? {
            Answer::Steps { steps } if steps.len() > MOST_STEPS => {
                let text = format!("{} steps of one job, of which there may be {MOST_STEPS}", steps.len());
                Err(errors::too_much(&settings.name, text))
            }
            Answer::Steps { steps } => Ok(steps
                .into_iter()
                .enumerate()
                .map(|(at, form)| {
                    let (inner, kind) = (Arc::clone(&self.inner), self.theirs.clone());
                    Arc::new(RemoteStep { inner, kind, at, form, ran: Mutex::default() }) as Arc<dyn Step>
                })
                .collect()),
            Answer::Reason { reason } => Err(self.inner.reason(reason)),
            Answer::Failed { error } => Err(reason_of(&settings.name, CimError::try_from(error))),
            _ => Err(conversation.misplaced()),
        }
    }
}

#[async_trait]
impl Step for RemoteStep {
    fn name(&self) -> &str {
        &self.form.name
    }

    fn title(&self) -> String {
        self.form.title.clone()
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let asked = Operation::Run {
            job: Box::new(self.inner.job(context.spec(), &self.kind)),
            step: self.at,
            name: self.form.name.clone(),
            done: sent::<_, WireDone>(context.done()),
        };
        let mut conversation = self.inner.ask(None, asked, &self.what(context)).await?;
        *self.ran() = Some(conversation.ticket());
        let mut known = Wish::Run;
        let mut results: HashMap<String, usize> = HashMap::new();
        loop {
            // Only what was seen leaves the select; what is done about it comes after.
            let seen = tokio::select! {
                event = conversation.next() => Ok(event?),
                wish = context.wish_other_than(known) => Err(wish),
            };
            match seen {
                Err(wish) => {
                    known = wish;
                    conversation.wish(wish.into()).await?;
                }
                Ok(Event::Progress(done, total, share)) => {
                    context.set_progress(Progress { done, total, share });
                }
                Ok(Event::Result(name, value, length)) => {
                    results.insert(name.clone(), length);
                    if results.len() > MOST_RESULTS || results.values().sum::<usize>() > frame::MAX_FRAME {
                        return Err(conversation.too_much("results of one step").into());
                    }
                    match Value::try_from(value) {
                        Ok(value) => context.set_result(&name, value),
                        Err(error) => {
                            return Err(errors::nonsense(&self.inner.settings.name, error.to_string()).into());
                        }
                    }
                }
                Ok(Event::Paused(paused)) => context.report_paused(paused),
                Ok(Event::Answer(Answer::Output { output })) => return Ok(output),
                Ok(Event::Answer(Answer::Stopped {})) => return Err(StepError::Stopped),
                Ok(Event::Answer(Answer::Reason { reason })) => return Err(self.inner.reason(reason).into()),
                Ok(Event::Answer(Answer::Failed { error })) => {
                    return Err(reason_of(&self.inner.settings.name, CimError::try_from(error)).into());
                }
                Ok(Event::Answer(_) | Event::Portion(..)) => return Err(conversation.misplaced().into()),
            }
        }
    }

    async fn undo(&self, context: &StepContext, output: Option<&str>) -> Result<(), ErrorDetail> {
        // While the step is still at work, what is undone would be done again.
        let ran = self.ran().take();
        if let Some((link, id)) = ran {
            link.over(id).await;
        }
        let asked = Operation::Undo {
            job: Box::new(self.inner.job(context.spec(), &self.kind)),
            step: self.at,
            name: self.form.name.clone(),
            done: sent::<_, WireDone>(context.done()),
            output: output.map(str::to_owned),
        };
        // What this step has left may be undone by a later process, also when the one before did not survive undoing another step. How
        // long that may take is up to whoever waits for it.
        let mut conversation = self.inner.ask_after_rest(asked, &self.what(context)).await?;
        loop {
            match conversation.next().await? {
                Event::Answer(Answer::Done {}) => return Ok(()),
                Event::Answer(Answer::Reason { reason }) => return Err(self.inner.reason(reason)),
                Event::Answer(Answer::Failed { error }) => {
                    return Err(reason_of(&self.inner.settings.name, CimError::try_from(error)));
                }
                Event::Answer(_) => return Err(conversation.misplaced()),
                // What is said while undoing is for nobody.
                _ => {}
            }
        }
    }

    fn on_restart(&self) -> OnRestart {
        self.form.on_restart.into()
    }

    fn only_watches(&self) -> bool {
        self.form.only_watches
    }

    fn cancellable(&self) -> bool {
        self.form.cancellable
    }
}

impl RemoteStep {
    fn ran(&self) -> MutexGuard<'_, Option<(Arc<Link>, u64)>> {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn what(&self, context: &StepContext) -> String {
        format!("step \"{}\" of the job \"{}\"", self.form.name, context.spec().name)
    }
}

impl Inner {
    /// A job as the process knows it.
    fn job(&self, spec: &JobSpec, kind: &str) -> WireJob {
        let mut job = WireJob::from(spec);
        kind.clone_into(&mut job.kind);
        let prefix = self.ours("");
        if let Some(family) = job.family.strip_prefix(&prefix) {
            job.family = family.to_owned();
        }
        job
    }

    fn reason(&self, reason: Vec<cimwright_sdk::process::wire::WireDetail>) -> ErrorDetail {
        from_reason(reason).unwrap_or_else(|e| errors::nonsense(&self.settings.name, e.to_string()))
    }
}
