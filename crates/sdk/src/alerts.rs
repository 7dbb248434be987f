//! How a provider tells that something has happened.

use async_trait::async_trait;
use cimwright_cim::{CimError, Instance, NamespaceName};
use std::sync::{Arc, OnceLock};

/// Takes indications and sees to it that whoever subscribed gets them. The server has one.
#[async_trait]
pub trait AlertSink: Send + Sync + 'static {
    /// See [`Alerts::raise`].
    ///
    /// # Errors
    /// When the class is none of the namespace's indications, or the indication cannot be made durable.
    async fn raise(&self, namespace: &NamespaceName, indication: Instance) -> Result<(), CimError>;
}

/// Where a provider raises indications. Cheap to clone; all clones lead to the same place.
///
/// A provider is made before the server around it is; what it raises until then is told to nobody, as nobody can have subscribed.
#[derive(Clone, Default)]
pub struct Alerts {
    sink: Arc<OnceLock<Arc<dyn AlertSink>>>,
}

impl Alerts {
    /// A line that leads nowhere yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects the line. The first connection stays.
    pub fn connect(&self, sink: Arc<dyn AlertSink>) {
        let _ = self.sink.set(sink);
    }

    /// Whether the line leads anywhere yet.
    pub fn is_connected(&self) -> bool {
        self.sink.get().is_some()
    }

    /// Tells that something has happened in a namespace: an instance of one of its indication classes. When this returns, the
    /// indication is in the durable queue of everybody whose filter it passes; it does not wait for any of them.
    /// IndicationIdentifier and IndicationTime are filled in where they are missing.
    ///
    /// # Errors
    /// When the class is none of the namespace's indications, or the indication cannot be made durable.
    pub async fn raise(&self, namespace: &NamespaceName, indication: Instance) -> Result<(), CimError> {
        match self.sink.get() {
            Some(sink) => sink.raise(namespace, indication).await,
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alerts").field("connected", &self.sink.get().is_some()).finish()
    }
}
