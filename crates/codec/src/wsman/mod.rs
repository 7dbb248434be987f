//! WS-Management: SOAP envelopes that carry CIM operations (DSP0226, DSP0227), with instances in the form of WS-CIM (DSP0230) and
//! with what Windows' own clients and servers add (MS-WSMV).
//!
//! Nothing here does I/O. Reading goes `xml` (bytes to a tree with resolved namespaces) → `header` (what stands above the body) →
//! `request` (what is asked), with `enumeration`, `eventing` and `fragment` for the larger bodies and `value` for instances. Texts
//! stay texts until [`fit`] meets them with the class declaration, since WS-CIM does not write types. Writing goes `response`,
//! `fault` and `eventing` → `write`. `client` has questions and answers for who asks.
//!
//! The prefixes `s`, `a`, `w`, `p` are written literally as Windows does: one client in use looks for them by letter.

mod association;
mod client;
mod enumeration;
mod epr;
mod eventing;
mod fault;
mod fit;
mod fragment;
mod header;
mod octets;
mod request;
mod resource;
mod response;
mod time;
mod value;
mod write;
mod xml;
mod xpath;

pub mod uris;

pub use association::{AssociationQuery, parse_association_query};
pub use client::{Answered, Ask, AskedFilter, Target, decode_response, encode_request};
pub use enumeration::{Enumerate, EnumerationMode, Filter, Polymorphism, Pull};
pub use epr::Epr;
pub use eventing::{
    Delivery, DeliveryMode, Destination, EventKind, EventMessage, Foreign, Subscribe, Subscribed,
    SubscriptionEnd, decode_ack, encode_ack, encode_event, encode_subscribed, encode_subscription_end,
    encode_subscription_expires,
};
pub use fault::{Fault, FaultCode, ProviderFault, Subcode, WindowsDetail, encode_fault, fault_of};
pub use fit::{SelectedKeys, fit_instance, fit_params, has_keys, selected_keys};
pub use fragment::{Fragment, Part, Step, fit_fragment};
pub use header::{Forms, Header, OptionValue, Selector};
pub use octets::{show_octets, show_octets_of};
pub use request::{Action, Refusal, Request, decode_request, soap_action_fits};
pub use resource::{ClassUris, Resource};
pub use response::{Identity, ItemWriter, ResponseWriter};
pub use time::{Expiry, duration_text};
pub use xpath::xpath_query;
