//! The reasons that the job machinery itself can give: `CWJOB…`.

use crate::record::JobSpec;
use cimwright_cim::{Catalogue, CatalogueEntry, CimStatus, DateTime, ErrorDetail, ErrorType, Severity};
use std::time::SystemTime;

/// The messages of this crate.
pub static CATALOGUE: Catalogue = Catalogue {
    title: "Jobs",
    entries: &[
        TERMINATED,
        KILLED,
        SERVER_STOPPED,
        RESTARTED_TOO_OFTEN,
        UNKNOWN_KIND,
        PANICKED,
        UNDO_TIMED_OUT,
        STOP_FORCED,
        UNDO_FAILED,
        UNTIL_PASSED,
        UNTIL_REACHED,
    ],
};

const TERMINATED: CatalogueEntry = CatalogueEntry {
    id: "CWJOB1001",
    message: "The job \"{0}\" was terminated at the request of {1}.",
    meaning: "A client asked for the end of the job (RequestStateChange, Terminate). The running step was stopped in order and everything the job had done was undone.",
    error_type: ErrorType::Other,
    severity: Severity::Information,
    probable_cause: 129,
    probable_cause_description: "A client requested the end of the job",
    actions: &["Start the operation again if its result is still wanted."],
    status: CimStatus::Failed,
    code: 32768,
};

const KILLED: CatalogueEntry = CatalogueEntry {
    id: "CWJOB1002",
    message: "The job \"{0}\" was killed at the request of {1}.",
    meaning: "A client asked for the immediate end of the job (RequestStateChange, Kill). The engine was ended at once; temporary files were removed.",
    error_type: ErrorType::Other,
    severity: Severity::Information,
    probable_cause: 129,
    probable_cause_description: "A client requested the immediate end of the job",
    actions: &["Start the operation again if its result is still wanted."],
    status: CimStatus::Failed,
    code: 32768,
};

const SERVER_STOPPED: CatalogueEntry = CatalogueEntry {
    id: "CWJOB1003",
    message: "The server stopped while the job \"{0}\" was at step \"{1}\", which cannot be taken up again.",
    meaning: "The server ended (a crash, a kill, a power failure) while a step ran that must not be repeated. What the job had done was undone.",
    error_type: ErrorType::Environmental,
    severity: Severity::Major,
    probable_cause: 48,
    probable_cause_description: "Software Program Abnormally Terminated",
    actions: &["Start the operation again.", "Look into the log of the server to learn why it stopped."],
    status: CimStatus::Failed,
    code: 32777,
};

const RESTARTED_TOO_OFTEN: CatalogueEntry = CatalogueEntry {
    id: "CWJOB1004",
    message: "The server stopped {2} times while the job \"{0}\" was at step \"{1}\"; the job is not tried again.",
    meaning: "Every time the job was taken up the server ended. The job is given up so that it cannot keep the server from starting.",
    error_type: ErrorType::Software,
    severity: Severity::Critical,
    probable_cause: 48,
    probable_cause_description: "Software Program Abnormally Terminated",
    actions: &[
        "Look into the log of the server to learn why it stopped each time.",
        "Start the operation again once the reason is removed.",
    ],
    status: CimStatus::Failed,
    code: 32777,
};

const UNKNOWN_KIND: CatalogueEntry = CatalogueEntry {
    id: "CWJOB1005",
    message: "This server cannot run the job \"{0}\": no provider knows the kind \"{1}\".",
    meaning: "The job was stored by a server with other providers, or another version.",
    error_type: ErrorType::Software,
    severity: Severity::Major,
    probable_cause: 58,
    probable_cause_description: "Version Mismatch",
    actions: &["Run the job with the version of the server that accepted it, or start the operation again."],
    status: CimStatus::NotSupported,
    code: 32770,
};

const PANICKED: CatalogueEntry = CatalogueEntry {
    id: "CWJOB1006",
    message: "The job \"{0}\" met a defect of the server at step \"{1}\": {2}",
    meaning: "The code of the step panicked. This is a defect of the server or of a provider, not a mistake of the caller.",
    error_type: ErrorType::Software,
    severity: Severity::Critical,
    probable_cause: 49,
    probable_cause_description: "Software Program Error",
    actions: &["Report the message together with the log of the server."],
    status: CimStatus::Failed,
    code: 32768,
};

const UNDO_TIMED_OUT: CatalogueEntry = CatalogueEntry {
    id: "CWJOB1007",
    message: "Undoing step \"{1}\" of the job \"{0}\" took longer than {2} seconds and was given up; something may be left behind.",
    meaning: "While the job was being undone, one step did not come to an end.",
    error_type: ErrorType::Environmental,
    severity: Severity::Major,
    probable_cause: 111,
    probable_cause_description: "Timeout",
    actions: &["Look for temporary files of the job (their names contain its InstanceID) and remove them."],
    status: CimStatus::Failed,
    code: 32772,
};

const STOP_FORCED: CatalogueEntry = CatalogueEntry {
    id: "CWJOB1008",
    message: "Step \"{1}\" of the job \"{0}\" did not stop within {2} seconds and was ended by force.",
    meaning: "The job was to be terminated in order, but the running step did not stop in the time allowed (TimeoutPeriod, or the server's own limit).",
    error_type: ErrorType::QualityOfService,
    severity: Severity::Warning,
    probable_cause: 111,
    probable_cause_description: "Timeout",
    actions: &["Allow more time in the TimeoutPeriod parameter of RequestStateChange."],
    status: CimStatus::Failed,
    code: 32772,
};

const UNDO_FAILED: CatalogueEntry = CatalogueEntry {
    id: "CWJOB1009",
    message: "Undoing step \"{1}\" of the job \"{0}\" went wrong; something may be left behind.",
    meaning: "While the job was being undone, one step could not be. This is no reason for the end of the job: the reasons behind this one say why the step could not be undone, the first reason of the job says why it was being undone.",
    error_type: ErrorType::Software,
    severity: Severity::Warning,
    probable_cause: 129,
    probable_cause_description: "What the job had done could not be undone completely",
    actions: &["Look at the reason behind this one and remove what is left by hand."],
    status: CimStatus::Failed,
    code: 32768,
};

const UNTIL_PASSED: CatalogueEntry = CatalogueEntry {
    id: "CWJOB1010",
    message: "The job \"{0}\" was not run: its UntilTime, {1}, passed before it could begin.",
    meaning: "The job waited for its scheduled time, for room, or suspended, and is invalid after its UntilTime (CIM_Job.UntilTime).",
    error_type: ErrorType::QualityOfService,
    severity: Severity::Warning,
    probable_cause: 111,
    probable_cause_description: "UntilTime has passed",
    actions: &[
        "Start the operation again, with a later UntilTime or none.",
        "Look whether other jobs kept this one from running, and give it a lower Priority number.",
    ],
    status: CimStatus::Failed,
    code: 32772,
};

const UNTIL_REACHED: CatalogueEntry = CatalogueEntry {
    id: "CWJOB1011",
    message: "The job \"{0}\" was stopped because its UntilTime, {1}, came while it ran.",
    meaning: "A job is to be stopped at its UntilTime (CIM_Job.UntilTime). The running step was stopped in order and everything the job had done was undone.",
    error_type: ErrorType::QualityOfService,
    severity: Severity::Warning,
    probable_cause: 111,
    probable_cause_description: "UntilTime has come",
    actions: &["Start the operation again, with a later UntilTime or none."],
    status: CimStatus::Failed,
    code: 32772,
};

/// The ids under which trouble while undoing is told. The reasons that follow one of them, up to the next, are those behind it; none
/// of them is a reason for the end of the job.
pub const WHILE_UNDOING: [&str; 2] = [UNDO_FAILED.id, UNDO_TIMED_OUT.id];

/// The job was terminated by `who`.
pub fn terminated(spec: &JobSpec, who: &str) -> ErrorDetail {
    TERMINATED.detail([spec.name.as_str(), who])
}

/// The job was killed by `who`.
pub fn killed(spec: &JobSpec, who: &str) -> ErrorDetail {
    KILLED.detail([spec.name.as_str(), who])
}

/// The server stopped during a step that must not be repeated.
pub fn server_stopped(spec: &JobSpec, step: &str) -> ErrorDetail {
    SERVER_STOPPED.detail([spec.name.as_str(), step])
}

/// The server stopped too often during a step.
pub fn restarted_too_often(spec: &JobSpec, step: &str, times: u32) -> ErrorDetail {
    RESTARTED_TOO_OFTEN.detail([spec.name.clone(), step.to_owned(), times.to_string()])
}

/// No provider knows the kind of the job.
pub fn unknown_kind(spec: &JobSpec) -> ErrorDetail {
    UNKNOWN_KIND.detail([spec.name.as_str(), &spec.kind])
}

/// A step panicked.
pub fn panicked(spec: &JobSpec, step: &str, text: &str) -> ErrorDetail {
    PANICKED.detail([spec.name.as_str(), step, text])
}

/// An undo did not end.
pub fn undo_timed_out(spec: &JobSpec, step: &str, seconds: u64) -> ErrorDetail {
    UNDO_TIMED_OUT.detail([spec.name.clone(), step.to_owned(), seconds.to_string()])
}

/// A step had to be ended by force.
pub fn stop_forced(spec: &JobSpec, step: &str, seconds: u64) -> ErrorDetail {
    STOP_FORCED.detail([spec.name.clone(), step.to_owned(), seconds.to_string()])
}

/// An undo failed, because of `reason`.
pub fn undo_failed(spec: &JobSpec, step: &str, reason: ErrorDetail) -> ErrorDetail {
    UNDO_FAILED.detail([spec.name.as_str(), step]).because(reason)
}

/// UntilTime passed before the job began.
pub fn until_passed(spec: &JobSpec, until: SystemTime) -> ErrorDetail {
    UNTIL_PASSED.detail([spec.name.clone(), DateTime::from_system_time(until).to_string()])
}

/// UntilTime came while the job ran.
pub fn until_reached(spec: &JobSpec, until: SystemTime) -> ErrorDetail {
    UNTIL_REACHED.detail([spec.name.clone(), DateTime::from_system_time(until).to_string()])
}
