//! DMTF:CQL: `SELECT … FROM … WHERE …` of the CIM Query Language (DSP0202), as far as WBEM servers carry it out: one class, no
//! functions, no arithmetic, no order.

use super::pattern;
use super::scan::{Kind, Scanner, Token};
use super::shared::{Conditions, Cursor, Parsed, is_class, number, unless};
use cimwright_cim::query::{Comparison, Condition, Index, PropertyPath, Query, Step};
use cimwright_cim::{CimStatus, Name, Value};

/// Words that begin a clause or join conditions, and so name nothing.
const KEYWORDS: [&str; 18] = [
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IS", "NULL", "ISA", "LIKE", "ANY", "EVERY", "TRUE",
    "FALSE", "AS", "ORDER", "DISTINCT", "FIRST",
];

/// Reads a query. Strings compare by their characters, upper and lower case being different.
pub(super) fn parse(text: &str) -> Parsed<Query> {
    Parser { at: Cursor::new(Scanner::with_doubled_quotes(text))?, own_names: Vec::new() }.query()
}

/// Reads a condition of DMTF:FQL (DSP0212), which is that of a query without the query around it.
pub(super) fn parse_condition(text: &str) -> Parsed<Condition> {
    let mut parser = Parser { at: Cursor::new(Scanner::with_doubled_quotes(text))?, own_names: Vec::new() };
    let condition = parser.condition()?;
    if parser.at.token.kind != Kind::End {
        return Err(parser.at.expected("AND, OR or the end"));
    }
    Ok(condition)
}

struct Parser<'a> {
    at: Cursor<'a>,
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

impl<'a> Conditions<'a> for Parser<'a> {
    fn at(&mut self) -> &mut Cursor<'a> {
        &mut self.at
    }

    fn test(&mut self) -> Parsed<Condition> {
        let mut quantifier = None;
        for (word, index) in [("ANY", Index::Any), ("EVERY", Index::Every)] {
            if self.at.token.is(word) {
                self.at.bump()?;
                quantifier = Some(index);
                break;
            }
        }
        let start = self.at.token.clone();
        let left = self.side("a property or a constant")?;
        self.no_arithmetic()?;
        let left = match left {
            Side::Property(path) => Side::Property(self.quantified(path, quantifier, &start)?),
            _ if quantifier.is_some() => {
                return Err(self.at.wrong_at(&start, "expected the property whose elements are meant"));
            }
            constant => constant,
        };
        let Side::Property(property) = left else { return self.test_of_constant(left, &start) };
        if let Some(negated) = self.at.null_test()? {
            let property = self.not_itself(property, &start)?.opposed(negated);
            return Ok(unless(negated, Condition::IsNull(property)));
        }
        if self.at.token.is("ISA") {
            self.at.bump()?;
            let class = match &self.at.token.kind {
                Kind::Text(class) if is_class(class) && !is_keyword(class) => Name::new(class),
                Kind::Word(class) if !is_keyword(class) => Name::new(class),
                _ => return Err(self.at.expected("the name of a class")),
            };
            self.at.bump()?;
            return Ok(Condition::IsA { property, class });
        }
        if let Some((pattern, negated)) = self.at.like_test(pattern::parse_expression)? {
            let property = self.not_itself(property, &start)?.opposed(negated);
            return Ok(unless(negated, Condition::Like { property, pattern }));
        }
        let property = self.not_itself(property, &start)?;
        let operator = self.operator()?;
        let start = self.at.token.clone();
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
}

impl<'a> Parser<'a> {
    fn query(mut self) -> Parsed<Query> {
        self.at.keyword("SELECT")?;
        for clause in ["DISTINCT", "FIRST"] {
            if self.at.token.is(clause) {
                return Err(self.at.unsupported(&format!("the clause {clause} is not supported")));
            }
        }
        let selected = self.select_list()?;
        self.at.keyword("FROM")?;
        let from = self.name("the name of a class")?;
        self.own_names.push(from.clone());
        if self.at.token.is("AS") {
            self.at.bump()?;
            let alias = self.name("another name for the class")?;
            self.own_names.push(alias);
        } else if matches!(self.at.token.kind, Kind::Word(word) if !is_keyword(word)) {
            let alias = self.name("WHERE or the end")?;
            self.own_names.push(alias);
        }
        if self.at.token.is_sign(",") || self.at.token.is("JOIN") {
            return Err(self.at.unsupported("only one class can be queried"));
        }
        let mut condition = None;
        if self.at.token.is("WHERE") {
            self.at.bump()?;
            condition = Some(self.condition()?);
        }
        if self.at.token.is("ORDER") {
            return Err(self.at.unsupported("the clause ORDER is not supported"));
        }
        if self.at.token.kind != Kind::End {
            let expected = if condition.is_some() { "AND, OR or the end" } else { "WHERE or the end" };
            return Err(self.at.expected(expected));
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
            if self.at.token.is_sign("*") {
                self.at.bump()?;
                self.at.select(&mut list, PropertyPath(Vec::new()))?;
            } else {
                if matches!(self.at.token.kind, Kind::Text(_) | Kind::Number(_)) {
                    return Err(self.at.unsupported("only properties can be selected"));
                }
                let path = self.chain("a property or *", true)?;
                self.at.select(&mut list, path)?;
            }
            if self.at.token.is("AS") {
                return Err(self.at.unsupported("selected properties keep their names"));
            }
            if !self.at.token.is_sign(",") {
                return Ok(list);
            }
            self.at.bump()?;
        }
    }

    /// The rest of a test that begins with a constant.
    fn test_of_constant(&mut self, left: Side, at: &Token<'_>) -> Parsed<Condition> {
        let operator = self.operator()?.flipped();
        let start = self.at.token.clone();
        let Side::Property(property) = self.side("a property")? else {
            return Err(self.at.wrong_at(&start, "one side of a comparison must be a property"));
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
            return Err(self.at.wrong_at(at, "booleans compare with = and <> only"));
        }
        Ok(Condition::Compare { property, operator, constant })
    }

    fn operator(&mut self) -> Parsed<Comparison> {
        let operator = match self.at.token.kind {
            Kind::Sign("=") => Comparison::Equal,
            Kind::Sign("<>") => Comparison::NotEqual,
            Kind::Sign("<") => Comparison::Less,
            Kind::Sign("<=") => Comparison::LessOrEqual,
            Kind::Sign(">") => Comparison::Greater,
            Kind::Sign(">=") => Comparison::GreaterOrEqual,
            _ => return Err(self.at.expected("=, <>, <, >, <=, >=, LIKE, IS or ISA")),
        };
        self.at.bump()?;
        Ok(operator)
    }

    fn no_arithmetic(&self) -> Parsed<()> {
        let sign = ["+", "-", "*", "/", "||"].iter().any(|sign| self.at.token.is_sign(sign));
        // `a -5` is scanned as a property and a number.
        let signed = matches!(self.at.token.kind, Kind::Number(text) if text.starts_with(['+', '-']));
        match sign || signed {
            true => Err(self.at.unsupported("nothing is calculated")),
            false => Ok(()),
        }
    }

    // ---- Properties and constants

    fn side(&mut self, what: &str) -> Parsed<Side> {
        let constant = match &self.at.token.kind {
            Kind::Text(text) => Value::String(text.clone().into_owned()),
            Kind::Number(text) => constant(text).map_err(|problem| self.at.wrong(problem))?,
            Kind::Word(word) if word.eq_ignore_ascii_case("TRUE") => Value::Boolean(true),
            Kind::Word(word) if word.eq_ignore_ascii_case("FALSE") => Value::Boolean(false),
            Kind::Word(word) if word.eq_ignore_ascii_case("NULL") => {
                return Err(self.at.wrong("NULL is tested with IS NULL and IS NOT NULL"));
            }
            Kind::Sign("#") => {
                self.at.bump()?;
                let Kind::Text(name) = &self.at.token.kind else {
                    return Err(self.at.expected("the name of a value in quotes"));
                };
                let name = name.clone().into_owned();
                self.at.bump()?;
                return Ok(Side::Symbol(name));
            }
            _ => return self.chain(what, false).map(Side::Property),
        };
        self.at.bump()?;
        Ok(Side::Constant(constant))
    }

    /// Properties with points between them; at the end of a selected one, all of what it holds.
    fn chain(&mut self, what: &str, selected: bool) -> Parsed<PropertyPath> {
        let mut steps = vec![self.step(what)?];
        while self.at.token.is_sign(".") {
            self.at.bump()?;
            if selected && self.at.token.is_sign("*") {
                self.at.bump()?;
                break;
            }
            steps.push(self.step("a property after the point")?);
        }
        if self.at.token.is_sign("(") {
            return Err(self.at.unsupported("functions are not supported"));
        }
        if self.at.token.is_sign("#") {
            return Err(self.at.unsupported("the name of a value stands by itself: #'Name'"));
        }
        Ok(PropertyPath(steps))
    }

    /// `Name`, `Class::Name`, and which of its elements.
    fn step(&mut self, what: &str) -> Parsed<Step> {
        let mut step = Step::of(self.name(what)?);
        if self.at.token.is_sign("::") {
            self.at.bump()?;
            let name = self.name("a property after ::")?;
            step.scope = Some(std::mem::replace(&mut step.name, name));
        }
        if self.at.token.is_sign("[") {
            self.at.bump()?;
            step.index = Some(match self.at.token.kind {
                // Which of both is told by the word before the property.
                Kind::Sign("*") => Index::Any,
                Kind::Number(text) => {
                    Index::At(text.parse().map_err(|_| self.at.wrong("this is no position"))?)
                }
                _ => return Err(self.at.expected("a position or *")),
            });
            self.at.bump()?;
            if self.at.token.is_sign(",") {
                return Err(self.at.unsupported("one position or all of them can be asked for"));
            }
            if !self.at.token.is_sign("]") {
                return Err(self.at.expected("]"));
            }
            self.at.bump()?;
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
            return Err(self.at.scanner.error(
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
                return Err(self.at.wrong_at(at, "expected ANY or EVERY before a property with [*]"));
            }
            (None, Some(_)) => return Err(self.at.wrong_at(at, "expected a property with [*] at its end")),
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
            return Err(self.at.wrong_at(at, "this is the object itself; expected one of its properties"));
        }
        Ok(property)
    }

    fn name(&mut self, what: &str) -> Parsed<Name> {
        match self.at.token.kind {
            Kind::Word(word) if !is_keyword(word) => {
                self.at.bump()?;
                Ok(Name::new(word))
            }
            _ => Err(self.at.expected(what)),
        }
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
