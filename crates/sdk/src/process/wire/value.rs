//! Values, paths and instances as they are sent.

use super::WireError;
use super::class::{WireClass, WireProperty};
use cimwright_cim::operation::Param;
use cimwright_cim::{
    CimType, ClassPath, Embedded, Instance, InstancePath, KeyBinding, Name, NamespaceName, ObjectPath, Value,
};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A [`Value`]: an object with one member, whose name is the type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the variants are those of Value")]
pub enum WireValue {
    Boolean(bool),
    String(String),
    Char16(u16),
    Uint8(u8),
    Sint8(i8),
    Uint16(u16),
    Sint16(i16),
    Uint32(u32),
    Sint32(i32),
    Uint64(u64),
    Sint64(i64),
    /// Text, since JSON has neither infinities nor NaN.
    Real32(String),
    Real64(String),
    /// The 25 characters of DSP0004 5.2.4.
    DateTime(String),
    Reference(WirePath),
    Instance(Box<WireInstance>),
    Class(Box<WireClass>),
    /// A plain string that holds the instance in CIM-XML.
    InstanceText(Box<WireInstance>),
    Array(Vec<Option<WireValue>>),
}

/// The path of a class (`keys` is absent) or of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WirePath {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    class: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<(String, WireValue)>>,
}

/// An [`Instance`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireInstance {
    class: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<WirePath>,
    #[serde(default)]
    properties: Vec<WireProperty>,
}

/// A [`Param`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireParam {
    name: String,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    cim_type: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    array: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedded: Option<WireEmbedded>,
    value: Option<WireValue>,
}

/// How a string carries an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the variants are those of Embedded")]
pub enum WireEmbedded {
    Object,
    Instance,
}

impl From<Embedded> for WireEmbedded {
    fn from(embedded: Embedded) -> Self {
        match embedded {
            Embedded::Object => Self::Object,
            Embedded::Instance => Self::Instance,
        }
    }
}

impl From<WireEmbedded> for Embedded {
    fn from(embedded: WireEmbedded) -> Self {
        match embedded {
            WireEmbedded::Object => Self::Object,
            WireEmbedded::Instance => Self::Instance,
        }
    }
}

impl From<&Value> for WireValue {
    fn from(value: &Value) -> Self {
        match value {
            Value::Boolean(v) => Self::Boolean(*v),
            Value::String(v) => Self::String(v.clone()),
            Value::Char16(v) => Self::Char16(*v),
            Value::Uint8(v) => Self::Uint8(*v),
            Value::Sint8(v) => Self::Sint8(*v),
            Value::Uint16(v) => Self::Uint16(*v),
            Value::Sint16(v) => Self::Sint16(*v),
            Value::Uint32(v) => Self::Uint32(*v),
            Value::Sint32(v) => Self::Sint32(*v),
            Value::Uint64(v) => Self::Uint64(*v),
            Value::Sint64(v) => Self::Sint64(*v),
            Value::Real32(v) => Self::Real32(v.to_string()),
            Value::Real64(v) => Self::Real64(v.to_string()),
            Value::DateTime(v) => Self::DateTime(v.to_string()),
            Value::Reference(path) => Self::Reference(path.as_ref().into()),
            Value::Instance(v) => Self::Instance(Box::new(v.as_ref().into())),
            Value::Class(v) => Self::Class(Box::new(v.as_ref().into())),
            Value::InstanceText(v) => Self::InstanceText(Box::new(v.as_ref().into())),
            Value::Array(items) => Self::Array(items.iter().map(|i| i.as_ref().map(Self::from)).collect()),
        }
    }
}

impl TryFrom<WireValue> for Value {
    type Error = WireError;

    fn try_from(wire: WireValue) -> Result<Self, WireError> {
        Ok(match wire {
            WireValue::Boolean(v) => Self::Boolean(v),
            WireValue::String(v) => Self::String(v),
            WireValue::Char16(v) => Self::Char16(v),
            WireValue::Uint8(v) => Self::Uint8(v),
            WireValue::Sint8(v) => Self::Sint8(v),
            WireValue::Uint16(v) => Self::Uint16(v),
            WireValue::Sint16(v) => Self::Sint16(v),
            WireValue::Uint32(v) => Self::Uint32(v),
            WireValue::Sint32(v) => Self::Sint32(v),
            WireValue::Uint64(v) => Self::Uint64(v),
            WireValue::Sint64(v) => Self::Sint64(v),
            WireValue::Real32(v) => Self::Real32(parse("real32", &v)?),
            WireValue::Real64(v) => Self::Real64(parse("real64", &v)?),
            WireValue::DateTime(v) => Self::DateTime(parse("datetime", &v)?),
            WireValue::Reference(v) => Self::Reference(Box::new(v.try_into()?)),
            WireValue::Instance(v) => Self::Instance(Box::new((*v).try_into()?)),
            WireValue::Class(v) => Self::Class(Box::new((*v).try_into()?)),
            WireValue::InstanceText(v) => Self::InstanceText(Box::new((*v).try_into()?)),
            WireValue::Array(items) => {
                let items = items.into_iter().map(|i| i.map(Self::try_from).transpose());
                Self::Array(items.collect::<Result<_, WireError>>()?)
            }
        })
    }
}

impl From<&InstancePath> for WirePath {
    fn from(path: &InstancePath) -> Self {
        Self {
            host: path.host.clone(),
            namespace: path.namespace.as_ref().map(|n| n.as_str().to_owned()),
            class: path.class.as_str().to_owned(),
            keys: Some(path.keys.iter().map(|k| (k.name.as_str().to_owned(), (&k.value).into())).collect()),
        }
    }
}

impl From<&ObjectPath> for WirePath {
    fn from(path: &ObjectPath) -> Self {
        match path {
            ObjectPath::Instance(path) => path.into(),
            ObjectPath::Class(path) => Self {
                host: path.host.clone(),
                namespace: path.namespace.as_ref().map(|n| n.as_str().to_owned()),
                class: path.class.as_str().to_owned(),
                keys: None,
            },
        }
    }
}

impl TryFrom<WirePath> for ObjectPath {
    type Error = WireError;

    fn try_from(wire: WirePath) -> Result<Self, WireError> {
        let (host, namespace, class) =
            (wire.host, wire.namespace.map(NamespaceName::new), Name::new(wire.class));
        let Some(keys) = wire.keys else { return Ok(Self::Class(ClassPath { host, namespace, class })) };
        let keys = keys
            .into_iter()
            .map(|(name, value)| Ok(KeyBinding { name: Name::new(name), value: value.try_into()? }))
            .collect::<Result<_, WireError>>()?;
        Ok(Self::Instance(InstancePath { host, namespace, class, keys }))
    }
}

impl TryFrom<WirePath> for InstancePath {
    type Error = WireError;

    fn try_from(wire: WirePath) -> Result<Self, WireError> {
        match wire.try_into()? {
            ObjectPath::Instance(path) => Ok(path),
            ObjectPath::Class(path) => {
                Err(WireError::new("path", format!("{} without keys is no instance", path.class)))
            }
        }
    }
}

impl From<&Instance> for WireInstance {
    fn from(instance: &Instance) -> Self {
        Self {
            class: instance.class.as_str().to_owned(),
            path: instance.path.as_ref().map(Into::into),
            properties: instance.properties.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<WireInstance> for Instance {
    type Error = WireError;

    fn try_from(wire: WireInstance) -> Result<Self, WireError> {
        Ok(Self {
            class: Name::new(wire.class),
            path: wire.path.map(TryInto::try_into).transpose()?,
            properties: wire.properties.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Param> for WireParam {
    fn from(param: &Param) -> Self {
        Self {
            name: param.name.as_str().to_owned(),
            cim_type: param.cim_type.map(|t| t.keyword().to_owned()),
            array: param.is_array,
            embedded: param.embedded.map(Into::into),
            value: param.value.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<WireParam> for Param {
    type Error = WireError;

    fn try_from(wire: WireParam) -> Result<Self, WireError> {
        Ok(Self {
            name: Name::new(wire.name),
            cim_type: wire.cim_type.as_deref().map(cim_type).transpose()?,
            is_array: wire.array,
            embedded: wire.embedded.map(Into::into),
            value: wire.value.map(TryInto::try_into).transpose()?,
        })
    }
}

/// The type with this keyword.
pub(super) fn cim_type(keyword: &str) -> Result<CimType, WireError> {
    CimType::from_keyword(keyword).ok_or_else(|| WireError::new("type", keyword))
}

/// Reads a value that is sent as text.
pub(super) fn parse<T: FromStr>(field: &'static str, text: &str) -> Result<T, WireError> {
    text.parse().map_err(|_| WireError::new(field, text))
}
