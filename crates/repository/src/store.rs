//! What a repository keeps, and the promise of those who keep it.

use async_trait::async_trait;
use cimwright_cim::{Class, ClassName, Instance, InstancePath, Name, NamespaceName, QualifierDeclaration};
use std::sync::Arc;

/// One change. Those that set something make it or replace it; those that remove something that is not there do nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A namespace is there from now on.
    AddNamespace(NamespaceName),
    /// A namespace is gone, with all that is in it.
    RemoveNamespace(NamespaceName),
    /// A qualifier declaration.
    SetQualifier(NamespaceName, Arc<QualifierDeclaration>),
    /// A qualifier declaration is gone.
    RemoveQualifier(NamespaceName, Name),
    /// A class as it was declared.
    SetClass(NamespaceName, Arc<Class>),
    /// A class is gone.
    RemoveClass(NamespaceName, ClassName),
    /// An instance; its path has all keys.
    SetInstance(NamespaceName, Arc<Instance>),
    /// An instance is gone.
    RemoveInstance(NamespaceName, InstancePath),
}

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// The namespaces that clients made.
    pub namespaces: Vec<NamespaceName>,
    /// Qualifier declarations by namespace.
    pub qualifiers: Vec<(NamespaceName, QualifierDeclaration)>,
    /// Classes in the order they were made, so that a superclass comes before its subclasses.
    pub classes: Vec<(NamespaceName, Class)>,
    /// Static instances.
    pub instances: Vec<(NamespaceName, Instance)>,
}

/// Why a repository cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// There is no room.
    #[error("the repository is full: {0}")]
    Full(String),
    /// What is stored cannot be understood.
    #[error("the repository holds something this version cannot read: {0}")]
    Corrupt(String),
    /// The backend failed.
    #[error("the repository failed: {context}")]
    Backend {
        /// What was attempted.
        context: String,
        /// What the backend said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Keeps what clients put into the server.
#[async_trait]
pub trait RepositoryStore: Send + Sync + 'static {
    /// Reads everything; asked once, at the start.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn load(&self) -> Result<Content, RepositoryError>;

    /// Makes changes, all or none. When this returns, they survive a crash.
    ///
    /// # Errors
    /// When nothing was changed.
    async fn apply(&self, changes: &[Change]) -> Result<(), RepositoryError>;
}
