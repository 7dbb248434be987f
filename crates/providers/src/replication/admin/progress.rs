//! How far the other side is: what the source knows, asked there when this computer is the destination.

use super::{group, queries, required};
use crate::replication::model::{Group, Model, Partition, Partnership};
use crate::replication::service::{Answer, Handled, Shared};
use crate::replication::{errors, instances};
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::{ErrorDetail, Instance, Param, Value};

/// SmapiQueryPartnerGroupStatus.
pub(super) async fn of_group(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let shown = at_source(shared, &model, group, partnership(shared, &model, group)?).await?;
    let replicas = replicas(&shown);
    let mut out = Vec::new();
    out.extend(percent(&replicas).map(|p| Param::new("PercentSynced", p)));
    out.extend(given(&shown, "LastInSyncTime", "LastSyncTime"));
    out.extend(given(&shown, "ReplicationStatus", "ReplicationStatus"));
    Ok(Answer::Done(out))
}

/// SmapiQueryPartnerPartitions.
pub(super) async fn of_volume(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let volume = queries::known(shared, &model, call, required(call, "PartitionId")?)?;
    if volume.group != Some(group.id) {
        return Err(errors::volume_not_in_group(&volume.path, &group.name).into());
    }
    let partnership = partnership(shared, &model, group)?;
    let there = partner_of(shared, volume, partnership).await?;
    let shown = at_source(shared, &model, group, partnership).await?;
    let replicas = replicas(&shown);
    let at_source = if partnership.is_source { Some(instances::shown(volume.id)) } else { there.clone() };
    let replica = replicas.iter().find(|r| r.get_str("PartitionId") == at_source.as_deref());
    let mut out = vec![Param::new("PartnerComputerName", partnership.there().computer.as_str())];
    out.extend(there.map(|id| Param::new("PartnerPartitionObjectId", id)));
    if let Some(replica) = replica {
        out.extend(percent(std::slice::from_ref(replica)).map(|p| Param::new("PartnerPercentSynced", p)));
        out.extend(given(replica, "LastInSyncTime", "PartnerLastSyncTime"));
        out.extend(given(replica, "ReplicationStatus", "PartnerReplicationStatus"));
    }
    Ok(Answer::Done(out))
}

fn partnership<'m>(shared: &Shared, model: &'m Model, group: &Group) -> Result<&'m Partnership, ErrorDetail> {
    model.partnership_of(group.id).ok_or_else(|| errors::no_partnership(&group.name, shared.computer()))
}

/// The group of the source as it shows itself.
async fn at_source(
    shared: &Shared,
    model: &Model,
    group: &Group,
    partnership: &Partnership,
) -> Result<Instance, ErrorDetail> {
    if partnership.is_source {
        return Ok(instances::group(shared, model, group));
    }
    let (there, method) = (partnership.there(), "GetGroup");
    let ask = vec![Param::new("Name", there.group.as_str())];
    let answer = shared.computers.invoke(&there.computer, &instances::admin_tasks_class(), method, ask).await;
    let answer = answer.map_err(|e| errors::remote_failed(&e, shared.computer()))?;
    if answer.return_value != 0 {
        return Err(errors::remote_code(&there.computer, method, answer.return_value));
    }
    let groups = answer.get("Output").and_then(|v| v.as_array()).unwrap_or(&[]);
    let group = groups.iter().flatten().find_map(|v| v.as_instance().cloned());
    group.ok_or_else(|| errors::group_missing(&there.group, &there.computer))
}

/// The identifier that a volume's counterpart has; nothing while the other side does not know it.
async fn partner_of(
    shared: &Shared,
    volume: &Partition,
    partnership: &Partnership,
) -> Result<Option<String>, ErrorDetail> {
    let Some(set) = volume.replica_set else { return Ok(None) };
    let path = instances::endpoint_path(&instances::shown(set));
    let found = shared.computers.get(&partnership.there().computer, &path).await;
    let found = found.map_err(|e| errors::remote_failed(&e, shared.computer()))?;
    Ok(found.and_then(|endpoint| endpoint.get_str("PartitionId").map(str::to_owned)))
}

fn replicas(group: &Instance) -> Vec<Instance> {
    let items = group.get("Replicas").and_then(Value::as_array).unwrap_or(&[]);
    items.iter().flatten().filter_map(|v| v.as_instance().cloned()).collect()
}

/// How much of these volumes the destination has, in whole percent; nothing while the engine does not know it of all. 100 is
/// said only when nothing remains.
fn percent(replicas: &[Instance]) -> Option<Value> {
    let (mut total, mut remaining) = (0_u128, 0_u128);
    for replica in replicas {
        let size = replica.get_u64("PartitionSize")?;
        total += u128::from(size);
        remaining += u128::from(replica.get_u64("NumOfBytesRemaining")?.min(size));
    }
    let percent = ((total - remaining) * 100).checked_div(total)?;
    u16::try_from(percent).ok().map(Value::Uint16)
}

/// A property of an instance, if it has a value, as a parameter of another name.
fn given(instance: &Instance, property: &str, name: &'static str) -> Option<Param> {
    instance.get(property).map(|value| Param::new(name, value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_only_when_all_of_it_is_known() {
        let replica = |size: u64, remaining: Option<u64>| {
            let instance = Instance::new("MSFT_WvrReplica").with("PartitionSize", Value::Uint64(size));
            match remaining {
                Some(bytes) => instance.with("NumOfBytesRemaining", Value::Uint64(bytes)),
                None => instance,
            }
        };
        assert_eq!(percent(&[replica(1000, Some(0))]), Some(Value::Uint16(100)));
        assert_eq!(percent(&[replica(1000, Some(1))]), Some(Value::Uint16(99)));
        assert_eq!(percent(&[replica(1000, Some(0)), replica(3000, Some(3000))]), Some(Value::Uint16(25)));
        assert_eq!(percent(&[replica(1000, Some(5000))]), Some(Value::Uint16(0)), "overlapping writes");
        assert_eq!(percent(&[replica(1000, Some(0)), replica(1000, None)]), None);
        assert_eq!(percent(&[]), None);
    }
}
