//! The filters, destinations and subscriptions there are.

use super::QueryParser;
use super::bookmarks::JournalPart;
use super::eventing::EventSink;
use super::rules;
use super::sources::Source;
use super::target::Target;
use cimwright_cim::query::Query;
use cimwright_cim::{InstancePath, NamespaceName, Value};
use cimwright_jobs::{Entry, EntryKind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// SubscriptionState: Enabled.
pub(crate) const ENABLED: u16 = 2;

/// SubscriptionState: Disabled.
pub(crate) const DISABLED: u16 = 4;

/// All of them. What is stored durably is [`Entry`]; this is what it means.
pub(crate) struct Book {
    filters: Vec<Filter>,
    collections: Vec<Collection>,
    destinations: Vec<Destination>,
    subscriptions: Vec<Subscription>,
}

/// A filter.
pub(crate) struct Filter {
    pub(crate) entry: Entry,
    pub(crate) name: Arc<str>,
    /// Its query in each of its namespaces; none if this version cannot read it any more, and then nothing passes.
    pub(crate) queries: Vec<(NamespaceName, Arc<Query>)>,
    /// Whether it is always there.
    pub(crate) standing: bool,
}

/// The class of collections of filters.
pub(crate) const COLLECTION: &str = "CIM_FilterCollection";

/// Filters that can be subscribed to together. All of them are always there.
pub(crate) struct Collection {
    pub(crate) id: Uuid,
    pub(crate) name: &'static str,
    pub(crate) path: InstancePath,
    pub(crate) members: Vec<Uuid>,
}

/// A destination.
pub(crate) struct Destination {
    pub(crate) entry: Entry,
    /// `None` if the address cannot be used any more; its queue waits then. `None` as well where events are fetched.
    pub(crate) target: Option<Target>,
    /// How events are delivered, if it is one of WS-Management.
    pub(crate) sink: Option<Arc<EventSink>>,
    /// What it has to do with a journal.
    pub(crate) journal: Option<JournalPart>,
}

/// A subscription.
pub(crate) struct Subscription {
    pub(crate) entry: Entry,
    /// The filter, or the collection of filters.
    pub(crate) filter: Uuid,
    pub(crate) destination: Uuid,
}

impl Book {
    /// A book with the filters that are always there.
    pub(crate) fn new(filters: Vec<Filter>) -> Self {
        let collections = super::standing::collections(&filters);
        Self { filters, collections, destinations: Vec::new(), subscriptions: Vec::new() }
    }

    /// Enters what was stored by an earlier process. What cannot be understood any more is kept, but has no effect.
    pub(crate) fn restore(&mut self, entry: Entry, sources: &[Arc<Source>], parser: &QueryParser) {
        match entry.kind {
            EntryKind::Filter => {
                let namespaces = rules::namespaces_of(&entry.instance);
                // What clients load is not there yet: it is bound again when it is.
                let queries =
                    rules::queries_of(&entry.instance, &namespaces, sources, parser).unwrap_or_default();
                self.filters.push(Filter::new(entry, queries, false));
            }
            EntryKind::Destination => {
                let (sink, target) = match EventSink::read(&entry.instance) {
                    Some((sink, target)) => (Some(Arc::new(sink)), target),
                    None => {
                        let url = entry.instance.get_str("Destination").unwrap_or_default();
                        (None, Target::parse(url).ok())
                    }
                };
                let journal = JournalPart::read(&entry);
                self.destinations.push(Destination { entry, target, sink, journal });
            }
            EntryKind::Subscription => match self.ends_of(&entry) {
                Some((filter, destination)) => {
                    self.subscriptions.push(Subscription { entry, filter, destination });
                }
                None => tracing::error!(id = %entry.id, "a subscription lacks its filter or destination"),
            },
            // They say how the service works, not whom it tells.
            EntryKind::Settings => {}
        }
    }

    /// Binds the filters that clients made to the classes that there are now in namespaces that have changed. A filter that makes no sense in one of its namespaces
    /// any more has no effect there.
    pub(crate) fn rebind(
        &mut self,
        changed: &[NamespaceName],
        sources: &[Arc<Source>],
        parser: &QueryParser,
    ) {
        for filter in self.filters.iter_mut().filter(|f| !f.standing) {
            let instance = &filter.entry.instance;
            let namespaces = rules::namespaces_of(instance);
            if !namespaces.iter().any(|n| changed.contains(n)) {
                continue;
            }
            filter.queries.clear();
            for namespace in namespaces {
                match rules::queries_of(instance, std::slice::from_ref(&namespace), sources, parser) {
                    Ok(queries) => filter.queries.extend(queries),
                    Err(error) => {
                        tracing::warn!(filter = %filter.name, %namespace, %error, "nothing passes a filter any more");
                    }
                }
            }
        }
    }

    pub(crate) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.filters.iter()
    }

    pub(crate) fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.iter()
    }

    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter()
    }

    pub(crate) fn filter(&self, id: Uuid) -> Option<&Filter> {
        self.filters.iter().find(|f| f.entry.id == id)
    }

    pub(crate) fn collections(&self) -> &[Collection] {
        &self.collections
    }

    /// The collection at a path.
    pub(crate) fn collection_at(&self, path: &InstancePath) -> Option<&Collection> {
        self.collections.iter().find(|c| c.path == *path)
    }

    /// The filter with this id, or those of the collection with this id.
    pub(crate) fn filters_of(&self, id: Uuid) -> Vec<&Filter> {
        match self.collections.iter().find(|c| c.id == id) {
            Some(collection) => collection.members.iter().filter_map(|m| self.filter(*m)).collect(),
            None => self.filter(id).into_iter().collect(),
        }
    }

    pub(crate) fn destination(&self, id: Uuid) -> Option<&Destination> {
        self.destinations.iter().find(|d| d.entry.id == id)
    }

    pub(crate) fn filter_at(&self, path: &InstancePath) -> Option<&Filter> {
        self.filters.iter().find(|f| is_at(&f.entry, path))
    }

    pub(crate) fn destination_at(&self, path: &InstancePath) -> Option<&Destination> {
        self.destinations.iter().find(|d| is_at(&d.entry, path))
    }

    pub(crate) fn subscription_at(&self, path: &InstancePath) -> Option<&Subscription> {
        self.subscriptions.iter().find(|s| is_at(&s.entry, path))
    }

    /// The entry of any kind at a path.
    pub(crate) fn entry_at(&self, path: &InstancePath) -> Option<&Entry> {
        let filter = self.filter_at(path).map(|f| &f.entry);
        let destination = || self.destination_at(path).map(|d| &d.entry);
        filter.or_else(destination).or_else(|| self.subscription_at(path).map(|s| &s.entry))
    }

    /// Every entry.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        let filters = self.filters.iter().map(|f| &f.entry);
        filters
            .chain(self.destinations.iter().map(|d| &d.entry))
            .chain(self.subscriptions.iter().map(|s| &s.entry))
    }

    pub(crate) fn add_filter(&mut self, filter: Filter) {
        self.filters.push(filter);
    }

    pub(crate) fn add_destination(&mut self, destination: Destination) {
        self.destinations.push(destination);
    }

    pub(crate) fn add_subscription(&mut self, subscription: Subscription) {
        self.subscriptions.push(subscription);
    }

    /// Whether a subscription has to do with a journal.
    pub(crate) fn has_journal(&self, subscription: Uuid) -> bool {
        let found = self.subscriptions.iter().find(|s| s.entry.id == subscription);
        found.and_then(|s| self.destination(s.destination)).is_some_and(|d| d.journal.is_some())
    }

    /// Replaces the entry of a subscription.
    pub(crate) fn replace_subscription(&mut self, entry: Entry) {
        if let Some(subscription) = self.subscriptions.iter_mut().find(|s| s.entry.id == entry.id) {
            subscription.entry = entry;
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, id: Uuid) {
        self.filters.retain(|f| f.entry.id != id || f.standing);
        self.destinations.retain(|d| d.entry.id != id);
        self.subscriptions.retain(|s| s.entry.id != id);
    }

    /// The filter and the destination that the references of a subscription name.
    pub(crate) fn ends_of(&self, entry: &Entry) -> Option<(Uuid, Uuid)> {
        let end = |role: &str| entry.instance.get(role)?.as_reference()?.as_instance();
        let wanted = end("Filter")?;
        let filter = match self.collection_at(wanted) {
            Some(collection) => collection.id,
            None => self.filter_at(wanted)?.entry.id,
        };
        let destination = self.destination_at(end("Handler")?)?.entry.id;
        Some((filter, destination))
    }
}

impl Destination {
    /// The journal that its queue follows.
    pub(crate) fn follows(&self) -> Option<Uuid> {
        match self.journal? {
            JournalPart::Follows(journal) => Some(journal),
            JournalPart::Is => None,
        }
    }
}

impl Filter {
    pub(crate) fn new(entry: Entry, queries: Vec<(NamespaceName, Arc<Query>)>, standing: bool) -> Self {
        let name = Arc::from(entry.instance.get_str("Name").unwrap_or_default());
        Self { entry, name, queries, standing }
    }
}

impl Subscription {
    /// Whether indications flow, as far as its state goes.
    pub(crate) fn is_enabled(&self) -> bool {
        self.entry.instance.get_u64("SubscriptionState") != Some(u64::from(DISABLED))
    }

    /// When it is over; `None` for never.
    pub(crate) fn ends(&self) -> Option<SystemTime> {
        ends(&self.entry)
    }
}

/// When a subscription is over; `None` for never.
pub(crate) fn ends(entry: &Entry) -> Option<SystemTime> {
    let seconds = entry.instance.get_u64("SubscriptionDuration")?;
    let began = match entry.instance.get("SubscriptionStartTime") {
        Some(Value::DateTime(began)) => began.to_system_time(),
        _ => None,
    };
    began.unwrap_or(entry.created).checked_add(Duration::from_secs(seconds))
}

/// Whether an entry is at a path. Paths are the same whatever host they name and whether or not they name the namespace.
fn is_at(entry: &Entry, path: &InstancePath) -> bool {
    entry.instance.path.as_ref().is_some_and(|own| own == path)
}
