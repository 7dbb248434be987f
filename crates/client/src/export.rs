//! How an indication gets to a listener: CIM-XML export (DSP0200 5.4, 6.2, 7.4), or a message of WS-Eventing.

use crate::endpoint::Endpoint;
use crate::error::ClientError;
use crate::transport::{Question, Transport};
use crate::wire;
use bytes::Bytes;
use cimwright_cim::Instance;
use std::sync::atomic::{AtomicU64, Ordering};

/// The way to one listener.
pub struct Exporter {
    transport: Transport,
    last_id: AtomicU64,
}

impl Exporter {
    /// Prepares the way; nothing is sent yet.
    ///
    /// # Errors
    /// When the certificates to trust cannot be read.
    pub fn new(endpoint: Endpoint) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(endpoint)?, last_id: AtomicU64::new(0) })
    }

    /// Delivers an indication and waits until the listener has taken it. A connection that went stale is made again, so the
    /// listener may see an indication twice; its sequence number tells.
    ///
    /// # Errors
    /// When the listener cannot be reached, answers anything but a response to an export, or says that it did not take the
    /// indication. Redirections are not followed.
    pub async fn export(&self, indication: &Instance) -> Result<(), ClientError> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed).to_string();
        let (headers, body) = wire::export_question(&id, indication);
        let question = Question { headers, body, repeatable: true, soap: false };
        let answer = self.transport.exchange(&question).await?;
        match wire::export_answer(&answer, self.transport.endpoint().max_answer) {
            Ok(taken) => taken.map_err(ClientError::Cim),
            Err(reason) => {
                Err(ClientError::Malformed { endpoint: self.transport.endpoint().to_string(), reason })
            }
        }
    }

    /// Delivers a message of WS-Eventing, and gives what the subscriber says to it: nothing, or an acknowledgement. A connection
    /// that went stale is made again, so the subscriber may see a message twice.
    ///
    /// # Errors
    /// When the subscriber cannot be reached, or answers with a status that is no success. Redirections are not followed.
    pub async fn send(&self, message: Vec<u8>) -> Result<Bytes, ClientError> {
        let question =
            Question { headers: Vec::new(), body: Bytes::from(message), repeatable: true, soap: true };
        self.transport.hand_over(&question).await
    }
}
