//! The built-in work of the server, written only against the provider's kit: disk images, the Hyper-V faces of jobs,
//! Storage Replica, and a demonstration job.
#![forbid(unsafe_code)]

pub mod demo;
pub mod disk;
pub mod hyper_v;
pub mod replication;
pub mod services;
