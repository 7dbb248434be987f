//! What groups that are gone have left behind.

use super::{guid, instances_in, required};
use crate::replication::jobs::clear::Clear;
use crate::replication::jobs::planned;
use crate::replication::model::same_name;
use crate::replication::service::{Answer, Handled, Shared};
use crate::replication::{errors, instances};
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::{ErrorDetail, Param};
use std::sync::Arc;

/// ClearMetadataAll. Settings are never left behind here, and no computer needs to be restarted.
pub(super) fn all(call: &MethodCall) -> Handled {
    let flag = |name: &str| call.bool(name).unwrap_or(false);
    clear(Clear { group: None, logs: flag("AllLogs"), partitions: flag("AllPartitions") })
}

/// ClearMetadataForReplicationGroup: of a group that is gone.
pub(super) fn of_group(shared: &Shared, call: &MethodCall) -> Handled {
    let name = required(call, "Name")?;
    gone(shared, name)?;
    let flag = |name: &str| call.bool(name).unwrap_or(false);
    clear(Clear { group: Some(name.to_owned()), logs: flag("Logs"), partitions: flag("Partition") })
}

/// WvrClearOrphanedLogs.
pub(super) fn logs(call: &MethodCall) -> Handled {
    let group = call.str("ReplicationGroupName").filter(|n| !n.is_empty()).map(str::to_owned);
    clear(Clear { group, logs: true, partitions: false })
}

/// WvrGetOrphanedPartitionDbRecords.
pub(super) fn records(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    let only = call.str("ReplicationGroupName").filter(|n| !n.is_empty());
    let of_group = |id| {
        // The log keeps the name of the group; without one, nobody knows what the group was called.
        only.is_none_or(|name| model.log(id).is_some_and(|l| same_name(&l.group_name, name)))
    };
    let orphans =
        model.partitions.iter().filter(|p| model.is_orphan(p.group) && p.group.is_some_and(of_group));
    instances_in("OrphanedDbRecords", orphans.map(instances::record))
}

/// WvrClearOrphanedPartitionDbRecord.
pub(super) async fn record(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let given = call
        .instance("OrphanedDbRecord")
        .ok_or_else(|| errors::parameter_missing(call.method.as_str(), "OrphanedDbRecord"))?;
    let text = given.get_str("PartitionGuid").unwrap_or_default();
    let id = guid(call, text)?;
    let text = text.to_owned();
    shared
        .state
        .change(move |model| {
            let Some(partition) = model.partitions.iter().find(|p| p.id == id) else {
                return Err(errors::partition_unknown(&text));
            };
            if let Some(owner) = partition.group.and_then(|g| model.group_by_id(g)) {
                return Err(errors::partition_owned(&partition.path, &owner.name));
            }
            model.partitions.retain(|p| p.id != id);
            Ok(())
        })
        .await?;
    Ok(Answer::Done(vec![Param::new("RebootRequired", false)]))
}

fn gone(shared: &Shared, name: &str) -> Result<(), ErrorDetail> {
    match shared.model().group(name) {
        Some(group) => Err(errors::group_alive(&group.name)),
        None => Ok(()),
    }
}

fn clear(order: Clear) -> Handled {
    let whose = order.group.as_deref().map_or_else(|| "all groups".to_owned(), |g| format!("the group {g}"));
    let description = format!("Clear what {whose} that are gone have left behind");
    Ok(Answer::Job(planned(&order, description, Vec::new())))
}
