//! What operations cost (CIM_CIMOMStatisticalData): how many there were of each kind, how long they took, how much of that the
//! providers took, and how many bytes went to and fro. Gathered only while a client wants it, and since it last said so.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// CIM_CIMOMStatisticalData.OperationType from 2 on, in the order of its ValueMap. What is not among them is 1, Other.
const TYPES: [&str; 24] = [
    BATCHED,
    "GetClass",
    "GetInstance",
    "DeleteClass",
    "DeleteInstance",
    "CreateClass",
    "CreateInstance",
    "ModifyClass",
    "ModifyInstance",
    "EnumerateClasses",
    "EnumerateClassNames",
    "EnumerateInstances",
    "EnumerateInstanceNames",
    "ExecQuery",
    "Associators",
    "AssociatorNames",
    "References",
    "ReferenceNames",
    "GetProperty",
    "SetProperty",
    "GetQualifier",
    "SetQualifier",
    "DeleteQualifier",
    "EnumerateQualifiers",
];

/// The name under which a message with several operations is counted, instead of those in it.
pub const BATCHED: &str = "Batched";

/// OperationType: Other.
const OTHER: u16 = 1;

tokio::task_local! {
    /// How long the providers took so far for the operation of this task, in nanoseconds.
    static PROVIDERS: Option<Arc<AtomicU64>>;
}

/// The statistics of a server.
#[derive(Default)]
pub struct Statistics {
    gathering: AtomicBool,
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    since: Option<SystemTime>,
    rows: BTreeMap<&'static str, Row>,
}

/// What one operation, or all of a kind, took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// From the request to the answer.
    pub took: Duration,
    /// How much of that passed inside providers.
    pub in_providers: Duration,
    /// The bytes of the request, as far as they are known.
    pub request_bytes: u64,
    /// The bytes of the response, as far as they are known.
    pub response_bytes: u64,
}

/// All operations of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) count: u64,
    pub(crate) sum: Sample,
}

/// Measures how much of an operation passes inside providers.
#[derive(Clone, Default)]
pub struct Meter(Option<Arc<AtomicU64>>);

impl Statistics {
    /// Whether anybody wants to know.
    pub fn is_gathering(&self) -> bool {
        self.gathering.load(Ordering::Relaxed)
    }

    /// Begins to gather, from nothing, or ends it; what was gathered can be looked at until the next beginning.
    pub(crate) fn gather(&self, wanted: bool, now: SystemTime) {
        let mut gathered = self.lock();
        if self.gathering.swap(wanted, Ordering::Relaxed) != wanted && wanted {
            *gathered = Gathered { since: Some(now), rows: BTreeMap::new() };
        }
    }

    /// A meter for one operation; it does nothing while nothing is gathered.
    pub fn meter(&self) -> Meter {
        Meter(self.is_gathering().then(Arc::default))
    }

    /// Counts an operation by its name (DSP0200 5.3), `InvokeMethod`, or [`BATCHED`].
    pub fn record(&self, operation: &'static str, sample: Sample) {
        if !self.is_gathering() {
            return;
        }
        let mut gathered = self.lock();
        let Row { count, sum } = gathered.rows.entry(operation).or_default();
        *count += 1;
        sum.took += sample.took;
        sum.in_providers += sample.in_providers.min(sample.took);
        sum.request_bytes = sum.request_bytes.wrapping_add(sample.request_bytes);
        sum.response_bytes = sum.response_bytes.wrapping_add(sample.response_bytes);
    }

    /// Since when, and every kind of operation: those with a number of their own, also when there were none, and others.
    pub(crate) fn rows(&self) -> (Option<SystemTime>, Vec<(&'static str, Row)>) {
        let gathered = self.lock();
        let mut rows: Vec<_> =
            TYPES.iter().map(|t| (*t, gathered.rows.get(t).copied().unwrap_or_default())).collect();
        rows.extend(gathered.rows.iter().filter(|(name, _)| !TYPES.contains(name)).map(|(n, r)| (*n, *r)));
        (gathered.since, rows)
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    /// Carries out an operation under the meter.
    pub async fn measure<T>(&self, work: impl Future<Output = T>) -> T {
        PROVIDERS.scope(self.0.clone(), work).await
    }

    /// What the providers took so far.
    pub fn in_providers(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |m| Duration::from_nanos(m.load(Ordering::Relaxed)))
    }

    /// The meter of the operation that this task carries out, for work that goes on in another task.
    pub(crate) fn current() -> Self {
        Self(PROVIDERS.try_with(Clone::clone).ok().flatten())
    }
}

/// The number of a kind of operation.
pub(crate) fn type_of(operation: &str) -> u16 {
    let at = TYPES.iter().position(|t| *t == operation).and_then(|at| u16::try_from(at).ok());
    at.map_or(OTHER, |at| at + 2)
}

/// Asks a provider, and counts how long it takes if anybody wants to know.
pub(crate) async fn asking<T>(provider: impl Future<Output = T>) -> T {
    let Meter(Some(meter)) = Meter::current() else { return provider.await };
    let began = Instant::now();
    let answer = provider.await;
    meter.fetch_add(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn operations_have_the_numbers_of_the_schema() {
        let numbers = ["Batched", "GetClass", "ModifyInstance", "ReferenceNames", "EnumerateQualifiers", "x"];
        assert_eq!(numbers.map(type_of), [2, 3, 10, 19, 25, 1]);
    }

    #[tokio::test]
    async fn only_what_is_wanted_is_gathered() {
        let statistics = Statistics::default();
        let sample = Sample { took: Duration::from_millis(3), response_bytes: 7, ..Sample::default() };
        statistics.record("GetClass", sample);
        assert!(statistics.rows().1.iter().all(|(_, row)| row.count == 0));
        assert!(statistics.meter().0.is_none());

        statistics.gather(true, UNIX_EPOCH);
        statistics.record("GetClass", sample);
        statistics.record("OpenEnumerateInstances", sample);
        statistics.gather(true, UNIX_EPOCH + Duration::from_secs(1));
        let (since, rows) = statistics.rows();
        assert_eq!(since, Some(UNIX_EPOCH), "said again, it does not begin again");
        let row = |name: &str| rows.iter().find(|(n, _)| *n == name).unwrap().1;
        assert_eq!(row("GetClass"), Row { count: 1, sum: sample });
        assert_eq!(row("OpenEnumerateInstances").count, 1);

        statistics.gather(false, UNIX_EPOCH);
        statistics.record("GetClass", sample);
        assert_eq!(statistics.rows().1.iter().map(|(_, r)| r.count).sum::<u64>(), 2);
    }

    #[tokio::test]
    async fn a_provider_is_measured_also_in_another_task() {
        let statistics = Statistics::default();
        statistics.gather(true, UNIX_EPOCH);
        let meter = statistics.meter();
        let work = async {
            let carried = Meter::current();
            let began = Instant::now();
            let busy = async move {
                while began.elapsed() < Duration::from_millis(2) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::spawn(async move { carried.measure(asking(busy)).await }).await.unwrap();
        };
        meter.measure(work).await;
        assert!(meter.in_providers() > Duration::ZERO);
    }
}
