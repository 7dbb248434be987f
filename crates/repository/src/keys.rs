//! One text for all spellings of a path, so that it can be looked up (DSP0004 8.2.5).

use cimwright_cim::{InstancePath, NamespaceName, ObjectPath, Value};
use std::fmt::Write;

/// The keys of a path in one fixed order and spelling. Equal for two paths of one class exactly when they name the same instance,
/// if the values have the types that the class declares.
pub fn key_text(path: &InstancePath) -> String {
    let mut keys: Vec<(String, &Value)> =
        path.keys.iter().map(|k| (k.name.as_str().to_ascii_lowercase(), &k.value)).collect();
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = String::with_capacity(64);
    for (name, value) in keys {
        out.push_str(&name);
        out.push('=');
        push_value(&mut out, value);
        out.push(',');
    }
    out
}

/// A whole path in one spelling; `here` is the namespace of a path that names none. Hosts are not looked at.
pub fn path_text(path: &InstancePath, here: &NamespaceName) -> String {
    let namespace = path.namespace.as_ref().unwrap_or(here);
    let mut out = namespace.as_str().to_ascii_lowercase();
    out.push(':');
    out.push_str(&path.class.as_str().to_ascii_lowercase());
    out.push('.');
    out.push_str(&key_text(path));
    out
}

fn push_value(out: &mut String, value: &Value) {
    if let Some(number) = value.as_i128() {
        let _ = write!(out, "{number}");
        return;
    }
    match value {
        Value::Boolean(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::String(text) => push_quoted(out, text),
        Value::Char16(unit) => {
            let _ = write!(out, "'{unit}");
        }
        // Two texts for one instant are one key.
        Value::DateTime(time) => match time.to_unix_micros() {
            Some(micros) => {
                let _ = write!(out, "@{micros}");
            }
            None => push_quoted(out, &time.to_string()),
        },
        Value::Real32(x) => {
            let _ = write!(out, "{x}");
        }
        Value::Real64(x) => {
            let _ = write!(out, "{x}");
        }
        Value::Reference(object) => match object.as_ref() {
            ObjectPath::Instance(path) => {
                let namespace = path.namespace.clone().unwrap_or_else(|| NamespaceName::new(""));
                push_quoted(out, &path_text(path, &namespace));
            }
            ObjectPath::Class(path) => push_quoted(out, &path.class.as_str().to_ascii_lowercase()),
        },
        // No key can be an array or an object.
        _ => {}
    }
}

fn push_quoted(out: &mut String, text: &str) {
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

    #[test]
    fn spellings_of_one_path_are_one_text() {
        let here = NamespaceName::new("root/a");
        let one = InstancePath::new(None, "X").with_key("A", Value::Uint8(3)).with_key("B", "q\"");
        let other = InstancePath::new(here.clone(), "x").with_key("b", "q\"").with_key("a", Value::Sint64(3));
        assert_eq!(path_text(&one, &here), path_text(&other, &NamespaceName::new("root/b")));
        let third = InstancePath::new(None, "x").with_key("b", "Q\"").with_key("a", Value::Sint64(3));
        assert_ne!(path_text(&one, &here), path_text(&third, &here));
    }

    #[test]
    fn no_value_can_pretend_to_be_two_keys() {
        let two = InstancePath::new(None, "X").with_key("a", "1").with_key("b", "2");
        let one = InstancePath::new(None, "X").with_key("a", "1\",b=\"2");
        assert_ne!(key_text(&one), key_text(&two));
    }
}
