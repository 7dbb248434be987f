//! The job that measures a directory.

use crate::errors;
use async_trait::async_trait;
use cimwright_sdk::cim::{ErrorDetail, Value};
use cimwright_sdk::jobs::live::Wish;
use cimwright_sdk::jobs::{JobKind, JobSpec, Progress, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The jobs that DiskUse_MeasureJob shows.
pub(crate) const FAMILY: &str = "measure";

/// The name of the kind; stored with every job, so never used for anything else.
pub(crate) const KIND: &str = "measure";

/// What the job needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) path: PathBuf,
    pub(crate) entries_per_second: u64,
}

impl Order {
    pub(crate) fn to_payload(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

pub(crate) struct MeasureKind;

impl JobKind for MeasureKind {
    fn name(&self) -> &'static str {
        KIND
    }

    fn steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        let order = serde_json::from_str(&spec.payload).map_err(|e| errors::payload(&spec.name, &e))?;
        Ok(vec![Arc::new(Walk(order))])
    }
}

/// The one step: looks at everything below the directory.
struct Walk(Order);

#[async_trait]
impl Step for Walk {
    fn name(&self) -> &'static str {
        "walk"
    }

    fn title(&self) -> String {
        format!("Measuring {}", self.0.path.display())
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let (mut files, mut bytes) = (0_u64, 0_u64);
        let mut rest = vec![self.0.path.clone()];
        while let Some(directory) = rest.pop() {
            for entry in entries(&directory)? {
                self.take_turn(context).await?;
                let path = entry.path();
                // Nothing is followed: what a link leads to is counted where it is.
                let about = entry.metadata().map_err(|e| errors::unreadable(&path, &e))?;
                if about.is_dir() {
                    rest.push(path);
                } else {
                    files += 1;
                    bytes += about.len();
                    context.set_progress(Progress { done: bytes, ..Progress::default() });
                }
            }
        }
        context.set_result("Files", Value::Uint64(files));
        context.set_result("Bytes", Value::Uint64(bytes));
        Ok(String::new())
    }

    async fn undo(&self, _: &StepContext, _: Option<&str>) -> Result<(), ErrorDetail> {
        // It only looks, so it leaves nothing behind.
        Ok(())
    }
}

impl Walk {
    /// Waits for the next entry's turn, and as long as the job is to rest.
    async fn take_turn(&self, context: &StepContext) -> Result<(), StepError> {
        if let Some(millis) = 1000_u64.checked_div(self.0.entries_per_second) {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(millis)) => {}
                _ = context.wish_other_than(Wish::Run) => {}
            }
        } else {
            // So that the job can be stopped, and others get their turn.
            tokio::task::yield_now().await;
        }
        if context.wish() == Wish::Pause {
            context.report_paused(true);
            context.wish_other_than(Wish::Pause).await;
            context.report_paused(false);
        }
        match context.wish() {
            Wish::Stop => Err(StepError::Stopped),
            Wish::Run | Wish::Pause => Ok(()),
        }
    }
}

fn entries(directory: &Path) -> Result<Vec<std::fs::DirEntry>, ErrorDetail> {
    let read = || std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>();
    read().map_err(|e| errors::unreadable(directory, &e))
}
