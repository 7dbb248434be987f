//! A CIM-XML server of three jobs, one past job and one service, for the tests of the program.

use cimwright_cim::class::Parameter;
use cimwright_cim::operation::ObjectShape;
use cimwright_cim::{
    CimError, CimStatus, CimType, Class, DateTime, Embedded, Flavor, Instance, InstancePath, Method,
    NamespaceName, Operation, OperationResult, Param, Property, Qualifier, Request, Value,
};
use cimwright_codec::cimxml::{EncodeContext, Headers, Limits, decode_request, encode_response};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

/// A job that completed.
pub(crate) const DONE: &str = "A0000000-0001";
/// A job that runs and completes after some looks, unless it is stopped.
pub(crate) const RUNNING: &str = "A0000000-0002";
/// A job that failed.
pub(crate) const FAILED: &str = "B0000000-0003";
/// A job that failed and has left.
pub(crate) const GONE: &str = "C0000000-0004";

const NAMESPACE: &str = "root/virtualization/v2";

/// What changes: the state of the running job, and how often it was looked at.
struct World {
    state: u16,
    looks: u32,
}

/// A server that runs until the test ends.
pub(crate) struct Server {
    /// Its address.
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(Mutex::new(World { state: 4, looks: 0 }));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let world = world.clone();
                std::thread::spawn(move || talk(stream, &world));
            }
        });
        Self { url }
    }
}

fn talk(stream: TcpStream, world: &Mutex<World>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut headers: HashMap<String, String> = HashMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let (status, answer) = match headers.contains_key("authorization") {
            true => ("401 Unauthorized", Vec::new()),
            false => ("200 OK", answer(&headers, &body, &mut world.lock().unwrap())),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer)).is_err() {
            return;
        }
    }
}

fn answer(headers: &HashMap<String, String>, body: &[u8], world: &mut World) -> Vec<u8> {
    let header = |name: &str| headers.get(name).map(String::as_bytes);
    let headers = Headers {
        cim_operation: header("cimoperation"),
        cim_method: header("cimmethod"),
        cim_object: header("cimobject"),
        cim_protocol_version: header("cimprotocolversion"),
        cim_batch: false,
    };
    let message = decode_request(body, &headers, &Limits::default()).unwrap();
    let call = &message.requests[0];
    let (result, namespace) = match &call.request {
        Ok(request) => (world.execute(request), Some(&request.namespace)),
        Err(error) => (Err(error.clone()), None),
    };
    let context = EncodeContext { host: "test", namespace };
    encode_response(&message.id, &call.name, call.intrinsic, &result, &context)
}

impl World {
    fn execute(&mut self, request: &Request) -> Result<OperationResult, CimError> {
        if request.namespace != NamespaceName::new(NAMESPACE) {
            return Err(CimError::invalid_namespace("there is only one"));
        }
        match &request.operation {
            Operation::GetClass { class, .. } => class_of(class.as_str()),
            Operation::GetInstance { path, .. } => {
                let id = path.key_str("InstanceID").unwrap_or_default();
                if id == RUNNING {
                    self.looks += 1;
                    if self.looks > 3 && self.state == 4 {
                        self.state = 7;
                    }
                }
                let found = self
                    .instances(path.class.as_str())?
                    .into_iter()
                    .find(|i| i.get_str("InstanceID") == Some(id));
                let found = found.ok_or_else(|| CimError::not_found("there is no such instance"))?;
                Ok(OperationResult::Instance(Box::new(found)))
            }
            Operation::OpenEnumerateInstances { class, .. } => Ok(OperationResult::Pulled {
                shape: ObjectShape::InstanceWithPath,
                items: self.instances(class.as_str())?,
                context: None,
                query_result_class: None,
            }),
            Operation::EnumerateInstanceNames { class } => Ok(OperationResult::Instances {
                shape: ObjectShape::InstanceName,
                items: self.instances(class.as_str())?,
            }),
            Operation::InvokeMethod { target, method, params } => self.invoke(
                target.as_instance().and_then(|p| p.key_str("InstanceID")),
                method.as_str(),
                params,
            ),
            _ => Err(CimError::not_supported("not here")),
        }
    }

    fn instances(&self, class: &str) -> Result<Vec<Instance>, CimError> {
        Ok(match class {
            "CIM_ConcreteJob" | "Msvm_StorageJob" => {
                let running_share = if self.state == 7 { 100 } else { 40 };
                vec![
                    job("Msvm_StorageJob", DONE, 7, 100, 1),
                    job("Msvm_StorageJob", RUNNING, self.state, running_share, 3),
                    job("Msvm_StorageJob", FAILED, 10, 40, 2),
                ]
            }
            "Cimwright_JobHistory" => vec![job("Cimwright_JobHistory", GONE, 10, 40, 0)],
            "X_Service" => {
                let mut service = Instance::new("X_Service").with("Name", "it");
                service.path = Some(
                    InstancePath::new(NamespaceName::new(NAMESPACE), "X_Service").with_key("Name", "it"),
                );
                vec![service]
            }
            _ => return Err(CimError::invalid_class("no such class")),
        })
    }

    fn invoke(
        &mut self,
        job: Option<&str>,
        method: &str,
        params: &[Param],
    ) -> Result<OperationResult, CimError> {
        let answered = |code: u32, out: Vec<Param>| {
            Ok(OperationResult::Method { return_value: Some(Value::Uint32(code)), out })
        };
        match (method, job) {
            ("GetErrorEx", Some(FAILED | GONE)) => answered(
                0,
                vec![Param::new(
                    "Errors",
                    Value::Array(vec![
                        Some(error("CWTEST1", "The disk image cannot be converted.", &["Restore it."])),
                        Some(error("CWTEST2", "The image is cut off.", &[])),
                    ]),
                )],
            ),
            ("GetErrorEx", Some(_)) => answered(0, vec![Param::null("Errors", CimType::String)]),
            ("RequestStateChange", Some(RUNNING)) => {
                let wanted = params
                    .iter()
                    .find(|p| p.name.is("RequestedState"))
                    .and_then(|p| p.value.as_ref()?.as_u64());
                if params.iter().any(|p| p.name.is("TimeoutPeriod")) {
                    return answered(4098, Vec::new());
                }
                self.looks = 0;
                self.state = match wanted {
                    Some(2) => 4,
                    Some(3) => 5,
                    Some(4) => 8,
                    _ => 9,
                };
                answered(4096, Vec::new())
            }
            ("Convert", None) => {
                let setting = params
                    .iter()
                    .find(|p| p.name.is("Setting"))
                    .and_then(|p| p.value.as_ref()?.as_instance());
                assert_eq!(setting.and_then(|s| s.get_str("Path")), Some("/b"));
                assert!(params.contains(&Param::new("Size", Value::Uint64(10))));
                let path = job_path("Msvm_StorageJob", FAILED);
                answered(4096, vec![Param::new("Job", path)])
            }
            _ => Err(CimError::new(CimStatus::MethodNotFound, "no such method")),
        }
    }
}

fn job_path(class: &str, id: &str) -> InstancePath {
    InstancePath::new(NamespaceName::new(NAMESPACE), class).with_key("InstanceID", id)
}

fn job(class: &str, id: &str, state: u16, percent: u16, minute: u64) -> Instance {
    let at = UNIX_EPOCH + Duration::from_secs(1_795_291_200 + minute * 60);
    let failed = state == 10;
    let mut job = Instance::new(class)
        .with("InstanceID", id)
        .with("Name", "Convert")
        .with("Description", "Convert /a to /b")
        .with("Owner", "ann")
        .with("JobState", Value::Uint16(state))
        .with("PercentComplete", Value::Uint16(percent))
        .with("ElapsedTime", DateTime::from_duration(Duration::from_secs(12)))
        .with("TimeSubmitted", DateTime::from_system_time(at))
        .with("ErrorCode", Value::Uint16(if failed { 32768 } else { 0 }));
    if failed {
        job.set("ErrorDescription", Some("The disk image cannot be converted.".into()));
    }
    job.path = Some(job_path(class, id));
    job
}

fn error(id: &str, message: &str, actions: &[&str]) -> Value {
    Value::InstanceText(Box::new(
        Instance::new("Msvm_Error")
            .with("MessageID", id)
            .with("Message", message)
            .with("RecommendedActions", Value::strings(actions.iter().copied())),
    ))
}

fn class_of(name: &str) -> Result<OperationResult, CimError> {
    let mut class = Class::new(name);
    match name {
        "Msvm_StorageJob" | "Cimwright_JobHistory" => {
            class.methods = vec![method("GetErrorEx", Vec::new()), method("RequestStateChange", Vec::new())];
        }
        "X_Service" => {
            class.methods = vec![method(
                "Convert",
                vec![
                    parameter("Source", CimType::String, None),
                    parameter("Size", CimType::Uint64, None),
                    parameter("Setting", CimType::String, Some("X_Setting")),
                ],
            )];
        }
        "X_Setting" => class.properties.push(Property::new("Path", CimType::String, None)),
        _ => return Err(CimError::not_found("there is no such class")),
    }
    Ok(OperationResult::Class(Box::new(class)))
}

fn method(name: &str, parameters: Vec<Parameter>) -> Method {
    let list = |name: &str, items: [&str; 2]| Qualifier {
        name: name.into(),
        cim_type: CimType::String,
        is_array: true,
        value: Some(Value::strings(items)),
        flavor: Flavor::default(),
        propagated: false,
    };
    Method {
        name: name.into(),
        return_type: Some(CimType::Uint32),
        parameters,
        class_origin: None,
        propagated: false,
        qualifiers: vec![list("ValueMap", ["0", "4096"]), list("Values", ["Done", "Job Started"])],
    }
}

fn parameter(name: &str, cim_type: CimType, embedded: Option<&str>) -> Parameter {
    Parameter {
        name: name.into(),
        cim_type,
        is_array: false,
        array_size: None,
        embedded: embedded.map(|_| Embedded::Instance),
        reference_class: embedded.map(Into::into),
        qualifiers: embedded.map(embedded_qualifier).into_iter().collect(),
    }
}

/// What tells a client, in the CIM-XML of a class, which class is embedded.
fn embedded_qualifier(class: &str) -> Qualifier {
    Qualifier {
        name: "EmbeddedInstance".into(),
        cim_type: CimType::String,
        is_array: false,
        value: Some(class.into()),
        flavor: Flavor::default(),
        propagated: false,
    }
}
