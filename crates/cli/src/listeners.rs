//! How indications leave the server: one connection per listener, kept as long as the listener keeps it.

use async_trait::async_trait;
use cimwright_broker::indications::{
    Allowed, Bookmark, Deliver, DeliveryError, EventEnd, EventMode, EventSink, Indications,
    IndicationsConfig, Parts, RemovalAction, Target,
};
use cimwright_cim::{Instance, NamespaceName, Schema};
use cimwright_client::{Address, Endpoint, Exporter, TlsOptions};
use cimwright_codec::cimxml::Limits;
use cimwright_codec::wsman::{
    Destination, EventKind, EventMessage, Foreign, Resource, Subscribed, SubscriptionEnd, decode_ack,
    encode_event, encode_subscription_end,
};
use cimwright_jobs::{Outbox, SystemClock};
use cimwright_sdk::Plugin;
use cimwright_server::config::{Config, Removal};
use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// The longest answer of a listener that is read. What it has to say fits into a few hundred bytes.
const MAX_ANSWER: usize = 64 << 10;

/// The listeners that were spoken to.
pub(crate) struct Listeners {
    tls: TlsOptions,
    timeout: Duration,
    known: Mutex<HashMap<Uuid, Arc<Exporter>>>,
}

/// Opens what tells subscribers about the jobs of a store; to be called before jobs run.
///
/// # Errors
/// When the store cannot be read, or the configuration names destinations that are none.
pub(crate) async fn open(
    config: &Config,
    computer: &str,
    outbox: Arc<dyn Outbox>,
    namespaces: &[(NamespaceName, Schema)],
    plugins: &[Plugin],
) -> Result<Indications, Box<dyn Error>> {
    let parts = Parts {
        outbox,
        clock: Arc::new(SystemClock),
        namespaces,
        dialects: plugins.iter().flat_map(|p| p.dialects.clone()).collect(),
        parser: Arc::new(cimwright_codec::query::parse),
        config: settings(config, computer)?,
    };
    Ok(Indications::open(parts).await?)
}

/// Begins to deliver.
pub(crate) fn start(config: &Config, indications: &Indications) {
    let settings = &config.indications;
    let tls = TlsOptions {
        ca_file: Some(settings.ca.clone()).filter(|f| !f.as_os_str().is_empty()),
        insecure: !settings.verify_tls,
        identity: None,
    };
    indications.start(Arc::new(Listeners::new(tls, Duration::from_millis(settings.delivery_timeout_ms))));
}

fn settings(config: &Config, computer: &str) -> Result<IndicationsConfig, Box<dyn Error>> {
    let settings = &config.indications;
    let allowed: Result<Vec<Allowed>, String> =
        settings.allowed_destinations.iter().map(|d| d.parse()).collect();
    Ok(IndicationsConfig {
        system_name: computer.to_owned(),
        allowed: allowed.map_err(|e| format!("indications.allowed_destinations: {e}"))?,
        retry_attempts: settings.retry_attempts,
        retry_interval: Duration::from_millis(settings.retry_interval_ms),
        max_retry_interval: Duration::from_millis(settings.max_retry_interval_ms),
        delivery_timeout: Duration::from_millis(settings.delivery_timeout_ms),
        lifetime: Duration::from_millis(settings.lifetime_ms),
        queue_limit: settings.queue_limit,
        removal_action: match settings.removal_action {
            Removal::Remove => RemovalAction::Remove,
            Removal::Disable => RemovalAction::Disable,
            Removal::Ignore => RemovalAction::Ignore,
        },
        removal_interval: Duration::from_millis(settings.removal_interval_ms),
        max_destinations: settings.max_destinations,
        max_filters: settings.max_filters,
        max_subscriptions: settings.max_subscriptions,
    })
}

impl Listeners {
    /// Nobody yet. `timeout` is for one delivery, the connection included.
    pub(crate) fn new(tls: TlsOptions, timeout: Duration) -> Self {
        Self { tls, timeout, known: Mutex::default() }
    }

    fn exporter(&self, destination: Uuid, target: &Target) -> Result<Arc<Exporter>, DeliveryError> {
        if let Some(exporter) = self.known().get(&destination) {
            return Ok(Arc::clone(exporter));
        }
        let exporter = Arc::new(self.connect(target)?);
        self.known().insert(destination, Arc::clone(&exporter));
        Ok(exporter)
    }

    fn connect(&self, target: &Target) -> Result<Exporter, DeliveryError> {
        let mut endpoint = Endpoint::new(Address::Tcp {
            host: target.host.clone(),
            port: target.port,
            tls: target.tls,
            path: target.path.clone(),
        });
        endpoint.tls = self.tls.clone();
        endpoint.connect_timeout = self.timeout;
        endpoint.answer_timeout = self.timeout;
        endpoint.max_answer = MAX_ANSWER;
        Exporter::new(endpoint).map_err(|e| DeliveryError { reason: e.to_string() })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Exporter>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Deliver for Listeners {
    async fn deliver(
        &self,
        destination: Uuid,
        target: &Target,
        indication: Instance,
    ) -> Result<(), DeliveryError> {
        let exporter = self.exporter(destination, target)?;
        exporter.export(&indication).await.map_err(|e| DeliveryError { reason: e.to_string() })
    }

    async fn deliver_events(
        &self,
        destination: Uuid,
        target: &Target,
        sink: &EventSink,
        events: Vec<Instance>,
        bookmark: Option<Bookmark>,
    ) -> Result<(), DeliveryError> {
        let failed = |reason: String| DeliveryError { reason };
        let exporter = self.exporter(destination, target)?;
        let to = destination_of(&sink.notify_to, &sink.parameters);
        let kind = match (events.as_slice(), sink.mode) {
            ([], _) => EventKind::Heartbeat,
            (events, EventMode::Events) => EventKind::Batch(events),
            ([event, ..], EventMode::PushWithAck) => EventKind::Acknowledged(event),
            ([event, ..], _) => EventKind::Plain(event),
        };
        let acknowledged = matches!(kind, EventKind::Acknowledged(_) | EventKind::Batch(_));
        let message_id = format!("uuid:{}", Uuid::new_v4());
        let uris = Resource::parse(&sink.resource_uri).1;
        let bookmark = bookmark.map(|b| Foreign::position(b.to_string()));
        let message = encode_event(&EventMessage {
            to: &to,
            message_id: &message_id,
            kind,
            bookmark: bookmark.as_ref(),
            uris: &uris,
            namespace: Some(&sink.namespace),
        });
        let answer = exporter.send(message).await.map_err(|e| failed(e.to_string()))?;
        if acknowledged {
            let of =
                decode_ack(&answer, &Limits { bytes: MAX_ANSWER, ..Limits::default() }).map_err(failed)?;
            if of != message_id {
                return Err(failed(format!("the acknowledgement is of {of}, not of {message_id}")));
            }
        }
        Ok(())
    }

    async fn deliver_dropped(
        &self,
        destination: Uuid,
        target: &Target,
        sink: &EventSink,
        count: u64,
    ) -> Result<(), DeliveryError> {
        let uris = Resource::parse(&sink.resource_uri).1;
        let message = encode_event(&EventMessage {
            to: &destination_of(&sink.notify_to, &sink.parameters),
            message_id: &format!("uuid:{}", Uuid::new_v4()),
            kind: EventKind::Dropped(count),
            bookmark: None,
            uris: &uris,
            namespace: Some(&sink.namespace),
        });
        let exporter = self.exporter(destination, target)?;
        exporter.send(message).await.map(drop).map_err(|e| DeliveryError { reason: e.to_string() })
    }

    async fn end_events(
        &self,
        id: Uuid,
        target: &Target,
        sink: &EventSink,
        why: EventEnd,
    ) -> Result<(), DeliveryError> {
        let Some(end_to) = &sink.end_to else { return Ok(()) };
        let uris = Resource::parse(&sink.resource_uri).1;
        let (status, reason) = match why {
            EventEnd::DeliveryFailure => ("DeliveryFailure", "The subscriber could not be reached."),
            EventEnd::Cancelled => ("SourceCanceling", "The subscription was removed."),
        };
        let message = encode_subscription_end(&SubscriptionEnd {
            to: &destination_of(&end_to.address, &end_to.parameters),
            message_id: &format!("uuid:{}", Uuid::new_v4()),
            subscribed: &Subscribed {
                address: &sink.manager,
                resource_uri: &sink.resource_uri,
                namespace: (!uris.is_wmi()).then_some(&sink.namespace),
                identifier: &format!("uuid:{id}"),
            },
            status,
            reason,
        });
        // A connection of its own: that of the destination has gone with it.
        let exporter = self.connect(target)?;
        exporter.send(message).await.map(drop).map_err(|e| DeliveryError { reason: e.to_string() })
    }

    fn forget(&self, destination: Uuid) {
        self.known().remove(&destination);
    }
}

fn destination_of(address: &str, parameters: &[(String, String, String)]) -> Destination {
    let parameters = parameters.iter().map(|(namespace, name, text)| Foreign {
        namespace: namespace.clone(),
        name: name.clone(),
        text: text.clone(),
    });
    Destination { address: address.to_owned(), parameters: parameters.collect() }
}
