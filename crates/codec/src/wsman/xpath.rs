//! XPath of level 1 as a filter of enumerations (DSP0226 8.3 and annex D.1): `JobState = 7 and Owner = 'ann'`,
//! `/Msvm_ConcreteJob[JobState = 7]`, `OperationalStatus[2] = 17`, `Error/Code`.
//!
//! An expression becomes a condition of a query, so that one evaluator serves all filters. Prefixes are read over. A path that
//! stands alone holds where it finds a value: NULL is none. Of an array without an index one element is enough, as XPath has it.

use super::time::parse_cim;
use super::uris;
use super::xml::shorten;
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::query::{Comparison, Condition, Index, PropertyPath, Query, Step};
use cimwright_cim::{CimType, Class, Name, Property, Schema, Value};

/// How long an expression may be, in bytes.
const MAX_LENGTH: usize = 4096;
/// How deep parentheses and predicates may be.
const MAX_DEPTH: usize = 16;
/// How many steps a path has at most.
const MAX_STEPS: usize = 8;

/// The query for the instances of a class that an expression selects.
///
/// # Errors
/// What is not understood, or what the class does not have, for a person.
pub fn xpath_query(text: &str, class: &Class, schema: &Schema) -> Result<Query, String> {
    let text = text.trim();
    if text.len() > MAX_LENGTH {
        return Err(format!("an expression of more than {MAX_LENGTH} bytes"));
    }
    let condition = tokens(text).and_then(|tokens| {
        let mut reader = Reader { tokens, at: 0, depth: 0, class, schema };
        let condition = reader.either()?;
        match reader.peek() {
            None => Ok(condition),
            Some(token) => Err(format!("{} is out of place", token.shown())),
        }
    });
    let condition = condition.map_err(|what| {
        if text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("SELECT")) {
            return format!(
                "a query needs the Dialect {} or {}; without one it is XPath",
                uris::WQL,
                uris::CQL
            );
        }
        format!(
            "the XPath \"{}\" is no filter of level 1: {what}; write for example JobState = 7",
            shorten(text)
        )
    })?;
    Ok(Query { select: None, from: class.name.clone(), condition: Some(condition), fold_case: false })
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(String),
    Operator(Comparison),
    /// One of `/ [ ] ( ) . *`.
    Sign(char),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Name(text) | Self::Number(text) => text.clone(),
            Self::Text(text) => format!("'{text}'"),
            Self::Operator(operator) => format!("{operator:?}"),
            Self::Sign(sign) => sign.to_string(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let (token, remaining) = match first {
            '\'' | '"' => {
                let (inside, after) = after.split_once(first).ok_or("a string without an end")?;
                (Token::Text(inside.to_owned()), after)
            }
            '0'..='9' | '-' => {
                let end = after.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(after.len());
                (Token::Number(rest[..=end].to_owned()), &after[end..])
            }
            '=' => (Token::Operator(Comparison::Equal), after),
            '!' => (Token::Operator(Comparison::NotEqual), after.strip_prefix('=').ok_or("! without =")?),
            '<' | '>' => {
                let (or_equal, after) = after.strip_prefix('=').map_or((false, after), |a| (true, a));
                let operator = match (first, or_equal) {
                    ('<', false) => Comparison::Less,
                    ('<', true) => Comparison::LessOrEqual,
                    (_, false) => Comparison::Greater,
                    (_, true) => Comparison::GreaterOrEqual,
                };
                (Token::Operator(operator), after)
            }
            '/' | '[' | ']' | '(' | ')' | '.' | '*' => (Token::Sign(first), after),
            c if c.is_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':')));
                let end = end.unwrap_or(rest.len());
                let name = rest[..end].rsplit(':').next().unwrap_or_default();
                (Token::Name(name.to_owned()), &rest[end..])
            }
            other => return Err(format!("{other} has no meaning")),
        };
        found.push(token);
        rest = remaining.trim_start();
    }
    Ok(found)
}

struct Reader<'s> {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    class: &'s Class,
    schema: &'s Schema,
}

/// A path to a value, with its declaration as far as it is known.
struct Found<'s> {
    path: PropertyPath,
    declared: Option<&'s Property>,
}

impl<'s> Reader<'s> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, sign: char) -> bool {
        let there = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("{sign} is missing")) }
    }

    /// Whether the next words are a name and a parenthesis that opens; they are taken then.
    fn call(&mut self, name: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Name(n)) if n == name)
            && self.tokens.get(self.at + 1) == Some(&Token::Sign('('));
        self.at += 2 * usize::from(is);
        is
    }

    fn word(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Name(n)) if n == word);
        self.at += usize::from(there);
        there
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn either(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.both()?];
        while self.word("or") {
            parts.push(self.both()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Or(parts) })
    }

    fn both(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.one()?];
        while self.word("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::And(parts) })
    }

    fn one(&mut self) -> Result<Condition, String> {
        if self.call("not") {
            let inner = self.deeper(Self::either)?;
            self.expect(')')?;
            return Ok(Condition::Not(Box::new(inner)));
        }
        if self.take('(') {
            let inner = self.deeper(Self::either)?;
            self.expect(')')?;
            return Ok(inner);
        }
        if let Some(constant) = self.literal()? {
            let operator = self.operator().ok_or("nothing is compared with the constant")?.flipped();
            let (mut conditions, found) = self.path()?;
            let found = found.ok_or("the whole object does not compare with a constant")?;
            conditions.push(compare(found, operator, constant)?);
            return Ok(all(conditions));
        }
        let (mut conditions, found) = self.path()?;
        if let Some(found) = found {
            conditions.push(match self.operator() {
                None => Condition::Not(Box::new(Condition::IsNull(found.path))),
                Some(operator) => {
                    let constant = self.literal()?.ok_or("no constant stands behind the comparison")?;
                    compare(found, operator, constant)?
                }
            });
        }
        Ok(all(conditions))
    }

    fn operator(&mut self) -> Option<Comparison> {
        let Some(Token::Operator(operator)) = self.peek() else { return None };
        let operator = *operator;
        self.at += 1;
        Some(operator)
    }

    fn literal(&mut self) -> Result<Option<Value>, String> {
        for (name, value) in [("true", true), ("false", false)] {
            if self.call(name) {
                self.expect(')')?;
                return Ok(Some(Value::Boolean(value)));
            }
        }
        let value = match self.peek() {
            Some(Token::Text(text)) => Value::String(text.clone()),
            Some(Token::Number(text)) => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(whole), _) => Value::Sint64(whole),
                (_, Ok(real)) => Value::Real64(real),
                _ => return Err(format!("{text} is no number")),
            },
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(value))
    }

    /// A path: what it asks of the object itself, and the value in the object that it leads to.
    fn path(&mut self) -> Result<(Vec<Condition>, Option<Found<'s>>), String> {
        let mut conditions = Vec::new();
        let absolute = self.take('/');
        if absolute || matches!(self.peek(), Some(Token::Sign('.' | '*'))) {
            match self.peek().cloned() {
                Some(Token::Sign('*')) => self.at += 1,
                Some(Token::Sign('.')) if !absolute => self.at += 1,
                Some(Token::Name(name)) => {
                    self.at += 1;
                    conditions.push(Condition::Compare {
                        property: PropertyPath::of("__CLASS"),
                        operator: Comparison::Equal,
                        constant: name.into(),
                    });
                }
                _ => return Err("a name is missing behind /".to_owned()),
            }
            while self.take('[') {
                conditions.push(self.deeper(Self::either)?);
                self.expect(']')?;
            }
            if !self.take('/') {
                if conditions.is_empty() {
                    return Err("it selects everything".to_owned());
                }
                return Ok((conditions, None));
            }
        }
        Ok((conditions, Some(self.steps()?)))
    }

    fn steps(&mut self) -> Result<Found<'s>, String> {
        let mut class = Some(self.class);
        let mut found = Found { path: PropertyPath(Vec::new()), declared: None };
        loop {
            let Some(Token::Name(name)) = self.peek().cloned() else {
                return Err("the name of a property is missing".to_owned());
            };
            self.at += 1;
            if name == "text" && !found.path.0.is_empty() && self.take('(') {
                self.expect(')')?;
                return Ok(found);
            }
            found.declared = match class {
                None => None,
                Some(here) => Some(
                    here.property(&name).ok_or_else(|| format!("{} has no property {name}", here.name))?,
                ),
            };
            let is_array = found.declared.is_some_and(|p| p.is_array);
            let mut index = is_array.then_some(Index::Any);
            if self.take('[') {
                let Some(Token::Number(number)) = self.peek().cloned() else {
                    return Err(format!("{name}[…] does not hold a number"));
                };
                self.at += 1;
                self.expect(']')?;
                let position = number.parse::<u32>().ok().and_then(|n| n.checked_sub(1));
                let position = position.ok_or_else(|| format!("{name}[{number}]: elements count from 1"))?;
                // What is no array is its own first element.
                index = match (is_array || found.declared.is_none(), position) {
                    (true, at) => Some(Index::At(at)),
                    (false, 0) => None,
                    (false, _) => return Err(format!("{name} is no array")),
                };
            }
            found.path.0.push(Step { scope: None, name: Name::new(name), index });
            if !self.take('/') {
                return Ok(found);
            }
            if found.path.0.len() >= MAX_STEPS {
                return Err(format!("a path of more than {MAX_STEPS} steps"));
            }
            let inner = found.declared.and_then(|p| p.reference_class.as_ref());
            class = inner.and_then(|c| self.schema.class(c.as_str())).map(|c| &**c);
        }
    }
}

fn all(mut conditions: Vec<Condition>) -> Condition {
    if conditions.len() == 1 { conditions.remove(0) } else { Condition::And(conditions) }
}

/// A comparison, its constant of the declared type.
fn compare(found: Found<'_>, operator: Comparison, constant: Value) -> Result<Condition, String> {
    let constant = match found.declared {
        None => constant,
        Some(property) => {
            let text = match (&constant, property.cim_type) {
                (Value::String(text), CimType::DateTime) => parse_cim(text).map(Value::DateTime),
                _ => None,
            };
            let declared = Declared { cim_type: property.cim_type, is_array: false, embedded: None };
            let constant = match (text.unwrap_or(constant), property.cim_type) {
                // Whatever stands there, texts compare as texts.
                (Value::Sint64(number), CimType::String) => Value::String(number.to_string()),
                (constant, _) => constant,
            };
            coerce(constant, declared, &|_| Err("an object does not compare".to_owned()))
                .map_err(|e| format!("{}: {e}", property.name))?
        }
    };
    // In XPath what is not there compares as FALSE, and not as NULL as in a query: `not(Owner = 'ann')` holds where there is no owner.
    let mut whole = found.path.clone();
    if let Some(last) = whole.0.last_mut().filter(|step| step.index == Some(Index::Any)) {
        last.index = None;
    }
    Ok(Condition::And(vec![
        Condition::Not(Box::new(Condition::IsNull(whole))),
        Condition::Compare { property: found.path, operator, constant },
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::Instance;
    use cimwright_cim::query::Hierarchy;
    use proptest::prelude::*;

    struct Flat;
    impl Hierarchy for Flat {
        fn is_a(&self, class: &Name, ancestor: &Name) -> bool {
            class == ancestor
        }
    }

    fn class() -> Class {
        let mut class = Class::new("X_Job");
        let property = |name: &str, cim_type| Property::new(name, cim_type, None);
        let status = Property { is_array: true, ..property("Status", CimType::Uint16) };
        let error = Property {
            embedded: Some(cimwright_cim::Embedded::Instance),
            ..property("Error", CimType::String)
        };
        class.properties = vec![
            property("Name", CimType::String),
            property("State", CimType::Uint16),
            property("Done", CimType::Boolean),
            property("Nothing", CimType::String),
            property("Time", CimType::DateTime),
            status,
            error,
        ];
        class
    }

    fn matches(text: &str) -> Result<bool, String> {
        let job = Instance::new("X_Job")
            .with("Name", "a 'b'")
            .with("State", Value::Uint16(7))
            .with("Done", Value::Boolean(true))
            .with("Time", Value::DateTime("20240131235959.000000+000".parse().unwrap()))
            .with("Status", Value::uint16s([6, 17]))
            .with("Error", Value::Instance(Box::new(Instance::new("E").with("Code", Value::Uint32(5)))));
        xpath_query(text, &class(), &Schema::new()).map(|q| q.matches(&job, &Flat))
    }

    #[test]
    fn expressions_select_instances() {
        for (text, expected) in [
            ("State = 7", true),
            ("p:State=\"7\"", true),
            ("7 <= State", true),
            ("State != 7", false),
            ("Nothing = 'x'", false),
            ("Nothing != 'x'", false),
            ("not(Nothing = 'x')", true),
            ("not(Nothing = 'x' or State = 8)", true),
            ("not(Status = 5)", true),
            ("State < 7 or Done = true()", true),
            ("State = 7 and (Name = \"a 'b'\" and not(Done = false()))", true),
            ("/X_Job[State = 7]", true),
            ("/X_Job[State = 7][Name = 'x']", false),
            ("/Y_Job[State = 7]", false),
            ("/X_Job/State", true),
            ("/*[State = 7]/Name/text() = \"a 'b'\"", true),
            (".[State = 8]", false),
            ("Name", true),
            ("Nothing", false),
            ("not(Nothing)", true),
            ("Status = 17", true),
            ("Status = 5", false),
            ("Status[2] = 17", true),
            ("Status[1] = 17", false),
            ("Status[3]", false),
            ("State[1] = 7", true),
            ("Error/Code = 5", true),
            ("Error/Code > 5", false),
            ("Time = '2024-01-31T23:59:59Z'", true),
        ] {
            assert_eq!(matches(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_told() {
        for (text, part) in [
            ("", "the name of a property is missing"),
            ("Colour = 1", "X_Job has no property Colour"),
            ("State = 'seven'", "State: "),
            ("State =", "no constant"),
            ("State = 7 Name", "Name is out of place"),
            ("Name = 'x", "without an end"),
            ("count(Status) = 2", "has no property count"),
            ("//State", "a name is missing behind /"),
            ("@State = 1", "@ has no meaning"),
            ("Status[0]", "count from 1"),
            ("State[2] = 7", "State is no array"),
            (".", "it selects everything"),
        ] {
            let what = matches(text).expect_err(text);
            assert!(what.contains(part) && what.contains("JobState = 7"), "{text}: {what}");
        }
        assert!(matches("SELECT * FROM X_Job").unwrap_err().contains(uris::WQL));
        let deep = format!("{}State{}", "(".repeat(40), ")".repeat(40));
        assert!(matches(&deep).unwrap_err().contains("levels"));
        assert!(matches(&"a".repeat(5000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(State|Status|X_Job|not|and|or|text|[\\[\\]().*/=<>!'\"@: é0-9-]){0,24}") {
            let _ = matches(&text);
        }
    }
}
