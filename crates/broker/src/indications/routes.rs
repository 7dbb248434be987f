//! From a query to those who subscribed to it.

use super::book::Book;
use super::lifecycle::Kind;
use super::sources::{Source, Sources};
use cimwright_cim::NamespaceName;
use cimwright_cim::query::Query;
use std::sync::Arc;
use std::time::SystemTime;
use uuid::Uuid;

/// All that is subscribed to, by namespace.
pub(crate) struct Routes {
    sources: Sources,
    by_source: Vec<Vec<Route>>,
}

/// One query on one namespace, and whom it leads to.
pub(crate) struct Route {
    pub(crate) query: Arc<Query>,
    /// Which lifecycle indications its FROM admits, in the order of [`Kind::ALL`].
    kinds: [bool; 4],
    to: Vec<Listener>,
}

struct Listener {
    destination: Uuid,
    filter: Arc<str>,
    /// When the subscription is over.
    until: Option<SystemTime>,
    /// The subscription, if it has several filters: one indication is told to it once, whichever of them it passes.
    once: Option<Uuid>,
}

impl Routes {
    /// The routes of all subscriptions that are enabled.
    pub(crate) fn new(book: &Book, sources: Sources) -> Self {
        let mut by_source: Vec<Vec<Route>> = sources.iter().map(|_| Vec::new()).collect();
        // What follows a journal is told by the store.
        let follows =
            |destination: Uuid| book.destination(destination).is_some_and(|d| d.follows().is_some());
        for subscription in book.subscriptions().filter(|s| s.is_enabled() && !follows(s.destination)) {
            let filters = book.filters_of(subscription.filter);
            let once = (filters.len() > 1).then_some(subscription.entry.id);
            let pairs = filters.iter().flat_map(|filter| (0..sources.len()).map(move |at| (filter, at)));
            for (filter, at) in pairs {
                let (source, routes) = (&sources[at], &mut by_source[at]);
                let Some((_, query)) = filter.queries.iter().find(|(n, _)| *n == source.name) else {
                    continue;
                };
                let listener = Listener {
                    destination: subscription.destination,
                    filter: Arc::clone(&filter.name),
                    until: subscription.ends(),
                    once,
                };
                // Equal queries are one, whoever wrote them.
                match routes.iter_mut().find(|r| r.query == *query) {
                    Some(route) => route.to.push(listener),
                    None => routes.push(Route {
                        kinds: Kind::ALL.map(|k| source.schema.is_a(k.class(), query.from.as_str())),
                        query: Arc::clone(query),
                        to: vec![listener],
                    }),
                }
            }
        }
        Self { sources, by_source }
    }

    /// Whether nobody wants to know anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_source.iter().all(Vec::is_empty)
    }

    /// The namespaces that have routes, with these.
    pub(crate) fn by_source(&self) -> impl Iterator<Item = (&Source, &[Route])> {
        let all = self.sources.iter().zip(&self.by_source);
        all.filter(|(_, r)| !r.is_empty()).map(|(source, r)| (&**source, r.as_slice()))
    }

    /// A namespace and its routes; `None` if there is no such namespace.
    pub(crate) fn of(&self, namespace: &NamespaceName) -> Option<(&Source, &[Route])> {
        let mut all = self.sources.iter().zip(&self.by_source);
        all.find(|(s, _)| s.name == *namespace).map(|(source, r)| (&**source, r.as_slice()))
    }
}

impl Route {
    /// Whether the query's FROM admits such an indication.
    pub(crate) fn takes(&self, kind: Kind) -> bool {
        self.kinds[kind as usize]
    }
}

/// Whom an indication goes to that passes these routes at this time: destination and name of the filter.
pub(crate) fn listeners<'r>(
    passed: impl Iterator<Item = &'r Route>,
    now: SystemTime,
) -> Vec<(Uuid, Arc<str>)> {
    let mut told = Vec::new();
    passed
        .flat_map(|route| &route.to)
        .filter(|l| l.until.is_none_or(|until| now < until))
        .filter(|l| {
            l.once.is_none_or(|subscription| {
                let new = !told.contains(&subscription);
                told.push(subscription);
                new
            })
        })
        .map(|l| (l.destination, Arc::clone(&l.filter)))
        .collect()
}
