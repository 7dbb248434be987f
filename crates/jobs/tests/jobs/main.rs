//! The job service as its users see it: real drivers, the memory store, steps that do what the test says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod control;
mod harness;
mod recovery;
mod schedule;
mod work;

/// Whether every entry of the catalogue is provoked by a test.
#[test]
fn every_reason_is_provoked() {
    let source = concat!(
        include_str!("control.rs"),
        include_str!("recovery.rs"),
        include_str!("schedule.rs"),
        include_str!("work.rs"),
    );
    for entry in cimwright_jobs::errors::CATALOGUE.entries {
        assert!(source.contains(&format!("provoked(\"{}\"", entry.id)), "no test provokes {}", entry.id);
    }
}
