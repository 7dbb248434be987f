//! The text of a parsed query, for sending it to a server: WQL, or DMTF:CQL where the query was written in it.

use super::text::{push_real32, push_real64};
use cimwright_cim::Value;
use cimwright_cim::query::{Comparison, Condition, Index, Pattern, PatternPart, PropertyPath, Query, Step};
use std::fmt::Write;

/// The language of what [`query_text`] writes. The two tell apart in how they compare strings.
pub(crate) fn language(query: &Query) -> &'static str {
    if query.fold_case { "WQL" } else { "DMTF:CQL" }
}

/// The text of a query, in its [`language`].
pub(crate) fn query_text(query: &Query) -> String {
    let mut printer = Printer { out: String::from("SELECT "), query, cql: !query.fold_case };
    match &query.select {
        None => printer.out.push('*'),
        Some(properties) => printer.separated(properties, ", ", Printer::property),
    }
    printer.out.push_str(" FROM ");
    printer.out.push_str(query.from.as_str());
    if let Some(condition) = &query.condition {
        printer.out.push_str(" WHERE ");
        printer.condition(condition);
    }
    printer.out
}

struct Printer<'q> {
    out: String,
    query: &'q Query,
    /// DMTF:CQL, not WQL.
    cql: bool,
}

impl Printer<'_> {
    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::And(all) => self.separated(all, " AND ", |printer, part| {
                printer.operand(part, matches!(part, Condition::And(_) | Condition::Or(_)));
            }),
            Condition::Or(any) => self.separated(any, " OR ", |printer, part| {
                printer.operand(part, matches!(part, Condition::Or(_)));
            }),
            Condition::Not(inner) => match &**inner {
                Condition::IsNull(property) => {
                    self.tested(&property.clone().opposed(true));
                    self.out.push_str(" IS NOT NULL");
                }
                Condition::Like { property, pattern } => {
                    self.tested(&property.clone().opposed(true));
                    self.out.push_str(" NOT LIKE ");
                    self.pattern(pattern);
                }
                inner => {
                    self.out.push_str("NOT ");
                    self.operand(inner, matches!(inner, Condition::And(_) | Condition::Or(_)));
                }
            },
            Condition::Compare { property, operator, constant } => {
                self.tested(property);
                self.out.push_str(sign(*operator));
                self.constant(constant);
            }
            Condition::CompareProperties { left, operator, right } => {
                self.tested(left);
                self.out.push_str(sign(*operator));
                self.property(right);
            }
            Condition::CompareSymbol { property, operator, symbol } => {
                self.tested(property);
                self.out.push_str(sign(*operator));
                self.out.push('#');
                push_quoted(&mut self.out, symbol);
            }
            Condition::IsNull(property) => {
                self.tested(property);
                self.out.push_str(" IS NULL");
            }
            Condition::Like { property, pattern } => {
                self.tested(property);
                self.out.push_str(" LIKE ");
                self.pattern(pattern);
            }
            Condition::IsA { property, class } => {
                match property.0.is_empty() {
                    true if self.cql => self.out.push_str(self.query.from.as_str()),
                    true => self.out.push_str("__this"),
                    false => self.tested(property),
                }
                self.out.push_str(" ISA ");
                self.out.push_str(class.as_str());
            }
        }
    }

    fn pattern(&mut self, pattern: &Pattern) {
        let text = if self.cql { expression_text(pattern) } else { pattern_text(pattern) };
        push_quoted(&mut self.out, &text);
    }

    /// A condition inside another one. In parentheses only where they are needed: how deep they may be nested has a limit, and what
    /// was read must not become deeper.
    fn operand(&mut self, condition: &Condition, parentheses: bool) {
        if parentheses {
            self.out.push('(');
        }
        self.condition(condition);
        if parentheses {
            self.out.push(')');
        }
    }

    fn separated<T>(&mut self, items: &[T], separator: &str, mut push: impl FnMut(&mut Self, &T)) {
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.out.push_str(separator);
            }
            push(self, item);
        }
    }

    /// The property on the left of a test, after the word that says how many of its elements must pass.
    fn tested(&mut self, path: &PropertyPath) {
        match quantifier(path) {
            Some(Index::Every) => self.out.push_str("EVERY "),
            Some(_) => self.out.push_str("ANY "),
            None => {}
        }
        self.property(path);
    }

    fn property(&mut self, path: &PropertyPath) {
        // The name of the class stands for the object itself: a property of that name has to be said to be one.
        if self.cql
            && let Some(Step { scope: None, name, index: None }) = path.0.first()
            && *name == self.query.from
        {
            self.out.push_str(self.query.from.as_str());
            self.out.push('.');
        }
        self.separated(&path.0, ".", |printer, step: &Step| {
            if let Some(scope) = &step.scope {
                printer.out.push_str(scope.as_str());
                printer.out.push_str("::");
            }
            printer.out.push_str(step.name.as_str());
            match step.index {
                None => {}
                // Writing to a string cannot fail.
                Some(Index::At(at)) => {
                    let _ = write!(printer.out, "[{at}]");
                }
                Some(Index::Any | Index::Every) => printer.out.push_str("[*]"),
            }
        });
    }

    fn constant(&mut self, constant: &Value) {
        let out = &mut self.out;
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
                Some(n) => {
                    let _ = write!(out, "{n}");
                }
                // No query language compares with arrays or objects.
                None => out.push_str("NULL"),
            },
        }
    }
}

fn quantifier(path: &PropertyPath) -> Option<Index> {
    path.0.last()?.index.filter(|index| index.is_quantified())
}

fn sign(operator: Comparison) -> &'static str {
    match operator {
        Comparison::Equal => " = ",
        Comparison::NotEqual => " <> ",
        Comparison::Less => " < ",
        Comparison::LessOrEqual => " <= ",
        Comparison::Greater => " > ",
        Comparison::GreaterOrEqual => " >= ",
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

/// A pattern of WQL, special characters as sets of one.
fn pattern_text(pattern: &Pattern) -> String {
    let mut out = String::new();
    for part in &pattern.0 {
        match part {
            PatternPart::Literal(c @ ('%' | '_' | '[')) => out.extend(['[', *c, ']']),
            PatternPart::Literal(c) => out.push(*c),
            PatternPart::One => out.push('_'),
            // WQL repeats nothing but any character.
            PatternPart::Any | PatternPart::Repeat(_) => out.push('%'),
            PatternPart::Set { negated, ranges } => push_set(&mut out, *negated, ranges),
        }
    }
    out
}

/// A pattern of DMTF:CQL, a backslash before special characters.
fn expression_text(pattern: &Pattern) -> String {
    fn push(out: &mut String, part: &PatternPart) {
        match part {
            PatternPart::Literal(c) => {
                if matches!(c, '.' | '*' | '[' | '\\') {
                    out.push('\\');
                }
                out.push(*c);
            }
            PatternPart::One => out.push('.'),
            PatternPart::Any => out.push_str(".*"),
            PatternPart::Repeat(inner) => {
                push(out, inner);
                out.push('*');
            }
            PatternPart::Set { negated, ranges } => push_set(out, *negated, ranges),
        }
    }
    let mut out = String::new();
    pattern.0.iter().for_each(|part| push(&mut out, part));
    out
}

fn push_set(out: &mut String, negated: bool, ranges: &[(char, char)]) {
    out.push_str(if negated { "[^" } else { "[" });
    for (at, (from, to)) in ranges.iter().enumerate() {
        out.push(*from);
        // One character before a hyphen that means itself would begin a range, unless the hyphen is the last; as a range of its
        // own it does not.
        let rest = &ranges[at + 1..];
        let before_hyphen = rest.first().is_some_and(|next| next.0 == '-') && *rest != [('-', '-')];
        if from != to || before_hyphen {
            out.extend(['-', *to]);
        }
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;

    #[track_caller]
    fn reads_back(language: &str, text: &str) {
        let query = parse(language, text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(super::language(&query), language);
        let written = query_text(&query);
        assert_eq!(parse(language, &written), Ok(query), "{written}");
        assert_eq!(query_text(&parse(language, &written).unwrap()), written);
    }

    /// How deep conditions may be nested has a limit when they are read, so what is written must not be deeper.
    #[test]
    fn what_was_nested_as_deep_as_may_be_reads_back() {
        let inside = |open: &str, close: &str, inner: &str, depth: usize| {
            format!("SELECT * FROM X WHERE {}{inner}{}", open.repeat(depth), close.repeat(depth))
        };
        for language in ["WQL", "DMTF:CQL"] {
            for inner in [
                "a = 1",
                "b = 1 AND a IS NOT NULL",
                "b = 1 OR a NOT LIKE 'x'",
                "NULL_ = 2 OR c = 3 AND d = 4",
            ] {
                for (open, close) in [
                    ("NOT ", ""),
                    ("(", ")"),
                    ("NOT (", ")"),
                    ("(", ") AND c = 1"),
                    ("d = 1 OR c = 1 AND (", ")"),
                ] {
                    let readable =
                        |depth: &usize| parse(language, &inside(open, close, inner, *depth)).is_ok();
                    let deepest = (0..100).rev().find(readable).expect("some depth");
                    assert!(deepest >= 20, "{open} {deepest}");
                    for depth in 0..=deepest {
                        reads_back(language, &inside(open, close, inner, depth));
                    }
                }
            }
        }
    }

    /// Every short set there is of the characters that mean something in one.
    #[test]
    fn sets_read_back() {
        const SIGNS: [char; 6] = ['a', 'b', '-', ']', '[', '^'];
        let mut read = 0;
        for number in 0..6usize.pow(7) {
            let mut rest = number;
            let inside: String = std::iter::from_fn(|| {
                let sign = SIGNS[rest % 6];
                rest /= 6;
                Some(sign)
            })
            .take(7)
            .collect();
            let text = format!("SELECT * FROM Job WHERE Name LIKE '[{inside}]'");
            let Ok(query) = parse("WQL", &text) else { continue };
            let written = query_text(&query);
            assert_eq!(parse("WQL", &written), Ok(query), "{text}: {written}");
            read += 1;
        }
        assert!(read > 10_000, "{read} were read");
    }

    #[test]
    fn queries_read_back() {
        for text in [
            "SELECT * FROM Msvm_ConcreteJob",
            "SELECT Name, A.B FROM Job WHERE (JobState < 7 OR Name <> 'it\\'s \\\\') AND (N IS NOT NULL)",
            "SELECT * FROM Job WHERE Name LIKE '[%]%_[^a-cx][]-]' AND __this ISA X AND TargetInstance ISA Y",
            "SELECT * FROM Job WHERE 5 = a.NOT AND b NOT LIKE 'x_' OR NOT NOT NOT c IS NULL",
            "SELECT * FROM Job WHERE NOT (a = 1 OR b >= -2.5 OR c > 1.0E+30) AND d = TRUE AND e IS NULL",
            "SELECT * FROM Job WHERE (NOT (NOT (a = 18446744073709551615))) OR (a = 1 AND (b = 2 AND c <= 3))",
        ] {
            reads_back("WQL", text);
        }
        for text in [
            "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ConcreteJob AND \
             SourceInstance.CIM_ConcreteJob::JobState <> PreviousInstance.CIM_ConcreteJob::JobState",
            "SELECT j.Name, Source.* FROM Job AS j WHERE ANY Status[*] = 17 AND NOT (EVERY A.B[*] IS NULL) AND j ISA X",
            "SELECT j.A, j.A.*, A.A FROM A j WHERE j.A = 1 AND A.A.B = A.A AND A.A.A ISA A AND 5 = A.A",
            "SELECT A.* FROM A WHERE A ISA B AND ANY A.A[*] IS NOT NULL AND EVERY b[*] NOT LIKE 'x' AND NOT ANY c[*] IS NULL",
            "SELECT * FROM Job WHERE S = #'It''s' AND N LIKE 'a*\\\\.[b-d]*.*x' AND A[3] > 0x1F AND B IS NOT NULL",
        ] {
            reads_back("DMTF:CQL", text);
        }
    }

    #[test]
    fn the_text_is_plain_wql() {
        let query = parse("WQL", "select * from X where not a is null and (b=\"c'd\" or 5 > e)").unwrap();
        assert_eq!(query_text(&query), r"SELECT * FROM X WHERE a IS NOT NULL AND (b = 'c\'d' OR e < 5)");
    }
}
