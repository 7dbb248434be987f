//! Instances in the form of WS-CIM (DSP0230), read without knowing their class: a text stays a text, elements that repeat are an
//! array, and one that stands alone may still turn out to be one. [`super::fit`] does the rest.

use super::epr;
use super::time::parse_cim;
use super::xml::{Element, Ns, shorten};
use cimwright_cim::{Instance, Name, Property, Value};

/// The elements that hold a datetime.
const TIMES: [&str; 5] = ["Datetime", "Interval", "Date", "Time", "CIM_DateTime"];

/// The instance in a class element.
pub(super) fn instance(element: Element<'_>) -> Result<Instance, String> {
    let mut instance = Instance::new(element.name());
    instance.properties = properties(element)?;
    Ok(instance)
}

/// The children of an element as properties, those of one name together.
pub(super) fn properties(element: Element<'_>) -> Result<Vec<Property>, String> {
    let mut properties: Vec<Property> = Vec::new();
    let mut given: std::collections::HashMap<Name, usize> = std::collections::HashMap::new();
    for child in element.children() {
        let name = Name::new(child.name());
        let value = value(child).map_err(|e| format!("{name}: {e}"))?;
        match given.get(&name) {
            None => {
                given.insert(name.clone(), properties.len());
                properties.push(Property::new(name, cimwright_cim::CimType::String, value));
            }
            Some(at) => {
                let property = &mut properties[*at];
                if !property.is_array {
                    property.is_array = true;
                    property.value = Some(Value::Array(vec![property.value.take()]));
                }
                if let Some(Value::Array(items)) = &mut property.value {
                    items.push(value);
                }
            }
        }
    }
    for property in &mut properties {
        if let Some(value) = &property.value {
            property.embedded = value.embedded();
            property.cim_type = value.cim_type().unwrap_or(property.cim_type);
        }
    }
    Ok(properties)
}

/// The value in an element; `None` is NULL.
pub(super) fn value(element: Element<'_>) -> Result<Option<Value>, String> {
    if element.is_nil() {
        return Ok(None);
    }
    let class = element.type_name().and_then(|t| t.strip_suffix("_Type")).filter(|c| !c.is_empty());
    let mut children = element.children();
    let Some(first) = children.next() else {
        return Ok(Some(match class {
            // An embedded instance that shows nothing.
            Some(class) if element.trimmed().is_empty() => Value::Instance(Box::new(Instance::new(class))),
            _ => Value::String(element.text().to_owned()),
        }));
    };
    let only = children.next().is_none();
    if only && is_time(first) {
        if first.is_nil() {
            return Ok(None);
        }
        // What is no datetime is refused once the class is known.
        let text = first.trimmed();
        return Ok(Some(parse_cim(text).map_or_else(|| Value::String(text.to_owned()), Value::DateTime)));
    }
    if epr::is_reference(element) {
        return epr::value(element).map(Some);
    }
    let namespace_class = |e: Element<'_>| e.other_uri().rsplit('/').next().unwrap_or_default().to_owned();
    if only && namespace_class(first) == first.name() {
        return instance(first).map(|i| Some(Value::Instance(Box::new(i))));
    }
    let class = class.map_or_else(|| namespace_class(first), str::to_owned);
    if class.is_empty() {
        return Err(format!("the class of the object with {} cannot be told", shorten(first.name())));
    }
    let mut embedded = Instance::new(class);
    embedded.properties = properties(element)?;
    Ok(Some(Value::Instance(Box::new(embedded))))
}

/// Windows' clients leave out the namespace of CIM_DateTime.
fn is_time(element: Element<'_>) -> bool {
    match element.ns() {
        Ns::Common => TIMES.contains(&element.name()),
        _ => element.name() == "CIM_DateTime",
    }
}
