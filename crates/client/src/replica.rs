//! Storage Replica as a person thinks of it: groups, their partners, how far a copy is, and the job behind a call.
//!
//! Most methods of MSFT_WvrAdminTasks have no parameter for the job they start. [`Replication::call`] finds it: it is the one that
//! was not there before.

use crate::client::{Client, MethodAnswer};
use crate::error::ClientError;
use crate::job::{JobHandle, JobSnapshot};
use cimwright_cim::{ClassPath, DateTime, Instance, InstancePath, NamespaceName, Param, Value};
use std::collections::HashSet;
use std::fmt;

/// Where Storage Replica lives.
pub const NAMESPACE: &str = "root/microsoft/windows/storagereplica";

/// The class whose methods do everything.
const TASKS: &str = "MSFT_WvrAdminTasks";
/// The return value of a method whose job goes on.
pub const JOB_STARTED: i128 = 4096;
/// How many jobs are asked for at once.
const PORTION: u32 = 500;

/// What a server knows about replication.
pub struct Replication<'c> {
    client: &'c Client,
    namespace: NamespaceName,
}

/// What a call came to.
#[derive(Clone, Debug)]
pub struct Called {
    /// Return value and output parameters.
    pub answer: MethodAnswer,
    /// The job that the call left here; `None` when there is none, or when it is another computer's.
    pub job: Option<InstancePath>,
}

/// A partnership: a group that is copied, and one that takes the copy.
#[derive(Clone, Debug, PartialEq)]
pub struct Partnership {
    /// Its identifier.
    pub id: Option<String>,
    /// What is copied.
    pub source: End,
    /// What takes the copy.
    pub destination: End,
}

/// One side of a partnership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The computer.
    pub computer: String,
    /// The group on it.
    pub group: String,
}

/// A replication group (MSFT_WvrReplicationGroup), as its own computer sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The computer it is on.
    pub computer: String,
    /// Whether it has a partner.
    pub in_partnership: bool,
    /// Whether it is the source of that.
    pub is_source: bool,
    /// Whether somebody has paused it.
    pub suspended: bool,
    /// Whether a write waits for the other side; `None` when the server does not say.
    pub synchronous: Option<bool>,
    /// How far the destination may fall behind in asynchronous mode, in seconds.
    pub async_rpo: Option<u64>,
    /// What replication is doing; `None` where that side does not know.
    pub status: Option<Status>,
    /// When both sides of all volumes were last known to be the same.
    pub last_in_sync: Option<DateTime>,
    /// Its volumes.
    pub volumes: Vec<Volume>,
}

/// A volume of a group (MSFT_WvrReplica).
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Its identifier.
    pub id: String,
    /// Its path.
    pub path: String,
    /// Its size, in bytes.
    pub size: Option<u64>,
    /// How much of the copy is done, in bytes.
    pub recovered: Option<u64>,
    /// What the other side lacks, in bytes.
    pub remaining: Option<u64>,
    /// When both sides were last known to be the same.
    pub last_in_sync: Option<DateTime>,
    /// When they last ceased to be.
    pub last_out_of_sync: Option<DateTime>,
    /// What replication is doing.
    pub status: Option<Status>,
}

/// ReplicationStatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u64);

impl<'c> Replication<'c> {
    /// In the namespace where it usually is.
    pub fn new(client: &'c Client) -> Self {
        Self::in_namespace(client, NamespaceName::new(NAMESPACE))
    }

    /// In another namespace.
    pub fn in_namespace(client: &'c Client, namespace: NamespaceName) -> Self {
        Self { client, namespace }
    }

    /// The namespace that is asked.
    pub fn namespace(&self) -> &NamespaceName {
        &self.namespace
    }

    /// The groups of the computer that answers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn groups(&self) -> Result<Vec<Group>, ClientError> {
        let found =
            self.client.enumerate_instances(&self.namespace, "MSFT_WvrReplicationGroup", None).await?;
        Ok(found.iter().map(Group::of).collect())
    }

    /// The partnerships that the computer that answers knows, those of which it is the destination too.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn partnerships(&self) -> Result<Vec<Partnership>, ClientError> {
        let class = "MSFT_WvrReplicationPartnership";
        let found = self.client.enumerate_instances(&self.namespace, class, None).await?;
        Ok(found.iter().filter_map(Partnership::of).collect())
    }

    /// The addresses at which applications of that computer reach volumes that it replicates, with the identifiers of the volumes.
    /// A class of Cimwright's own.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn application_uris(&self) -> Result<Vec<(String, String)>, ClientError> {
        let class = "Cimwright_ReplicaEndpoint";
        let found = self.client.enumerate_instances(&self.namespace, class, None).await?;
        let uri = |i: &Instance| {
            Some((i.get_str("PartitionId")?.to_owned(), i.get_str("ApplicationUri")?.to_owned()))
        };
        Ok(found.iter().filter_map(uri).collect())
    }

    /// Calls a method of MSFT_WvrAdminTasks. Parameters that are NULL need not be named.
    ///
    /// # Errors
    /// See [`ClientError`]. A return value that means failure is an answer, not an error.
    pub async fn call(&self, method: &str, params: Vec<Param>) -> Result<Called, ClientError> {
        let before: HashSet<String> = self.jobs().await?.into_iter().map(|job| job.instance_id).collect();
        let target = ClassPath::new(self.namespace.clone(), TASKS).into();
        let answer = self.client.invoke(&target, method, params).await?;
        let job = match (answer.job(), answer.code()) {
            (Some(job), _) => Some(job.clone()),
            (None, Some(0) | None) => None,
            (None, Some(code)) => {
                let mut new = self.jobs().await?;
                new.retain(|job| !before.contains(&job.instance_id) && fits(job, code));
                let newest = new.into_iter().max_by_key(|job| {
                    (job.time_submitted.and_then(|t| t.to_unix_micros()), job.instance_id.clone())
                });
                newest.and_then(|job| job.path)
            }
        };
        Ok(Called { answer, job })
    }

    /// A job of the computer that answers.
    pub fn job(&self, path: &InstancePath) -> JobHandle<'c> {
        JobHandle::new(self.client, path.clone())
    }

    async fn jobs(&self) -> Result<Vec<JobSnapshot>, ClientError> {
        let properties = ["InstanceID", "JobState", "TimeSubmitted"];
        let mut jobs = self.client.open_instances(&self.namespace, "MSFT_SrJob", Some(&properties), PORTION);
        let mut found = Vec::new();
        while let Some(portion) = jobs.next().await? {
            found.extend(portion.into_iter().map(JobSnapshot::of));
        }
        Ok(found)
    }
}

/// Whether a job can be the one behind an answer: one that failed behind a refusal, another one behind a job that was started.
fn fits(job: &JobSnapshot, code: i128) -> bool {
    let failed = job.state.is_ended() && !job.state.is_success();
    code == JOB_STARTED || failed
}

impl Group {
    /// Reads an instance.
    pub fn of(instance: &Instance) -> Self {
        let text = |name: &str| instance.get_str(name).unwrap_or_default().to_owned();
        let flag = |name: &str| instance.get(name).and_then(|v| v.as_bool()).unwrap_or(false);
        let volumes = instance.get("Replicas").and_then(|v| v.as_array()).unwrap_or(&[]);
        Self {
            name: text("Name"),
            computer: text("ComputerName"),
            in_partnership: flag("IsInPartnership"),
            is_source: flag("IsPrimary"),
            suspended: flag("IsSuspended"),
            synchronous: instance.get_u64("ReplicationMode").map(|mode| mode == 1),
            async_rpo: instance.get_u64("AsyncRPO"),
            status: instance.get_u64("ReplicationStatus").map(Status),
            last_in_sync: time(instance, "LastInSyncTime"),
            volumes: volumes.iter().flatten().filter_map(|v| v.as_instance()).map(Volume::of).collect(),
        }
    }

    /// What the other side lacks of all volumes, in bytes; `None` where that is not known of one.
    pub fn remaining(&self) -> Option<u64> {
        self.volumes.iter().map(|v| v.remaining).sum()
    }

    /// How much of the copies is done, in bytes; `None` where that is not known of one.
    pub fn recovered(&self) -> Option<u64> {
        self.volumes.iter().map(|v| v.recovered).sum()
    }

    /// Whether it is a source whose destination has everything.
    pub fn in_sync(&self) -> bool {
        self.is_source
            && self.remaining() == Some(0)
            && self.status.is_some_and(Status::is_continuous)
            && self.last_in_sync.is_some()
    }
}

impl Volume {
    fn of(instance: &Instance) -> Self {
        Self {
            id: instance.get_str("PartitionId").unwrap_or_default().to_owned(),
            path: instance.get_str("DataVolume").unwrap_or_default().to_owned(),
            size: instance.get_u64("PartitionSize"),
            recovered: instance.get_u64("NumOfBytesRecovered"),
            remaining: instance.get_u64("NumOfBytesRemaining"),
            last_in_sync: time(instance, "LastInSyncTime"),
            last_out_of_sync: time(instance, "LastOutOfSyncTime"),
            status: instance.get_u64("ReplicationStatus").map(Status),
        }
    }
}

impl Partnership {
    /// Reads an instance; `None` when it does not name both sides.
    pub fn of(instance: &Instance) -> Option<Self> {
        let end = |computer: &str, group: &str| {
            Some(End {
                computer: instance.get_str(computer)?.to_owned(),
                group: instance.get_str(group)?.to_owned(),
            })
        };
        Some(Self {
            id: instance.get_str("Id").map(str::to_owned),
            source: end("SourceComputerName", "SourceRGName")?,
            destination: end("DestinationComputerName", "DestinationRGName")?,
        })
    }
}

impl Status {
    /// Every write is copied as it comes.
    pub const CONTINUOUS: Self = Self(1);
    /// The record of the difference is lost, or something lasting is in the way.
    pub const FAILED: Self = Self(4);
    /// Somebody has paused it.
    pub const SUSPENDED: Self = Self(5);
    /// The destination does not answer.
    pub const WAITING_FOR_DESTINATION: Self = Self(7);
    /// The first copy, or one of everything.
    pub const INITIAL_BLOCK_COPY: Self = Self(10);
    /// Asynchronous, further behind than AsyncRPO.
    pub const OUT_OF_RPO: Self = Self(11);
    /// Asynchronous, and near enough.
    pub const IN_RPO: Self = Self(12);
    /// What was written during a pause or a loss is copied.
    pub const BLOCK_COPY: Self = Self(14);
    /// The group has no partner.
    pub const NOT_IN_PARTNERSHIP: Self = Self(15);

    /// Whether new writes follow the copy as they come.
    pub fn is_continuous(self) -> bool {
        [Self::CONTINUOUS, Self::OUT_OF_RPO, Self::IN_RPO].contains(&self)
    }

    /// The name that the class gives it.
    pub fn name(self) -> Option<&'static str> {
        const NAMES: [&str; 15] = [
            "ContinuouslyReplicating",
            "WaitingForQuorum",
            "RecoveringFromReplicationLog",
            "Failed",
            "ReplicationSuspended",
            "ConnectingToSource",
            "WaitingForDestination",
            "LogRecordCopyFromSource",
            "BlockCopyFromSource",
            "InitialBlockCopy",
            "ContinuouslyReplicating_OutOfRPO",
            "ContinuouslyReplicating_InRPO",
            "LogRecordCopyToDestination",
            "BlockCopyToDestination",
            "NotInPartnership",
        ];
        usize::try_from(self.0).ok()?.checked_sub(1).and_then(|at| NAMES.get(at)).copied()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "status {}", self.0),
        }
    }
}

fn time(instance: &Instance, name: &str) -> Option<DateTime> {
    match instance.get(name) {
        Some(Value::DateTime(time)) => Some(*time),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(status: u32, remaining: Option<u64>) -> Group {
        let mut volume = Instance::new("MSFT_WvrReplica").with("PartitionId", "1").with("DataVolume", "/v");
        if let Some(bytes) = remaining {
            volume = volume.with("NumOfBytesRemaining", Value::Uint64(bytes));
        }
        let at: DateTime = "20260101000000.000000+000".parse().unwrap();
        let instance = Instance::new("MSFT_WvrReplicationGroup")
            .with("Name", "G")
            .with("IsPrimary", true)
            .with("IsInPartnership", true)
            .with("ReplicationMode", Value::Uint32(2))
            .with("ReplicationStatus", Value::Uint32(status))
            .with("LastInSyncTime", Value::DateTime(at))
            .with("Replicas", Value::Array(vec![Some(Value::Instance(Box::new(volume)))]));
        Group::of(&instance)
    }

    #[test]
    fn a_group_is_in_sync_when_nothing_remains_and_writes_follow() {
        assert!(group(12, Some(0)).in_sync());
        assert!(!group(12, Some(1)).in_sync());
        assert!(!group(14, Some(0)).in_sync());
        assert!(!group(12, None).in_sync(), "what is not known is not zero");
        assert_eq!(group(12, None).remaining(), None);
        assert_eq!(group(1, Some(7)).synchronous, Some(false));
    }

    #[test]
    fn every_status_of_the_class_has_its_name() {
        assert_eq!(Status::CONTINUOUS.to_string(), "ContinuouslyReplicating");
        assert_eq!(Status::BLOCK_COPY.to_string(), "BlockCopyToDestination");
        assert_eq!(Status::NOT_IN_PARTNERSHIP.to_string(), "NotInPartnership");
        assert_eq!(Status(0).to_string(), "status 0");
        assert_eq!(Status(16).name(), None);
    }

    #[test]
    fn a_partnership_without_an_end_is_none() {
        let whole = Instance::new("P")
            .with("SourceRGName", "A")
            .with("SourceComputerName", "alpha")
            .with("DestinationRGName", "B")
            .with("DestinationComputerName", "beta");
        let read = Partnership::of(&whole).unwrap();
        assert_eq!((read.source.group.as_str(), read.destination.computer.as_str()), ("A", "beta"));
        assert_eq!(Partnership::of(&Instance::new("P").with("SourceRGName", "A")), None);
    }
}
