//! Removing a group: first it is forgotten, then what belonged to it is wiped. Without the second, log and records are left behind
//! as orphans, which can be listed and cleared.

use super::clear::wipe_log;
use crate::disk::jobs::toolbox::blocking;
use crate::replication::admin::alone;
use crate::replication::errors;
use crate::replication::guid::Guid;
use crate::replication::model::Group;
use crate::replication::service::Shared;
use async_trait::async_trait;
use cimwright_sdk::Order;
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::{OnRestart, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A group to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveGroup {
    /// Its identifier.
    pub group: Guid,
    /// Its name.
    pub name: String,
    /// Whether log and records go too.
    pub wipe: bool,
}

impl Order<Shared> for RemoveGroup {
    const KIND: &'static str = "replication.remove-group";
    const NAME: &'static str = "Remove replication group";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        let order = Arc::new(self);
        let mut steps: Vec<Arc<dyn Step>> =
            vec![Arc::new(Forget { shared: Arc::clone(shared), order: Arc::clone(&order) })];
        if order.wipe {
            steps.push(Arc::new(Wipe { shared: Arc::clone(shared), order }));
        }
        steps
    }
}

/// Takes the group out of the model. What it returns is the group, so that it can be put back.
struct Forget {
    shared: Arc<Shared>,
    order: Arc<RemoveGroup>,
}

#[async_trait]
impl Step for Forget {
    fn name(&self) -> &'static str {
        "forget"
    }

    fn title(&self) -> String {
        format!("Removing the group {}", self.order.name)
    }

    fn cancellable(&self) -> bool {
        false
    }

    async fn run(&self, _context: &StepContext) -> Result<String, StepError> {
        let (order, computer) = (Arc::clone(&self.order), self.shared.computer().to_owned());
        let group = self
            .shared
            .state
            .change(move |model| {
                let at = model.groups.iter().position(|g| g.id == order.group);
                let Some(at) = at else { return Err(errors::group_missing(&order.name, &computer)) };
                alone(model, order.group, &order.name)?;
                Ok(model.groups.remove(at))
            })
            .await?;
        Ok(serde_json::to_string(&group).unwrap_or_default())
    }

    async fn undo(&self, _context: &StepContext, output: Option<&str>) -> Result<(), ErrorDetail> {
        let Some(group) = output.and_then(|o| serde_json::from_str::<Group>(o).ok()) else { return Ok(()) };
        self.shared
            .state
            .change(move |model| {
                if model.group_by_id(group.id).is_none() && model.group(&group.name).is_none() {
                    model.groups.push(group);
                }
                Ok(())
            })
            .await
    }
}

/// Removes the log and the records of the volumes. The volumes keep their data.
struct Wipe {
    shared: Arc<Shared>,
    order: Arc<RemoveGroup>,
}

#[async_trait]
impl Step for Wipe {
    fn name(&self) -> &'static str {
        "wipe"
    }

    fn title(&self) -> String {
        format!("Removing the log of the group {}", self.order.name)
    }

    fn cancellable(&self) -> bool {
        false
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, _context: &StepContext) -> Result<String, StepError> {
        let (shared, group) = (Arc::clone(&self.shared), self.order.group);
        blocking(move || {
            wipe_log(&shared, group)?;
            shared.state.change_now(|model| {
                model.release(group, |_| true);
                Ok(())
            })
        })
        .await?;
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        // What is wiped is gone; what could not be wiped is still noted down.
        Ok(())
    }
}
