//! The stored form of values and of the instances inside them.

use super::FormError;
use super::class::{StoredClass, StoredProperty};
use super::path::{StoredClassPath, StoredPath};
use cimwright_cim::{Instance, Name, ObjectPath, Value};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::str::FromStr;

/// A [`Value`]: an object with one member, whose name is the type.
#[derive(Serialize, Deserialize)]
pub(super) enum StoredValue<'a> {
    #[serde(rename = "b")]
    Boolean(bool),
    #[serde(rename = "s")]
    String(Cow<'a, str>),
    #[serde(rename = "c16")]
    Char16(u16),
    #[serde(rename = "u8")]
    Uint8(u8),
    #[serde(rename = "i8")]
    Sint8(i8),
    #[serde(rename = "u16")]
    Uint16(u16),
    #[serde(rename = "i16")]
    Sint16(i16),
    #[serde(rename = "u32")]
    Uint32(u32),
    #[serde(rename = "i32")]
    Sint32(i32),
    #[serde(rename = "u64")]
    Uint64(u64),
    #[serde(rename = "i64")]
    Sint64(i64),
    /// Text, since JSON has neither infinities nor NaN.
    #[serde(rename = "r32")]
    Real32(Cow<'a, str>),
    #[serde(rename = "r64")]
    Real64(Cow<'a, str>),
    /// The 25 characters of DSP0004 5.2.4.
    #[serde(rename = "dt")]
    DateTime(Cow<'a, str>),
    #[serde(rename = "ref")]
    InstancePath(Box<StoredPath<'a>>),
    #[serde(rename = "classref")]
    ClassPath(Box<StoredClassPath<'a>>),
    #[serde(rename = "inst")]
    Instance(Box<StoredInstance<'a>>),
    #[serde(rename = "class")]
    Class(Box<StoredClass<'a>>),
    #[serde(rename = "insttext")]
    InstanceText(Box<StoredInstance<'a>>),
    #[serde(rename = "a")]
    Array(Vec<Option<StoredValue<'a>>>),
}

/// An [`Instance`].
#[derive(Serialize, Deserialize)]
pub(super) struct StoredInstance<'a> {
    class: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<StoredPath<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<StoredProperty<'a>>,
}

impl<'a> From<&'a Value> for StoredValue<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Boolean(v) => Self::Boolean(*v),
            Value::String(v) => Self::String(v.as_str().into()),
            Value::Char16(v) => Self::Char16(*v),
            Value::Uint8(v) => Self::Uint8(*v),
            Value::Sint8(v) => Self::Sint8(*v),
            Value::Uint16(v) => Self::Uint16(*v),
            Value::Sint16(v) => Self::Sint16(*v),
            Value::Uint32(v) => Self::Uint32(*v),
            Value::Sint32(v) => Self::Sint32(*v),
            Value::Uint64(v) => Self::Uint64(*v),
            Value::Sint64(v) => Self::Sint64(*v),
            Value::Real32(v) => Self::Real32(v.to_string().into()),
            Value::Real64(v) => Self::Real64(v.to_string().into()),
            Value::DateTime(v) => Self::DateTime(v.to_string().into()),
            Value::Reference(path) => match path.as_ref() {
                ObjectPath::Instance(path) => Self::InstancePath(Box::new(path.into())),
                ObjectPath::Class(path) => Self::ClassPath(Box::new(path.into())),
            },
            Value::Instance(v) => Self::Instance(Box::new(v.as_ref().into())),
            Value::Class(v) => Self::Class(Box::new(v.as_ref().into())),
            Value::InstanceText(v) => Self::InstanceText(Box::new(v.as_ref().into())),
            Value::Array(items) => Self::Array(items.iter().map(|i| i.as_ref().map(Self::from)).collect()),
        }
    }
}

impl TryFrom<StoredValue<'_>> for Value {
    type Error = FormError;

    fn try_from(stored: StoredValue<'_>) -> Result<Self, FormError> {
        Ok(match stored {
            StoredValue::Boolean(v) => Self::Boolean(v),
            StoredValue::String(v) => Self::String(v.into_owned()),
            StoredValue::Char16(v) => Self::Char16(v),
            StoredValue::Uint8(v) => Self::Uint8(v),
            StoredValue::Sint8(v) => Self::Sint8(v),
            StoredValue::Uint16(v) => Self::Uint16(v),
            StoredValue::Sint16(v) => Self::Sint16(v),
            StoredValue::Uint32(v) => Self::Uint32(v),
            StoredValue::Sint32(v) => Self::Sint32(v),
            StoredValue::Uint64(v) => Self::Uint64(v),
            StoredValue::Sint64(v) => Self::Sint64(v),
            StoredValue::Real32(v) => Self::Real32(parse("real32", v)?),
            StoredValue::Real64(v) => Self::Real64(parse("real64", v)?),
            StoredValue::DateTime(v) => Self::DateTime(parse("datetime", v)?),
            StoredValue::InstancePath(v) => Self::Reference(Box::new(ObjectPath::Instance((*v).try_into()?))),
            StoredValue::ClassPath(v) => Self::Reference(Box::new(ObjectPath::Class((*v).into()))),
            StoredValue::Instance(v) => Self::Instance(Box::new((*v).try_into()?)),
            StoredValue::Class(v) => Self::Class(Box::new((*v).try_into()?)),
            StoredValue::InstanceText(v) => Self::InstanceText(Box::new((*v).try_into()?)),
            StoredValue::Array(items) => {
                Self::Array(items.into_iter().map(|i| i.map(Self::try_from).transpose()).collect::<Result<
                    _,
                    FormError,
                >>(
                )?)
            }
        })
    }
}

impl<'a> From<&'a Instance> for StoredInstance<'a> {
    fn from(instance: &'a Instance) -> Self {
        Self {
            class: instance.class.as_str().into(),
            path: instance.path.as_ref().map(Into::into),
            properties: instance.properties.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<StoredInstance<'_>> for Instance {
    type Error = FormError;

    fn try_from(stored: StoredInstance<'_>) -> Result<Self, FormError> {
        Ok(Self {
            class: Name::new(stored.class),
            path: stored.path.map(TryInto::try_into).transpose()?,
            properties: stored
                .properties
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, FormError>>()?,
        })
    }
}

/// Reads a value that is stored as text.
pub(super) fn parse<T: FromStr>(field: &'static str, text: Cow<'_, str>) -> Result<T, FormError> {
    text.parse().map_err(|_| FormError::Field { form: "value", field, found: text.into_owned() })
}
