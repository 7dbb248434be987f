//! The golden files of CIM-XML: each pair of files in `golden/cimxml` against the model it stands for, in both directions.
//!
//! `UPDATE_GOLDEN=1 cargo test -p cimwright-codec --test cimxml` writes the files anew from the models; look at the difference
//! before committing it.

#[path = "../common/mod.rs"]
mod common;
mod headers;
mod instances;
mod methods;
mod model;
mod random;
mod schema;
mod sequences;
mod tolerance;

use cimwright_cim::{CimError, OperationResult, Request};
use cimwright_codec::cimxml::{
    EncodeContext, Headers, Limits, Response, decode_request, decode_response, encode_request,
    encode_response,
};
use common::canonical;
use std::path::PathBuf;

/// A request and its answer, as text and as model.
pub(crate) struct Case {
    /// Stem of the two files.
    name: &'static str,
    request: Request,
    result: Result<OperationResult, CimError>,
    /// What a client reads, where that is not what the server wrote: text stays text.
    read_back: Option<OperationResult>,
}

pub(crate) fn case(name: &'static str, request: Request, result: Result<OperationResult, CimError>) -> Case {
    Case { name, request, result, read_back: None }
}

/// The name of the server in all golden files.
pub(crate) const HOST: &str = "jobs.example.com:5989";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/cimxml")
}

pub(crate) fn golden(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn update(name: &str, bytes: &[u8]) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = std::str::from_utf8(bytes).expect("UTF-8");
        std::fs::write(folder().join(name), pretty(text)).expect("a writable folder");
    }
}

/// One element a line, with the text of a value on the line of its element.
fn pretty(xml: &str) -> String {
    let mut out = String::new();
    let mut depth = 0usize;
    let mut rest = xml;
    let mut after_text = false;
    while let Some(open) = rest.find('<') {
        let (text, tag_on) = rest.split_at(open);
        let end = tag_on.find('>').expect("a closed tag") + 1;
        let (tag, after) = tag_on.split_at(end);
        let is_text = !text.trim().is_empty();
        let closing = tag.starts_with("</");
        if closing {
            depth -= 1;
        }
        if is_text {
            out.push_str(text);
        }
        let empty_pair = closing && !is_text && out.ends_with('>') && after_text;
        if !out.is_empty() && !is_text && !empty_pair {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        }
        out.push_str(tag);
        after_text = !closing && !tag.ends_with("/>") && !tag.starts_with("<?");
        if after_text {
            depth += 1;
        }
        rest = after;
    }
    out.push('\n');
    out
}

fn all() -> Vec<Case> {
    [methods::cases(), instances::cases(), sequences::cases(), schema::cases()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn requests_are_what_the_golden_files_say() {
    for Case { name, request, .. } in all() {
        let (body, sent) = encode_request("1001", &request);
        let file = format!("{name}.req.xml");
        update(&file, &body);
        let text = golden(&file);
        assert_eq!(canonical(std::str::from_utf8(&body).unwrap()), canonical(&text), "{file}");
        let headers = Headers {
            cim_operation: Some(b"MethodCall"),
            cim_method: Some(sent.cim_method.as_bytes()),
            cim_object: Some(sent.cim_object.as_bytes()),
            ..Headers::default()
        };
        let message = decode_request(text.as_bytes(), &headers, &Limits::default())
            .unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!((message.id.as_str(), message.protocol_version.as_str()), ("1001", "1.0"));
        assert_eq!(message.requests.len(), 1);
        assert_eq!(message.requests[0].request.as_ref(), Ok(&request), "{file}");
    }
}

#[test]
fn responses_are_what_the_golden_files_say() {
    for Case { name, request, result, read_back } in all() {
        let intrinsic = !matches!(request.operation, cimwright_cim::Operation::InvokeMethod { .. });
        let operation = cimwright_codec::cimxml::operation_name(&request.operation);
        let context = EncodeContext { host: HOST, namespace: Some(&request.namespace) };
        let bytes = encode_response("1001", operation, intrinsic, &result, &context);
        let file = format!("{name}.rsp.xml");
        update(&file, &bytes);
        let text = golden(&file);
        assert_eq!(canonical(std::str::from_utf8(&bytes).unwrap()), canonical(&text), "{file}");
        assert!(!std::str::from_utf8(&bytes).unwrap().contains("<PROPERTY/>"));
        let response = decode_response(text.as_bytes(), &request, &Limits::default())
            .unwrap_or_else(|e| panic!("{file}: {e}"));
        let result = read_back.map_or(result, Ok);
        assert_eq!(response, Response { id: "1001".into(), name: operation.into(), result }, "{file}");
    }
}

#[test]
fn every_golden_file_belongs_to_a_case() {
    let mut expected: Vec<String> =
        all().iter().flat_map(|c| [format!("{}.req.xml", c.name), format!("{}.rsp.xml", c.name)]).collect();
    expected.extend(tolerance::FILES.iter().map(|f| (*f).to_owned()));
    expected.sort();
    let count = expected.len();
    expected.dedup();
    assert_eq!(count, expected.len(), "two cases share a name");
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(".xml"))
        .collect();
    found.sort();
    let only_in = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|n| !b.contains(n)).cloned().collect()
    };
    assert_eq!((only_in(&found, &expected), only_in(&expected, &found)), (Vec::new(), Vec::new()));
}
