//! The filters of Open… operations (FilterQueryLanguage and FilterQuery of DSP0200 5.4.2, DMTF:FQL of DSP0212): a condition on the
//! instances, looked at before anything of them is left out.

use crate::broker::Scope;
use cimwright_cim::operation::OpenOptions;
use cimwright_cim::query::{Condition, Query};
use cimwright_cim::{CimError, CimStatus, ClassName};

/// The filter on the instances of a class and its subclasses, if there is one.
///
/// # Errors
/// As the parser; CIM_ERR_INVALID_QUERY if neither the class nor any subclass has what the filter asks for.
pub(crate) fn of_class(
    scope: &Scope,
    open: &OpenOptions,
    class: &ClassName,
) -> Result<Option<Query>, CimError> {
    let Some(query) = parsed(scope, open, class)? else { return Ok(None) };
    let schema = &scope.namespace.schema;
    // What only a subclass has is NULL in the others, so that it may be asked for.
    let mut first = None;
    for class in schema.with_descendants(scope.namespace.class(class)?.name.as_str()) {
        let mut bound = Query { from: class, ..query.clone() };
        match bound.bind(schema) {
            Ok(()) => return Ok(Some(query)),
            Err(error) => first = first.or(Some(error)),
        }
    }
    first.map_or(Ok(Some(query)), Err)
}

/// The filter on instances of whatever classes, if there is one. A property that an instance does not have is NULL.
///
/// # Errors
/// As the parser.
pub(crate) fn of_any(
    scope: &Scope,
    open: &OpenOptions,
    source: &ClassName,
) -> Result<Option<Query>, CimError> {
    parsed(scope, open, source)
}

fn parsed(scope: &Scope, open: &OpenOptions, class: &ClassName) -> Result<Option<Query>, CimError> {
    let Some((language, text)) = &open.filter else { return Ok(None) };
    let Some(parser) = &scope.inner.filter_parser else {
        let text = "this server reads no filters; use OpenQueryInstances";
        return Err(CimError::new(CimStatus::FilteredEnumerationNotSupported, text));
    };
    let condition = parser(language, text)?;
    if has_symbol(&condition) {
        let text = "the names of values are part of DMTF:CQL, not of DMTF:FQL";
        return Err(CimError::new(CimStatus::QueryFeatureNotSupported, text));
    }
    Ok(Some(Query { select: None, from: class.clone(), condition: Some(condition), fold_case: false }))
}

fn has_symbol(condition: &Condition) -> bool {
    match condition {
        Condition::And(parts) | Condition::Or(parts) => parts.iter().any(has_symbol),
        Condition::Not(inner) => has_symbol(inner),
        Condition::CompareSymbol { .. } => true,
        _ => false,
    }
}
