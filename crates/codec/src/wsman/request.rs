//! Requests: what is asked, out of an envelope.

use super::enumeration::{self, Enumerate, Pull};
use super::eventing::{self, Subscribe};
use super::fault::{Fault, Subcode};
use super::header::{self, Header};
use super::resource::Resource;
use super::time::Expiry;
use super::uris;
use super::value;
use super::xml::{Document, Element, Ns, XmlError, shorten};
use crate::cimxml::Limits;
use cimwright_cim::{Instance, Name, Param, Property};

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What stands above the body.
    pub header: Header,
    /// What is asked.
    pub action: Action,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variants are the actions of DSP0226, the fields their parameters")]
pub enum Action {
    Identify,
    Get,
    /// The values are texts until the class is known. With a fragment, only its properties are there.
    Put {
        representation: Instance,
    },
    Create {
        representation: Instance,
    },
    Delete,
    /// A method of the class in the resource URI.
    Invoke {
        method: Name,
        params: Vec<Param>,
    },
    Enumerate(Box<Enumerate>),
    Pull(Pull),
    Release {
        context: String,
    },
    RenewEnumeration {
        context: String,
        expires: Option<Expiry>,
    },
    EnumerationStatus {
        context: String,
    },
    Subscribe(Box<Subscribe>),
    RenewSubscription {
        expires: Option<Expiry>,
    },
    SubscriptionStatus,
    Unsubscribe,
}

/// A message that is answered with a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What is wrong.
    pub fault: Fault,
    /// The identifier of the message; empty if it could not be found out.
    pub message_id: String,
}

/// Reads a request.
///
/// # Errors
/// The fault to answer, with the identifier of the message that it relates to.
pub fn decode_request(bytes: &[u8], limits: &Limits) -> Result<Request, Box<Refusal>> {
    let document = Document::from_bytes(bytes, limits).map_err(|error| {
        let fault = match error {
            XmlError::NotXml(what) => {
                Fault::new(Subcode::SchemaValidationError, format!("The message is no sound XML: {what}"))
            }
            XmlError::Encoding(what) => Fault::new(Subcode::EncodingLimit, what).detail("CharacterSet"),
            XmlError::TooLarge(what) => {
                Fault::new(Subcode::EncodingLimit, what).detail("ServiceEnvelopeLimit")
            }
        };
        Box::new(Refusal { fault, message_id: String::new() })
    })?;
    let root = document.root();
    if root.name() != "Envelope" || root.ns() != Ns::Soap {
        let fault = if root.name() == "Envelope" {
            Fault::version_mismatch()
        } else {
            let what = "The message is no SOAP envelope. (CIM-XML is served at /cimom.)";
            Fault::new(Subcode::SchemaValidationError, what)
        };
        return Err(Box::new(Refusal { fault, message_id: String::new() }));
    }
    let (header, sound) = header::read(root.child(Ns::Soap, "Header"));
    let body = root.child(Ns::Soap, "Body");
    if body.is_some_and(|b| b.child(Ns::Identity, "Identify").is_some()) {
        // Identify works without any header (DSP0226 11).
        return Ok(Request { header, action: Action::Identify });
    }
    let read = sound
        .and_then(|()| required(&header))
        .and_then(|()| {
            body.ok_or_else(|| Fault::new(Subcode::SchemaValidationError, "The envelope has no body."))
        })
        .and_then(|body| action(&header, body));
    match read {
        Ok(action) => Ok(Request { header, action }),
        Err(fault) => Err(Box::new(Refusal { fault, message_id: header.message_id })),
    }
}

/// Whether a SOAPAction header of HTTP says the same as the message.
pub fn soap_action_fits(header: &str, action: &str) -> bool {
    let header = header.trim().trim_matches('"');
    header.is_empty() || header == action
}

fn required(header: &Header) -> Result<(), Fault> {
    let missing = [("To", &header.to), ("Action", &header.action), ("MessageID", &header.message_id)]
        .into_iter()
        .find(|(_, text)| text.is_empty());
    match missing {
        Some((name, _)) => Err(Fault::new(
            Subcode::MessageInformationHeaderRequired,
            format!("The header {name} is missing."),
        )),
        None => Ok(()),
    }
}

fn action(header: &Header, body: Element<'_>) -> Result<Action, Fault> {
    let text = header.action.as_str();
    let Some((family, name)) = text.rsplit_once('/') else { return Err(unsupported(header)) };
    match family {
        uris::TRANSFER => transfer(header, name, body),
        uris::ENUMERATION => enumeration(header, name, body),
        uris::EVENTING => eventing(header, name, body),
        _ => invoke(header, family, name, body),
    }
}

fn transfer(header: &Header, name: &str, body: Element<'_>) -> Result<Action, Fault> {
    Ok(match name {
        "Get" => Action::Get,
        "Delete" => Action::Delete,
        "Put" => Action::Put { representation: representation(header, body)? },
        "Create" => Action::Create { representation: representation(header, body)? },
        _ => return Err(unsupported(header)),
    })
}

/// The instance in the body of Put and Create.
fn representation(header: &Header, body: Element<'_>) -> Result<Instance, Fault> {
    let mut children = body.children();
    let (Some(child), None) = (children.next(), children.next()) else {
        return Err(Fault::new(Subcode::SchemaValidationError, "The body holds no instance, or several."));
    };
    let invalid = |what: String| Fault::new(Subcode::InvalidRepresentation, what).detail("InvalidValues");
    if header.fragment.is_some() {
        if !child.is(Ns::Wsman, "XmlFragment") {
            return Err(Fault::new(Subcode::InvalidRepresentation, "The body holds no XmlFragment.")
                .detail("InvalidFragment"));
        }
        let class = header.resource.as_ref().and_then(Resource::class).cloned();
        let mut instance = Instance::new(class.unwrap_or_else(|| Name::new("")));
        instance.properties = if child.has_children() {
            value::properties(child).map_err(invalid)?
        } else {
            // A fragment that names the text of a property is given as the text alone.
            let name = header.fragment.as_ref().and_then(|f| f.steps.last()).map(|s| s.name.clone());
            let text = cimwright_cim::Value::String(child.text().to_owned());
            name.map(|n| Property::new(n, cimwright_cim::CimType::String, Some(text))).into_iter().collect()
        };
        return Ok(instance);
    }
    if matches!(child.ns(), Ns::Wsman | Ns::Soap | Ns::Transfer) {
        return Err(Fault::new(Subcode::SchemaValidationError, "The body holds no instance of a class."));
    }
    value::instance(child).map_err(invalid)
}

fn enumeration(header: &Header, name: &str, body: Element<'_>) -> Result<Action, Fault> {
    let element = || expect(body, Ns::Enumeration, name);
    Ok(match name {
        "Enumerate" => Action::Enumerate(Box::new(enumeration::enumerate(element()?)?)),
        "Pull" => Action::Pull(enumeration::pull(element()?)?),
        "Release" => Action::Release { context: enumeration::context(element()?)? },
        "Renew" => {
            let element = element()?;
            let expires =
                element.child_text(Ns::Enumeration, "Expires").map(enumeration::expires).transpose()?;
            Action::RenewEnumeration { context: enumeration::context(element)?, expires }
        }
        "GetStatus" => Action::EnumerationStatus { context: enumeration::context(element()?)? },
        _ => return Err(unsupported(header)),
    })
}

fn eventing(header: &Header, name: &str, body: Element<'_>) -> Result<Action, Fault> {
    Ok(match name {
        "Subscribe" => {
            Action::Subscribe(Box::new(eventing::subscribe(expect(body, Ns::Eventing, "Subscribe")?)?))
        }
        "Renew" => {
            let element = expect(body, Ns::Eventing, "Renew")?;
            let expires = element.child_text(Ns::Eventing, "Expires").map(eventing::expires).transpose()?;
            Action::RenewSubscription { expires }
        }
        // One client in use misspells it.
        "GetStatus" | "GetStaus" => Action::SubscriptionStatus,
        "Unsubscribe" => Action::Unsubscribe,
        _ => return Err(unsupported(header)),
    })
}

fn invoke(header: &Header, class_uri: &str, method: &str, body: Element<'_>) -> Result<Action, Fault> {
    let named = Resource::parse(class_uri).0.class().is_some()
        || header.resource_uri.as_deref().is_some_and(|uri| uri == class_uri);
    if !named || method.is_empty() || !method.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Err(unsupported(header));
    }
    let mut children = body.children();
    let params = match (children.next(), children.next()) {
        (None, _) => Vec::new(),
        (Some(input), None) => {
            // Clients vary in the namespace they use.
            let fits =
                input.name().strip_suffix("_INPUT").unwrap_or(input.name()).eq_ignore_ascii_case(method);
            if !fits {
                return Err(mismatch(&format!("{method}_INPUT")));
            }
            value::properties(input)
                .map_err(|what| Fault::new(Subcode::InvalidParameter, what).detail("TypeMismatch"))?
                .into_iter()
                .map(|p| Param {
                    name: p.name,
                    cim_type: None,
                    is_array: p.is_array,
                    embedded: p.embedded,
                    value: p.value,
                })
                .collect()
        }
        (Some(_), Some(_)) => return Err(mismatch(&format!("{method}_INPUT"))),
    };
    Ok(Action::Invoke { method: Name::new(method), params })
}

/// The element of the body that the action asks for.
fn expect<'d>(body: Element<'d>, ns: Ns, name: &str) -> Result<Element<'d>, Fault> {
    body.children().next().filter(|c| c.is(ns, name)).ok_or_else(|| mismatch(name))
}

fn mismatch(expected: &str) -> Fault {
    let text = format!("The body does not match the action: {expected} is expected in it, and nothing else.");
    Fault::new(Subcode::SchemaValidationError, text)
}

fn unsupported(header: &Header) -> Fault {
    Fault::new(
        Subcode::ActionNotSupported,
        format!(
            "The action \"{}\" is not served; that of a method is the resource URI of its class, / and its name.",
            shorten(&header.action)
        ),
    )
}
