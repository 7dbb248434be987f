//! Adding volumes to a group.

use super::verify::{Joining, Verify, fits_log, free, join, verified};
use crate::replication::errors;
use crate::replication::guid::Guid;
use crate::replication::service::Shared;
use async_trait::async_trait;
use cimwright_sdk::Order;
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::{OnRestart, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Volumes to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddVolumes {
    /// The group.
    pub group: Guid,
    /// Its name.
    pub name: String,
    /// The volumes.
    pub volumes: Vec<Joining>,
}

impl Order<Shared> for AddVolumes {
    const KIND: &'static str = "replication.add-volumes";
    const NAME: &'static str = "Add volumes to replication group";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        let verify = Verify { shared: Arc::clone(shared), volumes: self.volumes.clone(), group: self.group };
        vec![Arc::new(verify), Arc::new(Record { shared: Arc::clone(shared), order: Arc::new(self) })]
    }
}

struct Record {
    shared: Arc<Shared>,
    order: Arc<AddVolumes>,
}

#[async_trait]
impl Step for Record {
    fn name(&self) -> &'static str {
        "record"
    }

    fn title(&self) -> String {
        format!("Noting down the volumes of the group {}", self.order.name)
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
                let Some(group) = model.group_by_id(order.group).cloned() else {
                    return Err(errors::group_missing(&order.name, &computer));
                };
                free(model, &volumes, group.id)?;
                join(model, group.id, &volumes, &order.volumes);
                let count = model.volumes(group.id).count();
                if group.write_consistency && count > 1 {
                    return Err(errors::write_order(&group.name, &count.to_string()));
                }
                fits_log(model, group.id, &group.name)
            })
            .await?;
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        // All or nothing, and the last step: what it noted down stays.
        Ok(())
    }
}
