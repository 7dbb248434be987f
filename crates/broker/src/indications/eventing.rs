//! Subscriptions of WS-Eventing (DSP0226 10): a filter, a destination and a subscription that are made and removed together.
//!
//! They are entries like those that clients make over CIM-XML, with the same limits, owners, queues and lines. What differs is
//! that they end by themselves, and that a client may fetch what waits for it instead of being sent it.

use super::book::{Destination, ENABLED, Filter, Subscription};
use super::bookmarks::{Bookmark, EventStart, JournalPart, SubscribeError};
use super::delivery::{self, addressed, context_of};
use super::ending::EventEnd;
use super::rules::{self, IGNORE, check_limit};
use super::target::Target;
use super::{Indications, SYSTEM_CLASS, Shared};
use crate::errors;
use crate::interop::INTEROP_NAMESPACE;
use cimwright_cim::{CimError, CimStatus, DateTime, Instance, InstancePath, NamespaceName, Value};
use cimwright_jobs::{Entry, EntryKind};
use cimwright_sdk::{Principal, Role};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use uuid::Uuid;

/// The class of destinations that Subscribe makes.
pub(crate) const CLASS: &str = "CIM_ListenerDestinationWSManagement";

/// What such a destination shows; what else is stored with it is between the subscriber and this server.
pub(crate) const SHOWN: [&str; 10] = [
    "SystemCreationClassName",
    "SystemName",
    "CreationClassName",
    "Name",
    "PersistenceType",
    "Destination",
    "Protocol",
    "DeliveryMode",
    "Heartbeat",
    "MaxTime",
];

/// CIM_ListenerDestination.Protocol: WS-Management.
const WS_MANAGEMENT: u16 = 4;

/// The address of a destination that fetches its events.
const NOWHERE: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";

/// What the names of filters and destinations that Subscribe makes begin with.
pub(crate) const NAME: &str = "Cimwright:WS-Eventing:";

/// How many events a message holds when the subscriber does not say.
const BATCH: usize = 20;

/// How often expired subscriptions are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// How events get to a subscriber (DSP0226 10.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventMode {
    /// Sent one by one; any answer that is no failure will do.
    Push,
    /// Sent one by one, each until it is acknowledged.
    PushWithAck,
    /// Sent several at a time, each message until it is acknowledged.
    Events,
    /// Fetched by the subscriber.
    Pull,
}

/// Where and how the events of a subscription are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSink {
    /// In which way.
    pub mode: EventMode,
    /// The address that events are sent to; empty when they are fetched.
    pub notify_to: String,
    /// Namespace, name and text of what the subscriber wants to find in the header of each message.
    pub parameters: Vec<(String, String, String)>,
    /// The resource URI that Subscribe went to.
    pub resource_uri: String,
    /// The namespace of the events.
    pub namespace: NamespaceName,
    /// How often to say that the source is there when there is nothing else to say.
    pub heartbeat: Option<Duration>,
    /// How many events a message holds at most, for [`EventMode::Events`].
    pub max_elements: Option<u32>,
    /// How long an event waits for others, for [`EventMode::Events`].
    pub max_time: Option<Duration>,
    /// How often a delivery is tried again, and after how long, before the subscription ends. Without it, as it is for all
    /// destinations.
    pub retry: Option<(u32, Duration)>,
    /// Whether messages say which event is the last one in them.
    pub bookmarks: bool,
    /// Who is told when this server ends the subscription.
    pub end_to: Option<EventAddress>,
    /// Where the subscription is managed, as the subscriber called it.
    pub manager: String,
}

/// Where something is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventAddress {
    /// The address.
    pub address: String,
    /// Namespace, name and text of what the receiver wants to find in the header.
    pub parameters: Vec<(String, String, String)>,
}

/// What a subscriber wants to be told.
#[derive(Clone, Debug)]
pub struct EventQuery {
    /// The query language, as CIM_IndicationFilter names it.
    pub language: String,
    /// The query.
    pub text: String,
}

/// What a subscriber fetches.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// How events are to be written.
    pub sink: Arc<EventSink>,
    /// Those that wait, oldest first.
    pub events: Vec<WaitingEvent>,
    journal: Option<Uuid>,
}

impl Fetched {
    /// The bookmark of the event with this number, if the subscriber wants bookmarks.
    pub fn bookmark(&self, sequence: u64) -> Option<Bookmark> {
        let journal = self.journal.filter(|_| self.sink.bookmarks)?;
        Some(Bookmark::new(journal, sequence))
    }
}

/// An event that waits to be fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingEvent {
    /// Its number in the sequence of the subscription.
    pub sequence: u64,
    /// The event.
    pub event: Instance,
}

impl EventSink {
    /// How many events one message holds.
    pub(crate) fn batch(&self) -> usize {
        match (self.mode, self.max_elements) {
            (EventMode::Events, Some(most)) => most.max(1) as usize,
            (EventMode::Events, None) => BATCH,
            _ => 1,
        }
    }

    /// Where events are sent; `None` when they are fetched.
    ///
    /// # Errors
    /// When the address is none.
    fn target(&self) -> Result<Option<Target>, CimError> {
        if self.mode == EventMode::Pull {
            return Ok(None);
        }
        Target::parse_with(&self.notify_to, 80, 443).map(Some)
    }

    /// Where the end is told.
    ///
    /// # Errors
    /// When the address is none.
    pub(super) fn end_target(&self) -> Result<Option<Target>, CimError> {
        self.end_to.as_ref().map(|to| Target::parse_with(&to.address, 80, 443)).transpose()
    }

    /// As properties of a destination.
    fn write(&self, instance: &mut Instance) {
        let address = if self.mode == EventMode::Pull { NOWHERE } else { &self.notify_to };
        instance.set("Destination", Some(Value::from(address)));
        let mode = match self.mode {
            EventMode::Push => 2,
            EventMode::PushWithAck => 3,
            EventMode::Events => 4,
            EventMode::Pull => 5,
        };
        instance.set("DeliveryMode", Some(Value::Uint16(mode)));
        let millis = |d: Duration| Value::Uint64(u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        instance.set("Heartbeat", self.heartbeat.map(millis));
        instance.set("MaxTime", self.max_time.map(millis));
        instance.set("MaxElements", self.max_elements.map(Value::Uint32));
        instance.set("ResourceURI", Some(Value::from(self.resource_uri.as_str())));
        instance.set("SourceNamespace", Some(Value::from(self.namespace.as_str())));
        instance.set("ReferenceParameters", Some(parameters_value(&self.parameters)));
        if let Some((total, interval)) = self.retry {
            instance.set("RetryTotal", Some(Value::Uint32(total)));
            instance.set("RetryInterval", Some(millis(interval)));
        }
        if self.bookmarks {
            instance.set("SendBookmarks", Some(Value::Boolean(true)));
        }
        if let Some(end_to) = &self.end_to {
            instance.set("EndTo", Some(Value::from(end_to.address.as_str())));
            instance.set("EndToParameters", Some(parameters_value(&end_to.parameters)));
        }
        instance.set("Manager", Some(Value::from(self.manager.as_str())));
    }

    /// Out of the properties of a destination; `None` if it is none of WS-Management.
    pub(crate) fn read(instance: &Instance) -> Option<(Self, Option<Target>)> {
        if !instance.class.is(CLASS) {
            return None;
        }
        let mode = match instance.get_u64("DeliveryMode")? {
            2 => EventMode::Push,
            3 => EventMode::PushWithAck,
            4 => EventMode::Events,
            _ => EventMode::Pull,
        };
        let retry = instance.get_u64("RetryTotal").and_then(|total| u32::try_from(total).ok());
        let end_to = instance.get_str("EndTo").map(|address| EventAddress {
            address: address.to_owned(),
            parameters: parameters_of(instance, "EndToParameters"),
        });
        let sink = Self {
            mode,
            notify_to: instance.get_str("Destination").unwrap_or_default().to_owned(),
            parameters: parameters_of(instance, "ReferenceParameters"),
            resource_uri: instance.get_str("ResourceURI").unwrap_or_default().to_owned(),
            namespace: NamespaceName::new(instance.get_str("SourceNamespace").unwrap_or_default()),
            heartbeat: instance.get_u64("Heartbeat").map(Duration::from_millis),
            max_elements: instance.get_u64("MaxElements").and_then(|n| u32::try_from(n).ok()),
            max_time: instance.get_u64("MaxTime").map(Duration::from_millis),
            retry: retry.zip(instance.get_u64("RetryInterval").map(Duration::from_millis)),
            bookmarks: instance.get("SendBookmarks") == Some(&Value::Boolean(true)),
            end_to,
            manager: instance.get_str("Manager").unwrap_or_default().to_owned(),
        };
        let target = sink.target().ok().flatten();
        Some((sink, target))
    }
}

impl Indications {
    /// Makes a subscription of WS-Eventing that ends after `lifetime` unless it is renewed; its identity, and the number that its
    /// first event has or will have.
    ///
    /// # Errors
    /// When the user may not subscribe, the query is none or nothing raises what it asks for, the address is none or not
    /// allowed, there are too many subscriptions, or what came after the bookmark cannot be told any more.
    pub async fn subscribe(
        &self,
        principal: &Principal,
        query: &EventQuery,
        sink: EventSink,
        start: EventStart,
        lifetime: Duration,
    ) -> Result<(Uuid, u64), SubscribeError> {
        self.shared.subscribe(principal, query, sink, start, lifetime).await
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// CIM_ERR_NOT_FOUND if the user has no such subscription.
    pub async fn unsubscribe(&self, principal: &Principal, id: Uuid) -> Result<(), CimError> {
        let _turn = self.shared.turn.lock().await;
        self.shared.own_subscription(principal, id)?;
        self.shared.end_subscription(id).await
    }

    /// Lets a subscription last for `lifetime` from now on.
    ///
    /// # Errors
    /// CIM_ERR_NOT_FOUND if the user has no such subscription.
    pub async fn renew(&self, principal: &Principal, id: Uuid, lifetime: Duration) -> Result<(), CimError> {
        let shared = &self.shared;
        let _turn = shared.turn.lock().await;
        let (mut entry, _) = shared.own_subscription(principal, id)?;
        let journal = shared.book().destination(id).and_then(|d| d.journal);
        if let Some(JournalPart::Follows(journal)) = journal {
            shared.extend_journal(journal, lifetime).await?;
        }
        let age = shared.clock.now().duration_since(began(&entry)).unwrap_or_default();
        let whole = seconds(age.saturating_add(lifetime));
        entry.instance.set("SubscriptionDuration", Some(Value::Uint64(whole)));
        shared.outbox.register(&entry).await.map_err(errors::from_store)?;
        shared.book().replace_subscription(entry);
        shared.reroute();
        Ok(())
    }

    /// How long a subscription still lasts.
    ///
    /// # Errors
    /// CIM_ERR_NOT_FOUND if the user has no such subscription.
    pub fn remaining(&self, principal: &Principal, id: Uuid) -> Result<Duration, CimError> {
        let (_, ends) = self.shared.own_subscription(principal, id)?;
        Ok(ends
            .map_or(Duration::MAX, |ends| ends.duration_since(self.shared.clock.now()).unwrap_or_default()))
    }

    /// The first `limit` events from the number `from` on that wait for a subscriber who fetches them. Those before `from` have
    /// arrived and are forgotten; the others are given again until a call says that they have arrived too. Waits for the first one
    /// until `until`; then there are none.
    ///
    /// # Errors
    /// CIM_ERR_INVALID_ENUMERATION_CONTEXT if the user has no such subscription, or nobody was ever told that number.
    pub async fn fetch(
        &self,
        principal: &Principal,
        id: Uuid,
        from: u64,
        limit: usize,
        until: Instant,
    ) -> Result<Fetched, CimError> {
        let shared = &self.shared;
        let invalid = || CimError::new(CimStatus::InvalidEnumerationContext, "there is no such subscription");
        let wake = shared.lines.waker(id);
        loop {
            let mut grown = std::pin::pin!(wake.notified());
            // From here on nothing is missed, whenever it is queued.
            grown.as_mut().enable();
            shared.own_subscription(principal, id).map_err(|_| invalid())?;
            let (sink, context, journal) = {
                let book = shared.book();
                let found = book.destination(id).ok_or_else(invalid)?;
                let sink = found.sink.clone().filter(|s| s.mode == EventMode::Pull).ok_or_else(invalid)?;
                (sink, context_of(&found.entry), found.follows())
            };
            let state = shared.outbox.queue(id).await.map_err(errors::from_store)?.ok_or_else(invalid)?;
            if from > state.next {
                return Err(invalid());
            }
            if let Some(arrived) = from.checked_sub(1) {
                shared.outbox.settle(id, arrived).await.map_err(errors::from_store)?;
            }
            let waiting = shared.outbox.pending(id, limit.max(1)).await.map_err(errors::from_store)?;
            let now = shared.clock.now();
            let old = |at: SystemTime| now.duration_since(at).unwrap_or_default() >= shared.config.lifetime;
            if let Some(last) = waiting.iter().take_while(|q| old(q.at)).last() {
                tracing::warn!(subscription = %id, "events are too old and are dropped");
                shared.outbox.settle(id, last.sequence).await.map_err(errors::from_store)?;
                continue;
            }
            if !waiting.is_empty() {
                let events = waiting
                    .into_iter()
                    .map(|q| WaitingEvent { sequence: q.sequence, event: addressed(q, &context) })
                    .collect();
                return Ok(Fetched { sink, events, journal });
            }
            if tokio::time::timeout_at(until, grown).await.is_err() {
                return Ok(Fetched { sink, events: Vec::new(), journal });
            }
        }
    }
}

impl Shared {
    async fn subscribe(
        self: &Arc<Self>,
        principal: &Principal,
        query: &EventQuery,
        sink: EventSink,
        start: EventStart,
        lifetime: Duration,
    ) -> Result<(Uuid, u64), SubscribeError> {
        if principal.role() == Role::Reader {
            return Err(errors::denied(principal, "subscriptions").into());
        }
        let target = sink.target()?;
        let all =
            [target.as_ref(), sink.end_target()?.as_ref()].into_iter().flatten().cloned().collect::<Vec<_>>();
        if let Some(target) = all.iter().find(|target| !target.is_allowed(&self.config.allowed)) {
            return Err(CimError::access_denied(format!(
                "events may not be sent to {}; indications.allowed_destinations in the configuration of the server says \
                 where they may",
                target.host
            ))
            .into());
        }
        let id = Uuid::now_v7();
        let name = format!("{NAME}{}", id.simple());
        let mut filter = self.named("CIM_IndicationFilter", &name);
        filter.set("SourceNamespaces", Some(Value::strings([sink.namespace.as_str()])));
        filter.set("Query", Some(Value::from(query.text.as_str())));
        filter.set("QueryLanguage", Some(Value::from(query.language.as_str())));
        let namespaces = rules::namespaces_of(&filter);
        let queries = rules::queries_of(&filter, &namespaces, &self.sources(), &self.parser)?;
        let mut destination = self.listener(&name, &sink);

        let _turn = self.turn.lock().await;
        self.sweep().await?;
        self.check_limits(1)?;
        // Its own filter, or that of the journal that has the events.
        let (filter, own_filter, journal) = if sink.bookmarks || start != EventStart::Next {
            let found = self.journal(principal, filter, queries, &sink, start, lifetime).await?;
            JournalPart::Follows(found.journal).write(id, &mut destination);
            (found.filter, None, Some(found.journal))
        } else {
            let filter = self.entry(EntryKind::Filter, principal, filter);
            (filter.clone(), Some(Filter::new(filter, queries, false)), None)
        };
        let subscription = self.tied(&filter.instance, &destination, lifetime);
        let destination = Entry { id, ..self.entry(EntryKind::Destination, principal, destination) };
        let subscription = self.entry(EntryKind::Subscription, principal, subscription);
        // The subscription last: without it the others are swept away.
        let own = own_filter.as_ref().map(|f| &f.entry);
        for entry in own.into_iter().chain([&destination]) {
            self.outbox.register(entry).await.map_err(errors::from_store)?;
        }
        let first = match journal {
            None => 0,
            Some(journal) => self.follow(id, journal, start).await?,
        };
        if let Err(error) = self.outbox.register(&subscription).await {
            // Else what nobody knows of would be filled.
            let _ = self.outbox.unregister(id).await;
            return Err(errors::from_store(error).into());
        }
        {
            let mut book = self.book();
            if let Some(filter) = own_filter {
                book.add_filter(filter);
            }
            let (sink, journal) = (Some(Arc::new(sink)), journal.map(JournalPart::Follows));
            book.add_destination(Destination { entry: destination, target, sink, journal });
            book.add_subscription(Subscription { entry: subscription, filter: filter.id, destination: id });
        }
        self.reroute();
        delivery::open_line(self, id);
        Ok((id, first))
    }

    /// Whether there is room for so many subscriptions more, with their filters and destinations.
    pub(super) fn check_limits(&self, more: usize) -> Result<(), CimError> {
        let book = self.book();
        let after = |count: usize| count + more - 1;
        let filters = book.filters().filter(|f| !f.standing).count();
        check_limit(after(filters), self.config.max_filters, "filters")?;
        check_limit(after(book.destinations().count()), self.config.max_destinations, "destinations")?;
        check_limit(after(book.subscriptions().count()), self.config.max_subscriptions, "subscriptions")
    }

    /// A destination that Subscribe makes.
    pub(super) fn listener(&self, name: &str, sink: &EventSink) -> Instance {
        let mut destination = self.named(CLASS, name);
        destination.set("PersistenceType", Some(Value::Uint16(3)));
        destination.set("Protocol", Some(Value::Uint16(WS_MANAGEMENT)));
        sink.write(&mut destination);
        destination
    }

    /// The subscription that leads to a destination of WS-Management, and when it ends, if the user may control it. One answer
    /// for all reasons: a user must not learn which subscriptions others have.
    fn own_subscription(
        &self,
        principal: &Principal,
        id: Uuid,
    ) -> Result<(Entry, Option<SystemTime>), CimError> {
        let now = self.clock.now();
        let book = self.book();
        let events = |d: &Destination| d.sink.is_some() && d.journal != Some(JournalPart::Is);
        let known = book.destination(id).is_some_and(events);
        book.subscriptions()
            .filter(|s| known && s.destination == id && principal.may_control(&s.entry.owner))
            .find(|s| s.ends().is_none_or(|ends| now < ends))
            .map(|s| (s.entry.clone(), s.ends()))
            .ok_or_else(|| CimError::not_found("there is no such subscription"))
    }

    /// Removes a subscription with its filter and its destination; the caller holds the turn.
    pub(super) async fn end_subscription(&self, id: Uuid) -> Result<(), CimError> {
        let (subscriptions, filters) = {
            let book = self.book();
            let name = book.destination(id).and_then(|d| d.entry.instance.get_str("Name").map(str::to_owned));
            let all = book.subscriptions().filter(|s| s.destination == id);
            let subscriptions: Vec<Uuid> = all.map(|s| s.entry.id).collect();
            let left = |f: &Filter| {
                !f.standing
                    && Some(&*f.name) == name.as_deref()
                    && !book.subscriptions().any(|s| s.filter == f.entry.id && s.destination != id)
            };
            let filters: Vec<Uuid> = book.filters().filter(|f| left(f)).map(|f| f.entry.id).collect();
            (subscriptions, filters)
        };
        for entry in subscriptions.into_iter().chain([id]).chain(filters) {
            self.forget(entry).await?;
        }
        Ok(())
    }

    /// Removes what is left of subscriptions that have ended; the caller holds the turn.
    async fn sweep(&self) -> Result<(), CimError> {
        self.sweep_orphans().await?;
        let now = self.clock.now();
        let over: Vec<Uuid> = {
            let book = self.book();
            let sinks = book.destinations().filter(|d| d.sink.is_some()).map(|d| d.entry.id);
            let lasts = |id: Uuid| {
                let mut all = book.subscriptions().filter(|s| s.destination == id);
                all.any(|s| s.ends().is_none_or(|ends| now < ends))
            };
            sinks.filter(|id| !lasts(*id)).collect()
        };
        for id in over {
            tracing::info!(subscription = %id, "a subscription over WS-Management has ended");
            // One that has expired is still there, and its subscriber knows when it expires; one that is not was taken away.
            let cancelled = {
                let book = self.book();
                let sink = book.destination(id).and_then(|d| d.sink.clone());
                sink.filter(|_| !book.subscriptions().any(|s| s.destination == id))
            };
            self.end_subscription(id).await?;
            if let Some(sink) = cancelled {
                self.tell_end(id, sink, EventEnd::Cancelled);
            }
        }
        // Those whose journal has just gone.
        self.sweep_orphans().await?;
        self.trim_journals().await?;
        // A filter without its destination is what a crash in the middle of Subscribe or Unsubscribe leaves.
        let alone: Vec<Uuid> = {
            let book = self.book();
            let own = book.filters().filter(|f| !f.standing && f.name.starts_with(NAME));
            let has_end = |name: &str| {
                book.destinations()
                    .any(|d| d.sink.is_some() && d.entry.instance.get_str("Name") == Some(name))
                    || book
                        .filters()
                        .any(|f| &*f.name == name && book.subscriptions().any(|s| s.filter == f.entry.id))
            };
            own.filter(|f| !has_end(&f.name)).map(|f| f.entry.id).collect()
        };
        for id in alone {
            self.forget(id).await?;
        }
        Ok(())
    }

    /// Ends the subscriptions that follow a journal which is not there any more. A journal outlives them unless somebody has removed it.
    async fn sweep_orphans(&self) -> Result<(), CimError> {
        let orphans: Vec<(Uuid, Arc<EventSink>)> = {
            let book = self.book();
            let gone =
                |d: &&Destination| d.follows().is_some_and(|journal| book.destination(journal).is_none());
            book.destinations().filter(gone).filter_map(|d| Some((d.entry.id, d.sink.clone()?))).collect()
        };
        for (id, sink) in orphans {
            self.end_subscription(id).await?;
            self.tell_end(id, sink, EventEnd::Cancelled);
        }
        Ok(())
    }

    /// Whether anything is still told to a destination.
    pub(crate) fn is_wanted(&self, destination: Uuid) -> bool {
        let now = self.clock.now();
        let book = self.book();
        let mut all = book.subscriptions().filter(|s| s.destination == destination && s.is_enabled());
        all.any(|s| s.ends().is_none_or(|ends| now < ends))
    }

    /// A filter or destination with its keys.
    pub(super) fn named(&self, class: &str, name: &str) -> Instance {
        let path = InstancePath::new(NamespaceName::new(INTEROP_NAMESPACE), class)
            .with_key("SystemCreationClassName", SYSTEM_CLASS)
            .with_key("SystemName", self.config.system_name.as_str())
            .with_key("CreationClassName", class)
            .with_key("Name", name);
        let mut instance = Instance::new(class);
        for key in &path.keys {
            instance.set(key.name.clone(), Some(key.value.clone()));
        }
        instance.path = Some(path);
        instance
    }

    /// The subscription between the two.
    pub(super) fn tied(&self, filter: &Instance, destination: &Instance, lifetime: Duration) -> Instance {
        let now: Value = DateTime::from_system_time(self.clock.now()).into();
        let mut path = InstancePath::new(NamespaceName::new(INTEROP_NAMESPACE), "CIM_IndicationSubscription");
        let mut instance = Instance::new("CIM_IndicationSubscription")
            .with("OnFatalErrorPolicy", Value::Uint16(IGNORE))
            .with("RepeatNotificationPolicy", Value::Uint16(2))
            .with("SubscriptionState", Value::Uint16(ENABLED))
            .with("SubscriptionStartTime", now.clone())
            .with("TimeOfLastStateChange", now)
            .with("SubscriptionDuration", Value::Uint64(seconds(lifetime)));
        for (role, end) in [("Filter", filter), ("Handler", destination)] {
            if let Some(end) = end.path.clone().map(Value::from) {
                path = path.with_key(role, end.clone());
                instance.set(role, Some(end));
            }
        }
        instance.path = Some(path);
        instance
    }
}

/// Looks for expired subscriptions now and then, as long as there is somebody to tell.
pub(crate) async fn sweep_regularly(shared: std::sync::Weak<Shared>) {
    while let Some(strong) = shared.upgrade() {
        let turn = strong.turn.lock().await;
        if let Err(error) = strong.sweep().await {
            tracing::error!(%error, "cannot remove expired subscriptions yet");
        }
        drop(turn);
        drop(strong);
        tokio::time::sleep(SWEEP).await;
    }
}

/// As an array of texts, three for each parameter.
fn parameters_value(parameters: &[(String, String, String)]) -> Value {
    Value::strings(parameters.iter().flat_map(|(ns, name, text)| [ns, name, text]).map(String::as_str))
}

fn parameters_of(instance: &Instance, property: &str) -> Vec<(String, String, String)> {
    let texts: Vec<&str> = instance
        .get(property)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|v| v.as_ref().and_then(Value::as_str))
        .collect();
    texts.chunks_exact(3).map(|p| (p[0].to_owned(), p[1].to_owned(), p[2].to_owned())).collect()
}

/// Seconds, the last begun one included: SubscriptionDuration knows no smaller ones.
pub(super) fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// When a subscription began.
pub(super) fn began(subscription: &Entry) -> SystemTime {
    let stated = match subscription.instance.get("SubscriptionStartTime") {
        Some(Value::DateTime(began)) => began.to_system_time(),
        _ => None,
    };
    stated.unwrap_or(subscription.created)
}
