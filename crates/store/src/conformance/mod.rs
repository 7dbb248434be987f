//! What every store does, said once: generic tests that each backend runs with one line ([`run_on!`]).
//!
//! - `records`: what is written is read, alone, in lists and by element.
//! - `driving`: who runs which job, and what leases and requests are good for.
//! - `time`: schedules, what leaves when, and the history.

pub(crate) mod driving;
pub(crate) mod records;
pub(crate) mod time;

use crate::samples::{at, ended, every_field, id, job, random};
use async_trait::async_trait;
use cimwright_cim::{DateTime, InstancePath, NamespaceName};
use cimwright_jobs::{
    Affected, ElementKey, Holder, JobCounts, JobFilter, JobId, JobRecord, JobRun, JobSettings, JobSpec,
    JobState, JobStore, Lease, Progress, RequestedState, Schedule, StateRequest, StoreError,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// A backend under test: one store that can be closed and opened again.
#[async_trait]
pub(crate) trait StoreFactory: Send + Sync {
    /// A place for a store, empty.
    fn fresh() -> Self;

    /// Opens the store of this place; whatever was open before has been closed.
    async fn open(&self) -> Arc<dyn JobStore>;
}

/// Runs the whole suite on a [`StoreFactory`].
macro_rules! run_on {
    ($factory:ty: $topic:ident: $($test:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let factory = <$factory as $crate::conformance::StoreFactory>::fresh();
                $crate::conformance::$topic::$test(&factory).await;
            }
        )*
    };
    ($factory:ty) => {
        $crate::conformance::run_on! { $factory: records:
            every_field_reads_back
            random_records_read_back
            an_id_is_taken_once
            lists_are_paged_by_id
            lists_are_filtered
            counts_follow_the_jobs
            writers_do_not_disturb_each_other
            loads_never_go_back
            everything_is_there_after_reopening
            the_jobs_of_an_element_are_found
        }
        $crate::conformance::run_on! { $factory: driving:
            no_owner_hides_another
            candidates_come_by_priority_and_age
            candidates_have_no_driver
            one_of_many_claims_wins
            a_lease_expires_and_is_taken_over
            a_lost_lease_writes_nothing
            a_job_is_created_with_its_driver
            a_request_reaches_the_driver
            an_end_clears_lease_and_request
            a_release_frees_the_job
            a_priority_changes_the_order
            leases_of_the_dead_are_ended
        }
        $crate::conformance::run_on! { $factory: time:
            settings_change_the_removal_of_a_finished_job
            expiry_keeps_its_terms
            only_finished_jobs_are_removed
            the_history_is_bounded
            a_job_that_is_due_later_is_no_candidate
            what_is_over_is_due_whatever_it_does
            a_run_goes_to_the_history_and_the_job_stays
            the_wish_for_the_end_outlives_the_run
            a_schedule_is_written_with_its_run
        }
    };
}
pub(crate) use run_on;

const LEASE: Duration = Duration::from_secs(30);

fn exactly(left: &JobRecord, right: &JobRecord) {
    assert_eq!(format!("{left:?}"), format!("{right:?}"));
}

fn with_spec(mut record: JobRecord, change: impl FnOnce(&mut JobSpec)) -> JobRecord {
    change(Arc::make_mut(&mut record.spec));
    record
}

fn of(owner: &str, n: u128, priority: u32) -> JobRecord {
    let mut record = with_spec(job(id(n)), |spec| spec.owner = owner.to_owned());
    record.settings.priority = priority;
    record
}

fn finished(n: u128) -> JobRecord {
    JobRecord { run: ended(JobState::Completed, at(0)), ..job(id(n)) }
}

fn running() -> JobRun {
    JobRun { state: JobState::Running, started: Some(at(1)), attempts: 1, ..JobRun::new() }
}

fn terminate() -> StateRequest {
    StateRequest { wanted: RequestedState::Terminate, by: "bob".to_owned(), at: at(3), deadline: None }
}

async fn claim(store: &dyn JobStore, n: u128) -> Lease {
    let (lease, _) = store.claim(id(n), Holder::random(), at(0), at(0) + LEASE).await.unwrap().unwrap();
    lease
}

async fn ids(store: &dyn JobStore, filter: &JobFilter, after: Option<JobId>, limit: usize) -> Vec<JobId> {
    store.list(filter, after, limit).await.unwrap().iter().map(|r| r.id()).collect()
}

async fn candidate_ids(store: &dyn JobStore, per_owner: usize, limit: usize) -> Vec<JobId> {
    store.candidates(at(0), per_owner, limit).await.unwrap().into_iter().map(|c| c.id).collect()
}

fn lost(result: Result<(), StoreError>, n: u128) {
    assert!(matches!(&result, Err(StoreError::LeaseLost(job)) if *job == id(n)), "{result:?}");
}
