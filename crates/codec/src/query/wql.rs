//! WQL: `SELECT … FROM … WHERE …` of the WMI Query Language.

use super::pattern;
use super::scan::{Kind, Scanner, Token};
use super::shared::{Conditions, Cursor, Parsed, is_class, number, unless};
use cimwright_cim::query::{Comparison, Condition, PropertyPath, Query, Step};
use cimwright_cim::{Name, Value};

/// Reads a WQL query. Strings compare without regard to case, as in WMI.
pub(super) fn parse(text: &str) -> Parsed<Query> {
    Parser { at: Cursor::new(Scanner::new(text))? }.query()
}

struct Parser<'a> {
    at: Cursor<'a>,
}

/// One side of a comparison.
enum Side {
    Property(PropertyPath),
    Constant(Option<Value>),
}

impl<'a> Conditions<'a> for Parser<'a> {
    fn at(&mut self) -> &mut Cursor<'a> {
        &mut self.at
    }

    fn test(&mut self) -> Parsed<Condition> {
        match self.side("a property or a constant")? {
            Side::Constant(constant) => {
                let operator = self.operator()?;
                let start = self.at.token.clone();
                match self.side("a property")? {
                    Side::Property(property) => self.compare(property, operator.flipped(), constant, &start),
                    Side::Constant(_) => {
                        Err(self.at.wrong_at(&start, "one side of a comparison must be a property"))
                    }
                }
            }
            Side::Property(property) => self.test_of(property),
        }
    }
}

impl<'a> Parser<'a> {
    fn query(mut self) -> Parsed<Query> {
        for keyword in ["ASSOCIATORS", "REFERENCES"] {
            if self.at.token.is(keyword) {
                let problem =
                    format!("{keyword} OF is not supported in queries; there are operations for it");
                return Err(self.at.unsupported(&problem));
            }
        }
        self.at.keyword("SELECT")?;
        let select = self.select_list()?;
        self.at.keyword("FROM")?;
        if self.at.token.is("meta_class") {
            return Err(self.at.unsupported("queries for classes are not supported"));
        }
        let from = Name::new(self.name("the name of a class")?);
        if self.at.token.is_sign(",") {
            return Err(self.at.unsupported("only one class can be queried"));
        }
        self.refuse_clauses()?;
        let mut condition = None;
        if self.at.token.is("WHERE") {
            self.at.bump()?;
            condition = Some(self.condition()?);
        }
        self.refuse_clauses()?;
        if self.at.token.kind != Kind::End {
            let expected = if condition.is_some() { "AND, OR or the end" } else { "WHERE or the end" };
            return Err(self.at.expected(expected));
        }
        Ok(Query { select, from, condition, fold_case: true })
    }

    fn select_list(&mut self) -> Parsed<Option<Vec<PropertyPath>>> {
        if self.at.token.is_sign("*") {
            self.at.bump()?;
            return Ok(None);
        }
        let mut list = Vec::new();
        loop {
            let path = self.path("a property or *")?;
            self.at.select(&mut list, path)?;
            if self.at.token.is_sign("(") {
                return Err(self.at.unsupported("functions are not supported"));
            }
            if !self.at.token.is_sign(",") {
                return Ok(Some(list));
            }
            self.at.bump()?;
        }
    }

    /// Refuses what only event queries have, and what other dialects add.
    fn refuse_clauses(&mut self) -> Parsed<()> {
        for keyword in ["WITHIN", "GROUP", "HAVING", "ORDER"] {
            if self.at.token.is(keyword) {
                return Err(self.at.unsupported(&format!("the clause {keyword} is not supported")));
            }
        }
        Ok(())
    }

    /// The rest of a test that begins with a property.
    fn test_of(&mut self, property: PropertyPath) -> Parsed<Condition> {
        if let Some(negated) = self.at.null_test()? {
            return Ok(unless(negated, Condition::IsNull(property)));
        }
        if self.at.token.is("ISA") {
            self.at.bump()?;
            let class = match &self.at.token.kind {
                Kind::Text(class) if is_class(class) => Name::new(class),
                Kind::Word(class) => Name::new(class),
                _ => return Err(self.at.expected("the name of a class")),
            };
            self.at.bump()?;
            // `__this` is the object itself, which the model says by an empty path.
            let this = property.plain().is_some_and(|name| name.is("__this"));
            let property = if this { PropertyPath(Vec::new()) } else { property };
            return Ok(Condition::IsA { property, class });
        }
        if let Some((pattern, negated)) = self.at.like_test(pattern::parse)? {
            return Ok(unless(negated, Condition::Like { property, pattern }));
        }
        let operator = self.operator()?;
        let start = self.at.token.clone();
        match self.side("a constant")? {
            Side::Constant(constant) => self.compare(property, operator, constant, &start),
            Side::Property(_) => {
                Err(self.at.wrong_at(&start, "one side of a comparison must be a constant; text is quoted"))
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
                Err(self.at.wrong_at(at, "booleans compare with =, <> and != only"))
            }
            None if !equality => Err(self.at.wrong_at(at, "NULL compares with =, <>, != and IS only")),
            None => Ok(unless(operator == Comparison::NotEqual, Condition::IsNull(property))),
            Some(constant) => Ok(Condition::Compare { property, operator, constant }),
        }
    }

    fn operator(&mut self) -> Parsed<Comparison> {
        let operator = match self.at.token.kind {
            Kind::Sign("=") => Comparison::Equal,
            Kind::Sign("<>" | "!=") => Comparison::NotEqual,
            Kind::Sign("<") => Comparison::Less,
            Kind::Sign("<=") => Comparison::LessOrEqual,
            Kind::Sign(">") => Comparison::Greater,
            Kind::Sign(">=") => Comparison::GreaterOrEqual,
            Kind::Sign("(") => return Err(self.at.unsupported("functions are not supported")),
            _ => return Err(self.at.expected("=, <>, !=, <, >, <=, >=, LIKE, IS or ISA")),
        };
        self.at.bump()?;
        Ok(operator)
    }

    fn side(&mut self, what: &str) -> Parsed<Side> {
        let value = match &self.at.token.kind {
            Kind::Text(text) => Some(Value::String(text.clone().into_owned())),
            Kind::Number(text) => Some(number(text).map_err(|problem| self.at.wrong(problem))?),
            Kind::Word(word) if word.eq_ignore_ascii_case("TRUE") => Some(Value::Boolean(true)),
            Kind::Word(word) if word.eq_ignore_ascii_case("FALSE") => Some(Value::Boolean(false)),
            Kind::Word(word) if word.eq_ignore_ascii_case("NULL") => None,
            // A property of this name could not stand on the left, where NOT begins a condition.
            Kind::Word(word) if word.eq_ignore_ascii_case("NOT") => return Err(self.at.expected(what)),
            _ => return self.path(what).map(Side::Property),
        };
        self.at.bump()?;
        Ok(Side::Constant(value))
    }

    /// Names with points between them.
    fn path(&mut self, what: &str) -> Parsed<PropertyPath> {
        let mut names = vec![Step::of(self.name(what)?)];
        while self.at.token.is_sign(".") {
            self.at.bump()?;
            names.push(Step::of(self.name("a property after the point")?));
        }
        Ok(PropertyPath(names))
    }

    fn name(&mut self, what: &str) -> Parsed<&'a str> {
        let Kind::Word(word) = self.at.token.kind else { return Err(self.at.expected(what)) };
        self.at.bump()?;
        Ok(word)
    }
}
