//! What is written is read: alone, in lists, by element, after a restart.

use super::*;

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
