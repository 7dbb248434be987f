//! Two programs that treat a built server roughly: the drill kills it under load and proves that nothing was lost, the bench
//! measures it against the least that the same work can cost.
//!
//! Start them with `cargo xtask drill` and `cargo xtask bench`, which build the server first.
#![forbid(unsafe_code)]

pub mod content;
pub mod drill;
pub mod failure;
pub mod indications;
pub mod measure;
pub mod nbd;
pub mod ports;
pub mod proc;
pub mod program;
pub mod qemu;
pub mod replica;
pub mod rng;
pub mod scratch;
pub mod server;

pub use failure::{Failure, Result};
