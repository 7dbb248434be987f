//! What a method call comes to.

use cimwright_cim::{ErrorDetail, InstancePath, Param};
use cimwright_jobs::{Affected, Schedule};
use std::time::Duration;

/// What a method call comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum MethodOutcome {
    /// It was done in the call.
    Done {
        /// The return value.
        return_value: u32,
        /// Output parameters.
        out: Vec<Param>,
    },
    /// It goes on in a job: the server stores the job, then answers 4096 and the reference.
    Job(Box<NewJob>),
    /// It cannot be done. The server answers the reason's code and stores a job that has failed already, so that the caller can
    /// ask it for the whole reason; where the method has a job parameter, the reference is in it.
    Refused {
        /// The job that would have been.
        job: Box<NewJob>,
        /// Why not.
        reason: Box<ErrorDetail>,
    },
}

impl MethodOutcome {
    /// Done, with a return value and nothing else.
    pub fn code(return_value: u32) -> Self {
        Self::Done { return_value, out: Vec::new() }
    }
}

/// A job to be started. The server adds the id, the owner, the namespace and the time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewJob {
    /// The group of dialects that show it; see [`crate::JobDialect::family`].
    pub family: &'static str,
    /// The [`JobKind`](cimwright_jobs::JobKind) that runs it.
    pub kind: &'static str,
    /// What that kind needs to know, in its own form.
    pub payload: String,
    /// CIM_Job.Name.
    pub name: String,
    /// One line for a person.
    pub caption: String,
    /// A sentence for a person, naming what is worked on.
    pub description: String,
    /// The JobType of the class.
    pub job_type: u16,
    /// The element that creates it, without namespace.
    pub owning_element: Option<InstancePath>,
    /// The elements it works on, without namespace.
    pub affected: Vec<Affected>,
    /// Its priority if it is not the usual one; lower numbers go first.
    pub priority: Option<u32>,
    /// For methods that are documented to answer with their result: wait this long for the end of the job. If it ends well in
    /// time, the answer is 0 and those results of the job that are named like output parameters; if it fails in time, the code
    /// of its reason; else 4096, and the job goes on.
    pub answer_within: Option<Duration>,
    /// When it is to run, if not at once and once. A schedule that cannot be followed refuses the call with
    /// CIM_ERR_INVALID_PARAMETER. Intervals are relative to the call.
    pub schedule: Schedule,
}
