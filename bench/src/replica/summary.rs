//! What is printed at the end of a drill of replication.

use super::ledger::BLOCK;
use super::tally::Tally;
use super::writer::Desk;
use crate::drill::median;
use std::collections::BTreeSet;
use std::time::Duration;

/// Prints it; TRUE if no promise was broken.
pub(super) fn print(tally: &Tally, desk: &Desk, seed: u64, took: Duration) -> bool {
    let all: u32 = tally.faults.values().sum();
    println!(
        "\nSeed {seed}; {:.1} s; {all} faults, {} of them during a recovery",
        took.as_secs_f64(),
        tally.during_recovery
    );
    println!("\n{:28}{:>7}{:>7}", "killed", "sync", "async");
    let kinds: BTreeSet<_> = tally.faults.keys().map(|(fault, _)| *fault).collect();
    for fault in kinds {
        let of = |mode| tally.faults.get(&(fault, mode)).copied().unwrap_or(0);
        println!("{:28}{:>7}{:>7}", fault.name(), of("sync"), of("async"));
    }
    println!(
        "\nWrites of 4 KiB: {} answered, {} lost with their connection; the longest answer took {:.1} s",
        desk.answered(),
        desk.failed(),
        desk.longest().as_secs_f64()
    );
    let looks = |mode| tally.looks.get(mode).copied().unwrap_or(0);
    println!(
        "Synchronous: the destination was looked at {} times at the moment of a kill; every answered write was to be there",
        looks("sync")
    );
    println!(
        "Asynchronous: looked at {} times; at most {} KiB were missing, the oldest answered {:.0} ms before; the reported lag was at most {:.0} ms",
        looks("async"),
        tally.most_lost * BLOCK / 1024,
        tally.oldest_lost as f64 / 1000.0,
        tally.greatest_lag as f64 / 1000.0
    );
    println!(
        "From a fault to identical sides: median {:.1} s, longest {:.1} s ({}); volumes compared and identical: {}",
        median(&tally.recoveries).as_secs_f64(),
        tally.slowest.0.as_secs_f64(),
        tally.slowest.1,
        tally.identical
    );
    println!(
        "After {} losses of the source a job said that everything is copied, and why; {} times a job that was there already went on",
        tally.reasons, tally.followed
    );
    println!("The mode was changed {} times, the direction {} times", tally.modes, tally.switches);
    if tally.no_switch {
        println!("(This server cannot turn the direction round.)");
    }
    for reason in &tally.told {
        println!("The sides did not become the same, and a job said why: {reason}");
    }
    if tally.violations.is_empty() {
        println!("\nNothing was lost: every promise was kept.");
        return true;
    }
    println!("\nBROKEN PROMISES: {}", tally.violations.len());
    for violation in tally.violations.iter().take(20) {
        println!("- {violation}");
    }
    false
}
