//! Indications that a provider raises in a process of its own.

use super::frame::{self, FrameError};
use super::wire::{FromProvider, WireCimError};
use crate::alerts::AlertSink;
use async_trait::async_trait;
use cimwright_cim::{CimError, Instance, NamespaceName};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// What the server says to an indication.
type Reply = oneshot::Sender<Option<WireCimError>>;

/// Passes indications to the server and waits until it has made them durable.
pub(super) struct Line {
    out: mpsc::Sender<Vec<u8>>,
    waiting: Mutex<(u64, HashMap<u64, Reply>)>,
}

impl Line {
    pub(super) fn new(out: mpsc::Sender<Vec<u8>>) -> Self {
        Self { out, waiting: Mutex::default() }
    }

    /// The server has answered.
    pub(super) fn answered(&self, id: u64, error: Option<WireCimError>) {
        let reply = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&id);
        if let Some(reply) = reply {
            // Whoever raised it may have been cancelled.
            let _ = reply.send(error);
        }
    }
}

#[async_trait]
impl AlertSink for Line {
    async fn raise(&self, namespace: &NamespaceName, indication: Instance) -> Result<(), CimError> {
        let (reply, answer) = oneshot::channel();
        let id = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.0 += 1;
            let id = waiting.0;
            waiting.1.insert(id, reply);
            id
        };
        let message = FromProvider::Raise {
            id,
            namespace: namespace.as_str().to_owned(),
            indication: (&indication).into(),
        };
        let gone = || CimError::failed("the server has closed the connection");
        let frame = frame::encode(&message).map_err(|error: FrameError| {
            self.answered(id, None);
            CimError::failed(error.to_string())
        })?;
        self.out.send(frame).await.map_err(|_| gone())?;
        match answer.await.map_err(|_| gone())? {
            None => Ok(()),
            Some(error) => Err(CimError::try_from(error).map_err(|e| CimError::failed(e.to_string()))?),
        }
    }
}
