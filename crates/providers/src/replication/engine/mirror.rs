//! The mirror job: its nodes, its life, and what its condition means.

use std::time::Duration;

use serde_json::{Value, json};

use super::address::Partner;
use super::failure::{About, Failure, ReplicationError};
use super::link::Link;
use super::replica::{DISK, Shared, State};
use super::status::{CopyMode, IoStatus, JobReport, MirrorPhase, MirrorStatus};

/// With so little left to copy, an application that waits for both sides does not wait long.
const NEARLY_DONE_BYTES: u64 = 16 << 20;
/// The size of the blocks whose difference is recorded, in bytes: that of most writes of applications. A larger one would have the
/// mirror copy more than was written, in the thread that serves the applications. The full copy takes as long with either.
const BLOCK_BYTES: u64 = 4096;
/// How many blocks a record has at most: 32 MiB of memory. From 1 TiB on, blocks are larger.
const MOST_BLOCKS: u64 = 1 << 28;
/// How long a job may take to end after it was told to.
const END_LIMIT: Duration = Duration::from_secs(30);
const END_POLL: Duration = Duration::from_millis(5);

/// What the mirror begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// All of the volume.
    Full,
    /// Only what is written from now on.
    Nothing,
}

/// A mirror job and the nodes that belong to it.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) job: String,
    /// The node that sees the writes. It is above the disk as long as the job lives.
    pub(super) filter: String,
    /// The quorum node that the job writes to.
    pub(super) target: String,
    /// The node on which all writes fail.
    pub(super) cut: String,
    /// The number of the quorum's only child.
    pub(super) child: u32,
    pub(super) partner: Partner,
    /// The connection in use; nothing while the mirror is cut off.
    pub(super) link: Option<Link>,
    pub(super) wanted: CopyMode,
    pub(super) in_force: CopyMode,
    pub(super) suspended: bool,
    /// The partner lacks something that was written during a pause or a loss.
    pub(super) catching_up: bool,
    /// One new connection was made without being asked for, since the sides were last the same.
    pub(super) retried: bool,
    pub(super) failure: Option<Failure>,
    /// The job is gone.
    pub(super) lost: bool,
    /// The record of what a former mirror may not have brought over.
    pub(super) gap: Option<String>,
}

impl Mirror {
    /// A mirror whose nodes and job are still to be made.
    pub(super) fn new(shared: &Shared, partner: Partner, wanted: CopyMode) -> Self {
        Self {
            job: shared.name("mirror"),
            filter: shared.name("filter"),
            target: shared.name("target"),
            cut: shared.name("cut"),
            child: 0,
            partner,
            link: None,
            wanted,
            in_force: CopyMode::Asynchronous,
            suspended: false,
            catching_up: false,
            retried: false,
            failure: None,
            lost: false,
            gap: None,
        }
    }

    /// The job has not ended.
    pub(super) fn alive(&self) -> bool {
        !self.lost
    }

    fn phase(&self, report: &JobReport) -> MirrorPhase {
        if self.lost {
            MirrorPhase::Lost
        } else if self.suspended {
            MirrorPhase::Suspended
        } else if self.failure.is_some() {
            MirrorPhase::Broken
        } else if !report.ready {
            MirrorPhase::Copying
        } else if self.catching_up {
            MirrorPhase::CatchingUp
        } else {
            MirrorPhase::Following
        }
    }

    fn in_sync(&self, report: &JobReport) -> bool {
        let running = report.ready && !self.suspended && self.failure.is_none() && self.gap.is_none();
        let complete = match self.wanted {
            CopyMode::Synchronous => report.actively_synced,
            CopyMode::Asynchronous => report.remaining() == 0,
        };
        running && complete && self.link.is_some()
    }

    fn status(&self, report: &JobReport) -> MirrorStatus {
        MirrorStatus {
            phase: self.phase(report),
            mode: self.wanted,
            mode_in_force: self.in_force,
            total_bytes: report.offset + report.remaining(),
            done_bytes: report.offset,
            remaining_bytes: report.remaining(),
            in_sync: self.in_sync(report),
            io_status: report.io_status,
            failure: self.failure.clone(),
        }
    }
}

impl Shared {
    /// Makes the node that takes the mirror's writes, with the link or the cut as its child.
    pub(super) async fn add_target(&self, mirror: &Mirror) -> Result<(), ReplicationError> {
        let failing = ["read", "write", "write-zeroes", "discard", "flush"].map(
            |kind| json!({ "event": "none", "iotype": kind, "errno": 5, "once": false, "immediately": true }),
        );
        let cut = json!({
            "driver": "blkdebug", "node-name": mirror.cut, "inject-error": failing,
            "image": { "driver": "null-co", "size": self.volume.bytes() },
        });
        self.daemon.execute("blockdev-add", cut, About::default()).await?;
        let child = mirror.link.as_ref().map_or(&mirror.cut, |link| &link.node);
        let target = json!({
            "driver": "quorum", "node-name": mirror.target, "vote-threshold": 1, "children": [child],
            "discard": "unmap",
        });
        self.daemon.execute("blockdev-add", target, About::default()).await
    }

    /// Starts the job, always in the asynchronous mode.
    pub(super) async fn add_job(&self, mirror: &Mirror, start: Start) -> Result<(), ReplicationError> {
        let sync = match start {
            Start::Full => "full",
            Start::Nothing => "none",
        };
        let job = json!({
            "job-id": mirror.job, "device": DISK, "target": mirror.target, "filter-node-name": mirror.filter,
            "sync": sync, "copy-mode": "background", "auto-dismiss": false,
            "on-source-error": "stop", "on-target-error": "stop", "granularity": block_bytes(self.volume.bytes()),
        });
        let place = mirror.partner.place();
        let about = About {
            partner: Some(&place),
            export: Some(&mirror.partner.export),
            path: Some(self.volume.path()),
            ..About::default()
        };
        self.daemon.execute("blockdev-mirror", job, about).await
    }

    /// Removes the nodes of a mirror whose job has ended. What cannot be removed was never made.
    pub(super) async fn remove_nodes(&self, mirror: &mut Mirror) {
        let about = About::default();
        let _ = self.daemon.execute("blockdev-del", json!({ "node-name": mirror.target }), about).await;
        if let Some(link) = mirror.link.take() {
            self.remove_link(link).await;
        }
        let _ = self.daemon.execute("blockdev-del", json!({ "node-name": mirror.cut }), about).await;
        if let Some(gap) = mirror.gap.take() {
            self.forget_gap(&gap).await;
        }
    }

    /// Looks at the mirror, does what its condition asks for, and publishes what was seen.
    pub(super) async fn refresh(&self, state: &mut State) -> Result<Option<MirrorStatus>, ReplicationError> {
        let Some(mirror) = &mut state.mirror else {
            self.changes.send_if_modified(|status| status.take().is_some());
            return Ok(None);
        };
        let looked = self.look_after(mirror).await;
        let status = match &looked {
            Ok(report) => mirror.status(report),
            Err(error) => {
                // The last known figures, with the reason why there are no newer ones.
                let last = self.changes.borrow().clone();
                let mut status = last.unwrap_or_else(|| mirror.status(&JobReport::nothing(&mirror.job)));
                if let Some(failure @ Failure::DaemonDied { .. }) = error.failure() {
                    mirror.lost = true;
                    mirror.failure = Some(failure.clone());
                    status.phase = MirrorPhase::Lost;
                    status.failure = Some(failure.clone());
                }
                status.in_sync = false;
                status
            }
        };
        self.changes.send_if_modified(|published| {
            let differs = published.as_ref() != Some(&status);
            *published = Some(status.clone());
            differs
        });
        match looked {
            Err(error) if !matches!(error.failure(), Some(Failure::DaemonDied { .. })) => Err(error),
            _ => Ok(Some(status)),
        }
    }

    async fn look_after(&self, mirror: &mut Mirror) -> Result<JobReport, ReplicationError> {
        if mirror.lost {
            let last = self
                .changes
                .borrow()
                .clone()
                .unwrap_or_else(|| mirror.status(&JobReport::nothing(&mirror.job)));
            return Ok(JobReport::remembered(&mirror.job, &last));
        }
        let report = self.report(&mirror.job).await?;
        let Some(report) = report.filter(|report| !report.concluded()) else {
            return self.bury(mirror).await;
        };
        if report.stopped_by_error() && !mirror.suspended && mirror.failure.is_none() {
            self.diagnose(mirror, &report).await?;
        }
        // In this order nothing is missed: a write that leaves the record is under way, and then the job counts it.
        let dirty = self.dirty(&mirror.filter).await?;
        let report = JobReport { dirty, ..self.report(&mirror.job).await?.unwrap_or(report) };
        let good = !mirror.suspended && mirror.failure.is_none() && mirror.link.is_some();
        let soon = report.ready || (report.len > 0 && report.remaining() <= NEARLY_DONE_BYTES);
        let changes = mirror.wanted == CopyMode::Synchronous && mirror.in_force == CopyMode::Asynchronous;
        if good && changes && soon {
            self.make_synchronous(mirror).await?;
        }
        if mirror.in_sync(&report) {
            mirror.catching_up = false;
            mirror.retried = false;
        }
        Ok(report)
    }

    /// A mirror that has ended without being told to.
    async fn bury(&self, mirror: &mut Mirror) -> Result<JobReport, ReplicationError> {
        let report = self.report(&mirror.job).await?;
        let desc = report.as_ref().and_then(|report| report.error.clone());
        let job = json!({ "id": mirror.job });
        // There may be nothing to dismiss.
        let _ = self.daemon.execute("job-dismiss", job, About::default()).await;
        mirror.lost = true;
        mirror.failure = Some(Failure::TrackingLost { desc: desc.unwrap_or_default() });
        self.remove_nodes(mirror).await;
        Ok(report.unwrap_or_else(|| JobReport::nothing(&mirror.job)))
    }

    /// Finds out why a mirror stands still. When the partner answers after all it is tried once more, without being asked
    /// to: a partner that was started anew looks like one that is gone.
    async fn diagnose(&self, mirror: &mut Mirror, report: &JobReport) -> Result<(), ReplicationError> {
        if self.daemon.book().first_error_was_read(&mirror.job) == Some(true) {
            mirror.failure = Some(Failure::SourceReadError { path: self.volume.path().to_path_buf() });
            return Ok(());
        }
        mirror.catching_up = true;
        self.cut_off(mirror).await?;
        let partner = mirror.partner.place();
        if report.io_status == IoStatus::NoSpace {
            mirror.failure = Some(Failure::DestinationFull { partner });
            return Ok(());
        }
        if mirror.retried {
            // The connection tells who is there now; what failed was the writing.
            mirror.failure = Some(match self.add_link(&mirror.partner).await {
                Ok(link) => {
                    self.remove_link(link).await;
                    Failure::DestinationGone { partner }
                }
                Err(error) => failure_of(error, &mirror.partner)?,
            });
            return Ok(());
        }
        mirror.retried = true;
        match self.go_on(mirror).await {
            Ok(()) => Ok(()),
            Err(error) => {
                mirror.failure = Some(failure_of(error, &mirror.partner)?);
                Ok(())
            }
        }
    }

    pub(super) async fn make_synchronous(&self, mirror: &mut Mirror) -> Result<(), ReplicationError> {
        let change = json!({ "id": mirror.job, "type": "mirror", "copy-mode": "write-blocking" });
        self.daemon.execute("block-job-change", change, About::default()).await?;
        mirror.in_force = CopyMode::Synchronous;
        Ok(())
    }

    /// What the daemon says about a job; nothing when it knows none of that name.
    pub(super) async fn report(&self, job: &str) -> Result<Option<JobReport>, ReplicationError> {
        let jobs: Vec<JobReport> = self.daemon.ask("query-block-jobs", json!({}), About::default()).await?;
        Ok(jobs.into_iter().find(|report| report.id == job))
    }

    /// How many bytes the mirror knows to be missing at the partner.
    async fn dirty(&self, filter: &str) -> Result<u64, ReplicationError> {
        let nodes: Vec<Value> =
            self.daemon.ask("query-named-block-nodes", json!({ "flat": true }), About::default()).await?;
        let node = nodes.iter().find(|node| node["node-name"] == filter);
        let records = node.and_then(|node| node["dirty-bitmaps"].as_array());
        Ok(records.into_iter().flatten().filter_map(|record| record["count"].as_u64()).sum())
    }

    /// Waits until a job that was told to end has ended, and dismisses it. The result is the error it ended with.
    pub(super) async fn conclude(&self, job: &str) -> Result<Option<String>, ReplicationError> {
        self.conclude_unless(job, |_| false).await
    }

    /// As [`Self::conclude`], for a job that ends only when its writes succeed: one that an error has stopped does not.
    pub(super) async fn conclude_in_order(&self, job: &str) -> Result<Option<String>, ReplicationError> {
        self.conclude_unless(job, JobReport::stopped_by_error).await
    }

    async fn conclude_unless(
        &self,
        job: &str,
        hopeless: impl Fn(&JobReport) -> bool,
    ) -> Result<Option<String>, ReplicationError> {
        let ended = async {
            loop {
                match self.report(job).await? {
                    Some(report) if report.concluded() => return Ok::<_, ReplicationError>(report.error),
                    Some(report) if hopeless(&report) => {
                        let desc = "the partner was lost in the last moment".to_owned();
                        return Err(Failure::TrackingLost { desc }.into());
                    }
                    None => return Ok(None),
                    Some(_) => tokio::time::sleep(END_POLL).await,
                }
            }
        };
        let error = tokio::time::timeout(END_LIMIT, ended)
            .await
            .map_err(|_| ReplicationError::Timeout { what: "the end of a job", limit: END_LIMIT })??;
        self.daemon.execute("job-dismiss", json!({ "id": job }), About::default()).await?;
        Ok(error)
    }
}

impl JobReport {
    /// For a job of which nothing is known.
    fn nothing(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            len: 0,
            offset: 0,
            paused: false,
            ready: false,
            io_status: IoStatus::Ok,
            status: String::new(),
            actively_synced: false,
            error: None,
            dirty: 0,
        }
    }

    /// For a job that is gone, with its last figures.
    fn remembered(id: &str, last: &MirrorStatus) -> Self {
        Self {
            len: last.total_bytes,
            offset: last.done_bytes,
            io_status: last.io_status,
            ..Self::nothing(id)
        }
    }
}

/// The size of the blocks of a record for a volume of this size.
fn block_bytes(volume: u64) -> u64 {
    // The greatest that the daemon takes.
    (volume / MOST_BLOCKS).next_power_of_two().clamp(BLOCK_BYTES, 64 << 20)
}

/// The reason that keeps a mirror from going on. The end of the daemon is none of that kind and is passed on.
pub(super) fn failure_of(error: ReplicationError, partner: &Partner) -> Result<Failure, ReplicationError> {
    match error {
        ReplicationError::Failed(failure @ Failure::DaemonDied { .. }) => Err(failure.into()),
        ReplicationError::Failed(failure) => Ok(failure),
        ReplicationError::Tls(error) => {
            Ok(Failure::TlsRefused { partner: partner.place(), desc: error.to_string() })
        }
        error => Ok(Failure::Unrecognised { desc: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_differences_stays_small() {
        let tebibyte = 1 << 40;
        for volume in [512, 4 << 30, tebibyte, tebibyte + 512, 3 * tebibyte, 100 * tebibyte] {
            let block = block_bytes(volume);
            assert!(block.is_power_of_two() && block >= 4096);
            assert!(volume / block <= MOST_BLOCKS, "{volume}: {block}");
        }
        assert_eq!(block_bytes(tebibyte), 4096);
        assert_eq!(block_bytes(16 * tebibyte), 65536);
    }
}
