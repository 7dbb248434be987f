//! The queues of [`crate::MemoryStore`].

use cimwright_jobs::{ChangeObserver, Entry, EntryKind, JobRecord, Outgoing, QueueState, Queued};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// What is registered and what waits.
#[derive(Default)]
pub(crate) struct MemoryOutbox {
    pub(crate) observer: Option<Arc<dyn ChangeObserver>>,
    entries: Vec<Entry>,
    queues: BTreeMap<Uuid, Waiting>,
}

#[derive(Default)]
struct Waiting {
    state: QueueState,
    items: VecDeque<Queued>,
    /// The destination whose queue this one follows.
    follows: Option<Uuid>,
}

impl Waiting {
    fn push(&mut self, item: Queued, limit: u64) {
        self.state.next = item.sequence + 1;
        self.items.push_back(item);
        while self.items.len() as u64 > limit {
            self.items.pop_front();
            self.state.dropped += 1;
        }
    }
}

impl MemoryOutbox {
    /// Queues what a change has to tell.
    pub(crate) fn tell(&mut self, before: Option<&JobRecord>, after: Option<&JobRecord>) {
        let Some(observer) = self.observer.clone().filter(|o| o.is_active()) else { return };
        self.publish(observer.observe(before, after));
    }

    pub(crate) fn publish(&mut self, outgoing: Vec<Outgoing>) {
        let limit = self.observer.as_ref().map_or(u64::MAX, |o| o.queue_limit());
        let mut grown = Vec::new();
        for Outgoing { at, indication, to } in outgoing {
            for (destination, filter) in to {
                let Some(queue) = self.queues.get_mut(&destination) else { continue };
                let sequence = queue.state.next;
                let item =
                    Queued { sequence, at, filter: filter.to_string(), indication: indication.clone() };
                queue.push(item.clone(), limit);
                grown.push(destination);
                for (follower, queue) in
                    self.queues.iter_mut().filter(|(_, q)| q.follows == Some(destination))
                {
                    queue.push(item.clone(), limit);
                    grown.push(*follower);
                }
            }
        }
        if let Some(observer) = self.observer.as_ref().filter(|_| !grown.is_empty()) {
            observer.queued(&grown);
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    pub(crate) fn register(&mut self, entry: &Entry) {
        match self.entries.iter_mut().find(|e| e.id == entry.id) {
            Some(old) => *old = entry.clone(),
            None => self.entries.push(entry.clone()),
        }
        if entry.kind == EntryKind::Destination {
            self.queues.entry(entry.id).or_default();
        }
    }

    pub(crate) fn follow(&mut self, destination: Uuid, source: Uuid, from: Option<u64>) -> Option<u64> {
        let followed = self.queues.get(&source)?;
        let next = followed.state.next;
        let from = from.map_or(next, |from| from.min(next));
        let items: VecDeque<Queued> = followed.items.iter().filter(|i| i.sequence >= from).cloned().collect();
        let first = items.front().map_or(next, |i| i.sequence);
        let state = QueueState { first, next, ..QueueState::default() };
        self.queues.insert(destination, Waiting { state, items, follows: Some(source) });
        Some(first)
    }

    pub(crate) fn unregister(&mut self, id: Uuid) -> bool {
        let before = self.entries.len();
        self.entries.retain(|e| e.id != id);
        self.queues.remove(&id);
        self.entries.len() < before
    }

    pub(crate) fn pending(&self, destination: Uuid, limit: usize) -> Vec<Queued> {
        self.queues.get(&destination).map_or_else(Vec::new, |q| q.items.iter().take(limit).cloned().collect())
    }

    pub(crate) fn settle(&mut self, destination: Uuid, sequence: u64) -> u64 {
        let Some(queue) = self.queues.get_mut(&destination) else { return 0 };
        let before = queue.items.len();
        queue.items.retain(|i| i.sequence > sequence);
        (before - queue.items.len()) as u64
    }

    pub(crate) fn queue(&self, destination: Uuid) -> Option<QueueState> {
        let queue = self.queues.get(&destination)?;
        Some(QueueState { queued: queue.items.len() as u64, ..queue.state })
    }
}

impl fmt::Debug for MemoryOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues: Vec<_> = self.queues.keys().collect();
        f.debug_struct("MemoryOutbox")
            .field("entries", &self.entries.len())
            .field("queues", &queues)
            .finish_non_exhaustive()
    }
}
