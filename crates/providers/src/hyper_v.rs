//! The faces that jobs have in Hyper-V's two namespaces, and the service that puts errors into words.

mod management;

pub use management::{ParseInstance, management_service};

use cimwright_sdk::cim::NamespaceName;
use cimwright_sdk::{ChangeCodes, ErrorForm, JobDialect, Plugin};

/// The family of jobs shown as Msvm_ConcreteJob.
pub const CONCRETE: &str = "hyperv.concrete";

/// The family of jobs shown as Msvm_StorageJob.
pub const STORAGE: &str = "hyperv.storage";

/// The namespace of Hyper-V's first provider.
pub fn v1() -> NamespaceName {
    NamespaceName::new("root/virtualization")
}

/// The namespace of Hyper-V's second provider.
pub fn v2() -> NamespaceName {
    NamespaceName::new("root/virtualization/v2")
}

/// The job classes of both namespaces. Every job is seen in both, whichever it was started in.
pub fn job_classes() -> Plugin {
    Plugin {
        name: "hyper-v jobs",
        dialects: vec![
            dialect(Version::V1, "Msvm_ConcreteJob", CONCRETE),
            dialect(Version::V1, "Msvm_StorageJob", STORAGE),
            dialect(Version::V2, "Msvm_ConcreteJob", CONCRETE),
            dialect(Version::V2, "Msvm_StorageJob", STORAGE),
        ],
        ..Plugin::default()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Version {
    V1,
    V2,
}

fn dialect(version: Version, class: &'static str, family: &'static str) -> JobDialect {
    let v1_ = version == Version::V1;
    let storage = family == STORAGE;
    JobDialect {
        namespace: if v1_ { v1() } else { v2() },
        class: class.into(),
        family,
        error_form: ErrorForm::Text,
        // v1 GetError speaks of CIM_Error, v2 of Msvm_Error; GetErrorEx is Msvm_Error in both.
        error_class: if v1_ { "CIM_Error" } else { "Msvm_Error" }.into(),
        errors_class: "Msvm_Error".into(),
        hyper_v_severity: true,
        max_status_code: if v1_ { 29 } else { 20 },
        // Only v2's storage job counts its refusals from 32768.
        change_codes: if !v1_ && storage { ChangeCodes::HyperV } else { ChangeCodes::Dmtf },
        kill_job: false,
        type_property: match (v1_, storage) {
            (true, true) => Some("Type"),
            (true, false) => None,
            (false, _) => Some("JobType"),
        },
        affected_class: Some(
            if storage { "Msvm_AffectedStorageJobElement" } else { "Msvm_AffectedJobElement" }.into(),
        ),
        owning_class: Some("Msvm_OwningJobElement".into()),
    }
}
