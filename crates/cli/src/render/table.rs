//! Instances, paths and classes as tables.

use super::instance::{remark, value_text};
use super::text::{clean_line, cut, table};
use crate::session::path_text;
use cimwright_cim::{Class, Instance, InstancePath, Name, Property};

/// The widest cell, in characters. The other forms show what does not fit.
const WIDEST: usize = 60;

/// One line for each instance, one column for each property that is not NULL everywhere, keys first.
pub(crate) fn instances<'c>(
    found: &[Instance],
    class: impl Fn(&Instance) -> Option<&'c Class>,
    all: bool,
) -> String {
    let mut columns: Vec<Name> = Vec::new();
    let mut keys = 0;
    let is_key = |one: &Instance, property: &Property| {
        one.path.as_ref().is_some_and(|path| path.keys.iter().any(|k| k.name == property.name))
            || class(one).and_then(|c| c.property(property.name.as_str())).is_some_and(Property::is_key)
    };
    for one in found {
        for property in one.properties.iter().filter(|p| all || p.value.is_some()) {
            if columns.contains(&property.name) {
                continue;
            }
            if is_key(one, property) {
                columns.insert(keys, property.name.clone());
                keys += 1;
            } else {
                columns.push(property.name.clone());
            }
        }
    }
    // Several classes in one table are told apart.
    let several = found.iter().any(|one| one.class != found[0].class);
    let mut head: Vec<&str> = if several { vec!["(class)"] } else { Vec::new() };
    head.extend(columns.iter().map(Name::as_str));
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            let mut row = if several { vec![one.class.to_string()] } else { Vec::new() };
            row.extend(columns.iter().map(|name| match one.property(name.as_str()) {
                Some(property) if property.value.is_some() => cell(property, class(one)),
                _ => String::new(),
            }));
            row
        })
        .collect();
    table(&head, &rows)
}

fn cell(property: &Property, class: Option<&Class>) -> String {
    let text = match property.value.as_ref().and_then(|v| v.as_str()) {
        Some(text) => text.to_owned(),
        None => value_text(property.value.as_ref()),
    };
    let text = match remark(property, class) {
        Some(remark) => format!("{text} ({remark})"),
        None => text,
    };
    cut(&clean_line(&text), WIDEST)
}

/// One line for each path.
pub(crate) fn paths(found: &[InstancePath]) -> String {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|path| {
            let keys: Vec<String> = path
                .keys
                .iter()
                .map(|key| clean_line(&format!("{}={}", key.name, value_text(Some(&key.value)))))
                .collect();
            let namespace = path.namespace.as_ref().map(|n| n.to_string()).unwrap_or_default();
            let keys = if keys.is_empty() { path_text(path) } else { keys.join(",") };
            vec![namespace, path.class.to_string(), keys]
        })
        .collect();
    table(&["NAMESPACE", "CLASS", "KEYS"], &rows)
}

/// One line for each property and each parameter of a method.
pub(crate) fn class(found: &Class) -> String {
    let mut rows = Vec::new();
    let brackets = |is_array: bool| if is_array { "[]" } else { "" };
    for property in &found.properties {
        let of = property.reference_class.as_ref().map(|c| format!(" {c}")).unwrap_or_default();
        let mut marks: Vec<&str> = Vec::new();
        if property.is_key() {
            marks.push("key");
        }
        if property.is_writable() {
            marks.push("write");
        }
        if property.propagated {
            marks.push("inherited");
        }
        rows.push(vec![
            "property".to_owned(),
            property.name.to_string(),
            format!("{}{}{of}", property.cim_type.keyword(), brackets(property.is_array)),
            marks.join(" "),
        ]);
    }
    for method in &found.methods {
        let marks = [(method.is_static(), "static"), (method.propagated, "inherited")];
        let marks: Vec<&str> = marks.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        rows.push(vec![
            "method".to_owned(),
            format!("{}()", method.name),
            method.return_type.map_or("void", |t| t.keyword()).to_owned(),
            marks.join(" "),
        ]);
        for parameter in &method.parameters {
            let of = parameter.reference_class.as_ref().map(|c| format!(" {c}")).unwrap_or_default();
            let marks = [
                (parameter.is_in(), "in"),
                (parameter.is_out(), "out"),
                (parameter.is_required(), "required"),
            ];
            let marks: Vec<&str> = marks.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
            rows.push(vec![
                "parameter".to_owned(),
                format!("{}.{}", method.name, parameter.name),
                format!("{}{}{of}", parameter.cim_type.keyword(), brackets(parameter.is_array)),
                marks.join(" "),
            ]);
        }
    }
    table(&["KIND", "NAME", "TYPE", "MARKS"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{CimType, Value};

    #[test]
    fn keys_come_first_and_what_is_null_everywhere_is_left_out() {
        let mut one = Instance::new("X").with("B", Value::Uint8(1)).with("Name", "a");
        one.set("Nothing", None);
        one.path = Some(InstancePath::new(None, "X").with_key("Name", "a"));
        let mut two = one.clone();
        two.set("C", Some("x\ny".into()));
        assert_eq!(
            instances(&[one.clone(), two.clone()], |_| None, false),
            "Name  B  C\na     1\na     1  x y"
        );
        two.class = "Y".into();
        assert!(instances(&[one, two], |_| None, true).starts_with("(class)  Name  B  Nothing  C\nX"));
    }

    #[test]
    fn a_class_is_a_list_of_its_features() {
        let mut class = Class::new("X");
        class.properties.push(Property::new("A", CimType::Uint8, None));
        assert_eq!(self::class(&class), "KIND      NAME  TYPE   MARKS\nproperty  A     uint8");
    }
}
