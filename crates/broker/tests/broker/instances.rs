//! Get, enumerate, modify and delete.

use crate::house::*;
use cimwright_cim::operation::{InstanceOptions, Operation, OperationResult};
use cimwright_cim::{CimError, CimStatus, DateTime, Instance, InstancePath, Name, Value};
use cimwright_jobs::JobsConfig;

async fn modify(house: &House, instance: &Instance, list: Option<&[&str]>) -> Result<(), CimError> {
    let namespace = instance.path.as_ref().unwrap().namespace.as_ref().unwrap().as_str().to_owned();
    let property_list = list.map(|l| l.iter().map(Name::new).collect());
    let operation = Operation::ModifyInstance { instance: instance.clone(), property_list };
    let result = house.ask(&operator(), &namespace, operation).await?;
    assert_eq!(result, OperationResult::Void);
    Ok(())
}

/// An instance with only the properties that are to be changed.
fn change(job: &InstancePath, name: &str, value: impl Into<Value>) -> Instance {
    Instance { path: Some(job.clone()), ..Instance::new(&job.class) }.with(name, value)
}

fn interval(text: &str) -> Value {
    text.parse::<DateTime>().unwrap().into()
}

#[tokio::test]
async fn a_superclass_shows_the_jobs_of_its_subclasses() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "gate", "w").await;
    for class in ["CIM_ManagedElement", "CIM_Job", "Msvm_StorageJob"] {
        let paths = house.items(V1, Operation::EnumerateInstanceNames { class: class.into() }).await.unwrap();
        let jobs: Vec<_> = paths.iter().filter(|i| i.class.is("Msvm_StorageJob")).collect();
        assert_eq!(jobs.len(), 1, "{class}");
        assert_eq!(jobs[0].path.as_ref(), Some(&job));
        assert!(jobs[0].properties.is_empty());
    }
    assert!(
        house
            .items(V1, Operation::EnumerateInstanceNames { class: "Msvm_ConcreteJob".into() })
            .await
            .unwrap()
            .is_empty()
    );
    let enumerate = |class: &str, deep, options: InstanceOptions| Operation::EnumerateInstances {
        class: class.into(),
        deep,
        options,
    };
    let deep = house.items(V1, enumerate("CIM_Job", true, Default::default())).await.unwrap();
    assert!(deep[0].property("Parent").is_some());
    let shallow = house.items(V1, enumerate("CIM_Job", false, Default::default())).await.unwrap();
    assert!(shallow[0].property("Parent").is_none());
    assert!(shallow[0].property("PercentComplete").is_some());
    assert!(shallow[0].class.is("Msvm_StorageJob"), "with their real class");
    let options = InstanceOptions {
        include_class_origin: true,
        property_list: Some(vec!["jobstate".into(), "Parent".into(), "Nope".into()]),
    };
    let listed = house.items(V1, enumerate("CIM_ConcreteJob", false, options)).await.unwrap();
    assert_eq!(listed[0].properties.len(), 1);
    assert_eq!(listed[0].properties[0].class_origin, Some("CIM_ConcreteJob".into()));
    house.script.end("w", true);
}

#[tokio::test]
async fn more_than_one_page_of_jobs_is_enumerated() {
    let house = House::open().await;
    for n in 0..501 {
        house.start(&operator(), V1, "ok", &format!("w{n}")).await;
    }
    let paths = house.items(V2, Operation::EnumerateInstanceNames { class: "CIM_Job".into() }).await.unwrap();
    assert_eq!(paths.len(), 501);
    let mut ids: Vec<_> =
        paths.iter().map(|i| i.path.as_ref().unwrap().key_str("InstanceID").unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 501);
}

#[tokio::test]
async fn what_a_provider_gives_is_made_whole() {
    let house = House::open().await;
    let disks = house
        .items(
            V1,
            Operation::EnumerateInstances {
                class: "Test_Disk".into(),
                deep: true,
                options: Default::default(),
            },
        )
        .await
        .unwrap();
    assert_eq!(disks.len(), 3, "with the subclass");
    let a = &disks[0];
    assert_eq!(a.path.as_ref(), Some(&at(V1, disk("a"))));
    assert_eq!(a.get("Size"), Some(&Value::Uint64(7)), "of the declared type");
    assert!(a.property("Caption").is_some_and(|p| p.value.is_none()));
    assert_eq!(disks[2].get("Banks"), Some(&Value::Uint64(2)), "the default of the class");
    assert_eq!(house.get(&at(V1, disk("b"))).await.unwrap(), disks[1]);
    let shallow =
        Operation::EnumerateInstances { class: "Test_Disk".into(), deep: false, options: Default::default() };
    assert!(house.items(V1, shallow).await.unwrap().iter().all(|d| d.property("Banks").is_none()));
}

#[tokio::test]
async fn paths_are_read_kindly_but_not_wrongly() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "ok", "w").await;
    let id = job.key_str("InstanceID").unwrap();
    let of = |key: &str, value: &str| at(V1, InstancePath::new(None, "MSVM_storagejob")).with_key(key, value);
    for good in [of("instanceid", &id.to_lowercase()), of("", id)] {
        assert_eq!(house.get(&good).await.unwrap().path.unwrap(), job);
    }
    let rows = [
        (of("InstanceID", "not a guid"), CimStatus::NotFound),
        (of("InstanceID", "00000000-0000-0000-0000-000000000000"), CimStatus::NotFound),
        (of("Name", id), CimStatus::InvalidParameter),
        (of("InstanceID", id).with_key("Name", "w"), CimStatus::InvalidParameter),
        (at(V1, InstancePath::new(None, "Msvm_StorageJob")), CimStatus::InvalidParameter),
        (seen_in(V1, "Msvm_ConcreteJob", &job), CimStatus::NotFound),
        (seen_in(V1, "Nope", &job), CimStatus::InvalidClass),
        (at(V1, disk("c")), CimStatus::NotFound),
        (at(V1, InstancePath::new(None, "Test_Orphan").with_key("Id", "x")), CimStatus::NotFound),
    ];
    for (path, status) in rows {
        assert_eq!(house.get(&path).await.unwrap_err().status, status, "{path:?}");
    }
}

#[tokio::test]
async fn a_property_list_restricts_get_instance() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "ok", "w").await;
    for (path, name) in [(job, "JobState"), (at(V1, disk("a")), "Size")] {
        let options = InstanceOptions { include_class_origin: false, property_list: Some(vec![name.into()]) };
        let result = house.ask(&reader(), V1, Operation::GetInstance { path, options }).await.unwrap();
        let OperationResult::Instance(instance) = result else { panic!("{result:?}") };
        assert_eq!(instance.properties.len(), 1);
        assert!(instance.properties[0].name.is(name));
    }
}

#[tokio::test]
async fn writable_properties_are_changed() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "later", "w").await;
    let mut all =
        change(&job, "TimeBeforeRemoval", "00000000001000.000000:000").with("Notify", "otto@example");
    for (name, value) in [
        ("Priority", Value::from("7")),
        ("DeleteOnCompletion", Value::Boolean(false)),
        ("RunMonth", Value::Uint8(11)),
        ("RunDay", Value::Sint8(-31)),
        ("RunDayOfWeek", Value::Sint8(7)),
        ("LocalOrUtcTime", Value::Uint16(2)),
        ("JobRunTimes", Value::Uint32(1)),
        ("RunStartInterval", interval("00000000020000.000000:000")),
        ("UntilTime", interval("20300101000000.000000+000")),
        ("ScheduledStartTime", interval("20290102000000.000000+000")),
    ] {
        all.set(name, Some(value));
    }
    modify(&house, &all, None).await.unwrap();
    let shown = house.get(&job).await.unwrap();
    assert_eq!(shown.get("Priority"), Some(&Value::Uint32(7)));
    assert_eq!(shown.get("TimeBeforeRemoval"), Some(&interval("00000000001000.000000:000")));
    for property in
        all.properties.iter().filter(|p| !p.name.is("Priority") && !p.name.is("TimeBeforeRemoval"))
    {
        assert_eq!(shown.get(property.name.as_str()), property.value.as_ref(), "{}", property.name);
    }
    // Listed but not given: back to the default.
    let empty = Instance { path: Some(job.clone()), ..Instance::new("Msvm_StorageJob") };
    modify(&house, &empty, Some(&["TimeBeforeRemoval", "Notify", "Priority"])).await.unwrap();
    let shown = house.get(&job).await.unwrap();
    assert_eq!(shown.get("TimeBeforeRemoval"), Some(&interval("00000000000500.000000:000")));
    assert_eq!((shown.get("Notify"), shown.get_u64("Priority")), (None, Some(100)));
    assert_eq!(shown.get("RunMonth"), Some(&Value::Uint8(11)), "not listed");
    assert_eq!(shown.get_str("JobStatus"), Some("Waiting until 20291201020000.000000+000"));
    let record = house.jobs.load(id_of(&job)).await.unwrap().unwrap();
    assert_eq!(record.run.due, time("20291201020000.000000+000"));
}

fn id_of(job: &InstancePath) -> cimwright_jobs::JobId {
    job.key_str("InstanceID").unwrap().parse().unwrap()
}

fn time(text: &str) -> Option<std::time::SystemTime> {
    text.parse::<cimwright_cim::DateTime>().unwrap().to_system_time()
}

#[tokio::test]
async fn a_job_runs_when_its_properties_say() {
    let config = JobsConfig {
        poll_interval: std::time::Duration::from_millis(20),
        lease: std::time::Duration::from_secs(1_000_000_000),
        ..JobsConfig::default()
    };
    let house = House::with(config, Default::default()).await;
    let job = house.start(&operator(), V1, "later", "w").await;
    assert_eq!(house.get(&job).await.unwrap().get_u64("JobState"), Some(2));
    // In v2 the class makes none of them writable.
    let v2 = seen_in(V2, "Msvm_StorageJob", &job);
    let refused = modify(&house, &change(&v2, "JobRunTimes", Value::Uint32(2)), None).await.unwrap_err();
    assert_eq!(refused.status, CimStatus::InvalidParameter);
    // Every first of a month, three times, an hour after midnight.
    let mut monthly = change(&job, "RunDay", Value::Sint8(1));
    for (name, value) in [
        ("JobRunTimes", Value::Uint32(2)),
        ("LocalOrUtcTime", Value::Uint16(2)),
        ("RunStartInterval", interval("00000000010000.000000:000")),
        ("ScheduledStartTime", interval("00000000000000.000000:000")),
    ] {
        monthly.set(name, Some(value));
    }
    modify(&house, &monthly, None).await.unwrap();
    let shown = house.get(&job).await.unwrap();
    // It is the 15th of January 2027.
    assert_eq!(shown.get_str("JobStatus"), Some("Waiting until 20270201010000.000000+000"));
    assert_eq!(shown.get("ScheduledStartTime"), None);
    house.script.end("w", false);
    house.clock.advance(std::time::Duration::from_secs(40 * 86_400));
    let limit = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let past = loop {
        let runs = Operation::EnumerateInstances {
            class: "Cimwright_JobHistory".into(),
            deep: true,
            options: Default::default(),
        };
        let past = house.items(V1, runs).await.unwrap();
        if !past.is_empty() {
            break past;
        }
        assert!(tokio::time::Instant::now() < limit, "{:?}", house.get(&job).await);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!(past[0].get_str("RecurringJobID"), job.key_str("InstanceID"));
    assert_eq!((past[0].get_u64("RunNumber"), past[0].get_u64("JobState")), (Some(1), Some(10)));
    assert_eq!(past[0].get_str("ErrorDescription"), Some("The work broke."));
    let shown = house.get(&job).await.unwrap();
    assert_eq!((shown.get_u64("JobState"), shown.get("ErrorDescription")), (Some(2), None));
    house.clock.advance(std::time::Duration::from_secs(40 * 86_400));
    house.until(&job, 10).await;
}

#[tokio::test]
async fn a_schedule_that_makes_no_sense_is_refused() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "later", "w").await;
    let mut never = change(&job, "RunMonth", Value::Uint8(1));
    never.set("RunDay", Some(Value::Sint8(30)));
    let error = modify(&house, &never, None).await.unwrap_err();
    assert_eq!(error.status, CimStatus::InvalidParameter);
    assert!(error.description.contains("a day that no year has"), "{error:?}");
    let running = house.start(&operator(), V1, "gate", "r").await;
    house.until(&running, 4).await;
    let error = modify(&house, &change(&running, "JobRunTimes", Value::Uint32(2)), None).await.unwrap_err();
    assert_eq!(error.status, CimStatus::Failed);
    assert!(error.description.contains("can be changed only while it has not begun"), "{error:?}");
    // What is shown may be sent back.
    modify(&house, &house.get(&running).await.unwrap(), None).await.unwrap();
    house.script.end("r", true);
}

#[tokio::test]
async fn a_whole_instance_can_be_sent_back() {
    let house = House::open().await;
    let job = house.start(&operator(), V1, "gate", "w").await;
    let mut instance = house.until(&job, 4).await;
    house.script.end("w", true);
    house.until(&job, 7).await;
    // By now JobState, PercentComplete and others are old; only what the client changed counts.
    instance.set("Notify", Some("x".into()));
    modify(&house, &instance, None).await.unwrap();
    let shown = house.get(&job).await.unwrap();
    assert_eq!((shown.get_str("Notify"), shown.get_u64("JobState")), (Some("x"), Some(7)));
    let error = modify(&house, &instance, Some(&["JobState"])).await.unwrap_err();
    assert_eq!(error.status, CimStatus::InvalidParameter, "whoever lists it means it");
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused() {
    let house = House::open().await;
    let v1 = house.start(&operator(), V1, "ok", "w").await;
    house.until(&v1, 7).await;
    let v2 = seen_in(V2, "Msvm_StorageJob", &v1);
    let wrong_class = Instance { class: "Msvm_ConcreteJob".into(), ..change(&v1, "Notify", "x") };
    let rows = [
        (change(&v1, "Owner", "stan"), CimStatus::InvalidParameter),
        (change(&v1, "Nope", "x"), CimStatus::NoSuchProperty),
        (change(&v1, "Priority", "high"), CimStatus::InvalidParameter),
        (
            change(&v1, "TimeBeforeRemoval", interval("20300101000000.000000+000")),
            CimStatus::InvalidParameter,
        ),
        (change(&v1, "RunStartInterval", interval("20300101000000.000000+000")), CimStatus::InvalidParameter),
        (change(&v1, "RunMonth", Value::Uint8(12)), CimStatus::InvalidParameter),
        (change(&v1, "RunDay", Value::Sint8(-32)), CimStatus::InvalidParameter),
        (change(&v1, "InstanceID", "another"), CimStatus::InvalidParameter),
        // In v2 the class takes Write back.
        (
            change(&v2, "TimeBeforeRemoval", interval("00000000001000.000000:000")),
            CimStatus::InvalidParameter,
        ),
        (change(&seen_in(V1, "Msvm_ConcreteJob", &v1), "Notify", "x"), CimStatus::NotFound),
        (change(&at(V1, disk("a")), "Size", Value::Uint64(1)), CimStatus::AccessDenied),
        (change(&at(V1, disk("c")), "Size", Value::Uint64(1)), CimStatus::NotFound),
        (wrong_class, CimStatus::InvalidParameter),
    ];
    for (instance, status) in rows {
        let error = modify(&house, &instance, None).await.unwrap_err();
        assert_eq!(error.status, status, "{instance:?}: {error}");
    }
    modify(&house, &change(&v2, "TimeBeforeRemoval", interval("00000000000500.000000:000")), None)
        .await
        .unwrap();
    modify(&house, &change(&v1, "Owner", "otto"), None).await.unwrap();
    let pathless =
        Operation::ModifyInstance { instance: Instance::new("Msvm_StorageJob"), property_list: None };
    assert_eq!(house.refused(V1, pathless).await.status, CimStatus::InvalidParameter);
}

#[tokio::test]
async fn only_an_ended_job_is_deleted() {
    let house = House::open().await;
    let job = house.start(&operator(), V2, "gate", "w").await;
    let delete = Operation::DeleteInstance { path: job.clone() };
    let error = house.refused(V2, delete.clone()).await;
    assert_eq!(error.status, CimStatus::Failed);
    assert!(error.description.contains("has not ended"), "{error}");
    house.script.end("w", true);
    house.until(&job, 7).await;
    assert_eq!(house.ask(&operator(), V2, delete.clone()).await.unwrap(), OperationResult::Void);
    assert_eq!(house.refused(V2, delete).await.status, CimStatus::NotFound);
    let id = job.key_str("InstanceID").unwrap().parse().unwrap();
    assert!(house.jobs.history(id).await.unwrap().is_some(), "it stays in the history");
    let other = Operation::DeleteInstance { path: at(V2, disk("a")) };
    assert_eq!(house.refused(V2, other).await.status, CimStatus::NotSupported);
}
