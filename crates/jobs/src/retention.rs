//! When a finished job disappears: it leaves the namespace when TimeBeforeRemoval has passed since its end (unless
//! DeleteOnCompletion is FALSE), and stays in a bounded history that can still tell why it failed.

use crate::service::Shared;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many jobs leave in one go; keeps the write transaction short.
const BATCH: usize = 500;

/// Removes what is due, at every tick, until the service shuts down.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut shutdown = shared.shutdown.subscribe();
    // A service that is closed as soon as it was opened has said so before this task first ran.
    while !*shutdown.borrow() {
        tokio::select! {
            () = tokio::time::sleep(shared.config.retention_interval) => {}
            _ = shutdown.changed() => return,
        }
        if let Err(error) = sweep(&shared).await {
            tracing::error!(%error, "cannot remove finished jobs; trying again");
        }
    }
}

/// Removes everything that is due now.
pub(crate) async fn sweep(shared: &Shared) -> Result<(), crate::StoreError> {
    let mut any = shared.history_grew.swap(false, Ordering::AcqRel);
    loop {
        let gone = shared.store.expire(shared.clock.now(), BATCH).await?;
        any |= !gone.is_empty();
        if gone.len() < BATCH {
            break;
        }
    }
    if any {
        shared.store.trim_history(shared.config.history_limit).await?;
    }
    Ok(())
}
