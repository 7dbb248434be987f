//! Texts meet the class: values get the types that the class declares, and selectors become keys.

use super::epr::{NAMESPACE_SELECTOR, keys_of};
use super::fault::{Fault, Subcode};
use super::header::Selector;
use super::octets;
use super::time::parse_cim;
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::{
    CimType, Class, Instance, InstancePath, KeyBinding, Method, Name, NamespaceName, ObjectPath, Param,
    Property, Schema, Value,
};

/// The keys that selectors give, and those that they do not.
#[derive(Clone, Debug)]
pub struct SelectedKeys {
    /// The keys that are given, of their declared types.
    pub keys: Vec<KeyBinding>,
    /// The names of the others.
    pub missing: Vec<Name>,
}

impl SelectedKeys {
    /// The path of an instance of which all keys are given.
    ///
    /// # Errors
    /// wsman:InvalidSelectors when one is missing.
    pub fn path(self, class: &Class, namespace: NamespaceName) -> Result<InstancePath, Fault> {
        match self.missing.first() {
            None => Ok(InstancePath {
                host: None,
                namespace: Some(namespace),
                class: class.name.clone(),
                keys: self.keys,
            }),
            Some(name) => {
                let text = format!("the selector {name} is missing");
                Err(Fault::new(Subcode::InvalidSelectors, text).detail("InsufficientSelectors"))
            }
        }
    }
}

/// The keys of a class among selectors.
///
/// # Errors
/// wsman:InvalidSelectors for a selector that is no key, or whose value is not of the key's type.
pub fn selected_keys(selectors: &[Selector], class: &Class, schema: &Schema) -> Result<SelectedKeys, Fault> {
    let given = keys_of(selectors);
    if let Some(unknown) = given.iter().find(|g| !class.keys().any(|k| k.name == g.name)) {
        let text = format!("{} has no key {}", class.name, unknown.name);
        return Err(Fault::new(Subcode::InvalidSelectors, text).detail("UnexpectedSelectors"));
    }
    let mut selected = SelectedKeys { keys: Vec::new(), missing: Vec::new() };
    for key in class.keys() {
        match given.iter().find(|g| g.name == key.name) {
            None => selected.missing.push(key.name.clone()),
            Some(binding) => {
                let declared = Declared { cim_type: key.cim_type, is_array: false, embedded: None };
                let value = fit(binding.value.clone(), declared, schema).map_err(|what| {
                    let text = format!("the selector {} is wrong: {what}", key.name);
                    Fault::new(Subcode::InvalidSelectors, text).detail("TypeMismatch")
                })?;
                selected.keys.push(KeyBinding { name: key.name.clone(), value });
            }
        }
    }
    Ok(selected)
}

/// Whether there are selectors beside the namespace.
pub fn has_keys(selectors: &[Selector]) -> bool {
    selectors.iter().any(|s| !s.name.is(NAMESPACE_SELECTOR))
}

/// Gives the properties of an instance the types that its class declares.
///
/// # Errors
/// wxf:InvalidRepresentation naming the property that the class does not have, or whose value does not fit.
pub fn fit_instance(instance: &mut Instance, class: &Class, schema: &Schema) -> Result<(), Fault> {
    fit_properties(instance, class, schema)
        .map_err(|what| Fault::new(Subcode::InvalidRepresentation, what).detail("InvalidValues"))
}

/// Gives parameters the types that their method declares. Unknown ones are left as they are: the object manager refuses them.
///
/// # Errors
/// wsman:InvalidParameter naming the parameter whose value does not fit.
pub fn fit_params(params: &mut [Param], method: &Method, schema: &Schema) -> Result<(), Fault> {
    for param in params {
        let Some(declared) = method.parameter(param.name.as_str()) else { continue };
        let shape = Declared {
            cim_type: declared.cim_type,
            is_array: declared.is_array,
            embedded: declared.embedded,
        };
        if let Some(value) = param.value.take() {
            let value = octets::read(value, octets::is_parameter(declared));
            let value = fit(value, shape, schema).map_err(|what| {
                let text = format!("{}: the parameter {} is wrong: {what}", method.name, declared.name);
                Fault::new(Subcode::InvalidParameter, text).detail("TypeMismatch")
            })?;
            param.embedded = value.embedded();
            param.value = Some(value);
        }
        param.cim_type = Some(declared.cim_type);
        param.is_array = declared.is_array;
    }
    Ok(())
}

fn fit_properties(instance: &mut Instance, class: &Class, schema: &Schema) -> Result<(), String> {
    instance.class = class.name.clone();
    for property in &mut instance.properties {
        let Some(declared) = class.property(property.name.as_str()) else {
            return Err(format!("{} has no property {}", class.name, property.name));
        };
        if let Some(value) = property.value.take() {
            let value = fit_property(value, declared, schema)?;
            property.embedded = value.embedded().or(declared.embedded);
            property.value = Some(value);
        }
        property.name = declared.name.clone();
        property.cim_type = declared.cim_type;
        property.is_array = declared.is_array;
    }
    Ok(())
}

/// A value of the type that a property is declared with.
pub(super) fn fit_property(value: Value, declared: &Property, schema: &Schema) -> Result<Value, String> {
    let value = octets::read(value, octets::is_property(declared));
    fit(value, shape_of(declared), schema).map_err(|what| format!("{}: {what}", declared.name))
}

/// A value of the type that the elements of a property are declared with.
pub(super) fn fit_element(value: Value, declared: &Property, schema: &Schema) -> Result<Value, String> {
    let shape = Declared { is_array: false, ..shape_of(declared) };
    fit(value, shape, schema).map_err(|what| format!("{}: {what}", declared.name))
}

fn shape_of(declared: &Property) -> Declared {
    Declared { cim_type: declared.cim_type, is_array: declared.is_array, embedded: declared.embedded }
}

/// A value of the declared type.
fn fit(value: Value, declared: Declared, schema: &Schema) -> Result<Value, String> {
    let value = match value {
        Value::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| item.map(|v| prepare(v, declared, schema)).transpose())
                .collect::<Result<_, _>>()?,
        ),
        one => prepare(one, declared, schema)?,
    };
    // The text of an embedded instance is CIM-XML, as one client in use sends it.
    coerce(value, declared, &crate::cimxml::parse_instance_text).map_err(|mismatch| mismatch.reason)
}

/// What only WS-CIM spells as it does, before the usual rules for texts apply.
fn prepare(value: Value, declared: Declared, schema: &Schema) -> Result<Value, String> {
    match value {
        Value::Instance(mut instance) => {
            if let Some(class) = schema.class(instance.class.as_str()) {
                fit_properties(&mut instance, class, schema)?;
            }
            Ok(Value::Instance(instance))
        }
        Value::Reference(mut path) => {
            if let ObjectPath::Instance(path) = path.as_mut()
                && let Some(class) = schema.class(path.class.as_str())
            {
                for key in &mut path.keys {
                    let Some(property) = class.property(key.name.as_str()) else { continue };
                    let shape = Declared { cim_type: property.cim_type, is_array: false, embedded: None };
                    let value = std::mem::replace(&mut key.value, Value::Boolean(false));
                    key.value = fit(value, shape, schema)?;
                    key.name = property.name.clone();
                }
            }
            Ok(Value::Reference(path))
        }
        Value::String(text) => match declared.cim_type {
            CimType::Boolean => match text.trim() {
                "1" => Ok(Value::Boolean(true)),
                "0" => Ok(Value::Boolean(false)),
                _ => Ok(Value::String(text)),
            },
            CimType::DateTime => Ok(parse_cim(&text).map_or(Value::String(text), Value::DateTime)),
            CimType::Reference => match crate::uri::parse(&text) {
                Ok(path) => Ok(Value::Reference(Box::new(path))),
                Err(error) => Err(error.to_string()),
            },
            _ => Ok(Value::String(text)),
        },
        other => Ok(other),
    }
}
