//! Tells those who subscribed that the health of a volume has changed (MSFT_WvrHealthChangeEvent).

use super::guid::Guid;
use super::service::Shared;
use super::session::VolumeStatus;
use super::{instances, namespace};
use cimwright_sdk::Alerts;
use cimwright_sdk::cim::{Instance, Value};
use std::time::Duration;
use tokio::sync::mpsc;

/// How many events may wait to be made durable. Health does not change so often that more would be of use.
const WAITING: usize = 1024;

/// How often is looked whether there is anybody to tell.
const GLANCE: Duration = Duration::from_millis(20);

/// Passes events on in order, so that whoever notices a change need not wait.
#[derive(Debug)]
pub struct Herald {
    events: mpsc::Sender<Instance>,
}

impl Herald {
    /// A herald that raises its events with `alerts`. Call inside a Tokio runtime.
    pub fn new(alerts: Alerts) -> Self {
        let (events, mut waiting) = mpsc::channel::<Instance>(WAITING);
        tokio::spawn(async move {
            while let Some(event) = waiting.recv().await {
                // Partnerships are taken up before the server around the provider is whole.
                while !alerts.is_connected() {
                    tokio::time::sleep(GLANCE).await;
                }
                if let Err(error) = alerts.raise(&namespace(), event).await {
                    tracing::error!(%error, "a change of health could not be told");
                }
            }
        });
        Self { events }
    }

    /// Tells of a change, if it is one of health: a fault came, went, or became another one.
    pub(super) fn changed(
        &self,
        shared: &Shared,
        id: Guid,
        before: Option<&VolumeStatus>,
        now: Option<&VolumeStatus>,
    ) {
        let fault = |status: Option<&VolumeStatus>| status.and_then(|s| s.failure.as_ref()).cloned();
        let (old, new) = (fault(before), fault(now));
        let kind = |f: &Option<cimwright_sdk::cim::ErrorDetail>| f.as_ref().map(|f| f.message_id.clone());
        if kind(&old) == kind(&new) {
            return;
        }
        let Some(health) = instances::volume_health(&shared.model(), id, new.as_ref()) else { return };
        let event = Instance::new("MSFT_WvrHealthChangeEvent")
            .with("HealthInformation", Value::Instance(Box::new(health)));
        if self.events.try_send(event).is_err() {
            tracing::warn!(volume = %id, "too many changes of health wait to be told; this one is not");
        }
    }
}
