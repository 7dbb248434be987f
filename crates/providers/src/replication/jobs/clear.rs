//! Wiping what groups that are gone have left behind: logs, records of volumes, settings.

use crate::disk::jobs::toolbox::blocking;
use crate::replication::guid::Guid;
use crate::replication::log;
use crate::replication::model::{Model, same_name};
use crate::replication::service::Shared;
use async_trait::async_trait;
use cimwright_sdk::Order;
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::{OnRestart, Progress, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is to be wiped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clear {
    /// The name of the group whose remains are meant; `None` for those of all.
    pub group: Option<String>,
    /// The logs.
    pub logs: bool,
    /// The records of volumes.
    pub partitions: bool,
}

impl Order<Shared> for Clear {
    const KIND: &'static str = "replication.clear";
    const NAME: &'static str = "Clear orphaned replication metadata";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        vec![Arc::new(Wipe { shared: Arc::clone(shared), order: self })]
    }
}

struct Wipe {
    shared: Arc<Shared>,
    order: Clear,
}

#[async_trait]
impl Step for Wipe {
    fn name(&self) -> &'static str {
        "wipe"
    }

    fn title(&self) -> String {
        "Removing what groups have left behind".to_owned()
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let groups = orphans(&self.shared.model(), self.order.group.as_deref());
        let model = self.shared.model();
        let size = |id: &Guid| model.log(*id).map_or(0, |l| l.size);
        let total: u64 = if self.order.logs { groups.iter().map(size).sum() } else { 0 };
        let mut done = 0;
        for group in groups {
            let (shared, order) = (Arc::clone(&self.shared), self.order.clone());
            blocking(move || {
                if order.partitions {
                    shared.state.change_now(|model| {
                        model.release(group, |_| true);
                        Ok(())
                    })?;
                }
                if order.logs { wipe_log(&shared, group) } else { Ok(()) }
            })
            .await?;
            done += size(&group);
            let share = if total == 0 { 0 } else { (u128::from(done) * 9_900 / u128::from(total)) as u16 };
            context.set_progress(Progress { done, total, share });
        }
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        // What is wiped is gone; what could not be wiped is still noted down.
        Ok(())
    }
}

/// The groups that are gone and have left something, in no order; of a name only those that had it.
pub fn orphans(model: &Model, name: Option<&str>) -> Vec<Guid> {
    let mut found: Vec<Guid> = Vec::new();
    let logs = model.logs.iter().filter(|l| name.is_none_or(|n| same_name(n, &l.group_name)));
    let mut add = |id: Guid| {
        if model.group_by_id(id).is_none() && !found.contains(&id) {
            found.push(id);
        }
    };
    logs.for_each(|l| add(l.group));
    if name.is_none() {
        model.partitions.iter().filter_map(|p| p.group).for_each(add);
    }
    found
}

/// Removes the log of a group and the note of it. Blocks for the disk.
///
/// # Errors
/// When the file is another one by now, or stays.
pub fn wipe_log(shared: &Shared, group: Guid) -> Result<(), ErrorDetail> {
    let Some(log) = shared.model().log(group).cloned() else { return Ok(()) };
    log::remove(&shared.roots, &log.file, group, &log.group_name)?;
    shared.state.change_now(|model| {
        model.logs.retain(|l| l.group != group);
        Ok(())
    })
}
