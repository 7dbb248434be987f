//! The broker as its front ends see it: the real classes, the memory store, real drivers, and jobs that do what the test says.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod access;
mod associations;
mod bookmarks;
mod brittle;
mod classes;
mod control;
mod eventing;
mod history;
mod house;
mod indication_service;
mod indications;
mod instances;
mod interop;
mod loaded;
mod methods;
mod pull;
mod query;
mod results;
mod wiring;
mod writes;
