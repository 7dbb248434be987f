//! Reads the exchange vectors that may lie beside the project and writes them again. They are extra data: without them the
//! test says so and the golden files remain.

mod common;

use cimwright_cim::{CimStatus, NamespaceName, Operation, Request};
use cimwright_codec::cimxml::{
    BatchItem, EncodeContext, Headers, Limits, Message, decode_export_request, decode_export_response,
    decode_request, decode_response, encode_batch_response, encode_export_request, encode_export_response,
    encode_request, encode_response,
};
use common::canonical;
use std::path::PathBuf;

/// How a vector is covered here. Every one is also sent to a running server, by the tests of the server's crate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Covered {
    /// Request and response are read and written again, to the same text.
    Both,
    /// The same, but the text differs for a reason: reals have more than one spelling, and this project always shows all
    /// properties of CIM_Error.
    Spelling,
    /// The request is refused while it is read, with this status; the response is read and written again.
    Refused(CimStatus),
    /// The operation does not exist; it is read as such, and the response is read and written again.
    Unknown,
    /// Several requests in one message; each response is read, and all are written again.
    Batch,
    /// An indication on its way to a listener.
    Export,
}

use Covered::{Batch, Both, Export, Refused, Spelling, Unknown};

/// Every vector of CIM-XML. One that is missing here fails the test.
const VECTORS: &[(&str, Covered)] = &[
    ("c01-geterror-embedded-instance", Both),
    ("c02-geterror-plain-string", Both),
    ("c03-geterror-no-error", Both),
    ("c04-geterror-null-param-present", Both),
    ("c05-geterrors-array", Both),
    ("c06-geterrors-empty-array", Both),
    ("c07-geterror-job-gone", Both),
    ("c08-method-not-found", Both),
    ("c09-request-state-change", Both),
    ("c10-request-state-change-invalid", Both),
    ("c11-start-job-typed-params", Spelling),
    ("c12-static-method-class-path", Both),
    ("c13-killjob-deprecated", Both),
    ("c14-get-instance-job", Both),
    ("c15-get-instance-propertylist", Both),
    ("c16-get-instance-empty-propertylist", Both),
    ("c17-get-instance-not-found-with-cim-error", Spelling),
    ("c18-enumerate-instances", Both),
    ("c19-enumerate-instances-empty", Both),
    ("c20-enumerate-instance-names", Both),
    ("c21-create-instance", Both),
    ("c22-create-instance-exists", Both),
    ("c23-modify-instance", Both),
    ("c24-delete-instance", Both),
    ("c25-all-data-types", Spelling),
    ("c26-method-result-nested", Both),
    ("c27-associators", Both),
    ("c28-associator-names", Both),
    ("c29-references", Both),
    ("c30-reference-names", Both),
    ("c31-associators-class-level", Both),
    ("c32-associator-names-class-level", Both),
    ("c33-exec-query-wql", Both),
    ("c34-exec-query-language-unsupported", Refused(CimStatus::QueryLanguageNotSupported)),
    ("c35-exec-query-invalid", Refused(CimStatus::InvalidQuery)),
    ("c36-open-enumerate-instances", Both),
    ("c37-pull-instances-with-path-last", Both),
    ("c38-open-maxobjectcount-zero", Both),
    ("c39-close-enumeration", Both),
    ("c40-pull-invalid-context", Both),
    ("c41-open-invalid-timeout", Both),
    ("c42-open-continue-on-error", Both),
    ("c43-open-enumerate-instance-paths", Both),
    ("c44-pull-instance-paths", Both),
    ("c45-open-associator-instances", Both),
    ("c46-open-associator-instance-paths", Both),
    ("c47-open-reference-instances", Both),
    ("c48-open-reference-instance-paths", Both),
    ("c49-open-query-instances", Both),
    ("c50-pull-instances", Both),
    ("c51-open-filter-unsupported", Both),
    ("c52-get-class", Both),
    ("c53-get-class-not-found", Both),
    ("c54-enumerate-classes", Both),
    ("c55-enumerate-class-names", Both),
    ("c56-create-class", Both),
    ("c57-modify-class-invalid-superclass", Both),
    ("c58-delete-class-has-children", Both),
    ("c59-get-qualifier", Both),
    ("c60-set-qualifier", Both),
    ("c61-enumerate-qualifiers", Both),
    ("c62-delete-qualifier", Both),
    ("c63-get-property", Both),
    ("c64-set-property", Both),
    ("c65-invalid-namespace", Both),
    ("c66-invalid-class", Both),
    ("c67-missing-parameter", Refused(CimStatus::InvalidParameter)),
    ("c68-unknown-intrinsic", Unknown),
    ("c69-access-denied", Both),
    ("c70-multireq-batch", Batch),
    ("c71-create-filter", Both),
    ("c72-create-destination", Both),
    ("c73-create-subscription", Both),
    ("c74-export-indication", Export),
    ("c75-export-indication-rejected", Export),
    ("c76-interop-namespaces", Both),
    ("c77-registered-profile", Both),
    ("c78-job-out-parameters", Both),
    ("c79-geterror-cdata", Both),
    ("c80-geterror-embedded-in-instance-property", Both),
    ("c81-null-in-numeric-array", Both),
];

/// The host in the paths of the vectors.
const HOST: &str = "wbem.example.com:5989";

fn folder() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/protocols/vectors");
    path.is_dir().then_some(path)
}

/// The headers in the comment of a vector.
fn header<'a>(text: &'a str, name: &str) -> Option<&'a [u8]> {
    let comment = text.split_once("<!--")?.1.split_once("-->")?.0;
    comment
        .split(" | ")
        .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix(": "))
        .map(|v| v.trim().as_bytes())
}

#[test]
fn vectors_are_read_and_written() {
    let Some(folder) = folder() else {
        println!("skipped: no vectors");
        return;
    };
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("a folder")
        .filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".req.xml").map(str::to_owned))
        .filter(|n| n.starts_with('c'))
        .collect();
    names.sort();
    let listed: Vec<&str> = VECTORS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, listed, "every vector is covered and listed");
    let mut failures = Vec::new();
    for (name, covered) in VECTORS {
        let read = |suffix: &str| {
            std::fs::read_to_string(folder.join(format!("{name}.{suffix}.xml"))).expect("a file")
        };
        if let Err(failure) = check(*covered, &read("req"), &read("rsp")) {
            failures.push(format!("{name}: {failure}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn check(covered: Covered, request: &str, response: &str) -> Result<(), String> {
    let limits = Limits::default();
    if covered == Export {
        let (id, indication) =
            decode_export_request(request.as_bytes(), &limits).map_err(|e| e.to_string())?;
        same(&encode_export_request(&id, &indication), request)?;
        let answer = decode_export_response(response.as_bytes(), &limits).map_err(|e| e.to_string())?;
        return same(&encode_export_response(&id, &answer), response);
    }
    let headers = Headers {
        cim_operation: header(request, "CIMOperation"),
        cim_method: header(request, "CIMMethod"),
        cim_object: header(request, "CIMObject"),
        cim_batch: header(request, "CIMBatch").is_some(),
        cim_protocol_version: None,
    };
    let message = decode_request(request.as_bytes(), &headers, &limits).map_err(|e| e.to_string())?;
    if covered == Batch {
        return check_batch(&message, response);
    }
    let simple = &message.requests[0];
    let asked = match (&simple.request, covered) {
        (Ok(asked), Refused(status)) => {
            return Err(format!("not refused with {status:?} but read: {asked:?}"));
        }
        (Ok(asked), Unknown) => {
            let Operation::Unsupported { name } = &asked.operation else {
                return Err(format!("it is known: {asked:?}"));
            };
            return check_error(&message.id, name, response);
        }
        (Ok(asked), _) => asked,
        (Err(error), Refused(status)) if error.status == status => {
            return check_error(&message.id, &simple.name, response);
        }
        (Err(error), _) => return Err(error.to_string()),
    };
    let (body, sent) = encode_request(&message.id, asked);
    // Of intrinsic operations the parameters with defaults may be there or not.
    if !simple.intrinsic && covered == Both {
        same(&body, request)?;
    }
    let headers = Headers {
        cim_method: Some(sent.cim_method.as_bytes()),
        cim_object: Some(sent.cim_object.as_bytes()),
        ..headers
    };
    let again = decode_request(&body, &headers, &limits).map_err(|e| e.to_string())?;
    if again != message {
        return Err(format!("the request changed:\n{message:#?}\n{again:#?}"));
    }
    let answer = decode_response(response.as_bytes(), asked, &limits).map_err(|e| e.to_string())?;
    let context = EncodeContext { host: HOST, namespace: Some(&asked.namespace) };
    let written = encode_response(&answer.id, &answer.name, simple.intrinsic, &answer.result, &context);
    if covered == Both {
        same(&written, response)?;
    }
    let again = decode_response(&written, asked, &limits).map_err(|e| e.to_string())?;
    // NaN is not equal to itself.
    if format!("{again:?}") != format!("{answer:?}") {
        return Err(format!("the answer changed:\n{answer:#?}\n{again:#?}"));
    }
    Ok(())
}

/// The response to an intrinsic operation that cannot be read: an error, written again to the same text.
fn check_error(id: &str, name: &str, response: &str) -> Result<(), String> {
    let operation = Operation::Unsupported { name: name.to_owned() };
    let asked = Request { namespace: NamespaceName::new("root/cimv2"), operation };
    let answer =
        decode_response(response.as_bytes(), &asked, &Limits::default()).map_err(|e| e.to_string())?;
    if answer.result.is_ok() {
        return Err("the response is no error".to_owned());
    }
    let context = EncodeContext { host: HOST, namespace: None };
    same(&encode_response(id, name, true, &answer.result, &context), response)
}

/// Each response of a batch is read by itself; written together they make the message again.
fn check_batch(message: &Message, response: &str) -> Result<(), String> {
    let (before, rest) = response.split_once("<MULTIRSP>").ok_or("no MULTIRSP")?;
    let (inside, after) = rest.split_once("</MULTIRSP>").ok_or("MULTIRSP does not end")?;
    let parts: Vec<&str> =
        inside.split_inclusive("</SIMPLERSP>").filter(|p| p.contains("<SIMPLERSP>")).collect();
    if !message.batch || parts.len() != message.requests.len() {
        return Err(format!("{} requests, {} responses", message.requests.len(), parts.len()));
    }
    let mut answers = Vec::new();
    for (part, simple) in parts.iter().zip(&message.requests) {
        let asked = simple.request.as_ref().map_err(|e| e.to_string())?;
        let alone = format!("{before}{part}{after}");
        let answer =
            decode_response(alone.as_bytes(), asked, &Limits::default()).map_err(|e| e.to_string())?;
        answers.push((answer, simple.intrinsic, asked));
    }
    let items: Vec<_> = answers
        .iter()
        .map(|(answer, intrinsic, asked)| BatchItem {
            name: &answer.name,
            intrinsic: *intrinsic,
            result: &answer.result,
            context: EncodeContext { host: HOST, namespace: Some(&asked.namespace) },
        })
        .collect();
    same(&encode_batch_response(&message.id, &items), response)
}

fn same(written: &[u8], given: &str) -> Result<(), String> {
    let written = canonical(std::str::from_utf8(written).map_err(|e| e.to_string())?);
    let given = canonical(given);
    match written.lines().zip(given.lines()).find(|(a, b)| a != b) {
        None if written == given => Ok(()),
        None => Err("one of the texts ends early".to_owned()),
        Some((a, b)) => Err(format!("written {a:?}, given {b:?}")),
    }
}

#[test]
fn batches_are_answered_in_order() {
    let results = [Ok(cimwright_cim::OperationResult::Void), Err(cimwright_cim::CimError::failed("x"))];
    let context = EncodeContext { host: "h", namespace: None };
    let items: Vec<_> = results
        .iter()
        .zip([("DeleteInstance", true), ("GetError", false)])
        .map(|(result, (name, intrinsic))| BatchItem { name, intrinsic, result, context })
        .collect();
    let text = String::from_utf8(encode_batch_response("9", &items)).expect("UTF-8");
    assert_eq!(
        canonical(&text),
        canonical(
            "<CIM CIMVERSION='2.0' DTDVERSION='2.0'><MESSAGE ID='9' PROTOCOLVERSION='1.0'><MULTIRSP><SIMPLERSP>\
             <IMETHODRESPONSE NAME='DeleteInstance'/></SIMPLERSP><SIMPLERSP><METHODRESPONSE NAME='GetError'>\
             <ERROR CODE='1' DESCRIPTION='CIM_ERR_FAILED: x'/></METHODRESPONSE></SIMPLERSP></MULTIRSP></MESSAGE></CIM>"
        )
    );
}
