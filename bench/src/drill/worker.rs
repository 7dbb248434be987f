//! What the clients do: one story after the other, each about one job.

use super::Drill;
use super::ledger::{Number, Removal, name};
use super::work::{Services, Work};
use crate::rng::Rng;
use crate::server;
use cimwright_client::job::{JobHandle, JobSnapshot, State, StateChange, Wanted};
use cimwright_client::{Client, ClientError};
use std::rc::Rc;
use std::time::Duration;

/// How a client treats its job.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// Looks until it has ended.
    Watch,
    /// Never looks again.
    Leave,
    /// Ends it.
    End(Wanted),
    /// Suspends it, and starts it again a little later.
    Suspend,
    /// Suspends it and leaves it so.
    SuspendAndLeave,
}

/// A client with a connection of its own.
pub(crate) struct Worker {
    drill: Rc<Drill>,
    services: Services,
    /// Whether it comes with a password, over TCP, or is known by its uid, over the unix socket.
    password: bool,
    rng: Rng,
    client: Option<Client>,
}

impl Worker {
    /// A client that has not connected yet.
    pub(crate) fn new(drill: Rc<Drill>, services: Services, number: u32, rng: Rng) -> Self {
        // Checking a password is slow on purpose, and after each restart it has to be done again.
        Self { drill, services, password: number.is_multiple_of(4), rng, client: None }
    }

    /// Works until the drill is over.
    pub(crate) async fn run(mut self) {
        while !self.is_over() {
            match Work::choose(&self.drill, &mut self.rng) {
                Ok(work) => self.story(Rc::new(work)).await,
                Err(failure) => {
                    self.drill.ledger.violation(format!("a client of the drill could not go on: {failure}"));
                    return;
                }
            }
        }
    }

    async fn story(&mut self, work: Rc<Work>) {
        let number = self.drill.ledger.open(Rc::clone(&work));
        let Some(job) = self.start(number, &work).await else { return };
        let plans = [
            (42, Plan::Watch),
            (20, Plan::Leave),
            (9, Plan::End(Wanted::Terminate)),
            (9, Plan::End(Wanted::Kill)),
            (15, Plan::Suspend),
            (5, Plan::SuspendAndLeave),
        ];
        let plan = self.rng.weighted(&plans, Plan::Watch);
        match plan {
            Plan::Watch => {}
            Plan::Leave => return,
            Plan::End(wanted) => {
                self.pause(0, 150).await;
                self.end(number, &job, wanted).await;
            }
            Plan::Suspend | Plan::SuspendAndLeave => {
                self.pause(0, 100).await;
                let suspended = self.request(number, &job, Wanted::Suspend).await;
                if suspended.is_some_and(|change| change.code == 0) {
                    self.drill.ledger.change(number, |entry| entry.suspended = true);
                    if matches!(plan, Plan::SuspendAndLeave) {
                        return;
                    }
                    self.pause(10, 300).await;
                    // The ledger sees to it that it is still suspended.
                    self.look(number, &job).await;
                    self.drill.ledger.change(number, |entry| entry.suspended = false);
                    self.request(number, &job, Wanted::Start).await;
                }
            }
        }
        if self.watch(number, &job).await && self.rng.percent(20) {
            self.delete(number, &job).await;
        }
    }

    /// Starts the job; `None` if nobody was told about one.
    async fn start(&mut self, number: Number, work: &Work) -> Option<cimwright_cim::InstancePath> {
        let target = self.services.of(work).clone().into();
        let answer =
            self.ask(false, async |c| c.invoke(&target, work.method, work.params.clone()).await).await?;
        let ledger = &self.drill.ledger;
        let what = format!("{} ({})", work.kind.name(), work.method);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                ledger.violation(format!("{what} failed: {error}"));
                return None;
            }
        };
        let job = answer.job().cloned();
        match (answer.code(), &job, work.kind.is_refused()) {
            (Some(4096), Some(path), false) => ledger.answered(number, path.clone()),
            (Some(32768..=32779), Some(path), true) => ledger.answered(number, path.clone()),
            (code, _, _) => {
                ledger.violation(format!("{what} was answered {code:?}, job {}", job.is_some()));
                return None;
            }
        }
        job
    }

    /// Looks until the job has ended; FALSE if the drill is over before.
    async fn watch(&mut self, number: Number, job: &cimwright_cim::InstancePath) -> bool {
        while !self.is_over() {
            let Some(snapshot) = self.look(number, job).await else { return false };
            if snapshot.state.is_ended() {
                return true;
            }
            if snapshot.state == State::SUSPENDED {
                // A Suspend whose answer was lost, or came later than it was waited for.
                self.request(number, job, Wanted::Start).await;
            }
            self.pause(5, 40).await;
        }
        false
    }

    /// Looks at the job and notes its state.
    async fn look(&mut self, number: Number, job: &cimwright_cim::InstancePath) -> Option<JobSnapshot> {
        match self.ask(true, async |c| JobHandle::new(c, job.clone()).snapshot().await).await? {
            Ok(snapshot) => {
                self.drill.ledger.saw(number, snapshot.state);
                Some(snapshot)
            }
            Err(error) => {
                let entry = self.drill.ledger.entry(number);
                self.drill.ledger.violation(format!("{}: GetInstance failed: {error}", name(&entry)));
                None
            }
        }
    }

    async fn end(&mut self, number: Number, job: &cimwright_cim::InstancePath, wanted: Wanted) {
        // Before the call: the answer may be lost.
        self.drill.ledger.change(number, |entry| entry.stopped = true);
        let answered = self.request(number, job, wanted).await;
        if answered.is_some_and(|change| change.code == 0) {
            let state = if wanted == Wanted::Kill { State::KILLED } else { State::TERMINATED };
            self.drill.ledger.change(number, |entry| entry.promised = Some(state));
            self.drill.ledger.saw(number, state);
        }
    }

    /// RequestStateChange; `None` when the answer was lost.
    async fn request(
        &mut self,
        number: Number,
        job: &cimwright_cim::InstancePath,
        wanted: Wanted,
    ) -> Option<StateChange> {
        let answer =
            self.ask(false, async |c| JobHandle::new(c, job.clone()).request(wanted, None).await).await?;
        let entry = self.drill.ledger.entry(number);
        match answer {
            // Done, started, and the two numbers for "not from this state".
            Ok(change) if matches!(change.code, 0 | 4096 | 4097 | 32775) => Some(change),
            Ok(change) => {
                self.drill.ledger.violation(format!(
                    "{}: {wanted:?} was answered {}",
                    name(&entry),
                    change.code
                ));
                None
            }
            Err(error) => {
                self.drill.ledger.violation(format!("{}: {wanted:?} failed: {error}", name(&entry)));
                None
            }
        }
    }

    async fn delete(&mut self, number: Number, job: &cimwright_cim::InstancePath) {
        // Before the call: the answer may be lost.
        self.drill.ledger.change(number, |entry| entry.removal = Removal::Asked);
        match self.ask(false, async |c| c.delete_instance(job).await).await {
            None => {}
            Some(Ok(())) => self.drill.ledger.change(number, |entry| entry.removal = Removal::Done),
            Some(Err(error)) => {
                let entry = self.drill.ledger.entry(number);
                self.drill.ledger.violation(format!("{}: DeleteInstance failed: {error}", name(&entry)));
            }
        }
    }

    /// Asks, through restarts of the server. `None` when it is not known whether the server carried it out, or the drill is over.
    async fn ask<T>(
        &mut self,
        repeatable: bool,
        call: impl AsyncFn(&Client) -> Result<T, ClientError>,
    ) -> Option<Result<T, ClientError>> {
        loop {
            if self.client.is_none() && !self.connect().await {
                return None;
            }
            let client = self.client.as_ref()?;
            match call(client).await {
                Err(error) if error.is_transient() => {
                    self.client = None;
                    if !repeatable && !matches!(error, ClientError::Connect { .. }) {
                        return None;
                    }
                }
                answer => {
                    self.drill.ledger.count_answer();
                    return Some(answer);
                }
            }
        }
    }

    /// Connects to the server of the moment; FALSE when the drill is over before there is one.
    async fn connect(&mut self) -> bool {
        let mut addresses = self.drill.addresses.clone();
        loop {
            if self.is_over() {
                return false;
            }
            let endpoint = {
                let addresses = addresses.borrow_and_update();
                if self.password { server::over_http(&addresses) } else { server::over_unix(&addresses) }
            };
            match Client::connect(endpoint).await {
                Ok(client) => {
                    self.client = Some(client);
                    return true;
                }
                Err(_) => {
                    // It is down; a new one tells where it listens.
                    let _ = tokio::time::timeout(Duration::from_millis(20), addresses.changed()).await;
                }
            }
        }
    }

    async fn pause(&mut self, low: u64, high: u64) {
        tokio::time::sleep(self.rng.millis(low, high)).await;
    }

    fn is_over(&self) -> bool {
        *self.drill.over.borrow()
    }
}
