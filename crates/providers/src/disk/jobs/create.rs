//! Making a new disk or floppy.

use super::steps::{Allocate, Empty, Publish};
use super::toolbox::Toolbox;
use crate::disk::engine::ImageLayout;
use crate::disk::layout::StoredLayout;
use cimwright_sdk::Order;
use cimwright_sdk::jobs::Step;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateOrder {
    /// Where, as the client wrote it.
    pub path: String,
    /// How it is laid out.
    pub layout: StoredLayout,
    /// The size of the disk, in bytes.
    pub size: u64,
}

impl Order<Toolbox> for CreateOrder {
    const KIND: &'static str = "disk.create";

    const NAME: &'static str = "Create disk";

    fn steps(self, toolbox: &Arc<Toolbox>) -> Vec<Arc<dyn Step>> {
        let tools = Arc::clone(toolbox);
        let layout: ImageLayout = self.layout.into();
        let mut steps: Vec<Arc<dyn Step>> = vec![Arc::new(Empty {
            tools: tools.clone(),
            target: self.path.clone(),
            layout,
            size: self.size,
        })];
        if self.layout.fixed {
            steps.push(Arc::new(Allocate { tools: tools.clone(), target: self.path.clone() }));
        }
        steps.push(Arc::new(Publish { tools, target: self.path, replace: false }));
        steps
    }
}
