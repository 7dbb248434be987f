//! Parameters of a method, fitted to their declarations on the way in and on the way out.

use crate::broker::Scope;
use cimwright_cim::class::find;
use cimwright_cim::coerce::{Declared, TypeMismatch, coerce};
use cimwright_cim::{
    CimError, ClassName, Embedded, Instance, Method, Name, ObjectPath, Param, Parameter, Property, Schema,
    Value,
};

/// The input parameters of a call, each of its declared type, in declared order.
///
/// # Errors
/// CIM_ERR_INVALID_PARAMETER naming the parameter: unknown, given twice, missing although required, or of a value that cannot
/// be meant.
pub(crate) fn fit_in(scope: &Scope, method: &Method, given: Vec<Param>) -> Result<Vec<Param>, CimError> {
    for (at, param) in given.iter().enumerate() {
        let Some(declared) = method.parameter(param.name.as_str()) else {
            return Err(unknown(method, &param.name));
        };
        if given[..at].iter().any(|p| p.name == param.name) {
            return Err(wrong(method, &param.name, "is given twice"));
        }
        // Some clients send every parameter of the method, the outgoing ones as NULL.
        if !declared.is_in() && param.value.is_some() {
            return Err(wrong(method, &param.name, "is an output parameter"));
        }
    }
    let mut given = given;
    let mut fitted = Vec::with_capacity(given.len());
    for declared in method.parameters.iter().filter(|p| p.is_in()) {
        let value = match given.iter().position(|p| p.name == declared.name) {
            Some(at) => given.swap_remove(at).value,
            None if declared.is_required() => return Err(wrong(method, &declared.name, "is required")),
            None => continue,
        };
        let value = match value {
            Some(value) => Some(fit_value(scope, method, declared, value)?),
            None if declared.is_required() => {
                return Err(wrong(method, &declared.name, "is required and must not be NULL"));
            }
            None => None,
        };
        fitted.push(declared_param(declared, value));
    }
    Ok(fitted)
}

/// The output parameters of an answer, as declared and in declared order; NULL ones are left out.
pub(crate) fn fit_out(scope: &Scope, method: &Method, mut given: Vec<Param>) -> Vec<Param> {
    let mut fitted = Vec::with_capacity(given.len());
    for declared in method.parameters.iter().filter(|p| p.is_out()) {
        let Some(at) = given.iter().position(|p| p.name == declared.name) else { continue };
        let Some(value) = given.swap_remove(at).value else { continue };
        match coerce(plain(value, declared.embedded), shape(declared), &|text| (scope.inner.parser)(text)) {
            Ok(value) => fitted.push(declared_param(declared, Some(value))),
            Err(mismatch) => {
                tracing::error!(method = %method.name, parameter = %declared.name, %mismatch, "a provider answered a value that the method does not declare");
            }
        }
    }
    for left in given {
        tracing::error!(method = %method.name, parameter = %left.name, "a provider answered a parameter that the method does not declare");
    }
    fitted
}

/// An output parameter as declared, with a value that is known to fit.
pub(crate) fn declared_param(declared: &Parameter, value: Option<Value>) -> Param {
    Param {
        name: declared.name.clone(),
        cim_type: Some(declared.cim_type),
        is_array: declared.is_array,
        embedded: value.as_ref().and_then(Value::embedded).or(declared.embedded),
        value,
    }
}

fn fit_value(scope: &Scope, method: &Method, declared: &Parameter, value: Value) -> Result<Value, CimError> {
    let refuse = |mismatch: TypeMismatch| wrong(method, &declared.name, &format!("is wrong: {mismatch}"));
    let mut value = coerce(value, shape(declared), &|text| (scope.inner.parser)(text)).map_err(refuse)?;
    let schema = &scope.namespace.schema;
    let wanted = expected_class(declared);
    let check = |value: &mut Value| match value {
        Value::Reference(path) => check_reference(schema, path, wanted.as_ref()),
        Value::Instance(instance) if declared.embedded.is_some() => {
            fit_instance(scope, instance, wanted.as_ref())
        }
        _ => Ok(()),
    };
    match &mut value {
        Value::Array(items) => items.iter_mut().flatten().try_for_each(check),
        one => check(one),
    }
    .map_err(|what| wrong(method, &declared.name, &what))?;
    Ok(value)
}

/// The class of a reference or an embedded instance: the declaration's own field, or the qualifier that says it.
fn expected_class(declared: &Parameter) -> Option<ClassName> {
    declared.reference_class.clone().or_else(|| {
        let qualifier = find(&declared.qualifiers, "EmbeddedInstance")?;
        qualifier.value.as_ref()?.as_str().map(Name::new)
    })
}

/// A reference into another namespace may be to a class that is unknown here.
fn check_reference(schema: &Schema, path: &ObjectPath, wanted: Option<&ClassName>) -> Result<(), String> {
    let Some(wanted) = wanted else { return Ok(()) };
    let class = path.class();
    if !schema.contains(class.as_str()) || schema.is_a(class.as_str(), wanted.as_str()) {
        return Ok(());
    }
    Err(format!("refers to a {class}, but must refer to a {wanted}"))
}

/// Gives the properties of an embedded instance their declared types: senders write `string` for everything.
fn fit_instance(scope: &Scope, instance: &mut Instance, wanted: Option<&ClassName>) -> Result<(), String> {
    let schema = &scope.namespace.schema;
    let Some(class) = schema.class(instance.class.as_str()) else {
        return Err(format!("holds an instance of {}, a class that does not exist here", instance.class));
    };
    if let Some(wanted) = wanted
        && !schema.is_a(class.name.as_str(), wanted.as_str())
    {
        return Err(format!("holds an instance of {}, but must hold one of {wanted}", class.name));
    }
    instance.class = class.name.clone();
    let given = std::mem::take(&mut instance.properties);
    for property in given {
        let Some(declared) = class.property(property.name.as_str()) else {
            // Newer systems know more properties; as long as they say nothing, nothing is lost.
            if property.value.is_none() {
                continue;
            }
            return Err(format!("holds the property {}, which {} does not have", property.name, class.name));
        };
        let shape = Declared {
            cim_type: declared.cim_type,
            is_array: declared.is_array,
            embedded: declared.embedded,
        };
        let value = property
            .value
            .map(|v| coerce(v, shape, &|text| (scope.inner.parser)(text)))
            .transpose()
            .map_err(|mismatch| format!("is wrong in the property {}: {mismatch}", declared.name))?;
        instance.properties.push(Property {
            value,
            qualifiers: Vec::new(),
            propagated: false,
            class_origin: None,
            ..declared.clone()
        });
    }
    Ok(())
}

/// A string that is not declared as embedded carries the text of an instance: Hyper-V's way.
fn plain(value: Value, embedded: Option<Embedded>) -> Value {
    match (value, embedded) {
        (Value::Instance(instance), None) => Value::InstanceText(instance),
        (Value::Array(items), None) => {
            Value::Array(items.into_iter().map(|item| item.map(|v| plain(v, None))).collect())
        }
        (value, _) => value,
    }
}

fn shape(declared: &Parameter) -> Declared {
    Declared { cim_type: declared.cim_type, is_array: declared.is_array, embedded: declared.embedded }
}

fn unknown(method: &Method, name: &Name) -> CimError {
    let declared: Vec<&str> =
        method.parameters.iter().filter(|p| p.is_in()).map(|p| p.name.as_str()).collect();
    let list = if declared.is_empty() { "none".to_owned() } else { declared.join(", ") };
    CimError::invalid_parameter(format!(
        "{} has no parameter {name}; its input parameters are: {list}",
        method.name
    ))
}

fn wrong(method: &Method, name: &Name, what: &str) -> CimError {
    CimError::invalid_parameter(format!("{}: the parameter {name} {what}", method.name))
}
