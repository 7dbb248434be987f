//! What the clients were told. All of it has to be true for ever.

use super::work::Work;
use cimwright_cim::InstancePath;
use cimwright_client::job::State;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

/// No more than this many violations are kept: the first ones tell the story.
const KEPT: usize = 200;

/// What the clients were told.
pub(crate) struct Ledger {
    entries: RefCell<Vec<Entry>>,
    violations: RefCell<Vec<String>>,
    more_violations: Cell<usize>,
    answers: Cell<u64>,
}

/// One thing a client asked for.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// What it was.
    pub(crate) work: Rc<Work>,
    /// The job, once a client was told about it, and when.
    pub(crate) job: Option<(InstancePath, Instant)>,
    /// The end that a client has seen.
    pub(crate) ended: Option<State>,
    /// The end that an answer 0 to RequestStateChange said was reached.
    pub(crate) promised: Option<State>,
    /// Suspend was answered 0 and nobody has asked for Start since.
    pub(crate) suspended: bool,
    /// A client asked for Terminate or Kill.
    pub(crate) stopped: bool,
    /// Whether a client deleted it.
    pub(crate) removal: Removal,
}

/// Whether a client deleted a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Nobody tried.
    No,
    /// It was asked for, and the answer was lost.
    Asked,
    /// It was asked for and answered.
    Done,
}

/// The place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(usize);

impl Ledger {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self {
            entries: RefCell::new(Vec::new()),
            violations: RefCell::new(Vec::new()),
            more_violations: Cell::new(0),
            answers: Cell::new(0),
        }
    }

    /// Something is about to be asked for.
    pub(crate) fn open(&self, work: Rc<Work>) -> Number {
        let mut entries = self.entries.borrow_mut();
        entries.push(Entry {
            work,
            job: None,
            ended: None,
            promised: None,
            suspended: false,
            stopped: false,
            removal: Removal::No,
        });
        Number(entries.len() - 1)
    }

    /// A client was told about the job.
    pub(crate) fn answered(&self, number: Number, job: InstancePath) {
        self.change(number, |entry| entry.job = Some((job, Instant::now())));
    }

    /// A client saw this state. An end that was seen before must still be the same.
    pub(crate) fn saw(&self, number: Number, state: State) {
        let before = self.entry(number);
        if let Some(ended) = before.ended
            && ended != state
        {
            self.violation(format!("{}: a client saw {ended}, and later {state}", name(&before)));
        }
        if before.suspended && state != State::SUSPENDED {
            self.violation(format!(
                "{}: Suspend was answered 0, and later the job was {state}",
                name(&before)
            ));
            self.change(number, |entry| entry.suspended = false);
        }
        if state.is_ended() {
            if let Some(promised) = before.promised
                && promised != state
            {
                self.violation(format!(
                    "{}: an answer promised {promised}, and it is {state}",
                    name(&before)
                ));
            }
            self.change(number, |entry| entry.ended = Some(state));
        }
    }

    /// Changes what is known of an entry.
    pub(crate) fn change(&self, number: Number, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(number.0) {
            change(entry);
        }
    }

    /// What is known of an entry.
    pub(crate) fn entry(&self, number: Number) -> Entry {
        self.entries.borrow()[number.0].clone()
    }

    /// All entries.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = Number> + use<> {
        (0..self.entries.borrow().len()).map(Number)
    }

    /// A promise was broken.
    pub(crate) fn violation(&self, what: String) {
        let mut violations = self.violations.borrow_mut();
        if violations.len() < KEPT {
            eprintln!("VIOLATION: {what}");
            violations.push(what);
        } else {
            self.more_violations.set(self.more_violations.get() + 1);
        }
    }

    /// The broken promises, and how many more there were.
    pub(crate) fn violations(&self) -> (Vec<String>, usize) {
        (self.violations.borrow().clone(), self.more_violations.get())
    }

    /// An answer came, whatever it was.
    pub(crate) fn count_answer(&self) {
        self.answers.set(self.answers.get() + 1);
    }

    /// How many answers came.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.get()
    }
}

/// How an entry is called in a message.
pub(crate) fn name(entry: &Entry) -> String {
    let id = entry.job.as_ref().and_then(|(path, _)| path.key_str("InstanceID"));
    format!("{} {}", entry.work.kind.name(), id.unwrap_or("(not answered)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::work::{Effect, Kind, Version};

    fn ledger() -> (Ledger, Number) {
        let ledger = Ledger::new();
        let number = ledger.open(Rc::new(Work {
            kind: Kind::DemoComplete,
            version: Version::V2,
            method: "StartJob",
            params: Vec::new(),
            effect: Effect::None,
        }));
        (ledger, number)
    }

    fn broken(ledger: &Ledger) -> usize {
        ledger.violations().0.len()
    }

    #[test]
    fn an_end_that_was_seen_may_not_change() {
        let (ledger, number) = ledger();
        ledger.saw(number, State::RUNNING);
        ledger.saw(number, State::COMPLETED);
        ledger.saw(number, State::COMPLETED);
        assert_eq!(broken(&ledger), 0);
        ledger.saw(number, State::EXCEPTION);
        assert_eq!(broken(&ledger), 1);
        let (ledger, number) = self::ledger();
        ledger.saw(number, State::COMPLETED);
        ledger.saw(number, State::RUNNING);
        assert_eq!(broken(&ledger), 1);
    }

    #[test]
    fn what_was_promised_has_to_come() {
        let (ledger, number) = ledger();
        ledger.change(number, |e| e.promised = Some(State::KILLED));
        ledger.saw(number, State::COMPLETED);
        assert_eq!(broken(&ledger), 1);
    }

    #[test]
    fn a_suspended_job_stays_so_until_it_is_started() {
        let (ledger, number) = ledger();
        ledger.change(number, |e| e.suspended = true);
        ledger.saw(number, State::SUSPENDED);
        assert_eq!(broken(&ledger), 0);
        ledger.saw(number, State::RUNNING);
        assert_eq!(broken(&ledger), 1);
    }
}
