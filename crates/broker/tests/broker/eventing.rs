//! Subscriptions of WS-Eventing: events that are fetched, and events that are sent until they are acknowledged.

use crate::house::*;
use async_trait::async_trait;
use cimwright_broker::Principal;
use cimwright_broker::indications::{
    Bookmark, Deliver, DeliveryError, EventAddress, EventEnd, EventMode, EventQuery, EventSink, EventStart,
    Fetched, Indications, IndicationsConfig, SubscribeError, Target, WaitingEvent,
};
use cimwright_cim::operation::Operation;
use cimwright_cim::{CimError, CimStatus, Instance, NamespaceName, Value};
use cimwright_jobs::Outbox;
use cimwright_store::MemoryStore;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) const JOBS: &str = "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA \"CIM_ConcreteJob\"";
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Takes messages, but for the first ones.
#[derive(Default)]
pub(crate) struct Sink {
    pub(crate) refusals: Mutex<usize>,
    pub(crate) messages: Mutex<Vec<Vec<Instance>>>,
    pub(crate) bookmarks: Mutex<Vec<Option<Bookmark>>>,
    pub(crate) dropped: Mutex<Vec<u64>>,
    pub(crate) ends: Mutex<Vec<(Uuid, EventEnd)>>,
    pub(crate) news: Notify,
}

#[async_trait]
impl Deliver for Sink {
    async fn deliver(&self, _: Uuid, _: &Target, _: Instance) -> Result<(), DeliveryError> {
        Err(DeliveryError { reason: "this is no listener of CIM-XML".to_owned() })
    }

    async fn deliver_events(
        &self,
        _: Uuid,
        target: &Target,
        sink: &EventSink,
        events: Vec<Instance>,
        bookmark: Option<Bookmark>,
    ) -> Result<(), DeliveryError> {
        assert_eq!((target.port, target.path.as_str()), (80, "/sink"));
        assert_eq!(sink.parameters, [("urn:x".to_owned(), "Cookie".to_owned(), "7".to_owned())]);
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(DeliveryError { reason: "no acknowledgement".to_owned() });
        }
        self.messages.lock().unwrap().push(events);
        self.bookmarks.lock().unwrap().push(bookmark);
        self.news.notify_one();
        Ok(())
    }

    async fn deliver_dropped(
        &self,
        _: Uuid,
        _: &Target,
        _: &EventSink,
        count: u64,
    ) -> Result<(), DeliveryError> {
        if *self.refusals.lock().unwrap() > 0 {
            return Err(DeliveryError { reason: "nobody there".to_owned() });
        }
        self.dropped.lock().unwrap().push(count);
        Ok(())
    }

    async fn end_events(
        &self,
        id: Uuid,
        target: &Target,
        _: &EventSink,
        why: EventEnd,
    ) -> Result<(), DeliveryError> {
        assert_eq!(target.path, "/end");
        self.ends.lock().unwrap().push((id, why));
        self.news.notify_one();
        Ok(())
    }

    fn forget(&self, _: Uuid) {}
}

impl Sink {
    /// Waits until the end of a job has come; all events until then.
    pub(crate) async fn until_end(&self) -> Vec<Instance> {
        let wait = async {
            loop {
                let all: Vec<Instance> = self.messages.lock().unwrap().concat();
                if all.last().and_then(state) == Some(7) {
                    return all;
                }
                self.news.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap()
    }
}

pub(crate) fn sink(mode: EventMode) -> EventSink {
    let pulls = mode == EventMode::Pull;
    EventSink {
        mode,
        notify_to: if pulls { String::new() } else { "http://127.0.0.1/sink".to_owned() },
        parameters: vec![("urn:x".to_owned(), "Cookie".to_owned(), "7".to_owned())],
        resource_uri: "http://schemas.dmtf.org/wbem/wscim/1/*".to_owned(),
        namespace: NamespaceName::new(V2),
        heartbeat: None,
        max_elements: Some(2),
        max_time: None,
        retry: None,
        bookmarks: false,
        end_to: None,
        manager: "http://source/wsman".to_owned(),
    }
}

pub(crate) fn query(text: &str) -> EventQuery {
    EventQuery { language: "WQL".to_owned(), text: text.to_owned() }
}

pub(crate) fn quick() -> IndicationsConfig {
    IndicationsConfig {
        retry_interval: Duration::from_millis(5),
        max_retry_interval: Duration::from_millis(5),
        ..IndicationsConfig::default()
    }
}

pub(crate) struct Source {
    pub(crate) house: House,
    pub(crate) sink: Arc<Sink>,
}

impl Source {
    pub(crate) async fn open(store: Arc<MemoryStore>, config: IndicationsConfig) -> Self {
        let source = Self { house: House::telling(store, config).await, sink: Arc::default() };
        source.indications().start(source.sink.clone());
        source
    }

    pub(crate) fn indications(&self) -> &Indications {
        self.house.indications.as_ref().unwrap()
    }

    async fn subscribe(
        &self,
        who: &Principal,
        mode: EventMode,
        lifetime: Duration,
    ) -> Result<Uuid, CimError> {
        self.subscribe_to(who, JOBS, sink(mode), lifetime).await
    }

    async fn subscribe_to(
        &self,
        who: &Principal,
        text: &str,
        sink: EventSink,
        lifetime: Duration,
    ) -> Result<Uuid, CimError> {
        match self.indications().subscribe(who, &query(text), sink, EventStart::Next, lifetime).await {
            Ok((id, first)) => {
                assert_eq!(first, 0, "a queue of its own begins at the beginning");
                Ok(id)
            }
            Err(SubscribeError::Refused(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    /// What there is to fetch, which may take a while to come.
    pub(crate) async fn fetched(&self, who: &Principal, id: Uuid, from: u64) -> Result<Fetched, CimError> {
        self.indications().fetch(who, id, from, 100, Instant::now() + PATIENCE).await
    }

    async fn fetch(&self, who: &Principal, id: Uuid, from: u64) -> Result<Vec<WaitingEvent>, CimError> {
        Ok(self.fetched(who, id, from).await?.events)
    }

    pub(crate) async fn one_job(&self, name: &str) {
        let job = self.house.start(&operator(), V2, "ok", name).await;
        self.house.until(&job, 7).await;
    }
}

fn state(event: &Instance) -> Option<u64> {
    event.get("SourceInstance").and_then(Value::as_instance)?.get_u64("JobState")
}

pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, CimError>, status: CimStatus) {
    assert_eq!(result.unwrap_err().status, status);
}

pub(crate) fn numbers(events: &[WaitingEvent]) -> Vec<u64> {
    events.iter().map(|e| e.sequence).collect()
}

#[tokio::test]
async fn what_waits_is_given_until_it_has_arrived() {
    let store = Arc::new(MemoryStore::new());
    let source = Source::open(Arc::clone(&store), quick()).await;
    let ada = admin();
    let id = source.subscribe(&ada, EventMode::Pull, HOUR).await.unwrap();
    source.one_job("x").await;
    let events = source.fetch(&ada, id, 0).await.unwrap();
    assert_eq!(events.first().and_then(|e| state(&e.event)), Some(4));
    assert_eq!(events.last().and_then(|e| state(&e.event)), Some(7));
    assert_eq!(numbers(&events), (0..events.len() as u64).collect::<Vec<_>>());
    assert_eq!(events[1].event.get("SequenceNumber"), Some(&Value::Sint64(1)));
    assert_eq!(source.fetch(&ada, id, 0).await.unwrap(), events, "the answer may have been lost");
    assert_eq!(numbers(&source.fetch(&ada, id, 1).await.unwrap()), numbers(&events[1..]));
    assert_eq!(numbers(&source.fetch(&ada, id, 0).await.unwrap()), numbers(&events[1..]), "0 has arrived");
    refused(source.fetch(&ada, id, 1000).await, CimStatus::InvalidEnumerationContext);
    // Another process goes on where this one ended.
    source.indications().shut_down();
    drop(source);
    let source = Source::open(store, quick()).await;
    assert_eq!(source.fetch(&ada, id, 1).await.unwrap(), events[1..]);
    let next = events.len() as u64;
    let (waiting, ()) = tokio::join!(source.fetch(&ada, id, next), source.one_job("y"));
    assert_eq!(numbers(&waiting.unwrap())[0], next, "who waits is woken");
}

#[tokio::test]
async fn nothing_is_left_of_a_subscription_that_has_ended() {
    let store = Arc::new(MemoryStore::new());
    let source = Source::open(Arc::clone(&store), quick()).await;
    let olga = operator();
    let short = source.subscribe(&olga, EventMode::Pull, HOUR).await.unwrap();
    let long = source.subscribe(&olga, EventMode::Pull, HOUR).await.unwrap();
    assert_eq!(store.entries().await.unwrap().len(), 6);
    source.house.clock.advance(HOUR / 2);
    assert_eq!(source.indications().remaining(&olga, short).unwrap(), HOUR / 2);
    source.indications().renew(&olga, long, HOUR).await.unwrap();
    assert_eq!(source.indications().remaining(&olga, long).unwrap(), HOUR);
    source.house.clock.advance(HOUR / 2);
    refused(source.indications().remaining(&olga, short), CimStatus::NotFound);
    refused(source.indications().renew(&olga, short, HOUR).await, CimStatus::NotFound);
    refused(source.fetch(&olga, short, 0).await, CimStatus::InvalidEnumerationContext);
    source.one_job("x").await;
    assert!(source.fetch(&olga, long, 0).await.unwrap().len() >= 2);
    let third = source.subscribe(&olga, EventMode::Pull, HOUR).await.unwrap();
    assert_eq!(store.entries().await.unwrap().len(), 6, "the first one was swept away");
    for id in [long, third] {
        source.indications().unsubscribe(&olga, id).await.unwrap();
        refused(source.indications().unsubscribe(&olga, id).await, CimStatus::NotFound);
    }
    assert!(store.entries().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_subscription_whose_retries_are_over_ends_and_is_told_to_have_ended() {
    let store = Arc::new(MemoryStore::new());
    let source = Source::open(store.clone(), quick()).await;
    let end_to = EventAddress { address: "http://127.0.0.1/end".to_owned(), parameters: Vec::new() };
    let impatient = EventSink {
        retry: Some((2, Duration::from_millis(1))),
        end_to: Some(end_to),
        ..sink(EventMode::PushWithAck)
    };
    *source.sink.refusals.lock().unwrap() = 3;
    let id = source.subscribe_to(&admin(), JOBS, impatient, HOUR).await.unwrap();
    source.one_job("x").await;
    let told = async {
        while source.sink.ends.lock().unwrap().is_empty() {
            source.sink.news.notified().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert_eq!(*source.sink.ends.lock().unwrap(), [(id, EventEnd::DeliveryFailure)]);
    assert_eq!(*source.sink.refusals.lock().unwrap(), 0, "one attempt and two retries");
    assert!(source.sink.messages.lock().unwrap().is_empty());
    refused(source.indications().remaining(&admin(), id), CimStatus::NotFound);
    assert!(store.entries().await.unwrap().is_empty());
}

#[tokio::test]
async fn events_that_had_to_make_room_are_told_to_be_missing() {
    let config = IndicationsConfig { queue_limit: 2, ..quick() };
    let source = Source::open(Arc::new(MemoryStore::new()), config).await;
    *source.sink.refusals.lock().unwrap() = usize::MAX;
    source.subscribe(&admin(), EventMode::PushWithAck, HOUR).await.unwrap();
    for name in ["x", "y"] {
        source.one_job(name).await;
    }
    *source.sink.refusals.lock().unwrap() = 0;
    let events = source.sink.until_end().await;
    let (mut next, mut missing) = (0, 0);
    for number in events.iter().map(|event| event.get_u64("SequenceNumber").unwrap()) {
        missing += number - next;
        next = number + 1;
    }
    assert!(missing > 0);
    assert_eq!(source.sink.dropped.lock().unwrap().iter().sum::<u64>(), missing);
}

#[tokio::test]
async fn who_may_subscribe_and_to_what() {
    let config = IndicationsConfig { max_destinations: 1, ..quick() };
    let source = Source::open(Arc::new(MemoryStore::new()), config).await;
    let indications = source.indications();
    refused(source.subscribe(&reader(), EventMode::Pull, HOUR).await, CimStatus::AccessDenied);
    let far = EventSink { notify_to: "http://192.0.2.7/".to_owned(), ..sink(EventMode::Push) };
    refused(source.subscribe_to(&admin(), JOBS, far, HOUR).await, CimStatus::AccessDenied);
    let wrong = EventSink { notify_to: "ftp://127.0.0.1/".to_owned(), ..sink(EventMode::Push) };
    refused(source.subscribe_to(&admin(), JOBS, wrong, HOUR).await, CimStatus::InvalidParameter);
    let (no_event, pull) = ("SELECT * FROM Msvm_StorageJob", sink(EventMode::Pull));
    refused(source.subscribe_to(&admin(), no_event, pull, HOUR).await, CimStatus::InvalidQuery);
    let id = source.subscribe(&operator(), EventMode::Pull, HOUR).await.unwrap();
    refused(source.subscribe(&operator(), EventMode::Pull, HOUR).await, CimStatus::ServerLimitsExceeded);
    refused(indications.unsubscribe(&stranger(), id).await, CimStatus::NotFound);
    refused(indications.remaining(&stranger(), id), CimStatus::NotFound);
    refused(source.fetch(&stranger(), id, 0).await, CimStatus::InvalidEnumerationContext);
    // It is seen over the other protocol, without what is between the subscriber and the server, and not made there.
    let class = "CIM_ListenerDestinationWSManagement";
    let all = Operation::EnumerateInstances { class: class.into(), deep: true, options: Default::default() };
    let shown = source.house.items(INTEROP, all).await.unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].get_u64("DeliveryMode"), Some(5));
    assert!(shown[0].get("ReferenceParameters").is_none());
    let instance = Instance::new(class).with("Name", "x").with("Destination", "http://127.0.0.1/");
    let create = Operation::CreateInstance { instance };
    refused(source.house.ask(&admin(), INTEROP, create).await, CimStatus::NotSupported);
    let filter = Instance::new("CIM_IndicationFilter")
        .with("Name", "Cimwright:WS-Eventing:x")
        .with("SourceNamespaces", Value::strings([V2]))
        .with("Query", JOBS)
        .with("QueryLanguage", "WQL");
    let create = Operation::CreateInstance { instance: filter };
    refused(source.house.ask(&admin(), INTEROP, create).await, CimStatus::InvalidParameter);
    indications.unsubscribe(&admin(), id).await.unwrap();
}

#[tokio::test]
async fn what_is_not_acknowledged_is_sent_again_in_order() {
    for (mode, most) in [(EventMode::Push, 1), (EventMode::PushWithAck, 1), (EventMode::Events, 2)] {
        let source = Source::open(Arc::new(MemoryStore::new()), quick()).await;
        *source.sink.refusals.lock().unwrap() = 5;
        let id = source.subscribe(&admin(), mode, HOUR).await.unwrap();
        source.one_job("x").await;
        let heard = source.sink.until_end().await;
        let numbers: Vec<_> = heard.iter().map(|e| e.get("SequenceNumber").cloned().unwrap()).collect();
        assert_eq!(numbers, (0..heard.len() as i64).map(Value::Sint64).collect::<Vec<_>>(), "{mode:?}");
        assert!(source.sink.messages.lock().unwrap().iter().all(|m| (1..=most).contains(&m.len())));
        refused(source.fetch(&admin(), id, 0).await, CimStatus::InvalidEnumerationContext);
    }
}
