//! A parsed query and how it is evaluated. The languages (WQL, DMTF:CQL) are parsed in the codec.

use crate::instance::Instance;
use crate::name::{ClassName, Name};
use crate::path::key_values_equal;
use crate::value::Value;
use std::cmp::Ordering;

/// A query of the form SELECT … FROM … WHERE …
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Properties to show; `None` for `*`.
    pub select: Option<Vec<PropertyPath>>,
    /// The class; its subclasses are included.
    pub from: ClassName,
    /// The condition, if there is one.
    pub condition: Option<Condition>,
    /// Whether strings compare without regard to case, as WQL does.
    pub fold_case: bool,
}

/// A property, or one inside an embedded object: `TargetInstance.JobState`.
#[derive(Clone, Debug, PartialEq)]
pub struct PropertyPath(pub Vec<Name>);

/// A condition of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// All of them hold.
    And(Vec<Condition>),
    /// At least one holds.
    Or(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// A property compared with a constant.
    Compare {
        /// The property.
        property: PropertyPath,
        /// The comparison, the property on the left.
        operator: Comparison,
        /// The constant.
        constant: Value,
    },
    /// A property is NULL.
    IsNull(PropertyPath),
    /// A string property matches a pattern.
    Like {
        /// The property.
        property: PropertyPath,
        /// The pattern.
        pattern: Pattern,
    },
    /// An embedded object (or, with an empty path, the instance itself) is of a class or a subclass of it.
    IsA {
        /// The property; empty for the instance itself.
        property: PropertyPath,
        /// The class.
        class: ClassName,
    },
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the usual six")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A LIKE pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern(pub Vec<PatternPart>);

/// A piece of a LIKE pattern.
#[derive(Clone, Debug, PartialEq)]
pub enum PatternPart {
    /// This character.
    Literal(char),
    /// Any one character: `_`.
    One,
    /// Any run of characters, also none: `%`.
    Any,
    /// One character in (or, negated, not in) these ranges.
    Set {
        /// Whether the character must be outside the ranges.
        negated: bool,
        /// Inclusive ranges.
        ranges: Vec<(char, char)>,
    },
}

/// What an evaluation needs to know about classes: whether the first is the second or a subclass of it.
pub trait Hierarchy {
    /// Whether `class` is `ancestor` or derived from it.
    fn is_a(&self, class: &ClassName, ancestor: &ClassName) -> bool;
}

impl Query {
    /// Whether the condition holds for an instance. A comparison with NULL is unknown, and unknown counts as no.
    pub fn matches(&self, instance: &Instance, classes: &dyn Hierarchy) -> bool {
        self.condition.as_ref().is_none_or(|c| c.evaluate(instance, classes, self.fold_case) == Some(true))
    }

    /// The constant that a property must equal for the condition to hold, if the condition says so: lets a query by key be
    /// answered without looking at every instance.
    pub fn required_value(&self, property: &str) -> Option<&Value> {
        fn find<'a>(condition: &'a Condition, name: &str) -> Option<&'a Value> {
            match condition {
                Condition::Compare {
                    property: PropertyPath(path),
                    operator: Comparison::Equal,
                    constant,
                } => matches!(path.as_slice(), [only] if only.is(name)).then_some(constant),
                Condition::And(all) => all.iter().find_map(|c| find(c, name)),
                _ => None,
            }
        }
        find(self.condition.as_ref()?, property)
    }
}

impl Condition {
    /// Three-valued result: `None` is unknown.
    fn evaluate(&self, instance: &Instance, classes: &dyn Hierarchy, fold: bool) -> Option<bool> {
        match self {
            Self::And(all) => {
                let mut result = Some(true);
                for c in all {
                    match c.evaluate(instance, classes, fold) {
                        Some(false) => return Some(false),
                        None => result = None,
                        Some(true) => {}
                    }
                }
                result
            }
            Self::Or(any) => {
                let mut result = Some(false);
                for c in any {
                    match c.evaluate(instance, classes, fold) {
                        Some(true) => return Some(true),
                        None => result = None,
                        Some(false) => {}
                    }
                }
                result
            }
            Self::Not(inner) => inner.evaluate(instance, classes, fold).map(|b| !b),
            Self::IsNull(property) => Some(property.value_in(instance).is_none()),
            Self::Like { property, pattern } => match property.value_in(instance)? {
                ValueOrClass::Value(Value::String(text)) => Some(pattern.matches(text, fold)),
                ValueOrClass::Class(name) => Some(pattern.matches(name.as_str(), fold)),
                ValueOrClass::Value(_) => None,
            },
            Self::IsA { property, class } => {
                let actual = if property.0.is_empty() {
                    &instance.class
                } else {
                    match property.value_in(instance)? {
                        ValueOrClass::Value(value) => &value.as_instance()?.class,
                        ValueOrClass::Class(_) => return None,
                    }
                };
                Some(classes.is_a(actual, class))
            }
            Self::Compare { property, operator, constant } => match property.value_in(instance)? {
                ValueOrClass::Class(name) => {
                    let other = constant.as_str()?;
                    let order = name.cmp(&Name::new(other));
                    Some(operator.holds(order))
                }
                ValueOrClass::Value(value) => compare(value, constant, *operator, fold),
            },
        }
    }
}

enum ValueOrClass<'a> {
    Value(&'a Value),
    Class(&'a ClassName),
}

impl PropertyPath {
    /// The path of a plain property.
    pub fn of(name: impl Into<Name>) -> Self {
        Self(vec![name.into()])
    }

    fn value_in<'a>(&self, instance: &'a Instance) -> Option<ValueOrClass<'a>> {
        let (last, front) = self.0.split_last()?;
        let mut here = instance;
        for step in front {
            here = here.get(step.as_str())?.as_instance()?;
        }
        if last.is("__CLASS") {
            return Some(ValueOrClass::Class(&here.class));
        }
        here.get(last.as_str()).map(ValueOrClass::Value)
    }
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// The operator with its sides exchanged.
    #[must_use]
    pub fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same @ (Self::Equal | Self::NotEqual) => same,
        }
    }
}

fn compare(value: &Value, constant: &Value, operator: Comparison, fold: bool) -> Option<bool> {
    if let (Some(a), Some(b)) = (number(value), number(constant)) {
        return match (a, b) {
            (Number::Integer(a), Number::Integer(b)) => Some(operator.holds(a.cmp(&b))),
            (a, b) => a.real().partial_cmp(&b.real()).map(|o| operator.holds(o)),
        };
    }
    match (value, constant) {
        (Value::String(a), Value::String(b)) => {
            let order = if fold {
                a.chars().flat_map(char::to_lowercase).cmp(b.chars().flat_map(char::to_lowercase))
            } else {
                a.cmp(b)
            };
            Some(operator.holds(order))
        }
        (Value::DateTime(a), other) => {
            let b = match other {
                Value::DateTime(b) => *b,
                Value::String(text) => text.parse().ok()?,
                _ => return None,
            };
            let order = match (a.to_unix_micros(), b.to_unix_micros(), a.to_duration(), b.to_duration()) {
                (Some(x), Some(y), ..) => x.cmp(&y),
                (_, _, Some(x), Some(y)) => x.cmp(&y),
                _ => return None,
            };
            Some(operator.holds(order))
        }
        (a, b) => match operator {
            Comparison::Equal => Some(key_values_equal(a, b)),
            Comparison::NotEqual => Some(!key_values_equal(a, b)),
            _ => None,
        },
    }
}

enum Number {
    Integer(i128),
    Real(f64),
}

impl Number {
    fn real(&self) -> f64 {
        match *self {
            Self::Integer(n) => n as f64,
            Self::Real(x) => x,
        }
    }
}

/// Booleans count as 0 and 1, as WQL has it.
fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Boolean(b) => Some(Number::Integer(i128::from(*b))),
        Value::Real32(x) => Some(Number::Real(f64::from(*x))),
        Value::Real64(x) => Some(Number::Real(*x)),
        other => other.as_i128().map(Number::Integer),
    }
}

impl Pattern {
    /// Whether the whole text matches.
    pub fn matches(&self, text: &str, fold: bool) -> bool {
        let fold_char = |c: char| if fold { c.to_lowercase().next().unwrap_or(c) } else { c };
        let text: Vec<char> = text.chars().map(fold_char).collect();
        // Iterative with one point of return, so that a hostile pattern costs at most |text| × |pattern|.
        let parts = &self.0;
        let (mut t, mut p) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while t < text.len() {
            let step = match parts.get(p) {
                Some(PatternPart::Any) => {
                    retry = Some((p, t));
                    p += 1;
                    continue;
                }
                Some(PatternPart::One) => true,
                Some(PatternPart::Literal(c)) => fold_char(*c) == text[t],
                Some(PatternPart::Set { negated, ranges }) => {
                    let inside =
                        ranges.iter().any(|(a, b)| (fold_char(*a)..=fold_char(*b)).contains(&text[t]));
                    inside != *negated
                }
                None => false,
            };
            if step {
                t += 1;
                p += 1;
            } else if let Some((any, from)) = retry {
                retry = Some((any, from + 1));
                p = any + 1;
                t = from + 1;
            } else {
                return false;
            }
        }
        parts[p..].iter().all(|part| *part == PatternPart::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Flat;
    impl Hierarchy for Flat {
        fn is_a(&self, class: &ClassName, ancestor: &ClassName) -> bool {
            class == ancestor
        }
    }

    fn job() -> Instance {
        Instance::new("Job")
            .with("JobState", Value::Uint16(7))
            .with("Name", "Convert")
            .with("Target", Value::Instance(Box::new(Instance::new("Disk").with("Size", Value::Uint64(5)))))
    }

    fn query(condition: Condition) -> Query {
        Query { select: None, from: "Job".into(), condition: Some(condition), fold_case: true }
    }

    fn equals(name: &str, constant: impl Into<Value>) -> Condition {
        Condition::Compare {
            property: PropertyPath::of(name),
            operator: Comparison::Equal,
            constant: constant.into(),
        }
    }

    #[test]
    fn null_is_unknown_and_not_of_unknown_is_unknown() {
        assert!(!query(equals("Missing", "x")).matches(&job(), &Flat));
        assert!(!query(Condition::Not(Box::new(equals("Missing", "x")))).matches(&job(), &Flat));
        assert!(query(Condition::IsNull(PropertyPath::of("Missing"))).matches(&job(), &Flat));
        let either = Condition::Or(vec![equals("Missing", "x"), equals("JobState", Value::Sint64(7))]);
        assert!(query(either).matches(&job(), &Flat));
    }

    #[test]
    fn strings_fold_case_and_embedded_objects_are_reached() {
        assert!(query(equals("name", "CONVERT")).matches(&job(), &Flat));
        let inner = Condition::Compare {
            property: PropertyPath(vec!["Target".into(), "Size".into()]),
            operator: Comparison::Greater,
            constant: Value::Sint64(4),
        };
        assert!(query(inner).matches(&job(), &Flat));
        let is_a = Condition::IsA { property: PropertyPath::of("Target"), class: "disk".into() };
        assert!(query(is_a).matches(&job(), &Flat));
        assert!(query(equals("__CLASS", "job")).matches(&job(), &Flat));
    }

    #[test]
    fn a_key_equality_is_found_under_and_only() {
        let q = query(Condition::And(vec![equals("JobState", Value::Sint64(7)), equals("InstanceID", "a")]));
        assert_eq!(q.required_value("instanceid"), Some(&Value::from("a")));
        let q = query(Condition::Or(vec![equals("InstanceID", "a"), equals("InstanceID", "b")]));
        assert_eq!(q.required_value("InstanceID"), None);
    }

    #[test]
    fn patterns_match_whole_texts() {
        use PatternPart::{Any, Literal, One, Set};
        let p = Pattern(vec![Any, Literal('n'), One, Any, Set { negated: false, ranges: vec![('q', 'u')] }]);
        assert!(p.matches("Convert", true));
        assert!(!p.matches("Converted", true));
        assert!(Pattern(vec![Any]).matches("", true));
        assert!(!Pattern(vec![]).matches("x", true));
    }
}
