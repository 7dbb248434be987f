//! Having volumes rest: their daemons ended in good order, and not started again until somebody lets them go on.
//!
//! Who turns a direction round needs all volumes of a group at rest before the model says so. If one of them cannot, the others
//! go on as if nothing had been: what was left in order needs no copy.

use super::Sessions;
use crate::replication::errors;
use crate::replication::guid::Guid;
use cimwright_sdk::cim::ErrorDetail;
use tokio::sync::oneshot;

/// What the task of a volume can be told.
#[derive(Debug)]
pub(super) enum Order {
    /// Look what is to be done.
    Look,
    /// End the daemon and start none.
    Rest {
        /// What must be true first.
        manner: Manner,
        /// Whether it rests. Dropped by who does not wait any more, and then it goes on.
        reply: oneshot::Sender<Result<(), ErrorDetail>>,
    },
    /// Go on.
    GoOn,
}

/// How a side comes to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A source only when both sides are the same: applications are cut off, the rest is copied, and the side is sealed. A source
    /// that cannot do that goes on.
    Same,
    /// As `Same` where that is possible at once, else all the same.
    Anyhow,
}

/// Volumes at rest. They go on when this is dropped.
#[derive(Debug)]
pub struct Rest<'a> {
    sessions: &'a Sessions,
    volumes: Vec<Guid>,
}

impl Sessions {
    /// Brings volumes to rest, all or none.
    ///
    /// # Errors
    /// Why one of them cannot.
    pub async fn rest(&self, volumes: Vec<Guid>, manner: Manner) -> Result<Rest<'_>, ErrorDetail> {
        // From here on all of them go on when this ends early.
        let rest = Rest { sessions: self, volumes };
        let mut replies = Vec::new();
        for volume in &rest.volumes {
            let (reply, told) = oneshot::channel();
            let sent = match self.sides().get(volume) {
                Some(side) => side.send(Order::Rest { manner, reply }).is_ok(),
                None => false,
            };
            match (sent, manner) {
                (true, _) => replies.push(told),
                // Nobody looks after it (yet): there is no daemon.
                (false, Manner::Anyhow) => {}
                (false, Manner::Same) => {
                    return Err(errors::not_same(&volume.to_string(), "it is not looked after yet"));
                }
            }
        }
        for told in replies {
            // A task that ends has no daemon any more.
            told.await.unwrap_or(Ok(()))?;
        }
        Ok(rest)
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        for volume in &self.volumes {
            if let Some(side) = self.sessions.sides().get(volume) {
                let _ = side.send(Order::GoOn);
            }
        }
    }
}
