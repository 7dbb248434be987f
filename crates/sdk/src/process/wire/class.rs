//! Classes as they are sent: the server tells a provider what became of its declarations.

use super::WireError;
use super::value::{WireEmbedded, WireValue, cim_type};
use cimwright_cim::class::Parameter;
use cimwright_cim::{Class, Flavor, Method, Name, Property, Qualifier};
use serde::{Deserialize, Serialize};
use std::ops::Not;

/// A [`Class`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireClass {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    superclass: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    qualifiers: Vec<WireQualifier>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<WireProperty>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    methods: Vec<WireMethod>,
}

/// A [`Property`], of a class or of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireProperty {
    name: String,
    #[serde(rename = "type")]
    cim_type: String,
    #[serde(default, skip_serializing_if = "Not::not")]
    array: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    array_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedded: Option<WireEmbedded>,
    value: Option<WireValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference_class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class_origin: Option<String>,
    #[serde(default, skip_serializing_if = "Not::not")]
    propagated: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    qualifiers: Vec<WireQualifier>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct WireMethod {
    name: String,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    return_type: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<WireParameter>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class_origin: Option<String>,
    #[serde(default, skip_serializing_if = "Not::not")]
    propagated: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    qualifiers: Vec<WireQualifier>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct WireParameter {
    name: String,
    #[serde(rename = "type")]
    cim_type: String,
    #[serde(default, skip_serializing_if = "Not::not")]
    array: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    array_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedded: Option<WireEmbedded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference_class: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    qualifiers: Vec<WireQualifier>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct WireQualifier {
    name: String,
    #[serde(rename = "type")]
    cim_type: String,
    #[serde(default, skip_serializing_if = "Not::not")]
    array: bool,
    value: Option<WireValue>,
    /// EnableOverride, ToSubclass, ToInstance, Translatable.
    flavor: (bool, bool, bool, bool),
    #[serde(default, skip_serializing_if = "Not::not")]
    propagated: bool,
}

impl From<&Class> for WireClass {
    fn from(class: &Class) -> Self {
        Self {
            name: class.name.as_str().to_owned(),
            superclass: text(class.superclass.as_ref()),
            qualifiers: class.qualifiers.iter().map(Into::into).collect(),
            properties: class.properties.iter().map(Into::into).collect(),
            methods: class.methods.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<WireClass> for Class {
    type Error = WireError;

    fn try_from(wire: WireClass) -> Result<Self, WireError> {
        Ok(Self {
            name: Name::new(wire.name),
            superclass: wire.superclass.map(Name::new),
            qualifiers: all(wire.qualifiers)?,
            properties: all(wire.properties)?,
            methods: all(wire.methods)?,
        })
    }
}

impl From<&Property> for WireProperty {
    fn from(property: &Property) -> Self {
        Self {
            name: property.name.as_str().to_owned(),
            cim_type: property.cim_type.keyword().to_owned(),
            array: property.is_array,
            array_size: property.array_size,
            embedded: property.embedded.map(Into::into),
            value: property.value.as_ref().map(Into::into),
            reference_class: text(property.reference_class.as_ref()),
            class_origin: text(property.class_origin.as_ref()),
            propagated: property.propagated,
            qualifiers: property.qualifiers.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<WireProperty> for Property {
    type Error = WireError;

    fn try_from(wire: WireProperty) -> Result<Self, WireError> {
        Ok(Self {
            name: Name::new(wire.name),
            cim_type: cim_type(&wire.cim_type)?,
            is_array: wire.array,
            array_size: wire.array_size,
            value: wire.value.map(TryInto::try_into).transpose()?,
            embedded: wire.embedded.map(Into::into),
            reference_class: wire.reference_class.map(Name::new),
            class_origin: wire.class_origin.map(Name::new),
            propagated: wire.propagated,
            qualifiers: all(wire.qualifiers)?,
        })
    }
}

impl From<&Method> for WireMethod {
    fn from(method: &Method) -> Self {
        Self {
            name: method.name.as_str().to_owned(),
            return_type: method.return_type.map(|t| t.keyword().to_owned()),
            parameters: method.parameters.iter().map(Into::into).collect(),
            class_origin: text(method.class_origin.as_ref()),
            propagated: method.propagated,
            qualifiers: method.qualifiers.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<WireMethod> for Method {
    type Error = WireError;

    fn try_from(wire: WireMethod) -> Result<Self, WireError> {
        Ok(Self {
            name: Name::new(wire.name),
            return_type: wire.return_type.as_deref().map(cim_type).transpose()?,
            parameters: all(wire.parameters)?,
            class_origin: wire.class_origin.map(Name::new),
            propagated: wire.propagated,
            qualifiers: all(wire.qualifiers)?,
        })
    }
}

impl From<&Parameter> for WireParameter {
    fn from(parameter: &Parameter) -> Self {
        Self {
            name: parameter.name.as_str().to_owned(),
            cim_type: parameter.cim_type.keyword().to_owned(),
            array: parameter.is_array,
            array_size: parameter.array_size,
            embedded: parameter.embedded.map(Into::into),
            reference_class: text(parameter.reference_class.as_ref()),
            qualifiers: parameter.qualifiers.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<WireParameter> for Parameter {
    type Error = WireError;

    fn try_from(wire: WireParameter) -> Result<Self, WireError> {
        Ok(Self {
            name: Name::new(wire.name),
            cim_type: cim_type(&wire.cim_type)?,
            is_array: wire.array,
            array_size: wire.array_size,
            embedded: wire.embedded.map(Into::into),
            reference_class: wire.reference_class.map(Name::new),
            qualifiers: all(wire.qualifiers)?,
        })
    }
}

impl From<&Qualifier> for WireQualifier {
    fn from(qualifier: &Qualifier) -> Self {
        let Flavor { overridable, to_subclass, to_instance, translatable } = qualifier.flavor;
        Self {
            name: qualifier.name.as_str().to_owned(),
            cim_type: qualifier.cim_type.keyword().to_owned(),
            array: qualifier.is_array,
            value: qualifier.value.as_ref().map(Into::into),
            flavor: (overridable, to_subclass, to_instance, translatable),
            propagated: qualifier.propagated,
        }
    }
}

impl TryFrom<WireQualifier> for Qualifier {
    type Error = WireError;

    fn try_from(wire: WireQualifier) -> Result<Self, WireError> {
        let (overridable, to_subclass, to_instance, translatable) = wire.flavor;
        Ok(Self {
            name: Name::new(wire.name),
            cim_type: cim_type(&wire.cim_type)?,
            is_array: wire.array,
            value: wire.value.map(TryInto::try_into).transpose()?,
            flavor: Flavor { overridable, to_subclass, to_instance, translatable },
            propagated: wire.propagated,
        })
    }
}

fn text(name: Option<&Name>) -> Option<String> {
    name.map(|n| n.as_str().to_owned())
}

fn all<W, T: TryFrom<W, Error = WireError>>(wire: Vec<W>) -> Result<Vec<T>, WireError> {
    wire.into_iter().map(T::try_from).collect()
}
