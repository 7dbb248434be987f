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
        /// Who asks.
        who: Guid,
        /// What must be true first.
        manner: Manner,
        /// Whether it rests. Dropped by who does not wait any more, and then it goes on.
        reply: oneshot::Sender<Result<(), ErrorDetail>>,
    },
    /// Go on, if it rests for this one.
    GoOn(Guid),
}

/// For whom a volume rests; one at a time.
#[derive(Debug, Default)]
pub(super) struct Resting(Option<Guid>);

impl Resting {
    /// Whether it does.
    pub(super) fn is_so(&self) -> bool {
        self.0.is_some()
    }

    /// From now on, for this one.
    pub(super) fn begin(&mut self, who: Guid) {
        self.0 = Some(who);
    }

    /// Not for this one any more. That of another one is not ended by it.
    pub(super) fn end(&mut self, who: Guid) {
        self.0 = self.0.filter(|one| *one != who);
    }
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
    who: Guid,
    volumes: Vec<Guid>,
}

impl Sessions {
    /// Brings volumes to rest, all or none.
    ///
    /// # Errors
    /// Why one of them cannot.
    pub async fn rest(&self, volumes: Vec<Guid>, manner: Manner) -> Result<Rest<'_>, ErrorDetail> {
        // From here on all of them go on when this ends early.
        let who = Guid::generate();
        let rest = Rest { sessions: self, who, volumes };
        let mut replies = Vec::new();
        for volume in &rest.volumes {
            let (reply, told) = oneshot::channel();
            let sent = match self.sides().get(volume) {
                Some(side) => side.send(Order::Rest { who, manner, reply }).is_ok(),
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
                let _ = side.send(Order::GoOn(self.who));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_ends_the_rest_of_another_one() {
        let (one, other) = (Guid::generate(), Guid::generate());
        let mut resting = Resting::default();
        resting.begin(one);
        resting.end(other);
        assert!(resting.is_so());
        resting.end(one);
        assert!(!resting.is_so());
    }

    /// Who is refused, because a volume rests for another one, takes back nothing but what it asked for.
    #[tokio::test]
    async fn a_rest_that_is_refused_names_only_itself() {
        let sessions = Sessions::new(None);
        let volume = Guid::generate();
        let (side, mut orders) = tokio::sync::mpsc::unbounded_channel();
        sessions.sides().insert(volume, side);
        let refusing = async {
            let Some(Order::Rest { who, reply, .. }) = orders.recv().await else { panic!("an order") };
            reply.send(Err(errors::not_same("/v", "something else is being done with it"))).unwrap();
            let Some(Order::GoOn(named)) = orders.recv().await else { panic!("it is taken back") };
            assert_eq!(named, who);
        };
        let asking = async { sessions.rest(vec![volume], Manner::Same).await.map(drop) };
        let (refused, ()) = tokio::join!(asking, refusing);
        assert_eq!(refused.unwrap_err().message_id, "CWREPL1430");
    }
}
