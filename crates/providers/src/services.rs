//! The instances of CIM_Service classes that providers offer their methods on: one each, the same in every namespace.

use cimwright_sdk::cim::{ClassName, Instance, InstancePath, Schema, Value};

/// The keys of a service.
#[derive(Clone, Debug)]
pub struct ServiceIdentity {
    class: &'static str,
    name: &'static str,
    computer: String,
}

const SYSTEM_CLASS: &str = "Msvm_ComputerSystem";

impl ServiceIdentity {
    /// The service `name` of the class `class` on the computer with this name.
    pub fn new(class: &'static str, name: &'static str, computer: &str) -> Self {
        Self { class, name, computer: computer.to_owned() }
    }
}

/// The path of the service, without namespace.
pub fn service_path(identity: &ServiceIdentity) -> InstancePath {
    InstancePath::new(None, identity.class)
        .with_key("SystemCreationClassName", SYSTEM_CLASS)
        .with_key("SystemName", identity.computer.as_str())
        .with_key("CreationClassName", identity.class)
        .with_key("Name", identity.name)
}

/// The instance of the service, with the fixed values that the class declares; `None` if the class is not there.
pub fn service_instance(schema: &Schema, class: &ClassName, identity: &ServiceIdentity) -> Option<Instance> {
    let mut instance = Instance::of_class(schema.class(class.as_str())?);
    for key in service_path(identity).keys {
        instance.set(key.name, Some(key.value));
    }
    if instance.property("Started").is_some() {
        instance.set("Started", Some(Value::Boolean(true)));
    }
    Some(instance)
}
