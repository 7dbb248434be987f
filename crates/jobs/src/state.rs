//! The states of a job and the states a client can ask for (CIM_ConcreteJob.JobState, RequestStateChange).

use std::fmt;

/// CIM_ConcreteJob.JobState; the discriminant is the value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum JobState {
    /// Never started.
    New = 2,
    /// On the way from New, Suspended or Service to Running.
    Starting = 3,
    /// Running.
    Running = 4,
    /// Stopped; can go on seamlessly.
    Suspended = 5,
    /// On the way to an end: the running step is being stopped and what was done is being undone.
    ShuttingDown = 6,
    /// Ended normally.
    Completed = 7,
    /// Ended by a Terminate request, in order.
    Terminated = 8,
    /// Ended by a Kill request, at once.
    Killed = 9,
    /// Ended by itself without success.
    Exception = 10,
    /// Held by an operator who looks into it.
    Service = 11,
    /// Waits for a client to answer a question.
    QueryPending = 12,
}

impl JobState {
    /// Every state, ascending.
    pub const ALL: [Self; 11] = [
        Self::New,
        Self::Starting,
        Self::Running,
        Self::Suspended,
        Self::ShuttingDown,
        Self::Completed,
        Self::Terminated,
        Self::Killed,
        Self::Exception,
        Self::Service,
        Self::QueryPending,
    ];

    /// The value on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The state with this value.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.code() == code)
    }

    /// Whether the job has ended: Completed, Terminated, Killed or Exception.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Terminated | Self::Killed | Self::Exception)
    }

    /// Whether a driver should be working on the job, or would be if one were free.
    pub fn wants_driver(self) -> bool {
        matches!(self, Self::New | Self::Starting | Self::Running | Self::ShuttingDown | Self::QueryPending)
    }

    /// The name in the value map of the class.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Suspended => "Suspended",
            Self::ShuttingDown => "Shutting Down",
            Self::Completed => "Completed",
            Self::Terminated => "Terminated",
            Self::Killed => "Killed",
            Self::Exception => "Exception",
            Self::Service => "Service",
            Self::QueryPending => "Query Pending",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The RequestedState parameter of RequestStateChange; the discriminant is the value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum RequestedState {
    /// Start, or go on after Suspend or Service.
    Start = 2,
    /// Stop for a while.
    Suspend = 3,
    /// End in order: stop the step, undo what was done.
    Terminate = 4,
    /// End at once.
    Kill = 5,
    /// Hold the job for somebody who looks into it.
    Service = 6,
}

impl RequestedState {
    /// Every value, ascending.
    pub const ALL: [Self; 5] = [Self::Start, Self::Suspend, Self::Terminate, Self::Kill, Self::Service];

    /// The value on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The request with this value.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.code() == code)
    }

    /// The name in the value map of the method.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Suspend => "Suspend",
            Self::Terminate => "Terminate",
            Self::Kill => "Kill",
            Self::Service => "Service",
        }
    }

    /// Whether it asks the job to rest.
    pub fn is_rest(self) -> bool {
        matches!(self, Self::Suspend | Self::Service)
    }

    /// Whether it ends the job.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Terminate | Self::Kill)
    }
}
