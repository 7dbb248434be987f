//! Questions about groups and volumes. What the engine does not tell is NULL.

use super::{group, guid, required, volume_of};
use crate::disk::jobs::toolbox::blocking;
use crate::replication::model::{Model, Partition};
use crate::replication::service::{Answer, Handled, Shared};
use crate::replication::{errors, instances, volume};
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::{ErrorDetail, Param, Value};
use std::sync::Arc;

/// Return code 4: here the answer "no".
const FAILED: u32 = 4;

/// WvrQueryReplicationGroupInfo.
pub(super) fn group_info(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let sizes = model.volumes(group.id).map(|p| Some(Value::Uint64(p.size))).collect();
    let sectors = model.volumes(group.id).map(|p| Some(Value::Uint32(p.sector_size))).collect();
    let mut out = vec![
        Param::new("IsWriteConsistent", group.write_consistency),
        Param::new("DataVolumeSize", Value::Array(sizes)),
        Param::new("DataVolumeSectorSize", Value::Array(sectors)),
    ];
    if let Some(log) = model.log(group.id) {
        out.push(Param::new("LogSizeInBytes", Value::Uint64(log.size)));
        // A log is always a file.
        out.push(Param::new("LogVolumeSectorSize", Value::Uint32(volume::FILE_SECTOR)));
    }
    Ok(Answer::Done(out))
}

/// QueryReplicaSet.
pub(super) fn replica_set(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let volume = volume_of(shared, &model, group, required(call, "VolumeName")?)?;
    let mut out = vec![Param::new("PartitionId", instances::shown(volume.id))];
    out.extend(volume.replica_set.map(|set| Param::new("ReplicaSetId", instances::shown(set))));
    Ok(Answer::Done(out))
}

/// QueryReplicationPartners.
pub(super) fn partners(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let with_source = call.bool("ContainSourceGroup").unwrap_or(false);
    let (mut groups, mut computers, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(p) = model.partnership_of(group.id) {
        let partner = if p.is_source { &p.destination } else { &p.source };
        let mut ends = vec![partner];
        // A destination gives its source as its partner anyway.
        if with_source && p.is_source {
            ends.insert(0, &p.source);
        }
        for end in ends {
            groups.push(end.group.clone());
            computers.push(end.computer.clone());
            ids.push(instances::shown(p.id));
        }
    }
    Ok(Answer::Done(vec![
        Param::new("PartnerGroupNames", Value::strings(groups)),
        Param::new("PartnerComputerNames", Value::strings(computers)),
        Param::new("PartnershipIds", Value::strings(ids)),
        Param::new("OwnerNode", shared.computer()),
        Param::new("IsStretch", false),
    ]))
}

/// QueryPartitionInfo: the log is reserved as a whole and not a ring of writes, so what is about its filling is NULL.
pub(super) fn partition_info(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let volume = known(shared, &model, call, required(call, "PartitionId")?)?;
    if volume.group != Some(group.id) {
        return Err(errors::volume_not_in_group(&volume.path, &group.name).into());
    }
    Ok(Answer::Done(vec![Param::new("CapacityInBytes", Value::Uint64(volume.size))]))
}

/// VerifyReplicablePartition: by identifier, or by path for a volume that has none yet.
pub(super) async fn verify(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let text = required(call, "PartitionId")?;
    let model = shared.model();
    let path = match is_path(text) {
        true => text.to_owned(),
        false => known(shared, &model, call, text)?.path.clone(),
    };
    let looking = Arc::clone(shared);
    let found = blocking(move || volume::look(&looking.roots, &path)).await?;
    let owner = model.partition_at(&found.real_path).and_then(|p| p.group);
    if let Some(owner) = owner.and_then(|id| model.group_by_id(id)) {
        return Err(errors::volume_in_group(&found.path, &owner.name).into());
    }
    if model.log_at(&found.real_path).is_some() {
        return Err(errors::log_is_volume(&found.path).into());
    }
    super::done()
}

/// WvrCheckIfGroupsLogVolumeMatchVolume.
pub(super) fn is_log(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let name = required(call, "VolumeName")?;
    let Some(log) = model.log(group.id) else { return Ok(Answer::Code(FAILED)) };
    let trimmed = |t: &str| t.trim_end_matches(['/', '\\']).to_owned();
    let same = trimmed(&log.place) == trimmed(name)
        || log.file == name
        || shared.roots.resolve(name).is_ok_and(|place| place.real_path() == log.real_path);
    Ok(Answer::Code(if same { 0 } else { FAILED }))
}

/// SmapiQueryReplicatedPartitions: the volumes of groups.
pub(super) fn replicated(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    let only = match call.str("ReplicationGroupName").filter(|n| !n.is_empty()) {
        None => None,
        Some(_) => Some(group(shared, &model, call, "ReplicationGroupName")?.id),
    };
    let ids = model
        .groups
        .iter()
        .filter(|g| only.is_none_or(|id| id == g.id))
        .flat_map(|g| model.volumes(g.id))
        .map(|p| instances::shown(p.id));
    Ok(Answer::Done(vec![Param::new("PartitionObjectIds", Value::strings(ids))]))
}

/// Whether a text names a volume by its path rather than by its identifier.
pub(super) fn is_path(text: &str) -> bool {
    text.contains(['/', '\\'])
}

/// The volume with this identifier or path.
pub(super) fn known<'m>(
    shared: &Shared,
    model: &'m Model,
    call: &MethodCall,
    text: &str,
) -> Result<&'m Partition, ErrorDetail> {
    let unknown = || errors::partition_unknown(text);
    if is_path(text) {
        let place = volume::resolve(&shared.roots, text)?;
        return model.partition_at(place.real_path()).ok_or_else(unknown);
    }
    let id = guid(call, text)?;
    model.partitions.iter().find(|p| p.id == id).ok_or_else(unknown)
}
