//! The namespace by which the server describes itself: itself and its addresses, its namespaces, and the profiles it follows
//! (DSP1033, and what SNIA's Server profile asks for).

mod namespaces;
mod profiles;
mod server;
mod statistics;

pub use profiles::{Central, Profile};

use crate::broker::Limits;
use crate::registry::Registry;
use crate::statistics::Statistics;
use async_trait::async_trait;
use cimwright_cim::{CimError, ClassName, Instance, InstancePath, NamespaceName, Property, Value};
use cimwright_jobs::Jobs;
use cimwright_sdk::{
    Context, InstanceProvider, MethodCall, MethodOutcome, MethodProvider, Plugin, ServedClass,
};
use std::sync::{Arc, PoisonError, RwLock, Weak};

/// Its name. Clients that know nothing of a server look here first.
pub const INTEROP_NAMESPACE: &str = "root/interop";

/// The class of the computer in object paths of this namespace.
pub const SYSTEM_CLASS: &str = "Cimwright_ComputerSystem";

/// What the server says of itself.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// The name of the computer.
    pub computer: String,
    /// The version of the server program.
    pub version: String,
    /// The profiles it follows.
    pub profiles: Vec<Profile>,
    /// The namespaces that have `__Namespace`, as WMI's do.
    pub wmi_namespaces: Vec<NamespaceName>,
}

/// An address under which the server can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPoint {
    /// Such as `https://host:5989`.
    pub url: String,
}

/// What all parts of the description are made from.
pub(crate) struct About {
    pub(crate) discovery: Discovery,
    pub(crate) access_points: RwLock<Vec<AccessPoint>>,
    /// Weak because the registry holds the providers.
    registry: Weak<Registry>,
    limits: Limits,
    jobs: Jobs,
    statistics: Arc<Statistics>,
    /// The other services of the computer.
    services: Vec<InstancePath>,
}

/// Gives the instances of one class of the description.
struct Describes<T>(Arc<About>, T);

/// One class of the description.
#[async_trait]
trait Part: Send + Sync + 'static {
    async fn all(&self, about: &About, class: &Asked<'_>) -> Result<Vec<Instance>, CimError>;

    async fn create(&self, _: &About, asked: &Asked<'_>, _: Instance) -> Result<InstancePath, CimError> {
        Err(CimError::not_supported(format!("instances of {} cannot be created", asked.class)))
    }

    async fn modify(&self, _: &About, asked: &Asked<'_>, _: Vec<Property>) -> Result<(), CimError> {
        Err(CimError::not_supported(format!("{} tells what is, and cannot be changed", asked.class)))
    }

    async fn delete(&self, _: &About, asked: &Asked<'_>, _: &InstancePath) -> Result<(), CimError> {
        Err(CimError::not_supported(format!("instances of {} cannot be deleted", asked.class)))
    }
}

/// Which class was asked for, and where.
struct Asked<'a> {
    class: &'a ClassName,
    context: Context<'a>,
}

impl Asked<'_> {
    /// An instance of the class with these properties.
    fn instance(
        &self,
        values: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Result<Instance, CimError> {
        let Some(class) = self.context.schema.class(self.class.as_str()) else {
            return Err(CimError::failed(format!("{} has no class {}", self.context.namespace, self.class)));
        };
        let mut instance = Instance::of_class(class);
        for (name, value) in values {
            instance.set(name, Some(value));
        }
        Ok(instance)
    }
}

impl About {
    pub(crate) fn new(
        discovery: Discovery,
        registry: Weak<Registry>,
        limits: Limits,
        jobs: Jobs,
        statistics: Arc<Statistics>,
    ) -> Self {
        Self {
            discovery,
            access_points: RwLock::default(),
            registry,
            limits,
            jobs,
            statistics,
            services: Vec::new(),
        }
    }

    /// Tells of these services of the computer as well.
    pub(crate) fn with_services(mut self, services: Vec<InstancePath>) -> Self {
        self.services = services;
        self
    }

    fn registry(&self) -> Result<Arc<Registry>, CimError> {
        self.registry.upgrade().ok_or_else(|| CimError::failed("the server is shutting down"))
    }

    fn access_points(&self) -> Vec<AccessPoint> {
        self.access_points.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A path in the namespace of the description.
    fn path(&self, class: &str) -> InstancePath {
        InstancePath::new(NamespaceName::new(INTEROP_NAMESPACE), class)
    }
}

#[async_trait]
impl<T: Part> InstanceProvider for Describes<T> {
    async fn enumerate(&self, context: Context<'_>, class: &ClassName) -> Result<Vec<Instance>, CimError> {
        self.1.all(&self.0, &Asked { class, context }).await
    }

    async fn create(&self, context: Context<'_>, instance: Instance) -> Result<InstancePath, CimError> {
        let class = instance.class.clone();
        self.1.create(&self.0, &Asked { class: &class, context }, instance).await
    }

    async fn modify(
        &self,
        context: Context<'_>,
        path: &InstancePath,
        changes: Vec<Property>,
    ) -> Result<(), CimError> {
        self.1.modify(&self.0, &Asked { class: &path.class, context }, changes).await
    }

    async fn delete(&self, context: Context<'_>, path: &InstancePath) -> Result<(), CimError> {
        self.1.delete(&self.0, &Asked { class: &path.class, context }, path).await
    }
}

#[async_trait]
impl MethodProvider for Describes<profiles::Profiles> {
    async fn invoke(&self, context: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        profiles::invoke(&self.0, context, call).await
    }
}

/// The plugin that serves the description.
pub(crate) fn plugin(about: &Arc<About>) -> Plugin {
    let interop = NamespaceName::new(INTEROP_NAMESPACE);
    let mut classes = Vec::new();
    let profiles = Arc::new(Describes(Arc::clone(about), profiles::Profiles));
    classes.push(ServedClass {
        namespace: interop.clone(),
        class: "CIM_RegisteredProfile".into(),
        instances: Some(profiles.clone()),
        methods: Some(profiles),
    });
    let mut serve = |namespace: &NamespaceName, class: &str, provider: Arc<dyn InstanceProvider>| {
        classes.push(ServedClass {
            namespace: namespace.clone(),
            class: class.into(),
            instances: Some(provider),
            methods: None,
        });
    };
    serve(&interop, "CIM_ElementConformsToProfile", part(about, profiles::Conforming));
    serve(&interop, "CIM_ReferencedProfile", part(about, profiles::Referenced));
    serve(&interop, "CIM_ObjectManager", part(about, server::ObjectManager));
    serve(&interop, statistics::CLASS, part(about, statistics::Rows));
    serve(&interop, "CIM_ElementStatisticalData", part(about, statistics::OfManager));
    serve(&interop, SYSTEM_CLASS, part(about, server::System));
    serve(&interop, "CIM_HostedService", part(about, server::Hosted));
    serve(&interop, "CIM_CIMXMLCommunicationMechanism", part(about, server::Mechanisms));
    serve(&interop, "CIM_CommMechanismForManager", part(about, server::MechanismOfManager));
    serve(&interop, "CIM_HostedAccessPoint", part(about, server::HostedMechanism));
    serve(&interop, "CIM_Namespace", part(about, namespaces::Namespaces));
    serve(&interop, "CIM_NamespaceInManager", part(about, namespaces::InManager));
    for namespace in &about.discovery.wmi_namespaces {
        serve(namespace, "__Namespace", part(about, namespaces::Below));
    }
    Plugin { name: "interop", classes, ..Plugin::default() }
}

fn part<T: Part>(about: &Arc<About>, part: T) -> Arc<dyn InstanceProvider> {
    Arc::new(Describes(Arc::clone(about), part))
}
