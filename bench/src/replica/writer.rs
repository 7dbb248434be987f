//! The applications: they write through the export of the source, note what was answered, and read some of it back.

use super::ledger::{BLOCK, Ledger};
use crate::nbd::{Address, Nbd};
use crate::rng::Rng;
use cimwright_jobs::{Clock as _, SystemClock};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long an answer may take. Longer than the engine takes to find out that its partner is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a writer waits before it looks for the export again.
const AGAIN: Duration = Duration::from_millis(10);

/// What the writers and whoever directs them share.
pub(crate) struct Desk {
    pub(crate) ledger: Ledger,
    /// Where the export is.
    address: Mutex<Option<Address>>,
    /// Whether they are to write, and how many do at this moment.
    work: Mutex<Work>,
    changed: Condvar,
    over: AtomicBool,
    answered: AtomicU64,
    failed: AtomicU64,
    longest: AtomicU64,
    violations: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Work {
    wanted: bool,
    busy: u32,
}

/// The threads that write.
pub(crate) struct Writers {
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

impl Desk {
    /// A desk at which nobody works yet.
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            address: Mutex::default(),
            work: Mutex::default(),
            changed: Condvar::new(),
            over: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            violations: Mutex::default(),
        }
    }

    /// Tells where the export is now.
    pub(crate) fn found(&self, address: Address) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    /// Lets the writers write.
    pub(crate) fn go_on(&self) {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).wanted = true;
        self.changed.notify_all();
    }

    /// Has the writers stop, and waits until every write that was begun is answered or lost.
    pub(crate) fn pause(&self) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.wanted = false;
        self.changed.notify_all();
        while work.busy > 0 {
            work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many writes were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// How many were lost with their connection.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// The longest that an answered write took.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.load(Ordering::Relaxed))
    }

    /// What the writers found wrong.
    pub(crate) fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut *self.violations.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for work; FALSE when there will be none any more.
    fn begin(&self) -> bool {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        while !work.wanted && !self.is_over() {
            work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        if self.is_over() {
            return false;
        }
        work.busy += 1;
        true
    }

    fn end(&self) {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).busy -= 1;
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn violation(&self, text: String) {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

impl Writers {
    /// Starts so many. They wait to be told to go on.
    pub(crate) fn start(desk: &Arc<Desk>, count: usize, rng: &mut Rng) -> Self {
        let threads = (0..count)
            .map(|number| {
                let (desk, rng) = (Arc::clone(desk), rng.fork());
                std::thread::spawn(move || write(&desk, number, count, rng))
            })
            .collect();
        Self { desk: Arc::clone(desk), threads }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.desk.over.store(true, Ordering::Relaxed);
        self.desk.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.desk.violation("a writer of the drill panicked".to_owned());
            }
        }
    }
}

/// One writer: the blocks whose number leaves `number` are its own, so that no two write the same.
fn write(desk: &Desk, number: usize, count: usize, mut rng: Rng) {
    let mut connection = None;
    while desk.begin() {
        let outcome = one(desk, &mut connection, number, count, &mut rng);
        if outcome.is_err() {
            connection = None;
        }
        desk.end();
        match outcome {
            Ok(()) if rng.percent(3) => std::thread::sleep(rng.millis(1, 10)),
            Ok(()) => {}
            Err(()) => std::thread::sleep(AGAIN),
        }
    }
}

/// Writes a block, or reads one back. An error means that the connection is lost.
fn one(
    desk: &Desk,
    connection: &mut Option<Nbd>,
    number: usize,
    count: usize,
    rng: &mut Rng,
) -> Result<(), ()> {
    if connection.is_none() {
        let address = desk.address.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(())?;
        *connection = Some(Nbd::connect(&address, PATIENCE).map_err(drop)?);
    }
    let nbd = connection.as_mut().ok_or(())?;
    let own = (desk.ledger.blocks() / count) as u64;
    // Half of the writes go to a tenth of the blocks: some are written again and again, as the tables of a file system are.
    let share = if rng.percent(50) { (own / 10).max(1) } else { own };
    let block = rng.between(0, share - 1) as usize * count + number;
    let offset = (block * BLOCK) as u64;
    if rng.percent(10) {
        let mut content = [0; BLOCK];
        nbd.read(offset, &mut content).map_err(drop)?;
        let (low, high) = desk.ledger.range(block);
        match desk.ledger.version(block, &content) {
            Some(version) if (low..=high).contains(&version) => {}
            found => desk.violation(format!(
                "block {block} was read from the source as version {found:?}; {low} was answered, {high} begun"
            )),
        }
        return Ok(());
    }
    let version = desk.ledger.issue(block);
    let content = desk.ledger.content(block, version);
    let began = Instant::now();
    if nbd.write(offset, &content, rng.percent(10)).is_err() {
        desk.failed.fetch_add(1, Ordering::Relaxed);
        return Err(());
    }
    desk.ledger.ack(block, version, now());
    desk.answered.fetch_add(1, Ordering::Relaxed);
    desk.longest.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
    Ok(())
}

/// Microseconds since 1970: what the server's times are compared with.
pub(crate) fn now() -> i64 {
    let since = SystemClock.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as i64
}
