//! Which job runs next: bounded concurrency, priorities, fairness between owners. The choice is pure; the loop around it is dull.

use crate::record::JobId;
use crate::service::Shared;
use crate::store::Candidate;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A waiting job gains one step of priority for every such span, so that none waits for ever behind more important ones.
pub const AGING: Duration = Duration::from_secs(10);

/// How many candidates are looked at in one go.
const WINDOW: usize = 256;
const PER_OWNER: usize = 8;

/// The order in which candidates should be taken, given how many jobs each owner has running.
///
/// More important first, waiting time counted in; among equals the owner with the fewest running jobs, counting those chosen
/// before; among those the oldest.
pub fn order(mut waiting: Vec<Candidate>, running: &HashMap<String, usize>, now: SystemTime) -> Vec<JobId> {
    let mut load = running.clone();
    let mut chosen = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let best = waiting
            .iter()
            .enumerate()
            .min_by_key(|(_, c)| (urgency(c, now), load.get(&c.owner).copied().unwrap_or(0), c.id))
            .map(|(at, _)| at);
        let Some(at) = best else { break };
        let candidate = waiting.swap_remove(at);
        *load.entry(candidate.owner).or_default() += 1;
        chosen.push(candidate.id);
    }
    chosen
}

fn urgency(candidate: &Candidate, now: SystemTime) -> i64 {
    let waited = now.duration_since(candidate.submitted).unwrap_or_default();
    let gained = (waited.as_secs() / AGING.as_secs()).min(i64::MAX as u64) as i64;
    i64::from(candidate.priority) - gained
}

/// Starts drivers whenever there is room and work, until the service shuts down.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut shutdown = shared.shutdown.subscribe();
    loop {
        if *shutdown.borrow() {
            return;
        }
        let idle = match fill(&shared).await {
            Ok(idle) => idle,
            Err(error) => {
                tracing::error!(%error, "cannot look for waiting jobs; trying again");
                true
            }
        };
        if !idle {
            continue;
        }
        tokio::select! {
            () = shared.wake.notified() => {}
            // The timer finds jobs whose driver on another node died, and what a failed look missed.
            () = tokio::time::sleep(pause(&shared)) => {}
            _ = shutdown.changed() => return,
        }
    }
}

/// How long there is nothing to do unless somebody says otherwise: until a job is due, but never so long that a clock that was set
/// goes unnoticed.
fn pause(shared: &Shared) -> Duration {
    let longest = shared.config.poll_interval;
    // A job that is due already waits for room, not for time.
    let until_due = shared.next_due().and_then(|at| at.duration_since(shared.clock.now()).ok());
    until_due.filter(|d| !d.is_zero()).map_or(longest, |d| d.min(longest))
}

/// Jobs whose time has come. Those whose UntilTime has passed are ended, for which they need no room.
async fn due(shared: &Arc<Shared>, now: SystemTime) -> Result<Vec<Candidate>, crate::StoreError> {
    if !shared.take_next_due(now) {
        return Ok(Vec::new());
    }
    let looked = look_for_due(shared, now).await;
    if !matches!(looked, Ok(ref look) if look.is_all && look.waiting.is_empty()) {
        // Until they have been taken, and until somebody has looked at all of them.
        shared.keep_due(now);
    }
    looked.map(|look| look.waiting)
}

/// What a look at the jobs that are due has found.
struct Look {
    /// Those that wait for room.
    waiting: Vec<Candidate>,
    /// Whether there are no more.
    is_all: bool,
}

async fn look_for_due(shared: &Arc<Shared>, now: SystemTime) -> Result<Look, crate::StoreError> {
    let found = shared.store.due(now, WINDOW).await?;
    if let Some(next) = shared.store.next_due(now).await? {
        shared.keep_due(next);
    }
    let mut look = Look { waiting: Vec::new(), is_all: found.len() < WINDOW };
    for record in found {
        if record.settings.schedule.until().is_some_and(|until| until <= now) {
            let lease = now + shared.config.lease;
            if let Some((lease, record)) = shared.store.claim(record.id(), shared.holder, now, lease).await? {
                shared.spawn_driver((*record).clone(), lease, None, false);
            }
        } else {
            look.waiting.push(Candidate {
                id: record.id(),
                owner: record.spec.owner.clone(),
                priority: record.settings.priority,
                // What it has waited for so far was its time.
                submitted: record.run.due.unwrap_or(record.spec.submitted),
            });
        }
    }
    Ok(look)
}

/// Takes as many waiting jobs as there is room for. `true` if there is nothing more to do for now.
async fn fill(shared: &Arc<Shared>) -> Result<bool, crate::StoreError> {
    let now = shared.clock.now();
    let mut waiting = due(shared, now).await?;
    if shared.permits.available_permits() == 0 {
        return Ok(true);
    }
    let mark = shared.backlog_mark();
    let queued = shared.store.candidates(now, PER_OWNER, WINDOW).await?;
    if queued.is_empty() {
        shared.clear_backlog(mark);
    }
    waiting.extend(queued);
    let mut took = false;
    for id in order(waiting, &shared.running_by_owner(), now) {
        let Ok(permit) = Arc::clone(&shared.permits).try_acquire_owned() else { return Ok(true) };
        let until = now + shared.config.lease;
        if let Some((lease, record)) = shared.store.claim(id, shared.holder, now, until).await? {
            took = true;
            shared.spawn_driver((*record).clone(), lease, Some(permit), false);
        }
    }
    Ok(!took)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(owner: &str, priority: u32, age_seconds: u64, now: SystemTime) -> Candidate {
        Candidate {
            id: JobId::generate(),
            owner: owner.to_owned(),
            priority,
            submitted: now - Duration::from_secs(age_seconds),
        }
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    #[test]
    fn important_jobs_go_first_and_owners_take_turns() {
        let now = now();
        let a1 = candidate("a", 100, 1, now);
        let a2 = candidate("a", 100, 1, now);
        let b1 = candidate("b", 100, 0, now);
        let urgent = candidate("a", 1, 0, now);
        let ids = [urgent.id, b1.id, a1.id, a2.id];
        assert_eq!(order(vec![a1, a2, b1, urgent], &HashMap::new(), now), ids);
    }

    #[test]
    fn an_owner_with_running_jobs_waits_for_the_others() {
        let now = now();
        let a = candidate("a", 100, 5, now);
        let b = candidate("b", 100, 0, now);
        let running = HashMap::from([("a".to_owned(), 3)]);
        let ids = [b.id, a.id];
        assert_eq!(order(vec![a, b], &running, now), ids);
    }

    #[test]
    fn waiting_makes_a_job_important() {
        let now = now();
        let old = candidate("a", 200, 2000, now);
        let new = candidate("b", 100, 0, now);
        assert_eq!(order(vec![new.clone(), old.clone()], &HashMap::new(), now), [old.id, new.id]);
    }

    proptest! {
        #[test]
        fn every_candidate_is_chosen_once(jobs in proptest::collection::vec((0u8..4, 0u32..300, 0u64..5000), 0..40)) {
            let now = now();
            let waiting: Vec<_> =
                jobs.iter().map(|(o, p, a)| candidate(&format!("u{o}"), *p, *a, now)).collect();
            let mut ids: Vec<_> = waiting.iter().map(|c| c.id).collect();
            let mut got = order(waiting, &HashMap::new(), now);
            ids.sort();
            got.sort();
            prop_assert_eq!(ids, got);
        }
    }
}
