//! The server, the computer it runs on and the ways to reach it.

use super::{About, Asked, Part, SYSTEM_CLASS};
use async_trait::async_trait;
use cimwright_cim::{CimError, Instance, InstancePath, Property, Value};

/// CIM_ObjectManager.Name: one server runs under one name on a computer.
const MANAGER: &str = "Cimwright";

/// The one property of the server that a client can change.
const GATHER: &str = "GatherStatisticalData";

/// CIM_ObjectManagerCommunicationMechanism.FunctionalProfilesSupported: basic read and write, schema and instance manipulation,
/// association traversal, queries, qualifier declarations, indications, pulled reads and pulled queries.
const FUNCTIONAL_PROFILES: [u16; 10] = [2, 3, 4, 5, 6, 7, 8, 9, 10, 12];

pub(super) struct ObjectManager;
pub(super) struct System;
pub(super) struct Hosted;
pub(super) struct Mechanisms;
pub(super) struct MechanismOfManager;
pub(super) struct HostedMechanism;

/// The path of the server.
pub(super) fn manager(about: &About) -> InstancePath {
    about
        .path("CIM_ObjectManager")
        .with_key("SystemCreationClassName", SYSTEM_CLASS)
        .with_key("SystemName", about.discovery.computer.as_str())
        .with_key("CreationClassName", "CIM_ObjectManager")
        .with_key("Name", MANAGER)
}

/// The path of the computer.
pub(super) fn system(about: &About) -> InstancePath {
    about
        .path(SYSTEM_CLASS)
        .with_key("CreationClassName", SYSTEM_CLASS)
        .with_key("Name", about.discovery.computer.as_str())
}

fn mechanism(about: &About, url: &str) -> InstancePath {
    about
        .path("CIM_CIMXMLCommunicationMechanism")
        .with_key("SystemCreationClassName", SYSTEM_CLASS)
        .with_key("SystemName", about.discovery.computer.as_str())
        .with_key("CreationClassName", "CIM_CIMXMLCommunicationMechanism")
        .with_key("Name", url)
}

#[async_trait]
impl Part for ObjectManager {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let discovery = &about.discovery;
        let instance = asked.instance([
            ("SystemCreationClassName", SYSTEM_CLASS.into()),
            ("SystemName", discovery.computer.as_str().into()),
            ("CreationClassName", "CIM_ObjectManager".into()),
            ("Name", MANAGER.into()),
            ("ElementName", "Cimwright".into()),
            ("Description", format!("Cimwright WBEM server version {}", discovery.version).as_str().into()),
            ("Version", discovery.version.as_str().into()),
            (GATHER, about.statistics.is_gathering().into()),
            ("OperationalStatus", Value::uint16s([2])),
            ("EnabledState", Value::Uint16(2)),
            ("Started", true.into()),
        ])?;
        Ok(vec![instance])
    }

    async fn modify(&self, about: &About, asked: &Asked<'_>, changes: Vec<Property>) -> Result<(), CimError> {
        let present = self.all(about, asked).await?.pop();
        let is_new =
            |c: &&Property| present.as_ref().and_then(|p| p.get(c.name.as_str())) != c.value.as_ref();
        if let Some(fixed) = changes.iter().filter(is_new).find(|c| !c.name.is(GATHER)) {
            let text = format!("{}.{} tells what is, and cannot be changed", asked.class, fixed.name);
            return Err(CimError::not_supported(text));
        }
        match changes.iter().find(|c| c.name.is(GATHER)).map(|c| &c.value) {
            None => Ok(()),
            Some(Some(Value::Boolean(wanted))) => {
                about.statistics.gather(*wanted, about.jobs.clock().now());
                Ok(())
            }
            Some(_) => Err(CimError::invalid_parameter(format!("{GATHER} is TRUE or FALSE"))),
        }
    }
}

#[async_trait]
impl Part for System {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let computer = about.discovery.computer.as_str();
        let instance = asked.instance([
            ("CreationClassName", SYSTEM_CLASS.into()),
            ("Name", computer.into()),
            ("NameFormat", "Other".into()),
            ("ElementName", computer.into()),
            ("Description", "The computer that the WBEM server runs on".into()),
            ("OperationalStatus", Value::uint16s([2])),
            ("EnabledState", Value::Uint16(2)),
        ])?;
        Ok(vec![instance])
    }
}

#[async_trait]
impl Part for Mechanisms {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let of = |url: &str| {
            let seconds = |time: std::time::Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
            asked.instance([
                ("SystemCreationClassName", SYSTEM_CLASS.into()),
                ("SystemName", about.discovery.computer.as_str().into()),
                ("CreationClassName", "CIM_CIMXMLCommunicationMechanism".into()),
                ("Name", url.into()),
                ("ElementName", url.into()),
                ("CommunicationMechanism", Value::Uint16(2)),
                ("FunctionalProfilesSupported", Value::uint16s(FUNCTIONAL_PROFILES)),
                ("MultipleOperationsSupported", true.into()),
                ("AuthenticationMechanismsSupported", Value::uint16s([3])),
                ("Version", "1.4".into()),
                ("CIMXMLProtocolVersion", Value::Uint16(1)),
                ("AdvertiseTypes", Value::uint16s([2])),
                ("CIMValidated", false.into()),
                ("OperationalStatus", Value::uint16s([2])),
                ("PulledEnumerationClosureOnExceedingServerLimitsSupported", false.into()),
                ("PulledEnumerationContinuationOnErrorSupported", true.into()),
                (
                    "PulledEnumerationMaximumOperationTimeout",
                    Value::Uint32(seconds(about.limits.max_timeout)),
                ),
                ("PulledEnumerationMinimumOperationTimeout", Value::Uint32(1)),
                ("PulledEnumerationNoOperationTimeoutSupported", false.into()),
            ])
        };
        about.access_points().iter().map(|point| of(&point.url)).collect()
    }
}

#[async_trait]
impl Part for Hosted {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let services = std::iter::once(manager(about)).chain(about.services.iter().cloned());
        let link = |service: InstancePath| {
            asked.instance([("Antecedent", system(about).into()), ("Dependent", service.into())])
        };
        services.map(link).collect()
    }
}

#[async_trait]
impl Part for MechanismOfManager {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        links(about, asked, &manager(about))
    }
}

#[async_trait]
impl Part for HostedMechanism {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        links(about, asked, &system(about))
    }
}

fn links(about: &About, asked: &Asked<'_>, antecedent: &InstancePath) -> Result<Vec<Instance>, CimError> {
    let link = |url: &str| {
        let dependent = mechanism(about, url);
        asked.instance([("Antecedent", antecedent.clone().into()), ("Dependent", dependent.into())])
    };
    about.access_points().iter().map(|point| link(&point.url)).collect()
}
