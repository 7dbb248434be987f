//! Whether every entry of the catalogues is provoked by a test, and every provoked id is in a catalogue.

use cimwright_providers::{demo, disk};
use std::collections::BTreeSet;
use std::path::Path;

/// The calls that assert a reason; the id is their first argument. Helpers that pass an id on count as well.
const ASSERTIONS: [&str; 8] = [
    ".provoked(",
    ".refused(",
    ".caused(",
    ".useless(",
    ".useless_by(",
    ".all_refused(",
    " provoked(",
    " caused(",
];

/// The ids that the assertions of a source text begin with.
fn asserted(source: &str) -> impl Iterator<Item = &str> {
    ASSERTIONS.iter().flat_map(move |call| source.split(call).skip(1)).filter_map(|rest| {
        let (id, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
        Some(id)
    })
}

#[test]
fn every_reason_is_provoked() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provoked");
    let mut provoked = BTreeSet::new();
    for file in std::fs::read_dir(directory).expect("the sources of this test") {
        let path = file.expect("readable").path();
        if path.file_name().is_some_and(|name| name != "coverage.rs") {
            let source = std::fs::read_to_string(path).expect("text");
            provoked.extend(asserted(&source).map(str::to_owned));
        }
    }
    let catalogues = [&disk::errors::CATALOGUE, &demo::CATALOGUE];
    let known: BTreeSet<String> =
        catalogues.iter().flat_map(|c| c.entries).map(|entry| entry.id.to_owned()).collect();
    let never: Vec<_> = known.difference(&provoked).collect();
    assert!(never.is_empty(), "no test provokes {never:?}");
    let unknown: Vec<_> = provoked.difference(&known).collect();
    assert!(unknown.is_empty(), "no catalogue has {unknown:?}");
}

#[test]
fn assertions_are_found_however_they_are_wrapped() {
    let source = "house.provoked(\"A1\", &answer); house.refused(\n    \"A2\",\n x); let x = \"A3\"; provoked(\"A4\", j)";
    assert_eq!(asserted(source).collect::<Vec<_>>(), ["A1", "A2", "A4"]);
}
