//! GetProperty and SetProperty: deprecated by DSP0200 1.4 in favour of GetInstance and ModifyInstance, and done by them.

use crate::authorize::Permission;
use crate::broker::Scope;
use crate::instances;
use crate::paths;
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::operation::{InstanceOptions, OperationResult};
use cimwright_cim::{CimError, CimStatus, Instance, InstancePath, Name, Property, Value};

/// GetProperty.
pub(crate) async fn get(
    scope: &Scope,
    path: &InstancePath,
    property: &Name,
) -> Result<OperationResult, CimError> {
    declared(scope, path, property)?;
    let options =
        InstanceOptions { property_list: Some(vec![property.clone()]), ..InstanceOptions::default() };
    let instance = instances::get(scope, path, &options).await?;
    Ok(OperationResult::Property(instance.get(property.as_str()).cloned()))
}

/// SetProperty. A value that does not fit the declaration is CIM_ERR_TYPE_MISMATCH here, unlike in ModifyInstance.
pub(crate) async fn set(
    scope: Scope,
    permission: Permission,
    path: InstancePath,
    property: Name,
    value: Option<Value>,
) -> Result<OperationResult, CimError> {
    let declared = declared(&scope, &path, &property)?;
    let shape =
        Declared { cim_type: declared.cim_type, is_array: declared.is_array, embedded: declared.embedded };
    let value = value.map(|v| coerce(v, shape, &|text| (scope.inner.parser)(text))).transpose().map_err(
        |mismatch| CimError::new(CimStatus::TypeMismatch, format!("the property {property}: {mismatch}")),
    )?;
    let exact = paths::exact(&scope.namespace, &path)?;
    let instance = Instance {
        class: exact.class.clone(),
        path: Some(exact),
        properties: vec![Property { value, qualifiers: Vec::new(), ..declared }],
    };
    instances::modify(scope, permission, instance, Some(vec![property])).await
}

fn declared(scope: &Scope, path: &InstancePath, property: &Name) -> Result<Property, CimError> {
    let class = scope.namespace.class(&path.class)?;
    class.property(property.as_str()).cloned().ok_or_else(|| {
        CimError::new(CimStatus::NoSuchProperty, format!("{} has no property {property}", class.name))
    })
}
