//! What must be true of all that was told.

use super::ears::{Ear, Told};
use cimwright_cim::Instance;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The key of a job.
const KEY: &str = "InstanceID";

/// What passes by itself and is no change.
const PASSING: &str = "ElapsedTime";

/// Waits until every listener knows the end of every job. FALSE if nothing arrives any more for so long.
pub(super) async fn wait(ears: &[Arc<Ear>], jobs: &[Instance], patience: Duration) -> bool {
    let mut deadline = Instant::now() + patience;
    let mut arrived = 0;
    loop {
        // Looking closely is dear; as long as the counts differ there is no need to.
        let counts: Vec<usize> = ears.iter().map(|e| e.count()).collect();
        let sum = counts.iter().sum();
        if sum > arrived {
            (arrived, deadline) = (sum, Instant::now() + patience);
        }
        let even = counts.iter().all(|c| *c == counts[0]);
        if even && ears.iter().all(|e| knows_all(&e.told(), jobs)) {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Everything that is wrong.
pub(super) fn check(ears: &[Arc<Ear>], jobs: &[Instance], wanted: u32) -> Vec<String> {
    let mut wrong = Vec::new();
    if jobs.len() < wanted as usize {
        wrong.push(format!("{wanted} jobs were taken, but there are only {}", jobs.len()));
    }
    let mut first: Option<Vec<String>> = None;
    for ear in ears {
        let name = format!("listener {}", ear.number);
        wrong.extend(ear.broken().into_iter().map(|b| format!("{name}: {b}")));
        let told = ear.told();
        if let Some((at, odd)) = told.iter().enumerate().find(|(at, t)| t.number != *at as i128) {
            wrong.push(format!("{name}: number {} arrived in place {at}", odd.number));
        }
        wrong.extend(lives(&told, jobs).into_iter().map(|w| format!("{name}: {w}")));
        let identifiers: Vec<String> = told.into_iter().map(|t| t.identifier).collect();
        match &first {
            None => first = Some(identifiers),
            Some(first) if *first != identifiers => {
                wrong.push(format!("{name}: it was not told the same as the first one"));
            }
            Some(_) => {}
        }
    }
    wrong
}

fn knows_all(told: &[Told], jobs: &[Instance]) -> bool {
    let mut last: HashMap<&str, Option<u64>> = HashMap::new();
    for one in told {
        last.insert(id(&one.source), one.source.get_u64("JobState"));
    }
    jobs.iter().all(|job| last.get(id(job)) == Some(&job.get_u64("JobState")))
}

/// The life of every job has a beginning, no gaps, and the end that the server shows.
fn lives(told: &[Told], jobs: &[Instance]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut last: HashMap<&str, &Instance> = HashMap::new();
    for one in told {
        let job = id(&one.source);
        let before = last.insert(job, &one.source);
        match (one.class.as_str(), before, &one.previous) {
            ("CIM_InstCreation", None, None) => {}
            ("CIM_InstModification", Some(before), Some(previous)) => {
                if let Some(property) = difference(before, previous) {
                    wrong.push(format!("job {job}: a change of {property} was never told"));
                }
            }
            (class, before, _) => {
                let known = if before.is_some() { "known" } else { "unknown" };
                wrong.push(format!("job {job}: {class} of a job that is {known}"));
            }
        }
    }
    for job in jobs {
        match last.get(id(job)) {
            None => wrong.push(format!("job {}: nothing was ever told of it", id(job))),
            Some(told) => {
                if let Some(property) = difference(told, job) {
                    wrong.push(format!("job {}: the last {property} was never told", id(job)));
                }
            }
        }
    }
    if last.len() != jobs.len() {
        wrong.push(format!("{} jobs were told of, {} are there", last.len(), jobs.len()));
    }
    wrong
}

fn difference(one: &Instance, other: &Instance) -> Option<String> {
    let differs =
        |p: &&cimwright_cim::Property| !p.name.is(PASSING) && other.get(p.name.as_str()) != p.value.as_ref();
    one.properties.iter().find(differs).map(|p| p.name.to_string())
}

fn id(job: &Instance) -> &str {
    job.get_str(KEY).unwrap_or_default()
}
