//! Where jobs are kept: in memory for tests, in SQLite by default.
//!
//! The promise is [`cimwright_jobs::JobStore`]; the `conformance` suite says it in tests, and every backend runs all of it.
//! Nobody outside this crate knows SQL, and the stored [`form`]s are the only serialised shape of domain data.
#![forbid(unsafe_code)]

pub mod form;
pub mod memory;
pub mod sqlite;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod samples;

mod fair;

pub use memory::MemoryStore;
pub use sqlite::{SqliteOptions, SqliteStore};
