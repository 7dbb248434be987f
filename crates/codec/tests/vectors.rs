//! Reads the exchange vectors that may lie beside the project and writes them again. They are extra data: without them the
//! test says so and the golden files remain.

mod common;

use cimwright_cim::{CimStatus, Operation};
use cimwright_codec::cimxml::{
    EncodeContext, Headers, Limits, decode_export_request, decode_export_response, decode_request,
    decode_response, encode_batch_response, encode_export_request, encode_export_response, encode_request,
    encode_response,
};
use common::canonical;
use std::path::PathBuf;

/// Vectors whose text is not the one written here, for a reason: reals have more than one spelling, and this project always
/// shows all properties of CIM_Error.
const OTHER_SPELLING: [&str; 3] =
    ["c11-start-job-typed-params", "c17-get-instance-not-found-with-cim-error", "c25-all-data-types"];

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
    assert!(names.len() >= 80, "only {} vectors", names.len());
    let mut failures = Vec::new();
    for name in &names {
        let read = |suffix: &str| {
            std::fs::read_to_string(folder.join(format!("{name}.{suffix}.xml"))).expect("a file")
        };
        if let Err(failure) = check(name, &read("req"), &read("rsp")) {
            failures.push(format!("{name}: {failure}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn check(name: &str, request: &str, response: &str) -> Result<(), String> {
    let limits = Limits::default();
    if request.contains("<SIMPLEEXPREQ>") {
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
    if message.batch {
        assert_eq!(message.requests.len(), 2);
        return Ok(());
    }
    let simple = &message.requests[0];
    let asked = match &simple.request {
        Ok(asked) => asked,
        Err(error) => {
            let expected = match &name[..3] {
                "c34" => CimStatus::QueryLanguageNotSupported,
                "c35" => CimStatus::InvalidQuery,
                "c67" => CimStatus::InvalidParameter,
                _ => return Err(error.to_string()),
            };
            return if error.status == expected { Ok(()) } else { Err(error.to_string()) };
        }
    };
    if matches!(asked.operation, Operation::Unsupported { .. }) {
        return Ok(());
    }
    let (body, sent) = encode_request(&message.id, asked);
    if !simple.intrinsic && !OTHER_SPELLING.contains(&name) {
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
    let context = EncodeContext { host: "wbem.example.com:5989", namespace: Some(&asked.namespace) };
    let written = encode_response(&answer.id, &answer.name, simple.intrinsic, &answer.result, &context);
    if !OTHER_SPELLING.contains(&name) {
        same(&written, response)?;
    }
    let again = decode_response(&written, asked, &limits).map_err(|e| e.to_string())?;
    // NaN is not equal to itself.
    if format!("{again:?}") != format!("{answer:?}") {
        return Err(format!("the answer changed:\n{answer:#?}\n{again:#?}"));
    }
    Ok(())
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
        .map(|(result, (name, intrinsic))| cimwright_codec::cimxml::BatchItem {
            name,
            intrinsic,
            result,
            context,
        })
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
