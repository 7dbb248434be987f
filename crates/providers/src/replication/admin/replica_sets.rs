//! Single volumes of a group: which ones replicate, and under which identifiers.

use super::{done, group, guid, guids, partners, required};
use crate::replication::errors;
use crate::replication::guid::Guid;
use crate::replication::model::{Group, Model, Partnership, same_name};
use crate::replication::service::{Answer, Handled, Shared};
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::{ErrorDetail, Param};
use std::sync::Arc;

/// ActivateReplicaSet. Without a partner it gives the volumes these identifiers, in their order; with one it lets the volumes
/// with these identifiers replicate again.
pub(super) async fn activate(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let sets = guids(call, "ReplicaSetId")?;
    let Some(partnership) = model.partnership_of(group.id) else {
        return assign(shared, call, &model, group, sets).await;
    };
    set_active(shared, &model, group, partnership, sets, true).await
}

/// DeactivateReplicaSet: these volumes are not copied any more, until they are activated. What is written to them meanwhile is
/// remembered.
pub(super) async fn deactivate(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let sets = guids(call, "ReplicaSetId")?;
    let partnership = model.partnership_of(group.id);
    let partnership = partnership.ok_or_else(|| errors::no_partnership(&group.name, shared.computer()))?;
    set_active(shared, &model, group, partnership, sets, false).await
}

async fn assign(
    shared: &Arc<Shared>,
    call: &MethodCall,
    model: &Model,
    group: &Group,
    sets: Vec<Guid>,
) -> Handled {
    let count = model.volumes(group.id).count();
    let distinct: std::collections::HashSet<_> = sets.iter().collect();
    if sets.len() != count || distinct.len() != count {
        let (given, needed) = (distinct.len().to_string(), count.to_string());
        return Err(errors::counts_differ(call.method.as_str(), "ReplicaSetId", &given, &needed).into());
    }
    let id = group.id;
    shared
        .state
        .change(move |model| {
            let volumes = model.partitions.iter_mut().filter(|p| p.group == Some(id));
            for (volume, set) in volumes.zip(sets) {
                volume.replica_set = Some(set);
            }
            Ok(())
        })
        .await?;
    done()
}

async fn set_active(
    shared: &Arc<Shared>,
    model: &Model,
    group: &Group,
    partnership: &Partnership,
    sets: Vec<Guid>,
    active: bool,
) -> Handled {
    if !partnership.is_source {
        // Its source decides; here nothing would change.
        return Err(errors::no_partnership(&group.name, shared.computer()).into());
    }
    let has = |set: &Guid| model.volumes(group.id).any(|p| p.replica_set == Some(*set));
    if let Some(unknown) = sets.iter().find(|set| !has(set)) {
        return Err(errors::replica_set_unknown(&unknown.to_string(), &group.name).into());
    }
    let id = group.id;
    let of_these = model.volumes(id).filter(|p| p.replica_set.is_some_and(|set| sets.contains(&set)));
    let volumes: Vec<Guid> = of_these.map(|p| p.id).collect();
    shared
        .state
        .change(move |model| {
            let chosen = |set: Option<Guid>| set.is_some_and(|set| sets.contains(&set));
            let volumes = model.partitions.iter_mut().filter(|p| p.group == Some(id));
            for volume in volumes.filter(|p| chosen(p.replica_set)) {
                volume.deactivated = !active;
            }
            Ok(())
        })
        .await?;
    shared.sessions.nudge();
    if !active {
        partners::until_paused(shared, volumes).await;
    }
    done()
}

/// ExchangeReplicationGroupId, at the computer of the target: the two learn each other's identifier. Nothing is noted down: a
/// partnership notes both when it is made.
pub(super) fn exchange_ids(shared: &Shared, call: &MethodCall) -> Handled {
    let name = required(call, "SourceReplicationGroupName")?;
    let id = guid(call, required(call, "SourceReplicationGroupId")?)?;
    let model = shared.model();
    let target = group(shared, &model, call, "TargetReplicationGroupName")?;
    if let Some(partnership) = model.partnership_of(target.id) {
        let there = partnership.there();
        if partnership.partner_group != id || !same_name(&there.group, name) {
            return Err(errors::group_in_partnership(&target.name, &there.group, &there.computer).into());
        }
    }
    Ok(Answer::Done(vec![Param::new(
        "TargetReplicationGroupId",
        crate::replication::instances::shown(target.id),
    )]))
}

/// CompareReplicationVector, at the computer of the destination: whether a source like this one can be copied to the group.
pub(super) fn compare(shared: &Shared, call: &MethodCall) -> Handled {
    const VECTOR: &str = "ReplicationVector";
    let text = required(call, VECTOR)?;
    let unreadable = || errors::parameter_value(call.method.as_str(), VECTOR, text);
    let vector = Vector::parse(text).ok_or_else(unreadable)?;
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    if call.bool("IsNewPartner") == Some(true) {
        super::alone(&model, group.id, &group.name)?;
    }
    vector.fits(&model, group)?;
    let is_new = model.partnership_of(group.id).is_none();
    Ok(Answer::Done(vec![Param::new("IsNewPartner", is_new)]))
}

/// What has to be known of a source to tell whether it can be copied: `version=1;log=BYTES;volumes=BYTES/SECTOR,BYTES/SECTOR,…`,
/// in any order, the volumes in that of the group.
#[derive(Debug, PartialEq, Eq)]
struct Vector {
    log: u64,
    volumes: Vec<(u64, u32)>,
}

impl Vector {
    fn parse(text: &str) -> Option<Self> {
        let (mut version, mut log, mut volumes) = (None, None, None);
        for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, value) = part.split_once('=')?;
            let before = match name.trim() {
                "version" => version.replace(value.trim() == "1").is_some(),
                "log" => log.replace(value.trim().parse().ok()?).is_some(),
                "volumes" => volumes.replace(value.split(',').map(volume).collect::<Option<_>>()?).is_some(),
                _ => return None,
            };
            if before {
                return None;
            }
        }
        version.filter(|known| *known)?;
        Some(Self { log: log?, volumes: volumes? })
    }

    fn fits(&self, model: &Model, group: &Group) -> Result<(), ErrorDetail> {
        let own: Vec<_> = model.volumes(group.id).collect();
        let partner = "the partner";
        if own.len() != self.volumes.len() {
            let (here, there) = (own.len().to_string(), self.volumes.len().to_string());
            return Err(errors::volumes_differ(&group.name, partner, &here, &there));
        }
        for (volume, (bytes, _)) in own.iter().zip(&self.volumes) {
            if volume.size != *bytes {
                return Err(errors::size_mismatch(
                    &volume.path,
                    &volume.size.to_string(),
                    &bytes.to_string(),
                ));
            }
        }
        let needed = crate::replication::log::needed(self.volumes.iter().map(|(bytes, _)| *bytes));
        if self.log < needed {
            return Err(errors::log_too_small(partner, &self.log.to_string(), &needed.to_string()));
        }
        Ok(())
    }
}

/// The size of a volume and of its sectors, in bytes; whole sectors only.
fn volume(text: &str) -> Option<(u64, u32)> {
    let (bytes, sector) = text.trim().split_once('/')?;
    let (bytes, sector) = (bytes.parse::<u64>().ok()?, sector.parse::<u32>().ok()?);
    let whole = sector > 0 && bytes > 0 && bytes.is_multiple_of(u64::from(sector));
    whole.then_some((bytes, sector))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_read_whole_or_not_at_all() {
        let vector = Vector::parse("volumes=1024/512, 8192/4096 ;log=2097152;version=1").expect("a vector");
        assert_eq!(vector, Vector { log: 2_097_152, volumes: vec![(1024, 512), (8192, 4096)] });
        for wrong in [
            "",
            "version=1",
            "version=2;log=1;volumes=512/512",
            "version=1;log=1;volumes=",
            "version=1;log=1;volumes=700/512",
            "version=1;log=1;volumes=512/0",
            "version=1;log=1;log=2;volumes=512/512",
            "version=1;log=1;volumes=512/512;more=1",
            "version=1;log=-1;volumes=512/512",
        ] {
            assert_eq!(Vector::parse(wrong), None, "{wrong}");
        }
    }
}
