//! One request and its answer: WS-Transfer and methods. What takes several requests is in `enumerate`.

use super::hints;
use crate::Principal;
use crate::connection::Connection;
use crate::execute::Answer;
use crate::metrics::OperationIndex;
use crate::server::App;
use cimwright_broker::statistics::{Sample, Statistics};
use cimwright_cim::operation::{ClassOptions, InstanceOptions};
use cimwright_cim::path::key_values_equal;
use cimwright_cim::{
    CimError, CimStatus, Class, ClassName, ClassPath, Instance, InstancePath, Name, NamespaceName,
    ObjectPath, Operation, OperationResult, Param, Request, Schema,
};
use cimwright_codec::cimxml::class_text;
use cimwright_codec::wsman::{
    Action, Fault, Header, Resource, ResponseWriter, Subcode, fault_of, fit_fragment, fit_instance,
    fit_params, has_keys, selected_keys, show_octets, show_octets_of,
};
use std::sync::Arc;
use tokio::time::Instant;
use uuid::Uuid;

/// How many instances are looked at to find the one that some of its keys name.
const MAX_CANDIDATES: usize = 1000;
/// How many subclasses are looked through for the instance that a request names by their superclass.
const MAX_SUBCLASSES: usize = 64;
/// The largest envelope when the client does not say what it takes.
const DEFAULT_ENVELOPE: usize = 512_000;

/// An envelope, or the fault in its place.
pub(super) type Reply = Result<Vec<u8>, Box<Fault>>;

/// A request on its way to the object manager and back.
pub(super) struct Exchange {
    /// Where it came from.
    pub(super) connection: Arc<Connection>,
    /// Whose it is.
    pub(super) principal: Arc<Principal>,
    /// What stands above its body.
    pub(super) header: Header,
    started: Instant,
}

/// The namespace that a request is aimed at.
pub(super) struct Place {
    /// Its name.
    pub(super) namespace: NamespaceName,
    /// Its classes.
    pub(super) schema: Arc<Schema>,
}

/// The identifier of a message from here.
pub(super) fn message_id() -> String {
    format!("uuid:{}", Uuid::new_v4())
}

impl Exchange {
    pub(super) fn new(
        connection: Arc<Connection>,
        principal: Arc<Principal>,
        header: Header,
        started: Instant,
    ) -> Self {
        Self { connection, principal, header, started }
    }

    /// Carries out the action.
    pub(super) async fn answer(self, action: Action) -> Reply {
        let changes = !matches!(
            action,
            Action::Get | Action::Enumerate(_) | Action::Pull(_) | Action::EnumerationStatus { .. }
        );
        let bytes = self.carry_out(action).await.map_err(Box::new)?;
        if bytes.len() <= self.max_envelope() {
            return Ok(bytes);
        }
        let text = format!("the answer has {} bytes; at most {} are taken", bytes.len(), self.max_envelope());
        let detail = if changes { "UnreportableSuccess" } else { "MaxEnvelopeSize" };
        Err(Box::new(Fault::new(Subcode::EncodingLimit, text).detail(detail)))
    }

    async fn carry_out(&self, action: Action) -> Result<Vec<u8>, Fault> {
        if self.header.fragment.is_some() && !matches!(action, Action::Get | Action::Put { .. }) {
            // Never the whole in place of a part.
            let text = "Parts of an instance can be read and put; this is done with whole instances only.";
            return Err(Fault::new(Subcode::UnsupportedFeature, text).detail("FragmentLevelAccess"));
        }
        match action {
            // Answered before there is an exchange.
            Action::Identify => Err(Fault::new(Subcode::ActionNotSupported, "Identify has no headers.")),
            Action::Get => self.get().await,
            Action::Put { representation } => self.put(representation).await,
            Action::Create { representation } => self.create(representation).await,
            Action::Delete => self.delete().await,
            Action::Invoke { method, params } => self.invoke(method, params).await,
            Action::Enumerate(asked) => self.enumerate(*asked).await,
            Action::Pull(asked) => self.pull(asked).await,
            Action::Release { context } => self.release(&context).await,
            Action::RenewEnumeration { context, expires } => self.renew(&context, expires),
            Action::EnumerationStatus { context } => self.status(&context),
            Action::Subscribe(asked) => self.subscribe(*asked).await,
            Action::RenewSubscription { expires } => self.renew_subscription(expires).await,
            Action::SubscriptionStatus => self.subscription_status(),
            Action::Unsubscribe => self.unsubscribe().await,
        }
    }

    async fn get(&self) -> Result<Vec<u8>, Fault> {
        if self.header.resource == Some(Resource::ClassRepository) {
            return self.get_class().await;
        }
        let place = self.place()?;
        let class = self.class(&place)?;
        let path = self.instance_path(&place, &class).await?;
        let instance = match self.get_instance(&place, path.clone()).await {
            Err(fault) => {
                let path = self.of_subclass(&place, &path, fault).await?;
                self.get_instance(&place, path).await?
            }
            found => found?,
        };
        Ok(self.shown(&place, instance))
    }

    /// An instance, or the part of it that a fragment names.
    fn shown(&self, place: &Place, mut instance: Instance) -> Vec<u8> {
        show_octets(&mut instance, &place.schema);
        let writer = self.writer(place);
        match &self.header.fragment {
            None => writer.instance(&instance),
            Some(fragment) => writer.fragment(fragment, &instance),
        }
    }

    async fn get_instance(&self, place: &Place, path: InstancePath) -> Result<Instance, Fault> {
        // A fragment is of one property; nobody has to find out the others.
        let steps = self.header.fragment.as_ref().map(|f| f.steps.as_slice());
        let property_list = steps.and_then(<[_]>::first).map(|step| vec![step.name.clone()]);
        let options = InstanceOptions { property_list, ..InstanceOptions::default() };
        match self.whole(place, Operation::GetInstance { path, options }, false).await? {
            OperationResult::Instance(instance) => Ok(*instance),
            _ => Err(unexpected()),
        }
    }

    /// GetClass, the class in CIM-XML (as Windows' Get-CimClass asks for it).
    async fn get_class(&self) -> Result<Vec<u8>, Fault> {
        let place = self.place()?;
        let named = self.header.selectors.iter().find(|s| s.name.is("ClassName"));
        let Some(class) = named.and_then(|s| s.value.as_str()) else {
            let fault = Fault::new(Subcode::InvalidSelectors, "the selector ClassName is missing");
            return Err(fault.detail("InsufficientSelectors"));
        };
        let options = ClassOptions {
            local_only: false,
            include_qualifiers: true,
            include_class_origin: true,
            property_list: None,
        };
        match self.whole(&place, Operation::GetClass { class: Name::new(class), options }, false).await? {
            OperationResult::Class(class) => Ok(self.writer(&place).class_text(&class_text(&class))),
            _ => Err(unexpected()),
        }
    }

    async fn put(&self, mut representation: Instance) -> Result<Vec<u8>, Fault> {
        let place = self.place()?;
        let class = self.class(&place)?;
        let path = self.instance_path(&place, &class).await?;
        let (path, before) = match self.stored(&place, path.clone()).await {
            Err(fault) => {
                let path = self.of_subclass(&place, &path, fault).await?;
                let before = self.stored(&place, path.clone()).await?;
                (path, before)
            }
            found => (path, found?),
        };
        let class = place.schema.class(path.class.as_str()).unwrap_or(&class);
        if let Some(fragment) = &self.header.fragment {
            let part = fit_fragment(fragment, &representation, &before, class, &place.schema)?;
            representation = Instance::new(class.name.clone());
            representation.properties = vec![part];
        } else {
            fit_instance(&mut representation, class, &place.schema)?;
        }
        // A representation shows all properties, also those that cannot be changed: what is asked for is the difference.
        let said = self.header.modified_properties();
        // Octets are compared as they are shown: several arrays look the same, and what nobody touched is not written.
        let (mut new, mut old) = (representation.clone(), before.clone());
        show_octets(&mut new, &place.schema);
        show_octets(&mut old, &place.schema);
        let changed: Vec<Name> = representation
            .properties
            .iter()
            .filter(|p| said.as_ref().is_none_or(|said| said.contains(&p.name)))
            .filter(|p| new.get(p.name.as_str()) != old.get(p.name.as_str()))
            .map(|p| p.name.clone())
            .collect();
        if !changed.is_empty() {
            representation.properties.retain(|p| changed.contains(&p.name));
            representation.path = Some(path.clone());
            // Who shows the whole instance does not mean what has moved on by itself since.
            let named = said.is_some() || self.header.fragment.is_some();
            let property_list = named.then_some(changed);
            let modify = Operation::ModifyInstance { instance: representation, property_list };
            self.whole(&place, modify, true).await?;
        }
        let after = self.get_instance(&place, path).await?;
        Ok(self.shown(&place, after))
    }

    /// The whole instance as it is before it is changed.
    async fn stored(&self, place: &Place, path: InstancePath) -> Result<Instance, Fault> {
        let get = Operation::GetInstance { path, options: InstanceOptions::default() };
        match self.whole(place, get, true).await? {
            OperationResult::Instance(before) => Ok(*before),
            _ => Err(unexpected()),
        }
    }

    async fn create(&self, mut representation: Instance) -> Result<Vec<u8>, Fault> {
        let place = self.place()?;
        self.no_keys("Create")?;
        let class = self.class(&place)?;
        if representation.class != class.name {
            let text = format!("the body holds a {}, the resource is {}", representation.class, class.name);
            return Err(Fault::new(Subcode::InvalidRepresentation, text).detail("InvalidNamespace"));
        }
        fit_instance(&mut representation, &class, &place.schema)?;
        match self.whole(&place, Operation::CreateInstance { instance: representation }, true).await? {
            OperationResult::Created(path) => {
                Ok(self.writer(&place).created(&ObjectPath::Instance(path), &self.header.to))
            }
            _ => Err(unexpected()),
        }
    }

    async fn delete(&self) -> Result<Vec<u8>, Fault> {
        let place = self.place()?;
        let class = self.class(&place)?;
        let path = self.instance_path(&place, &class).await?;
        if let Err(fault) = self.whole(&place, Operation::DeleteInstance { path: path.clone() }, false).await
        {
            let path = self.of_subclass(&place, &path, fault).await?;
            self.whole(&place, Operation::DeleteInstance { path }, false).await?;
        }
        Ok(self.writer(&place).empty())
    }

    async fn invoke(&self, method: Name, params: Vec<Param>) -> Result<Vec<u8>, Fault> {
        let place = self.place()?;
        let class = self.class(&place)?;
        let is_static = class.method(method.as_str()).is_none_or(|m| m.is_static());
        let of_class = !has_keys(&self.header.selectors) && (class.keys().next().is_none() || is_static);
        if of_class {
            let target = ClassPath::new(place.namespace.clone(), class.name.clone());
            return self.call(&place, &class, ObjectPath::Class(target), &method, params).await;
        }
        let path = self.instance_path(&place, &class).await?;
        let target = ObjectPath::Instance(path.clone());
        match self.call(&place, &class, target, &method, params.clone()).await {
            Err(fault) => {
                let path = self.of_subclass(&place, &path, fault).await?;
                let class = Arc::clone(place.schema.class(path.class.as_str()).unwrap_or(&class));
                self.call(&place, &class, ObjectPath::Instance(path), &method, params).await
            }
            answered => answered,
        }
    }

    /// Calls a method of a class or of an instance of it.
    async fn call(
        &self,
        place: &Place,
        class: &Class,
        target: ObjectPath,
        method: &Name,
        mut params: Vec<Param>,
    ) -> Result<Vec<u8>, Fault> {
        let declared = class.method(method.as_str());
        if let Some(declared) = declared {
            fit_params(&mut params, declared, &place.schema)?;
        }
        let invoke = Operation::InvokeMethod { target, method: method.clone(), params };
        let OperationResult::Method { return_value, mut out } = self.whole(place, invoke, false).await?
        else {
            return Err(unexpected());
        };
        // An output without a value is shown as such.
        for parameter in declared.iter().flat_map(|m| &m.parameters).filter(|p| p.is_out()) {
            if !out.iter().any(|o| o.name == parameter.name) {
                out.push(Param::null(parameter.name.clone(), parameter.cim_type));
            }
        }
        if let Some(declared) = declared {
            show_octets_of(&mut out, declared, &place.schema);
        }
        let name = declared.map_or(method, |m| &m.name);
        Ok(self.writer(place).method(name.as_str(), &out, return_value.as_ref()))
    }

    /// The instance of a subclass that the keys name, where the class of the resource URI has none with these keys: clients of
    /// Windows name what they found by the class that they asked for. Nothing is looked for unless `fault` says that it may help.
    async fn of_subclass(
        &self,
        place: &Place,
        path: &InstancePath,
        fault: Fault,
    ) -> Result<InstancePath, Fault> {
        if !matches!(fault.subcode, Some(Subcode::DestinationUnreachable | Subcode::ActionNotSupported)) {
            return Err(fault);
        }
        let mut found = None;
        // The class itself is the first.
        for class in place.schema.with_descendants(path.class.as_str()).into_iter().take(MAX_SUBCLASSES + 1) {
            let exact = class == path.class;
            let path = InstancePath { class, ..path.clone() };
            match self.exists(place, &path).await {
                Ok(false) => {}
                Ok(true) if exact => return Err(fault),
                Ok(true) if found.is_some() => return Err(of_several(&path.class)),
                Ok(true) => found = Some(path),
                // Whoever cannot look does not know either.
                Err(_) => return Err(fault),
            }
        }
        found.ok_or(fault)
    }

    /// The same where the class has no keys at all: its subclasses brought them in.
    async fn of_keyed_subclass(&self, place: &Place, class: &Class) -> Result<Option<InstancePath>, Fault> {
        let subclasses = place.schema.with_descendants(class.name.as_str()).into_iter().skip(1);
        let paths = subclasses.filter_map(|name| {
            let class = place.schema.class(name.as_str())?;
            let selected = selected_keys(&self.header.selectors, class, &place.schema).ok()?;
            selected.path(class, place.namespace.clone()).ok()
        });
        let mut found = None;
        for path in paths.take(MAX_SUBCLASSES) {
            match self.exists(place, &path).await {
                Ok(false) => {}
                Ok(true) if found.is_some() => return Err(of_several(&path.class)),
                Ok(true) => found = Some(path),
                Err(error) => return Err(fault_of(&error, false)),
            }
        }
        Ok(found)
    }

    /// Whether there is such an instance for this user. Looking for one is no operation that anybody asked for, so it is not counted.
    async fn exists(&self, place: &Place, path: &InstancePath) -> Result<bool, CimError> {
        let options = InstanceOptions { property_list: Some(Vec::new()), ..InstanceOptions::default() };
        let operation = Operation::GetInstance { path: path.clone(), options };
        let request = Request { namespace: place.namespace.clone(), operation };
        match self.app().executor.execute(&self.principal, request).await {
            Ok(_) => Ok(true),
            Err(error)
                if matches!(
                    error.status,
                    CimStatus::NotFound | CimStatus::NotSupported | CimStatus::InvalidClass
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// That nothing is selected but a namespace: the request is not about one instance (DSP0227 5).
    pub(super) fn no_keys(&self, what: &str) -> Result<(), Fault> {
        if !has_keys(&self.header.selectors) {
            return Ok(());
        }
        let text = format!(
            "{what} takes no selector but __cimnamespace; a filter says which instances an enumeration has"
        );
        Err(Fault::new(Subcode::InvalidSelectors, text).detail("UnexpectedSelectors"))
    }

    /// The namespace: of the URI, of the selector, or the one that is configured for requests that name none.
    pub(super) fn place(&self) -> Result<Place, Fault> {
        let app = self.app();
        // What is no resource of CIM has no namespace either.
        if let None | Some(Resource::Unknown) = self.header.resource {
            return Err(hints::no_resource(self.header.resource_uri.as_deref()));
        }
        let named = self.header.namespace();
        let is_named = named.is_some();
        let namespace = named.unwrap_or_else(|| NamespaceName::new(&app.wsman.default_namespace));
        match app.executor.schema(&self.principal, &namespace) {
            Some(schema) => Ok(Place { namespace, schema }),
            None => Err(hints::no_namespace(&namespace, is_named, &app.executor.namespaces(&self.principal))),
        }
    }

    /// The class that the resource URI names.
    pub(super) fn class(&self, place: &Place) -> Result<Arc<Class>, Fault> {
        let Some(class) = self.header.resource.as_ref().and_then(Resource::class) else {
            return Err(hints::no_resource(self.header.resource_uri.as_deref()));
        };
        let found = place.schema.class(class.as_str());
        found.cloned().ok_or_else(|| hints::no_class(class, &place.namespace, &place.schema))
    }

    /// The instance that the selectors name. Some of its keys are enough where they name no other one.
    pub(super) async fn instance_path(&self, place: &Place, class: &Class) -> Result<InstancePath, Fault> {
        let selected = match selected_keys(&self.header.selectors, class, &place.schema) {
            Err(fault) if class.keys().next().is_none() => {
                let found = self.of_keyed_subclass(place, class).await?;
                return found.ok_or_else(|| hints::with_keys(fault, class));
            }
            selected => selected.map_err(|fault| hints::with_keys(fault, class))?,
        };
        if selected.missing.is_empty() || selected.keys.is_empty() {
            let path = selected.path(class, place.namespace.clone());
            return path.map_err(|fault| hints::with_keys(fault, class));
        }
        let names = Operation::EnumerateInstanceNames { class: class.name.clone() };
        let fits = |instance: &Instance| {
            instance.path.as_ref().is_some_and(|path| {
                selected
                    .keys
                    .iter()
                    .all(|k| path.key(k.name.as_str()).is_some_and(|v| key_values_equal(v, &k.value)))
            })
        };
        let mut found: Option<InstancePath> = None;
        let mut seen = 0;
        for instance in self.some(place, names, MAX_CANDIDATES).await? {
            seen += 1;
            if !fits(&instance) {
                continue;
            }
            if found.is_some() {
                let text = format!("the selectors fit several instances of {}", class.name);
                return Err(Fault::new(Subcode::InvalidSelectors, text).detail("AmbiguousSelectors"));
            }
            found = instance.path;
        }
        match found {
            Some(path) if seen < MAX_CANDIDATES => Ok(path),
            _ => {
                let path = selected.path(class, place.namespace.clone());
                path.map_err(|fault| hints::with_keys(fault, class))
            }
        }
    }

    /// Up to `most` instances that an operation gives.
    async fn some(&self, place: &Place, operation: Operation, most: usize) -> Result<Vec<Instance>, Fault> {
        match self.execute(place, operation, false).await? {
            Answer::Whole(OperationResult::Instances { items, .. }) => Ok(items),
            Answer::Whole(_) => Err(unexpected()),
            Answer::Objects(_, mut objects) => {
                let mut items = Vec::new();
                while items.len() < most
                    && let Some(portion) = objects.next().await.map_err(|e| fault_of(&e, false))?
                {
                    items.extend(portion);
                }
                items.truncate(most);
                Ok(items)
            }
        }
    }

    /// An operation whose answer comes whole. `representation` is whether an instance of the client's is to be stored.
    async fn whole(
        &self,
        place: &Place,
        operation: Operation,
        representation: bool,
    ) -> Result<OperationResult, Fault> {
        match self.execute(place, operation, representation).await? {
            Answer::Whole(result) => Ok(result),
            Answer::Objects(..) => Err(unexpected()),
        }
    }

    /// Asks the object manager.
    pub(super) async fn execute(
        &self,
        place: &Place,
        operation: Operation,
        representation: bool,
    ) -> Result<Answer, Fault> {
        let index = OperationIndex::of(&operation);
        let request = Request { namespace: place.namespace.clone(), operation };
        let app = self.app();
        let began = Instant::now();
        let meter = app.executor.statistics().map(Statistics::meter).unwrap_or_default();
        let answer = meter.measure(app.executor.execute(&self.principal, request)).await;
        if let Some(statistics) = app.executor.statistics() {
            // One message may be many operations: its bytes belong to none of them.
            let sample =
                Sample { took: began.elapsed(), in_providers: meter.in_providers(), ..Sample::default() };
            statistics.record(index.name(), sample);
        }
        let status = answer.as_ref().err().map(|e| e.status);
        app.metrics.operation(index, status, self.started.elapsed());
        answer.map_err(|error| fault_of(&error, representation))
    }

    pub(super) fn app(&self) -> &App {
        &self.connection.app
    }

    pub(super) fn writer<'w>(&'w self, place: &'w Place) -> ResponseWriter<'w> {
        ResponseWriter::new(&self.header, &message_id(), Some(&place.namespace))
    }

    /// The largest envelope that may be sent, in bytes.
    pub(super) fn max_envelope(&self) -> usize {
        let asked = self.header.max_envelope_size;
        let asked = asked.map_or(DEFAULT_ENVELOPE, |size| usize::try_from(size).unwrap_or(usize::MAX));
        asked.min(self.app().wsman.max_envelope_bytes)
    }
}

/// The object manager answers each operation in its own form; this is not the one.
/// The fault for keys that instances of several subclasses of a class have.
fn of_several(class: &ClassName) -> Fault {
    let text =
        format!("the selectors fit instances of several classes, {class} among them; name the class itself");
    Fault::new(Subcode::InvalidSelectors, text).detail("AmbiguousSelectors")
}

pub(super) fn unexpected() -> Fault {
    Fault::new(Subcode::InternalError, "The operation answered in an unexpected form.")
}
