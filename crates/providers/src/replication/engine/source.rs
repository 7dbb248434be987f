//! What a source can be told.

use std::time::{Duration, Instant};

use serde_json::json;

use super::address::Partner;
use super::failure::{About, ReplicationError};
use super::mirror::{Mirror, Start, failure_of};
use super::replica::{Replica, Shared, State};
use super::status::{CopyMode, MirrorPhase, MirrorStatus};
use super::trust::Basis;

/// How often the progress of the last blocks is looked at.
const FINISH_POLL: Duration = Duration::from_millis(20);

impl Replica {
    /// Starts to mirror the volume to a partner. A mirror that is [`MirrorPhase::Lost`] is replaced.
    ///
    /// [`Basis::Identical`] copies only what is written from now on, so it must be true, and no application may have used
    /// the volume since it became true. If the partner does not answer then, the mirror begins [`MirrorPhase::Broken`] and
    /// remembers what is written. The synchronous mode comes into force when little is left to copy.
    ///
    /// # Errors
    /// [`ReplicationError::WrongState`] for a destination and when there is a mirror; [`super::Failure`]. Nothing is left
    /// of the mirror then.
    pub async fn start(
        &self,
        partner: Partner,
        basis: Basis,
        mode: CopyMode,
    ) -> Result<(), ReplicationError> {
        let shared = &self.shared;
        let mut state = shared.state.lock().await;
        state.must_not_receive("mirror the volume")?;
        if state.mirror.as_ref().is_some_and(Mirror::alive) {
            return Err(ReplicationError::WrongState {
                operation: "mirror the volume",
                state: "it is mirrored already",
            });
        }
        let start = match basis {
            Basis::Full(_) => Start::Full,
            Basis::Identical => Start::Nothing,
        };
        let mut mirror = Mirror::new(shared, partner, mode);
        match (shared.add_link(&mirror.partner).await, start) {
            (Ok(link), _) => mirror.link = Some(link),
            (Err(error), Start::Full) => return Err(error),
            // What is written from now on must be remembered, whether the partner is there or not.
            (Err(error), Start::Nothing) => {
                mirror.failure = Some(failure_of(error, &mirror.partner)?);
                mirror.catching_up = true;
            }
        }
        let made = async {
            shared.add_target(&mirror).await?;
            shared.add_job(&mirror, start).await?;
            if mirror.link.is_some() {
                return Ok(());
            }
            shared.daemon.execute("job-pause", json!({ "id": mirror.job }), About::default()).await
        }
        .await;
        if let Err(error) = made {
            shared.remove_nodes(&mut mirror).await;
            return Err(error);
        }
        state.mirror = Some(mirror);
        shared.refresh(&mut state).await.map(drop)
    }

    /// How the mirror is doing now; nothing when there is none. When the daemon has died, that is [`MirrorPhase::Lost`].
    ///
    /// # Errors
    /// [`ReplicationError::Timeout`], [`ReplicationError::Protocol`].
    pub async fn status(&self) -> Result<Option<MirrorStatus>, ReplicationError> {
        let mut state = self.shared.state.lock().await;
        self.shared.refresh(&mut state).await
    }

    /// Looks whether the partner stands still without closing its connections. Writes that wait for it would wait for ever; it is cut
    /// off, and the mirror is [`MirrorPhase::Broken`] then. Takes up to four seconds.
    pub async fn check_partner(&self) {
        self.shared.check_partner().await;
    }

    /// Stops sending, in both modes. Writes of applications go on and are remembered.
    ///
    /// # Errors
    /// [`ReplicationError::WrongState`], [`super::Failure::DaemonDied`].
    pub async fn suspend(&self) -> Result<(), ReplicationError> {
        let shared = &self.shared;
        let mut state = shared.state.lock().await;
        shared.refresh(&mut state).await?;
        let mirror = state.live_mirror("suspend the mirror")?;
        if mirror.suspended {
            return Ok(());
        }
        // Pausing stops what the job does by itself; cutting off stops what the writes of applications would send.
        let paused = shared.report(&mirror.job).await?.is_some_and(|report| report.paused);
        if !paused {
            shared.daemon.execute("job-pause", json!({ "id": mirror.job }), About::default()).await?;
        }
        mirror.suspended = true;
        mirror.catching_up = true;
        let cut = shared.cut_off(mirror).await;
        shared.refresh(&mut state).await?;
        cut
    }

    /// Goes on after [`Self::suspend`]. Only what was written meanwhile is sent.
    ///
    /// # Errors
    /// [`ReplicationError::WrongState`]; [`super::Failure`] when the partner does not answer, and then it stays suspended.
    pub async fn resume(&self) -> Result<(), ReplicationError> {
        let shared = &self.shared;
        let mut state = shared.state.lock().await;
        shared.refresh(&mut state).await?;
        let mirror = state.live_mirror("resume the mirror")?;
        if !mirror.suspended {
            return Err(ReplicationError::WrongState {
                operation: "resume the mirror",
                state: "it is not suspended",
            });
        }
        shared.go_on(mirror).await?;
        mirror.suspended = false;
        mirror.failure = None;
        mirror.retried = false;
        shared.refresh(&mut state).await.map(drop)
    }

    /// Tries again after a failure, when the mirror is [`MirrorPhase::Broken`]; does nothing when it is not. Only the
    /// difference is sent.
    ///
    /// # Errors
    /// [`ReplicationError::WrongState`] when it is suspended or has ended; the [`super::Failure`] of this attempt, and then
    /// it stays broken.
    pub async fn retry(&self) -> Result<(), ReplicationError> {
        let shared = &self.shared;
        let mut state = shared.state.lock().await;
        shared.refresh(&mut state).await?;
        let mirror = state.live_mirror("retry")?;
        if mirror.suspended {
            return Err(ReplicationError::WrongState {
                operation: "retry",
                state: "the mirror is suspended",
            });
        }
        if mirror.failure.is_none() {
            return Ok(());
        }
        if let Err(error) = shared.go_on(mirror).await {
            if let Some(failure) = error.failure() {
                mirror.failure = Some(failure.clone());
            }
            // What went wrong first is what the caller wants to know.
            let _ = shared.refresh(&mut state).await;
            return Err(error);
        }
        mirror.failure = None;
        mirror.retried = false;
        shared.refresh(&mut state).await.map(drop)
    }

    /// Sends the mirror to another address of the same partner from the next connection on.
    ///
    /// # Errors
    /// [`ReplicationError::WrongState`].
    pub async fn set_partner(&self, partner: Partner) -> Result<(), ReplicationError> {
        let mut state = self.shared.state.lock().await;
        state.live_mirror("change the partner's address")?.partner = partner;
        Ok(())
    }

    /// Changes what a write of an application waits for. To [`CopyMode::Synchronous`] it happens when little is left to
    /// copy; to [`CopyMode::Asynchronous`] at once, by exchanging the mirror for another without losing a write.
    ///
    /// # Errors
    /// [`ReplicationError::WrongState`] when there is no mirror, or it is synchronous and suspended or broken;
    /// [`super::Failure`].
    pub async fn set_mode(&self, mode: CopyMode) -> Result<(), ReplicationError> {
        let shared = &self.shared;
        let mut state = shared.state.lock().await;
        shared.refresh(&mut state).await?;
        let mirror = state.live_mirror("change the mode")?;
        let exchange = mode == CopyMode::Asynchronous && mirror.in_force == CopyMode::Synchronous;
        if exchange && (mirror.suspended || mirror.failure.is_some()) {
            return Err(ReplicationError::WrongState {
                operation: "change the mode",
                state: "a synchronous mirror must be running for that",
            });
        }
        if exchange {
            shared.exchange_mirror(&mut state).await?;
        } else {
            mirror.wanted = mode;
        }
        shared.refresh(&mut state).await.map(drop)
    }

    /// Ends the mirror at once. The record of the difference goes with it.
    ///
    /// # Errors
    /// [`super::Failure::DaemonDied`].
    pub async fn stop(&self) -> Result<(), ReplicationError> {
        let shared = &self.shared;
        let mut state = shared.state.lock().await;
        if state.mirror.as_ref().is_some_and(Mirror::alive) {
            shared.end_job(&mut state).await?;
        }
        state.mirror = None;
        shared.refresh(&mut state).await.map(drop)
    }

    /// Ends the mirror when both sides are identical, and only then: the first half of a switch of direction, and the way
    /// to end for a later start from [`Basis::Identical`]. Applications must not be using the volume any more.
    ///
    /// # Errors
    /// [`ReplicationError::WrongState`] while the volume is offered to applications, or the mirror is suspended;
    /// [`ReplicationError::Timeout`] when it has not got there in time, and the [`super::Failure`] that keeps it from
    /// getting there: in both cases the mirror lives on. When the partner is lost in the very last moment, the mirror ends
    /// as [`MirrorPhase::Lost`].
    pub async fn finish(&self, patience: Duration) -> Result<(), ReplicationError> {
        let shared = &self.shared;
        let operation = "finish the mirror";
        let start = Instant::now();
        let mut state = loop {
            let mut state = shared.state.lock().await;
            if state.exported {
                return Err(ReplicationError::WrongState {
                    operation,
                    state: "applications can write to the volume",
                });
            }
            let status = shared.refresh(&mut state).await?;
            state.live_mirror(operation)?;
            let Some(status) = status else { continue };
            if let Some(failure) = status.failure {
                return Err(failure.into());
            }
            if status.phase == MirrorPhase::Suspended {
                return Err(ReplicationError::WrongState { operation, state: "it is suspended" });
            }
            if status.remaining_bytes == 0
                && matches!(status.phase, MirrorPhase::Following | MirrorPhase::CatchingUp)
            {
                break state;
            }
            drop(state);
            if start.elapsed() >= patience {
                return Err(ReplicationError::Timeout { what: "copying the rest", limit: patience });
            }
            tokio::time::sleep(FINISH_POLL).await;
        };
        shared.complete_job(&mut state).await?;
        state.mirror = None;
        shared.refresh(&mut state).await.map(drop)
    }
}

impl Shared {
    /// Ends the job whatever it is doing.
    async fn end_job(&self, state: &mut State) -> Result<(), ReplicationError> {
        let _door = self.shut_door().await;
        let Some(mirror) = &mut state.mirror else { return Ok(()) };
        let cancel = json!({ "device": mirror.job, "force": true });
        let ending = async {
            self.daemon.execute("block-job-cancel", cancel, About::default()).await?;
            self.conclude(&mirror.job).await
        };
        match mirror.link.as_ref().map(|link| link.address) {
            Some(address) => self.or_sever(address, ending).await?,
            None => ending.await?,
        };
        self.remove_nodes(mirror).await;
        Ok(())
    }

    /// Ends the job at a moment at which both sides are the same. An error means that there was no such moment; the job has
    /// then ended as well.
    pub(super) async fn complete_job(&self, state: &mut State) -> Result<(), ReplicationError> {
        let _door = self.shut_door().await;
        let Some(mirror) = &mut state.mirror else { return Ok(()) };
        let job = mirror.job.clone();
        self.daemon
            .execute("block-job-cancel", json!({ "device": job, "force": false }), About::default())
            .await?;
        let ended = self.conclude_in_order(&job).await;
        match ended {
            Ok(None) => {
                self.remove_nodes(mirror).await;
                Ok(())
            }
            Ok(Some(desc)) => {
                mirror.lost = true;
                mirror.failure = Some(super::Failure::TrackingLost { desc: desc.clone() });
                self.remove_nodes(mirror).await;
                Err(super::Failure::TrackingLost { desc }.into())
            }
            Err(error) => {
                // It waits for a partner that is gone, and would end by itself, unseen, when that comes back.
                self.end_job(state).await?;
                let desc = error.to_string();
                if let Some(mirror) = &mut state.mirror {
                    mirror.lost = true;
                    mirror.failure = Some(super::Failure::TrackingLost { desc: desc.clone() });
                }
                Err(super::Failure::TrackingLost { desc }.into())
            }
        }
    }
}
