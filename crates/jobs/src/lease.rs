//! Who may write a job's progress: a lease with an expiry and a random token.
//!
//! A driver that lost its lease stops and writes nothing: the store refuses a write whose token is not the one in the row, so
//! that two nodes can never both believe they run a job.

use crate::record::JobId;
use std::fmt;
use std::time::SystemTime;
use uuid::Uuid;

/// A process that drives jobs. Made anew at every start, so that a restarted server is not mistaken for its dead self.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder(pub Uuid);

impl Holder {
    /// A holder that never existed before.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The right to drive one job until `expires`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// Who drives it.
    pub holder: Holder,
    /// What distinguishes this lease from every earlier and later one of the job.
    pub token: Uuid,
    /// When it ends unless renewed.
    pub expires: SystemTime,
}

impl Lease {
    /// A lease with a new token.
    pub fn new(job: JobId, holder: Holder, expires: SystemTime) -> Self {
        Self { job, holder, token: Uuid::new_v4(), expires }
    }
}
