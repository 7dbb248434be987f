//! The proof about jobs: every job a client was told about is there, has ended as it was said to, and tells why.

use super::Drill;
use super::ledger::{Entry, Number, Removal, name};
use super::work::Version;
use crate::failure::Result;
use crate::ports::Addresses;
use crate::server;
use cimwright_cim::{Instance, InstancePath, NamespaceName};
use cimwright_client::job::{ErrorView, JobHandle, JobSnapshot, State, Wanted};
use cimwright_client::{Client, ClientError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long all jobs may take to end once nothing more is asked for.
const SETTLING: Duration = Duration::from_secs(180);

/// A job leaves the namespace by itself this long after its end at the earliest; a little less than TimeBeforeRemoval.
const STAYS: Duration = Duration::from_secs(290);

/// Looks at every job.
pub(crate) struct Verifier {
    drill: Rc<Drill>,
    endpoint: cimwright_client::Endpoint,
    /// How each job ended.
    pub(crate) ends: BTreeMap<Number, State>,
    /// How often each MessageID was the first reason of a job that did not end well.
    pub(crate) reasons: BTreeMap<String, u32>,
}

/// What a job, in its namespace or in the history, says about itself.
struct Found {
    path: InstancePath,
    instance: Instance,
    state: State,
}

impl Verifier {
    /// A verifier that asks the server at these addresses.
    pub(crate) fn new(drill: Rc<Drill>, addresses: &Addresses) -> Self {
        Self {
            drill,
            endpoint: server::over_unix(addresses),
            ends: BTreeMap::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// Starts what is suspended and waits until every job has ended.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let client = Client::connect(self.endpoint.clone()).await?;
        let ledger = &self.drill.ledger;
        let deadline = Instant::now() + SETTLING;
        let mut open: Vec<Number> = ledger.numbers().filter(|n| ledger.entry(*n).job.is_some()).collect();
        loop {
            let mut still = Vec::new();
            for number in open {
                let Some((path, _)) = ledger.entry(number).job else { continue };
                let handle = JobHandle::new(&client, path);
                let snapshot = match handle.snapshot().await {
                    Ok(snapshot) => snapshot,
                    // Whether it may be gone is decided later.
                    Err(error) if error.is_not_found() => continue,
                    Err(error) => return Err(error.into()),
                };
                ledger.saw(number, snapshot.state);
                if snapshot.state == State::SUSPENDED {
                    ledger.change(number, |entry| entry.suspended = false);
                    handle.request(Wanted::Start, None).await?;
                }
                if !snapshot.state.is_ended() {
                    still.push(number);
                }
            }
            // Also those whose answer was lost: they were not promised to anybody, but they end.
            let unknown = unfinished(&client).await?;
            if still.is_empty() && unknown.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                for job in unknown {
                    ledger.violation(format!("job {job} has not ended within {} s", SETTLING.as_secs()));
                }
                return Ok(());
            }
            open = still;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Looks at every job a client was told about, wherever it is now.
    pub(crate) async fn check_jobs(&mut self) -> Result<()> {
        let client = Client::connect(self.endpoint.clone()).await?;
        let drill = Rc::clone(&self.drill);
        for number in drill.ledger.numbers() {
            let entry = drill.ledger.entry(number);
            let Some((path, answered)) = &entry.job else { continue };
            let Some(found) = self.find(&client, &entry, path, *answered).await? else {
                drill.ledger.violation(format!("{} was answered, and is lost", name(&entry)));
                continue;
            };
            drill.ledger.saw(number, found.state);
            self.ends.insert(number, found.state);
            if let Some(wrong) = wrong_end(&entry, found.state) {
                drill.ledger.violation(format!("{}: {wrong}", name(&entry)));
            }
            if found.state.is_ended() {
                self.check_reason(&client, &entry, &found).await?;
            }
        }
        Ok(())
    }

    /// The job in its namespace, or in the history if it may have left.
    async fn find(
        &self,
        client: &Client,
        entry: &Entry,
        path: &InstancePath,
        answered: Instant,
    ) -> Result<Option<Found>> {
        let ledger = &self.drill.ledger;
        match client.get_instance(path, None).await {
            Ok(instance) => {
                if entry.removal == Removal::Done {
                    ledger.violation(format!("{} was deleted, and is still there", name(entry)));
                }
                return Ok(Some(Found::new(path.clone(), instance)));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        if entry.removal == Removal::No && answered.elapsed() < STAYS {
            ledger.violation(format!("{} has left its namespace before its time", name(entry)));
        }
        let namespace = path.namespace.clone().unwrap_or_else(|| Version::V2.namespace());
        let id = path.key_str("InstanceID").unwrap_or_default();
        let path = InstancePath::new(namespace, "Cimwright_JobHistory").with_key("InstanceID", id);
        match client.get_instance(&path, None).await {
            Ok(instance) => Ok(Some(Found::new(path, instance))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// GetError, GetErrorEx and the properties have to say the same: nothing after success, else the true reason.
    async fn check_reason(&mut self, client: &Client, entry: &Entry, found: &Found) -> Result<()> {
        let namespace = found.path.namespace.clone().unwrap_or_else(|| Version::V2.namespace());
        let first = errors(client, found, "GetError", "Error", &namespace).await?;
        let all = errors(client, found, "GetErrorEx", "Errors", &namespace).await?;
        if let Some(first) = first.first() {
            let id = first.message_id.clone().unwrap_or_else(|| "without MessageID".to_owned());
            *self.reasons.entry(id).or_default() += 1;
        }
        if let Some(wrong) = wrong_reason(found, &first, &all) {
            self.drill.ledger.violation(format!("{} ({}): {wrong}", name(entry), found.state));
        }
        Ok(())
    }
}

impl Found {
    fn new(path: InstancePath, instance: Instance) -> Self {
        Self { path, state: JobSnapshot::of(instance.clone()).state, instance }
    }
}

/// The database is sound and holds no more and no less than was told.
pub(crate) async fn check_database(drill: &Drill) -> Result<()> {
    let path = drill.setup.state.join("jobs.sqlite");
    let mut database = SqliteConnectOptions::new().filename(&path).read_only(true).connect().await?;
    let sound: String = sqlx::query("PRAGMA integrity_check").fetch_one(&mut database).await?.try_get(0)?;
    if sound != "ok" {
        drill.ledger.violation(format!("integrity_check: {sound}"));
    }
    let none_of = [
        ("jobs that have not ended", "SELECT count(*) FROM job WHERE ended = 0"),
        ("jobs that somebody holds a lease on", "SELECT count(*) FROM job WHERE lease_token IS NOT NULL"),
        ("jobs with a pending request", "SELECT count(*) FROM job WHERE request IS NOT NULL"),
        (
            "jobs more or less than it has counted",
            "SELECT abs((SELECT count(*) FROM job) + (SELECT count(*) FROM history) - unfinished - finished - history) \
             FROM tally",
        ),
    ];
    for (what, query) in none_of {
        let count = number(&mut database, query).await?;
        if count != 0 {
            drill.ledger.violation(format!("the database has {count} {what}"));
        }
    }
    let told = drill.ledger.numbers().filter(|n| drill.ledger.entry(*n).job.is_some()).count() as i64;
    let kept =
        number(&mut database, "SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM history)").await?;
    if kept < told {
        drill.ledger.violation(format!("{told} jobs were answered, and the database has {kept}"));
    }
    database.close().await?;
    Ok(())
}

/// No server has panicked.
pub(crate) fn check_log(drill: &Drill) {
    let log = std::fs::read_to_string(&drill.setup.log).unwrap_or_default();
    for line in log.lines().filter(|line| line.contains("panicked")) {
        drill.ledger.violation(format!("a server panicked: {line}"));
    }
}

async fn number(database: &mut SqliteConnection, query: &'static str) -> Result<i64> {
    Ok(sqlx::query(query).fetch_one(database).await?.try_get(0)?)
}

/// The InstanceIDs of all jobs that have not ended.
async fn unfinished(client: &Client) -> Result<Vec<String>> {
    let mut open = Vec::new();
    let namespace = Version::V2.namespace();
    let mut jobs =
        client.open_instances(&namespace, "CIM_ConcreteJob", Some(&["InstanceID", "JobState"]), 500);
    while let Some(portion) = jobs.next().await? {
        for instance in portion {
            let snapshot = JobSnapshot::of(instance);
            if !snapshot.state.is_ended() {
                open.push(snapshot.instance_id);
            }
        }
    }
    Ok(open)
}

async fn errors(
    client: &Client,
    found: &Found,
    method: &'static str,
    out: &str,
    namespace: &NamespaceName,
) -> Result<Vec<ErrorView>> {
    let answer = client.invoke(&found.path.clone().into(), method, Vec::new()).await?;
    if answer.code() != Some(0) {
        let code = answer.code().unwrap_or(-1);
        return Err(ClientError::Method { method: method.to_owned(), code, meaning: None }.into());
    }
    Ok(ErrorView::all_of(answer.get(out), namespace))
}

/// What is wrong with the way a job ended.
fn wrong_end(entry: &Entry, state: State) -> Option<String> {
    if !state.is_ended() {
        Some(format!("is still {state}"))
    } else if state == State::COMPLETED && !entry.work.kind.may_complete() {
        Some("completed, which it cannot".to_owned())
    } else if matches!(state, State::TERMINATED | State::KILLED) && !entry.stopped {
        Some(format!("is {state}, and nobody asked for it"))
    } else {
        None
    }
}

/// What is wrong with what a job says about its end.
fn wrong_reason(found: &Found, first: &[ErrorView], all: &[ErrorView]) -> Option<String> {
    let code = found.instance.get_u64("ErrorCode").unwrap_or(0);
    let description = found.instance.get_str("ErrorDescription").filter(|text| !text.is_empty());
    if found.state.is_success() {
        let silent = first.is_empty() && all.is_empty() && code == 0 && description.is_none();
        return (!silent).then(|| "has a reason, although it completed".to_owned());
    }
    let Some(outermost) = first.first() else { return Some("GetError is NULL".to_owned()) };
    let message = outermost.message.as_deref().filter(|text| !text.is_empty());
    if outermost.message_id.is_none() || message.is_none() {
        return Some("GetError has no MessageID or no Message".to_owned());
    }
    if all.first().map(|e| &e.message_id) != Some(&outermost.message_id) {
        return Some("GetErrorEx does not begin with what GetError says".to_owned());
    }
    if code == 0 {
        return Some("ErrorCode is 0".to_owned());
    }
    (description != message)
        .then(|| format!("ErrorDescription says {description:?}, GetError says {message:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::Value;

    fn found(state: State, code: u16, description: &str) -> Found {
        let instance = Instance::new("Msvm_StorageJob")
            .with("JobState", Value::Uint16(state.0))
            .with("ErrorCode", Value::Uint16(code))
            .with("ErrorDescription", description);
        Found::new(InstancePath::new(None, "Msvm_StorageJob"), instance)
    }

    fn error(id: &str, message: &str) -> ErrorView {
        ErrorView {
            message_id: Some(id.to_owned()),
            message: Some(message.to_owned()),
            ..ErrorView::default()
        }
    }

    #[test]
    fn a_failed_job_has_to_tell_why_everywhere() {
        let (why, other) = (error("A1", "because"), error("A2", "so"));
        let failed = found(State::EXCEPTION, 5, "because");
        assert_eq!(wrong_reason(&failed, std::slice::from_ref(&why), &[why.clone(), other.clone()]), None);
        assert!(wrong_reason(&failed, &[], &[]).is_some());
        assert!(wrong_reason(&failed, std::slice::from_ref(&why), &[]).is_some());
        assert!(wrong_reason(&failed, std::slice::from_ref(&why), std::slice::from_ref(&other)).is_some());
        let no_code = found(State::KILLED, 0, "because");
        assert!(wrong_reason(&no_code, std::slice::from_ref(&why), std::slice::from_ref(&why)).is_some());
        let other_text = found(State::KILLED, 5, "else");
        assert!(wrong_reason(&other_text, std::slice::from_ref(&why), std::slice::from_ref(&why)).is_some());
    }

    #[test]
    fn a_completed_job_has_no_reason() {
        assert_eq!(wrong_reason(&found(State::COMPLETED, 0, ""), &[], &[]), None);
        assert!(wrong_reason(&found(State::COMPLETED, 0, ""), &[error("A1", "x")], &[]).is_some());
        assert!(wrong_reason(&found(State::COMPLETED, 7, ""), &[], &[]).is_some());
    }
}
