//! LIKE patterns. WQL: `%` any run, `_` one character, `[a-f]`, `[abc]` and `[^…]` one of a set. DMTF:CQL: `.` one character,
//! the same sets, `*` none or more of what stands before it, `\\` before a sign that means itself.

use super::MAX_PATTERN;
use cimwright_cim::query::{Pattern, PatternPart};

const TOO_LONG: &str = "the pattern is longer than 1024 bytes";

/// Reads a pattern.
///
/// A character that means something else in a pattern is written as a set of one: `[%]`, `[_]`, `[[]`. A closing bracket right
/// after the opening one stands for itself, and so does a hyphen at either end of a set.
pub(super) fn parse(text: &str) -> Result<Pattern, &'static str> {
    if text.len() > MAX_PATTERN {
        return Err(TOO_LONG);
    }
    let mut parts = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        parts.push(match c {
            '%' => PatternPart::Any,
            '_' => PatternPart::One,
            '[' => set(&mut rest)?,
            c => PatternPart::Literal(c),
        });
    }
    Ok(Pattern(parts))
}

/// Reads a pattern of DMTF:CQL.
pub(super) fn parse_expression(text: &str) -> Result<Pattern, &'static str> {
    if text.len() > MAX_PATTERN {
        return Err(TOO_LONG);
    }
    let mut parts = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let part = match c {
            '.' => PatternPart::One,
            '[' => set(&mut rest)?,
            '*' => match parts.pop() {
                None => return Err("the pattern begins with *, which repeats what stands before it"),
                // Repeated twice is repeated.
                Some(PatternPart::One | PatternPart::Any) => PatternPart::Any,
                Some(PatternPart::Repeat(inner)) => PatternPart::Repeat(inner),
                Some(part) => PatternPart::Repeat(Box::new(part)),
            },
            '\\' => match rest.next() {
                Some(c) => PatternPart::Literal(c),
                None => return Err("the pattern ends with a backslash; itself it is written twice"),
            },
            c => PatternPart::Literal(c),
        };
        parts.push(part);
    }
    Ok(Pattern(parts))
}

/// The rest of a set whose opening bracket has been taken.
fn set(rest: &mut std::str::Chars<'_>) -> Result<PatternPart, &'static str> {
    const OPEN: &str = "a set in the pattern lacks its closing bracket; the bracket itself is written [[]";
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        let first = match rest.next() {
            None => return Err(OPEN),
            Some(']') if !ranges.is_empty() => break,
            Some(c) => c,
        };
        let mut ahead = rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                if last < first {
                    return Err("a range in the pattern goes backwards");
                }
                ranges.push((first, last));
                *rest = ahead;
            }
            _ => ranges.push((first, first)),
        }
    }
    // A set of one is how a special character is written plainly.
    match ranges[..] {
        [(a, b)] if a == b && !negated => Ok(PatternPart::Literal(a)),
        _ => Ok(PatternPart::Set { negated, ranges }),
    }
}
