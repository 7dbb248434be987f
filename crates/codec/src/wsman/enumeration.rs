//! Enumerate, Pull and their kin (DSP0226 8, DSP0227 8).

use super::association::AssociationQuery;
use super::epr;
use super::fault::{Fault, Subcode};
use super::header::{MAX_SELECTORS, Selector, selectors};
use super::time::{Expiry, parse_duration};
use super::uris;
use super::xml::{Element, Ns, shorten};
use cimwright_cim::operation::AssociationFilter;
use cimwright_cim::{Name, ObjectPath};
use std::time::Duration;

/// How many properties a filter names at most.
const MAX_PROPERTIES: usize = 1024;

/// What the items of an enumeration are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnumerationMode {
    /// Instances.
    #[default]
    Object,
    /// References to them.
    Epr,
    /// Both.
    ObjectAndEpr,
}

/// How instances of subclasses are shown (DSP0227 8.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Polymorphism {
    /// As what they are.
    #[default]
    IncludeSubClassProperties,
    /// As instances of the base class, without what the subclasses add.
    ExcludeSubClassProperties,
    /// Not at all.
    None,
}

/// Which instances are wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// A query in WQL or CQL; the language is a dialect URI.
    Query {
        /// The dialect.
        dialect: String,
        /// The query.
        text: String,
    },
    /// Instances with these values.
    Selectors(Vec<Selector>),
    /// What an instance is associated with, or the associations.
    Association(Box<AssociationQuery>),
    /// Instances of the class in the resource URI for which an expression of XPath holds.
    XPath(String),
}

/// Enumerate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Enumerate {
    /// When the context may be forgotten.
    pub expires: Option<Expiry>,
    /// Which instances.
    pub filter: Option<Filter>,
    /// Whether the first items are wanted at once.
    pub optimize: bool,
    /// How many of them at most.
    pub max_elements: Option<u32>,
    /// In which form.
    pub mode: EnumerationMode,
    /// What becomes of subclasses.
    pub polymorphism: Polymorphism,
}

/// Pull.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pull {
    /// Of which enumeration.
    pub context: String,
    /// How long to wait for items.
    pub max_time: Option<Duration>,
    /// How many items at most; 1 if the client does not say.
    pub max_elements: Option<u32>,
    /// How many characters they may have together.
    pub max_characters: Option<u64>,
}

/// Reads Enumerate.
pub(super) fn enumerate(element: Element<'_>) -> Result<Enumerate, Fault> {
    let mut enumerate = Enumerate::default();
    for child in element.children() {
        let text = child.trimmed();
        match (child.ns(), child.name()) {
            (Ns::Enumeration, "Expires") => enumerate.expires = Some(expires(text)?),
            (Ns::Wsman | Ns::Enumeration, "Filter") => {
                if enumerate.filter.is_some() {
                    return Err(Fault::new(Subcode::CannotProcessFilter, "There are two filters."));
                }
                enumerate.filter = Some(filter(child)?);
            }
            (Ns::Wsman, "OptimizeEnumeration") => enumerate.optimize = true,
            (Ns::Wsman | Ns::Enumeration, "MaxElements") => enumerate.max_elements = Some(count(text)?),
            (Ns::Wsman, "EnumerationMode") => {
                enumerate.mode = match text {
                    "EnumerateEPR" => EnumerationMode::Epr,
                    "EnumerateObjectAndEPR" => EnumerationMode::ObjectAndEpr,
                    "" | "EnumerateObject" => EnumerationMode::Object,
                    _ => {
                        let what = format!("there is no enumeration mode \"{}\"", shorten(text));
                        return Err(Fault::new(Subcode::UnsupportedFeature, what).detail("EnumerationMode"));
                    }
                }
            }
            (Ns::Binding, "PolymorphismMode") => {
                enumerate.polymorphism = match text {
                    "IncludeSubClassProperties" => Polymorphism::IncludeSubClassProperties,
                    "ExcludeSubClassProperties" => Polymorphism::ExcludeSubClassProperties,
                    "None" => Polymorphism::None,
                    _ => {
                        let what = format!("there is no polymorphism mode \"{}\"", shorten(text));
                        return Err(Fault::new(Subcode::PolymorphismModeNotSupported, what));
                    }
                }
            }
            // EndTo would be told about an end that never comes early.
            _ => {}
        }
    }
    Ok(enumerate)
}

/// Reads Pull.
pub(super) fn pull(element: Element<'_>) -> Result<Pull, Fault> {
    let mut pull = Pull { context: context(element)?, ..Pull::default() };
    for child in element.children().filter(|c| c.ns() == Ns::Enumeration) {
        let text = child.trimmed();
        match child.name() {
            "MaxTime" => {
                let time = parse_duration(text).filter(|t| !t.is_zero()).ok_or_else(|| {
                    let what = format!("MaxTime \"{}\" is no time to wait", shorten(text));
                    Fault::new(Subcode::InvalidExpirationTime, what)
                })?;
                pull.max_time = Some(time);
            }
            "MaxElements" => pull.max_elements = Some(count(text)?),
            "MaxCharacters" => {
                let characters: u64 = text.parse().map_err(|_| not_valid("MaxCharacters is no number"))?;
                pull.max_characters = Some(characters).filter(|c| *c > 0);
            }
            _ => {}
        }
    }
    Ok(pull)
}

/// The context that Pull, Release, Renew and GetStatus name.
pub(super) fn context(element: Element<'_>) -> Result<String, Fault> {
    let text = element.child_text(Ns::Enumeration, "EnumerationContext");
    text.map(str::to_owned).ok_or_else(|| not_valid("EnumerationContext is missing"))
}

/// An Expires.
pub(super) fn expires(text: &str) -> Result<Expiry, Fault> {
    Expiry::parse(text).filter(|e| *e != Expiry::After(Duration::ZERO)).ok_or_else(|| {
        let what = format!(
            "Expires \"{}\" is neither a duration, such as PT10M, nor a point in time",
            shorten(text)
        );
        Fault::new(Subcode::InvalidExpirationTime, what)
    })
}

fn count(text: &str) -> Result<u32, Fault> {
    match text.parse::<u64>() {
        Ok(n) if n > 0 => Ok(u32::try_from(n).unwrap_or(u32::MAX)),
        _ => Err(not_valid("MaxElements is no number above 0")),
    }
}

fn not_valid(what: &str) -> Fault {
    Fault::new(Subcode::SchemaValidationError, what)
}

/// A Filter of Enumerate or Subscribe.
pub(super) fn filter(element: Element<'_>) -> Result<Filter, Fault> {
    let dialect = element.attr(Ns::None, "Dialect").map(str::trim).unwrap_or(uris::XPATH);
    let bad = |what: String| Fault::new(Subcode::CannotProcessFilter, what);
    match dialect {
        uris::WQL => {
            let text = element.trimmed();
            match super::association::parse_association_query(text) {
                Some(query) => Ok(Filter::Association(Box::new(query.map_err(bad)?))),
                None => Ok(Filter::Query { dialect: dialect.to_owned(), text: text.to_owned() }),
            }
        }
        uris::CQL => Ok(Filter::Query { dialect: dialect.to_owned(), text: element.trimmed().to_owned() }),
        uris::SELECTOR_FILTER => {
            let set = element.child(Ns::Wsman, "SelectorSet");
            let set = set.ok_or_else(|| bad("the filter has no SelectorSet".to_owned()))?;
            let selectors = selectors(set).map_err(bad)?;
            // Every instance is compared with every one of them.
            if selectors.len() > MAX_SELECTORS {
                return Err(bad(format!("the filter has more than {MAX_SELECTORS} selectors")));
            }
            Ok(Filter::Selectors(selectors))
        }
        uris::ASSOCIATION_FILTER => {
            association(element).map(|q| Filter::Association(Box::new(q))).map_err(bad)
        }
        uris::XPATH | uris::XPATH_LEVEL_1 => Ok(Filter::XPath(element.trimmed().to_owned())),
        _ => Err(Fault {
            supported: [
                uris::WQL,
                uris::CQL,
                uris::SELECTOR_FILTER,
                uris::ASSOCIATION_FILTER,
                uris::XPATH,
                uris::XPATH_LEVEL_1,
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Fault::new(
                Subcode::FilterDialectRequestedUnavailable,
                format!(
                    "there are no filters in \"{}\"; the dialects that there are stand in the detail",
                    shorten(dialect)
                ),
            )
        }),
    }
}

fn association(element: Element<'_>) -> Result<AssociationQuery, String> {
    let associated = element.child(Ns::Binding, "AssociatedInstances");
    let links = element.child(Ns::Binding, "AssociationInstances");
    let inner =
        associated.or(links).ok_or("the filter asks neither for associated nor for association instances")?;
    let object = inner.child(Ns::Binding, "Object").ok_or("the filter names no Object")?;
    let epr = epr::read(object)?;
    let Some(ObjectPath::Instance(source)) = epr.path() else {
        return Err("the Object of the filter is no instance".to_owned());
    };
    let name =
        |element: &str| inner.child_text(Ns::Binding, element).filter(|t| !t.is_empty()).map(Name::new);
    let properties: Vec<Name> = inner
        .children()
        .filter(|c| c.is(Ns::Binding, "IncludeResultProperty"))
        .map(|c| Name::new(c.trimmed()))
        .take(MAX_PROPERTIES + 1)
        .collect();
    // Every property of every instance is looked for in the list.
    if properties.len() > MAX_PROPERTIES {
        return Err(format!("the filter names more than {MAX_PROPERTIES} properties"));
    }
    let (_, uris) = super::resource::Resource::parse(&epr.resource);
    Ok(AssociationQuery {
        source,
        associated: associated.is_some(),
        filter: AssociationFilter {
            assoc_class: name("AssociationClassName"),
            result_class: name("ResultClassName"),
            role: name("Role"),
            result_role: name("ResultRole"),
        },
        properties: (!properties.is_empty()).then_some(properties),
        uris: Some(uris),
    })
}
