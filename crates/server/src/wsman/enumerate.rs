//! Enumerate, Pull, Release, Renew and GetStatus.

use super::contexts::{Look, Session, Term};
use super::eventing::EventContext;
use super::exchange::{Exchange, Place, unexpected};
use crate::execute::Answer;
use cimwright_broker::{Clock, SystemClock};
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::operation::InstanceOptions;
use cimwright_cim::query::{Comparison, Condition, PropertyPath, Query};
use cimwright_cim::{Class, DateTime, Instance, ObjectPath, Operation, OperationResult};
use cimwright_codec::query;
use cimwright_codec::wsman::{
    AssociationQuery, Enumerate, EnumerationMode, Expiry, Fault, Filter, ItemWriter, Polymorphism, Pull,
    ResponseWriter, Selector, Subcode, fault_of, selected_keys, show_octets, uris, xpath_query,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What an envelope takes beside its items, in bytes; the headers of the request come on top.
const ENVELOPE: usize = 1600;
/// How long a Pull looks for items when the client sets no time.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(60);

/// How long a client waits for items at most.
const MAX_PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// What is kept back of the client's time for the way of the answer.
const MARGIN: Duration = Duration::from_millis(50);
/// How many items an answer has at most, whatever the client asks for.
const MAX_ITEMS: u32 = 10_000;

/// How long an enumeration is kept, and what the client is told of that.
struct Granted {
    term: Term,
    told: Expiry,
}

/// How much one answer may hold.
pub(super) struct Room {
    pub(super) items: usize,
    pub(super) bytes: usize,
    pub(super) characters: Option<u64>,
    pub(super) until: Instant,
}

impl Exchange {
    /// Enumerate (DSP0226 8.2).
    pub(super) async fn enumerate(&self, asked: Enumerate) -> Result<Vec<u8>, Fault> {
        let place = self.place()?;
        self.no_keys("Enumerate")?;
        let granted = self.granted(asked.expires)?;
        let mut session = Box::new(self.session(&place, &asked).await?);
        if !asked.optimize {
            let total = session.total();
            let context = self.app().wsman_contexts.add(
                self.principal.name(),
                session,
                granted.term,
                Instant::now(),
            )?;
            return Ok(self.counting_writer(&place, total).enumerated(granted.told, &context, None));
        }
        let look = session.look.clone();
        let mut items = look.items(self.header.forms());
        let room = self.room(asked.max_elements, None, None);
        let at_end = fill(&mut session, &mut items, &room).await?;
        let total = session.total();
        let context = if at_end {
            String::new()
        } else {
            self.app().wsman_contexts.add(self.principal.name(), session, granted.term, Instant::now())?
        };
        Ok(self.counting_writer(&place, total).enumerated(granted.told, &context, Some(items)))
    }

    fn counting_writer<'w>(&'w self, place: &'w Place, total: Option<u64>) -> ResponseWriter<'w> {
        ResponseWriter::with_total(
            &self.header,
            &super::exchange::message_id(),
            Some(&place.namespace),
            total,
        )
    }

    /// Pull (DSP0226 8.4). The resource URI is not looked at: some clients pull on another one than they enumerate.
    pub(super) async fn pull(&self, asked: Pull) -> Result<Vec<u8>, Fault> {
        if let Some(events) = EventContext::read(&asked.context) {
            return self.pull_events(&asked, events).await;
        }
        let contexts = &self.app().wsman_contexts;
        let (mut session, borrowed) =
            contexts.borrow(self.principal.name(), &asked.context, Instant::now())?;
        let look = session.look.clone();
        let mut items = look.items(self.header.forms());
        let room = self.room(asked.max_elements, asked.max_characters, asked.max_time);
        let at_end = match fill(&mut session, &mut items, &room).await {
            Ok(at_end) => at_end,
            Err(fault) => {
                // What could not be sent is still there for a Pull with more room; what failed is over.
                let goes_on = fault.subcode == Some(Subcode::EncodingLimit);
                borrowed.give_back(goes_on.then_some(session));
                return Err(fault);
            }
        };
        if items.is_empty() && !at_end {
            borrowed.give_back(Some(session));
            return Err(Fault::new(Subcode::TimedOut, "The operation has timed out."));
        }
        let total = session.total();
        borrowed.give_back((!at_end).then_some(session));
        let id = super::exchange::message_id();
        let writer = ResponseWriter::with_total(&self.header, &id, Some(&look.namespace), total);
        Ok(writer.pulled((!at_end).then_some(asked.context.as_str()), &items))
    }

    /// Release (DSP0226 8.6).
    pub(super) async fn release(&self, context: &str) -> Result<Vec<u8>, Fault> {
        if let Some(events) = EventContext::read(context) {
            return self.release_events(events).await;
        }
        self.app().wsman_contexts.release(self.principal.name(), context, Instant::now())?;
        Ok(self.bare_writer().empty())
    }

    /// Renew.
    pub(super) fn renew(&self, context: &str, expires: Option<Expiry>) -> Result<Vec<u8>, Fault> {
        let granted = self.granted(expires)?;
        let contexts = &self.app().wsman_contexts;
        contexts.renew(self.principal.name(), context, Some(granted.term), Instant::now())?;
        Ok(self.bare_writer().expires("RenewResponse", granted.told))
    }

    /// GetStatus.
    pub(super) fn status(&self, context: &str) -> Result<Vec<u8>, Fault> {
        let left = self.app().wsman_contexts.renew(self.principal.name(), context, None, Instant::now())?;
        // Nobody needs the fraction.
        let left = Duration::from_secs(left.as_secs());
        Ok(self.bare_writer().expires("GetStatusResponse", left))
    }

    pub(super) fn bare_writer(&self) -> ResponseWriter<'_> {
        ResponseWriter::new(&self.header, &super::exchange::message_id(), None)
    }

    /// How long a context stays: without being used, or until a point in time. The answer has the form of the request, as
    /// WS-Enumeration would have it.
    fn granted(&self, asked: Option<Expiry>) -> Result<Granted, Fault> {
        let most = self.app().wsman.context_lifetime();
        match asked {
            None => Ok(Granted { term: most.into(), told: most.into() }),
            Some(Expiry::After(duration)) => {
                let duration = duration.min(most);
                Ok(Granted { term: duration.into(), told: duration.into() })
            }
            Some(Expiry::At(time)) => {
                let bad = |text: &str| Fault::new(Subcode::InvalidExpirationTime, text);
                let end = time.to_system_time().ok_or_else(|| bad("Expires is no point in time."))?;
                let now = SystemClock.now();
                let left = end.duration_since(now).ok().filter(|left| !left.is_zero());
                let left = left.ok_or_else(|| {
                    bad("Expires is in the past; compare the clocks, or ask for a duration.")
                })?;
                let told = if left <= most { time } else { DateTime::from_system_time(now + most) };
                Ok(Granted { term: Term::Until(Instant::now() + left.min(most)), told: Expiry::At(told) })
            }
        }
    }

    pub(super) fn room(
        &self,
        elements: Option<u32>,
        characters: Option<u64>,
        max_time: Option<Duration>,
    ) -> Room {
        let header = &self.header;
        let around = ENVELOPE + header.action.len() + 6 * header.message_id.len();
        let patience =
            [max_time, header.operation_timeout].into_iter().flatten().min().unwrap_or(DEFAULT_PATIENCE);
        // What a client can write is longer than time goes on.
        let patience = patience.min(MAX_PATIENCE);
        Room {
            // One item when the client does not say (DSP0226 8.2.3 and 8.4).
            items: elements.unwrap_or(1).min(MAX_ITEMS) as usize,
            bytes: self.max_envelope().saturating_sub(around),
            characters,
            until: Instant::now() + patience.saturating_sub(MARGIN).max(MARGIN),
        }
    }

    /// Begins an enumeration.
    async fn session(&self, place: &Place, asked: &Enumerate) -> Result<Session, Fault> {
        let mut session = Session {
            look: Look {
                namespace: place.namespace.clone(),
                uris: self.header.uris.clone(),
                mode: asked.mode,
                projected: false,
                shown_as: None,
            },
            schema: Arc::clone(&place.schema),
            only: None,
            stream: None,
            ready: VecDeque::new(),
            given: 0,
        };
        let (base, operation) = match &asked.filter {
            None => {
                let class = self.class(place)?;
                let operation = all_of_class(&class, asked);
                (Some(class), operation)
            }
            Some(Filter::Query { dialect, text }) => {
                let language = if dialect == uris::CQL { "DMTF:CQL" } else { "WQL" };
                let query = query::parse(language, text).map_err(|e| fault_of(&e, false))?;
                session.look.projected = query.select.is_some();
                (place.schema.class(query.from.as_str()).cloned(), Operation::ExecQuery { query })
            }
            Some(Filter::Selectors(selectors)) => {
                let class = self.class(place)?;
                let operation = by_values(&class, selectors)?;
                (Some(class), operation)
            }
            Some(Filter::XPath(text)) => {
                let class = self.class(place)?;
                let query = xpath_query(text, &class, &place.schema)
                    .map_err(|what| Fault::new(Subcode::CannotProcessFilter, what))?;
                (Some(class), Operation::ExecQuery { query })
            }
            Some(Filter::Association(query)) => {
                // Names and namespace are those of the object (DSP0227 8.2.6).
                if let Some(uris) = &query.uris {
                    session.look.uris = uris.clone();
                }
                let (place, operation) = self.associated(place, query)?;
                session.look.namespace = place.namespace.clone();
                session.schema = Arc::clone(&place.schema);
                let named = query.filter.result_class.as_ref();
                session.show(asked.polymorphism, named.and_then(|c| place.schema.class(c.as_str())));
                self.fetch(&place, operation, &mut session).await?;
                return Ok(session);
            }
        };
        session.show(asked.polymorphism, base.as_ref());
        self.fetch(place, operation, &mut session).await?;
        Ok(session)
    }

    async fn fetch(&self, place: &Place, operation: Operation, session: &mut Session) -> Result<(), Fault> {
        match self.execute(place, operation, false).await? {
            Answer::Objects(_, stream) => session.stream = Some(stream),
            Answer::Whole(OperationResult::Instances { items, .. }) => session.ready = items.into(),
            Answer::Whole(_) => return Err(unexpected()),
        }
        Ok(())
    }

    fn associated(&self, place: &Place, query: &AssociationQuery) -> Result<(Place, Operation), Fault> {
        let mut source = query.source.clone();
        let place = match &source.namespace {
            Some(namespace) if *namespace != place.namespace => {
                let schema = self.app().executor.schema(&self.principal, namespace).ok_or_else(|| {
                    let text = format!("there is no namespace {namespace}");
                    fault_of(&cimwright_cim::CimError::invalid_namespace(text), false)
                })?;
                Place { namespace: namespace.clone(), schema }
            }
            _ => Place { namespace: place.namespace.clone(), schema: place.schema.clone() },
        };
        if let Some(class) = place.schema.class(source.class.as_str()) {
            let selectors: Vec<Selector> = source
                .keys
                .iter()
                .map(|k| Selector { name: k.name.clone(), value: k.value.clone() })
                .collect();
            source = selected_keys(&selectors, class, &place.schema)?.path(class, place.namespace.clone())?;
        }
        let object = ObjectPath::Instance(source);
        let filter = query.filter.clone();
        let options =
            InstanceOptions { property_list: query.properties.clone(), ..InstanceOptions::default() };
        let operation = if query.associated {
            Operation::Associators { object, filter, options }
        } else {
            Operation::References { object, filter, options }
        };
        Ok((place, operation))
    }
}

impl Session {
    /// How instances of the subclasses of a class are shown. Where no class is named, there are no subclasses either.
    fn show(&mut self, polymorphism: Polymorphism, base: Option<&Arc<Class>>) {
        match polymorphism {
            Polymorphism::IncludeSubClassProperties => {}
            Polymorphism::ExcludeSubClassProperties => self.look.shown_as = base.cloned(),
            Polymorphism::None => self.only = base.map(|class| class.name.clone()),
        }
    }
}

/// Every instance of a class.
fn all_of_class(class: &Class, asked: &Enumerate) -> Operation {
    let name = class.name.clone();
    let deep = asked.polymorphism != Polymorphism::ExcludeSubClassProperties;
    match asked.mode {
        EnumerationMode::Epr => Operation::EnumerateInstanceNames { class: name },
        _ => Operation::EnumerateInstances { class: name, deep, options: InstanceOptions::default() },
    }
}

/// The selector filter: properties that must equal.
fn by_values(class: &Class, selectors: &[Selector]) -> Result<Operation, Fault> {
    let bad = |text: String| Fault::new(Subcode::CannotProcessFilter, text);
    let mut conditions = Vec::with_capacity(selectors.len());
    for selector in selectors.iter().filter(|s| !s.name.is("__cimnamespace")) {
        let Some(property) = class.property(selector.name.as_str()) else {
            return Err(bad(format!("{} has no property {}", class.name, selector.name)));
        };
        let declared = Declared { cim_type: property.cim_type, is_array: false, embedded: None };
        let constant = coerce(selector.value.clone(), declared, &|_| Err("no text of an object".to_owned()))
            .map_err(|e| bad(format!("{}: {e}", property.name)))?;
        let property = PropertyPath::of(property.name.clone());
        conditions.push(Condition::Compare { property, operator: Comparison::Equal, constant });
    }
    let condition = (!conditions.is_empty()).then_some(Condition::And(conditions));
    let from = class.name.clone();
    Ok(Operation::ExecQuery { query: Query { select: None, from, condition, fold_case: false } })
}

/// Writes items until there is no more room or no more time; whether these were the last ones.
async fn fill(session: &mut Session, items: &mut ItemWriter<'_>, room: &Room) -> Result<bool, Fault> {
    while items.count() < room.items {
        let Some(instance) = next(session, room.until).await? else { break };
        let before = items.len();
        items.push(&instance);
        session.given += 1;
        let too_large =
            items.len() > room.bytes || room.characters.is_some_and(|most| items.characters(0) as u64 > most);
        if too_large {
            items.take_back(before);
            session.given -= 1;
            session.ready.push_front(instance);
            if items.is_empty() {
                let text = "One item is larger than what is taken; it stays for a request that takes more.";
                return Err(Fault::new(Subcode::EncodingLimit, text).detail("MaxEnvelopeSize"));
            }
            return Ok(false);
        }
    }
    // The client is told with the last item that it is the last.
    if let Some(instance) = next(session, room.until).await? {
        session.ready.push_front(instance);
    }
    Ok(session.ready.is_empty() && session.stream.is_none())
}

/// The next instance; `None` at the end, or when there is no more time: then there still is a stream.
async fn next(session: &mut Session, until: Instant) -> Result<Option<Instance>, Fault> {
    loop {
        while let Some(mut instance) = session.ready.pop_front() {
            if session.shows(&instance.class) {
                if let Some(base) = &session.look.shown_as {
                    instance.properties.retain(|p| base.property(p.name.as_str()).is_some());
                }
                show_octets(&mut instance, &session.schema);
                return Ok(Some(instance));
            }
        }
        let Some(stream) = &mut session.stream else { return Ok(None) };
        // A portion that does not come in time is not lost.
        match tokio::time::timeout_at(until, stream.next()).await {
            Err(_) => return Ok(None),
            Ok(Ok(Some(portion))) => session.ready.extend(portion),
            Ok(Ok(None)) => session.stream = None,
            Ok(Err(error)) => return Err(fault_of(&error, false)),
        }
    }
}
