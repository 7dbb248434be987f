//! Whether every entry of the catalogue is provoked by a test, and every provoked id is in the catalogue.

use cimwright_providers::replication::errors::CATALOGUE;
use std::collections::BTreeSet;
use std::path::Path;

/// Reasons that a test of this kind cannot provoke, and why.
const ELSEWHERE: [(&str, &str); 1] = [(
    "CWREPL1411",
    "the daemon is told to stop at every error and never to end a mirror, and nobody but the server can give it orders: only a \
     defect of it can bring this about; replication::errors::engine has the mapping",
)];

/// The calls that assert a reason; the id is their first argument.
const ASSERTIONS: [&str; 5] = [".refused(", ".says(", ".fails(", "sync_fails(&pair, ", "behind(&reason, "];

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
