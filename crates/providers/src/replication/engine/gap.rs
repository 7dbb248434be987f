//! Exchanging a synchronous mirror for an asynchronous one, which the daemon cannot do by itself.
//!
//! The old job ends before the new one begins, and a write in between would be seen by neither. So a record of writes is
//! kept from before the end of the one until after the start of the other (the *gap*), and what it names is copied while
//! the new job waits. That copying puts itself before the writes of applications, and would hand them its errors; therefore
//! it writes to a quorum of the partner and of nothing, in which nothing always succeeds, and its errors are learnt from
//! the events.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use super::failure::{About, Failure, ReplicationError};
use super::link::{Link, STALL_LIMIT};
use super::mirror::{Mirror, Start, failure_of};
use super::replica::{BASE, Shared, State};
use super::status::CopyMode;

/// How often the copying is looked at.
const COPY_POLL: Duration = Duration::from_millis(10);

impl Shared {
    /// Ends the mirror and starts another one in its place, in the asynchronous mode. When the partner is lost on the way,
    /// the new mirror is there and broken.
    pub(super) async fn exchange_mirror(&self, state: &mut State) -> Result<(), ReplicationError> {
        let Some(old) = &state.mirror else { return Ok(()) };
        let mut new = Mirror::new(self, old.partner.clone(), CopyMode::Asynchronous);
        let gap = self.name("gap");
        let record = json!({ "node": BASE, "name": gap });
        self.daemon.execute("block-dirty-bitmap-add", record, About::default()).await?;
        if let Err(error) = self.complete_job(state).await {
            self.forget_gap(&gap).await;
            return Err(error);
        }
        // From here to the start of the job nothing waits for anybody outside.
        new.gap = Some(gap.clone());
        new.catching_up = true;
        let made = async {
            self.add_target(&new).await?;
            self.add_job(&new, Start::Nothing).await?;
            self.daemon.execute("job-pause", json!({ "id": new.job }), About::default()).await?;
            // The new job has its own record, so this one need not grow any more.
            let full = json!({ "node": BASE, "name": gap });
            self.daemon.execute("block-dirty-bitmap-disable", full, About::default()).await
        }
        .await;
        if let Err(error) = made {
            let desc = error.to_string();
            self.remove_nodes(&mut new).await;
            new.lost = true;
            new.failure = Some(Failure::TrackingLost { desc });
            state.mirror = Some(new);
            return Err(error);
        }
        if let Err(error) = self.go_on(&mut new).await {
            new.failure = Some(failure_of(error, &new.partner)?);
        }
        state.mirror = Some(new);
        Ok(())
    }

    /// Copies what the record names. It is kept until that has succeeded.
    pub(super) async fn close_gap(&self, mirror: &mut Mirror) -> Result<(), ReplicationError> {
        let Some(gap) = mirror.gap.clone() else { return Ok(()) };
        let link = self.add_link(&mirror.partner).await?;
        let _door = self.shut_door().await;
        let guard = self.name("guard");
        let copied = self.copy_gap(&gap, &guard, &link).await;
        let _ = self.daemon.execute("blockdev-del", json!({ "node-name": guard }), About::default()).await;
        let refused = self.daemon.book().take_bad(&link.node);
        self.remove_link(link).await;
        copied?;
        if refused {
            return Err(Failure::DestinationGone { partner: mirror.partner.place() }.into());
        }
        self.forget_gap(&gap).await;
        mirror.gap = None;
        Ok(())
    }

    pub(super) async fn forget_gap(&self, gap: &str) {
        // It goes with the daemon otherwise.
        let record = json!({ "node": BASE, "name": gap });
        let _ = self.daemon.execute("block-dirty-bitmap-remove", record, About::default()).await;
    }

    async fn copy_gap(&self, gap: &str, guard: &str, link: &Link) -> Result<(), ReplicationError> {
        let nothing = json!({ "driver": "null-co", "size": self.volume.bytes() });
        let quorum = json!({
            "driver": "quorum", "node-name": guard, "vote-threshold": 1, "children": [link.node, nothing],
            "discard": "unmap",
        });
        self.daemon.execute("blockdev-add", quorum, About::default()).await?;
        let job = self.name("copy");
        let copy = json!({
            "job-id": job, "device": BASE, "target": guard, "sync": "bitmap", "bitmap": gap,
            "bitmap-mode": "never", "auto-dismiss": false,
        });
        self.daemon.execute("blockdev-backup", copy, About::default()).await?;
        self.follow_copy(&job, link.address).await?;
        match self.conclude(&job).await? {
            None => Ok(()),
            Some(_) => Err(Failure::SourceReadError { path: self.volume.path().to_path_buf() }.into()),
        }
    }

    /// Waits for the end of the copying, however long it takes, as long as it gets on.
    async fn follow_copy(&self, job: &str, partner: SocketAddr) -> Result<(), ReplicationError> {
        let (mut done, mut since) = (0, Instant::now());
        while let Some(report) = self.report(job).await?.filter(|report| !report.concluded()) {
            if report.offset != done {
                (done, since) = (report.offset, Instant::now());
            } else if since.elapsed() >= STALL_LIMIT {
                self.sever_loudly(partner);
                since = Instant::now();
            }
            tokio::time::sleep(COPY_POLL).await;
        }
        Ok(())
    }
}
