//! A method call as a provider sees it: parameters are already checked against the class and of the declared types.

use cimwright_cim::{CimError, Instance, Name, ObjectPath, Param, Value};

/// A call of an extrinsic method.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodCall {
    /// The instance, or for a static method the class.
    pub target: ObjectPath,
    /// The method, in the declared spelling.
    pub method: Name,
    /// The input parameters that were given, each of its declared type.
    pub params: Vec<Param>,
}

impl MethodCall {
    /// The value of a parameter; `None` if it is NULL or was left out.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.params.iter().find(|p| p.name.is(name)).and_then(|p| p.value.as_ref())
    }

    /// A string parameter; `None` if NULL or left out.
    pub fn str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// An unsigned integer parameter; `None` if NULL or left out.
    pub fn u64(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(Value::as_u64)
    }

    /// A boolean parameter; `None` if NULL or left out.
    pub fn bool(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(Value::as_bool)
    }

    /// An embedded instance; `None` if NULL or left out.
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.get(name).and_then(Value::as_instance)
    }

    /// A string parameter that must be there.
    ///
    /// # Errors
    /// CIM_ERR_INVALID_PARAMETER naming the parameter.
    pub fn required_str(&self, name: &str) -> Result<&str, CimError> {
        self.str(name).ok_or_else(|| self.missing(name))
    }

    /// An unsigned integer parameter that must be there.
    ///
    /// # Errors
    /// CIM_ERR_INVALID_PARAMETER naming the parameter.
    pub fn required_u64(&self, name: &str) -> Result<u64, CimError> {
        self.u64(name).ok_or_else(|| self.missing(name))
    }

    /// Refuses texts that are longer than any path of the system, also in embedded objects. What a job is called, is described with and
    /// fails for often repeats them, and is shown to everybody who lists jobs.
    ///
    /// # Errors
    /// CIM_ERR_INVALID_PARAMETER naming the parameter.
    pub fn check_lengths(&self) -> Result<(), CimError> {
        for param in &self.params {
            if param.value.as_ref().is_some_and(is_too_long) {
                let text =
                    format!("{} is longer than the {LONGEST} bytes that a text may have here", param.name);
                return Err(CimError::invalid_parameter(text));
            }
        }
        Ok(())
    }

    fn missing(&self, name: &str) -> CimError {
        CimError::invalid_parameter(format!("{} needs the parameter {name}", self.method))
    }
}

/// PATH_MAX.
const LONGEST: usize = 4096;

fn is_too_long(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() > LONGEST,
        Value::Array(items) => items.iter().flatten().any(is_too_long),
        Value::Instance(inner) | Value::InstanceText(inner) => {
            inner.properties.iter().filter_map(|p| p.value.as_ref()).any(is_too_long)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{ClassPath, NamespaceName, Param};

    #[test]
    fn texts_are_no_longer_than_paths() {
        let target =
            ClassPath { host: None, namespace: Some(NamespaceName::new("root/x")), class: "X".into() };
        let call = |value: Value| MethodCall {
            target: ObjectPath::Class(target.clone()),
            method: "M".into(),
            params: vec![Param::new("P", value)],
        };
        let (long, fits) = ("a".repeat(LONGEST + 1), "a".repeat(LONGEST));
        let inside = |text: &str| Value::Instance(Box::new(Instance::new("Y").with("Path", text)));
        for value in
            [Value::from(long.as_str()), inside(&long), Value::strings([fits.as_str(), long.as_str()])]
        {
            let error = call(value).check_lengths().unwrap_err();
            assert!(error.description.starts_with("P is longer than the 4096 bytes"), "{error}");
        }
        for value in [Value::from(fits.as_str()), inside(&fits), Value::Uint8(1)] {
            call(value).check_lengths().unwrap();
        }
    }
}
