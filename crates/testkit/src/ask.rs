//! Short ways to ask.

use cimwright_broker::{Answer, Broker};
use cimwright_cim::operation::{InstanceOptions, Operation, OperationResult, Param, Request};
use cimwright_cim::{CimError, ClassName, Instance, InstancePath, Name, NamespaceName, ObjectPath, Value};
use cimwright_jobs::JobId;
use cimwright_sdk::Principal;

/// The answer of a method that has started a job.
const JOB_STARTED: u64 = 4096;

/// Somebody who asks.
pub struct Asked<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) principal: Principal,
}

/// What a method answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// The return value; `None` for a method without one.
    pub return_value: Option<u64>,
    /// The output parameters.
    pub out: Vec<Param>,
}

impl Called {
    /// The value of an output parameter; `None` also when it is NULL or not there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.out.iter().find(|p| p.name.is(name)).and_then(|p| p.value.as_ref())
    }

    /// Whether it goes on in a job.
    pub fn started_a_job(&self) -> bool {
        self.return_value == Some(JOB_STARTED)
    }

    /// The path of the job, in whatever output parameter it is.
    ///
    /// # Panics
    /// When there is none.
    pub fn job(&self) -> &InstancePath {
        let mut references = self.out.iter().filter_map(|p| p.value.as_ref()?.as_reference()?.as_instance());
        references
            .find(|path| path.key_str("InstanceID").is_some_and(|id| id.parse::<JobId>().is_ok()))
            .unwrap_or_else(|| panic!("no job was started: {self:?}"))
    }

    /// The id of the job.
    ///
    /// # Panics
    /// When there is none.
    pub fn job_id(&self) -> JobId {
        self.job().key_str("InstanceID").and_then(|id| id.parse().ok()).unwrap()
    }
}

impl Asked<'_> {
    /// Any operation.
    ///
    /// # Errors
    /// As the broker says.
    pub async fn execute(
        &self,
        namespace: impl Into<NamespaceName>,
        operation: Operation,
    ) -> Result<OperationResult, CimError> {
        let request = Request { namespace: namespace.into(), operation };
        match self.broker.execute(&self.principal, request).await? {
            Answer::Whole(result) => Ok(result),
            Answer::Stream(mut stream) => {
                let mut items = Vec::new();
                while let Some(portion) = stream.next().await? {
                    items.extend(portion);
                }
                Ok(OperationResult::Instances { shape: stream.shape, items })
            }
        }
    }

    /// The instances of a class and its subclasses.
    ///
    /// # Errors
    /// As the broker says.
    ///
    /// # Panics
    /// When the broker answers something else.
    pub async fn enumerate(
        &self,
        namespace: impl Into<NamespaceName>,
        class: impl Into<ClassName>,
    ) -> Result<Vec<Instance>, CimError> {
        let options = InstanceOptions::default();
        let operation = Operation::EnumerateInstances { class: class.into(), deep: true, options };
        match self.execute(namespace, operation).await? {
            OperationResult::Instances { items, .. } => Ok(items),
            other => panic!("no instances: {other:?}"),
        }
    }

    /// An instance. The path names its namespace.
    ///
    /// # Errors
    /// As the broker says.
    ///
    /// # Panics
    /// When the path names no namespace.
    pub async fn get(&self, path: &InstancePath) -> Result<Instance, CimError> {
        let options = InstanceOptions::default();
        let operation = Operation::GetInstance { path: path.clone(), options };
        match self.execute(namespace_of(path), operation).await? {
            OperationResult::Instance(instance) => Ok(*instance),
            other => panic!("no instance: {other:?}"),
        }
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// As the broker says.
    ///
    /// # Panics
    /// When the broker answers something else.
    pub async fn create(
        &self,
        namespace: impl Into<NamespaceName>,
        instance: Instance,
    ) -> Result<InstancePath, CimError> {
        match self.execute(namespace, Operation::CreateInstance { instance }).await? {
            OperationResult::Created(path) => Ok(path),
            other => panic!("no path: {other:?}"),
        }
    }

    /// Sets the properties that the instance has; its path says which one is meant.
    ///
    /// # Errors
    /// As the broker says.
    ///
    /// # Panics
    /// When the instance has no path with a namespace.
    pub async fn modify(&self, instance: Instance) -> Result<(), CimError> {
        let namespace = namespace_of(instance.path.as_ref().expect("the path of the instance"));
        let property_list = Some(instance.properties.iter().map(|p| p.name.clone()).collect());
        let operation = Operation::ModifyInstance { instance, property_list };
        self.execute(namespace, operation).await.map(drop)
    }

    /// Removes an instance. The path names its namespace.
    ///
    /// # Errors
    /// As the broker says.
    ///
    /// # Panics
    /// When the path names no namespace.
    pub async fn delete(&self, path: &InstancePath) -> Result<(), CimError> {
        self.execute(namespace_of(path), Operation::DeleteInstance { path: path.clone() }).await.map(drop)
    }

    /// Calls a method of an instance, or a static one of a class. The path names its namespace.
    ///
    /// # Errors
    /// As the broker says.
    ///
    /// # Panics
    /// When the path names no namespace.
    pub async fn invoke(
        &self,
        target: impl Into<ObjectPath>,
        method: impl Into<Name>,
        params: Vec<Param>,
    ) -> Result<Called, CimError> {
        let target = target.into();
        let namespace = target.namespace().cloned().expect("a path with a namespace");
        let operation = Operation::InvokeMethod { target, method: method.into(), params };
        match self.execute(namespace, operation).await? {
            OperationResult::Method { return_value, out } => {
                Ok(Called { return_value: return_value.as_ref().and_then(Value::as_u64), out })
            }
            other => panic!("no answer of a method: {other:?}"),
        }
    }
}

fn namespace_of(path: &InstancePath) -> NamespaceName {
    path.namespace.clone().expect("a path with a namespace")
}
