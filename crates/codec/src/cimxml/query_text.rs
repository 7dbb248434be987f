//! The WQL text of a parsed query, for sending it to a server.

use super::text::{push_real32, push_real64};
use cimwright_cim::query::{Comparison, Condition, Pattern, PatternPart, PropertyPath, Query};
use cimwright_cim::{Name, Value};
use std::fmt::Write;

/// The language of what [`query_text`] writes: the one that [`crate::query`] reads.
pub(super) const LANGUAGE: &str = "WQL";

/// The text of a query.
pub(crate) fn query_text(query: &Query) -> String {
    let mut out = String::from("SELECT ");
    match &query.select {
        None => out.push('*'),
        Some(properties) => separated(&mut out, properties, ", ", push_property),
    }
    out.push_str(" FROM ");
    out.push_str(query.from.as_str());
    if let Some(condition) = &query.condition {
        out.push_str(" WHERE ");
        push_condition(&mut out, condition);
    }
    out
}

fn push_condition(out: &mut String, condition: &Condition) {
    match condition {
        Condition::And(all) => separated(out, all, " AND ", push_operand),
        Condition::Or(any) => separated(out, any, " OR ", push_operand),
        Condition::Not(inner) => match &**inner {
            Condition::IsNull(property) => {
                push_property(out, property);
                out.push_str(" IS NOT NULL");
            }
            inner => {
                out.push_str("NOT ");
                push_operand(out, inner);
            }
        },
        Condition::Compare { property, operator, constant } => {
            push_property(out, property);
            out.push_str(match operator {
                Comparison::Equal => " = ",
                Comparison::NotEqual => " <> ",
                Comparison::Less => " < ",
                Comparison::LessOrEqual => " <= ",
                Comparison::Greater => " > ",
                Comparison::GreaterOrEqual => " >= ",
            });
            push_constant(out, constant);
        }
        Condition::IsNull(property) => {
            push_property(out, property);
            out.push_str(" IS NULL");
        }
        Condition::Like { property, pattern } => {
            push_property(out, property);
            out.push_str(" LIKE ");
            push_quoted(out, &pattern_text(pattern));
        }
        Condition::IsA { property, class } => {
            if property.0.is_empty() {
                out.push_str("__this");
            } else {
                push_property(out, property);
            }
            out.push_str(" ISA ");
            out.push_str(class.as_str());
        }
    }
}

/// A condition inside another one: in parentheses unless it is a single test, so that no precedence is needed.
fn push_operand(out: &mut String, condition: &Condition) {
    let compound = matches!(condition, Condition::And(_) | Condition::Or(_) | Condition::Not(_));
    if compound {
        out.push('(');
    }
    push_condition(out, condition);
    if compound {
        out.push(')');
    }
}

fn separated<T>(out: &mut String, items: &[T], separator: &str, mut push: impl FnMut(&mut String, &T)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(separator);
        }
        push(out, item);
    }
}

fn push_property(out: &mut String, path: &PropertyPath) {
    separated(out, &path.0, ".", |out, name: &Name| out.push_str(name.as_str()));
}

fn push_constant(out: &mut String, constant: &Value) {
    match constant {
        Value::String(text) => push_quoted(out, text),
        Value::DateTime(time) => push_quoted(out, &time.to_string()),
        Value::Boolean(value) => out.push_str(if *value { "TRUE" } else { "FALSE" }),
        Value::Real32(x) => push_real32(out, *x),
        Value::Real64(x) => push_real64(out, *x),
        Value::Char16(unit) => {
            push_quoted(out, &char::from_u32(u32::from(*unit)).unwrap_or('\u{fffd}').to_string());
        }
        Value::Reference(path) => push_quoted(out, &crate::uri::to_text(path)),
        other => match other.as_i128() {
            // Writing to a string cannot fail.
            Some(n) => {
                let _ = write!(out, "{n}");
            }
            // No query language compares with arrays or objects.
            None => out.push_str("NULL"),
        },
    }
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('\'');
}

/// A pattern, special characters as sets of one.
fn pattern_text(pattern: &Pattern) -> String {
    let mut out = String::new();
    for part in &pattern.0 {
        match part {
            PatternPart::Literal(c @ ('%' | '_' | '[')) => out.extend(['[', *c, ']']),
            PatternPart::Literal(c) => out.push(*c),
            PatternPart::One => out.push('_'),
            PatternPart::Any => out.push('%'),
            PatternPart::Set { negated, ranges } => push_set(&mut out, *negated, ranges),
        }
    }
    out
}

fn push_set(out: &mut String, negated: bool, ranges: &[(char, char)]) {
    out.push_str(if negated { "[^" } else { "[" });
    for (from, to) in ranges {
        out.push(*from);
        if from != to {
            out.extend(['-', *to]);
        }
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;

    #[test]
    fn queries_read_back() {
        for text in [
            "SELECT * FROM Msvm_ConcreteJob",
            "SELECT Name, A.B FROM Job WHERE (JobState < 7 OR Name <> 'it\\'s \\\\') AND (N IS NOT NULL)",
            "SELECT * FROM Job WHERE Name LIKE '[%]%_[^a-cx][]-]' AND __this ISA X AND TargetInstance ISA Y",
            "SELECT * FROM Job WHERE NOT (a = 1 OR b >= -2.5 OR c > 1.0E+30) AND d = TRUE AND e IS NULL",
            "SELECT * FROM Job WHERE (NOT (NOT (a = 18446744073709551615))) OR (a = 1 AND (b = 2 AND c <= 3))",
        ] {
            let query = parse(LANGUAGE, text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let written = query_text(&query);
            assert_eq!(parse(LANGUAGE, &written), Ok(query), "{written}");
            assert_eq!(query_text(&parse(LANGUAGE, &written).unwrap()), written);
        }
    }

    #[test]
    fn the_text_is_plain_wql() {
        let query = parse("WQL", "select * from X where not a is null and (b=\"c'd\" or 5 > e)").unwrap();
        assert_eq!(query_text(&query), r"SELECT * FROM X WHERE (a IS NOT NULL) AND (b = 'c\'d' OR e < 5)");
    }
}
