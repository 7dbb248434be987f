//! Fragments: a part of an instance named by the simplest kind of XPath (DSP0226 7.7 and annex D.1, level 1).
//!
//! `Name`, `Name[2]`, `Name/text()`, `Name[2]/text()`, `Outer/Inner`; prefixes and a leading `/Class/` are read over.

use super::fault::{Fault, Subcode};
use super::fit::{fit_element, fit_property};
use super::uris;
use super::xml::shorten;
use cimwright_cim::{Class, Instance, Name, Property, Schema, Value};

/// How long and how deep an expression may be.
const MAX_LENGTH: usize = 1024;
const MAX_STEPS: usize = 8;

/// Which part of an instance is meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Fragment {
    /// The expression as it was given, for the answer.
    pub text: String,
    /// From the instance inwards; never empty.
    pub steps: Vec<Step>,
    /// Whether only the text is wanted.
    pub text_only: bool,
}

/// One step of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The property.
    pub name: Name,
    /// Which of its values, from 1.
    pub index: Option<usize>,
}

/// What an expression finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<'i> {
    /// The instance it is in: the given one or one embedded in it.
    pub within: &'i Instance,
    /// The property.
    pub name: &'i Name,
    /// Its value, or the one element that was asked for; `None` is NULL.
    pub value: Option<&'i Value>,
    /// Whether the property is an array of which no element was chosen.
    pub is_array: bool,
}

impl Fragment {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is not understood, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole = text.trim();
        if whole.len() > MAX_LENGTH {
            return Err(format!("an expression of more than {MAX_LENGTH} bytes"));
        }
        let unclear = || format!("the expression \"{}\" is beyond level 1 of XPath", shorten(whole));
        if whole.starts_with("//") {
            return Err(unclear());
        }
        let absolute = whole.starts_with('/');
        let mut parts: Vec<&str> = whole.trim_start_matches('/').split('/').collect();
        if absolute && parts.len() > 1 {
            // The first step of an absolute path is the instance itself.
            parts.remove(0);
        }
        let text_only = parts.last() == Some(&"text()");
        if text_only {
            parts.pop();
        }
        if parts.is_empty() || parts.len() > MAX_STEPS {
            return Err(unclear());
        }
        let mut steps = Vec::with_capacity(parts.len());
        for part in parts {
            let (name, index) = match part.strip_suffix(']') {
                None => (part, None),
                Some(part) => {
                    let (name, index) = part.split_once('[').ok_or_else(unclear)?;
                    let index = index.trim().parse().ok().filter(|i| *i > 0).ok_or_else(unclear)?;
                    (name, Some(index))
                }
            };
            let name = name.rsplit(':').next().unwrap_or_default().trim();
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                return Err(unclear());
            }
            steps.push(Step { name: Name::new(name), index });
        }
        Ok(Self { text: whole.to_owned(), steps, text_only })
    }

    /// Whether fragments are named in this dialect; the default one has no name.
    pub fn is_dialect(name: &str) -> bool {
        matches!(name, uris::XPATH | uris::XPATH_LEVEL_1 | "")
    }

    /// The part of an instance that is meant; `None` if there is no such part.
    pub fn find<'i>(&self, instance: &'i Instance) -> Option<Part<'i>> {
        let (last, front) = self.steps.split_last()?;
        let mut within = instance;
        for step in front {
            within = step.value(within)?.1?.as_instance()?;
        }
        let (name, value, is_array) = {
            let property = within.property(last.name.as_str())?;
            let (_, value) = last.value(within)?;
            (&property.name, value, property.is_array && last.index.is_none())
        };
        Some(Part { within, name, value, is_array })
    }
}

/// The property that a Put of a fragment leads to: that of the instance as it is, with the part in its new place. `given` is what
/// the body holds.
///
/// # Errors
/// wxf:InvalidRepresentation: the body holds something else, there is no such place, or the value does not fit it.
pub fn fit_fragment(
    fragment: &Fragment,
    given: &Instance,
    before: &Instance,
    class: &Class,
    schema: &Schema,
) -> Result<Property, Fault> {
    let refused = |what: String, detail| Fault::new(Subcode::InvalidRepresentation, what).detail(detail);
    let (Some(first), Some(last)) = (fragment.steps.first(), fragment.steps.last()) else {
        return Err(refused("The fragment names nothing.".to_owned(), "InvalidFragment"));
    };
    let [part] = given.properties.as_slice() else {
        let what = format!("The XmlFragment has to hold one {}, as the fragment names it.", last.name);
        return Err(refused(what, "InvalidFragment"));
    };
    if part.name != last.name {
        let what = format!("The XmlFragment holds {}, the fragment names {}.", part.name, last.name);
        return Err(refused(what, "InvalidFragment"));
    }
    let Some(declared) = class.property(first.name.as_str()) else {
        return Err(refused(format!("{} has no property {}", class.name, first.name), "InvalidFragment"));
    };
    let old = before.property(first.name.as_str()).and_then(|p| p.value.clone());
    let place = Place { declared, schema };
    let value =
        place.changed(old, &fragment.steps, part.value.clone()).map_err(|w| refused(w, "InvalidValues"))?;
    let mut property = Property::new(declared.name.clone(), declared.cim_type, value);
    property.is_array = declared.is_array;
    property.embedded = property.value.as_ref().and_then(Value::embedded).or(declared.embedded);
    Ok(property)
}

/// A property on the way to the part that is to be changed.
struct Place<'s> {
    declared: &'s Property,
    schema: &'s Schema,
}

impl Place<'_> {
    /// The value with the part that the steps lead to in its new place.
    fn changed(
        &self,
        old: Option<Value>,
        steps: &[Step],
        new: Option<Value>,
    ) -> Result<Option<Value>, String> {
        let Some((step, inner)) = steps.split_first() else { return Ok(new) };
        let name = &self.declared.name;
        let Some(index) = step.index.filter(|_| self.declared.is_array) else {
            if step.index.is_some_and(|index| index > 1) {
                return Err(format!("{name} is no array"));
            }
            if inner.is_empty() {
                return new.map(|value| fit_property(value, self.declared, self.schema)).transpose();
            }
            if self.declared.is_array {
                return Err(format!("{name} is an array: say which element, as in {name}[1]"));
            }
            return self.inside(old, inner, new);
        };
        let Some(Value::Array(mut items)) = old else { return Err(format!("{name} has no elements")) };
        let count = items.len();
        let Some(item) = items.get_mut(index - 1) else {
            return Err(format!("{name} has {count} elements, there is no {name}[{index}]"));
        };
        *item = if inner.is_empty() {
            new.map(|value| fit_element(value, self.declared, self.schema)).transpose()?
        } else {
            self.inside(item.take(), inner, new)?
        };
        Ok(Some(Value::Array(items)))
    }

    /// The same within an embedded instance.
    fn inside(
        &self,
        old: Option<Value>,
        steps: &[Step],
        new: Option<Value>,
    ) -> Result<Option<Value>, String> {
        let name = &self.declared.name;
        let Some(Value::Instance(mut instance) | Value::InstanceText(mut instance)) = old else {
            return Err(format!("{name} holds no instance now, so nothing in it can be changed"));
        };
        let step = &steps[0];
        let class = self.schema.class(instance.class.as_str());
        let Some(declared) = class.and_then(|c| c.property(step.name.as_str())) else {
            return Err(format!("{name} holds a {}, which has no property {}", instance.class, step.name));
        };
        let place = Place { declared, schema: self.schema };
        let value = place.changed(instance.get(step.name.as_str()).cloned(), steps, new)?;
        match instance.properties.iter_mut().find(|p| p.name == step.name) {
            Some(property) => property.value = value,
            None => {
                let mut property = Property::new(declared.name.clone(), declared.cim_type, value);
                property.is_array = declared.is_array;
                instance.properties.push(property);
            }
        }
        Ok(Some(Value::Instance(instance)))
    }
}

impl Step {
    fn value<'i>(&self, within: &'i Instance) -> Option<(&'i Name, Option<&'i Value>)> {
        let property = within.property(self.name.as_str())?;
        let value = match (self.index, property.value.as_ref()) {
            (None, value) => value,
            (Some(index), Some(Value::Array(items))) => items.get(index - 1)?.as_ref(),
            (Some(1), value) => value,
            (Some(_), _) => return None,
        };
        Some((&property.name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{CimType, Embedded};

    #[test]
    fn level_1_is_read() {
        let fragment = Fragment::parse(" p:Outer[2]/Inner/text() ").unwrap();
        assert!(fragment.text_only);
        assert_eq!(fragment.steps[0], Step { name: "Outer".into(), index: Some(2) });
        assert_eq!(fragment.steps[1], Step { name: "Inner".into(), index: None });
        assert_eq!(Fragment::parse("/X_Class/JobState").unwrap().steps.len(), 1);
        for bad in
            ["", "/", "text()", "a[0]", "a[x]", "a[", "a[1", "//a", "a|b", "a[@x='1']", "..", &"a/".repeat(9)]
        {
            assert!(Fragment::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_are_found() {
        let inner = Instance::new("In").with("Code", Value::Uint8(3));
        let instance = Instance::new("X")
            .with("Status", Value::uint16s([6, 17]))
            .with("Error", Value::Instance(Box::new(inner)));
        let find = |text: &str| Fragment::parse(text).unwrap().find(&instance).map(|p| p.value.cloned());
        assert_eq!(find("status[2]"), Some(Some(Value::Uint16(17))));
        assert_eq!(find("Status[3]"), None);
        assert_eq!(find("Error/Code"), Some(Some(Value::Uint8(3))));
        assert_eq!(find("Error[1]/Code"), Some(Some(Value::Uint8(3))));
        assert_eq!(find("Nothing"), None);
    }

    #[test]
    fn parts_are_put() {
        let mut outer = Class::new("X");
        let status = Property { is_array: true, ..Property::new("Status", CimType::Uint16, None) };
        let embedded = Some(Embedded::Instance);
        let error = Property { embedded, ..Property::new("Error", CimType::String, None) };
        let errors = Property { name: "Errors".into(), is_array: true, ..error.clone() };
        outer.properties = vec![status, error, errors, Property::new("Name", CimType::String, None)];
        let mut inner = Class::new("In");
        inner.properties = vec![Property::new("Code", CimType::Uint8, None)];
        let mut schema = Schema::new();
        schema.add_class(inner).unwrap();
        let code = |n| Value::Instance(Box::new(Instance::new("In").with("Code", Value::Uint8(n))));
        let before = Instance::new("X")
            .with("Status", Value::uint16s([6, 17]))
            .with("Error", code(3))
            .with("Errors", Value::Array(vec![Some(code(1)), Some(code(2))]));
        let put = |text: &str, name: &str, value: &str| {
            let given = Instance::new("X").with(name, value);
            let fragment = Fragment::parse(text).unwrap();
            let put = fit_fragment(&fragment, &given, &before, &outer, &schema);
            put.map(|p| p.value.unwrap()).map_err(|f| (f.detail.unwrap_or_default(), f.reason))
        };
        assert_eq!(put("Name/text()", "Name", "n"), Ok(Value::from("n")));
        assert_eq!(put("Status[2]", "Status", "5"), Ok(Value::uint16s([6, 5])));
        assert_eq!(put("Status", "Status", "5"), Ok(Value::uint16s([5])));
        assert_eq!(put("Error/Code", "Code", "9"), Ok(code(9)));
        assert_eq!(put("Errors[2]/Code", "Code", "9"), Ok(Value::Array(vec![Some(code(1)), Some(code(9))])));
        for (text, name, value, detail, part) in [
            ("Status[3]", "Status", "5", "InvalidValues", "has 2 elements"),
            ("Status[1]", "Status", "x", "InvalidValues", "Status"),
            ("Errors/Code", "Code", "9", "InvalidValues", "say which element"),
            ("Error/Colour", "Colour", "9", "InvalidValues", "has no property Colour"),
            ("Name[2]", "Name", "n", "InvalidValues", "is no array"),
            ("Name/Code", "Code", "9", "InvalidValues", "holds no instance"),
            ("Nothing", "Nothing", "1", "InvalidFragment", "has no property Nothing"),
            ("Status[1]", "Name", "1", "InvalidFragment", "the fragment names Status"),
        ] {
            let (found, what) = put(text, name, value).expect_err(text);
            assert!(found == detail && what.contains(part), "{text}: {found} {what}");
        }
    }
}
