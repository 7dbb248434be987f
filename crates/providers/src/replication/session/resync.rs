//! Copies that begin by themselves, after a loss or a restart, get a job too: it shows how far they are, and why all is copied.

use super::Sessions;
use crate::replication::admin::touched;
use crate::replication::engine::FullReason;
use crate::replication::guid::Guid;
use crate::replication::jobs::partner::SyncGroup;
use crate::replication::jobs::planned;
use crate::replication::service::{Shared, own_job};
use cimwright_sdk::jobs::{JobId, WeakJobs};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long it takes a job that is there already to be seen following, and a copy to be worth a job.
const SETTLE: Duration = Duration::from_secs(1);
/// How often is looked whether a job has ended.
const WAIT: Duration = Duration::from_secs(1);

/// What is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// Everything.
    Full(FullReason),
    /// What was written while the other side was away.
    Difference,
}

/// How many jobs follow the copy of each group.
type Followers = Arc<Mutex<HashMap<Guid, usize>>>;

/// Some job follows the copy of a group as long as this lives.
#[derive(Debug)]
pub struct Followed {
    followers: Followers,
    group: Guid,
}

impl Sessions {
    /// Notes that a job follows the copy of a group.
    pub fn followed(&self, group: Guid) -> Followed {
        let followers = Arc::clone(&self.followed);
        *followers.lock().unwrap_or_else(PoisonError::into_inner).entry(group).or_default() += 1;
        Followed { followers, group }
    }

    /// As [`Self::followed`], unless one does already.
    fn first_to_follow(&self, group: Guid) -> Option<Followed> {
        let mut followers = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if followers.contains_key(&group) {
            return None;
        }
        followers.insert(group, 1);
        Some(Followed { followers: Arc::clone(&self.followed), group })
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = followers.get_mut(&self.group) {
            *count -= 1;
            if *count == 0 {
                followers.remove(&self.group);
            }
        }
    }
}

/// Starts a job for a copy of a volume, unless one follows its group already. The first copy of all belongs to the job that makes
/// the partnership; a difference that is soon sent needs none.
pub(super) fn follow(shared: &Arc<Shared>, group: Guid, volume: Guid, copy: Copy) {
    if matches!(copy, Copy::Full(FullReason::NeverSynchronised)) {
        return;
    }
    let shared = Arc::downgrade(shared);
    tokio::spawn(async move {
        tokio::time::sleep(SETTLE).await;
        let Some(shared) = shared.upgrade() else { return };
        let done = shared.sessions.status(volume).is_none_or(|s| s.in_sync);
        if copy == Copy::Difference && done {
            return;
        }
        // Held for the other volumes of the group.
        let Some(_followed) = shared.sessions.first_to_follow(group) else { return };
        let Some((jobs, job)) = start(&shared, group, copy).await else { return };
        // Neither the job nor what it needs is kept alive.
        drop(shared);
        while let Some(jobs) = jobs.upgrade() {
            match jobs.wait_end(job, WAIT).await {
                Ok(Some(record)) if !record.run.state.is_finished() => {}
                _ => return,
            }
        }
    });
}

async fn start(shared: &Arc<Shared>, id: Guid, copy: Copy) -> Option<(WeakJobs, JobId)> {
    let weak = shared.sessions.jobs.get()?;
    let jobs = weak.upgrade()?;
    let model = shared.model();
    let group = model.group_by_id(id)?;
    let name = &group.name;
    let description = match copy {
        Copy::Full(reason) => {
            format!("Bring the destination of {name} up to date by copying everything: {reason}")
        }
        Copy::Difference => {
            format!("Bring the destination of {name} up to date with what was written meanwhile")
        }
    };
    let planned = planned(&SyncGroup { group: id }, description, touched(&model, group));
    match jobs.start(own_job(planned, &jobs), jobs.default_settings()).await {
        Ok(job) => Some((weak.clone(), job.id())),
        Err(error) => {
            tracing::warn!(group = name, %error, "no job follows the copy");
            None
        }
    }
}
