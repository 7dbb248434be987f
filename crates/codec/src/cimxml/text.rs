//! Text that goes into a message: escaping and the spelling of numbers (DSP0201 5.2, XML 1.0 2.2 and 2.4).
//!
//! Messages are written by appending to one string instead of through quick-xml's writer: the elements are fixed, so every
//! tag is a literal, and what is left to do per value is one scan for bytes that need escaping. That keeps the cost of a
//! long enumeration near that of copying it.

use std::fmt::Write;

/// What a byte needs: nothing, an escape in attributes only, an escape everywhere, or a closer look.
const PLAIN: u8 = 0;
const IN_ATTRIBUTES: u8 = 1;
const ALWAYS: u8 = 2;

/// Class of each byte. 0xEF begins U+FFFE and U+FFFF, which XML does not have.
const CLASSES: [u8; 256] = {
    let mut classes = [PLAIN; 256];
    let mut at = 0;
    while at < 0x20 {
        classes[at] = ALWAYS;
        at += 1;
    }
    classes[b'\t' as usize] = IN_ATTRIBUTES;
    classes[b'\n' as usize] = IN_ATTRIBUTES;
    classes[b'"' as usize] = IN_ATTRIBUTES;
    classes[b'&' as usize] = ALWAYS;
    classes[b'<' as usize] = ALWAYS;
    classes[b'>' as usize] = ALWAYS;
    classes[0xef] = ALWAYS;
    classes
};

/// Appends `text` as the content of an element. Characters that XML cannot hold become U+FFFD: the message is worth more
/// than one control character in it.
pub(crate) fn push_text(out: &mut String, text: &str) {
    push_escaped(out, text, ALWAYS);
}

/// Appends `text` as the value of an attribute in double quotes. Tabs and line feeds are escaped too, since a reader turns
/// bare ones into spaces.
pub(crate) fn push_attribute(out: &mut String, text: &str) {
    push_escaped(out, text, IN_ATTRIBUTES);
}

fn push_escaped(out: &mut String, text: &str, from_class: u8) {
    let bytes = text.as_bytes();
    let mut done = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if CLASSES[byte as usize] < from_class {
            at += 1;
            continue;
        }
        let (replacement, length) = match byte {
            b'&' => ("&amp;", 1),
            b'<' => ("&lt;", 1),
            b'>' => ("&gt;", 1),
            b'"' => ("&quot;", 1),
            b'\t' => ("&#9;", 1),
            b'\n' => ("&#10;", 1),
            // A bare one would be read as a line feed.
            b'\r' => ("&#13;", 1),
            0xef if !matches!(bytes.get(at + 1..at + 3), Some([0xbf, 0xbe | 0xbf])) => {
                at += 3;
                continue;
            }
            0xef => ("\u{fffd}", 3),
            _ => ("\u{fffd}", 1),
        };
        out.push_str(&text[done..at]);
        out.push_str(replacement);
        at += length;
        done = at;
    }
    out.push_str(&text[done..]);
}

/// Appends a whole number.
pub(crate) fn push_unsigned(out: &mut String, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    // Digits are ASCII; there is no other case.
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

/// Appends a whole number with its sign if it is negative.
pub(crate) fn push_signed(out: &mut String, number: i64) {
    if number < 0 {
        out.push('-');
    }
    push_unsigned(out, number.unsigned_abs());
}

/// Appends a real32.
pub(crate) fn push_real32(out: &mut String, number: f32) {
    push_real(out, number.is_nan(), number.is_infinite(), number < 0.0, &number, number.abs().into());
}

/// Appends a real64.
pub(crate) fn push_real64(out: &mut String, number: f64) {
    push_real(out, number.is_nan(), number.is_infinite(), number < 0.0, &number, number.abs());
}

/// The shortest spelling that reads back as the same number, with a point and a digit after it as DSP0201 wants.
fn push_real<T: std::fmt::Debug + std::fmt::UpperExp>(
    out: &mut String,
    nan: bool,
    infinite: bool,
    negative: bool,
    number: &T,
    magnitude: f64,
) {
    if nan || infinite {
        out.push_str(if nan {
            "NaN"
        } else if negative {
            "-INF"
        } else {
            "INF"
        });
        return;
    }
    // Writing to a string cannot fail.
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        let from = out.len();
        let _ = write!(out, "{number:?}");
        if !out[from..].contains('.') {
            out.push_str(".0");
        }
        return;
    }
    let scientific = format!("{number:E}");
    let (mantissa, exponent) = scientific.split_once('E').unwrap_or((&scientific, "0"));
    out.push_str(mantissa);
    if !mantissa.contains('.') {
        out.push_str(".0");
    }
    out.push('E');
    if !exponent.starts_with('-') {
        out.push('+');
    }
    out.push_str(exponent);
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::coerce::parse_real;
    use proptest::prelude::*;

    fn escaped(text: &str) -> (String, String) {
        let (mut a, mut b) = (String::new(), String::new());
        push_text(&mut a, text);
        push_attribute(&mut b, text);
        (a, b)
    }

    #[test]
    fn what_must_be_escaped_is() {
        let (text, attribute) = escaped("a<b>&\"'\t\n\r\u{1}\u{fffe}\u{ffff}\u{fffd}\u{fb01}é😀");
        assert_eq!(text, "a&lt;b&gt;&amp;\"'\t\n&#13;\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fb01}é😀");
        assert_eq!(
            attribute,
            "a&lt;b&gt;&amp;&quot;'&#9;&#10;&#13;\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fb01}é😀"
        );
        assert_eq!(escaped("").0, "");
    }

    fn real64(x: f64) -> String {
        let mut out = String::new();
        push_real64(&mut out, x);
        out
    }

    #[test]
    fn reals_have_a_point_and_special_names() {
        for (x, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.5, "1.5"),
            (100.0, "100.0"),
            (1e30, "1.0E+30"),
            (-2.5e-9, "-2.5E-9"),
            (f64::MAX, "1.7976931348623157E+308"),
            (f64::INFINITY, "INF"),
            (f64::NEG_INFINITY, "-INF"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(real64(x), text);
        }
        let mut out = String::new();
        push_real32(&mut out, 1e7);
        push_real32(&mut out, 3.4e38);
        assert_eq!(out, "10000000.03.4E+38");
    }

    proptest! {
        #[test]
        fn reals_read_back(x in any::<f64>(), y in any::<f32>()) {
            let text = real64(x);
            prop_assert!(text.contains('.') || x.is_nan() || x.is_infinite());
            let back = parse_real(&text).unwrap();
            prop_assert!(back == x || (back.is_nan() && x.is_nan()));
            let mut text = String::new();
            push_real32(&mut text, y);
            let back = parse_real(&text).unwrap() as f32;
            prop_assert!(back == y || (back.is_nan() && y.is_nan()));
        }

        #[test]
        fn integers_read_back(n in any::<u64>(), m in any::<i64>()) {
            let (mut a, mut b) = (String::new(), String::new());
            push_unsigned(&mut a, n);
            push_signed(&mut b, m);
            prop_assert_eq!(a, n.to_string());
            prop_assert_eq!(b, m.to_string());
        }
    }
}
