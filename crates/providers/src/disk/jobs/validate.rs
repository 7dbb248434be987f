//! Checking whether a disk can be opened and its structure is sound.

use super::steps::Verify;
use super::toolbox::Toolbox;
use crate::disk::layout::StoredFormat;
use cimwright_sdk::Order;
use cimwright_sdk::jobs::Step;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is to be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidateOrder {
    /// The image, as the client wrote it.
    pub path: String,
    /// Its format.
    pub format: StoredFormat,
}

impl Order<Toolbox> for ValidateOrder {
    const KIND: &'static str = "disk.validate";

    const NAME: &'static str = "Validate disk";

    fn steps(self, toolbox: &Arc<Toolbox>) -> Vec<Arc<dyn Step>> {
        vec![Arc::new(Verify {
            tools: Arc::clone(toolbox),
            path: self.path,
            format: self.format.into(),
            only: true,
        })]
    }
}
