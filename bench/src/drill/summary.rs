//! What is printed at the end of a drill.

use super::files::Checked;
use super::killer::Kills;
use super::ledger::{Ledger, Number, Removal};
use super::work::Kind;
use cimwright_client::job::State;
use std::collections::BTreeMap;
use std::time::Duration;

/// All that came of a drill.
pub(crate) struct Summary<'a> {
    pub(crate) seed: u64,
    pub(crate) load_seconds: f64,
    pub(crate) total_seconds: f64,
    pub(crate) kills: Kills,
    pub(crate) ends: &'a BTreeMap<Number, State>,
    pub(crate) reasons: &'a BTreeMap<String, u32>,
    pub(crate) checked: Checked,
}

/// What became of the jobs of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    asked: usize,
    answered: usize,
    completed: usize,
    terminated: usize,
    killed: usize,
    exception: usize,
}

impl Summary<'_> {
    /// Prints it; TRUE if no promise was broken.
    pub(crate) fn print(&self, ledger: &Ledger) -> bool {
        let kills = &self.kills;
        println!(
            "\nSeed {}; {:.1} s of load, {:.1} s in all",
            self.seed, self.load_seconds, self.total_seconds
        );
        println!(
            "Kills: {} ({} while serving, {} while starting); {} disk engines ran at these moments",
            kills.serving + kills.starting,
            kills.serving,
            kills.starting,
            kills.engines
        );
        println!(
            "From restart to the first answer: median {}, longest {}",
            millis(median(&kills.first_answers)),
            millis(kills.first_answers.iter().max().copied().unwrap_or_default())
        );
        println!("Answers to clients during the load: {}", ledger.answers());
        self.print_jobs(ledger);
        let reasons: Vec<_> = self.reasons.iter().map(|(id, count)| format!("{id} {count}")).collect();
        println!("\nReasons of jobs that did not complete: {}", reasons.join(", "));
        println!(
            "Images: {} compared and identical ({:.1} GiB of disks; {} with their space reserved), {} absent as they have to be",
            self.checked.images,
            self.checked.bytes as f64 / (1u64 << 30) as f64,
            self.checked.reserved,
            self.checked.absent
        );
        let (violations, more) = ledger.violations();
        if violations.is_empty() {
            println!("\nNothing was lost: every promise was kept.");
            return true;
        }
        println!("\nBROKEN PROMISES: {}", violations.len() + more);
        for violation in &violations {
            println!("- {violation}");
        }
        false
    }

    fn print_jobs(&self, ledger: &Ledger) {
        let mut kinds: BTreeMap<Kind, Tally> = BTreeMap::new();
        let mut deleted = 0;
        for number in ledger.numbers() {
            let entry = ledger.entry(number);
            let tally = kinds.entry(entry.work.kind).or_default();
            tally.asked += 1;
            tally.answered += usize::from(entry.job.is_some());
            deleted += usize::from(entry.removal != Removal::No);
            match self.ends.get(&number) {
                Some(&State::COMPLETED) => tally.completed += 1,
                Some(&State::TERMINATED) => tally.terminated += 1,
                Some(&State::KILLED) => tally.killed += 1,
                Some(&State::EXCEPTION) => tally.exception += 1,
                _ => {}
            }
        }
        println!(
            "\n{:24}{:>7}{:>10}{:>11}{:>12}{:>8}{:>11}",
            "jobs", "asked", "answered", "Completed", "Terminated", "Killed", "Exception"
        );
        let mut all = Tally::default();
        for kind in Kind::ALL {
            let Some(tally) = kinds.get(&kind) else { continue };
            print_line(kind.name(), tally);
            all.asked += tally.asked;
            all.answered += tally.answered;
            all.completed += tally.completed;
            all.terminated += tally.terminated;
            all.killed += tally.killed;
            all.exception += tally.exception;
        }
        print_line("all", &all);
        println!("of which clients deleted {deleted}");
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    match (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2)) {
        (Some(low), Some(high)) => (*low + *high) / 2,
        _ => Duration::ZERO,
    }
}

fn print_line(name: &str, tally: &Tally) {
    println!(
        "{name:24}{:>7}{:>10}{:>11}{:>12}{:>8}{:>11}",
        tally.asked, tally.answered, tally.completed, tally.terminated, tally.killed, tally.exception
    );
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |numbers: &[u64]| {
            median(&numbers.iter().map(|n| Duration::from_millis(*n)).collect::<Vec<_>>()).as_millis()
        };
        assert_eq!(of(&[3, 1, 2]), 2);
        assert_eq!(of(&[4, 1, 2, 8]), 3);
        assert_eq!(of(&[5]), 5);
        assert_eq!(of(&[]), 0);
    }
}
