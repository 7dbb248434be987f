//! What a job tells of the call that made it (DSP1103): CIM_MethodResult, JobInParameters and JobOutParameters.

use crate::house::*;
use cimwright_cim::operation::{AssociationFilter, InstanceOptions, Operation, Param};
use cimwright_cim::{CimStatus, Instance, InstancePath, ObjectPath, Value};

const RESULT: &str = "CIM_MethodResult";
const TIE: &str = "CIM_AssociatedJobMethodResult";

/// Starts a job with every kind of parameter and gives its path.
async fn start(house: &House, script: &str) -> InstancePath {
    let params = vec![
        Param::new("Script", script),
        Param::new("Label", "w"),
        Param::new("Count", Value::Uint16(3)),
        Param::new("Disk", at(DMTF, disk("a"))),
        Param::new(
            "Settings",
            Value::Instance(Box::new(Instance::new("Test_Settings").with("Path", "a & b"))),
        ),
    ];
    let (code, out) = house.call(&operator(), &at(DMTF, service()), "StartWork", params).await.unwrap();
    assert_eq!(code, 4096);
    out[0].value.as_ref().unwrap().as_reference().unwrap().as_instance().unwrap().clone()
}

async fn over(house: &House, from: &InstancePath, tie: &str) -> Vec<Instance> {
    let filter = AssociationFilter { assoc_class: Some(tie.into()), ..AssociationFilter::default() };
    let object = ObjectPath::from(from.clone());
    house
        .items(DMTF, Operation::Associators { object, filter, options: InstanceOptions::default() })
        .await
        .unwrap()
}

async fn ties(house: &House, from: &InstancePath) -> Vec<Instance> {
    let filter = AssociationFilter { result_class: Some(TIE.into()), ..AssociationFilter::default() };
    let object = ObjectPath::from(from.clone());
    house
        .items(DMTF, Operation::References { object, filter, options: InstanceOptions::default() })
        .await
        .unwrap()
}

fn inside<'a>(of: &'a Instance, name: &str) -> &'a Instance {
    match of.get(name) {
        Some(Value::Instance(instance)) => instance,
        other => panic!("{name} is {other:?}"),
    }
}

#[tokio::test]
async fn a_method_result_keeps_the_call_and_what_came_of_it() {
    let house = House::open().await;
    let job = start(&house, "gate").await;
    let [running] = &over(&house, &job, TIE).await[..] else { panic!("one result") };
    assert!(running.class.is(RESULT));
    let id = job.key_str("InstanceID").unwrap();
    assert_eq!(running.get_str("InstanceID"), Some(format!("Cimwright:{id}").as_str()));
    assert_eq!(running.get("PostCallIndication"), None);
    let before = inside(running, "PreCallIndication");
    assert!(before.class.is("CIM_InstMethodCall"));
    assert_eq!(before.get_str("MethodName"), Some("StartWork"));
    assert_eq!((before.get("PreCall"), before.get("ReturnValue")), (Some(&Value::Boolean(true)), None));
    assert_eq!(before.get_str("SourceInstanceModelPath"), Some(r#"root/dmtf:Test_Service.Name="main""#));
    assert_eq!(inside(before, "SourceInstance").get_str("Name"), Some("main"));
    let given = inside(before, "MethodParameters");
    assert!(given.class.is("__MethodParameters"));
    assert_eq!(given.get("Count"), Some(&Value::Uint16(3)));
    assert_eq!(given.get_str("Disk"), Some(r#"root/dmtf:Test_Disk.Name="a""#));
    assert_eq!(inside(given, "Settings").get_str("Path"), Some("a & b"));
    assert!(given.get("Work").is_none(), "an output parameter");

    house.script.end("w", true);
    house.until(&job, 7).await;
    let ended = house.get(running.path.as_ref().unwrap()).await.unwrap();
    let after = inside(&ended, "PostCallIndication");
    assert_eq!(
        (after.get("PreCall"), after.get_str("ReturnValue")),
        (Some(&Value::Boolean(false)), Some("0"))
    );
    let came = inside(after, "MethodParameters");
    assert_eq!(came.get_str("Work"), Some(format!(r#"root/dmtf:Test_Job.InstanceID="{id}""#).as_str()));
    assert!(came.get("Count").is_none(), "an input parameter");
}

#[tokio::test]
async fn a_job_and_its_method_result_lead_to_each_other() {
    let house = House::open().await;
    let jobs = [start(&house, "ok").await, start(&house, "ok").await];
    for job in &jobs {
        house.until(job, 7).await;
        let result = over(&house, job, TIE).await.pop().unwrap().path.unwrap();
        let back = over(&house, &result, TIE).await;
        assert_eq!(back.iter().map(|i| i.path.as_ref().unwrap()).collect::<Vec<_>>(), [job]);
        let (from_job, from_result) = (ties(&house, job).await, ties(&house, &result).await);
        assert_eq!((from_job.len(), &from_job), (1, &from_result));
        let tie = from_job[0].path.clone().unwrap();
        assert_eq!(house.get(&tie).await.unwrap(), from_job[0]);
        // Over other associations it leads nowhere.
        assert!(over(&house, &result, "CIM_AffectedJobElement").await.is_empty());
    }
    for class in [RESULT, TIE] {
        let all =
            Operation::EnumerateInstances { class: class.into(), deep: true, options: Default::default() };
        assert_eq!(house.items(DMTF, all).await.unwrap().len(), 2, "{class}");
    }
    // Gone with its job.
    let result = over(&house, &jobs[0], TIE).await.pop().unwrap().path.unwrap();
    house.ask(&admin(), DMTF, Operation::DeleteInstance { path: jobs[0].clone() }).await.unwrap();
    assert_eq!(house.get(&result).await.unwrap_err().status, CimStatus::NotFound);
    let gone = Operation::Associators {
        object: result.into(),
        filter: AssociationFilter::default(),
        options: InstanceOptions::default(),
    };
    assert_eq!(house.refused(DMTF, gone).await.status, CimStatus::NotFound);
    let nonsense = at(DMTF, InstancePath::new(None, RESULT).with_key("InstanceID", "Else:1"));
    assert_eq!(house.get(&nonsense).await.unwrap_err().status, CimStatus::NotFound);
}

#[tokio::test]
async fn a_job_shows_its_parameters() {
    let house = House::open().await;
    let job = start(&house, "gate").await;
    let running = house.get(&job).await.unwrap();
    let given = inside(&running, "JobInParameters");
    assert!(given.class.is("__JobInParameters"));
    assert_eq!((given.get_str("Script"), given.get("Count")), (Some("gate"), Some(&Value::Uint16(3))));
    assert_eq!(running.get("JobOutParameters"), None);
    house.script.end("w", true);
    let ended = house.until(&job, 7).await;
    let came = inside(&ended, "JobOutParameters");
    assert!(came.class.is("__JobOutParameters"));
    assert_eq!(came.get("__ReturnValue"), Some(&Value::Uint32(0)));
    assert!(came.get_str("Work").unwrap().contains(job.key_str("InstanceID").unwrap()));
}

#[tokio::test]
async fn a_result_that_is_an_output_parameter_is_told() {
    let house = House::open().await;
    let params = vec![Param::new("Script", "ok"), Param::new("Milliseconds", Value::Uint32(20_000))];
    let (code, _) = house.call(&operator(), &at(DMTF, service()), "WorkWithin", params).await.unwrap();
    assert_eq!(code, 0);
    let all =
        Operation::EnumerateInstances { class: "Test_Job".into(), deep: true, options: Default::default() };
    let job = house.items(DMTF, all).await.unwrap().pop().unwrap();
    assert_eq!(inside(&job, "JobOutParameters").get_str("Child"), Some("/images/child.vhdx"));
}

#[tokio::test]
async fn a_failure_is_the_return_value() {
    let house = House::open().await;
    let job = start(&house, "fail").await;
    let failed = house.until(&job, 10).await;
    assert_eq!(failed.get("JobOutParameters"), None, "only a completed job has any");
    let result = over(&house, &job, TIE).await.pop().unwrap();
    let after = inside(&result, "PostCallIndication");
    // 4, Failed, of the table of DMTF.
    assert_eq!(after.get_str("ReturnValue"), Some("4"));
}

#[tokio::test]
async fn a_namespace_without_the_classes_has_none() {
    let house = House::open().await;
    let job = start(&house, "ok").await;
    let here = seen_in(V1, "Msvm_StorageJob", &job);
    let all = Operation::Associators {
        object: here.into(),
        filter: AssociationFilter::default(),
        options: InstanceOptions::default(),
    };
    assert!(house.items(V1, all).await.unwrap().iter().all(|i| !i.class.is(RESULT)));
}
