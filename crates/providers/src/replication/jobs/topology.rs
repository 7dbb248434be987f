//! Two groups and their partnership, made or removed in one job.

use super::create::CreateGroup;
use super::partner::{CreatePartnership, RemovePartnership, ask_partner, embedded};
use super::remove::RemoveGroup;
use crate::replication::guid::Guid;
use crate::replication::service::Shared;
use crate::replication::{JOB_CLASS, errors, namespace};
use async_trait::async_trait;
use cimwright_sdk::Order;
use cimwright_sdk::cim::{ErrorDetail, Param, Value};
use cimwright_sdk::jobs::{Clock, OnRestart, Step, StepContext, StepError, SystemClock};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the other computer may still be making a group that was asked for before.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
const SETTLE_POLL: Duration = Duration::from_millis(100);
/// CIM_ConcreteJob.JobState of jobs that have ended: Completed, Terminated, Killed, Exception.
const ENDED: [u64; 4] = [7, 8, 9, 10];

/// The group of the other computer, as NewSrGroup wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the parameters of NewSrGroup")]
pub struct Elsewhere {
    pub computer: String,
    pub name: String,
    pub description: Option<String>,
    pub volumes: Vec<String>,
    pub log: String,
    pub log_size: Option<u64>,
    pub encryption: Option<bool>,
    pub write_consistency: Option<bool>,
}

/// What is to be made. A group that is there already is taken as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopology {
    /// The group of this computer, if it is to be made.
    pub here: Option<CreateGroup>,
    /// The group of the other one, if it is to be made.
    pub there: Option<Elsewhere>,
    /// What ties them.
    pub partnership: CreatePartnership,
}

impl Order<Shared> for CreateTopology {
    const KIND: &'static str = "replication.create-topology";
    const NAME: &'static str = "Create replication topology";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        let id = self.partnership.id;
        let mut steps = self.here.map_or_else(Vec::new, |here| here.steps(shared));
        if let Some(there) = self.there {
            steps.push(Arc::new(MakeThere {
                shared: Arc::clone(shared),
                order: there,
                partnership: id,
                refused: AtomicBool::new(false),
            }));
        }
        steps.extend(self.partnership.steps(shared));
        steps
    }
}

/// Makes the group of the other computer.
struct MakeThere {
    shared: Arc<Shared>,
    order: Elsewhere,
    partnership: Guid,
    /// The other side said that it did not make it.
    refused: AtomicBool,
}

#[async_trait]
impl Step for MakeThere {
    fn name(&self) -> &'static str {
        "make-there"
    }

    fn title(&self) -> String {
        format!("Making the group {} on {}", self.order.name, self.order.computer)
    }

    async fn run(&self, _context: &StepContext) -> Result<String, StepError> {
        let order = &self.order;
        let mut params = vec![
            Param::new("Name", order.name.as_str()),
            Param::new("VolumeName", Value::strings(order.volumes.iter().cloned())),
            Param::new("LogVolumeName", order.log.as_str()),
        ];
        params.extend(order.description.as_deref().map(|d| Param::new("Description", d)));
        params.extend(order.log_size.map(|s| Param::new("LogSizeInBytes", Value::Uint64(s))));
        params.extend(order.encryption.map(|e| Param::new("EnableEncryption", e)));
        params.extend(order.write_consistency.map(|w| Param::new("EnableConsistencyGroups", w)));
        let asked = ask_partner(&self.shared, &order.computer, "NewSrGroup", params).await;
        if let Err(reason) = asked {
            // What is there may be what this step made before the server died.
            self.settled().await?;
            if reason.message_id == errors::SILENT || !self.is_there().await? {
                self.refused.store(reason.message_id == errors::REMOTE, Ordering::Relaxed);
                return Err(reason.into());
            }
        }
        Ok("made".to_owned())
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn undo(&self, _context: &StepContext, output: Option<&str>) -> Result<(), ErrorDetail> {
        // Not once it has its partner.
        if self.shared.model().partnerships.iter().any(|p| p.id == self.partnership) {
            return Ok(());
        }
        if output.is_none() && !self.refused.load(Ordering::Relaxed) {
            self.settled().await?;
        }
        if output.is_none() && (self.refused.load(Ordering::Relaxed) || !self.is_there().await?) {
            return Ok(());
        }
        let params = vec![Param::new("Name", self.order.name.as_str())];
        ask_partner(&self.shared, &self.order.computer, "RemoveSrGroup", params).await.map(|_| ())
    }
}

impl MakeThere {
    /// Waits until the other computer makes no group of that name any more: a server that starts again may meet the work that it
    /// asked for before it died.
    async fn settled(&self) -> Result<(), ErrorDetail> {
        let (shared, order) = (&self.shared, &self.order);
        let begun = SystemClock.now();
        loop {
            let jobs = shared.computers.enumerate(&order.computer, &namespace(), JOB_CLASS).await;
            let jobs = jobs.map_err(|e| errors::remote_failed(&e, shared.computer()))?;
            let busy = jobs.iter().any(|job| {
                let makes = job.get_str("Name") == Some(CreateGroup::NAME);
                let this = job.get_str("Description").is_some_and(|d| d.contains(&order.name));
                makes && this && job.get_u64("JobState").is_some_and(|s| !ENDED.contains(&s))
            });
            if !busy || SystemClock.now().duration_since(begun).unwrap_or_default() >= SETTLE_LIMIT {
                return Ok(());
            }
            tokio::time::sleep(SETTLE_POLL).await;
        }
    }

    /// Whether there is such a group there as this step makes, without a partner.
    async fn is_there(&self) -> Result<bool, ErrorDetail> {
        let order = &self.order;
        let ask = vec![Param::new("Name", order.name.as_str())];
        let answer = match ask_partner(&self.shared, &order.computer, "GetGroup", ask).await {
            Err(reason) if errors::is_gone_there(&reason) => return Ok(false),
            answer => answer?,
        };
        let group = embedded(answer.get("Output")).into_iter().next();
        Ok(group.is_some_and(|group| {
            let replicas = embedded(group.get("Replicas"));
            let volumes = replicas.iter().filter_map(|r| r.get_str("DataVolume"));
            let single = group.get("IsInPartnership").and_then(|v| v.as_bool()) == Some(false);
            single
                && group.get_str("LogVolume") == Some(order.log.as_str())
                && volumes.eq(order.volumes.iter())
        }))
    }
}

/// What is to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveTopology {
    /// The partnership.
    pub partnership: RemovePartnership,
    /// The group of this computer.
    pub here: RemoveGroup,
}

impl Order<Shared> for RemoveTopology {
    const KIND: &'static str = "replication.remove-topology";
    const NAME: &'static str = "Remove replication topology";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        let (computer, name) =
            (self.partnership.destination.computer.clone(), self.partnership.destination.group.clone());
        let mut steps = self.partnership.steps(shared);
        steps.push(Arc::new(RemoveThere { shared: Arc::clone(shared), computer, name }));
        steps.extend(self.here.steps(shared));
        steps
    }
}

/// Removes the group of the other computer.
struct RemoveThere {
    shared: Arc<Shared>,
    computer: String,
    name: String,
}

#[async_trait]
impl Step for RemoveThere {
    fn name(&self) -> &'static str {
        "remove-there"
    }

    fn title(&self) -> String {
        format!("Removing the group {} of {}", self.name, self.computer)
    }

    async fn run(&self, _context: &StepContext) -> Result<String, StepError> {
        let params = vec![Param::new("Name", self.name.as_str())];
        ask_partner(&self.shared, &self.computer, "RemoveSrGroup", params).await?;
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        // A group that is removed is gone; its volumes keep their data.
        Ok(())
    }
}
