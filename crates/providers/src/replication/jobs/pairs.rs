//! Giving a partnership further volumes, and taking some away: a volume of each side at a time.

use super::partner::{Follow, ask_partner, embedded};
use super::verify::{Joining, Verify, fits_log, free, join, verified};
use crate::replication::guid::Guid;
use crate::replication::model::End;
use crate::replication::service::Shared;
use crate::replication::{errors, instances};
use async_trait::async_trait;
use cimwright_sdk::Order;
use cimwright_sdk::cim::{ErrorDetail, Param, Value};
use cimwright_sdk::jobs::{OnRestart, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Volumes that a partnership gets; this computer has the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddPairs {
    /// The partnership.
    pub id: Guid,
    /// The group of this computer.
    pub group: Guid,
    /// The source.
    pub here: End,
    /// The destination.
    pub there: End,
    /// The volumes of this computer, each with the replica set that is made for it.
    pub volumes: Vec<Joining>,
    /// Those of the other one, in the same order.
    pub partners: Vec<String>,
}

impl Order<Shared> for AddPairs {
    const KIND: &'static str = "replication.add-pairs";
    const NAME: &'static str = "Add volumes to replication partnership";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        let verify = Verify { shared: Arc::clone(shared), volumes: self.volumes.clone(), group: self.group };
        let order = Arc::new(self);
        vec![
            Arc::new(verify),
            Arc::new(AddThere { shared: Arc::clone(shared), order: Arc::clone(&order) }),
            Arc::new(Record { shared: Arc::clone(shared), order: Arc::clone(&order) }),
            Arc::new(Follow::new(shared, order.group)),
        ]
    }
}

impl AddPairs {
    fn sets(&self) -> Vec<String> {
        self.volumes.iter().filter_map(|v| v.replica_set).map(instances::shown).collect()
    }
}

/// Has the other computer take its volumes into its group, and compares the sizes.
struct AddThere {
    shared: Arc<Shared>,
    order: Arc<AddPairs>,
}

#[async_trait]
impl Step for AddThere {
    fn name(&self) -> &'static str {
        "add-there"
    }

    fn title(&self) -> String {
        format!(
            "Adding {} volumes to {} on {}",
            self.order.partners.len(),
            self.order.there.group,
            self.order.there.computer
        )
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let (shared, order) = (&self.shared, &self.order);
        let own = verified(context)?;
        let computer = &order.there.computer;
        let params = vec![
            Param::new("ReplicationGroupName", order.there.group.as_str()),
            Param::new("VolumeName", Value::strings(order.partners.iter().cloned())),
            Param::new("ReplicaSetId", Value::strings(order.sets())),
            Param::new("IsPrimary", false),
        ];
        ask_partner(shared, computer, "WvrAddReplicaById", params).await?;
        let ask = vec![Param::new("Name", order.there.group.as_str())];
        let answer = ask_partner(shared, computer, "GetGroup", ask).await?;
        let replicas = embedded(answer.get("Output"))
            .first()
            .map_or_else(Vec::new, |group| embedded(group.get("Replicas")));
        // What joined last comes last.
        let joined = replicas.iter().skip(replicas.len().saturating_sub(own.len()));
        for (volume, replica) in own.iter().zip(joined) {
            let there = replica.get_u64("PartitionSize").unwrap_or(0);
            if there != volume.size {
                let sizes = (volume.size.to_string(), there.to_string());
                return Err(errors::size_mismatch(&volume.path, &sizes.0, &sizes.1).into());
            }
        }
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        let (shared, order) = (&self.shared, &self.order);
        let model = shared.model();
        let mut joined = model.volumes(order.group).filter_map(|p| p.replica_set);
        // What has its partner stays: only the job that followed the copy has failed then.
        if joined.any(|set| order.volumes.iter().any(|v| v.replica_set == Some(set))) {
            return Ok(());
        }
        match remove_there(shared, &order.there, order.sets()).await {
            // It may not have got there at all.
            Err(reason) if reason.code == 5 => Ok(()),
            other => other,
        }
    }
}

struct Record {
    shared: Arc<Shared>,
    order: Arc<AddPairs>,
}

#[async_trait]
impl Step for Record {
    fn name(&self) -> &'static str {
        "record"
    }

    fn title(&self) -> String {
        format!("Noting down the volumes of the group {}", self.order.here.group)
    }

    fn cancellable(&self) -> bool {
        false
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let volumes = verified(context)?;
        let (order, computer) = (Arc::clone(&self.order), self.shared.computer().to_owned());
        self.shared
            .state
            .change(move |model| {
                if !model.partnership(order.id).is_some_and(|p| p.is_source) {
                    return Err(errors::no_partnership(&order.here.group, &computer));
                }
                free(model, &volumes, order.group)?;
                join(model, order.group, &volumes, &order.volumes);
                fits_log(model, order.group, &order.here.group)
            })
            .await?;
        self.shared.sessions.nudge();
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}

/// A volume of each side that a partnership loses; this computer has the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovePair {
    /// The group of this computer.
    pub group: Guid,
    /// The source.
    pub here: End,
    /// The destination.
    pub there: End,
    /// What ties the two.
    pub set: Guid,
}

impl Order<Shared> for RemovePair {
    const KIND: &'static str = "replication.remove-pair";
    const NAME: &'static str = "Remove volumes from replication partnership";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        vec![Arc::new(Part { shared: Arc::clone(shared), order: Arc::new(self) })]
    }
}

/// Both volumes keep their data.
struct Part {
    shared: Arc<Shared>,
    order: Arc<RemovePair>,
}

#[async_trait]
impl Step for Part {
    fn name(&self) -> &'static str {
        "part"
    }

    fn title(&self) -> String {
        format!("Taking a volume out of {} and {}", self.order.here.group, self.order.there.group)
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, _context: &StepContext) -> Result<String, StepError> {
        let (shared, order) = (&self.shared, Arc::clone(&self.order));
        match remove_there(shared, &order.there, vec![instances::shown(order.set)]).await {
            // There it is gone already.
            Err(reason) if errors::is_gone_there(&reason) => {}
            other => other?,
        }
        let change = move |model: &mut crate::replication::model::Model| {
            model.release(order.group, |p| p.replica_set == Some(order.set));
            Ok(())
        };
        shared.state.change(change).await?;
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}

async fn remove_there(shared: &Shared, there: &End, sets: Vec<String>) -> Result<(), ErrorDetail> {
    let params = vec![
        Param::new("ReplicationGroupName", there.group.as_str()),
        Param::new("ReplicaSetId", Value::strings(sets)),
        Param::new("IsPrimary", false),
    ];
    ask_partner(shared, &there.computer, "WvrRemoveReplicaById", params).await.map(drop)
}
