//! Changing the settings of a group.

use super::groups::mode;
use super::{alone, done, group};
use crate::replication::jobs::modify::{Change, ModifyGroup};
use crate::replication::jobs::{EXCLUSIVE_USE, planned};
use crate::replication::service::{Answer, Handled, Shared};
use crate::replication::{errors, instances, log};
use cimwright_sdk::MethodCall;
use std::sync::Arc;

/// SetGroupModifyConfig.
pub(super) async fn modify(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let change = Change {
        description: call.str("Description").map(str::to_owned),
        mode: mode(call)?,
        encryption: call.bool("Encryption"),
        allow_resize: call.bool("AllowVolumeResize"),
        ..Change::default()
    };
    carry_out(shared, call, "Name", change, call.u64("LogSizeInBytes")).await
}

/// WvrModifyReplicationGroup.
pub(super) async fn wvr_modify(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let rpo = call.u64("AsyncRPO");
    if rpo == Some(0) {
        return Err(errors::parameter_value(call.method.as_str(), "AsyncRPO", "0").into());
    }
    let change = Change {
        description: call.str("Description").map(str::to_owned),
        mode: mode(call)?,
        async_rpo: rpo.and_then(|n| u32::try_from(n).ok()),
        write_consistency: call.bool("EnableWriteConsistency"),
        encryption: call.bool("Encryption"),
        allow_resize: call.bool("AllowVolumeResize"),
        seeded: call.bool("IsSeeded"),
        certificate: call.str("CertificateThumbprint").map(str::to_owned),
    };
    carry_out(shared, call, "ReplicationGroupName", change, call.u64("MaxLogSizeInByte")).await
}

/// Notes are changed at once; another size of the log is a job.
async fn carry_out(
    shared: &Arc<Shared>,
    call: &MethodCall,
    parameter: &str,
    change: Change,
    log_size: Option<u64>,
) -> Handled {
    let model = shared.model();
    let group = group(shared, &model, call, parameter)?;
    let texts_only = Change {
        description: change.description.clone(),
        allow_resize: change.allow_resize,
        ..Change::default()
    };
    // What a partner must know is changed with the partner: SetPartnershipModifyPartnership.
    if change != texts_only || log_size.is_some() {
        alone(&model, group.id, &group.name)?;
    }
    let count = model.volumes(group.id).count();
    if change.write_consistency == Some(true) && count > 1 {
        return Err(errors::write_order(&group.name, &count.to_string()).into());
    }
    let log = model.log(group.id);
    if let (Some(wanted), Some(log)) = (log_size, log) {
        let needed = log::needed(model.volumes(group.id).map(|p| p.size));
        let size = log::size(&group.name, Some(wanted), needed)?;
        if size != log.size {
            let order = ModifyGroup { group: group.id, name: group.name.clone(), change, log_size: size };
            let touched = vec![(instances::group_path(&group.name), EXCLUSIVE_USE)];
            let description =
                format!("Change the replication group {} and resize its log to {size} bytes", group.name);
            return Ok(Answer::Job(planned(&order, description, touched)));
        }
    }
    let (id, name, computer) = (group.id, group.name.clone(), shared.computer().to_owned());
    shared
        .state
        .change(move |model| match model.groups.iter_mut().find(|g| g.id == id) {
            Some(group) => {
                change.apply(group);
                Ok(())
            }
            None => Err(errors::group_missing(&name, &computer)),
        })
        .await?;
    done()
}
