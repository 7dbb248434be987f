//! Records that were read or written lately, so that asking for one again costs no SQL.
//!
//! The cache never holds a record older than the last commit that was answered. The writer announces the jobs of a transaction
//! before it commits and puts the new records in afterwards. A load takes the version of its job's slot before it reads the
//! database and may only leave its record here if the version is still the same and no commit is under way.

use cimwright_jobs::{JobId, JobRecord};
use lru::LruCache;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Jobs share versions; a collision only means that a load is not kept.
const SLOTS: usize = 1024;

/// What a transaction makes of a job.
pub(super) enum Change {
    /// It is this now.
    Put(Arc<JobRecord>),
    /// It is gone, or has become something the writer did not read.
    Forget,
}

/// What the cache knows of a job.
pub(super) enum Lookup {
    /// The record.
    Hit(Arc<JobRecord>),
    /// Nothing; the ticket is for [`Cache::offer`].
    Miss(Ticket),
}

/// The state of a slot at the time of a lookup.
pub(super) struct Ticket {
    slot: usize,
    version: u64,
}

/// The cache.
pub(super) struct Cache {
    inner: Mutex<Inner>,
}

struct Inner {
    records: LruCache<JobId, Arc<JobRecord>>,
    /// Odd while a commit is under way, and never the same twice.
    versions: Vec<u64>,
}

impl Cache {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self { inner: Mutex::new(Inner { records: LruCache::new(capacity), versions: vec![0; SLOTS] }) }
    }

    /// The record, or what is needed to put it in.
    pub(super) fn lookup(&self, id: JobId) -> Lookup {
        let mut inner = self.lock();
        if let Some(record) = inner.records.get(&id) {
            return Lookup::Hit(record.clone());
        }
        let slot = slot_of(id);
        Lookup::Miss(Ticket { slot, version: inner.versions[slot] })
    }

    /// The record, without counting as a use. For the writer, which is the only one to change records.
    pub(super) fn peek(&self, id: JobId) -> Option<Arc<JobRecord>> {
        self.lock().records.peek(&id).cloned()
    }

    /// Puts in what was read from the database since the ticket was taken, unless it may be out of date.
    pub(super) fn offer(&self, ticket: &Ticket, record: &Arc<JobRecord>) {
        let mut inner = self.lock();
        if ticket.version.is_multiple_of(2) && inner.versions[ticket.slot] == ticket.version {
            inner.records.put(record.id(), record.clone());
        }
    }

    /// Announces a commit.
    pub(super) fn begin(&self, changes: &HashMap<JobId, Change>) {
        let mut inner = self.lock();
        for id in changes.keys() {
            inner.versions[slot_of(*id)] |= 1;
        }
    }

    /// The commit was durable: the changes hold.
    pub(super) fn finish(&self, changes: HashMap<JobId, Change>) {
        let mut inner = self.lock();
        for (id, change) in changes {
            settle(&mut inner.versions[slot_of(id)]);
            match change {
                Change::Put(record) => {
                    inner.records.put(id, record);
                }
                Change::Forget => {
                    inner.records.pop(&id);
                }
            }
        }
    }

    /// The commit failed. Records are dropped rather than trusted: the database is asked what it holds now.
    pub(super) fn abort(&self, changes: &HashMap<JobId, Change>) {
        let mut inner = self.lock();
        for id in changes.keys() {
            settle(&mut inner.versions[slot_of(*id)]);
            inner.records.pop(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next even version.
fn settle(version: &mut u64) {
    *version = (*version | 1) + 1;
}

fn slot_of(id: JobId) -> usize {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish() as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn cache() -> Cache {
        Cache::new(NonZeroUsize::new(2).unwrap())
    }

    fn miss(cache: &Cache, id: JobId) -> Ticket {
        match cache.lookup(id) {
            Lookup::Miss(ticket) => ticket,
            Lookup::Hit(_) => panic!("there should be nothing"),
        }
    }

    fn held(cache: &Cache, id: JobId) -> Option<u32> {
        cache.peek(id).map(|r| r.run.attempts)
    }

    fn record(attempts: u32) -> Arc<JobRecord> {
        let mut record = samples::job(samples::id(1));
        record.run.attempts = attempts;
        Arc::new(record)
    }

    fn put(record: &Arc<JobRecord>) -> HashMap<JobId, Change> {
        HashMap::from([(record.id(), Change::Put(record.clone()))])
    }

    #[test]
    fn a_load_that_began_before_a_commit_does_not_replace_it() {
        let (cache, old, new) = (cache(), record(1), record(2));
        let ticket = miss(&cache, old.id());
        cache.begin(&put(&new));
        cache.finish(put(&new));
        cache.offer(&ticket, &old);
        assert_eq!(held(&cache, old.id()), Some(2));
    }

    #[test]
    fn a_load_that_began_before_a_commit_does_not_enter_while_it_is_under_way() {
        let (cache, old, new) = (cache(), record(1), record(2));
        let ticket = miss(&cache, old.id());
        cache.begin(&put(&new));
        cache.offer(&ticket, &old);
        assert_eq!(held(&cache, old.id()), None);
    }

    #[test]
    fn a_load_that_began_while_a_commit_was_under_way_is_not_kept() {
        let (cache, old) = (cache(), record(1));
        let gone = || HashMap::from([(samples::id(1), Change::Forget)]);
        cache.begin(&gone());
        let ticket = miss(&cache, old.id());
        cache.offer(&ticket, &old);
        assert_eq!(held(&cache, old.id()), None);
        cache.finish(gone());
        cache.offer(&ticket, &old);
        assert_eq!(held(&cache, old.id()), None);
    }

    #[test]
    fn a_quiet_load_is_kept_and_a_failed_commit_empties() {
        let (cache, old) = (cache(), record(1));
        let ticket = miss(&cache, old.id());
        cache.offer(&ticket, &old);
        assert_eq!(held(&cache, old.id()), Some(1));
        let changes = put(&record(2));
        cache.begin(&changes);
        cache.abort(&changes);
        assert_eq!(held(&cache, old.id()), None);
    }

    #[test]
    fn it_does_not_grow() {
        let cache = cache();
        for n in 0..10 {
            let record = Arc::new(samples::job(samples::id(n)));
            let ticket = miss(&cache, record.id());
            cache.offer(&ticket, &record);
        }
        assert_eq!(cache.lock().records.len(), 2);
    }
}
