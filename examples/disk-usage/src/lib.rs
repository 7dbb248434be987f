//! An example of a provider: the file systems of a Linux machine, and jobs that measure directories.
//!
//! docs/add-a-provider.md walks through it.
#![forbid(unsafe_code)]

mod errors;
mod filesystem;
mod measure;

use cimwright_sdk::{Declaration, JobDialect, Plugin, ServedClass};
use filesystem::FileSystems;
use measure::MeasureKind;
use std::sync::Arc;

/// Where the classes are.
pub const NAMESPACE: &str = "root/diskuse";

/// The class of file systems.
pub const FILE_SYSTEM: &str = "DiskUse_FileSystem";

/// What the provider brings to a server.
pub fn plugin() -> Plugin {
    let provider = Arc::new(FileSystems);
    Plugin {
        name: "disk-usage",
        declarations: vec![Declaration {
            namespace: NAMESPACE.into(),
            name: "disk_usage.mof",
            mof: include_str!("disk_usage.mof"),
        }],
        classes: vec![ServedClass {
            namespace: NAMESPACE.into(),
            class: FILE_SYSTEM.into(),
            instances: Some(provider.clone()),
            methods: Some(provider),
        }],
        dialects: vec![JobDialect::dmtf(NAMESPACE, "DiskUse_MeasureJob", measure::FAMILY)],
        kinds: vec![Arc::new(MeasureKind)],
        catalogues: vec![&errors::CATALOGUE],
        ..Plugin::default()
    }
}
