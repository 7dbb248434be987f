//! Instances as text in the style of MOF, with what the values mean beside them.

use super::text::{clean_line, datetime};
use cimwright_cim::{Class, Instance, Property, Value};
use cimwright_client::meaning;
use cimwright_codec::uri;
use std::fmt::Write;

/// An instance in the style of MOF. Properties that are NULL are left out unless `with_nulls`; `class` gives the names of values.
pub(crate) fn text(instance: &Instance, class: Option<&Class>, with_nulls: bool) -> String {
    let mut out = String::new();
    push_instance(&mut out, instance, class, with_nulls, 0);
    out.push(';');
    out
}

/// A value in the style of MOF.
pub(crate) fn value_text(value: Option<&Value>) -> String {
    let mut out = String::new();
    push_value(&mut out, value, 0);
    out
}

fn push_instance(
    out: &mut String,
    instance: &Instance,
    class: Option<&Class>,
    with_nulls: bool,
    depth: usize,
) {
    let pad = "    ".repeat(depth);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "instance of {} {{", instance.class);
    for property in &instance.properties {
        if property.value.is_none() && !with_nulls {
            continue;
        }
        let _ = write!(out, "{pad}    {} = ", property.name);
        push_value(out, property.value.as_ref(), depth + 1);
        out.push(';');
        if let Some(remark) = remark(property, class) {
            let _ = write!(out, " // {}", clean_line(&remark));
        }
        out.push('\n');
    }
    out.push_str(&pad);
    out.push('}');
}

fn push_value(out: &mut String, value: Option<&Value>, depth: usize) {
    match value {
        None => out.push_str("NULL"),
        Some(Value::String(text)) => push_quoted(out, text),
        Some(Value::DateTime(time)) => push_quoted(out, &time.to_string()),
        Some(Value::Reference(path)) => push_quoted(out, &uri::to_text(path)),
        Some(Value::Boolean(b)) => out.push_str(if *b { "TRUE" } else { "FALSE" }),
        Some(Value::Char16(unit)) => {
            let c = char::from_u32(u32::from(*unit)).filter(|c| !c.is_control()).unwrap_or('\u{fffd}');
            out.extend(['\'', c, '\'']);
        }
        Some(Value::Real32(x)) => out.push_str(&x.to_string()),
        Some(Value::Real64(x)) => out.push_str(&x.to_string()),
        Some(Value::Instance(i) | Value::InstanceText(i)) => push_instance(out, i, None, false, depth),
        Some(Value::Class(class)) => out.push_str(&format!("class {}", class.name)),
        Some(Value::Array(items)) => {
            out.push('{');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { " " } else { ", " });
                push_value(out, item.as_ref(), depth);
            }
            out.push_str(if items.is_empty() { "}" } else { " }" });
        }
        Some(number) => {
            if let Some(n) = number.as_i128() {
                out.push_str(&n.to_string());
            }
        }
    }
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What a value means: the names of numbers, and times that can be read.
pub(crate) fn remark(property: &Property, class: Option<&Class>) -> Option<String> {
    let declared = class.and_then(|c| c.property(property.name.as_str()));
    let name = |value: &Value| {
        let number = value.as_i128()?;
        meaning(&declared?.qualifiers, number).map(str::to_owned)
    };
    match property.value.as_ref()? {
        Value::DateTime(time) => datetime(time),
        Value::Array(items) => {
            let names: Option<Vec<String>> = items.iter().flatten().map(name).collect();
            names.filter(|n| !n.is_empty()).map(|n| n.join(", "))
        }
        value => name(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{CimType, DateTime, Flavor, Qualifier};
    use std::time::Duration;

    #[test]
    fn an_instance_reads_like_mof_with_remarks() {
        let list = |name: &str, items: [&str; 2]| Qualifier {
            name: name.into(),
            cim_type: CimType::String,
            is_array: true,
            value: Some(Value::strings(items)),
            flavor: Flavor::default(),
            propagated: false,
        };
        let mut class = Class::new("X");
        let mut state = Property::new("JobState", CimType::Uint16, None);
        state.qualifiers = vec![list("ValueMap", ["4", "7"]), list("Values", ["Running", "Completed"])];
        class.properties.push(state);
        let mut instance = Instance::new("X")
            .with("JobState", Value::Uint16(4))
            .with("Name", "a \"b\"\\\u{1b}")
            .with("Inner", Value::Instance(Box::new(Instance::new("Y").with("N", Value::Sint8(-1)))))
            .with("Elapsed", DateTime::from_duration(Duration::from_secs(90)))
            .with("List", Value::uint16s([1, 2]));
        instance.set("Nothing", None);
        assert_eq!(
            text(&instance, Some(&class), false),
            "\
instance of X {
    JobState = 4; // Running
    Name = \"a \\\"b\\\"\\\\\\x001B\";
    Inner = instance of Y {
        N = -1;
    };
    Elapsed = \"00000000000130.000000:000\"; // 1 min 30 s
    List = { 1, 2 };
};"
        );
        assert!(text(&instance, None, true).contains("    Nothing = NULL;\n"));
    }
}
