//! Fragments: a part of an instance named by the simplest kind of XPath (DSP0226 7.7 and annex D.1, level 1).
//!
//! `Name`, `Name[2]`, `Name/text()`, `Name[2]/text()`, `Outer/Inner`; prefixes and a leading `/Class/` are read over.

use super::uris;
use super::xml::shorten;
use cimwright_cim::{Instance, Name, Value};

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
}
