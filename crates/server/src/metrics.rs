//! `GET /metrics`: counters for Prometheus, in its text format.
//!
//! No label comes from a client, so that nobody can make the list grow: operations and statuses are those of the standards.

use crate::auth::Refused;
use crate::execute::JobNumbers;
use cimwright_cim::{CimStatus, Operation};
use cimwright_codec::cimxml::operation_name;
use hyper::StatusCode;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The operations that are counted by their names, sorted. The last entry, out of order, is for all that are not among them.
const OPERATIONS: [&str; 38] = [
    "AssociatorNames",
    "Associators",
    "CloseEnumeration",
    "CreateClass",
    "CreateInstance",
    "DeleteClass",
    "DeleteInstance",
    "DeleteQualifier",
    "EnumerateClassNames",
    "EnumerateClasses",
    "EnumerateInstanceNames",
    "EnumerateInstances",
    "EnumerateQualifiers",
    "EnumerationCount",
    "ExecQuery",
    "GetClass",
    "GetInstance",
    "GetProperty",
    "GetQualifier",
    "InvokeMethod",
    "ModifyClass",
    "ModifyInstance",
    "OpenAssociatorInstancePaths",
    "OpenAssociatorInstances",
    "OpenEnumerateInstancePaths",
    "OpenEnumerateInstances",
    "OpenQueryInstances",
    "OpenReferenceInstancePaths",
    "OpenReferenceInstances",
    "PullInstancePaths",
    "PullInstances",
    "PullInstancesWithPath",
    "ReferenceNames",
    "References",
    "SetProperty",
    "SetQualifier",
    "Undecodable",
    "Unsupported",
];

/// Upper bounds of the latency histogram in microseconds.
const BUCKETS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// HTTP statuses this server answers.
const HTTP_STATUSES: [u16; 14] = [200, 400, 401, 403, 404, 405, 408, 413, 415, 500, 501, 503, 510, 0];

/// Success and every status of CIM.
const STATUSES: usize = 1 + CimStatus::ALL.len();

/// What is counted. All counters are since the start of the process.
pub(crate) struct Metrics {
    operations: Vec<OperationMetrics>,
    http: [AtomicU64; HTTP_STATUSES.len()],
    refused: [AtomicU64; Refused::ALL.len()],
    /// Connections that are open now.
    connections: AtomicI64,
    /// Connections that were accepted.
    accepted: AtomicU64,
    /// Connections that were turned away because there were too many.
    turned_away: AtomicU64,
    /// Panics that were caught.
    panics: AtomicU64,
}

struct OperationMetrics {
    statuses: [AtomicU64; STATUSES],
    buckets: [AtomicU64; BUCKETS.len()],
    micros: AtomicU64,
}

/// Which operation, for [`Metrics::operation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OperationIndex(usize);

impl OperationIndex {
    /// An operation whose parameters could not be understood.
    pub(crate) const UNDECODABLE: Self = Self(OPERATIONS.len() - 2);
    const UNSUPPORTED: Self = Self(OPERATIONS.len() - 1);

    /// The name of the operation.
    pub(crate) fn name(self) -> &'static str {
        OPERATIONS.get(self.0).copied().unwrap_or("Unsupported")
    }

    /// Where an operation is counted.
    pub(crate) fn of(operation: &Operation) -> Self {
        let name = match operation {
            Operation::InvokeMethod { .. } => "InvokeMethod",
            Operation::Unsupported { .. } => return Self::UNSUPPORTED,
            other => operation_name(other),
        };
        OPERATIONS.binary_search(&name).map_or(Self::UNSUPPORTED, Self)
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let zero = |_| AtomicU64::new(0);
        let operation = || OperationMetrics {
            statuses: std::array::from_fn(zero),
            buckets: std::array::from_fn(zero),
            micros: AtomicU64::new(0),
        };
        Self {
            operations: OPERATIONS.iter().map(|_| operation()).collect(),
            http: std::array::from_fn(zero),
            refused: std::array::from_fn(zero),
            connections: AtomicI64::new(0),
            accepted: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    /// Counts an operation that was carried out, or refused by CIM's means.
    pub(crate) fn operation(&self, index: OperationIndex, error: Option<CimStatus>, took: Duration) {
        let Some(operation) = self.operations.get(index.0) else { return };
        let status = error.and_then(|e| CimStatus::ALL.iter().position(|s| *s == e)).map_or(0, |i| i + 1);
        operation.statuses[status].fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        operation.micros.fetch_add(micros, Relaxed);
        // Slower than all is what the total has beyond the last bucket.
        if let Some(bucket) = BUCKETS.iter().position(|b| micros <= *b) {
            operation.buckets[bucket].fetch_add(1, Relaxed);
        }
    }

    /// Counts an HTTP response.
    pub(crate) fn http(&self, status: StatusCode) {
        let at = HTTP_STATUSES.iter().position(|s| *s == status.as_u16()).unwrap_or(HTTP_STATUSES.len() - 1);
        self.http[at].fetch_add(1, Relaxed);
    }

    /// Counts a request of somebody who did not prove who it is.
    pub(crate) fn refused(&self, why: Refused) {
        if let Some(at) = Refused::ALL.iter().position(|r| *r == why) {
            self.refused[at].fetch_add(1, Relaxed);
        }
    }

    /// Counts a connection until the returned guard is dropped.
    pub(crate) fn connection(&self) -> impl Drop {
        struct Open<'a>(&'a AtomicI64);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Relaxed);
            }
        }
        self.accepted.fetch_add(1, Relaxed);
        self.connections.fetch_add(1, Relaxed);
        Open(&self.connections)
    }

    /// Counts a connection that was turned away.
    pub(crate) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Relaxed);
    }

    /// Counts a panic.
    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    /// All of it as text.
    pub(crate) fn render(&self, jobs: Option<JobNumbers>) -> String {
        let mut out = String::with_capacity(8192);
        self.render_operations(&mut out);
        family(&mut out, "cimwright_http_responses_total", "counter", "HTTP responses by status.");
        for (status, count) in HTTP_STATUSES.iter().zip(&self.http) {
            let status = if *status == 0 { "other".to_owned() } else { status.to_string() };
            line(
                &mut out,
                format_args!("cimwright_http_responses_total{{status=\"{status}\"}} {}", get(count)),
            );
        }
        family(
            &mut out,
            "cimwright_authentication_failures_total",
            "counter",
            "Requests that were refused because it was not proved who asks.",
        );
        for (why, count) in Refused::ALL.iter().zip(&self.refused) {
            let why = why.name();
            line(
                &mut out,
                format_args!("cimwright_authentication_failures_total{{reason=\"{why}\"}} {}", get(count)),
            );
        }
        let single = |out: &mut String, name: &str, kind: &str, help: &str, value: i128| {
            family(out, name, kind, help);
            line(out, format_args!("{name} {value}"));
        };
        single(
            &mut out,
            "cimwright_connections",
            "gauge",
            "Connections that are open.",
            self.connections.load(Relaxed).into(),
        );
        single(
            &mut out,
            "cimwright_connections_accepted_total",
            "counter",
            "Connections that were accepted.",
            get(&self.accepted).into(),
        );
        single(
            &mut out,
            "cimwright_connections_turned_away_total",
            "counter",
            "Connections that were refused because there were too many.",
            get(&self.turned_away).into(),
        );
        single(
            &mut out,
            "cimwright_panics_total",
            "counter",
            "Requests that ended in a defect of the server.",
            get(&self.panics).into(),
        );
        if let Some(jobs) = jobs {
            family(&mut out, "cimwright_jobs", "gauge", "Jobs by how far they are.");
            for (state, count) in
                [("unfinished", jobs.unfinished), ("finished", jobs.finished), ("history", jobs.history)]
            {
                line(&mut out, format_args!("cimwright_jobs{{state=\"{state}\"}} {count}"));
            }
        }
        out
    }

    /// Only operations that have been asked for, to keep the list short.
    fn render_operations(&self, out: &mut String) {
        const REQUESTS: &str = "cimwright_requests_total";
        const DURATION: &str = "cimwright_request_duration_seconds";
        let asked: Vec<_> = OPERATIONS
            .iter()
            .zip(&self.operations)
            .map(|(name, o)| (name, o, o.statuses.iter().map(get).sum::<u64>()))
            .filter(|(_, _, total)| *total > 0)
            .collect();
        family(out, REQUESTS, "counter", "CIM operations by name and CIM status.");
        for (name, operation, _) in &asked {
            for (at, count) in operation.statuses.iter().enumerate().filter(|(_, c)| get(c) > 0) {
                let status = at.checked_sub(1).map_or("OK", |i| CimStatus::ALL[i].name());
                line(
                    out,
                    format_args!("{REQUESTS}{{operation=\"{name}\",status=\"{status}\"}} {}", get(count)),
                );
            }
        }
        family(out, DURATION, "histogram", "Time from the request to the answer, without the network.");
        for (name, operation, total) in &asked {
            let mut below = 0;
            for (bound, count) in BUCKETS.iter().zip(&operation.buckets) {
                below += get(count);
                let bound = seconds(*bound);
                line(out, format_args!("{DURATION}_bucket{{operation=\"{name}\",le=\"{bound}\"}} {below}"));
            }
            line(out, format_args!("{DURATION}_bucket{{operation=\"{name}\",le=\"+Inf\"}} {total}"));
            let sum = seconds(get(&operation.micros));
            line(out, format_args!("{DURATION}_sum{{operation=\"{name}\"}} {sum}"));
            line(out, format_args!("{DURATION}_count{{operation=\"{name}\"}} {total}"));
        }
    }
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP {name} {help}"));
    line(out, format_args!("# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::InstancePath;

    #[test]
    fn operations_are_sorted_as_the_search_needs_it() {
        assert!(OPERATIONS.is_sorted());
        assert_eq!(OPERATIONS[OperationIndex::UNDECODABLE.0], "Undecodable");
        assert_eq!(OPERATIONS[OperationIndex::UNSUPPORTED.0], "Unsupported");
        let delete = Operation::DeleteInstance { path: InstancePath::new(None, "X") };
        assert_eq!(OPERATIONS[OperationIndex::of(&delete).0], "DeleteInstance");
        let made_up = Operation::Unsupported { name: "GetClass".into() };
        assert_eq!(OperationIndex::of(&made_up), OperationIndex::UNSUPPORTED);
    }

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::new();
        let index = OperationIndex::of(&Operation::EnumerateQualifiers);
        metrics.operation(index, None, Duration::from_micros(200));
        metrics.operation(index, None, Duration::from_secs(60));
        metrics.operation(index, Some(CimStatus::NotFound), Duration::from_micros(100));
        metrics.http(StatusCode::UNAUTHORIZED);
        metrics.http(StatusCode::IM_A_TEAPOT);
        metrics.refused(Refused::Wrong);
        let open = metrics.connection();
        let text = metrics.render(Some(JobNumbers { unfinished: 1, finished: 2, history: 3 }));
        for expected in [
            "cimwright_requests_total{operation=\"EnumerateQualifiers\",status=\"OK\"} 2\n",
            "cimwright_requests_total{operation=\"EnumerateQualifiers\",status=\"CIM_ERR_NOT_FOUND\"} 1\n",
            "cimwright_request_duration_seconds_bucket{operation=\"EnumerateQualifiers\",le=\"0.0001\"} 1\n",
            "cimwright_request_duration_seconds_bucket{operation=\"EnumerateQualifiers\",le=\"0.00025\"} 2\n",
            "cimwright_request_duration_seconds_bucket{operation=\"EnumerateQualifiers\",le=\"10\"} 2\n",
            "cimwright_request_duration_seconds_bucket{operation=\"EnumerateQualifiers\",le=\"+Inf\"} 3\n",
            "cimwright_request_duration_seconds_sum{operation=\"EnumerateQualifiers\"} 60.0003\n",
            "cimwright_http_responses_total{status=\"401\"} 1\n",
            "cimwright_http_responses_total{status=\"other\"} 1\n",
            "cimwright_authentication_failures_total{reason=\"wrong\"} 1\n",
            "cimwright_connections 1\n",
            "cimwright_jobs{state=\"history\"} 3\n",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        drop(open);
        assert!(metrics.render(None).contains("cimwright_connections 0\n"));
        assert!(!text.contains("GetClass"));
    }
}
