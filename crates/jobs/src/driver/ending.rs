//! How a job ends, runs again, or is given back: what it has done is undone first where that has to be.

use super::keep::{halt, panic_text};
use super::{Driver, Ending, Halt, WAITS_FOR_ROOM, has_to_wait, waits_until};
use crate::errors;
use crate::machine::{JobEvent, next};
use crate::record::{JobId, JobRecord, JobRun, JobSpec};
use crate::state::JobState;
use crate::step::Step;
use crate::store::StoreError;
use cimwright_cim::ErrorDetail;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

impl Driver {
    /// Undoes everything and ends the job.
    pub(super) async fn end(&mut self, ending: Ending) -> Result<(), Halt> {
        self.collect_results();
        self.stop_counting();
        if matches!(ending, Ending::Terminated(_))
            && !matches!(self.record.run.state, JobState::New | JobState::ShuttingDown)
        {
            self.step_to(JobEvent::Stop)?;
            "Stopping".clone_into(&mut self.record.run.status);
            self.write().await?;
        }
        let mut trouble = Vec::new();
        self.undo_current(&mut trouble).await?;
        while let Some(done) = self.record.run.steps.pop() {
            if let Some(step) = self.steps.get(self.record.run.steps.len()).cloned() {
                self.undo(&step, Some(&done.output), &mut trouble).await?;
            }
        }
        let run = &mut self.record.run;
        let mut later = std::mem::take(&mut run.errors);
        match ending {
            Ending::Failed(reason) => {
                run.status = reason.message.clone();
                run.errors = vec![*reason];
                self.step_to(JobEvent::Fail)?;
            }
            Ending::Terminated(reasons) => {
                run.status = reasons.first().map_or_else(String::new, |r| r.message.clone());
                run.errors = reasons;
                self.step_to(JobEvent::EndStop)?;
            }
            Ending::Killed(reason) => {
                run.status = reason.message.clone();
                run.errors = vec![reason];
                self.step_to(JobEvent::Kill)?;
            }
        }
        self.record.run.errors.append(&mut later);
        self.record.run.undo_errors.append(&mut trouble);
        self.finish().await
    }

    pub(super) fn time_is_over(&self) -> bool {
        self.until.is_some_and(|until| self.shared.clock.now() >= until)
    }

    /// How the job ends because its UntilTime has passed; `None` if it has not.
    pub(super) fn ending_by_time(&self) -> Option<Ending> {
        let until = self.until.filter(|_| self.time_is_over())?;
        let spec = &self.record.spec;
        let began = self.record.run.started.is_some();
        let reason =
            if began { errors::until_reached(spec, until) } else { errors::until_passed(spec, until) };
        Some(Ending::Terminated(vec![reason]))
    }

    /// Writes the end of the job, which releases the lease.
    pub(super) async fn finish(&mut self) -> Result<(), Halt> {
        self.collect_results();
        self.stop_counting();
        let share = self.record.run.progress.share;
        self.record.run.progress = self.live.progress();
        self.record.run.progress.share = share.max(self.record.run.progress.share);
        let now = self.shared.clock.now();
        self.record.run.finished = Some(now);
        self.record.run.cancellable = false;
        if self.record.settings.schedule.job_run_times != 1 {
            self.record.run.runs += 1;
            if let Some(due) = self.next_run(now) {
                return self.recur(now, due).await;
            }
        }
        self.write().await?;
        self.permit = None;
        self.shared.job_ended(&self.record);
        Ok(())
    }

    /// When the job runs again; `None` if this was its last run.
    fn next_run(&self, now: SystemTime) -> Option<SystemTime> {
        let schedule = &self.record.settings.schedule;
        let run = &self.record.run;
        let by_itself = matches!(run.state, JobState::Completed | JobState::Exception);
        let asked_to_end = self.requests.borrow().as_ref().is_some_and(|r| r.wanted.is_end());
        if !by_itself || asked_to_end || !schedule.allows_another(run.runs) {
            return None;
        }
        // Later than the moment this run was for, even if it took no time at all.
        let due = schedule.next_run(now + Duration::from_micros(1), &self.shared.zone)?;
        self.until.is_none_or(|until| due < until).then_some(due)
    }

    /// One run of several is over: it goes to the history, and the job waits for the next.
    async fn recur(&mut self, now: SystemTime, due: SystemTime) -> Result<(), Halt> {
        let Ok(state) = next(self.before, JobEvent::Recur) else {
            self.write().await?;
            self.permit = None;
            self.shared.job_ended(&self.record);
            return Ok(());
        };
        let spec =
            JobSpec { id: JobId::generate(), run_of: Some(self.record.id()), ..(*self.record.spec).clone() };
        let past = JobRecord { spec: Arc::new(spec), ..self.record.clone() };
        let waiting = has_to_wait(due, now);
        let run = JobRun {
            state,
            status: waiting.map_or_else(|| WAITS_FOR_ROOM.to_owned(), waits_until),
            changed: Some(now),
            runs: self.record.run.runs,
            due: waiting,
            ..JobRun::new()
        };
        let mut wait = Duration::from_millis(50);
        for attempt in 1.. {
            match self.shared.store.recur(&self.lease, &past, &run, now).await {
                Ok(()) => break,
                Err(error @ (StoreError::Backend { .. } | StoreError::Full(_))) if attempt < 8 => {
                    tracing::warn!(job = %self.record.id(), %error, attempt, "cannot write the end of a run; trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => return Err(halt(error)),
            }
        }
        let (id, ended) = (self.record.id(), past.run.state);
        tracing::info!(job = %id, name = %past.spec.name, run = past.run.runs, state = %ended, "run ended");
        self.shared.history_grew.store(true, Ordering::Release);
        self.record.run = run;
        self.live.set_state(state);
        self.permit = None;
        match waiting {
            Some(due) => self.shared.expect_due(due),
            None => self.shared.mark_backlog(),
        }
        Ok(())
    }

    /// The server shuts down: leave nothing half done and give the job back.
    pub(super) async fn yield_job(&mut self) -> Result<(), Halt> {
        self.collect_results();
        self.stop_counting();
        let mut trouble = Vec::new();
        self.undo_current(&mut trouble).await?;
        self.record.run.undo_errors.append(&mut trouble);
        if self.record.run.state == JobState::Running {
            self.step_to(JobEvent::Restart)?;
            "Waiting for the server to start again".clone_into(&mut self.record.run.status);
            // Being asked to wait is no failed attempt.
            self.record.run.attempts = self.record.run.attempts.saturating_sub(1);
        }
        self.give_back().await?;
        Err(Halt::Yielded)
    }

    pub(super) async fn give_back(&mut self) -> Result<(), Halt> {
        self.shared.store.release(&self.lease, &self.record.run).await.map_err(halt)?;
        self.live.set_state(self.record.run.state);
        self.permit = None;
        Ok(())
    }

    pub(super) fn current_step(&self) -> Option<&Arc<dyn Step>> {
        self.steps.get(self.record.run.steps.len())
    }

    pub(super) async fn undo_current(&mut self, trouble: &mut Vec<ErrorDetail>) -> Result<(), Halt> {
        if let Some(step) = self.current_step().cloned() {
            self.undo(&step, None, trouble).await?;
        }
        Ok(())
    }

    async fn undo(
        &mut self,
        step: &Arc<dyn Step>,
        output: Option<&str>,
        trouble: &mut Vec<ErrorDetail>,
    ) -> Result<(), Halt> {
        let context = self.context();
        let limit = self.shared.config.undo_limit;
        let undo = AssertUnwindSafe(step.undo(&context, output)).catch_unwind();
        match self.holding(tokio::time::timeout(limit, undo)).await? {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(reason))) => trouble.push(errors::undo_failed(&self.record.spec, step.name(), reason)),
            Ok(Err(panic)) => {
                let spec = &self.record.spec;
                let reason = errors::panicked(spec, step.name(), &panic_text(panic.as_ref()));
                trouble.push(errors::undo_failed(spec, step.name(), reason));
            }
            Err(_) => trouble.push(errors::undo_timed_out(&self.record.spec, step.name(), limit.as_secs())),
        }
        Ok(())
    }
}
