//! What every store does, said once: generic tests that each backend runs with one line ([`run_on!`]).

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
    ($factory:ty: $($test:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::conformance::$test(&<$factory as $crate::conformance::StoreFactory>::fresh()).await;
            }
        )*
    };
    ($factory:ty) => {
        $crate::conformance::run_on! { $factory:
            every_field_reads_back
            random_records_read_back
            an_id_is_taken_once
            lists_are_paged_by_id
            lists_are_filtered
            counts_follow_the_jobs
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
            settings_change_the_removal_of_a_finished_job
            a_priority_changes_the_order
            expiry_keeps_its_terms
            only_finished_jobs_are_removed
            the_history_is_bounded
            writers_do_not_disturb_each_other
            loads_never_go_back
            everything_is_there_after_reopening
            leases_of_the_dead_are_ended
            a_job_that_is_due_later_is_no_candidate
            what_is_over_is_due_whatever_it_does
            a_run_goes_to_the_history_and_the_job_stays
            the_wish_for_the_end_outlives_the_run
            a_schedule_is_written_with_its_run
            the_jobs_of_an_element_are_found
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

pub(crate) async fn every_field_reads_back(factory: &impl StoreFactory) {
    let store = factory.open().await;
    let mut open = every_field(id(1));
    open.run.state = JobState::Running;
    let mut over = every_field(id(2));
    over.request = None;
    for record in [&open, &over] {
        store.create(record, None).await.unwrap();
        exactly(&store.load(record.id()).await.unwrap().unwrap(), record);
    }
    store.close().await;
    let store = factory.open().await;
    for record in [&open, &over] {
        exactly(&store.load(record.id()).await.unwrap().unwrap(), record);
        exactly(&store.load(record.id()).await.unwrap().unwrap(), record);
    }
    assert!(store.load(id(3)).await.unwrap().is_none());
    store.close().await;
}

pub(crate) async fn random_records_read_back(factory: &impl StoreFactory) {
    let store = factory.open().await;
    let mut runner = TestRunner::deterministic();
    let mut records = Vec::new();
    for n in 0..48 {
        let mut record = random::record(id(n)).new_tree(&mut runner).unwrap().current();
        if record.run.state.is_finished() {
            record.request = None;
        }
        store.create(&record, None).await.unwrap();
        records.push(record);
    }
    store.close().await;
    let store = factory.open().await;
    let listed = store.list(&JobFilter::default(), None, 100).await.unwrap();
    assert_eq!(listed.len(), records.len());
    for (record, listed) in records.iter().zip(&listed) {
        exactly(listed, record);
        exactly(&store.load(record.id()).await.unwrap().unwrap(), record);
    }
    store.close().await;
}

pub(crate) async fn an_id_is_taken_once(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&of("ada", 5, 1), None).await.unwrap();
    // Many at once, so that a store that writes groups meets the duplicate amid others.
    let results = futures_util::future::join_all((0..10).map(|n| {
        let store = store.clone();
        async move { store.create(&of("eve", n, 2), None).await }
    }))
    .await;
    for (n, result) in (0u128..).zip(results) {
        match result {
            Err(StoreError::Exists(taken)) => assert_eq!((taken, n), (id(5), 5)),
            other => assert!(other.is_ok() && n != 5, "{n}: {other:?}"),
        }
    }
    assert_eq!(store.load(id(5)).await.unwrap().unwrap().spec.owner, "ada");
    assert_eq!(store.load(id(6)).await.unwrap().unwrap().spec.owner, "eve");
    assert_eq!(store.count().await.unwrap().unfinished, 10);
    store.close().await;
}

pub(crate) async fn lists_are_paged_by_id(factory: &impl StoreFactory) {
    let store = factory.open().await;
    for n in [7, 3, 9, 1, 5] {
        store.create(&job(id(n)), None).await.unwrap();
    }
    let all = JobFilter::default();
    assert_eq!(ids(&*store, &all, None, 2).await, [id(1), id(3)]);
    assert_eq!(ids(&*store, &all, Some(id(3)), 2).await, [id(5), id(7)]);
    // The job the last page ended with may be gone.
    assert_eq!(ids(&*store, &all, Some(id(8)), 2).await, [id(9)]);
    assert!(ids(&*store, &all, Some(id(9)), 2).await.is_empty());
    assert!(ids(&*store, &all, None, 0).await.is_empty());
    assert_eq!(ids(&*store, &all, None, usize::MAX).await.len(), 5);
    store.close().await;
}

pub(crate) async fn lists_are_filtered(factory: &impl StoreFactory) {
    let store = factory.open().await;
    for n in 0..12u128 {
        let mut record =
            with_spec(job(id(n)), |spec| spec.family = ["a", "b", "c"][n as usize % 3].to_owned());
        if n >= 6 {
            record.run = ended(JobState::Killed, at(0));
        }
        store.create(&record, None).await.unwrap();
    }
    let filter = |families: &[&str], unfinished_only| JobFilter {
        families: families.iter().map(|f| (*f).to_owned()).collect(),
        unfinished_only,
    };
    assert_eq!(ids(&*store, &filter(&["b"], false), None, 9).await, [id(1), id(4), id(7), id(10)]);
    assert_eq!(ids(&*store, &filter(&["b"], false), Some(id(4)), 1).await, [id(7)]);
    assert_eq!(ids(&*store, &filter(&["b"], true), None, 9).await, [id(1), id(4)]);
    assert_eq!(
        ids(&*store, &filter(&["c", "a", "c"], false), Some(id(2)), 4).await,
        [id(3), id(5), id(6), id(8)]
    );
    assert_eq!(ids(&*store, &filter(&["c", "a"], true), Some(id(2)), 9).await, [id(3), id(5)]);
    assert_eq!(ids(&*store, &filter(&[], true), Some(id(1)), 3).await, [id(2), id(3), id(4)]);
    assert!(ids(&*store, &filter(&["d"], false), None, 9).await.is_empty());
    store.close().await;
}

pub(crate) async fn counts_follow_the_jobs(factory: &impl StoreFactory) {
    let store = factory.open().await;
    let counts = |unfinished, finished, history| JobCounts { unfinished, finished, history };
    assert_eq!(store.count().await.unwrap(), counts(0, 0, 0));
    for n in 0..4 {
        store.create(&job(id(n)), None).await.unwrap();
    }
    store.create(&finished(4), None).await.unwrap();
    assert_eq!(store.count().await.unwrap(), counts(4, 1, 0));
    let lease = claim(&*store, 0).await;
    store.record(&lease, &running()).await.unwrap();
    assert_eq!(store.count().await.unwrap(), counts(4, 1, 0));
    store.record(&lease, &ended(JobState::Exception, at(2))).await.unwrap();
    assert_eq!(store.count().await.unwrap(), counts(3, 2, 0));
    assert!(store.remove(id(4), at(9)).await.unwrap());
    assert_eq!(store.count().await.unwrap(), counts(3, 1, 1));
    assert_eq!(store.expire(at(9_000), 9).await.unwrap(), [id(0)]);
    assert_eq!(store.count().await.unwrap(), counts(3, 0, 2));
    assert_eq!(store.trim_history(1).await.unwrap(), 1);
    assert_eq!(store.count().await.unwrap(), counts(3, 0, 1));
    store.close().await;
    let store = factory.open().await;
    assert_eq!(store.count().await.unwrap(), counts(3, 0, 1));
    store.close().await;
}

pub(crate) async fn no_owner_hides_another(factory: &impl StoreFactory) {
    let store = factory.open().await;
    let many = 10_000;
    let creates = (0..many).map(|n| {
        let store = store.clone();
        async move { store.create(&of("greedy", n, 1), None).await.unwrap() }
    });
    futures_util::future::join_all(creates).await;
    store.create(&of("modest", many, 500), None).await.unwrap();
    store.create(&of("also modest", many + 1, 400), None).await.unwrap();
    let found = store.candidates(at(0), 3, 100).await.unwrap();
    let order: Vec<_> = found.iter().map(|c| (c.owner.as_str(), c.id, c.priority)).collect();
    assert_eq!(
        order,
        [
            ("greedy", id(0), 1),
            ("also modest", id(many + 1), 400),
            ("modest", id(many), 500),
            ("greedy", id(1), 1),
            ("greedy", id(2), 1),
        ]
    );
    assert_eq!(found[0].submitted, at(0));
    // The limit cuts second turns before anybody's first.
    assert_eq!(candidate_ids(&*store, 3, 3).await, [id(0), id(many + 1), id(many)]);
    store.close().await;
}

pub(crate) async fn candidates_come_by_priority_and_age(factory: &impl StoreFactory) {
    let store = factory.open().await;
    for (n, priority) in [(1, 100), (2, 50), (3, 100), (4, 50), (5, 0)] {
        store.create(&of("ada", n, priority), None).await.unwrap();
    }
    assert_eq!(candidate_ids(&*store, 9, 9).await, [id(5), id(2), id(4), id(1), id(3)]);
    assert_eq!(candidate_ids(&*store, 2, 9).await, [id(5), id(2)]);
    assert!(candidate_ids(&*store, 0, 9).await.is_empty());
    store.close().await;
}

pub(crate) async fn candidates_have_no_driver(factory: &impl StoreFactory) {
    let store = factory.open().await;
    for (n, state) in (0u128..).zip(JobState::ALL) {
        let record = JobRecord { run: JobRun { state, ..ended(state, at(0)) }, ..job(id(n)) };
        store.create(&record, None).await.unwrap();
    }
    let wanted: Vec<JobId> =
        (0u128..).zip(JobState::ALL).filter(|(_, s)| s.wants_driver()).map(|(n, _)| id(n)).collect();
    assert_eq!(candidate_ids(&*store, 99, 99).await, wanted);
    let lease = claim(&*store, 0).await;
    assert_eq!(candidate_ids(&*store, 99, 99).await, wanted[1..]);
    let at_expiry: Vec<JobId> =
        store.candidates(lease.expires, 99, 99).await.unwrap().iter().map(|c| c.id).collect();
    assert_eq!(at_expiry, wanted);
    store.renew(&lease, at(0) + LEASE * 2).await.unwrap();
    assert_eq!(store.candidates(at(0) + LEASE, 99, 99).await.unwrap().len(), wanted.len() - 1);
    store.record(&lease, &JobRun { state: JobState::Suspended, ..JobRun::new() }).await.unwrap();
    assert_eq!(store.candidates(at(0) + LEASE * 2, 99, 99).await.unwrap().len(), wanted.len() - 1);
    store.close().await;
}

pub(crate) async fn one_of_many_claims_wins(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&job(id(1)), None).await.unwrap();
    let claims = (0..32).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.claim(id(1), Holder::random(), at(0), at(0) + LEASE).await.unwrap() })
    });
    let won: Vec<_> =
        futures_util::future::join_all(claims).await.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(won.len(), 1);
    let (lease, record) = &won[0];
    assert_eq!((lease.job, lease.expires), (id(1), at(0) + LEASE));
    exactly(record, &job(id(1)));
    store.record(lease, &running()).await.unwrap();
    assert!(store.claim(id(2), Holder::random(), at(0), at(9)).await.unwrap().is_none());
    store.create(&finished(3), None).await.unwrap();
    assert!(store.claim(id(3), Holder::random(), at(0), at(9)).await.unwrap().is_none());
    store.close().await;
}

pub(crate) async fn a_lease_expires_and_is_taken_over(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&job(id(1)), None).await.unwrap();
    let first = claim(&*store, 1).await;
    store.record(&first, &running()).await.unwrap();
    let early = first.expires - Duration::from_micros(1);
    assert!(store.claim(id(1), Holder::random(), early, early + LEASE).await.unwrap().is_none());
    let (second, record) =
        store.claim(id(1), Holder::random(), first.expires, first.expires + LEASE).await.unwrap().unwrap();
    assert_eq!(record.run, running());
    assert_ne!(first.token, second.token);
    lost(store.record(&first, &JobRun::new()).await, 1);
    store.record(&second, &ended(JobState::Completed, at(99))).await.unwrap();
    store.close().await;
}

pub(crate) async fn a_lost_lease_writes_nothing(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&job(id(1)), None).await.unwrap();
    let stale = claim(&*store, 1).await;
    store.claim(id(1), Holder::random(), stale.expires, stale.expires + LEASE).await.unwrap().unwrap();
    store.request(id(1), Some(&terminate())).await.unwrap().unwrap();
    let before = store.load(id(1)).await.unwrap().unwrap();
    lost(store.record(&stale, &running()).await, 1);
    lost(store.release(&stale, &running()).await, 1);
    lost(store.record(&stale, &ended(JobState::Killed, at(5))).await, 1);
    lost(store.renew(&stale, at(500)).await.map(drop), 1);
    lost(store.record(&Lease::new(id(9), Holder::random(), at(9)), &running()).await, 9);
    exactly(&store.load(id(1)).await.unwrap().unwrap(), &before);
    // Nor has the refused renewal made the other's lease longer.
    let due = store.candidates(stale.expires + LEASE, 9, 9).await.unwrap();
    assert_eq!(due.len(), 1);
    store.close().await;
    let store = factory.open().await;
    exactly(&store.load(id(1)).await.unwrap().unwrap(), &before);
    store.close().await;
}

pub(crate) async fn a_job_is_created_with_its_driver(factory: &impl StoreFactory) {
    let store = factory.open().await;
    let lease = Lease::new(id(1), Holder::random(), at(0) + LEASE);
    store.create(&job(id(1)), Some(&lease)).await.unwrap();
    assert!(candidate_ids(&*store, 9, 9).await.is_empty());
    assert!(store.claim(id(1), Holder::random(), at(0), at(9)).await.unwrap().is_none());
    store.record(&lease, &running()).await.unwrap();
    assert_eq!(store.load(id(1)).await.unwrap().unwrap().run, running());
    store.close().await;
}

pub(crate) async fn a_request_reaches_the_driver(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&job(id(1)), None).await.unwrap();
    let lease = claim(&*store, 1).await;
    assert_eq!(store.renew(&lease, at(50)).await.unwrap(), None);
    let asked = store.request(id(1), Some(&terminate())).await.unwrap().unwrap();
    assert_eq!(asked.request, Some(terminate()));
    assert_eq!(store.renew(&lease, at(60)).await.unwrap(), Some(terminate()));
    // Progress does not wipe out what a client wants, even when the driver has not seen it.
    store.record(&lease, &running()).await.unwrap();
    assert_eq!(store.load(id(1)).await.unwrap().unwrap().request, Some(terminate()));
    let later = StateRequest { wanted: RequestedState::Kill, deadline: Some(at(70)), ..terminate() };
    store.request(id(1), Some(&later)).await.unwrap().unwrap();
    assert_eq!(store.renew(&lease, at(60)).await.unwrap(), Some(later));
    assert_eq!(store.request(id(1), None).await.unwrap().unwrap().request, None);
    assert_eq!(store.renew(&lease, at(60)).await.unwrap(), None);
    assert!(store.request(id(2), Some(&terminate())).await.unwrap().is_none());
    store.create(&finished(3), None).await.unwrap();
    assert!(store.request(id(3), Some(&terminate())).await.unwrap().is_none());
    assert_eq!(store.load(id(3)).await.unwrap().unwrap().request, None);
    store.close().await;
}

pub(crate) async fn an_end_clears_lease_and_request(factory: &impl StoreFactory) {
    let store = factory.open().await;
    for (n, release) in [(1, false), (2, true)] {
        store.create(&job(id(n)), None).await.unwrap();
        let lease = claim(&*store, n).await;
        store.request(id(n), Some(&terminate())).await.unwrap().unwrap();
        let run = ended(JobState::Terminated, at(5));
        if release {
            store.release(&lease, &run).await.unwrap();
        } else {
            store.record(&lease, &run).await.unwrap();
        }
        let record = store.load(id(n)).await.unwrap().unwrap();
        assert_eq!((&record.run, &record.request), (&run, &None));
        lost(store.record(&lease, &running()).await, n);
        lost(store.renew(&lease, at(99)).await.map(drop), n);
        assert!(store.claim(id(n), Holder::random(), at(9_999), at(99_999)).await.unwrap().is_none());
        assert_eq!(store.load(id(n)).await.unwrap().unwrap().run, run);
    }
    store.close().await;
    let store = factory.open().await;
    assert_eq!(store.load(id(1)).await.unwrap().unwrap().request, None);
    store.close().await;
}

pub(crate) async fn a_release_frees_the_job(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&job(id(1)), None).await.unwrap();
    let lease = claim(&*store, 1).await;
    store.request(id(1), Some(&terminate())).await.unwrap().unwrap();
    store.release(&lease, &running()).await.unwrap();
    lost(store.record(&lease, &JobRun::new()).await, 1);
    assert_eq!(candidate_ids(&*store, 9, 9).await, [id(1)]);
    let (_, record) = store.claim(id(1), Holder::random(), at(0), at(9)).await.unwrap().unwrap();
    assert_eq!((&record.run, &record.request), (&running(), &Some(terminate())));
    store.close().await;
}

pub(crate) async fn settings_change_the_removal_of_a_finished_job(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&finished(1), None).await.unwrap();
    let settings = JobSettings {
        time_before_removal: Duration::from_secs(1_000),
        notify: Some("x".to_owned()),
        ..JobSettings::default()
    };
    let record = store.configure(id(1), &settings).await.unwrap().unwrap();
    assert_eq!(record.settings, settings);
    exactly(&store.load(id(1)).await.unwrap().unwrap(), &record);
    assert!(store.expire(at(999), 9).await.unwrap().is_empty());
    let stays = JobSettings { delete_on_completion: false, ..settings.clone() };
    store.configure(id(1), &stays).await.unwrap().unwrap();
    assert!(store.expire(at(1_000), 9).await.unwrap().is_empty());
    store.configure(id(1), &settings).await.unwrap().unwrap();
    assert_eq!(store.expire(at(1_000), 9).await.unwrap(), [id(1)]);
    assert!(store.configure(id(1), &settings).await.unwrap().is_none());
    assert!(store.configure(id(2), &settings).await.unwrap().is_none());
    store.close().await;
}

pub(crate) async fn a_priority_changes_the_order(factory: &impl StoreFactory) {
    let store = factory.open().await;
    for n in 1..=3 {
        store.create(&job(id(n)), None).await.unwrap();
    }
    let urgent = JobSettings { priority: 1, ..JobSettings::default() };
    store.configure(id(3), &urgent).await.unwrap().unwrap();
    assert_eq!(candidate_ids(&*store, 9, 9).await, [id(3), id(1), id(2)]);
    store.close().await;
}

pub(crate) async fn expiry_keeps_its_terms(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&job(id(1)), None).await.unwrap();
    let mut stays = finished(2);
    stays.settings.delete_on_completion = false;
    store.create(&stays, None).await.unwrap();
    for (n, seconds) in [(3, 30), (4, 20), (5, 10)] {
        let mut record = finished(n);
        record.settings.time_before_removal = Duration::from_secs(seconds);
        store.create(&record, None).await.unwrap();
    }
    // One that ends under a lease, with settings changed while it ran.
    store.create(&job(id(6)), None).await.unwrap();
    let lease = claim(&*store, 6).await;
    let settings = JobSettings { time_before_removal: Duration::from_secs(3), ..JobSettings::default() };
    store.configure(id(6), &settings).await.unwrap().unwrap();
    store.record(&lease, &ended(JobState::Completed, at(100))).await.unwrap();

    assert!(store.expire(at(9), 9).await.unwrap().is_empty());
    assert_eq!(
        store.expire(at(30), 2).await.unwrap().into_iter().collect::<HashSet<_>>(),
        [id(4), id(5)].into()
    );
    assert_eq!(store.expire(at(102), 9).await.unwrap(), [id(3)]);
    assert_eq!(store.expire(at(103), 9).await.unwrap(), [id(6)]);
    assert!(store.expire(at(1_000_000), 9).await.unwrap().is_empty());
    assert!(store.load(id(6)).await.unwrap().is_none());
    assert_eq!(store.history(id(6)).await.unwrap().unwrap().settings, settings);
    assert_eq!(ids(&*store, &JobFilter::default(), None, 9).await, [id(1), id(2)]);
    store.close().await;
}

pub(crate) async fn only_finished_jobs_are_removed(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&job(id(1)), None).await.unwrap();
    assert!(!store.remove(id(1), at(0)).await.unwrap());
    assert!(!store.remove(id(2), at(0)).await.unwrap());
    assert!(store.load(id(1)).await.unwrap().is_some());
    assert!(store.history(id(1)).await.unwrap().is_none());
    let lease = claim(&*store, 1).await;
    let run = JobRun {
        progress: Progress { done: 1, total: 2, share: 5_000 },
        ..ended(JobState::Exception, at(1))
    };
    store.record(&lease, &run).await.unwrap();
    let before = store.load(id(1)).await.unwrap().unwrap();
    assert!(store.remove(id(1), at(2)).await.unwrap());
    assert!(!store.remove(id(1), at(3)).await.unwrap());
    assert!(store.load(id(1)).await.unwrap().is_none());
    exactly(&store.history(id(1)).await.unwrap().unwrap(), &before);
    store.close().await;
}

pub(crate) async fn the_history_is_bounded(factory: &impl StoreFactory) {
    let store = factory.open().await;
    for n in 0..1_200 {
        store.create(&finished(n), None).await.unwrap();
    }
    for n in (0..10).rev() {
        assert!(store.remove(id(n), at(1)).await.unwrap());
    }
    let newest: Vec<JobId> = store.recent_history(3).await.unwrap().iter().map(|r| r.id()).collect();
    assert_eq!(newest, [id(0), id(1), id(2)]);
    assert_eq!(store.trim_history(20).await.unwrap(), 0);
    assert_eq!(store.trim_history(7).await.unwrap(), 3);
    assert!(store.history(id(7)).await.unwrap().is_none());
    assert!(store.history(id(6)).await.unwrap().is_some());
    while !store.expire(at(9_000), 500).await.unwrap().is_empty() {}
    assert_eq!(store.trim_history(4).await.unwrap(), 1_193);
    assert_eq!(store.recent_history(9).await.unwrap().len(), 4);
    assert_eq!(store.trim_history(0).await.unwrap(), 4);
    assert_eq!(store.count().await.unwrap(), JobCounts::default());
    store.close().await;
}

pub(crate) async fn writers_do_not_disturb_each_other(factory: &impl StoreFactory) {
    let store = factory.open().await;
    let writers = (0..32u128).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..8 {
                let n = writer * 8 + n;
                store.create(&job(id(n)), None).await.unwrap();
                let lease = claim(&*store, n).await;
                // Amid the group, something that is refused.
                lost(store.record(&Lease { token: lease.holder.0, ..lease.clone() }, &running()).await, n);
                let run = JobRun { attempts: n as u32, ..running() };
                if n % 2 == 0 {
                    store.record(&lease, &run).await.unwrap();
                } else {
                    store
                        .release(&lease, &JobRun { attempts: n as u32, ..ended(JobState::Completed, at(2)) })
                        .await
                        .unwrap();
                }
            }
        })
    });
    futures_util::future::join_all(writers).await.into_iter().for_each(Result::unwrap);
    store.close().await;
    let store = factory.open().await;
    let records = store.list(&JobFilter::default(), None, 999).await.unwrap();
    assert_eq!(records.len(), 256);
    for (n, record) in (0u128..).zip(&records) {
        assert_eq!((record.id(), record.run.attempts), (id(n), n as u32));
    }
    assert_eq!(store.count().await.unwrap(), JobCounts { unfinished: 128, finished: 128, history: 0 });
    store.close().await;
}

pub(crate) async fn loads_never_go_back(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&job(id(1)), None).await.unwrap();
    let lease = claim(&*store, 1).await;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut seen = 0;
                while seen < 300 {
                    let now = store.load(id(1)).await.unwrap().unwrap().run.attempts;
                    assert!(now >= seen, "{now} after {seen}");
                    seen = now;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for attempts in 1..=300 {
        store.record(&lease, &JobRun { attempts, ..running() }).await.unwrap();
        assert_eq!(store.load(id(1)).await.unwrap().unwrap().run.attempts, attempts);
    }
    futures_util::future::join_all(readers).await.into_iter().for_each(Result::unwrap);
    store.close().await;
}

pub(crate) async fn everything_is_there_after_reopening(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&job(id(1)), None).await.unwrap();
    let lease = claim(&*store, 1).await;
    store.record(&lease, &running()).await.unwrap();
    store.request(id(1), Some(&terminate())).await.unwrap().unwrap();
    let settings = JobSettings { priority: 3, ..JobSettings::default() };
    store.configure(id(1), &settings).await.unwrap().unwrap();
    store.create(&finished(2), None).await.unwrap();
    store.remove(id(2), at(5)).await.unwrap();
    store.close().await;

    let store = factory.open().await;
    let expected = JobRecord { run: running(), settings, request: Some(terminate()), ..job(id(1)) };
    exactly(&store.load(id(1)).await.unwrap().unwrap(), &expected);
    exactly(&store.history(id(2)).await.unwrap().unwrap(), &finished(2));
    assert_eq!(store.renew(&lease, at(60)).await.unwrap(), Some(terminate()));
    store.close().await;
}

pub(crate) async fn leases_of_the_dead_are_ended(factory: &impl StoreFactory) {
    let store = factory.open().await;
    for n in 1..=2 {
        store.create(&job(id(n)), None).await.unwrap();
    }
    let lease = claim(&*store, 1).await;
    store.close().await;
    let store = factory.open().await;
    assert_eq!(candidate_ids(&*store, 9, 9).await, [id(2)]);
    store.abandon_leases().await.unwrap();
    assert_eq!(candidate_ids(&*store, 9, 9).await, [id(1), id(2)]);
    lost(store.record(&lease, &running()).await, 1);
    store.close().await;
}

/// A job that waits until so many seconds after the beginning.
fn planned(n: u128, due: u64) -> JobRecord {
    JobRecord { run: JobRun { due: Some(at(due)), ..JobRun::new() }, ..job(id(n)) }
}

/// Settings whose UntilTime is so many seconds after the beginning.
fn until(seconds: u64) -> JobSettings {
    let until_time = Some(DateTime::from_system_time(at(seconds)));
    JobSettings { schedule: Schedule { until_time, ..Schedule::default() }, ..JobSettings::default() }
}

async fn due(store: &dyn JobStore, seconds: u64) -> Vec<JobId> {
    store.due(at(seconds), 99).await.unwrap().iter().map(|r| r.id()).collect()
}

pub(crate) async fn a_job_that_is_due_later_is_no_candidate(factory: &impl StoreFactory) {
    let store = factory.open().await;
    for (n, seconds) in [(1, 30), (2, 10), (3, 20)] {
        store.create(&planned(n, seconds), None).await.unwrap();
    }
    store.create(&job(id(4)), None).await.unwrap();
    // Only in the queue does the time matter.
    let suspended = JobRun { state: JobState::Suspended, ..planned(5, 5).run };
    store.create(&JobRecord { run: suspended, ..planned(5, 5) }, None).await.unwrap();
    store.close().await;
    let store = factory.open().await;
    assert_eq!(candidate_ids(&*store, 9, 9).await, [id(4)]);
    assert!(due(&*store, 9).await.is_empty());
    assert_eq!(due(&*store, 10).await, [id(2)]);
    assert_eq!(due(&*store, 99).await, [id(2), id(3), id(1)]);
    assert_eq!(store.due(at(99), 2).await.unwrap().len(), 2);
    assert_eq!(store.next_due(at(0)).await.unwrap(), Some(at(10)));
    assert_eq!(store.next_due(at(10)).await.unwrap(), Some(at(20)));
    assert_eq!(store.next_due(at(30)).await.unwrap(), None);
    // Whoever takes it begins it, and then its time is over.
    let lease = claim(&*store, 2).await;
    assert_eq!(due(&*store, 20).await, [id(3)]);
    store.record(&lease, &running()).await.unwrap();
    assert_eq!(due(&*store, 99).await, [id(3), id(1)]);
    let lease = claim(&*store, 3).await;
    store.release(&lease, &JobRun::new()).await.unwrap();
    assert_eq!(due(&*store, 99).await, [id(1)]);
    assert_eq!(candidate_ids(&*store, 9, 9).await, [id(3), id(4)]);
    store.close().await;
}

pub(crate) async fn what_is_over_is_due_whatever_it_does(factory: &impl StoreFactory) {
    let store = factory.open().await;
    let record =
        |n, state| JobRecord { run: JobRun { state, ..JobRun::new() }, settings: until(50), ..job(id(n)) };
    for (n, state) in [(1, JobState::New), (2, JobState::Suspended), (3, JobState::Running)] {
        store.create(&record(n, state), None).await.unwrap();
    }
    store
        .create(&JobRecord { run: ended(JobState::Completed, at(0)), ..record(4, JobState::New) }, None)
        .await
        .unwrap();
    assert!(due(&*store, 49).await.is_empty());
    assert_eq!(store.next_due(at(0)).await.unwrap(), Some(at(50)));
    let lease = claim(&*store, 3).await;
    store.close().await;
    let store = factory.open().await;
    // Not the one that has a driver, which sees to it.
    let held = at(0) + LEASE - Duration::from_secs(1);
    store.configure(id(1), &until(20)).await.unwrap().unwrap();
    store.configure(id(2), &until(25)).await.unwrap().unwrap();
    store.configure(id(3), &until(15)).await.unwrap().unwrap();
    store.configure(id(4), &until(10)).await.unwrap().unwrap();
    let found: Vec<_> = store.due(held, 9).await.unwrap().iter().map(|r| r.id()).collect();
    assert_eq!(found, [id(1), id(2)]);
    store.record(&lease, &ended(JobState::Terminated, at(5))).await.unwrap();
    store.configure(id(1), &JobSettings::default()).await.unwrap().unwrap();
    assert_eq!(due(&*store, 99).await, [id(2)]);
    store.close().await;
}

pub(crate) async fn a_run_goes_to_the_history_and_the_job_stays(factory: &impl StoreFactory) {
    let store = factory.open().await;
    let record = with_spec(job(id(1)), |spec| spec.affected = every_field(id(9)).spec.affected.clone());
    store.create(&JobRecord { settings: until(500), ..record.clone() }, None).await.unwrap();
    let lease = claim(&*store, 1).await;
    store.record(&lease, &running()).await.unwrap();
    let past = |n| {
        let spec = JobSpec { id: id(n), run_of: Some(id(1)), ..(*record.spec).clone() };
        JobRecord {
            spec: Arc::new(spec),
            run: JobRun { runs: 1, ..ended(JobState::Exception, at(7)) },
            ..record.clone()
        }
    };
    let next = JobRun { runs: 1, due: Some(at(90)), ..JobRun::new() };
    store.recur(&lease, &past(100), &next, at(7)).await.unwrap();
    lost(store.recur(&lease, &past(101), &next, at(8)).await, 1);
    for _ in 0..2 {
        let now = store.load(id(1)).await.unwrap().unwrap();
        assert_eq!((&now.run, &now.settings), (&next, &until(500)));
    }
    assert_eq!(store.count().await.unwrap(), JobCounts { unfinished: 1, finished: 0, history: 1 });
    store.close().await;
    let store = factory.open().await;
    assert_eq!(store.load(id(1)).await.unwrap().unwrap().run, next);
    // The history has the settings of the job.
    exactly(
        &store.history(id(100)).await.unwrap().unwrap(),
        &JobRecord { settings: until(500), ..past(100) },
    );
    assert!(store.load(id(100)).await.unwrap().is_none());
    assert!(store.history(id(101)).await.unwrap().is_none());
    assert!(candidate_ids(&*store, 9, 9).await.is_empty());
    assert_eq!(due(&*store, 90).await, [id(1)]);
    assert_eq!(store.next_due(at(0)).await.unwrap(), Some(at(90)));
    store.close().await;
}

pub(crate) async fn the_wish_for_the_end_outlives_the_run(factory: &impl StoreFactory) {
    let store = factory.open().await;
    let next = JobRun { runs: 1, due: Some(at(90)), ..JobRun::new() };
    for (n, wanted) in
        [(1, RequestedState::Suspend), (2, RequestedState::Terminate), (3, RequestedState::Kill)]
    {
        store.create(&job(id(n)), None).await.unwrap();
        let lease = claim(&*store, n).await;
        let request = StateRequest { wanted, ..terminate() };
        store.request(id(n), Some(&request)).await.unwrap().unwrap();
        let past = JobRecord { run: ended(JobState::Completed, at(1)), ..job(id(n + 10)) };
        store.recur(&lease, &past, &next, at(1)).await.unwrap();
        let kept = store.load(id(n)).await.unwrap().unwrap().request.clone();
        assert_eq!(kept, (n > 1).then_some(request));
    }
    store.close().await;
    let store = factory.open().await;
    assert_eq!(candidate_ids(&*store, 9, 9).await, [id(2), id(3)]);
    store.close().await;
}

pub(crate) async fn a_schedule_is_written_with_its_run(factory: &impl StoreFactory) {
    let store = factory.open().await;
    store.create(&planned(1, 10), None).await.unwrap();
    let lease = claim(&*store, 1).await;
    let settings = JobSettings { priority: 3, ..until(700) };
    store.reschedule(&lease, &planned(1, 600).run, &settings).await.unwrap();
    lost(store.reschedule(&lease, &planned(1, 5).run, &settings).await, 1);
    let expected = JobRecord { settings: settings.clone(), ..planned(1, 600) };
    exactly(&store.load(id(1)).await.unwrap().unwrap(), &expected);
    store.close().await;
    let store = factory.open().await;
    exactly(&store.load(id(1)).await.unwrap().unwrap(), &expected);
    assert_eq!(store.next_due(at(0)).await.unwrap(), Some(at(600)));
    assert_eq!(store.next_due(at(600)).await.unwrap(), Some(at(700)));
    let lease = claim(&*store, 1).await;
    store
        .reschedule(&lease, &JobRun::new(), &JobSettings { priority: 3, ..JobSettings::default() })
        .await
        .unwrap();
    assert_eq!(store.next_due(at(0)).await.unwrap(), None);
    let found = store.candidates(at(0), 9, 9).await.unwrap();
    assert_eq!((found[0].id, found[0].priority), (id(1), 3));
    store.close().await;
}

pub(crate) async fn the_jobs_of_an_element_are_found(factory: &impl StoreFactory) {
    let store = factory.open().await;
    let file = |name: &str| InstancePath::new(None, "CIM_DataFile").with_key("Name", name);
    let on = |n: u128, family: &str, files: &[&str], owner: Option<&str>| {
        with_spec(job(id(n)), |spec| {
            spec.family = family.to_owned();
            spec.affected = files.iter().map(|f| Affected { element: file(f), effects: vec![2] }).collect();
            spec.owning_element = owner.map(file);
        })
    };
    // Together, so that a store that writes groups does.
    let records = [
        on(1, "f", &["/a", "/b"], None),
        on(2, "g", &["/a"], None),
        on(3, "f", &["/a", "/a"], Some("/a")),
        on(4, "f", &[], Some("/b")),
        on(5, "f", &["/a"], None),
        JobRecord { run: ended(JobState::Completed, at(0)), ..on(6, "f", &["/a"], Some("/c")) },
        on(7, "f", &[], None),
    ];
    futures_util::future::join_all(records.iter().map(|r| store.create(r, None)))
        .await
        .into_iter()
        .for_each(Result::unwrap);
    store.close().await;
    let store = factory.open().await;
    let found = async |name: &str, after: Option<u128>, limit: usize| -> Vec<JobId> {
        // Asked for in another spelling of the same element.
        let mut path = InstancePath::new(NamespaceName::new("root/x"), "cim_datafile").with_key("NAME", name);
        path.host = Some("h".to_owned());
        let jobs = store.of_element(ElementKey::of(&path), "f", after.map(id), limit).await.unwrap();
        jobs.iter().map(|r| r.id()).collect()
    };
    assert_eq!(found("/a", None, 99).await, [id(1), id(3), id(5), id(6)]);
    assert_eq!(found("/a", Some(1), 2).await, [id(3), id(5)]);
    assert_eq!(found("/b", None, 99).await, [id(1), id(4)]);
    assert_eq!(found("/c", None, 99).await, [id(6)]);
    assert!(found("/d", None, 99).await.is_empty());
    // A job that leaves takes its ties with it.
    assert!(store.remove(id(6), at(1)).await.unwrap());
    assert!(found("/c", None, 99).await.is_empty());
    store.close().await;
}
