//! Making and ending partnerships, pausing and resuming them.

use super::groups::{Wanted, mode, order};
use super::partnerships::matches;
use super::{alone, done, group, guid, guids, required, some_texts, touched};
use crate::replication::guid::Guid;
use crate::replication::jobs::modify::Change;
use crate::replication::jobs::partner::{CreatePartnership, RemovePartnership, SyncGroup, end};
use crate::replication::jobs::remove::RemoveGroup;
use crate::replication::jobs::topology::{CreateTopology, Elsewhere, RemoveTopology};
use crate::replication::jobs::{EXCLUSIVE_USE, planned};
use crate::replication::model::{End, Partnership};
use crate::replication::service::{Answer, Handled, Planned, Shared};
use crate::replication::{errors, instances};
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::ErrorDetail;
use std::sync::Arc;
use std::time::Duration;

/// How long the answer waits for a copy: what is small is done by then.
pub(super) const WAIT_FOR_COPY: Duration = Duration::from_secs(2);
/// How long a pause may take to be seen.
const PAUSE_LIMIT: Duration = Duration::from_secs(10);

/// CreatePartnership, at the source.
pub(super) fn create(shared: &Shared, call: &MethodCall) -> Handled {
    engine(shared, call)?;
    let model = shared.model();
    let group = group(shared, &model, call, "SourceRGName")?;
    alone(&model, group.id, &group.name)?;
    let computer = required(call, "DestinationComputerName")?;
    if shared.computers.is_local(computer) {
        return Err(errors::one_computer(call.method.as_str(), shared.computer()).into());
    }
    if call.bool("Seeded").unwrap_or(false) {
        let what = "the copy of a destination is not compared, it is made anew; leave Seeded out";
        return Err(errors::not_yet("Seeded of CreatePartnership", what).into());
    }
    let rpo = call.u64("AsyncRPO");
    if rpo == Some(0) {
        return Err(errors::parameter_value(call.method.as_str(), "AsyncRPO", "0").into());
    }
    let prevent = call.bool("PreventReplication").unwrap_or(false);
    let order = CreatePartnership {
        id: Guid::generate(),
        group: group.id,
        source: End { computer: shared.computer().to_owned(), group: group.name.clone() },
        destination: End {
            computer: computer.to_owned(),
            group: required(call, "DestinationRGName")?.to_owned(),
        },
        mode: mode(call)?.unwrap_or(group.mode),
        async_rpo: rpo.and_then(|n| u32::try_from(n).ok()),
        encryption: call.bool("EnableEncryption"),
        prevent,
    };
    let description = format!(
        "Make {} on {} the destination of {}",
        order.destination.group, order.destination.computer, group.name
    );
    let wait = if prevent { Some(crate::replication::service::ANSWER_WITHIN) } else { Some(WAIT_FOR_COPY) };
    Ok(Answer::Job(Planned { wait, ..planned(&order, description, touched(&model, group)) }))
}

/// WvrCreateReplicationPartnership, at the source: the group's own settings apply.
pub(super) fn wvr_create(shared: &Shared, call: &MethodCall) -> Handled {
    engine(shared, call)?;
    let model = shared.model();
    let group = group(shared, &model, call, "SourceReplicationGroupName")?;
    alone(&model, group.id, &group.name)?;
    let computer = required(call, "TargetComputerName")?;
    if shared.computers.is_local(computer) {
        return Err(errors::one_computer(call.method.as_str(), shared.computer()).into());
    }
    let id = match call.str("PartnershipId").filter(|t| !t.is_empty()) {
        Some(given) => guid(call, given)?,
        None => Guid::generate(),
    };
    let order = CreatePartnership {
        id,
        group: group.id,
        source: End { computer: shared.computer().to_owned(), group: group.name.clone() },
        destination: End {
            computer: computer.to_owned(),
            group: required(call, "TargetReplicationGroupName")?.to_owned(),
        },
        mode: group.mode,
        async_rpo: None,
        encryption: None,
        prevent: false,
    };
    let description =
        format!("Make {} on {computer} the destination of {}", order.destination.group, group.name);
    let planned = planned(&order, description, touched(&model, group));
    Ok(Answer::Job(Planned { wait: Some(WAIT_FOR_COPY), ..planned }))
}

/// CreateTopology, at the source: groups that are missing are made.
pub(super) async fn create_topology(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    engine(shared, call)?;
    let method = call.method.as_str();
    let (name, there) = (required(call, "SourceRGName")?, required(call, "DestinationRGName")?);
    let computer = required(call, "DestinationComputerName")?;
    if shared.computers.is_local(computer) {
        return Err(errors::one_computer(method, shared.computer()).into());
    }
    if call.bool("Seeded").unwrap_or(false) {
        let what = "the copy of a destination is not compared, it is made anew; leave Seeded out";
        return Err(errors::not_yet("Seeded of CreateTopology", what).into());
    }
    let text = |parameter: &str| call.str(parameter).filter(|t| !t.is_empty()).map(str::to_owned);
    let id = match text("PartnershipId") {
        Some(given) => guid(call, &given)?,
        None => Guid::generate(),
    };
    let model = shared.model();
    let (here, group) = match model.group(name) {
        Some(group) => {
            alone(&model, group.id, &group.name)?;
            (None, group.id)
        }
        None => {
            let wanted = Wanted {
                name,
                description: call.str("SourceRGDescription"),
                volumes: some_texts(call, "SourceVolumeName")?,
                log: required(call, "SourceLogVolumeName")?,
                log_size: call.u64("LogSizeInBytes"),
                mode: mode(call)?.unwrap_or_default(),
                write_consistency: call.bool("EnableConsistencyGroups").unwrap_or(false),
                encryption: call.bool("EnableEncryption").unwrap_or(false),
                min_partners: None,
                certificate: None,
            };
            let order = order(shared, wanted).await?;
            let id = order.group.id;
            (Some(order), id)
        }
    };
    let known =
        shared.computers.invoke(computer, &instances::admin_tasks_class(), "GetGroup", Vec::new()).await;
    let known = known.map_err(|e| errors::remote_failed(&e, shared.computer()))?;
    if known.return_value != 0 {
        return Err(errors::remote_code(computer, "GetGroup", known.return_value).into());
    }
    let groups = known.get("Output").and_then(|v| v.as_array()).unwrap_or(&[]).iter().flatten();
    let mut names = groups.filter_map(|v| v.as_instance()?.get_str("Name"));
    let elsewhere = match names.any(|n| crate::replication::model::same_name(n, there)) {
        true => None,
        false => Some(Elsewhere {
            computer: computer.to_owned(),
            name: there.to_owned(),
            description: text("DestinationRGDescription"),
            volumes: some_texts(call, "DestinationVolumeName")?,
            log: required(call, "DestinationLogVolumeName")?.to_owned(),
            log_size: call.u64("LogSizeInBytes"),
            encryption: call.bool("EnableEncryption"),
            write_consistency: call.bool("EnableConsistencyGroups"),
        }),
    };
    let rpo = call.u64("AsyncRPO");
    if rpo == Some(0) {
        return Err(errors::parameter_value(method, "AsyncRPO", "0").into());
    }
    let own = model.group(name).map_or_else(|| name.to_owned(), |g| g.name.clone());
    let order = CreateTopology {
        here,
        there: elsewhere,
        partnership: CreatePartnership {
            id,
            group,
            source: End { computer: shared.computer().to_owned(), group: own },
            destination: End { computer: computer.to_owned(), group: there.to_owned() },
            mode: mode(call)?.or(model.group(name).map(|g| g.mode)).unwrap_or_default(),
            async_rpo: rpo.and_then(|n| u32::try_from(n).ok()),
            encryption: call.bool("EnableEncryption"),
            prevent: call.bool("PreventReplication").unwrap_or(false),
        },
    };
    let description = format!("Make {there} on {computer} the destination of {name}, with both groups");
    let touched = vec![(instances::group_path(name), EXCLUSIVE_USE)];
    Ok(Answer::Job(Planned { wait: Some(WAIT_FOR_COPY), ..planned(&order, description, touched) }))
}

/// SetPartnershipModifyPartnership, at the source: mode, limit of the lag and the demand for encryption.
pub(super) async fn modify(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let source = required(call, "SourceRGName")?;
    required(call, "DestinationRGName")?;
    let model = shared.model();
    let found = model.partnerships.iter().find(|p| p.is_source && matches(shared, call, p));
    let found = found.ok_or_else(|| errors::no_partnership(source, shared.computer()))?;
    if call.u64("LogSizeInBytes").is_some() {
        let what = "the log of a group that replicates keeps its size; leave LogSizeInBytes out";
        return Err(errors::not_yet("LogSizeInBytes of SetPartnershipModifyPartnership", what).into());
    }
    let rpo = call.u64("AsyncRPO");
    if rpo == Some(0) {
        return Err(errors::parameter_value(call.method.as_str(), "AsyncRPO", "0").into());
    }
    let change = Change {
        mode: mode(call)?,
        async_rpo: rpo.and_then(|n| u32::try_from(n).ok()),
        encryption: call.bool("Encryption"),
        ..Change::default()
    };
    let id = found.local_group;
    shared
        .state
        .change(move |model| {
            for group in model.groups.iter_mut().filter(|g| g.id == id) {
                change.apply(group);
            }
            Ok(())
        })
        .await?;
    shared.sessions.nudge();
    done()
}

/// RemoveTopology, at the source.
pub(super) fn remove_topology(shared: &Shared, call: &MethodCall) -> Handled {
    let source = required(call, "SourceRGName")?;
    required(call, "DestinationRGName")?;
    let model = shared.model();
    let found = model.partnerships.iter().find(|p| p.is_source && matches(shared, call, p));
    let found = found.ok_or_else(|| errors::no_partnership(source, shared.computer()))?;
    let order = RemoveTopology {
        partnership: RemovePartnership {
            id: found.id,
            source: found.source.clone(),
            destination: found.destination.clone(),
            ignore_failure: false,
        },
        here: RemoveGroup { group: found.local_group, name: found.source.group.clone(), wipe: true },
    };
    let description = format!(
        "Remove the groups {} and {} with their partnership",
        found.source.group, found.destination.group
    );
    let group = model.group_by_id(found.local_group);
    let touched = group.map_or_else(Vec::new, |g| touched(&model, g));
    Ok(Answer::Job(planned(&order, description, touched)))
}

/// WvrInitializeReplicationGroup: what the source asks of the destination.
pub(super) async fn initialize(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    engine(shared, call)?;
    let method = call.method.as_str();
    match call.u64("ReplicationRole") {
        Some(2) => {}
        Some(1) => {
            let what = "a source makes its partnership with CreatePartnership";
            return Err(errors::not_yet("ReplicationRole 1 of WvrInitializeReplicationGroup", what).into());
        }
        other => {
            let given = other.map_or_else(|| "NULL".to_owned(), |n| n.to_string());
            return Err(errors::parameter_value(method, "ReplicationRole", &given).into());
        }
    }
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let id = guid(call, required(call, "PartnershipId")?)?;
    if model.partnership_of(group.id).is_some_and(|p| p.id == id) {
        return done();
    }
    alone(&model, group.id, &group.name)?;
    let sets = guids(call, "ReplicaSetIds")?;
    let count = model.volumes(group.id).count();
    if sets.len() != count {
        let (given, needed) = (sets.len().to_string(), count.to_string());
        return Err(errors::counts_differ(method, "ReplicaSetIds", &given, &needed).into());
    }
    let partnership = Partnership {
        id,
        source: End {
            computer: required(call, "PartnerReplicationGroupEndpoint")?.to_owned(),
            group: required(call, "PartnerReplicationGroupName")?.to_owned(),
        },
        destination: End { computer: shared.computer().to_owned(), group: group.name.clone() },
        local_group: group.id,
        partner_group: guid(call, required(call, "partnerReplicationGroupId")?)?,
        is_source: false,
        generation: 0,
        handed_over: false,
        failed_over: false,
    };
    shared
        .state
        .change(move |model| {
            let local = partnership.local_group;
            // Somebody else may have been faster.
            alone(model, local, &partnership.destination.group)?;
            let volumes = model.partitions.iter_mut().filter(|p| p.group == Some(local));
            for (volume, set) in volumes.zip(sets) {
                volume.replica_set = Some(set);
            }
            model.partnerships.push(partnership);
            Ok(())
        })
        .await?;
    shared.sessions.nudge();
    done()
}

/// RemovePartnership, at the source.
pub(super) fn remove(shared: &Shared, call: &MethodCall) -> Handled {
    let source = required(call, "SourceRGName")?;
    required(call, "DestinationRGName")?;
    let model = shared.model();
    let found = model.partnerships.iter().find(|p| matches(shared, call, p));
    let found = found.ok_or_else(|| errors::no_partnership(source, shared.computer()))?;
    let order = RemovePartnership {
        id: found.id,
        source: found.source.clone(),
        destination: found.destination.clone(),
        ignore_failure: call.bool("IgnoreRemovalFailure").unwrap_or(false),
    };
    let description =
        format!("End the partnership of {} and {}", found.source.group, found.destination.group);
    let group = model.group_by_id(found.local_group);
    let touched = group.map_or_else(Vec::new, |g| touched(&model, g));
    Ok(Answer::Job(planned(&order, description, touched)))
}

/// WvrRemoveReplicationPartnership: on this computer only, whichever side it is.
pub(super) async fn wvr_remove(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let source = required(call, "SourceReplicationGroupName")?;
    let target = required(call, "TargetReplicationGroupName")?;
    let model = shared.model();
    let same = crate::replication::model::same_name;
    let found = model
        .partnerships
        .iter()
        .find(|p| same(&p.source.group, source) && same(&p.destination.group, target))
        .ok_or_else(|| errors::no_partnership(source, shared.computer()))?;
    end(shared, found.id).await?;
    shared.sessions.nudge();
    done()
}

/// SuspendGroup and WvrSuspendReplicationGroup.
pub(super) async fn suspend(shared: &Arc<Shared>, call: &MethodCall, parameter: &str) -> Handled {
    let id = source_group(shared, call, parameter)?;
    set_suspended(shared, id, true).await?;
    let volumes = shared.model().volumes(id).map(|p| p.id).collect();
    until_paused(shared, volumes).await;
    done()
}

/// Waits until the engine sends nothing of these volumes any more. Noted down it is before; should the engine take longer than a
/// caller can wait, the state of each volume tells.
pub(super) async fn until_paused(shared: &Shared, volumes: Vec<Guid>) {
    use crate::replication::engine::MirrorPhase;
    let mut changes = shared.sessions.changes();
    let paused = changes.wait_for(|known| {
        volumes
            .iter()
            .all(|v| known.get(v).is_none_or(|s| s.phase.is_none_or(|p| p == MirrorPhase::Suspended)))
    });
    let _ = tokio::time::timeout(PAUSE_LIMIT, paused).await;
}

/// SyncGroup and WvrResumeReplicationGroup.
pub(super) async fn sync(shared: &Arc<Shared>, call: &MethodCall, parameter: &str) -> Handled {
    let id = source_group(shared, call, parameter)?;
    set_suspended(shared, id, false).await?;
    let model = shared.model();
    let order = SyncGroup { group: id };
    let group = model.group_by_id(id);
    let name = group.map_or("", |g| g.name.as_str());
    let touched = group.map_or_else(Vec::new, |g| touched(&model, g));
    let planned = planned(&order, format!("Bring the destination of {name} up to date"), touched);
    Ok(Answer::Job(Planned { wait: Some(WAIT_FOR_COPY), ..planned }))
}

fn source_group(shared: &Shared, call: &MethodCall, parameter: &str) -> Result<Guid, ErrorDetail> {
    let model = shared.model();
    let group = group(shared, &model, call, parameter)?;
    match model.partnership_of(group.id) {
        Some(p) if p.is_source => Ok(group.id),
        _ => Err(errors::no_partnership(&group.name, shared.computer())),
    }
}

async fn set_suspended(shared: &Arc<Shared>, id: Guid, suspended: bool) -> Result<(), ErrorDetail> {
    shared
        .state
        .change(move |model| {
            for group in model.groups.iter_mut().filter(|g| g.id == id) {
                group.suspended = suspended;
            }
            Ok(())
        })
        .await?;
    shared.sessions.nudge();
    Ok(())
}

pub(super) fn engine(shared: &Shared, call: &MethodCall) -> Result<(), ErrorDetail> {
    match shared.sessions.settings {
        Some(_) => Ok(()),
        None => Err(errors::no_engine(call.method.as_str(), shared.computer())),
    }
}
