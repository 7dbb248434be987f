//! A WBEM client over CIM-XML (DSP0200): the operations of DSP0223 as typed calls, and jobs as a person thinks of them.
//!
//! [`Client`] holds one keep-alive connection to an [`Endpoint`]: HTTP, HTTPS, or the unix socket of a local server. [`job`]
//! finds jobs, follows them, changes their state and asks why they failed, on this server or any other that has CIM_ConcreteJob.
#![forbid(unsafe_code)]

mod client;
mod endpoint;
mod error;
mod export;
pub mod job;
mod listener;
mod pull;
pub mod replica;
mod sequence;
mod tls;
mod transport;
mod values;
mod wire;
mod wsman;

pub use client::{Client, MethodAnswer};
pub use endpoint::{Address, Credentials, Endpoint, EndpointError, Identity, Protocol, TlsOptions};
pub use error::ClientError;
pub use export::Exporter;
pub use listener::{Listener, Taker};
pub use pull::Enumeration;
pub use sequence::{Arrival, Sequences};
pub use tls::server_config;
pub use values::meaning;
