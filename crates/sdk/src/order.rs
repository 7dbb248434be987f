//! Kinds of jobs whose payload is a serde structure: what the author of such a kind need not write.

use cimwright_cim::ErrorDetail;
use cimwright_jobs::{JobKind, JobSpec, Step};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// What a kind of job stores, and how it makes steps of it. `Tools` is what the steps of the provider share.
pub trait Order<Tools>: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the kind; stored, never reused.
    const KIND: &'static str;
    /// CIM_Job.Name.
    const NAME: &'static str;

    /// The steps.
    fn steps(self, tools: &Arc<Tools>) -> Vec<Arc<dyn Step>>;

    /// The stored form: [`JobSpec::payload`].
    fn to_payload(&self) -> String {
        // What cannot be stored cannot be read either, and the job says so.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The [`JobKind`] made of an [`Order`].
pub struct OrderKind<O, Tools> {
    tools: Arc<Tools>,
    unreadable: fn(&str, &str) -> ErrorDetail,
    order: PhantomData<fn() -> O>,
}

impl<Tools: Send + Sync + 'static, O: Order<Tools>> OrderKind<O, Tools> {
    /// The kind. `unreadable` is the reason when a stored payload is no such order: it is given the name of the job and what is
    /// wrong.
    pub fn shared(tools: &Arc<Tools>, unreadable: fn(&str, &str) -> ErrorDetail) -> Arc<dyn JobKind> {
        Arc::new(Self { tools: Arc::clone(tools), unreadable, order: PhantomData })
    }
}

impl<Tools: Send + Sync + 'static, O: Order<Tools>> JobKind for OrderKind<O, Tools> {
    fn name(&self) -> &'static str {
        O::KIND
    }

    fn steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        let order: O =
            serde_json::from_str(&spec.payload).map_err(|e| (self.unreadable)(&spec.name, &e.to_string()))?;
        Ok(order.steps(&self.tools))
    }
}

impl<O, Tools> fmt::Debug for OrderKind<O, Tools> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderKind").finish_non_exhaustive()
    }
}
