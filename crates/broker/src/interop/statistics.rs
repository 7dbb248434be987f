//! What operations cost, as instances.

use super::{About, Asked, Part, server};
use crate::statistics::type_of;
use async_trait::async_trait;
use cimwright_cim::{CimError, DateTime, Instance, Value};

/// The class of the statistics of one kind of operation.
pub(super) const CLASS: &str = "CIM_CIMOMStatisticalData";

pub(super) struct Rows;
pub(super) struct OfManager;

/// The InstanceID for a kind of operation; its beginning is what the schema asks for.
fn id(operation: &str) -> String {
    format!("CIM:Cimwright:{operation}")
}

#[async_trait]
impl Part for Rows {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let now = Value::from(DateTime::from_system_time(about.jobs.clock().now()));
        let (since, rows) = about.statistics.rows();
        let mut instances = Vec::new();
        for (operation, row) in rows {
            let kind = type_of(operation);
            let in_server = row.sum.took.saturating_sub(row.sum.in_providers);
            let mut instance = asked.instance([
                ("InstanceID", id(operation).as_str().into()),
                ("ElementName", operation.into()),
                ("OperationType", Value::Uint16(kind)),
                ("NumberOfOperations", Value::Uint64(row.count)),
                ("CimomElapsedTime", DateTime::from_duration(in_server).into()),
                ("ProviderElapsedTime", DateTime::from_duration(row.sum.in_providers).into()),
                ("RequestSize", Value::Uint64(row.sum.request_bytes)),
                ("ResponseSize", Value::Uint64(row.sum.response_bytes)),
            ])?;
            if kind == 1 {
                instance.set("OtherOperationType", Some(operation.into()));
            }
            if let Some(since) = since {
                instance.set("StartStatisticTime", Some(DateTime::from_system_time(since).into()));
                instance.set("StatisticTime", Some(now.clone()));
            }
            instances.push(instance);
        }
        Ok(instances)
    }
}

#[async_trait]
impl Part for OfManager {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let link = |operation: &str| {
            let row = about.path(CLASS).with_key("InstanceID", id(operation).as_str());
            asked.instance([("ManagedElement", server::manager(about).into()), ("Stats", row.into())])
        };
        about.statistics.rows().1.iter().map(|(operation, _)| link(operation)).collect()
    }
}
