//! The section `[indications]` of the configuration file.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[indications]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct IndicationsConfig {
    /// Where clients may have indications sent to: `loopback`, `any`, addresses, networks, hosts, `*.domain`.
    pub allowed_destinations: Vec<String>,
    /// PEM file with the certificates to trust for https listeners; empty means the system's.
    pub ca: PathBuf,
    /// Whether https listeners have to have a certificate that is trusted.
    pub verify_tls: bool,
    /// How often a delivery is tried again before the listener counts as unreachable.
    pub retry_attempts: u16,
    /// How long to wait between two attempts, in milliseconds.
    pub retry_interval_ms: u64,
    /// The longest wait between two attempts, in milliseconds.
    pub max_retry_interval_ms: u64,
    /// How long one attempt may take, in milliseconds.
    pub delivery_timeout_ms: u64,
    /// How long an indication waits for a listener that stays away, in milliseconds.
    pub lifetime_ms: u64,
    /// How many indications wait for one destination; the oldest make room for more.
    pub queue_limit: u64,
    /// What becomes of subscriptions whose listener stays away.
    pub removal_action: Removal,
    /// For how long it has to have stayed away for that, in milliseconds.
    pub removal_interval_ms: u64,
    /// How many destinations clients may make.
    pub max_destinations: usize,
    /// How many filters clients may make.
    pub max_filters: usize,
    /// How many subscriptions clients may make.
    pub max_subscriptions: usize,
}

/// What becomes of subscriptions whose listener stays away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Removal {
    /// They are removed.
    Remove,
    /// They are disabled.
    Disable,
    /// They stay.
    #[default]
    Ignore,
}

impl Default for IndicationsConfig {
    fn default() -> Self {
        Self {
            allowed_destinations: vec!["loopback".to_owned()],
            ca: PathBuf::new(),
            verify_tls: true,
            retry_attempts: 3,
            retry_interval_ms: 5_000,
            max_retry_interval_ms: 300_000,
            delivery_timeout_ms: 20_000,
            lifetime_ms: 86_400_000,
            queue_limit: 100_000,
            removal_action: Removal::Ignore,
            removal_interval_ms: 2_592_000_000,
            max_destinations: 500,
            max_filters: 500,
            max_subscriptions: 2_000,
        }
    }
}
