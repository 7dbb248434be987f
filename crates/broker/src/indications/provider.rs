//! Filters, destinations, subscriptions and their service as instances of root/interop.

use super::book::ends;
use super::{Indications, Shared};
use crate::interop::INTEROP_NAMESPACE;
use async_trait::async_trait;
use cimwright_cim::{CimError, ClassName, Instance, InstancePath, Property, Value};
use cimwright_jobs::{Entry, EntryKind};
use cimwright_sdk::{Context, InstanceProvider, Plugin, ServedClass};
use std::sync::Arc;

/// The classes, and what each is.
const CLASSES: [(&str, What); 12] = [
    ("CIM_IndicationFilter", What::Registered(EntryKind::Filter)),
    ("CIM_ListenerDestinationCIMXML", What::Registered(EntryKind::Destination)),
    ("CIM_IndicationHandlerCIMXML", What::Registered(EntryKind::Destination)),
    (super::eventing::CLASS, What::Registered(EntryKind::Destination)),
    ("CIM_IndicationSubscription", What::Registered(EntryKind::Subscription)),
    (super::rules::COLLECTION_SUBSCRIPTION, What::Registered(EntryKind::Subscription)),
    (super::book::COLLECTION, What::Collections),
    ("CIM_MemberOfCollection", What::Members),
    ("CIM_IndicationService", What::Service),
    ("CIM_IndicationServiceCapabilities", What::Capabilities),
    ("CIM_ElementCapabilities", What::ElementCapabilities),
    ("CIM_ServiceAffectsElement", What::Affected),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Registered(EntryKind),
    Service,
    Capabilities,
    ElementCapabilities,
    Affected,
    Collections,
    Members,
}

/// The classes of the indication service, for [`crate::BrokerBuilder::plugin`].
pub fn plugin(indications: &Indications) -> Plugin {
    let provider: Arc<dyn InstanceProvider> = Arc::new(Provider { shared: Arc::clone(&indications.shared) });
    let classes = CLASSES
        .iter()
        .map(|(class, _)| ServedClass {
            namespace: INTEROP_NAMESPACE.into(),
            class: (*class).into(),
            instances: Some(Arc::clone(&provider)),
            methods: None,
        })
        .collect();
    Plugin { name: "indications", classes, ..Plugin::default() }
}

struct Provider {
    shared: Arc<Shared>,
}

impl Provider {
    /// An entry as it is shown: the time it has left is not stored.
    fn shown(&self, entry: &Entry) -> Instance {
        let mut instance = entry.instance.clone();
        if instance.class.is(super::eventing::CLASS) {
            instance.properties.retain(|p| super::eventing::SHOWN.iter().any(|name| p.name.is(name)));
        }
        if let Some(end) = ends(entry) {
            let left = end.duration_since(self.shared.clock.now()).unwrap_or_default();
            instance.set("SubscriptionTimeRemaining", Some(Value::Uint64(left.as_secs())));
        }
        instance
    }
}

fn what(class: &ClassName) -> Option<What> {
    CLASSES.iter().find(|(name, _)| class.is(name)).map(|(_, what)| *what)
}

#[async_trait]
impl InstanceProvider for Provider {
    async fn enumerate(&self, _: Context<'_>, class: &ClassName) -> Result<Vec<Instance>, CimError> {
        Ok(match what(class) {
            Some(What::Registered(_)) => {
                let book = self.shared.book();
                book.entries().filter(|e| e.instance.class == *class).map(|e| self.shown(e)).collect()
            }
            Some(What::Service) => vec![self.shared.service()],
            Some(What::Capabilities) => vec![self.shared.capabilities()],
            Some(What::ElementCapabilities) => vec![self.shared.element_capabilities()],
            Some(What::Affected) => self.shared.affected(),
            Some(What::Collections) => self.shared.collections(),
            Some(What::Members) => self.shared.members(),
            None => Vec::new(),
        })
    }

    async fn get(&self, context: Context<'_>, path: &InstancePath) -> Result<Option<Instance>, CimError> {
        if let Some(What::Registered(_)) = what(&path.class) {
            return Ok(self.shared.book().entry_at(path).map(|e| self.shown(e)));
        }
        let Some(class) = context.schema.class(path.class.as_str()) else { return Ok(None) };
        let all = self.enumerate(context, &path.class).await?;
        Ok(all.into_iter().find(|i| i.path_by_keys(class, None) == *path))
    }

    fn knows_owners(&self) -> bool {
        true
    }

    async fn create(&self, context: Context<'_>, instance: Instance) -> Result<InstancePath, CimError> {
        let (shared, principal) = (&self.shared, context.principal);
        match what(&instance.class) {
            Some(What::Registered(EntryKind::Filter)) => shared.create_filter(principal, instance).await,
            Some(What::Registered(EntryKind::Destination)) => {
                shared.create_destination(principal, instance).await
            }
            Some(What::Registered(EntryKind::Subscription)) => {
                shared.create_subscription(principal, instance).await
            }
            _ => Err(CimError::not_supported(format!("instances of {} cannot be created", instance.class))),
        }
    }

    async fn modify(
        &self,
        context: Context<'_>,
        path: &InstancePath,
        changes: Vec<Property>,
    ) -> Result<(), CimError> {
        match what(&path.class) {
            Some(What::Registered(_)) => self.shared.modify(context.principal, path, changes).await,
            Some(What::Service) => self.shared.modify_service(context.principal, changes).await,
            _ => Err(CimError::not_supported(format!("instances of {} cannot be modified", path.class))),
        }
    }

    async fn delete(&self, context: Context<'_>, path: &InstancePath) -> Result<(), CimError> {
        match what(&path.class) {
            Some(What::Registered(_)) => self.shared.delete(context.principal, path).await,
            _ => Err(CimError::not_supported(format!("instances of {} cannot be deleted", path.class))),
        }
    }
}
