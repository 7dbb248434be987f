//! What a client sees: the model as instances. A value that is not known is NULL, never made up.

use super::engine::{MirrorPhase, fingerprint};
use super::model::{Group, Mode, Model, NetworkConstraint, Partition, Partnership};
use super::service::Shared;
use super::{log, namespace, volume};
use crate::disk::jobs::toolbox::blocking;
use crate::replication::errors;
use crate::replication::guid::Guid;
use async_trait::async_trait;
use cimwright_sdk::cim::{
    CimError, CimType, ClassName, DateTime, Embedded, ErrorDetail, Instance, InstancePath, Property, Value,
};
use cimwright_sdk::jobs::{Clock, SystemClock};
use cimwright_sdk::{Context, InstanceProvider};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The class with all the methods.
pub const ADMIN_TASKS: &str = "MSFT_WvrAdminTasks";
/// The class of groups.
pub const GROUP: &str = "MSFT_WvrReplicationGroup";
/// The class of volumes.
pub const REPLICA: &str = "MSFT_WvrReplica";
/// The class of partnerships.
pub const PARTNERSHIP: &str = "MSFT_WvrReplicationPartnership";
/// The class of bound network interfaces.
pub const CONSTRAINT: &str = "MSFT_WvrNetworkConstraint";
/// The class of states of health.
pub const HEALTH: &str = "MSFT_WvrHealth";
/// The class of accounts.
pub const USER: &str = "MSFT_WvrUser";
/// The class of computers that may replicate with each other.
pub const PAIR: &str = "MSFT_WvrPairedCluster";
/// The class of records of volumes.
pub const RECORD: &str = "MSFT_WvrPartitionDbRecord";

/// The class of places where volumes that replicate are reached; ours.
pub const ENDPOINT: &str = "Cimwright_ReplicaEndpoint";

/// The classes that have instances.
pub const CLASSES: [&str; 10] =
    [ADMIN_TASKS, GROUP, REPLICA, PARTNERSHIP, CONSTRAINT, HEALTH, USER, PAIR, RECORD, ENDPOINT];

/// How far the other side may fall behind in asynchronous mode when nobody says otherwise, in seconds.
pub const DEFAULT_RPO: u32 = 300;

/// The values of ReplicationStatus, the worst first, as far as this server knows them.
mod status {
    pub(super) const FAILED: u32 = 4;
    pub(super) const CONNECTING_TO_SOURCE: u32 = 6;
    pub(super) const WAITING_FOR_DESTINATION: u32 = 7;
    pub(super) const SUSPENDED: u32 = 5;
    pub(super) const INITIAL_BLOCK_COPY: u32 = 10;
    pub(super) const BLOCK_COPY_TO_DESTINATION: u32 = 14;
    pub(super) const OUT_OF_RPO: u32 = 11;
    pub(super) const IN_RPO: u32 = 12;
    pub(super) const REPLICATING: u32 = 1;
    pub(super) const NOT_IN_PARTNERSHIP: u32 = 15;

    pub(super) const WORST_FIRST: [u32; 10] = [
        FAILED,
        CONNECTING_TO_SOURCE,
        WAITING_FOR_DESTINATION,
        SUSPENDED,
        INITIAL_BLOCK_COPY,
        BLOCK_COPY_TO_DESTINATION,
        OUT_OF_RPO,
        IN_RPO,
        REPLICATING,
        NOT_IN_PARTNERSHIP,
    ];
}

/// MSFT_WvrHealth.ObjectType.
#[derive(Clone, Copy)]
#[repr(u16)]
enum Part {
    Group = 0,
    Replica = 1,
    Log = 2,
}

/// Gives the instances.
pub struct Instances {
    shared: Arc<Shared>,
}

impl Instances {
    /// Of this server.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[async_trait]
impl InstanceProvider for Instances {
    async fn enumerate(&self, _context: Context<'_>, class: &ClassName) -> Result<Vec<Instance>, CimError> {
        let model = self.shared.state.model();
        let computer = self.shared.computer();
        let shared = &self.shared;
        Ok(match class.as_str() {
            GROUP => model.groups.iter().map(|g| group(shared, &model, g)).collect(),
            REPLICA => {
                let volumes = model.groups.iter().flat_map(|g| model.volumes(g.id).map(move |p| (g, p)));
                volumes.map(|(g, p)| replica(shared, &model, g, p)).collect()
            }
            PARTNERSHIP => model.partnerships.iter().map(partnership).collect(),
            CONSTRAINT => model.constraints.iter().filter_map(|c| constraint(&model, c)).collect(),
            USER => model.users.iter().map(|u| user(u)).collect(),
            PAIR => model.paired.iter().map(|other| pair(computer, other)).collect(),
            RECORD => model.partitions.iter().map(record).collect(),
            HEALTH => {
                let shared = Arc::clone(&self.shared);
                blocking(move || health(&shared, &model)).await
            }
            ENDPOINT => model.partitions.iter().filter_map(|p| endpoint(shared, &model, p)).collect(),
            ADMIN_TASKS => vec![Instance::new(ADMIN_TASKS)],
            _ => Vec::new(),
        })
    }
}

/// MSFT_WvrReplicationGroup.
pub fn group(shared: &Shared, model: &Model, group: &Group) -> Instance {
    let volumes: Vec<&Partition> = model.volumes(group.id).collect();
    let log = model.log(group.id);
    let partnership = model.partnership_of(group.id);
    let replicas = volumes.iter().map(|p| Some(Value::Instance(Box::new(replica(shared, model, group, p)))));
    let count = u32::try_from(volumes.len()).unwrap_or(u32::MAX);
    let rpo = group.async_rpo.or((group.mode == Mode::Async).then_some(DEFAULT_RPO));
    let states: Vec<Option<u32>> =
        volumes.iter().map(|p| replication_status(shared, model, group, p)).collect();
    let worst = if states.contains(&None) {
        None
    } else {
        status::WORST_FIRST.into_iter().find(|s| states.contains(&Some(*s)))
    };
    // All were the same when the one was that is behind most.
    let times: Option<Vec<SystemTime>> =
        volumes.iter().map(|p| shared.sessions.status(p.id).and_then(|s| s.last_in_sync)).collect();
    let in_sync = times.and_then(|t| t.into_iter().min());
    let mut instance = Instance::new(GROUP);
    instance.properties = vec![
        text("Name", Some(&group.name)),
        text("ComputerName", Some(shared.computer())),
        text("Description", group.description.as_deref()),
        text("Id", Some(&shown(group.id))),
        text("LogVolume", log.map(|l| l.place.as_str())),
        number("LogSizeInBytes", CimType::Uint64, log.map(|l| Value::Uint64(l.size))),
        texts("Partitions", volumes.iter().map(|p| shown(p.id))),
        flag("IsCluster", false),
        flag("IsAutoFailover", false),
        flag("IsPrimary", partnership.is_some_and(|p| p.is_source)),
        flag("IsSuspended", group.suspended),
        flag("IsInPartnership", partnership.is_some()),
        flag("IsWriteConsistency", group.write_consistency),
        number("AsyncRPO", CimType::Uint32, rpo.map(Value::Uint32)),
        flag("IsEncrypted", group.encryption),
        flag("AllowVolumeResize", group.allow_resize),
        number("NumOfReplicas", CimType::Uint32, Some(Value::Uint32(count))),
        number("ReplicationMode", CimType::Uint32, Some(Value::Uint32(group.mode as u32))),
        number("ReplicationStatus", CimType::Uint32, worst.map(Value::Uint32)),
        number("LastInSyncTime", CimType::DateTime, in_sync.map(time)),
        Property {
            is_array: true,
            embedded: Some(Embedded::Instance),
            ..Property::new("Replicas", CimType::String, Some(Value::Array(replicas.collect())))
        },
    ];
    instance
}

/// MSFT_WvrReplica.
pub fn replica(shared: &Shared, model: &Model, group: &Group, partition: &Partition) -> Instance {
    let known = shared.sessions.status(partition.id).unwrap_or_default();
    let copies = known.phase.is_some();
    let state = replication_status(shared, model, group, partition);
    let mut instance = Instance::new(REPLICA);
    instance.properties = vec![
        text("PartitionId", Some(&shown(partition.id))),
        text("DataVolume", Some(&partition.path)),
        number("PartitionSize", CimType::Uint64, Some(Value::Uint64(partition.size))),
        number("NumOfBytesRecovered", CimType::Uint64, copies.then_some(Value::Uint64(known.done_bytes))),
        number("NumOfBytesRemaining", CimType::Uint64, known.remaining_bytes.map(Value::Uint64)),
        number("CurrentLsn", CimType::Uint64, None),
        number("LastKnownPrimaryLsn", CimType::Uint64, None),
        number("LastInSyncTime", CimType::DateTime, known.last_in_sync.map(time)),
        number("LastOutOfSyncTime", CimType::DateTime, known.last_out_of_sync.map(time)),
        number("ReplicationMode", CimType::Uint32, Some(Value::Uint32(group.mode as u32))),
        number("ReplicationStatus", CimType::Uint32, state.map(Value::Uint32)),
    ];
    instance
}

/// ReplicationStatus of a volume. A destination that listens shows what its source said last; NULL when it said nothing.
fn replication_status(shared: &Shared, model: &Model, group: &Group, partition: &Partition) -> Option<u32> {
    let Some(partnership) = model.partnership_of(group.id) else { return Some(status::NOT_IN_PARTNERSHIP) };
    let known = shared.sessions.status(partition.id).unwrap_or_default();
    if !partnership.is_source {
        return match (&known.failure, known.receiving) {
            (Some(_), _) => Some(status::FAILED),
            (None, true) => known.told,
            (None, false) => Some(status::CONNECTING_TO_SOURCE),
        };
    }
    let rpo = Duration::from_secs(u64::from(group.async_rpo.unwrap_or(DEFAULT_RPO)));
    let late = || {
        let since = known.last_in_sync.and_then(|t| SystemClock.now().duration_since(t).ok());
        since.is_none_or(|s| s > rpo)
    };
    let wanted = group.suspended || partition.deactivated;
    Some(match known.phase {
        // Until the engine has paused, writes still arrive at the other side: it is not suspended because somebody wants it to be.
        None | Some(MirrorPhase::Broken | MirrorPhase::Lost) if wanted => status::SUSPENDED,
        None => status::WAITING_FOR_DESTINATION,
        Some(MirrorPhase::Copying) => status::INITIAL_BLOCK_COPY,
        Some(MirrorPhase::CatchingUp) => status::BLOCK_COPY_TO_DESTINATION,
        Some(MirrorPhase::Suspended) => status::SUSPENDED,
        Some(MirrorPhase::Broken) => status::WAITING_FOR_DESTINATION,
        Some(MirrorPhase::Lost) => status::FAILED,
        Some(MirrorPhase::Following) => match group.mode {
            Mode::Sync => status::REPLICATING,
            Mode::Async if late() => status::OUT_OF_RPO,
            Mode::Async => status::IN_RPO,
        },
    })
}

/// Cimwright_ReplicaEndpoint; `None` for a volume that has no partner.
fn endpoint(shared: &Shared, model: &Model, partition: &Partition) -> Option<Instance> {
    let partnership = model.partnership_of(partition.group?)?;
    let known = shared.sessions.status(partition.id).unwrap_or_default();
    // What was true a moment ago is not good enough: the other side concludes from it that nothing needs to be copied.
    let group = model.group_by_id(partnership.local_group);
    let state = group.and_then(|g| replication_status(shared, model, g, partition));
    let looks = fingerprint(Path::new(&partition.real_path));
    let mut instance = Instance::new(ENDPOINT);
    instance.properties = vec![
        text("ReplicaSetId", Some(&shown(partition.replica_set?))),
        text("PartitionId", Some(&shown(partition.id))),
        text("Host", known.endpoint.map(|(host, _)| host.to_string()).as_deref()),
        number("Port", CimType::Uint16, known.endpoint.map(|(_, port)| Value::Uint16(port))),
        text("ApplicationUri", known.export.as_deref()),
        flag("IsSource", partnership.is_source),
        number("Generation", CimType::Uint64, Some(Value::Uint64(partnership.generation))),
        flag("HandedOver", partnership.handed_over),
        text("Fingerprint", looks.as_deref()),
        number("ReplicationStatus", CimType::Uint32, state.map(Value::Uint32)),
    ];
    Some(instance)
}

/// The path of the endpoint of a replica set.
pub fn endpoint_path(set: &str) -> InstancePath {
    InstancePath::new(namespace(), ENDPOINT).with_key("ReplicaSetId", set)
}

/// MSFT_WvrReplicationPartnership.
pub fn partnership(partnership: &Partnership) -> Instance {
    let mut instance = Instance::new(PARTNERSHIP);
    instance.properties = ends(partnership);
    instance.properties.push(text("Id", Some(&shown(partnership.id))));
    instance
}

/// MSFT_WvrNetworkConstraint; `None` for one whose partnership is gone.
pub fn constraint(model: &Model, constraint: &NetworkConstraint) -> Option<Instance> {
    let partnership = model.partnerships.iter().find(|p| p.id == constraint.partnership)?;
    let mut instance = Instance::new(CONSTRAINT);
    instance.properties = ends(partnership);
    instance.properties.push(texts("DestinationNWInterface", constraint.destination_interfaces.clone()));
    instance.properties.push(texts("SourceNWInterface", constraint.source_interfaces.clone()));
    Some(instance)
}

/// MSFT_WvrUser.
pub fn user(name: &str) -> Instance {
    Instance::new(USER).with("UserName", name)
}

/// MSFT_WvrPairedCluster.
pub fn pair(computer: &str, other: &str) -> Instance {
    Instance::new(PAIR).with("ClusterName", computer).with("PairedClusterName", other)
}

/// MSFT_WvrPartitionDbRecord.
pub fn record(partition: &Partition) -> Instance {
    let mut instance = Instance::new(RECORD);
    instance.properties = vec![
        text("DiskGuid", Some(&shown(partition.disk))),
        text("PartitionGuid", Some(&shown(partition.id))),
        text("GroupId", partition.group.map(shown).as_deref()),
    ];
    instance
}

/// An identifier as the server shows it.
pub fn shown(id: Guid) -> String {
    id.to_string()
}

/// The path of a group, for the associations of jobs.
pub fn group_path(name: &str) -> InstancePath {
    InstancePath::new(None, GROUP).with_key("Name", name)
}

/// The path of a volume, for the associations of jobs.
pub fn replica_path(id: Guid) -> InstancePath {
    InstancePath::new(None, REPLICA).with_key("PartitionId", shown(id))
}

/// The path of the one MSFT_WvrAdminTasks, which has no key.
pub fn admin_tasks_path() -> InstancePath {
    InstancePath::new(None, ADMIN_TASKS)
}

/// The path of the same on another computer.
pub fn admin_tasks_class() -> cimwright_sdk::cim::ObjectPath {
    cimwright_sdk::cim::ClassPath::new(namespace(), ADMIN_TASKS).into()
}

/// The state of health of every group, volume and log, by looking at the files. Blocks for the disk.
fn health(shared: &Shared, model: &Model) -> Vec<Instance> {
    let mut found = Vec::new();
    for group in &model.groups {
        let mut worst: Option<ErrorDetail> = None;
        for partition in model.volumes(group.id) {
            // A volume that replicates belongs to the engine, which knows best how it fares.
            let fault = match shared.sessions.status(partition.id) {
                Some(known) => known.failure,
                None => volume::look(&shared.roots, &partition.path).err(),
            };
            found.push(part(Part::Replica, &shown(partition.id), Some(partition), group, fault.as_ref()));
            worst = worst.or(fault);
        }
        let log = model.log(group.id);
        if let Some(log) = log {
            let fault = log_fault(shared, &log.file, group);
            found.push(part(Part::Log, &log.file, None, group, fault.as_ref()));
            worst = worst.or(fault);
        }
        found.push(part(Part::Group, &shown(group.id), None, group, worst.as_ref()));
    }
    found
}

/// The state of health of one volume, as the event of its change tells it; `None` if the volume belongs to no group any more.
pub(super) fn volume_health(model: &Model, id: Guid, fault: Option<&ErrorDetail>) -> Option<Instance> {
    let partition = model.partitions.iter().find(|p| p.id == id)?;
    let group = model.groups.iter().find(|g| Some(g.id) == partition.group)?;
    Some(part(Part::Replica, &shown(id), Some(partition), group, fault))
}

fn log_fault(shared: &Shared, file: &str, group: &Group) -> Option<ErrorDetail> {
    let place = match volume::resolve(&shared.roots, file) {
        Ok(place) => place,
        Err(fault) => return Some(fault),
    };
    match log::belongs_to(&place, group.id) {
        Ok(true) => None,
        Ok(false) => Some(errors::log_foreign(file, &group.name)),
        Err(_) => Some(errors::log_missing(file, &group.name)),
    }
}

fn part(
    kind: Part,
    id: &str,
    partition: Option<&Partition>,
    group: &Group,
    fault: Option<&ErrorDetail>,
) -> Instance {
    const HEALTHY: u16 = 0;
    const UNHEALTHY: u16 = 2;
    let arguments = fault.map(|f| f.arguments.clone());
    let action = fault.and_then(|f| f.recommended_actions.first());
    let mut instance = Instance::new(HEALTH);
    instance.properties = vec![
        number("ObjectType", CimType::Uint16, Some(Value::Uint16(kind as u16))),
        text("SourceObjectId", Some(id)),
        text("DiskId", partition.map(|p| shown(p.disk)).as_deref()),
        text("ReplicationGroupId", Some(&shown(group.id))),
        number(
            "HealthStatus",
            CimType::Uint16,
            Some(Value::Uint16(if fault.is_some() { UNHEALTHY } else { HEALTHY })),
        ),
        Property {
            is_array: true,
            ..Property::new("FaultReasonParameters", CimType::String, arguments.map(Value::strings))
        },
        text("FaultReason", fault.map(|f| f.message.as_str())),
        text("FaultTypeId", fault.map(|f| f.message_id.as_str())),
        text("ActionString", action.map(String::as_str)),
    ];
    instance
}

fn ends(partnership: &Partnership) -> Vec<Property> {
    vec![
        text("SourceRGName", Some(&partnership.source.group)),
        text("DestinationRGName", Some(&partnership.destination.group)),
        text("SourceComputerName", Some(&partnership.source.computer)),
        text("DestinationComputerName", Some(&partnership.destination.computer)),
    ]
}

fn text(name: &'static str, value: Option<&str>) -> Property {
    Property::new(name, CimType::String, value.map(Value::from))
}

fn texts(name: &'static str, values: impl IntoIterator<Item = String>) -> Property {
    Property::new(name, CimType::String, Some(Value::strings(values)))
}

fn flag(name: &'static str, value: bool) -> Property {
    Property::new(name, CimType::Boolean, Some(Value::Boolean(value)))
}

fn time(at: SystemTime) -> Value {
    Value::DateTime(DateTime::from_system_time(at))
}

fn number(name: &'static str, cim_type: CimType, value: Option<Value>) -> Property {
    Property::new(name, cim_type, value)
}
