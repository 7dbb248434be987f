//! Giving back the unused space of a dynamic disk: a copy without it takes the place of the image.

use super::steps::{Copy, Publish, Verify};
use super::toolbox::Toolbox;
use crate::disk::layout::{StoredFormat, StoredLayout};
use cimwright_sdk::Order;
use cimwright_sdk::jobs::Step;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is to be compacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactOrder {
    /// The image, as the client wrote it.
    pub path: String,
    /// Its format.
    pub format: StoredFormat,
    /// The block size it has, in bytes; kept.
    pub block_size: Option<u64>,
}

impl Order<Toolbox> for CompactOrder {
    const KIND: &'static str = "disk.compact";

    const NAME: &'static str = "Compact disk";

    fn steps(self, toolbox: &Arc<Toolbox>) -> Vec<Arc<dyn Step>> {
        let tools = Arc::clone(toolbox);
        let format = self.format.into();
        let layout = StoredLayout { format: self.format, fixed: false, block_size: self.block_size };
        vec![
            Arc::new(Verify { tools: tools.clone(), path: self.path.clone(), format, only: false }),
            Arc::new(Copy {
                tools: tools.clone(),
                source: self.path.clone(),
                source_format: format,
                target: self.path.clone(),
                layout: layout.into(),
                size: None,
            }),
            Arc::new(Publish { tools, target: self.path, replace: true }),
        ]
    }
}
