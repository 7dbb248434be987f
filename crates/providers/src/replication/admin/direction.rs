//! Which side of a partnership is the source.

use super::{done, group, guid, required, texts};
use crate::replication::errors;
use crate::replication::jobs::planned;
use crate::replication::jobs::switch::{SwitchSource, TakeOver, hand_over};
use crate::replication::model::{Group, Model, Partnership, same_name};
use crate::replication::service::{Answer, Handled, Shared};
use crate::replication::session::peer;
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::remote::same_computer;
use std::sync::Arc;

/// SetPartnershipSetSourcePartnership, at the computer that is to be the source.
pub(super) fn switch(shared: &Shared, call: &MethodCall) -> Handled {
    super::partners::engine(shared, call)?;
    let model = shared.model();
    let group = group(shared, &model, call, "SourceRGName")?;
    let (computer, name) = (required(call, "DestinationComputerName")?, required(call, "DestinationRGName")?);
    let partnership = model
        .partnership_of(group.id)
        .filter(|p| same_computer(&p.there().computer, computer) && same_name(&p.there().group, name))
        .ok_or_else(|| errors::no_partnership(&group.name, shared.computer()))?;
    if partnership.is_source {
        return done();
    }
    let order = sides(group, partnership);
    let description = format!(
        "Make {} on {} the source and {} on {} its destination",
        order.here.group, order.here.computer, order.there.group, order.there.computer
    );
    Ok(Answer::Job(planned(&order, description, super::touched(&model, group))))
}

/// WvrSetPrimaryReplicationGroup: this side becomes the source. With Force it does so although the other side does not say that it
/// is none.
pub(super) async fn primary(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    super::partners::engine(shared, call)?;
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let partnership = partnership(shared, &model, group, texts(call, "PartnershipId").first(), call)?;
    let fits = |name: &str, same: &dyn Fn(&str) -> bool| texts(call, name).first().is_none_or(|t| same(t));
    if !fits("SecondaryReplicationGroupName", &|t| same_name(t, &partnership.there().group))
        || !fits("SecondaryComputerName", &|t| same_computer(t, &partnership.there().computer))
    {
        return Err(errors::no_partnership(&group.name, shared.computer()).into());
    }
    if partnership.is_source {
        return done();
    }
    let force = call.bool("Force").unwrap_or(false);
    let there = &partnership.there().computer;
    if !force {
        for volume in model.volumes(group.id) {
            let told = peer::ask(shared, volume, partnership).await;
            let told = told.map_err(|e| errors::source_silent(&group.name, there).because(e))?;
            if told.is_source {
                return Err(errors::still_source(&group.name, there).into());
            }
        }
    }
    let order = TakeOver { switch: sides(group, partnership), force };
    let consequence = match force {
        true => format!(
            " without asking {there}; what it had more is lost, and everything is copied to it once it is back"
        ),
        false => String::new(),
    };
    let description = format!("Make {} the source{consequence}", group.name);
    Ok(Answer::Job(planned(&order, description, super::touched(&model, group))))
}

/// SetSecondaryReplicationGroup: this side hands over to the other one.
pub(super) async fn secondary(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, "ReplicationGroupName")?;
    let id = required(call, "PartnershipId")?.to_owned();
    let partnership = partnership(shared, &model, group, Some(&id), call)?;
    let there = partnership.there();
    let (computer, name) =
        (required(call, "PrimaryComputerName")?, required(call, "PrimaryReplicationGroupName")?);
    if !same_computer(computer, &there.computer) || !same_name(name, &there.group) {
        return Err(errors::no_partnership(&group.name, shared.computer()).into());
    }
    let (task, id) = (Arc::clone(shared), partnership.id);
    // It must come to its end although the caller may go away.
    let handed = tokio::spawn(async move { hand_over(&task, id).await }).await;
    handed.unwrap_or_else(|e| Err(errors::not_same(&group.name, &e.to_string())))?;
    done()
}

fn sides(group: &Group, partnership: &Partnership) -> SwitchSource {
    SwitchSource {
        id: partnership.id,
        group: group.id,
        here: partnership.here().clone(),
        there: partnership.there().clone(),
    }
}

fn partnership<'m>(
    shared: &Shared,
    model: &'m Model,
    group: &Group,
    id: Option<&String>,
    call: &MethodCall,
) -> Result<&'m Partnership, ErrorDetail> {
    let id = id.map(|text| guid(call, text)).transpose()?;
    model
        .partnership_of(group.id)
        .filter(|p| id.is_none_or(|id| p.id == id))
        .ok_or_else(|| errors::no_partnership(&group.name, shared.computer()))
}
