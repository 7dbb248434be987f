//! The operations of DSP0223 as typed calls.

use crate::endpoint::{Endpoint, Protocol};
use crate::error::ClientError;
use crate::pull::Enumeration;
use crate::transport::{Question, Transport};
use crate::wire;
use crate::wsman::Classes;
use cimwright_cim::operation::{AssociationFilter, ClassOptions, InstanceOptions, OpenOptions};
use cimwright_cim::query::Query;
use cimwright_cim::{
    Class, ClassName, Instance, InstancePath, Name, NamespaceName, ObjectPath, Operation, OperationResult,
    Param, QualifierDeclaration, Request, Value,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// A client of one server. Calls of several tasks wait for each other: there is one connection.
///
/// Every call returns [`ClientError`]: [`ClientError::Cim`] when the server refused the operation, the other variants when there
/// was no answer or none that can be understood.
pub struct Client {
    transport: Transport,
    last_id: AtomicU64,
    /// Only needed over WS-Management.
    pub(crate) classes: Classes,
}

/// What a method answered.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodAnswer {
    /// The return value; `None` for a method without one.
    pub return_value: Option<Value>,
    /// Output parameters, as the server listed them.
    pub out: Vec<Param>,
}

impl Client {
    /// Connects to a server. Nothing is asked yet, so credentials are not checked before the first call.
    ///
    /// # Errors
    /// When nobody answers there or no secure connection can be agreed on.
    pub async fn connect(endpoint: Endpoint) -> Result<Self, ClientError> {
        let client = Self {
            transport: Transport::new(endpoint)?,
            last_id: AtomicU64::new(0),
            classes: Classes::default(),
        };
        client.transport.open().await?;
        Ok(client)
    }

    /// The server this client asks.
    pub fn endpoint(&self) -> &Endpoint {
        self.transport.endpoint()
    }

    /// Carries out any operation.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn execute(&self, request: &Request) -> Result<OperationResult, ClientError> {
        if self.endpoint().protocol == Protocol::WsMan {
            return self.execute_wsman(request).await;
        }
        self.put(wire::question(&self.next_number().to_string(), request), request).await
    }

    /// Sends a question and reads the answer as one to `request`.
    async fn put(
        &self,
        question: Result<Question, String>,
        request: &Request,
    ) -> Result<OperationResult, ClientError> {
        let endpoint = self.endpoint();
        let malformed = |reason| ClientError::Malformed { endpoint: endpoint.to_string(), reason };
        let body = self.transport.exchange(&question.map_err(malformed)?).await?;
        wire::answer(&body, request, endpoint.max_answer).map_err(malformed)?.map_err(ClientError::Cim)
    }

    /// A number that no other message of this client has.
    pub(crate) fn next_number(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Asks and waits for the whole answer.
    pub(crate) async fn exchange_soap(&self, question: &Question) -> Result<bytes::Bytes, ClientError> {
        self.transport.exchange(question).await
    }

    /// GetInstance. The instance comes with the path that was asked for.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get_instance(
        &self,
        path: &InstancePath,
        properties: Option<&[&str]>,
    ) -> Result<Instance, ClientError> {
        let operation = Operation::GetInstance { path: path.clone(), options: options(properties) };
        match self.ask(self.namespace_of(path)?, operation).await? {
            OperationResult::Instance(mut instance) => {
                instance.path = Some(path.clone());
                Ok(*instance)
            }
            other => Err(self.unexpected("GetInstance", &other)),
        }
    }

    /// EnumerateInstances: the instances of a class and of its subclasses, with all their properties or some.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn enumerate_instances(
        &self,
        namespace: &NamespaceName,
        class: &str,
        properties: Option<&[&str]>,
    ) -> Result<Vec<Instance>, ClientError> {
        let operation =
            Operation::EnumerateInstances { class: class.into(), deep: true, options: options(properties) };
        self.ask_instances("EnumerateInstances", namespace.clone(), operation).await
    }

    /// EnumerateInstanceNames: the paths of the instances of a class and of its subclasses.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn enumerate_instance_names(
        &self,
        namespace: &NamespaceName,
        class: &str,
    ) -> Result<Vec<InstancePath>, ClientError> {
        let operation = Operation::EnumerateInstanceNames { class: class.into() };
        let found = self.ask_instances("EnumerateInstanceNames", namespace.clone(), operation).await?;
        Ok(found.into_iter().filter_map(|i| i.path).collect())
    }

    /// CreateInstance: the path of the new instance.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_instance(
        &self,
        namespace: &NamespaceName,
        instance: Instance,
    ) -> Result<InstancePath, ClientError> {
        match self.ask(namespace.clone(), Operation::CreateInstance { instance }).await? {
            OperationResult::Created(mut path) => {
                path.namespace.get_or_insert_with(|| namespace.clone());
                Ok(path)
            }
            other => Err(self.unexpected("CreateInstance", &other)),
        }
    }

    /// ModifyInstance: changes exactly the properties that `instance` has. Its path tells which one is meant.
    ///
    /// # Errors
    /// See [`ClientError`]; also when the instance has no path with a namespace.
    pub async fn modify_instance(&self, instance: Instance) -> Result<(), ClientError> {
        let namespace = match &instance.path {
            Some(path) => self.namespace_of(path)?,
            None => return Err(self.incomplete("the instance to modify has no path")),
        };
        let property_list = Some(instance.properties.iter().map(|p| p.name.clone()).collect());
        self.ask_void("ModifyInstance", namespace, Operation::ModifyInstance { instance, property_list })
            .await
    }

    /// DeleteInstance.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_instance(&self, path: &InstancePath) -> Result<(), ClientError> {
        let operation = Operation::DeleteInstance { path: path.clone() };
        self.ask_void("DeleteInstance", self.namespace_of(path)?, operation).await
    }

    /// Calls a method of an instance or, if it is static, of a class.
    ///
    /// A return value that means failure is an answer, not an error.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn invoke(
        &self,
        target: &ObjectPath,
        method: &str,
        params: Vec<Param>,
    ) -> Result<MethodAnswer, ClientError> {
        let Some(namespace) = target.namespace().cloned() else {
            return Err(self.incomplete("the path of the object to call names no namespace"));
        };
        let operation = Operation::InvokeMethod { target: target.clone(), method: Name::new(method), params };
        match self.ask(namespace.clone(), operation).await? {
            OperationResult::Method { return_value, mut out } => {
                for param in &mut out {
                    localise(param.value.as_mut(), &namespace);
                }
                Ok(MethodAnswer { return_value, out })
            }
            other => Err(self.unexpected(method, &other)),
        }
    }

    /// Associators of an instance: the instances it is associated with.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn associators(
        &self,
        object: &InstancePath,
        filter: AssociationFilter,
    ) -> Result<Vec<Instance>, ClientError> {
        let namespace = self.namespace_of(object)?;
        let object = ObjectPath::Instance(object.clone());
        let operation = Operation::Associators { object, filter, options: InstanceOptions::default() };
        self.ask_instances("Associators", namespace, operation).await
    }

    /// AssociatorNames of an instance: the paths of the instances it is associated with.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn associator_names(
        &self,
        object: &InstancePath,
        filter: AssociationFilter,
    ) -> Result<Vec<InstancePath>, ClientError> {
        let namespace = self.namespace_of(object)?;
        let operation = Operation::AssociatorNames { object: ObjectPath::Instance(object.clone()), filter };
        let found = self.ask_instances("AssociatorNames", namespace, operation).await?;
        Ok(found.into_iter().filter_map(|i| i.path).collect())
    }

    /// References to an instance: the associations that name it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn references(
        &self,
        object: &InstancePath,
        filter: AssociationFilter,
    ) -> Result<Vec<Instance>, ClientError> {
        let namespace = self.namespace_of(object)?;
        let object = ObjectPath::Instance(object.clone());
        let operation = Operation::References { object, filter, options: InstanceOptions::default() };
        self.ask_instances("References", namespace, operation).await
    }

    /// ReferenceNames: the paths of the associations that name an instance.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn reference_names(
        &self,
        object: &InstancePath,
        filter: AssociationFilter,
    ) -> Result<Vec<InstancePath>, ClientError> {
        let namespace = self.namespace_of(object)?;
        let operation = Operation::ReferenceNames { object: ObjectPath::Instance(object.clone()), filter };
        let found = self.ask_instances("ReferenceNames", namespace, operation).await?;
        Ok(found.into_iter().filter_map(|i| i.path).collect())
    }

    /// ExecQuery. The instances of most servers have no path: VALUE.OBJECT carries none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn exec_query(
        &self,
        namespace: &NamespaceName,
        query: Query,
    ) -> Result<Vec<Instance>, ClientError> {
        self.ask_instances("ExecQuery", namespace.clone(), Operation::ExecQuery { query }).await
    }

    /// ExecQuery with a text that goes to the server as it is, in any language that the server may know.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn exec_query_text(
        &self,
        namespace: &NamespaceName,
        language: &str,
        text: &str,
    ) -> Result<Vec<Instance>, ClientError> {
        if self.endpoint().protocol == Protocol::WsMan {
            // What the text names decides where it is sent.
            let query = cimwright_codec::query::parse(language, text).map_err(ClientError::Cim)?;
            return self.exec_query(namespace, query).await;
        }
        // The answer has the same form whatever was asked.
        let any = Query { select: None, from: ClassName::new(""), condition: None, fold_case: true };
        let request =
            Request { namespace: namespace.clone(), operation: Operation::ExecQuery { query: any } };
        let question = wire::query(&self.next_number().to_string(), namespace, language, text);
        let result = self.put(question, &request).await?;
        self.instances("ExecQuery", namespace, result)
    }

    /// GetClass: the class with everything it inherits and all qualifiers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get_class(&self, namespace: &NamespaceName, class: &str) -> Result<Class, ClientError> {
        let options = ClassOptions {
            local_only: false,
            include_qualifiers: true,
            include_class_origin: true,
            property_list: None,
        };
        let operation = Operation::GetClass { class: class.into(), options };
        match self.ask(namespace.clone(), operation).await? {
            OperationResult::Class(class) => Ok(*class),
            other => Err(self.unexpected("GetClass", &other)),
        }
    }

    /// EnumerateClassNames: all classes below `class`, or all of the namespace.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn enumerate_class_names(
        &self,
        namespace: &NamespaceName,
        class: Option<&str>,
    ) -> Result<Vec<ClassName>, ClientError> {
        let operation = Operation::EnumerateClassNames { class: class.map(Name::new), deep: true };
        match self.ask(namespace.clone(), operation).await? {
            OperationResult::ClassNames(names) => Ok(names),
            other => Err(self.unexpected("EnumerateClassNames", &other)),
        }
    }

    /// CreateClass.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_class(&self, namespace: &NamespaceName, class: Class) -> Result<(), ClientError> {
        let operation = Operation::CreateClass { class: Box::new(class) };
        self.ask_void("CreateClass", namespace.clone(), operation).await
    }

    /// ModifyClass: replaces the declaration of a class.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn modify_class(&self, namespace: &NamespaceName, class: Class) -> Result<(), ClientError> {
        let operation = Operation::ModifyClass { class: Box::new(class) };
        self.ask_void("ModifyClass", namespace.clone(), operation).await
    }

    /// DeleteClass.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_class(&self, namespace: &NamespaceName, class: &str) -> Result<(), ClientError> {
        let operation = Operation::DeleteClass { class: class.into() };
        self.ask_void("DeleteClass", namespace.clone(), operation).await
    }

    /// SetQualifier: makes or replaces the declaration of a qualifier.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_qualifier(
        &self,
        namespace: &NamespaceName,
        declaration: QualifierDeclaration,
    ) -> Result<(), ClientError> {
        let operation = Operation::SetQualifier { declaration: Box::new(declaration) };
        self.ask_void("SetQualifier", namespace.clone(), operation).await
    }

    /// DeleteQualifier.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_qualifier(&self, namespace: &NamespaceName, name: &str) -> Result<(), ClientError> {
        let operation = Operation::DeleteQualifier { name: name.into() };
        self.ask_void("DeleteQualifier", namespace.clone(), operation).await
    }

    /// Instances of a class in portions (OpenEnumerateInstances and PullInstancesWithPath), so that no answer is large. A server
    /// without these operations is asked for all at once.
    pub fn open_instances<'c>(
        &'c self,
        namespace: &NamespaceName,
        class: &str,
        properties: Option<&[&str]>,
        portion: u32,
    ) -> Enumeration<'c> {
        let open = OpenOptions { max_object_count: portion, ..OpenOptions::default() };
        let options = options(properties);
        let class: ClassName = class.into();
        Enumeration::new(
            self,
            Request {
                namespace: namespace.clone(),
                operation: Operation::OpenEnumerateInstances {
                    class: class.clone(),
                    deep: true,
                    options: options.clone(),
                    open,
                },
            },
            Some(Operation::EnumerateInstances { class, deep: true, options }),
            portion,
        )
    }

    /// The instances of an answer, each with its path completed by the namespace that was asked.
    pub(crate) async fn ask_instances(
        &self,
        name: &'static str,
        namespace: NamespaceName,
        operation: Operation,
    ) -> Result<Vec<Instance>, ClientError> {
        let result = self.ask(namespace.clone(), operation).await?;
        self.instances(name, &namespace, result)
    }

    fn instances(
        &self,
        name: &str,
        namespace: &NamespaceName,
        result: OperationResult,
    ) -> Result<Vec<Instance>, ClientError> {
        match result {
            OperationResult::Instances { mut items, .. } => {
                complete_paths(&mut items, namespace);
                Ok(items)
            }
            OperationResult::Void => Ok(Vec::new()),
            other => Err(self.unexpected(name, &other)),
        }
    }

    /// An answer of another kind than the question has.
    pub(crate) fn unexpected(&self, name: &str, result: &OperationResult) -> ClientError {
        let shown = format!("{result:?}");
        let kind = shown.split([' ', '(', '{']).next().unwrap_or_default();
        ClientError::Malformed {
            endpoint: self.endpoint().to_string(),
            reason: format!("{name} was answered with a result of another kind ({kind})"),
        }
    }

    async fn ask(
        &self,
        namespace: NamespaceName,
        operation: Operation,
    ) -> Result<OperationResult, ClientError> {
        self.execute(&Request { namespace, operation }).await
    }

    async fn ask_void(
        &self,
        name: &'static str,
        namespace: NamespaceName,
        operation: Operation,
    ) -> Result<(), ClientError> {
        match self.ask(namespace, operation).await? {
            OperationResult::Void => Ok(()),
            other => Err(self.unexpected(name, &other)),
        }
    }

    fn namespace_of(&self, path: &InstancePath) -> Result<NamespaceName, ClientError> {
        path.namespace.clone().ok_or_else(|| self.incomplete("the path names no namespace"))
    }

    fn incomplete(&self, what: &str) -> ClientError {
        ClientError::Cim(cimwright_cim::CimError::invalid_parameter(what))
    }
}

impl MethodAnswer {
    /// The return value as a number.
    pub fn code(&self) -> Option<i128> {
        self.return_value.as_ref().and_then(Value::as_i128)
    }

    /// The value of an output parameter; `None` also when it is NULL or not there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.out.iter().find(|p| p.name.is(name)).and_then(|p| p.value.as_ref())
    }

    /// The job that the method started: the reference `Job` (Storage Replica: `Task`), or the only reference there is.
    pub fn job(&self) -> Option<&InstancePath> {
        let named = ["Job", "Task"].into_iter().find_map(|name| self.get(name));
        let value = match named {
            Some(value) => Some(value),
            None => {
                let mut references = self.out.iter().filter_map(|p| p.value.as_ref()?.as_reference());
                return match (references.next(), references.next()) {
                    (Some(ObjectPath::Instance(path)), None) if path.class.as_str().ends_with("Job") => {
                        Some(path)
                    }
                    _ => None,
                };
            }
        };
        value?.as_reference()?.as_instance()
    }
}

/// Gives every path without a namespace the one that was asked: INSTANCENAME carries none.
pub(crate) fn complete_paths(items: &mut [Instance], namespace: &NamespaceName) {
    for item in items {
        if let Some(path) = &mut item.path {
            path.namespace.get_or_insert_with(|| namespace.clone());
        }
    }
}

fn localise(value: Option<&mut Value>, namespace: &NamespaceName) {
    match value {
        Some(Value::Reference(path)) => {
            if let ObjectPath::Instance(path) = path.as_mut() {
                path.namespace.get_or_insert_with(|| namespace.clone());
            }
        }
        Some(Value::Array(items)) => items.iter_mut().for_each(|i| localise(i.as_mut(), namespace)),
        _ => {}
    }
}

fn options(properties: Option<&[&str]>) -> InstanceOptions {
    InstanceOptions {
        include_class_origin: false,
        property_list: properties.map(|list| list.iter().map(Name::new).collect()),
    }
}
