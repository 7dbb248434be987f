//! Which accounts may manage replication.

use super::{done, output, required};
use crate::replication::model::same_name;
use crate::replication::service::{Handled, Shared};
use crate::replication::{errors, instances};
use cimwright_sdk::MethodCall;
use std::sync::Arc;

/// GrantSrUserAccess and WvrGrantUserAccess. Granting twice is fine.
pub(super) async fn grant(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let name = required(call, "UserName")?.to_owned();
    if !call.bool("IgnoreErrors").unwrap_or(false) && !(shared.accounts)(&name) {
        return Err(errors::account_unknown(&name, shared.computer()).into());
    }
    shared
        .state
        .change(move |model| {
            if !model.users.iter().any(|u| same_name(u, &name)) {
                model.users.push(name);
            }
            Ok(())
        })
        .await?;
    done()
}

/// RevokeSrUserAccess and WvrRevokeUserAccess. Revoking what was not granted is fine.
pub(super) async fn revoke(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let name = required(call, "UserName")?.to_owned();
    shared
        .state
        .change(move |model| {
            model.users.retain(|u| !same_name(u, &name));
            Ok(())
        })
        .await?;
    done()
}

/// GetSrUserAccess and WvrGetUserAccess.
pub(super) fn get(shared: &Shared) -> Handled {
    output(shared.model().users.iter().map(|name| instances::user(name)))
}
