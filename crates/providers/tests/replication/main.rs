//! Storage Replica over a broker, as a protocol would call it: on one computer, and between two that know each other by name.
//! `coverage` makes sure that every reason of the catalogue and every method of the class has its test.
#![allow(clippy::unwrap_used, reason = "a test stops where its ground gives way")]

mod access;
mod coverage;
mod crash;
mod frozen;
mod groups;
mod harness;
mod left;
mod metadata;
mod pairs;
mod partnerships;
mod remote;
mod restart;
mod settings;
mod switch;
mod sync;
mod unsupported;
mod volumes;
