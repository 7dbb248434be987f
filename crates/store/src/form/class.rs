//! The stored form of classes and of what they declare.

use super::FormError;
use super::value::StoredValue;
use cimwright_cim::{CimType, Class, Embedded, Flavor, Method, Name, Parameter, Property, Qualifier, Value};
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A [`Name`], read without a copy in between: a start reads more than a hundred thousand of them.
pub(super) struct StoredName(pub(super) Name);

/// A [`CimType`] by its keyword, likewise.
#[derive(Clone, Copy)]
pub(super) struct StoredType(pub(super) CimType);

/// A [`Class`].
#[derive(Serialize, Deserialize)]
pub(super) struct StoredClass<'a> {
    name: StoredName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    superclass: Option<StoredName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    qualifiers: Vec<StoredQualifier<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<StoredProperty<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    methods: Vec<StoredMethod<'a>>,
}

/// A [`Property`]. Its shape is spelled out as that of a parameter is: a flattened struct would be the same text, but reading it
/// takes several times as long, and a start reads every class.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredProperty<'a> {
    name: StoredName,
    #[serde(rename = "type")]
    cim_type: StoredType,
    #[serde(default, skip_serializing_if = "is_false")]
    array: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedded: Option<StoredEmbedded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of_class: Option<StoredName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<StoredValue<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<StoredName>,
    #[serde(default, skip_serializing_if = "is_false")]
    propagated: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    qualifiers: Vec<StoredQualifier<'a>>,
}

/// A [`Method`].
#[derive(Serialize, Deserialize)]
struct StoredMethod<'a> {
    name: StoredName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returns: Option<StoredType>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<StoredParameter<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<StoredName>,
    #[serde(default, skip_serializing_if = "is_false")]
    propagated: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    qualifiers: Vec<StoredQualifier<'a>>,
}

/// A [`Parameter`].
#[derive(Serialize, Deserialize)]
struct StoredParameter<'a> {
    name: StoredName,
    #[serde(rename = "type")]
    cim_type: StoredType,
    #[serde(default, skip_serializing_if = "is_false")]
    array: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedded: Option<StoredEmbedded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of_class: Option<StoredName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    qualifiers: Vec<StoredQualifier<'a>>,
}

/// A [`Qualifier`].
#[derive(Serialize, Deserialize)]
struct StoredQualifier<'a> {
    name: StoredName,
    #[serde(rename = "type")]
    cim_type: StoredType,
    #[serde(default, skip_serializing_if = "is_false")]
    array: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<StoredValue<'a>>,
    /// Overridable, to subclass, to instance, translatable.
    flavor: [bool; 4],
    #[serde(default, skip_serializing_if = "is_false")]
    propagated: bool,
}

/// An [`Embedded`].
#[derive(Clone, Copy, Serialize, Deserialize)]
enum StoredEmbedded {
    #[serde(rename = "object")]
    Object,
    #[serde(rename = "instance")]
    Instance,
}

impl<'a> From<&'a Class> for StoredClass<'a> {
    fn from(class: &'a Class) -> Self {
        Self {
            name: StoredName(class.name.clone()),
            superclass: class.superclass.clone().map(StoredName),
            qualifiers: class.qualifiers.iter().map(Into::into).collect(),
            properties: class.properties.iter().map(Into::into).collect(),
            methods: class.methods.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<StoredClass<'_>> for Class {
    type Error = FormError;

    fn try_from(stored: StoredClass<'_>) -> Result<Self, FormError> {
        Ok(Self {
            name: stored.name.0,
            superclass: stored.superclass.map(|n| n.0),
            qualifiers: each(stored.qualifiers)?,
            properties: each(stored.properties)?,
            methods: each(stored.methods)?,
        })
    }
}

impl<'a> From<&'a Property> for StoredProperty<'a> {
    fn from(property: &'a Property) -> Self {
        Self {
            name: StoredName(property.name.clone()),
            cim_type: StoredType(property.cim_type),
            array: property.is_array,
            size: property.array_size,
            embedded: property.embedded.map(Into::into),
            of_class: property.reference_class.clone().map(StoredName),
            value: property.value.as_ref().map(Into::into),
            origin: property.class_origin.clone().map(StoredName),
            propagated: property.propagated,
            qualifiers: property.qualifiers.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<StoredProperty<'_>> for Property {
    type Error = FormError;

    fn try_from(stored: StoredProperty<'_>) -> Result<Self, FormError> {
        Ok(Self {
            name: stored.name.0,
            cim_type: stored.cim_type.0,
            is_array: stored.array,
            array_size: stored.size,
            value: stored.value.map(Value::try_from).transpose()?,
            embedded: stored.embedded.map(Into::into),
            reference_class: stored.of_class.map(|n| n.0),
            class_origin: stored.origin.map(|n| n.0),
            propagated: stored.propagated,
            qualifiers: each(stored.qualifiers)?,
        })
    }
}

impl<'a> From<&'a Method> for StoredMethod<'a> {
    fn from(method: &'a Method) -> Self {
        Self {
            name: StoredName(method.name.clone()),
            returns: method.return_type.map(StoredType),
            parameters: method.parameters.iter().map(Into::into).collect(),
            origin: method.class_origin.clone().map(StoredName),
            propagated: method.propagated,
            qualifiers: method.qualifiers.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<StoredMethod<'_>> for Method {
    type Error = FormError;

    fn try_from(stored: StoredMethod<'_>) -> Result<Self, FormError> {
        Ok(Self {
            name: stored.name.0,
            return_type: stored.returns.map(|t| t.0),
            parameters: each(stored.parameters)?,
            class_origin: stored.origin.map(|n| n.0),
            propagated: stored.propagated,
            qualifiers: each(stored.qualifiers)?,
        })
    }
}

impl<'a> From<&'a Parameter> for StoredParameter<'a> {
    fn from(parameter: &'a Parameter) -> Self {
        Self {
            name: StoredName(parameter.name.clone()),
            cim_type: StoredType(parameter.cim_type),
            array: parameter.is_array,
            size: parameter.array_size,
            embedded: parameter.embedded.map(Into::into),
            of_class: parameter.reference_class.clone().map(StoredName),
            qualifiers: parameter.qualifiers.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<StoredParameter<'_>> for Parameter {
    type Error = FormError;

    fn try_from(stored: StoredParameter<'_>) -> Result<Self, FormError> {
        Ok(Self {
            name: stored.name.0,
            cim_type: stored.cim_type.0,
            is_array: stored.array,
            array_size: stored.size,
            embedded: stored.embedded.map(Into::into),
            reference_class: stored.of_class.map(|n| n.0),
            qualifiers: each(stored.qualifiers)?,
        })
    }
}

impl<'a> From<&'a Qualifier> for StoredQualifier<'a> {
    fn from(qualifier: &'a Qualifier) -> Self {
        let flavor = qualifier.flavor;
        Self {
            name: StoredName(qualifier.name.clone()),
            cim_type: StoredType(qualifier.cim_type),
            array: qualifier.is_array,
            value: qualifier.value.as_ref().map(Into::into),
            flavor: [flavor.overridable, flavor.to_subclass, flavor.to_instance, flavor.translatable],
            propagated: qualifier.propagated,
        }
    }
}

impl TryFrom<StoredQualifier<'_>> for Qualifier {
    type Error = FormError;

    fn try_from(stored: StoredQualifier<'_>) -> Result<Self, FormError> {
        let [overridable, to_subclass, to_instance, translatable] = stored.flavor;
        Ok(Self {
            name: stored.name.0,
            cim_type: stored.cim_type.0,
            is_array: stored.array,
            value: stored.value.map(Value::try_from).transpose()?,
            flavor: Flavor { overridable, to_subclass, to_instance, translatable },
            propagated: stored.propagated,
        })
    }
}

impl Serialize for StoredName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for StoredName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Word("a name", |text| Some(Self(Name::new(text)))))
    }
}

impl Serialize for StoredType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.keyword())
    }
}

impl<'de> Deserialize<'de> for StoredType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Word("a CIM type", |text| CimType::from_keyword(text).map(Self)))
    }
}

/// Takes a text where it stands, and makes something of it.
struct Word<T>(&'static str, fn(&str) -> Option<T>);

impl<T> Visitor<'_> for Word<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self.0))
    }
}

impl From<Embedded> for StoredEmbedded {
    fn from(embedded: Embedded) -> Self {
        match embedded {
            Embedded::Object => Self::Object,
            Embedded::Instance => Self::Instance,
        }
    }
}

impl From<StoredEmbedded> for Embedded {
    fn from(stored: StoredEmbedded) -> Self {
        match stored {
            StoredEmbedded::Object => Self::Object,
            StoredEmbedded::Instance => Self::Instance,
        }
    }
}

fn each<S, T: TryFrom<S, Error = FormError>>(stored: Vec<S>) -> Result<Vec<T>, FormError> {
    stored.into_iter().map(T::try_from).collect()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
