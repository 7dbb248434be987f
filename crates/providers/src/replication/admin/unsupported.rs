//! Methods that answer Not Supported, with the reason.

use super::required;
use crate::replication::errors;
use crate::replication::service::{Handled, Shared};
use cimwright_sdk::MethodCall;

/// What works within a cluster only.
pub(super) fn clusters(shared: &Shared, call: &MethodCall) -> Handled {
    Err(errors::clusters(call.method.as_str(), shared.computer()).into())
}

/// QueryCounterInstance.
pub(super) fn counters(call: &MethodCall) -> Handled {
    Err(errors::no_counters(required(call, "PartitionId")?).into())
}

/// What can be done to partnerships, but not by this version.
pub(super) fn not_yet(call: &MethodCall) -> Handled {
    let what =
        "this version makes, pauses, resumes, turns round and ends partnerships, and nothing else with them";
    Err(errors::not_yet(call.method.as_str(), what).into())
}
