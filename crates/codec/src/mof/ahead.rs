//! Reading ahead: where a file includes many others, all processors load and parse them, while what is ready is declared in the
//! order of the text.

use super::ast::Item;
use super::diagnostic::Diagnostic;
use super::parser::parse_all;
use super::source::{LoadError, Loader, Source};
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{Scope, available_parallelism};

/// From how many files on it is worth a thread.
const WORTHWHILE: usize = 8;

/// The most threads that help.
const MAX_HELPERS: usize = 7;

/// A source cut into its items.
pub(super) struct Parsed<'a> {
    pub(super) source: &'a Source,
    pub(super) items: Vec<Item<'a>>,
    pub(super) mistakes: Vec<Diagnostic>,
}

impl<'a> Parsed<'a> {
    pub(super) fn of(source: &'a Source) -> Self {
        let (items, mistakes) = parse_all(source);
        Self { source, items, mistakes }
    }
}

/// The files that one file includes, being read.
pub(super) struct Ahead<'a, 'p> {
    shared: Arc<Shared<'a, 'p>>,
    /// The next one to be handed out.
    next: usize,
}

struct Shared<'a, 'p> {
    loader: &'p dyn Loader,
    from: &'a Source,
    files: Vec<String>,
    places: &'a [OnceLock<Source>],
    queue: Mutex<Queue<'a>>,
    finished: Condvar,
}

struct Queue<'a> {
    states: Vec<State<'a>>,
    /// The first one that nobody has begun.
    begun: usize,
}

enum State<'a> {
    Waiting,
    Begun,
    Ready(Result<Parsed<'a>, LoadError>),
    /// Handed out, or given up by a thread that panicked.
    Gone,
}

impl<'a, 'p> Ahead<'a, 'p> {
    /// Begins to read what `from` includes, if it is worth it. `row` makes places for as many sources.
    pub(super) fn begin<'scope>(
        threads: &'scope Scope<'scope, '_>,
        loader: &'p dyn Loader,
        from: &'a Source,
        files: Vec<String>,
        row: impl FnOnce(usize) -> &'a [OnceLock<Source>],
    ) -> Option<Self>
    where
        'a: 'scope,
        'p: 'scope,
    {
        // First the number of files: to ask for that of the processors takes longer than to parse a small file.
        if files.len() < WORTHWHILE {
            return None;
        }
        let helpers = available_parallelism().map_or(1, NonZeroUsize::get).saturating_sub(1).min(MAX_HELPERS);
        if helpers == 0 {
            return None;
        }
        let places = row(files.len());
        let states = files.iter().map(|_| State::Waiting).collect();
        let queue = Mutex::new(Queue { states, begun: 0 });
        let shared = Arc::new(Shared { loader, from, files, places, queue, finished: Condvar::new() });
        for _ in 0..helpers {
            let shared = Arc::clone(&shared);
            threads.spawn(move || while shared.read_one() {});
        }
        Some(Self { shared, next: 0 })
    }

    /// The source included as `file`, if it is the next one that was asked for. Helps until it is there.
    pub(super) fn take(&mut self, file: &str) -> Option<Result<Parsed<'a>, LoadError>> {
        let at = self.next;
        if self.shared.files.get(at).is_none_or(|next| next != file) {
            return None;
        }
        self.next += 1;
        let mut queue = self.shared.queue();
        while matches!(queue.states[at], State::Waiting | State::Begun) {
            if queue.begun < queue.states.len() {
                drop(queue);
                self.shared.read_one();
                queue = self.shared.queue();
            } else {
                queue = self.shared.finished.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
        match std::mem::replace(&mut queue.states[at], State::Gone) {
            State::Ready(result) => Some(result),
            _ => None,
        }
    }
}

impl Drop for Ahead<'_, '_> {
    /// Whoever gives up early wants nothing more to be read.
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.begun = queue.states.len();
    }
}

impl<'a> Shared<'a, '_> {
    fn queue(&self) -> MutexGuard<'_, Queue<'a>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the next file that nobody has begun; FALSE if there is none.
    fn read_one(&self) -> bool {
        let mut queue = self.queue();
        let at = queue.begun;
        if at == queue.states.len() {
            return false;
        }
        queue.begun += 1;
        queue.states[at] = State::Begun;
        drop(queue);
        // Whatever happens here, nobody waits for it forever.
        let mut work = Work { shared: self, at, result: State::Gone };
        let loaded = self.loader.load(&self.from.name, &self.files[at]);
        work.result = State::Ready(loaded.map(|source| Parsed::of(self.places[at].get_or_init(|| source))));
        true
    }
}

/// A file that is being read.
struct Work<'w, 'a, 'p> {
    shared: &'w Shared<'a, 'p>,
    at: usize,
    result: State<'a>,
}

impl Drop for Work<'_, '_, '_> {
    fn drop(&mut self) {
        self.shared.queue().states[self.at] = std::mem::replace(&mut self.result, State::Gone);
        self.shared.finished.notify_all();
    }
}
