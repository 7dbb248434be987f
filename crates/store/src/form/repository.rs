//! The stored forms of what clients load: classes, qualifier declarations and static instances.

use super::class::{StoredClass, StoredName, StoredType};
use super::value::{StoredInstance, StoredValue};
use super::{Form, FormError, VERSION};
use cimwright_cim::{Class, Flavor, Instance, QualifierDeclaration, QualifierScope, Scopes, Value};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The scopes by their keywords, in the order they are written.
const SCOPES: [(&str, QualifierScope); 7] = [
    ("class", QualifierScope::Class),
    ("association", QualifierScope::Association),
    ("indication", QualifierScope::Indication),
    ("property", QualifierScope::Property),
    ("reference", QualifierScope::Reference),
    ("method", QualifierScope::Method),
    ("parameter", QualifierScope::Parameter),
];

/// A [`Class`].
#[derive(Serialize, Deserialize)]
pub(super) struct ClassForm<'a> {
    v: u32,
    class: StoredClass<'a>,
}

/// A static [`Instance`].
#[derive(Serialize, Deserialize)]
pub(super) struct InstanceForm<'a> {
    v: u32,
    instance: StoredInstance<'a>,
}

/// A [`QualifierDeclaration`].
#[derive(Serialize, Deserialize)]
pub(super) struct QualifierForm<'a> {
    v: u32,
    name: StoredName,
    #[serde(rename = "type")]
    cim_type: StoredType,
    #[serde(default)]
    array: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<StoredValue<'a>>,
    scopes: Vec<Cow<'a, str>>,
    /// Overridable, to subclass, to instance, translatable.
    flavor: [bool; 4],
}

impl Form for ClassForm<'static> {
    fn version(&self) -> u32 {
        self.v
    }
}

impl Form for InstanceForm<'static> {
    fn version(&self) -> u32 {
        self.v
    }
}

impl Form for QualifierForm<'static> {
    fn version(&self) -> u32 {
        self.v
    }
}

impl<'a> From<&'a Class> for ClassForm<'a> {
    fn from(class: &'a Class) -> Self {
        Self { v: VERSION, class: class.into() }
    }
}

impl TryFrom<ClassForm<'_>> for Class {
    type Error = FormError;

    fn try_from(form: ClassForm<'_>) -> Result<Self, FormError> {
        form.class.try_into()
    }
}

impl<'a> From<&'a Instance> for InstanceForm<'a> {
    fn from(instance: &'a Instance) -> Self {
        Self { v: VERSION, instance: instance.into() }
    }
}

impl TryFrom<InstanceForm<'_>> for Instance {
    type Error = FormError;

    fn try_from(form: InstanceForm<'_>) -> Result<Self, FormError> {
        form.instance.try_into()
    }
}

impl<'a> From<&'a QualifierDeclaration> for QualifierForm<'a> {
    fn from(declaration: &'a QualifierDeclaration) -> Self {
        let flavor = declaration.flavor;
        let scopes = SCOPES.iter().filter(|(_, s)| declaration.scopes.contains(*s));
        Self {
            v: VERSION,
            name: StoredName(declaration.name.clone()),
            cim_type: StoredType(declaration.cim_type),
            array: declaration.is_array,
            size: declaration.array_size,
            value: declaration.value.as_ref().map(Into::into),
            scopes: scopes.map(|(word, _)| Cow::Borrowed(*word)).collect(),
            flavor: [flavor.overridable, flavor.to_subclass, flavor.to_instance, flavor.translatable],
        }
    }
}

impl TryFrom<QualifierForm<'_>> for QualifierDeclaration {
    type Error = FormError;

    fn try_from(form: QualifierForm<'_>) -> Result<Self, FormError> {
        let mut scopes = Scopes::default();
        for word in &form.scopes {
            let Some((_, scope)) = SCOPES.iter().find(|(w, _)| w == word) else {
                return Err(FormError::Field {
                    form: "qualifier declaration",
                    field: "scopes",
                    found: word.to_string(),
                });
            };
            scopes = scopes.with(*scope);
        }
        let [overridable, to_subclass, to_instance, translatable] = form.flavor;
        Ok(Self {
            name: form.name.0,
            cim_type: form.cim_type.0,
            is_array: form.array,
            array_size: form.size,
            value: form.value.map(Value::try_from).transpose()?,
            scopes,
            flavor: Flavor { overridable, to_subclass, to_instance, translatable },
        })
    }
}
