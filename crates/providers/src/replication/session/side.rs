//! One side of one volume: what has to be done next for it to be as it should.

use super::rest::{Manner, Resting};
use super::resync::Copy;
use super::{EngineSettings, VolumeStatus, binding, marker, peer};
use crate::disk::jobs::toolbox::blocking;
use crate::replication::engine::{
    Failure, FullReason, Listen, ListenTls, MirrorStatus, Replica, ReplicaSpec, ReplicationError, Role,
    TlsDirectory, Volume,
};
use crate::replication::guid::Guid;
use crate::replication::model::{Group, Model, Partition, Partnership};
use crate::replication::service::Shared;
use crate::replication::{errors, volume};
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::{Clock, SystemClock};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How often a destination asks its source, and how long that may take.
const HEAR: Duration = Duration::from_secs(2);
/// How long a side is not looked at in any case.
const BREATH: Duration = Duration::from_millis(50);

/// One side of one volume.
pub(super) struct Side {
    pub(super) id: Guid,
    pub(super) path: String,
    pub(super) replica: Option<Replica>,
    /// Whether the replica is that of a source.
    was_source: bool,
    /// Why the next copy of a source is a full one.
    pub(super) basis: FullReason,
    /// What the volume of the partner must still look like, if nothing is to be copied but what was written since.
    pub(super) unverified: Option<String>,
    /// When the source was last asked.
    heard: Option<Instant>,
    /// When was last looked whether the partner lives.
    pub(super) checked: Option<Instant>,
    /// A copy that has just begun by itself.
    pub(super) begun: Option<Copy>,
    /// It has no daemon, and is to have none until somebody lets it go on.
    pub(super) resting: Resting,
    pub(super) status: VolumeStatus,
}

impl Side {
    pub(super) fn new(partition: &Partition) -> Self {
        Self {
            id: partition.id,
            path: partition.path.clone(),
            replica: None,
            was_source: false,
            basis: FullReason::NeverSynchronised,
            unverified: None,
            heard: None,
            checked: None,
            begun: None,
            resting: Resting::default(),
            status: VolumeStatus::default(),
        }
    }

    /// Does what is to be done next.
    pub(super) async fn look_after(
        &mut self,
        shared: &Arc<Shared>,
        settings: &EngineSettings,
        model: &Model,
        partition: &Partition,
        partnership: &Partnership,
    ) {
        let Some(group) = model.group_by_id(partnership.local_group) else { return };
        if self.replica.is_some() && self.was_source != partnership.is_source {
            self.end().await;
        }
        self.was_source = partnership.is_source;
        let done = if partnership.is_source {
            self.be_source(shared, settings, group, partition, partnership).await
        } else {
            let done = self.be_destination(shared, settings, partition, group).await;
            self.hear(shared, partition, partnership).await;
            done
        };
        match done {
            Ok(()) => {}
            Err(reason) => {
                if self.status.failure.as_ref().map(|f| &f.message) != Some(&reason.message) {
                    tracing::warn!(volume = self.path, error = reason.message_id, "{}", reason.message);
                }
                self.status.failure = Some(reason);
                self.out_of_sync();
            }
        }
    }

    /// Waits until the mirror is in another phase than the one that was seen last.
    pub(super) async fn news(&self) {
        let (Some(replica), Some(known)) = (&self.replica, self.status.phase) else {
            return std::future::pending().await;
        };
        // What was seen may differ for longer, when something else was in the way.
        tokio::time::sleep(BREATH).await;
        let other = |now: &Option<MirrorStatus>| now.as_ref().is_some_and(|now| now.phase != known);
        if replica.changes().wait_for(other).await.is_err() {
            std::future::pending().await
        }
    }

    /// Comes to rest, or stays as it is.
    ///
    /// # Errors
    /// Why it cannot rest in that manner.
    pub(super) async fn rest(
        &mut self,
        shared: &Shared,
        partition: &Partition,
        partnership: &Partnership,
        who: Guid,
        manner: Manner,
    ) -> Result<(), ErrorDetail> {
        if self.resting.is_so() {
            return Err(errors::not_same(&self.path, "something else is being done with it"));
        }
        if partnership.is_source {
            let left = self.leave_source(shared, partition, partnership).await;
            if manner == Manner::Same {
                left?;
            }
        }
        self.end().await;
        self.resting.begin(who);
        Ok(())
    }

    /// Ends it in order, and forgets how the volume was left: it has no partner any more.
    pub(super) async fn close(mut self, shared: &Shared) {
        self.end().await;
        if let Err(error) = marker(shared, self.id).remove() {
            tracing::warn!(volume = self.path, %error, "a record of the last synchronisation stays behind");
        }
    }

    /// Ends the daemon in order, if there is one.
    pub(super) async fn end(&mut self) {
        if let Some(replica) = self.replica.take() {
            replica.close().await;
        }
        self.forget();
    }

    async fn be_destination(
        &mut self,
        shared: &Shared,
        settings: &EngineSettings,
        partition: &Partition,
        group: &Group,
    ) -> Result<(), ErrorDetail> {
        self.bury()?;
        if self.replica.as_ref().is_some_and(|r| !r.volume().is_where_it_was()) {
            // What is written now would be lost with the file that nobody can reach any more.
            self.end().await;
            return Err(errors::volume_missing(&self.path));
        }
        let tls = self.tls(settings, group)?;
        if self.replica.is_none() {
            self.status.receiving = false;
            self.status.endpoint = None;
            self.replica = Some(self.open(shared, settings, partition, tls.as_ref()).await?);
        }
        let path = self.path.clone();
        let address = match binding::listen_at(shared, settings, partition) {
            Ok(address) if self.status.endpoint.is_none_or(|(at, _)| at == address) => address,
            moved_or_none => {
                // Not at the old address any more; the next look listens at the new one.
                self.end().await;
                return moved_or_none.map(drop);
            }
        };
        let Some(replica) = &self.replica else { return Ok(()) };
        if replica.role().await != Role::Destination {
            let port = free_port(address).map_err(|e| {
                errors::partner_not_ready(&path, &format!("no port is free at {address}: {e}"))
            })?;
            let listen = Listen {
                address: SocketAddr::new(address, port),
                export: peer::export_name(partition),
                tls: tls.map(|directory| ListenTls { directory, only: None }),
            };
            replica.receive(&listen).await.map_err(|e| errors::engine_failed(&e, &path))?;
            self.status.endpoint = Some((address, port));
        }
        self.status.receiving = true;
        self.status.failure = None;
        Ok(())
    }

    /// Asks the source now and then how far it is: a destination only sees writes.
    async fn hear(&mut self, shared: &Shared, partition: &Partition, partnership: &Partnership) {
        if self.heard.is_some_and(|at| at.elapsed() < HEAR) {
            return;
        }
        let asked = tokio::time::timeout(HEAR, peer::ask(shared, partition, partnership)).await;
        self.status.told = match asked {
            Ok(Ok(told)) if told.is_source => told.status,
            // It is another destination, or nobody knows.
            Ok(Ok(_) | Err(_)) | Err(_) => None,
        };
        self.heard = Some(Instant::now());
    }

    /// Takes leave of a daemon that has ended, and says so; the next look starts another.
    ///
    /// # Errors
    /// How it ended.
    pub(super) fn bury(&mut self) -> Result<(), ErrorDetail> {
        let exit = self.replica.as_ref().and_then(|r| r.daemon().ended().borrow().clone());
        let Some(exit) = exit else { return Ok(()) };
        self.replica = None;
        self.forget();
        let died = Failure::DaemonDied { status: exit.status, stderr: exit.stderr };
        Err(errors::failure(&died, &self.path))
    }

    /// What is not true without a daemon.
    fn forget(&mut self) {
        self.unverified = None;
        self.status.receiving = false;
        self.status.endpoint = None;
        self.status.phase = None;
        self.status.export = None;
        self.status.remaining_bytes = None;
        self.status.told = None;
        self.out_of_sync();
    }

    /// Takes over what was answered to a question that was asked at this time. What was written since may not be in it.
    pub(super) fn note(&mut self, status: &MirrorStatus, asked: SystemTime) {
        self.status.phase = Some(status.phase);
        self.status.total_bytes = status.total_bytes;
        self.status.done_bytes = status.done_bytes;
        self.status.remaining_bytes = Some(status.remaining_bytes);
        self.status.failure = status.failure.as_ref().map(|f| errors::failure(f, &self.path));
        if status.in_sync {
            self.status.in_sync = true;
            self.status.last_in_sync = Some(asked);
        } else {
            self.out_of_sync();
        }
    }

    fn out_of_sync(&mut self) {
        if std::mem::take(&mut self.status.in_sync) {
            self.status.last_out_of_sync = Some(now());
        }
    }

    /// The certificates to use; none where the traffic may be plain.
    pub(super) fn tls(
        &self,
        settings: &EngineSettings,
        group: &Group,
    ) -> Result<Option<TlsDirectory>, ErrorDetail> {
        match &settings.tls_directory {
            Some(directory) => Ok(Some(TlsDirectory::new(directory))),
            None if group.encryption => Err(errors::plaintext(
                &self.path,
                "its group demands encryption, and no certificates are configured",
            )),
            None if settings.plain_loopback => Ok(None),
            None => Err(errors::plaintext(&self.path, "no certificates are configured")),
        }
    }

    pub(super) async fn open(
        &self,
        shared: &Shared,
        settings: &EngineSettings,
        partition: &Partition,
        tls: Option<&TlsDirectory>,
    ) -> Result<Replica, ErrorDetail> {
        let failed = |e: ReplicationError| errors::engine_failed(&e, &self.path);
        // What the engine may touch is the file that is opened here, beneath its root, wherever its name leads later.
        let (roots, path) = (Arc::clone(&shared.roots), partition.path.clone());
        let (place, file) = blocking(move || {
            let place = volume::resolve(&roots, &path)?;
            let (file, _) = volume::open(&place, &path)?;
            Ok::<_, ErrorDetail>((place, file))
        })
        .await?;
        if place.real_path() != partition.real_path {
            return Err(errors::partner_not_ready(&self.path, "its storage root is another one now"));
        }
        let spec = ReplicaSpec {
            volume: Volume::of(&partition.real_path, file).map_err(|e| failed(e.into()))?,
            runtime_directory: settings.runtime_directory.clone(),
            name: partition.id.to_string(),
            tls: tls.into_iter().cloned().collect(),
        };
        Replica::open(&settings.policy, spec).await.map_err(failed)
    }
}

/// A port that nobody uses at this moment. Should somebody take it before the daemon does, the next look chooses another.
fn free_port(address: IpAddr) -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind((address, 0))?.local_addr()?.port())
}

pub(super) fn now() -> SystemTime {
    SystemClock.now()
}
