//! What is killed, when, and what has to be true right afterwards.

use super::ledger::{BLOCK, Promise};
use super::pair::{Host, Mode, Pair};
use super::tally::{Fault, Tally};
use super::writer::{Desk, now};
use crate::failure::{Failure, Result};
use crate::proc;
use crate::rng::Rng;
use cimwright_client::replica::{Group, Status};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long both sides may take to become the same again.
const RECOVERY: Duration = Duration::from_secs(90);
/// How long the job that tells about a copy may take to be there.
const EXPLANATION: Duration = Duration::from_secs(10);
/// How long the export may take to be there again.
const EXPORT: Duration = Duration::from_secs(60);
/// How often is looked whether it is.
const GLANCE: Duration = Duration::from_millis(20);
/// The longest that a daemon stands still, in milliseconds: longer than the engine waits for a partner.
const LONGEST_STALL: u64 = 9000;
/// In how many of a hundred cases the next fault comes before the last one is overcome.
const TWICE: u64 = 25;

/// Kills, looks, and waits until all is well again.
pub(crate) struct Executioner {
    pair: Pair,
    desk: Arc<Desk>,
    rng: Rng,
    mode: Mode,
    tally: Tally,
}

impl Executioner {
    /// For a pair that has just become the same.
    pub(crate) fn new(pair: Pair, desk: Arc<Desk>, rng: Rng) -> Self {
        Self { pair, desk, rng, mode: Mode::Sync, tally: Tally::default() }
    }

    /// The pair, and what came of it.
    pub(crate) fn into_parts(self) -> (Pair, Tally) {
        (self.pair, self.tally)
    }

    /// Does so many faults, or fewer when the time is over. Ends with both sides identical.
    ///
    /// # Errors
    /// When the drill cannot go on.
    pub(crate) async fn run(&mut self, count: u32, deadline: Instant) -> Result<()> {
        let began = Instant::now();
        let (mut done, mut shown) = (0, 0);
        self.find_export().await?;
        while done < count {
            if Instant::now() > deadline {
                self.tally.violations.push(format!("only {done} of {count} faults in the time there was"));
                break;
            }
            if done > 0 && self.rng.percent(12) {
                self.change_mode().await?;
            }
            if done > 0 && self.rng.percent(8) {
                self.switch().await?;
            }
            self.desk.go_on();
            tokio::time::sleep(self.rng.millis(20, 1200)).await;
            let (last, first) = (Instant::now(), now());
            let mut faults = vec![self.strike(true).await?];
            done += 1;
            while done < count && self.rng.percent(TWICE) {
                tokio::time::sleep(self.rng.millis(0, 1500)).await;
                faults.push(self.strike(false).await?);
                done += 1;
                self.tally.during_recovery += 1;
            }
            if !self.recover(last, first).await? {
                break;
            }
            if let Some(took) = self.tally.recoveries.last().filter(|took| **took > self.tally.slowest.0) {
                self.tally.slowest = (*took, names(&faults));
            }
            if faults.iter().any(|f| f.hits_source() && !f.in_order()) {
                self.expect_reason(&faults, first).await?;
            }
            if done / 10 > shown || done == count {
                shown = done / 10;
                println!("  {done:4} faults, {:7.1} s", began.elapsed().as_secs_f64());
            }
        }
        Ok(())
    }

    /// Kills something. With `armed`, both sides were the same, and what the destination then has is looked at.
    async fn strike(&mut self, armed: bool) -> Result<Fault> {
        let fault =
            self.rng.weighted(&Fault::ALL.map(|(weight, fault)| (weight, fault)), Fault::SourceDaemon);
        if fault == Fault::DestinationStall {
            self.stall().await;
            *self.tally.faults.entry((fault, self.mode.name())).or_default() += 1;
            return Ok(fault);
        }
        // Before anything is killed: what was reported, and only then what was answered.
        let report = if armed { self.pair.source().group().await } else { None };
        let moment = now();
        let promise = self.desk.ledger.acked();
        // A server would mend at once what is to be looked at.
        self.freeze(fault, true);
        self.kill(fault).await?;
        if let Some(report) = &report {
            self.look(fault, report, &promise, moment)?;
        } else if armed {
            self.tally
                .violations
                .push("the source did not tell how its group is, although nothing was wrong".to_owned());
        }
        self.freeze(fault, false);
        self.pair.destination_mut().revive().await?;
        self.pair.source_mut().revive().await?;
        *self.tally.faults.entry((fault, self.mode.name())).or_default() += 1;
        if fault.hits_source() {
            self.find_export().await?;
        }
        Ok(fault)
    }

    /// Keeps the daemons of the destination from doing anything for a while, under load.
    async fn stall(&mut self) {
        let daemons = self.pair.destination().daemons();
        for daemon in &daemons {
            proc::freeze(*daemon, true);
        }
        tokio::time::sleep(self.rng.millis(200, LONGEST_STALL)).await;
        for daemon in daemons {
            proc::freeze(daemon, false);
        }
    }

    fn freeze(&self, fault: Fault, frozen: bool) {
        if fault.hits_servers() {
            return;
        }
        if fault.hits_source() {
            self.pair.source().freeze(frozen);
        }
        if fault.hits_destination() {
            self.pair.destination().freeze(frozen);
        }
    }

    async fn kill(&mut self, fault: Fault) -> Result<()> {
        let mut order = [true, false];
        if self.rng.percent(50) {
            order.reverse();
        }
        for source in order {
            let hit = if source { fault.hits_source() } else { fault.hits_destination() };
            let host = if source { self.pair.source_mut() } else { self.pair.destination_mut() };
            if hit && fault.in_order() {
                host.stop().await?;
                gone(host).await?;
            } else if hit && fault.hits_servers() {
                if host.kill().await? {
                    self.tally.violations.push(format!("the server of {} ended by itself", host.name));
                }
                gone(host).await?;
            } else if hit {
                for daemon in host.daemons() {
                    proc::kill(daemon);
                }
                gone(host).await?;
            } else if !host.is_running() {
                self.tally.violations.push(format!("the server of {} ended by itself", host.name));
            }
        }
        Ok(())
    }

    /// What the destination must have at the moment of the kill.
    fn look(&mut self, fault: Fault, report: &Group, promise: &Promise, moment: i64) -> Result<()> {
        let ledger = &self.desk.ledger;
        let (here, there) = (self.pair.source(), self.pair.destination());
        // Where the source lives on, the volume is being written while it would be read.
        if fault.hits_source() {
            let own = ledger.check(&here.volume, promise)?;
            if !own.is_none() {
                let text = format!("{}: the source lost answered writes: {}", fault.name(), own.text());
                self.tally.violations.push(text);
            }
        }
        *self.tally.looks.entry(self.mode.name()).or_default() += 1;
        let lack = ledger.check(&there.volume, promise)?;
        if !lack.foreign.is_empty() {
            let text = format!("{}: the destination holds what nobody wrote: {}", fault.name(), lack.text());
            self.tally.violations.push(text);
        }
        match self.mode {
            Mode::Sync => {
                if report.status != Some(Status::CONTINUOUS) {
                    let text = format!(
                        "both sides were the same, and the source says {:?} instead of replicating",
                        report.status
                    );
                    self.tally.violations.push(text);
                }
                if !lack.older.is_empty() {
                    let text = format!(
                        "{}: synchronous, and the destination lacks answered writes: {}",
                        fault.name(),
                        lack.text()
                    );
                    self.tally.violations.push(text);
                }
            }
            Mode::Async => {
                let Some(last) = report.last_in_sync.and_then(|t| t.to_unix_micros()) else {
                    self.tally
                        .violations
                        .push("both sides were the same, and no LastInSyncTime tells when".to_owned());
                    return Ok(());
                };
                let bound = ledger.check(&there.volume, &ledger.acked_until(last))?;
                if !bound.older.is_empty() {
                    let text = format!(
                        "{}: the destination lacks writes that were answered before LastInSyncTime, {} ms ago: {}",
                        fault.name(),
                        (moment - last) / 1000,
                        bound.text()
                    );
                    self.tally.violations.push(text);
                }
                self.tally.greatest_lag = self.tally.greatest_lag.max(moment - last);
                if lack.older.len() > self.tally.most_lost {
                    self.tally.most_lost = lack.older.len();
                }
                if let Some(oldest) = ledger.oldest_answer(&lack) {
                    self.tally.oldest_lost = self.tally.oldest_lost.max(moment - oldest);
                }
            }
        }
        Ok(())
    }

    /// Waits until both sides are identical, with nobody's help. FALSE when they do not become so.
    async fn recover(&mut self, since: Instant, moment: i64) -> Result<bool> {
        let desk = Arc::clone(&self.desk);
        let paused = tokio::task::spawn_blocking(move || desk.pause()).await;
        paused.map_err(|e| Failure::Program { line: "the writers".to_owned(), said: e.to_string() })?;
        let quiet = now();
        if let Err(late) = self.pair.in_sync(Some(quiet), RECOVERY).await {
            return self.explained(late, moment).await;
        }
        self.tally.recoveries.push(since.elapsed());
        let (here, there) = (self.pair.source(), self.pair.destination());
        let promise = self.desk.ledger.acked();
        for host in [here, there] {
            let lack = self.desk.ledger.check(&host.volume, &promise)?;
            if !lack.is_none() {
                let text =
                    format!("{} is said to be the same, and is not as answered: {}", host.name, lack.text());
                self.tally.violations.push(text);
            }
        }
        if same(here, there)? {
            self.tally.identical += 1;
        } else {
            self.tally.violations.push("both sides are said to be the same, and differ".to_owned());
        }
        self.desk.ledger.settle(&here.volume)?;
        Ok(true)
    }

    /// Whether a job says why the sides do not become the same.
    async fn explained(&mut self, late: Failure, moment: i64) -> Result<bool> {
        let jobs = self.pair.source().jobs_after(moment).await.unwrap_or_default();
        let mut failed = jobs.into_iter().filter(|j| j.state.is_ended() && !j.state.is_success());
        match failed.find_map(|j| j.error_description) {
            Some(reason) => self.tally.told.push(reason),
            None => {
                let group = self.pair.source().group().await;
                let text = format!("{late}, and no job says why; the group is {group:?}");
                self.tally.violations.push(text);
            }
        }
        Ok(false)
    }

    /// Without the record of the difference everything is copied, and a job has to say so, and why.
    async fn expect_reason(&mut self, faults: &[Fault], moment: i64) -> Result<()> {
        let says = |text: &Option<String>| text.as_ref().is_some_and(|t| t.contains("everything: "));
        // One that followed a difference already goes on, and tells it only in its JobStatus, as long as it runs.
        let follows = |text: &Option<String>| text.as_ref().is_some_and(|t| t.contains("up to date"));
        // A small volume is copied faster than the job is there.
        let limit = Instant::now() + EXPLANATION;
        loop {
            let jobs = self.pair.source().jobs_after(moment).await?;
            if jobs.iter().any(|j| says(&j.description) || says(&j.job_status)) {
                self.tally.reasons += 1;
                return Ok(());
            }
            if Instant::now() > limit && jobs.iter().any(|j| follows(&j.description)) {
                self.tally.followed += 1;
                return Ok(());
            }
            if Instant::now() > limit {
                let seen: Vec<String> = jobs.into_iter().filter_map(|j| j.description).collect();
                self.tally.violations.push(format!(
                    "{}: no job says that everything is copied, and why; there are: {seen:?}",
                    names(faults)
                ));
                return Ok(());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    async fn change_mode(&mut self) -> Result<()> {
        let mode = if self.mode == Mode::Sync { Mode::Async } else { Mode::Sync };
        self.desk.go_on();
        if let Err(failure) = self.pair.set_mode(mode).await {
            self.tally
                .violations
                .push(format!("the mode could not be changed to {}: {failure}", mode.name()));
            return Ok(());
        }
        self.mode = mode;
        self.tally.modes += 1;
        self.recover(Instant::now(), now()).await?;
        // The recovery is none of a fault. The mode was noted down at once, and comes into force with the next look of the server.
        self.tally.recoveries.pop();
        self.pair.in_mode(mode, RECOVERY).await
    }

    async fn switch(&mut self) -> Result<()> {
        if self.tally.no_switch {
            return Ok(());
        }
        // Applications have to leave before the direction is turned round.
        match self.pair.switch(RECOVERY).await {
            Ok(true) => {
                self.tally.switches += 1;
                self.find_export().await?;
                self.recover(Instant::now(), now()).await?;
                self.tally.recoveries.pop();
            }
            Ok(false) => self.tally.no_switch = true,
            Err(failure) => {
                self.tally.violations.push(format!("the direction could not be turned round: {failure}"))
            }
        }
        Ok(())
    }

    /// Tells the writers where the volume of the source is.
    async fn find_export(&mut self) -> Result<()> {
        let limit = Instant::now() + EXPORT;
        loop {
            // A daemon that was killed a moment ago may still be told of; its socket is at the same place as the next one's.
            if let Some(address) = self.pair.application().await {
                self.desk.found(address);
                return Ok(());
            }
            if Instant::now() > limit {
                return Err(Failure::Late {
                    what: "offering the volume to applications",
                    seconds: EXPORT.as_secs(),
                });
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}

fn names(faults: &[Fault]) -> String {
    faults.iter().map(|f| f.name()).collect::<Vec<_>>().join(", then ")
}

/// Waits until a host has no daemon any more: what one has not written now, it never will.
async fn gone(host: &Host) -> Result<()> {
    let limit = Instant::now() + EXPORT;
    while host.daemons().into_iter().any(proc::is_alive) {
        if Instant::now() > limit {
            return Err(Failure::Late {
                what: "the end of a daemon that was killed",
                seconds: EXPORT.as_secs(),
            });
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Whether both volumes hold the same.
fn same(one: &Host, other: &Host) -> Result<bool> {
    use std::io::Read as _;
    let open = |host: &Host| std::fs::File::open(&host.volume).map_err(Failure::io("read", &host.volume));
    let (mut left, mut right) = (open(one)?, open(other)?);
    let (mut a, mut b) = (vec![0; 256 * BLOCK], vec![0; 256 * BLOCK]);
    loop {
        let read = left.read(&mut a).map_err(Failure::io("read", &one.volume))?;
        if read == 0 {
            return Ok(right.read(&mut b[..1]).map_err(Failure::io("read", &other.volume))? == 0);
        }
        if right.read_exact(&mut b[..read]).is_err() || a[..read] != b[..read] {
            return Ok(false);
        }
    }
}
