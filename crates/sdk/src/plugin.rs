//! How a provider presents itself to the server.

use crate::alerts::Alerts;
use crate::call::MethodCall;
use crate::dialect::JobDialect;
use crate::outcome::MethodOutcome;
use crate::principal::Principal;
use async_trait::async_trait;
use cimwright_cim::{
    Catalogue, CimError, ClassName, Instance, InstancePath, NamespaceName, Property, Schema,
};
use cimwright_jobs::{JobKind, Jobs};
use std::sync::Arc;

/// A provider: what it serves and with what.
#[derive(Clone, Default)]
pub struct Plugin {
    /// A short name for logs.
    pub name: &'static str,
    /// The classes whose instances and methods it serves, and where. Subclasses are not included.
    pub classes: Vec<ServedClass>,
    /// The job classes it brings.
    pub dialects: Vec<JobDialect>,
    /// The kinds of jobs it runs.
    pub kinds: Vec<Arc<dyn JobKind>>,
    /// The reasons it can give.
    pub catalogues: Vec<&'static Catalogue>,
    /// What it does without being asked.
    pub background: Vec<Arc<dyn Background>>,
    /// The classes it brings along, beside those of the server.
    pub declarations: Vec<Declaration>,
    /// The line it raises indications on; whoever takes the plugin in connects it.
    pub alerts: Alerts,
}

/// MOF that a provider brings along: classes of its own, on top of those that every namespace has.
///
/// A namespace that does not exist is made, with the qualifiers, the base classes of jobs, errors, services and indications.
/// A class that is there already can neither be changed nor declared in other words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Where the classes go.
    pub namespace: NamespaceName,
    /// A name for messages, such as that of the file.
    pub name: &'static str,
    /// The MOF: class declarations and nothing else.
    pub mof: &'static str,
}

/// What a provider does without being asked, for as long as the server runs.
#[async_trait]
pub trait Background: Send + Sync + 'static {
    /// Called once, when jobs can be started.
    fn begin(&self, jobs: &Jobs);

    /// Ends it in good order. Called once, when neither requests nor jobs are served any more. Takes no longer than half a minute.
    async fn end(&self);
}

/// A class in a namespace and who serves it.
#[derive(Clone)]
pub struct ServedClass {
    /// The namespace.
    pub namespace: NamespaceName,
    /// The class.
    pub class: ClassName,
    /// Its instances, if it has any.
    pub instances: Option<Arc<dyn InstanceProvider>>,
    /// Its methods, if it has any.
    pub methods: Option<Arc<dyn MethodProvider>>,
}

/// What a provider is told about the request it serves.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The namespace that is asked.
    pub namespace: &'a NamespaceName,
    /// Its classes.
    pub schema: &'a Schema,
}

/// Gives the instances of a class.
#[async_trait]
pub trait InstanceProvider: Send + Sync + 'static {
    /// All instances of the class. Paths are made from the key properties; property lists are applied by the server.
    ///
    /// # Errors
    /// When they cannot be found out.
    async fn enumerate(&self, context: Context<'_>, class: &ClassName) -> Result<Vec<Instance>, CimError>;

    /// The same instances portion by portion, for a class that has more of them than should be in memory at once. The server asks
    /// for a portion when it has passed on the one before. The default gives all of [`InstanceProvider::enumerate`] at once.
    ///
    /// # Errors
    /// When they cannot be found out.
    async fn open(
        &self,
        context: Context<'_>,
        class: &ClassName,
    ) -> Result<Box<dyn InstancePortions>, CimError> {
        Ok(Box::new(Once(Some(self.enumerate(context, class).await?))))
    }

    /// The instance with these keys; `None` if there is none. The default looks through [`InstanceProvider::enumerate`].
    ///
    /// # Errors
    /// When it cannot be found out.
    async fn get(&self, context: Context<'_>, path: &InstancePath) -> Result<Option<Instance>, CimError> {
        let Some(class) = context.schema.class(path.class.as_str()) else { return Ok(None) };
        let all = self.enumerate(context, &path.class).await?;
        Ok(all.into_iter().find(|i| {
            let mut own = i.path_by_keys(class, None);
            own.class = path.class.clone();
            own == *path
        }))
    }

    /// Whether the provider itself looks at who may change or remove which of its instances. If not, only administrators may;
    /// if so, it is also asked for operators, and has to refuse what is not theirs.
    fn knows_owners(&self) -> bool {
        false
    }

    /// Makes an instance. It is of a class that this provider serves; its properties are declared, of the declared types, and
    /// complete: what the client left out has the default of the class. Returns the path with all keys.
    ///
    /// # Errors
    /// CIM_ERR_ALREADY_EXISTS, or why it cannot be made. The default is CIM_ERR_NOT_SUPPORTED.
    async fn create(&self, _: Context<'_>, instance: Instance) -> Result<InstancePath, CimError> {
        Err(CimError::not_supported(format!("instances of {} cannot be created", instance.class)))
    }

    /// Sets properties of an instance that exists. `changes` are declared, of the declared types, and no keys; `None` as a value
    /// is NULL.
    ///
    /// # Errors
    /// Why it cannot be done. The default is CIM_ERR_NOT_SUPPORTED.
    async fn modify(
        &self,
        _: Context<'_>,
        path: &InstancePath,
        _changes: Vec<Property>,
    ) -> Result<(), CimError> {
        Err(CimError::not_supported(format!("instances of {} cannot be modified", path.class)))
    }

    /// Removes an instance that exists.
    ///
    /// # Errors
    /// Why it cannot be done. The default is CIM_ERR_NOT_SUPPORTED.
    async fn delete(&self, _: Context<'_>, path: &InstancePath) -> Result<(), CimError> {
        Err(CimError::not_supported(format!("instances of {} cannot be deleted", path.class)))
    }
}

/// Instances that come portion by portion.
#[async_trait]
pub trait InstancePortions: Send + Sync + 'static {
    /// The next portion; `None` at the end. A portion may be empty and not the last one. When the returned future is dropped,
    /// the portion must come at the next call.
    ///
    /// # Errors
    /// When they cannot be found out; nothing more is asked for then.
    async fn next(&mut self) -> Result<Option<Vec<Instance>>, CimError>;

    /// Whether it is known that nothing more comes; saves asking once more.
    fn is_finished(&self) -> bool {
        false
    }
}

/// One portion that is there already.
struct Once(Option<Vec<Instance>>);

#[async_trait]
impl InstancePortions for Once {
    async fn next(&mut self) -> Result<Option<Vec<Instance>>, CimError> {
        Ok(self.0.take())
    }

    fn is_finished(&self) -> bool {
        self.0.is_none()
    }
}

/// Answers the methods of a class.
#[async_trait]
pub trait MethodProvider: Send + Sync + 'static {
    /// Answers a call. The instance exists, the method is declared, the parameters fit their declarations and the caller may
    /// start operations.
    ///
    /// # Errors
    /// A [`CimError`] for what is wrong with the call as such; a failure of the operation is a return value or a job.
    async fn invoke(&self, context: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError>;
}
