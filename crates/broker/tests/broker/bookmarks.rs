//! Bookmarks of WS-Eventing: what was told is told again to who says what it got last.

use crate::eventing::*;
use crate::house::*;
use cimwright_broker::Principal;
use cimwright_broker::indications::{
    Bookmark, EventAddress, EventEnd, EventMode, EventSink, EventStart, Fetched, IndicationsConfig,
    SubscribeError,
};
use cimwright_cim::operation::Operation;
use cimwright_cim::{CimStatus, Instance, InstancePath, Value};
use cimwright_jobs::{EntryKind, Outbox};
use cimwright_store::MemoryStore;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(24 * 3600);
const CHANGES: &str = "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA \"CIM_ConcreteJob\"";

fn marked(mode: EventMode) -> EventSink {
    EventSink { bookmarks: true, ..sink(mode) }
}

impl Source {
    async fn begin(
        &self,
        who: &Principal,
        text: &str,
        start: EventStart,
    ) -> Result<(Uuid, u64), SubscribeError> {
        self.indications().subscribe(who, &query(text), marked(EventMode::Pull), start, HOUR).await
    }

    /// What a new subscription from there on is told.
    async fn told_from(&self, who: &Principal, start: EventStart) -> Fetched {
        let (id, first) = self.begin(who, JOBS, start).await.unwrap();
        let told = self.fetched(who, id, first).await.unwrap();
        assert_eq!(told.events[0].sequence, first);
        self.indications().unsubscribe(who, id).await.unwrap();
        told
    }

    /// The events of one job, as a subscriber who then goes away gets them.
    async fn first_job(&self, who: &Principal) -> Fetched {
        let (id, first) = self.begin(who, JOBS, EventStart::Next).await.unwrap();
        self.one_job("first").await;
        let told = self.fetched(who, id, first).await.unwrap();
        assert!(told.events.len() >= 2);
        self.indications().unsubscribe(who, id).await.unwrap();
        told
    }
}

fn after(told: &Fetched, index: usize) -> EventStart {
    EventStart::After(told.bookmark(told.events[index].sequence).unwrap())
}

#[tokio::test]
async fn what_came_after_a_bookmark_is_told_again() {
    let store = Arc::new(MemoryStore::new());
    let source = Source::open(Arc::clone(&store), quick()).await;
    let ada = admin();
    let first = source.first_job(&ada).await;
    // Nobody is subscribed now.
    source.one_job("second").await;
    let all = source.told_from(&ada, EventStart::Earliest).await;
    assert!(all.events.len() > first.events.len());
    assert_eq!(numbers(&all.events), (0..all.events.len() as u64).collect::<Vec<_>>());
    let again = source.told_from(&ada, after(&first, 0)).await;
    assert_eq!(numbers(&again.events), numbers(&all.events[1..]));
    let (told, once) = (&again.events[0].event, &first.events[1].event);
    assert_eq!(told.get("IndicationIdentifier"), once.get("IndicationIdentifier"));
    assert_eq!(told.get("SourceInstance"), once.get("SourceInstance"));

    // Another process knows as much.
    source.indications().shut_down();
    drop(source);
    let source = Source::open(store, quick()).await;
    source.one_job("third").await;
    let last = first.events.len() - 1;
    let rest = source.told_from(&ada, after(&first, last)).await;
    assert_eq!(rest.events[0], {
        let mut expected = all.events[first.events.len()].clone();
        expected.event.set("SequenceContext", rest.events[0].event.get("SequenceContext").cloned());
        expected
    });
    assert!(rest.events.len() > all.events.len() - first.events.len(), "and of the third one");

    // Without a bookmark it is what comes.
    let (id, number) = source.begin(&ada, JOBS, EventStart::Next).await.unwrap();
    assert_eq!(number, rest.events.last().unwrap().sequence + 1);
    let (told, ()) = tokio::join!(source.fetched(&ada, id, number), source.one_job("fourth"));
    assert_eq!(told.unwrap().events[0].sequence, number);
}

#[tokio::test]
async fn who_wants_no_bookmarks_gets_none_but_may_have_one() {
    let source = Source::open(Arc::new(MemoryStore::new()), quick()).await;
    let ada = admin();
    let first = source.first_job(&ada).await;
    let plain = sink(EventMode::Pull);
    let (id, number) =
        source.indications().subscribe(&ada, &query(JOBS), plain, after(&first, 0), HOUR).await.unwrap();
    let told = source.fetched(&ada, id, number).await.unwrap();
    assert_eq!((number, numbers(&told.events)), (1, numbers(&first.events[1..])));
    assert_eq!(told.bookmark(1), None);
}

#[tokio::test]
async fn bookmarks_that_lead_nowhere() {
    let config = IndicationsConfig { queue_limit: 4, ..quick() };
    let source = Source::open(Arc::new(MemoryStore::new()), config).await;
    let (ada, olga) = (admin(), operator());
    let first = source.first_job(&ada).await;
    let bookmark = after(&first, 0);
    assert_eq!(source.begin(&olga, JOBS, bookmark).await, Err(SubscribeError::Expired), "of another user");
    assert_eq!(source.begin(&ada, CHANGES, bookmark).await, Err(SubscribeError::OtherEvents));
    let strange = |text: &str| EventStart::After(Bookmark::read(text).unwrap());
    let unknown = strange("00000000000000000000000000000007:0");
    assert_eq!(source.begin(&ada, JOBS, unknown).await, Err(SubscribeError::Expired));
    let journal = first.bookmark(0).unwrap().to_string();
    let later = strange(&journal.replace(":0", ":1000"));
    assert_eq!(source.begin(&ada, JOBS, later).await, Err(SubscribeError::Expired), "nobody was told that");
    for name in ["second", "third"] {
        source.one_job(name).await;
    }
    assert_eq!(source.begin(&ada, JOBS, bookmark).await, Err(SubscribeError::Expired), "it had to make room");
    assert!(source.told_from(&ada, EventStart::Earliest).await.events[0].sequence > 1);
    // What there is none of yet begins now, however early one asks.
    assert_eq!(source.begin(&olga, JOBS, EventStart::Earliest).await.unwrap().1, 0);
    // The journal is nobody's to empty.
    let id: Uuid = journal.split(':').next().unwrap().parse().unwrap();
    refused(source.fetched(&ada, id, 0).await, CimStatus::InvalidEnumerationContext);
    refused(source.indications().unsubscribe(&ada, id).await, CimStatus::NotFound);
}

#[tokio::test]
async fn a_journal_outlasts_its_subscriptions_by_a_day() {
    let store = Arc::new(MemoryStore::new());
    let source = Source::open(Arc::clone(&store), quick()).await;
    let (ada, clock) = (admin(), &source.house.clock);
    let (id, _) = source.begin(&ada, JOBS, EventStart::Next).await.unwrap();
    source.one_job("first").await;
    clock.advance(HOUR / 2);
    source.indications().renew(&ada, id, HOUR).await.unwrap();
    let told = source.fetched(&ada, id, 0).await.unwrap();
    let bookmark = after(&told, 0);
    source.indications().unsubscribe(&ada, id).await.unwrap();
    // The events themselves are kept for a day.
    clock.advance(DAY - HOUR);
    let (_, first) = source.begin(&ada, JOBS, bookmark).await.unwrap();
    assert_eq!(first, 1);
    clock.advance(DAY + HOUR + Duration::from_secs(1));
    source.begin(&operator(), CHANGES, EventStart::Next).await.unwrap();
    assert_eq!(source.begin(&ada, JOBS, bookmark).await, Err(SubscribeError::Expired));
    let of_ada = store.entries().await.unwrap().into_iter().filter(|e| e.owner == ada.name());
    assert_eq!(of_ada.count(), 0, "neither the journal nor what followed it is left");
}

#[tokio::test]
async fn what_is_too_old_to_be_told_is_forgotten() {
    let store = Arc::new(MemoryStore::new());
    let config = IndicationsConfig { lifetime: HOUR, ..quick() };
    let source = Source::open(Arc::clone(&store), config).await;
    let ada = admin();
    let first = source.first_job(&ada).await;
    source.house.clock.advance(HOUR);
    source.one_job("second").await;
    assert_eq!(source.begin(&ada, JOBS, after(&first, 0)).await, Err(SubscribeError::Expired));
    let told = source.told_from(&ada, EventStart::Earliest).await;
    assert_eq!(told.events[0].sequence, first.events.len() as u64);
}

#[tokio::test]
async fn messages_that_are_sent_carry_bookmarks() {
    let source = Source::open(Arc::new(MemoryStore::new()), quick()).await;
    let ada = admin();
    let first = source.first_job(&ada).await;
    let events = marked(EventMode::Events);
    source.indications().subscribe(&ada, &query(JOBS), events, after(&first, 0), HOUR).await.unwrap();
    let heard = source.sink.until_end().await;
    let numbers: Vec<_> = heard.iter().filter_map(|e| e.get_u64("SequenceNumber")).collect();
    assert_eq!(numbers, (1..first.events.len() as u64).collect::<Vec<_>>());
    let (messages, bookmarks) =
        (source.sink.messages.lock().unwrap().clone(), source.sink.bookmarks.lock().unwrap().clone());
    for (message, bookmark) in messages.iter().zip(bookmarks) {
        assert_eq!(bookmark, first.bookmark(message.last().unwrap().get_u64("SequenceNumber").unwrap()));
        assert!(bookmark.is_some());
    }
}

#[tokio::test]
async fn who_takes_the_journal_away_ends_what_follows_it() {
    let store = Arc::new(MemoryStore::new());
    let source = Source::open(Arc::clone(&store), quick()).await;
    let ada = admin();
    let end_to = EventAddress { address: "http://127.0.0.1/end".to_owned(), parameters: Vec::new() };
    let told = EventSink { end_to: Some(end_to), ..marked(EventMode::Push) };
    let (id, _) =
        source.indications().subscribe(&ada, &query(JOBS), told, EventStart::Next, HOUR).await.unwrap();
    let of_journal = subscriptions(&store).await.into_iter().find(|(_, handler)| *handler != id);
    let (path, _) = of_journal.unwrap();
    source.house.ask(&ada, INTEROP, Operation::DeleteInstance { path }).await.unwrap();
    // Whoever subscribes next finds it out; it is looked for every minute too.
    source.begin(&operator(), JOBS, EventStart::Next).await.unwrap();
    let ended = async {
        while source.sink.ends.lock().unwrap().is_empty() {
            source.sink.news.notified().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert_eq!(*source.sink.ends.lock().unwrap(), [(id, EventEnd::Cancelled)]);
    refused(source.indications().remaining(&ada, id), CimStatus::NotFound);
}

#[tokio::test]
async fn who_takes_the_journal_away_at_once_ends_what_follows_it() {
    let store = Arc::new(MemoryStore::new());
    let source = Source::open(Arc::clone(&store), quick()).await;
    let ada = admin();
    let (id, _) = source.begin(&ada, JOBS, EventStart::Next).await.unwrap();
    let of_journal = subscriptions(&store).await.into_iter().find(|(_, handler)| *handler != id);
    let (path, journal) = of_journal.unwrap();
    let destination = store.entries().await.unwrap().into_iter().find(|e| e.id == journal).unwrap();
    for path in [path, destination.instance.path.unwrap()] {
        source.house.ask(&ada, INTEROP, Operation::DeleteInstance { path }).await.unwrap();
    }
    source.begin(&operator(), JOBS, EventStart::Next).await.unwrap();
    refused(source.indications().remaining(&ada, id), CimStatus::NotFound);
    let of_ada = store.entries().await.unwrap().into_iter().filter(|e| e.owner == ada.name());
    assert_eq!(of_ada.map(|e| e.kind).collect::<Vec<_>>(), [], "neither a queue nor a filter is left");
}

#[tokio::test]
async fn what_is_the_servers_is_not_changed_over_the_other_protocol() {
    let store = Arc::new(MemoryStore::new());
    let source = Source::open(Arc::clone(&store), quick()).await;
    let ada = admin();
    source.begin(&ada, JOBS, EventStart::Next).await.unwrap();
    let entries = store.entries().await.unwrap();
    let of_kind = |kind| entries.iter().filter(move |e| e.kind == kind);
    assert_eq!(of_kind(EntryKind::Subscription).count(), 2, "its own and that of the journal");
    for entry in of_kind(EntryKind::Subscription) {
        for (name, value) in
            [("SubscriptionState", Value::Uint16(4)), ("SubscriptionDuration", Value::Uint64(1))]
        {
            let mut instance = entry.instance.clone();
            instance.set(name, Some(value));
            let modify = Operation::ModifyInstance { instance, property_list: Some(vec![name.into()]) };
            refused(source.house.ask(&ada, INTEROP, modify).await, CimStatus::NotSupported);
        }
    }
    let filter = of_kind(EntryKind::Filter).next().and_then(|e| e.instance.path.clone()).unwrap();
    for destination in of_kind(EntryKind::Destination) {
        let handler = destination.instance.path.clone().unwrap();
        let instance = Instance::new("CIM_IndicationSubscription")
            .with("Filter", Value::from(filter.clone()))
            .with("Handler", Value::from(handler));
        let create = Operation::CreateInstance { instance };
        refused(source.house.ask(&ada, INTEROP, create).await, CimStatus::NotSupported);
    }
}

#[tokio::test]
async fn a_user_has_so_many_journals() {
    let store = Arc::new(MemoryStore::new());
    let source = Source::open(Arc::clone(&store), quick()).await;
    let ada = admin();
    let query = |n: usize| format!("{JOBS} AND SourceInstance.Priority <> {n}");
    let (first, _) = source.begin(&ada, &query(0), EventStart::Next).await.unwrap();
    source.one_job("x").await;
    let told = source.fetched(&ada, first, 0).await.unwrap();
    source.indications().unsubscribe(&ada, first).await.unwrap();
    let mut all = Vec::new();
    for n in 1..=16 {
        all.push(source.begin(&ada, &query(n), EventStart::Next).await.unwrap().0);
    }
    // The one that nobody followed had to make room.
    assert_eq!(source.begin(&ada, &query(0), after(&told, 0)).await, Err(SubscribeError::Expired));
    match source.begin(&ada, &query(17), EventStart::Next).await {
        Err(SubscribeError::Refused(error)) => assert_eq!(error.status, CimStatus::ServerLimitsExceeded),
        other => panic!("{other:?}"),
    }
    source.begin(&ada, &query(5), EventStart::Next).await.unwrap();
    source.begin(&operator(), &query(17), EventStart::Next).await.unwrap();
    source.indications().unsubscribe(&ada, all[0]).await.unwrap();
    source.begin(&ada, &query(17), EventStart::Next).await.unwrap();
}

#[tokio::test]
async fn events_that_had_to_make_room_are_counted_from_the_bookmark_on() {
    let config = IndicationsConfig { queue_limit: 3, ..quick() };
    let source = Source::open(Arc::new(MemoryStore::new()), config).await;
    let ada = admin();
    let first = source.first_job(&ada).await;
    let last = first.events.len() - 1;
    let start = first.events[last].sequence + 1;
    *source.sink.refusals.lock().unwrap() = usize::MAX;
    let push = marked(EventMode::PushWithAck);
    source.indications().subscribe(&ada, &query(JOBS), push, after(&first, last), HOUR).await.unwrap();
    for name in ["x", "y", "z"] {
        source.one_job(name).await;
    }
    *source.sink.refusals.lock().unwrap() = 0;
    let heard = source.sink.until_end().await;
    let (mut next, mut missing) = (start, 0);
    for number in heard.iter().filter_map(|event| event.get_u64("SequenceNumber")) {
        missing += number - next;
        next = number + 1;
    }
    assert!(missing > 0);
    assert_eq!(source.sink.dropped.lock().unwrap().iter().sum::<u64>(), missing);
}

/// The subscriptions there are, and where they lead to.
async fn subscriptions(store: &MemoryStore) -> Vec<(InstancePath, Uuid)> {
    let entries = store.entries().await.unwrap();
    let of_kind = |kind| entries.iter().filter(move |e| e.kind == kind);
    let handler = |e: &cimwright_jobs::Entry| {
        let path = e.instance.get("Handler")?.as_reference()?.as_instance()?;
        of_kind(EntryKind::Destination).find(|d| d.instance.path.as_ref() == Some(path)).map(|d| d.id)
    };
    of_kind(EntryKind::Subscription).filter_map(|e| Some((e.instance.path.clone()?, handler(e)?))).collect()
}
