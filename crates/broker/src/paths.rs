//! Instance paths as clients send them, made exact: keys named as declared and of the declared types.

use crate::broker::Scope;
use crate::registry::Namespace;
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::{CimError, CimType, InstancePath, KeyBinding, ObjectPath, Value};
use cimwright_jobs::JobId;
use std::fmt::Write as _;
use std::sync::Arc;

/// The path as a server would have made it: in this namespace, with the declared spelling and types.
///
/// # Errors
/// CIM_ERR_INVALID_CLASS for an unknown class, CIM_ERR_INVALID_PARAMETER for keys that are not those of the class.
pub(crate) fn exact(namespace: &Namespace, path: &InstancePath) -> Result<InstancePath, CimError> {
    let class = namespace.class(&path.class)?;
    let declared: Vec<_> = class.keys().collect();
    let wrong = |what: String| {
        let names: Vec<&str> = declared.iter().map(|k| k.name.as_str()).collect();
        Err(CimError::invalid_parameter(format!(
            "the path of a {} {what}; its keys are: {}",
            class.name,
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        )))
    };
    for (at, given) in path.keys.iter().enumerate() {
        let bare = given.name.as_str().is_empty() && declared.len() == 1 && path.keys.len() == 1;
        if !bare && !declared.iter().any(|k| k.name == given.name) {
            return wrong(format!("has no key {}", given.name));
        }
        if path.keys[..at].iter().any(|k| k.name == given.name) {
            return wrong(format!("names the key {} twice", given.name));
        }
    }
    let mut keys = Vec::with_capacity(declared.len());
    for key in &declared {
        let Some(value) = path.key(key.name.as_str()) else {
            return wrong(format!("needs the key {}", key.name));
        };
        let shape = Declared { cim_type: key.cim_type, is_array: false, embedded: None };
        match coerce(value.clone(), shape, &|_| Err("a key is no instance".to_owned())) {
            Ok(value) => keys.push(KeyBinding { name: key.name.clone(), value }),
            Err(mismatch) => return wrong(format!("has a wrong value for the key {}: {mismatch}", key.name)),
        }
    }
    Ok(InstancePath { host: None, namespace: Some(namespace.name.clone()), class: class.name.clone(), keys })
}

/// A path as it is kept and looked up: of a namespace, without host, and where its class is known with keys of their declared
/// types, also in the references among them.
pub(crate) fn normal(scope: &Scope, path: &InstancePath) -> InstancePath {
    let at = path.namespace.clone().unwrap_or_else(|| scope.namespace.name.clone());
    let namespace = if at == scope.namespace.name {
        Some(Arc::clone(&scope.namespace))
    } else {
        scope.inner.registry.namespace(&at).ok()
    };
    let exact = namespace.and_then(|n| exact(&n, path).ok());
    let mut path = exact.unwrap_or_else(|| InstancePath { host: None, namespace: Some(at), ..path.clone() });
    for key in &mut path.keys {
        if let Value::Reference(object) = &mut key.value
            && let ObjectPath::Instance(inner) = object.as_mut()
        {
            *inner = normal(scope, inner);
        }
    }
    path
}

/// The job that an InstanceID names. Only the form that the server itself gives is a name, in any case.
pub(crate) fn job_id(instance_id: &Value) -> Option<JobId> {
    let text = instance_id.as_str()?;
    // The parser would take braces, a URN and a form without hyphens as well; one job must not have several names.
    if text.len() == 36 { text.parse().ok() } else { None }
}

/// The text form of a path: `root/virtualization:Msvm_StorageJob.InstanceID="…"` (DSP0207 without the host).
pub(crate) fn text(path: &InstancePath) -> String {
    let mut out = String::with_capacity(128);
    if let Some(namespace) = &path.namespace {
        let _ = write!(out, "{namespace}:");
    }
    relative_text(path, &mut out);
    out
}

/// The text form of a path without namespace.
pub(crate) fn relative_text(path: &InstancePath, out: &mut String) {
    out.push_str(path.class.as_str());
    if path.keys.is_empty() {
        out.push_str("=@");
    }
    for (at, key) in path.keys.iter().enumerate() {
        out.push(if at == 0 { '.' } else { ',' });
        out.push_str(key.name.as_str());
        out.push('=');
        match &key.value {
            Value::Reference(inner) => match inner.as_ref() {
                ObjectPath::Instance(inner) => quote(&text(inner), out),
                ObjectPath::Class(inner) => quote(inner.class.as_str(), out),
            },
            Value::Boolean(b) => out.push_str(if *b { "TRUE" } else { "FALSE" }),
            Value::String(s) => quote(s, out),
            Value::DateTime(d) => quote(&d.to_string(), out),
            Value::Char16(unit) => quote(&String::from_utf16_lossy(&[*unit]), out),
            Value::Real32(x) => {
                let _ = write!(out, "{x}");
            }
            Value::Real64(x) => {
                let _ = write!(out, "{x}");
            }
            other => match other.as_i128() {
                Some(n) => {
                    let _ = write!(out, "{n}");
                }
                None => quote("", out),
            },
        }
    }
}

/// Whether `value` is a reference to the instance with this path.
pub(crate) fn refers_to(value: Option<&Value>, path: &InstancePath) -> bool {
    matches!(value, Some(Value::Reference(object)) if object.as_instance().is_some_and(|p| p == path))
}

/// Whether the type is one that a reference property has.
pub(crate) fn is_reference(cim_type: CimType) -> bool {
    cim_type == CimType::Reference
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::NamespaceName;

    #[test]
    fn paths_are_written_and_quoted() {
        let file = InstancePath::new(None, "CIM_DataFile").with_key("Name", r#"C:\a "b".vhdx"#);
        assert_eq!(text(&file), r#"CIM_DataFile.Name="C:\\a \"b\".vhdx""#);
        let link = InstancePath::new(NamespaceName::new("root/a"), "Link")
            .with_key("N", Value::Uint8(3))
            .with_key("B", true)
            .with_key("R", InstancePath::new(NamespaceName::new("root/a"), "X").with_key("K", "v"));
        assert_eq!(text(&link), r#"root/a:Link.N=3,B=TRUE,R="root/a:X.K=\"v\"""#);
    }

    #[test]
    fn one_job_has_one_name() {
        let id = JobId::generate();
        assert_eq!(job_id(&id.to_string().into()), Some(id));
        assert_eq!(job_id(&id.to_string().to_lowercase().into()), Some(id));
        assert_eq!(job_id(&format!("{{{id}}}").into()), None);
        assert_eq!(job_id(&id.to_string().replace('-', "").into()), None);
        assert_eq!(job_id(&Value::Uint8(1)), None);
    }
}
