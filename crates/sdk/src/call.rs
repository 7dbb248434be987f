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

    fn missing(&self, name: &str) -> CimError {
        CimError::invalid_parameter(format!("{} needs the parameter {name}", self.method))
    }
}
