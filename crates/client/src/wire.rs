//! The one place that touches the codec: operations to CIM-XML and back.

use crate::transport::Question;
use bytes::Bytes;
use cimwright_cim::{
    CimError, CimStatus, Instance, NamespaceName, ObjectPath, Operation, OperationResult, Request,
};
use cimwright_codec::{cimxml, uri};
use hyper::header::{ACCEPT, HeaderName, HeaderValue};

const CIM_OPERATION: HeaderName = HeaderName::from_static("cimoperation");
const CIM_METHOD: HeaderName = HeaderName::from_static("cimmethod");
const CIM_OBJECT: HeaderName = HeaderName::from_static("cimobject");
const CIM_EXPORT: HeaderName = HeaderName::from_static("cimexport");
const CIM_EXPORT_METHOD: HeaderName = HeaderName::from_static("cimexportmethod");
const CIM_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("cimprotocolversion");

/// The HTTP request for an operation.
pub(crate) fn question(id: &str, request: &Request) -> Result<Question, String> {
    let (body, headers) = cimxml::encode_request(id, request);
    packed(body, &headers, is_repeatable(&request.operation))
}

/// The HTTP request for a query in the server's own words.
pub(crate) fn query(
    id: &str,
    namespace: &NamespaceName,
    language: &str,
    text: &str,
) -> Result<Question, String> {
    let (body, headers) = cimxml::encode_query(id, namespace, language, text);
    packed(body, &headers, true)
}

fn packed(body: Vec<u8>, headers: &cimxml::RequestHeaders, repeatable: bool) -> Result<Question, String> {
    let value =
        |text: &str| HeaderValue::try_from(text).map_err(|_| format!("\"{text}\" cannot stand in a header"));
    Ok(Question {
        headers: vec![
            (CIM_OPERATION, HeaderValue::from_static("MethodCall")),
            (CIM_PROTOCOL_VERSION, HeaderValue::from_static("1.0")),
            (CIM_METHOD, value(&headers.cim_method)?),
            (CIM_OBJECT, value(&headers.cim_object)?),
        ],
        body: Bytes::from(body),
        repeatable,
    })
}

/// The result in the body of an answer, or what is wrong with the body.
pub(crate) fn answer(
    body: &[u8],
    request: &Request,
    max_bytes: usize,
) -> Result<Result<OperationResult, CimError>, String> {
    let limits = cimxml::Limits { bytes: max_bytes, ..cimxml::Limits::for_responses() };
    cimxml::decode_response(body, request, &limits).map(|r| r.result).map_err(|e| e.to_string())
}

/// The headers and the body of the message that delivers an indication.
pub(crate) fn export_question(id: &str, indication: &Instance) -> (Vec<(HeaderName, HeaderValue)>, Bytes) {
    let headers = vec![
        (CIM_EXPORT, HeaderValue::from_static("MethodRequest")),
        // One type alone: pywbem's listener compares the header with the names it knows.
        (ACCEPT, HeaderValue::from_static("application/xml")),
        (CIM_EXPORT_METHOD, HeaderValue::from_static(cimxml::EXPORT_INDICATION)),
        (CIM_PROTOCOL_VERSION, HeaderValue::from_static("1.0")),
    ];
    (headers, Bytes::from(cimxml::encode_export_request(id, indication)))
}

/// What a listener says about an indication, or what is wrong with its answer.
pub(crate) fn export_answer(body: &[u8], max_bytes: usize) -> Result<Result<(), CimError>, String> {
    let limits = cimxml::Limits { bytes: max_bytes, ..cimxml::Limits::for_responses() };
    cimxml::decode_export_response(body, &limits).map_err(|e| e.to_string())
}

/// The error that the trailers of a chunked answer tell, if they tell one.
pub(crate) fn trailer_error(code: Option<&str>, description: Option<&str>) -> Option<CimError> {
    let code: u32 = code?.parse().ok()?;
    if code == 0 {
        return None;
    }
    let status = CimStatus::from_code(code).unwrap_or(CimStatus::Failed);
    Some(CimError::new(status, percent_decoded(description.unwrap_or_default())))
}

/// Text with `%HH` decoded.
pub(crate) fn percent_decoded(text: &str) -> String {
    String::from_utf8_lossy(&uri::percent_decode(text.as_bytes())).into_owned()
}

/// The instance that a string holds in CIM-XML.
pub(crate) fn parse_instance(text: &str) -> Result<Instance, String> {
    cimxml::parse_instance_text(text)
}

/// The path that a text names, if it names an object.
pub(crate) fn parse_path(text: &str) -> Option<ObjectPath> {
    uri::parse(text).ok()
}

/// Whether carrying out the operation twice is the same as once: reading, in any form.
fn is_repeatable(operation: &Operation) -> bool {
    match operation {
        Operation::GetClass { .. }
        | Operation::EnumerateClasses { .. }
        | Operation::EnumerateClassNames { .. }
        | Operation::GetQualifier { .. }
        | Operation::EnumerateQualifiers
        | Operation::GetInstance { .. }
        | Operation::EnumerateInstances { .. }
        | Operation::EnumerateInstanceNames { .. }
        | Operation::Associators { .. }
        | Operation::AssociatorNames { .. }
        | Operation::References { .. }
        | Operation::ReferenceNames { .. }
        | Operation::ExecQuery { .. }
        | Operation::EnumerationCount { .. } => true,
        // An Open that is asked twice leaves a session behind that the server forgets by itself.
        Operation::OpenEnumerateInstances { .. }
        | Operation::OpenEnumerateInstancePaths { .. }
        | Operation::OpenAssociatorInstances { .. }
        | Operation::OpenAssociatorInstancePaths { .. }
        | Operation::OpenReferenceInstances { .. }
        | Operation::OpenReferenceInstancePaths { .. }
        | Operation::OpenQueryInstances { .. } => true,
        Operation::InvokeMethod { method, .. } => {
            ["GetError", "GetErrorEx", "GetErrors"].iter().any(|name| method.is(name))
        }
        Operation::GetProperty { .. } => true,
        Operation::CreateClass { .. }
        | Operation::ModifyClass { .. }
        | Operation::DeleteClass { .. }
        | Operation::SetQualifier { .. }
        | Operation::DeleteQualifier { .. }
        | Operation::SetProperty { .. }
        | Operation::CreateInstance { .. }
        | Operation::ModifyInstance { .. }
        | Operation::DeleteInstance { .. }
        | Operation::Pull { .. }
        | Operation::CloseEnumeration { .. }
        | Operation::Unsupported { .. } => false,
    }
}
