//! Object paths: how classes and instances are named (DSP0004 8.2). The text forms are in the codec (DSP0207).

use crate::name::{ClassName, Name, NamespaceName};
use crate::value::Value;

/// One key of an instance path.
#[derive(Clone, Debug)]
pub struct KeyBinding {
    /// Name of the key property. Empty when the path gave one bare value, meaning "the only key".
    pub name: Name,
    /// Its value; never an array or an embedded object.
    pub value: Value,
}

/// The path of a class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClassPath {
    /// `host[:port]`, where given.
    pub host: Option<String>,
    /// The namespace, where given.
    pub namespace: Option<NamespaceName>,
    /// The class.
    pub class: ClassName,
}

/// The path of an instance: namespace, creation class and keys.
///
/// Two paths are equal when class and keys are, whatever the order of the keys; the host is ignored, and so is a
/// namespace that one of the two leaves out.
#[derive(Clone, Debug)]
pub struct InstancePath {
    /// `host[:port]`, where given.
    pub host: Option<String>,
    /// The namespace, where given.
    pub namespace: Option<NamespaceName>,
    /// The class; of a path that a server made, the creation class.
    pub class: ClassName,
    /// The keys; empty for the one instance of a keyless class.
    pub keys: Vec<KeyBinding>,
}

/// The path of a class or of an instance.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variants say what their types say")]
pub enum ObjectPath {
    Class(ClassPath),
    Instance(InstancePath),
}

impl ClassPath {
    /// The path of a class in a namespace.
    pub fn new(namespace: impl Into<Option<NamespaceName>>, class: impl Into<ClassName>) -> Self {
        Self { host: None, namespace: namespace.into(), class: class.into() }
    }
}

impl InstancePath {
    /// A path with neither host nor keys.
    pub fn new(namespace: impl Into<Option<NamespaceName>>, class: impl Into<ClassName>) -> Self {
        Self { host: None, namespace: namespace.into(), class: class.into(), keys: Vec::new() }
    }

    /// The same path with one more key.
    #[must_use]
    pub fn with_key(mut self, name: impl Into<Name>, value: impl Into<Value>) -> Self {
        self.keys.push(KeyBinding { name: name.into(), value: value.into() });
        self
    }

    /// The value of a key. A single unnamed key answers to every name.
    pub fn key(&self, name: &str) -> Option<&Value> {
        if let [only] = self.keys.as_slice()
            && only.name.as_str().is_empty()
        {
            return Some(&only.value);
        }
        self.keys.iter().find(|k| k.name.is(name)).map(|k| &k.value)
    }

    /// The text of a string key.
    pub fn key_str(&self, name: &str) -> Option<&str> {
        self.key(name).and_then(Value::as_str)
    }
}

impl PartialEq for InstancePath {
    fn eq(&self, other: &Self) -> bool {
        self.class == other.class
            && self.keys.len() == other.keys.len()
            && match (&self.namespace, &other.namespace) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            }
            && self
                .keys
                .iter()
                .all(|k| other.keys.iter().any(|o| o.name == k.name && key_values_equal(&k.value, &o.value)))
    }
}

impl ObjectPath {
    /// The class that is named, or the class of the instance that is.
    pub fn class(&self) -> &ClassName {
        match self {
            Self::Class(path) => &path.class,
            Self::Instance(path) => &path.class,
        }
    }

    /// The namespace, where given.
    pub fn namespace(&self) -> Option<&NamespaceName> {
        match self {
            Self::Class(path) => path.namespace.as_ref(),
            Self::Instance(path) => path.namespace.as_ref(),
        }
    }

    /// The instance path, if it is one.
    pub fn as_instance(&self) -> Option<&InstancePath> {
        match self {
            Self::Instance(path) => Some(path),
            Self::Class(_) => None,
        }
    }
}

impl From<InstancePath> for ObjectPath {
    fn from(path: InstancePath) -> Self {
        Self::Instance(path)
    }
}

impl From<ClassPath> for ObjectPath {
    fn from(path: ClassPath) -> Self {
        Self::Class(path)
    }
}

impl From<InstancePath> for Value {
    fn from(path: InstancePath) -> Self {
        Self::Reference(Box::new(ObjectPath::Instance(path)))
    }
}

/// Whether two key values are the same key: numbers by value whatever their type, timestamps by instant.
pub fn key_values_equal(a: &Value, b: &Value) -> bool {
    if let (Some(x), Some(y)) = (a.as_i128(), b.as_i128()) {
        return x == y;
    }
    match (a, b) {
        (Value::DateTime(x), Value::DateTime(y)) => match (x.to_unix_micros(), y.to_unix_micros()) {
            (Some(x), Some(y)) => x == y,
            _ => x == y,
        },
        // A key whose type the sender left out arrives as a string.
        (Value::DateTime(x), Value::String(y)) | (Value::String(y), Value::DateTime(x)) => {
            x.to_string() == *y
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_order_host_and_missing_namespace_do_not_matter() {
        let a = InstancePath::new(NamespaceName::new("root/a"), "X")
            .with_key("A", "1")
            .with_key("B", Value::Uint8(2));
        let mut b = InstancePath::new(None, "x").with_key("b", Value::Uint32(2)).with_key("a", "1");
        b.host = Some("h".into());
        assert_eq!(a, b);
        assert_ne!(
            a,
            InstancePath::new(NamespaceName::new("root/b"), "X")
                .with_key("A", "1")
                .with_key("B", Value::Uint8(2))
        );
        assert_ne!(a, InstancePath::new(None, "X").with_key("A", "1"));
    }

    #[test]
    fn one_bare_key_answers_to_every_name() {
        let path = InstancePath::new(None, "X").with_key("", "v");
        assert_eq!(path.key_str("InstanceID"), Some("v"));
    }
}
