//! Storage Replica over a broker, as a protocol would call it: on one computer, and between two that know each other by name.
//! `coverage` makes sure that every reason of the catalogue and every method of the class has its test.
#![allow(clippy::unwrap_used, reason = "a test stops where its ground gives way")]

mod access;
#[path = "../provoked/apart.rs"]
#[allow(dead_code, reason = "shared with another test, which needs more of it")]
mod apart;
mod certificates;
mod coverage;
mod crash;
mod ending;
mod faults;
mod frozen;
mod groups;
mod harness;
mod left;
mod metadata;
mod network;
mod pairs;
mod partnerships;
mod processes;
mod remote;
mod replica_sets;
mod restart;
mod settings;
mod switch;
mod sync;
mod system;
mod unsupported;
mod volumes;
