//! Adding volumes to groups and taking them out.

use super::{alone, done, group, guids, required, some_texts, texts, volume_of};
use crate::replication::guid::Guid;
use crate::replication::jobs::verify::Joining;
use crate::replication::jobs::volumes::AddVolumes;
use crate::replication::jobs::{EXCLUSIVE_USE, planned};
use crate::replication::model::{Group, Model};
use crate::replication::service::{Answer, Handled, Shared};
use crate::replication::{errors, instances};
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::ErrorDetail;
use std::sync::Arc;

/// SetGroupAddVolumes.
pub(super) fn add(shared: &Shared, call: &MethodCall) -> Handled {
    join(shared, call, "Name", some_texts(call, "AddVolumeName")?, Vec::new())
}

/// WvrAddReplica.
pub(super) fn add_one(shared: &Shared, call: &MethodCall) -> Handled {
    let path = required(call, "VolumeName")?.to_owned();
    join(shared, call, "ReplicationGroupName", vec![path], Vec::new())
}

/// WvrAddReplicaById: each volume gets the replica set at the same place of the other list.
pub(super) fn add_by_id(shared: &Shared, call: &MethodCall) -> Handled {
    let (paths, sets) = (some_texts(call, "VolumeName")?, guids(call, "ReplicaSetId")?);
    let model = shared.model();
    let paths: Vec<String> = paths.iter().map(|given| super::pairs::path(&model, given)).collect();
    if sets.len() != paths.len() {
        return Err(counts(call, "ReplicaSetId", sets.len(), paths.len()).into());
    }
    join(shared, call, "ReplicationGroupName", paths, sets)
}

/// SmapiAddMember: volumes by path, or by the identifiers they were noted down with.
pub(super) fn add_member(shared: &Shared, call: &MethodCall) -> Handled {
    let mut paths = texts(call, "VolumeNames");
    if paths.is_empty() {
        let model = shared.model();
        for id in guids(call, "PartitionObjectIds")? {
            let found = model.partitions.iter().find(|p| p.id == id);
            let found = found.ok_or_else(|| errors::partition_unknown(&instances::shown(id)))?;
            paths.push(found.path.clone());
        }
    }
    if paths.is_empty() {
        return Err(errors::parameter_missing(call.method.as_str(), "VolumeNames").into());
    }
    join(shared, call, "ReplicationGroupName", paths, Vec::new())
}

/// SetGroupRemoveVolumes.
pub(super) async fn remove(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let paths = some_texts(call, "RemoveVolumeName")?;
    leave_by_path(shared, call, "Name", paths).await
}

/// WvrRemoveReplica.
pub(super) async fn remove_one(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let path = required(call, "VolumeName")?.to_owned();
    leave_by_path(shared, call, "ReplicationGroupName", vec![path]).await
}

/// WvrRemoveReplicaById.
pub(super) async fn remove_by_id(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    some_texts(call, "ReplicaSetId")?;
    let sets = guids(call, "ReplicaSetId")?;
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let find = |set: &Guid| {
        let found = model.volumes(group.id).find(|p| p.replica_set == Some(*set)).map(|p| p.id);
        found.ok_or_else(|| errors::replica_set_unknown(&instances::shown(*set), &group.name))
    };
    let leaving = sets.iter().map(find).collect::<Result<Vec<_>, ErrorDetail>>()?;
    free_to_change(&model, group, call)?;
    leave(shared, group, leaving).await
}

/// SmapiRemoveMember.
pub(super) async fn remove_member(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    some_texts(call, "PartitionObjectIds")?;
    let ids = guids(call, "PartitionObjectIds")?;
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    if let Some(id) = ids.iter().find(|id| !model.volumes(group.id).any(|p| p.id == **id)) {
        return Err(errors::volume_not_in_group(&instances::shown(*id), &group.name).into());
    }
    free_to_change(&model, group, call)?;
    leave(shared, group, ids).await
}

fn join(shared: &Shared, call: &MethodCall, parameter: &str, paths: Vec<String>, sets: Vec<Guid>) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, parameter)?;
    free_to_change(&model, group, call)?;
    for path in &paths {
        let place = shared.roots.resolve(path).ok();
        if let Some(known) = place.and_then(|p| model.partition_at(p.real_path()))
            && known.group == Some(group.id)
        {
            return Err(errors::volume_in_group(path, &group.name).into());
        }
    }
    let count = model.volumes(group.id).count() + paths.len();
    if group.write_consistency && count > 1 {
        return Err(errors::write_order(&group.name, &count.to_string()).into());
    }
    let description = format!("Add {} to the replication group {}", paths.join(", "), group.name);
    let mut sets = sets.into_iter();
    let volumes = paths.into_iter().map(|path| Joining { path, replica_set: sets.next() }).collect();
    let order = AddVolumes { group: group.id, name: group.name.clone(), volumes };
    let touched = vec![(instances::group_path(&group.name), EXCLUSIVE_USE)];
    Ok(Answer::Job(planned(&order, description, touched)))
}

async fn leave_by_path(
    shared: &Arc<Shared>,
    call: &MethodCall,
    parameter: &str,
    paths: Vec<String>,
) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, parameter)?;
    let mut leaving = Vec::with_capacity(paths.len());
    for path in &paths {
        let id = volume_of(shared, &model, group, path)?.id;
        if leaving.contains(&id) {
            return Err(errors::volume_twice(path).into());
        }
        leaving.push(id);
    }
    free_to_change(&model, group, call)?;
    leave(shared, group, leaving).await
}

/// A group that has a partner is changed by the source, for both sides (SetPartnershipAddVolumes, WvrRemoveReplicaSet). What the
/// source then asks of its destination says that it is not about the source (IsPrimary).
fn free_to_change(model: &Model, group: &Group, call: &MethodCall) -> Result<(), ErrorDetail> {
    let of_destination = call.bool("IsPrimary") == Some(false);
    match model.partnership_of(group.id) {
        Some(p) if !p.is_source && of_destination => Ok(()),
        _ => alone(model, group.id, &group.name),
    }
}

/// There is nothing to be cleaned up but the record, so this needs no job. An engine is ended by who looks after the volume.
async fn leave(shared: &Arc<Shared>, group: &Group, leaving: Vec<Guid>) -> Handled {
    let (id, name) = (group.id, group.name.clone());
    shared
        .state
        .change(move |model| {
            let stays = model.volumes(id).filter(|p| !leaving.contains(&p.id)).count();
            if stays == 0 {
                let first = model.volumes(id).next().map_or_else(String::new, |p| p.path.clone());
                return Err(errors::last_volume(&first, &name));
            }
            model.release(id, |p| leaving.contains(&p.id));
            Ok(())
        })
        .await?;
    done()
}

fn counts(call: &MethodCall, list: &str, given: usize, needed: usize) -> ErrorDetail {
    errors::counts_differ(call.method.as_str(), list, &given.to_string(), &needed.to_string())
}
