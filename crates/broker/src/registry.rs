//! Who answers for which class of which namespace. Who serves what is said once, at the start; classes and namespaces come and
//! go with what clients load (see `loaded`), each change making a new [`Namespace`], so that an operation sees one and the same
//! to its end.

use crate::indications::Indications;
use crate::job_instance::Template;
use crate::links::{LeadsTo, Link};
use crate::results::{METHOD_RESULT, RESULT_OF_JOB};
use crate::static_writes::Wishes;
use cimwright_cim::{CimError, Class, ClassName, Instance, NamespaceName, Schema};
use cimwright_repository::{Extents, RepositoryStore};
use cimwright_sdk::{InstanceProvider, JobDialect, MethodProvider, Plugin, ServedClass};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The class that every class of jobs descends from.
pub(crate) const JOB_ROOT: &str = "CIM_Job";

/// The key of every class of jobs.
pub(crate) const JOB_KEY: &str = "InstanceID";

/// Why a broker cannot be put together. Each is a mistake in the wiring or in a plugin, found at the start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A namespace was given twice.
    #[error("the namespace {0} is given twice")]
    NamespaceTwice(NamespaceName),
    /// A plugin names a namespace that does not exist.
    #[error("the plugin {plugin} serves the namespace {namespace}, which does not exist")]
    NoNamespace {
        /// The plugin.
        plugin: &'static str,
        /// The namespace.
        namespace: NamespaceName,
    },
    /// A plugin names a class that its namespace does not have.
    #[error("the plugin {plugin} names the class {class}, which {namespace} does not have")]
    NoClass {
        /// The plugin.
        plugin: &'static str,
        /// The namespace.
        namespace: NamespaceName,
        /// The class.
        class: ClassName,
    },
    /// Two plugins want to give the instances, or answer the methods, of one class.
    #[error("the class {class} of {namespace} is served twice; the second time by the plugin {plugin}")]
    ServedTwice {
        /// The second plugin.
        plugin: &'static str,
        /// The namespace.
        namespace: NamespaceName,
        /// The class.
        class: ClassName,
    },
    /// Two dialects for one class.
    #[error(
        "the class {class} of {namespace} has two job dialects; the second one comes from the plugin {plugin}"
    )]
    TwoDialects {
        /// The second plugin.
        plugin: &'static str,
        /// The namespace.
        namespace: NamespaceName,
        /// The class.
        class: ClassName,
    },
    /// The class of a dialect is no class of jobs with the key InstanceID.
    #[error(
        "the class {class} of {namespace} cannot show jobs: it is no CIM_Job with InstanceID as its only key"
    )]
    NoJobClass {
        /// The namespace.
        namespace: NamespaceName,
        /// The class.
        class: ClassName,
    },
    /// An association of a dialect does not have one reference to a job and one to something else.
    #[error(
        "the class {class} of {namespace} cannot tie jobs to elements: it needs one reference to a job and one other"
    )]
    NoJobAssociation {
        /// The namespace.
        namespace: NamespaceName,
        /// The class.
        class: ClassName,
    },
}

/// Namespaces by their names.
pub(crate) type Namespaces = HashMap<NamespaceName, Arc<Namespace>>;

/// All namespaces.
pub(crate) struct Registry {
    namespaces: RwLock<Arc<Namespaces>>,
    /// The qualifiers that are known where a namespace declares none.
    pub(crate) common: Arc<Schema>,
    /// Keeps what clients load.
    pub(crate) store: Arc<dyn RepositoryStore>,
    /// Held while something that clients load is checked, kept and made known.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// Who is told what happens to what clients load.
    pub(crate) indications: Option<Indications>,
    /// Writes of static instances that wait for it.
    pub(crate) wishes: Wishes,
}

/// A namespace: its classes and who answers for them.
#[derive(Clone)]
pub(crate) struct Namespace {
    pub(crate) name: NamespaceName,
    pub(crate) schema: Arc<Schema>,
    /// What the server itself brings; `None` for a namespace that a client made.
    pub(crate) built_in: Option<Arc<Schema>>,
    /// The static instances.
    pub(crate) extents: Arc<Extents>,
    /// The job classes.
    pub(crate) dialects: Vec<Arc<Dialect>>,
    served: HashMap<ClassName, Served>,
}

#[derive(Clone, Default)]
struct Served {
    instances: Option<Arc<dyn InstanceProvider>>,
    methods: Option<Arc<dyn MethodProvider>>,
}

/// A job class, with all that can be known about it before the first job.
pub(crate) struct Dialect {
    /// What the plugin said.
    pub(crate) face: JobDialect,
    /// The class.
    pub(crate) class: Arc<Class>,
    /// Makes the instances.
    pub(crate) template: Arc<Template>,
    /// A blank instance of the class of GetError's answer.
    pub(crate) blank_error: Instance,
    /// A blank instance of the class of GetErrorEx's and GetErrors' answers.
    pub(crate) blank_errors: Instance,
    /// Its associations.
    pub(crate) links: Vec<Arc<Link>>,
}

/// The namespaces that the server itself brings.
pub(crate) fn built_in(
    namespaces: Vec<(NamespaceName, Schema)>,
    plugins: Vec<Plugin>,
) -> Result<Namespaces, BuildError> {
    let mut made: HashMap<NamespaceName, Namespace> = HashMap::new();
    for (name, schema) in namespaces {
        let schema = Arc::new(schema);
        let namespace =
            Namespace { built_in: Some(Arc::clone(&schema)), schema, ..Namespace::empty(name.clone()) };
        if made.insert(name.clone(), namespace).is_some() {
            return Err(BuildError::NamespaceTwice(name));
        }
    }
    for plugin in plugins {
        for served in plugin.classes {
            find(&mut made, plugin.name, &served.namespace)?.serve(plugin.name, served)?;
        }
        for dialect in plugin.dialects {
            find(&mut made, plugin.name, &dialect.namespace)?.speak(plugin.name, dialect)?;
        }
    }
    Ok(made.into_iter().map(|(name, n)| (name, Arc::new(n))).collect())
}

impl Registry {
    /// Whether any namespace can show the call that made a job.
    pub(crate) fn shows_calls(&self) -> bool {
        self.all().values().any(|namespace| {
            let by_job = |d: &Arc<Dialect>| d.class.property("JobInParameters").is_some();
            !namespace.dialects.is_empty()
                && (namespace.schema.contains(METHOD_RESULT) || namespace.dialects.iter().any(by_job))
        })
    }

    /// A registry without namespaces.
    pub(crate) fn new(
        common: Schema,
        store: Arc<dyn RepositoryStore>,
        indications: Option<Indications>,
    ) -> Self {
        let (namespaces, turn) = (RwLock::default(), tokio::sync::Mutex::default());
        let wishes = Wishes::default();
        Self { namespaces, common: Arc::new(common), store, turn, wishes, indications }
    }

    /// All namespaces as they are now.
    pub(crate) fn all(&self) -> Arc<Namespaces> {
        Arc::clone(&self.namespaces.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes other namespaces known. Only whoever has the turn, or is alone at the start, may do so.
    pub(crate) fn replace(&self, namespaces: Namespaces) {
        let namespaces = Arc::new(namespaces);
        *self.namespaces.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&namespaces);
        if let Some(indications) = &self.indications {
            indications.follow(&namespaces);
        }
    }

    /// The namespace of this name.
    ///
    /// # Errors
    /// CIM_ERR_INVALID_NAMESPACE.
    pub(crate) fn namespace(&self, name: &NamespaceName) -> Result<Arc<Namespace>, CimError> {
        self.namespaces
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
            .ok_or_else(|| CimError::invalid_namespace(format!("there is no namespace {name}")))
    }
}

impl Namespace {
    /// A namespace that a client made, with nothing in it.
    pub(crate) fn empty(name: NamespaceName) -> Self {
        Self {
            schema: Arc::default(),
            built_in: None,
            extents: Arc::new(Extents::new(name.clone())),
            dialects: Vec::new(),
            served: HashMap::new(),
            name,
        }
    }

    /// The same namespace with other classes.
    pub(crate) fn with_schema(&self, schema: Schema) -> Self {
        Self { schema: Arc::new(schema), ..self.clone() }
    }

    /// Whether the server itself brings this class.
    pub(crate) fn brings(&self, class: &ClassName) -> bool {
        self.built_in.as_ref().is_some_and(|s| s.contains(class.as_str()))
    }

    /// The class of this name.
    ///
    /// # Errors
    /// CIM_ERR_INVALID_CLASS.
    pub(crate) fn class(&self, name: &ClassName) -> Result<&Arc<Class>, CimError> {
        self.schema
            .class(name.as_str())
            .ok_or_else(|| CimError::invalid_class(format!("{} has no class {name}", self.name)))
    }

    /// The dialect that shows jobs as this class.
    pub(crate) fn dialect(&self, class: &ClassName) -> Option<&Arc<Dialect>> {
        self.dialects.iter().find(|d| d.face.class == *class)
    }

    /// The dialect that shows the jobs of a family.
    pub(crate) fn dialect_of(&self, family: &str) -> Option<&Arc<Dialect>> {
        self.dialects.iter().find(|d| d.face.family == family)
    }

    /// Who gives the instances of a class.
    pub(crate) fn instances(&self, class: &ClassName) -> Option<&Arc<dyn InstanceProvider>> {
        self.served.get(class)?.instances.as_ref()
    }

    /// Who answers the methods of a class.
    pub(crate) fn methods(&self, class: &ClassName) -> Option<&Arc<dyn MethodProvider>> {
        self.served.get(class)?.methods.as_ref()
    }

    /// The classes that have an instance provider, in the order of the schema.
    pub(crate) fn provided(&self) -> impl Iterator<Item = &ClassName> {
        self.schema.class_names().iter().filter(|c| self.instances(c).is_some())
    }

    fn serve(&mut self, plugin: &'static str, served: ServedClass) -> Result<(), BuildError> {
        let ServedClass { namespace, class, instances, methods } = served;
        if !self.schema.contains(class.as_str()) {
            return Err(BuildError::NoClass { plugin, namespace, class });
        }
        let entry = self.served.entry(class.clone()).or_default();
        let twice = (entry.instances.is_some() && instances.is_some())
            || (entry.methods.is_some() && methods.is_some());
        if twice {
            return Err(BuildError::ServedTwice { plugin, namespace, class });
        }
        entry.instances = entry.instances.take().or(instances);
        entry.methods = entry.methods.take().or(methods);
        Ok(())
    }

    fn speak(&mut self, plugin: &'static str, face: JobDialect) -> Result<(), BuildError> {
        let namespace = &self.name;
        let class_of = |class: &ClassName| {
            self.schema.class(class.as_str()).cloned().ok_or_else(|| BuildError::NoClass {
                plugin,
                namespace: namespace.clone(),
                class: class.clone(),
            })
        };
        let class = class_of(&face.class)?;
        if self.dialect(&face.class).is_some() {
            return Err(BuildError::TwoDialects { plugin, namespace: namespace.clone(), class: face.class });
        }
        let keys: Vec<_> = class.keys().collect();
        if !self.schema.is_a(class.name.as_str(), JOB_ROOT) || !matches!(keys[..], [k] if k.name.is(JOB_KEY))
        {
            return Err(BuildError::NoJobClass { namespace: namespace.clone(), class: face.class });
        }
        let mut links = Vec::new();
        for association in [&face.affected_class, &face.owning_class].into_iter().flatten() {
            let owning = face.owning_class.as_ref() == Some(association);
            let leads_to = if owning { LeadsTo::Owner } else { LeadsTo::Affected };
            let Some(link) = Link::new(&self.schema, class_of(association)?, leads_to) else {
                let class = association.clone();
                return Err(BuildError::NoJobAssociation { namespace: namespace.clone(), class });
            };
            links.push(Arc::new(link));
        }
        // Where the classes of method results are, every job has its own.
        if self.schema.contains(METHOD_RESULT)
            && let Some(class) = self.schema.class(RESULT_OF_JOB)
            && let Some(link) = Link::new(&self.schema, Arc::clone(class), LeadsTo::MethodResult)
        {
            links.push(Arc::new(link));
        }
        let dialect = Dialect {
            template: Arc::new(Template::new(&class, namespace, face.type_property)),
            blank_error: blank(class_of(&face.error_class)?.as_ref()),
            blank_errors: blank(class_of(&face.errors_class)?.as_ref()),
            class,
            links,
            face,
        };
        self.dialects.push(Arc::new(dialect));
        Ok(())
    }
}

fn find<'a>(
    namespaces: &'a mut HashMap<NamespaceName, Namespace>,
    plugin: &'static str,
    name: &NamespaceName,
) -> Result<&'a mut Namespace, BuildError> {
    namespaces.get_mut(name).ok_or_else(|| BuildError::NoNamespace { plugin, namespace: name.clone() })
}

/// An instance with every property of the class, in the plain form that instances have on the wire.
pub(crate) fn blank(class: &Class) -> Instance {
    let mut instance = Instance::of_class(class);
    for property in &mut instance.properties {
        property.propagated = false;
        property.class_origin = None;
    }
    instance
}
