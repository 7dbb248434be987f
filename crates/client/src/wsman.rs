//! The same operations over WS-Management. Values come without types there, so the classes are fetched as well, once each.

use crate::client::Client;
use crate::error::ClientError;
use crate::transport::Question;
use crate::wire;
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::operation::{ClassOptions, ObjectShape};
use cimwright_cim::{
    CimError, Class, ClassName, Instance, InstancePath, KeyBinding, NamespaceName, ObjectPath, Operation,
    OperationResult, Param, Property, Qualifier, Request, Schema, Value,
};
use cimwright_codec::cimxml::Limits;
use cimwright_codec::query::query_text;
use cimwright_codec::wsman::{
    Answered, Ask, AskedFilter, EnumerationMode, Selector, Target, decode_response, encode_request,
    fit_instance, fit_params, selected_keys,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How deep embedded objects are looked into for their classes.
const DEPTH: usize = 4;

/// The classes that are known, by namespace. One that cannot be had is remembered as well.
#[derive(Default)]
pub(crate) struct Classes(Mutex<Known>);

type Known = HashMap<(NamespaceName, ClassName), Option<Arc<Class>>>;

impl Client {
    /// Carries out an operation over WS-Management.
    pub(crate) async fn execute_wsman(&self, request: &Request) -> Result<OperationResult, ClientError> {
        let namespace = &request.namespace;
        let repeatable = wire::is_repeatable(&request.operation);
        let ask = async |class: &str, keys: &[KeyBinding], ask: Ask<'_>| {
            self.ask_wsman(namespace, class, keys, &ask, repeatable).await
        };
        match &request.operation {
            Operation::GetClass { class, options } => match ask(class.as_str(), &[], Ask::GetClass).await? {
                Answered::Class(mut class) => {
                    restrict(&mut class, options);
                    Ok(OperationResult::Class(class))
                }
                other => Err(self.not_expected("GetClass", &other)),
            },
            Operation::GetInstance { path, options } => {
                match ask(path.class.as_str(), &path.keys, Ask::Get).await? {
                    Answered::Instance(instance) => {
                        let mut instance = self.typed(namespace, vec![instance]).await.pop();
                        if let Some(instance) = &mut instance {
                            instance.restrict(options.property_list.as_deref());
                        }
                        let instance = instance.unwrap_or_else(|| Instance::new(&path.class));
                        Ok(OperationResult::Instance(Box::new(instance)))
                    }
                    other => Err(self.not_expected("Get", &other)),
                }
            }
            Operation::EnumerateInstances { class, options, .. } => {
                let ask = Ask::Enumerate { mode: EnumerationMode::ObjectAndEpr, filter: None };
                let mut items = self.items(namespace, class.as_str(), ask, repeatable).await?;
                items.iter_mut().for_each(|i| i.restrict(options.property_list.as_deref()));
                Ok(OperationResult::Instances { shape: ObjectShape::NamedInstance, items })
            }
            Operation::EnumerateInstanceNames { class } => {
                let ask = Ask::Enumerate { mode: EnumerationMode::Epr, filter: None };
                let items = self.items(namespace, class.as_str(), ask, repeatable).await?;
                Ok(OperationResult::Instances { shape: ObjectShape::InstanceName, items })
            }
            Operation::ExecQuery { query } => {
                let (text, language) = query_text(query);
                let filter = Some(AskedFilter::Query { text: &text, language });
                let ask = Ask::Enumerate { mode: EnumerationMode::Object, filter };
                let items = self.items(namespace, "*", ask, repeatable).await?;
                Ok(OperationResult::Instances { shape: ObjectShape::Object, items })
            }
            operation @ (Operation::Associators { object: ObjectPath::Instance(source), filter, .. }
            | Operation::AssociatorNames { object: ObjectPath::Instance(source), filter }
            | Operation::References { object: ObjectPath::Instance(source), filter, .. }
            | Operation::ReferenceNames { object: ObjectPath::Instance(source), filter }) => {
                let associated =
                    matches!(operation, Operation::Associators { .. } | Operation::AssociatorNames { .. });
                let names =
                    matches!(operation, Operation::AssociatorNames { .. } | Operation::ReferenceNames { .. });
                let (mode, shape) = if names {
                    (EnumerationMode::Epr, ObjectShape::ObjectPath)
                } else {
                    (EnumerationMode::ObjectAndEpr, ObjectShape::ObjectWithPath)
                };
                let filter = Some(AskedFilter::Association { source, associated, filter });
                let items = self.items(namespace, "*", Ask::Enumerate { mode, filter }, repeatable).await?;
                Ok(OperationResult::Instances { shape, items })
            }
            Operation::CreateInstance { instance } => {
                match ask(instance.class.as_str(), &[], Ask::Create { instance }).await? {
                    Answered::Created(ObjectPath::Instance(path)) => Ok(OperationResult::Created(path)),
                    other => Err(self.not_expected("Create", &other)),
                }
            }
            Operation::ModifyInstance { instance, .. } => {
                let path = instance.path.as_ref();
                let path = path.ok_or_else(|| {
                    ClientError::Cim(CimError::invalid_parameter("the instance to modify has no path"))
                })?;
                ask(path.class.as_str(), &path.keys, Ask::Put { instance }).await?;
                Ok(OperationResult::Void)
            }
            Operation::DeleteInstance { path } => {
                ask(path.class.as_str(), &path.keys, Ask::Delete).await?;
                Ok(OperationResult::Void)
            }
            Operation::InvokeMethod { target, method, params } => {
                let keys = target.as_instance().map_or(&[][..], |path| &path.keys);
                let asked = Ask::Invoke { method: method.as_str(), params };
                match ask(target.class().as_str(), keys, asked).await? {
                    Answered::Method(found) => {
                        Ok(self.method_result(namespace, target.class(), method.as_str(), found).await)
                    }
                    other => Err(self.not_expected(method.as_str(), &other)),
                }
            }
            _ => Err(ClientError::Cim(CimError::not_supported(
                "WS-Management has no such operation; ask over CIM-XML",
            ))),
        }
    }

    /// One question and its answer.
    async fn ask_wsman(
        &self,
        namespace: &NamespaceName,
        class: &str,
        keys: &[KeyBinding],
        ask: &Ask<'_>,
        repeatable: bool,
    ) -> Result<Answered, ClientError> {
        let id = format!("uuid:{:08X}-0000-4000-8000-{:012X}", std::process::id(), self.next_number());
        let endpoint = self.endpoint();
        let to = format!("{endpoint}/wsman");
        let target = Target { to: &to, namespace, class, keys };
        let body = encode_request(&id, &target, ask).into();
        let question = Question { headers: Vec::new(), body, repeatable, soap: true };
        let answer = self.exchange_soap(&question).await?;
        let limits = Limits { bytes: endpoint.max_answer, ..Limits::for_responses() };
        decode_response(&answer, &id, &limits)
            .map_err(|reason| ClientError::Malformed { endpoint: endpoint.to_string(), reason })?
            .map_err(ClientError::Cim)
    }

    /// All items of an enumeration, of the types that their classes declare.
    async fn items(
        &self,
        namespace: &NamespaceName,
        class: &str,
        ask: Ask<'_>,
        repeatable: bool,
    ) -> Result<Vec<Instance>, ClientError> {
        let mut all = Vec::new();
        let mut answer = self.ask_wsman(namespace, class, &[], &ask, repeatable).await?;
        loop {
            let Answered::Items { items, context } = answer else {
                return Err(self.not_expected("Enumerate", &answer));
            };
            all.extend(items);
            let Some(context) = context else { return Ok(self.typed(namespace, all).await) };
            answer = self.ask_wsman(namespace, class, &[], &Ask::Pull { context: &context }, false).await?;
        }
    }

    /// Instances with the types that their classes declare, as far as the classes can be had.
    async fn typed(&self, namespace: &NamespaceName, mut instances: Vec<Instance>) -> Vec<Instance> {
        let mut names = Vec::new();
        for instance in &instances {
            collect(instance, &mut names, DEPTH);
        }
        let schema = self.schema_of(namespace, &names).await;
        for instance in &mut instances {
            let Some(class) = schema.class(instance.class.as_str()) else { continue };
            instance.properties.retain(|p| class.property(p.name.as_str()).is_some());
            // What does not fit stays as it came.
            let mut fitted = instance.clone();
            if fit_instance(&mut fitted, class, &schema).is_ok() {
                *instance = fitted;
            }
            if let Some(path) = &mut instance.path {
                type_keys(path, class, &schema);
            }
        }
        instances
    }

    async fn method_result(
        &self,
        namespace: &NamespaceName,
        class: &ClassName,
        method: &str,
        found: Vec<Property>,
    ) -> OperationResult {
        let mut names = vec![class.clone()];
        for property in &found {
            collect_value(property.value.as_ref(), &mut names, DEPTH);
        }
        let schema = self.schema_of(namespace, &names).await;
        let declared = schema.class(class.as_str()).and_then(|c| c.method(method));
        let mut return_value = None;
        let mut out = Vec::new();
        for property in found {
            if property.name.is("ReturnValue") {
                let cim_type = declared.and_then(|m| m.return_type).unwrap_or(cimwright_cim::CimType::Uint32);
                let shape = Declared { cim_type, is_array: false, embedded: None };
                return_value =
                    property.value.map(|v| coerce(v.clone(), shape, &wire::parse_instance).unwrap_or(v));
                continue;
            }
            let mut param = Param {
                name: property.name,
                cim_type: None,
                is_array: property.is_array,
                embedded: property.embedded,
                value: property.value,
            };
            if let Some(declared) = declared {
                let mut one = [param.clone()];
                if fit_params(&mut one, declared, &schema).is_ok() {
                    let [fitted] = one;
                    param = fitted;
                }
            }
            if param.value.is_some() {
                out.push(param);
            }
        }
        OperationResult::Method { return_value, out }
    }

    /// The classes of these names, each with all it inherits and without its superclass.
    async fn schema_of(&self, namespace: &NamespaceName, names: &[ClassName]) -> Schema {
        let mut schema = Schema::new();
        for name in names {
            if schema.contains(name.as_str()) {
                continue;
            }
            if let Some(class) = self.class_over_wsman(namespace, name).await {
                let class = Class { superclass: None, ..Class::clone(&class) };
                // It is not there yet, and has no superclass that could be missing.
                let _ = schema.add_class(class);
            }
        }
        schema
    }

    async fn class_over_wsman(&self, namespace: &NamespaceName, name: &ClassName) -> Option<Arc<Class>> {
        let key = (namespace.clone(), name.clone());
        let known = self.classes.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return known;
        }
        let answer = self.ask_wsman(namespace, name.as_str(), &[], &Ask::GetClass, true).await;
        let class = match answer {
            Ok(Answered::Class(class)) => Some(Arc::from(class)),
            _ => None,
        };
        self.classes.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, class.clone());
        class
    }

    fn not_expected(&self, asked: &str, answered: &Answered) -> ClientError {
        let shown = format!("{answered:?}");
        let kind = shown.split([' ', '(', '{']).next().unwrap_or_default();
        ClientError::Malformed {
            endpoint: self.endpoint().to_string(),
            reason: format!("{asked} was answered with something else ({kind})"),
        }
    }
}

/// Leaves of a class what the options ask for: Get of a class has none, and answers with all of it.
fn restrict(class: &mut Class, options: &ClassOptions) {
    if options.local_only {
        class.properties.retain(|p| !p.propagated);
        class.methods.retain(|m| !m.propagated);
    }
    if let Some(list) = &options.property_list {
        class.properties.retain(|p| list.contains(&p.name));
    }
    let wanted = |q: &Qualifier| options.include_qualifiers && !(options.local_only && q.propagated);
    class.qualifiers.retain(wanted);
    for property in &mut class.properties {
        property.qualifiers.retain(wanted);
        property.class_origin.take_if(|_| !options.include_class_origin);
    }
    for method in &mut class.methods {
        method.qualifiers.retain(wanted);
        method.class_origin.take_if(|_| !options.include_class_origin);
        method.parameters.iter_mut().for_each(|p| p.qualifiers.retain(wanted));
    }
}

/// The classes of an instance and of what is embedded in it.
fn collect(instance: &Instance, names: &mut Vec<ClassName>, depth: usize) {
    if !names.contains(&instance.class) {
        names.push(instance.class.clone());
    }
    for property in &instance.properties {
        collect_value(property.value.as_ref(), names, depth);
    }
}

fn collect_value(value: Option<&Value>, names: &mut Vec<ClassName>, depth: usize) {
    match value {
        Some(Value::Instance(inner)) if depth > 0 => collect(inner, names, depth - 1),
        Some(Value::Array(items)) => items.iter().for_each(|i| collect_value(i.as_ref(), names, depth)),
        _ => {}
    }
}

fn type_keys(path: &mut InstancePath, class: &Class, schema: &Schema) {
    let selectors: Vec<Selector> =
        path.keys.iter().map(|k| Selector { name: k.name.clone(), value: k.value.clone() }).collect();
    if let Ok(selected) = selected_keys(&selectors, class, schema) {
        path.keys = selected.keys;
    }
}
