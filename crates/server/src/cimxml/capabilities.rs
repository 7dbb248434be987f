//! The answer to OPTIONS: what a CIM server can do, told in headers (DSP0200 7.5).

use crate::body::ResponseBody;
use crate::http::text;
use hyper::header::{ALLOW, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// The digits before each CIM header; any two would do.
const OPT: &str = "http://www.dmtf.org/cim/mapping/http/v1.0 ; ns=77";

/// The headers, with the digits before their names.
const CAPABILITIES: [(&str, &str); 5] = [
    ("77-cimprotocolversion", "1.0"),
    (
        "77-cimsupportedfunctionalgroups",
        "basic-read, basic-write, instance-manipulation, schema-manipulation, association-traversal, \
         query-execution, qualifier-declaration, indication",
    ),
    ("77-cimsupportsmultipleoperations", ""),
    ("77-cimsupportedquerylanguages", "WQL, DMTF:CQL"),
    ("77-cimvalidation", "loosely-validating"),
];

/// The whole answer.
pub(super) fn answer() -> Response<ResponseBody> {
    let mut response = text(StatusCode::OK, "");
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("opt"), HeaderValue::from_static(OPT));
    headers.insert(ALLOW, HeaderValue::from_static("POST, M-POST, OPTIONS"));
    for (name, value) in CAPABILITIES {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}
