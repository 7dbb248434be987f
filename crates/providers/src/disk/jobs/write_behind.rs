//! Bringing content to the disk while the engine still writes. A job may only say Completed when its image is on the disk, and the
//! engine itself leaves that to the page cache: without this the disk would begin in earnest when the engine has ended.

use crate::disk::errors;
use crate::disk::roots::{FileError, ResolvedPath, TempName};
use cimwright_sdk::cim::ErrorDetail;
use std::fs::File;
use std::io;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// A sync costs the file system a commit, so less than this is not worth one; in bytes.
const WORTH_A_SYNC: u64 = 16 << 20;

/// Syncs an unfinished file again and again, one sync at a time. The file stays open throughout: the kernel tells an open file
/// once of content it could not write, and a file that is opened after somebody else was told learns nothing.
#[derive(Debug)]
pub struct WriteBehind {
    file: Arc<File>,
    running: Option<JoinHandle<io::Result<()>>>,
    failed: Option<io::Error>,
    begun_at: u64,
}

impl WriteBehind {
    /// For the unfinished file of a job.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn of(place: &ResolvedPath, temp: &TempName) -> Result<Self, ErrorDetail> {
        let file = place.open_temp(temp).map_err(|e| errors::unfinished_failed(&e))?;
        Ok(Self { file: Arc::new(file), running: None, failed: None, begun_at: 0 })
    }

    /// The engine has written so many bytes. Starts a sync when there is something to do and none is running; never waits.
    pub async fn written(&mut self, bytes: u64) {
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        self.collect().await;
        if self.failed.is_none() && bytes >= self.begun_at.saturating_add(WORTH_A_SYNC) {
            self.begun_at = bytes;
            let file = Arc::clone(&self.file);
            self.running = Some(tokio::task::spawn_blocking(move || file.sync_data()));
        }
    }

    /// Returns when everything is on the disk.
    ///
    /// # Errors
    /// When it could not be written there, now or at any time before.
    pub async fn finish(mut self, place: &ResolvedPath) -> Result<(), ErrorDetail> {
        self.collect().await;
        if self.failed.is_none() {
            let file = Arc::clone(&self.file);
            self.running = Some(tokio::task::spawn_blocking(move || file.sync_all()));
            self.collect().await;
        }
        self.failed.map_or(Ok(()), |error| {
            let error: FileError = place.sync_failed(&error);
            Err(errors::unfinished_failed(&error))
        })
    }

    async fn collect(&mut self) {
        let Some(running) = self.running.take() else { return };
        // A task that did not come to its end has synced nothing, and must not count as if it had.
        let result = running.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.failed = self.failed.take().or(result.err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(file: File) -> WriteBehind {
        WriteBehind { file: Arc::new(file), running: None, failed: None, begun_at: 0 }
    }

    #[tokio::test]
    async fn little_is_left_to_the_end() {
        let mut behind = behind(tempfile::tempfile().expect("a file"));
        behind.written(WORTH_A_SYNC - 1).await;
        assert!(behind.running.is_none());
        behind.written(WORTH_A_SYNC).await;
        assert!(behind.running.is_some());
    }

    #[tokio::test]
    async fn a_sync_that_failed_is_not_forgotten() {
        // A pipe cannot be synced.
        let (reader, _writer) = io::pipe().expect("a pipe");
        let mut behind = behind(File::from(std::os::fd::OwnedFd::from(reader)));
        behind.written(WORTH_A_SYNC).await;
        behind.collect().await;
        assert!(behind.failed.is_some());
        behind.written(WORTH_A_SYNC * 2).await;
        assert!(behind.running.is_none(), "nothing more is tried");
    }
}
