//! The headers of a request (DSP0226 5, DSP0227 7).

use super::epr;
use super::fault::{Fault, Subcode};
use super::fragment::Fragment;
use super::resource::{ClassUris, Resource};
use super::time::parse_duration;
use super::uris;
use super::xml::{Element, Ns, shorten};
use cimwright_cim::{Name, NamespaceName, Value};
use std::time::Duration;

/// The least envelope a client must take (DSP0226, MaxEnvelopeSize).
const MIN_ENVELOPE: u64 = 8192;
/// How many selectors and options a request has at most.
pub(super) const MAX_SELECTORS: usize = 64;
const MAX_OPTIONS: usize = 128;
/// The longest resource URI, in bytes.
const MAX_URI: usize = 2048;

/// What stands above the body of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// Where the request is sent.
    pub to: String,
    /// The action.
    pub action: String,
    /// The identifier of the message, as it was given; the answer repeats it.
    pub message_id: String,
    /// The resource URI, if there is one.
    pub resource_uri: Option<String>,
    /// What it names.
    pub resource: Option<Resource>,
    /// How the answer names classes.
    pub uris: ClassUris,
    /// The selectors, among them perhaps `__cimnamespace`.
    pub selectors: Vec<Selector>,
    /// The options.
    pub options: Vec<OptionValue>,
    /// How long the client waits.
    pub operation_timeout: Option<Duration>,
    /// The largest envelope that the client takes, in bytes.
    pub max_envelope_size: Option<u64>,
    /// The language that the client would like.
    pub locale: Option<String>,
    /// The part of the instance that is meant.
    pub fragment: Option<Fragment>,
    /// Whether the answer should estimate how many items there are.
    pub wants_total: bool,
    /// Which subscription is meant (WS-Eventing).
    pub identifier: Option<String>,
}

/// A selector: a key, or `__cimnamespace`.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// Its name.
    pub name: Name,
    /// Its value: a text, or a reference.
    pub value: Value,
}

/// What a client asks of the form of instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forms {
    /// Whether properties without a value are left out (openwsman).
    pub omit_nil: bool,
    /// Whether an array without a value can be told from one that holds one element without a value (MS-WSMV).
    pub precise_arrays: bool,
}

/// An option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionValue {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether the request is to be refused by who does not know it.
    pub must_comply: bool,
}

impl Header {
    /// The namespace: that of the URI, or that of the selector.
    pub fn namespace(&self) -> Option<NamespaceName> {
        self.resource
            .as_ref()
            .and_then(Resource::namespace)
            .cloned()
            .or_else(|| epr::namespace_of(&self.selectors))
    }

    /// The values of an option that may be given several times.
    pub fn option<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.options.iter().filter(move |o| o.name == name).map(|o| o.value.as_str())
    }

    /// How the client wants instances to be written.
    pub fn forms(&self) -> Forms {
        let is_set = |name: &str| {
            self.options.iter().any(|option| {
                // openwsman writes no value.
                let value = option.value.trim();
                let own = option.name.rsplit(':').next().unwrap_or_default();
                own == name && (value.is_empty() || value.eq_ignore_ascii_case("true") || value == "1")
            })
        };
        if self.options.is_empty() {
            return Forms::default();
        }
        Forms { omit_nil: is_set("ExcludeNilProperties"), precise_arrays: is_set("UsePreciseArrays") }
    }

    /// The properties that a Windows client says it changed; `None` if it does not say.
    pub fn modified_properties(&self) -> Option<Vec<Name>> {
        let mut given = self.option("wmiarray:__MIInstanceModifiedPropertiesList").peekable();
        given.peek()?;
        Some(given.map(Name::new).collect())
    }
}

/// Reads the headers. What is wrong with one of them is told after all were read, so that the fault can name the message.
pub(super) fn read(element: Option<Element<'_>>) -> (Header, Result<(), Fault>) {
    let mut header = Header::default();
    let mut fault = None;
    for child in element.into_iter().flat_map(Element::children) {
        if let Err(e) = take(&mut header, child) {
            fault.get_or_insert(e);
        }
    }
    (header, fault.map_or(Ok(()), Err))
}

fn take(header: &mut Header, child: Element<'_>) -> Result<(), Fault> {
    let required = child.attr(Ns::Soap, "mustUnderstand").is_some_and(|v| matches!(v.trim(), "true" | "1"));
    let text = child.trimmed();
    match (child.ns(), child.name()) {
        (Ns::Addressing, "To") => text.clone_into(&mut header.to),
        (Ns::Addressing, "Action") => text.clone_into(&mut header.action),
        // Character for character: clients compare.
        (Ns::Addressing, "MessageID") => text.clone_into(&mut header.message_id),
        (Ns::Addressing, "ReplyTo" | "FaultTo") => reply_to(child)?,
        (Ns::Addressing, "From" | "RelatesTo") => {}
        (Ns::Wsman, "ResourceURI") => {
            if text.len() > MAX_URI {
                return Err(Fault::new(Subcode::EncodingLimit, "The resource URI is too long.")
                    .detail("URILimitExceeded"));
            }
            let (resource, uris) = Resource::parse(text);
            header.resource_uri = Some(text.to_owned());
            header.resource = Some(resource);
            header.uris = uris;
        }
        (Ns::Wsman, "SelectorSet") => {
            header.selectors =
                selectors(child).map_err(|what| Fault::new(Subcode::InvalidSelectors, what))?;
            check_selectors(&header.selectors)?;
        }
        (Ns::Wsman, "OptionSet") => header.options = options(child)?,
        (Ns::Wsman, "OperationTimeout") => {
            let timeout = parse_duration(text).filter(|d| !d.is_zero()).ok_or_else(|| {
                Fault::new(
                    Subcode::InvalidMessageInformationHeader,
                    format!("OperationTimeout \"{}\" is no duration; 60 seconds are PT60S", shorten(text)),
                )
                .detail("InvalidTimeout")
            })?;
            header.operation_timeout = Some(timeout);
        }
        (Ns::Wsman, "MaxEnvelopeSize") => {
            let size: u64 = text.parse().map_err(|_| {
                Fault::new(
                    Subcode::InvalidMessageInformationHeader,
                    format!("MaxEnvelopeSize \"{}\" is no number", shorten(text)),
                )
            })?;
            if size < MIN_ENVELOPE {
                return Err(Fault::new(
                    Subcode::EncodingLimit,
                    format!("MaxEnvelopeSize is {size}; the least is {MIN_ENVELOPE}"),
                )
                .detail("MinimumEnvelopeLimit"));
            }
            header.max_envelope_size = Some(size);
        }
        (Ns::Wsman, "Locale") => {
            let language = child.attr(Ns::Xml, "lang").unwrap_or_default().trim();
            if required && !language.is_empty() && !language.to_ascii_lowercase().starts_with("en") {
                let text =
                    format!("texts in \"{}\" are not to be had here, only in English", shorten(language));
                return Err(Fault::new(Subcode::UnsupportedFeature, text).detail("Locale"));
            }
            header.locale = Some(language.to_owned());
        }
        (Ns::Wsman, "FragmentTransfer") => {
            if !Fragment::is_dialect(child.attr(Ns::None, "Dialect").unwrap_or_default().trim()) {
                return Err(Fault::new(
                    Subcode::FragmentDialectNotSupported,
                    "Fragments are named in XPath 1.0, level 1.",
                ));
            }
            let fragment = Fragment::parse(text)
                .map_err(|what| Fault::new(Subcode::InvalidRepresentation, what).detail("InvalidFragment"))?;
            header.fragment = Some(fragment);
        }
        (Ns::Wsman, "RequestTotalItemsCountEstimate") => header.wants_total = true,
        (Ns::Wsman, "RequestEPR" | "Bookmark" | "AckRequested") => {}
        (Ns::Eventing, "Identifier") => header.identifier = Some(text.to_owned()),
        (Ns::Microsoft, "DataLocale" | "SessionId" | "OperationID" | "SequenceId" | "ActivityId") => {}
        _ if required => return Err(Fault::not_understood(child.uri(), child.name())),
        _ => {}
    }
    Ok(())
}

/// Answers go back over the same connection.
fn reply_to(element: Element<'_>) -> Result<(), Fault> {
    match element.child_text(Ns::Addressing, "Address") {
        None | Some(uris::ANONYMOUS | uris::ANONYMOUS_10) => Ok(()),
        Some(_) => Err(Fault::new(
            Subcode::UnsupportedFeature,
            "Answers are sent back over the connection of the request only.",
        )
        .detail("AddressingMode")),
    }
}

/// The selectors in a SelectorSet.
pub(super) fn selectors(set: Element<'_>) -> Result<Vec<Selector>, String> {
    let mut selectors = Vec::new();
    for child in set.children().filter(|c| c.is(Ns::Wsman, "Selector")) {
        let name = child.attr(Ns::None, "Name").or_else(|| child.attr(Ns::Wsman, "Name"));
        let name = name.map(str::trim).filter(|n| !n.is_empty()).ok_or("a selector without a name")?;
        let value = if epr::is_reference(child) {
            epr::value(child)?
        } else {
            Value::String(child.text().to_owned())
        };
        selectors.push(Selector { name: Name::new(name), value });
    }
    Ok(selectors)
}

fn check_selectors(selectors: &[Selector]) -> Result<(), Fault> {
    if selectors.len() > MAX_SELECTORS {
        return Err(
            Fault::new(Subcode::EncodingLimit, "There are too many selectors.").detail("SelectorLimit")
        );
    }
    for (at, selector) in selectors.iter().enumerate() {
        if selectors[..at].iter().any(|s| s.name == selector.name) {
            return Err(Fault::new(
                Subcode::InvalidSelectors,
                format!("the selector {} is given twice", shorten(selector.name.as_str())),
            )
            .detail("DuplicateSelectors"));
        }
    }
    Ok(())
}

/// The options that are followed, without what may precede their names.
const OPTIONS: [&str; 3] = ["ExcludeNilProperties", "UsePreciseArrays", "__MIInstanceModifiedPropertiesList"];

/// The options in an OptionSet. One that is not known here is refused if it must be complied with.
fn options(set: Element<'_>) -> Result<Vec<OptionValue>, Fault> {
    let mut options = Vec::new();
    // One client in use puts options of its own into a namespace of its own.
    for child in set.children().filter(|c| c.name() == "Option") {
        if options.len() >= MAX_OPTIONS {
            return Err(
                Fault::new(Subcode::EncodingLimit, "There are too many options.").detail("OptionLimit")
            );
        }
        let name = child.attr(Ns::None, "Name").unwrap_or_default().trim().to_owned();
        let must_comply =
            child.attr(Ns::None, "MustComply").is_some_and(|v| matches!(v.trim(), "true" | "1"));
        if must_comply && !OPTIONS.iter().any(|known| name.rsplit(':').next() == Some(known)) {
            let text = format!("the option \"{}\" is not known here", shorten(&name));
            return Err(Fault::new(Subcode::InvalidOptions, text).detail("NotSupported"));
        }
        options.push(OptionValue { name, value: child.text().to_owned(), must_comply });
    }
    Ok(options)
}
