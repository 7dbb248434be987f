//! Endpoint references: how an instance is named in a message (DSP0226 5.1, DSP0227 6.2).

use super::header::{MAX_SELECTORS, Selector, selectors};
use super::resource::Resource;
use super::xml::{Element, Ns};
use cimwright_cim::{ClassPath, InstancePath, KeyBinding, NamespaceName, ObjectPath, Value};

/// The selector that is no key.
pub(super) const NAMESPACE_SELECTOR: &str = "__cimnamespace";

/// A reference to a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Epr {
    /// Where the resource is served.
    pub address: String,
    /// Its resource URI; empty if the reference has none.
    pub resource: String,
    /// What selects the instance.
    pub selectors: Vec<Selector>,
}

impl Epr {
    /// The class or the instance that is named; `None` if the URI names no class. Keys are texts until the class is known.
    pub fn path(&self) -> Option<ObjectPath> {
        let (resource, _) = Resource::parse(&self.resource);
        let class = resource.class()?.clone();
        let namespace = resource.namespace().cloned().or_else(|| namespace_of(&self.selectors));
        let keys: Vec<KeyBinding> = keys_of(&self.selectors);
        Some(if keys.is_empty() {
            ObjectPath::Class(ClassPath::new(namespace, class))
        } else {
            ObjectPath::Instance(InstancePath { host: None, namespace, class, keys })
        })
    }
}

/// The namespace among selectors.
pub(super) fn namespace_of(selectors: &[Selector]) -> Option<NamespaceName> {
    let found = selectors.iter().find(|s| s.name.is(NAMESPACE_SELECTOR))?;
    found.value.as_str().map(NamespaceName::new).filter(|n| !n.as_str().is_empty())
}

/// The selectors that are keys.
pub(super) fn keys_of(selectors: &[Selector]) -> Vec<KeyBinding> {
    selectors
        .iter()
        .filter(|s| !s.name.is(NAMESPACE_SELECTOR))
        .map(|s| KeyBinding { name: s.name.clone(), value: s.value.clone() })
        .collect()
}

/// Reads the content of an element that is an endpoint reference, or that has one as its child.
pub(super) fn read(element: Element<'_>) -> Result<Epr, String> {
    let inner = element.child(Ns::Addressing, "EndpointReference").unwrap_or(element);
    let address = inner.child_text(Ns::Addressing, "Address").unwrap_or_default().to_owned();
    let parameters = inner
        .child(Ns::Addressing, "ReferenceParameters")
        .or_else(|| inner.child(Ns::Addressing, "ReferenceProperties"));
    let mut epr = Epr { address, resource: String::new(), selectors: Vec::new() };
    if let Some(parameters) = parameters {
        epr.resource = parameters.child_text(Ns::Wsman, "ResourceURI").unwrap_or_default().to_owned();
        if let Some(set) = parameters.child(Ns::Wsman, "SelectorSet") {
            epr.selectors = selectors(set)?;
        }
    }
    if epr.selectors.len() > MAX_SELECTORS {
        return Err(format!("a reference with more than {MAX_SELECTORS} selectors"));
    }
    Ok(epr)
}

/// Whether an element's children are those of an endpoint reference.
pub(super) fn is_reference(element: Element<'_>) -> bool {
    element.children().any(|c| {
        c.ns() == Ns::Addressing
            && matches!(
                c.name(),
                "Address" | "ReferenceParameters" | "ReferenceProperties" | "EndpointReference"
            )
    })
}

/// The reference in an element as a value.
pub(super) fn value(element: Element<'_>) -> Result<Value, String> {
    let epr = read(element)?;
    match epr.path() {
        Some(path) => Ok(Value::Reference(Box::new(path))),
        None => Err(format!(
            "the endpoint reference to \"{}\" names no class",
            super::xml::shorten(&epr.resource)
        )),
    }
}
