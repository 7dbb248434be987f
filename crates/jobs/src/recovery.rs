//! What happens to a job whose driver died: a pure plan from what is stored; the driver carries it out.
//!
//! The plan is made whenever a driver takes a job up, so a restart of the only server, the expiry of a lease on another node and
//! the ordinary first start are one and the same path.

use crate::errors;
use crate::record::JobRecord;
use crate::state::{JobState, RequestedState};
use crate::step::{OnRestart, Step};
use cimwright_cim::ErrorDetail;
use std::sync::Arc;

/// How often a job is taken up again at the same step before it is given up.
pub const MAX_ATTEMPTS: u32 = 5;

/// What to do with a job that a driver has just taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// It never ran: begin with the first step.
    Begin,
    /// It ran: remove what the interrupted step left, then go on from there.
    Continue,
    /// It was to end: remove what is there and end it.
    End(EndAs),
    /// It cannot go on: undo everything and fail for this reason.
    Fail(Box<ErrorDetail>),
    /// It is suspended or held and is to stay so: only remove what the interrupted step left.
    Park,
}

/// How a job ends that a client wanted to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndAs {
    /// Terminated, at the request of this user.
    Terminated(String),
    /// Killed, at the request of this user.
    Killed(String),
}

/// Makes the plan. `steps` are those of the job's kind.
pub fn plan(record: &JobRecord, steps: &[Arc<dyn Step>]) -> Plan {
    if let Some(request) = &record.request {
        let by = request.by.clone();
        match request.wanted {
            RequestedState::Kill => return Plan::End(EndAs::Killed(by)),
            RequestedState::Terminate => return Plan::End(EndAs::Terminated(by)),
            RequestedState::Start | RequestedState::Suspend | RequestedState::Service => {}
        }
    }
    match record.run.state {
        JobState::New => Plan::Begin,
        // It was being stopped but the request is gone: still the safe way is to finish stopping.
        JobState::ShuttingDown => Plan::End(EndAs::Terminated(record.spec.owner.clone())),
        JobState::Suspended | JobState::Service => Plan::Park,
        JobState::Starting | JobState::Running | JobState::QueryPending => {
            let Some(step) = steps.get(record.run.steps.len()) else { return Plan::Continue };
            if record.run.attempts >= MAX_ATTEMPTS {
                let times = record.run.attempts;
                return Plan::Fail(Box::new(errors::restarted_too_often(&record.spec, step.name(), times)));
            }
            match step.on_restart() {
                // A job that was about to start again after a break has nothing half done.
                OnRestart::Fail if record.run.state != JobState::Starting => {
                    Plan::Fail(Box::new(errors::server_stopped(&record.spec, step.name())))
                }
                OnRestart::Redo | OnRestart::Repeat | OnRestart::Fail => Plan::Continue,
            }
        }
        // A store never hands out an ended job; nothing is to be done with one.
        JobState::Completed | JobState::Terminated | JobState::Killed | JobState::Exception => Plan::Park,
    }
}
