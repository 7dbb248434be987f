//! The stored form of object paths.

use super::FormError;
use super::value::StoredValue;
use cimwright_cim::{ClassPath, InstancePath, KeyBinding, Name, NamespaceName};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// An [`InstancePath`].
#[derive(Serialize, Deserialize)]
pub(super) struct StoredPath<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Cow<'a, str>>,
    class: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<(Cow<'a, str>, StoredValue<'a>)>,
}

/// A [`ClassPath`].
#[derive(Serialize, Deserialize)]
pub(super) struct StoredClassPath<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Cow<'a, str>>,
    class: Cow<'a, str>,
}

impl<'a> From<&'a InstancePath> for StoredPath<'a> {
    fn from(path: &'a InstancePath) -> Self {
        Self {
            host: path.host.as_deref().map(Cow::from),
            namespace: path.namespace.as_ref().map(|n| n.as_str().into()),
            class: path.class.as_str().into(),
            keys: path.keys.iter().map(|k| (k.name.as_str().into(), (&k.value).into())).collect(),
        }
    }
}

impl TryFrom<StoredPath<'_>> for InstancePath {
    type Error = FormError;

    fn try_from(stored: StoredPath<'_>) -> Result<Self, FormError> {
        Ok(Self {
            host: stored.host.map(Cow::into_owned),
            namespace: stored.namespace.map(NamespaceName::new),
            class: Name::new(stored.class),
            keys: stored
                .keys
                .into_iter()
                .map(|(name, value)| Ok(KeyBinding { name: Name::new(name), value: value.try_into()? }))
                .collect::<Result<_, FormError>>()?,
        })
    }
}

impl<'a> From<&'a ClassPath> for StoredClassPath<'a> {
    fn from(path: &'a ClassPath) -> Self {
        Self {
            host: path.host.as_deref().map(Cow::from),
            namespace: path.namespace.as_ref().map(|n| n.as_str().into()),
            class: path.class.as_str().into(),
        }
    }
}

impl From<StoredClassPath<'_>> for ClassPath {
    fn from(stored: StoredClassPath<'_>) -> Self {
        Self {
            host: stored.host.map(Cow::into_owned),
            namespace: stored.namespace.map(NamespaceName::new),
            class: Name::new(stored.class),
        }
    }
}
