//! What the languages have in common.

use cimwright_cim::Value;
use cimwright_cim::query::{Condition, PropertyPath};

/// One part as it is, several under AND or OR.
pub(super) fn one_or(mut parts: Vec<Condition>, several: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.len() {
        1 => parts.remove(0),
        _ => several(parts),
    }
}

/// The test for NULL, or its opposite.
pub(super) fn is_null(property: PropertyPath, negated: bool) -> Condition {
    let test = Condition::IsNull(property);
    if negated { Condition::Not(Box::new(test)) } else { test }
}

/// An integer or a real. Integers keep their sign; those above the range of sint64 are uint64.
pub(super) fn number(text: &str) -> Result<Value, &'static str> {
    let digits = text.trim_start_matches(['+', '-']);
    if digits.bytes().all(|b| b.is_ascii_digit()) && text.len() - digits.len() <= 1 {
        return match text.parse::<i64>() {
            Ok(n) => Ok(Value::Sint64(n)),
            Err(_) => text.parse::<u64>().map(Value::Uint64).map_err(|_| "the number does not fit 64 bits"),
        };
    }
    let real = text.len() - digits.len() <= 1
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>() {
        Ok(x) if real && x.is_finite() => Ok(Value::Real64(x)),
        Ok(_) if real => Err("the number is too large"),
        _ => Err("this is not a number"),
    }
}
