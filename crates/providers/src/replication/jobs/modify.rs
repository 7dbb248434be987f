//! Changing the settings of a group together with the size of its log.

use crate::disk::jobs::toolbox::blocking;
use crate::replication::guid::Guid;
use crate::replication::model::{Group, Mode};
use crate::replication::service::Shared;
use crate::replication::{errors, log};
use async_trait::async_trait;
use cimwright_sdk::Order;
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::{OnRestart, Progress, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is to be different; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of Group")]
pub struct Change {
    pub description: Option<String>,
    pub mode: Option<Mode>,
    pub async_rpo: Option<u32>,
    pub write_consistency: Option<bool>,
    pub encryption: Option<bool>,
    pub allow_resize: Option<bool>,
    pub seeded: Option<bool>,
    pub certificate: Option<String>,
}

impl Change {
    /// Makes it so.
    pub fn apply(&self, group: &mut Group) {
        fn set<T: Clone>(to: &mut T, from: &Option<T>) {
            if let Some(value) = from {
                *to = value.clone();
            }
        }
        set(&mut group.mode, &self.mode);
        set(&mut group.write_consistency, &self.write_consistency);
        set(&mut group.encryption, &self.encryption);
        set(&mut group.allow_resize, &self.allow_resize);
        set(&mut group.seeded, &self.seeded);
        if self.async_rpo.is_some() {
            group.async_rpo = self.async_rpo;
        }
        // An empty text takes a text away; NULL leaves it.
        for (to, from) in
            [(&mut group.description, &self.description), (&mut group.certificate, &self.certificate)]
        {
            if let Some(text) = from {
                *to = (!text.is_empty()).then(|| text.clone());
            }
        }
    }
}

/// A change that takes another size of the log with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModifyGroup {
    /// The group.
    pub group: Guid,
    /// Its name.
    pub name: String,
    /// What is to be different.
    pub change: Change,
    /// The size of the log in bytes.
    pub log_size: u64,
}

impl Order<Shared> for ModifyGroup {
    const KIND: &'static str = "replication.modify-group";
    const NAME: &'static str = "Modify replication group";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        let order = Arc::new(self);
        vec![
            Arc::new(Resize { shared: Arc::clone(shared), order: Arc::clone(&order) }),
            Arc::new(Record { shared: Arc::clone(shared), order }),
        ]
    }
}

/// Gives the log its new size. The note of the size is still the old one, which is what undoing needs.
struct Resize {
    shared: Arc<Shared>,
    order: Arc<ModifyGroup>,
}

impl Resize {
    async fn to(&self, size: Option<u64>) -> Result<(), ErrorDetail> {
        let (shared, order) = (Arc::clone(&self.shared), Arc::clone(&self.order));
        blocking(move || {
            let model = shared.model();
            let Some(log) = model.log(order.group) else {
                return Err(errors::group_missing(&order.name, shared.computer()));
            };
            log::resize(&shared.roots, &log.file, order.group, &order.name, size.unwrap_or(log.size))
        })
        .await
    }
}

#[async_trait]
impl Step for Resize {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn title(&self) -> String {
        format!("Resizing the log of the group {}", self.order.name)
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let total = self.order.log_size;
        context.set_progress(Progress { done: 0, total, share: 0 });
        self.to(Some(total)).await?;
        context.set_progress(Progress { done: total, total, share: 9_900 });
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        match self.to(None).await {
            // Nothing to be put back, or nothing of ours.
            Err(reason)
                if ["CWREPL1026", "CWREPL1027", "CWREPL1102"].contains(&reason.message_id.as_str()) =>
            {
                Ok(())
            }
            other => other,
        }
    }
}

struct Record {
    shared: Arc<Shared>,
    order: Arc<ModifyGroup>,
}

#[async_trait]
impl Step for Record {
    fn name(&self) -> &'static str {
        "record"
    }

    fn title(&self) -> String {
        format!("Noting down the group {}", self.order.name)
    }

    fn cancellable(&self) -> bool {
        false
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, _context: &StepContext) -> Result<String, StepError> {
        let (order, computer) = (Arc::clone(&self.order), self.shared.computer().to_owned());
        self.shared
            .state
            .change(move |model| {
                // Volumes may have joined since the call was checked.
                let needed = log::needed(model.volumes(order.group).map(|p| p.size));
                log::size(&order.name, Some(order.log_size), needed)?;
                let Some(group) = model.groups.iter_mut().find(|g| g.id == order.group) else {
                    return Err(errors::group_missing(&order.name, &computer));
                };
                order.change.apply(group);
                for log in model.logs.iter_mut().filter(|l| l.group == order.group) {
                    log.size = order.log_size;
                }
                Ok(())
            })
            .await?;
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}
