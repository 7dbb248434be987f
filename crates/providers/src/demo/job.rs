//! The demonstration job: steps that wait.

use super::errors;
use async_trait::async_trait;
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::live::Wish;
use cimwright_sdk::jobs::{JobId, JobKind, JobSpec, Progress, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

pub(super) const KIND: &str = "demo.wait";

/// How often a waiting step tells its progress.
const TICK: Duration = Duration::from_millis(20);

/// How the job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// Completed.
    Complete,
    /// Exception.
    Fail,
    /// As it is told later.
    Wait,
}

impl Ending {
    /// The ending with this name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [("complete", Self::Complete), ("fail", Self::Fail), ("wait", Self::Wait)]
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|(_, ending)| ending)
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// How many steps.
    pub steps: u32,
    /// How long each takes, in milliseconds.
    pub duration_ms: u64,
    /// The size of the imaginary work, in bytes.
    pub bytes: u64,
    /// How it ends.
    pub ending: Ending,
}

impl Order {
    /// The stored form.
    pub fn to_payload(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Runs demonstration jobs, and remembers what they are told.
#[derive(Debug, Default)]
pub struct DemoKind {
    told: Arc<Told>,
}

#[derive(Debug, Default)]
struct Told(Mutex<HashMap<JobId, watch::Sender<Option<Ending>>>>);

impl Told {
    /// The line to a job; made if it is not there.
    fn line(&self, job: JobId) -> watch::Receiver<Option<Ending>> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.entry(job).or_insert_with(|| watch::Sender::new(None)).subscribe()
    }
}

impl DemoKind {
    /// Tells a job that waits, or will, how to end. `false` if no such job runs.
    pub fn finish(&self, job: JobId, ending: Ending) -> bool {
        let told = self.told.0.lock().unwrap_or_else(PoisonError::into_inner);
        match told.get(&job) {
            Some(sender) => {
                sender.send_replace(Some(ending));
                true
            }
            None => false,
        }
    }
}

impl JobKind for DemoKind {
    fn name(&self) -> &'static str {
        KIND
    }

    fn steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        let order: Order =
            serde_json::from_str(&spec.payload).map_err(|e| errors::payload(&spec.name, &e.to_string()))?;
        if order.ending == Ending::Wait {
            // From the start, so that it can be told before it has come to its wait.
            self.told.line(spec.id);
        }
        Ok((0..order.steps)
            .map(|index| {
                let last = index + 1 == order.steps;
                Arc::new(Wait { index, last, order: order.clone(), told: Arc::clone(&self.told) })
                    as Arc<dyn Step>
            })
            .collect())
    }
}

struct Wait {
    index: u32,
    last: bool,
    order: Order,
    told: Arc<Told>,
}

impl Wait {
    /// Waits for the duration of the step; pauses do not count.
    async fn pass_time(&self, context: &StepContext) -> Result<(), StepError> {
        let length = Duration::from_millis(self.order.duration_ms);
        let mut passed = Duration::ZERO;
        while passed < length {
            match context.wish() {
                Wish::Run => {}
                Wish::Pause => {
                    context.report_paused(true);
                    context.wish_other_than(Wish::Pause).await;
                    context.report_paused(false);
                    continue;
                }
                Wish::Stop => return Err(StepError::Stopped),
            }
            let slice = TICK.min(length - passed);
            tokio::select! {
                () = tokio::time::sleep(slice) => passed += slice,
                _ = context.wish_other_than(Wish::Run) => {}
            }
            self.tell(context, passed.as_secs_f64() / length.as_secs_f64());
        }
        self.tell(context, 1.0);
        Ok(())
    }

    fn tell(&self, context: &StepContext, share_of_step: f64) {
        let share = (f64::from(self.index) + share_of_step) / f64::from(self.order.steps);
        context.set_progress(Progress {
            done: (self.order.bytes as f64 * share) as u64,
            total: self.order.bytes,
            share: (share * 10_000.0) as u16,
        });
    }

    /// Waits until somebody says how to end.
    async fn be_told(&self, context: &StepContext) -> Result<Ending, StepError> {
        let id = context.spec().id;
        let mut receiver = self.told.line(id);
        let ending = loop {
            match context.wish() {
                Wish::Run => {}
                Wish::Pause => {
                    context.report_paused(true);
                    context.wish_other_than(Wish::Pause).await;
                    context.report_paused(false);
                    continue;
                }
                Wish::Stop => break Err(StepError::Stopped),
            }
            tokio::select! {
                ending = first_word(&mut receiver) => break Ok(ending),
                _ = context.wish_other_than(Wish::Run) => {}
            }
        };
        self.told.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        ending
    }
}

/// Owns the guard of the channel, which must not be held across an await.
async fn first_word(receiver: &mut watch::Receiver<Option<Ending>>) -> Ending {
    let word = receiver.wait_for(Option::is_some).await.ok().and_then(|e| *e);
    word.unwrap_or(Ending::Complete)
}

#[async_trait]
impl Step for Wait {
    fn name(&self) -> &'static str {
        "wait"
    }

    fn title(&self) -> String {
        format!("Waiting, {} of {}", self.index + 1, self.order.steps)
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        self.pass_time(context).await?;
        if !self.last {
            return Ok(String::new());
        }
        let ending = match self.order.ending {
            Ending::Wait => self.be_told(context).await?,
            known => known,
        };
        match ending {
            Ending::Fail => Err(errors::told_to_fail(&context.spec().name).into()),
            Ending::Complete | Ending::Wait => Ok(String::new()),
        }
    }

    async fn undo(&self, context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        self.told.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&context.spec().id);
        Ok(())
    }
}
