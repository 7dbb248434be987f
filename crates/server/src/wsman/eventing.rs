//! Subscribe and its kin, and events that a client fetches (DSP0226 10). Subscriptions, their queues and deliveries are those of
//! the broker's indications; here is what they look like over this protocol.

use super::exchange::{Exchange, message_id};
use cimwright_broker::indications::{
    Bookmark, EventAddress, EventMode, EventQuery, EventSink, EventStart, Indications, SubscribeError,
};
use cimwright_broker::{Clock, SystemClock};
use cimwright_cim::{CimError, CimStatus, DateTime};
use cimwright_codec::wsman::{
    DeliveryMode, EnumerationMode, Expiry, Fault, Filter, Foreign, ItemWriter, Pull, Resource,
    ResponseWriter, Subcode, Subscribe, Subscribed, encode_subscribed, encode_subscription_expires, fault_of,
    uris,
};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use uuid::Uuid;

/// How long a subscription lasts at most, and when the client does not say.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How long a Pull waits at a stretch before it looks whether the server is to end.
const STRETCH: Duration = Duration::from_secs(1);
/// How many events are looked at for one answer, whatever the client asks for.
const MAX_EVENTS: usize = 1000;
/// What precedes the subscription in a context of events.
const CONTEXT: &str = "events:";

/// What a context of events stands for. It says itself from where on the client has yet to get them: so it holds over a restart
/// of the server, and a Pull whose answer was lost can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventContext {
    subscription: Uuid,
    from: u64,
}

impl EventContext {
    /// Out of the text of a context; `None` if it is one of an enumeration.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (subscription, from) = text.strip_prefix(CONTEXT)?.split_once(':')?;
        Some(Self { subscription: subscription.parse().ok()?, from: from.parse().ok()? })
    }

    fn text(self) -> String {
        format!("{CONTEXT}{}:{}", self.subscription, self.from)
    }
}

impl Exchange {
    /// Subscribe.
    pub(super) async fn subscribe(&self, asked: Subscribe) -> Result<Vec<u8>, Fault> {
        let place = self.place()?;
        check_served(&asked)?;
        let start = start(asked.bookmark.as_deref())?;
        let (lifetime, granted) = granted(asked.expires)?;
        let query = match &asked.filter {
            None => self.all_of_indication()?,
            Some(Filter::Query { dialect, text }) => {
                let language = if dialect == uris::CQL { "DMTF:CQL" } else { "WQL" };
                EventQuery { language: language.to_owned(), text: text.clone() }
            }
            Some(Filter::Selectors(_) | Filter::Association(_) | Filter::XPath(_)) => {
                let text = "Events are filtered by queries in WQL or CQL.";
                return Err(Fault {
                    supported: vec![uris::WQL.to_owned(), uris::CQL.to_owned()],
                    ..Fault::new(Subcode::EventFilteringRequestedUnavailable, text)
                });
            }
        };
        let uri = self.header.resource_uri.clone().unwrap_or_default();
        let notify_to = asked.delivery.notify_to.clone().unwrap_or_default();
        let sink = EventSink {
            mode: mode_of(asked.delivery.mode),
            notify_to: notify_to.address,
            parameters: triples(notify_to.parameters),
            resource_uri: uri.clone(),
            namespace: place.namespace.clone(),
            heartbeat: asked.delivery.heartbeats,
            max_elements: asked.delivery.max_elements,
            max_time: asked.delivery.max_time,
            retry: asked.delivery.retry,
            bookmarks: asked.send_bookmarks,
            end_to: asked
                .end_to
                .map(|to| EventAddress { address: to.address, parameters: triples(to.parameters) }),
            manager: self.header.to.clone(),
        };
        let pulls = sink.mode == EventMode::Pull;
        let made = self.source()?.subscribe(&self.principal, &query, sink, start, lifetime).await;
        let (id, first) = made.map_err(|error| not_made(&error))?;
        let identifier = format!("uuid:{id}");
        let subscribed = Subscribed {
            address: &self.header.to,
            resource_uri: &uri,
            namespace: (!self.header.uris.is_wmi()).then_some(&place.namespace),
            identifier: &identifier,
        };
        let context = pulls.then(|| EventContext { subscription: id, from: first }.text());
        Ok(encode_subscribed(&self.header, &message_id(), &subscribed, granted, context.as_deref()))
    }

    /// Unsubscribe.
    pub(super) async fn unsubscribe(&self) -> Result<Vec<u8>, Fault> {
        let id = self.subscription(Subcode::EventInvalidMessage)?;
        let ended = self.source()?.unsubscribe(&self.principal, id).await;
        ended.map_err(|e| unknown(&e, Subcode::EventInvalidMessage))?;
        Ok(self.bare_writer().empty())
    }

    /// Renew of a subscription.
    pub(super) async fn renew_subscription(&self, expires: Option<Expiry>) -> Result<Vec<u8>, Fault> {
        let (lifetime, granted) = granted(expires)?;
        let id = self.subscription(Subcode::UnableToRenew)?;
        let renewed = self.source()?.renew(&self.principal, id, lifetime).await;
        renewed.map_err(|e| unknown(&e, Subcode::UnableToRenew))?;
        Ok(encode_subscription_expires(&self.header, &message_id(), "RenewResponse", granted))
    }

    /// GetStatus of a subscription.
    pub(super) fn subscription_status(&self) -> Result<Vec<u8>, Fault> {
        let id = self.subscription(Subcode::EventInvalidMessage)?;
        let left = self.source()?.remaining(&self.principal, id);
        let left = left.map_err(|e| unknown(&e, Subcode::EventInvalidMessage))?;
        // Nobody needs the fraction.
        let left = Expiry::After(Duration::from_secs(left.as_secs()));
        Ok(encode_subscription_expires(&self.header, &message_id(), "GetStatusResponse", left))
    }

    /// Pull of events: what waits, or what comes while there is time. The next Pull, which names the context of this answer, says
    /// that they have arrived.
    pub(super) async fn pull_events(&self, asked: &Pull, context: EventContext) -> Result<Vec<u8>, Fault> {
        let room = self.room(asked.max_elements, asked.max_characters, asked.max_time);
        let source = self.source()?;
        let limit = room.items.min(MAX_EVENTS);
        let began = Instant::now();
        let mut beat: Option<Instant> = None;
        let fetched = loop {
            let until = room.until.min(Instant::now() + STRETCH).min(beat.unwrap_or(room.until));
            let fetched =
                source.fetch(&self.principal, context.subscription, context.from, limit, until).await;
            let fetched = fetched.map_err(|e| fault_of(&e, false))?;
            beat = fetched.sink.heartbeat.map(|interval| began + interval);
            if !fetched.events.is_empty() || beat.is_some_and(|at| at <= Instant::now()) {
                break fetched;
            }
            if Instant::now() >= room.until || self.app().is_stopping() {
                return Err(Fault::new(Subcode::TimedOut, "The operation has timed out."));
            }
        };
        let (sink, events) = (&fetched.sink, &fetched.events);
        let uris = Resource::parse(&sink.resource_uri).1;
        let mut items = ItemWriter::new(&uris, Some(&sink.namespace), EnumerationMode::Object, false, None);
        let mut next = context;
        if events.is_empty() {
            items.push_heartbeat();
        }
        // Numbers that nobody was given belong to what was dropped.
        if let Some(missing) =
            events.first().and_then(|e| e.sequence.checked_sub(context.from)).filter(|n| *n > 0)
        {
            items.push_dropped(missing);
            next.from += missing;
        }
        let mut bookmark = None;
        for waiting in events.iter().take(limit - items.count().min(limit)) {
            let before = items.len();
            items.push(&waiting.event);
            let characters = |most: u64| items.characters(0) as u64 > most;
            if items.len() > room.bytes || room.characters.is_some_and(characters) {
                items.take_back(before);
                break;
            }
            next.from = waiting.sequence + 1;
            bookmark = fetched.bookmark(waiting.sequence).map(|b| Foreign::position(b.to_string()));
        }
        if items.is_empty() {
            let text = "One event is larger than what is taken; it stays for a request that takes more.";
            return Err(Fault::new(Subcode::EncodingLimit, text).detail("MaxEnvelopeSize"));
        }
        let (id, namespace) = (message_id(), Some(&sink.namespace));
        let writer = ResponseWriter::with_bookmark(&self.header, &id, namespace, bookmark.as_ref());
        Ok(writer.pulled(Some(&next.text()), &items))
    }

    /// Release of a context of events ends the subscription: nobody could fetch them any more.
    pub(super) async fn release_events(&self, context: EventContext) -> Result<Vec<u8>, Fault> {
        let ended = self.source()?.unsubscribe(&self.principal, context.subscription).await;
        ended.map_err(|e| unknown(&e, Subcode::InvalidEnumerationContext))?;
        Ok(self.bare_writer().empty())
    }

    /// Every event of the class that the resource URI names.
    fn all_of_indication(&self) -> Result<EventQuery, Fault> {
        match self.header.resource.as_ref().and_then(Resource::class) {
            Some(class) => {
                Ok(EventQuery { language: "WQL".to_owned(), text: format!("SELECT * FROM {class}") })
            }
            None => {
                let text =
                    "Say which events: with a filter, or with a class of indications in the resource URI.";
                Err(Fault::new(Subcode::UnsupportedFeature, text).detail("FilteringRequired"))
            }
        }
    }

    /// The subscription that the header names.
    fn subscription(&self, subcode: Subcode) -> Result<Uuid, Fault> {
        let named = self.header.identifier.as_deref();
        let id = named.and_then(|text| text.strip_prefix("uuid:")?.parse().ok());
        id.ok_or_else(|| Fault::new(subcode, "The header Identifier names no subscription."))
    }

    fn source(&self) -> Result<&Indications, Fault> {
        self.app().executor.indications().ok_or_else(|| {
            Fault::new(Subcode::EventSourceUnableToProcess, "This server tells nobody what happens.")
        })
    }
}

/// What of a subscription is not served, as a fault: it is never passed over in silence.
fn check_served(asked: &Subscribe) -> Result<(), Fault> {
    let delivery = &asked.delivery;
    let not = |text: &str, detail| Err(Fault::new(Subcode::UnsupportedFeature, text).detail(detail));
    if let Some((_, interval)) = delivery.retry
        && (delivery.mode == DeliveryMode::Pull || interval < Duration::from_secs(1))
    {
        let text =
            "Deliveries are tried again, a second apart at least; what is fetched is not tried at all.";
        return not(text, "DeliveryRetries");
    }
    if delivery.auth_profile.is_some() {
        return not("Events are sent without credentials.", "AuthorizationMode");
    }
    if delivery.heartbeats.is_some_and(|interval| interval < Duration::from_secs(1)) {
        return not("Heartbeats are a second apart at least.", "Heartbeats");
    }
    Ok(())
}

/// Where a subscription with this bookmark begins.
fn start(bookmark: Option<&str>) -> Result<EventStart, Fault> {
    match bookmark {
        None => Ok(EventStart::Next),
        Some(uris::EARLIEST) => Ok(EventStart::Earliest),
        Some(text) => Bookmark::read(text).map(EventStart::After).ok_or_else(|| {
            let text = "The bookmark is none that this server has given.";
            Fault::new(Subcode::InvalidBookmark, text).detail("InvalidFormat")
        }),
    }
}

fn mode_of(mode: DeliveryMode) -> EventMode {
    match mode {
        DeliveryMode::Push => EventMode::Push,
        DeliveryMode::PushWithAck => EventMode::PushWithAck,
        DeliveryMode::Events => EventMode::Events,
        DeliveryMode::Pull => EventMode::Pull,
    }
}

/// How long a subscription lasts, and how the client is told: in the way that it asked (WS-Eventing 3.1).
fn granted(asked: Option<Expiry>) -> Result<(Duration, Expiry), Fault> {
    granted_at(asked, SystemClock.now())
}

fn granted_at(asked: Option<Expiry>, now: SystemTime) -> Result<(Duration, Expiry), Fault> {
    let over =
        || Fault::new(Subcode::EventInvalidExpirationTime, "A subscription cannot end before it began.");
    // Whole seconds, as they are stored.
    let whole = |duration: Duration| Duration::from_secs(duration.as_secs().max(1)).min(LIFETIME);
    match asked {
        None => Ok((LIFETIME, Expiry::After(LIFETIME))),
        Some(Expiry::After(duration)) if duration.is_zero() => Err(over()),
        Some(Expiry::After(duration)) => Ok((whole(duration), Expiry::After(whole(duration)))),
        Some(Expiry::At(time)) => {
            let left =
                time.to_system_time().and_then(|at| at.duration_since(now).ok()).filter(|d| !d.is_zero());
            let left = left.ok_or_else(over)?;
            let last = now + LIFETIME;
            let at = if left > LIFETIME { DateTime::from_system_time(last) } else { time };
            Ok((whole(left), Expiry::At(at)))
        }
    }
}

fn triples(parameters: Vec<Foreign>) -> Vec<(String, String, String)> {
    parameters.into_iter().map(|p| (p.namespace, p.name, p.text)).collect()
}

/// The fault for a subscription that is not made.
fn not_made(error: &SubscribeError) -> Fault {
    match error {
        SubscribeError::Refused(error) => refused(error),
        SubscribeError::Expired => {
            let text = "What came after this bookmark is not kept any more; subscribe from the earliest event on, or without it.";
            Fault::new(Subcode::InvalidBookmark, text).detail("Expired")
        }
        SubscribeError::OtherEvents => {
            let text = "This bookmark was given with the events of another filter or namespace.";
            Fault::new(Subcode::InvalidBookmark, text).detail("InvalidFormat")
        }
    }
}

/// The fault for a subscription that cannot be made.
fn refused(error: &CimError) -> Fault {
    let mut fault = fault_of(error, false);
    fault.subcode = match error.status {
        CimStatus::InvalidQuery
        | CimStatus::QueryLanguageNotSupported
        | CimStatus::QueryFeatureNotSupported
        | CimStatus::NotSupported => Some(Subcode::EventFilteringRequestedUnavailable),
        CimStatus::InvalidParameter => Some(Subcode::EventDeliverToUnusable),
        _ => fault.subcode,
    };
    fault
}

/// The fault for a subscription that is not there.
fn unknown(error: &CimError, subcode: Subcode) -> Fault {
    match error.status {
        CimStatus::NotFound => Fault::new(subcode, "There is no such subscription."),
        _ => fault_of(error, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_of_events_are_read_back() {
        let context = EventContext { subscription: Uuid::from_u128(7), from: 42 };
        assert_eq!(EventContext::read(&context.text()), Some(context));
        for text in [
            "",
            "uuid:00000000-0000-0000-0000-000000000007",
            "events:",
            "events:7",
            "events:x:1",
            "events::-1",
        ] {
            assert_eq!(EventContext::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_subscription_lasts_a_day_at_most() {
        let seconds = Duration::from_secs;
        let asked = |n| granted(Some(Expiry::After(seconds(n))));
        assert_eq!(granted(None).unwrap().0, LIFETIME);
        assert_eq!(asked(60).unwrap(), (seconds(60), Expiry::After(seconds(60))));
        assert_eq!(asked(1_000_000).unwrap(), (LIFETIME, Expiry::After(LIFETIME)));
        assert_eq!(asked(0).unwrap_err().subcode, Some(Subcode::EventInvalidExpirationTime));
    }

    #[test]
    fn who_names_a_point_in_time_is_told_one() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let at = |after: u64| Expiry::At(DateTime::from_system_time(now + Duration::from_secs(after)));
        assert_eq!(granted_at(Some(at(90)), now).unwrap(), (Duration::from_secs(90), at(90)));
        assert_eq!(at(90).to_string(), "2027-01-15T08:01:30Z");
        let day = LIFETIME.as_secs();
        assert_eq!(granted_at(Some(at(day * 9)), now).unwrap(), (LIFETIME, at(day)));
        let later = now + Duration::from_secs(90);
        for over in [at(90), at(0)] {
            let fault = granted_at(Some(over), later).unwrap_err();
            assert_eq!(fault.subcode, Some(Subcode::EventInvalidExpirationTime));
        }
    }
}
