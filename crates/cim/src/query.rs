//! A parsed query and how it is evaluated. The languages (WQL, DMTF:CQL) are parsed in the codec.

mod bind;
mod evaluate;
mod pattern;

pub use pattern::{Pattern, PatternPart};

use crate::instance::Instance;
use crate::name::{ClassName, Name};
use crate::value::Value;
use std::cmp::Ordering;

/// System properties that can be selected (WQL).
pub const SYSTEM_PROPERTIES: [&str; 4] = ["__CLASS", "__PATH", "__RELPATH", "__NAMESPACE"];

/// A query of the form SELECT … FROM … WHERE …
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Properties to show; `None` for `*`.
    pub select: Option<Vec<PropertyPath>>,
    /// The class; its subclasses are included.
    pub from: ClassName,
    /// The condition, if there is one.
    pub condition: Option<Condition>,
    /// Whether strings compare without regard to case: as WQL does, and as DMTF:CQL does not.
    pub fold_case: bool,
}

/// A property, or one inside an embedded object: `TargetInstance.JobState`.
#[derive(Clone, Debug, PartialEq)]
pub struct PropertyPath(pub Vec<Step>);

/// A property on the way to the one that is meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The class that the object must be of (`CIM_ConcreteJob::JobState`); in an object of another class the property is NULL.
    pub scope: Option<ClassName>,
    /// The name of the property.
    pub name: Name,
    /// Which elements of an array are meant.
    pub index: Option<Index>,
}

/// Which elements of an array a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// The element at this position, from 0; NULL where there is none.
    At(u32),
    /// `ANY …[*]`: the test holds if it holds for one element.
    Any,
    /// `EVERY …[*]`: the test holds if it holds for all elements.
    Every,
}

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
    /// A property compared with another one (DMTF:CQL).
    CompareProperties {
        /// The left one.
        left: PropertyPath,
        /// The comparison.
        operator: Comparison,
        /// The right one.
        right: PropertyPath,
    },
    /// A property compared with the number that its qualifier Values gives this name: `JobState = #'Completed'` (DMTF:CQL). Unknown
    /// until [`Query::bind`] has looked the name up.
    CompareSymbol {
        /// The property.
        property: PropertyPath,
        /// The comparison, the property on the left.
        operator: Comparison,
        /// The name among the Values.
        symbol: String,
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

/// What an evaluation needs to know about classes: whether the first is the second or a subclass of it.
pub trait Hierarchy {
    /// Whether `class` is `ancestor` or derived from it.
    fn is_a(&self, class: &ClassName, ancestor: &ClassName) -> bool;
}

impl Query {
    /// Whether the condition holds for an instance. A comparison with NULL is unknown, and unknown counts as no.
    pub fn matches(&self, instance: &Instance, classes: &dyn Hierarchy) -> bool {
        self.condition
            .as_ref()
            .is_none_or(|c| evaluate::evaluate(c, instance, classes, self.fold_case) == Some(true))
    }

    /// The constant that a property must equal for the condition to hold, if the condition says so: lets a query by key be
    /// answered without looking at every instance.
    pub fn required_value(&self, property: &str) -> Option<&Value> {
        fn find<'a>(condition: &'a Condition, name: &str) -> Option<&'a Value> {
            match condition {
                Condition::Compare { property, operator: Comparison::Equal, constant } => {
                    property.plain().is_some_and(|p| p.is(name)).then_some(constant)
                }
                Condition::And(all) => all.iter().find_map(|c| find(c, name)),
                _ => None,
            }
        }
        find(self.condition.as_ref()?, property)
    }
}

impl PropertyPath {
    /// The path of a plain property.
    pub fn of(name: impl Into<Name>) -> Self {
        Self(vec![Step::of(name)])
    }

    /// The name, if the path is that of a plain property of the object itself.
    pub fn plain(&self) -> Option<&Name> {
        match self.0.as_slice() {
            [Step { scope: None, name, index: None }] => Some(name),
            _ => None,
        }
    }

    /// With ANY in the place of EVERY and the other way round, if it is `negated`: what is not so of one element is the opposite of
    /// what is so of every one.
    #[must_use]
    pub fn opposed(mut self, negated: bool) -> Self {
        let index = self.0.last_mut().and_then(|step| step.index.as_mut());
        match index.filter(|_| negated) {
            Some(index @ Index::Any) => *index = Index::Every,
            Some(index @ Index::Every) => *index = Index::Any,
            _ => {}
        }
        self
    }
}

impl Step {
    /// The step to a property, whole and in an object of any class.
    pub fn of(name: impl Into<Name>) -> Self {
        Self { scope: None, name: name.into(), index: None }
    }
}

impl<T: Into<Name>> From<T> for Step {
    fn from(name: T) -> Self {
        Self::of(name)
    }
}

impl Comparison {
    pub(super) fn holds(self, order: Ordering) -> bool {
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
}
