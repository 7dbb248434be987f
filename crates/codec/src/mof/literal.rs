//! Literals: what a token means (DSP0004 annex A, lexical rules) and how it fits a declared type.

use super::ast::{Literal, LiteralKind};
use super::diagnostic::quote;
use cimwright_cim::coerce::integer_value;
use cimwright_cim::{CimType, DateTime, Value};

/// Something wrong within a token.
#[derive(Debug, PartialEq)]
pub(super) struct Flaw {
    /// Where, in bytes from the start of the token, and how many bytes.
    pub(super) at: usize,
    pub(super) length: usize,
    pub(super) message: &'static str,
}

/// What a number token is. The order of the tests is part of the language: real, hexadecimal, binary, octal, decimal.
pub(super) fn number(text: &str) -> Result<LiteralKind<'_>, &'static str> {
    let (negative, digits) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let bytes = digits.as_bytes();
    if bytes.contains(&b'.') {
        return if is_real(bytes) { Ok(LiteralKind::Real(text)) } else { Err("this is not a real number") };
    }
    let (radix, digits) = match bytes {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [.., b'b' | b'B'] => (2, &digits[..digits.len() - 1]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(match radix {
            16 => "this is not a hexadecimal number",
            2 => "this is not a binary number",
            8 => "this is not an octal number, which a leading 0 makes it",
            _ => "this is not a number",
        });
    }
    // One hundred bits hold every CIM integer and leave room to say which type a larger one does not fit.
    match i128::from_str_radix(digits, radix) {
        Ok(n) => Ok(LiteralKind::Integer(if negative { -n } else { n })),
        Err(_) => Err("the number is too large for any type"),
    }
}

fn is_real(bytes: &[u8]) -> bool {
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(0);
    if bytes.get(whole) != Some(&b'.') {
        return false;
    }
    let fraction = digits(whole + 1);
    let mut at = whole + 1 + fraction;
    if fraction == 0 {
        return false;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        let exponent = digits(at);
        if exponent == 0 {
            return false;
        }
        at += exponent;
    }
    at == bytes.len()
}

/// Joins the parts of a string and resolves its escapes. A surrogate pair may be written as two `\x` escapes, also in two
/// parts.
#[derive(Default)]
pub(super) struct Unescaper {
    text: String,
    high: Option<u16>,
}

impl Unescaper {
    /// One that uses the room of an older text.
    pub(super) fn reusing(mut text: String) -> Self {
        text.clear();
        Self { text, high: None }
    }

    /// Adds a part: a string token with its quotes.
    pub(super) fn add(&mut self, token: &str) -> Result<(), Flaw> {
        let inner = &token[1..token.len() - 1];
        let mut rest = inner;
        while let Some(slash) = rest.find('\\') {
            self.plain(&rest[..slash], inner.len() - rest.len() + 1)?;
            let at = inner.len() - rest.len() + 1 + slash;
            let (unit, length) = escape(&rest[slash..]).map_err(|message| Flaw {
                at,
                length: 1 + rest[slash + 1..].chars().next().map_or(0, char::len_utf8),
                message,
            })?;
            self.unit(unit).map_err(|message| Flaw { at, length, message })?;
            rest = &rest[slash + length..];
        }
        self.plain(rest, inner.len() - rest.len() + 1)
    }

    pub(super) fn finish(self) -> Result<String, &'static str> {
        if self.high.is_some() { Err(HALF_PAIR) } else { Ok(self.text) }
    }

    fn plain(&mut self, text: &str, at: usize) -> Result<(), Flaw> {
        if text.is_empty() {
            return Ok(());
        }
        if self.high.is_some() {
            return Err(Flaw { at, length: 0, message: HALF_PAIR });
        }
        self.text.push_str(text);
        Ok(())
    }

    fn unit(&mut self, unit: u16) -> Result<(), &'static str> {
        let mut units = [0; 2];
        let pair: &[u16] = match self.high.take() {
            Some(high) => {
                units = [high, unit];
                &units
            }
            None if (0xd800..0xdc00).contains(&unit) => {
                self.high = Some(unit);
                return Ok(());
            }
            None => {
                units[0] = unit;
                &units[..1]
            }
        };
        for c in char::decode_utf16(pair.iter().copied()) {
            self.text.push(c.map_err(|_| HALF_PAIR)?);
        }
        Ok(())
    }
}

const HALF_PAIR: &str = "half of a surrogate pair is no character";

/// The UTF-16 code unit of a character token with its quotes.
pub(super) fn character(token: &str) -> Result<u16, &'static str> {
    const ONE: &str = "exactly one character of the basic multilingual plane stands between the quotes";
    let inner = &token[1..token.len() - 1];
    if inner.starts_with('\\') {
        let (unit, length) = escape(inner)?;
        return if length == inner.len() { Ok(unit) } else { Err(ONE) };
    }
    let mut units = inner.encode_utf16();
    match (units.next(), units.next()) {
        (Some(unit), None) => Ok(unit),
        _ => Err(ONE),
    }
}

/// The code unit that an escape stands for, and its length in bytes.
fn escape(text: &str) -> Result<(u16, usize), &'static str> {
    let bytes = text.as_bytes();
    Ok(match bytes.get(1) {
        Some(b'b') => (8, 2),
        Some(b't') => (9, 2),
        Some(b'n') => (10, 2),
        Some(b'f') => (12, 2),
        Some(b'r') => (13, 2),
        Some(b @ (b'"' | b'\'' | b'\\')) => (u16::from(*b), 2),
        Some(b'x' | b'X') => {
            let digits = bytes[2..].iter().take(4).take_while(|b| b.is_ascii_hexdigit()).count();
            match u16::from_str_radix(&text[2..2 + digits], 16) {
                Ok(unit) => (unit, 2 + digits),
                Err(_) => return Err("\\x takes one to four hexadecimal digits"),
            }
        }
        _ => return Err("there is no such escape; a backslash itself is written twice"),
    })
}

/// Why a literal does not fit a type.
#[derive(Debug, PartialEq)]
pub(super) struct Misfit {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// The value of one literal in an intrinsic type other than reference; `None` is NULL. Aliases, instances and arrays are for
/// the caller.
pub(super) fn scalar(literal: Literal<'_>, cim_type: CimType) -> Result<Option<Value>, Misfit> {
    let wrong = |kind: &LiteralKind<'_>| {
        let hint = match (kind, cim_type) {
            (LiteralKind::Integer(_) | LiteralKind::Real(_), CimType::String | CimType::DateTime) => {
                Some("put it in double quotes".to_owned())
            }
            (LiteralKind::String(_), t) if t.is_numeric() || t == CimType::Boolean => {
                Some("leave the quotes out".to_owned())
            }
            _ => None,
        };
        Misfit { message: format!("{} does not fit the type {cim_type}", kind.describe()), hint }
    };
    Ok(Some(match (literal.kind, cim_type) {
        (LiteralKind::Null, _) => return Ok(None),
        (LiteralKind::Boolean(b), CimType::Boolean) => Value::Boolean(b),
        (LiteralKind::String(s), CimType::String) => Value::String(s.into_owned()),
        (LiteralKind::String(s), CimType::DateTime) => match s.parse::<DateTime>() {
            Ok(d) => Value::DateTime(d),
            Err(e) => {
                return Err(Misfit {
                    message: format!("{} is no datetime", quote(&s)),
                    hint: Some(e.reason.to_owned()),
                });
            }
        },
        (LiteralKind::Char(c), CimType::Char16) => Value::Char16(c),
        (LiteralKind::Integer(n), CimType::Char16) => match u16::try_from(n) {
            Ok(unit) => Value::Char16(unit),
            Err(_) => return Err(out_of_range(&n.to_string(), cim_type)),
        },
        (LiteralKind::Integer(n), t) if t.is_integer() => {
            integer_value(n, t).ok_or_else(|| out_of_range(&n.to_string(), t))?
        }
        (LiteralKind::Integer(n), CimType::Real32) => Value::Real32(n as f32),
        (LiteralKind::Integer(n), CimType::Real64) => Value::Real64(n as f64),
        (LiteralKind::Real(text), CimType::Real32) => match text.parse::<f32>() {
            Ok(x) if x.is_finite() => Value::Real32(x),
            _ => return Err(out_of_range(text, cim_type)),
        },
        (LiteralKind::Real(text), CimType::Real64) => match text.parse::<f64>() {
            Ok(x) if x.is_finite() => Value::Real64(x),
            _ => return Err(out_of_range(text, cim_type)),
        },
        (kind, _) => return Err(wrong(&kind)),
    }))
}

fn out_of_range(number: &str, cim_type: CimType) -> Misfit {
    let range = match cim_type {
        CimType::Uint8 => "0 to 255",
        CimType::Sint8 => "-128 to 127",
        CimType::Uint16 | CimType::Char16 => "0 to 65535",
        CimType::Sint16 => "-32768 to 32767",
        CimType::Uint32 => "0 to 4294967295",
        CimType::Sint32 => "-2147483648 to 2147483647",
        CimType::Uint64 => "0 to 18446744073709551615",
        CimType::Sint64 => "-9223372036854775808 to 9223372036854775807",
        CimType::Real32 => "up to about 3.4e38 on either side of zero",
        _ => "up to about 1.8e308 on either side of zero",
    };
    Misfit {
        message: format!("{} is out of the range of {cim_type}", quote(number)),
        hint: Some(format!("{cim_type} goes from {range}").replace("from up", "up")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mof::ast::Span;

    #[test]
    fn the_base_of_a_number_is_told_in_the_order_of_the_standard() {
        let integer = |text| match number(text) {
            Ok(LiteralKind::Integer(n)) => Some(n),
            _ => None,
        };
        for (text, n) in [
            ("0", 0),
            ("+7", 7),
            ("-128", -128),
            ("0x1F", 31),
            ("-0XfF", -255),
            ("0x1b", 27),
            ("101b", 5),
            ("0b", 0),
            ("-1B", -1),
            ("0101b", 5),
            ("0755", 493),
            ("00", 0),
            ("18446744073709551615", i128::from(u64::MAX)),
            ("-9223372036854775808", i128::from(i64::MIN)),
        ] {
            assert_eq!(integer(text), Some(n), "{text}");
        }
        for text in [
            "08",
            "2b",
            "b0",
            "0x",
            "1e5",
            "12a",
            "0xG",
            "1_000",
            "99999999999999999999999999999999999999999",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
        for text in [".5", "-0.5", "+1.5E-3", "0.0", "00.5"] {
            assert_eq!(number(text), Ok(LiteralKind::Real(text)));
        }
        for text in ["5.", "1.e5", "1.5e", "1.2.3", ".", "0x1.5", "1.5b"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    fn unescape(parts: &[&str]) -> Result<String, Flaw> {
        let mut all = Unescaper::default();
        for part in parts {
            all.add(part)?;
        }
        all.finish().map_err(|message| Flaw { at: 0, length: 0, message })
    }

    #[test]
    fn escapes_are_resolved_and_x_is_greedy() {
        assert_eq!(unescape(&[r#""\b\t\n\f\r\"\'\\""#]).unwrap(), "\u{8}\t\n\u{c}\r\"'\\");
        assert_eq!(unescape(&[r#""\x41\X00e9\xABCDE""#]).unwrap(), "A\u{e9}\u{abcd}E");
        assert_eq!(unescape(&[r#""\xA""#, r#""Bc""#]).unwrap(), "\nBc");
        assert_eq!(unescape(&[r#""\xD83D\xDE00""#]).unwrap(), "😀");
        assert_eq!(unescape(&[r#""\xD83D""#, r#""\xDE00""#]).unwrap(), "😀");
        for wrong in [r#""\xD83Dx""#, r#""\xDE00""#, r#""\xD83D""#, r#""\xD83D\x41""#, r#""\q""#, r#""\x""#] {
            assert!(unescape(&[wrong]).is_err(), "{wrong}");
        }
        let flaw = unescape(&[r#""ab\qc""#]).unwrap_err();
        assert_eq!((flaw.at, flaw.length), (3, 2));
    }

    #[test]
    fn characters_are_one_code_unit() {
        assert_eq!(character("'x'"), Ok(120));
        assert_eq!(character("'\\''"), Ok(39));
        assert_eq!(character("'\\xD800'"), Ok(0xd800));
        assert_eq!(character("'é'"), Ok(0xe9));
        for wrong in ["''", "'ab'", "'😀'", "'\\nx'"] {
            assert!(character(wrong).is_err(), "{wrong}");
        }
    }

    fn fit(kind: LiteralKind<'_>, cim_type: CimType) -> Result<Option<Value>, Misfit> {
        scalar(Literal { span: Span::default(), kind }, cim_type)
    }

    #[test]
    fn literals_fit_their_types_only() {
        use LiteralKind::{Boolean, Integer, Null, Real, String};
        assert_eq!(fit(Null, CimType::Uint8), Ok(None));
        assert_eq!(fit(Integer(u64::MAX.into()), CimType::Uint64), Ok(Some(Value::Uint64(u64::MAX))));
        assert_eq!(fit(Integer(i64::MIN.into()), CimType::Sint64), Ok(Some(Value::Sint64(i64::MIN))));
        let misfit = fit(Integer(1 << 63), CimType::Sint64).unwrap_err();
        assert!(misfit.message.contains("9223372036854775808"), "{misfit:?}");
        assert_eq!(fit(Real("0.1"), CimType::Real32), Ok(Some(Value::Real32(0.1))));
        assert!(
            fit(Real("1.0e39"), CimType::Real32).unwrap_err().hint.unwrap().starts_with("real32 goes up")
        );
        assert!(fit(Boolean(true), CimType::Uint8).is_err());
        assert_eq!(
            fit(Integer(1), CimType::String).unwrap_err().hint.as_deref(),
            Some("put it in double quotes")
        );
        let five = fit(String("00000000000500.000000:000".into()), CimType::DateTime).unwrap();
        assert!(matches!(five, Some(Value::DateTime(d)) if d.is_interval()));
        assert!(fit(String("tomorrow".into()), CimType::DateTime).is_err());
    }
}
