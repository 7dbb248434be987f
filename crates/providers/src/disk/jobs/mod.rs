//! The jobs of the disk provider, one a file; what they share is in [`toolbox`] and [`steps`].

pub mod compact;
pub mod convert;
pub mod create;
pub mod resize;
pub mod steps;
pub mod toolbox;
pub mod validate;
mod write_behind;

pub use toolbox::Toolbox;

use crate::disk::errors;
use cimwright_sdk::jobs::JobKind;
use cimwright_sdk::{Order, OrderKind};
use std::sync::Arc;

/// All kinds of disk jobs.
pub fn kinds(toolbox: &Arc<Toolbox>) -> Vec<Arc<dyn JobKind>> {
    fn kind<O: Order<Toolbox>>(toolbox: &Arc<Toolbox>) -> Arc<dyn JobKind> {
        OrderKind::<O, _>::shared(toolbox, errors::stored_order)
    }
    vec![
        kind::<create::CreateOrder>(toolbox),
        kind::<convert::ConvertOrder>(toolbox),
        kind::<compact::CompactOrder>(toolbox),
        kind::<resize::ResizeOrder>(toolbox),
        kind::<validate::ValidateOrder>(toolbox),
    ]
}
