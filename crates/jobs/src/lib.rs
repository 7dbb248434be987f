//! What a job is, which transitions exist, who drives it, and what survives a crash.
//!
//! Read in this order: [`state`] and [`machine`] (what can happen), [`admit`] (what a client may ask for), [`record`] (what is
//! stored), [`step`] (what a provider writes), [`store`] and [`lease`] (what a backend promises), [`driver`] (one job being
//! run), [`dispatch`] (which job runs next), [`schedule`] (when its time has come), [`recovery`] (what happens to a job whose driver
//! died), [`retention`] (when it disappears), [`outbox`] (what others are told about it) and [`service`] (the one entrance for
//! everybody else).
#![forbid(unsafe_code)]

pub mod admit;
pub mod clock;
pub mod dispatch;
pub mod driver;
pub mod errors;
pub mod lease;
pub mod live;
pub mod machine;
pub mod outbox;
pub mod record;
pub mod recovery;
pub mod retention;
pub mod schedule;
pub mod service;
pub mod state;
pub mod step;
pub mod store;

pub use clock::{Clock, ManualClock, SystemClock};
pub use lease::{Holder, Lease};
pub use outbox::{ChangeObserver, Entry, EntryKind, Outbox, Outgoing, QueueState, Queued};
pub use record::{
    Affected, Call, ElementKey, JobId, JobRecord, JobRun, JobSettings, JobSpec, Progress, Schedule,
    StateRequest, StepRecord,
};
pub use schedule::{ScheduleMistake, Zone};
pub use service::{ChangeOutcome, Jobs, JobsConfig, JobsError, WeakJobs};
pub use state::{JobState, RequestedState};
pub use step::{JobKind, JobKinds, OnRestart, Step, StepContext, StepError};
pub use store::{Candidate, JobCounts, JobFilter, JobStore, StoreError};
