//! The end of a subscription of WS-Eventing that this server decides (WS-Eventing 3.5): whoever the subscriber named is told, once.

use super::Shared;
use super::delivery::STORE_PAUSE;
use super::eventing::EventSink;
use std::sync::Arc;
use uuid::Uuid;

/// Why this server ends a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventEnd {
    /// Its subscriber could not be reached as long as it wanted to be tried.
    DeliveryFailure,
    /// Somebody else has removed it.
    Cancelled,
}

impl Shared {
    /// Ends a subscription whose subscriber cannot be reached.
    pub(super) async fn give_up_events(self: Arc<Self>, id: Uuid, sink: Arc<EventSink>) {
        tracing::warn!(subscription = %id, "a subscriber cannot be reached: its subscription ends");
        loop {
            let turn = self.turn.lock().await;
            // Somebody else may have ended it meanwhile.
            if self.book().destination(id).is_none() {
                return;
            }
            match self.end_subscription(id).await {
                Ok(()) => return self.tell_end(id, sink, EventEnd::DeliveryFailure),
                Err(error) => tracing::error!(%error, subscription = %id, "cannot end a subscription yet"),
            }
            drop(turn);
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }

    /// Tells whoever wants to know it that a subscription has ended. Nobody waits for that, and it is not tried again: who was
    /// not told finds out with the next Renew.
    pub(super) fn tell_end(&self, id: Uuid, sink: Arc<EventSink>, why: EventEnd) {
        let (Some(deliver), Ok(Some(target))) = (self.deliver.get().cloned(), sink.end_target()) else {
            return;
        };
        // What may be reached can have changed since the subscription was made.
        if !target.is_allowed(&self.config.allowed) {
            return;
        }
        let limit = self.config.delivery_timeout;
        tokio::spawn(async move {
            let told = tokio::time::timeout(limit, deliver.end_events(id, &target, &sink, why)).await;
            if let Ok(Err(error)) = told {
                tracing::debug!(%target, %error, "the end of a subscription was not taken");
            }
        });
    }
}
