//! The client against small servers on loopback that answer what each test needs.

#![allow(clippy::unwrap_used, reason = "a test stops where its ground gives way")]

mod export;
mod http;
mod jobs;
mod server;
