//! CIM_IndicationService and what belongs to it.

use super::Shared;
use super::book::{COLLECTION, Collection};
use crate::interop::{INTEROP_NAMESPACE, SYSTEM_CLASS};
use cimwright_cim::{Instance, InstancePath, NamespaceName, Value};

/// The name of the service.
const NAME: &str = "Cimwright:IndicationService";

/// The InstanceID of its capabilities.
const CAPABILITIES: &str = "Cimwright:IndicationServiceCapabilities";

impl Shared {
    /// CIM_IndicationService: exactly one.
    pub(crate) fn service(&self) -> Instance {
        let config = &self.settings();
        let seconds = |d: std::time::Duration| {
            Value::Uint32(u32::try_from(d.as_secs_f64().ceil() as u64).unwrap_or(u32::MAX))
        };
        Instance::new("CIM_IndicationService")
            .with("SystemCreationClassName", SYSTEM_CLASS)
            .with("SystemName", config.system_name.as_str())
            .with("CreationClassName", "CIM_IndicationService")
            .with("Name", NAME)
            .with("ElementName", "Indication service")
            .with("Started", true)
            .with("EnabledState", Value::Uint16(2))
            .with("OperationalStatus", Value::uint16s([2]))
            .with("HealthState", Value::Uint16(5))
            .with("FilterCreationEnabled", self.filter_creation())
            .with("DeliveryRetryAttempts", Value::Uint16(config.retry_attempts))
            .with("DeliveryRetryInterval", seconds(config.retry_interval))
            .with("SubscriptionRemovalAction", Value::Uint16(config.removal_action.code()))
            .with("SubscriptionRemovalTimeInterval", seconds(config.removal_interval))
    }

    /// CIM_IndicationServiceCapabilities: exactly one.
    pub(crate) fn capabilities(&self) -> Instance {
        let number = |n: usize| Value::Uint32(u32::try_from(n).unwrap_or(u32::MAX));
        Instance::new("CIM_IndicationServiceCapabilities")
            .with("InstanceID", CAPABILITIES)
            .with("ElementName", "Capabilities of the indication service")
            .with("FilterCreationEnabledIsSettable", true)
            .with("DeliveryRetryAttemptsIsSettable", true)
            .with("DeliveryRetryIntervalIsSettable", true)
            .with("SubscriptionRemovalActionIsSettable", true)
            .with("SubscriptionRemovalTimeIntervalIsSettable", true)
            .with("MaxListenerDestinations", number(self.config.max_destinations))
            .with("MaxActiveSubscriptions", number(self.config.max_subscriptions))
            .with("SubscriptionsPersisted", true)
    }

    /// CIM_ElementCapabilities between the two.
    pub(crate) fn element_capabilities(&self) -> Instance {
        let capabilities =
            InstancePath::new(NamespaceName::new(INTEROP_NAMESPACE), "CIM_IndicationServiceCapabilities")
                .with_key("InstanceID", CAPABILITIES);
        Instance::new("CIM_ElementCapabilities")
            .with("ManagedElement", self.service_path())
            .with("Capabilities", capabilities)
    }

    /// CIM_ServiceAffectsElement: the service manages every filter, every collection of them and every destination.
    pub(crate) fn affected(&self) -> Vec<Instance> {
        let book = self.book();
        let managed = book.filters().map(|f| &f.entry).chain(book.destinations().map(|d| &d.entry));
        managed
            .filter_map(|entry| entry.instance.path.clone())
            .chain(book.collections().iter().map(|c| c.path.clone()))
            .map(|path| {
                Instance::new("CIM_ServiceAffectsElement")
                    .with("AffectedElement", path)
                    .with("AffectingElement", self.service_path())
                    .with("ElementEffects", Value::uint16s([5]))
            })
            .collect()
    }

    /// CIM_FilterCollection: the filters that are always there, put together.
    pub(crate) fn collections(&self) -> Vec<Instance> {
        let shown = |c: &Collection| {
            Instance::new(COLLECTION)
                .with("InstanceID", c.path.key_str("InstanceID").unwrap_or_default())
                .with("ElementName", c.name)
                .with("CollectionName", c.name)
        };
        self.book().collections().iter().map(shown).collect()
    }

    /// CIM_MemberOfCollection.
    pub(crate) fn members(&self) -> Vec<Instance> {
        let book = self.book();
        let mut links = Vec::new();
        for collection in book.collections() {
            let paths =
                book.filters_of(collection.id).into_iter().filter_map(|f| f.entry.instance.path.clone());
            links.extend(paths.map(|path| {
                Instance::new("CIM_MemberOfCollection")
                    .with("Collection", collection.path.clone())
                    .with("Member", path)
            }));
        }
        links
    }

    /// The path of the service.
    pub(crate) fn service_path(&self) -> InstancePath {
        InstancePath::new(NamespaceName::new(INTEROP_NAMESPACE), "CIM_IndicationService")
            .with_key("SystemCreationClassName", SYSTEM_CLASS)
            .with_key("SystemName", self.config.system_name.as_str())
            .with_key("CreationClassName", "CIM_IndicationService")
            .with_key("Name", NAME)
    }
}
