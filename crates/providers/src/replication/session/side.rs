//! One side of one volume: what has to be done next for it to be as it should.

use super::{EngineSettings, VolumeStatus, there};
use crate::disk::jobs::toolbox::blocking;
use crate::replication::engine::{
    Basis, CopyMode, Failure, FullReason, Listen, ListenTls, MirrorPhase, MirrorStatus, Partner, PartnerTls,
    Replica, ReplicaSpec, ReplicationError, Role, Standing, SyncMarker, TlsDirectory, Volume,
};
use crate::replication::guid::Guid;
use crate::replication::model::{Group, Mode, Model, Partition, Partnership};
use crate::replication::service::Shared;
use crate::replication::{errors, instances, volume};
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::{Clock, SystemClock};
use cimwright_sdk::remote::RemoteError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long the other computer may take to tell where it listens.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// One side of one volume.
pub(super) struct Side {
    id: Guid,
    path: String,
    replica: Option<Replica>,
    /// Why the next copy of a source is a full one.
    basis: FullReason,
    pub(super) status: VolumeStatus,
}

impl Side {
    pub(super) fn new(partition: &Partition) -> Self {
        Self {
            id: partition.id,
            path: partition.path.clone(),
            replica: None,
            basis: FullReason::NeverSynchronised,
            status: VolumeStatus::default(),
        }
    }

    /// Does what is to be done next.
    pub(super) async fn look_after(
        &mut self,
        shared: &Shared,
        settings: &EngineSettings,
        model: &Model,
        partition: &Partition,
        partnership: &Partnership,
    ) {
        let Some(group) = model.group_by_id(partnership.local_group) else { return };
        let done = if partnership.is_source {
            self.be_source(shared, settings, group, partition, partnership).await
        } else {
            self.be_destination(shared, settings, partition, group).await
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

    /// Ends it in order, and forgets how the volume was left: it has no partner any more.
    pub(super) async fn close(mut self, settings: &EngineSettings) {
        if let Some(replica) = self.replica.take() {
            replica.close().await;
        }
        if let Err(error) = marker_of(settings, self.id).remove() {
            tracing::warn!(volume = self.path, %error, "a record of the last synchronisation stays behind");
        }
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
            self.leave();
            return Err(errors::volume_missing(&self.path));
        }
        let tls = self.tls(settings, group)?;
        if self.replica.is_none() {
            self.status.receiving = false;
            self.status.endpoint = None;
            self.replica = Some(self.open(shared, settings, partition, &tls).await?);
        }
        let path = self.path.clone();
        let Some(replica) = &self.replica else { return Ok(()) };
        if replica.role().await != Role::Destination {
            let port = free_port(settings.listen).map_err(|e| {
                errors::partner_not_ready(&path, &format!("no port is free at {}: {e}", settings.listen))
            })?;
            let listen = Listen {
                address: SocketAddr::new(settings.listen, port),
                export: export_name(partition),
                tls: tls.map(|directory| ListenTls { directory, only: None }),
            };
            replica.receive(&listen).await.map_err(|e| errors::engine_failed(&e, &path))?;
            self.status.endpoint = Some((settings.listen, port));
        }
        self.status.receiving = true;
        self.status.failure = None;
        Ok(())
    }

    async fn be_source(
        &mut self,
        shared: &Shared,
        settings: &EngineSettings,
        group: &Group,
        partition: &Partition,
        partnership: &Partnership,
    ) -> Result<(), ErrorDetail> {
        self.bury()?;
        let tls = self.tls(settings, group)?;
        let path = self.path.clone();
        let failed = |e: ReplicationError| errors::engine_failed(&e, &path);
        if self.replica.is_none() {
            let replica = self.open(shared, settings, partition, &tls).await?;
            // Before anything can be written: from now on nothing is known about how the sides differ, until they are the same.
            let marker = marker(settings, partition);
            self.basis = match marker.standing(replica.volume()) {
                Standing::Untrusted(reason) => reason,
                Standing::Sealed(_) => FullReason::NotEndedInOrder,
            };
            marker.break_seal().map_err(|e| errors::state_unwritable(&e.to_string()))?;
            let export = replica.export().await.map_err(failed)?;
            self.status.export = Some(export.uri());
            self.replica = Some(replica);
        }
        let Some(replica) = &self.replica else { return Ok(()) };
        let mode = match group.mode {
            Mode::Sync => CopyMode::Synchronous,
            Mode::Async => CopyMode::Asynchronous,
        };
        let status = replica.status().await.map_err(failed)?;
        if let Some(status) = &status {
            self.note(status);
        }
        let replica =
            self.replica.as_ref().ok_or_else(|| errors::partner_not_ready(&path, "it is closed"))?;
        match status.map(|s| (s.phase, s.mode)) {
            // Whatever was in the way, nobody wants to pass now.
            None | Some((MirrorPhase::Lost, _)) if group.suspended => self.status.failure = None,
            None | Some((MirrorPhase::Lost, _)) => {
                let reason = if status_lost(&self.status) { FullReason::TrackingLost } else { self.basis };
                let partner = partner(shared, partition, partnership, &tls).await?;
                replica.start(partner, Basis::Full(reason), mode).await.map_err(failed)?;
                self.status.full_reason = Some(reason.to_string());
                self.status.failure = None;
            }
            Some((MirrorPhase::Suspended, _)) if !group.suspended => {
                let partner = partner(shared, partition, partnership, &tls).await?;
                replica.set_partner(partner).await.map_err(failed)?;
                replica.resume().await.map_err(failed)?;
                self.status.failure = None;
            }
            Some((phase, _)) if group.suspended && phase != MirrorPhase::Suspended => {
                replica.suspend().await.map_err(failed)?;
            }
            Some((MirrorPhase::Broken, _)) => {
                let partner = partner(shared, partition, partnership, &tls).await?;
                replica.set_partner(partner).await.map_err(failed)?;
                replica.retry().await.map_err(failed)?;
                self.status.failure = None;
            }
            Some((_, now)) if now != mode && !group.suspended => {
                replica.set_mode(mode).await.map_err(failed)?;
            }
            Some(_) => {}
        }
        let replica =
            self.replica.as_ref().ok_or_else(|| errors::partner_not_ready(&path, "it is closed"))?;
        if let Some(status) = replica.status().await.map_err(failed)? {
            self.note(&status);
        }
        Ok(())
    }

    /// Takes leave of a daemon that has ended, and says so; the next look starts another.
    fn bury(&mut self) -> Result<(), ErrorDetail> {
        let exit = self.replica.as_ref().and_then(|r| r.daemon().ended().borrow().clone());
        let Some(exit) = exit else { return Ok(()) };
        self.leave();
        let died = Failure::DaemonDied { status: exit.status, stderr: exit.stderr };
        Err(errors::failure(&died, &self.path))
    }

    fn leave(&mut self) {
        self.replica = None;
        self.status.receiving = false;
        self.status.endpoint = None;
        self.status.phase = None;
        self.status.export = None;
        self.out_of_sync();
    }

    fn note(&mut self, status: &MirrorStatus) {
        self.status.phase = Some(status.phase);
        self.status.total_bytes = status.total_bytes;
        self.status.done_bytes = status.done_bytes;
        self.status.remaining_bytes = Some(status.remaining_bytes);
        self.status.failure = status.failure.as_ref().map(|f| errors::failure(f, &self.path));
        if status.in_sync {
            self.status.in_sync = true;
            self.status.last_in_sync = Some(now());
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
    fn tls(&self, settings: &EngineSettings, group: &Group) -> Result<Option<TlsDirectory>, ErrorDetail> {
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

    async fn open(
        &self,
        shared: &Shared,
        settings: &EngineSettings,
        partition: &Partition,
        tls: &Option<TlsDirectory>,
    ) -> Result<Replica, ErrorDetail> {
        let failed = |e: ReplicationError| errors::engine_failed(&e, &self.path);
        // The engine opens the volume by its name: make sure once more that it lies where it should.
        let (roots, path) = (Arc::clone(&shared.roots), partition.path.clone());
        let place = blocking(move || volume::resolve(&roots, &path)).await?;
        if place.real_path() != partition.real_path {
            return Err(errors::partner_not_ready(&self.path, "its storage root is another one now"));
        }
        let spec = ReplicaSpec {
            volume: Volume::open(&partition.real_path).map_err(|e| failed(e.into()))?,
            runtime_directory: settings.runtime_directory.clone(),
            name: partition.id.to_string(),
            tls: tls.iter().cloned().collect(),
        };
        Replica::open(&settings.policy, spec).await.map_err(failed)
    }
}

/// The name under which a destination offers a volume: both sides know its replica set.
fn export_name(partition: &Partition) -> String {
    partition.replica_set.unwrap_or(partition.id).to_string()
}

/// Where the other side listens now: it tells, because the port is another one after every start.
async fn partner(
    shared: &Shared,
    partition: &Partition,
    partnership: &Partnership,
    tls: &Option<TlsDirectory>,
) -> Result<Partner, ErrorDetail> {
    let computer = &partnership.destination.computer;
    let name = export_name(partition);
    let path = instances::endpoint_path(&name);
    let asked = tokio::time::timeout(ASK_LIMIT, shared.computers.get(computer, &path)).await;
    let found = asked.unwrap_or_else(|_| {
        let reason = format!("it took longer than {} seconds", ASK_LIMIT.as_secs());
        Err(RemoteError::NoAnswer { name: computer.clone(), reason })
    });
    let found = found.map_err(|e| errors::remote_failed(&e, shared.computer()))?;
    let Some(endpoint) = found else {
        return Err(there::why_not_ready(shared, partition, partnership).await);
    };
    let port = endpoint.get_u64("Port").and_then(|p| u16::try_from(p).ok());
    let (Some(host), Some(port)) = (endpoint.get_str("Host"), port) else {
        return Err(errors::partner_not_ready(&partition.path, &format!("{computer} tells no address")));
    };
    Ok(Partner {
        host: host.to_owned(),
        port,
        export: name,
        tls: tls.clone().map(|directory| PartnerTls { directory, server_name: Some(computer.clone()) }),
    })
}

fn marker(settings: &EngineSettings, partition: &Partition) -> SyncMarker {
    marker_of(settings, partition.id)
}

fn marker_of(settings: &EngineSettings, partition: Guid) -> SyncMarker {
    SyncMarker::new(settings.runtime_directory.join(format!("{partition}.left")))
}

fn status_lost(status: &VolumeStatus) -> bool {
    status.phase == Some(MirrorPhase::Lost)
}

/// A port that nobody uses at this moment. Should somebody take it before the daemon does, the next look chooses another.
fn free_port(address: IpAddr) -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind((address, 0))?.local_addr()?.port())
}

fn now() -> SystemTime {
    SystemClock.now()
}
