//! The built-in work of the server, written only against the provider's kit: disk images, the Hyper-V faces of jobs, and a
//! demonstration job.
#![forbid(unsafe_code)]

pub mod demo;
pub mod disk;
pub mod hyper_v;
// While it is being built: cargo build -p cimwright-providers --features replication (and the same for cimwright-cli).
#[cfg(feature = "replication")]
pub mod replication;
pub mod services;
