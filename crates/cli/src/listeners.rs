//! How indications leave the server: one connection per listener, kept as long as the listener keeps it.

use async_trait::async_trait;
use cimwright_broker::indications::{Deliver, DeliveryError, Target};
use cimwright_cim::Instance;
use cimwright_client::{Address, Endpoint, Exporter, TlsOptions};
use std::collections::HashMap;
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

impl Listeners {
    /// Nobody yet. `timeout` is for one delivery, the connection included.
    pub(crate) fn new(tls: TlsOptions, timeout: Duration) -> Self {
        Self { tls, timeout, known: Mutex::default() }
    }

    fn exporter(&self, destination: Uuid, target: &Target) -> Result<Arc<Exporter>, DeliveryError> {
        if let Some(exporter) = self.known().get(&destination) {
            return Ok(Arc::clone(exporter));
        }
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
        let exporter =
            Arc::new(Exporter::new(endpoint).map_err(|e| DeliveryError { reason: e.to_string() })?);
        self.known().insert(destination, Arc::clone(&exporter));
        Ok(exporter)
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

    fn forget(&self, destination: Uuid) {
        self.known().remove(&destination);
    }
}
