//! CIM values as JSON. An embedded instance is an object with its class under `$class`; a reference is the text of its path.

use cimwright_cim::{Class, Instance, ObjectPath, Qualifier, Value as Cim};
use cimwright_client::job::{ErrorView, JobSnapshot};
use cimwright_codec::uri;
use serde_json::{Map, Value, json};

/// A value; NULL is `null`.
pub(crate) fn value(value: Option<&Cim>) -> Value {
    let Some(value) = value else { return Value::Null };
    match value {
        Cim::Boolean(b) => json!(b),
        Cim::String(text) => json!(text),
        Cim::Char16(unit) => json!(String::from_utf16_lossy(&[*unit])),
        Cim::Real32(x) => json!(x),
        Cim::Real64(x) => json!(x),
        Cim::DateTime(time) => json!(time.to_string()),
        Cim::Reference(path) => json!(uri::to_text(path)),
        Cim::Instance(i) | Cim::InstanceText(i) => instance(i),
        Cim::Class(class) => json!({ "$class": class.name.as_str() }),
        Cim::Array(items) => items.iter().map(|i| self::value(i.as_ref())).collect(),
        Cim::Uint8(_)
        | Cim::Sint8(_)
        | Cim::Uint16(_)
        | Cim::Sint16(_)
        | Cim::Uint32(_)
        | Cim::Sint32(_)
        | Cim::Uint64(_)
        | Cim::Sint64(_) => match value.as_u64() {
            Some(n) => json!(n),
            None => json!(value.as_i128().and_then(|n| i64::try_from(n).ok())),
        },
    }
}

/// An instance with all properties it shows.
pub(crate) fn instance(instance: &Instance) -> Value {
    let mut object = Map::new();
    object.insert("$class".to_owned(), json!(instance.class.as_str()));
    if let Some(path) = &instance.path {
        object.insert("$path".to_owned(), json!(uri::to_text(&ObjectPath::Instance(path.clone()))));
    }
    for property in &instance.properties {
        object.insert(property.name.to_string(), value(property.value.as_ref()));
    }
    Value::Object(object)
}

/// A class: its features with their types and qualifiers.
pub(crate) fn class(class: &Class) -> Value {
    let properties: Map<String, Value> = class
        .properties
        .iter()
        .map(|p| {
            let property = json!({
                "type": p.cim_type.keyword(),
                "isArray": p.is_array,
                "referenceClass": p.reference_class.as_ref().map(|c| c.as_str()),
                "value": value(p.value.as_ref()),
                "classOrigin": p.class_origin.as_ref().map(|c| c.as_str()),
                "propagated": p.propagated,
                "qualifiers": qualifiers(&p.qualifiers),
            });
            (p.name.to_string(), property)
        })
        .collect();
    let methods: Map<String, Value> = class
        .methods
        .iter()
        .map(|m| {
            let parameters: Vec<Value> = m
                .parameters
                .iter()
                .map(|p| {
                    json!({
                        "name": p.name.as_str(),
                        "type": p.cim_type.keyword(),
                        "isArray": p.is_array,
                        "referenceClass": p.reference_class.as_ref().map(|c| c.as_str()),
                        "qualifiers": qualifiers(&p.qualifiers),
                    })
                })
                .collect();
            let method = json!({
                "returnType": m.return_type.map(|t| t.keyword()),
                "classOrigin": m.class_origin.as_ref().map(|c| c.as_str()),
                "propagated": m.propagated,
                "parameters": parameters,
                "qualifiers": qualifiers(&m.qualifiers),
            });
            (m.name.to_string(), method)
        })
        .collect();
    json!({
        "$class": class.name.as_str(),
        "superclass": class.superclass.as_ref().map(|c| c.as_str()),
        "qualifiers": qualifiers(&class.qualifiers),
        "properties": properties,
        "methods": methods,
    })
}

fn qualifiers(qualifiers: &[Qualifier]) -> Value {
    let all: Map<String, Value> =
        qualifiers.iter().map(|q| (q.name.to_string(), value(q.value.as_ref()))).collect();
    Value::Object(all)
}

/// The chief facts of a job.
pub(crate) fn job(job: &JobSnapshot) -> Value {
    json!({
        "instanceId": job.instance_id,
        "class": job.instance.class.as_str(),
        "namespace": job.path.as_ref().and_then(|p| p.namespace.as_ref()).map(|n| n.as_str()),
        "name": job.name,
        "description": job.description,
        "owner": job.owner,
        "jobState": job.state.0,
        "state": job.state.to_string(),
        "jobStatus": job.job_status,
        "operationalStatus": job.operational_status,
        "percentComplete": job.percent,
        "bytesDone": job.bytes.map(|b| b.done),
        "bytesTotal": job.bytes.map(|b| b.total),
        "timeSubmitted": job.time_submitted.map(|t| t.to_string()),
        "startTime": job.start_time.map(|t| t.to_string()),
        "elapsedSeconds": job.elapsed.map(|e| e.as_secs_f64()),
        "timeOfLastStateChange": job.time_of_last_state_change.map(|t| t.to_string()),
        "cancellable": job.cancellable,
        "errorCode": job.error_code,
        "errorDescription": job.error_description,
        "removed": job.removed.map(|t| t.to_string()),
    })
}

/// All fields of an error.
pub(crate) fn error(error: &ErrorView) -> Value {
    json!({
        "class": error.class,
        "messageId": error.message_id,
        "owningEntity": error.owning_entity,
        "message": error.message,
        "messageArguments": error.message_arguments,
        "errorType": error.error_type,
        "errorTypeName": error.error_type_name(),
        "otherErrorType": error.other_error_type,
        "perceivedSeverity": error.perceived_severity,
        "severityName": error.severity_name(),
        "probableCause": error.probable_cause,
        "probableCauseDescription": error.probable_cause_description,
        "recommendedActions": error.recommended_actions,
        "errorSource": error.error_source,
        "errorSourceFormat": error.error_source_format,
        "otherErrorSourceFormat": error.other_error_source_format,
        "cimStatusCode": error.cim_status_code,
        "cimStatusCodeDescription": error.cim_status_code_description,
    })
}

/// JSON with line breaks, for a person who reads it after all.
pub(crate) fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_what_they_are() {
        let inner = Instance::new("X").with("A", Cim::Sint8(-3)).with("B", true);
        let outer = Instance::new("Y")
            .with("N", Cim::Uint64(u64::MAX))
            .with("S", Cim::strings(["a"]))
            .with("E", Cim::Instance(Box::new(inner)))
            .with("R", Cim::Real64(f64::NAN));
        assert_eq!(
            instance(&outer).to_string(),
            r#"{"$class":"Y","E":{"$class":"X","A":-3,"B":true},"N":18446744073709551615,"R":null,"S":["a"]}"#
        );
        assert_eq!(value(None), Value::Null);
    }
}
