//! One line per destination: empties its queue in order, tries again, and gives up as its subscriptions say.
//!
//! A line owns nothing but its place in the queue. It delivers the oldest indication, and none behind it, until the listener has
//! taken it or it is too old; what was taken is settled in the store a few at a time, so a crash repeats at most a few, each
//! with the context and number it had before. Lines know nothing of one another, and jobs know nothing of lines.

use super::bookmarks::Bookmark;
use super::config::{IndicationsConfig, RemovalAction};
use super::ending::EventEnd;
use super::eventing::{EventMode, EventSink};
use super::rules::Verdict;
use super::target::Target;
use super::{Shared, book};
use async_trait::async_trait;
use cimwright_cim::{DateTime, Instance, Value};
use cimwright_jobs::{Entry, Queued, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

/// How many indications are fetched from a queue at a time, and settled together at most.
const PORTION: usize = 64;

/// How long an indication that was delivered may wait to be settled.
const SETTLE_AFTER: Duration = Duration::from_millis(500);

/// How long a line waits when the store fails.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Brings an indication to a listener.
#[async_trait]
pub trait Deliver: Send + Sync + 'static {
    /// Delivers one indication. It counts as delivered when this returns `Ok`; dropping the future ends the attempt.
    ///
    /// # Errors
    /// Why the listener did not take it.
    async fn deliver(
        &self,
        destination: Uuid,
        target: &Target,
        indication: Instance,
    ) -> Result<(), DeliveryError>;

    /// Delivers events to a subscriber of WS-Eventing in one message, or says that the source is there if there are none.
    /// `bookmark` is that of the last one, if the subscriber wants bookmarks. They count as delivered when this returns `Ok`; dropping
    /// the future ends the attempt.
    ///
    /// # Errors
    /// Why the subscriber did not take them.
    async fn deliver_events(
        &self,
        destination: Uuid,
        target: &Target,
        sink: &EventSink,
        events: Vec<Instance>,
        bookmark: Option<Bookmark>,
    ) -> Result<(), DeliveryError> {
        let _ = (destination, sink, events, bookmark);
        Err(DeliveryError { reason: format!("there is no way to send events to {target}") })
    }

    /// Tells a subscriber of WS-Eventing that so many events were dropped before the next one.
    ///
    /// # Errors
    /// Why the subscriber did not take it.
    async fn deliver_dropped(
        &self,
        destination: Uuid,
        target: &Target,
        sink: &EventSink,
        count: u64,
    ) -> Result<(), DeliveryError> {
        let _ = (destination, target, sink, count);
        Ok(())
    }

    /// Tells whoever the subscriber named that the subscription `id` has ended, and why.
    ///
    /// # Errors
    /// Why it was not taken.
    async fn end_events(
        &self,
        id: Uuid,
        target: &Target,
        sink: &EventSink,
        why: EventEnd,
    ) -> Result<(), DeliveryError> {
        let _ = (id, target, sink, why);
        Ok(())
    }

    /// Called when a destination is gone, so that connections to it can be closed.
    fn forget(&self, destination: Uuid);
}

/// Why a listener did not take an indication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DeliveryError {
    /// What was wrong, for the log.
    pub reason: String,
}

/// The lines there are.
#[derive(Default)]
pub(crate) struct Lines {
    lines: Mutex<HashMap<Uuid, Line>>,
    /// Who waits to fetch what is queued.
    waiting: Mutex<HashMap<Uuid, Arc<Notify>>>,
}

struct Line {
    wake: Arc<Notify>,
    task: AbortHandle,
}

impl Lines {
    /// Tells lines that their queues have grown.
    pub(crate) fn wake(&self, destinations: &[Uuid]) {
        let lines = self.lines();
        for line in destinations.iter().filter_map(|d| lines.get(d)) {
            line.wake.notify_one();
        }
        drop(lines);
        let waiting = self.waiting();
        for wake in destinations.iter().filter_map(|d| waiting.get(d)) {
            wake.notify_waiters();
        }
    }

    /// What tells those who fetch from a queue that it has grown.
    pub(crate) fn waker(&self, destination: Uuid) -> Arc<Notify> {
        let mut waiting = self.waiting();
        // Nobody but the map holds those that are not waited for.
        waiting.retain(|id, wake| *id == destination || Arc::strong_count(wake) > 1);
        Arc::clone(waiting.entry(destination).or_default())
    }

    /// Ends the line of a destination, if it has one.
    pub(crate) fn end(&self, destination: Uuid) {
        if let Some(line) = self.lines().remove(&destination) {
            line.task.abort();
        }
        if let Some(wake) = self.waiting().remove(&destination) {
            wake.notify_waiters();
        }
    }

    /// Ends all lines.
    pub(crate) fn close(&self) {
        for (_, line) in self.lines().drain() {
            line.task.abort();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Uuid, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins to empty the queue of a destination. Nothing happens before there is a way to deliver.
pub(crate) fn open_line(shared: &Arc<Shared>, destination: Uuid) {
    let Some(deliver) = shared.deliver.get().cloned() else { return };
    let (target, sink, context, journal) = {
        let book = shared.book();
        let Some(found) = book.destination(destination) else { return };
        let Some(target) = found.target.clone() else { return };
        (target, found.sink.clone(), context_of(&found.entry), found.follows())
    };
    if !target.is_allowed(&shared.config.allowed) {
        tracing::error!(%target, "indications may no longer be sent there; they wait");
        return;
    }
    let wake = Arc::new(Notify::new());
    let run = Run {
        shared: Arc::downgrade(shared),
        config: shared.config.clone(),
        deliver,
        destination,
        target,
        sink,
        context,
        journal,
        wake: Arc::clone(&wake),
        failing: None,
        expected: None,
    };
    let task = tokio::spawn(run.run()).abort_handle();
    shared.lines.lines().insert(destination, Line { wake, task });
}

/// The state of one line.
struct Run {
    /// Weak, so that a server that is dropped does not go on delivering.
    shared: Weak<Shared>,
    config: IndicationsConfig,
    deliver: Arc<dyn Deliver>,
    destination: Uuid,
    target: Target,
    /// How events are sent, where it is done over WS-Management.
    sink: Option<Arc<EventSink>>,
    /// SequenceContext: the destination's own, from its creation to its end.
    context: String,
    /// The journal that the queue follows.
    journal: Option<Uuid>,
    wake: Arc<Notify>,
    failing: Option<Failing>,
    /// The number of the next event; a higher one means that events were dropped. Not known before the first one.
    expected: Option<u64>,
}

/// A listener that does not answer.
struct Failing {
    since: Instant,
    attempts: u32,
}

impl Run {
    async fn run(mut self) {
        self.expected = self.first_event().await;
        while let Some(shared) = self.shared.upgrade() {
            let portion = match shared.outbox.pending(self.destination, PORTION).await {
                Ok(portion) => portion,
                Err(error) => {
                    tracing::error!(%error, "cannot read a queue of indications yet");
                    drop(shared);
                    tokio::time::sleep(STORE_PAUSE).await;
                    continue;
                }
            };
            let portion = shared.in_time(self.destination, portion);
            let done = if portion.is_empty() { Ok(Next::Wait) } else { self.empty(&shared, portion).await };
            // Not held while waiting: a line must not keep the server alive.
            drop(shared);
            match done {
                Ok(Next::More) => {}
                Ok(Next::Wait) => self.idle().await,
                Ok(Next::Pause(pause)) => tokio::time::sleep(pause).await,
                Ok(Next::Over) => std::future::pending().await,
                Err(error) => {
                    tracing::error!(%error, "cannot settle delivered indications yet; they may be sent again");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
        self.deliver.forget(self.destination);
    }

    /// The number of the first event if the subscriber has got nothing yet, so that what is missing before it is known.
    async fn first_event(&self) -> Option<u64> {
        let (Some(shared), Some(_)) = (self.shared.upgrade(), &self.sink) else { return None };
        let state = shared.outbox.queue(self.destination).await.ok()??;
        (state.queued + state.dropped + state.first == state.next).then_some(state.first)
    }

    /// Delivers a portion in order, as far as the listener takes it.
    async fn empty(&mut self, shared: &Shared, portion: Vec<Queued>) -> Result<Next, StoreError> {
        let mut taken: Option<u64> = None;
        let mut settled = Instant::now();
        let batch = self.sink.as_ref().map_or(1, |s| s.batch());
        let mut rest = portion.into_iter();
        loop {
            let chunk: Vec<Queued> = rest.by_ref().take(batch).collect();
            let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { break };
            let (oldest, sequence, at) = (first.sequence, last.sequence, first.at);
            let missing = self.expected.and_then(|expected| oldest.checked_sub(expected)).unwrap_or(0);
            let limit = self.config.delivery_timeout;
            let outcome = tokio::time::timeout(limit, self.attempt(oldest, missing, chunk)).await;
            let error = match outcome {
                Ok(Ok(())) => {
                    if let Some(failing) = self.failing.take() {
                        tracing::info!(target = %self.target, attempts = failing.attempts, "the listener is back");
                    }
                    taken = Some(sequence);
                    self.expected = Some(sequence + 1);
                    if settled.elapsed() >= SETTLE_AFTER {
                        shared.outbox.settle(self.destination, sequence).await?;
                        settled = Instant::now();
                    }
                    continue;
                }
                Ok(Err(error)) => error,
                Err(_) => DeliveryError {
                    reason: format!("no answer within {} s", self.config.delivery_timeout.as_secs_f32()),
                },
            };
            if let Some(taken) = taken {
                shared.outbox.settle(self.destination, taken).await?;
            }
            let age = shared.clock.now().duration_since(at).unwrap_or_default();
            if age >= self.config.lifetime {
                tracing::warn!(target = %self.target, sequence = oldest, %error, "an indication is too old and is dropped");
                shared.outbox.settle(self.destination, oldest).await?;
                return Ok(Next::More);
            }
            return self.failed(shared, &error).await;
        }
        if let Some(taken) = taken {
            shared.outbox.settle(self.destination, taken).await?;
        }
        Ok(Next::More)
    }

    /// After a failed attempt: applies the policies of the subscriptions, and says how long to wait.
    async fn failed(&mut self, shared: &Shared, error: &DeliveryError) -> Result<Next, StoreError> {
        let failing = self.failing.get_or_insert(Failing { since: Instant::now(), attempts: 0 });
        failing.attempts += 1;
        let (attempts, away) = (failing.attempts, failing.since.elapsed());
        // What is set may have changed since the last attempt.
        let config = shared.settings();
        let fatal = attempts > u32::from(config.retry_attempts);
        if attempts == 1 || attempts == u32::from(config.retry_attempts) + 1 {
            tracing::warn!(target = %self.target, attempts, %error, "a listener does not take indications");
        }
        let removal = config.removal_action;
        let overdue = attempts > 1 && away >= config.removal_interval;
        if let Some(sink) = &self.sink {
            let exhausted = sink.retry.is_some_and(|(total, _)| attempts > total);
            // With bookmarks there is a better way to go on later than to be enabled again.
            let ends = match removal {
                RemovalAction::Remove => overdue,
                RemovalAction::Disable => overdue && self.journal.is_some(),
                RemovalAction::Ignore => false,
            };
            if let (true, Some(shared)) = (exhausted || ends, self.shared.upgrade()) {
                // Apart from this line, which ends with the subscription.
                tokio::spawn(shared.give_up_events(self.destination, Arc::clone(sink)));
                return Ok(Next::Over);
            }
            if let Some((_, interval)) = sink.retry {
                return Ok(Next::Pause(interval.min(self.config.lifetime)));
            }
        }
        let alone = shared
            .give_up(self.destination, |s| {
                if overdue && removal != RemovalAction::Ignore {
                    return Some(match removal {
                        RemovalAction::Remove => Verdict::Remove,
                        RemovalAction::Disable | RemovalAction::Ignore => Verdict::Disable,
                    });
                }
                if fatal { policy(s, away) } else { None }
            })
            .await;
        match alone {
            Ok(true) if fatal => {
                // Nobody wants what waits here any more.
                shared.outbox.settle(self.destination, i64::MAX as u64).await?;
                self.failing = None;
                return Ok(Next::Wait);
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "cannot give up a subscription yet"),
        }
        Ok(Next::Pause(pause(&config, attempts)))
    }

    /// Sends what comes next, in the form that the destination wants.
    async fn attempt(&mut self, oldest: u64, missing: u64, chunk: Vec<Queued>) -> Result<(), DeliveryError> {
        let context = self.context.clone();
        let wanted = self.journal.filter(|_| self.sink.as_ref().is_some_and(|s| s.bookmarks));
        let bookmark = wanted.zip(chunk.last()).map(|(journal, last)| Bookmark::new(journal, last.sequence));
        let indications = chunk.into_iter().map(|queued| addressed(queued, &context));
        if let Some(sink) = self.sink.clone() {
            if missing > 0 {
                self.deliver.deliver_dropped(self.destination, &self.target, &sink, missing).await?;
                // It has been told, whatever becomes of the events.
                self.expected = Some(oldest);
            }
            let events = indications.collect();
            return self
                .deliver
                .deliver_events(self.destination, &self.target, &sink, events, bookmark)
                .await;
        }
        for indication in indications {
            self.deliver.deliver(self.destination, &self.target, indication).await?;
        }
        Ok(())
    }

    /// Waits until something is queued, and says now and then that the source is there if the subscriber wants to hear it.
    async fn idle(&self) {
        let Some(sink) = &self.sink else { return self.wake.notified().await };
        match sink.heartbeat {
            None => self.wake.notified().await,
            Some(interval) => {
                if tokio::time::timeout(interval, self.wake.notified()).await.is_ok() {
                    self.gather(sink).await;
                    return;
                }
                if !self.shared.upgrade().is_some_and(|s| s.is_wanted(self.destination)) {
                    return;
                }
                let beat =
                    self.deliver.deliver_events(self.destination, &self.target, sink, Vec::new(), None);
                // One that is lost is not repeated: the next one says as much.
                if let Ok(Err(error)) = tokio::time::timeout(self.config.delivery_timeout, beat).await {
                    tracing::debug!(target = %self.target, %error, "a heartbeat was not taken");
                }
                return;
            }
        }
        self.gather(sink).await;
    }

    /// Gives an event that came alone time to be joined by others, where they are sent together.
    async fn gather(&self, sink: &EventSink) {
        if let (EventMode::Events, Some(time)) = (sink.mode, sink.max_time) {
            tokio::time::sleep(time).await;
        }
    }
}

/// SequenceContext of a destination.
pub(crate) fn context_of(destination: &Entry) -> String {
    let created = DateTime::from_system_time(destination.created);
    format!("Cimwright:IndicationService#{}#{created}", destination.id.simple())
}

/// The indication as a listener gets it.
pub(crate) fn addressed(queued: Queued, context: &str) -> Instance {
    queued
        .indication
        .with("IndicationFilterName", queued.filter)
        .with("SequenceContext", context)
        .with("SequenceNumber", Value::Sint64(i64::try_from(queued.sequence).unwrap_or(i64::MAX)))
}

/// What a line does next.
enum Next {
    /// Looks again.
    More,
    /// Waits until something is queued.
    Wait,
    /// Waits a while, then tries again.
    Pause(Duration),
    /// Does nothing more: it will be ended.
    Over,
}

/// What the subscription itself says about a listener that has been away for so long.
fn policy(subscription: &book::Subscription, away: Duration) -> Option<Verdict> {
    let instance = &subscription.entry.instance;
    let least = instance.get_u64("FailureTriggerTimeInterval").unwrap_or(0);
    if away < Duration::from_secs(least) {
        return None;
    }
    match instance.get_u64("OnFatalErrorPolicy") {
        Some(3) => Some(Verdict::Disable),
        Some(4) => Some(Verdict::Remove),
        _ => None,
    }
}

/// How long to wait after so many failed attempts: as long each time while the listener is being retried, then twice as long
/// each time.
fn pause(config: &IndicationsConfig, attempts: u32) -> Duration {
    let beyond = attempts.saturating_sub(u32::from(config.retry_attempts)).min(16);
    let longest = config.max_retry_interval.max(config.retry_interval);
    config.retry_interval.saturating_mul(1 << beyond).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_to_their_limit() {
        let config = IndicationsConfig::default();
        let seconds = [1, 2, 3, 4, 5, 6, 40].map(|n| pause(&config, n).as_secs());
        assert_eq!(seconds, [5, 5, 5, 10, 20, 40, 300]);
    }
}
