//! The one entrance: [`Broker::execute`].

use crate::associations::{self, Wanted};
use crate::authorize::{Permission, permission};
use crate::errors;
use crate::indications::{self, Indications};
use crate::interop::{self, About, AccessPoint, Discovery};
use crate::loaded::{self, Forgetful};
use crate::pull::{self, Sessions};
use crate::registry::{BuildError, Namespace, Registry, built_in};
use crate::statistics::Statistics;
use crate::stream::ObjectStream;
use crate::{changes, classes, filter, instances, methods, properties, query};
use cimwright_cim::operation::{Operation, OperationResult, PullKind, Request};
use cimwright_cim::query::Condition;
use cimwright_cim::{Catalogue, CimError, Instance, NamespaceName, ObjectPath, Schema};
use cimwright_jobs::Jobs;
use cimwright_repository::{Content, RepositoryStore};
use cimwright_sdk::{Background, Context, Plugin, Principal};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The object manager. Cheap to clone; all clones are the same broker.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

/// What an operation answers.
pub enum Answer {
    /// All of it.
    Whole(OperationResult),
    /// A set of instances, to be fetched portion by portion.
    Stream(ObjectStream),
}

/// How much a client may ask for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many enumeration sessions may be open at once.
    pub sessions: usize,
    /// How many of them one user may have.
    pub sessions_per_user: usize,
    /// How long an idle session is kept when the client does not say (OperationTimeout is NULL).
    pub default_timeout: Duration,
    /// The longest OperationTimeout that is accepted; 0, which means for ever, never is.
    pub max_timeout: Duration,
    /// How many static instances may be kept, in all namespaces together.
    pub static_instances: usize,
    /// How many classes clients may load, in all namespaces together.
    pub loaded_classes: usize,
    /// How many namespaces there may be.
    pub namespaces: usize,
    /// The most objects in one answer of an Open or Pull operation, whatever MaxObjectCount says.
    pub max_object_count: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 256,
            sessions_per_user: 32,
            default_timeout: Duration::from_secs(90),
            max_timeout: Duration::from_secs(600),
            static_instances: 1_000_000,
            loaded_classes: 100_000,
            namespaces: 1000,
            max_object_count: 1000,
        }
    }
}

/// Makes the text of an embedded instance into the instance, or says why it is none.
pub type EmbeddedParser = Arc<dyn Fn(&str) -> Result<Instance, String> + Send + Sync>;

/// Makes a condition of the language and the text of a filter, or says what is wrong with it.
pub type FilterParser = Arc<dyn Fn(&str, &str) -> Result<Condition, CimError> + Send + Sync>;

/// What all operations share.
pub(crate) struct Inner {
    pub(crate) jobs: Jobs,
    pub(crate) registry: Arc<Registry>,
    pub(crate) sessions: Sessions,
    pub(crate) limits: Limits,
    pub(crate) parser: EmbeddedParser,
    pub(crate) filter_parser: Option<FilterParser>,
    /// Held while the settings of a job are read, changed and written back.
    pub(crate) settings: tokio::sync::Mutex<()>,
    about: Option<Arc<About>>,
    catalogues: Vec<&'static Catalogue>,
    indications: Option<Indications>,
    background: Vec<Arc<dyn Background>>,
    statistics: Arc<Statistics>,
}

/// Whose operation it is, and where.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) inner: Arc<Inner>,
    pub(crate) principal: Principal,
    pub(crate) namespace: Arc<Namespace>,
}

impl Scope {
    /// What a provider is told.
    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            principal: &self.principal,
            namespace: &self.namespace.name,
            schema: &self.namespace.schema,
        }
    }
}

/// Puts a broker together.
pub struct BrokerBuilder {
    jobs: Jobs,
    namespaces: Vec<(NamespaceName, Schema)>,
    plugins: Vec<Plugin>,
    parser: EmbeddedParser,
    filter_parser: Option<FilterParser>,
    limits: Limits,
    indications: Option<Indications>,
    store: Arc<dyn RepositoryStore>,
    content: Content,
    common: Schema,
    discovery: Option<Discovery>,
}

impl BrokerBuilder {
    /// Adds a namespace with its classes.
    #[must_use]
    pub fn namespace(mut self, name: NamespaceName, schema: Schema) -> Self {
        self.namespaces.push((name, schema));
        self
    }

    /// Adds a provider. The kinds of jobs it brings are not looked at: whoever opens [`Jobs`] registers them.
    #[must_use]
    pub fn plugin(mut self, plugin: Plugin) -> Self {
        self.plugins.push(plugin);
        self
    }

    /// Sets how the text of an embedded instance is read; without it, only embedded objects are accepted.
    #[must_use]
    pub fn embedded_parser(mut self, parser: EmbeddedParser) -> Self {
        self.parser = parser;
        self
    }

    /// Sets how the filters of Open… operations are read; without it, they are refused.
    #[must_use]
    pub fn filter_parser(mut self, parser: FilterParser) -> Self {
        self.filter_parser = Some(parser);
        self
    }

    /// Lets clients subscribe to indications, by the classes in root/interop.
    #[must_use]
    pub fn indications(mut self, indications: Indications) -> Self {
        self.plugins.push(indications::plugin(&indications));
        self.indications = Some(indications);
        self
    }

    /// Sets where what clients load is kept, and what is there already; without it, all of it is gone with the process.
    #[must_use]
    pub fn repository(mut self, store: Arc<dyn RepositoryStore>, content: Content) -> Self {
        self.store = store;
        self.content = content;
        self
    }

    /// Lets the server describe itself in [`INTEROP_NAMESPACE`](crate::interop::INTEROP_NAMESPACE), which must be there.
    #[must_use]
    pub fn discovery(mut self, discovery: Discovery) -> Self {
        self.discovery = Some(discovery);
        self
    }

    /// Sets the qualifiers that classes may use in a namespace that does not declare them.
    #[must_use]
    pub fn common_qualifiers(mut self, common: Schema) -> Self {
        self.common = common;
        self
    }

    /// Sets other limits than the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Puts it together.
    ///
    /// # Errors
    /// When the plugins do not fit the namespaces or one another.
    pub fn build(mut self) -> Result<Broker, BuildError> {
        let mut catalogues: Vec<&'static Catalogue> =
            vec![&cimwright_jobs::errors::CATALOGUE, &errors::CATALOGUE];
        for catalogue in self.plugins.iter().flat_map(|p| &p.catalogues) {
            if !catalogues.iter().any(|c| std::ptr::eq(*c, *catalogue)) {
                catalogues.push(catalogue);
            }
        }
        let background: Vec<_> = self.plugins.iter().flat_map(|p| p.background.clone()).collect();
        let registry = Arc::new(Registry::new(self.common, self.store, self.indications.clone()));
        let statistics = Arc::<Statistics>::default();
        let about = self.discovery.map(|discovery| {
            let (registry, limits) = (Arc::downgrade(&registry), self.limits.clone());
            let services = self.indications.iter().map(Indications::service_path).collect();
            let about = About::new(discovery, registry, limits, self.jobs.clone(), Arc::clone(&statistics));
            Arc::new(about.with_services(services))
        });
        self.plugins.extend(about.as_ref().map(interop::plugin));
        registry.replace(loaded::with_content(built_in(self.namespaces, self.plugins)?, self.content));
        background.iter().for_each(|b| b.begin(&self.jobs));
        Ok(Broker {
            inner: Arc::new(Inner {
                jobs: self.jobs,
                registry,
                about,
                sessions: Sessions::default(),
                limits: self.limits,
                parser: self.parser,
                filter_parser: self.filter_parser,
                settings: tokio::sync::Mutex::default(),
                catalogues,
                indications: self.indications,
                background,
                statistics,
            }),
        })
    }
}

impl Broker {
    /// Whether a plugin would be taken beside these namespaces, as [`BrokerBuilder::build`] looks at it.
    ///
    /// # Errors
    /// Why it would not.
    pub fn check(namespaces: &[(NamespaceName, Schema)], plugin: &Plugin) -> Result<(), BuildError> {
        built_in(namespaces.to_vec(), vec![plugin.clone()]).map(drop)
    }

    /// Begins to put a broker together.
    pub fn builder(jobs: Jobs) -> BrokerBuilder {
        BrokerBuilder {
            jobs,
            namespaces: Vec::new(),
            plugins: Vec::new(),
            parser: Arc::new(|_| Err("this server reads no instances from text".to_owned())),
            filter_parser: None,
            limits: Limits::default(),
            indications: None,
            store: Arc::new(Forgetful),
            content: Content::default(),
            common: Schema::new(),
            discovery: None,
        }
    }

    /// Ends what providers do without being asked. To be called when neither requests nor jobs are served any more.
    pub async fn end_background(&self) {
        for background in &self.inner.background {
            background.end().await;
        }
    }

    /// Carries out an operation for a user.
    ///
    /// Operations that change something go on to their end even when the returned future is dropped, as it is when a client
    /// disconnects.
    ///
    /// # Errors
    /// With the status codes of DSP0200 5.3; anything that is not served answers CIM_ERR_NOT_SUPPORTED.
    pub async fn execute(&self, principal: &Principal, request: Request) -> Result<Answer, CimError> {
        let Request { namespace, operation } = request;
        let namespace = self.inner.registry.namespace(&namespace)?;
        let permission = permission(principal.role(), &operation);
        let scope = Scope { inner: Arc::clone(&self.inner), principal: principal.clone(), namespace };
        if permission == Permission::Denied && !matches!(operation, Operation::InvokeMethod { .. }) {
            return Err(errors::denied(principal, operation_name(&operation)));
        }
        dispatch(scope, permission, operation).await
    }

    /// The jobs behind the job classes.
    pub fn jobs(&self) -> &Jobs {
        &self.inner.jobs
    }

    /// What tells subscribers about jobs and alerts, if the broker has it.
    pub fn indications(&self) -> Option<&Indications> {
        self.inner.indications.as_ref()
    }

    /// What operations cost, for the front ends to fill.
    pub fn statistics(&self) -> &Statistics {
        &self.inner.statistics
    }

    /// Tells the clients that look for it under which addresses the server can be reached.
    pub fn announce(&self, access_points: Vec<AccessPoint>) {
        if let Some(about) = &self.inner.about {
            *about.access_points.write().unwrap_or_else(PoisonError::into_inner) = access_points;
        }
    }

    /// The classes of a namespace.
    pub fn schema(&self, ns: &NamespaceName) -> Option<Arc<Schema>> {
        self.inner.registry.namespace(ns).ok().map(|n| Arc::clone(&n.schema))
    }

    /// The namespaces that there are now, in the order of their names.
    pub fn namespaces(&self) -> Vec<NamespaceName> {
        let mut names: Vec<NamespaceName> = self.inner.registry.all().keys().cloned().collect();
        names.sort();
        names
    }

    /// Every reason this server can give, by who gives it.
    pub fn catalogues(&self) -> &[&'static Catalogue] {
        &self.inner.catalogues
    }
}

async fn dispatch(scope: Scope, permission: Permission, operation: Operation) -> Result<Answer, CimError> {
    let schema = &scope.namespace.schema;
    let whole = match operation {
        Operation::GetClass { class, options } => classes::get(schema, &class, &options)?,
        Operation::EnumerateClasses { class, deep, options } => {
            classes::enumerate(schema, class.as_ref(), deep, &options)?
        }
        Operation::EnumerateClassNames { class, deep } => {
            classes::enumerate_names(schema, class.as_ref(), deep)?
        }
        Operation::GetQualifier { name } => classes::qualifier(schema, &name)?,
        Operation::EnumerateQualifiers => OperationResult::Qualifiers(schema.qualifiers().cloned().collect()),
        Operation::GetInstance { path, options } => {
            OperationResult::Instance(Box::new(instances::get(&scope, &path, &options).await?))
        }
        Operation::EnumerateInstances { class, deep, options } => {
            return instances::enumerate(&scope, &class, deep, &options).map(Answer::Stream);
        }
        Operation::EnumerateInstanceNames { class } => {
            return instances::enumerate_names(&scope, &class).map(Answer::Stream);
        }
        Operation::ModifyInstance { instance, property_list } => {
            instances::modify(scope, permission, instance, property_list).await?
        }
        Operation::DeleteInstance { path } => instances::delete(scope, permission, path).await?,
        Operation::Associators { object, filter, options } => {
            return associations::answer(&scope, &object, &filter, Wanted::Associators, &options).await;
        }
        Operation::AssociatorNames { object, filter } => {
            return associations::answer_names(&scope, &object, &filter, Wanted::Associators).await;
        }
        Operation::References { object, filter, options } => {
            return associations::answer(&scope, &object, &filter, Wanted::References, &options).await;
        }
        Operation::ReferenceNames { object, filter } => {
            return associations::answer_names(&scope, &object, &filter, Wanted::References).await;
        }
        Operation::ExecQuery { query } => return query::execute(&scope, query).map(Answer::Stream),
        Operation::OpenEnumerateInstances { class, deep, options, open } => {
            let filter = filter::of_class(&scope, &open, &class)?;
            let stream = instances::enumerate(&scope, &class, deep, &options)?.filtered(filter);
            pull::open(&scope, stream, PullKind::InstancesWithPath, &open).await?
        }
        Operation::OpenEnumerateInstancePaths { class, open } => {
            let filter = filter::of_class(&scope, &open, &class)?;
            let stream = instances::enumerate_names(&scope, &class)?.filtered(filter);
            pull::open(&scope, stream, PullKind::InstancePaths, &open).await?
        }
        Operation::OpenAssociatorInstances { object, filter, options, open } => {
            let wanted = Wanted::Associators;
            let stream = associations::open(&scope, &object, &filter, wanted, Some(&options), &open).await?;
            pull::open(&scope, stream, PullKind::InstancesWithPath, &open).await?
        }
        Operation::OpenAssociatorInstancePaths { object, filter, open } => {
            let stream =
                associations::open(&scope, &object, &filter, Wanted::Associators, None, &open).await?;
            pull::open(&scope, stream, PullKind::InstancePaths, &open).await?
        }
        Operation::OpenReferenceInstances { object, filter, options, open } => {
            let wanted = Wanted::References;
            let stream = associations::open(&scope, &object, &filter, wanted, Some(&options), &open).await?;
            pull::open(&scope, stream, PullKind::InstancesWithPath, &open).await?
        }
        Operation::OpenReferenceInstancePaths { object, filter, open } => {
            let stream =
                associations::open(&scope, &object, &filter, Wanted::References, None, &open).await?;
            pull::open(&scope, stream, PullKind::InstancePaths, &open).await?
        }
        Operation::OpenQueryInstances { query, return_query_result_class, open } => {
            let class = query::result_class(&scope, &query)?;
            let stream = query::execute(&scope, query)?;
            let mut result = pull::open(&scope, stream, PullKind::Instances, &open).await?;
            if let OperationResult::Pulled { query_result_class, .. } = &mut result {
                *query_result_class = return_query_result_class.then(|| Box::new(class));
            }
            result
        }
        Operation::Pull { kind, context, max_object_count } => {
            pull::pull(&scope, kind, &context, max_object_count).await?
        }
        Operation::CloseEnumeration { context } => pull::close(&scope, &context)?,
        Operation::EnumerationCount { context } => pull::count(&scope, &context)?,
        Operation::InvokeMethod { target, method, params } => {
            methods::invoke(scope, permission, target, method, params).await?
        }
        Operation::CreateInstance { instance } => {
            changes::administrators_only(&scope, permission, "CreateInstance", &instance.class)?;
            changes::create(scope, instance).await?
        }
        Operation::CreateClass { class } => loaded::create_class(scope, *class).await?,
        Operation::ModifyClass { class } => loaded::modify_class(scope, *class).await?,
        Operation::DeleteClass { class } => loaded::delete_class(scope, class).await?,
        Operation::SetQualifier { declaration } => loaded::set_qualifier(scope, *declaration).await?,
        Operation::DeleteQualifier { name } => loaded::delete_qualifier(scope, name).await?,
        Operation::GetProperty { path, property } => properties::get(&scope, &path, &property).await?,
        Operation::SetProperty { path, property, value } => {
            properties::set(scope, permission, path, property, value).await?
        }
        Operation::Unsupported { name } => {
            return Err(CimError::not_supported(format!("this server does not know the operation {name}")));
        }
    };
    Ok(Answer::Whole(whole))
}

/// The name of an operation that a role may be too low for.
fn operation_name(operation: &Operation) -> String {
    match operation {
        Operation::ModifyInstance { instance, .. } => format!("ModifyInstance of {}", instance.class),
        Operation::SetProperty { path, .. } => format!("SetProperty of {}", path.class),
        Operation::CreateClass { class } => format!("CreateClass {}", class.name),
        Operation::ModifyClass { class } => format!("ModifyClass {}", class.name),
        Operation::DeleteClass { class } => format!("DeleteClass {class}"),
        Operation::SetQualifier { declaration } => format!("SetQualifier {}", declaration.name),
        Operation::DeleteQualifier { name } => format!("DeleteQualifier {name}"),
        Operation::DeleteInstance { path } => format!("DeleteInstance of {}", path.class),
        Operation::CreateInstance { instance } => format!("CreateInstance of {}", instance.class),
        Operation::InvokeMethod { target, method, .. } => format!("{}.{method}", ObjectPath::class(target)),
        _ => "this operation".to_owned(),
    }
}
