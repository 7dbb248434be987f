//! Bookmarks (DSP0226 10.2.6): who says which event it got last is told again what came after that one.
//!
//! The events of subscriptions that ask for bookmarks are kept in a *journal*, of which a user has one for each query: a queue that
//! nobody empties and that outlives the subscriptions by [`KEPT`]. It is a subscription like others, only that the server is its
//! subscriber. The queues of the others follow it: an event has the same number in all of them, and a bookmark is the journal and
//! that number.

use super::Shared;
use super::book::{Book, Destination, Filter, Subscription};
use super::eventing::{EventMode, EventSink, NAME, seconds};
use crate::errors;
use cimwright_cim::query::Query;
use cimwright_cim::{CimError, CimStatus, Instance, NamespaceName, Value};
use cimwright_jobs::{Entry, EntryKind, Queued};
use cimwright_sdk::Principal;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long a journal is kept after the last subscription to it could have ended.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How many journals a user has at most.
const MAX_JOURNALS: usize = 16;

/// How many events of a journal are looked at in one go when the old ones are forgotten.
const PORTION: usize = 256;

/// The property of a stored destination that says what it has to do with a journal: the journal's identity.
const JOURNAL: &str = "Journal";

/// An event that a subscriber got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bookmark {
    journal: Uuid,
    sequence: u64,
}

impl Bookmark {
    /// The bookmark with this text; `None` if it is none of this server.
    pub fn read(text: &str) -> Option<Self> {
        let (journal, sequence) = text.trim().split_once(':')?;
        Some(Self { journal: journal.parse().ok()?, sequence: sequence.parse().ok()? })
    }

    /// The bookmark of an event with this number in a queue that follows `journal`.
    pub(crate) fn new(journal: Uuid, sequence: u64) -> Self {
        Self { journal, sequence }
    }
}

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.journal.simple(), self.sequence)
    }
}

/// With which event a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventStart {
    /// With the next one that happens.
    #[default]
    Next,
    /// With the first one that is still kept.
    Earliest,
    /// With the one after this one.
    After(Bookmark),
}

/// Why there is no subscription.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SubscribeError {
    /// It may not be made, or not like this.
    #[error("{0}")]
    Refused(#[from] CimError),
    /// What came after the bookmark is not kept any more.
    #[error("what came after this bookmark is not kept any more")]
    Expired,
    /// The bookmark is one of other events.
    #[error("this bookmark is one of other events")]
    OtherEvents,
}

/// What a destination has to do with a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JournalPart {
    /// It is one.
    Is,
    /// It gets what this one gets.
    Follows(Uuid),
}

impl JournalPart {
    /// Writes down that the destination `id` has this part.
    pub(crate) fn write(self, id: Uuid, destination: &mut Instance) {
        let journal = match self {
            Self::Is => id,
            Self::Follows(journal) => journal,
        };
        destination.set(JOURNAL, Some(Value::String(journal.to_string())));
    }

    /// The part of a stored destination; `None` if it has nothing to do with journals.
    pub(crate) fn read(entry: &Entry) -> Option<Self> {
        let journal: Uuid = entry.instance.get_str(JOURNAL)?.parse().ok()?;
        Some(if journal == entry.id { Self::Is } else { Self::Follows(journal) })
    }
}

/// What has been found of a journal.
pub(crate) struct Found {
    pub(crate) journal: Uuid,
    /// The filter that it is subscribed to, as those that follow it are.
    pub(crate) filter: Entry,
}

impl Shared {
    /// The journal for a subscription to these events that begins with `start` and lasts for `lifetime`; it is made if there is
    /// none. The caller holds the turn.
    pub(super) async fn journal(
        &self,
        principal: &Principal,
        filter: Instance,
        queries: Vec<(NamespaceName, Arc<Query>)>,
        sink: &EventSink,
        start: EventStart,
        lifetime: Duration,
    ) -> Result<Found, SubscribeError> {
        let found = find(&self.book(), principal.name(), &queries);
        if let EventStart::After(bookmark) = start
            && found.as_ref().is_none_or(|f| f.journal != bookmark.journal)
        {
            let book = self.book();
            let known = book.destination(bookmark.journal).filter(|d| d.journal == Some(JournalPart::Is));
            let own = known.is_some_and(|d| d.entry.owner == principal.name());
            return Err(if own { SubscribeError::OtherEvents } else { SubscribeError::Expired });
        }
        let found = match found {
            Some(found) => found,
            None => self.new_journal(principal, filter, queries, sink, lifetime).await?,
        };
        self.extend_journal(found.journal, lifetime).await?;
        Ok(found)
    }

    async fn new_journal(
        &self,
        principal: &Principal,
        mut filter: Instance,
        queries: Vec<(NamespaceName, Arc<Query>)>,
        sink: &EventSink,
        lifetime: Duration,
    ) -> Result<Found, CimError> {
        // First what may be refused: a journal that made room for nothing would be missed.
        self.check_limits(2)?;
        self.make_room(principal.name()).await?;
        let id = Uuid::now_v7();
        let name = format!("{NAME}{}", id.simple());
        let named = self.named("CIM_IndicationFilter", &name);
        filter.path = named.path;
        filter.set("Name", Some(Value::from(name.as_str())));
        let sink = EventSink {
            mode: EventMode::Pull,
            notify_to: String::new(),
            parameters: Vec::new(),
            heartbeat: None,
            max_elements: None,
            max_time: None,
            retry: None,
            end_to: None,
            bookmarks: false,
            ..sink.clone()
        };
        let mut destination = self.listener(&name, &sink);
        JournalPart::Is.write(id, &mut destination);
        let subscription = self.tied(&filter, &destination, lifetime.saturating_add(KEPT));
        let filter = self.entry(EntryKind::Filter, principal, filter);
        let destination = Entry { id, ..self.entry(EntryKind::Destination, principal, destination) };
        let subscription = self.entry(EntryKind::Subscription, principal, subscription);
        // The subscription last: without it the others are swept away.
        for entry in [&filter, &destination, &subscription] {
            self.outbox.register(entry).await.map_err(errors::from_store)?;
        }
        {
            let mut book = self.book();
            book.add_filter(Filter::new(filter.clone(), queries, false));
            let sink = Some(Arc::new(sink));
            let journal = Some(JournalPart::Is);
            book.add_destination(Destination { entry: destination, target: None, sink, journal });
            book.add_subscription(Subscription { entry: subscription, filter: filter.id, destination: id });
        }
        self.reroute();
        Ok(Found { journal: id, filter })
    }

    /// Sees to it that a journal outlives a subscription that lasts for `lifetime` from now on. The caller holds the turn.
    pub(super) async fn extend_journal(&self, journal: Uuid, lifetime: Duration) -> Result<(), CimError> {
        let until = self.clock.now() + lifetime.saturating_add(KEPT);
        let entry = {
            let book = self.book();
            let mut all = book.subscriptions().filter(|s| s.destination == journal);
            all.find(|s| s.ends().is_some_and(|ends| ends < until)).map(|s| s.entry.clone())
        };
        let Some(mut entry) = entry else { return Ok(()) };
        let whole = until.duration_since(super::eventing::began(&entry)).unwrap_or_default();
        entry.instance.set("SubscriptionDuration", Some(Value::Uint64(seconds(whole))));
        self.outbox.register(&entry).await.map_err(errors::from_store)?;
        self.book().replace_subscription(entry);
        self.reroute();
        Ok(())
    }

    /// Lets the queue of a destination, which is not in the book yet, follow a journal; the number of its first event.
    pub(super) async fn follow(
        &self,
        destination: Uuid,
        journal: Uuid,
        start: EventStart,
    ) -> Result<u64, SubscribeError> {
        let from = match start {
            EventStart::Next => None,
            EventStart::Earliest => Some(0),
            EventStart::After(bookmark) => Some(bookmark.sequence.saturating_add(1)),
        };
        let first = self.outbox.follow(destination, journal, from).await.map_err(errors::from_store)?;
        match (first, start) {
            // What is missing, or a number that nobody was ever told.
            (Some(first), EventStart::After(_)) if Some(first) != from => {}
            (Some(first), _) => return Ok(first),
            (None, _) => {}
        }
        self.outbox.unregister(destination).await.map_err(errors::from_store)?;
        Err(SubscribeError::Expired)
    }

    /// What of a portion of a queue is to be told: the store does not know when the subscription of a queue that follows a journal is
    /// over, and goes on to fill it until it is swept away.
    pub(super) fn in_time(&self, destination: Uuid, mut portion: Vec<Queued>) -> Vec<Queued> {
        let book = self.book();
        if book.destination(destination).and_then(Destination::follows).is_some() {
            let mut own = book.subscriptions().filter(|s| s.destination == destination);
            let ends = own.find_map(Subscription::ends);
            portion.retain(|queued| ends.is_none_or(|ends| queued.at < ends));
        }
        portion
    }

    /// Makes room for another journal of a user: those that nobody follows go first, the one that would end first before the others.
    async fn make_room(&self, owner: &str) -> Result<(), CimError> {
        let idle = {
            let book = self.book();
            let own = book
                .destinations()
                .filter(|d| d.journal == Some(JournalPart::Is) && d.entry.owner == owner)
                .map(|d| d.entry.id);
            let own: Vec<Uuid> = own.collect();
            if own.len() < MAX_JOURNALS {
                return Ok(());
            }
            let ends = |id: &Uuid| {
                book.subscriptions().filter(|s| s.destination == *id).find_map(Subscription::ends)
            };
            own.into_iter().filter(|id| followers(&book, *id).is_empty()).min_by_key(ends)
        };
        match idle {
            Some(journal) => self.end_subscription(journal).await,
            None => {
                let text = format!(
                    "there are {MAX_JOURNALS} queries with bookmarks already, and somebody is subscribed to each; unsubscribe \
                     from one, or subscribe without bookmarks"
                );
                Err(CimError::new(CimStatus::ServerLimitsExceeded, text))
            }
        }
    }

    /// Forgets what is too old to be told. The caller holds the turn.
    pub(super) async fn trim_journals(&self) -> Result<(), CimError> {
        let journals: Vec<Uuid> = {
            let book = self.book();
            let all = book.destinations().filter(|d| d.journal == Some(JournalPart::Is));
            all.map(|d| d.entry.id).collect()
        };
        let now = self.clock.now();
        for journal in journals {
            let old = |at| now.duration_since(at).unwrap_or_default() >= self.config.lifetime;
            loop {
                // Mostly there is nothing old.
                let oldest = self.outbox.pending(journal, 1).await.map_err(errors::from_store)?;
                if !oldest.first().is_some_and(|q| old(q.at)) {
                    break;
                }
                let first = self.outbox.pending(journal, PORTION).await.map_err(errors::from_store)?;
                let Some(last) = first.iter().take_while(|q| old(q.at)).last() else { break };
                self.outbox.settle(journal, last.sequence).await.map_err(errors::from_store)?;
            }
        }
        Ok(())
    }
}

/// The journal that a user has of the events that pass these queries.
fn find(book: &Book, owner: &str, queries: &[(NamespaceName, Arc<Query>)]) -> Option<Found> {
    book.subscriptions().find_map(|subscription| {
        let destination = book.destination(subscription.destination)?;
        let filter = book.filter(subscription.filter)?;
        let is_it = destination.journal == Some(JournalPart::Is)
            && destination.entry.owner == owner
            && filter.queries == queries;
        is_it.then(|| Found { journal: destination.entry.id, filter: filter.entry.clone() })
    })
}

/// Those that follow a journal.
fn followers(book: &Book, journal: Uuid) -> Vec<Uuid> {
    let follows = |d: &&Destination| d.journal == Some(JournalPart::Follows(journal));
    book.destinations().filter(follows).map(|d| d.entry.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_are_read_back() {
        let bookmark = Bookmark::new(Uuid::from_u128(7), u64::MAX);
        assert_eq!(Bookmark::read(&format!(" {bookmark}\n")), Some(bookmark));
        for text in
            ["", "7", ":", "x:1", "00000000000000000000000000000007:-1", "00000000000000000000000000000007:"]
        {
            assert_eq!(Bookmark::read(text), None, "{text}");
        }
    }
}
