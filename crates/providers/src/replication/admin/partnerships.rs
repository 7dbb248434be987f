//! Showing partnerships.

use super::{group, output};
use crate::replication::instances;
use crate::replication::model::{Partnership, same_name};
use crate::replication::service::{Handled, Shared, pass_on};
use cimwright_sdk::MethodCall;
use cimwright_sdk::remote::same_computer;
use std::sync::Arc;

/// GetPartnership.
pub(super) async fn get(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    if let Some(source) = elsewhere(shared, call) {
        return pass_on(shared, &source, "SourceComputerName", call).await;
    }
    let model = shared.model();
    output(model.partnerships.iter().filter(|p| matches(shared, call, p)).map(instances::partnership))
}

/// GetPartnershipFromGroup.
pub(super) fn from_group(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    match call.str("Name").filter(|n| !n.trim().is_empty()) {
        None => output(model.partnerships.iter().map(instances::partnership)),
        Some(_) => {
            let group = group(shared, &model, call, "Name")?;
            output(model.partnership_of(group.id).map(instances::partnership))
        }
    }
}

/// GetGroupFromPartnership: the groups of this computer.
pub(super) async fn groups(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    if let Some(source) = elsewhere(shared, call) {
        return pass_on(shared, &source, "SourceComputerName", call).await;
    }
    let model = shared.model();
    let found = model.partnerships.iter().filter(|p| matches(shared, call, p));
    let found = found.filter_map(|p| model.group_by_id(p.local_group));
    output(found.map(|g| instances::group(shared, &model, g)))
}

/// The source, if the call names one that is not this computer and no partnership here fits.
pub(super) fn elsewhere(shared: &Shared, call: &MethodCall) -> Option<String> {
    let source = call.str("SourceComputerName").filter(|n| !shared.computers.is_local(n))?;
    let known = shared.model().partnerships.iter().any(|p| matches(shared, call, p));
    (!known).then(|| source.to_owned())
}

/// Whether a partnership is one that the four parameters mean; what is not given matches any.
pub(super) fn matches(shared: &Shared, call: &MethodCall, p: &Partnership) -> bool {
    let given = |name: &str| call.str(name).map(str::trim).filter(|t| !t.is_empty());
    let group = |name: &str, is: &str| given(name).is_none_or(|wanted| same_name(wanted, is));
    let computer = |name: &str, is: &str| {
        given(name).is_none_or(|wanted| {
            same_computer(wanted, is) || (shared.computers.is_local(wanted) && shared.computers.is_local(is))
        })
    };
    group("SourceRGName", &p.source.group)
        && group("DestinationRGName", &p.destination.group)
        && computer("SourceComputerName", &p.source.computer)
        && computer("DestinationComputerName", &p.destination.computer)
}
