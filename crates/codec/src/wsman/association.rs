//! What an instance is associated with: the filter of DSP0227 8.2.6 and its two forms in WQL, `ASSOCIATORS OF {path} WHERE …`
//! and `REFERENCES OF {path} WHERE …`.

use super::resource::ClassUris;
use crate::uri;
use cimwright_cim::operation::AssociationFilter;
use cimwright_cim::{InstancePath, Name, ObjectPath};

/// The longest query that is read, in bytes.
const MAX_LENGTH: usize = 64 * 1024;

/// Which associations or associated instances are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct AssociationQuery {
    /// From where.
    pub source: InstancePath,
    /// Whether the other ends are wanted, rather than the associations themselves.
    pub associated: bool,
    /// Which of them.
    pub filter: AssociationFilter,
    /// Only these properties; `None` for all.
    pub properties: Option<Vec<Name>>,
    /// How the source spells class URIs, if it has one.
    pub uris: Option<ClassUris>,
}

/// Reads `ASSOCIATORS OF` or `REFERENCES OF`; `None` if the text is neither.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn parse_association_query(text: &str) -> Option<Result<AssociationQuery, String>> {
    let mut words = text.split_whitespace();
    let associated = match words.next()? {
        word if word.eq_ignore_ascii_case("ASSOCIATORS") => true,
        word if word.eq_ignore_ascii_case("REFERENCES") => false,
        _ => return None,
    };
    let of = words.next()?;
    (of.eq_ignore_ascii_case("OF") || of.get(..3).is_some_and(|o| o.eq_ignore_ascii_case("OF{")))
        .then(|| read(text, associated))
}

fn read(text: &str, associated: bool) -> Result<AssociationQuery, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("a query of more than {MAX_LENGTH} bytes"));
    }
    let (_, rest) = text
        .split_once('{')
        .ok_or("the path of the instance has to stand in braces: ASSOCIATORS OF {Class.Key=\"value\"}")?;
    let end = end_of_path(rest).ok_or("the query has no } after the path")?;
    let (path, rest) = (rest[..end].trim(), rest[end + 1..].trim());
    let source = match uri::parse(path) {
        Ok(ObjectPath::Instance(path)) => path,
        Ok(ObjectPath::Class(_)) => {
            return Err(format!("{path} is a class; the path of an instance is expected"));
        }
        Err(error) => return Err(error.to_string()),
    };
    let mut query = AssociationQuery {
        source,
        associated,
        filter: AssociationFilter::default(),
        properties: None,
        uris: None,
    };
    if rest.is_empty() {
        return Ok(query);
    }
    let conditions = match rest.get(..5) {
        Some(word) if word.eq_ignore_ascii_case("WHERE") => &rest[5..],
        _ => return Err("after the path, WHERE is expected".to_owned()),
    };
    // Spaces around = are allowed, and nothing stands between conditions but spaces.
    let spaced = conditions.replace('=', " = ");
    let mut words = spaced.split_whitespace();
    while let Some(key) = words.next() {
        if words.next() != Some("=") {
            return Err(format!(
                "{key} is not served; AssocClass, ResultClass, Role and ResultRole = NAME are"
            ));
        }
        let name = words.next().ok_or_else(|| format!("{key} = has no name behind it"))?;
        let name = Some(Name::new(name.trim_matches(['\'', '"'])));
        let filter = &mut query.filter;
        match key.to_ascii_lowercase().as_str() {
            "assocclass" if associated => filter.assoc_class = name,
            "resultclass" => filter.result_class = name,
            "role" => filter.role = name,
            "resultrole" if associated => filter.result_role = name,
            _ => return Err(format!("{key} has no place in this query")),
        }
    }
    Ok(query)
}

/// Where the path ends: at the first } that is not within quotes.
fn end_of_path(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_are_read() {
        let query = parse_association_query(
            "associators of {Msvm_ConcreteJob.InstanceID=\"a}b\"} where AssocClass = Msvm_AffectedJobElement \
             ResultClass=CIM_System Role=AffectingElement resultrole = AffectedElement",
        );
        let query = query.unwrap().unwrap();
        assert!(query.associated);
        assert_eq!(query.source.key_str("InstanceID"), Some("a}b"));
        assert_eq!(query.filter.assoc_class, Some("Msvm_AffectedJobElement".into()));
        assert_eq!(query.filter.result_role, Some("AffectedElement".into()));
        let query = parse_association_query("REFERENCES OF{X.K=1}").unwrap().unwrap();
        assert!(!query.associated && query.filter == AssociationFilter::default());
        assert_eq!(parse_association_query("SELECT * FROM X"), None);
        assert_eq!(parse_association_query("ASSOCIATORS X"), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for bad in [
            "ASSOCIATORS OF X",
            "ASSOCIATORS OF {X.K=1",
            "ASSOCIATORS OF {X}",
            "ASSOCIATORS OF {X.K=1} AND",
            "ASSOCIATORS OF {X.K=1} WHERE ClassDefsOnly",
            "ASSOCIATORS OF {X.K=1} WHERE Role =",
            "REFERENCES OF {X.K=1} WHERE AssocClass = Y",
        ] {
            assert!(parse_association_query(bad).unwrap().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(ASSOCIATORS OF |REFERENCES OF |OF|\\{|\\}|\"|\\\\|=|é| |WHERE|Role){0,20}") {
            let _ = parse_association_query(&text);
        }
    }
}
