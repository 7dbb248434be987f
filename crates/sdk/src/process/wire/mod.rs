//! The sent form of everything: JSON, made and read here and only here.
//!
//! The types of the model are never `Serialize`; each has its form here, and each form becomes one of the model or says what in it
//! means nothing.

mod class;
mod error;
mod job;
mod message;
#[cfg(test)]
mod tests;
mod value;

pub use class::{WireClass, WireProperty};
pub use error::{WireCimError, WireDetail, WireReason, from_reason, to_reason};
pub use job::{WireDone, WireJob, WireNewJob, WireOnRestart, WireStep};
pub use message::{
    Answer, Call, FromProvider, Hello, Operation, ToProvider, WireContext, WireDeclaration, WireDialect,
    WireServed, WireWish, received, sent,
};
pub use value::{WireEmbedded, WireInstance, WireParam, WirePath, WireValue};

/// The versions of the protocol that this code speaks, best first.
pub const VERSIONS: &[u32] = &[1];

/// A value that was sent and means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {field}")]
pub struct WireError {
    field: &'static str,
    found: String,
}

impl WireError {
    pub(crate) fn new(field: &'static str, found: impl Into<String>) -> Self {
        Self { field, found: found.into() }
    }
}
