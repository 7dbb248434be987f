//! Instances: a class name, an optional path and property values.

use crate::class::{Class, Property};
use crate::name::{ClassName, Name, NamespaceName};
use crate::path::{InstancePath, KeyBinding};
use crate::value::{CimType, Value};

/// An instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The creation class.
    pub class: ClassName,
    /// Its path; embedded instances have none.
    pub path: Option<InstancePath>,
    /// The properties it shows.
    pub properties: Vec<Property>,
}

impl Instance {
    /// An instance without properties.
    pub fn new(class: impl Into<ClassName>) -> Self {
        Self { class: class.into(), path: None, properties: Vec::new() }
    }

    /// An instance with every property of a resolved class, at its default value.
    pub fn of_class(class: &Class) -> Self {
        Self {
            class: class.name.clone(),
            path: None,
            properties: class.properties.iter().map(without_qualifiers).collect(),
        }
    }

    /// The property with this name.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|p| p.name.is(name))
    }

    /// The value of a property; `None` also when the property is not there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.property(name).and_then(|p| p.value.as_ref())
    }

    /// The text of a string property.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// The value of an integer property.
    pub fn get_u64(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(Value::as_u64)
    }

    /// Sets the value of a property, adding it if it is not there (with the value's own type).
    pub fn set(&mut self, name: impl Into<Name>, value: Option<Value>) {
        let name = name.into();
        if let Some(property) = self.properties.iter_mut().find(|p| p.name == name) {
            property.embedded = value.as_ref().and_then(Value::embedded).or(property.embedded);
            property.value = value;
            return;
        }
        let cim_type = value.as_ref().and_then(Value::cim_type).unwrap_or(CimType::String);
        self.properties.push(Property::new(name, cim_type, value));
    }

    /// The same instance with a property set; for building instances in one expression.
    #[must_use]
    pub fn with(mut self, name: impl Into<Name>, value: impl Into<Value>) -> Self {
        self.set(name, Some(value.into()));
        self
    }

    /// The path made of the key properties of `class`, with the values this instance has.
    pub fn path_by_keys(&self, class: &Class, namespace: Option<NamespaceName>) -> InstancePath {
        let keys = class
            .keys()
            .filter_map(|k| {
                Some(KeyBinding { name: k.name.clone(), value: self.get(k.name.as_str())?.clone() })
            })
            .collect();
        InstancePath { host: None, namespace, class: self.class.clone(), keys }
    }

    /// Keeps only the properties in `list` (names in any case; unknown and repeated ones are ignored). `None` keeps all.
    pub fn restrict(&mut self, list: Option<&[Name]>) {
        if let Some(list) = list {
            self.properties.retain(|p| list.contains(&p.name));
        }
    }
}
/// The property without its qualifiers, which would cost more to copy than all the rest.
fn without_qualifiers(property: &Property) -> Property {
    Property {
        name: property.name.clone(),
        cim_type: property.cim_type,
        is_array: property.is_array,
        array_size: property.array_size,
        value: property.value.clone(),
        embedded: property.embedded,
        reference_class: property.reference_class.clone(),
        class_origin: property.class_origin.clone(),
        propagated: property.propagated,
        qualifiers: Vec::new(),
    }
}
