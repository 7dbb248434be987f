//! Every target on its seeds, on what was found before, and on some thousand mutations, the same ones every time.

use cimwright_fuzz::driver::{self, Until};
use cimwright_fuzz::{TARGETS, find, seeds};
use std::path::Path;

/// How many mutations each target gets here. Those of `http` cost a connection each.
fn inputs(name: &str) -> u64 {
    match name {
        "http" => 150,
        "mof" => 1500,
        _ => 3000,
    }
}

fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn replayed(name: &str) {
    let target = find(name).expect("a target");
    let hung = |finding: &driver::Finding| {
        eprintln!("{finding}");
        std::process::abort();
    };
    match driver::run(target, project(), 7, Until::Inputs(inputs(name)), hung) {
        Ok(summary) => {
            // A target that always says the same has not read its seeds.
            assert!(summary.outcomes > 5, "{name}: {summary:?}");
        }
        Err(finding) => panic!("{name}: {finding}"),
    }
}

#[test]
fn mof() {
    replayed("mof");
}

#[test]
fn request() {
    replayed("request");
}

#[test]
fn response() {
    replayed("response");
}

#[test]
fn query() {
    replayed("query");
}

#[test]
fn provider() {
    replayed("provider");
}

#[test]
fn uri() {
    replayed("uri");
}

#[test]
fn http() {
    replayed("http");
}

#[test]
fn wsman() {
    replayed("wsman");
}

#[test]
fn token() {
    replayed("token");
}

#[test]
fn every_target_is_replayed_and_has_seeds() {
    let here = include_str!("replay.rs");
    for target in TARGETS {
        assert!(here.contains(&format!("replayed(\"{}\")", target.name)), "{} is not replayed", target.name);
        assert!(seeds::of(target.name, project()).len() >= 2, "{} has no seeds", target.name);
    }
}
