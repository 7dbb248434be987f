//! The vectors that may lie beside the project. They are extra data: without them the test says so and the golden messages of
//! `own` remain. Each vector needs a line in [`check`]; one without is a failure.

use super::compare::canonical;
use cimwright_cim::{
    CimError, CimStatus, Class, DateTime, Instance, InstancePath, NamespaceName, ObjectPath, Param, Property,
    Schema, Value,
};
use cimwright_cim::{CimType, Method, Parameter, Qualifier};
use cimwright_codec::cimxml::Limits;
use cimwright_codec::wsman::{
    Action, ClassUris, DeliveryMode, Destination, Enumerate, EnumerationMode, EventKind, EventMessage,
    Expiry, Fault, Filter, Foreign, Fragment, Identity, ItemWriter, Polymorphism, ProviderFault, Refusal,
    Request, ResponseWriter, Subcode, Subscribe, Subscribed, SubscriptionEnd, WindowsDetail, decode_ack,
    decode_request, encode_ack, encode_event, encode_fault, encode_subscribed, encode_subscription_end,
    encode_subscription_expires, fault_of, fit_instance, fit_params, selected_keys, uris,
};
use std::path::PathBuf;
use std::time::Duration;

const ACME: &str = "http://schemas.acme.example/wbem/wscim/1/cim-schema/2/";
const CONTEXT: &str = "uuid:e0000001-0000-4000-8000-000000000001";
const SUBSCRIPTION: &str = "uuid:50b50001-0000-4000-8000-000000000001";
const ADDRESS: &str = "https://wbem.example.com:5986/wsman";
const MESSAGE: &str = "uuid:A1B2C3D4-0000-4ABC-8DEF-00000000F00D";

fn folder() -> Option<PathBuf> {
    let beside =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/protocols/vectors");
    let named = std::env::var_os("CIMWRIGHT_VECTORS").map(PathBuf::from);
    named.into_iter().chain([beside]).find(|p| p.is_dir())
}

#[test]
fn every_vector_is_covered() {
    let Some(folder) = folder() else {
        println!("skipped: no vectors");
        return;
    };
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("a folder")
        .filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".req.xml").map(str::to_owned))
        .filter(|n| n.starts_with('w'))
        .collect();
    names.sort();
    assert!(names.len() >= 62, "only {} vectors", names.len());
    let mut failures = Vec::new();
    for name in &names {
        let read = |suffix: &str| std::fs::read_to_string(folder.join(format!("{name}.{suffix}.xml"))).ok();
        let request = read("req").expect("a request");
        let vector = Vector { request, response: read("rsp") };
        let outcome = std::panic::catch_unwind(|| check(name, &vector));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => failures.push(format!("{name}: {failure}")),
            Err(_) => failures.push(format!("{name}: see the panic above")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

struct Vector {
    request: String,
    response: Option<String>,
}

impl Vector {
    fn decode(&self) -> Result<Request, Box<Refusal>> {
        decode_request(self.request.as_bytes(), &Limits::default())
    }

    /// A request that is read without complaint.
    fn good(&self) -> Request {
        let request = self.decode().unwrap_or_else(|r| panic!("refused: {r:?}"));
        if request.action != Action::Identify {
            assert_eq!(request.header.message_id, MESSAGE);
            assert_eq!(request.header.namespace(), Some(NamespaceName::new("root/cimv2")));
            assert_eq!(request.header.operation_timeout, Some(Duration::from_secs(60)));
            assert!(matches!(request.header.max_envelope_size, Some(512_000 | 8192)));
        }
        request
    }

    /// That a request is refused as the vector has it.
    fn refused(&self) -> Result<(), String> {
        let refusal = self.decode().expect_err("a refusal");
        assert_eq!(refusal.message_id, MESSAGE);
        self.answered(encode_fault(&refusal.fault, "uuid:x", &refusal.message_id))
    }

    /// That a fault that comes from behind the codec is written as the vector has it.
    fn fault(&self, fault: Fault) -> Result<(), String> {
        let request = self.good();
        self.answered(encode_fault(&fault, "uuid:x", &request.header.message_id))
    }

    fn answered(&self, written: Vec<u8>) -> Result<(), String> {
        same(&written, self.response.as_deref().expect("a response"))
    }
}

fn same(written: &[u8], given: &str) -> Result<(), String> {
    let written = canonical(std::str::from_utf8(written).map_err(|e| e.to_string())?);
    let given = canonical(given);
    match written.lines().zip(given.lines()).find(|(a, b)| a != b) {
        None if written == given => Ok(()),
        None => Err(format!("one of the texts ends early:\n{written}\n{given}")),
        Some((a, b)) => Err(format!("\nwritten {a}\ngiven   {b}")),
    }
}

fn check(name: &str, vector: &Vector) -> Result<(), String> {
    match &name[..3] {
        "w01" | "w02" => identify(vector),
        "w03" | "w04" | "w05" => get(name, vector),
        "w06" | "w07" => get_fragment(vector),
        "w08" | "w09" | "w62" => put(name, vector),
        "w10" => create(vector),
        "w11" => {
            let request = vector.good();
            assert_eq!(request.action, Action::Delete);
            vector.answered(ResponseWriter::new(&request.header, "uuid:x", None).empty())
        }
        "w12" | "w13" | "w14" | "w15" | "w16" | "w17" => control(name, vector),
        "w18" => start_job(vector),
        "w19" | "w24" | "w25" | "w26" | "w27" | "w28" | "w29" | "w30" | "w31" | "w32" => {
            enumerate(name, vector)
        }
        "w20" | "w21" => pull(name, vector),
        "w22" => {
            let request = vector.good();
            assert_eq!(request.action, Action::Release { context: CONTEXT.into() });
            vector.answered(ResponseWriter::new(&request.header, "uuid:x", None).empty())
        }
        "w23" => {
            let request = vector.good();
            let expires = Some(Expiry::After(Duration::from_secs(300)));
            assert_eq!(request.action, Action::RenewEnumeration { context: CONTEXT.into(), expires });
            let writer = ResponseWriter::new(&request.header, "uuid:x", None);
            vector.answered(writer.expires("RenewResponse", Duration::from_secs(300)))
        }
        "w33" => {
            let request = vector.good();
            let Action::Pull(pull) = request.action else { panic!("no Pull") };
            assert_eq!(pull.max_time, Some(Duration::from_secs(1)));
            vector.fault(Fault::new(Subcode::TimedOut, "The operation has timed out."))
        }
        "w34" | "w35" | "w36" => subscribe(name, vector),
        "w37" | "w38" => manage(name, vector),
        "w39" | "w40" | "w41" | "w42" | "w43" => events(name, vector),
        "w44" => {
            let error = CimError::invalid_class("No such class ACME_None");
            vector.fault(Fault { errors: Vec::new(), ..fault_of(&error, false) })
        }
        "w45" => {
            let error = CimError::not_found("The job does not exist");
            vector.fault(Fault { errors: Vec::new(), ..fault_of(&error, false) })
        }
        "w46" | "w47" => {
            let request = vector.good();
            let class = job_class();
            let keys = selected_keys(&request.header.selectors, &class, &Schema::new());
            let path = keys.and_then(|k| k.path(&class, NamespaceName::new("root/cimv2")));
            vector.fault(path.expect_err("a fault"))
        }
        "w48" => {
            let error = CimError::new(CimStatus::MethodNotFound, "No method GetEror");
            vector.fault(Fault { errors: Vec::new(), ..fault_of(&error, false) })
        }
        "w49" => {
            let error = CimError::access_denied("The sender was not authorized to access the resource.");
            vector.fault(Fault { errors: Vec::new(), ..fault_of(&error, false) })
        }
        "w51" => {
            assert_eq!(vector.good().header.max_envelope_size, Some(8192));
            let fault = Fault::new(Subcode::EncodingLimit, "One item exceeds the envelope limit");
            vector.fault(fault.detail("MaxEnvelopeSize"))
        }
        "w53" => {
            let error = CimError::new(CimStatus::InvalidEnumerationContext, "");
            vector.fault(Fault { errors: Vec::new(), ..fault_of(&error, false) })
        }
        "w54" => {
            // The vector's server knows two dialects, this one more.
            let mut refusal = vector.decode().expect_err("a refusal");
            assert_eq!(refusal.fault.supported.len(), 6);
            refusal.fault.supported.truncate(2);
            vector.answered(encode_fault(&refusal.fault, "uuid:x", &refusal.message_id))
        }
        "w55" => {
            let request = vector.good();
            let Action::Enumerate(enumerate) = &request.action else { panic!("no Enumerate") };
            let Some(Filter::Query { dialect, text }) = &enumerate.filter else { panic!("no query") };
            let error = cimwright_codec::query::parse(dialect, text).expect_err("no WQL");
            vector.fault(Fault { errors: Vec::new(), ..fault_of(&error, false) })
        }
        "w57" => {
            let request = vector.good();
            let Action::Put { mut representation } = request.action else { panic!("no Put") };
            let fault = fit_instance(&mut representation, &job_class(), &Schema::new()).expect_err("a fault");
            vector.fault(fault)
        }
        "w50" | "w52" | "w56" | "w58" => vector.refused(),
        "w59" => {
            let mut refusal = vector.decode().expect_err("a refusal");
            assert_eq!(refusal.fault.supported.len(), DeliveryMode::ALL.len());
            refusal.fault.supported.clear();
            vector.answered(encode_fault(&refusal.fault, "uuid:x", &refusal.message_id))
        }
        "w60" => {
            let fault = Fault::new(Subcode::InternalError, "provider failed");
            vector.fault(Fault { errors: vec![error()], ..fault })
        }
        "w61" => {
            let fault = Fault::new(Subcode::InternalError, "The service cannot process the request.");
            let windows = WindowsDetail {
                code: fault.windows_code(),
                machine: "wbem.example.com".into(),
                provider: Some(ProviderFault {
                    provider: "ACME job provider".into(),
                    path: "job.dll".into(),
                    text: "The job store is locked.".into(),
                }),
            };
            vector.fault(Fault { windows: Some(windows), ..fault })
        }
        _ => Err("no test covers this vector".into()),
    }
}

fn identify(vector: &Vector) -> Result<(), String> {
    assert_eq!(vector.good().action, Action::Identify);
    let identity = Identity { vendor: "ACME".into(), version: "0.1.0".into(), security_profiles: Vec::new() };
    vector.answered(identity.encode())
}

fn get(name: &str, vector: &Vector) -> Result<(), String> {
    let request = vector.good();
    assert_eq!(request.action, Action::Get);
    let keys = selected_keys(&request.header.selectors, &job_class(), &Schema::new()).expect("keys");
    let path = keys.path(&job_class(), NamespaceName::new("root/cimv2")).expect("a path");
    assert_eq!(path.key_str("InstanceID"), Some("ACME:Job:7"));
    let shown = if name.starts_with("w05") {
        Instance::new("ACME_ConcreteJob").with("InstanceID", "ACME:Job:7").with("JobState", Value::Uint16(10))
    } else {
        job()
    };
    if name.starts_with("w04") {
        assert_eq!(request.header.option("msftwinrm:UsePreciseArrays").collect::<Vec<_>>(), ["true"]);
        assert_eq!(request.header.locale.as_deref(), Some("en-US"));
    }
    vector.answered(ResponseWriter::new(&request.header, "uuid:x", None).instance(&shown))
}

fn get_fragment(vector: &Vector) -> Result<(), String> {
    let request = vector.good();
    assert_eq!(request.action, Action::Get);
    let fragment = request.header.fragment.as_ref().expect("a fragment");
    vector.answered(ResponseWriter::new(&request.header, "uuid:x", None).fragment(fragment, &job()))
}

fn put(name: &str, vector: &Vector) -> Result<(), String> {
    let request = vector.good();
    let Action::Put { mut representation } = request.action else { panic!("no Put") };
    fit_instance(&mut representation, &job_class(), &Schema::new()).expect("a job");
    let header = &request.header;
    let writer = ResponseWriter::new(header, "uuid:x", None);
    match &name[..3] {
        "w08" => {
            assert_eq!(representation.get("DeleteOnCompletion"), Some(&Value::Boolean(false)));
            assert_eq!(representation.get("OperationalStatus"), Some(&Value::uint16s([6, 17])));
            assert_eq!(representation.get("TimeSubmitted"), job().get("TimeSubmitted"));
            assert_eq!(representation.get("ElapsedTime"), job().get("ElapsedTime"));
            assert_eq!(representation.get("Notify"), Some(&Value::from("")));
            assert!(representation.property("UntilTime").is_some_and(|p| p.value.is_none()));
            vector.answered(writer.instance(&representation))
        }
        "w09" => {
            assert_eq!(representation.get("Priority"), Some(&Value::Uint32(1)));
            let fragment = header.fragment.as_ref().expect("a fragment");
            vector.answered(writer.fragment(fragment, &representation))
        }
        _ => {
            assert_eq!(header.modified_properties(), Some(vec!["Priority".into()]));
            assert_eq!(representation.get("Priority"), Some(&Value::Uint32(1)));
            representation.properties.retain(|p| p.value.is_some());
            vector.answered(writer.instance(&representation))
        }
    }
}

fn create(vector: &Vector) -> Result<(), String> {
    let request = vector.good();
    let Action::Create { representation } = &request.action else { panic!("no Create") };
    assert_eq!(representation, &Instance::new("ACME_Note").with("Text", "hello"));
    let path =
        InstancePath::new(NamespaceName::new("root/cimv2"), "ACME_Note").with_key("Id", Value::Uint32(12));
    let writer = ResponseWriter::new(&request.header, "uuid:x", None);
    vector.answered(writer.created(&ObjectPath::Instance(path), ADDRESS))
}

fn control(name: &str, vector: &Vector) -> Result<(), String> {
    let request = vector.good();
    let Action::Invoke { method, params } = request.action else { panic!("no Invoke") };
    let mut params = params;
    let answer = |out: &[Param], code: u32| {
        let writer = ResponseWriter::new(&request.header, "uuid:x", None);
        vector.answered(writer.method(method.as_str(), out, Some(&Value::Uint32(code))))
    };
    let second =
        Instance::new("CIM_Error").with("CIMStatusCode", Value::Uint32(1)).with("MessageID", "ACME0043");
    match &name[..3] {
        "w12" => answer(&[Param::new("Error", Value::Instance(Box::new(error())))], 0),
        "w13" => {
            let said = Instance::new("CIM_Error")
                .with("MessageID", "ACME0042")
                .with("Message", "Copy failed: <disk> \"A\" & spare");
            answer(&[Param::new("Error", Value::InstanceText(Box::new(said)))], 0)
        }
        "w14" => answer(&[Param::null("Error", CimType::String)], 0),
        "w15" => {
            let errors = [error(), second].map(|e| Some(Value::Instance(Box::new(e))));
            answer(&[Param::new("Errors", Value::Array(errors.to_vec()))], 0)
        }
        which => {
            let method = Method {
                parameters: vec![
                    parameter("RequestedState", CimType::Uint16),
                    parameter("TimeoutPeriod", CimType::DateTime),
                ],
                ..plain_method("RequestStateChange")
            };
            fit_params(&mut params, &method, &Schema::new()).expect("parameters");
            assert_eq!(params[0].value, Some(Value::Uint16(4)));
            assert_eq!(
                params[1].value,
                Some(Value::DateTime(DateTime::from_duration(Duration::from_secs(30))))
            );
            answer(&[], if which == "w16" { 4096 } else { 4097 })
        }
    }
}

fn start_job(vector: &Vector) -> Result<(), String> {
    let request = vector.good();
    let Action::Invoke { method, params } = &request.action else { panic!("no Invoke") };
    let mut params = params.clone();
    assert_eq!(method.as_str(), "CreateCopy");
    let mut schema = Schema::new();
    let mut setting = Class::new("ACME_Setting");
    setting.properties.push(Property::new("Level", CimType::Uint16, None));
    schema.add_class(setting).expect("a class");
    let declared = Method {
        parameters: vec![
            parameter("Source", CimType::Reference),
            Parameter { is_array: true, ..parameter("Names", CimType::String) },
            parameter("Force", CimType::Boolean),
            Parameter {
                embedded: Some(cimwright_cim::Embedded::Instance),
                ..parameter("Goal", CimType::String)
            },
        ],
        ..plain_method("CreateCopy")
    };
    fit_params(&mut params, &declared, &schema).expect("parameters");
    let namespace = NamespaceName::new("root/cimv2");
    let source = InstancePath::new(namespace.clone(), "ACME_Volume").with_key("DeviceID", "v1");
    assert_eq!(params[0].value, Some(source.into()));
    assert_eq!(params[1].value, Some(Value::strings(["a", "b & c"])));
    assert_eq!(params[2].value, Some(Value::Boolean(false)));
    let goal = params[3].value.as_ref().and_then(Value::as_instance).expect("an instance");
    assert_eq!((goal.class.as_str(), goal.get("Level")), ("ACME_Setting", Some(&Value::Uint16(3))));
    let job = InstancePath::new(namespace, "ACME_ConcreteJob").with_key("InstanceID", "ACME:Job:7");
    let writer = ResponseWriter::new(&request.header, "uuid:x", None);
    vector.answered(writer.method("CreateCopy", &[Param::new("Job", job)], Some(&Value::Uint32(4096))))
}

fn enumerate(name: &str, vector: &Vector) -> Result<(), String> {
    let request = vector.good();
    let header = &request.header;
    let Action::Enumerate(asked) = &request.action else { panic!("no Enumerate") };
    let asked: &Enumerate = asked;
    let expires = Duration::from_secs(600);
    let acme = ClassUris::of_vendor(ACME, "ACME_ConcreteJob");
    let base = cimwright_cim::ClassName::new("CIM_Job");
    let writer = ResponseWriter::new(header, "uuid:x", None);
    let items = |uris: &ClassUris, projected, shown_as, instance: &Instance| {
        assert!(asked.optimize && asked.max_elements >= Some(10));
        let mut items = ItemWriter::new(uris, None, asked.mode, projected, shown_as);
        items.push(instance);
        assert_eq!(items.count(), 1);
        let writer = ResponseWriter::new(header, "uuid:x", None);
        vector.answered(writer.enumerated(expires, "", Some(items)))
    };
    let association = || match &asked.filter {
        Some(Filter::Association(query)) => query,
        other => panic!("{other:?}"),
    };
    match &name[..3] {
        "w19" => {
            assert_eq!(asked, &Enumerate::default());
            vector.answered(writer.enumerated(expires, CONTEXT, None))
        }
        "w24" => items(&header.uris, false, None, &located_job()),
        "w25" => {
            assert_eq!(asked.mode, EnumerationMode::Epr);
            items(&header.uris, false, None, &located_job())
        }
        "w26" => {
            assert_eq!(asked.mode, EnumerationMode::ObjectAndEpr);
            items(&header.uris, false, None, &located_job())
        }
        "w27" => {
            let Some(Filter::Query { dialect, text }) = &asked.filter else { panic!("no query") };
            assert_eq!(dialect, uris::WQL);
            let query = cimwright_codec::query::parse(dialect, text).expect("a query");
            assert!(query.select.is_some());
            let shown = Instance::new("ACME_ConcreteJob")
                .with("InstanceID", "ACME:Job:9")
                .with("JobState", Value::Uint16(4));
            items(&acme, true, None, &shown)
        }
        "w28" => {
            let text = "SELECT * FROM CIM_ConcreteJob WHERE CIM_ConcreteJob.JobState = 10".to_owned();
            assert_eq!(asked.filter, Some(Filter::Query { dialect: uris::CQL.into(), text }));
            vector.answered(writer_without_expiry(header, CONTEXT))
        }
        "w29" => {
            let Some(Filter::Selectors(selectors)) = &asked.filter else { panic!("no selectors") };
            assert_eq!(selectors[0].value, Value::from("10"));
            vector.answered(writer_without_expiry(header, CONTEXT))
        }
        "w30" => {
            let query = association();
            assert!(query.associated);
            assert_eq!(query.source, located_job().path.expect("a path"));
            assert_eq!(query.filter.assoc_class, Some("CIM_AssociatedJobMethodResult".into()));
            assert_eq!(query.filter.role, Some("Job".into()));
            assert_eq!(query.filter.result_class, Some("CIM_MethodResult".into()));
            assert_eq!(query.filter.result_role, Some("JobParameters".into()));
            // What is found is named as the object was.
            let uris = query.uris.as_ref().expect("the object's way");
            items(uris, false, None, &Instance::new("ACME_MethodResult").with("InstanceID", "ACME:Result:7"))
        }
        "w31" => {
            assert!(!association().associated);
            vector.answered(writer_without_expiry(header, CONTEXT))
        }
        _ => {
            assert_eq!(asked.polymorphism, Polymorphism::ExcludeSubClassProperties);
            let shown = Instance::new("ACME_ConcreteJob")
                .with("Name", "Copy vol1")
                .with("Priority", Value::Uint32(3));
            items(&header.uris, false, Some(&base), &shown)
        }
    }
}

/// These vectors do not tell when the context ends; this server always does.
fn writer_without_expiry(header: &cimwright_codec::wsman::Header, context: &str) -> Vec<u8> {
    let written =
        ResponseWriter::new(header, "uuid:x", None).enumerated(Duration::from_secs(600), context, None);
    let written = String::from_utf8(written).expect("text");
    written.replace("<n:Expires>PT10M</n:Expires>", "").into_bytes()
}

fn pull(name: &str, vector: &Vector) -> Result<(), String> {
    let request = vector.good();
    let Action::Pull(pull) = &request.action else { panic!("no Pull") };
    assert_eq!(pull.context, CONTEXT);
    let mut items = ItemWriter::new(&request.header.uris, None, EnumerationMode::Object, false, None);
    items.push(&located_job());
    let writer = ResponseWriter::new(&request.header, "uuid:x", None);
    if name.starts_with("w20") {
        assert_eq!(pull.max_elements, None);
        vector.answered(writer.pulled(Some(CONTEXT), &items))
    } else {
        assert_eq!(
            (pull.max_elements, pull.max_characters, pull.max_time),
            (Some(20), Some(50_000), Some(Duration::from_secs(30)))
        );
        vector.answered(writer.pulled(None, &items))
    }
}

fn sink() -> Destination {
    let cookie = Foreign { namespace: "urn:acme:c".into(), name: "Cookie".into(), text: "42".into() };
    Destination { address: "https://listener.example.com/acme/sink".into(), parameters: vec![cookie] }
}

fn subscribe(name: &str, vector: &Vector) -> Result<(), String> {
    let request = vector.good();
    let Action::Subscribe(asked) = &request.action else { panic!("no Subscribe") };
    let asked: &Subscribe = asked;
    assert_eq!(asked.expires, Some(Expiry::After(Duration::from_secs(3600))));
    assert!(asked.send_bookmarks && matches!(asked.filter, Some(Filter::Query { .. })));
    let delivery = &asked.delivery;
    match &name[..3] {
        "w34" => assert_eq!(
            (delivery.mode, &delivery.notify_to, delivery.heartbeats),
            (DeliveryMode::Push, &Some(sink()), Some(Duration::from_secs(60)))
        ),
        "w35" => assert_eq!(
            (delivery.mode, delivery.retry),
            (DeliveryMode::PushWithAck, Some((3, Duration::from_secs(20))))
        ),
        _ => assert_eq!((delivery.mode, &delivery.notify_to), (DeliveryMode::Pull, &None)),
    }
    let context = (delivery.mode == DeliveryMode::Pull).then_some(CONTEXT);
    let namespace = NamespaceName::new("root/cimv2");
    vector.answered(encode_subscribed(
        &request.header,
        "uuid:x",
        &subscribed(&namespace),
        Expiry::After(Duration::from_secs(3600)),
        context,
    ))
}

fn subscribed(namespace: &NamespaceName) -> Subscribed<'_> {
    Subscribed {
        address: ADDRESS,
        resource_uri: uris::ALL_CLASSES,
        namespace: Some(namespace),
        identifier: SUBSCRIPTION,
    }
}

fn manage(name: &str, vector: &Vector) -> Result<(), String> {
    let request = vector.good();
    assert_eq!(request.header.identifier.as_deref(), Some(SUBSCRIPTION));
    if name.starts_with("w37") {
        let two_hours = Duration::from_secs(7200);
        assert_eq!(request.action, Action::RenewSubscription { expires: Some(Expiry::After(two_hours)) });
        vector.answered(encode_subscription_expires(
            &request.header,
            "uuid:x",
            "RenewResponse",
            Expiry::After(two_hours),
        ))
    } else {
        assert_eq!(request.action, Action::Unsubscribe);
        vector.answered(ResponseWriter::new(&request.header, "uuid:x", None).empty())
    }
}

fn events(name: &str, vector: &Vector) -> Result<(), String> {
    let embedded = |state| {
        let job = Instance::new("ACME_ConcreteJob")
            .with("InstanceID", "ACME:Job:7")
            .with("JobState", Value::Uint16(state));
        Value::Instance(Box::new(job))
    };
    let time: DateTime = "20240131235959.000000+000".parse().expect("a time");
    let event = Instance::new("CIM_InstModification")
        .with("IndicationTime", time)
        .with("PreviousInstance", embedded(4))
        .with("SourceInstance", embedded(10));
    let uris = ClassUris::of_vendor(ACME, "ACME_ConcreteJob");
    let to = sink();
    let bookmark = Foreign { namespace: "urn:acme:b".into(), name: "n".into(), text: "991".into() };
    let batch = [event.clone()];
    let kind = match &name[..3] {
        "w39" => EventKind::Plain(&event),
        "w40" => EventKind::Acknowledged(&event),
        "w41" => EventKind::Batch(&batch),
        "w42" => EventKind::Heartbeat,
        _ => {
            let namespace = NamespaceName::new("root/cimv2");
            let written = encode_subscription_end(&SubscriptionEnd {
                to: &to,
                message_id: MESSAGE,
                subscribed: &subscribed(&namespace),
                status: "SourceCanceling",
                reason: "removed",
            });
            return same(&written, &vector.request);
        }
    };
    let bookmark = (kind != EventKind::Heartbeat).then_some(&bookmark);
    let message = EventMessage { to: &to, message_id: MESSAGE, kind, bookmark, uris: &uris, namespace: None };
    same(&encode_event(&message), &vector.request)?;
    if let Some(answer) = &vector.response {
        assert_eq!(decode_ack(answer.as_bytes(), &Limits::default()).as_deref(), Ok(MESSAGE));
        same(&encode_ack("uuid:x", MESSAGE), answer)?;
    }
    Ok(())
}

fn job() -> Instance {
    let time = |text: &str| Value::DateTime(text.parse().expect("a time"));
    let mut job = Instance::new("ACME_ConcreteJob")
        .with("DeleteOnCompletion", true)
        .with("ElapsedTime", time("00000000000107.000000:000"))
        .with("InstanceID", "ACME:Job:7")
        .with("JobState", Value::Uint16(10))
        .with("Name", "Copy vol1")
        .with("Notify", "")
        .with("OperationalStatus", Value::uint16s([6, 17]))
        .with("TimeSubmitted", time("20240131235959.123456+060"));
    job.properties.push(Property::new("UntilTime", CimType::DateTime, None));
    job
}

fn located_job() -> Instance {
    let path = InstancePath::new(NamespaceName::new("root/cimv2"), "ACME_ConcreteJob");
    Instance { path: Some(path.with_key("InstanceID", "ACME:Job:7")), ..job() }
}

fn job_class() -> Class {
    let mut class = Class::new("ACME_ConcreteJob");
    class.properties = job()
        .properties
        .into_iter()
        .map(|p| Property { value: None, ..p })
        .chain([Property::new("Priority", CimType::Uint32, None)])
        .collect();
    let key = class.properties.iter_mut().find(|p| p.name.is("InstanceID")).expect("a key");
    key.qualifiers.push(Qualifier::flag("Key"));
    class
}

fn error() -> Instance {
    Instance::new("CIM_Error")
        .with("CIMStatusCode", Value::Uint32(1))
        .with("ErrorType", Value::Uint16(4))
        .with("Message", "Copy failed: <disk> \"A\" & spare")
        .with("MessageArguments", Value::strings(["disk A"]))
        .with("MessageID", "ACME0042")
        .with("OwningEntity", "ACME")
        .with("PerceivedSeverity", Value::Uint16(5))
        .with("ProbableCause", Value::Uint16(47))
}

fn plain_method(name: &str) -> Method {
    Method {
        name: name.into(),
        return_type: Some(CimType::Uint32),
        parameters: Vec::new(),
        class_origin: None,
        propagated: false,
        qualifiers: Vec::new(),
    }
}

fn parameter(name: &str, cim_type: CimType) -> Parameter {
    Parameter {
        name: name.into(),
        cim_type,
        is_array: false,
        array_size: None,
        embedded: None,
        reference_class: None,
        qualifiers: Vec::new(),
    }
}

/// The expression of a fragment may be anything a client has typed.
#[test]
fn fragments_say_what_they_find() {
    let fragment = Fragment::parse("OperationalStatus[2]/text()").expect("a fragment");
    assert_eq!(fragment.find(&job()).and_then(|p| p.value.cloned()), Some(Value::Uint16(17)));
}
