//! Writing a copy of a disk in another format or type.

use super::steps::{Allocate, Copy, Publish, Verify};
use super::toolbox::Toolbox;
use crate::disk::layout::{StoredFormat, StoredLayout};
use cimwright_sdk::Order;
use cimwright_sdk::jobs::Step;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is to be converted into what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvertOrder {
    /// The image to read, as the client wrote it.
    pub source: String,
    /// Its format.
    pub source_format: StoredFormat,
    /// The image to write, as the client wrote it.
    pub target: String,
    /// Its layout.
    pub layout: StoredLayout,
}

impl Order<Toolbox> for ConvertOrder {
    const KIND: &'static str = "disk.convert";

    const NAME: &'static str = "Convert disk";

    fn steps(self, toolbox: &Arc<Toolbox>) -> Vec<Arc<dyn Step>> {
        let tools = Arc::clone(toolbox);
        let source_format = self.source_format.into();
        let mut steps: Vec<Arc<dyn Step>> = vec![
            Arc::new(Verify {
                tools: tools.clone(),
                path: self.source.clone(),
                format: source_format,
                only: false,
            }),
            Arc::new(Copy {
                tools: tools.clone(),
                source: self.source,
                source_format,
                target: self.target.clone(),
                layout: self.layout.into(),
                size: None,
            }),
        ];
        if self.layout.fixed {
            steps.push(Arc::new(Allocate { tools: tools.clone(), target: self.target.clone() }));
        }
        steps.push(Arc::new(Publish { tools, target: self.target, replace: false }));
        steps
    }
}
