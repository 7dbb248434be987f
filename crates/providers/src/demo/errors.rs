//! The reasons of the demonstration job: `CWDEMO…`.

use cimwright_sdk::cim::{Catalogue, CatalogueEntry, CimStatus, ErrorDetail, ErrorType, Severity};

/// The messages of this provider.
pub static CATALOGUE: Catalogue =
    Catalogue { title: "Demonstration", entries: &[TOLD_TO_FAIL, BECAUSE, PAYLOAD] };

const TOLD_TO_FAIL: CatalogueEntry = CatalogueEntry {
    id: "CWDEMO1001",
    message: "The demonstration job \"{0}\" failed as it was told to.",
    meaning: "The job was started, or told to finish, with the ending \"fail\".",
    error_type: ErrorType::Other,
    severity: Severity::Minor,
    probable_cause: 1,
    probable_cause_description: "The caller asked for a failure",
    actions: &["Start the job with the ending \"complete\" if it should succeed."],
    status: CimStatus::Failed,
    code: 32768,
};

const BECAUSE: CatalogueEntry = CatalogueEntry {
    id: "CWDEMO1002",
    message: "The ending \"fail\" was chosen.",
    meaning: "The reason behind CWDEMO1001; it is there so that a chain of reasons can be seen.",
    error_type: ErrorType::Other,
    severity: Severity::Information,
    probable_cause: 1,
    probable_cause_description: "The caller asked for a failure",
    actions: &[],
    status: CimStatus::Failed,
    code: 32768,
};

const PAYLOAD: CatalogueEntry = CatalogueEntry {
    id: "CWDEMO1003",
    message: "What was stored for the demonstration job \"{0}\" cannot be read: {1}",
    meaning: "The job was stored by another version of the server, or its record is damaged.",
    error_type: ErrorType::Software,
    severity: Severity::Major,
    probable_cause: 58,
    probable_cause_description: "Version Mismatch",
    actions: &["Start the job again."],
    status: CimStatus::Failed,
    code: 32768,
};

/// The job was told to fail.
pub(super) fn told_to_fail(name: &str) -> ErrorDetail {
    TOLD_TO_FAIL.detail([name]).because(BECAUSE.detail::<String>([]))
}

/// The payload cannot be read.
pub(super) fn payload(name: &str, reason: &str) -> ErrorDetail {
    PAYLOAD.detail([name, reason])
}
