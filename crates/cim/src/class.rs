//! Class declarations: properties, methods, parameters and qualifiers (DSP0004 5.1).

use crate::name::{ClassName, Name};
use crate::value::{CimType, Embedded, Value};

/// A class, as declared or with all that it inherits (see [`crate::schema::Schema`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: ClassName,
    /// Its superclass, if it has one.
    pub superclass: Option<ClassName>,
    /// Qualifiers on the class.
    pub qualifiers: Vec<Qualifier>,
    /// Properties and references in declaration order; inherited ones first once resolved.
    pub properties: Vec<Property>,
    /// Methods, likewise.
    pub methods: Vec<Method>,
}

/// A property of a class or of an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Its name.
    pub name: Name,
    /// Type, of an array that of its elements.
    pub cim_type: CimType,
    /// Whether it is an array.
    pub is_array: bool,
    /// The fixed size of an array, where declared.
    pub array_size: Option<u32>,
    /// The value; in a class the default. `None` is NULL.
    pub value: Option<Value>,
    /// How it carries an object, if it does.
    pub embedded: Option<Embedded>,
    /// The class a reference points to, or the class of an embedded instance.
    pub reference_class: Option<ClassName>,
    /// The class that declares it, or overrides it last.
    pub class_origin: Option<ClassName>,
    /// Whether it was inherited unchanged.
    pub propagated: bool,
    /// Qualifiers; instances carry none.
    pub qualifiers: Vec<Qualifier>,
}

/// A method of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// Its name.
    pub name: Name,
    /// Type of the return value; `None` for WMI's `void`.
    pub return_type: Option<CimType>,
    /// Parameters in declared order.
    pub parameters: Vec<Parameter>,
    /// The class that declares it, or overrides it last.
    pub class_origin: Option<ClassName>,
    /// Whether it was inherited unchanged.
    pub propagated: bool,
    /// Qualifiers on the method.
    pub qualifiers: Vec<Qualifier>,
}

/// A parameter of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: Name,
    /// Type, of an array that of its elements.
    pub cim_type: CimType,
    /// Whether it is an array.
    pub is_array: bool,
    /// The fixed size of an array, where declared.
    pub array_size: Option<u32>,
    /// How it carries an object, if it does.
    pub embedded: Option<Embedded>,
    /// The class a reference points to, or the class of an embedded instance.
    pub reference_class: Option<ClassName>,
    /// Qualifiers on the parameter.
    pub qualifiers: Vec<Qualifier>,
}

/// A qualifier value on an element.
#[derive(Clone, Debug, PartialEq)]
pub struct Qualifier {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub cim_type: CimType,
    /// Whether the value is an array (known even when it is NULL).
    pub is_array: bool,
    /// Its value; `None` is NULL.
    pub value: Option<Value>,
    /// How it propagates.
    pub flavor: Flavor,
    /// Whether it came from the superclass.
    pub propagated: bool,
}

/// How a qualifier propagates and may be changed (DSP0004 5.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flavor {
    /// Subclasses may change the value (EnableOverride).
    pub overridable: bool,
    /// Subclasses inherit it (ToSubclass; otherwise Restricted).
    pub to_subclass: bool,
    /// Instances carry it (deprecated).
    pub to_instance: bool,
    /// Its text may be translated.
    pub translatable: bool,
}

impl Default for Flavor {
    fn default() -> Self {
        Self { overridable: true, to_subclass: true, to_instance: false, translatable: false }
    }
}

/// The declaration of a qualifier.
#[derive(Clone, Debug, PartialEq)]
pub struct QualifierDeclaration {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub cim_type: CimType,
    /// Whether it is an array.
    pub is_array: bool,
    /// The fixed size of an array, where declared.
    pub array_size: Option<u32>,
    /// Its default; `None` is NULL.
    pub value: Option<Value>,
    /// What it may stand on.
    pub scopes: Scopes,
    /// How it propagates.
    pub flavor: Flavor,
}

/// One kind of element that a qualifier may stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the scope keywords of DSP0004")]
pub enum QualifierScope {
    Class,
    Association,
    Indication,
    Property,
    Reference,
    Method,
    Parameter,
}

/// The set of elements that a qualifier may stand on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// All of them: the keyword `any`.
    pub const ANY: Self = Self(0x7f);

    /// The set with `scope` added.
    #[must_use]
    pub fn with(self, scope: QualifierScope) -> Self {
        Self(self.0 | 1 << scope as u8)
    }

    /// Whether `scope` is in the set.
    pub fn contains(self, scope: QualifierScope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }
}

impl Class {
    /// A class without any feature.
    pub fn new(name: impl Into<ClassName>) -> Self {
        Self {
            name: name.into(),
            superclass: None,
            qualifiers: Vec::new(),
            properties: Vec::new(),
            methods: Vec::new(),
        }
    }

    /// The property with this name.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|p| p.name.is(name))
    }

    /// The method with this name.
    pub fn method(&self, name: &str) -> Option<&Method> {
        self.methods.iter().find(|m| m.name.is(name))
    }

    /// The properties that are keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Property> {
        self.properties.iter().filter(|p| p.is_key())
    }

    /// Whether the class is an association.
    pub fn is_association(&self) -> bool {
        is_true(&self.qualifiers, "Association")
    }

    /// Whether the class is an indication.
    pub fn is_indication(&self) -> bool {
        is_true(&self.qualifiers, "Indication")
    }

    /// Whether the class is abstract.
    pub fn is_abstract(&self) -> bool {
        is_true(&self.qualifiers, "Abstract")
    }
}

impl Property {
    /// A property without qualifiers.
    pub fn new(name: impl Into<Name>, cim_type: CimType, value: Option<Value>) -> Self {
        Self {
            name: name.into(),
            cim_type,
            is_array: matches!(value, Some(Value::Array(_))),
            array_size: None,
            embedded: value.as_ref().and_then(Value::embedded),
            value,
            reference_class: None,
            class_origin: None,
            propagated: false,
            qualifiers: Vec::new(),
        }
    }

    /// Whether it is a key.
    pub fn is_key(&self) -> bool {
        is_true(&self.qualifiers, "Key")
    }

    /// Whether clients may change it: qualifier Write.
    pub fn is_writable(&self) -> bool {
        is_true(&self.qualifiers, "Write")
    }

    /// Whether it is an association end.
    pub fn is_reference(&self) -> bool {
        self.cim_type == CimType::Reference
    }
}

impl Method {
    /// The parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|p| p.name.is(name))
    }

    /// Whether it may be called on the class: qualifier Static.
    pub fn is_static(&self) -> bool {
        is_true(&self.qualifiers, "Static")
    }
}

impl Parameter {
    /// Whether the caller gives it. The qualifier In is TRUE unless said otherwise (DSP0004 5.6.3.29).
    pub fn is_in(&self) -> bool {
        find(&self.qualifiers, "In").is_none_or(|q| q.value != Some(Value::Boolean(false)))
    }

    /// Whether the method gives it back.
    pub fn is_out(&self) -> bool {
        is_true(&self.qualifiers, "Out")
    }

    /// Whether the caller must give it.
    pub fn is_required(&self) -> bool {
        is_true(&self.qualifiers, "Required")
    }
}

impl Qualifier {
    /// A boolean qualifier that is TRUE.
    pub fn flag(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            cim_type: CimType::Boolean,
            is_array: false,
            value: Some(Value::Boolean(true)),
            flavor: Flavor::default(),
            propagated: false,
        }
    }

    /// Whether it is a boolean and TRUE.
    pub fn is_true(&self) -> bool {
        self.value == Some(Value::Boolean(true))
    }
}

/// The qualifier with this name.
pub fn find<'a>(qualifiers: &'a [Qualifier], name: &str) -> Option<&'a Qualifier> {
    qualifiers.iter().find(|q| q.name.is(name))
}

/// Whether the boolean qualifier with this name is present and TRUE.
pub fn is_true(qualifiers: &[Qualifier], name: &str) -> bool {
    find(qualifiers, name).is_some_and(Qualifier::is_true)
}
