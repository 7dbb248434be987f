//! Queries.

use super::Outcome;
use cimwright_cim::query::{Hierarchy, Query};
use cimwright_cim::{ClassName, Instance, NamespaceName, Operation, Request, Value};
use cimwright_codec::cimxml::{Headers, Limits, decode_request, encode_request};
use cimwright_codec::query::{LANGUAGES, parse};

/// Words of the languages.
pub(super) const WORDS: &[&str] = &[
    "SELECT ",
    "*",
    " FROM ",
    " WHERE ",
    " AND ",
    " OR ",
    " NOT ",
    " IS NULL",
    " ISA ",
    " LIKE ",
    "'a%_[b-c]'",
    "'a.*[b-c]*'",
    "TRUE",
    "NULL",
    "__CLASS",
    "__this",
    "A.B",
    "C::D",
    "[*]",
    "[1]",
    "ANY ",
    "EVERY ",
    "#'x'",
    " AS j ",
    "j.",
    "<>",
    "!=",
    "<=",
    "0x1F",
    "0101B",
    "-1.5E-3",
    "''",
    "\\\\",
    "\\'",
    "ASSOCIATORS OF {A.B=\"c\"}",
    " WITHIN 5 ",
    "(",
    ")",
];

struct Flat;

impl Hierarchy for Flat {
    fn is_a(&self, class: &ClassName, ancestor: &ClassName) -> bool {
        class == ancestor
    }
}

/// Texts up to this length are not too long to be read again once they have been written.
pub(super) const LONG: usize = 16 << 10;

/// Reads the text in every language. What is read can be evaluated, and is read as the same again when a client sends it.
pub(super) fn run(data: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(data);
    let inner = Instance::new("D").with("B", "abc").with("D", Value::uint16s([1, 2]));
    let instance = Instance::new("Job")
        .with("A", Value::Instance(Box::new(inner)))
        .with("Name", "abcabcabcabcabcabcabc".repeat(20))
        .with("JobState", Value::Uint16(7))
        .with("Status", Value::uint16s([2, 17]));
    let mut outcome = String::new();
    for language in LANGUAGES {
        match parse(language, &text) {
            Err(error) => outcome.push_str(&error.description),
            Ok(query) => {
                outcome.push(if query.matches(&instance, &Flat) { '+' } else { '-' });
                outcome.push_str(&shape(&query));
                // XML cannot carry control characters, and what is written may be up to four times as long as what was read.
                if text.len() <= LONG
                    && !text.chars().any(|c| c.is_control() || matches!(c, '\u{fffd}'..='\u{ffff}'))
                {
                    assert_eq!(format!("{:?}", received(&query)), format!("{query:?}"), "{text}");
                }
            }
        }
    }
    Outcome::of(&outcome)
}

/// The kinds of conditions in a query.
fn shape(query: &Query) -> String {
    let shown = format!("{:?}", query.condition);
    let words = [
        "And",
        "Or(",
        "Not",
        "Compare {",
        "CompareP",
        "CompareS",
        "IsNull",
        "Like",
        "IsA",
        "Repeat",
        "Set",
        "Any",
    ];
    words.iter().filter(|word| shown.contains(**word)).copied().collect()
}

fn received(query: &Query) -> Query {
    let operation = Operation::ExecQuery { query: query.clone() };
    let (body, sent) = encode_request("1", &Request { namespace: NamespaceName::new("root"), operation });
    let headers = Headers {
        cim_operation: Some(b"MethodCall"),
        cim_method: Some(sent.cim_method.as_bytes()),
        cim_object: Some(sent.cim_object.as_bytes()),
        ..Headers::default()
    };
    let read = decode_request(&body, &headers, &Limits::default());
    match read.as_ref().map(|message| message.requests[0].request.clone()) {
        Ok(Ok(Request { operation: Operation::ExecQuery { query }, .. })) => query,
        other => panic!("what was sent cannot be read: {other:?}\n{}", String::from_utf8_lossy(&body)),
    }
}
