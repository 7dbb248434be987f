//! Fitting a value that a client sent to the type that the class declares.
//!
//! Clients state types wrongly or not at all (some leave PARAMTYPE out, some write `string` for everything), so the
//! declaration decides and only a value that cannot be meant is refused.

use crate::datetime::DateTime;
use crate::instance::Instance;
use crate::value::{CimType, Embedded, Value};

/// Why a value does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeMismatch {
    /// What was wrong, for a person: names the value, the type and, for numbers, the range.
    pub reason: String,
}

impl std::fmt::Display for TypeMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for TypeMismatch {}

/// The declared shape of a property or parameter.
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    /// Type of the value or of the elements.
    pub cim_type: CimType,
    /// Whether it is an array.
    pub is_array: bool,
    /// Whether it carries an object.
    pub embedded: Option<Embedded>,
}

/// Makes the text of an embedded object into the object. The broker is given one, so that only the codec knows the syntax.
pub type ParseInstance<'a> = &'a dyn Fn(&str) -> Result<Instance, String>;

/// Converts `value` to the declared type.
///
/// # Errors
/// When no sensible reading of the value has that type, or a number is out of range.
pub fn coerce(value: Value, declared: Declared, parse: ParseInstance<'_>) -> Result<Value, TypeMismatch> {
    match (value, declared.is_array) {
        (Value::Array(items), true) => items
            .into_iter()
            .map(|item| item.map(|v| coerce_one(v, declared, parse)).transpose())
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        // A single value where an array is declared: what a client means is clear.
        (value, true) => Ok(Value::Array(vec![Some(coerce_one(value, declared, parse)?)])),
        (Value::Array(_), false) => Err(mismatch("an array", declared.cim_type, "one value is expected")),
        (value, false) => coerce_one(value, declared, parse),
    }
}

fn coerce_one(value: Value, declared: Declared, parse: ParseInstance<'_>) -> Result<Value, TypeMismatch> {
    let wanted = declared.cim_type;
    if declared.embedded.is_some() {
        return match value {
            Value::Instance(_) | Value::Class(_) => Ok(value),
            Value::InstanceText(i) => Ok(Value::Instance(i)),
            Value::String(text) => parse(&text)
                .map(|i| Value::Instance(Box::new(i)))
                .map_err(|reason| TypeMismatch { reason: format!("not an instance in CIM-XML: {reason}") }),
            other => Err(mismatch(&show(&other), wanted, "an embedded instance is expected")),
        };
    }
    if value.cim_type() == Some(wanted) {
        return Ok(value);
    }
    match wanted {
        CimType::Boolean => match &value {
            Value::String(s) if s.trim().eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
            Value::String(s) if s.trim().eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
            other => Err(mismatch(&show(other), wanted, "TRUE or FALSE is expected")),
        },
        CimType::String => match value {
            // Numbers and booleans sent for a string keep their text; anything else is a mistake.
            Value::Boolean(b) => Ok(Value::String(if b { "TRUE" } else { "FALSE" }.to_owned())),
            Value::DateTime(d) => Ok(Value::String(d.to_string())),
            other => match other.as_i128() {
                Some(n) => Ok(Value::String(n.to_string())),
                None => Err(mismatch(&show(&other), wanted, "text is expected")),
            },
        },
        CimType::Char16 => match &value {
            Value::String(s) => {
                let mut units = s.encode_utf16();
                match (units.next(), units.next()) {
                    (Some(unit), None) => Ok(Value::Char16(unit)),
                    _ => Err(mismatch(&show(&value), wanted, "exactly one character is expected")),
                }
            }
            other => Err(mismatch(&show(other), wanted, "one character is expected")),
        },
        CimType::DateTime => match &value {
            Value::String(s) => match s.parse::<DateTime>() {
                Ok(d) => Ok(Value::DateTime(d)),
                Err(e) => Err(mismatch(&show(&value), wanted, e.reason)),
            },
            other => Err(mismatch(&show(other), wanted, "a CIM datetime is expected")),
        },
        CimType::Reference => Err(mismatch(&show(&value), wanted, "an object path is expected")),
        CimType::Real32 | CimType::Real64 => {
            let number = match &value {
                Value::Real32(x) => Some(f64::from(*x)),
                Value::Real64(x) => Some(*x),
                Value::String(s) => parse_real(s),
                other => other.as_i128().map(|n| n as f64),
            };
            match number {
                Some(x) if wanted == CimType::Real32 => Ok(Value::Real32(x as f32)),
                Some(x) => Ok(Value::Real64(x)),
                None => Err(mismatch(&show(&value), wanted, "a number is expected")),
            }
        }
        integer => {
            let number = match &value {
                Value::String(s) => parse_integer(s),
                other => other.as_i128(),
            };
            let Some(n) = number else {
                return Err(mismatch(&show(&value), integer, "a whole number is expected"));
            };
            integer_value(n, integer)
                .ok_or_else(|| mismatch(&n.to_string(), integer, "the number is out of range"))
        }
    }
}

/// The value of an integer type, if `n` is in its range and `cim_type` is an integer type.
pub fn integer_value(n: i128, cim_type: CimType) -> Option<Value> {
    Some(match cim_type {
        CimType::Uint8 => Value::Uint8(u8::try_from(n).ok()?),
        CimType::Sint8 => Value::Sint8(i8::try_from(n).ok()?),
        CimType::Uint16 => Value::Uint16(u16::try_from(n).ok()?),
        CimType::Sint16 => Value::Sint16(i16::try_from(n).ok()?),
        CimType::Uint32 => Value::Uint32(u32::try_from(n).ok()?),
        CimType::Sint32 => Value::Sint32(i32::try_from(n).ok()?),
        CimType::Uint64 => Value::Uint64(u64::try_from(n).ok()?),
        CimType::Sint64 => Value::Sint64(i64::try_from(n).ok()?),
        _ => return None,
    })
}

/// An integer as DSP0201 writes it: decimal with optional sign, or hexadecimal with `0x`; white space around it is ignored.
pub fn parse_integer(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => i128::from_str_radix(hex, 16).ok()?,
        Some(_) => return None,
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        None => return None,
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// A real as DSP0201 writes it, with the special spellings `INF`, `-INF` and `NaN`; whole numbers are accepted.
pub fn parse_real(text: &str) -> Option<f64> {
    let text = text.trim();
    match text {
        "INF" => return Some(f64::INFINITY),
        "-INF" => return Some(f64::NEG_INFINITY),
        "NaN" => return Some(f64::NAN),
        _ => {}
    }
    // Rust also reads "inf", "infinity" and "nan", which CIM does not know.
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    text.parse().ok()
}

fn mismatch(value: &str, wanted: CimType, hint: &str) -> TypeMismatch {
    TypeMismatch { reason: format!("{value} is no {wanted}: {hint}") }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(s) => {
            let mut short: String = s.chars().take(60).collect();
            if short.len() < s.len() {
                short.push('…');
            }
            format!("\"{short}\"")
        }
        Value::Instance(i) | Value::InstanceText(i) => format!("an instance of {}", i.class),
        Value::Class(c) => format!("class {}", c.name),
        Value::Reference(p) => format!("a reference to {}", p.class()),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(value: Value, cim_type: CimType) -> Result<Value, TypeMismatch> {
        coerce(value, Declared { cim_type, is_array: false, embedded: None }, &|_| Err("no parser".into()))
    }

    #[test]
    fn text_becomes_what_is_declared() {
        assert_eq!(to("42".into(), CimType::Uint16), Ok(Value::Uint16(42)));
        assert_eq!(to(" 0x1F ".into(), CimType::Uint8), Ok(Value::Uint8(31)));
        assert_eq!(to("true".into(), CimType::Boolean), Ok(Value::Boolean(true)));
        assert_eq!(to("1.5".into(), CimType::Real64), Ok(Value::Real64(1.5)));
        assert_eq!(to("é".into(), CimType::Char16), Ok(Value::Char16(0xe9)));
        assert!(to("00000000000500.000000:000".into(), CimType::DateTime).is_ok());
    }

    #[test]
    fn numbers_move_between_types_within_range() {
        assert_eq!(to(Value::Uint32(5), CimType::Uint16), Ok(Value::Uint16(5)));
        assert_eq!(to(Value::Sint8(-1), CimType::Sint64), Ok(Value::Sint64(-1)));
        assert!(to(Value::Uint32(70_000), CimType::Uint16).unwrap_err().reason.contains("out of range"));
        assert!(to(Value::Sint8(-1), CimType::Uint64).is_err());
        assert_eq!(to("18446744073709551615".into(), CimType::Uint64), Ok(Value::Uint64(u64::MAX)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(to("4x".into(), CimType::Uint16).is_err());
        assert!(to("".into(), CimType::Boolean).is_err());
        assert!(to("😀".into(), CimType::Char16).is_err());
        assert!(to("infinity".into(), CimType::Real32).is_err());
        assert!(to(Value::Array(vec![]), CimType::String).is_err());
    }

    #[test]
    fn one_value_fits_a_declared_array() {
        let declared = Declared { cim_type: CimType::Uint16, is_array: true, embedded: None };
        let got = coerce("2".into(), declared, &|_| Err(String::new()));
        assert_eq!(got, Ok(Value::uint16s([2])));
    }
}
