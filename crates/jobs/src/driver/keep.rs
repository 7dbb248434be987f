//! What the driver writes, and the lease that lets it.

use super::{Driver, Halt};
use crate::machine::{JobEvent, next};
use crate::store::StoreError;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior};

impl Driver {
    /// Once in a while: keep the lease, publish progress, hear what was asked on another node.
    pub(super) async fn tick(&mut self) -> Result<(), Halt> {
        self.record.run.progress = self.live.progress();
        if !self.keep_lease().await? {
            return Ok(());
        }
        match self.shared.store.record(&self.lease, &self.record.run).await {
            Err(StoreError::LeaseLost(_)) => Err(Halt::LeaseLost),
            Err(error) => {
                tracing::warn!(job = %self.record.id(), %error, "cannot write the progress yet");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// When to keep the lease.
    pub(super) fn ticks(&self) -> Interval {
        let period = self.shared.config.tick;
        let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    /// Waits for something that is not the running step. The job stays this driver's meanwhile: else another one would take it for
    /// dead.
    pub(super) async fn holding<T>(&mut self, what: impl Future<Output = T>) -> Result<T, Halt> {
        let mut what = pin!(what);
        let mut tick = self.ticks();
        loop {
            tokio::select! {
                biased;
                out = &mut what => return Ok(out),
                _ = tick.tick() => self.keep_lease().await?,
            };
        }
    }

    /// The same, but not longer than until something is asked of the job, its time has come, or the server shuts down: `None` then.
    pub(super) async fn unless_asked<T>(&mut self, what: impl Future<Output = T>) -> Result<Option<T>, Halt> {
        let mut what = pin!(what);
        let mut tick = self.ticks();
        loop {
            tokio::select! {
                biased;
                out = &mut what => return Ok(Some(out)),
                _ = self.requests.changed() => return Ok(None),
                _ = self.shutdown.changed() => return Ok(None),
                _ = tick.tick() => {
                    self.keep_lease().await?;
                    if self.time_is_over() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Renews the lease, and hears what was asked on another node. `false` if the store cannot be asked at the moment.
    async fn keep_lease(&mut self) -> Result<bool, Halt> {
        let until = self.shared.clock.now() + self.shared.config.lease;
        match self.shared.store.renew(&self.lease, until).await {
            Ok(pending) => {
                self.lease.expires = until;
                if let Some(request) = pending
                    && self.current.as_ref().is_none_or(|c| c.at < request.at)
                    && self.peek_request().is_none_or(|p| p.at < request.at)
                {
                    self.live.ask(request);
                }
                Ok(true)
            }
            Err(StoreError::LeaseLost(_)) => Err(Halt::LeaseLost),
            Err(error) => {
                tracing::warn!(job = %self.record.id(), %error, "cannot renew the lease yet");
                Ok(false)
            }
        }
    }

    pub(super) fn step_to(&mut self, event: JobEvent) -> Result<(), Halt> {
        match next(self.record.run.state, event) {
            Ok(state) => {
                if state != self.record.run.state {
                    self.before = self.record.run.state;
                    self.record.run.changed = Some(self.shared.clock.now());
                }
                self.record.run.state = state;
                Ok(())
            }
            // A defect of the driver; writing a state that cannot be would make it worse.
            Err(impossible) => {
                Err(Halt::Store(StoreError::Corrupt(format!("job {}: {impossible}", self.record.id()))))
            }
        }
    }

    /// Writes the run; a store that fails for a moment is tried again, since a job must not be lost to it.
    pub(super) async fn write(&mut self) -> Result<(), Halt> {
        let mut wait = Duration::from_millis(50);
        for attempt in 1.. {
            match self.shared.store.record(&self.lease, &self.record.run).await {
                Ok(()) => break,
                Err(error @ (StoreError::Backend { .. } | StoreError::Full(_))) if attempt < 8 => {
                    tracing::warn!(job = %self.record.id(), %error, attempt, "cannot write the state; trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => return Err(halt(error)),
            }
        }
        self.live.set_state(self.record.run.state);
        Ok(())
    }

    pub(super) fn collect_results(&mut self) {
        for (name, value) in self.live.take_results() {
            self.record.run.results.retain(|(n, _)| *n != name);
            self.record.run.results.push((name, value));
        }
    }

    pub(super) fn start_counting(&mut self) {
        let now = self.shared.clock.now();
        self.record.run.started.get_or_insert(now);
        self.record.run.running_since.get_or_insert(now);
    }

    pub(super) fn stop_counting(&mut self) {
        if let Some(since) = self.record.run.running_since.take() {
            self.record.run.ran += self.shared.clock.now().duration_since(since).unwrap_or_default();
        }
    }
}

pub(super) fn halt(error: StoreError) -> Halt {
    match error {
        StoreError::LeaseLost(_) => Halt::LeaseLost,
        other => Halt::Store(other),
    }
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned())
}
