//! Who is told what: registrations and their rules, the life of a job as subscribers see it, and listeners that come and go.

use crate::house::*;
use async_trait::async_trait;
use cimwright_broker::Principal;
use cimwright_broker::indications::{
    Allowed, Deliver, DeliveryError, IndicationsConfig, RemovalAction, Target,
};
use cimwright_cim::operation::{Operation, OperationResult};
use cimwright_cim::{CimError, CimStatus, Instance, InstancePath, Name, Value};
use cimwright_store::MemoryStore;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) const CHANGES: &str =
    "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA \"CIM_ConcreteJob\"";

/// Listeners, each known by the path of its URL.
#[derive(Default)]
pub(crate) struct Ears {
    heard: Mutex<Vec<(String, Instance)>>,
    away: Mutex<HashSet<String>>,
    stuck: Mutex<HashSet<String>>,
    tried: Mutex<Vec<String>>,
    news: Notify,
}

impl Ears {
    fn leave(&self, name: &str) {
        self.away.lock().unwrap().insert(name.to_owned());
    }

    fn come_back(&self, name: &str) {
        self.away.lock().unwrap().remove(name);
    }

    pub(crate) fn of(&self, name: &str) -> Vec<Instance> {
        self.heard.lock().unwrap().iter().filter(|(n, _)| n == name).map(|(_, i)| i.clone()).collect()
    }

    fn tries(&self, name: &str) -> usize {
        self.tried.lock().unwrap().iter().filter(|n| *n == name).count()
    }

    pub(crate) async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let news = self.news.notified();
                if done(self) {
                    return;
                }
                // A look now and then, for what is no news of a listener.
                let _ = tokio::time::timeout(Duration::from_millis(20), news).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), wait).await.is_err() {
            panic!("still not: {what}; heard {:#?}", self.heard.lock().unwrap());
        }
    }
}

#[async_trait]
impl Deliver for Ears {
    async fn deliver(&self, _: Uuid, target: &Target, indication: Instance) -> Result<(), DeliveryError> {
        let name = target.path.trim_start_matches('/').to_owned();
        self.tried.lock().unwrap().push(name.clone());
        self.news.notify_waiters();
        if self.stuck.lock().unwrap().contains(&name) {
            std::future::pending::<()>().await;
        }
        if self.away.lock().unwrap().contains(&name) {
            return Err(DeliveryError { reason: "nobody there".to_owned() });
        }
        self.heard.lock().unwrap().push((name, indication));
        self.news.notify_waiters();
        Ok(())
    }

    fn forget(&self, _: Uuid) {}
}

pub(crate) fn quick() -> IndicationsConfig {
    IndicationsConfig {
        system_name: "host1".to_owned(),
        retry_interval: Duration::from_millis(5),
        max_retry_interval: Duration::from_millis(5),
        ..IndicationsConfig::default()
    }
}

pub(crate) struct Told {
    pub(crate) house: House,
    pub(crate) ears: Arc<Ears>,
}

impl Told {
    pub(crate) async fn open() -> Self {
        Self::with(Arc::new(MemoryStore::new()), quick()).await
    }

    pub(crate) async fn with(store: Arc<MemoryStore>, config: IndicationsConfig) -> Self {
        let told = Self { house: House::telling(store, config).await, ears: Arc::default() };
        told.start();
        told
    }

    fn start(&self) {
        self.house.indications.as_ref().unwrap().start(self.ears.clone());
    }

    pub(crate) async fn create(&self, who: &Principal, instance: Instance) -> Result<InstancePath, CimError> {
        match self.house.ask(who, INTEROP, Operation::CreateInstance { instance }).await? {
            OperationResult::Created(path) => Ok(path),
            other => panic!("nothing was made: {other:?}"),
        }
    }

    pub(crate) async fn filter(
        &self,
        who: &Principal,
        name: &str,
        query: &str,
    ) -> Result<InstancePath, CimError> {
        self.create(who, filter(name, "WQL", query, &[V2])).await
    }

    pub(crate) async fn subscribe(
        &self,
        who: &Principal,
        filter: &InstancePath,
        listener: &InstancePath,
    ) -> InstancePath {
        self.create(who, subscription(filter, listener)).await.unwrap()
    }

    /// A listener that is told of every job of v2.
    async fn listener(&self, name: &str) -> InstancePath {
        let filter = self.filter(&admin(), &format!("f-{name}"), CHANGES).await.unwrap();
        let listener = self.create(&admin(), destination(name)).await.unwrap();
        self.subscribe(&admin(), &filter, &listener).await
    }

    pub(crate) async fn all(&self, class: &str) -> Vec<Instance> {
        let operation =
            Operation::EnumerateInstances { class: class.into(), deep: true, options: Default::default() };
        self.house.items(INTEROP, operation).await.unwrap()
    }

    pub(crate) async fn modify(
        &self,
        who: &Principal,
        path: &InstancePath,
        name: &str,
        value: Value,
    ) -> Result<(), CimError> {
        let mut instance = Instance::new(path.class.clone()).with(name, value);
        instance.path = Some(path.clone());
        let property_list = Some(vec![Name::new(name)]);
        self.house.ask(who, INTEROP, Operation::ModifyInstance { instance, property_list }).await.map(|_| ())
    }

    async fn delete(&self, who: &Principal, path: &InstancePath) -> Result<(), CimError> {
        self.house.ask(who, INTEROP, Operation::DeleteInstance { path: path.clone() }).await.map(|_| ())
    }

    /// A job that has come to its end.
    pub(crate) async fn one_job(&self, name: &str) -> InstancePath {
        let job = self.house.start(&operator(), V2, "ok", name).await;
        self.house.until(&job, 7).await;
        job
    }
}

pub(crate) fn filter(name: &str, language: &str, query: &str, namespaces: &[&str]) -> Instance {
    Instance::new("CIM_IndicationFilter")
        .with("Name", name)
        .with("SourceNamespaces", Value::strings(namespaces.iter().copied()))
        .with("Query", query)
        .with("QueryLanguage", language)
}

pub(crate) fn destination(name: &str) -> Instance {
    Instance::new("CIM_ListenerDestinationCIMXML")
        .with("Name", name)
        .with("Destination", format!("http://127.0.0.1:5990/{name}"))
}

fn subscription(filter: &InstancePath, handler: &InstancePath) -> Instance {
    Instance::new("CIM_IndicationSubscription")
        .with("Filter", filter.clone())
        .with("Handler", handler.clone())
}

pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, CimError>, status: CimStatus, word: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.status, status, "{error}");
    assert!(error.to_string().contains(word), "{error}");
}

fn states(heard: &[Instance]) -> Vec<(String, Option<u64>)> {
    let state = |i: &Instance| i.get("SourceInstance").and_then(Value::as_instance)?.get_u64("JobState");
    heard.iter().map(|i| (i.class.to_string(), state(i))).collect()
}

/// The numbers are 0, 1, 2, … of one context.
fn in_order(heard: &[Instance]) {
    let contexts: HashSet<_> = heard.iter().map(|i| i.get_str("SequenceContext").unwrap()).collect();
    assert_eq!(contexts.len(), 1, "{contexts:?}");
    let numbers: Vec<_> = heard.iter().map(|i| i.get("SequenceNumber").unwrap().as_i128().unwrap()).collect();
    assert_eq!(numbers, (0..heard.len() as i128).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_life_of_a_job_is_told_in_order() {
    let told = Told::open().await;
    told.listener("a").await;
    let job = told.one_job("x").await;
    let operation = Operation::DeleteInstance { path: job.clone() };
    told.house.ask(&admin(), V2, operation).await.unwrap();
    told.ears.until("the job to be gone", |e| e.of("a").iter().any(|i| i.class.is("CIM_InstDeletion"))).await;
    let heard = told.ears.of("a");
    in_order(&heard);
    let life = states(&heard);
    assert_eq!(life.first().unwrap(), &("CIM_InstCreation".to_owned(), Some(4)));
    assert_eq!(life.last().unwrap(), &("CIM_InstDeletion".to_owned(), Some(7)));
    let end = heard.iter().find(|i| i.class.is("CIM_InstModification")).unwrap();
    let of = |name: &str| end.get(name).and_then(Value::as_instance).unwrap();
    assert_eq!(of("PreviousInstance").get_u64("JobState"), Some(4));
    assert_eq!(of("SourceInstance").get_u64("JobState"), Some(7));
    assert!(of("SourceInstance").path.is_none());
    let changed: Vec<_> = end.get("ChangedPropertyNames").and_then(Value::as_array).unwrap().to_vec();
    assert!(
        changed.contains(&Some("JobState".into())) && !changed.contains(&Some("InstanceID".into())),
        "{changed:?}"
    );
    assert_eq!(end.get_str("IndicationFilterName"), Some("f-a"));
    assert_eq!(end.get_str("SourceInstanceHost"), Some("host1"));
    let path = end.get_str("SourceInstanceModelPath").unwrap();
    assert!(path.starts_with("root/virtualization/v2:Msvm_StorageJob.InstanceID=\""), "{path}");
    assert!(end.get("IndicationTime").is_some());
    let identifiers: HashSet<_> = heard.iter().map(|i| i.get_str("IndicationIdentifier").unwrap()).collect();
    assert_eq!(identifiers.len(), heard.len());
}

#[tokio::test]
async fn every_namespace_and_every_query_has_its_own() {
    let told = Told::open().await;
    let listener = told.create(&admin(), destination("a")).await.unwrap();
    let everywhere = filter("all", "WQL", "SELECT * FROM CIM_InstCreation", &[V1, V2, DMTF]);
    let changed = "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ConcreteJob AND \
         SourceInstance.CIM_ConcreteJob::JobState <> PreviousInstance.CIM_ConcreteJob::JobState AND \
         SourceInstance.CIM_ConcreteJob::JobState = #'Completed'";
    let ends = filter("ends", "DMTF:CQL", changed, &[V2]);
    for filter in [everywhere, ends] {
        let filter = told.create(&admin(), filter).await.unwrap();
        told.subscribe(&admin(), &filter, &listener).await;
    }
    told.one_job("x").await;
    told.ears.until("four indications", |e| e.of("a").len() == 4).await;
    let heard = told.ears.of("a");
    in_order(&heard);
    let mut seen: Vec<_> = heard
        .iter()
        .map(|i| (i.get_str("IndicationFilterName").unwrap(), i.get_str("SourceInstanceModelPath").unwrap()))
        .map(|(f, p)| format!("{f} {}", p.split('.').next().unwrap()))
        .collect();
    seen.sort();
    let expected = [
        "all root/dmtf:Test_Job",
        "all root/virtualization/v2:Msvm_StorageJob",
        "all root/virtualization:Msvm_StorageJob",
        "ends root/virtualization/v2:Msvm_StorageJob",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn pywbems_way_of_making_them_works() {
    let told = Told::open().await;
    let with_keys = |instance: Instance| {
        let class = instance.class.to_string();
        instance
            .with("CreationClassName", class)
            .with("SystemCreationClassName", "CIM_ComputerSystem")
            .with("SystemName", "host1")
    };
    let filter =
        told.create(&operator(), with_keys(filter("pywbemfilter:m:1", "WQL", CHANGES, &[V2]))).await.unwrap();
    let mut to = with_keys(destination("pywbemdestination:m:1")).with("PersistenceType", Value::Uint16(3));
    to.set("Destination", Some("https://127.0.0.1:5991".into()));
    let handler = told.create(&operator(), to).await.unwrap();
    assert_eq!(handler.keys.len(), 4);
    assert_eq!(handler.key_str("Name"), Some("pywbemdestination:m:1"));
    let bare = |path: &InstancePath| InstancePath { host: Some("elsewhere:5988".into()), ..path.clone() };
    let made = told.create(&operator(), subscription(&bare(&filter), &bare(&handler))).await.unwrap();
    let shown = told.house.get(&made).await.unwrap();
    assert_eq!(shown.get_u64("SubscriptionState"), Some(2));
    assert_eq!(shown.get_u64("OnFatalErrorPolicy"), Some(2));
    assert_eq!(shown.get_u64("RepeatNotificationPolicy"), Some(2));
    assert!(shown.get("SubscriptionStartTime").is_some() && shown.get("TimeOfLastStateChange").is_some());
    assert_eq!(told.all("CIM_ListenerDestination").await.len(), 1, "found by its superclass");

    // The keys again, with another host and without the namespace.
    let mut other = made.clone();
    for key in &mut other.keys {
        let end = key.value.as_reference().unwrap().as_instance().unwrap();
        key.value = InstancePath { host: Some("x".into()), namespace: None, ..end.clone() }.into();
    }
    assert!(told.house.get(&other).await.is_ok());
    refused(
        told.create(&operator(), subscription(&filter, &handler)).await,
        CimStatus::AlreadyExists,
        "already",
    );
    refused(told.delete(&operator(), &filter).await, CimStatus::Failed, "subscriptions");
    refused(told.delete(&operator(), &handler).await, CimStatus::Failed, "subscriptions");
    for path in [&other, &handler, &filter] {
        told.delete(&operator(), path).await.unwrap();
    }
    refused(told.house.get(&made).await, CimStatus::NotFound, "CIM_IndicationSubscription");
}

#[tokio::test]
async fn wrong_filters_are_refused_when_they_are_made() {
    let told = Told::open().await;
    let ada = admin();
    let made = |instance: Instance| told.create(&ada, instance);
    let query = |text: &str| filter("f", "WQL", text, &[V2]);
    refused(made(query("SELECT * FORM x")).await, CimStatus::InvalidQuery, "FROM");
    refused(made(query("SELECT * FROM CIM_Nope")).await, CimStatus::InvalidQuery, "CIM_Nope");
    refused(
        made(query("SELECT * FROM Msvm_StorageJob")).await,
        CimStatus::InvalidQuery,
        "no class of indications",
    );
    refused(made(query("SELECT * FROM CIM_Error")).await, CimStatus::InvalidQuery, "no class of indications");
    refused(
        made(query("SELECT * FROM CIM_InstCreation WHERE Nope = 1")).await,
        CimStatus::InvalidQuery,
        "Nope",
    );
    let misspelt = "SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA \"CIM_ConcreteJbo\"";
    refused(made(query(misspelt)).await, CimStatus::InvalidQuery, "CIM_ConcreteJbo");
    let language = filter("f", "SQL", CHANGES, &[V2]);
    refused(made(language).await, CimStatus::QueryLanguageNotSupported, "SQL");
    refused(
        made(filter("f", "WQL", CHANGES, &["root/nope"])).await,
        CimStatus::InvalidParameter,
        "root/nope",
    );
    refused(made(filter("f", "WQL", CHANGES, &[])).await, CimStatus::NotSupported, "root/interop");
    refused(made(filter("", "WQL", CHANGES, &[V2])).await, CimStatus::InvalidParameter, "Name");
    refused(made(filter("f", "WQL", " ", &[V2])).await, CimStatus::InvalidParameter, "Query");
    let wrong_class = filter("f", "WQL", CHANGES, &[V2]).with("CreationClassName", "CIM_Other");
    refused(made(wrong_class).await, CimStatus::InvalidParameter, "CreationClassName");
    assert!(
        told.all("CIM_IndicationFilter")
            .await
            .iter()
            .all(|f| f.get_str("Name").unwrap().starts_with("Cimwright:"))
    );
}

#[tokio::test]
async fn wrong_destinations_and_subscriptions_are_refused() {
    let told = Told::open().await;
    let ada = admin();
    let to = |url: &str| {
        let mut instance = destination("d");
        instance.set("Destination", Some(url.into()));
        told.create(&ada, instance)
    };
    refused(to("ftp://127.0.0.1").await, CimStatus::InvalidParameter, "http or https");
    refused(to("http://10.0.0.1/").await, CimStatus::AccessDenied, "10.0.0.1");
    refused(to("http://example.com/").await, CimStatus::AccessDenied, "allowed_destinations");
    let persistence = destination("d").with("PersistenceType", Value::Uint16(9));
    refused(told.create(&admin(), persistence).await, CimStatus::InvalidParameter, "PersistenceType");
    let other = destination("d").with("PersistenceType", Value::Uint16(1));
    refused(told.create(&admin(), other).await, CimStatus::InvalidParameter, "OtherPersistenceType");
    let soap = destination("d").with("Protocol", Value::Uint16(4));
    refused(told.create(&admin(), soap).await, CimStatus::NotSupported, "CIM-XML");

    let filter = told.filter(&admin(), "f", CHANGES).await.unwrap();
    let handler = told.create(&admin(), destination("d")).await.unwrap();
    refused(told.create(&admin(), destination("d")).await, CimStatus::AlreadyExists, "already");
    let missing = InstancePath { keys: vec![], ..handler.clone() }.with_key("Name", "x");
    refused(told.create(&admin(), subscription(&filter, &missing)).await, CimStatus::NotFound, "Handler");
    refused(
        told.create(&admin(), subscription(&handler, &handler)).await,
        CimStatus::InvalidParameter,
        "must refer",
    );
    let with = |name: &str, value: u16| subscription(&filter, &handler).with(name, Value::Uint16(value));
    for (name, value, status) in [
        ("OnFatalErrorPolicy", 1, CimStatus::InvalidParameter),
        ("OnFatalErrorPolicy", 9, CimStatus::InvalidParameter),
        ("RepeatNotificationPolicy", 3, CimStatus::NotSupported),
        ("RepeatNotificationPolicy", 9, CimStatus::InvalidParameter),
        ("SubscriptionState", 1, CimStatus::NotSupported),
        ("SubscriptionState", 9, CimStatus::InvalidParameter),
    ] {
        refused(told.create(&admin(), with(name, value)).await, status, name);
    }
    let explained = with("OnFatalErrorPolicy", 1).with("OtherOnFatalErrorPolicy", "pray");
    refused(told.create(&admin(), explained).await, CimStatus::NotSupported, "OnFatalErrorPolicy");
}

#[tokio::test]
async fn writers_subscribe_and_keep_to_their_own() {
    let told = Told::open().await;
    let made = told.filter(&reader(), "f", CHANGES).await;
    refused(made, CimStatus::AccessDenied, "reader");
    let filter = told.filter(&operator(), "f", CHANGES).await.unwrap();
    let handler = told.create(&operator(), destination("d")).await.unwrap();
    let foreign = told.create(&stranger(), subscription(&filter, &handler)).await;
    refused(foreign, CimStatus::AccessDenied, "belongs to");
    let made = told.subscribe(&operator(), &filter, &handler).await;
    refused(told.delete(&stranger(), &made).await, CimStatus::AccessDenied, "belongs to");
    refused(told.delete(&reader(), &made).await, CimStatus::AccessDenied, "reader");
    let disabled = Value::Uint16(4);
    refused(
        told.modify(&stranger(), &made, "SubscriptionState", disabled.clone()).await,
        CimStatus::AccessDenied,
        "otto",
    );
    told.modify(&operator(), &made, "SubscriptionState", disabled).await.unwrap();
    told.delete(&admin(), &made).await.unwrap();
    told.delete(&operator(), &handler).await.unwrap();
    // Filters that are always there are for everybody who may subscribe, and stay.
    let standing = told.all("CIM_IndicationFilter").await;
    let standing =
        standing.iter().find(|f| f.get_str("Name") == Some("Cimwright:JobControl:JobStateChanged")).unwrap();
    let standing = standing.path.clone().unwrap();
    refused(told.delete(&admin(), &standing).await, CimStatus::AccessDenied, "stays");
    let own = told.create(&stranger(), destination("s")).await.unwrap();
    told.subscribe(&stranger(), &standing, &own).await;
    told.one_job("x").await;
    told.ears.until("the end of the job", |e| states(&e.of("s")).iter().any(|s| s.1 == Some(7))).await;
}

#[tokio::test]
async fn only_what_is_writable_can_be_changed() {
    let told = Told::open().await;
    let subscription = told.listener("a").await;
    told.modify(&admin(), &subscription, "SubscriptionInfo", "mine".into()).await.unwrap();
    told.modify(&admin(), &subscription, "SubscriptionDuration", Value::Uint64(60)).await.unwrap();
    let shown = told.house.get(&subscription).await.unwrap();
    assert_eq!(shown.get_str("SubscriptionInfo"), Some("mine"));
    assert_eq!(shown.get_u64("SubscriptionTimeRemaining"), Some(60));
    let policy = told.modify(&admin(), &subscription, "OnFatalErrorPolicy", Value::Uint16(4)).await;
    refused(policy, CimStatus::NotSupported, "OnFatalErrorPolicy");
    let filter = told.all("CIM_IndicationFilter").await.pop().unwrap().path.unwrap();
    refused(told.modify(&admin(), &filter, "Query", "x".into()).await, CimStatus::NotSupported, "Query");

    // Over is over: nothing is told any more, and all that can be done is to delete it.
    told.house.clock.advance(Duration::from_secs(61));
    told.one_job("late").await;
    let again = told.modify(&admin(), &subscription, "SubscriptionDuration", Value::Uint64(600)).await;
    refused(again, CimStatus::Failed, "expired");
    assert_eq!(told.house.get(&subscription).await.unwrap().get_u64("SubscriptionTimeRemaining"), Some(0));
    told.delete(&admin(), &subscription).await.unwrap();
    assert!(told.ears.of("a").is_empty());
}

#[tokio::test]
async fn a_disabled_subscription_is_told_nothing() {
    let told = Told::open().await;
    let subscription = told.listener("a").await;
    told.modify(&admin(), &subscription, "SubscriptionState", Value::Uint16(4)).await.unwrap();
    told.one_job("unseen").await;
    told.modify(&admin(), &subscription, "SubscriptionState", Value::Uint16(2)).await.unwrap();
    told.one_job("seen").await;
    told.ears.until("the end of a job", |e| states(&e.of("a")).iter().any(|s| s.1 == Some(7))).await;
    let heard = told.ears.of("a");
    in_order(&heard);
    let name = |i: &Instance| {
        i.get("SourceInstance").unwrap().as_instance().unwrap().get_str("Name").unwrap().to_owned()
    };
    assert!(heard.iter().all(|i| name(i) == "seen"), "{heard:#?}");
}

#[tokio::test]
async fn a_listener_that_comes_back_misses_nothing_and_delays_nobody() {
    let told = Told::open().await;
    told.listener("gone").await;
    told.listener("stuck").await;
    told.listener("here").await;
    told.ears.leave("gone");
    told.ears.stuck.lock().unwrap().insert("stuck".to_owned());
    for n in 0..5 {
        told.one_job(&format!("j{n}")).await;
    }
    told.ears
        .until("the listener that is there to have all", |e| {
            states(&e.of("here")).iter().filter(|s| s.1 == Some(7)).count() == 5
        })
        .await;
    told.ears.until("several attempts", |e| e.tries("gone") > 6).await;
    assert!(told.ears.of("gone").is_empty() && told.ears.of("stuck").is_empty());
    told.ears.come_back("gone");
    told.ears.until("all to be caught up", |e| e.of("gone").len() == e.of("here").len()).await;
    let (gone, here) = (told.ears.of("gone"), told.ears.of("here"));
    in_order(&gone);
    assert_eq!(states(&gone), states(&here));
    let identifiers = |all: &[Instance]| {
        all.iter().map(|i| i.get_str("IndicationIdentifier").unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(identifiers(&gone), identifiers(&here), "one evaluation, one indication");
}

#[tokio::test]
async fn a_restart_loses_nothing_and_numbers_go_on() {
    let store = Arc::new(MemoryStore::new());
    let first = Told::with(store.clone(), quick()).await;
    first.listener("a").await;
    first.ears.leave("a");
    first.one_job("before").await;
    first.house.indications.as_ref().unwrap().shut_down();
    let waiting = first.ears.of("a").len();
    assert_eq!(waiting, 0);
    drop(first);

    let second = Told { house: House::telling(store, quick()).await, ears: Arc::default() };
    assert_eq!(second.all("CIM_IndicationSubscription").await.len(), 1);
    second.start();
    second.one_job("after").await;
    second
        .ears
        .until("both jobs", |e| states(&e.of("a")).iter().filter(|s| s.1 == Some(7)).count() == 2)
        .await;
    in_order(&second.ears.of("a"));
}

#[tokio::test]
async fn policies_decide_about_listeners_that_stay_away() {
    let told = Told::open().await;
    told.ears.leave("a");
    told.ears.leave("b");
    told.ears.leave("c");
    let mut made = Vec::new();
    for (name, policy) in [("a", 2), ("b", 3), ("c", 4)] {
        let filter = told.filter(&admin(), &format!("f-{name}"), CHANGES).await.unwrap();
        let listener = told.create(&admin(), destination(name)).await.unwrap();
        let subscription = subscription(&filter, &listener).with("OnFatalErrorPolicy", Value::Uint16(policy));
        made.push(told.create(&admin(), subscription).await.unwrap());
    }
    told.one_job("x").await;
    let wait = async {
        loop {
            let disabled = told.house.get(&made[1]).await.unwrap().get_u64("SubscriptionState") == Some(4);
            if disabled && told.house.get(&made[2]).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the policies are applied");
    // One attempt and three more, as DeliveryRetryAttempts says; the first one is never given up.
    assert_eq!(told.ears.tries("b"), 4);
    assert_eq!(told.house.get(&made[0]).await.unwrap().get_u64("SubscriptionState"), Some(2));
    for name in ["a", "b", "c"] {
        told.ears.come_back(name);
    }
    told.modify(&admin(), &made[1], "SubscriptionState", Value::Uint16(2)).await.unwrap();
    told.one_job("y").await;
    told.ears
        .until("both to hear of the second job", |e| {
            let done = |n: &str| states(&e.of(n)).iter().filter(|s| s.1 == Some(7)).count();
            done("a") == 2 && done("b") == 1
        })
        .await;
    assert!(told.ears.of("c").is_empty());
}

#[tokio::test]
async fn the_service_removes_subscriptions_of_lasting_absence() {
    let config = IndicationsConfig {
        removal_action: RemovalAction::Remove,
        removal_interval: Duration::from_millis(30),
        retry_attempts: 1000,
        ..quick()
    };
    let told = Told::with(Arc::new(MemoryStore::new()), config).await;
    told.ears.leave("a");
    let subscription = told.listener("a").await;
    told.one_job("x").await;
    let wait = async {
        while told.house.get(&subscription).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the subscription is removed");
    let service = told.all("CIM_IndicationService").await;
    assert_eq!(service.len(), 1);
    assert_eq!(service[0].get_u64("SubscriptionRemovalAction"), Some(2));
    assert_eq!(service[0].get_u64("DeliveryRetryAttempts"), Some(1000));
    assert_eq!(service[0].get("FilterCreationEnabled"), Some(&Value::Boolean(true)));
    let capabilities = told.all("CIM_IndicationServiceCapabilities").await;
    assert_eq!(capabilities[0].get("SubscriptionsPersisted"), Some(&Value::Boolean(true)));
}

#[tokio::test]
async fn what_is_too_old_is_dropped_and_its_number_is_missing() {
    let told = Told::with(Arc::new(MemoryStore::new()), quick()).await;
    told.ears.leave("a");
    told.listener("a").await;
    told.one_job("old").await;
    told.ears.until("an attempt", |e| e.tries("a") > 0).await;
    told.house.clock.advance(Duration::from_secs(2 * 24 * 3600));
    let empty = async {
        let outbox: &dyn cimwright_jobs::Outbox = &*told.house.store;
        let destination = outbox
            .entries()
            .await
            .unwrap()
            .into_iter()
            .find(|e| e.kind == cimwright_jobs::EntryKind::Destination);
        let id = destination.unwrap().id;
        while outbox.queue(id).await.unwrap().unwrap().queued > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), empty).await.expect("the queue is emptied");
    told.ears.come_back("a");
    told.one_job("new").await;
    told.ears.until("the new job", |e| states(&e.of("a")).iter().any(|s| s.1 == Some(7))).await;
    let heard = told.ears.of("a");
    let first = heard[0].get("SequenceNumber").unwrap().as_i128().unwrap();
    assert!(first > 0, "{first}");
}

#[tokio::test]
async fn limits_are_limits() {
    let config = IndicationsConfig { max_filters: 1, max_destinations: 1, max_subscriptions: 0, ..quick() };
    let told = Told::with(Arc::new(MemoryStore::new()), config).await;
    let filter = told.filter(&admin(), "f", CHANGES).await.unwrap();
    refused(told.filter(&admin(), "g", CHANGES).await, CimStatus::ServerLimitsExceeded, "filters");
    let handler = told.create(&admin(), destination("d")).await.unwrap();
    refused(told.create(&admin(), destination("e")).await, CimStatus::ServerLimitsExceeded, "destinations");
    let made = told.create(&admin(), subscription(&filter, &handler)).await;
    refused(made, CimStatus::ServerLimitsExceeded, "subscriptions");
}

#[tokio::test]
async fn an_administrator_says_where_indications_may_go() {
    let config = IndicationsConfig { allowed: vec![Allowed::Domain("example.com".into())], ..quick() };
    let told = Told::with(Arc::new(MemoryStore::new()), config).await;
    refused(told.create(&admin(), destination("d")).await, CimStatus::AccessDenied, "127.0.0.1");
    let mut there = destination("d");
    there.set("Destination", Some("https://listener.example.com".into()));
    told.create(&admin(), there).await.unwrap();
}

#[tokio::test]
async fn alerts_reach_those_who_asked() {
    let told = Told::open().await;
    let alerts = cimwright_sdk::Alerts::new();
    let alert = |severity: u16| {
        Instance::new("CIM_AlertIndication").with("PerceivedSeverity", Value::Uint16(severity))
    };
    alerts.raise(&V2.into(), alert(6)).await.unwrap();
    alerts.connect(told.house.indications.as_ref().unwrap().sink());
    let filter =
        told.filter(&admin(), "f", "SELECT * FROM CIM_Indication WHERE PerceivedSeverity > 4").await.unwrap();
    let listener = told.create(&admin(), destination("a")).await.unwrap();
    told.subscribe(&admin(), &filter, &listener).await;
    for severity in [3, 6] {
        alerts.raise(&V2.into(), alert(severity)).await.unwrap();
    }
    alerts.raise(&V1.into(), alert(6)).await.unwrap();
    told.ears.until("the alert", |e| !e.of("a").is_empty()).await;
    let heard = told.ears.of("a");
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].get_u64("PerceivedSeverity"), Some(6));
    assert!(heard[0].get("IndicationTime").is_some());
    let no_indication = alerts.raise(&V2.into(), Instance::new("Msvm_StorageJob")).await;
    refused(no_indication, CimStatus::InvalidClass, "Msvm_StorageJob");
    let nowhere = alerts.raise(&"root/nope".into(), alert(6)).await;
    refused(nowhere, CimStatus::InvalidNamespace, "root/nope");
}

#[tokio::test]
async fn the_service_is_tied_to_what_it_manages() {
    let told = Told::open().await;
    told.listener("a").await;
    let service = told.all("CIM_IndicationService").await.pop().unwrap().path.unwrap();
    let operation = Operation::AssociatorNames { object: service.into(), filter: Default::default() };
    let found = told.house.items(INTEROP, operation).await.unwrap();
    let classes: HashSet<String> = found.iter().map(|i| i.class.to_string()).collect();
    for class in
        ["CIM_IndicationFilter", "CIM_ListenerDestinationCIMXML", "CIM_IndicationServiceCapabilities"]
    {
        assert!(classes.contains(class), "{classes:?}");
    }
}
