//! The reasons the broker itself can give (`CWBRK…`), and how failures of the jobs become errors of an operation.

use cimwright_cim::{Catalogue, CatalogueEntry, CimError, CimStatus, ErrorDetail, ErrorType, Severity};
use cimwright_jobs::{JobRecord, JobsError, StoreError};
use cimwright_sdk::Principal;
use std::borrow::Cow;

/// The messages of this crate.
pub static CATALOGUE: Catalogue = Catalogue { title: "Broker", entries: &[UNRECORDED] };

const UNRECORDED: CatalogueEntry = CatalogueEntry {
    id: "CWBRK1001",
    message: "The job \"{0}\" ended in the state {1}, and no reason was recorded.",
    meaning: "The stored job has ended without success but holds no error. A server of this version always records one, so the job was stored by another version or changed from outside.",
    error_type: ErrorType::Software,
    severity: Severity::Major,
    probable_cause: 0,
    probable_cause_description: "Unknown",
    actions: &[
        "Look into the log of the server at the time the job ended.",
        "Start the operation again if its result is still wanted.",
    ],
    status: CimStatus::Failed,
    code: 32768,
};

/// Hyper-V's code for a failure that has no better one.
const FAILED: u16 = 32768;

/// What GetError and its kin report: nothing while the job is OK, else at least one reason, whatever the store holds.
pub(crate) fn reported(record: &JobRecord) -> Vec<Cow<'_, ErrorDetail>> {
    let known = record.reported_errors();
    if known.is_empty() && record.run.state.is_finished() && record.operational_status().first() != Some(&2) {
        let arguments = [record.spec.name.as_str(), record.run.state.name()];
        return vec![Cow::Owned(UNRECORDED.detail(arguments))];
    }
    known.into_iter().map(Cow::Borrowed).collect()
}

/// CIM_Job.ErrorCode for a reason; never 0, which clients read as success.
pub(crate) fn code_of(detail: &ErrorDetail) -> u16 {
    if detail.code == 0 { FAILED } else { detail.code }
}

/// The error of an operation that the user may not ask for.
pub(crate) fn denied(principal: &Principal, what: impl std::fmt::Display) -> CimError {
    CimError::access_denied(format!(
        "the role {} of {} does not allow {what}",
        principal.role(),
        principal.name()
    ))
}

/// The error of an operation on a job that somebody else started.
pub(crate) fn not_owner(principal: &Principal, record: &JobRecord) -> CimError {
    CimError::access_denied(format!(
        "the job {} belongs to {}; as {} {} may control only jobs of its own",
        record.id(),
        record.spec.owner,
        principal.role(),
        principal.name()
    ))
}

/// The error of an operation that the job service refused.
pub(crate) fn from_jobs(error: JobsError) -> CimError {
    let text = error.to_string();
    match error {
        JobsError::NotFound(_) => CimError::not_found(text),
        JobsError::NotFinished(_) | JobsError::ScheduleFixed(..) => CimError::failed(text),
        JobsError::BadSchedule(_) => CimError::invalid_parameter(text),
        JobsError::QueueFull(_) => CimError::new(CimStatus::ServerLimitsExceeded, text),
        JobsError::ShuttingDown => CimError::new(CimStatus::ServerIsShuttingDown, text),
        JobsError::Store(error) => from_store(error),
    }
}

/// The error of an operation for which the job store could not be used. The whole reason goes to the log: it may name files
/// and hosts that are not the client's business.
pub(crate) fn from_store(error: StoreError) -> CimError {
    tracing::error!(error = &error as &dyn std::error::Error, "the job store failed");
    match error {
        StoreError::Full(_) => CimError::new(
            CimStatus::ServerLimitsExceeded,
            "the file system of the server's state directory is full; free space there, and try again",
        ),
        _ => CimError::failed("the job store cannot be used at the moment; the log of the server says why"),
    }
}
