//! Why the other computer does not take the copy: it knows best, and its MSFT_WvrHealth tells.

use crate::replication::guid::Guid;
use crate::replication::model::{Partition, Partnership};
use crate::replication::service::Shared;
use crate::replication::{errors, instances, namespace};
use cimwright_sdk::cim::{ErrorDetail, Instance, Value};
use std::time::Duration;

/// How long the question may take; without an answer the reason stands without a cause.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// MSFT_WvrHealth.HealthStatus of what is as it should be.
const HEALTHY: u64 = 0;

/// The reason why nobody takes the copy of a volume, with what the other computer says about the group that should.
pub(super) async fn why_not_ready(
    shared: &Shared,
    partition: &Partition,
    partnership: &Partnership,
) -> ErrorDetail {
    let computer = &partnership.there().computer;
    let namespace = namespace();
    let asked = shared.computers.enumerate(computer, &namespace, instances::HEALTH);
    let told = match tokio::time::timeout(ASK_LIMIT, asked).await {
        Ok(Ok(told)) => told,
        // What matters is that nobody takes the copy; the next attempt asks again.
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    let cause = told.iter().filter(|h| is_of(h, partnership.partner_group)).find_map(fault);
    match cause {
        Some(cause) if errors::is_about_a_volume(&cause) => {
            errors::destination_gone(&partition.path).because(cause)
        }
        Some(cause) => {
            errors::partner_not_ready(&partition.path, &format!("{computer} cannot")).because(cause)
        }
        None => errors::partner_not_ready(&partition.path, &format!("{computer} does not take it yet")),
    }
}

fn is_of(health: &Instance, group: Guid) -> bool {
    health.get_str("ReplicationGroupId").and_then(Guid::parse) == Some(group)
}

/// The fault of an instance of MSFT_WvrHealth, as the message that it was.
fn fault(health: &Instance) -> Option<ErrorDetail> {
    if health.get_u64("HealthStatus") == Some(HEALTHY) {
        return None;
    }
    let entry = errors::CATALOGUE.find(health.get_str("FaultTypeId")?)?;
    let given = health.get("FaultReasonParameters").and_then(Value::as_array).unwrap_or(&[]);
    Some(entry.detail(given.iter().flatten().filter_map(Value::as_str)))
}
