//! Network interfaces that partnerships are bound to.

use super::partnerships::{elsewhere, matches};
use super::{done, group, output, required, some_texts, texts};
use crate::replication::model::{Model, NetworkConstraint, Partnership, same_name};
use crate::replication::service::{Handled, Shared, pass_on};
use crate::replication::{errors, instances};
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::{ErrorDetail, Param, Value};
use std::sync::Arc;

/// Where the system lists its network interfaces.
const INTERFACES: &str = "/sys/class/net";

/// SetNetworkConstraint.
pub(super) async fn set(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let model = shared.model();
    let partnership = partnership(shared, &model, call)?;
    let constraint = NetworkConstraint {
        partnership: partnership.id,
        source_interfaces: texts(call, "SourceNWInterfaceIndex"),
        destination_interfaces: texts(call, "DestinationNWInterfaceIndex"),
    };
    let own = if partnership.is_source {
        &constraint.source_interfaces
    } else {
        &constraint.destination_interfaces
    };
    check_interfaces(shared, own)?;
    tell(shared, &model, partnership, theirs(partnership, &constraint)).await?;
    let shown = instances::constraint(&model, &constraint);
    store(shared, constraint).await?;
    output(shown)
}

/// GetNetworkConstraint.
pub(super) async fn get(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    if let Some(source) = elsewhere(shared, call) {
        return pass_on(shared, &source, "SourceComputerName", call).await;
    }
    let model = shared.model();
    let wanted = |c: &&NetworkConstraint| {
        model.partnerships.iter().any(|p| p.id == c.partnership && matches(shared, call, p))
    };
    output(model.constraints.iter().filter(wanted).filter_map(|c| instances::constraint(&model, c)))
}

/// RemoveNetworkConstraint.
pub(super) async fn remove(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let model = shared.model();
    let partnership = partnership(shared, &model, call)?;
    tell(shared, &model, partnership, &[]).await?;
    strike(shared, partnership.id).await
}

/// Has the other computer note down its interfaces, which it verifies. It is not asked when it never had a part in this.
async fn tell(
    shared: &Shared,
    model: &Model,
    partnership: &Partnership,
    interfaces: &[String],
) -> Result<(), ErrorDetail> {
    let before = model.constraints.iter().find(|c| c.partnership == partnership.id);
    if interfaces.is_empty() && before.is_none_or(|c| theirs(partnership, c).is_empty()) {
        return Ok(());
    }
    let (here, there) = (partnership.here(), partnership.there());
    let mut params = vec![
        Param::new("ReplicationGroupName", there.group.as_str()),
        Param::new("PartnerReplicationGroupName", here.group.as_str()),
    ];
    let method = match interfaces {
        [] => "WvrRemoveNetworkConstraint",
        some => {
            params.push(Param::new("NWInterfaceIndex", Value::strings(some.iter().cloned())));
            "WvrSetNetworkConstraint"
        }
    };
    let answer =
        shared.computers.invoke(&there.computer, &instances::admin_tasks_class(), method, params).await;
    match answer.map_err(|e| errors::remote_failed(&e, shared.computer()))?.return_value {
        0 => Ok(()),
        code => Err(errors::remote_code(&there.computer, method, code)),
    }
}

/// The interfaces of the other computer.
fn theirs<'c>(partnership: &Partnership, constraint: &'c NetworkConstraint) -> &'c [String] {
    match partnership.is_source {
        true => &constraint.destination_interfaces,
        false => &constraint.source_interfaces,
    }
}

/// WvrSetNetworkConstraint: the interfaces of this computer only.
pub(super) async fn wvr_set(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let model = shared.model();
    let partnership = partnership_with(shared, &model, call)?;
    let own = some_texts(call, "NWInterfaceIndex")?;
    check_interfaces(shared, &own)?;
    let mut constraint =
        model.constraints.iter().find(|c| c.partnership == partnership.id).cloned().unwrap_or_else(|| {
            NetworkConstraint {
                partnership: partnership.id,
                source_interfaces: Vec::new(),
                destination_interfaces: Vec::new(),
            }
        });
    if partnership.is_source {
        constraint.source_interfaces = own;
    } else {
        constraint.destination_interfaces = own;
    }
    store(shared, constraint).await?;
    done()
}

/// WvrRemoveNetworkConstraint.
pub(super) async fn wvr_remove(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let id = partnership_with(shared, &shared.model(), call)?.id;
    strike(shared, id).await
}

/// The partnership that the four names mean.
fn partnership<'m>(
    shared: &Shared,
    model: &'m Model,
    call: &MethodCall,
) -> Result<&'m Partnership, ErrorDetail> {
    let source = required(call, "SourceRGName")?;
    required(call, "DestinationRGName")?;
    let found = model.partnerships.iter().find(|p| matches(shared, call, p));
    found.ok_or_else(|| errors::no_partnership(source, shared.computer()))
}

/// The partnership of a group of this computer with a partner of this name.
fn partnership_with<'m>(
    shared: &Shared,
    model: &'m Model,
    call: &MethodCall,
) -> Result<&'m Partnership, ErrorDetail> {
    let group = group(shared, model, call, "ReplicationGroupName")?;
    let partner = required(call, "PartnerReplicationGroupName")?;
    let found = model.partnership_of(group.id).filter(|p| {
        let end = if p.is_source { &p.destination } else { &p.source };
        same_name(&end.group, partner)
    });
    found.ok_or_else(|| errors::no_partnership(&group.name, shared.computer()))
}

async fn store(shared: &Arc<Shared>, constraint: NetworkConstraint) -> Result<(), ErrorDetail> {
    let change = move |model: &mut Model| {
        model.constraints.retain(|c| c.partnership != constraint.partnership);
        model.constraints.push(constraint);
        Ok(())
    };
    shared.state.change(change).await
}

async fn strike(shared: &Arc<Shared>, partnership: crate::replication::guid::Guid) -> Handled {
    let change = move |model: &mut Model| {
        model.constraints.retain(|c| c.partnership != partnership);
        Ok(())
    };
    shared.state.change(change).await?;
    done()
}

fn check_interfaces(shared: &Shared, indexes: &[String]) -> Result<(), ErrorDetail> {
    let known: Vec<String> = std::fs::read_dir(INTERFACES)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("ifindex")).ok())
        .map(|text| text.trim().to_owned())
        .collect();
    match indexes.iter().find(|index| !known.contains(index)) {
        Some(index) => Err(errors::interface_unknown(index, shared.computer())),
        None => Ok(()),
    }
}
