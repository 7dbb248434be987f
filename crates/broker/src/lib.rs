//! The object manager: takes an operation and a user, and answers from the class repository, a provider or the jobs.
//!
//! Read in this order: [`broker`] (the one entrance), `authorize` (who may what), `registry` (who answers for which class),
//! then the module of the operation: `classes`, `instances`, `associations`, `query`, `pull`, `methods`, and where something is
//! changed `changes`, `properties` and `loaded` (what clients put in). [`interop`] describes the server. What is special about
//! jobs is in `job_instance` (how a stored job looks), `job_settings` (what a client may change on it) and `job_control`
//! (GetError, RequestStateChange and their kin). Large answers are an [`ObjectStream`], so that a million jobs never lie in
//! memory at once.
//!
//! Nothing here knows a protocol or a store.
#![forbid(unsafe_code)]

pub mod broker;
pub mod errors;
pub mod history;
pub mod indications;
pub mod interop;
pub mod statistics;
pub mod stream;

mod associations;
mod authorize;
mod changes;
mod class_associations;
mod classes;
mod filter;
mod instances;
mod job_control;
mod job_instance;
mod job_settings;
mod links;
mod loaded;
mod methods;
mod params;
mod paths;
mod properties;
mod pull;
mod query;
mod registry;
mod results;
mod static_writes;

pub use broker::{Answer, Broker, BrokerBuilder, EmbeddedParser, FilterParser, Limits};
pub use cimwright_jobs::{Clock, SystemClock};
pub use cimwright_repository::Kept;
pub use cimwright_sdk::{Principal, Role};
pub use registry::BuildError;
pub use stream::{ObjectStream, Portion};
