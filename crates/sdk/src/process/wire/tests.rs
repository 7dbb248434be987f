use super::*;
use crate::outcome::NewJob;
use cimwright_cim::{
    CatalogueEntry, CimError, CimStatus, CimType, Class, ErrorDetail, ErrorType, Instance, InstancePath,
    NamespaceName, Property, Severity, Value,
};
use cimwright_jobs::{Affected, Schedule};

fn over_json<W: serde::Serialize + serde::de::DeserializeOwned>(wire: &W) -> W {
    serde_json::from_str(&serde_json::to_string(wire).unwrap()).unwrap()
}

#[test]
fn every_value_comes_back_as_it_was() {
    let path = InstancePath::new(NamespaceName::new("root/a"), "X").with_key("K", Value::Uint16(7));
    let inner = Instance::new("Y").with("A", "<&\"\u{1f600}");
    let mut named = Instance { path: Some(path.clone()), ..inner.clone() };
    named.properties.push(Property::new("Nothing", CimType::DateTime, None));
    let values = [
        Value::Boolean(true),
        Value::from(""),
        Value::Char16(0xd800),
        Value::Uint8(255),
        Value::Sint8(-128),
        Value::Uint16(65535),
        Value::Sint16(-32768),
        Value::Uint32(u32::MAX),
        Value::Sint32(i32::MIN),
        Value::Uint64(u64::MAX),
        Value::Sint64(i64::MIN),
        Value::Real32(0.1),
        Value::Real64(f64::INFINITY),
        Value::DateTime("20260228000000.000000+060".parse().unwrap()),
        Value::from(path),
        Value::Instance(Box::new(named)),
        Value::InstanceText(Box::new(inner)),
        Value::Class(Box::new(Class::new("Z"))),
        Value::Array(vec![Some(Value::Uint8(1)), None]),
        Value::Array(vec![]),
    ];
    for value in values {
        let back = Value::try_from(over_json(&WireValue::from(&value))).unwrap();
        assert_eq!(back, value);
    }
    let nan = Value::try_from(over_json(&WireValue::from(&Value::Real64(f64::NAN)))).unwrap();
    assert!(matches!(nan, Value::Real64(n) if n.is_nan()));
}

#[test]
fn what_means_nothing_is_named() {
    let refused = |json: &str| {
        let wire: WireValue = serde_json::from_str(json).unwrap();
        Value::try_from(wire).unwrap_err().to_string()
    };
    assert_eq!(refused(r#"{"datetime":"noon"}"#), "\"noon\" is no datetime");
    assert_eq!(refused(r#"{"real64":"much"}"#), "\"much\" is no real64");
    assert!(serde_json::from_str::<WireValue>(r#"{"uint8":256}"#).is_err());
    assert!(from_reason(Vec::new()).is_err());
}

#[test]
fn an_error_keeps_everything_that_is_known() {
    static ENTRY: CatalogueEntry = CatalogueEntry {
        id: "X1",
        message: "The thing {0} broke.",
        meaning: "",
        error_type: ErrorType::UnavailableResource,
        severity: Severity::Fatal,
        probable_cause: 47,
        probable_cause_description: "Software Error",
        actions: &["Mend {0}."],
        status: CimStatus::ServerLimitsExceeded,
        code: 32778,
    };
    let reason: ErrorDetail =
        ENTRY.detail(["a"]).about("/dev/a").because(ENTRY.detail(["b"]).about_path("X.K=1"));
    let error = CimError::access_denied("no").with_detail(reason);
    assert_eq!(CimError::try_from(over_json(&WireCimError::from(&error))).unwrap(), error);
}

#[test]
fn a_job_keeps_everything_that_was_asked_for() {
    let job = NewJob {
        family: "f",
        kind: "k",
        payload: "{}".into(),
        name: "n".into(),
        caption: "c".into(),
        description: "d".into(),
        job_type: 3,
        owning_element: Some(InstancePath::new(None, "X").with_key("K", "v")),
        affected: vec![Affected {
            element: InstancePath::new(None, "Y").with_key("K", "w"),
            effects: vec![2],
        }],
        priority: Some(7),
        answer_within: Some(std::time::Duration::from_millis(1500)),
        schedule: Schedule { job_run_times: 3, run_day: Some(-1), ..Schedule::default() },
    };
    assert_eq!(over_json(&WireNewJob::from(&job)).into_job("f", "k").unwrap(), job);
}

/// What is done with a chain takes the stack, link by link: one from a process that means harm must not end the server.
#[test]
fn chains_of_reasons_have_a_bound() {
    let link =
        serde_json::json!({"id": "X1", "message": "m", "type": 0, "severity": 0, "status": 1, "code": 0});
    let chain = |links: usize| -> WireReason {
        serde_json::from_value(serde_json::Value::Array(vec![link.clone(); links])).unwrap()
    };
    assert_eq!(from_reason(chain(64)).unwrap().chain().count(), 64);
    for links in [0, 65, 100_000] {
        let error = from_reason(chain(links)).unwrap_err().to_string();
        assert!(error.contains("reason"), "{error}");
    }
    let mut long = from_reason(chain(64)).unwrap();
    long = ErrorDetail { cause: Some(Box::new(long.clone())), ..long };
    assert_eq!(to_reason(&long).len(), 64, "what is sent can be read");
}
