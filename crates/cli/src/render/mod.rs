//! How things look: for a person, and as JSON for a program.

pub(crate) mod instance;
pub(crate) mod job;
pub(crate) mod json;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod why;
