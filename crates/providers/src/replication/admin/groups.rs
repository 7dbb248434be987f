//! Making, showing and removing groups.

use super::{alone, group, output, required, some_texts};
use crate::disk::jobs::toolbox::blocking;
use crate::replication::guid::Guid;
use crate::replication::jobs::create::CreateGroup;
use crate::replication::jobs::remove::RemoveGroup;
use crate::replication::jobs::verify::{self, Joining};
use crate::replication::jobs::{CREATE, EXCLUSIVE_USE, planned};
use crate::replication::model::{Group, Mode};
use crate::replication::service::{Answer, Handled, Planned, Shared};
use crate::replication::{errors, instances, log, volume};
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::ErrorDetail;
use std::sync::Arc;

const MAX_NAME: usize = 255;

/// NewSrGroup.
pub(super) async fn new(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let wanted = Wanted {
        name: required(call, "Name")?,
        description: call.str("Description"),
        volumes: some_texts(call, "VolumeName")?,
        log: required(call, "LogVolumeName")?,
        log_size: call.u64("LogSizeInBytes"),
        mode: Mode::Sync,
        write_consistency: call.bool("EnableConsistencyGroups").unwrap_or(false),
        encryption: call.bool("EnableEncryption").unwrap_or(false),
        min_partners: call.u64("MinimumPartnersInSync"),
        certificate: None,
    };
    Ok(Answer::Job(plan(shared, wanted).await?))
}

/// WvrCreateReplicationGroup: answers with the job at once.
pub(super) async fn create(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let wanted = Wanted {
        name: required(call, "ReplicationGroupName")?,
        description: call.str("Description"),
        volumes: some_texts(call, "VolumeNames")?,
        log: required(call, "LogPath")?,
        log_size: call.u64("MaxLogSizeInByte"),
        mode: mode(call)?.unwrap_or_default(),
        write_consistency: call.bool("EnableWriteConsistency").unwrap_or(false),
        encryption: call.bool("EnableEncryption").unwrap_or(false),
        min_partners: call.u64("MinimumPartnersInSync"),
        certificate: call.str("CertificateThumbprint"),
    };
    Ok(Answer::Job(Planned { wait: None, ..plan(shared, wanted).await? }))
}

/// GetGroup.
pub(super) fn get(shared: &Shared, call: &MethodCall) -> Handled {
    let model = shared.model();
    match call.str("Name").filter(|n| !n.trim().is_empty()) {
        None => output(model.groups.iter().map(|g| instances::group(shared, &model, g))),
        Some(_) => output([instances::group(shared, &model, group(shared, &model, call, "Name")?)]),
    }
}

/// RemoveSrGroup: with its log and the records of its volumes.
pub(super) fn remove(shared: &Shared, call: &MethodCall) -> Handled {
    removal(shared, call, "Name", true)
}

/// WvrDeleteReplicationGroup: without FullCleanup log and records stay behind.
pub(super) fn delete(shared: &Shared, call: &MethodCall) -> Handled {
    removal(shared, call, "ReplicationGroupName", call.bool("FullCleanup").unwrap_or(false))
}

/// The ReplicationMode of a call, if it has one.
pub(super) fn mode(call: &MethodCall) -> Result<Option<Mode>, ErrorDetail> {
    let method = call.method.as_str();
    match call.u64("ReplicationMode") {
        None => Ok(None),
        Some(number) => Mode::from_number(number)
            .map(Some)
            .ok_or_else(|| errors::parameter_value(method, "ReplicationMode", &number.to_string())),
    }
}

fn removal(shared: &Shared, call: &MethodCall, parameter: &str, wipe: bool) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, parameter)?;
    alone(&model, group.id, &group.name)?;
    let order = RemoveGroup { group: group.id, name: group.name.clone(), wipe };
    let touched = vec![(instances::group_path(&group.name), EXCLUSIVE_USE)];
    Ok(Answer::Job(planned(&order, format!("Remove the replication group {}", group.name), touched)))
}

/// What a new group is to be.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) description: Option<&'a str>,
    pub(super) volumes: Vec<String>,
    pub(super) log: &'a str,
    pub(super) log_size: Option<u64>,
    pub(super) mode: Mode,
    pub(super) write_consistency: bool,
    pub(super) encryption: bool,
    pub(super) min_partners: Option<u64>,
    pub(super) certificate: Option<&'a str>,
}

/// Refuses what can be known to be wrong; the job makes sure of it again.
async fn plan(shared: &Arc<Shared>, wanted: Wanted<'_>) -> Result<Planned, ErrorDetail> {
    let order = order(shared, wanted).await?;
    let description =
        format!("Create the replication group {} with its log {}", order.group.name, order.log_file);
    let touched = vec![(instances::group_path(&order.group.name), CREATE)];
    Ok(planned(&order, description, touched))
}

/// The order for a new group.
///
/// # Errors
/// What is wrong with it.
pub(super) async fn order(shared: &Arc<Shared>, wanted: Wanted<'_>) -> Result<CreateGroup, ErrorDetail> {
    let name = wanted.name;
    if name.chars().count() > MAX_NAME {
        return Err(errors::group_name(name, "it has more than 255 characters"));
    }
    if name.chars().any(char::is_control) {
        return Err(errors::group_name(name, "it has a control character"));
    }
    if let Some(other) = shared.model().group(name) {
        return Err(errors::group_exists(&other.name, shared.computer()));
    }
    if wanted.write_consistency && wanted.volumes.len() > 1 {
        return Err(errors::write_order(name, &wanted.volumes.len().to_string()));
    }
    let min_partners = match wanted.min_partners {
        None => 0,
        Some(number @ 0..=1) => number as u32,
        Some(number) => return Err(errors::one_partner(name, &number.to_string())),
    };
    let group = Group {
        id: Guid::generate(),
        name: name.to_owned(),
        description: wanted.description.filter(|d| !d.is_empty()).map(str::to_owned),
        mode: wanted.mode,
        async_rpo: None,
        write_consistency: wanted.write_consistency,
        encryption: wanted.encryption,
        allow_resize: false,
        min_partners,
        certificate: wanted.certificate.filter(|c| !c.is_empty()).map(str::to_owned),
        seeded: false,
        suspended: false,
    };
    let volumes: Vec<Joining> =
        wanted.volumes.into_iter().map(|path| Joining { path, replica_set: None }).collect();
    let order = CreateGroup {
        group,
        volumes,
        log_place: wanted.log.to_owned(),
        log_file: String::new(),
        log_size: wanted.log_size,
    };
    let shared = Arc::clone(shared);
    blocking(move || look(&shared, order)).await
}

/// Looks at volumes and log, and completes the order.
fn look(shared: &Shared, order: CreateGroup) -> Result<CreateGroup, ErrorDetail> {
    let found: Vec<volume::Volume> = order
        .volumes
        .iter()
        .map(|v| volume::look(&shared.roots, &v.path))
        .collect::<Result<_, ErrorDetail>>()?;
    verify::free(&shared.model(), &found, order.group.id)?;
    let log_place = shared.roots.resolve(&order.log_place).ok();
    if log_place.is_some_and(|log| found.iter().any(|v| v.real_path == log.real_path())) {
        return Err(errors::log_is_volume(&order.log_place));
    }
    let log_file = log::file_for(&shared.roots, &order.log_place, order.group.id)?;
    let needed = log::needed(found.iter().map(|v| v.size));
    log::size(&order.group.name, order.log_size, needed)?;
    Ok(CreateGroup { log_file, ..order })
}
