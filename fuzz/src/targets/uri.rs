//! Object paths, addresses and percent-encoding.

use super::Outcome;
use cimwright_cim::{NamespaceName, ObjectPath};
use cimwright_client::Endpoint;
use cimwright_codec::uri;

/// Words of the language.
pub(super) const WORDS: &[&str] = &[
    "root/cimv2:",
    "//host:5989/",
    "CIM_Job.",
    "InstanceID=\"x\"",
    ",N=-5",
    ",B=TRUE",
    "=@",
    "=\"\\\"\"",
    "\\\\",
    "%41",
    "%",
    "%zz",
    "https://",
    "http://",
    "unix://",
    "[::1]",
    ":5989",
    "user:pw@",
    "instance:",
    "1.5e3",
    "'a'",
];

/// Reads the text as a path and as an address, and the bytes as what headers hold.
pub(super) fn run(data: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(data);
    let mut outcome = String::new();
    match uri::parse(&text) {
        Err(error) => outcome.push_str(&error.to_string()),
        Ok(path) => {
            let written = uri::to_text(&path);
            let again = uri::parse(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
            // A host is written only before a namespace.
            assert_eq!(uri::to_text(&again), written);
            assert_eq!((again.namespace(), again.class()), (path.namespace(), path.class()), "{written}");
            if let (ObjectPath::Instance(again), ObjectPath::Instance(path)) = (&again, &path) {
                assert_eq!(format!("{:?}", again.keys), format!("{:?}", path.keys), "{written}");
            }
            let local = uri::to_local_text(&path);
            assert!(uri::header_names_object(local.as_bytes(), &path), "{local}");
            assert!(uri::header_names_object(uri::percent_encode(&local).as_bytes(), &path), "{local}");
            outcome.push_str(match &path {
                ObjectPath::Class(_) => "class",
                ObjectPath::Instance(path) if path.keys.len() > 1 => "keys",
                ObjectPath::Instance(_) => "instance",
            });
            let _ = uri::header_names_object(data, &path);
        }
    }
    let _ = uri::header_names_namespace(data, &NamespaceName::new("root/cimv2"));
    assert_eq!(uri::percent_decode(uri::percent_encode(&text).as_bytes()), text.as_bytes());
    match Endpoint::from_url(&text) {
        Err(error) => outcome.push_str(&error.to_string()),
        Ok(endpoint) => {
            let shown = endpoint.to_string();
            outcome.push_str(shown.split(':').next().unwrap_or_default());
        }
    }
    Outcome::of(&outcome)
}
