//! Subscribe and its kin, and events that a client fetches (DSP0226 10). Subscriptions, their queues and deliveries are those of
//! the broker's indications; here is what they look like over this protocol.

use super::exchange::{Exchange, message_id};
use cimwright_broker::indications::{EventMode, EventQuery, EventSink, Indications};
use cimwright_cim::{CimError, CimStatus};
use cimwright_codec::wsman::{
    DeliveryMode, EnumerationMode, Expiry, Fault, Filter, ItemWriter, Pull, Resource, ResponseWriter,
    Subcode, Subscribe, Subscribed, encode_subscribed, encode_subscription_expires, fault_of, uris,
};
use std::time::Duration;
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
        let lifetime = granted(asked.expires)?;
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
            parameters: notify_to.parameters.into_iter().map(|p| (p.namespace, p.name, p.text)).collect(),
            resource_uri: uri.clone(),
            namespace: place.namespace.clone(),
            heartbeat: asked.delivery.heartbeats,
            max_elements: asked.delivery.max_elements,
            max_time: asked.delivery.max_time,
        };
        let pulls = sink.mode == EventMode::Pull;
        let made = self.source()?.subscribe(&self.principal, &query, sink, lifetime).await;
        let id = made.map_err(|error| refused(&error))?;
        let identifier = format!("uuid:{id}");
        let subscribed = Subscribed {
            address: &self.header.to,
            resource_uri: &uri,
            namespace: (!self.header.uris.is_wmi()).then_some(&place.namespace),
            identifier: &identifier,
        };
        let context = pulls.then(|| EventContext { subscription: id, from: 0 }.text());
        Ok(encode_subscribed(&self.header, &message_id(), &subscribed, lifetime, context.as_deref()))
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
        let lifetime = granted(expires)?;
        let id = self.subscription(Subcode::UnableToRenew)?;
        let renewed = self.source()?.renew(&self.principal, id, lifetime).await;
        renewed.map_err(|e| unknown(&e, Subcode::UnableToRenew))?;
        Ok(encode_subscription_expires(&self.header, &message_id(), "RenewResponse", lifetime))
    }

    /// GetStatus of a subscription.
    pub(super) fn subscription_status(&self) -> Result<Vec<u8>, Fault> {
        let id = self.subscription(Subcode::EventInvalidMessage)?;
        let left = self.source()?.remaining(&self.principal, id);
        let left = left.map_err(|e| unknown(&e, Subcode::EventInvalidMessage))?;
        // Nobody needs the fraction.
        let left = Duration::from_secs(left.as_secs());
        Ok(encode_subscription_expires(&self.header, &message_id(), "GetStatusResponse", left))
    }

    /// Pull of events: what waits, or what comes while there is time. The next Pull, which names the context of this answer, says
    /// that they have arrived.
    pub(super) async fn pull_events(&self, asked: &Pull, context: EventContext) -> Result<Vec<u8>, Fault> {
        let room = self.room(asked.max_elements, asked.max_characters, asked.max_time);
        let source = self.source()?;
        let limit = room.items.min(MAX_EVENTS);
        let (sink, events) = loop {
            let until = room.until.min(Instant::now() + STRETCH);
            let fetched =
                source.fetch(&self.principal, context.subscription, context.from, limit, until).await;
            let (sink, events) = fetched.map_err(|e| fault_of(&e, false))?;
            if !events.is_empty() {
                break (sink, events);
            }
            if Instant::now() >= room.until || self.app().is_stopping() {
                return Err(Fault::new(Subcode::TimedOut, "The operation has timed out."));
            }
        };
        let uris = Resource::parse(&sink.resource_uri).1;
        let mut items = ItemWriter::new(&uris, Some(&sink.namespace), EnumerationMode::Object, false, None);
        let mut next = context;
        for waiting in &events {
            let before = items.len();
            items.push(&waiting.event);
            let characters = |most: u64| items.characters(0) as u64 > most;
            if items.len() > room.bytes || room.characters.is_some_and(characters) {
                items.take_back(before);
                break;
            }
            next.from = waiting.sequence + 1;
        }
        if items.is_empty() {
            let text = "One event is larger than what is taken; it stays for a request that takes more.";
            return Err(Fault::new(Subcode::EncodingLimit, text).detail("MaxEnvelopeSize"));
        }
        let writer = ResponseWriter::new(&self.header, &message_id(), Some(&sink.namespace));
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
    if asked.bookmark.is_some() || asked.send_bookmarks {
        return not("There are no bookmarks; events wait as long as their subscription lasts.", "Bookmarks");
    }
    if delivery.retry.is_some() {
        return not("How often a delivery is tried again is set for the whole server.", "DeliveryRetries");
    }
    if delivery.auth_profile.is_some() {
        return not("Events are sent without credentials.", "AuthorizationMode");
    }
    if asked.end_to.is_some() {
        return not("Nobody is told about the end of a subscription; ask with GetStatus.", "AddressingMode");
    }
    if let Some(interval) = delivery.heartbeats
        && (delivery.mode == DeliveryMode::Pull || interval < Duration::from_secs(1))
    {
        let text =
            "Heartbeats are sent, a second apart at least; who fetches events hears from the server anyway.";
        return not(text, "Heartbeats");
    }
    Ok(())
}

fn mode_of(mode: DeliveryMode) -> EventMode {
    match mode {
        DeliveryMode::Push => EventMode::Push,
        DeliveryMode::PushWithAck => EventMode::PushWithAck,
        DeliveryMode::Events => EventMode::Events,
        DeliveryMode::Pull => EventMode::Pull,
    }
}

/// How long a subscription lasts.
fn granted(asked: Option<Expiry>) -> Result<Duration, Fault> {
    match asked {
        None => Ok(LIFETIME),
        Some(Expiry::After(duration)) if duration.is_zero() => {
            Err(Fault::new(Subcode::EventInvalidExpirationTime, "A subscription cannot end before it began."))
        }
        // Whole seconds, as they are stored.
        Some(Expiry::After(duration)) => Ok(Duration::from_secs(duration.as_secs().max(1)).min(LIFETIME)),
        Some(Expiry::At(_)) => Err(Fault::new(
            Subcode::EventUnsupportedExpirationType,
            "Subscriptions end after a duration, not at a point in time.",
        )),
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
        let asked = |seconds| granted(Some(Expiry::After(Duration::from_secs(seconds))));
        assert_eq!(granted(None).unwrap(), LIFETIME);
        assert_eq!(asked(60).unwrap(), Duration::from_secs(60));
        assert_eq!(asked(1_000_000).unwrap(), LIFETIME);
        assert_eq!(asked(0).unwrap_err().subcode, Some(Subcode::EventInvalidExpirationTime));
    }
}
