//! Two groups and their partnership, made or removed in one job.

use super::Order;
use super::create::CreateGroup;
use super::partner::{CreatePartnership, RemovePartnership, ask_partner};
use super::remove::RemoveGroup;
use crate::replication::guid::Guid;
use crate::replication::service::Shared;
use async_trait::async_trait;
use cimwright_sdk::cim::{ErrorDetail, Param, Value};
use cimwright_sdk::jobs::{Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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

impl Order for CreateTopology {
    const KIND: &'static str = "replication.create-topology";
    const NAME: &'static str = "Create replication topology";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        let id = self.partnership.id;
        let mut steps = self.here.map_or_else(Vec::new, |here| here.steps(shared));
        if let Some(there) = self.there {
            steps.push(Arc::new(MakeThere { shared: Arc::clone(shared), order: there, partnership: id }));
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
        ask_partner(&self.shared, &order.computer, "NewSrGroup", params).await?;
        Ok("made".to_owned())
    }

    async fn undo(&self, _context: &StepContext, output: Option<&str>) -> Result<(), ErrorDetail> {
        // Only what this step is known to have made, and not once it has its partner.
        let partners = self.shared.model().partnerships.iter().any(|p| p.id == self.partnership);
        if output.is_none() || partners {
            return Ok(());
        }
        let params = vec![Param::new("Name", self.order.name.as_str())];
        ask_partner(&self.shared, &self.order.computer, "RemoveSrGroup", params).await.map(|_| ())
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

impl Order for RemoveTopology {
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
