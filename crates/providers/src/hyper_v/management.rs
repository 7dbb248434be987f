//! Msvm_VirtualSystemManagementService: for now only FormatError, which turns the errors of GetErrorEx into one text.

use super::{v1, v2};
use crate::services::{ServiceIdentity, service_instance};
use async_trait::async_trait;
use cimwright_sdk::cim::{CimError, CimStatus, ClassName, Instance, Param, Value};
use cimwright_sdk::{
    Context, InstanceProvider, MethodCall, MethodOutcome, MethodProvider, Plugin, ServedClass,
};
use std::fmt::Write;
use std::sync::Arc;

const CLASS: &str = "Msvm_VirtualSystemManagementService";
const INVALID_PARAMETER: u32 = 32773;

/// Reads an instance from its CIM-XML text.
pub type ParseInstance = Arc<dyn Fn(&str) -> Result<Instance, String> + Send + Sync>;

struct Management {
    identity: ServiceIdentity,
    parse: ParseInstance,
}

/// The service, in both namespaces.
pub fn management_service(computer: &str, parse: ParseInstance) -> Plugin {
    let service = Arc::new(Management { identity: ServiceIdentity::new(CLASS, "vmms", computer), parse });
    let classes = [v1(), v2()]
        .into_iter()
        .map(|namespace| ServedClass {
            namespace,
            class: CLASS.into(),
            instances: Some(Arc::clone(&service) as Arc<dyn InstanceProvider>),
            methods: Some(Arc::clone(&service) as Arc<dyn MethodProvider>),
        })
        .collect();
    Plugin { name: "hyper-v management", classes, ..Plugin::default() }
}

#[async_trait]
impl InstanceProvider for Management {
    async fn enumerate(&self, context: Context<'_>, class: &ClassName) -> Result<Vec<Instance>, CimError> {
        Ok(service_instance(context.schema, class, &self.identity).into_iter().collect())
    }
}

#[async_trait]
impl MethodProvider for Management {
    async fn invoke(&self, _context: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        if !call.method.is("FormatError") {
            return Err(CimError::new(
                CimStatus::MethodNotAvailable,
                format!("{CLASS} does not implement {} yet", call.method),
            ));
        }
        let Some(errors) = call.get("Errors").and_then(Value::as_array) else {
            return Ok(MethodOutcome::code(INVALID_PARAMETER));
        };
        let mut instances = Vec::with_capacity(errors.len());
        for error in errors.iter().flatten() {
            match error {
                Value::String(text) => match (self.parse)(text) {
                    Ok(instance) => instances.push(instance),
                    Err(_) => return Ok(MethodOutcome::code(INVALID_PARAMETER)),
                },
                other => match other.as_instance() {
                    Some(instance) => instances.push(instance.clone()),
                    None => return Ok(MethodOutcome::code(INVALID_PARAMETER)),
                },
            }
        }
        let text = format_errors(&instances);
        Ok(MethodOutcome::Done { return_value: 0, out: vec![Param::new("ErrorMessage", text)] })
    }
}

/// One text from a chain of errors, outermost first: each message, what to do about the first one, and the ids.
fn format_errors(errors: &[Instance]) -> String {
    let mut text = String::new();
    for (depth, error) in errors.iter().enumerate() {
        let message = error.get_str("Message").unwrap_or("An error without a message.");
        let id = error.get_str("MessageID").unwrap_or("no id");
        let lead = if depth == 0 { "" } else { "because: " };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{lead}{message} ({id})");
    }
    let actions =
        errors.first().and_then(|e| e.get("RecommendedActions")).and_then(Value::as_array).unwrap_or(&[]);
    for action in actions.iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(text, "What to do: {action}");
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_becomes_one_text() {
        let outer = Instance::new("Msvm_Error")
            .with("Message", "Cannot write.")
            .with("MessageID", "A1")
            .with("RecommendedActions", Value::strings(["Free some space."]));
        let inner = Instance::new("Msvm_Error").with("Message", "Disk full.").with("MessageID", "A2");
        let expected = "Cannot write. (A1)\nbecause: Disk full. (A2)\nWhat to do: Free some space.";
        assert_eq!(format_errors(&[outer, inner]), expected);
        assert_eq!(format_errors(&[]), "");
    }
}
