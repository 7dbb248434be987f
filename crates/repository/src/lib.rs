//! What clients put into the server: namespaces, qualifier declarations, classes and static instances.
//!
//! - [`store`]: what has to survive, as changes; the backends are in the store crate.
//! - [`rules`]: whether a class or a qualifier declaration may be what a client wants it to be (DSP0004, DSP0200 5.3.2).
//! - [`extent`]: the static instances of a namespace, found by key, by class and by what they refer to.
//! - [`keys`]: one text for all spellings of a path.
//!
//! Nothing here waits, asks the time or knows a protocol. What the server brings itself lies below and is never stored.
#![forbid(unsafe_code)]

pub mod extent;
pub mod keys;
pub mod rules;
pub mod store;

pub use extent::{Extents, Kept};
pub use store::{Change, Content, RepositoryError, RepositoryStore};
