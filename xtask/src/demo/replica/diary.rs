//! An application that keeps writing: a diary in a file of the file system, through the export of the source.

use super::offset_of;
use super::volume::{BLOCK, Volume};
use crate::failure::{Failure, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the application rests after an entry.
const REST: Duration = Duration::from_millis(100);
/// How long it tries to write one: a volume may be away for a moment.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the writer and the story share.
struct Desk {
    /// What happens at the moment: it goes into the entry.
    chapter: Mutex<String>,
    written: AtomicUsize,
    over: AtomicBool,
    failure: Mutex<Option<String>>,
}

/// A diary that is being written.
pub(super) struct Diary {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl Diary {
    /// Begins to write behind the entries that are there. `uri` is where applications reach the volume.
    pub(super) fn begin(volume: &Volume, uri: &str, first: usize, scratch: &Path) -> Self {
        let desk = Arc::new(Desk {
            chapter: Mutex::default(),
            written: AtomicUsize::new(first),
            over: AtomicBool::new(false),
            failure: Mutex::default(),
        });
        let (shared, uri, page) = (Arc::clone(&desk), uri.to_owned(), scratch.join("page"));
        let offsets: Vec<u64> = (0..volume.diary.len()).map(|entry| offset_of(volume, entry)).collect();
        let thread = std::thread::spawn(move || write(&shared, &uri, &page, &offsets));
        Self { desk, thread: Some(thread) }
    }

    /// What happens now.
    pub(super) fn chapter(&self, text: &str) {
        text.clone_into(&mut self.desk.chapter.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How many entries are written and answered.
    pub(super) fn written(&self) -> usize {
        self.desk.written.load(Ordering::SeqCst)
    }

    /// Ends it, and says how many entries there are.
    pub(super) fn end(mut self) -> Result<usize> {
        self.stop();
        match self.desk.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(failure) => Err(Failure::Server(format!("the diary could not be written: {failure}"))),
            None => Ok(self.written()),
        }
    }

    fn stop(&mut self) {
        self.desk.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        self.stop();
    }
}

fn write(desk: &Desk, uri: &str, page: &PathBuf, offsets: &[u64]) {
    while !desk.over.load(Ordering::SeqCst) {
        let entry = desk.written.load(Ordering::SeqCst);
        let Some(offset) = offsets.get(entry) else { return };
        let chapter = desk.chapter.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = format!("entry {entry}: {chapter}").into_bytes();
        text.resize(BLOCK as usize - 1, b' ');
        text.push(b'\n');
        let begun = Instant::now();
        loop {
            let outcome = std::fs::write(page, &text).map_err(|e| e.to_string());
            match outcome.and_then(|()| once(uri, page, *offset)) {
                Ok(()) => break,
                Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(REST),
                Err(reason) => {
                    *desk.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                    return;
                }
            }
        }
        desk.written.store(entry + 1, Ordering::SeqCst);
        std::thread::sleep(REST);
    }
}

/// Writes a page with the tool that comes with QEMU; it is answered when it is on stable storage.
fn once(uri: &str, page: &Path, offset: u64) -> std::result::Result<(), String> {
    let write = format!("write -q -f -s {} {offset} {BLOCK}", page.display());
    let mut command = Command::new("qemu-io");
    command.args(["-f", "raw", "-c", &write]).arg(uri).stdin(Stdio::null());
    let output = command.output().map_err(|e| format!("qemu-io could not be started: {e}"))?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // An error in the write is told, and no matter of the exit code in every version.
    if output.status.success() && !said.contains("failed") { Ok(()) } else { Err(said.trim().to_owned()) }
}
