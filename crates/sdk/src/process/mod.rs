//! A provider in a process of its own.
//!
//! [`serve`] runs any [`Plugin`](crate::Plugin) in the process it is called in and speaks with the server over the socket that the
//! server has left at descriptor 0; the plugin cannot tell the difference. [`wire`] is what is said, [`frame`] how it is put on
//! the stream. The server's end is the crate `host`; docs/provider-protocol.md describes both for other languages.

pub mod frame;
mod raise;
mod serve;
pub mod wire;
mod work;

pub use serve::{ServeError, serve, serve_on};
pub use work::CATALOGUE;
