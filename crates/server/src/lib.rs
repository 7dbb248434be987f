//! Sockets, TLS, authentication, the protocol front ends, and the configuration.
//!
//! Read in this order: [`config`] (what can be set), [`server`] (listening, accepting, stopping), `connection` and `progress`
//! (one connection and its time limits), `http` (who answers what), [`auth`] (who asks), `cimxml` (CIM operations over HTTP), `wsman` (WS-Management),
//! `metrics`. The way to the broker is [`execute`].
//!
//! Nothing here starts a process, handles a signal or opens a store.
#![forbid(unsafe_code)]

pub mod auth;
pub mod config;
pub mod execute;
pub mod server;
pub mod tls;

mod body;
mod cimxml;
mod connection;
mod http;
mod metrics;
mod progress;
mod wsman;

pub use cimwright_broker::{Principal, Role};
pub use config::{Config, ConfigError, Overrides};
pub use server::{LocalAddrs, Server, StartError};
