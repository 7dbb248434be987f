//! Making a disk larger or smaller.
//!
//! VHD and VHDX cannot be resized where they are: a copy of the new size takes their place. Raw and qcow2 images are resized in
//! place. A disk becomes smaller only when what would be cut off is unused.

use super::steps::{Allocate, Copy, Publish, Verified, Verify, verified};
use super::toolbox::{Identity, Share, Toolbox, Tools, attend, engine_error, failed};
use crate::disk::engine::{Comparison, EngineFile, TailRequest};
use crate::disk::errors::{self, Names};
use crate::disk::image::ImageFormat;
use crate::disk::layout::{StoredFormat, StoredLayout};
use async_trait::async_trait;
use cimwright_sdk::Order;
use cimwright_sdk::cim::{ErrorDetail, Value};
use cimwright_sdk::jobs::{OnRestart, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is to have which size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResizeOrder {
    /// The image, as the client wrote it.
    pub path: String,
    /// Its layout, which is kept.
    pub layout: StoredLayout,
    /// The new size of the disk, in bytes.
    pub size: u64,
}

impl Order<Toolbox> for ResizeOrder {
    const KIND: &'static str = "disk.resize";

    const NAME: &'static str = "Resize disk";

    fn steps(self, toolbox: &Arc<Toolbox>) -> Vec<Arc<dyn Step>> {
        let tools = Arc::clone(toolbox);
        let format: ImageFormat = self.layout.format.into();
        let mut steps: Vec<Arc<dyn Step>> = vec![
            Arc::new(Verify { tools: tools.clone(), path: self.path.clone(), format, only: false }),
            Arc::new(RoomCheck { tools: tools.clone(), path: self.path.clone(), format, size: self.size }),
        ];
        if matches!(self.layout.format, StoredFormat::Raw | StoredFormat::Qcow2) {
            steps.push(Arc::new(InPlace { tools, path: self.path, format, size: self.size }));
            return steps;
        }
        steps.push(Arc::new(Copy {
            tools: tools.clone(),
            source: self.path.clone(),
            source_format: format,
            target: self.path.clone(),
            layout: self.layout.into(),
            size: Some(self.size),
        }));
        if self.layout.fixed {
            steps.push(Arc::new(Allocate { tools: tools.clone(), target: self.path.clone() }));
        }
        steps.push(Arc::new(Publish { tools, target: self.path, replace: true }));
        steps
    }
}

/// Proves that a disk that is to become smaller has no data in the part that is cut off.
struct RoomCheck {
    tools: Tools,
    path: String,
    format: ImageFormat,
    size: u64,
}

#[async_trait]
impl Step for RoomCheck {
    fn name(&self) -> &'static str {
        "room"
    }

    fn title(&self) -> String {
        format!("Looking for data at the end of {}", self.path)
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let names = Names::one(&self.path);
        let fail = |reason| failed(context, &names, reason);
        let old = verified(context).map_or(0, |v| v.virtual_size);
        if self.size >= old {
            return Ok(String::new());
        }
        let source = self.tools.look_at(&self.path, self.format).await.map_err(fail)?;
        let request = TailRequest {
            image: source.file,
            format: self.format,
            backing: source.backing,
            from_byte: self.size,
            virtual_size_bytes: old,
        };
        let started = self.tools.engine.start_tail_check(&request).await;
        match attend(context, started, Share::default(), &names).await? {
            Comparison::Identical { .. } => Ok(String::new()),
            Comparison::Different { at_byte } => {
                let at = self.size.saturating_add(at_byte.unwrap_or(0));
                Err(fail(errors::shrink_in_use(&self.path, &self.size.to_string(), &at.to_string())))
            }
        }
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}

/// Resizes a raw or qcow2 image where it is.
///
/// Nothing is taken back: the engine changes the size last, so that a disk that could not be resized has its old size, and whoever
/// sees another one there may have made it, or may have written beyond the old end by now.
struct InPlace {
    tools: Tools,
    path: String,
    format: ImageFormat,
    size: u64,
}

impl InPlace {
    /// Resizes the disk that the steps before have looked at, and no other.
    async fn resize(&self, seen: Option<Verified>) -> Result<(), ErrorDetail> {
        let source = self.tools.look_at(&self.path, self.format).await?;
        if source.info.virtual_size_bytes == self.size {
            // A server before this one may have come as far and died before it could say so.
            return Ok(());
        }
        let place = self.tools.resolve(&self.path)?;
        let file = EngineFile::in_place(&place).map_err(|e| errors::in_place_failed(&e))?;
        // The last thing before the engine begins.
        let now = Identity::at(&place)?;
        let Some(seen) = seen.filter(|seen| seen.identity == now) else {
            return Err(errors::changed_meanwhile(place.display()));
        };
        // Only of a disk that is to become smaller has the end been looked at.
        let shrink = self.size < seen.virtual_size;
        let engine = &self.tools.engine;
        let resized = engine.resize_overlay(&file, self.format, &source.backing, self.size, shrink).await;
        resized.map_err(|e| engine_error(&e, &Names::one(&self.path)))
    }
}

#[async_trait]
impl Step for InPlace {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn title(&self) -> String {
        format!("Resizing {}", self.path)
    }

    fn cancellable(&self) -> bool {
        false
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let names = Names::one(&self.path);
        self.resize(verified(context)).await.map_err(|reason| failed(context, &names, reason))?;
        context.set_result("JobCompletionStatusCode", Value::Uint32(0));
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}
