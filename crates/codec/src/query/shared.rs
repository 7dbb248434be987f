//! What the languages have in common: the place in a query, and how tests are joined to conditions.

use super::scan::{Kind, Scanner, Token};
use super::{MAX_DEPTH, MAX_SELECTED, MAX_TESTS};
use crate::uri::is_identifier;
use cimwright_cim::query::{Condition, Pattern, PropertyPath};
use cimwright_cim::{CimError, CimStatus, Value};

pub(super) type Parsed<T> = Result<T, CimError>;

/// Where in a query its parser is, and errors about what stands there.
pub(super) struct Cursor<'a> {
    pub(super) scanner: Scanner<'a>,
    pub(super) token: Token<'a>,
    /// How many tests there were.
    tests: usize,
}

impl<'a> Cursor<'a> {
    /// At the first token.
    pub(super) fn new(mut scanner: Scanner<'a>) -> Parsed<Self> {
        let token = scanner.next()?;
        Ok(Self { scanner, token, tests: 0 })
    }

    pub(super) fn bump(&mut self) -> Parsed<()> {
        self.token = self.scanner.next()?;
        Ok(())
    }

    pub(super) fn keyword(&mut self, keyword: &str) -> Parsed<()> {
        if self.token.is(keyword) { self.bump() } else { Err(self.expected(keyword)) }
    }

    pub(super) fn expected(&self, what: &str) -> CimError {
        self.wrong(&format!("expected {what}"))
    }

    pub(super) fn wrong(&self, problem: &str) -> CimError {
        self.wrong_at(&self.token, problem)
    }

    pub(super) fn wrong_at(&self, token: &Token<'_>, problem: &str) -> CimError {
        self.scanner.invalid(token.start, token.end, problem)
    }

    pub(super) fn unsupported(&self, problem: &str) -> CimError {
        let Token { start, end, .. } = self.token;
        self.scanner.error(CimStatus::QueryFeatureNotSupported, start, end, problem)
    }

    /// The keyword if it is here, and is taken.
    fn takes(&mut self, keyword: &str) -> Parsed<bool> {
        let here = self.token.is(keyword);
        if here {
            self.bump()?;
        }
        Ok(here)
    }

    /// `IS NULL` and `IS NOT NULL` behind a property: whether there is a NOT. `None` if there is no such test.
    pub(super) fn null_test(&mut self) -> Parsed<Option<bool>> {
        if !self.takes("IS")? {
            return Ok(None);
        }
        let negated = self.takes("NOT")?;
        self.keyword("NULL")?;
        Ok(Some(negated))
    }

    /// `LIKE` and `NOT LIKE` behind a property: the pattern, and whether there is a NOT. `None` if there is no such test.
    pub(super) fn like_test(
        &mut self,
        parse: fn(&str) -> Result<Pattern, &'static str>,
    ) -> Parsed<Option<(Pattern, bool)>> {
        let negated = self.takes("NOT")?;
        if !self.takes("LIKE")? {
            return if negated { Err(self.expected("LIKE")) } else { Ok(None) };
        }
        let Kind::Text(text) = &self.token.kind else { return Err(self.expected("a pattern in quotes")) };
        let pattern = parse(text).map_err(|problem| self.wrong(problem))?;
        self.bump()?;
        Ok(Some((pattern, negated)))
    }

    /// Adds to a list of what is selected.
    pub(super) fn select(&self, list: &mut Vec<PropertyPath>, path: PropertyPath) -> Parsed<()> {
        if list.len() >= MAX_SELECTED {
            return Err(self.wrong(&format!("more than {MAX_SELECTED} properties are selected")));
        }
        list.push(path);
        Ok(())
    }
}

/// A language in which tests are joined by OR, which binds loosest, then AND, then NOT, and by parentheses.
pub(super) trait Conditions<'a> {
    /// Where the parser is.
    fn at(&mut self) -> &mut Cursor<'a>;

    /// One test, as the language has it.
    fn test(&mut self) -> Parsed<Condition>;

    /// A condition up to where it ends; what may follow it is not looked at.
    fn condition(&mut self) -> Parsed<Condition> {
        self.any_of(0)
    }

    /// Tests joined by OR. `depth` counts the parentheses and NOTs around them.
    fn any_of(&mut self, depth: u32) -> Parsed<Condition> {
        let mut parts = vec![self.all_of(depth)?];
        while self.at().token.is("OR") {
            self.at().bump()?;
            parts.push(self.all_of(depth)?);
        }
        Ok(one_or(parts, Condition::Or))
    }

    /// Tests joined by AND.
    fn all_of(&mut self, depth: u32) -> Parsed<Condition> {
        let mut parts = vec![self.negation(depth)?];
        while self.at().token.is("AND") {
            self.at().bump()?;
            parts.push(self.negation(depth)?);
        }
        Ok(one_or(parts, Condition::And))
    }

    /// A test, what is in parentheses, or the opposite of either.
    fn negation(&mut self, depth: u32) -> Parsed<Condition> {
        let at = self.at();
        if depth > MAX_DEPTH {
            return Err(at.wrong("conditions are nested too deep"));
        }
        if at.token.is("NOT") {
            at.bump()?;
            return Ok(Condition::Not(Box::new(self.negation(depth + 1)?)));
        }
        if at.token.is_sign("(") {
            at.bump()?;
            let inner = self.any_of(depth + 1)?;
            let at = self.at();
            if !at.token.is_sign(")") {
                return Err(at.expected("AND, OR or ')'"));
            }
            at.bump()?;
            return Ok(inner);
        }
        at.tests += 1;
        if at.tests > MAX_TESTS {
            return Err(at.wrong(&format!("there are more than {MAX_TESTS} tests")));
        }
        self.test()
    }
}

/// Whether what stands in quotes can be the name of a class, and so can be written without them.
pub(super) fn is_class(text: &str) -> bool {
    is_identifier(text) && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// A test, or its opposite.
pub(super) fn unless(negated: bool, test: Condition) -> Condition {
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

/// One part as it is, several under AND or OR.
fn one_or(mut parts: Vec<Condition>, several: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.len() {
        1 => parts.remove(0),
        _ => several(parts),
    }
}
