//! Whether a query fits the classes it is about.

use super::{Condition, Index, PropertyPath, Query, SYSTEM_PROPERTIES};
use crate::class::{Class, Property, find};
use crate::error::{CimError, CimStatus};
use crate::schema::Schema;
use crate::value::{CimType, Value};

/// How many names of values a message lists.
const LISTED: usize = 12;

impl Query {
    /// Checks the query against the classes and looks up the names of values, which cannot be evaluated before.
    ///
    /// Objects inside others are looked into as far as their class is declared or named by a scope.
    ///
    /// # Errors
    /// CIM_ERR_INVALID_CLASS if the class of FROM does not exist; CIM_ERR_INVALID_QUERY if a property does not exist or a test
    /// does not fit its type.
    pub fn bind(&mut self, schema: &Schema) -> Result<(), CimError> {
        let Some(class) = schema.class(self.from.as_str()) else {
            return Err(CimError::new(
                CimStatus::InvalidClass,
                format!("the class {} does not exist", self.from),
            ));
        };
        let binder = Binder { schema, class, typed: !self.fold_case };
        for path in self.select.iter().flatten() {
            if !path.plain().is_some_and(|name| SYSTEM_PROPERTIES.iter().any(|s| name.is(s))) {
                binder.declared(path)?;
            }
        }
        self.condition.as_mut().map_or(Ok(()), |c| binder.condition(c))
    }
}

struct Binder<'s> {
    schema: &'s Schema,
    class: &'s Class,
    /// Whether constants must have the kind of the property, as DMTF:CQL has it.
    typed: bool,
}

impl<'s> Binder<'s> {
    fn condition(&self, condition: &mut Condition) -> Result<(), CimError> {
        match condition {
            Condition::And(parts) | Condition::Or(parts) => {
                parts.iter_mut().try_for_each(|c| self.condition(c))
            }
            Condition::Not(inner) => self.condition(inner),
            Condition::IsNull(property) => self.declared(property).map(|_| ()),
            Condition::IsA { property, .. } if property.0.is_empty() => Ok(()),
            Condition::IsA { property, .. } => self.declared(property).map(|_| ()),
            Condition::Like { property, .. } => {
                let declared = self.declared(property)?;
                self.fits(property, declared, Some(Kind::Text))
            }
            Condition::Compare { property, constant, .. } => {
                let declared = self.declared(property)?;
                self.fits(property, declared, kind_of(constant))
            }
            Condition::CompareProperties { left, right, .. } => {
                let (a, b) = (self.declared(left)?, self.declared(right)?);
                self.fits(left, a, b.and_then(|p| kind(p.cim_type)))
            }
            Condition::CompareSymbol { property, operator, symbol } => {
                let constant = self.symbol(property, symbol)?;
                *condition = Condition::Compare { property: property.clone(), operator: *operator, constant };
                Ok(())
            }
        }
    }

    /// The declaration of a property, as far as the classes on the way are known.
    fn declared(&self, path: &PropertyPath) -> Result<Option<&'s Property>, CimError> {
        let mut class = Some(self.class);
        let mut found = None;
        for (at, step) in path.0.iter().enumerate() {
            if let Some(scope) = &step.scope {
                class = Some(self.class_named(scope.as_str())?);
            }
            found = None;
            if step.name.is("__CLASS") && at + 1 == path.0.len() {
                return Ok(None);
            }
            let Some(here) = class else { continue };
            let Some(property) = here.property(step.name.as_str()) else {
                return Err(invalid(format!("{} has no property {}", here.name, step.name)));
            };
            if step.index.is_some() && !property.is_array {
                return Err(invalid(format!("{}.{} is no array", here.name, step.name)));
            }
            if at + 1 < path.0.len() && property.embedded.is_none() {
                return Err(invalid(format!(
                    "{}.{} is no embedded object, so it has no properties",
                    here.name, step.name
                )));
            }
            class =
                property.reference_class.as_ref().and_then(|c| self.schema.class(c.as_str())).map(|c| &**c);
            found = Some(property);
        }
        if path.0.is_empty() {
            return Err(invalid("the query names an empty property".to_owned()));
        }
        Ok(found)
    }

    fn class_named(&self, name: &str) -> Result<&'s Class, CimError> {
        match self.schema.class(name) {
            Some(class) => Ok(class),
            None => Err(invalid(format!("the class {name} does not exist"))),
        }
    }

    /// Whether a property can be compared with something of this kind.
    fn fits(
        &self,
        path: &PropertyPath,
        declared: Option<&Property>,
        other: Option<Kind>,
    ) -> Result<(), CimError> {
        let Some(declared) = declared.filter(|_| self.typed) else { return Ok(()) };
        let name = &declared.name;
        let indexed = path.0.last().is_some_and(|step| step.index.is_some());
        if declared.is_array && !indexed {
            return Err(invalid(format!(
                "{name} is an array; compare one element ({name}[0]), or ANY or EVERY of {name}[*]"
            )));
        }
        match (kind(declared.cim_type), other) {
            (Some(a), Some(b)) if a != b && !(a == Kind::Time && b == Kind::Text) => Err(invalid(format!(
                "{name} is {} and does not compare with {}",
                declared.cim_type.keyword(),
                b.name()
            ))),
            _ => Ok(()),
        }
    }

    /// The number behind the name of a value (qualifiers Values and ValueMap).
    fn symbol(&self, path: &PropertyPath, symbol: &str) -> Result<Value, CimError> {
        let Some(property) = self.declared(path)? else {
            return Err(invalid(format!(
                "the class is not known whose value is named '{symbol}'; name it before the property, as in \
                 SourceInstance.CIM_ConcreteJob::JobState"
            )));
        };
        let texts = |name: &str| -> Option<Vec<&str>> {
            let value = find(&property.qualifiers, name)?.value.as_ref()?;
            Some(value.as_array()?.iter().map(|v| v.as_ref().and_then(Value::as_str).unwrap_or("")).collect())
        };
        let Some(names) = texts("Values") else {
            return Err(invalid(format!("the values of {} have no names", property.name)));
        };
        let Some(at) = names.iter().position(|n| *n == symbol) else {
            let listed: Vec<String> = names.iter().take(LISTED).map(|n| format!("'{n}'")).collect();
            let more = if names.len() > LISTED { ", …" } else { "" };
            return Err(invalid(format!(
                "{} has no value named '{symbol}'; it has {}{more}",
                property.name,
                listed.join(", ")
            )));
        };
        let code = match texts("ValueMap") {
            Some(map) => map.get(at).copied().unwrap_or_default().to_owned(),
            None => at.to_string(),
        };
        if kind(property.cim_type) == Some(Kind::Text) {
            return Ok(Value::String(code));
        }
        code.parse().map(Value::Sint64).map_err(|_| {
            invalid(format!("'{symbol}' of {} stands for {code}, which is no single value", property.name))
        })
    }
}

/// What compares with what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Number,
    Text,
    Time,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "text",
            Self::Time => "a datetime",
        }
    }
}

fn kind(cim_type: CimType) -> Option<Kind> {
    match cim_type {
        CimType::Boolean => Some(Kind::Boolean),
        CimType::String | CimType::Char16 => Some(Kind::Text),
        CimType::DateTime => Some(Kind::Time),
        CimType::Reference => None,
        _ => Some(Kind::Number),
    }
}

fn kind_of(constant: &Value) -> Option<Kind> {
    constant.cim_type().and_then(kind)
}

fn invalid(text: String) -> CimError {
    CimError::new(CimStatus::InvalidQuery, text)
}

impl Index {
    /// Whether the test is about several elements at once.
    pub fn is_quantified(self) -> bool {
        matches!(self, Self::Any | Self::Every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{Flavor, Qualifier};
    use crate::query::{Comparison, Step};
    use crate::value::Embedded;

    fn schema() -> Schema {
        let list = |name: &str, items: [&str; 2]| Qualifier {
            name: name.into(),
            cim_type: CimType::String,
            is_array: true,
            value: Some(Value::strings(items)),
            flavor: Flavor::default(),
            propagated: false,
        };
        let mut job = Class::new("Job");
        let mut state = Property::new("JobState", CimType::Uint16, None);
        state.qualifiers = vec![list("ValueMap", ["4", "8..9"]), list("Values", ["Running", "Odd"])];
        let mut status = Property::new("Status", CimType::Uint16, None);
        status.is_array = true;
        job.properties = vec![state, status, Property::new("Name", CimType::String, None)];
        let mut event = Class::new("Event");
        let mut source = Property::new("Source", CimType::String, None);
        source.embedded = Some(Embedded::Object);
        event.properties = vec![source];
        let mut schema = Schema::new();
        schema.add_class(job).unwrap();
        schema.add_class(event).unwrap();
        schema
    }

    fn bound(from: &str, condition: Condition) -> Result<Condition, String> {
        let mut query =
            Query { select: None, from: from.into(), condition: Some(condition), fold_case: false };
        query.bind(&schema()).map_err(|e| e.description)?;
        Ok(query.condition.unwrap())
    }

    fn equal(property: PropertyPath, constant: impl Into<Value>) -> Condition {
        Condition::Compare { property, operator: Comparison::Equal, constant: constant.into() }
    }

    fn named(property: PropertyPath, symbol: &str) -> Condition {
        Condition::CompareSymbol { property, operator: Comparison::Equal, symbol: symbol.to_owned() }
    }

    #[test]
    fn names_of_values_become_numbers() {
        let state = PropertyPath::of("JobState");
        assert_eq!(bound("Job", named(state.clone(), "Running")), Ok(equal(state.clone(), Value::Sint64(4))));
        let inside = PropertyPath(vec![
            "Source".into(),
            Step { scope: Some("Job".into()), name: "JobState".into(), index: None },
        ]);
        assert_eq!(bound("Event", named(inside.clone(), "Running")), Ok(equal(inside, Value::Sint64(4))));
        let wrong = |condition| bound("Job", condition).unwrap_err();
        assert!(wrong(named(state.clone(), "Nope")).contains("it has 'Running', 'Odd'"));
        assert!(wrong(named(state, "Odd")).contains("stands for 8..9"));
        assert!(wrong(named(PropertyPath::of("Name"), "x")).contains("have no names"));
        let unknown = PropertyPath(vec!["Source".into(), "JobState".into()]);
        assert!(
            bound("Event", named(unknown, "Running")).unwrap_err().contains("name it before the property")
        );
    }

    #[test]
    fn tests_must_fit_the_types() {
        let at = |index| PropertyPath(vec![Step { index: Some(index), ..Step::of("Status") }]);
        assert!(bound("Job", equal(at(Index::Any), Value::Sint64(2))).is_ok());
        let wrong = |condition| bound("Job", condition).unwrap_err();
        assert!(wrong(equal(PropertyPath::of("Status"), Value::Sint64(2))).contains("is an array"));
        assert!(wrong(equal(PropertyPath::of("JobState"), "7")).contains("does not compare with text"));
        assert!(wrong(equal(PropertyPath::of("Name"), Value::Sint64(7))).contains("a number"));
        let indexed = PropertyPath(vec![Step { index: Some(Index::At(0)), ..Step::of("Name") }]);
        assert!(wrong(equal(indexed, "x")).contains("is no array"));
        let scoped = PropertyPath(vec![Step { scope: Some("Nope".into()), ..Step::of("Name") }]);
        assert!(wrong(equal(scoped, "x")).contains("class Nope does not exist"));
    }
}
