//! The outbox: what has to be told to others about jobs, kept durable beside them.
//!
//! A backend that keeps jobs also keeps, per destination, a queue of indications with a sequence of its own. What a change of a
//! job gives rise to is written in the transaction of that change: there is no moment at which one is durable and the other is
//! not. What an indication is, who wants it and how it travels is not known here; a [`ChangeObserver`] says which indications a
//! change causes, and for whom.

use crate::record::JobRecord;
use crate::store::StoreError;
use async_trait::async_trait;
use cimwright_cim::Instance;
use std::sync::Arc;
use std::time::SystemTime;
use uuid::Uuid;

/// What kind of thing a client has registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryKind {
    /// A query: CIM_IndicationFilter.
    Filter,
    /// A place indications are sent to: CIM_ListenerDestination. It has a queue.
    Destination,
    /// A filter and a destination: CIM_IndicationSubscription.
    Subscription,
    /// What was changed about the service: CIM_IndicationService. There is at most one.
    Settings,
}

/// Something a client has registered, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its identity; that of a destination is also that of its queue.
    pub id: Uuid,
    /// What it is.
    pub kind: EntryKind,
    /// Who made it.
    pub owner: String,
    /// When it was made.
    pub created: SystemTime,
    /// All its properties, with its path.
    pub instance: Instance,
}

/// An indication on its way into the queues.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// When what it tells happened.
    pub at: SystemTime,
    /// The indication, without what differs from destination to destination.
    pub indication: Instance,
    /// The queues it goes to, each with the name of the filter that it passed. A queue may be named more than once.
    pub to: Vec<(Uuid, Arc<str>)>,
}

/// An indication in the queue of a destination.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    /// Its number in the sequence of the destination, from 0.
    pub sequence: u64,
    /// When what it tells happened.
    pub at: SystemTime,
    /// The name of the filter that it passed.
    pub filter: String,
    /// The indication.
    pub indication: Instance,
}

/// How a queue stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// The number its first indication had or will have.
    pub first: u64,
    /// The number the next indication gets.
    pub next: u64,
    /// How many wait.
    pub queued: u64,
    /// How many left the queue because it was full.
    pub dropped: u64,
}

/// Says what a change of a job has to be told to whom.
///
/// It is asked inside the transaction, possibly twice for one change, and must neither wait nor have effects.
pub trait ChangeObserver: Send + Sync + 'static {
    /// Whether anybody wants to know anything. While nobody does, a change costs no more than this question.
    fn is_active(&self) -> bool;

    /// The indications that a change causes, in order. `before` is `None` for a job that is created, `after` for one that leaves
    /// the namespace.
    fn observe(&self, before: Option<&JobRecord>, after: Option<&JobRecord>) -> Vec<Outgoing>;

    /// How many indications may wait for one destination; the oldest make room for more.
    fn queue_limit(&self) -> u64;

    /// Called after a commit with the destinations whose queues have grown.
    fn queued(&self, destinations: &[Uuid]);
}

/// Durable queues of indications, and what clients have registered about them.
///
/// As with [`crate::JobStore`], a method that changes something has made it durable when it returns `Ok`, and has changed
/// nothing when it returns `Err`.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Sets who says what changes cause. Set it before jobs run: what happens earlier is told to nobody.
    fn watch(&self, observer: Arc<dyn ChangeObserver>);

    /// Everything that is registered, oldest first.
    async fn entries(&self) -> Result<Vec<Entry>, StoreError>;

    /// Stores an entry, or replaces the one with its id. A destination gets an empty queue unless it has one.
    async fn register(&self, entry: &Entry) -> Result<(), StoreError>;

    /// Lets the queue of a destination, which is empty, follow another queue: it gets what that one still holds from the number
    /// `from` on, and from now on whatever that one gets, under the same numbers. Without `from`, nothing that happened before.
    /// Returns the number that the first indication has or will have, which is higher than `from` if that one does not hold it
    /// any more; `None` if there is no such queue.
    async fn follow(
        &self,
        destination: Uuid,
        source: Uuid,
        from: Option<u64>,
    ) -> Result<Option<u64>, StoreError>;

    /// Forgets an entry, and with a destination its queue. `false` if there is none.
    async fn unregister(&self, id: Uuid) -> Result<bool, StoreError>;

    /// Queues indications that no change of a job caused. Destinations without a queue are skipped.
    async fn publish(&self, outgoing: Vec<Outgoing>) -> Result<(), StoreError>;

    /// The first `limit` indications that wait for a destination, in order.
    async fn pending(&self, destination: Uuid, limit: usize) -> Result<Vec<Queued>, StoreError>;

    /// Takes everything up to and including `sequence` out of a queue; returns how many that were.
    async fn settle(&self, destination: Uuid, sequence: u64) -> Result<u64, StoreError>;

    /// How a queue stands; `None` if the destination has none.
    async fn queue(&self, destination: Uuid) -> Result<Option<QueueState>, StoreError>;
}
