//! Pulled enumerations.

use crate::house::*;
use async_trait::async_trait;
use cimwright_broker::{Limits, Principal, Role};
use cimwright_cim::operation::{OpenOptions, Operation, OperationResult, PullKind};
use cimwright_cim::{CimError, CimStatus, ClassName, Instance};
use cimwright_sdk::{Context, InstancePortions, InstanceProvider, Plugin, ServedClass};
use std::sync::Arc;
use std::time::Duration;

fn open(max_object_count: u32) -> OpenOptions {
    OpenOptions { max_object_count, ..OpenOptions::default() }
}

fn enumerate(open: OpenOptions) -> Operation {
    Operation::OpenEnumerateInstances {
        class: "CIM_Job".into(),
        deep: true,
        options: Default::default(),
        open,
    }
}

fn pull(context: &str, max_object_count: u32) -> Operation {
    Operation::Pull { kind: PullKind::InstancesWithPath, context: context.to_owned(), max_object_count }
}

async fn pulled(
    house: &House,
    who: &Principal,
    operation: Operation,
) -> Result<(Vec<Instance>, Option<String>), CimError> {
    match house.ask(who, V1, operation).await? {
        OperationResult::Pulled { items, context, .. } => Ok((items, context)),
        other => panic!("not pulled: {other:?}"),
    }
}

async fn with_jobs(count: usize) -> House {
    let house = House::open().await;
    for n in 0..count {
        house.start(&operator(), V1, "ok", &format!("w{n}")).await;
    }
    house
}

#[tokio::test]
async fn all_jobs_come_in_portions() {
    let house = with_jobs(7).await;
    let (first, context) = pulled(&house, &reader(), enumerate(open(3))).await.unwrap();
    let context = context.unwrap();
    assert_eq!(first.len(), 3);
    assert!(first.iter().all(|i| i.path.is_some() && i.property("JobState").is_some()));
    let (none, same) = pulled(&house, &reader(), pull(&context, 0)).await.unwrap();
    assert_eq!((none.len(), same.as_deref()), (0, Some(context.as_str())), "a sign of life");
    let (second, still) = pulled(&house, &reader(), pull(&context, 3)).await.unwrap();
    assert_eq!((second.len(), still.is_some()), (3, true));
    let (last, end) = pulled(&house, &reader(), pull(&context, 3)).await.unwrap();
    assert_eq!((last.len(), end), (1, None));
    let mut ids: Vec<_> =
        [first, second, last].concat().iter().map(|i| i.get_str("InstanceID").unwrap().to_owned()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 7);
    let error = pulled(&house, &reader(), pull(&context, 3)).await.unwrap_err();
    assert_eq!(error.status, CimStatus::InvalidEnumerationContext, "the end has closed it");
}

#[tokio::test]
async fn an_open_without_a_count_only_opens() {
    let house = with_jobs(1).await;
    let (items, context) = pulled(&house, &reader(), enumerate(open(0))).await.unwrap();
    assert!(items.is_empty());
    let (items, context) = pulled(&house, &reader(), pull(&context.unwrap(), u32::MAX)).await.unwrap();
    assert_eq!((items.len(), context), (1, None));
}

#[tokio::test]
async fn one_answer_has_a_greatest_size() {
    let house = House::with(Default::default(), Limits { max_object_count: 2, ..Limits::default() }).await;
    for n in 0..3 {
        house.start(&operator(), V1, "ok", &format!("w{n}")).await;
    }
    let (items, context) = pulled(&house, &reader(), enumerate(open(1000))).await.unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(pulled(&house, &reader(), pull(&context.unwrap(), 1000)).await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn every_open_form_is_served() {
    let house = with_jobs(1).await;
    let operation = Operation::EnumerateInstanceNames { class: "CIM_Job".into() };
    let job = house.items(V1, operation).await.unwrap().remove(0).path.unwrap();
    let filter = || Default::default();
    let options = || Default::default();
    let rows = [
        (Operation::OpenEnumerateInstancePaths { class: "CIM_Job".into(), open: open(9) }, 1, false),
        (
            Operation::OpenAssociatorInstances {
                object: job.clone(),
                filter: filter(),
                options: options(),
                open: open(9),
            },
            3,
            true,
        ),
        (
            Operation::OpenAssociatorInstancePaths { object: job.clone(), filter: filter(), open: open(9) },
            3,
            false,
        ),
        (
            Operation::OpenReferenceInstances {
                object: job.clone(),
                filter: filter(),
                options: options(),
                open: open(9),
            },
            3,
            true,
        ),
        (Operation::OpenReferenceInstancePaths { object: job, filter: filter(), open: open(9) }, 3, false),
    ];
    for (operation, count, whole) in rows {
        let (items, context) = pulled(&house, &reader(), operation.clone()).await.unwrap();
        assert_eq!((items.len(), context), (count, None), "{operation:?}");
        assert!(items.iter().all(|i| i.path.is_some() && i.properties.is_empty() != whole), "{operation:?}");
    }
}

#[tokio::test]
async fn a_session_belongs_to_its_user_kind_and_namespace() {
    let house = with_jobs(2).await;
    let (_, context) = pulled(&house, &reader(), enumerate(open(1))).await.unwrap();
    let context = context.unwrap();
    let as_paths =
        Operation::Pull { kind: PullKind::InstancePaths, context: context.clone(), max_object_count: 1 };
    let other = Principal::authenticated("ruth", Role::Administrator);
    for (who, namespace, operation) in [
        (reader(), V1, as_paths),
        (other.clone(), V1, pull(&context, 1)),
        (other.clone(), V1, Operation::CloseEnumeration { context: context.clone() }),
        (other, V1, Operation::EnumerationCount { context: context.clone() }),
        (reader(), V2, pull(&context, 1)),
        (reader(), V1, pull("guess", 1)),
    ] {
        let error = house.ask(&who, namespace, operation.clone()).await.unwrap_err();
        assert_eq!(error.status, CimStatus::InvalidEnumerationContext, "{operation:?}");
    }
    let count = Operation::EnumerationCount { context: context.clone() };
    assert_eq!(house.ask(&reader(), V1, count).await.unwrap(), OperationResult::Count(None));
    let close = Operation::CloseEnumeration { context };
    assert_eq!(house.ask(&reader(), V1, close.clone()).await.unwrap(), OperationResult::Void);
    let error = house.ask(&reader(), V1, close).await.unwrap_err();
    assert_eq!(error.status, CimStatus::InvalidEnumerationContext);
}

#[tokio::test]
async fn an_idle_session_is_dropped_and_a_used_one_is_not() {
    let house = with_jobs(3).await;
    let options = OpenOptions { operation_timeout: Some(10), ..open(1) };
    let (_, context) = pulled(&house, &reader(), enumerate(options)).await.unwrap();
    let context = context.unwrap();
    for _ in 0..3 {
        house.clock.advance(Duration::from_secs(9));
        pulled(&house, &reader(), pull(&context, 0)).await.unwrap();
    }
    house.clock.advance(Duration::from_secs(11));
    let error = pulled(&house, &reader(), pull(&context, 1)).await.unwrap_err();
    assert_eq!(error.status, CimStatus::InvalidEnumerationContext);
}

/// A provider whose portions never end, and which sees how many cursors there are.
struct Endless(Arc<()>);

#[async_trait]
impl InstanceProvider for Endless {
    async fn enumerate(&self, _: Context<'_>, _: &ClassName) -> Result<Vec<Instance>, CimError> {
        Ok(Vec::new())
    }

    async fn open(&self, _: Context<'_>, _: &ClassName) -> Result<Box<dyn InstancePortions>, CimError> {
        Ok(Box::new(Endless(Arc::clone(&self.0))))
    }
}

#[async_trait]
impl InstancePortions for Endless {
    async fn next(&mut self) -> Result<Option<Vec<Instance>>, CimError> {
        Ok(Some(vec![Instance::new("Test_Orphan").with("Id", "x")]))
    }
}

#[tokio::test]
async fn an_idle_session_is_dropped_by_whatever_looks_at_sessions() {
    let cursors = Arc::new(());
    let served = ServedClass {
        namespace: V1.into(),
        class: "Test_Orphan".into(),
        instances: Some(Arc::new(Endless(Arc::clone(&cursors)))),
        methods: None,
    };
    let house = House::with_more(|builder| {
        builder.plugin(Plugin { name: "endless", classes: vec![served], ..Plugin::default() })
    })
    .await;
    let without = Arc::strong_count(&cursors);
    for look in [
        pull("guess", 1),
        Operation::CloseEnumeration { context: "guess".into() },
        Operation::EnumerationCount { context: "guess".into() },
    ] {
        let operation = Operation::OpenEnumerateInstances {
            class: "Test_Orphan".into(),
            deep: true,
            options: Default::default(),
            open: open(1),
        };
        pulled(&house, &reader(), operation).await.unwrap().1.unwrap();
        house.ask(&reader(), V1, look.clone()).await.unwrap_err();
        assert_eq!(Arc::strong_count(&cursors), without + 1, "{look:?}: its time is not over");
        house.clock.advance(Duration::from_secs(91));
        house.ask(&reader(), V1, look.clone()).await.unwrap_err();
        assert_eq!(Arc::strong_count(&cursors), without, "{look:?}");
    }
}

#[tokio::test]
async fn sessions_are_limited_for_a_user_and_in_all() {
    let limits = Limits { sessions: 3, sessions_per_user: 2, ..Limits::default() };
    let house = House::with(Default::default(), limits).await;
    house.start(&operator(), V1, "ok", "w1").await;
    let start = async |who: Principal| pulled(&house, &who, enumerate(open(0))).await;
    start(reader()).await.unwrap();
    let (_, second) = start(reader()).await.unwrap();
    assert_eq!(start(reader()).await.unwrap_err().status, CimStatus::ServerLimitsExceeded);
    start(operator()).await.unwrap();
    assert_eq!(start(admin()).await.unwrap_err().status, CimStatus::ServerLimitsExceeded);
    let close = Operation::CloseEnumeration { context: second.unwrap() };
    house.ask(&reader(), V1, close).await.unwrap();
    start(admin()).await.unwrap();
    house.clock.advance(Duration::from_secs(91));
    start(admin()).await.unwrap();
}

#[tokio::test]
async fn what_an_open_cannot_do_is_refused() {
    let house = with_jobs(1).await;
    let filter = |language: &str| Some((language.to_owned(), "x = 1".to_owned()));
    let rows = [
        (OpenOptions { operation_timeout: Some(0), ..open(1) }, CimStatus::InvalidOperationTimeout),
        (OpenOptions { operation_timeout: Some(601), ..open(1) }, CimStatus::InvalidOperationTimeout),
        (OpenOptions { filter: filter("dmtf:fql"), ..open(1) }, CimStatus::InvalidQuery),
        (OpenOptions { filter: filter("DMTF:CQL"), ..open(1) }, CimStatus::QueryLanguageNotSupported),
        (OpenOptions { filter: filter("SQL"), ..open(1) }, CimStatus::QueryLanguageNotSupported),
    ];
    for (options, status) in rows {
        let error = pulled(&house, &reader(), enumerate(options)).await.unwrap_err();
        assert_eq!(error.status, status);
    }
}

#[tokio::test]
async fn a_filter_finds_what_passes_it() {
    let house = House::open().await;
    let mut jobs = Vec::new();
    for (kind, name) in [("ok", "copy a"), ("ok", "move b"), ("ok", "copy c")] {
        jobs.push(house.start(&operator(), V1, kind, name).await);
    }
    let with = |text: &str| OpenOptions { filter: Some(("DMTF:FQL".into(), text.to_owned())), ..open(100) };
    let find = async |operation| {
        let mut found: Vec<_> = pulled(&house, &reader(), operation)
            .await
            .unwrap()
            .0
            .into_iter()
            .map(|i| i.path.unwrap().key_str("InstanceID").unwrap().to_owned())
            .collect();
        found.sort();
        found
    };
    let ids = |wanted: &[usize]| {
        let mut ids: Vec<_> =
            wanted.iter().map(|w| jobs[*w].key_str("InstanceID").unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(find(enumerate(with("Name LIKE 'copy.*'"))).await, ids(&[0, 2]));
    assert_eq!(find(enumerate(with("Name LIKE 'COPY.*'"))).await, ids(&[]), "case counts");
    assert_eq!(find(enumerate(with("NOT Name = 'copy a' AND NOT Name = 'copy c'"))).await, ids(&[1]));
    assert_eq!(find(enumerate(with("ANY OperationalStatus[*] <> 999"))).await, ids(&[0, 1, 2]));
    // What is filtered by need not be shown.
    let paths =
        |text: &str| Operation::OpenEnumerateInstancePaths { class: "CIM_Job".into(), open: with(text) };
    assert_eq!(find(paths("Name = 'move b'")).await, ids(&[1]));
    let list = Some(vec!["JobState".into()]);
    let options = cimwright_cim::operation::InstanceOptions { property_list: list, ..Default::default() };
    let shown = Operation::OpenEnumerateInstances {
        class: "CIM_ManagedElement".into(),
        deep: true,
        options,
        open: with("Name = 'move b'"),
    };
    assert_eq!(find(shown).await, ids(&[1]), "a property of subclasses may be asked for");

    for (text, status) in [
        ("NoSuch = 1", CimStatus::InvalidQuery),
        ("Name = ", CimStatus::InvalidQuery),
        ("SELECT * FROM CIM_Job", CimStatus::InvalidQuery),
        ("JobState = 'x'", CimStatus::InvalidQuery),
        ("JobState = #'Completed'", CimStatus::QueryFeatureNotSupported),
    ] {
        let error = pulled(&house, &reader(), enumerate(with(text))).await.unwrap_err();
        assert_eq!(error.status, status, "{text}: {error}");
    }
}

#[tokio::test]
async fn a_filter_applies_to_what_an_instance_is_tied_to() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "ok", "w").await;
    let all = async |text: Option<&str>| {
        let filter = text.map(|t| ("DMTF:FQL".to_owned(), t.to_owned()));
        let open = OpenOptions { filter, ..open(100) };
        let (object, filter) = (job.clone(), Default::default());
        let operation = Operation::OpenAssociatorInstancePaths { object, filter, open };
        pulled(&house, &reader(), operation).await.unwrap().0.len()
    };
    assert!(all(None).await > 0);
    assert_eq!(all(Some("NoSuch = 1")).await, 0, "of any class: what is not there is NULL");
    assert_eq!(all(Some("NoSuch IS NULL")).await, all(None).await);
}

/// A session whose next portion takes until the gate opens.
async fn slow(house: &House) -> String {
    let operation = Operation::OpenEnumerateInstances {
        class: "Test_Slow".into(),
        deep: true,
        options: Default::default(),
        open: open(0),
    };
    pulled(house, &reader(), operation).await.unwrap().1.unwrap()
}

#[tokio::test]
async fn a_session_can_be_closed_while_it_is_pulled_and_pulled_once_at_a_time() {
    let house = House::open().await;
    let context = slow(&house).await;
    let rita = reader();
    let pulling = pulled(&house, &rita, pull(&context, 1));
    tokio::pin!(pulling);
    tokio::select! {
        biased;
        early = &mut pulling => panic!("the gate is closed: {early:?}"),
        () = tokio::task::yield_now() => {}
    }
    let error = pulled(&house, &reader(), pull(&context, 1)).await.unwrap_err();
    assert_eq!(error.status, CimStatus::Failed, "one Pull at a time");
    house.ask(&reader(), V1, Operation::CloseEnumeration { context }).await.unwrap();
    house.gate.add_permits(1);
    assert_eq!(pulling.await.unwrap_err().status, CimStatus::PullHasBeenAbandoned);
}

#[tokio::test]
async fn a_pull_that_is_given_up_ends_its_session() {
    let house = House::open().await;
    let context = slow(&house).await;
    let rita = reader();
    tokio::select! {
        biased;
        early = pulled(&house, &rita, pull(&context, 1)) => panic!("the gate is closed: {early:?}"),
        () = tokio::task::yield_now() => {}
    }
    let error = pulled(&house, &reader(), pull(&context, 1)).await.unwrap_err();
    assert_eq!(error.status, CimStatus::InvalidEnumerationContext);
}
