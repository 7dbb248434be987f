//! Providers in processes of their own, and the classes that providers bring along.
//!
//! [`declare`] puts the MOF of a plugin on top of the classes of the server, for plugins in the process and outside alike.
//! [`ProviderProcess`] starts a program, asks it what it serves and makes a [`Plugin`](cimwright_sdk::Plugin) of it that the broker
//! cannot tell from any other; `link` is one life of the process, `remote` what the broker sees of it. What is said between the
//! two is defined in `cimwright_sdk::process`.
#![forbid(unsafe_code)]

mod child;
pub mod declare;
pub mod errors;
mod link;
mod names;
mod process;
mod remote;
mod steps;

pub use declare::{Namespaces, declare};
pub use process::{ProcessSettings, ProviderProcess};
