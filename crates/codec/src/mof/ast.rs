//! The items of a MOF text as written: nothing is looked up and no type is checked yet. Text borrows from the source.

use cimwright_cim::Scopes;
use std::borrow::Cow;

/// A stretch of a source, in bytes from its start (after the byte order mark).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// From the start of this one to the end of `last`.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        Self { start: self.start, end: last.end }
    }
}

/// A word and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word.
    pub text: &'a str,
    /// Where it stands.
    pub span: Span,
}

impl Word<'_> {
    /// Whether the word is this keyword, in any case.
    pub fn is(&self, keyword: &str) -> bool {
        self.text.eq_ignore_ascii_case(keyword)
    }
}

/// An item of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    /// `#pragma …`
    Pragma(Pragma<'a>),
    /// `Qualifier …`
    Qualifier(QualifierItem<'a>),
    /// `class …`
    Class(ClassItem<'a>),
    /// `instance of …`
    Instance(InstanceItem<'a>),
}

/// A compiler directive.
#[derive(Clone, Debug, PartialEq)]
pub struct Pragma<'a> {
    /// Its name, such as `include`.
    pub name: Word<'a>,
    /// Its arguments; a bare word counts as a string.
    pub arguments: Vec<Literal<'a>>,
}

/// The declaration of a qualifier.
#[derive(Clone, Debug, PartialEq)]
pub struct QualifierItem<'a> {
    /// Its name.
    pub name: Word<'a>,
    /// Its type as written; `None` in WMI's short form, which changes the flavors of a known qualifier.
    pub type_name: Option<Word<'a>>,
    /// Whether it is an array, and of what size.
    pub array: Option<ArrayBounds>,
    /// Its default.
    pub default: Option<Literal<'a>>,
    /// What it may stand on.
    pub scopes: Scopes,
    /// How it propagates, as far as stated.
    pub flavors: Flavors,
}

/// The brackets of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayBounds {
    /// The fixed size, where stated.
    pub size: Option<u32>,
}

/// Flavor keywords; what is not stated stays `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flavors {
    /// EnableOverride or DisableOverride.
    pub overridable: Option<bool>,
    /// ToSubclass or Restricted.
    pub to_subclass: Option<bool>,
    /// ToInstance or NotToInstance.
    pub to_instance: Option<bool>,
    /// Translatable.
    pub translatable: Option<bool>,
}

/// A qualifier on an element.
#[derive(Clone, Debug, PartialEq)]
pub struct QualifierUse<'a> {
    /// Its name.
    pub name: Word<'a>,
    /// Its value, where one is given.
    pub value: Option<Literal<'a>>,
    /// The flavors restated.
    pub flavors: Flavors,
}

/// The declaration of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassItem<'a> {
    /// Qualifiers on the class.
    pub qualifiers: Vec<QualifierUse<'a>>,
    /// Its name.
    pub name: Word<'a>,
    /// The alias, with its `$`.
    pub alias: Option<Word<'a>>,
    /// The superclass.
    pub superclass: Option<Word<'a>>,
    /// Properties, references and methods in order.
    pub features: Vec<Feature<'a>>,
}

/// A property, reference or method of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature<'a> {
    /// Its qualifiers.
    pub qualifiers: Vec<QualifierUse<'a>>,
    /// The type of a property, the return type of a method.
    pub data_type: DataType<'a>,
    /// Its name.
    pub name: Word<'a>,
    /// What it is.
    pub kind: FeatureKind<'a>,
}

/// What distinguishes a property from a method.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureKind<'a> {
    /// A property or reference.
    Property {
        /// Whether it is an array, and of what size.
        array: Option<ArrayBounds>,
        /// Its default.
        default: Option<Literal<'a>>,
    },
    /// A method with its parameters.
    Method(Vec<ParameterItem<'a>>),
}

/// A parameter of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterItem<'a> {
    /// Its qualifiers.
    pub qualifiers: Vec<QualifierUse<'a>>,
    /// Its type.
    pub data_type: DataType<'a>,
    /// Its name.
    pub name: Word<'a>,
    /// Whether it is an array, and of what size.
    pub array: Option<ArrayBounds>,
}

/// A type as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType<'a> {
    /// An intrinsic type by its keyword, or `void`.
    Named(Word<'a>),
    /// `CLASS REF`
    Reference(Word<'a>),
    /// WMI's `object`, or `object:CLASS`.
    Object(Option<Word<'a>>),
}

/// An instance, at file level or inside a value.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceItem<'a> {
    /// Its class.
    pub class: Word<'a>,
    /// The alias, with its `$`.
    pub alias: Option<Word<'a>>,
    /// The values given, in order.
    pub values: Vec<(Word<'a>, Literal<'a>)>,
}

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Literal<'a> {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: LiteralKind<'a>,
}

/// The kinds of literal.
#[derive(Clone, Debug, PartialEq)]
pub enum LiteralKind<'a> {
    /// `NULL`
    Null,
    /// `TRUE` or `FALSE`
    Boolean(bool),
    /// An integer in any base.
    Integer(i128),
    /// A real, as written: single and double precision round it differently.
    Real(&'a str),
    /// A character, as a UTF-16 code unit.
    Char(u16),
    /// A string, its parts joined and escapes resolved.
    String(Cow<'a, str>),
    /// A list in braces.
    Array(Vec<Literal<'a>>),
    /// An alias, with its `$`.
    Alias(&'a str),
    /// WMI's instance inside a value.
    Instance(Box<InstanceItem<'a>>),
}

impl LiteralKind<'_> {
    /// What it is, for messages.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Real(_) => "a real number",
            Self::Char(_) => "a character",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Alias(_) => "an alias",
            Self::Instance(_) => "an instance",
        }
    }
}
