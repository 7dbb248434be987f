//! Query languages: the text of a query to [`cimwright_cim::query::Query`], which knows how to evaluate itself.
//!
//! One module per language. [`parse`] is the only place that knows which languages there are: a new one is a variant of
//! `Language`, a name in [`LANGUAGES`] and a module.

mod cql;
mod pattern;
mod scan;
mod shared;
#[cfg(test)]
mod tests;
mod wql;

use cimwright_cim::query::{Condition, Query};
use cimwright_cim::{CimError, CimStatus};

/// The longest query that is read, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;

/// The deepest nesting of parentheses and NOT.
pub const MAX_DEPTH: u32 = 64;

/// The most tests that a condition joins. All of them may be made with every instance.
pub const MAX_TESTS: usize = 1024;

/// The most properties that are selected. Each property of every instance is looked for among them.
pub const MAX_SELECTED: usize = 1024;

/// The longest pattern of LIKE, in bytes. Matching costs its length times that of the text.
pub const MAX_PATTERN: usize = 1024;

/// The names of the languages served, as QueryCapabilities and error messages show them.
pub const LANGUAGES: &[&str] = &["WQL", "DMTF:CQL"];

enum Language {
    Wql,
    Cql,
}

impl Language {
    /// The language with this name in any case, or with this WS-Management dialect URI. CIM:CQL is what DMTF:CQL was called first.
    fn named(name: &str) -> Option<Self> {
        const WQL: [&str; 2] = ["WQL", "http://schemas.microsoft.com/wbem/wsman/1/WQL"];
        const CQL: [&str; 3] = ["DMTF:CQL", "CIM:CQL", "http://schemas.dmtf.org/wbem/cql/1/dsp0202.pdf"];
        let name = name.trim();
        let is = |names: &[&str]| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        match () {
            () if is(&WQL) => Some(Self::Wql),
            () if is(&CQL) => Some(Self::Cql),
            () => None,
        }
    }
}

/// The text of a query and its language, one of [`LANGUAGES`], for protocols that carry one.
pub fn query_text(query: &Query) -> (String, &'static str) {
    (crate::cimxml::query_text::query_text(query), crate::cimxml::query_text::language(query))
}

/// The language of filters on Open… operations (DSP0212).
pub const FILTER_LANGUAGE: &str = "DMTF:FQL";

/// Reads the filter of an Open… operation: a condition on the objects that it would give. Strings compare by their characters.
///
/// # Errors
/// As [`parse`]; the one language is [`FILTER_LANGUAGE`].
pub fn parse_filter(language: &str, text: &str) -> Result<Condition, CimError> {
    if !language.trim().eq_ignore_ascii_case(FILTER_LANGUAGE) {
        let shown: String = language.chars().take(80).collect();
        return Err(CimError::new(
            CimStatus::QueryLanguageNotSupported,
            format!("the filter language \"{shown}\" is not supported; supported: {FILTER_LANGUAGE}"),
        ));
    }
    short_enough(text)?;
    cql::parse_condition(text)
}

/// Reads a query.
///
/// # Errors
/// - CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED for a language not among [`LANGUAGES`];
/// - CIM_ERR_INVALID_QUERY for a text that is not of the language, with the position, what stands there and what should;
/// - CIM_ERR_QUERY_FEATURE_NOT_SUPPORTED for parts of the language that are not served.
pub fn parse(language: &str, text: &str) -> Result<Query, CimError> {
    let Some(language) = Language::named(language) else {
        let shown: String = language.chars().take(80).collect();
        return Err(CimError::new(
            CimStatus::QueryLanguageNotSupported,
            format!("the query language \"{shown}\" is not supported; supported: {}", LANGUAGES.join(", ")),
        ));
    };
    short_enough(text)?;
    match language {
        Language::Wql => wql::parse(text),
        Language::Cql => cql::parse(text),
    }
}

fn short_enough(text: &str) -> Result<(), CimError> {
    if text.len() <= MAX_LENGTH {
        return Ok(());
    }
    Err(CimError::new(
        CimStatus::InvalidQuery,
        format!("the query is {} bytes long; at most {MAX_LENGTH} are read", text.len()),
    ))
}
