//! Subscriptions and events (DSP0226 10, WS-Eventing).

use super::enumeration::{self, Filter};
use super::fault::{Fault, Subcode};
use super::resource::ClassUris;
use super::time::{Expiry, parse_duration};
use super::uris;
use super::write::Writer;
use super::xml::{Document, Element, Ns, shorten};
use crate::cimxml::Limits;
use cimwright_cim::{Instance, NamespaceName, Value};
use std::time::Duration;

/// How many reference parameters a destination has at most.
const MAX_PARAMETERS: usize = 64;

/// How events are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryMode {
    /// One message each, of which nobody says that it came.
    #[default]
    Push,
    /// One message each, and the next one once it is acknowledged.
    PushWithAck,
    /// Several in one message.
    Events,
    /// The client fetches them.
    Pull,
}

impl DeliveryMode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Push, Self::PushWithAck, Self::Events, Self::Pull];

    /// Its URI.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Push => uris::PUSH,
            Self::PushWithAck => "http://schemas.dmtf.org/wbem/wsman/1/wsman/PushWithAck",
            Self::Events => "http://schemas.dmtf.org/wbem/wsman/1/wsman/Events",
            Self::Pull => "http://schemas.dmtf.org/wbem/wsman/1/wsman/Pull",
        }
    }
}

/// Where something is sent, with what the receiver wants to find in each message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// The address.
    pub address: String,
    /// The reference parameters: they become headers.
    pub parameters: Vec<Foreign>,
}

/// An element that means something to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Foreign {
    /// What the bookmarks of this server hold. Nobody else needs to understand it.
    pub fn position(text: String) -> Self {
        Self { namespace: "urn:cimwright:eventing".to_owned(), name: "Position".to_owned(), text }
    }
}

/// How a subscription is served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    /// In which way.
    pub mode: DeliveryMode,
    /// Where to; nowhere when the client fetches the events.
    pub notify_to: Option<Destination>,
    /// How often the source says that it is there when there is nothing else to say.
    pub heartbeats: Option<Duration>,
    /// How often a delivery is tried again, and after how long.
    pub retry: Option<(u32, Duration)>,
    /// How many events a message holds at most.
    pub max_elements: Option<u32>,
    /// How long an event waits for others.
    pub max_time: Option<Duration>,
    /// How the source authenticates itself, as a URI.
    pub auth_profile: Option<String>,
}

/// Subscribe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscribe {
    /// How events are delivered.
    pub delivery: Delivery,
    /// Who is told when the subscription ends.
    pub end_to: Option<Destination>,
    /// When it ends.
    pub expires: Option<Expiry>,
    /// Which events.
    pub filter: Option<Filter>,
    /// Whether messages carry bookmarks.
    pub send_bookmarks: bool,
    /// From where on; [`uris::EARLIEST`] is from the first one known.
    pub bookmark: Option<String>,
}

/// Reads Subscribe.
pub(super) fn subscribe(element: Element<'_>) -> Result<Subscribe, Fault> {
    let mut subscribe = Subscribe::default();
    for child in element.children() {
        match (child.ns(), child.name()) {
            (Ns::Eventing, "Delivery") => subscribe.delivery = delivery(child)?,
            (Ns::Eventing, "EndTo") => subscribe.end_to = Some(destination(child)?),
            (Ns::Eventing, "Expires") => subscribe.expires = Some(expires(child.trimmed())?),
            (Ns::Eventing | Ns::Wsman, "Filter") => {
                subscribe.filter = Some(enumeration::filter(child).map_err(of_eventing)?);
            }
            (Ns::Wsman, "SendBookmarks") => subscribe.send_bookmarks = true,
            (Ns::Wsman, "Bookmark") => {
                let inner = child.children().next().unwrap_or(child);
                subscribe.bookmark = Some(inner.trimmed().to_owned());
            }
            _ => {}
        }
    }
    if subscribe.delivery.mode != DeliveryMode::Pull && subscribe.delivery.notify_to.is_none() {
        return Err(Fault::new(
            Subcode::EventInvalidMessage,
            "The subscription says nowhere to send events to.",
        ));
    }
    Ok(subscribe)
}

/// An Expires of a subscription.
pub(super) fn expires(text: &str) -> Result<Expiry, Fault> {
    enumeration::expires(text).map_err(of_eventing)
}

/// The fault of WS-Eventing for one of WS-Enumeration.
fn of_eventing(mut fault: Fault) -> Fault {
    fault.subcode = match fault.subcode {
        Some(Subcode::InvalidExpirationTime) => Some(Subcode::EventInvalidExpirationTime),
        Some(Subcode::FilterDialectRequestedUnavailable | Subcode::CannotProcessFilter) => {
            Some(Subcode::EventFilteringRequestedUnavailable)
        }
        other => other,
    };
    fault
}

fn delivery(element: Element<'_>) -> Result<Delivery, Fault> {
    let mode = element.attr(Ns::None, "Mode").map_or(uris::PUSH, str::trim);
    let Some(mode) = DeliveryMode::ALL.into_iter().find(|m| m.uri() == mode) else {
        return Err(Fault {
            supported: DeliveryMode::ALL.map(|m| m.uri().to_owned()).to_vec(),
            ..Fault::new(
                Subcode::DeliveryModeRequestedUnavailable,
                format!("There is no delivery mode \"{}\".", shorten(mode)),
            )
        });
    };
    let mut delivery = Delivery { mode, ..Delivery::default() };
    for child in element.children() {
        let text = child.trimmed();
        let time = || {
            parse_duration(text).ok_or_else(|| {
                let what = format!("{} \"{}\" is no duration", child.name(), shorten(text));
                Fault::new(Subcode::EventInvalidMessage, what)
            })
        };
        let number = |text: &str| {
            text.trim().parse::<u32>().map_err(|_| {
                let what = format!("{} \"{}\" is no number", child.name(), shorten(text));
                Fault::new(Subcode::EventInvalidMessage, what)
            })
        };
        match (child.ns(), child.name()) {
            (Ns::Eventing, "NotifyTo") => delivery.notify_to = Some(destination(child)?),
            (Ns::Wsman, "Heartbeats") => delivery.heartbeats = Some(time()?),
            (Ns::Wsman, "ConnectionRetry") => {
                let total = number(child.attr(Ns::None, "Total").unwrap_or("0"))?;
                delivery.retry = Some((total, time()?));
            }
            (Ns::Wsman, "MaxElements") => delivery.max_elements = Some(number(text)?),
            (Ns::Wsman, "MaxTime") => delivery.max_time = Some(time()?),
            (Ns::Wsman, "Auth") => {
                delivery.auth_profile = child.attr(Ns::None, "Profile").map(|p| p.trim().to_owned());
            }
            _ => {}
        }
    }
    Ok(delivery)
}

fn destination(element: Element<'_>) -> Result<Destination, Fault> {
    let given = element
        .child(Ns::Addressing, "ReferenceParameters")
        .or_else(|| element.child(Ns::Addressing, "ReferenceProperties"));
    let mut parameters = Vec::new();
    for child in given.into_iter().flat_map(Element::children) {
        // They are kept with the subscription and repeated in every message.
        if parameters.len() >= MAX_PARAMETERS {
            let what = format!("There are more than {MAX_PARAMETERS} reference parameters.");
            return Err(Fault::new(Subcode::EventInvalidMessage, what));
        }
        parameters.push(Foreign {
            namespace: child.uri().to_owned(),
            name: child.name().to_owned(),
            text: child.text().to_owned(),
        });
    }
    let address = element.child_text(Ns::Addressing, "Address").unwrap_or_default().to_owned();
    Ok(Destination { address, parameters })
}

/// A subscription as its subscriber is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribed<'a> {
    /// Where it is managed.
    pub address: &'a str,
    /// The resource URI it was made for.
    pub resource_uri: &'a str,
    /// The namespace, if the URI does not have it.
    pub namespace: Option<&'a NamespaceName>,
    /// Its identifier.
    pub identifier: &'a str,
}

impl Subscribed<'_> {
    fn push(&self, writer: &mut Writer<'_>) {
        writer.raw("<e:SubscriptionManager>");
        writer.element("a:Address", self.address);
        writer.raw("<a:ReferenceParameters>");
        writer.element("w:ResourceURI", self.resource_uri);
        if let Some(namespace) = self.namespace {
            writer.raw("<w:SelectorSet>");
            writer.selector(super::epr::NAMESPACE_SELECTOR, &Value::from(namespace.as_str()));
            writer.raw("</w:SelectorSet>");
        }
        writer.element("e:Identifier", self.identifier);
        writer.raw("</a:ReferenceParameters></e:SubscriptionManager>");
    }
}

/// The answer to Subscribe. `context` is for events that the client fetches.
pub fn encode_subscribed(
    header: &super::Header,
    message_id: &str,
    subscribed: &Subscribed<'_>,
    expires: Expiry,
    context: Option<&str>,
) -> Vec<u8> {
    let mut writer = answer(header, message_id);
    writer.raw("<e:SubscribeResponse>");
    subscribed.push(&mut writer);
    writer.element("e:Expires", &expires.to_string());
    if let Some(context) = context {
        writer.element("n:EnumerationContext", context);
    }
    writer.raw("</e:SubscribeResponse></s:Body></s:Envelope>");
    writer.out.into_bytes()
}

/// The answer to Renew and GetStatus of a subscription; `name` is RenewResponse or GetStatusResponse.
pub fn encode_subscription_expires(
    header: &super::Header,
    message_id: &str,
    name: &str,
    expires: Expiry,
) -> Vec<u8> {
    let mut writer = answer(header, message_id);
    writer.raw("<e:");
    writer.raw(name);
    writer.raw(">");
    writer.element("e:Expires", &expires.to_string());
    writer.raw("</e:");
    writer.raw(name);
    writer.raw("></s:Body></s:Envelope>");
    writer.out.into_bytes()
}

fn answer<'a>(header: &'a super::Header, message_id: &str) -> Writer<'a> {
    let mut writer = Writer::new(2048, &header.uris, None);
    writer.envelope();
    writer.raw("<s:Header>");
    writer.addressing(&header.action, "Response", message_id, &header.message_id);
    writer.raw("</s:Header><s:Body>");
    writer
}

/// What is sent to a subscriber.
#[derive(Clone, Debug, PartialEq)]
pub struct EventMessage<'a> {
    /// Where to.
    pub to: &'a Destination,
    /// The identifier of the message.
    pub message_id: &'a str,
    /// What is sent.
    pub kind: EventKind<'a>,
    /// What the subscriber would have to say to get what follows once more.
    pub bookmark: Option<&'a Foreign>,
    /// How classes are named.
    pub uris: &'a ClassUris,
    /// The namespace of the events.
    pub namespace: Option<&'a NamespaceName>,
}

/// The kinds of messages to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EventKind<'a> {
    /// An event of which nobody needs to say that it came.
    Plain(&'a Instance),
    /// An event that is to be acknowledged.
    Acknowledged(&'a Instance),
    /// Events that are to be acknowledged together.
    Batch(&'a [Instance]),
    /// Nothing happened, but the source is there.
    Heartbeat,
    /// So many events were dropped, and are missing between what came before and what comes next.
    Dropped(u64),
}

/// Writes a message to a subscriber.
pub fn encode_event(message: &EventMessage<'_>) -> Vec<u8> {
    let mut writer = Writer::new(4096, message.uris, message.namespace);
    let uri = |event: &Instance| {
        let namespace = event.path.as_ref().and_then(|p| p.namespace.as_ref()).or(message.namespace);
        message.uris.uri(event.class.as_str(), namespace)
    };
    let action = match message.kind {
        EventKind::Plain(event) => uri(event),
        EventKind::Acknowledged(_) => format!("{}Event", uris::WSMAN_ACTION),
        EventKind::Batch(_) => format!("{}Events", uris::WSMAN_ACTION),
        EventKind::Heartbeat => format!("{}Heartbeat", uris::WSMAN_ACTION),
        EventKind::Dropped(_) => format!("{}DroppedEvents", uris::WSMAN_ACTION),
    };
    to_subscriber(&mut writer, message.to, &action, message.message_id);
    match message.kind {
        EventKind::Acknowledged(_) => {
            writer.raw("<a:ReplyTo>");
            writer.element("a:Address", uris::ANONYMOUS);
            writer.raw("</a:ReplyTo><w:AckRequested/>");
        }
        EventKind::Batch(_) => writer.raw("<w:AckRequested/>"),
        EventKind::Plain(_) | EventKind::Heartbeat | EventKind::Dropped(_) => {}
    }
    push_bookmark(&mut writer, message.bookmark);
    writer.raw("</s:Header><s:Body>");
    match message.kind {
        EventKind::Plain(event) | EventKind::Acknowledged(event) => writer.class_element(event, None, ""),
        EventKind::Batch(events) => {
            writer.raw("<w:Events>");
            for event in events {
                writer.raw("<w:Event");
                writer.attr("Action", &uri(event));
                writer.raw(">");
                writer.class_element(event, None, "");
                writer.raw("</w:Event>");
            }
            writer.raw("</w:Events>");
        }
        EventKind::Heartbeat => {
            writer.raw("<w:Events>");
            heartbeat(&mut writer);
            writer.raw("</w:Events>");
        }
        EventKind::Dropped(count) => dropped(&mut writer, count),
    }
    writer.raw("</s:Body></s:Envelope>");
    writer.out.into_bytes()
}

/// The bookmark in a header.
pub(super) fn push_bookmark(writer: &mut Writer<'_>, bookmark: Option<&Foreign>) {
    if let Some(bookmark) = bookmark {
        writer.raw("<w:Bookmark>");
        foreign(writer, bookmark);
        writer.raw("</w:Bookmark>");
    }
}

/// What stands for an event when there is none.
pub(super) fn heartbeat(writer: &mut Writer<'_>) {
    writer.raw("<w:Event");
    writer.attr("Action", &format!("{}Heartbeat", uris::WSMAN_ACTION));
    writer.raw("/>");
}

/// What stands in the place of events that were dropped.
pub(super) fn dropped(writer: &mut Writer<'_>, count: u64) {
    writer.raw("<w:DroppedEvents");
    writer.attr("Action", &format!("{}DroppedEvents", uris::WSMAN_ACTION));
    writer.raw(">");
    writer.text(&count.to_string());
    writer.raw("</w:DroppedEvents>");
}

/// The end of a subscription that its source decided.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionEnd<'a> {
    /// Who is told.
    pub to: &'a Destination,
    /// The identifier of the message.
    pub message_id: &'a str,
    /// Which subscription.
    pub subscribed: &'a Subscribed<'a>,
    /// `DeliveryFailure`, `SourceShuttingDown` or `SourceCanceling`.
    pub status: &'a str,
    /// The same for a person.
    pub reason: &'a str,
}

/// Writes the end of a subscription.
pub fn encode_subscription_end(end: &SubscriptionEnd<'_>) -> Vec<u8> {
    let style = ClassUris::default();
    let mut writer = Writer::new(2048, &style, None);
    to_subscriber(&mut writer, end.to, &format!("{}/SubscriptionEnd", uris::EVENTING), end.message_id);
    writer.raw("</s:Header><s:Body><e:SubscriptionEnd>");
    end.subscribed.push(&mut writer);
    writer.element("e:Status", &format!("{}/{}", uris::EVENTING, end.status));
    writer.raw("<e:Reason xml:lang=\"en-US\">");
    writer.text(end.reason);
    writer.raw("</e:Reason></e:SubscriptionEnd></s:Body></s:Envelope>");
    writer.out.into_bytes()
}

/// Begins a message to a subscriber; its header stays open.
fn to_subscriber(writer: &mut Writer<'_>, to: &Destination, action: &str, message_id: &str) {
    writer.envelope();
    writer.raw("<s:Header>");
    writer.element("a:To", &to.address);
    for parameter in &to.parameters {
        foreign(writer, parameter);
    }
    writer.element("a:Action", action);
    writer.element("a:MessageID", message_id);
}

fn foreign(writer: &mut Writer<'_>, element: &Foreign) {
    writer.raw("<c:");
    writer.raw(&element.name);
    writer.attr("xmlns:c", &element.namespace);
    writer.raw(">");
    writer.text(&element.text);
    writer.raw("</c:");
    writer.raw(&element.name);
    writer.raw(">");
}

/// Writes the acknowledgement of an event.
pub fn encode_ack(message_id: &str, relates_to: &str) -> Vec<u8> {
    let style = ClassUris::default();
    let mut writer = Writer::new(1024, &style, None);
    writer.envelope();
    writer.raw("<s:Header>");
    writer.addressing(uris::WSMAN_ACTION, "Ack", message_id, relates_to);
    writer.raw("</s:Header><s:Body/></s:Envelope>");
    writer.out.into_bytes()
}

/// Reads the acknowledgement of an event: the identifier of the message that is acknowledged.
///
/// # Errors
/// What it is instead.
pub fn decode_ack(bytes: &[u8], limits: &Limits) -> Result<String, String> {
    let document = Document::from_bytes(bytes, limits)
        .map_err(|_| "the answer is no envelope, so it acknowledges nothing".to_owned())?;
    let header = document.root().child(Ns::Soap, "Header").ok_or("the answer has no header")?;
    let action = header.child_text(Ns::Addressing, "Action").unwrap_or_default();
    // One client in use misspells what stands before.
    if action.rsplit('/').next() != Some("Ack") {
        return Err(format!("the answer is \"{}\", not an acknowledgement", shorten(action)));
    }
    let relates_to = header.child_text(Ns::Addressing, "RelatesTo");
    relates_to.map(str::to_owned).ok_or_else(|| "the acknowledgement does not say of what".to_owned())
}
