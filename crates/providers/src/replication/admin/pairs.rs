//! The volumes of a partnership.

use super::partnerships::matches;
use super::{group, required, some_texts};
use crate::replication::guid::Guid;
use crate::replication::jobs::pairs::{AddPairs, RemovePair};
use crate::replication::jobs::planned;
use crate::replication::jobs::verify::Joining;
use crate::replication::model::{Model, Partnership, same_name};
use crate::replication::service::{Answer, Handled, Planned, Shared};
use crate::replication::{errors, instances};
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::remote::same_computer;

/// SetPartnershipAddVolumes, at the source.
pub(super) fn add(shared: &Shared, call: &MethodCall) -> Handled {
    super::partners::engine(shared, call)?;
    let source = required(call, "SourceRGName")?;
    required(call, "DestinationRGName")?;
    let (here, there) = (
        some_texts(call, "SourceAddVolumePartnership")?,
        some_texts(call, "DestinationAddVolumePartnership")?,
    );
    if here.len() != there.len() {
        let counts = (there.len().to_string(), here.len().to_string());
        let list = "DestinationAddVolumePartnership";
        return Err(errors::counts_differ(call.method.as_str(), list, &counts.0, &counts.1).into());
    }
    if call.bool("Seeded").unwrap_or(false) {
        let what = "the copy of a destination is not compared, it is made anew; leave Seeded out";
        return Err(errors::not_yet("Seeded of SetPartnershipAddVolumes", what).into());
    }
    let model = shared.model();
    let found = model.partnerships.iter().find(|p| p.is_source && matches(shared, call, p));
    let found = found.ok_or_else(|| errors::no_partnership(source, shared.computer()))?;
    join(shared, &model, found, here, there)
}

/// WvrAddReplicaSet: one volume of each side.
pub(super) fn add_set(shared: &Shared, call: &MethodCall) -> Handled {
    super::partners::engine(shared, call)?;
    let model = shared.model();
    let partnership = target(shared, &model, call)?;
    let here = path(&model, required(call, "SourcePartitionId")?);
    let there = required(call, "TargetPartitionId")?.to_owned();
    join(shared, &model, partnership, vec![here], vec![there])
}

/// WvrRemoveReplicaSet: one volume of each side.
pub(super) fn remove_set(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    let partnership = target(shared, &model, call)?;
    let given = required(call, "SourcePartitionId")?;
    required(call, "TargetPartitionId")?;
    let wanted = path(&model, given);
    let volume = model.volumes(partnership.local_group).find(|p| p.path == wanted);
    let here = &partnership.source;
    let volume = volume.ok_or_else(|| errors::volume_not_in_group(given, &here.group))?;
    if model.volumes(partnership.local_group).count() == 1 {
        return Err(errors::last_volume(&volume.path, &here.group).into());
    }
    let set = volume.replica_set.unwrap_or(volume.id);
    let order = RemovePair {
        group: partnership.local_group,
        here: here.clone(),
        there: partnership.destination.clone(),
        set,
    };
    let description =
        format!("Take {} and its partner out of {} and {}", volume.path, here.group, order.there.group);
    Ok(Answer::Job(planned(&order, description, touched(&model, partnership))))
}

fn join(
    shared: &Shared,
    model: &Model,
    partnership: &Partnership,
    paths: Vec<String>,
    partners: Vec<String>,
) -> Handled {
    let here = &partnership.source;
    for path in &paths {
        let known = shared.roots.resolve(path).ok().and_then(|p| model.partition_at(p.real_path()));
        if known.is_some_and(|k| k.group == Some(partnership.local_group)) {
            return Err(errors::volume_in_group(path, &here.group).into());
        }
    }
    let group = model.group_by_id(partnership.local_group);
    if group.is_some_and(|g| g.write_consistency) {
        let count = model.volumes(partnership.local_group).count() + paths.len();
        return Err(errors::write_order(&here.group, &count.to_string()).into());
    }
    let description = format!(
        "Add {} to {} and its destination {} on {}",
        paths.join(", "),
        here.group,
        partnership.destination.group,
        partnership.destination.computer
    );
    let joining = paths.into_iter().map(|path| Joining { path, replica_set: Some(Guid::generate()) });
    let order = AddPairs {
        id: partnership.id,
        group: partnership.local_group,
        here: here.clone(),
        there: partnership.destination.clone(),
        volumes: joining.collect(),
        partners,
    };
    let planned = planned(&order, description, touched(model, partnership));
    Ok(Answer::Job(Planned { wait: Some(super::partners::WAIT_FOR_COPY), ..planned }))
}

/// The partnership that the Wvr… methods mean, of which this computer has the source.
fn target<'m>(shared: &Shared, model: &'m Model, call: &MethodCall) -> Result<&'m Partnership, ErrorDetail> {
    let group = group(shared, model, call, "SourceReplicationGroupName")?;
    let (computer, name) =
        (required(call, "TargetComputerName")?, required(call, "TargetReplicationGroupName")?);
    model
        .partnership_of(group.id)
        .filter(|p| p.is_source && same_name(&p.destination.group, name))
        .filter(|p| same_computer(&p.destination.computer, computer))
        .ok_or_else(|| errors::no_partnership(&group.name, shared.computer()))
}

/// A volume by its identifier, or by its path if it has none yet.
pub(super) fn path(model: &Model, given: &str) -> String {
    let known = Guid::parse(given).and_then(|id| model.partitions.iter().find(|p| p.id == id));
    known.map_or_else(|| given.to_owned(), |p| p.path.clone())
}

fn touched(model: &Model, partnership: &Partnership) -> Vec<(cimwright_sdk::cim::InstancePath, u16)> {
    let group = model.group_by_id(partnership.local_group);
    group.map_or_else(
        || vec![(instances::group_path(&partnership.source.group), crate::replication::jobs::EXCLUSIVE_USE)],
        |group| super::touched(model, group),
    )
}
