//! Fuzzing without a special toolchain: seeded mutation, and inputs with a new outcome are mutated further.

use crate::mutate::mutated;
use crate::rng::Rng;
use crate::seeds;
use crate::targets::{Outcome, Target};
use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An input may take this long on a busy machine, unoptimised; one that takes longer hangs.
pub const SLOWEST: Duration = Duration::from_secs(20);

/// What the process may have in memory, in KiB. The largest input has 64 KiB.
pub const MOST_MEMORY: u64 = 2 << 20;

/// How many inputs with an outcome of their own are kept.
const KEPT: usize = 4000;

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many inputs.
    Inputs(u64),
    /// So long.
    Passed(Duration),
}

/// What is wrong with an input.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The input.
    pub input: Vec<u8>,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\ninput ({} bytes): {:?}",
            self.what,
            self.input.len(),
            String::from_utf8_lossy(&self.input)
        )
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// How many inputs were tried.
    pub inputs: u64,
    /// How many different outcomes there were.
    pub outcomes: usize,
}

/// Runs a target on its seeds, then on mutations of them.
///
/// # Errors
/// The first finding. A hang cannot be left, so it is told to `hung` from another thread, and then the process is as it is.
pub fn run(
    target: &Target,
    root: &Path,
    seed: u64,
    until: Until,
    hung: impl Fn(&Finding) + Send + 'static,
) -> Result<Summary, Box<Finding>> {
    let mut rng = Rng::new(seed ^ target.name.bytes().fold(0, |sum, b| sum * 31 + u64::from(b)));
    let mut corpus = seeds::of(target.name, root);
    let mut outcomes: HashSet<Outcome> = HashSet::new();
    let watch = Watch::start(hung);
    let begin = Instant::now();
    let mut inputs = 0;
    let seeds = corpus.len();
    loop {
        let done = match until {
            Until::Inputs(most) => inputs >= most + seeds as u64,
            Until::Passed(time) => inputs >= seeds as u64 && begin.elapsed() >= time,
        };
        if done {
            return Ok(Summary { inputs, outcomes: outcomes.len() });
        }
        let input = match corpus.get(inputs as usize).filter(|_| inputs < seeds as u64) {
            Some(seed) => seed.clone(),
            None => mutated(&mut rng, &corpus, target.words),
        };
        inputs += 1;
        watch.begin(&input);
        let outcome = once(target, &input)?;
        watch.end();
        if inputs.is_multiple_of(64) && peak_memory() > MOST_MEMORY {
            let what = format!("the process has had {} KiB in memory", peak_memory());
            return Err(Box::new(Finding { input, what }));
        }
        if outcomes.insert(outcome) && corpus.len() < seeds + KEPT {
            corpus.push(input);
        }
    }
}

/// Runs a target on one input.
///
/// # Errors
/// If it panics.
pub fn once(target: &Target, input: &[u8]) -> Result<Outcome, Box<Finding>> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Box::new(Finding { input: input.to_vec(), what: text.unwrap_or("it panicked").to_owned() })
    })
}

/// The most that the process ever had in memory, in KiB; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Looks at how long an input takes.
struct Watch(Arc<Watched>);

#[derive(Default)]
struct Watched {
    /// Counts the beginnings and the ends: odd while an input runs.
    turn: AtomicU64,
    input: Mutex<Vec<u8>>,
    over: std::sync::atomic::AtomicBool,
}

impl Watch {
    fn start(hung: impl Fn(&Finding) + Send + 'static) -> Self {
        let watched = Arc::new(Watched::default());
        let seen = Arc::clone(&watched);
        std::thread::spawn(move || {
            let (mut turn, mut since) = (0, Instant::now());
            while !seen.over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                let now = seen.turn.load(Ordering::Relaxed);
                if now != turn || now.is_multiple_of(2) {
                    (turn, since) = (now, Instant::now());
                } else if since.elapsed() > SLOWEST {
                    let input = seen.input.lock().map(|input| input.clone()).unwrap_or_default();
                    hung(&Finding { input, what: format!("it takes more than {} s", SLOWEST.as_secs()) });
                    since = Instant::now();
                }
            }
        });
        Self(watched)
    }

    fn begin(&self, input: &[u8]) {
        if let Ok(mut kept) = self.0.input.lock() {
            kept.clear();
            kept.extend_from_slice(input);
        }
        self.0.turn.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.turn.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}
