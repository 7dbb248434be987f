//! The server's end of the protocol against real processes: good ones, and ones that do everything wrong.
//!
//! The processes are this very test program, started again with the name of the one "test" that plays the provider.
#![allow(clippy::unwrap_used, reason = "a test stops where its ground gives way")]

mod actor;
mod failing;
mod plugin;
mod serving;

use cimwright_cim::ErrorDetail;
use cimwright_testkit::ProcessSettings;

/// The namespace of the tests.
pub(crate) const NAMESPACE: &str = "root/test";

/// This program, playing the part of a provider.
pub(crate) fn actor(part: &str) -> ProcessSettings {
    let mut settings = ProcessSettings::new("actor", std::env::current_exe().unwrap());
    settings.args = ["actor::plays_its_part", "--exact", "--nocapture"].map(Into::into).to_vec();
    settings.environment = vec![("PART".to_owned(), part.to_owned())];
    settings.namespaces = vec![NAMESPACE.into()];
    settings.start_timeout = cimwright_testkit::PATIENCE;
    settings
}

/// Asserts that this is the reason.
#[track_caller]
pub(crate) fn provoked(id: &str, reason: &ErrorDetail) {
    assert_eq!(reason.message_id, id, "{reason:?}");
    assert!(!reason.message.contains("{0}") && !reason.message.contains("{1}"), "{}", reason.message);
}

/// Whether every entry of the catalogues is provoked by a test.
#[test]
fn every_reason_is_provoked() {
    let sources = [include_str!("failing.rs"), include_str!("serving.rs")].concat();
    let catalogues = [&cimwright_host::errors::CATALOGUE, &cimwright_sdk::process::CATALOGUE];
    for entry in catalogues.iter().flat_map(|c| c.entries) {
        assert!(sources.contains(&format!("provoked(\"{}\"", entry.id)), "no test provokes {}", entry.id);
    }
}
