//! Where classes, qualifier declarations, namespaces and static instances are kept.

mod memory;
mod sqlite;

#[cfg(test)]
pub(crate) mod conformance;

pub use memory::MemoryRepository;
pub use sqlite::SqliteRepository;
