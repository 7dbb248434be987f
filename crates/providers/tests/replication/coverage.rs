//! Whether every entry of the catalogue is provoked by a test, and every provoked id is in the catalogue.

use cimwright_providers::replication::errors::CATALOGUE;
use std::collections::BTreeSet;
use std::path::Path;

/// Reasons that need what a test of this kind cannot make: they are provoked where they arise, beside the code.
const ELSEWHERE: [(&str, &str); 17] = [
    ("CWREPL1003", "replication::errors: a server that runs as root is denied nothing"),
    ("CWREPL1013", "replication::errors: needs a system that fails in a way without a name"),
    ("CWREPL1024", "replication::errors: a server that runs as root is denied nothing"),
    ("CWREPL1025", "replication::errors: needs a file system that cannot reserve space"),
    (
        "CWREPL1401",
        "replication::errors::engine, from a failure that the engine's own tests provoke; so are those below",
    ),
    ("CWREPL1402", "likewise"),
    ("CWREPL1405", "likewise"),
    ("CWREPL1406", "likewise"),
    ("CWREPL1407", "likewise"),
    ("CWREPL1408", "likewise"),
    ("CWREPL1409", "likewise"),
    ("CWREPL1410", "likewise"),
    ("CWREPL1411", "likewise"),
    ("CWREPL1412", "likewise"),
    ("CWREPL1413", "likewise"),
    ("CWREPL1414", "likewise"),
    ("CWREPL1415", "replication::errors::engine: takes as long as the limit it is about"),
];

/// The calls that assert a reason; the id is their first argument.
const ASSERTIONS: [&str; 2] = [".refused(", ".says("];

#[test]
fn every_reason_is_provoked() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replication");
    let mut provoked: BTreeSet<String> = ELSEWHERE.iter().map(|(id, _)| (*id).to_owned()).collect();
    for file in std::fs::read_dir(directory).expect("the sources of this test") {
        let path = file.expect("readable").path();
        if path.file_name().is_some_and(|name| name != "coverage.rs") {
            let source = std::fs::read_to_string(path).expect("text");
            for call in ASSERTIONS {
                let rests = source.split(call).skip(1);
                provoked.extend(rests.filter_map(|rest| {
                    let (id, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
                    Some(id.to_owned())
                }));
            }
            // A table of faults.
            let tables = source.split("(\"CWREPL").skip(1);
            provoked.extend(tables.filter_map(|rest| Some(format!("CWREPL{}", rest.split_once('"')?.0))));
        }
    }
    let known: BTreeSet<String> = CATALOGUE.entries.iter().map(|e| e.id.to_owned()).collect();
    let never: Vec<_> = known.difference(&provoked).collect();
    assert!(never.is_empty(), "no test provokes {never:?}");
    let unknown: Vec<_> = provoked.difference(&known).collect();
    assert!(unknown.is_empty(), "no catalogue has {unknown:?}");
}

#[test]
fn the_documentation_has_a_row_for_every_method() {
    let document = include_str!("../../../../docs/storage-replica.md");
    let class = crate::harness::SCHEMA.class("MSFT_WvrAdminTasks").expect("the class");
    for method in &class.methods {
        let row = format!("| `{}` | ", method.name);
        let state = document.split_once(&row).map(|(_, rest)| rest.split(" |").next().unwrap_or_default());
        let told = state.is_some_and(|s| ["works", "partly", "not supported"].contains(&s));
        assert!(told, "docs/storage-replica.md does not tell about {}", method.name);
    }
}
