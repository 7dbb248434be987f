//! CreateInstance, and ModifyInstance and DeleteInstance of what is no job: checked against the class here, done by a provider.

use crate::authorize::Permission;
use crate::broker::Scope;
use crate::errors;
use crate::instances::present;
use crate::methods::detached;
use crate::paths;
use crate::registry::blank;
use crate::static_writes;
use crate::statistics::asking;
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::operation::OperationResult;
use cimwright_cim::{
    CimError, CimStatus, Class, ClassName, Instance, InstancePath, Name, ObjectPath, Property, Value,
};
use std::sync::Arc;

/// CreateInstance.
pub(crate) async fn create(scope: Scope, instance: Instance) -> Result<OperationResult, CimError> {
    let class = Arc::clone(scope.namespace.class(&instance.class)?);
    if class.is_abstract() || class.is_indication() {
        let what = if class.is_abstract() { "abstract" } else { "an indication" };
        let text = format!("{} is {what}: it has no instances of its own", class.name);
        return Err(CimError::not_supported(text));
    }
    let Some(provider) = scope.namespace.instances(&class.name).cloned() else {
        if !is_static(&scope, &class.name) {
            return Err(nobody("CreateInstance", &class));
        }
        return static_writes::create(scope, move |scope| {
            let class = Arc::clone(scope.namespace.class(&instance.class)?);
            complete(scope, &class, &instance)
        })
        .await;
    };
    let instance = complete(&scope, &class, &instance)?;
    detached(
        async move { asking(provider.create(scope.context(), instance)).await.map(OperationResult::Created) },
    )
    .await
}

/// ModifyInstance of an instance at an exact path that is no job.
pub(crate) async fn modify(
    scope: Scope,
    permission: Permission,
    path: InstancePath,
    instance: Instance,
    property_list: Option<Vec<Name>>,
) -> Result<OperationResult, CimError> {
    let class = Arc::clone(scope.namespace.class(&path.class)?);
    let present = present(&scope, &path).await?;
    administrators_only(&scope, permission, "ModifyInstance", &path.class)?;
    let Some(provider) = scope.namespace.instances(&class.name).cloned() else {
        if !is_static(&scope, &class.name) {
            return Err(nobody("ModifyInstance", &class));
        }
        let path = paths::normal(&scope, &path);
        return static_writes::modify(scope, path, move |scope, present| {
            let class = Arc::clone(scope.namespace.class(&present.class)?);
            let mut changed = present.clone();
            for change in changes(scope, &class, present, &instance, property_list.as_deref())? {
                if let Some(slot) = changed.properties.iter_mut().find(|p| p.name == change.name) {
                    slot.value = change.value;
                }
            }
            Ok(changed)
        })
        .await;
    };
    let changes = changes(&scope, &class, &present, &instance, property_list.as_deref())?;
    detached(async move {
        asking(provider.modify(scope.context(), &path, changes)).await?;
        Ok(OperationResult::Void)
    })
    .await
}

/// DeleteInstance of an instance at an exact path that is no job.
pub(crate) async fn delete(
    scope: Scope,
    permission: Permission,
    path: InstancePath,
) -> Result<OperationResult, CimError> {
    present(&scope, &path).await?;
    administrators_only(&scope, permission, "DeleteInstance", &path.class)?;
    let class = scope.namespace.class(&path.class)?;
    let Some(provider) = scope.namespace.instances(&class.name).cloned() else {
        if !is_static(&scope, &class.name) {
            return Err(nobody("DeleteInstance", class));
        }
        let path = paths::normal(&scope, &path);
        return static_writes::delete(scope, path).await;
    };
    detached(async move {
        asking(provider.delete(scope.context(), &path)).await?;
        Ok(OperationResult::Void)
    })
    .await
}

/// Whether the instances of a class are static: a client loaded it, so that nobody else could have any.
fn is_static(scope: &Scope, class: &ClassName) -> bool {
    !scope.namespace.brings(class)
}

/// A new instance with every property of its class, each of its declared type; what is not given has the default.
fn complete(scope: &Scope, class: &Class, given: &Instance) -> Result<Instance, CimError> {
    let mut instance = blank(class);
    for property in &given.properties {
        let Some(declared) = class.property(property.name.as_str()) else {
            return Err(no_such_property(CimStatus::InvalidParameter, class, &property.name));
        };
        let value = fit(scope, declared, property)?;
        if let Some(slot) = instance.properties.iter_mut().find(|p| p.name == declared.name) {
            slot.value = value;
        }
    }
    Ok(instance)
}

/// What ModifyInstance changes (DSP0200 5.3.2.8): the listed properties, or without a list the given ones. A listed one that is
/// not given gets the default of the class. Keys cannot change; given as they are, they are no mistake.
fn changes(
    scope: &Scope,
    class: &Class,
    present: &Instance,
    wanted: &Instance,
    list: Option<&[Name]>,
) -> Result<Vec<Property>, CimError> {
    for property in &wanted.properties {
        if class.property(property.name.as_str()).is_none() {
            return Err(no_such_property(CimStatus::NoSuchProperty, class, &property.name));
        }
    }
    let names: Vec<&Name> = match list {
        Some(list) => list.iter().collect(),
        None => wanted.properties.iter().map(|p| &p.name).collect(),
    };
    let mut changes: Vec<Property> = Vec::new();
    for name in names {
        let Some(declared) = class.property(name.as_str()) else {
            return Err(no_such_property(CimStatus::NoSuchProperty, class, name));
        };
        if changes.iter().any(|c| c.name == declared.name) {
            continue;
        }
        let value = match wanted.property(name.as_str()) {
            Some(property) => fit(scope, declared, property)?,
            None => declared.value.clone(),
        };
        if declared.is_key() {
            if value.is_some() && value.as_ref() != present.get(name.as_str()) {
                let text = format!("{name} is a key of {}; the key of an instance cannot change", class.name);
                return Err(CimError::invalid_parameter(text));
            }
            continue;
        }
        let plain = Property {
            value,
            qualifiers: Vec::new(),
            class_origin: None,
            propagated: false,
            ..declared.clone()
        };
        changes.push(plain);
    }
    Ok(changes)
}

/// The value of a property in the declared type.
fn fit(scope: &Scope, declared: &Property, given: &Property) -> Result<Option<Value>, CimError> {
    let shape =
        Declared { cim_type: declared.cim_type, is_array: declared.is_array, embedded: declared.embedded };
    let Some(value) = given.value.clone() else { return Ok(None) };
    let wrong = |why: String| CimError::invalid_parameter(format!("the property {}: {why}", declared.name));
    let mut value = coerce(value, shape, &|text| (scope.inner.parser)(text))
        .map_err(|mismatch| wrong(mismatch.to_string()))?;
    if declared.is_key() && matches!(value, Value::Instance(_) | Value::InstanceText(_) | Value::Class(_)) {
        return Err(wrong("is a key, and an object cannot be one".to_owned()));
    }
    if let (Some(most), Value::Array(items)) = (declared.array_size, &value)
        && items.len() > most as usize
    {
        return Err(wrong(format!("has {} elements, and the array is declared with {most}", items.len())));
    }
    check_embedded(scope, declared, &value).map_err(wrong)?;
    if let Value::Reference(object) = &mut value
        && let ObjectPath::Instance(path) = object.as_mut()
    {
        *path = paths::normal(scope, path);
        let schema = &scope.namespace.schema;
        let wanted = declared.reference_class.as_ref();
        let here = path.namespace.as_ref() == Some(&scope.namespace.name);
        if here
            && let Some(wanted) = wanted
            && schema.contains(path.class.as_str())
            && !schema.is_a(path.class.as_str(), wanted.as_str())
        {
            return Err(wrong(format!("refers to a {}, but must refer to a {wanted}", path.class)));
        }
    }
    Ok(Some(value))
}

/// An embedded instance must be of the declared class or a subclass (EmbeddedInstance of DSP0004), as far as both are known here.
fn check_embedded(scope: &Scope, declared: &Property, value: &Value) -> Result<(), String> {
    let schema = &scope.namespace.schema;
    let Some(wanted) = declared.reference_class.as_ref().filter(|w| schema.contains(w.as_str())) else {
        return Ok(());
    };
    let check = |value: &Value| match value.as_instance() {
        Some(given) if !schema.is_a(given.class.as_str(), wanted.as_str()) => {
            Err(format!("is a {}, but must be a {wanted}", given.class))
        }
        _ => Ok(()),
    };
    match value {
        Value::Array(items) => items.iter().flatten().try_for_each(check),
        one => check(one),
    }
}

/// Operators control their jobs; what everybody sees is the business of administrators, unless its provider knows better.
pub(crate) fn administrators_only(
    scope: &Scope,
    permission: Permission,
    operation: &str,
    class: &ClassName,
) -> Result<(), CimError> {
    let provider = scope.namespace.instances(class);
    if permission == Permission::Granted
        || permission == Permission::OwnJobs && provider.is_some_and(|p| p.knows_owners())
    {
        return Ok(());
    }
    Err(errors::denied(&scope.principal, format_args!("{operation} of {class}")))
}

fn nobody(operation: &str, class: &Class) -> CimError {
    CimError::not_supported(format!(
        "{operation} is not served for {}; jobs come from the methods of the services",
        class.name
    ))
}

fn no_such_property(status: CimStatus, class: &Class, name: &Name) -> CimError {
    CimError::new(status, format!("{} has no property {name}", class.name))
}
