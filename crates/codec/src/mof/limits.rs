//! What is counted over a whole compilation: how deep objects stand in each other, how much is copied, and which qualifiers have
//! been used.
//!
//! A few lines can name the same object again and again, each time in one that is named again itself. So neither the depth nor what
//! is copied may grow with no end.

use super::declare::Shape;
use cimwright_cim::{
    Class, Instance, InstancePath, Name, NamespaceName, ObjectPath, Property, Qualifier, Value,
};
use std::collections::HashMap;

/// How many objects may stand one in the other, and how many instances may be identified one by the other.
pub(super) const MAX_DEPTH: u32 = 8;

/// How much aliases and defaults may put into embedded objects and keys, in bytes, roughly.
const MAX_COPIED: usize = 32 * 1024 * 1024;

/// What must hold, for messages.
pub(super) const TOO_MUCH: &str =
    "aliases and defaults put more than 32 MiB into embedded objects: they stand for each other too often";

/// What a compilation keeps in mind from one declaration to the next.
#[derive(Default)]
pub(super) struct Ledger {
    uses: HashMap<NamespaceName, HashMap<Name, Use>>,
    copied: usize,
}

/// How a qualifier has been used so far.
pub(super) enum Use {
    /// As it is declared, or in ways that no declaration can agree with.
    Settled,
    /// Without a declaration, always in this spelling, with values of this type and no flavors.
    Undeclared { spelling: Name, shape: Shape },
}

impl Ledger {
    /// How the qualifier has been used in the namespace, if it has.
    pub(super) fn qualifier_use(&self, namespace: &NamespaceName, name: &str) -> Option<&Use> {
        self.uses.get(namespace)?.get(&Name::new(name))
    }

    /// Keeps in mind that the qualifier has been used. `declared` tells whether it was declared then.
    pub(super) fn note_use(&mut self, namespace: &NamespaceName, qualifier: &Qualifier, declared: bool) {
        let uses = match self.uses.get_mut(namespace) {
            Some(uses) => uses,
            None => self.uses.entry(namespace.clone()).or_default(),
        };
        let plain = qualifier.flavor == Default::default();
        match uses.get_mut(&qualifier.name) {
            None => {
                let shape = Shape { cim_type: qualifier.cim_type, is_array: qualifier.is_array };
                let spelling = qualifier.name.clone();
                let first =
                    if declared || !plain { Use::Settled } else { Use::Undeclared { spelling, shape } };
                uses.insert(qualifier.name.clone(), first);
            }
            Some(Use::Settled) => {}
            Some(before @ Use::Undeclared { .. }) => {
                if let Use::Undeclared { spelling, shape } = before
                    && (declared
                        || !plain
                        || spelling.as_str() != qualifier.name.as_str()
                        || shape.cim_type != qualifier.cim_type
                        || shape.is_array != qualifier.is_array)
                {
                    *before = Use::Settled;
                }
            }
        }
    }

    /// Whether so much more may be copied.
    pub(super) fn copy(&mut self, weight: usize) -> bool {
        self.copied = self.copied.saturating_add(weight);
        self.copied <= MAX_COPIED
    }
}

/// How many objects stand one in the other in a value: none in a number, one in an instance that holds only numbers.
pub(super) fn levels(value: &Value) -> u32 {
    let deepest = |properties: &[Property]| {
        properties.iter().filter_map(|p| p.value.as_ref()).map(levels).max().unwrap_or_default()
    };
    match value {
        Value::Instance(instance) | Value::InstanceText(instance) => 1 + deepest(&instance.properties),
        Value::Class(class) => 1 + deepest(&class.properties),
        Value::Array(items) => items.iter().flatten().map(levels).max().unwrap_or_default(),
        _ => 0,
    }
}

/// How many instances are identified one by the other: one if no key of the path is a reference.
pub(super) fn path_levels(path: &InstancePath) -> u32 {
    let of_key = |value: &Value| match value {
        Value::Reference(target) => target.as_instance().map_or(0, path_levels),
        _ => 0,
    };
    1 + path.keys.iter().map(|key| of_key(&key.value)).max().unwrap_or_default()
}

/// About how many bytes an instance takes.
pub(super) fn instance_weight(instance: &Instance) -> usize {
    128 + instance.properties.iter().map(property_weight).sum::<usize>()
}

/// About how many bytes a path takes.
pub(super) fn path_weight(path: &InstancePath) -> usize {
    128 + path.keys.iter().map(|key| 64 + weight(&key.value)).sum::<usize>()
}

/// About how many bytes a value takes beside itself.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Reference(path) => match &**path {
            ObjectPath::Instance(path) => path_weight(path),
            ObjectPath::Class(_) => 128,
        },
        Value::Instance(instance) | Value::InstanceText(instance) => instance_weight(instance),
        Value::Class(class) => class_weight(class),
        Value::Array(items) => items.iter().map(|item| 32 + item.as_ref().map_or(0, weight)).sum(),
        _ => 0,
    }
}

fn property_weight(property: &Property) -> usize {
    128 + property.value.as_ref().map_or(0, weight) + qualifiers_weight(&property.qualifiers)
}

fn class_weight(class: &Class) -> usize {
    let methods = class.methods.iter().map(|method| {
        let parameters = method.parameters.iter().map(|p| 128 + qualifiers_weight(&p.qualifiers));
        128 + qualifiers_weight(&method.qualifiers) + parameters.sum::<usize>()
    });
    128 + qualifiers_weight(&class.qualifiers)
        + class.properties.iter().map(property_weight).sum::<usize>()
        + methods.sum::<usize>()
}

fn qualifiers_weight(qualifiers: &[Qualifier]) -> usize {
    qualifiers.iter().map(|q| 64 + q.value.as_ref().map_or(0, weight)).sum()
}
