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
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::{JobKind, JobSpec, Step};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// What a kind of disk job stores and how it makes steps of it.
pub trait Order: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the kind; stored, never reused.
    const KIND: &'static str;

    /// The image that messages name when nothing else is known.
    fn subject(&self) -> &str;

    /// The steps.
    fn steps(self, toolbox: &Arc<Toolbox>) -> Vec<Arc<dyn Step>>;

    /// The stored form.
    fn to_payload(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A [`JobKind`] made of an [`Order`].
struct OrderKind<O> {
    toolbox: Arc<Toolbox>,
    order: std::marker::PhantomData<fn() -> O>,
}

impl<O: Order> JobKind for OrderKind<O> {
    fn name(&self) -> &'static str {
        O::KIND
    }

    fn steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        let order: O = serde_json::from_str(&spec.payload)
            .map_err(|e| errors::stored_order(&spec.name, &e.to_string()))?;
        Ok(order.steps(&self.toolbox))
    }
}

/// All kinds of disk jobs.
pub fn kinds(toolbox: &Arc<Toolbox>) -> Vec<Arc<dyn JobKind>> {
    fn kind<O: Order>(toolbox: &Arc<Toolbox>) -> Arc<dyn JobKind> {
        Arc::new(OrderKind::<O> { toolbox: Arc::clone(toolbox), order: std::marker::PhantomData })
    }
    vec![
        kind::<create::CreateOrder>(toolbox),
        kind::<convert::ConvertOrder>(toolbox),
        kind::<compact::CompactOrder>(toolbox),
        kind::<resize::ResizeOrder>(toolbox),
        kind::<validate::ValidateOrder>(toolbox),
    ]
}
