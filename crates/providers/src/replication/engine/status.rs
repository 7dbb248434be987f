//! How a mirror is doing.

use serde::Deserialize;

use super::failure::Failure;

/// What a write of an application waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyMode {
    /// Only for the source. What the partner lacks is [`MirrorStatus::remaining_bytes`].
    Asynchronous,
    /// For both sides.
    Synchronous,
}

/// Where a mirror stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorPhase {
    /// The content is brought over for the first time.
    Copying,
    /// What was written during a pause or a loss is brought over.
    CatchingUp,
    /// The partner has all there was, and new writes follow.
    Following,
    /// Stopped on request; writes are remembered.
    Suspended,
    /// Stopped by a failure; writes are remembered. [`super::Replica::retry`] goes on from there.
    Broken,
    /// Ended by itself; the record of the difference is lost, and only a full synchronisation helps.
    Lost,
}

/// What the daemon thinks of the mirror's reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IoStatus {
    /// Nothing has failed.
    #[default]
    Ok,
    /// Something has failed.
    Failed,
    /// There was no space left.
    NoSpace,
}

/// A mirror at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorStatus {
    /// Where it stands.
    pub phase: MirrorPhase,
    /// The mode asked for.
    pub mode: CopyMode,
    /// The mode in force. A synchronous mirror begins asynchronously, so that applications do not wait for its bulk.
    pub mode_in_force: CopyMode,
    /// All that was to be copied since the mirror was started, in bytes. It grows with every write.
    pub total_bytes: u64,
    /// What was copied since the mirror was started, in bytes.
    pub done_bytes: u64,
    /// What the partner lacks, in bytes (in whole blocks, of 4 KiB up to 1 TiB): the lag of an asynchronous mirror.
    pub remaining_bytes: u64,
    /// The partner has everything. In the synchronous mode: and every acknowledged write is on both sides.
    pub in_sync: bool,
    /// What the daemon thinks of its reads and writes.
    pub io_status: IoStatus,
    /// Why it is broken or lost.
    pub failure: Option<Failure>,
}

/// A block job as the daemon describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct JobReport {
    #[serde(rename = "device")]
    pub(super) id: String,
    pub(super) len: u64,
    pub(super) offset: u64,
    #[serde(default)]
    pub(super) paused: bool,
    #[serde(default)]
    pub(super) ready: bool,
    #[serde(default)]
    pub(super) io_status: IoStatus,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) actively_synced: bool,
    #[serde(default)]
    pub(super) error: Option<String>,
    /// The bytes in the mirror's record of what the partner lacks.
    #[serde(skip)]
    pub(super) dirty: u64,
}

impl JobReport {
    /// It has ended and waits to be dismissed.
    pub(super) fn concluded(&self) -> bool {
        self.status == "concluded"
    }

    /// What the partner lacks. The job counts what is under way, but knows new writes only when it next runs; the record
    /// knows them at once, but not what is under way.
    pub(super) fn remaining(&self) -> u64 {
        self.len.saturating_sub(self.offset).max(self.dirty)
    }

    /// It was stopped by an error, or by us.
    pub(super) fn stopped_by_error(&self) -> bool {
        self.paused && self.io_status != IoStatus::Ok
    }
}
