//! Looking at reasons.

use cimwright_cim::{CimError, ErrorDetail};
use cimwright_jobs::JobRecord;

/// The reasons that clients are given for a job, the first one being why it failed.
pub fn reasons(job: &JobRecord) -> Vec<&ErrorDetail> {
    job.reported_errors()
}

/// Asserts that a job failed for the reason with this id, and gives it.
///
/// # Panics
/// When it has another reason, or none.
#[track_caller]
pub fn assert_reason<'a>(job: &'a JobRecord, id: &str) -> &'a ErrorDetail {
    match reasons(job).first() {
        Some(reason) if reason.message_id == id => reason,
        Some(other) => panic!("the job failed for another reason than {id}: {other:?}"),
        None => panic!("the job has not failed; it is {} ({})", job.run.state, job.run.status),
    }
}

/// Asserts that an operation was refused for the reason with this id, and gives it.
///
/// # Panics
/// When it was carried out, or refused for another reason.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(result: Result<T, CimError>, id: &str) -> ErrorDetail {
    match result {
        Ok(answer) => panic!("the operation was carried out: {answer:?}"),
        Err(error) => match error.details.iter().flat_map(ErrorDetail::chain).find(|d| d.message_id == id) {
            Some(reason) => reason.clone(),
            None => panic!("the operation was refused for another reason than {id}: {error:?}"),
        },
    }
}
