//! WQL: `SELECT … FROM … WHERE …` of the WMI Query Language.

use super::scan::{Kind, Scanner, Token};
use super::shared::{is_null, number, one_or};
use super::{MAX_DEPTH, pattern};
use cimwright_cim::query::{Comparison, Condition, PropertyPath, Query, Step};
use cimwright_cim::{CimError, CimStatus, Name, Value};

type Parsed<T> = Result<T, CimError>;

/// Reads a WQL query. Strings compare without regard to case, as in WMI.
pub(super) fn parse(text: &str) -> Parsed<Query> {
    let mut scanner = Scanner::new(text);
    let token = scanner.next()?;
    Parser { scanner, token }.query()
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    token: Token<'a>,
}

/// One side of a comparison.
enum Side {
    Property(PropertyPath),
    Constant(Option<Value>),
}

impl<'a> Parser<'a> {
    fn query(mut self) -> Parsed<Query> {
        for keyword in ["ASSOCIATORS", "REFERENCES"] {
            if self.token.is(keyword) {
                let problem =
                    format!("{keyword} OF is not supported in queries; there are operations for it");
                return Err(self.unsupported(&problem));
            }
        }
        self.keyword("SELECT")?;
        let select = self.select_list()?;
        self.keyword("FROM")?;
        if self.token.is("meta_class") {
            return Err(self.unsupported("queries for classes are not supported"));
        }
        let from = Name::new(self.name("the name of a class")?);
        if self.token.is_sign(",") {
            return Err(self.unsupported("only one class can be queried"));
        }
        self.refuse_clauses()?;
        let mut condition = None;
        if self.token.is("WHERE") {
            self.bump()?;
            condition = Some(self.any_of(0)?);
        }
        self.refuse_clauses()?;
        if self.token.kind != Kind::End {
            let expected = if condition.is_some() { "AND, OR or the end" } else { "WHERE or the end" };
            return Err(self.expected(expected));
        }
        Ok(Query { select, from, condition, fold_case: true })
    }

    fn select_list(&mut self) -> Parsed<Option<Vec<PropertyPath>>> {
        if self.token.is_sign("*") {
            self.bump()?;
            return Ok(None);
        }
        let mut list = Vec::new();
        loop {
            list.push(self.path("a property or *")?);
            if self.token.is_sign("(") {
                return Err(self.unsupported("functions are not supported"));
            }
            if !self.token.is_sign(",") {
                return Ok(Some(list));
            }
            self.bump()?;
        }
    }

    /// Refuses what only event queries have, and what other dialects add.
    fn refuse_clauses(&mut self) -> Parsed<()> {
        for keyword in ["WITHIN", "GROUP", "HAVING", "ORDER"] {
            if self.token.is(keyword) {
                return Err(self.unsupported(&format!("the clause {keyword} is not supported")));
            }
        }
        Ok(())
    }

    // ---- Conditions: OR binds loosest, then AND, then NOT

    fn any_of(&mut self, depth: u32) -> Parsed<Condition> {
        let mut parts = vec![self.all_of(depth)?];
        while self.token.is("OR") {
            self.bump()?;
            parts.push(self.all_of(depth)?);
        }
        Ok(one_or(parts, Condition::Or))
    }

    fn all_of(&mut self, depth: u32) -> Parsed<Condition> {
        let mut parts = vec![self.negation(depth)?];
        while self.token.is("AND") {
            self.bump()?;
            parts.push(self.negation(depth)?);
        }
        Ok(one_or(parts, Condition::And))
    }

    fn negation(&mut self, depth: u32) -> Parsed<Condition> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("conditions are nested too deep"));
        }
        if self.token.is("NOT") {
            self.bump()?;
            return Ok(Condition::Not(Box::new(self.negation(depth + 1)?)));
        }
        if self.token.is_sign("(") {
            self.bump()?;
            let inner = self.any_of(depth + 1)?;
            if !self.token.is_sign(")") {
                return Err(self.expected("AND, OR or ')'"));
            }
            self.bump()?;
            return Ok(inner);
        }
        self.test()
    }

    fn test(&mut self) -> Parsed<Condition> {
        match self.side("a property or a constant")? {
            Side::Constant(constant) => {
                let operator = self.operator()?;
                let start = self.token.clone();
                match self.side("a property")? {
                    Side::Property(property) => self.compare(property, operator.flipped(), constant, &start),
                    Side::Constant(_) => {
                        Err(self.wrong_at(&start, "one side of a comparison must be a property"))
                    }
                }
            }
            Side::Property(property) => self.test_of(property),
        }
    }

    /// The rest of a test that begins with a property.
    fn test_of(&mut self, property: PropertyPath) -> Parsed<Condition> {
        if self.token.is("IS") {
            self.bump()?;
            let negated = self.token.is("NOT");
            if negated {
                self.bump()?;
            }
            if !self.token.is("NULL") {
                return Err(self.expected("NULL"));
            }
            self.bump()?;
            return Ok(is_null(property, negated));
        }
        if self.token.is("ISA") {
            self.bump()?;
            let class = match &self.token.kind {
                Kind::Text(class) => Name::new(class),
                Kind::Word(class) => Name::new(class),
                _ => return Err(self.expected("the name of a class")),
            };
            self.bump()?;
            // `__this` is the object itself, which the model says by an empty path.
            let this = property.plain().is_some_and(|name| name.is("__this"));
            let property = if this { PropertyPath(Vec::new()) } else { property };
            return Ok(Condition::IsA { property, class });
        }
        let negated = self.token.is("NOT");
        if negated {
            self.bump()?;
            if !self.token.is("LIKE") {
                return Err(self.expected("LIKE"));
            }
        }
        if self.token.is("LIKE") {
            self.bump()?;
            let pattern = match &self.token.kind {
                Kind::Text(text) => pattern::parse(text).map_err(|problem| self.wrong(problem))?,
                _ => return Err(self.expected("a pattern in quotes")),
            };
            self.bump()?;
            let like = Condition::Like { property, pattern };
            return Ok(if negated { Condition::Not(Box::new(like)) } else { like });
        }
        let operator = self.operator()?;
        let start = self.token.clone();
        match self.side("a constant")? {
            Side::Constant(constant) => self.compare(property, operator, constant, &start),
            Side::Property(_) => {
                Err(self.wrong_at(&start, "one side of a comparison must be a constant; text is quoted"))
            }
        }
    }

    fn compare(
        &self,
        property: PropertyPath,
        operator: Comparison,
        constant: Option<Value>,
        at: &Token<'_>,
    ) -> Parsed<Condition> {
        let equality = matches!(operator, Comparison::Equal | Comparison::NotEqual);
        match constant {
            Some(Value::Boolean(_)) if !equality => {
                Err(self.wrong_at(at, "booleans compare with =, <> and != only"))
            }
            None if !equality => Err(self.wrong_at(at, "NULL compares with =, <>, != and IS only")),
            None => Ok(is_null(property, operator == Comparison::NotEqual)),
            Some(constant) => Ok(Condition::Compare { property, operator, constant }),
        }
    }

    fn operator(&mut self) -> Parsed<Comparison> {
        let operator = match self.token.kind {
            Kind::Sign("=") => Comparison::Equal,
            Kind::Sign("<>" | "!=") => Comparison::NotEqual,
            Kind::Sign("<") => Comparison::Less,
            Kind::Sign("<=") => Comparison::LessOrEqual,
            Kind::Sign(">") => Comparison::Greater,
            Kind::Sign(">=") => Comparison::GreaterOrEqual,
            Kind::Sign("(") => return Err(self.unsupported("functions are not supported")),
            _ => return Err(self.expected("=, <>, !=, <, >, <=, >=, LIKE, IS or ISA")),
        };
        self.bump()?;
        Ok(operator)
    }

    fn side(&mut self, what: &str) -> Parsed<Side> {
        let value = match &self.token.kind {
            Kind::Text(text) => Some(Value::String(text.clone().into_owned())),
            Kind::Number(text) => Some(number(text).map_err(|problem| self.wrong(problem))?),
            Kind::Word(word) if word.eq_ignore_ascii_case("TRUE") => Some(Value::Boolean(true)),
            Kind::Word(word) if word.eq_ignore_ascii_case("FALSE") => Some(Value::Boolean(false)),
            Kind::Word(word) if word.eq_ignore_ascii_case("NULL") => None,
            _ => return self.path(what).map(Side::Property),
        };
        self.bump()?;
        Ok(Side::Constant(value))
    }

    /// Names with points between them.
    fn path(&mut self, what: &str) -> Parsed<PropertyPath> {
        let mut names = vec![Step::of(self.name(what)?)];
        while self.token.is_sign(".") {
            self.bump()?;
            names.push(Step::of(self.name("a property after the point")?));
        }
        Ok(PropertyPath(names))
    }

    // ---- Tokens and errors

    fn bump(&mut self) -> Parsed<()> {
        self.token = self.scanner.next()?;
        Ok(())
    }

    fn name(&mut self, what: &str) -> Parsed<&'a str> {
        let Kind::Word(word) = self.token.kind else { return Err(self.expected(what)) };
        self.bump()?;
        Ok(word)
    }

    fn keyword(&mut self, keyword: &str) -> Parsed<()> {
        if self.token.is(keyword) { self.bump() } else { Err(self.expected(keyword)) }
    }

    fn expected(&self, what: &str) -> CimError {
        self.wrong(&format!("expected {what}"))
    }

    fn wrong(&self, problem: &str) -> CimError {
        self.wrong_at(&self.token, problem)
    }

    fn wrong_at(&self, token: &Token<'_>, problem: &str) -> CimError {
        self.scanner.invalid(token.start, token.end, problem)
    }

    fn unsupported(&self, problem: &str) -> CimError {
        let Token { start, end, .. } = self.token;
        self.scanner.error(CimStatus::QueryFeatureNotSupported, start, end, problem)
    }
}
