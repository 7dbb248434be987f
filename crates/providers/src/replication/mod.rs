//! Storage Replica: groups of volumes, their partners on other computers, and the jobs that make, change and remove them.
//!
//! [`service`] takes the calls of MSFT_WvrAdminTasks and passes those for another computer on; [`admin`] has one file per topic
//! with what each method does; [`jobs`] are the ones that take long. What a computer knows about replication is a [`model`], kept by
//! [`state`]; [`instances`] shows it, [`volume`] and [`log`](mod@log) look after the files, and [`errors`] says why when something
//! fails. [`engine`] moves the blocks and says what went wrong in facts; [`session`] keeps it as the model wants it.

pub mod access;
pub mod admin;
pub mod engine;
pub mod errors;
pub mod guid;
pub mod health;
pub mod instances;
mod interfaces;
pub mod jobs;
pub mod log;
pub mod model;
pub mod service;
pub mod session;
pub mod state;
pub mod volume;

pub use service::{AccountCheck, Parts, Replication};
pub use session::EngineSettings;
pub use state::{State, StateError};

use cimwright_sdk::cim::NamespaceName;
use cimwright_sdk::{JobDialect, Plugin};

/// The family of jobs shown as MSFT_SrJob.
pub const FAMILY: &str = "storagereplica.job";

/// The class of the jobs.
pub const JOB_CLASS: &str = "MSFT_SrJob";

/// The namespace of Storage Replica.
pub fn namespace() -> NamespaceName {
    NamespaceName::new("root/microsoft/windows/storagereplica")
}

/// The job class of the namespace.
pub fn job_class() -> Plugin {
    let dialect = JobDialect {
        affected_class: Some("CIM_AffectedJobElement".into()),
        owning_class: Some("CIM_OwningJobElement".into()),
        ..JobDialect::dmtf(namespace(), JOB_CLASS, FAMILY)
    };
    Plugin { name: "storage replica jobs", dialects: vec![dialect], ..Plugin::default() }
}
