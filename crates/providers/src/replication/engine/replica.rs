//! One side: a volume, its lock, its daemon, and what the daemon is doing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use super::daemon::{Daemon, DaemonSpec};
use super::failure::{About, Failure, ReplicationError};
use super::lock::VolumeLock;
use super::mirror::Mirror;
use super::qmp::EventBook;
use super::status::{CopyMode, MirrorStatus};
use super::tls::{TlsDirectory, TlsDirectoryError};
use super::volume::{Volume, VolumeKind};
use crate::disk::engine::{EngineExit, EnginePolicy, FileAccess, Grant};

/// The node that applications and the partner see.
pub(super) const DISK: &str = "disk";
/// The node below it. It carries the record of writes while a mirror is exchanged for another.
pub(super) const BASE: &str = "base";
/// How often a mirror is looked at when nothing is heard of it.
const LOOK: Duration = Duration::from_secs(1);
/// How often while it waits to become synchronous.
const LOOK_CLOSELY: Duration = Duration::from_millis(200);
/// How long it is not looked at in any case.
const BREATH: Duration = Duration::from_millis(10);
const EXPORT_ID: &str = "application";
const EXPORT_NAME: &str = "volume";
/// How long connections of applications may take to be closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
const CLOSE_POLL: Duration = Duration::from_millis(5);
/// How long a volume may still be locked by a daemon that is dying.
const DEATH_LIMIT: Duration = Duration::from_secs(1);
const DEATH_POLL: Duration = Duration::from_millis(10);

/// What one side needs.
#[derive(Debug)]
pub struct ReplicaSpec {
    /// The volume.
    pub volume: Volume,
    /// See [`DaemonSpec::runtime_directory`].
    pub runtime_directory: PathBuf,
    /// See [`DaemonSpec::name`].
    pub name: String,
    /// The directories with certificates that will be used. Others cannot be read later.
    pub tls: Vec<TlsDirectory>,
}

/// What a side is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    Idle,
    /// It offers its volume to applications, or mirrors it, or both.
    Source,
    /// It receives.
    Destination,
}

/// Where applications find the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationExport {
    /// The unix socket.
    pub socket: PathBuf,
    /// The name of the volume there.
    pub name: &'static str,
}

/// One side. All operations may be called at any time and from any task; they wait for each other. Dropping it kills the
/// daemon and unlocks the volume.
#[derive(Debug)]
pub struct Replica {
    pub(super) shared: Arc<Shared>,
    watcher: JoinHandle<()>,
}

#[derive(Debug)]
pub(super) struct Shared {
    // The order matters at the end: the daemon goes before the lock.
    pub(super) daemon: Daemon,
    _lock: VolumeLock,
    pub(super) volume: Volume,
    pub(super) state: Mutex<State>,
    pub(super) changes: watch::Sender<Option<MirrorStatus>>,
    counter: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) mirror: Option<Mirror>,
    pub(super) exported: bool,
    /// The credentials of the listener, when there are any.
    pub(super) listening: Option<Listening>,
}

#[derive(Debug, Default)]
pub(super) struct Listening {
    pub(super) objects: Vec<String>,
}

impl Replica {
    /// Locks the volume, starts a daemon and opens the volume in it. Nothing is offered to anybody yet.
    ///
    /// # Errors
    /// [`super::Failure::Locked`], [`super::Failure::PermissionDenied`], and all of [`Daemon::start`].
    pub async fn open(policy: &EnginePolicy, spec: ReplicaSpec) -> Result<Self, ReplicationError> {
        let volume = spec.volume;
        let lock = lock(&volume).await?;
        let mut grants = vec![Grant::new(volume.share()?, FileAccess::ReadWrite)];
        for directory in &spec.tls {
            let opened = std::fs::File::open(directory.path()).map_err(|source| {
                TlsDirectoryError::Missing { path: directory.path().to_path_buf(), source }
            })?;
            grants.push(Grant::from(opened));
        }
        let spec = DaemonSpec { runtime_directory: spec.runtime_directory, name: spec.name, grants };
        let daemon = Daemon::start(policy, spec).await?;
        let driver = match volume.kind() {
            VolumeKind::File => "file",
            VolumeKind::Device => "host_device",
        };
        let nodes = json!({
            "driver": "raw", "node-name": DISK, "discard": "unmap", "file": {
                "driver": "raw", "node-name": BASE, "discard": "unmap", "file": {
                    "driver": driver, "node-name": "file", "filename": volume.path(), "discard": "unmap",
                },
            },
        });
        let about = About { path: Some(volume.path()), ..About::default() };
        daemon.execute("blockdev-add", nodes, about).await?;

        let shared = Arc::new(Shared {
            daemon,
            _lock: lock,
            volume,
            state: Mutex::default(),
            changes: watch::Sender::new(None),
            counter: AtomicU64::new(0),
        });
        let (book, ended) = (shared.daemon.book().clone(), shared.daemon.ended());
        let watcher = tokio::spawn(watch_over(Arc::downgrade(&shared), book, ended));
        Ok(Self { shared, watcher })
    }

    /// The daemon: its version, its events, its end.
    pub fn daemon(&self) -> &Daemon {
        &self.shared.daemon
    }

    /// The volume.
    pub fn volume(&self) -> &Volume {
        &self.shared.volume
    }

    /// What the side is doing.
    pub async fn role(&self) -> Role {
        let state = self.shared.state.lock().await;
        match (&state.listening, state.exported || state.mirror.is_some()) {
            (Some(_), _) => Role::Destination,
            (None, true) => Role::Source,
            (None, false) => Role::Idle,
        }
    }

    /// Offers the volume to applications, over NBD at a unix socket. Only who may use the socket's directory can reach it.
    ///
    /// # Errors
    /// [`ReplicationError::WrongState`] for a destination and when it is offered already; [`super::Failure`].
    pub async fn export(&self) -> Result<ApplicationExport, ReplicationError> {
        let mut state = self.shared.state.lock().await;
        state.must_not_receive("offer the volume")?;
        if state.exported {
            return Err(ReplicationError::WrongState {
                operation: "offer the volume",
                state: "it is offered already",
            });
        }
        let export = self.shared.application_export();
        let daemon = &self.shared.daemon;
        let about = About { path: Some(&export.socket), ..About::default() };
        let address = json!({ "type": "unix", "data": { "path": export.socket } });
        daemon.execute("nbd-server-start", json!({ "addr": address }), about).await?;
        // Writes must pass through the mirror to be seen by it.
        let node =
            state.mirror.as_ref().filter(|mirror| mirror.alive()).map_or(DISK, |mirror| &mirror.filter);
        let offer = json!({
            "type": "nbd", "id": EXPORT_ID, "node-name": node, "name": export.name, "writable": true,
        });
        if let Err(error) = daemon.execute("block-export-add", offer, about).await {
            // The first error is the one to report.
            let _ = daemon.execute("nbd-server-stop", json!({}), about).await;
            return Err(error);
        }
        state.exported = true;
        Ok(export)
    }

    /// Stops offering the volume to applications. With `disconnect`, those that still use it are cut off; without, they are
    /// a reason to refuse.
    ///
    /// # Errors
    /// [`ReplicationError::ExportInUse`], [`super::Failure`].
    pub async fn unexport(&self, disconnect: bool) -> Result<(), ReplicationError> {
        let mut state = self.shared.state.lock().await;
        if !state.exported {
            return Ok(());
        }
        let mode = if disconnect { "hard" } else { "safe" };
        let ended = self.shared.end_export(EXPORT_ID, mode).await;
        if let Err(ReplicationError::Failed(Failure::Unrecognised { .. })) = &ended
            && !disconnect
        {
            return Err(ReplicationError::ExportInUse);
        }
        ended?;
        state.exported = false;
        Ok(())
    }

    /// The mirror's status whenever it changes: nothing while there is no mirror.
    pub fn changes(&self) -> watch::Receiver<Option<MirrorStatus>> {
        self.shared.changes.subscribe()
    }

    /// Ends the daemon in good order, which closes the volume, and unlocks the volume. A mirror that was not finished
    /// before loses its record of the difference.
    pub async fn close(self) -> EngineExit {
        let exit = self.shared.daemon.quit().await;
        self.watcher.abort();
        exit
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It shares the daemon, which must go with this value.
        self.watcher.abort();
    }
}

impl Shared {
    /// A name that no node, job or object of this daemon has had.
    pub(super) fn name(&self, kind: &str) -> String {
        format!("{kind}-{}", self.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// Ends one export and the listener, and waits until the connections are closed.
    pub(super) async fn end_export(&self, id: &str, mode: &str) -> Result<(), ReplicationError> {
        let about = About::default();
        self.daemon.execute("block-export-del", json!({ "id": id, "mode": mode }), about).await?;
        let gone = async {
            loop {
                let exports: Vec<serde_json::Value> =
                    self.daemon.ask("query-block-exports", json!({}), about).await?;
                if exports.iter().all(|export| export["id"] != id) {
                    return Ok::<_, ReplicationError>(());
                }
                tokio::time::sleep(CLOSE_POLL).await;
            }
        };
        tokio::time::timeout(CLOSE_LIMIT, gone).await.map_err(|_| ReplicationError::Timeout {
            what: "closing the connections",
            limit: CLOSE_LIMIT,
        })??;
        self.daemon.execute("nbd-server-stop", json!({}), about).await
    }

    pub(super) fn application_export(&self) -> ApplicationExport {
        ApplicationExport { socket: self.daemon.directory().join("volume"), name: EXPORT_NAME }
    }
}

impl State {
    /// Refuses what a destination must not do.
    pub(super) fn must_not_receive(&self, operation: &'static str) -> Result<(), ReplicationError> {
        match &self.listening {
            Some(_) => Err(ReplicationError::WrongState { operation, state: "this side is a destination" }),
            None => Ok(()),
        }
    }

    /// The mirror, when there is one that has not ended.
    pub(super) fn live_mirror(&mut self, operation: &'static str) -> Result<&mut Mirror, ReplicationError> {
        let Some(mirror) = &mut self.mirror else {
            return Err(ReplicationError::WrongState { operation, state: "there is no mirror" });
        };
        match &mirror.failure {
            Some(failure @ Failure::DaemonDied { .. }) => Err(failure.clone().into()),
            _ if mirror.alive() => Ok(mirror),
            _ => Err(ReplicationError::WrongState { operation, state: "the mirror has ended" }),
        }
    }
}

impl ApplicationExport {
    /// The address as NBD clients take it.
    pub fn uri(&self) -> String {
        format!("nbd+unix:///{}?socket={}", self.name, escaped(&self.socket))
    }
}

/// Percent-encodes what has a meaning in a query.
fn escaped(path: &Path) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Looks at the mirror whenever something is heard of it, and now and then. In between it holds nothing that would keep a
/// dropped side alive.
async fn watch_over(
    shared: Weak<Shared>,
    book: Arc<EventBook>,
    mut ended: watch::Receiver<Option<EngineExit>>,
) {
    loop {
        let dead = ended.borrow_and_update().is_some();
        let Some(shared) = shared.upgrade() else { return };
        let mut state = shared.state.lock().await;
        // A failure to look is seen by the next operation.
        let _ = shared.refresh(&mut state).await;
        let waits = state.mirror.as_ref().is_some_and(|mirror| {
            mirror.wanted == CopyMode::Synchronous && mirror.in_force == CopyMode::Asynchronous
        });
        drop(state);
        drop(shared);
        if dead {
            return;
        }
        // News may come with every write of an application, and every look costs the daemon that serves it.
        tokio::time::sleep(BREATH).await;
        tokio::select! {
            () = book.news.notified() => {}
            () = tokio::time::sleep(if waits { LOOK_CLOSELY } else { LOOK }) => {}
            // The keeper is gone only when the daemon is.
            _ = ended.changed() => {}
        }
    }
}

/// Takes the lock. A daemon whose server is gone, or that was killed a moment ago, is given the time to die.
async fn lock(volume: &Volume) -> Result<VolumeLock, ReplicationError> {
    let start = Instant::now();
    loop {
        match VolumeLock::acquire(volume) {
            Err(ReplicationError::Failed(Failure::Locked { .. })) if start.elapsed() < DEATH_LIMIT => {
                tokio::time::sleep(DEATH_POLL).await;
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_an_address_is_encoded() {
        let export = ApplicationExport { socket: "/run/a b&c/volume".into(), name: "volume" };
        assert_eq!(export.uri(), "nbd+unix:///volume?socket=/run/a%20b%26c/volume");
    }
}
