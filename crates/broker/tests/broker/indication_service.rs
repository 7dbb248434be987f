//! What belongs to the indication service beside filters and destinations: collections of filters, its settings, and what is told of
//! the calls that make jobs.

use crate::house::*;
use crate::indications::{CHANGES, Told, destination, filter, quick, refused};
use cimwright_broker::Principal;
use cimwright_cim::operation::Operation;
use cimwright_cim::{
    CimError, CimStatus, CimType, Instance, InstancePath, Name, NamespaceName, Property, Qualifier, Value,
};
use cimwright_store::MemoryStore;
use std::collections::HashSet;
use std::sync::Arc;

fn collection(name: &str) -> InstancePath {
    InstancePath::new(NamespaceName::new(INTEROP), "CIM_FilterCollection")
        .with_key("InstanceID", format!("Cimwright:FilterCollection:{name}"))
}

fn to_collection(filters: &InstancePath, handler: &InstancePath) -> Instance {
    Instance::new("CIM_FilterCollectionSubscription")
        .with("Filter", filters.clone())
        .with("Handler", handler.clone())
}

#[tokio::test]
async fn the_call_of_a_job_is_told_before_and_after() {
    let told = Told::open().await;
    let query = "SELECT * FROM CIM_InstMethodCall WHERE MethodName = 'StartWork'";
    let calls = told.filter(&admin(), "calls", query).await.unwrap();
    let listener = told.create(&admin(), destination("a")).await.unwrap();
    told.subscribe(&admin(), &calls, &listener).await;
    let other =
        told.filter(&admin(), "other", "SELECT * FROM CIM_InstMethodCall WHERE MethodName = 'x'").await;
    let silent = told.create(&admin(), destination("b")).await.unwrap();
    told.subscribe(&admin(), &other.unwrap(), &silent).await;
    let job = told.one_job("x").await;
    told.ears.until("both", |e| e.of("a").len() == 2).await;
    let heard = told.ears.of("a");
    let of = |at: usize, name: &str| heard[at].get(name).cloned();
    assert_eq!(of(0, "PreCall"), Some(Value::Boolean(true)));
    assert_eq!(of(0, "ReturnValue"), None);
    assert_eq!(of(1, "PreCall"), Some(Value::Boolean(false)));
    assert_eq!(of(1, "ReturnValue"), Some("0".into()));
    for (at, parameter) in [(0, "Label"), (1, "Work")] {
        let parameters = of(at, "MethodParameters").unwrap();
        let parameters = parameters.as_instance().unwrap();
        assert!(parameters.class.is("__MethodParameters"));
        assert!(parameters.get(parameter).is_some(), "{parameters:?}");
    }
    let parameters = of(1, "MethodParameters").unwrap();
    let told_job = parameters.as_instance().unwrap().get_str("Work").unwrap().to_owned();
    assert!(told_job.contains(job.key_str("InstanceID").unwrap()), "{told_job}");
    assert!(of(0, "SourceInstance").unwrap().as_instance().is_some());
    assert_eq!(heard[0].get_str("SourceInstanceHost"), Some("host1"));
    assert!(told.ears.of("b").is_empty());
}

#[tokio::test]
async fn a_collection_is_subscribed_to_as_one() {
    let told = Told::open().await;
    let collections = told.all("CIM_FilterCollection").await;
    let names: HashSet<_> =
        collections.iter().map(|c| c.get_str("CollectionName").unwrap().to_owned()).collect();
    assert!(names.contains("Cimwright:JobControl:Filters"), "{names:?}");
    let jobs = collection("JobControl");
    let operation = Operation::AssociatorNames { object: jobs.clone().into(), filter: Default::default() };
    let found = told.house.items(INTEROP, operation).await.unwrap();
    assert_eq!(found.iter().filter(|i| i.class.is("CIM_IndicationFilter")).count(), 5);
    assert_eq!(found.iter().filter(|i| i.class.is("CIM_IndicationService")).count(), 1);

    let listener = told.create(&admin(), destination("a")).await.unwrap();
    let made = told.create(&operator(), to_collection(&jobs, &listener)).await;
    refused(made, CimStatus::AccessDenied, "belongs");
    let wrong = told.create(&admin(), to_collection(&collection("Nothing"), &listener)).await;
    refused(wrong, CimStatus::NotFound, "Filter");
    let made = told.create(&admin(), to_collection(&jobs, &listener)).await.unwrap();
    refused(
        told.create(&admin(), to_collection(&jobs, &listener)).await,
        CimStatus::AlreadyExists,
        "already",
    );
    told.one_job("x").await;
    let seen = |i: &Instance| {
        (
            i.class.to_string(),
            i.get_str("SourceInstanceModelPath").unwrap().split(':').next().unwrap().to_owned(),
        )
    };
    let ends = |e: &crate::indications::Ears| {
        let over = |i: &&Instance| {
            i.get("SourceInstance").and_then(Value::as_instance).unwrap().get_u64("JobState") == Some(7)
        };
        e.of("a").iter().filter(over).count() == 3
    };
    told.ears.until("the end of the job in every namespace", ends).await;
    // Five filters, and most of them want the same: one indication all the same.
    let mut heard: Vec<_> = told.ears.of("a").iter().map(seen).collect();
    heard.sort();
    let once: HashSet<_> = heard.iter().cloned().collect();
    let creations = heard.iter().filter(|h| h.0 == "CIM_InstCreation").count();
    assert_eq!(creations, 3, "{heard:?}");
    assert_eq!(once.iter().filter(|h| h.0 == "CIM_InstCreation").count(), 3, "{heard:?}");

    let again = Told::with(Arc::clone(&told.house.store), quick()).await;
    assert!(again.house.get(&made).await.is_ok(), "it is durable");
    let delete = |path: InstancePath| Operation::DeleteInstance { path };
    let error = again.house.refused(INTEROP, delete(jobs)).await;
    assert_eq!(error.status, CimStatus::NotSupported);
    again.house.ask(&admin(), INTEROP, delete(made)).await.unwrap();
}

#[tokio::test]
async fn the_settings_of_the_service_are_durable() {
    let store = Arc::new(MemoryStore::new());
    let told = Told::with(Arc::clone(&store), quick()).await;
    let service = told.all("CIM_IndicationService").await.pop().unwrap();
    let path = service.path.clone().unwrap();
    refused(
        set(&told, &operator(), &path, "DeliveryRetryAttempts", Some(Value::Uint16(9))).await,
        CimStatus::AccessDenied,
        "administrators",
    );
    for (name, value, status) in [
        ("SubscriptionRemovalAction", Value::Uint16(7), CimStatus::InvalidParameter),
        ("DeliveryRetryInterval", Value::Uint32(0), CimStatus::InvalidParameter),
        ("Caption", Value::from("x"), CimStatus::NotSupported),
    ] {
        refused(set(&told, &admin(), &path, name, Some(value)).await, status, name);
    }
    set(&told, &admin(), &path, "DeliveryRetryAttempts", Some(Value::Uint16(9))).await.unwrap();
    set(&told, &admin(), &path, "SubscriptionRemovalAction", Some(Value::Uint16(3))).await.unwrap();
    set(&told, &admin(), &path, "FilterCreationEnabled", Some(Value::Boolean(false))).await.unwrap();
    let made = told.filter(&admin(), "f", CHANGES).await;
    refused(made, CimStatus::NotSupported, "FilterCreationEnabled");

    let told = Told::with(store, quick()).await;
    let value = async |name: &str| told.all("CIM_IndicationService").await[0].get(name).cloned();
    assert_eq!(value("DeliveryRetryAttempts").await, Some(Value::Uint16(9)));
    assert_eq!(value("SubscriptionRemovalAction").await, Some(Value::Uint16(3)));
    assert_eq!(value("FilterCreationEnabled").await, Some(Value::Boolean(false)));
    set(&told, &admin(), &path, "DeliveryRetryAttempts", None).await.unwrap();
    assert_eq!(value("DeliveryRetryAttempts").await, Some(Value::Uint16(quick().retry_attempts)));
    set(&told, &admin(), &path, "FilterCreationEnabled", None).await.unwrap();
    told.create(&admin(), filter("f", "WQL", CHANGES, &[V2])).await.unwrap();
}

#[tokio::test]
async fn instances_that_clients_keep_are_told() {
    let store = Arc::new(MemoryStore::new());
    let told = Told::with(Arc::clone(&store), quick()).await;
    let ada = admin();
    let everything = "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA 'Acme_Thing'";
    let unknown = told.filter(&ada, "f", everything).await;
    refused(unknown, CimStatus::InvalidQuery, "Acme_Thing");
    let class = |name: &str| {
        let mut class = cimwright_cim::Class::new(name);
        let mut key = Property::new("Name", CimType::String, None);
        key.qualifiers.push(Qualifier::flag("Key"));
        class.properties = vec![key, Property::new("Size", CimType::Uint32, None)];
        Operation::CreateClass { class: Box::new(class) }
    };
    told.house.ask(&ada, V2, class("Acme_Thing")).await.unwrap();
    told.house.ask(&ada, V2, class("Acme_Other")).await.unwrap();
    let things = told.filter(&ada, "f", everything).await.unwrap();
    let large = "SELECT * FROM CIM_InstModification WHERE SourceInstance.Acme_Thing::Size > 5";
    let large = told.create(&ada, filter("g", "DMTF:CQL", large, &[V2])).await.unwrap();
    for (name, filter) in [("a", &things), ("b", &large)] {
        let listener = told.create(&ada, destination(name)).await.unwrap();
        told.subscribe(&ada, filter, &listener).await;
    }

    let thing =
        |class: &str, size: u32| Instance::new(class).with("Name", "x").with("Size", Value::Uint32(size));
    let path = |class: &str| InstancePath::new(NamespaceName::new(V2), class).with_key("Name", "x");
    let ask = async |operation| told.house.ask(&ada, V2, operation).await.unwrap();
    for class in ["Acme_Other", "Acme_Thing"] {
        ask(Operation::CreateInstance { instance: thing(class, 1) }).await;
        for size in [5, 5, 6] {
            let mut instance = thing(class, size);
            instance.path = Some(path(class));
            ask(Operation::ModifyInstance { instance, property_list: None }).await;
        }
        ask(Operation::DeleteInstance { path: path(class) }).await;
    }
    told.ears.until("its whole life", |e| e.of("a").len() == 4).await;
    let heard = told.ears.of("a");
    let classes: Vec<_> = heard.iter().map(|i| i.class.to_string()).collect();
    let modification = "CIM_InstModification";
    assert_eq!(classes, ["CIM_InstCreation", modification, modification, "CIM_InstDeletion"]);
    let size =
        |at: usize, of: &str| heard[at].get(of).and_then(Value::as_instance).and_then(|i| i.get_u64("Size"));
    assert_eq!((size(0, "SourceInstance"), size(3, "SourceInstance")), (Some(1), Some(6)));
    assert_eq!((size(1, "PreviousInstance"), size(1, "SourceInstance")), (Some(1), Some(5)));
    assert_eq!(heard[1].get("ChangedPropertyNames"), Some(&Value::strings(["Size"])));
    assert_eq!(
        heard[0].get_str("SourceInstanceModelPath"),
        Some("root/virtualization/v2:Acme_Thing.Name=\"x\"")
    );
    told.ears.until("what is large", |e| e.of("b").len() == 1).await;

    // When the class goes, the filter has no effect any more, and comes back with the class.
    ask(Operation::DeleteClass { class: "Acme_Thing".into() }).await;
    ask(class("Acme_Thing")).await;
    ask(Operation::CreateInstance { instance: thing("Acme_Thing", 1) }).await;
    told.ears.until("a new one", |e| e.of("a").len() == 5).await;
}

async fn set(
    told: &Told,
    who: &Principal,
    path: &InstancePath,
    name: &str,
    value: Option<Value>,
) -> Result<(), CimError> {
    let mut instance = Instance::new(path.class.clone());
    instance.set(name, value);
    instance.path = Some(path.clone());
    let property_list = Some(vec![Name::new(name)]);
    told.house.ask(who, INTEROP, Operation::ModifyInstance { instance, property_list }).await.map(|_| ())
}
