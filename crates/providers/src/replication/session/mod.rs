//! Keeps the engine as the model wants it: one side of every volume of every partnership, opened, joined, and mended after a loss.
//!
//! Every volume has a task of its own, which looks at the model whenever it changes, and now and then, and which takes orders
//! ([`Sessions::rest`]). What it finds out is what MSFT_WvrReplica, MSFT_WvrHealth and the jobs that follow a copy show.

mod binding;
pub mod peer;
mod rest;
mod resync;
mod side;
mod source;
mod there;

use super::engine::{MirrorPhase, SyncMarker};
use super::guid::Guid;
use super::model::{Model, Partition, Partnership};
use super::service::Shared;
use crate::disk::engine::EnginePolicy;
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::{Jobs, WeakJobs};
use rest::Order;
pub use rest::{Manner, Rest};
use side::Side;
pub use source::{UNKNOWN, seal};
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

/// How often every side is looked at when nothing is heard.
const LOOK: Duration = Duration::from_millis(500);
/// The same while blocks are copied, and somebody may watch how many.
const LOOK_AT_COPYING: Duration = Duration::from_millis(100);

/// How long the end of all sides may take when the server ends.
const END_LIMIT: Duration = Duration::from_secs(30);

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
    /// At a destination: what the source says its ReplicationStatus is.
    pub told: Option<u32>,
}

impl VolumeStatus {
    /// When to look again if nothing is heard.
    fn look_again(&self) -> Duration {
        match self.phase {
            Some(MirrorPhase::Copying | MirrorPhase::CatchingUp) if self.failure.is_none() => LOOK_AT_COPYING,
            _ => LOOK,
        }
    }
}

/// The sides that are kept, and what is known about them.
#[derive(Debug)]
pub struct Sessions {
    /// How the engine is run; `None` where none is configured.
    pub settings: Option<EngineSettings>,
    known: watch::Sender<Arc<HashMap<Guid, VolumeStatus>>>,
    sides: Mutex<HashMap<Guid, mpsc::UnboundedSender<Order>>>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
    /// Held by whoever changes a direction.
    turning: tokio::sync::Mutex<()>,
    jobs: OnceLock<WeakJobs>,
    /// How many jobs follow the copy of a group.
    followed: Arc<Mutex<HashMap<Guid, usize>>>,
}

impl Sessions {
    /// No sides yet.
    pub fn new(settings: Option<EngineSettings>) -> Self {
        Self {
            settings,
            known: watch::Sender::new(Arc::default()),
            sides: Mutex::default(),
            task: Mutex::default(),
            turning: tokio::sync::Mutex::default(),
            jobs: OnceLock::new(),
            followed: Arc::default(),
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
        for orders in self.sides().values() {
            // A side that has ended needs no look.
            let _ = orders.send(Order::Look);
        }
    }

    /// Keeps others from changing a direction meanwhile.
    pub async fn turning(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turning.lock().await
    }

    /// Starts to keep the sides. Call inside a Tokio runtime. Does nothing without an engine.
    pub fn start(shared: &Arc<Shared>) {
        let Some(settings) = shared.sessions.settings.clone() else { return };
        let task = tokio::spawn(keep(Arc::downgrade(shared), settings));
        *shared.sessions.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// From now on a copy that begins by itself can have a job that follows it.
    pub fn may_start(&self, jobs: &Jobs) {
        // A second server around one provider would be a mistake; the first one stays.
        let _ = self.jobs.set(jobs.downgrade());
    }

    /// Ends all sides in good order, so that the next start needs no full copy where that is possible.
    pub async fn end(&self) {
        let all = self.sides().keys().copied().collect();
        let rested = tokio::time::timeout(END_LIMIT, self.rest(all, Manner::Anyhow)).await;
        match &rested {
            Ok(Ok(_)) => {}
            Ok(Err(reason)) => tracing::warn!("a volume is not left in order: {}", reason.message),
            Err(_) => {
                tracing::warn!("some volumes did not come to rest in time; they will be copied as a whole");
            }
        }
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            // Before the volumes are let go: nobody must take them up again.
            let _ = task.await;
        }
        drop(rested);
    }

    fn sides(&self) -> MutexGuard<'_, HashMap<Guid, mpsc::UnboundedSender<Order>>> {
        self.sides.lock().unwrap_or_else(PoisonError::into_inner)
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

/// How a volume was left when replication last ended here.
pub fn marker(shared: &Shared, partition: Guid) -> SyncMarker {
    SyncMarker::new(shared.state.directory().join("replication-left").join(partition.to_string()))
}

/// Gives every volume that has a partner a task. Ends when nobody needs the sides any more, and the tasks with it.
async fn keep(shared: Weak<Shared>, settings: EngineSettings) {
    let mut tasks = JoinSet::new();
    let mut running: HashMap<Guid, AbortHandle> = HashMap::new();
    let Some(mut changes) = shared.upgrade().map(|s| s.state.changes()) else { return };
    loop {
        let Some(strong) = shared.upgrade() else { return };
        while tasks.try_join_next().is_some() {}
        running.retain(|_, task| !task.is_finished());
        strong.sessions.sides().retain(|_, orders| !orders.is_closed());
        let model = strong.model();
        let volumes = model.partnerships.iter().flat_map(|p| model.volumes(p.local_group));
        for partition in volumes.filter(|p| !running.contains_key(&p.id)).collect::<Vec<_>>() {
            let (sender, orders) = mpsc::unbounded_channel();
            strong.sessions.sides().insert(partition.id, sender);
            let side = Side::new(partition);
            let task = tasks.spawn(attend(Weak::clone(&shared), settings.clone(), side, orders));
            running.insert(partition.id, task);
        }
        drop(strong);
        tokio::select! {
            _ = changes.changed() => {}
            // A volume may get a partner again before its task has ended.
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Looks after one volume for as long as it has a partner.
async fn attend(
    shared: Weak<Shared>,
    settings: EngineSettings,
    mut side: Side,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let Some(mut changes) = shared.upgrade().map(|s| s.state.changes()) else { return };
    loop {
        let Some(strong) = shared.upgrade() else { return };
        changes.mark_unchanged();
        let model = strong.model();
        let Some((partition, partnership)) = wanted(&model, side.id) else {
            let id = side.id;
            side.close(&strong).await;
            publish(&strong, id, None);
            return;
        };
        if !side.resting.is_so() {
            side.look_after(&strong, &settings, &model, &partition, &partnership).await;
            if let Some(copy) = side.begun.take() {
                resync::follow(&strong, partnership.local_group, side.id, copy);
            }
        }
        publish(&strong, side.id, Some(&side.status));
        drop(strong);
        let order = tokio::select! {
            order = orders.recv() => order,
            () = side.news() => None,
            _ = changes.changed() => None,
            () = tokio::time::sleep(side.status.look_again()) => None,
        };
        match order {
            None | Some(Order::Look) => {}
            Some(Order::GoOn(who)) => side.resting.end(who),
            Some(Order::Rest { who, manner, reply }) => {
                let Some(strong) = shared.upgrade() else { return };
                let model = strong.model();
                let done = match wanted(&model, side.id) {
                    Some((partition, partnership)) => {
                        side.rest(&strong, &partition, &partnership, who, manner).await
                    }
                    None => Ok(()),
                };
                publish(&strong, side.id, Some(&side.status));
                // Who asked may be gone; then nobody will let it go on.
                if reply.send(done).is_err() {
                    side.resting.end(who);
                }
            }
        }
    }
}

fn wanted(model: &Model, id: Guid) -> Option<(Partition, Partnership)> {
    let partition = model.partitions.iter().find(|p| p.id == id)?;
    let partnership = model.partnership_of(partition.group?)?;
    Some((partition.clone(), partnership.clone()))
}

fn publish(shared: &Shared, id: Guid, now: Option<&VolumeStatus>) {
    let mut before = None;
    let differs = shared.sessions.known.send_if_modified(|known| {
        before = known.get(&id).cloned();
        if before.as_ref() == now {
            return false;
        }
        let mut all = HashMap::clone(known);
        match now {
            Some(status) => all.insert(id, status.clone()),
            None => all.remove(&id),
        };
        *known = Arc::new(all);
        true
    });
    if differs {
        changed(shared, id, before.as_ref(), now);
    }
}

/// Called for every change of what is known about a volume, by its task, after the change can be seen. Must not wait.
fn changed(shared: &Shared, id: Guid, before: Option<&VolumeStatus>, now: Option<&VolumeStatus>) {
    let phase = |status: Option<&VolumeStatus>| status.and_then(|s| s.phase);
    if phase(before) != phase(now) {
        tracing::debug!(computer = shared.computer(), volume = %id, phase = ?phase(now), "replication");
    }
    shared.herald.changed(shared, id, before, now);
}
