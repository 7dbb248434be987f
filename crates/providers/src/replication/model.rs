//! What a computer knows about replication: groups, volumes, logs, partners, and who may do what. Pure data; what is stored is this.

use crate::replication::guid::Guid;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// The replication groups of this computer.
    pub groups: Vec<Group>,
    /// The volumes that are in a group, were in one, or are noted down for one; those of a group in the order of the group.
    pub partitions: Vec<Partition>,
    /// The logs that were made and not removed, those of groups that are gone included.
    pub logs: Vec<Log>,
    /// The disks that volumes lie on: one for each storage root.
    pub disks: Vec<Disk>,
    /// The partnerships that a group of this computer takes part in.
    pub partnerships: Vec<Partnership>,
    /// The network interfaces that partnerships are bound to.
    pub constraints: Vec<NetworkConstraint>,
    /// The accounts that may manage replication without being administrators.
    pub users: Vec<String>,
    /// The computers that may replicate with this one.
    pub paired: Vec<String>,
}

/// Volumes that replicate together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Kept for its whole life.
    pub id: Guid,
    /// Unique on this computer, whatever the case.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Whether a write waits for the other side.
    pub mode: Mode,
    /// How far the other side may fall behind in asynchronous mode, in seconds; `None` leaves it at the default.
    pub async_rpo: Option<u32>,
    /// Whether the order of writes is kept across all volumes.
    pub write_consistency: bool,
    /// Whether data must be encrypted on its way.
    pub encryption: bool,
    /// Whether the volumes may change their size.
    pub allow_resize: bool,
    /// How many partners a write waits for in synchronous mode.
    pub min_partners: u32,
    /// The thumbprint of the certificate that this side is to show, where somebody named one.
    pub certificate: Option<String>,
    /// Whether the other side is said to hold a copy already.
    pub seeded: bool,
    /// Whether somebody has paused replication.
    pub suspended: bool,
}

/// Whether a write waits for the other side; the discriminant is MSFT_WvrReplicationGroup.ReplicationMode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It does.
    #[default]
    Sync = 1,
    /// It does not.
    Async = 2,
}

/// A volume: a regular file or a block device under a storage root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// PartitionId.
    pub id: Guid,
    /// The disk it lies on.
    pub disk: Guid,
    /// The path as the client wrote it.
    pub path: String,
    /// The path below the root that it really is; what tells one volume from another.
    pub real_path: String,
    /// Its size when it was last looked at, in bytes.
    pub size: u64,
    /// Its sector size, in bytes.
    pub sector_size: u32,
    /// The group it is or was in. A group of that id need not exist any more: the record is then an orphan.
    pub group: Option<Guid>,
    /// What ties it to the volume of the other side.
    pub replica_set: Option<Guid>,
    /// Whether somebody asked for the record; such a one stays when its group goes.
    pub provisioned: bool,
    /// Whether somebody took it out of replication, without taking it out of its group.
    #[serde(default)]
    pub deactivated: bool,
}

/// A log: a file whose space is reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The group it was made for.
    pub group: Guid,
    /// The name that group had.
    pub group_name: String,
    /// The place as the client named it: the file itself or a directory.
    pub place: String,
    /// The file.
    pub file: String,
    /// The path that the file really is.
    pub real_path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A storage root, with an identifier that stays when volumes come and go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// DiskGuid.
    pub id: Guid,
    /// The canonical path of the root.
    pub root: String,
}

/// One side of a partnership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The computer.
    pub computer: String,
    /// Its group.
    pub group: String,
}

/// Two groups of which one is copied to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partnership {
    /// The same on both sides.
    pub id: Guid,
    /// The side that is copied.
    pub source: End,
    /// The side that takes the copy.
    pub destination: End,
    /// The group of this computer.
    pub local_group: Guid,
    /// The group of the other computer.
    pub partner_group: Guid,
    /// Whether the group of this computer is the source.
    pub is_source: bool,
    /// Counts the changes of direction. If both sides take themselves for the source, the one that knows more of them is.
    #[serde(default)]
    pub generation: u64,
    /// At a destination: it was the source, and both sides were the same when it handed over in this generation.
    #[serde(default)]
    pub handed_over: bool,
    /// At a source: it took over without the other side.
    #[serde(default)]
    pub failed_over: bool,
}

/// Network interfaces that a partnership is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConstraint {
    /// The partnership.
    pub partnership: Guid,
    /// Interface indexes of the source.
    pub source_interfaces: Vec<String>,
    /// Interface indexes of the destination.
    pub destination_interfaces: Vec<String>,
}

impl Model {
    /// The group with this name, in any case.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|g| same_name(&g.name, name))
    }

    /// The same, to be changed.
    pub fn group_mut(&mut self, name: &str) -> Option<&mut Group> {
        self.groups.iter_mut().find(|g| same_name(&g.name, name))
    }

    /// The group with this id.
    pub fn group_by_id(&self, id: Guid) -> Option<&Group> {
        self.groups.iter().find(|g| g.id == id)
    }

    /// The volumes of a group, in order.
    pub fn volumes(&self, group: Guid) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().filter(move |p| p.group == Some(group))
    }

    /// The log of a group.
    pub fn log(&self, group: Guid) -> Option<&Log> {
        self.logs.iter().find(|l| l.group == group)
    }

    /// The volume that is really this file.
    pub fn partition_at(&self, real_path: &str) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.real_path == real_path)
    }

    /// The log that is really this file.
    pub fn log_at(&self, real_path: &str) -> Option<&Log> {
        self.logs.iter().find(|l| l.real_path == real_path)
    }

    /// The partnership that a group of this computer takes part in.
    pub fn partnership_of(&self, group: Guid) -> Option<&Partnership> {
        self.partnerships.iter().find(|p| p.local_group == group)
    }

    /// The partnership with this id.
    pub fn partnership(&self, id: Guid) -> Option<&Partnership> {
        self.partnerships.iter().find(|p| p.id == id)
    }

    /// Whether a record says that it belongs to a group that does not exist.
    pub fn is_orphan(&self, group: Option<Guid>) -> bool {
        group.is_some_and(|id| self.group_by_id(id).is_none())
    }

    /// The disk of a storage root; it gets an identifier if it has none yet.
    pub fn disk_of(&mut self, root: &str) -> Guid {
        if let Some(disk) = self.disks.iter().find(|d| d.root == root) {
            return disk.id;
        }
        let id = Guid::generate();
        self.disks.push(Disk { id, root: root.to_owned() });
        id
    }

    /// Takes the volumes of a group that match out of it. Records that somebody asked for stay, without a group.
    pub fn release(&mut self, group: Guid, matching: impl Fn(&Partition) -> bool) {
        let leaves = |p: &Partition| p.group == Some(group) && matching(p);
        self.partitions.retain(|p| p.provisioned || !leaves(p));
        for partition in self.partitions.iter_mut().filter(|p| leaves(p)) {
            partition.group = None;
            partition.replica_set = None;
        }
    }

    /// Has the interfaces of a partnership go with their computers when its direction is turned round.
    pub fn turn_constraint(&mut self, partnership: Guid) {
        for constraint in self.constraints.iter_mut().filter(|c| c.partnership == partnership) {
            std::mem::swap(&mut constraint.source_interfaces, &mut constraint.destination_interfaces);
        }
    }

    /// Takes back that volumes of a group were taken out of replication.
    pub fn activate(&mut self, group: Guid) {
        for partition in self.partitions.iter_mut().filter(|p| p.group == Some(group)) {
            partition.deactivated = false;
        }
    }

    /// What must be true of every model that is stored.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn check(&self) -> Result<(), String> {
        let mut names = HashSet::new();
        let mut ids = HashSet::new();
        for group in &self.groups {
            if !names.insert(group.name.to_lowercase()) || !ids.insert(group.id) {
                return Err(format!("the group {} is there twice", group.name));
            }
        }
        let mut files = HashSet::new();
        for partition in &self.partitions {
            if !ids.insert(partition.id) || !files.insert(partition.real_path.as_str()) {
                return Err(format!("the volume {} is there twice", partition.path));
            }
            if !self.disks.iter().any(|d| d.id == partition.disk) {
                return Err(format!("the volume {} is on no disk", partition.path));
            }
        }
        let mut logged = HashSet::new();
        for log in &self.logs {
            if !logged.insert(log.group) || !files.insert(log.real_path.as_str()) {
                return Err(format!("the log {} is there twice", log.file));
            }
        }
        let mut partners = HashSet::new();
        for partnership in &self.partnerships {
            if !partners.insert(partnership.local_group) {
                return Err(format!("a group of the partnership {} has two partners", partnership.id));
            }
            if self.group_by_id(partnership.local_group).is_none() {
                return Err(format!("the partnership {} has no group here", partnership.id));
            }
        }
        for constraint in &self.constraints {
            if !self.partnerships.iter().any(|p| p.id == constraint.partnership) {
                return Err(format!(
                    "the network constraint of {} has no partnership",
                    constraint.partnership
                ));
            }
        }
        Ok(())
    }
}

impl Partnership {
    /// The side of this computer.
    pub fn here(&self) -> &End {
        if self.is_source { &self.source } else { &self.destination }
    }

    /// The side of the other computer.
    pub fn there(&self) -> &End {
        if self.is_source { &self.destination } else { &self.source }
    }

    /// Turns the direction round. `generation` is the number of the new direction.
    pub fn turn(&mut self, generation: u64) {
        std::mem::swap(&mut self.source, &mut self.destination);
        self.is_source = !self.is_source;
        self.generation = generation;
        self.handed_over = false;
        self.failed_over = false;
    }
}

impl Mode {
    /// The mode with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Sync),
            2 => Some(Self::Async),
            _ => None,
        }
    }
}

impl End {
    /// Whether it is this group of this computer.
    pub fn is(&self, computer: &str, group: &str) -> bool {
        same_name(&self.group, group) && cimwright_sdk::remote::same_computer(&self.computer, computer)
    }
}

/// Whether two names of groups or accounts are the same: in any case.
pub fn same_name(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}
