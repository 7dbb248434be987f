//! Whether a condition holds for an instance: three-valued, `None` is unknown.

use super::{Comparison, Condition, Hierarchy, Index, PropertyPath, Step};
use crate::instance::Instance;
use crate::name::{ClassName, Name};
use crate::path::key_values_equal;
use crate::value::Value;

/// What a path leads to, if it leads to anything but NULL.
#[derive(Clone, Copy)]
enum Found<'a> {
    Value(&'a Value),
    /// `__CLASS`.
    Class(&'a ClassName),
    /// The elements of an array, of which one must pass the test, or every one.
    Elements {
        every: bool,
        items: &'a [Option<Value>],
    },
}

/// The result of a condition.
pub(super) fn evaluate(
    condition: &Condition,
    instance: &Instance,
    classes: &dyn Hierarchy,
    fold: bool,
) -> Option<bool> {
    let inner = |c: &Condition| evaluate(c, instance, classes, fold);
    match condition {
        Condition::And(all) => every(all.iter().map(inner)),
        Condition::Or(any) => one(any.iter().map(inner)),
        Condition::Not(c) => inner(c).map(|b| !b),
        Condition::IsNull(property) => {
            test(property.value_in(instance, classes), |found| Some(found.is_none()))
        }
        Condition::Like { property, pattern } => {
            test(property.value_in(instance, classes), |found| match found? {
                Found::Value(Value::String(text)) => Some(pattern.matches(text, fold)),
                Found::Class(name) => Some(pattern.matches(name.as_str(), fold)),
                Found::Value(_) | Found::Elements { .. } => None,
            })
        }
        Condition::IsA { property, class } if property.0.is_empty() => {
            Some(classes.is_a(&instance.class, class))
        }
        Condition::IsA { property, class } => {
            test(property.value_in(instance, classes), |found| match found? {
                Found::Value(value) => Some(classes.is_a(&value.as_instance()?.class, class)),
                Found::Class(_) | Found::Elements { .. } => None,
            })
        }
        Condition::Compare { property, operator, constant } => {
            let right = Some(Found::Value(constant));
            test(property.value_in(instance, classes), |left| compare_found(left, right, *operator, fold))
        }
        Condition::CompareProperties { left, operator, right } => {
            let (left, right) = (left.value_in(instance, classes), right.value_in(instance, classes));
            test(left, |left| test(right, |right| compare_found(left, right, *operator, fold)))
        }
        Condition::CompareSymbol { .. } => None,
    }
}

/// AND of three-valued results.
fn every(results: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut known = Some(true);
    for result in results {
        match result {
            Some(false) => return Some(false),
            None => known = None,
            Some(true) => {}
        }
    }
    known
}

/// OR of three-valued results.
fn one(results: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    every(results.map(|r| r.map(|b| !b))).map(|b| !b)
}

/// A test of what was found, or of each of its elements.
fn test<'a>(found: Option<Found<'a>>, test: impl Fn(Option<Found<'a>>) -> Option<bool>) -> Option<bool> {
    let Some(Found::Elements { every: all, items }) = found else { return test(found) };
    let results = items.iter().map(|item| test(item.as_ref().map(Found::Value)));
    if all { every(results) } else { one(results) }
}

fn compare_found(
    left: Option<Found<'_>>,
    right: Option<Found<'_>>,
    operator: Comparison,
    fold: bool,
) -> Option<bool> {
    let class_and = |class: &ClassName, other: &Value| Some(class.cmp(&Name::new(other.as_str()?)));
    match (left?, right?) {
        (Found::Value(a), Found::Value(b)) if matches!(b, Value::DateTime(_)) => {
            compare(b, a, operator.flipped(), fold)
        }
        (Found::Value(a), Found::Value(b)) => compare(a, b, operator, fold),
        (Found::Class(a), Found::Class(b)) => Some(operator.holds(a.cmp(b))),
        (Found::Class(a), Found::Value(b)) => class_and(a, b).map(|order| operator.holds(order)),
        (Found::Value(a), Found::Class(b)) => class_and(b, a).map(|order| operator.flipped().holds(order)),
        (Found::Elements { .. }, _) | (_, Found::Elements { .. }) => None,
    }
}

impl PropertyPath {
    fn value_in<'a>(&self, instance: &'a Instance, classes: &dyn Hierarchy) -> Option<Found<'a>> {
        let (last, front) = self.0.split_last()?;
        let mut here = instance;
        for step in front {
            match step.value_in(here, classes)? {
                Found::Value(value) => here = value.as_instance()?,
                Found::Class(_) | Found::Elements { .. } => return None,
            }
        }
        last.value_in(here, classes)
    }
}

impl Step {
    fn value_in<'a>(&self, here: &'a Instance, classes: &dyn Hierarchy) -> Option<Found<'a>> {
        if self.scope.as_ref().is_some_and(|scope| !classes.is_a(&here.class, scope)) {
            return None;
        }
        if self.name.is("__CLASS") {
            return Some(Found::Class(&here.class));
        }
        let value = here.get(self.name.as_str())?;
        let Some(index) = self.index else { return Some(Found::Value(value)) };
        let Value::Array(items) = value else { return None };
        match index {
            Index::At(at) => items.get(at as usize)?.as_ref().map(Found::Value),
            Index::Any => Some(Found::Elements { every: false, items }),
            Index::Every => Some(Found::Elements { every: true, items }),
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
