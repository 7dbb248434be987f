//! What happens at its time: schedules, and what leaves for the history.

use super::*;

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
