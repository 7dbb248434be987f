//! What was written and answered, block by block, and what a volume must therefore hold.
//!
//! Every block names itself, its version and the run, and the rest of it follows from these: so whatever lies in a volume says which write it is
//! of, and whether it is whole.

use crate::failure::{Failure, Result};
use crate::rng::Rng;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The size of a block, in bytes: no page is ever half of one.
pub(crate) const BLOCK: usize = 4096;

/// What a volume is read in.
const PIECE: usize = 256;

/// What is known about one block.
#[derive(Clone, Debug, Default)]
struct Entry {
    /// The newest version that somebody began to write; 0 before the first.
    issued: u32,
    /// The newest version that was answered.
    acked: u32,
    /// What it was at the last comparison.
    settled: u32,
    /// When each version since the last comparison was answered, in microseconds since 1970.
    answers: Vec<(u32, i64)>,
}

/// All blocks of a volume.
pub(crate) struct Ledger {
    seed: u64,
    entries: Mutex<Vec<Entry>>,
}

/// What every block must at least be, at one moment.
pub(crate) struct Promise(Vec<u32>);

/// What a volume lacks of a promise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lack {
    /// Blocks that are older than promised: block, version there, version promised.
    pub(crate) older: Vec<(usize, u32, u32)>,
    /// Blocks that hold something that was never written.
    pub(crate) foreign: Vec<usize>,
}

impl Ledger {
    /// A volume of so many blocks, all of version 0.
    pub(crate) fn new(blocks: usize, seed: u64) -> Self {
        Self { seed, entries: Mutex::new(vec![Entry::default(); blocks]) }
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> usize {
        self.entries().len()
    }

    /// Notes that a block is about to be written, and gives its version.
    pub(crate) fn issue(&self, block: usize) -> u32 {
        let entry = &mut self.entries()[block];
        entry.issued += 1;
        entry.issued
    }

    /// Notes that a write was answered.
    pub(crate) fn ack(&self, block: usize, version: u32, at: i64) {
        let entry = &mut self.entries()[block];
        entry.acked = version;
        entry.answers.push((version, at));
    }

    /// The versions that a block may have: from the newest that was answered to the newest that was begun.
    pub(crate) fn range(&self, block: usize) -> (u32, u32) {
        let entry = &self.entries()[block];
        (entry.acked, entry.issued)
    }

    /// All that was answered up to now.
    pub(crate) fn acked(&self) -> Promise {
        Promise(self.entries().iter().map(|e| e.acked).collect())
    }

    /// All that was answered until a moment, in microseconds since 1970.
    pub(crate) fn acked_until(&self, moment: i64) -> Promise {
        let at = |e: &Entry| {
            let until = e.answers.iter().take_while(|(_, at)| *at <= moment).last();
            until.map_or(e.settled, |(version, _)| *version)
        };
        Promise(self.entries().iter().map(at).collect())
    }

    /// When the oldest of the missing versions was answered; `None` when nothing is missing.
    pub(crate) fn oldest_answer(&self, lack: &Lack) -> Option<i64> {
        let entries = self.entries();
        let first = |(block, there, _): &(usize, u32, u32)| {
            entries[*block].answers.iter().find(|(version, _)| version > there).map(|(_, at)| *at)
        };
        lack.older.iter().filter_map(first).min()
    }

    /// Compares a volume with a promise.
    pub(crate) fn check(&self, volume: &Path, promise: &Promise) -> Result<Lack> {
        let mut found = vec![None; self.blocks()];
        self.read(volume, |block, version| found[block] = version)?;
        let mut lack = Lack::default();
        // Looked at last: what was read cannot be newer than what was begun by then.
        let entries = self.entries();
        for (block, (version, promised)) in found.into_iter().zip(&promise.0).enumerate() {
            match version {
                Some(version) if version < *promised => lack.older.push((block, version, *promised)),
                Some(version) if version <= entries[block].issued => {}
                _ => lack.foreign.push(block),
            }
        }
        Ok(lack)
    }

    /// Takes what a volume holds as the state of things: a write whose answer was lost has happened, or never will.
    pub(crate) fn settle(&self, volume: &Path) -> Result<()> {
        let mut versions = vec![None; self.blocks()];
        self.read(volume, |block, version| versions[block] = version)?;
        for (entry, version) in self.entries().iter_mut().zip(versions) {
            if let Some(version) = version {
                // Versions go on from the newest that was begun: one must never mean two contents.
                entry.acked = version;
                entry.settled = version;
            }
            entry.answers.clear();
        }
        Ok(())
    }

    /// The content of a block.
    pub(crate) fn content(&self, block: usize, version: u32) -> [u8; BLOCK] {
        let mut content = [0; BLOCK];
        if version == 0 {
            return content;
        }
        let name = (block as u64) << 32 | u64::from(version);
        Rng::new(self.seed ^ name.rotate_left(17)).fill(&mut content[16..]);
        content[..8].copy_from_slice(&self.seed.to_le_bytes());
        content[8..16].copy_from_slice(&name.to_le_bytes());
        content
    }

    /// The version that the content of a block says; `None` when it is no whole block of this drill.
    pub(crate) fn version(&self, block: usize, content: &[u8]) -> Option<u32> {
        if content.iter().all(|b| *b == 0) {
            return Some(0);
        }
        let name = u64::from_le_bytes(content.get(8..16)?.try_into().ok()?);
        let version = (name & u64::from(u32::MAX)) as u32;
        let is_it = version != 0 && (name >> 32) as usize == block;
        (is_it && self.content(block, version) == *content).then_some(version)
    }

    fn read(&self, volume: &Path, mut look: impl FnMut(usize, Option<u32>)) -> Result<()> {
        let file = File::open(volume).map_err(Failure::io("read", volume))?;
        let mut piece = vec![0; PIECE * BLOCK];
        let blocks = self.blocks();
        for first in (0..blocks).step_by(PIECE) {
            let count = PIECE.min(blocks - first);
            let read = file.read_exact_at(&mut piece[..count * BLOCK], (first * BLOCK) as u64);
            read.map_err(Failure::io("read", volume))?;
            for (at, content) in piece[..count * BLOCK].chunks_exact(BLOCK).enumerate() {
                look(first + at, self.version(first + at, content));
            }
        }
        Ok(())
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lack {
    /// Whether nothing is lacking.
    pub(crate) fn is_none(&self) -> bool {
        self.older.is_empty() && self.foreign.is_empty()
    }

    /// How much, with some of it.
    pub(crate) fn text(&self) -> String {
        let some: Vec<String> = self
            .older
            .iter()
            .take(3)
            .map(|(block, there, promised)| format!("block {block} is {there} instead of {promised}"))
            .chain(self.foreign.iter().take(3).map(|block| format!("block {block} holds something else")))
            .collect();
        format!("{} blocks are older, {} foreign ({})", self.older.len(), self.foreign.len(), some.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(ledger: &Ledger, versions: &[u32]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let content: Vec<u8> = versions.iter().enumerate().flat_map(|(b, v)| ledger.content(b, *v)).collect();
        std::fs::write(file.path(), content).expect("written");
        file
    }

    #[test]
    fn what_was_answered_must_be_there_and_what_was_begun_may_be() {
        let ledger = Ledger::new(3, 7);
        for (block, answered) in [(0, true), (1, true), (1, false)] {
            let version = ledger.issue(block);
            if answered {
                ledger.ack(block, version, 10);
            }
        }
        let lack =
            |versions: &[u32]| ledger.check(volume(&ledger, versions).path(), &ledger.acked()).expect("read");
        assert!(lack(&[1, 1, 0]).is_none());
        assert!(lack(&[1, 2, 0]).is_none(), "the answer was lost, the write was not");
        assert_eq!(lack(&[1, 0, 0]).older, [(1, 0, 1)]);
        assert_eq!(lack(&[1, 1, 1]).foreign, [2], "nobody wrote that");
    }

    #[test]
    fn a_torn_or_misplaced_block_is_foreign() {
        let ledger = Ledger::new(2, 7);
        ledger.issue(0);
        ledger.issue(1);
        let mut torn = ledger.content(0, 1);
        torn[BLOCK - 1] ^= 1;
        assert_eq!(ledger.version(0, &torn), None);
        assert_eq!(ledger.version(1, &ledger.content(0, 1)), None);
        assert_eq!(ledger.version(1, &ledger.content(1, 1)), Some(1));
        assert_eq!(Ledger::new(2, 8).version(1, &ledger.content(1, 1)), None);
    }

    #[test]
    fn a_promise_of_a_moment_holds_what_was_answered_until_then() {
        let ledger = Ledger::new(2, 7);
        for at in [10, 20, 30] {
            let version = ledger.issue(0);
            ledger.ack(0, version, at);
        }
        assert_eq!(ledger.acked_until(5).0, [0, 0]);
        assert_eq!(ledger.acked_until(25).0, [2, 0]);
        assert_eq!(ledger.acked_until(30).0, [3, 0]);
        ledger.settle(volume(&ledger, &[3, 0]).path()).expect("read");
        assert_eq!(ledger.acked_until(5).0, [3, 0], "both sides were compared since");
    }
}
