//! Making a group with its log.

use super::verify::{Joining, Verify, free, join, verified};
use crate::disk::jobs::toolbox::blocking;
use crate::disk::roots::{ResolvedPath, TempName};
use crate::replication::errors::What;
use crate::replication::model::{Group, Log};
use crate::replication::service::Shared;
use crate::replication::{errors, instances, log, volume};
use async_trait::async_trait;
use cimwright_sdk::Order;
use cimwright_sdk::cim::{ErrorDetail, Value};
use cimwright_sdk::jobs::{OnRestart, Progress, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const RESERVE: &str = "reserve";

/// A group to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateGroup {
    /// What it will be.
    pub group: Group,
    /// Its volumes.
    pub volumes: Vec<Joining>,
    /// Where the log goes, as the client named it.
    pub log_place: String,
    /// The file that the log becomes.
    pub log_file: String,
    /// Its size in bytes, if somebody named one.
    pub log_size: Option<u64>,
}

impl Order<Shared> for CreateGroup {
    const KIND: &'static str = "replication.create-group";
    const NAME: &'static str = "Create replication group";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        let order = Arc::new(self);
        vec![
            Arc::new(Verify {
                shared: Arc::clone(shared),
                volumes: order.volumes.clone(),
                group: order.group.id,
            }),
            Arc::new(Reserve { shared: Arc::clone(shared), order: Arc::clone(&order) }),
            Arc::new(Record { shared: Arc::clone(shared), order }),
        ]
    }
}

/// What [`Reserve`] made.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Reserved {
    size: u64,
}

/// Makes the log under a temporary name: all of its space is then certain.
struct Reserve {
    shared: Arc<Shared>,
    order: Arc<CreateGroup>,
}

impl CreateGroup {
    fn log_at(
        &self,
        shared: &Shared,
        context: &StepContext,
    ) -> Result<(ResolvedPath, TempName), ErrorDetail> {
        let place = volume::resolve(&shared.roots, &self.log_file)?;
        let temp = place.temp_sibling(&context.spec().id.to_string());
        Ok((place, temp.map_err(|e| errors::file_failed(&e, What::Log(0)))?))
    }
}

#[async_trait]
impl Step for Reserve {
    fn name(&self) -> &'static str {
        RESERVE
    }

    fn title(&self) -> String {
        format!("Reserving the log {}", self.order.log_file)
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let volumes = verified(context)?;
        let needed = log::needed(volumes.iter().map(|v| v.size));
        let group = &self.order.group;
        let size = log::size(&group.name, self.order.log_size, needed)?;
        let (place, temp) = self.order.log_at(&self.shared, context)?;
        if volumes.iter().any(|v| v.real_path == place.real_path()) {
            return Err(errors::log_is_volume(&self.order.log_file).into());
        }
        context.set_progress(Progress { done: 0, total: size, share: 0 });
        let id = group.id;
        blocking(move || log::reserve(&place, &temp, id, size)).await?;
        context.set_progress(Progress { done: size, total: size, share: 9_900 });
        Ok(serde_json::to_string(&Reserved { size }).unwrap_or_default())
    }

    async fn undo(&self, context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        // A directory that has gone took the unfinished log with it.
        let Ok((place, temp)) = self.order.log_at(&self.shared, context) else { return Ok(()) };
        blocking(move || place.remove_temp(&temp))
            .await
            .map_err(|e| errors::file_failed(&e, What::Log(0)))?;
        Ok(())
    }
}

/// Gives the log its name and notes the group down.
struct Record {
    shared: Arc<Shared>,
    order: Arc<CreateGroup>,
}

#[async_trait]
impl Step for Record {
    fn name(&self) -> &'static str {
        "record"
    }

    fn title(&self) -> String {
        format!("Noting down the group {}", self.order.group.name)
    }

    fn cancellable(&self) -> bool {
        false
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let volumes = verified(context)?;
        let reserved: Reserved = context
            .output_of(RESERVE)
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| errors::stored_order(&context.spec().name, "the size of the log is missing"))?;
        let (place, temp) = self.order.log_at(&self.shared, context)?;
        let (order, shared) = (Arc::clone(&self.order), Arc::clone(&self.shared));
        let model = blocking(move || {
            let group = &order.group;
            // Once before the log gets its name, and once more where nobody can come between.
            let fits = |model: &crate::replication::model::Model| match model.group(&group.name) {
                Some(other) if other.id != group.id => {
                    Err(errors::group_exists(&group.name, shared.computer()))
                }
                _ => free(model, &volumes, group.id),
            };
            fits(&shared.model())?;
            log::publish(&place, &temp, group.id, reserved.size)?;
            shared.state.change_now(|model| {
                fits(model)?;
                if model.group_by_id(group.id).is_none() {
                    model.groups.push(group.clone());
                    join(model, group.id, &volumes, &order.volumes);
                    model.logs.push(Log {
                        group: group.id,
                        group_name: group.name.clone(),
                        place: order.log_place.clone(),
                        file: order.log_file.clone(),
                        real_path: place.real_path().to_owned(),
                        size: reserved.size,
                    });
                }
                Ok(model.clone())
            })
        })
        .await?;
        if let Some(group) = model.group_by_id(self.order.group.id) {
            let instance = instances::group(&self.shared, &model, group);
            context.set_result("Output", Value::Array(vec![Some(Value::Instance(Box::new(instance)))]));
        }
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        // With a partner it stays, even if the job that made both fails later.
        if self.shared.model().partnership_of(self.order.group.id).is_some() {
            return Ok(());
        }
        let (order, shared) = (Arc::clone(&self.order), Arc::clone(&self.shared));
        blocking(move || {
            let group = &order.group;
            shared.state.change_now(|model| {
                model.groups.retain(|g| g.id != group.id);
                model.logs.retain(|l| l.group != group.id);
                model.release(group.id, |_| true);
                Ok(())
            })?;
            match volume::resolve(&shared.roots, &order.log_file) {
                // Only if it is ours: what has the name may be what made this step fail.
                Ok(place) if log::belongs_to(&place, group.id).unwrap_or(false) => {
                    log::remove(&shared.roots, &order.log_file, group.id, &group.name)
                }
                _ => Ok(()),
            }
        })
        .await
    }
}
