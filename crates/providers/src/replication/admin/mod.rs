//! The methods of MSFT_WvrAdminTasks, one file per topic. The table below says which file answers which method.

mod access;
mod direction;
mod groups;
mod metadata;
mod network;
mod pairing;
mod pairs;
mod partitions;
mod partners;
mod partnerships;
mod progress;
mod queries;
mod replica_sets;
mod settings;
mod unsupported;
mod volumes;

use super::jobs::EXCLUSIVE_USE;
use super::model::{Group, Model, Partition, Partnership};
use super::service::{Answer, Handled, Shared};
use super::{errors, instances};
use crate::replication::guid::Guid;
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::{CimError, CimStatus, ErrorDetail, Instance, InstancePath, Param, Value};
use std::sync::Arc;

/// Methods that are answered here whatever computer they name: it is the other side of something, or only narrows an answer.
pub const NOT_PASSED_ON: &[&str] = &[
    "PairRemoteSubsystem",
    "UnpairRemoteSubsystem",
    "GetPartnership",
    "GetGroupFromPartnership",
    "GetNetworkConstraint",
    "GetStretchPartnership",
];

/// Methods whose return code is itself the answer to a question, so that 4 (Failed) is no failure.
pub const ANSWERS_BY_CODE: &[&str] = &["WvrCheckIfGroupsLogVolumeMatchVolume"];

/// Answers a method of this computer.
///
/// # Errors
/// Why it does nothing.
pub async fn handle(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    match call.method.as_str() {
        "NewSrGroup" => groups::new(shared, call).await,
        "WvrCreateReplicationGroup" => groups::create(shared, call).await,
        "GetGroup" => groups::get(shared, call),
        "RemoveSrGroup" => groups::remove(shared, call),
        "WvrDeleteReplicationGroup" => groups::delete(shared, call),

        "SetGroupModifyConfig" => settings::modify(shared, call).await,
        "WvrModifyReplicationGroup" => settings::wvr_modify(shared, call).await,

        "SetGroupAddVolumes" => volumes::add(shared, call),
        "WvrAddReplica" => volumes::add_one(shared, call),
        "WvrAddReplicaById" => volumes::add_by_id(shared, call),
        "SmapiAddMember" => volumes::add_member(shared, call),
        "SetGroupRemoveVolumes" => volumes::remove(shared, call).await,
        "WvrRemoveReplica" => volumes::remove_one(shared, call).await,
        "WvrRemoveReplicaById" => volumes::remove_by_id(shared, call).await,
        "SmapiRemoveMember" => volumes::remove_member(shared, call).await,

        "WvrQueryReplicationGroupInfo" => queries::group_info(shared, call),
        "QueryReplicaSet" => queries::replica_set(shared, call),
        "QueryReplicationPartners" => queries::partners(shared, call),
        "QueryPartitionInfo" => queries::partition_info(shared, call),
        "VerifyReplicablePartition" => queries::verify(shared, call).await,
        "WvrCheckIfGroupsLogVolumeMatchVolume" => queries::is_log(shared, call),
        "SmapiQueryReplicatedPartitions" => queries::replicated(shared, call),
        "QueryCounterInstance" => unsupported::counters(call),

        "GrantSrUserAccess" | "WvrGrantUserAccess" => access::grant(shared, call).await,
        "RevokeSrUserAccess" | "WvrRevokeUserAccess" => access::revoke(shared, call).await,
        "GetSrUserAccess" | "WvrGetUserAccess" => access::get(shared),

        "GrantSrAccess" => pairing::grant(shared, call).await,
        "RevokeSrAccess" => pairing::revoke(shared, call).await,
        "GetSrAccess" => pairing::get(shared, call),
        "PairRemoteSubsystem" => pairing::pair(shared, call).await,
        "UnpairRemoteSubsystem" => pairing::unpair(shared, call).await,

        "ProvisionPartitionsAdd" => partitions::add(shared, call).await,
        "ProvisionPartitionsRemove" => partitions::remove(shared, call).await,

        "ClearMetadataAll" => metadata::all(call),
        "ClearMetadataForReplicationGroup" => metadata::of_group(shared, call),
        "WvrClearOrphanedLogs" => metadata::logs(call),
        "WvrClearOrphanedPartitionDbRecord" => metadata::record(shared, call).await,
        "WvrGetOrphanedPartitionDbRecords" => metadata::records(shared, call),

        "SetNetworkConstraint" => network::set(shared, call).await,
        "GetNetworkConstraint" => network::get(shared, call).await,
        "RemoveNetworkConstraint" => network::remove(shared, call).await,
        "WvrSetNetworkConstraint" => network::wvr_set(shared, call).await,
        "WvrRemoveNetworkConstraint" => network::wvr_remove(shared, call).await,

        "GetPartnership" => partnerships::get(shared, call).await,
        "GetPartnershipFromGroup" => partnerships::from_group(shared, call),
        "GetGroupFromPartnership" => partnerships::groups(shared, call).await,

        "CreatePartnership" => partners::create(shared, call),
        "WvrInitializeReplicationGroup" => partners::initialize(shared, call).await,
        "CreateTopology" => partners::create_topology(shared, call).await,
        "RemoveTopology" => partners::remove_topology(shared, call),
        "SetPartnershipModifyPartnership" => partners::modify(shared, call).await,
        "RemovePartnership" => partners::remove(shared, call),
        "WvrRemoveReplicationPartnership" => partners::wvr_remove(shared, call).await,
        "SuspendGroup" => partners::suspend(shared, call, "Name").await,
        "WvrSuspendReplicationGroup" => partners::suspend(shared, call, "ReplicationGroupName").await,
        "SyncGroup" => partners::sync(shared, call, "Name").await,
        "WvrResumeReplicationGroup" => partners::sync(shared, call, "ReplicationGroupName").await,

        "WvrCreateReplicationPartnership" => partners::wvr_create(shared, call),
        "SetPartnershipAddVolumes" => pairs::add(shared, call),
        "WvrAddReplicaSet" => pairs::add_set(shared, call),
        "WvrRemoveReplicaSet" => pairs::remove_set(shared, call),

        "SetPartnershipSetSourcePartnership" => direction::switch(shared, call),
        "WvrSetPrimaryReplicationGroup" => direction::primary(shared, call).await,
        "SetSecondaryReplicationGroup" => direction::secondary(shared, call).await,

        "CreateStretchPartnership"
        | "CreateStretchTopology"
        | "GetStretchPartnership"
        | "RemoveStretchPartnership"
        | "SmapiGetPairCluster"
        | "SmapiPairCluster"
        | "SmapiUnpairCluster"
        | "WvrAddVolumePartnerStretchById"
        | "WvrClearOrphanedClusterResources"
        | "WvrQueryClusterId"
        | "WvrRemoveVolumePartnerStretch" => unsupported::clusters(shared, call),

        "ActivateReplicaSet" => replica_sets::activate(shared, call).await,
        "DeactivateReplicaSet" => replica_sets::deactivate(shared, call).await,
        "CompareReplicationVector" => replica_sets::compare(shared, call),
        "ExchangeReplicationGroupId" => replica_sets::exchange_ids(shared, call),
        "SmapiQueryPartnerGroupStatus" => progress::of_group(shared, call).await,
        "SmapiQueryPartnerPartitions" => progress::of_volume(shared, call).await,

        other => Err(CimError::new(
            CimStatus::MethodNotAvailable,
            format!("{} does not implement {other}", instances::ADMIN_TASKS),
        )
        .into()),
    }
}

/// The elements that a job about a group works on, with CIM_AffectedJobElement.ElementEffects.
pub(super) fn touched(model: &Model, group: &Group) -> Vec<(InstancePath, u16)> {
    let volumes = model.volumes(group.id).map(|p| (instances::replica_path(p.id), EXCLUSIVE_USE));
    std::iter::once((instances::group_path(&group.name), EXCLUSIVE_USE)).chain(volumes).collect()
}

/// A text that must be there and not be empty.
fn required<'a>(call: &'a MethodCall, name: &str) -> Result<&'a str, ErrorDetail> {
    let text = call.str(name).map(str::trim).filter(|t| !t.is_empty());
    text.ok_or_else(|| errors::parameter_missing(call.method.as_str(), name))
}

/// The texts of an array; empty and NULL elements are left out.
fn texts(call: &MethodCall, name: &str) -> Vec<String> {
    let items = call.get(name).and_then(Value::as_array).unwrap_or(&[]);
    let items = items.iter().flatten().filter_map(Value::as_str).map(str::trim);
    items.filter(|t| !t.is_empty()).map(str::to_owned).collect()
}

/// The texts of an array that must have some.
fn some_texts(call: &MethodCall, name: &str) -> Result<Vec<String>, ErrorDetail> {
    let items = texts(call, name);
    if items.is_empty() { Err(errors::parameter_missing(call.method.as_str(), name)) } else { Ok(items) }
}

/// A GUID, with or without braces.
fn guid(call: &MethodCall, text: &str) -> Result<Guid, ErrorDetail> {
    Guid::parse(text).ok_or_else(|| errors::identifier(call.method.as_str(), text))
}

/// The GUIDs of an array.
fn guids(call: &MethodCall, name: &str) -> Result<Vec<Guid>, ErrorDetail> {
    texts(call, name).iter().map(|text| guid(call, text)).collect()
}

/// The group that a parameter names.
fn group<'m>(
    shared: &Shared,
    model: &'m Model,
    call: &MethodCall,
    parameter: &str,
) -> Result<&'m Group, ErrorDetail> {
    let name = required(call, parameter)?;
    model.group(name).ok_or_else(|| errors::group_missing(name, shared.computer()))
}

/// Makes sure that a group has no partner.
pub(super) fn alone(model: &Model, group: Guid, name: &str) -> Result<(), ErrorDetail> {
    match model.partnership_of(group).map(Partnership::there) {
        None => Ok(()),
        Some(partner) => Err(errors::group_in_partnership(name, &partner.group, &partner.computer)),
    }
}

/// The volume of a group that a path means: as it was written when it joined, or by what it really is.
fn volume_of<'m>(
    shared: &Shared,
    model: &'m Model,
    group: &Group,
    path: &str,
) -> Result<&'m Partition, ErrorDetail> {
    let missing = || errors::volume_not_in_group(path, &group.name);
    if let Some(found) = model.volumes(group.id).find(|p| p.path == path) {
        return Ok(found);
    }
    let place = shared.roots.resolve(path).map_err(|_| missing())?;
    model.volumes(group.id).find(|p| p.real_path == place.real_path()).ok_or_else(missing)
}

/// The answer that is a list of embedded instances.
fn output(instances: impl IntoIterator<Item = Instance>) -> Handled {
    instances_in("Output", instances)
}

/// The same in a parameter of another name.
fn instances_in(name: &'static str, instances: impl IntoIterator<Item = Instance>) -> Handled {
    let items = instances.into_iter().map(|i| Some(Value::Instance(Box::new(i)))).collect();
    Ok(Answer::Done(vec![Param::new(name, Value::Array(items))]))
}

/// The answer without anything in it.
fn done() -> Handled {
    Ok(Answer::Done(Vec::new()))
}
