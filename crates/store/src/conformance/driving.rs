//! Who runs which job: candidates, leases, requests.

use super::*;

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
