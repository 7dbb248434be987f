//! Which computers may replicate with this one. What the documents call a cluster is here a computer.

use super::{done, output, required};
use crate::replication::service::{Handled, Shared};
use crate::replication::{errors, instances};
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::{ErrorDetail, Param};
use cimwright_sdk::remote::same_computer;
use std::sync::Arc;

/// GrantSrAccess.
pub(super) async fn grant(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let other = other(shared, call, "Cluster")?;
    note(shared, other).await?;
    done()
}

/// RevokeSrAccess.
pub(super) async fn revoke(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let other = other(shared, call, "Cluster")?;
    strike(shared, other).await?;
    done()
}

/// GetSrAccess.
pub(super) fn get(shared: &Shared, call: &MethodCall) -> Handled {
    let only = call.str("Cluster").filter(|c| !c.is_empty());
    let model = shared.model();
    let found = model.paired.iter().filter(|p| only.is_none_or(|o| same_computer(o, p)));
    output(found.map(|other| instances::pair(shared.computer(), other)))
}

/// PairRemoteSubsystem: on both sides, the other one first.
pub(super) async fn pair(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let other = other(shared, call, "ComputerName")?;
    ask(shared, &other, "GrantSrAccess").await?;
    note(shared, other).await?;
    done()
}

/// UnpairRemoteSubsystem: on both sides, the other one first.
pub(super) async fn unpair(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let other = other(shared, call, "ComputerName")?;
    ask(shared, &other, "RevokeSrAccess").await?;
    strike(shared, other).await?;
    done()
}

fn other(shared: &Shared, call: &MethodCall, parameter: &str) -> Result<String, ErrorDetail> {
    let name = required(call, parameter)?;
    if shared.computers.is_local(name) {
        return Err(errors::itself(name, call.method.as_str()));
    }
    Ok(name.to_owned())
}

async fn ask(shared: &Shared, other: &str, method: &str) -> Result<(), ErrorDetail> {
    let params = vec![Param::new("Cluster", shared.computer())];
    let answered = shared.computers.invoke(other, &instances::admin_tasks_class(), method, params).await;
    match answered.map_err(|e| errors::remote_failed(&e, shared.computer()))?.return_value {
        0 => Ok(()),
        code => Err(errors::remote_code(other, method, code)),
    }
}

async fn note(shared: &Arc<Shared>, other: String) -> Result<(), ErrorDetail> {
    let change = move |model: &mut crate::replication::model::Model| {
        if !model.paired.iter().any(|p| same_computer(p, &other)) {
            model.paired.push(other);
        }
        Ok(())
    };
    shared.state.change(change).await
}

async fn strike(shared: &Arc<Shared>, other: String) -> Result<(), ErrorDetail> {
    let change = move |model: &mut crate::replication::model::Model| {
        model.paired.retain(|p| !same_computer(p, &other));
        Ok(())
    };
    shared.state.change(change).await
}
