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
use cimwright_sdk::cim::InstancePath;
use cimwright_sdk::jobs::JobKind;
use cimwright_sdk::{Order, OrderKind};
use std::sync::Arc;

/// ElementEffects: the job has the element for itself.
pub const EXCLUSIVE_USE: u16 = 2;
/// ElementEffects: the job makes the element.
pub const CREATE: u16 = 5;

/// A job that carries an order out; its caller waits for the result.
pub fn planned<O: Order<Shared>>(
    order: &O,
    description: String,
    touched: Vec<(InstancePath, u16)>,
) -> Planned {
    Planned {
        kind: O::KIND,
        payload: order.to_payload(),
        name: O::NAME,
        description,
        touched,
        wait: Some(ANSWER_WITHIN),
    }
}

/// All kinds of jobs of replication.
pub fn kinds(shared: &Arc<Shared>) -> Vec<Arc<dyn JobKind>> {
    fn kind<O: Order<Shared>>(shared: &Arc<Shared>) -> Arc<dyn JobKind> {
        OrderKind::<O, _>::shared(shared, errors::stored_order)
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
