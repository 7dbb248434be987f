//! What a source does: it offers its volume to applications, mirrors it, mends the mirror, and takes leave in order.

use super::resync::Copy;
use super::side::{Side, now};
use super::{EngineSettings, marker, peer};
use crate::replication::engine::{
    Basis, CopyMode, FullReason, MirrorPhase, MirrorStatus, Partner, ReplicationError, Standing,
    TlsDirectory, Volume,
};
use crate::replication::errors;
use crate::replication::model::{Group, Mode, Partition, Partnership};
use crate::replication::service::Shared;
use cimwright_sdk::cim::ErrorDetail;
use peer::Peer;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often is looked whether the partner lives.
const CHECK: Duration = Duration::from_secs(3);
/// How long the last blocks may take to be copied once applications are cut off.
const FINISH_LIMIT: Duration = Duration::from_secs(20);

/// What a volume looks like that does not show it. No volume looks so.
pub const UNKNOWN: &str = "unknown";

impl Side {
    pub(super) async fn be_source(
        &mut self,
        shared: &Arc<Shared>,
        settings: &EngineSettings,
        group: &Group,
        partition: &Partition,
        partnership: &Partnership,
    ) -> Result<(), ErrorDetail> {
        self.bury();
        let tls = self.tls(settings, group)?;
        let path = self.path.clone();
        let failed = |e: ReplicationError| errors::engine_failed(&e, &path);
        let mode = match group.mode {
            Mode::Sync => CopyMode::Synchronous,
            Mode::Async => CopyMode::Asynchronous,
        };
        if self.replica.is_none() {
            let later = self.begin(shared, settings, partition, partnership, tls.as_ref(), mode).await?;
            if let Some(generation) = later {
                return self.step_down(shared, partnership, generation).await;
            }
        }
        let Some(status) = self.look().await? else { return Ok(()) };
        let Some(replica) = &self.replica else { return Ok(()) };
        if self.status.export.is_none() {
            let export = replica.export().await.map_err(failed)?;
            self.status.export = Some(export.uri());
        }
        match status.map(|s| (s.phase, s.mode)) {
            None | Some((MirrorPhase::Lost, _)) if group.suspended => {}
            Some((phase, _)) if group.suspended => {
                if phase != MirrorPhase::Suspended {
                    replica.suspend().await.map_err(failed)?;
                }
            }
            now @ (None | Some((MirrorPhase::Lost | MirrorPhase::Broken | MirrorPhase::Suspended, _))) => {
                let told = peer::ask(shared, partition, partnership).await?;
                if told.supersedes(partnership) {
                    return self.step_down(shared, partnership, told.generation).await;
                }
                let partner = told.partner(partition, partnership, tls.as_ref())?;
                self.connect(partner, &told, mode, now.map(|(phase, _)| phase)).await?;
            }
            Some(_) if self.checked.is_none_or(|at| at.elapsed() >= CHECK) => {
                replica.check_partner().await;
                self.checked = Some(Instant::now());
            }
            Some((_, now)) if now != mode => replica.set_mode(mode).await.map_err(failed)?,
            Some(_) => {}
        }
        self.look().await.map(drop)
    }

    /// Opens the volume. When the other side turns out to be the source by now, nothing is done; the answer is its direction.
    async fn begin(
        &mut self,
        shared: &Shared,
        settings: &EngineSettings,
        partition: &Partition,
        partnership: &Partnership,
        tls: Option<&TlsDirectory>,
        mode: CopyMode,
    ) -> Result<Option<u64>, ErrorDetail> {
        let path = self.path.clone();
        let failed = |e: ReplicationError| errors::engine_failed(&e, &path);
        // Before applications can write: somebody may have made the other side the source while this server was down. If it
        // cannot be asked, this one goes on as what it was.
        let told = peer::ask(shared, partition, partnership).await;
        if let Some(later) = told.as_ref().ok().filter(|t| t.supersedes(partnership)) {
            return Ok(Some(later.generation));
        }
        let replica = self.open(shared, settings, partition, tls).await?;
        let marker = marker(shared, self.id);
        let standing = marker.standing(replica.volume());
        // From now on nothing is known about how the sides differ, until they are the same.
        marker.break_seal().map_err(|e| errors::state_unwritable(&e.to_string()))?;
        match standing {
            Standing::Untrusted(_) if partnership.failed_over => self.basis = FullReason::FailedOver,
            Standing::Untrusted(reason) => self.basis = reason,
            Standing::Sealed(token) => {
                let there = told.as_ref().ok().map(|t| t.fingerprint.as_ref() == Some(&token));
                if there == Some(false) {
                    self.basis = FullReason::VolumeTouched;
                } else {
                    let partner = told.and_then(|t| t.partner(partition, partnership, tls));
                    let verified = there.is_some() && partner.is_ok();
                    let partner = partner.unwrap_or_else(|_| peer::nowhere(partition, partnership, tls));
                    replica.start(partner, Basis::Identical, mode).await.map_err(failed)?;
                    self.unverified = (!verified).then_some(token);
                    self.status.full_reason = None;
                }
            }
        }
        self.replica = Some(replica);
        Ok(None)
    }

    /// Starts the mirror, or goes on with one that stands still.
    async fn connect(
        &mut self,
        partner: Partner,
        told: &Peer,
        mode: CopyMode,
        phase: Option<MirrorPhase>,
    ) -> Result<(), ErrorDetail> {
        let path = self.path.clone();
        let failed = |e: ReplicationError| errors::engine_failed(&e, &path);
        let Some(replica) = &self.replica else { return Ok(()) };
        let touched = self.unverified.take().is_some_and(|token| told.fingerprint.as_ref() != Some(&token));
        if touched {
            replica.stop().await.map_err(failed)?;
            self.basis = FullReason::VolumeTouched;
        }
        match phase {
            Some(MirrorPhase::Broken) if !touched => {
                replica.set_partner(partner).await.map_err(failed)?;
                replica.retry().await.map_err(failed)?;
                self.begun = Some(Copy::Difference);
            }
            Some(MirrorPhase::Suspended) if !touched => {
                replica.set_partner(partner).await.map_err(failed)?;
                replica.resume().await.map_err(failed)?;
            }
            phase => {
                let lost = phase == Some(MirrorPhase::Lost);
                let reason = if lost { FullReason::TrackingLost } else { self.basis };
                replica.start(partner, Basis::Full(reason), mode).await.map_err(failed)?;
                self.status.full_reason = Some(reason.to_string());
                self.begun = Some(Copy::Full(reason));
            }
        }
        self.status.failure = None;
        Ok(())
    }

    /// Looks at the mirror. The outer nothing is for a side without a daemon.
    async fn look(&mut self) -> Result<Option<Option<MirrorStatus>>, ErrorDetail> {
        let Some(replica) = &self.replica else { return Ok(None) };
        let asked = now();
        let status = replica.status().await.map_err(|e| errors::engine_failed(&e, &self.path))?;
        if let Some(status) = &status {
            self.note(status, asked);
        }
        Ok(Some(status))
    }

    /// The other side has become the source without this one: what was written here since is given up, and all of it copied
    /// back.
    async fn step_down(
        &mut self,
        shared: &Arc<Shared>,
        partnership: &Partnership,
        generation: u64,
    ) -> Result<(), ErrorDetail> {
        let there = partnership.there();
        tracing::warn!(
            volume = self.path,
            computer = there.computer,
            "the other side has become the source; this one takes the copy from now on",
        );
        if let Some(replica) = &self.replica {
            // Closing cuts them off in any case.
            let _ = replica.unexport(true).await;
        }
        self.end().await;
        let (id, known) = (partnership.id, partnership.generation);
        let change = move |model: &mut crate::replication::model::Model| {
            let found = model.partnerships.iter_mut().find(|p| p.id == id && p.is_source);
            if let Some(partnership) = found.filter(|p| p.generation == known) {
                partnership.turn(generation);
            }
            Ok(())
        };
        shared.state.change(change).await
    }

    /// Cuts applications off, copies the rest, ends the daemon and seals the side.
    ///
    /// # Errors
    /// When both sides cannot be made the same at once; the side then goes on.
    pub(super) async fn leave_source(
        &mut self,
        shared: &Shared,
        partition: &Partition,
        partnership: &Partnership,
    ) -> Result<(), ErrorDetail> {
        let path = self.path.clone();
        let not_same = |why: &str| errors::not_same(&path, why);
        let status = self.look().await?.flatten();
        let status = status.ok_or_else(|| not_same("it is not being copied"))?;
        if let Some(failure) = &status.failure {
            return Err(not_same("the copy stands still").because(errors::failure(failure, &path)));
        }
        match status.phase {
            MirrorPhase::Following => {}
            MirrorPhase::Suspended => return Err(not_same("replication is paused")),
            MirrorPhase::Copying => return Err(not_same("the first copy is not complete")),
            _ => return Err(not_same("the destination lacks something still")),
        }
        let Some(replica) = &self.replica else { return Ok(()) };
        let failed = |e: ReplicationError| {
            not_same("the rest could not be copied").because(errors::engine_failed(&e, &path))
        };
        replica.unexport(true).await.map_err(failed)?;
        self.status.export = None;
        replica.finish(FINISH_LIMIT).await.map_err(failed)?;
        // Both are the same now, and nobody writes.
        let told = peer::ask(shared, partition, partnership).await;
        self.end().await;
        match told {
            Ok(told) => {
                let token = told.fingerprint.as_deref().unwrap_or(UNKNOWN);
                if let Err(reason) = seal(shared, partition, token) {
                    tracing::warn!(volume = path, error = reason.message_id, "{}", reason.message);
                }
            }
            Err(reason) => tracing::warn!(volume = path, error = reason.message_id, "{}", reason.message),
        }
        Ok(())
    }
}

/// Notes durably that a volume, which nothing uses, is the same as that of the partner as it looks now. A block device does not
/// show whether it was touched, so the note will not be believed.
///
/// # Errors
/// When it cannot be noted; the next copy is then a full one.
pub fn seal(shared: &Shared, partition: &Partition, token: &str) -> Result<(), ErrorDetail> {
    let volume =
        Volume::open(&partition.real_path).map_err(|e| errors::engine_failed(&e.into(), &partition.path))?;
    marker(shared, partition.id).seal(token, &volume).map_err(|e| errors::state_unwritable(&e.to_string()))
}
