//! The jobs of replication, one a file; what they share is here and in [`verify`].

pub mod clear;
pub mod create;
pub mod modify;
pub mod pairs;
pub mod partner;
pub mod remove;
pub mod switch;
pub mod topology;
pub mod verify;
pub mod volumes;

use super::errors;
use super::service::{ANSWER_WITHIN, Planned, Shared};
use cimwright_sdk::cim::{ErrorDetail, InstancePath};
use cimwright_sdk::jobs::{JobKind, JobSpec, Step};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// ElementEffects: the job has the element for itself.
pub const EXCLUSIVE_USE: u16 = 2;
/// ElementEffects: the job makes the element.
pub const CREATE: u16 = 5;

/// What a kind of job stores and how it makes steps of it.
pub trait Order: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the kind; stored, never reused.
    const KIND: &'static str;
    /// CIM_Job.Name.
    const NAME: &'static str;

    /// The steps.
    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>>;

    /// A job that carries the order out; its caller waits for the result.
    fn planned(&self, description: String, touched: Vec<(InstancePath, u16)>) -> Planned {
        Planned {
            kind: Self::KIND,
            payload: serde_json::to_string(self).unwrap_or_default(),
            name: Self::NAME,
            description,
            touched,
            wait: Some(ANSWER_WITHIN),
        }
    }
}

/// A [`JobKind`] made of an [`Order`].
struct OrderKind<O> {
    shared: Arc<Shared>,
    order: std::marker::PhantomData<fn() -> O>,
}

impl<O: Order> JobKind for OrderKind<O> {
    fn name(&self) -> &'static str {
        O::KIND
    }

    fn steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        let order: O = serde_json::from_str(&spec.payload)
            .map_err(|e| errors::stored_order(&spec.name, &e.to_string()))?;
        Ok(order.steps(&self.shared))
    }
}

/// All kinds of jobs of replication.
pub fn kinds(shared: &Arc<Shared>) -> Vec<Arc<dyn JobKind>> {
    fn kind<O: Order>(shared: &Arc<Shared>) -> Arc<dyn JobKind> {
        Arc::new(OrderKind::<O> { shared: Arc::clone(shared), order: std::marker::PhantomData })
    }
    vec![
        kind::<create::CreateGroup>(shared),
        kind::<remove::RemoveGroup>(shared),
        kind::<volumes::AddVolumes>(shared),
        kind::<modify::ModifyGroup>(shared),
        kind::<clear::Clear>(shared),
        kind::<partner::CreatePartnership>(shared),
        kind::<partner::RemovePartnership>(shared),
        kind::<partner::SyncGroup>(shared),
        kind::<pairs::AddPairs>(shared),
        kind::<pairs::RemovePair>(shared),
        kind::<switch::SwitchSource>(shared),
        kind::<switch::TakeOver>(shared),
        kind::<topology::CreateTopology>(shared),
        kind::<topology::RemoveTopology>(shared),
    ]
}
