//! Keeps the engine as the model wants it: one side of every volume of every partnership, opened, joined, and mended after a loss.
//!
//! One task looks at the model whenever it changes, and now and then. What it finds out about each volume is what
//! MSFT_WvrReplica, MSFT_WvrHealth and the jobs that follow a copy show.

mod side;
mod there;

use super::engine::MirrorPhase;
use super::guid::Guid;
use super::model::{Model, Partition, Partnership};
use super::service::Shared;
use crate::disk::engine::EnginePolicy;
use cimwright_sdk::cim::ErrorDetail;
use side::Side;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};

/// How often every side is looked at when nothing is heard.
const LOOK: Duration = Duration::from_millis(500);

/// How to run the engine.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The program and its confinement.
    pub policy: EnginePolicy,
    /// Where daemons have their sockets; a short path.
    pub runtime_directory: PathBuf,
    /// The address of this computer that sources connect to.
    pub listen: IpAddr,
    /// Certificates; without them only the loopback interface can be used.
    pub tls_directory: Option<PathBuf>,
    /// Whether traffic on the loopback interface may be plain.
    pub plain_loopback: bool,
}

/// What is known about one side of a volume at this moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeStatus {
    /// What the mirror is doing; nothing at a destination and before the first connection.
    pub phase: Option<MirrorPhase>,
    /// Whether a destination listens.
    pub receiving: bool,
    /// All there is to copy, in bytes.
    pub total_bytes: u64,
    /// What is copied, in bytes.
    pub done_bytes: u64,
    /// What the partner lacks, in bytes.
    pub remaining_bytes: Option<u64>,
    /// Whether both sides are the same.
    pub in_sync: bool,
    /// When both sides were last known to be the same.
    pub last_in_sync: Option<SystemTime>,
    /// When they last ceased to be.
    pub last_out_of_sync: Option<SystemTime>,
    /// What is in the way.
    pub failure: Option<ErrorDetail>,
    /// Where a destination takes the copy.
    pub endpoint: Option<(IpAddr, u16)>,
    /// Why the copy that runs is a full one.
    pub full_reason: Option<String>,
    /// Where applications reach the volume of a source.
    pub export: Option<String>,
}

/// The sides that are kept, and what is known about them.
#[derive(Debug)]
pub struct Sessions {
    /// How the engine is run; `None` where none is configured.
    pub settings: Option<EngineSettings>,
    known: watch::Sender<Arc<HashMap<Guid, VolumeStatus>>>,
    nudge: Notify,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Sessions {
    /// No sides yet.
    pub fn new(settings: Option<EngineSettings>) -> Self {
        Self {
            settings,
            known: watch::Sender::new(Arc::default()),
            nudge: Notify::new(),
            task: Mutex::default(),
        }
    }

    /// What is known about a volume of this computer.
    pub fn status(&self, partition: Guid) -> Option<VolumeStatus> {
        self.known.borrow().get(&partition).cloned()
    }

    /// Tells whenever something changes.
    pub fn changes(&self) -> watch::Receiver<Arc<HashMap<Guid, VolumeStatus>>> {
        self.known.subscribe()
    }

    /// Has everything looked at now.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Starts to keep the sides. Call inside a Tokio runtime. Does nothing without an engine.
    pub fn start(shared: &Arc<Shared>) {
        let Some(settings) = shared.sessions.settings.clone() else { return };
        let task = tokio::spawn(keep(Arc::downgrade(shared), settings));
        *shared.sessions.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        // The daemons go with the task.
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// Ends when nobody needs the sides any more.
async fn keep(shared: Weak<Shared>, settings: EngineSettings) {
    let mut sides: HashMap<Guid, Side> = HashMap::new();
    let Some(mut changes) = shared.upgrade().map(|s| s.state.changes()) else { return };
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let model = strong.model();
        let wanted = wanted(&model);
        let gone: Vec<Guid> = sides.keys().filter(|id| !wanted.contains_key(id)).copied().collect();
        for id in gone {
            if let Some(side) = sides.remove(&id) {
                side.close(&settings).await;
            }
        }
        for (id, (partition, partnership)) in &wanted {
            let side = sides.entry(*id).or_insert_with(|| Side::new(partition));
            side.look_after(&strong, &settings, &model, partition, partnership).await;
            publish(&strong, &sides);
        }
        publish(&strong, &sides);
        drop(strong);
        let Some(strong) = shared.upgrade() else { return };
        let nudged = strong.sessions.nudge.notified();
        tokio::select! {
            () = nudged => {}
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn wanted(model: &Model) -> HashMap<Guid, (Partition, Partnership)> {
    let mut wanted = HashMap::new();
    for partnership in &model.partnerships {
        for partition in model.volumes(partnership.local_group) {
            wanted.insert(partition.id, (partition.clone(), partnership.clone()));
        }
    }
    wanted
}

fn publish(shared: &Shared, sides: &HashMap<Guid, Side>) {
    let now: HashMap<Guid, VolumeStatus> = sides.iter().map(|(id, s)| (*id, s.status.clone())).collect();
    shared.sessions.known.send_if_modified(|known| {
        let changed = **known != now;
        if changed {
            *known = Arc::new(now);
        }
        changed
    });
}
