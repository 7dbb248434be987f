//! One step being run.

use super::{Driver, Halt, keep::panic_text, rest_event};
use crate::errors;
use crate::live::Wish;
use crate::machine::{JobEvent, next};
use crate::record::StateRequest;
use crate::state::{JobState, RequestedState};
use crate::step::{Step, StepContext, StepError};
use cimwright_cim::ErrorDetail;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How one step came out.
pub(super) enum Outcome {
    Finished(String),
    Failed(Box<ErrorDetail>),
    Stopped,
    Killed,
    ShutDown,
}

/// What the driver's `select!` saw.
enum Event {
    StepEnded(Result<Result<String, StepError>, String>),
    Asked,
    PauseReported,
    Permit(OwnedSemaphorePermit),
    Tick,
    Deadline,
    ShutDown,
}

impl Driver {
    /// Runs a step, and hears meanwhile what is asked of the job.
    pub(super) async fn run_step(&mut self, step: &Arc<dyn Step>) -> Result<Outcome, Halt> {
        let context = self.context();
        self.live.set_wish(Wish::Run);
        self.live.report_paused(false);
        let mut pauses = self.live.pauses();
        let mut work = Box::pin(AssertUnwindSafe(run_owned(Arc::clone(step), context)).catch_unwind());
        let mut tick = self.ticks();
        let mut deadline: Option<Instant> = None;
        let mut waiting_for_permit = false;
        loop {
            let permits = Arc::clone(&self.shared.permits);
            let event = tokio::select! {
                biased;
                result = &mut work => Event::StepEnded(result.map_err(|p| panic_text(p.as_ref()))),
                _ = self.requests.changed() => Event::Asked,
                _ = pauses.changed() => Event::PauseReported,
                Ok(permit) = permits.acquire_owned(), if waiting_for_permit => Event::Permit(permit),
                () = sleep_until(deadline) => Event::Deadline,
                _ = self.shutdown.changed() => Event::ShutDown,
                _ = tick.tick() => Event::Tick,
            };
            match event {
                Event::StepEnded(result) => {
                    self.collect_results();
                    // A step that ended while at rest did so in the same instant; the machine wants it running again.
                    if self.is_at_rest() {
                        self.step_to(JobEvent::Resume)?;
                        self.step_to(JobEvent::Begun)?;
                        self.start_counting();
                    }
                    return Ok(match result {
                        Ok(Ok(output)) => Outcome::Finished(output),
                        Ok(Err(StepError::Failed(reason))) => Outcome::Failed(reason),
                        Ok(Err(StepError::Stopped)) => Outcome::Stopped,
                        Err(text) => {
                            Outcome::Failed(Box::new(errors::panicked(&self.record.spec, step.name(), &text)))
                        }
                    });
                }
                Event::Asked => {
                    let Some(request) = self.take_request() else { continue };
                    let limit = self.time_left(&request);
                    match request.wanted {
                        RequestedState::Kill => return Ok(Outcome::Killed),
                        RequestedState::Terminate => {
                            self.step_to(JobEvent::Stop)?;
                            self.stop_counting();
                            "Stopping".clone_into(&mut self.record.run.status);
                            self.write().await?;
                            self.live.set_wish(Wish::Stop);
                            deadline = Some(Instant::now() + limit.unwrap_or(self.shared.config.stop_grace));
                            waiting_for_permit = false;
                        }
                        RequestedState::Suspend | RequestedState::Service => {
                            if self.is_at_rest() {
                                self.rest(rest_event(request.wanted)).await?;
                                waiting_for_permit = false;
                                continue;
                            }
                            self.live.set_wish(Wish::Pause);
                            deadline = limit.map(|l| Instant::now() + l);
                        }
                        RequestedState::Start => {
                            deadline = None;
                            if self.is_at_rest() {
                                waiting_for_permit = true;
                            } else {
                                self.live.set_wish(Wish::Run);
                            }
                        }
                    }
                }
                Event::PauseReported => {
                    let paused = *pauses.borrow_and_update();
                    let wanted = self.current.as_ref().map(|r| r.wanted);
                    if paused
                        && let Some(wanted @ (RequestedState::Suspend | RequestedState::Service)) = wanted
                    {
                        deadline = None;
                        self.rest(rest_event(wanted)).await?;
                    }
                }
                Event::Permit(permit) => {
                    waiting_for_permit = false;
                    self.permit = Some(permit);
                    self.record.run.status = step.title();
                    self.go_on().await?;
                    self.live.set_wish(Wish::Run);
                }
                Event::Deadline => {
                    deadline = None;
                    if self.record.run.state == JobState::ShuttingDown {
                        drop(work);
                        let seconds = self.allowed_seconds();
                        let forced = errors::stop_forced(&self.record.spec, step.name(), seconds);
                        self.record.run.errors.push(forced);
                        return Ok(Outcome::Stopped);
                    }
                    // A suspension that did not come in time is withdrawn; the job goes on.
                    self.live.set_wish(Wish::Run);
                }
                Event::ShutDown => {
                    if !*self.shutdown.borrow() {
                        continue;
                    }
                    if step.cancellable() {
                        return Ok(Outcome::ShutDown);
                    }
                }
                Event::Tick => {
                    self.tick().await?;
                    if !self.over && step.cancellable() && self.time_is_over() {
                        if next(self.record.run.state, JobEvent::Stop).is_err() {
                            continue;
                        }
                        self.over = true;
                        self.step_to(JobEvent::Stop)?;
                        self.stop_counting();
                        "Stopping, UntilTime has come".clone_into(&mut self.record.run.status);
                        self.write().await?;
                        self.live.set_wish(Wish::Stop);
                        deadline = Some(Instant::now() + self.shared.config.stop_grace);
                        waiting_for_permit = false;
                    }
                }
            }
        }
    }

    pub(super) fn time_left(&self, request: &StateRequest) -> Option<Duration> {
        let deadline = request.deadline?;
        Some(deadline.duration_since(self.shared.clock.now()).unwrap_or_default())
    }

    fn allowed_seconds(&self) -> u64 {
        let asked = self.current.as_ref().and_then(|r| r.deadline?.duration_since(r.at).ok());
        asked.unwrap_or(self.shared.config.stop_grace).as_secs()
    }
}

/// Owns the step and its context, so that the future borrows nothing from the driver.
async fn run_owned(step: Arc<dyn Step>, context: StepContext) -> Result<String, StepError> {
    step.run(&context).await
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
