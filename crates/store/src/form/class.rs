//! The stored form of classes and of what they declare.

use super::FormError;
use super::value::StoredValue;
use cimwright_cim::{CimType, Class, Embedded, Flavor, Method, Name, Parameter, Property, Qualifier, Value};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A [`Class`].
#[derive(Serialize, Deserialize)]
pub(super) struct StoredClass<'a> {
    name: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    superclass: Option<Cow<'a, str>>,
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
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    cim_type: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_false")]
    array: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedded: Option<StoredEmbedded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of_class: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<StoredValue<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_false")]
    propagated: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    qualifiers: Vec<StoredQualifier<'a>>,
}

/// A [`Method`].
#[derive(Serialize, Deserialize)]
struct StoredMethod<'a> {
    name: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returns: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<StoredParameter<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_false")]
    propagated: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    qualifiers: Vec<StoredQualifier<'a>>,
}

/// A [`Parameter`].
#[derive(Serialize, Deserialize)]
struct StoredParameter<'a> {
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    cim_type: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_false")]
    array: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedded: Option<StoredEmbedded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of_class: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    qualifiers: Vec<StoredQualifier<'a>>,
}

/// A [`Qualifier`].
#[derive(Serialize, Deserialize)]
struct StoredQualifier<'a> {
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    cim_type: Cow<'a, str>,
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
            name: class.name.as_str().into(),
            superclass: class.superclass.as_ref().map(|n| n.as_str().into()),
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
            name: Name::new(stored.name),
            superclass: stored.superclass.map(Name::new),
            qualifiers: each(stored.qualifiers)?,
            properties: each(stored.properties)?,
            methods: each(stored.methods)?,
        })
    }
}

impl<'a> From<&'a Property> for StoredProperty<'a> {
    fn from(property: &'a Property) -> Self {
        Self {
            name: property.name.as_str().into(),
            cim_type: property.cim_type.keyword().into(),
            array: property.is_array,
            size: property.array_size,
            embedded: property.embedded.map(Into::into),
            of_class: property.reference_class.as_ref().map(|n| n.as_str().into()),
            value: property.value.as_ref().map(Into::into),
            origin: property.class_origin.as_ref().map(|n| n.as_str().into()),
            propagated: property.propagated,
            qualifiers: property.qualifiers.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<StoredProperty<'_>> for Property {
    type Error = FormError;

    fn try_from(stored: StoredProperty<'_>) -> Result<Self, FormError> {
        Ok(Self {
            name: Name::new(stored.name),
            cim_type: cim_type(stored.cim_type)?,
            is_array: stored.array,
            array_size: stored.size,
            value: stored.value.map(Value::try_from).transpose()?,
            embedded: stored.embedded.map(Into::into),
            reference_class: stored.of_class.map(Name::new),
            class_origin: stored.origin.map(Name::new),
            propagated: stored.propagated,
            qualifiers: each(stored.qualifiers)?,
        })
    }
}

impl<'a> From<&'a Method> for StoredMethod<'a> {
    fn from(method: &'a Method) -> Self {
        Self {
            name: method.name.as_str().into(),
            returns: method.return_type.map(|t| t.keyword().into()),
            parameters: method.parameters.iter().map(Into::into).collect(),
            origin: method.class_origin.as_ref().map(|n| n.as_str().into()),
            propagated: method.propagated,
            qualifiers: method.qualifiers.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<StoredMethod<'_>> for Method {
    type Error = FormError;

    fn try_from(stored: StoredMethod<'_>) -> Result<Self, FormError> {
        Ok(Self {
            name: Name::new(stored.name),
            return_type: stored.returns.map(cim_type).transpose()?,
            parameters: each(stored.parameters)?,
            class_origin: stored.origin.map(Name::new),
            propagated: stored.propagated,
            qualifiers: each(stored.qualifiers)?,
        })
    }
}

impl<'a> From<&'a Parameter> for StoredParameter<'a> {
    fn from(parameter: &'a Parameter) -> Self {
        Self {
            name: parameter.name.as_str().into(),
            cim_type: parameter.cim_type.keyword().into(),
            array: parameter.is_array,
            size: parameter.array_size,
            embedded: parameter.embedded.map(Into::into),
            of_class: parameter.reference_class.as_ref().map(|n| n.as_str().into()),
            qualifiers: parameter.qualifiers.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<StoredParameter<'_>> for Parameter {
    type Error = FormError;

    fn try_from(stored: StoredParameter<'_>) -> Result<Self, FormError> {
        Ok(Self {
            name: Name::new(stored.name),
            cim_type: cim_type(stored.cim_type)?,
            is_array: stored.array,
            array_size: stored.size,
            embedded: stored.embedded.map(Into::into),
            reference_class: stored.of_class.map(Name::new),
            qualifiers: each(stored.qualifiers)?,
        })
    }
}

impl<'a> From<&'a Qualifier> for StoredQualifier<'a> {
    fn from(qualifier: &'a Qualifier) -> Self {
        let flavor = qualifier.flavor;
        Self {
            name: qualifier.name.as_str().into(),
            cim_type: qualifier.cim_type.keyword().into(),
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
            name: Name::new(stored.name),
            cim_type: cim_type(stored.cim_type)?,
            is_array: stored.array,
            value: stored.value.map(Value::try_from).transpose()?,
            flavor: Flavor { overridable, to_subclass, to_instance, translatable },
            propagated: stored.propagated,
        })
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

pub(super) fn cim_type(word: Cow<'_, str>) -> Result<CimType, FormError> {
    CimType::from_keyword(&word).ok_or_else(|| FormError::Field {
        form: "value",
        field: "type",
        found: word.into_owned(),
    })
}

fn each<S, T: TryFrom<S, Error = FormError>>(stored: Vec<S>) -> Result<Vec<T>, FormError> {
    stored.into_iter().map(T::try_from).collect()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
