//! Writes of static instances that come at the same time.

use crate::house::{House, V1, admin};
use cimwright_broker::Limits;
use cimwright_cim::operation::{InstanceOptions, Operation, OperationResult};
use cimwright_cim::{
    CimError, CimStatus, CimType, Class, Instance, InstancePath, NamespaceName, Property, Qualifier, Value,
};
use cimwright_repository::{Change, Content, RepositoryError, RepositoryStore};
use cimwright_store::SqliteRepository;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Keeps what it is told, lets each write wait for a permit, and refuses whatever has the number 13 in it.
struct Slow {
    permits: Semaphore,
    begun: AtomicUsize,
    kept: Mutex<Vec<Vec<Change>>>,
}

#[async_trait::async_trait]
impl RepositoryStore for Slow {
    async fn load(&self) -> Result<Content, RepositoryError> {
        Ok(Content::default())
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), RepositoryError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        let unlucky = |change: &Change| match change {
            Change::SetInstance(_, instance) => instance.get("Id") == Some(&Value::Uint32(13)),
            _ => false,
        };
        if changes.iter().any(unlucky) {
            return Err(RepositoryError::Full("thirteen".to_owned()));
        }
        self.kept.lock().unwrap().push(changes.to_vec());
        Ok(())
    }
}

fn item_class() -> Class {
    let mut class = Class::new("ACME_Item");
    let mut id = Property::new("Id", CimType::Uint32, None);
    id.qualifiers.push(Qualifier::flag("Key"));
    class.properties = vec![id, Property::new("Text", CimType::String, None)];
    class
}

fn path(id: u32) -> InstancePath {
    InstancePath::new(NamespaceName::new(V1), "ACME_Item").with_key("Id", Value::Uint32(id))
}

fn create(id: u32) -> Operation {
    Operation::CreateInstance { instance: Instance::new("ACME_Item").with("Id", Value::Uint32(id)) }
}

fn modify(id: u32, text: &str) -> Operation {
    let mut instance = Instance::new("ACME_Item").with("Text", text);
    instance.path = Some(path(id));
    Operation::ModifyInstance { instance, property_list: None }
}

/// Lets everything run until it waits: there is one thread.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

/// A house with the class, whose store is given a permit for it.
async fn house(limits: Limits) -> (Arc<House>, Arc<Slow>) {
    let slow =
        Arc::new(Slow { permits: Semaphore::new(1), begun: AtomicUsize::new(0), kept: Mutex::default() });
    let store = Arc::clone(&slow);
    let house =
        House::with_more(|builder| builder.repository(store, Content::default()).limits(limits)).await;
    let class = Operation::CreateClass { class: Box::new(item_class()) };
    house.ask(&admin(), V1, class).await.unwrap();
    slow.begun.store(0, Ordering::SeqCst);
    slow.kept.lock().unwrap().clear();
    (Arc::new(house), slow)
}

type Answers = JoinSet<(u32, Result<OperationResult, CimError>)>;

fn ask(answers: &mut Answers, house: &Arc<House>, id: u32, operation: Operation) {
    let house = Arc::clone(house);
    answers.spawn(async move { (id, house.ask(&admin(), V1, operation).await) });
}

async fn ids(house: &House) -> Vec<u32> {
    let all = Operation::EnumerateInstances {
        class: "ACME_Item".into(),
        deep: true,
        options: InstanceOptions::default(),
    };
    let found = house.items(V1, all).await.unwrap();
    let mut ids: Vec<u32> = found
        .iter()
        .filter_map(|i| match i.get("Id") {
            Some(Value::Uint32(id)) => Some(*id),
            _ => None,
        })
        .collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn writes_that_come_together_share_a_transaction_and_nothing_is_told_before_it_is_kept() {
    let (house, slow) = house(Limits::default()).await;
    let mut answers = Answers::new();
    ask(&mut answers, &house, 0, create(0));
    settle().await;
    assert_eq!(slow.begun.load(Ordering::SeqCst), 1);
    for id in 100..150 {
        ask(&mut answers, &house, id, create(id));
    }
    settle().await;
    assert_eq!(slow.begun.load(Ordering::SeqCst), 1, "the others wait for their turn");
    assert!(answers.try_join_next().is_none(), "nothing is answered before it is kept");
    assert!(ids(&house).await.is_empty(), "nor seen");
    slow.permits.add_permits(1);
    let (first, _) = answers.join_next().await.unwrap().unwrap();
    assert_eq!(first, 0);
    settle().await;
    assert_eq!(ids(&house).await, [0]);
    slow.permits.add_permits(1);
    while let Some(answer) = answers.join_next().await {
        let (id, answer) = answer.unwrap();
        assert_eq!(answer.unwrap(), OperationResult::Created(path(id)));
    }
    let sizes: Vec<usize> = slow.kept.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 50]);
    assert_eq!(ids(&house).await.len(), 51);
}

#[tokio::test]
async fn writes_of_one_instance_come_one_after_the_other() {
    let (house, slow) = house(Limits::default()).await;
    let mut answers = Answers::new();
    ask(&mut answers, &house, 0, create(0));
    settle().await;
    // In this order, behind the first: made, made again, changed, gone, changed.
    let operations = [
        create(1),
        create(1),
        modify(1, "x"),
        Operation::DeleteInstance { path: path(1) },
        create(2),
        create(1),
    ];
    for (n, operation) in (1..).zip(operations) {
        ask(&mut answers, &house, n, operation);
        settle().await;
    }
    slow.permits.add_permits(100);
    let mut statuses: Vec<(u32, Option<CimStatus>)> = Vec::new();
    while let Some(answer) = answers.join_next().await {
        let (n, answer) = answer.unwrap();
        statuses.push((n, answer.err().map(|e| e.status)));
    }
    statuses.sort_unstable_by_key(|(n, _)| *n);
    // What looks at an instance before it gets in line is refused there: nobody has made it yet.
    let wanted =
        [None, None, Some(CimStatus::AlreadyExists), Some(CimStatus::NotFound), Some(CimStatus::NotFound)];
    assert_eq!(statuses.iter().take(5).map(|(_, s)| *s).collect::<Vec<_>>(), wanted);
    assert_eq!((statuses[5].1, statuses[6].1), (None, Some(CimStatus::AlreadyExists)));
    assert_eq!(ids(&house).await, [0, 1, 2]);
}

#[tokio::test]
async fn one_that_cannot_be_kept_does_not_take_the_others_with_it() {
    let (house, slow) = house(Limits { static_instances: 20, ..Limits::default() }).await;
    let mut answers = Answers::new();
    ask(&mut answers, &house, 0, create(0));
    settle().await;
    for id in 10..40 {
        ask(&mut answers, &house, id, create(id));
    }
    settle().await;
    slow.permits.add_permits(1000);
    let (mut made, mut refused) = (Vec::new(), 0);
    while let Some(answer) = answers.join_next().await {
        match answer.unwrap() {
            (id, Ok(_)) => made.push(id),
            (_, Err(error)) => {
                assert_eq!(error.status, CimStatus::ServerLimitsExceeded);
                refused += 1;
            }
        }
    }
    made.sort_unstable();
    // Room for 20 was given out in one go, and the thirteenth did not use its place.
    assert_eq!((made.len(), refused), (19, 12));
    assert!(!made.contains(&13));
    assert_eq!(ids(&house).await, made);
}

/// The store itself, and a process that is gone without a word: what was answered is there, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_that_was_answered_is_there_when_the_database_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("repository.sqlite");
    let store = Arc::new(SqliteRepository::open(&file).await.unwrap());
    let house = House::with_more(|builder| builder.repository(store, Content::default())).await;
    let house = Arc::new(house);
    let class = Operation::CreateClass { class: Box::new(item_class()) };
    house.ask(&admin(), V1, class).await.unwrap();
    let mut answers = Answers::new();
    for id in 0..200 {
        ask(&mut answers, &house, id, create(id));
    }
    let mut made = Vec::new();
    // Half of the answers are waited for; then the files are taken as a crash would leave them.
    while made.len() < 100 {
        let (id, answer) = answers.join_next().await.unwrap().unwrap();
        answer.unwrap();
        made.push(id);
    }
    let left = tempfile::tempdir().unwrap();
    for name in ["repository.sqlite", "repository.sqlite-wal"] {
        std::fs::copy(directory.path().join(name), left.path().join(name)).unwrap();
    }
    let opened = SqliteRepository::open(&left.path().join("repository.sqlite")).await.unwrap();
    let content = opened.load().await.unwrap();
    for id in made {
        assert!(content.instances.iter().any(|(_, i)| i.path.as_ref() == Some(&path(id))), "{id}");
    }
    while let Some(answer) = answers.join_next().await {
        answer.unwrap().1.unwrap();
    }
    assert_eq!(ids(&house).await.len(), 200);
}
