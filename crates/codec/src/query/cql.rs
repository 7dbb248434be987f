//! DMTF:CQL: `SELECT … FROM … WHERE …` of the CIM Query Language (DSP0202), as far as WBEM servers carry it out: one class, no
//! functions, no arithmetic, no order.

use super::scan::{Kind, Scanner, Token};
use super::shared::{is_null, number, one_or};
use super::{MAX_DEPTH, pattern};
use cimwright_cim::query::{Comparison, Condition, Index, PropertyPath, Query, Step};
use cimwright_cim::{CimError, CimStatus, Name, Value};

type Parsed<T> = Result<T, CimError>;

/// Words that begin a clause or join conditions, and so name nothing.
const KEYWORDS: [&str; 18] = [
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IS", "NULL", "ISA", "LIKE", "ANY", "EVERY", "TRUE",
    "FALSE", "AS", "ORDER", "DISTINCT", "FIRST",
];

/// Reads a query. Strings compare by their characters, upper and lower case being different.
pub(super) fn parse(text: &str) -> Parsed<Query> {
    let mut scanner = Scanner::with_doubled_quotes(text);
    let token = scanner.next()?;
    Parser { scanner, token, own_names: Vec::new() }.query()
}

/// Reads a condition of DMTF:FQL (DSP0212), which is that of a query without the query around it.
pub(super) fn parse_condition(text: &str) -> Parsed<Condition> {
    let mut scanner = Scanner::with_doubled_quotes(text);
    let token = scanner.next()?;
    let mut parser = Parser { scanner, token, own_names: Vec::new() };
    let condition = parser.any_of(0)?;
    if parser.token.kind != Kind::End {
        return Err(parser.expected("AND, OR or the end"));
    }
    Ok(condition)
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    token: Token<'a>,
    /// What the object itself is called: its class and its alias.
    own_names: Vec<Name>,
}

/// One side of a comparison.
enum Side {
    Property(PropertyPath),
    Constant(Value),
    /// `#'Completed'`
    Symbol(String),
}

impl<'a> Parser<'a> {
    fn query(mut self) -> Parsed<Query> {
        self.keyword("SELECT")?;
        for clause in ["DISTINCT", "FIRST"] {
            if self.token.is(clause) {
                return Err(self.unsupported(&format!("the clause {clause} is not supported")));
            }
        }
        let selected = self.select_list()?;
        self.keyword("FROM")?;
        let from = self.name("the name of a class")?;
        self.own_names.push(from.clone());
        if self.token.is("AS") {
            self.bump()?;
            let alias = self.name("another name for the class")?;
            self.own_names.push(alias);
        } else if matches!(self.token.kind, Kind::Word(word) if !is_keyword(word)) {
            let alias = self.name("WHERE or the end")?;
            self.own_names.push(alias);
        }
        if self.token.is_sign(",") || self.token.is("JOIN") {
            return Err(self.unsupported("only one class can be queried"));
        }
        let mut condition = None;
        if self.token.is("WHERE") {
            self.bump()?;
            condition = Some(self.any_of(0)?);
        }
        if self.token.is("ORDER") {
            return Err(self.unsupported("the clause ORDER is not supported"));
        }
        if self.token.kind != Kind::End {
            let expected = if condition.is_some() { "AND, OR or the end" } else { "WHERE or the end" };
            return Err(self.expected(expected));
        }
        // What the object itself is called is known only now.
        let selected: Vec<PropertyPath> =
            selected.into_iter().map(|path| self.without_own_name(path)).collect();
        let everything = selected.iter().any(|path| path.0.is_empty());
        Ok(Query { select: (!everything).then_some(selected), from, condition, fold_case: false })
    }

    /// What is selected; an empty path is the object with all it has.
    fn select_list(&mut self) -> Parsed<Vec<PropertyPath>> {
        let mut list = Vec::new();
        loop {
            if self.token.is_sign("*") {
                self.bump()?;
                list.push(PropertyPath(Vec::new()));
            } else {
                if matches!(self.token.kind, Kind::Text(_) | Kind::Number(_)) {
                    return Err(self.unsupported("only properties can be selected"));
                }
                list.push(self.chain("a property or *", true)?);
            }
            if self.token.is("AS") {
                return Err(self.unsupported("selected properties keep their names"));
            }
            if !self.token.is_sign(",") {
                return Ok(list);
            }
            self.bump()?;
        }
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
        let mut quantifier = None;
        for (word, index) in [("ANY", Index::Any), ("EVERY", Index::Every)] {
            if self.token.is(word) {
                self.bump()?;
                quantifier = Some(index);
                break;
            }
        }
        let start = self.token.clone();
        let left = self.side("a property or a constant")?;
        self.no_arithmetic()?;
        let left = match left {
            Side::Property(path) => Side::Property(self.quantified(path, quantifier, &start)?),
            _ if quantifier.is_some() => {
                return Err(self.wrong_at(&start, "expected the property whose elements are meant"));
            }
            constant => constant,
        };
        let Side::Property(property) = left else { return self.test_of_constant(left, &start) };
        if self.token.is("IS") {
            self.bump()?;
            let negated = self.token.is("NOT");
            if negated {
                self.bump()?;
            }
            self.keyword("NULL")?;
            return Ok(is_null(self.not_itself(property, &start)?, negated));
        }
        if self.token.is("ISA") {
            self.bump()?;
            let class = match &self.token.kind {
                Kind::Text(class) => Name::new(class),
                Kind::Word(class) if !is_keyword(class) => Name::new(class),
                _ => return Err(self.expected("the name of a class")),
            };
            self.bump()?;
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
                Kind::Text(text) => pattern::parse_expression(text).map_err(|problem| self.wrong(problem))?,
                _ => return Err(self.expected("a pattern in quotes")),
            };
            self.bump()?;
            let like = Condition::Like { property: self.not_itself(property, &start)?, pattern };
            return Ok(if negated { Condition::Not(Box::new(like)) } else { like });
        }
        let property = self.not_itself(property, &start)?;
        let operator = self.operator()?;
        let start = self.token.clone();
        let right = self.side("a property or a constant")?;
        self.no_arithmetic()?;
        match right {
            Side::Property(right) => {
                let right = self.quantified(right, None, &start)?;
                Ok(Condition::CompareProperties {
                    left: property,
                    operator,
                    right: self.not_itself(right, &start)?,
                })
            }
            Side::Constant(constant) => self.compare(property, operator, constant, &start),
            Side::Symbol(symbol) => Ok(Condition::CompareSymbol { property, operator, symbol }),
        }
    }

    /// The rest of a test that begins with a constant.
    fn test_of_constant(&mut self, left: Side, at: &Token<'_>) -> Parsed<Condition> {
        let operator = self.operator()?.flipped();
        let start = self.token.clone();
        let Side::Property(property) = self.side("a property")? else {
            return Err(self.wrong_at(&start, "one side of a comparison must be a property"));
        };
        self.no_arithmetic()?;
        let property = self.quantified(property, None, &start)?;
        let property = self.not_itself(property, &start)?;
        match left {
            Side::Symbol(symbol) => Ok(Condition::CompareSymbol { property, operator, symbol }),
            Side::Constant(constant) => self.compare(property, operator, constant, at),
            Side::Property(left) => Ok(Condition::CompareProperties { left, operator, right: property }),
        }
    }

    fn compare(
        &self,
        property: PropertyPath,
        operator: Comparison,
        constant: Value,
        at: &Token<'_>,
    ) -> Parsed<Condition> {
        let equality = matches!(operator, Comparison::Equal | Comparison::NotEqual);
        if matches!(constant, Value::Boolean(_)) && !equality {
            return Err(self.wrong_at(at, "booleans compare with = and <> only"));
        }
        Ok(Condition::Compare { property, operator, constant })
    }

    fn operator(&mut self) -> Parsed<Comparison> {
        let operator = match self.token.kind {
            Kind::Sign("=") => Comparison::Equal,
            Kind::Sign("<>") => Comparison::NotEqual,
            Kind::Sign("<") => Comparison::Less,
            Kind::Sign("<=") => Comparison::LessOrEqual,
            Kind::Sign(">") => Comparison::Greater,
            Kind::Sign(">=") => Comparison::GreaterOrEqual,
            _ => return Err(self.expected("=, <>, <, >, <=, >=, LIKE, IS or ISA")),
        };
        self.bump()?;
        Ok(operator)
    }

    fn no_arithmetic(&self) -> Parsed<()> {
        let sign = ["+", "-", "*", "/", "||"].iter().any(|sign| self.token.is_sign(sign));
        // `a -5` is scanned as a property and a number.
        let signed = matches!(self.token.kind, Kind::Number(text) if text.starts_with(['+', '-']));
        match sign || signed {
            true => Err(self.unsupported("nothing is calculated")),
            false => Ok(()),
        }
    }

    // ---- Properties and constants

    fn side(&mut self, what: &str) -> Parsed<Side> {
        let constant = match &self.token.kind {
            Kind::Text(text) => Value::String(text.clone().into_owned()),
            Kind::Number(text) => constant(text).map_err(|problem| self.wrong(problem))?,
            Kind::Word(word) if word.eq_ignore_ascii_case("TRUE") => Value::Boolean(true),
            Kind::Word(word) if word.eq_ignore_ascii_case("FALSE") => Value::Boolean(false),
            Kind::Word(word) if word.eq_ignore_ascii_case("NULL") => {
                return Err(self.wrong("NULL is tested with IS NULL and IS NOT NULL"));
            }
            Kind::Sign("#") => {
                self.bump()?;
                let Kind::Text(name) = &self.token.kind else {
                    return Err(self.expected("the name of a value in quotes"));
                };
                let name = name.clone().into_owned();
                self.bump()?;
                return Ok(Side::Symbol(name));
            }
            _ => return self.chain(what, false).map(Side::Property),
        };
        self.bump()?;
        Ok(Side::Constant(constant))
    }

    /// Properties with points between them; at the end of a selected one, all of what it holds.
    fn chain(&mut self, what: &str, selected: bool) -> Parsed<PropertyPath> {
        let mut steps = vec![self.step(what)?];
        while self.token.is_sign(".") {
            self.bump()?;
            if selected && self.token.is_sign("*") {
                self.bump()?;
                break;
            }
            steps.push(self.step("a property after the point")?);
        }
        if self.token.is_sign("(") {
            return Err(self.unsupported("functions are not supported"));
        }
        if self.token.is_sign("#") {
            return Err(self.unsupported("the name of a value stands by itself: #'Name'"));
        }
        Ok(PropertyPath(steps))
    }

    /// `Name`, `Class::Name`, and which of its elements.
    fn step(&mut self, what: &str) -> Parsed<Step> {
        let mut step = Step::of(self.name(what)?);
        if self.token.is_sign("::") {
            self.bump()?;
            let name = self.name("a property after ::")?;
            step.scope = Some(std::mem::replace(&mut step.name, name));
        }
        if self.token.is_sign("[") {
            self.bump()?;
            step.index = Some(match self.token.kind {
                // Which of both is told by the word before the property.
                Kind::Sign("*") => Index::Any,
                Kind::Number(text) => Index::At(text.parse().map_err(|_| self.wrong("this is no position"))?),
                _ => return Err(self.expected("a position or *")),
            });
            self.bump()?;
            if self.token.is_sign(",") {
                return Err(self.unsupported("one position or all of them can be asked for"));
            }
            if !self.token.is_sign("]") {
                return Err(self.expected("]"));
            }
            self.bump()?;
        }
        Ok(step)
    }

    /// The property with its own object's name taken off and the right quantifier put on.
    fn quantified(
        &self,
        path: PropertyPath,
        quantifier: Option<Index>,
        at: &Token<'_>,
    ) -> Parsed<PropertyPath> {
        let mut path = self.without_own_name(path);
        let inner = path.0.len().saturating_sub(1);
        if path.0[..inner].iter().any(|step| step.index.is_some_and(Index::is_quantified)) {
            return Err(self.scanner.error(
                CimStatus::QueryFeatureNotSupported,
                at.start,
                at.end,
                "[*] can only stand at the end",
            ));
        }
        let all = path.0.last_mut().and_then(|step| step.index.as_mut()).filter(|i| i.is_quantified());
        match (all, quantifier) {
            (Some(index), Some(quantifier)) => *index = quantifier,
            (None, None) => {}
            (Some(_), None) => {
                return Err(self.wrong_at(at, "expected ANY or EVERY before a property with [*]"));
            }
            (None, Some(_)) => return Err(self.wrong_at(at, "expected a property with [*] at its end")),
        }
        Ok(path)
    }

    fn without_own_name(&self, mut path: PropertyPath) -> PropertyPath {
        if let Some(Step { scope: None, name, index: None }) = path.0.first()
            && self.own_names.contains(name)
        {
            path.0.remove(0);
        }
        path
    }

    fn not_itself(&self, property: PropertyPath, at: &Token<'_>) -> Parsed<PropertyPath> {
        if property.0.is_empty() {
            return Err(self.wrong_at(at, "this is the object itself; expected one of its properties"));
        }
        Ok(property)
    }

    // ---- Tokens and errors

    fn bump(&mut self) -> Parsed<()> {
        self.token = self.scanner.next()?;
        Ok(())
    }

    fn name(&mut self, what: &str) -> Parsed<Name> {
        match self.token.kind {
            Kind::Word(word) if !is_keyword(word) => {
                self.bump()?;
                Ok(Name::new(word))
            }
            _ => Err(self.expected(what)),
        }
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

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// A number: decimal, hexadecimal (`0x1F`), binary (`0101B`) or real.
fn constant(text: &str) -> Result<Value, &'static str> {
    let (sign, digits) = match text.as_bytes()[0] {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (radix, digits) = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        (16, hex)
    } else if let Some(binary) = digits.strip_suffix(['b', 'B']) {
        (2, binary)
    } else {
        return number(text);
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err("this is not a number");
    }
    match i128::from_str_radix(&format!("{sign}{digits}"), radix) {
        Ok(n) if i64::try_from(n).is_ok() => Ok(Value::Sint64(n as i64)),
        Ok(n) if u64::try_from(n).is_ok() => Ok(Value::Uint64(n as u64)),
        _ => Err("the number does not fit 64 bits"),
    }
}
