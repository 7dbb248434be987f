//! What a provider in a process of its own says.

use super::Outcome;
use cimwright_cim::operation::Param;
use cimwright_cim::{CimError, Instance, Value};
use cimwright_sdk::process::wire::{
    Answer, FromProvider, WireCimError, WireInstance, WireNewJob, WireParam, WireValue, from_reason,
    to_reason,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Words of the language.
pub(super) const WORDS: &[&str] = &[
    "{\"answer\":{\"id\":1,\"answer\":",
    "\"instance\":",
    "\"properties\":[",
    "\"keys\":[[",
    "{\"name\":\"N\",\"type\":\"uint8\",\"value\":",
    "{\"array\":[",
    "{\"reference\":{\"class\":\"X\"",
    "{\"real64\":\"NaN\"}",
    "{\"datetime\":\"00000001000000.000000:000\"}",
    "{\"uint64\":18446744073709551615}",
    "\"details\":[[",
    "\"reason\":[]",
    "null",
    "-1",
    "}}",
    "]",
];

/// Reads a message as the server does; what becomes of the model has to come back the same.
pub(super) fn run(data: &[u8]) -> Outcome {
    let message: FromProvider = match serde_json::from_slice(data) {
        Ok(message) => message,
        Err(error) => return Outcome::of(&error.to_string()),
    };
    let read = match message {
        FromProvider::Portion { instances, .. } => instances.into_iter().try_for_each(instance),
        FromProvider::Raise { indication, .. } => instance(indication),
        FromProvider::Result { value, .. } => value_of(value),
        FromProvider::Answer { answer, .. } => answered(answer),
        FromProvider::Hello(_) | FromProvider::Progress { .. } | FromProvider::Paused { .. } => Ok(()),
    };
    Outcome::of(read.as_ref().err().map_or("read", String::as_str))
}

fn answered(answer: Answer) -> Result<(), String> {
    match answer {
        Answer::Instance { instance: Some(found) } => instance(found),
        Answer::Created { path } => {
            value_of(WireValue::Reference(path.clone()))?;
            cimwright_cim::InstancePath::try_from(path).map(drop).map_err(|e| e.to_string())
        }
        Answer::Method { out, .. } => out.into_iter().try_for_each(param),
        Answer::Job { job } => self::job(*job),
        Answer::Refused { job, reason } => {
            self::job(*job)?;
            self::reason(reason)
        }
        Answer::Reason { reason } => self::reason(reason),
        Answer::Failed { error } => {
            let error = CimError::try_from(error).map_err(|e| e.to_string())?;
            let again = CimError::try_from(sent(&WireCimError::from(&error)));
            assert_eq!(again.as_ref(), Ok(&error));
            Ok(())
        }
        Answer::Done {} | Answer::Instance { .. } | Answer::Steps { .. } | Answer::Output { .. } => Ok(()),
        Answer::Stopped {} => Ok(()),
    }
}

fn instance(wire: WireInstance) -> Result<(), String> {
    let read = Instance::try_from(wire).map_err(|e| e.to_string())?;
    let again = Instance::try_from(sent(&WireInstance::from(&read))).unwrap_or_else(|e| panic!("{e}"));
    // By their text, in which what is no number is like itself.
    assert_eq!(format!("{again:?}"), format!("{read:?}"));
    Ok(())
}

fn value_of(wire: WireValue) -> Result<(), String> {
    let read = Value::try_from(wire).map_err(|e| e.to_string())?;
    let again = Value::try_from(sent(&WireValue::from(&read))).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(format!("{again:?}"), format!("{read:?}"));
    Ok(())
}

fn param(wire: WireParam) -> Result<(), String> {
    let read = Param::try_from(wire).map_err(|e| e.to_string())?;
    let again = Param::try_from(sent(&WireParam::from(&read))).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(format!("{again:?}"), format!("{read:?}"));
    Ok(())
}

fn job(wire: WireNewJob) -> Result<(), String> {
    let read = wire.into_job("f", "k").map_err(|e| e.to_string())?;
    let again = sent(&WireNewJob::from(&read)).into_job("f", "k").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(format!("{again:?}"), format!("{read:?}"));
    Ok(())
}

fn reason(wire: Vec<cimwright_sdk::process::wire::WireDetail>) -> Result<(), String> {
    let read = from_reason(wire).map_err(|e| e.to_string())?;
    assert_eq!(from_reason(sent(&to_reason(&read))).as_ref(), Ok(&read));
    Ok(())
}

/// What arrives of what is sent.
fn sent<W: Serialize + DeserializeOwned>(wire: &W) -> W {
    let text = serde_json::to_string(wire).unwrap_or_else(|e| panic!("{e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}
