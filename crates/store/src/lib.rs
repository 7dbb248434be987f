//! Where jobs are kept, and the classes and instances that clients load: in memory for tests, in SQLite by default.
//!
//! The promises are [`cimwright_jobs::JobStore`] with [`cimwright_jobs::Outbox`] (what others are told) and
//! [`cimwright_repository::RepositoryStore`]; the `conformance` suites say them in tests, and every backend runs all of them.
//! Nobody outside this crate knows SQL, and the stored [`form`]s are the only shape in which domain data is kept.
#![forbid(unsafe_code)]

pub mod brittle;
pub mod form;
pub mod memory;
pub mod repository;
pub mod sqlite;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod conformance_outbox;
#[cfg(test)]
mod samples;

mod fair;
mod memory_outbox;

pub use brittle::BrittleStore;
pub use memory::MemoryStore;
pub use repository::{MemoryRepository, SqliteRepository};
pub use sqlite::{SqliteOptions, SqliteStore};
