//! The client's half: questions are written, answers are read. Resource URIs have Microsoft's form, which Windows and this server
//! both know.

use super::enumeration::EnumerationMode;
use super::epr;
use super::uris;
use super::value;
use super::write::Writer;
use super::xml::{Document, Element, Ns, shorten};
use crate::cimxml::{Limits, detail_of, parse_class_text};
use cimwright_cim::operation::AssociationFilter;
use cimwright_cim::{
    CimError, CimStatus, Class, Instance, InstancePath, KeyBinding, Name, NamespaceName, ObjectPath, Param,
    Property, Value,
};

/// What a client may be sent at once, in bytes.
const MAX_ENVELOPE: &str = "4194304";
/// How many items a client takes at once.
const MAX_ELEMENTS: &str = "1000";

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Where the question is sent.
    pub to: &'a str,
    /// The namespace.
    pub namespace: &'a NamespaceName,
    /// The class; `*` for all.
    pub class: &'a str,
    /// The keys of the instance, if it is about one.
    pub keys: &'a [KeyBinding],
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the variants are the actions of DSP0226, the fields their parameters")]
pub enum Ask<'a> {
    Get,
    /// The declaration of the target's class, in CIM-XML.
    GetClass,
    /// All properties that the instance has are changed.
    Put {
        instance: &'a Instance,
    },
    Create {
        instance: &'a Instance,
    },
    Delete,
    Invoke {
        method: &'a str,
        params: &'a [Param],
    },
    Enumerate {
        mode: EnumerationMode,
        filter: Option<AskedFilter<'a>>,
    },
    Pull {
        context: &'a str,
    },
}

/// Which instances are asked for.
#[derive(Clone, Copy, Debug)]
pub enum AskedFilter<'a> {
    /// Those that a query finds.
    Query {
        /// Its text.
        text: &'a str,
        /// Its language, `WQL` or `DMTF:CQL`.
        language: &'a str,
    },
    /// Those that are associated with one, or (`associated` is FALSE) the associations.
    Association {
        /// The one.
        source: &'a InstancePath,
        /// Whether the other ends are asked for.
        associated: bool,
        /// Which of them.
        filter: &'a AssociationFilter,
    },
}

/// What a server answered. Values are texts until the class is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// Nothing.
    Empty,
    /// An instance.
    Instance(Instance),
    /// A class.
    Class(Box<Class>),
    /// The reference to a new instance.
    Created(ObjectPath),
    /// What a method gave back, the return value among it.
    Method(Vec<Property>),
    /// Items, each with its path where the answer has one, and the context to pull more with.
    Items {
        /// The items; of references, instances without properties.
        items: Vec<Instance>,
        /// `None` at the end.
        context: Option<String>,
    },
}

/// Writes a question.
pub fn encode_request(message_id: &str, target: &Target<'_>, ask: &Ask<'_>) -> Vec<u8> {
    let base = format!("{}{}/*", uris::WMI, target.namespace.as_str());
    let (_, style) = super::Resource::parse(&base);
    let class_uri = style.uri(target.class, Some(target.namespace));
    let resource = if matches!(ask, Ask::GetClass) { uris::CIM_XML_CLASS } else { class_uri.as_str() };
    let mut writer = Writer::new(2048, &style, Some(target.namespace));
    writer.envelope();
    writer.raw("<s:Header>");
    writer.element("a:To", target.to);
    writer.raw("<w:ResourceURI s:mustUnderstand=\"true\">");
    writer.text(resource);
    writer.raw("</w:ResourceURI><a:ReplyTo><a:Address s:mustUnderstand=\"true\">");
    writer.raw(uris::ANONYMOUS);
    writer.raw("</a:Address></a:ReplyTo><a:Action s:mustUnderstand=\"true\">");
    writer.text(&action(ask, &class_uri));
    writer.raw("</a:Action><w:MaxEnvelopeSize s:mustUnderstand=\"true\">");
    writer.raw(MAX_ENVELOPE);
    writer.raw("</w:MaxEnvelopeSize>");
    writer.element("a:MessageID", message_id);
    writer.raw("<w:OperationTimeout>PT60S</w:OperationTimeout>");
    selectors(&mut writer, target, ask);
    if let Ask::Put { instance } = ask {
        writer.raw("<w:OptionSet>");
        for property in &instance.properties {
            writer.raw("<w:Option Name=\"wmiarray:__MIInstanceModifiedPropertiesList\">");
            writer.text(property.name.as_str());
            writer.raw("</w:Option>");
        }
        writer.raw("</w:OptionSet>");
    }
    writer.raw("</s:Header><s:Body>");
    body(&mut writer, ask, &class_uri);
    writer.raw("</s:Body></s:Envelope>");
    writer.out.into_bytes()
}

fn action(ask: &Ask<'_>, class_uri: &str) -> String {
    match ask {
        Ask::Get | Ask::GetClass => format!("{}/Get", uris::TRANSFER),
        Ask::Put { .. } => format!("{}/Put", uris::TRANSFER),
        Ask::Create { .. } => format!("{}/Create", uris::TRANSFER),
        Ask::Delete => format!("{}/Delete", uris::TRANSFER),
        Ask::Enumerate { .. } => format!("{}/Enumerate", uris::ENUMERATION),
        Ask::Pull { .. } => format!("{}/Pull", uris::ENUMERATION),
        Ask::Invoke { method, .. } => format!("{class_uri}/{method}"),
    }
}

fn selectors(writer: &mut Writer<'_>, target: &Target<'_>, ask: &Ask<'_>) {
    if matches!(ask, Ask::GetClass) {
        writer.raw("<w:SelectorSet>");
        writer.selector(epr::NAMESPACE_SELECTOR, &Value::from(target.namespace.as_str()));
        writer.selector("ClassName", &Value::from(target.class));
        writer.raw("</w:SelectorSet>");
    } else if !target.keys.is_empty() {
        writer.raw("<w:SelectorSet>");
        for key in target.keys {
            writer.selector(key.name.as_str(), &key.value);
        }
        writer.raw("</w:SelectorSet>");
    }
}

fn body(writer: &mut Writer<'_>, ask: &Ask<'_>, class_uri: &str) {
    match ask {
        Ask::Get | Ask::GetClass | Ask::Delete => {}
        Ask::Put { instance } | Ask::Create { instance } => writer.class_element(instance, None, ""),
        Ask::Invoke { method, params } => {
            writer.raw("<p:");
            writer.raw(method);
            writer.raw("_INPUT");
            writer.attr("xmlns:p", class_uri);
            writer.raw(">");
            for param in *params {
                writer.named_value(&param.name, param.value.as_ref(), 0);
            }
            writer.raw("</p:");
            writer.raw(method);
            writer.raw("_INPUT>");
        }
        Ask::Enumerate { mode, filter } => {
            writer.raw("<n:Enumerate><w:OptimizeEnumeration/>");
            writer.element("w:MaxElements", MAX_ELEMENTS);
            match mode {
                EnumerationMode::Object => {}
                EnumerationMode::Epr => writer.element("w:EnumerationMode", "EnumerateEPR"),
                EnumerationMode::ObjectAndEpr => {
                    writer.element("w:EnumerationMode", "EnumerateObjectAndEPR");
                }
            }
            match filter {
                None => {}
                Some(AskedFilter::Query { text, language }) => {
                    writer.raw("<w:Filter");
                    writer.attr("Dialect", if *language == "WQL" { uris::WQL } else { uris::CQL });
                    writer.raw(">");
                    writer.text(text);
                    writer.raw("</w:Filter>");
                }
                Some(AskedFilter::Association { source, associated, filter }) => {
                    association(writer, source, *associated, filter);
                }
            }
            writer.raw("</n:Enumerate>");
        }
        Ask::Pull { context } => {
            writer.raw("<n:Pull>");
            writer.element("n:EnumerationContext", context);
            writer.element("n:MaxElements", MAX_ELEMENTS);
            writer.raw("</n:Pull>");
        }
    }
}

fn association(writer: &mut Writer<'_>, source: &InstancePath, associated: bool, filter: &AssociationFilter) {
    let name = if associated { "b:AssociatedInstances" } else { "b:AssociationInstances" };
    writer.raw("<w:Filter");
    writer.attr("Dialect", uris::ASSOCIATION_FILTER);
    writer.raw("><");
    writer.raw(name);
    writer.raw("><b:Object>");
    writer.epr(&ObjectPath::Instance(source.clone()), uris::ANONYMOUS);
    writer.raw("</b:Object>");
    for (element, name) in [
        ("b:AssociationClassName", &filter.assoc_class),
        ("b:Role", &filter.role),
        ("b:ResultClassName", &filter.result_class),
        ("b:ResultRole", &filter.result_role),
    ] {
        if let Some(name) = name {
            writer.element(element, name.as_str());
        }
    }
    writer.raw("</");
    writer.raw(name);
    writer.raw("></w:Filter>");
}

/// Reads an answer: what the server gave, or the error behind its fault.
///
/// # Errors
/// What is wrong with the message, for a person.
pub fn decode_response(
    bytes: &[u8],
    message_id: &str,
    limits: &Limits,
) -> Result<Result<Answered, CimError>, String> {
    let document = Document::from_bytes(bytes, limits).map_err(|e| format!("no message: {e:?}"))?;
    let root = document.root();
    let body = root.child(Ns::Soap, "Body").filter(|_| root.is(Ns::Soap, "Envelope"));
    let body = body.ok_or("no envelope of SOAP 1.2 with a body")?;
    let relates_to = root.child(Ns::Soap, "Header").and_then(|h| h.child_text(Ns::Addressing, "RelatesTo"));
    let first = body.children().next();
    if let Some(fault) = first.filter(|f| f.is(Ns::Soap, "Fault")) {
        return Ok(Err(error(fault)));
    }
    if relates_to != Some(message_id) {
        return Err(format!("it is the answer to {}", shorten(relates_to.unwrap_or("no message"))));
    }
    let Some(first) = first else { return Ok(Ok(Answered::Empty)) };
    Ok(Ok(match (first.ns(), first.name()) {
        (Ns::Enumeration, "EnumerateResponse" | "PullResponse") => items(first)?,
        (Ns::Transfer, "ResourceCreated") => {
            let path = epr::read(first)?.path().ok_or("the new resource is of no class")?;
            Answered::Created(path)
        }
        (_, "CLASS") => {
            let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
            let (from, to) = (text.find("<CLASS"), text.rfind("</CLASS>"));
            let text = from.zip(to).and_then(|(from, to)| text.get(from..to + "</CLASS>".len()));
            Answered::Class(Box::new(parse_class_text(text.ok_or("a class that does not end")?)?))
        }
        (_, name) if name.ends_with("_OUTPUT") => Answered::Method(value::properties(first)?),
        _ => Answered::Instance(value::instance(first)?),
    }))
}

fn items(response: Element<'_>) -> Result<Answered, String> {
    let context = response.child_text(Ns::Enumeration, "EnumerationContext").unwrap_or_default();
    let ended = response.children().any(|c| c.name() == "EndOfSequence");
    let mut found = Vec::new();
    for child in response.children().filter(|c| c.name() == "Items").flat_map(Element::children) {
        found.push(if child.is(Ns::Wsman, "Item") {
            let mut parts = child.children();
            let object = parts.next().ok_or("an empty item")?;
            let mut instance = value::instance(object)?;
            if let Some(reference) = parts.next() {
                instance.path = path(reference)?;
            }
            instance
        } else if child.is(Ns::Addressing, "EndpointReference") {
            let path = path(child)?.ok_or("a reference to no instance")?;
            Instance { class: path.class.clone(), path: Some(path), properties: Vec::new() }
        } else {
            let mut instance = value::instance(child)?;
            if child.is(Ns::Wsman, "XmlFragment") {
                let class = child.type_name().and_then(|t| t.strip_suffix("_Type")).unwrap_or_default();
                instance.class = Name::new(class);
            }
            instance
        });
    }
    let context = (!ended && !context.is_empty()).then(|| context.to_owned());
    Ok(Answered::Items { items: found, context })
}

fn path(element: Element<'_>) -> Result<Option<InstancePath>, String> {
    Ok(match epr::read(element)?.path() {
        Some(ObjectPath::Instance(path)) => Some(path),
        // The one instance of a class without keys.
        Some(ObjectPath::Class(path)) => Some(InstancePath::new(path.namespace, path.class)),
        None => None,
    })
}

/// The error that a fault tells: by the CIM_Error in its detail, else by its subcode.
fn error(fault: Element<'_>) -> CimError {
    let reason =
        fault.child(Ns::Soap, "Reason").and_then(|r| r.child_text(Ns::Soap, "Text")).unwrap_or_default();
    let subcode = fault
        .child(Ns::Soap, "Code")
        .and_then(|c| c.child(Ns::Soap, "Subcode"))
        .and_then(|s| s.child_text(Ns::Soap, "Value"))
        .unwrap_or_default();
    let subcode = subcode.rsplit(':').next().unwrap_or_default();
    let said: Vec<Instance> = fault
        .child(Ns::Soap, "Detail")
        .into_iter()
        .flat_map(Element::children)
        .filter(|c| c.attr(Ns::Binding, "IsCIM_Error").is_some())
        .filter_map(|c| value::instance(c).ok())
        .collect();
    let number = |instance: &Instance| instance.get_str("CIMStatusCode")?.trim().parse().ok();
    let stated = said.first().and_then(number).and_then(CimStatus::from_code);
    let status = stated.unwrap_or(match subcode {
        "AccessDenied" => CimStatus::AccessDenied,
        "DestinationUnreachable" => CimStatus::NotFound,
        "InvalidParameter" | "InvalidSelectors" | "InvalidRepresentation" => CimStatus::InvalidParameter,
        "ActionNotSupported" | "UnsupportedFeature" => CimStatus::NotSupported,
        "AlreadyExists" => CimStatus::AlreadyExists,
        "CannotProcessFilter" => CimStatus::InvalidQuery,
        "FilterDialectRequestedUnavailable" => CimStatus::QueryLanguageNotSupported,
        "InvalidEnumerationContext" => CimStatus::InvalidEnumerationContext,
        "QuotaLimit" => CimStatus::ServerLimitsExceeded,
        "EndpointUnavailable" => CimStatus::ServerIsShuttingDown,
        _ => CimStatus::Failed,
    });
    let mut error = CimError::new(status, reason);
    // One without an identifier only repeats the status.
    error.details = said.iter().filter(|e| e.get_str("MessageID").is_some()).map(detail_of).collect();
    error
}
