//! What administrators may change about the service while it runs: the writable properties of CIM_IndicationService. What was
//! changed is durable and wins over the configuration; NULL gives a property back to it.

use super::Shared;
use super::config::{IndicationsConfig, RemovalAction};
use crate::errors;
use cimwright_cim::{CimError, Instance, Property, Value};
use cimwright_jobs::{Entry, EntryKind};
use cimwright_sdk::{Principal, Role};
use std::sync::PoisonError;
use std::time::Duration;

const FILTER_CREATION: &str = "FilterCreationEnabled";
const ATTEMPTS: &str = "DeliveryRetryAttempts";
const INTERVAL: &str = "DeliveryRetryInterval";
const REMOVAL: &str = "SubscriptionRemovalAction";
const REMOVAL_INTERVAL: &str = "SubscriptionRemovalTimeInterval";

/// What can be changed.
const SETTABLE: [&str; 5] = [FILTER_CREATION, ATTEMPTS, INTERVAL, REMOVAL, REMOVAL_INTERVAL];

impl Shared {
    /// The configuration with what was changed about it.
    pub(crate) fn settings(&self) -> IndicationsConfig {
        let mut config = self.config.clone();
        let Some(instance) = self.changed() else { return config };
        let number = |name: &str| instance.get_u64(name);
        let seconds = |name: &str| number(name).map(Duration::from_secs);
        if let Some(attempts) = number(ATTEMPTS).and_then(|n| u16::try_from(n).ok()) {
            config.retry_attempts = attempts;
        }
        config.retry_interval = seconds(INTERVAL).unwrap_or(config.retry_interval);
        config.removal_interval = seconds(REMOVAL_INTERVAL).unwrap_or(config.removal_interval);
        config.removal_action = number(REMOVAL).and_then(removal).unwrap_or(config.removal_action);
        config
    }

    /// Whether clients may make filters.
    pub(crate) fn filter_creation(&self) -> bool {
        self.changed().and_then(|i| i.get(FILTER_CREATION).cloned()) != Some(Value::Boolean(false))
    }

    /// ModifyInstance of the service.
    pub(crate) async fn modify_service(
        &self,
        principal: &Principal,
        changes: Vec<Property>,
    ) -> Result<(), CimError> {
        let _turn = self.turn.lock().await;
        let shown = self.service();
        let wanted: Vec<Property> =
            changes.into_iter().filter(|c| c.value.as_ref() != shown.get(c.name.as_str())).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        if principal.role() != Role::Administrator {
            return Err(CimError::access_denied("only administrators change the indication service"));
        }
        let stored = self.settings_entry.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut entry = stored.unwrap_or_else(|| {
            self.entry(EntryKind::Settings, principal, Instance::new("CIM_IndicationService"))
        });
        for change in wanted {
            if !SETTABLE.iter().any(|name| change.name.is(name)) {
                let text = format!("CIM_IndicationService.{} cannot be changed", change.name);
                return Err(CimError::not_supported(text));
            }
            check(&change)?;
            match change.value {
                Some(value) => entry.instance.set(change.name, Some(value)),
                None => entry.instance.properties.retain(|p| p.name != change.name),
            }
        }
        self.outbox.register(&entry).await.map_err(errors::from_store)?;
        *self.settings_entry.write().unwrap_or_else(PoisonError::into_inner) = Some(entry);
        Ok(())
    }

    fn changed(&self) -> Option<Instance> {
        let entry = self.settings_entry.read().unwrap_or_else(PoisonError::into_inner);
        entry.as_ref().map(|e: &Entry| e.instance.clone())
    }
}

fn removal(code: u64) -> Option<RemovalAction> {
    [RemovalAction::Remove, RemovalAction::Disable, RemovalAction::Ignore]
        .into_iter()
        .find(|action| u64::from(action.code()) == code)
}

fn check(change: &Property) -> Result<(), CimError> {
    let Some(number) = change.value.as_ref().and_then(Value::as_u64) else { return Ok(()) };
    let wrong = (change.name.is(REMOVAL) && removal(number).is_none())
        || ((change.name.is(INTERVAL) || change.name.is(REMOVAL_INTERVAL)) && number == 0);
    if wrong {
        return Err(CimError::invalid_parameter(format!("{} cannot be {number}", change.name)));
    }
    Ok(())
}
