//! Looking at the volumes that are to join a group, and noting them down once everything else is done.

use crate::disk::jobs::toolbox::blocking;
use crate::replication::guid::Guid;
use crate::replication::model::{Model, Partition};
use crate::replication::service::Shared;
use crate::replication::volume::{self, Volume};
use crate::replication::{errors, log};
use async_trait::async_trait;
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::{Progress, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

/// Name of the step [`Verify`].
pub const VERIFY: &str = "verify";

/// A volume that is to join a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// Its path as the client wrote it.
    pub path: String,
    /// The replica set it gets; `None` gives it a new one.
    pub replica_set: Option<Guid>,
}

/// Makes sure that every volume can be replicated and is free. Returns what was found out about them.
pub struct Verify {
    /// What everything needs.
    pub shared: Arc<Shared>,
    /// The volumes.
    pub volumes: Vec<Joining>,
    /// The group they join; they may be in it already when the step is repeated.
    pub group: Guid,
}

#[async_trait]
impl Step for Verify {
    fn name(&self) -> &'static str {
        VERIFY
    }

    fn title(&self) -> String {
        format!("Verifying {} volumes", self.volumes.len())
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let mut found: Vec<Volume> = Vec::with_capacity(self.volumes.len());
        for joining in &self.volumes {
            let (shared, path) = (Arc::clone(&self.shared), joining.path.clone());
            let looked = tokio::select! {
                looked = blocking(move || volume::look(&shared.roots, &path)) => looked,
                () = context.stopped() => return Err(StepError::Stopped),
            };
            found.push(looked?);
        }
        free(&self.shared.model(), &found, self.group)?;
        let total = found.iter().map(|v| v.size).sum();
        context.set_progress(Progress { done: 0, total, share: 0 });
        Ok(serde_json::to_string(&found).unwrap_or_default())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}

/// What [`Verify`] found, in a later step.
pub fn verified(context: &StepContext) -> Result<Vec<Volume>, ErrorDetail> {
    let name = &context.spec().name;
    let text =
        context.output_of(VERIFY).ok_or_else(|| errors::stored_order(name, "the volumes are missing"))?;
    serde_json::from_str(text).map_err(|e| errors::stored_order(name, &e.to_string()))
}

/// Makes sure that no volume is named twice, is a log, or is in another group.
///
/// # Errors
/// The first one that is.
pub fn free(model: &Model, volumes: &[Volume], group: Guid) -> Result<(), ErrorDetail> {
    let mut seen = HashSet::new();
    for volume in volumes {
        if !seen.insert(&volume.real_path) {
            return Err(errors::volume_twice(&volume.path));
        }
        if model.log_at(&volume.real_path).is_some() {
            return Err(errors::log_is_volume(&volume.path));
        }
        let owner = model.partition_at(&volume.real_path).and_then(|p| p.group).filter(|g| *g != group);
        if let Some(owner) = owner.and_then(|id| model.group_by_id(id)) {
            return Err(errors::volume_in_group(&volume.path, &owner.name));
        }
    }
    Ok(())
}

/// Makes sure that the log of a group is large enough for the volumes it has by now.
///
/// # Errors
/// When it is not.
pub fn fits_log(model: &Model, group: Guid, name: &str) -> Result<(), ErrorDetail> {
    let needed = log::needed(model.volumes(group).map(|p| p.size));
    match model.log(group) {
        Some(log) if log.size < needed => {
            Err(errors::log_too_small(name, &log.size.to_string(), &needed.to_string()))
        }
        _ => Ok(()),
    }
}

/// Notes volumes down as those of a group, behind the ones it has. A record that is there keeps its identifier.
pub fn join(model: &mut Model, group: Guid, volumes: &[Volume], joining: &[Joining]) {
    for (at, volume) in volumes.iter().enumerate() {
        let wanted = joining.get(at).and_then(|j| j.replica_set);
        let disk = model.disk_of(&volume.root);
        let before = model.partitions.iter().position(|p| p.real_path == volume.real_path);
        let old = before.map(|at| model.partitions.remove(at));
        let replica_set = wanted
            .or_else(|| old.as_ref().filter(|p| p.group == Some(group)).and_then(|p| p.replica_set))
            .unwrap_or_else(Guid::generate);
        model.partitions.push(Partition {
            id: old.as_ref().map_or_else(Guid::generate, |p| p.id),
            disk,
            path: volume.path.clone(),
            real_path: volume.real_path.clone(),
            size: volume.size,
            sector_size: volume.sector_size,
            group: Some(group),
            replica_set: Some(replica_set),
            provisioned: old.is_some_and(|p| p.provisioned),
            deactivated: false,
        });
    }
}
