//! Jobs of servers of different kinds: how they are found, followed and asked for their errors.

use crate::server::{Reply, cim_reply, http, serve, serve_cim};
use cimwright_cim::operation::ObjectShape;
use cimwright_cim::{
    CimError, CimStatus, Class, Instance, InstancePath, Method, NamespaceName, Operation, OperationResult,
    Param, Request, Value,
};
use cimwright_client::job::{Finder, Followed, JobHandle, Patience, PollEvent, State, Wanted};
use cimwright_client::{Client, ClientError};
use cimwright_codec::cimxml::{EncodeContext, encode_response};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const V2: &str = "root/virtualization/v2";
const IDS: [&str; 3] = ["0199A000-1", "0199A000-2", "0199B000-3"];

fn job_path(id: &str) -> InstancePath {
    InstancePath::new(NamespaceName::new(V2), "Msvm_StorageJob").with_key("InstanceID", id)
}

fn job(id: &str, state: u16) -> Instance {
    let mut job =
        Instance::new("Msvm_StorageJob").with("InstanceID", id).with("JobState", Value::Uint16(state));
    job.path = Some(job_path(id));
    job
}

fn method(name: &str) -> Method {
    Method {
        name: name.into(),
        return_type: Some(cimwright_cim::CimType::Uint32),
        parameters: Vec::new(),
        class_origin: None,
        propagated: false,
        qualifiers: Vec::new(),
    }
}

/// A server with three jobs in one namespace that knows only names, not queries.
fn without_queries(request: &Request) -> Result<OperationResult, CimError> {
    if request.namespace != NamespaceName::new(V2) {
        return Err(CimError::invalid_namespace("no such namespace"));
    }
    match &request.operation {
        Operation::ExecQuery { .. } => Err(CimError::not_supported("no queries here")),
        Operation::OpenEnumerateInstances { .. } => Err(CimError::not_supported("no pulling here")),
        Operation::EnumerateInstanceNames { .. } => Ok(OperationResult::Instances {
            shape: ObjectShape::InstanceName,
            items: IDS.map(|id| job(id, 4)).to_vec(),
        }),
        Operation::EnumerateInstances { .. } => Ok(OperationResult::Instances {
            shape: ObjectShape::NamedInstance,
            items: IDS.map(|id| job(id, 4)).to_vec(),
        }),
        Operation::GetInstance { path, .. } => match path.key_str("InstanceID") {
            Some(id) if IDS.contains(&id) => Ok(OperationResult::Instance(Box::new(job(id, 4)))),
            _ => Err(CimError::not_found("no such job")),
        },
        other => panic!("{other:?}"),
    }
}

async fn ids(finder: &Finder<'_>, text: &str) -> Vec<String> {
    let found = finder.find(text).await.unwrap();
    found.iter().map(|j| j.path().key_str("InstanceID").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_job_is_found_by_id_prefix_or_path_without_queries() {
    let (endpoint, _) = serve_cim(without_queries).await;
    let client = Client::connect(endpoint).await.unwrap();
    let finder = Finder::new(&client, &[]);
    assert_eq!(ids(&finder, "0199a000-2").await, ["0199A000-2"]);
    assert_eq!(ids(&finder, "0199B").await, ["0199B000-3"]);
    assert_eq!(ids(&finder, "0199A").await, ["0199A000-1", "0199A000-2"]);
    assert!(ids(&finder, "77").await.is_empty());
    let path = format!("{V2}:Msvm_StorageJob.InstanceID=\"0199B000-3\"");
    assert_eq!(ids(&finder, &path).await, ["0199B000-3"]);
    assert_eq!(ids(&finder, "Msvm_StorageJob.InstanceID=\"0199A000-1\"").await, ["0199A000-1"]);
    assert!(ids(&finder, "Msvm_StorageJob.InstanceID=\"x\"").await.is_empty());
    let mut listed = Vec::new();
    finder
        .list(None, |job| {
            listed.push(job.instance_id);
            true
        })
        .await
        .unwrap();
    assert_eq!(listed, IDS);
}

#[tokio::test]
async fn a_query_by_key_is_asked_first_and_the_first_namespace_wins() {
    let (endpoint, log) = serve(|seen| {
        let body = String::from_utf8_lossy(&seen.body);
        assert!(body.contains(
            "<VALUE>SELECT InstanceID FROM CIM_ConcreteJob WHERE InstanceID = '0199B000-3'</VALUE>"
        ));
        let found = OperationResult::Instances {
            shape: ObjectShape::Object,
            items: vec![Instance::new("Msvm_StorageJob").with("InstanceID", "0199B000-3")],
        };
        let context = EncodeContext { host: "test", namespace: None };
        Reply::Bytes(http("200 OK", &[], &encode_response("1", "ExecQuery", true, &Ok(found), &context)))
    })
    .await;
    let client = Client::connect(endpoint).await.unwrap();
    let found = Finder::new(&client, &[]).find("0199B000-3").await.unwrap();
    assert_eq!(found[0].path(), &job_path("0199B000-3"));
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_missing_namespace_is_told_only_when_all_are_missing() {
    let (endpoint, _) = serve_cim(|_| Err(CimError::invalid_namespace("no such namespace"))).await;
    let client = Client::connect(endpoint).await.unwrap();
    let error = Finder::new(&client, &[]).list(None, |_| true).await.unwrap_err();
    assert_eq!(error.status(), Some(CimStatus::InvalidNamespace));
}

fn errors_of(class: &[&str], request: &Request) -> Result<OperationResult, CimError> {
    match &request.operation {
        Operation::GetClass { .. } => {
            let mut found = Class::new("Msvm_StorageJob");
            found.methods = class.iter().map(|m| method(m)).collect();
            Ok(OperationResult::Class(Box::new(found)))
        }
        Operation::InvokeMethod { method, .. } => {
            let error = |id: &str| {
                Some(Value::InstanceText(Box::new(Instance::new("Msvm_Error").with("MessageID", id))))
            };
            Ok(OperationResult::Method {
                return_value: Some(Value::Uint32(0)),
                out: vec![match method.as_str() {
                    "GetErrorEx" => Param::new("Errors", Value::Array(vec![error("OUTER"), error("INNER")])),
                    _ => Param { value: error("OUTER"), ..Param::new("Error", "") },
                }],
            })
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_method_that_tells_most_is_asked() {
    let ids = async |methods: &'static [&'static str]| {
        let (endpoint, log) = serve_cim(move |r| errors_of(methods, r)).await;
        let client = Client::connect(endpoint).await.unwrap();
        let errors = JobHandle::new(&client, job_path("1")).errors().await.unwrap();
        let asked = log.lock().unwrap().last().unwrap().headers["cimmethod"].clone();
        (asked, errors.into_iter().filter_map(|e| e.message_id).collect::<Vec<_>>())
    };
    let both = ids(&["GetError", "GetErrorEx"]).await;
    assert_eq!(both, ("GetErrorEx".to_owned(), vec!["OUTER".to_owned(), "INNER".to_owned()]));
    assert_eq!(ids(&["GetError"]).await, ("GetError".to_owned(), vec!["OUTER".to_owned()]));
}

#[tokio::test]
async fn without_classes_every_method_is_tried_until_one_is_there() {
    let (endpoint, log) = serve_cim(|request| match &request.operation {
        Operation::InvokeMethod { method, .. } if method.is("GetError") => errors_of(&[], request),
        Operation::InvokeMethod { .. } => Err(CimError::new(CimStatus::MethodNotFound, "no such method")),
        _ => Err(CimError::not_supported("no classes")),
    })
    .await;
    let client = Client::connect(endpoint).await.unwrap();
    let errors = JobHandle::new(&client, job_path("1")).errors().await.unwrap();
    assert_eq!(errors[0].message_id.as_deref(), Some("OUTER"));
    let asked: Vec<String> = log.lock().unwrap().iter().map(|s| s.headers["cimmethod"].clone()).collect();
    assert_eq!(asked, ["GetClass", "GetErrors", "GetErrorEx", "GetError"]);
}

#[tokio::test]
async fn a_method_that_fails_itself_is_an_error_with_its_meaning() {
    let (endpoint, _) = serve_cim(|request| match &request.operation {
        Operation::InvokeMethod { .. } => {
            Ok(OperationResult::Method { return_value: Some(Value::Uint32(32769)), out: Vec::new() })
        }
        _ => errors_of(&["GetError", "RequestStateChange"], request),
    })
    .await;
    let client = Client::connect(endpoint).await.unwrap();
    let job = JobHandle::new(&client, job_path("1"));
    let error = job.errors().await.unwrap_err();
    assert_eq!(error.to_string(), "GetError answered 32769 (Access Denied)");
    let change = job.request(Wanted::Terminate, Some(Duration::from_secs(5))).await.unwrap();
    assert!(!change.accepted());
    assert_eq!(change.meaning.as_deref(), Some("Access Denied"));
}

const QUICK: Patience = Patience {
    fastest: Duration::from_millis(1),
    slowest: Duration::from_millis(1),
    away: Duration::from_secs(60),
};

#[tokio::test]
async fn following_survives_a_server_that_goes_away() {
    let looks = AtomicUsize::new(0);
    let (endpoint, _) = serve(move |seen| match looks.fetch_add(1, Ordering::Relaxed) {
        // Closed twice in a row: once on the kept connection, once on the fresh one.
        1 | 2 => Reply::BytesThenClose(Vec::new()),
        n => Reply::Bytes(cim_reply(seen, &|_| {
            Ok(OperationResult::Instance(Box::new(job("1", if n < 4 { 4 } else { 7 }))))
        })),
    })
    .await;
    let client = Client::connect(endpoint).await.unwrap();
    let (mut seen, mut away) = (0, 0);
    let end = JobHandle::new(&client, job_path("1"))
        .follow(QUICK, |event| {
            match event {
                PollEvent::Seen(_) => seen += 1,
                PollEvent::Away(_) => away += 1,
            }
            true
        })
        .await
        .unwrap();
    let Followed::Ended(job) = end else { panic!("{end:?}") };
    assert_eq!((job.state, seen, away), (State::COMPLETED, 3, 1));
}

#[tokio::test]
async fn a_job_that_leaves_while_it_is_followed_is_gone_and_one_never_seen_is_not_found() {
    let (endpoint, _) = serve(|seen| {
        Reply::Bytes(cim_reply(seen, &|_| match seen.at {
            0 => Ok(OperationResult::Instance(Box::new(job("1", 4)))),
            _ => Err(CimError::not_found("gone")),
        }))
    })
    .await;
    let client = Client::connect(endpoint).await.unwrap();
    let handle = JobHandle::new(&client, job_path("1"));
    let end = handle.follow(QUICK, |_| true).await.unwrap();
    assert!(matches!(end, Followed::Gone(Some(_))), "{end:?}");
    let error = handle.follow(QUICK, |_| true).await.unwrap_err();
    assert!(matches!(error, ClientError::Cim(_)) && error.is_not_found(), "{error:?}");
}

#[tokio::test]
async fn portions_are_pulled_until_the_end() {
    let (endpoint, log) = serve_cim(|request| match &request.operation {
        Operation::OpenEnumerateInstances { .. } => Ok(OperationResult::Pulled {
            shape: ObjectShape::InstanceWithPath,
            items: vec![job("1", 4)],
            context: Some("c1".into()),
            query_result_class: None,
        }),
        Operation::Pull { context, .. } if context == "c1" => Ok(OperationResult::Pulled {
            shape: ObjectShape::InstanceWithPath,
            items: vec![job("2", 4), job("3", 4)],
            context: None,
            query_result_class: None,
        }),
        other => panic!("{other:?}"),
    })
    .await;
    let client = Client::connect(endpoint).await.unwrap();
    let all = client.open_instances(&NamespaceName::new(V2), "CIM_ConcreteJob", None, 1).all().await.unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].path, Some(job_path("1")));
    assert_eq!(log.lock().unwrap().len(), 2);
}
