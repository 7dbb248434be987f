//! How indications are delivered, and how many there may be.

use super::target::Allowed;
use std::time::Duration;

/// What becomes of subscriptions whose listener stays away (CIM_IndicationService.SubscriptionRemovalAction).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalAction {
    /// They are removed.
    Remove,
    /// They are disabled.
    Disable,
    /// They stay.
    Ignore,
}

impl RemovalAction {
    /// The value of the property.
    pub fn code(self) -> u16 {
        match self {
            Self::Remove => 2,
            Self::Disable => 3,
            Self::Ignore => 4,
        }
    }
}

/// How indications are delivered.
#[derive(Clone, Debug)]
pub struct IndicationsConfig {
    /// The name of this computer: SystemName, SourceInstanceHost.
    pub system_name: String,
    /// The destinations that clients may name.
    pub allowed: Vec<Allowed>,
    /// How often a delivery is tried again before the listener counts as unreachable.
    pub retry_attempts: u16,
    /// How long to wait between two attempts. Once the listener counts as unreachable, twice as long each time.
    pub retry_interval: Duration,
    /// The longest wait between two attempts.
    pub max_retry_interval: Duration,
    /// How long one attempt may take.
    pub delivery_timeout: Duration,
    /// How long an indication is kept for a listener that stays away.
    pub lifetime: Duration,
    /// How many indications may wait for one destination; the oldest make room for more.
    pub queue_limit: u64,
    /// What becomes of subscriptions whose listener stays away.
    pub removal_action: RemovalAction,
    /// For how long it has to have stayed away for that.
    pub removal_interval: Duration,
    /// How many destinations clients may make.
    pub max_destinations: usize,
    /// How many filters clients may make.
    pub max_filters: usize,
    /// How many subscriptions clients may make.
    pub max_subscriptions: usize,
}

impl Default for IndicationsConfig {
    fn default() -> Self {
        Self {
            system_name: "localhost".to_owned(),
            allowed: vec![Allowed::Loopback],
            retry_attempts: 3,
            retry_interval: Duration::from_secs(5),
            max_retry_interval: Duration::from_secs(300),
            delivery_timeout: Duration::from_secs(20),
            lifetime: Duration::from_secs(24 * 3600),
            queue_limit: 100_000,
            removal_action: RemovalAction::Ignore,
            removal_interval: Duration::from_secs(30 * 24 * 3600),
            max_destinations: 500,
            max_filters: 500,
            max_subscriptions: 2000,
        }
    }
}
