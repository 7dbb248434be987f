//! The reasons that this provider can give: `DISKUSE…`.

use cimwright_sdk::cim::{Catalogue, CatalogueEntry, CimStatus, ErrorDetail, ErrorType, Severity};
use std::path::Path;

/// The messages of this provider.
pub(crate) static CATALOGUE: Catalogue =
    Catalogue { title: "Disk usage", entries: &[NO_DIRECTORY, ELSEWHERE, UNREADABLE, PAYLOAD] };

const NO_DIRECTORY: CatalogueEntry = CatalogueEntry {
    id: "DISKUSE1001",
    message: "{0} is no directory that can be measured: {1}",
    meaning: "The path of Measure is not absolute, does not exist, or is no directory.",
    error_type: ErrorType::Other,
    severity: Severity::Minor,
    probable_cause: 0,
    probable_cause_description: "Unknown",
    actions: &["Give the absolute path of a directory."],
    status: CimStatus::InvalidParameter,
    code: 5,
};

const ELSEWHERE: CatalogueEntry = CatalogueEntry {
    id: "DISKUSE1002",
    message: "{0} is not on the file system {1}.",
    meaning: "Measure was called on another file system than the one that has the directory.",
    error_type: ErrorType::Other,
    severity: Severity::Minor,
    probable_cause: 0,
    probable_cause_description: "Unknown",
    actions: &["Call Measure on the file system that {0} is on."],
    status: CimStatus::InvalidParameter,
    code: 5,
};

const UNREADABLE: CatalogueEntry = CatalogueEntry {
    id: "DISKUSE1003",
    message: "{0} cannot be read: {1}",
    meaning: "Something below the directory could not be looked at, so that the sum would be too small.",
    error_type: ErrorType::Environmental,
    severity: Severity::Major,
    probable_cause: 0,
    probable_cause_description: "Unknown",
    actions: &[
        "Let the user that the provider runs as read {0}.",
        "Measure the directories below it one by one.",
    ],
    status: CimStatus::Failed,
    code: 4,
};

const PAYLOAD: CatalogueEntry = CatalogueEntry {
    id: "DISKUSE1004",
    message: "What was stored for the job \"{0}\" cannot be read: {1}",
    meaning: "The job was started by another version of the provider.",
    error_type: ErrorType::Software,
    severity: Severity::Major,
    probable_cause: 58,
    probable_cause_description: "Version Mismatch",
    actions: &["Measure again."],
    status: CimStatus::Failed,
    code: 4,
};

pub(crate) fn no_directory(path: &str, why: impl ToString) -> ErrorDetail {
    NO_DIRECTORY.detail([path.to_owned(), why.to_string()])
}

pub(crate) fn elsewhere(path: &str, mount: &str) -> ErrorDetail {
    ELSEWHERE.detail([path, mount])
}

pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> ErrorDetail {
    let path = path.display().to_string();
    UNREADABLE.detail([path.clone(), error.to_string()]).about(path)
}

pub(crate) fn payload(job: &str, error: &serde_json::Error) -> ErrorDetail {
    PAYLOAD.detail([job.to_owned(), error.to_string()])
}
