//! WS-Management messages read and written: the exchange vectors that may lie beside the project, and messages of our own that
//! always do.

#![allow(clippy::unwrap_used, reason = "a test stops where its ground gives way")]

mod compare;
mod own;
mod vectors;
