//! What every store does about its outbox, said once: generic tests that each backend runs with one line ([`run_on!`]).

use crate::samples::{at, ended, id, job};
use async_trait::async_trait;
use cimwright_cim::{Instance, InstancePath, Value};
use cimwright_jobs::{
    ChangeObserver, Entry, EntryKind, Holder, JobRecord, JobRun, JobSettings, JobState, JobStore, Lease,
    Outbox, Outgoing,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// A backend under test: both faces of one store.
#[async_trait]
pub(crate) trait OutboxFactory: Send + Sync {
    /// A place for a store, empty.
    fn fresh() -> Self;

    /// Opens the store of this place; whatever was open before has been closed.
    async fn open(&self) -> (Arc<dyn JobStore>, Arc<dyn Outbox>);
}

/// Runs the whole suite on an [`OutboxFactory`].
macro_rules! run_on {
    ($factory:ty: $($test:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let place = <$factory as $crate::conformance_outbox::OutboxFactory>::fresh();
                $crate::conformance_outbox::$test(&place).await;
            }
        )*
    };
    ($factory:ty) => {
        $crate::conformance_outbox::run_on! { $factory:
            every_change_of_a_job_is_told
            a_run_and_a_schedule_are_told
            what_is_refused_is_not_told
            nobody_is_asked_while_nobody_listens
            sequences_have_no_gaps_under_many_writers
            a_full_queue_drops_its_oldest
            settled_is_gone_and_the_rest_waits
            registrations_are_kept_and_replaced
            a_queue_goes_with_its_destination
            a_queue_follows_another
            a_queue_that_follows_begins_where_it_is_told
            what_follows_survives_reopening
            published_indications_are_queued
            queues_and_sequences_survive_reopening
        }
    };
}
pub(crate) use run_on;

/// Tells every change to all of its destinations.
struct Recorder {
    active: AtomicBool,
    limit: AtomicU64,
    to: Vec<(Uuid, Arc<str>)>,
    asked: AtomicU64,
    grown: Mutex<Vec<Uuid>>,
}

impl Recorder {
    fn to(destinations: &[u128]) -> Arc<Self> {
        Arc::new(Self {
            active: AtomicBool::new(true),
            limit: AtomicU64::new(1_000_000),
            to: destinations.iter().map(|n| (Uuid::from_u128(*n), Arc::from("f"))).collect(),
            asked: AtomicU64::new(0),
            grown: Mutex::default(),
        })
    }
}

impl ChangeObserver for Recorder {
    fn is_active(&self) -> bool {
        self.active.load(Ordering::SeqCst)
    }

    fn observe(&self, before: Option<&JobRecord>, after: Option<&JobRecord>) -> Vec<Outgoing> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let shown = |r: Option<&JobRecord>| {
            r.map_or_else(
                || "-".to_owned(),
                |r| format!("{}/{}/{}", r.run.state.code(), r.run.attempts, r.settings.priority),
            )
        };
        let text = format!("{} {}", shown(before), shown(after));
        vec![Outgoing {
            at: at(1),
            indication: Instance::new("Told").with("Text", text.as_str()),
            to: self.to.clone(),
        }]
    }

    fn queue_limit(&self) -> u64 {
        self.limit.load(Ordering::SeqCst)
    }

    fn queued(&self, destinations: &[Uuid]) {
        self.grown.lock().unwrap().extend_from_slice(destinations);
    }
}

fn entry(n: u128, kind: EntryKind) -> Entry {
    let path = InstancePath::new(None, "X").with_key("Name", n.to_string());
    let mut instance = Instance::new("X").with("Name", n.to_string().as_str()).with("N", Value::Uint16(1));
    instance.path = Some(path);
    Entry { id: Uuid::from_u128(n), kind, owner: "ada".to_owned(), created: at(n as u64), instance }
}

async fn destinations(outbox: &dyn Outbox, all: &[u128]) {
    for n in all {
        outbox.register(&entry(*n, EntryKind::Destination)).await.unwrap();
    }
}

async fn texts(outbox: &dyn Outbox, destination: u128) -> Vec<(u64, String)> {
    let all = outbox.pending(Uuid::from_u128(destination), 10_000).await.unwrap();
    all.iter().map(|q| (q.sequence, q.indication.get_str("Text").unwrap().to_owned())).collect()
}

fn lease(n: u128) -> Lease {
    Lease::new(id(n), Holder::random(), at(30))
}

fn running(attempts: u32) -> JobRun {
    JobRun { state: JobState::Running, attempts, ..JobRun::new() }
}

pub(crate) async fn every_change_of_a_job_is_told(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    let recorder = Recorder::to(&[7]);
    outbox.watch(recorder.clone());
    destinations(&*outbox, &[7]).await;
    let lease = lease(1);
    store.create(&job(id(1)), Some(&lease)).await.unwrap();
    // So many that the first one has left any cache.
    for n in 100..120 {
        store.create(&job(id(n)), None).await.unwrap();
    }
    outbox.settle(Uuid::from_u128(7), 20).await.unwrap();
    store.record(&lease, &running(1)).await.unwrap();
    let settings = JobSettings { priority: 3, ..JobSettings::default() };
    store.configure(id(1), &settings).await.unwrap();
    store.record(&lease, &ended(JobState::Completed, at(2))).await.unwrap();
    for n in 200..220 {
        store.create(&job(id(n)), None).await.unwrap();
    }
    store.remove(id(1), at(3)).await.unwrap();
    let own = |t: &(u64, String)| !t.1.starts_with('-');
    let told: Vec<_> = texts(&*outbox, 7).await.into_iter().filter(own).collect();
    let expected = [
        (21, "2/0/100 4/1/100".to_owned()),
        (22, "4/1/100 4/1/3".to_owned()),
        (23, "4/1/3 7/0/3".to_owned()),
        (44, "7/0/3 -".to_owned()),
    ];
    assert_eq!(told, expected);
    assert!(recorder.grown.lock().unwrap().contains(&Uuid::from_u128(7)));

    let mut over = job(id(500));
    over.run = ended(JobState::Completed, at(0));
    store.create(&over, None).await.unwrap();
    let later = at(0) + over.settings.time_before_removal + Duration::from_secs(1);
    assert_eq!(store.expire(later, 10).await.unwrap(), [id(500)]);
    let told = texts(&*outbox, 7).await;
    assert_eq!(told.last().unwrap().1, "7/0/100 -");
    store.close().await;
}

pub(crate) async fn a_run_and_a_schedule_are_told(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    outbox.watch(Recorder::to(&[7]));
    destinations(&*outbox, &[7]).await;
    let first = lease(1);
    store.create(&job(id(1)), Some(&first)).await.unwrap();
    for n in 100..120 {
        store.create(&job(id(n)), None).await.unwrap();
    }
    let past = JobRecord { run: ended(JobState::Completed, at(2)), ..job(id(50)) };
    store.recur(&first, &past, &JobRun { attempts: 3, ..JobRun::new() }, at(2)).await.unwrap();
    let (second, _) = store.claim(id(1), Holder::random(), at(3), at(30)).await.unwrap().unwrap();
    let settings = JobSettings { priority: 5, ..JobSettings::default() };
    store.reschedule(&second, &JobRun { attempts: 4, ..JobRun::new() }, &settings).await.unwrap();
    let told: Vec<String> = texts(&*outbox, 7).await.into_iter().skip(21).map(|(_, text)| text).collect();
    // The run that went to the history is no instance of its own.
    assert_eq!(told, ["2/0/100 2/3/100", "2/3/100 2/4/5"]);
    store.close().await;
}

pub(crate) async fn what_is_refused_is_not_told(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    outbox.watch(Recorder::to(&[7]));
    destinations(&*outbox, &[7]).await;
    store.create(&job(id(1)), None).await.unwrap();
    store.create(&job(id(1)), None).await.unwrap_err();
    store.record(&lease(1), &running(1)).await.unwrap_err();
    assert!(!store.remove(id(1), at(3)).await.unwrap());
    assert!(store.configure(id(9), &JobSettings::default()).await.unwrap().is_none());
    assert_eq!(texts(&*outbox, 7).await, [(0, "- 2/0/100".to_owned())]);
    store.close().await;
}

pub(crate) async fn nobody_is_asked_while_nobody_listens(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    let recorder = Recorder::to(&[7]);
    recorder.active.store(false, Ordering::SeqCst);
    outbox.watch(recorder.clone());
    destinations(&*outbox, &[7]).await;
    store.create(&job(id(1)), None).await.unwrap();
    assert_eq!(recorder.asked.load(Ordering::SeqCst), 0);
    assert!(texts(&*outbox, 7).await.is_empty());
    recorder.active.store(true, Ordering::SeqCst);
    store.create(&job(id(2)), None).await.unwrap();
    assert_eq!(texts(&*outbox, 7).await.len(), 1);
    store.close().await;
}

pub(crate) async fn sequences_have_no_gaps_under_many_writers(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    outbox.watch(Recorder::to(&[7, 8]));
    destinations(&*outbox, &[7, 8]).await;
    let writers = (0..8u128).map(|w| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..25 {
                let n = 1000 * w + n;
                let lease = lease(n);
                store.create(&job(id(n)), Some(&lease)).await.unwrap();
                store.record(&lease, &ended(JobState::Completed, at(1))).await.unwrap();
            }
        })
    });
    futures_util::future::join_all(writers).await.into_iter().for_each(Result::unwrap);
    for destination in [7, 8] {
        let numbers: Vec<u64> = texts(&*outbox, destination).await.into_iter().map(|t| t.0).collect();
        assert_eq!(numbers, (0..400).collect::<Vec<_>>());
        let state = outbox.queue(Uuid::from_u128(destination)).await.unwrap().unwrap();
        assert_eq!((state.next, state.queued, state.dropped), (400, 400, 0));
    }
    store.close().await;
}

pub(crate) async fn a_full_queue_drops_its_oldest(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    let recorder = Recorder::to(&[7]);
    recorder.limit.store(3, Ordering::SeqCst);
    outbox.watch(recorder);
    destinations(&*outbox, &[7]).await;
    for n in 0..5 {
        store.create(&job(id(n)), None).await.unwrap();
    }
    let numbers: Vec<u64> = texts(&*outbox, 7).await.into_iter().map(|t| t.0).collect();
    assert_eq!(numbers, [2, 3, 4]);
    let state = outbox.queue(Uuid::from_u128(7)).await.unwrap().unwrap();
    assert_eq!((state.next, state.queued, state.dropped), (5, 3, 2));
    store.close().await;
}

pub(crate) async fn settled_is_gone_and_the_rest_waits(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    outbox.watch(Recorder::to(&[7, 8]));
    destinations(&*outbox, &[7, 8]).await;
    for n in 0..4 {
        store.create(&job(id(n)), None).await.unwrap();
    }
    let seven = Uuid::from_u128(7);
    assert_eq!(outbox.settle(seven, 1).await.unwrap(), 2);
    assert_eq!(outbox.settle(seven, 1).await.unwrap(), 0);
    let first = outbox.pending(seven, 1).await.unwrap();
    assert_eq!(
        first.iter().map(|q| (q.sequence, q.at, q.filter.as_str())).collect::<Vec<_>>(),
        [(2, at(1), "f")]
    );
    assert_eq!(texts(&*outbox, 8).await.len(), 4, "the other queue has all of its own");
    assert_eq!(outbox.settle(seven, 99).await.unwrap(), 2);
    assert_eq!(outbox.queue(seven).await.unwrap().unwrap().queued, 0);
    store.create(&job(id(9)), None).await.unwrap();
    assert_eq!(outbox.pending(seven, 9).await.unwrap()[0].sequence, 4, "numbers are never used again");
    store.close().await;
}

/// Queues for three destinations of which one is not there, then empties the queues.
pub(crate) async fn fill_and_settle(store: &dyn JobStore, outbox: &dyn Outbox) {
    outbox.watch(Recorder::to(&[7, 8, 404]));
    destinations(outbox, &[7, 8]).await;
    for n in 0..10 {
        store.create(&job(id(n)), None).await.unwrap();
    }
    outbox.settle(Uuid::from_u128(7), 99).await.unwrap();
    outbox.unregister(Uuid::from_u128(8)).await.unwrap();
}

pub(crate) async fn registrations_are_kept_and_replaced(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    let mut all = [
        entry(3, EntryKind::Filter),
        entry(1, EntryKind::Destination),
        entry(2, EntryKind::Subscription),
        entry(4, EntryKind::Settings),
    ];
    for entry in &all {
        outbox.register(entry).await.unwrap();
    }
    all[0].instance.set("N", Some(Value::Uint16(2)));
    outbox.register(&all[0]).await.unwrap();
    let found = outbox.entries().await.unwrap();
    assert_eq!(format!("{found:?}"), format!("{all:?}"));
    assert!(outbox.unregister(all[0].id).await.unwrap());
    assert!(!outbox.unregister(all[0].id).await.unwrap());
    assert_eq!(outbox.entries().await.unwrap().len(), 3);
    assert!(outbox.queue(all[1].id).await.unwrap().is_some());
    assert!(outbox.queue(all[2].id).await.unwrap().is_none(), "only destinations have queues");
    store.close().await;
}

pub(crate) async fn a_queue_goes_with_its_destination(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    outbox.watch(Recorder::to(&[7, 8]));
    destinations(&*outbox, &[7, 8]).await;
    store.create(&job(id(1)), None).await.unwrap();
    assert!(outbox.unregister(Uuid::from_u128(7)).await.unwrap());
    store.create(&job(id(2)), None).await.unwrap();
    assert!(texts(&*outbox, 7).await.is_empty());
    assert!(outbox.queue(Uuid::from_u128(7)).await.unwrap().is_none());
    assert_eq!(texts(&*outbox, 8).await.len(), 2);
    destinations(&*outbox, &[7]).await;
    assert!(texts(&*outbox, 7).await.is_empty(), "a new queue begins empty");
    store.close().await;
}

pub(crate) async fn a_queue_follows_another(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    let recorder = Recorder::to(&[7]);
    outbox.watch(recorder.clone());
    destinations(&*outbox, &[7, 8, 9]).await;
    let [seven, eight, nine] = [7, 8, 9].map(Uuid::from_u128);
    store.create(&job(id(0)), None).await.unwrap();
    assert_eq!(outbox.follow(eight, Uuid::from_u128(404), None).await.unwrap(), None);
    assert_eq!(outbox.follow(eight, seven, None).await.unwrap(), Some(1));
    assert_eq!(outbox.follow(nine, seven, Some(0)).await.unwrap(), Some(0));
    let alert = Outgoing {
        at: at(5),
        indication: Instance::new("Alert").with("Text", "x"),
        to: vec![(seven, "g".into())],
    };
    outbox.publish(vec![alert]).await.unwrap();
    store.create(&job(id(1)), None).await.unwrap();
    let numbers = |told: Vec<(u64, String)>| told.into_iter().map(|t| t.0).collect::<Vec<_>>();
    assert_eq!(numbers(texts(&*outbox, 7).await), [0, 1, 2]);
    assert_eq!(numbers(texts(&*outbox, 8).await), [1, 2]);
    assert_eq!(texts(&*outbox, 9).await, texts(&*outbox, 7).await);
    let grown = std::mem::take(&mut *recorder.grown.lock().unwrap());
    assert!([seven, eight, nine].iter().all(|d| grown.contains(d)), "{grown:?}");

    // Each has its own place, and its own limit.
    outbox.settle(eight, 99).await.unwrap();
    recorder.limit.store(2, Ordering::SeqCst);
    store.create(&job(id(2)), None).await.unwrap();
    assert_eq!(numbers(texts(&*outbox, 7).await), [2, 3]);
    assert_eq!(numbers(texts(&*outbox, 8).await), [3]);
    assert_eq!(numbers(texts(&*outbox, 9).await), [2, 3]);
    let state = outbox.queue(nine).await.unwrap().unwrap();
    assert_eq!((state.first, state.next, state.queued, state.dropped), (0, 4, 2, 2));
    let state = outbox.queue(eight).await.unwrap().unwrap();
    assert_eq!((state.first, state.next, state.queued, state.dropped), (1, 4, 1, 0));

    // Who follows lasts no longer than it is wanted, and does not need the other one to stay.
    outbox.unregister(eight).await.unwrap();
    outbox.unregister(seven).await.unwrap();
    store.create(&job(id(3)), None).await.unwrap();
    assert_eq!(numbers(texts(&*outbox, 9).await), [2, 3]);
    assert!(texts(&*outbox, 8).await.is_empty());
    store.close().await;
}

pub(crate) async fn a_queue_that_follows_begins_where_it_is_told(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    outbox.watch(Recorder::to(&[7]));
    destinations(&*outbox, &[7]).await;
    let seven = Uuid::from_u128(7);
    for n in 0..6 {
        store.create(&job(id(n)), None).await.unwrap();
    }
    outbox.settle(seven, 1).await.unwrap();
    for (n, from, first, held) in [
        (20, Some(4), 4, vec![4, 5]),
        (21, Some(2), 2, vec![2, 3, 4, 5]),
        (22, Some(0), 2, vec![2, 3, 4, 5]),
        (23, Some(6), 6, vec![]),
        (24, Some(u64::MAX), 6, vec![]),
        (25, None, 6, vec![]),
    ] {
        destinations(&*outbox, &[n]).await;
        assert_eq!(outbox.follow(Uuid::from_u128(n), seven, from).await.unwrap(), Some(first), "{from:?}");
        let numbers: Vec<u64> = texts(&*outbox, n).await.into_iter().map(|t| t.0).collect();
        assert_eq!(numbers, held, "{from:?}");
        let state = outbox.queue(Uuid::from_u128(n)).await.unwrap().unwrap();
        assert_eq!((state.first, state.next, state.queued), (first, 6, held.len() as u64), "{from:?}");
    }
    store.close().await;
}

pub(crate) async fn what_follows_survives_reopening(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    outbox.watch(Recorder::to(&[7]));
    destinations(&*outbox, &[7, 8]).await;
    store.create(&job(id(0)), None).await.unwrap();
    outbox.follow(Uuid::from_u128(8), Uuid::from_u128(7), Some(0)).await.unwrap();
    store.close().await;
    drop((store, outbox));

    let (store, outbox) = factory.open().await;
    outbox.watch(Recorder::to(&[7]));
    store.create(&job(id(1)), None).await.unwrap();
    assert_eq!(texts(&*outbox, 8).await, texts(&*outbox, 7).await);
    assert_eq!(texts(&*outbox, 8).await.len(), 2);
    store.close().await;
}

pub(crate) async fn published_indications_are_queued(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    let recorder = Recorder::to(&[]);
    outbox.watch(recorder.clone());
    destinations(&*outbox, &[7]).await;
    let seven = Uuid::from_u128(7);
    let alert = Outgoing {
        at: at(5),
        indication: Instance::new("Alert")
            .with("Text", "x")
            .with("Inner", Value::Instance(Box::new(Instance::new("Y")))),
        to: vec![(seven, "g".into()), (Uuid::from_u128(404), "g".into()), (seven, "h".into())],
    };
    outbox.publish(vec![alert.clone()]).await.unwrap();
    let found = outbox.pending(seven, 9).await.unwrap();
    let shown: Vec<_> = found.iter().map(|q| (q.sequence, q.filter.as_str())).collect();
    assert_eq!(shown, [(0, "g"), (1, "h")]);
    assert_eq!(format!("{:?}", found[0].indication), format!("{:?}", alert.indication));
    assert!(recorder.grown.lock().unwrap().contains(&seven));
    store.close().await;
}

pub(crate) async fn queues_and_sequences_survive_reopening(factory: &impl OutboxFactory) {
    let (store, outbox) = factory.open().await;
    outbox.watch(Recorder::to(&[7]));
    destinations(&*outbox, &[7]).await;
    for n in 0..3 {
        store.create(&job(id(n)), None).await.unwrap();
    }
    outbox.settle(Uuid::from_u128(7), 0).await.unwrap();
    store.close().await;
    drop((store, outbox));

    let (store, outbox) = factory.open().await;
    assert_eq!(outbox.entries().await.unwrap().len(), 1);
    outbox.watch(Recorder::to(&[7]));
    store.create(&job(id(9)), None).await.unwrap();
    let numbers: Vec<u64> = texts(&*outbox, 7).await.into_iter().map(|t| t.0).collect();
    assert_eq!(numbers, [1, 2, 3]);
    store.close().await;
}
