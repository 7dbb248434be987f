//! CIM types and values (DSP0004 5.2).

use crate::class::Class;
use crate::datetime::DateTime;
use crate::instance::Instance;
use crate::path::ObjectPath;
use std::fmt;

/// An intrinsic CIM type. Embedded objects have type [`CimType::String`] and an [`Embedded`] mark beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the variants are the type names of DSP0004 table 2")]
pub enum CimType {
    Boolean,
    String,
    Char16,
    Uint8,
    Sint8,
    Uint16,
    Sint16,
    Uint32,
    Sint32,
    Uint64,
    Sint64,
    Real32,
    Real64,
    DateTime,
    Reference,
}

impl CimType {
    /// Every type, in the order of the declaration.
    pub const ALL: [Self; 15] = [
        Self::Boolean,
        Self::String,
        Self::Char16,
        Self::Uint8,
        Self::Sint8,
        Self::Uint16,
        Self::Sint16,
        Self::Uint32,
        Self::Sint32,
        Self::Uint64,
        Self::Sint64,
        Self::Real32,
        Self::Real64,
        Self::DateTime,
        Self::Reference,
    ];

    /// The keyword of MOF and of the TYPE attribute of DSP0201.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Char16 => "char16",
            Self::Uint8 => "uint8",
            Self::Sint8 => "sint8",
            Self::Uint16 => "uint16",
            Self::Sint16 => "sint16",
            Self::Uint32 => "uint32",
            Self::Sint32 => "sint32",
            Self::Uint64 => "uint64",
            Self::Sint64 => "sint64",
            Self::Real32 => "real32",
            Self::Real64 => "real64",
            Self::DateTime => "datetime",
            Self::Reference => "reference",
        }
    }

    /// The type with this keyword, in any case. `ref` is accepted for `reference`.
    pub fn from_keyword(word: &str) -> Option<Self> {
        let mut folded = [0; 9];
        let folded = folded.get_mut(..word.len())?;
        folded.copy_from_slice(word.as_bytes());
        folded.make_ascii_lowercase();
        Some(match &*folded {
            b"boolean" => Self::Boolean,
            b"string" => Self::String,
            b"char16" => Self::Char16,
            b"uint8" => Self::Uint8,
            b"sint8" => Self::Sint8,
            b"uint16" => Self::Uint16,
            b"sint16" => Self::Sint16,
            b"uint32" => Self::Uint32,
            b"sint32" => Self::Sint32,
            b"uint64" => Self::Uint64,
            b"sint64" => Self::Sint64,
            b"real32" => Self::Real32,
            b"real64" => Self::Real64,
            b"datetime" => Self::DateTime,
            b"reference" | b"ref" => Self::Reference,
            _ => return None,
        })
    }

    /// Whether the type is one of the eight integer types.
    pub fn is_integer(self) -> bool {
        matches!(
            self,
            Self::Uint8
                | Self::Sint8
                | Self::Uint16
                | Self::Sint16
                | Self::Uint32
                | Self::Sint32
                | Self::Uint64
                | Self::Sint64
        )
    }

    /// Whether the type is an integer or a real.
    pub fn is_numeric(self) -> bool {
        self.is_integer() || matches!(self, Self::Real32 | Self::Real64)
    }
}

impl fmt::Display for CimType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.keyword())
    }
}

/// How a string-typed element carries an object (DSP0201 4.3, attribute EmbeddedObject).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Embedded {
    /// An instance or a class: qualifier EmbeddedObject.
    Object,
    /// An instance of the named class or a subclass: qualifier EmbeddedInstance.
    Instance,
}

/// A non-NULL CIM value. NULL is `Option::None` around it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the scalar variants are the type names of DSP0004 table 2")]
pub enum Value {
    Boolean(bool),
    String(String),
    /// One UCS-2 code unit.
    Char16(u16),
    Uint8(u8),
    Sint8(i8),
    Uint16(u16),
    Sint16(i16),
    Uint32(u32),
    Sint32(i32),
    Uint64(u64),
    Sint64(i64),
    Real32(f32),
    Real64(f64),
    DateTime(DateTime),
    Reference(Box<ObjectPath>),
    /// An embedded instance, marked as such on the wire.
    Instance(Box<Instance>),
    /// An embedded class, marked as such on the wire.
    Class(Box<Class>),
    /// A plain string whose text is this instance in CIM-XML, *not* marked as embedded: what Hyper-V's GetError
    /// documents. The codec makes the text, so that nobody else needs to know XML.
    InstanceText(Box<Instance>),
    /// An array; elements may be NULL.
    Array(Vec<Option<Value>>),
}

impl Value {
    /// The intrinsic type of the value; of an array, that of its first non-NULL element.
    pub fn cim_type(&self) -> Option<CimType> {
        Some(match self {
            Self::Boolean(_) => CimType::Boolean,
            Self::String(_) | Self::Instance(_) | Self::Class(_) | Self::InstanceText(_) => CimType::String,
            Self::Char16(_) => CimType::Char16,
            Self::Uint8(_) => CimType::Uint8,
            Self::Sint8(_) => CimType::Sint8,
            Self::Uint16(_) => CimType::Uint16,
            Self::Sint16(_) => CimType::Sint16,
            Self::Uint32(_) => CimType::Uint32,
            Self::Sint32(_) => CimType::Sint32,
            Self::Uint64(_) => CimType::Uint64,
            Self::Sint64(_) => CimType::Sint64,
            Self::Real32(_) => CimType::Real32,
            Self::Real64(_) => CimType::Real64,
            Self::DateTime(_) => CimType::DateTime,
            Self::Reference(_) => CimType::Reference,
            Self::Array(items) => return items.iter().flatten().find_map(Self::cim_type),
        })
    }

    /// The embedded mark the value needs on the wire, if any; of an array, that of its first non-NULL element.
    pub fn embedded(&self) -> Option<Embedded> {
        match self {
            Self::Instance(_) => Some(Embedded::Instance),
            Self::Class(_) => Some(Embedded::Object),
            Self::Array(items) => items.iter().flatten().find_map(Self::embedded),
            _ => None,
        }
    }

    /// The text of a string value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(b) => Some(*b),
            _ => None,
        }
    }

    /// The value of any integer type.
    pub fn as_i128(&self) -> Option<i128> {
        Some(match self {
            Self::Uint8(n) => i128::from(*n),
            Self::Sint8(n) => i128::from(*n),
            Self::Uint16(n) => i128::from(*n),
            Self::Sint16(n) => i128::from(*n),
            Self::Uint32(n) => i128::from(*n),
            Self::Sint32(n) => i128::from(*n),
            Self::Uint64(n) => i128::from(*n),
            Self::Sint64(n) => i128::from(*n),
            _ => return None,
        })
    }

    /// The value of any integer type if it is not negative and fits 64 bits.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_i128().and_then(|n| u64::try_from(n).ok())
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Option<Value>]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The path of a reference.
    pub fn as_reference(&self) -> Option<&ObjectPath> {
        match self {
            Self::Reference(path) => Some(path),
            _ => None,
        }
    }

    /// The embedded instance, marked or as text.
    pub fn as_instance(&self) -> Option<&Instance> {
        match self {
            Self::Instance(i) | Self::InstanceText(i) => Some(i),
            _ => None,
        }
    }

    /// An array of strings.
    pub fn strings<S: Into<String>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::Array(items.into_iter().map(|s| Some(Self::String(s.into()))).collect())
    }

    /// An array of uint16.
    pub fn uint16s(items: impl IntoIterator<Item = u16>) -> Self {
        Self::Array(items.into_iter().map(|n| Some(Self::Uint16(n))).collect())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<DateTime> for Value {
    fn from(value: DateTime) -> Self {
        Self::DateTime(value)
    }
}
