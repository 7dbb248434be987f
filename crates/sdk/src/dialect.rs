//! How a class shows jobs: one stored job, many faces.

use cimwright_cim::{ClassName, NamespaceName};

/// How one job class of one namespace speaks. Several dialects of one family show the same jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDialect {
    /// The namespace.
    pub namespace: NamespaceName,
    /// The class of the instances.
    pub class: ClassName,
    /// Which jobs it shows: those whose `family` is this.
    pub family: &'static str,
    /// How errors are shown.
    pub error_form: ErrorForm,
    /// The class of the one error of GetError.
    pub error_class: ClassName,
    /// The class of the errors of GetErrorEx and GetErrors.
    pub errors_class: ClassName,
    /// Whether PerceivedSeverity has Hyper-V's values (0, 2 to 5) in `error_class` and `errors_class`.
    pub hyper_v_severity: bool,
    /// The highest CIMStatusCode that the error class knows; others become 1 (CIM_ERR_FAILED), with the true name in the description.
    pub max_status_code: u32,
    /// The return codes of RequestStateChange.
    pub change_codes: ChangeCodes,
    /// Whether KillJob works; otherwise it answers 1 (Not Supported).
    pub kill_job: bool,
    /// The property that holds the job type, where the class has one.
    pub type_property: Option<&'static str>,
    /// The association class to the elements a job affects.
    pub affected_class: Option<ClassName>,
    /// The association class to the element that owns a job.
    pub owning_class: Option<ClassName>,
}

impl JobDialect {
    /// A job class in the manner of DMTF (DSP1103): errors are embedded instances of CIM_Error, the return codes are those of
    /// CIM_ConcreteJob, and KillJob works.
    pub fn dmtf(
        namespace: impl Into<NamespaceName>,
        class: impl Into<ClassName>,
        family: &'static str,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            class: class.into(),
            family,
            error_form: ErrorForm::Embedded,
            error_class: "CIM_Error".into(),
            errors_class: "CIM_Error".into(),
            hyper_v_severity: false,
            max_status_code: 29,
            change_codes: ChangeCodes::Dmtf,
            kill_job: true,
            type_property: None,
            affected_class: None,
            owning_class: None,
        }
    }
}

/// How GetError gives an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorForm {
    /// A string that holds the instance in CIM-XML: Hyper-V.
    Text,
    /// An embedded instance: DMTF and Storage Replica.
    Embedded,
}

/// A table of return codes for RequestStateChange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeCodes {
    /// 0, 1 Not Supported, 3 not in time, 5 Invalid Parameter, 4096 started, 4097 invalid transition, 4098 timeout not supported.
    Dmtf,
    /// 0, 4096, 32768 Failed, 32769 Access Denied, 32772 Timeout, 32773 Invalid parameter, 32775 Invalid state.
    HyperV,
}
