//! Reading requests: the envelope, the headers that must agree with it, and extrinsic calls (DSP0200 6.2, 6.3).

use super::declaration::class;
use super::error::{DecodeError, Refusal};
use super::intrinsic;
use super::object::{instance, instance_with_path};
use super::path::{is_path, local_namespace_path, object_path};
use super::value::{Scope, Stated, value};
use super::xml::{Attr, Document, Element, Limits, Tag, shorten};
use crate::uri;
use cimwright_cim::{
    CimError, CimType, Instance, Name, NamespaceName, ObjectPath, Operation, Param, Request, Value,
};

/// The CIM headers of an HTTP request, as raw bytes: clients put Latin-1, UTF-8 or `%HH` into them.
///
/// Of an M-POST request the caller gives those with the prefix that `Man` announces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// CIMOperation.
    pub cim_operation: Option<&'a [u8]>,
    /// CIMMethod.
    pub cim_method: Option<&'a [u8]>,
    /// CIMObject.
    pub cim_object: Option<&'a [u8]>,
    /// CIMProtocolVersion.
    pub cim_protocol_version: Option<&'a [u8]>,
    /// Whether CIMBatch is there.
    pub cim_batch: bool,
}

/// A request message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// MESSAGE ID, to be echoed.
    pub id: String,
    /// MESSAGE PROTOCOLVERSION, such as `1.0`.
    pub protocol_version: String,
    /// The requests in their order; one, unless `batch`.
    pub requests: Vec<SimpleRequest>,
    /// Whether it is a MULTIREQ, to be answered by a MULTIRSP.
    pub batch: bool,
}

/// One request of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct SimpleRequest {
    /// NAME of the call as received, to be echoed byte for byte.
    pub name: String,
    /// Whether it is an IMETHODCALL, to be answered by an IMETHODRESPONSE.
    pub intrinsic: bool,
    /// What is asked. Paths in it have the namespace of the call. An error is to be answered in the response, with HTTP
    /// status 200.
    pub request: Result<Request, CimError>,
}

/// Reads a request message and checks the headers against it.
///
/// # Errors
/// What has to be answered on the HTTP level (DSP0200 7.3): XML that is not well formed or not CIM-XML, versions that are not
/// spoken here, headers that say something else than the message.
pub fn decode_request(body: &[u8], headers: &Headers<'_>, limits: &Limits) -> Result<Message, DecodeError> {
    let Some(operation) = headers.cim_operation else {
        let detail = "there is no CIMOperation header: this is no CIM message".to_owned();
        return Err(DecodeError { http_status: 400, cim_error: None, detail });
    };
    if !operation.trim_ascii().eq_ignore_ascii_case(b"MethodCall") {
        let detail = format!("CIMOperation: {}", shorten(&String::from_utf8_lossy(operation)));
        return Err(DecodeError::bad_request("unsupported-operation", detail));
    }
    let document = Document::from_bytes(body, limits)?;
    let scope = Scope::new(limits);
    let message = versions_checked(document.root(), headers)?;
    let id = message.required(Attr::Id)?.to_owned();
    let protocol_version = message.required(Attr::ProtocolVersion)?.to_owned();
    let content = message.exactly_one()?;
    let (batch, requests) = match content.tag() {
        Tag::SimpleReq => (false, vec![content]),
        Tag::MultiReq => (true, content.children().collect()),
        _ => return Err(message.misplaced(content).into()),
    };
    if batch != headers.cim_batch {
        return Err(DecodeError::header_mismatch(if batch {
            "a batch of requests without the header CIMBatch"
        } else {
            "the header CIMBatch with a message that is no batch"
        }));
    }
    if requests.is_empty() {
        return Err(content.incomplete().into());
    }
    if batch && (headers.cim_method.is_some() || headers.cim_object.is_some()) {
        return Err(DecodeError::header_mismatch("CIMMethod and CIMObject have no place in a batch"));
    }
    let requests = requests
        .into_iter()
        .map(|r| simple_request(r, if batch { None } else { Some(headers) }, scope))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Message { id, protocol_version, requests, batch })
}

/// The MESSAGE in CIM, if both have versions that are spoken here. Only major versions matter.
fn versions_checked<'d>(root: Element<'d>, headers: &Headers<'_>) -> Result<Element<'d>, DecodeError> {
    root.expect(Tag::Cim)?;
    for (attr, token) in
        [(Attr::CimVersion, "unsupported-cim-version"), (Attr::DtdVersion, "unsupported-dtd-version")]
    {
        let version = root.required(attr)?;
        if major(version) != Some(2) {
            return Err(DecodeError::unsupported(token, format!("{}=\"{}\"", attr.name(), shorten(version))));
        }
    }
    let message = root.exactly_one()?.expect(Tag::Message)?;
    let version = message.required(Attr::ProtocolVersion)?;
    if let Some(header) = headers.cim_protocol_version
        && header.trim_ascii() != version.trim().as_bytes()
    {
        return Err(DecodeError::header_mismatch("CIMProtocolVersion differs from PROTOCOLVERSION"));
    }
    if major(version) != Some(1) {
        let detail = format!("PROTOCOLVERSION=\"{}\"", shorten(version));
        return Err(DecodeError::unsupported("unsupported-protocol-version", detail));
    }
    Ok(message)
}

fn major(version: &str) -> Option<u32> {
    let (major, minor) = version.trim().split_once('.')?;
    (!minor.is_empty()).then(|| major.parse().ok())?
}

/// A call and, unless it is part of a batch, the check of the headers against it.
fn simple_request(
    element: Element<'_>,
    headers: Option<&Headers<'_>>,
    scope: Scope<'_>,
) -> Result<SimpleRequest, DecodeError> {
    let mut calls = element.expect(Tag::SimpleReq)?.children().filter(|c| c.tag() != Tag::Correlator);
    let call = calls.next().ok_or_else(|| element.incomplete())?;
    if let Some(extra) = calls.next() {
        return Err(element.misplaced(extra).into());
    }
    let name = call.required(Attr::Name)?.to_owned();
    if name.is_empty() {
        return Err(Refusal::not_valid("a call of a method without a name").into());
    }
    if let Some(headers) = headers {
        check_method(headers, &name)?;
    }
    let (intrinsic, result) = match call.tag() {
        Tag::IMethodCall => {
            let mut children = call.children();
            let target = children.next().ok_or_else(|| call.incomplete())?;
            let namespace = local_namespace_path(target)?;
            if let Some(headers) = headers {
                check_object(headers, |header| uri::header_names_namespace(header, &namespace))?;
            }
            (true, intrinsic::operation(&name, &namespace, call, scope).map(|o| (namespace, o)))
        }
        Tag::MethodCall => (false, extrinsic(call, &name, headers, scope)?),
        _ => return Err(element.misplaced(call).into()),
    };
    let request = match result {
        Ok((namespace, operation)) => Ok(Request { namespace, operation }),
        Err(Refusal::Cim(error)) => Err(error),
        Err(refusal) => return Err(refusal.into()),
    };
    Ok(SimpleRequest { name, intrinsic, request })
}

fn check_method(headers: &Headers<'_>, name: &str) -> Result<(), DecodeError> {
    let header = uri::percent_decode(headers.cim_method.unwrap_or_default().trim_ascii());
    if header.is_empty() {
        return Err(DecodeError::header_mismatch("the header CIMMethod is missing or empty"));
    }
    // Beyond ASCII nobody can know which characters the bytes of a header stand for.
    if !header.eq_ignore_ascii_case(name.as_bytes()) && header.is_ascii() {
        return Err(DecodeError::header_mismatch(format!(
            "CIMMethod names {}, the message {}",
            shorten(&String::from_utf8_lossy(&header)),
            shorten(name)
        )));
    }
    Ok(())
}

fn check_object(headers: &Headers<'_>, names_target: impl Fn(&[u8]) -> bool) -> Result<(), DecodeError> {
    let header = headers.cim_object.unwrap_or_default().trim_ascii();
    if header.is_empty() {
        return Err(DecodeError::header_mismatch("the header CIMObject is missing or empty"));
    }
    if !names_target(header) {
        return Err(DecodeError::header_mismatch(format!(
            "CIMObject names {}, the message something else",
            shorten(&String::from_utf8_lossy(header))
        )));
    }
    Ok(())
}

/// An extrinsic call. The outer error is one of the HTTP level, the inner one may be of either.
fn extrinsic(
    call: Element<'_>,
    name: &str,
    headers: Option<&Headers<'_>>,
    scope: Scope<'_>,
) -> Result<Result<(NamespaceName, Operation), Refusal>, DecodeError> {
    let mut children = call.children();
    let target = children.next().ok_or_else(|| call.incomplete())?;
    if !matches!(target.tag(), Tag::LocalClassPath | Tag::LocalInstancePath) {
        return Err(call.misplaced(target).into());
    }
    let target = match object_path(target, scope) {
        Ok(path) => path,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(headers) = headers {
        check_object(headers, |header| uri::header_names_object(header, &target))?;
    }
    Ok(parameters(call, children, scope).map(|params| {
        // LOCALCLASSPATH and LOCALINSTANCEPATH have a namespace.
        let namespace = target.namespace().cloned().unwrap_or_else(|| NamespaceName::new(""));
        (namespace, Operation::InvokeMethod { target, method: Name::new(name), params })
    }))
}

fn parameters<'d>(
    call: Element<'d>,
    elements: impl Iterator<Item = Element<'d>>,
    scope: Scope<'_>,
) -> Result<Vec<Param>, Refusal> {
    let mut params: Vec<Param> = Vec::new();
    for element in elements {
        if element.tag() != Tag::ParamValue {
            return Err(call.misplaced(element));
        }
        if params.len() >= intrinsic::MAX_PARAMETERS {
            return Err(CimError::invalid_parameter("there are too many parameters").into());
        }
        let param = param_value(element, scope)?;
        if params.iter().any(|p| p.name == param.name) {
            let description = format!("the parameter {} is given twice", param.name);
            return Err(CimError::invalid_parameter(description).into());
        }
        params.push(param);
    }
    Ok(params)
}

/// The parameter in PARAMVALUE, on its way in or out.
pub(super) fn param_value(element: Element<'_>, scope: Scope<'_>) -> Result<Param, Refusal> {
    let name = Name::new(element.required(Attr::Name)?);
    let stated = Stated::of_parameter(element)?;
    let mut param =
        Param { name, cim_type: stated.cim_type, is_array: false, embedded: stated.embedded, value: None };
    let Some(child) = element.at_most_one()? else { return Ok(param) };
    param.is_array = matches!(child.tag(), Tag::ValueArray | Tag::ValueRefArray);
    let place = |e: Refusal| e.within(format!("parameter {}", param.name));
    let found = match value(child, stated, scope).map_err(place)? {
        Some(found) => found,
        None => Some(object_value(child, scope).map_err(place)?.ok_or_else(|| element.misplaced(child))?),
    };
    match &found {
        Some(object @ (Value::Instance(_) | Value::Class(_))) => {
            param.cim_type = Some(CimType::String);
            param.embedded = param.embedded.or(object.embedded());
        }
        Some(Value::Reference(_)) => refers(&mut param),
        _ => {}
    }
    if child.tag() == Tag::ValueRefArray {
        refers(&mut param);
    }
    param.value = found;
    Ok(param)
}

/// A parameter turns out to hold references, whatever it was said to hold.
fn refers(param: &mut Param) {
    param.cim_type = Some(CimType::Reference);
    param.embedded = None;
}

/// The value of the elements that DSP0201 allows in PARAMVALUE beside those for values: objects and names without escaping. Such objects
/// are embedded ones otherwise, which have no paths.
fn object_value(element: Element<'_>, scope: Scope<'_>) -> Result<Option<Value>, Refusal> {
    let inner = scope.embedded()?;
    Ok(Some(match element.tag() {
        Tag::Instance => Value::Instance(Box::new(instance(element, inner)?)),
        Tag::ValueNamedInstance => {
            let instance = instance_with_path(element, inner)?;
            Value::Instance(Box::new(Instance { path: None, ..instance }))
        }
        Tag::Class => Value::Class(Box::new(class(element, inner)?)),
        tag if is_path(tag) => {
            let path: ObjectPath = object_path(element, scope)?;
            Value::Reference(Box::new(path))
        }
        _ => return Ok(None),
    }))
}
