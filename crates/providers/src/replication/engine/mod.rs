//! The engine of block replication: one qemu-storage-daemon per side and volume, spoken to over QMP, joined over NBD.
//!
//! A [`Replica`] is one side. As the source it offers its volume to applications ([`Replica::export`]) and mirrors it to a
//! partner ([`Replica::start`]); as the destination it receives ([`Replica::receive`]) and offers nothing to anybody else.
//!
//! What has to be known to change anything here:
//! - The difference between the two sides is kept by the mirror job itself, in the memory of the source's daemon. As long
//!   as that daemon lives, any loss of the partner costs only the difference. So a mirror never writes to the partner's node
//!   directly but to a `quorum` node with a single child that can be exchanged while the job lives: the partner's node
//!   (the *link*) or a node on which every write fails (the *cut*). Suspending is exchanging one for the other.
//! - When the source's daemon dies the difference is lost, and only a full synchronisation helps. [`SyncMarker`] is how a
//!   later run knows whether both sides were left identical.
//! - Applications never see an error of the partner: a write that cannot be copied is remembered instead.

mod address;
mod daemon;
mod destination;
mod door;
mod failure;
mod gap;
mod link;
mod lock;
mod mirror;
mod qmp;
mod replica;
mod sever;
mod source;
mod status;
mod tls;
mod trust;
mod volume;

pub use address::{Listen, ListenTls, Partner, PartnerTls};
pub use daemon::{Daemon, DaemonSpec, OLDEST_DAEMON};
pub use failure::{Failure, ReplicationError};
pub use lock::VolumeLock;
pub use qmp::DaemonEvent;
pub use replica::{ApplicationExport, Replica, ReplicaSpec, Role};
pub use status::{CopyMode, IoStatus, MirrorPhase, MirrorStatus};
pub use tls::{TlsDirectory, TlsDirectoryError, TlsRole};
pub use trust::{Basis, FullReason, MarkerError, Standing, SyncMarker, basis};
pub use volume::{Volume, VolumeError, VolumeKind, fingerprint};

#[cfg(test)]
mod tests;
