//! What clients load: classes, qualifier declarations, namespaces and static instances, above what the server brings.
//!
//! Every change goes the same way: checked against what is there now, kept, and then made known. One at a time, so that what was
//! checked still holds when it is kept; those of static instances share a turn (`static_writes`).

use crate::broker::{Limits, Scope};
use crate::methods::detached;
use crate::registry::{Namespace, Namespaces, Registry};
use async_trait::async_trait;
use cimwright_cim::operation::OperationResult;
use cimwright_cim::{
    CimError, CimStatus, Class, ClassName, Name, NamespaceName, QualifierDeclaration, Schema,
};
use cimwright_repository::rules::{self, Declarations};
use cimwright_repository::{Change, Content, RepositoryError, RepositoryStore};
use std::sync::Arc;

/// A store that keeps nothing: what clients load lives as long as the process.
pub(crate) struct Forgetful;

#[async_trait]
impl RepositoryStore for Forgetful {
    async fn load(&self) -> Result<Content, RepositoryError> {
        Ok(Content::default())
    }

    async fn apply(&self, _: &[Change]) -> Result<(), RepositoryError> {
        Ok(())
    }
}

/// The namespaces with what was kept. What does not fit any more, because the server itself now brings something else of the
/// same name, stays in the store and is not shown.
pub(crate) fn with_content(mut namespaces: Namespaces, content: Content) -> Namespaces {
    for name in content.namespaces {
        namespaces.entry(name.clone()).or_insert_with(|| Arc::new(Namespace::empty(name)));
    }
    let mut schemas: std::collections::HashMap<NamespaceName, Schema> = std::collections::HashMap::new();
    let unknown = |namespace: &NamespaceName, what: &str| {
        tracing::warn!(%namespace, "{what} is kept for a namespace that does not exist any more");
    };
    for (at, declaration) in content.qualifiers {
        match schema_of(&mut schemas, &namespaces, &at) {
            Some(schema) => schema.set_qualifier(declaration),
            None => unknown(&at, "a qualifier"),
        }
    }
    for (at, class) in content.classes {
        let Some(schema) = schema_of(&mut schemas, &namespaces, &at) else {
            unknown(&at, "a class");
            continue;
        };
        let name = class.name.clone();
        if let Err(error) = schema.add_class(class) {
            tracing::warn!(namespace = %at, class = %name, %error, "a class that was loaded does not fit any more");
        }
    }
    for (at, schema) in schemas {
        if let Some(namespace) = namespaces.get_mut(&at) {
            *namespace = Arc::new(namespace.with_schema(schema));
        }
    }
    for (at, instance) in content.instances {
        match namespaces.get(&at) {
            // The instances of such a class were of another one of the same name.
            Some(namespace) if namespace.brings(&instance.class) => {
                tracing::warn!(namespace = %at, class = %instance.class, "an instance is kept whose class the server brings now");
            }
            Some(namespace) if namespace.schema.contains(instance.class.as_str()) => {
                namespace.extents.set(instance);
            }
            _ => {
                tracing::warn!(namespace = %at, class = %instance.class, "an instance is kept whose class is gone")
            }
        }
    }
    namespaces
}

fn schema_of<'a>(
    schemas: &'a mut std::collections::HashMap<NamespaceName, Schema>,
    namespaces: &Namespaces,
    at: &NamespaceName,
) -> Option<&'a mut Schema> {
    if !schemas.contains_key(at) {
        let namespace = namespaces.get(at)?;
        schemas.insert(at.clone(), Schema::clone(&namespace.schema));
    }
    schemas.get_mut(at)
}

/// CreateClass.
pub(crate) async fn create_class(scope: Scope, class: Class) -> Result<OperationResult, CimError> {
    check_identifiers(&class)?;
    change_schema(scope, move |now| {
        let room = loaded_classes(&now.inner.registry) < now.inner.limits.loaded_classes;
        enough(room, "classes", now.inner.limits.loaded_classes)?;
        let (schema, class) = rules::create_class(now.declarations(), class)?;
        Ok(Some((schema, Change::SetClass(now.namespace.name.clone(), Arc::new(class)))))
    })
    .await
}

/// ModifyClass.
pub(crate) async fn modify_class(scope: Scope, class: Class) -> Result<OperationResult, CimError> {
    check_identifiers(&class)?;
    change_schema(scope, move |now| {
        let name = class.name.clone();
        let (schema, class) = rules::modify_class(now.declarations(), class, |c| now.has_instances(c))?;
        if now.namespace.schema.declared(name.as_str()).is_some_and(|old| **old == class) {
            return Ok(None);
        }
        now.not_built_in(&name)?;
        Ok(Some((schema, Change::SetClass(now.namespace.name.clone(), Arc::new(class)))))
    })
    .await
}

/// DeleteClass.
pub(crate) async fn delete_class(scope: Scope, name: ClassName) -> Result<OperationResult, CimError> {
    change_schema(scope, move |now| {
        let schema = rules::delete_class(&now.namespace.schema, &name, now.has_instances(&name))?;
        now.not_built_in(&name)?;
        Ok(Some((schema, Change::RemoveClass(now.namespace.name.clone(), name))))
    })
    .await
}

/// SetQualifier.
pub(crate) async fn set_qualifier(
    scope: Scope,
    declaration: QualifierDeclaration,
) -> Result<OperationResult, CimError> {
    check_identifier("a qualifier", &declaration.name)?;
    change_schema(scope, move |now| {
        let schema = rules::set_qualifier(now.declarations(), &declaration)?;
        if now.namespace.schema.qualifier(declaration.name.as_str()) == Some(&declaration) {
            return Ok(None);
        }
        Ok(Some((schema, Change::SetQualifier(now.namespace.name.clone(), Arc::new(declaration)))))
    })
    .await
}

/// DeleteQualifier. A declaration that the server brings comes back when the one above it is deleted.
pub(crate) async fn delete_qualifier(scope: Scope, name: Name) -> Result<OperationResult, CimError> {
    change_schema(scope, move |now| {
        let mut schema = rules::delete_qualifier(&now.namespace.schema, &name)?;
        if let Some(below) = now.namespace.built_in.as_ref().and_then(|s| s.qualifier(name.as_str())) {
            if now.namespace.schema.qualifier(name.as_str()) == Some(below) {
                let text = format!("the qualifier {name} is part of the server and cannot be deleted");
                return Err(CimError::not_supported(text));
            }
            schema.set_qualifier(below.clone());
        }
        Ok(Some((schema, Change::RemoveQualifier(now.namespace.name.clone(), name))))
    })
    .await
}

/// Makes a namespace, empty.
///
/// # Errors
/// CIM_ERR_ALREADY_EXISTS, CIM_ERR_INVALID_PARAMETER for a name that is none.
pub(crate) async fn create_namespace(
    registry: &Registry,
    limits: &Limits,
    name: NamespaceName,
) -> Result<(), CimError> {
    check_name(&name)?;
    let _turn = registry.turn.lock().await;
    let all = registry.all();
    if all.contains_key(&name) {
        return Err(CimError::already_exists(format!("the namespace {name} exists already")));
    }
    enough(all.len() < limits.namespaces, "namespaces", limits.namespaces)?;
    keep(registry, &[Change::AddNamespace(name.clone())]).await?;
    let mut all = Namespaces::clone(&all);
    all.insert(name.clone(), Arc::new(Namespace::empty(name)));
    registry.replace(all);
    Ok(())
}

/// Removes an empty namespace that a client made.
///
/// # Errors
/// CIM_ERR_NOT_FOUND, CIM_ERR_NAMESPACE_NOT_EMPTY, CIM_ERR_NOT_SUPPORTED for one that the server brings.
pub(crate) async fn delete_namespace(registry: &Registry, name: &NamespaceName) -> Result<(), CimError> {
    let _turn = registry.turn.lock().await;
    let all = registry.all();
    let Some(namespace) = all.get(name) else {
        return Err(CimError::not_found(format!("there is no namespace {name}")));
    };
    if namespace.built_in.is_some() {
        let text = format!("the namespace {name} is part of the server and cannot be deleted");
        return Err(CimError::not_supported(text));
    }
    let schema = &namespace.schema;
    let below = format!("{}/", name.as_str().to_ascii_lowercase());
    let full = if !schema.class_names().is_empty() {
        Some("classes")
    } else if schema.qualifiers().next().is_some() {
        Some("qualifier declarations")
    } else if all.keys().any(|n| n.as_str().to_ascii_lowercase().starts_with(&below)) {
        Some("other namespaces")
    } else {
        None
    };
    if let Some(what) = full {
        let text = format!("the namespace {name} is not empty: there are {what} in it");
        return Err(CimError::new(CimStatus::NamespaceNotEmpty, text));
    }
    keep(registry, &[Change::RemoveNamespace(name.clone())]).await?;
    let mut all = Namespaces::clone(&all);
    all.remove(name);
    registry.replace(all);
    Ok(())
}

impl Scope {
    fn declarations(&self) -> Declarations<'_> {
        Declarations { schema: &self.namespace.schema, common: &self.inner.registry.common }
    }

    /// Whether there are instances of just this class. Those of providers cannot be counted, but their classes do not change.
    fn has_instances(&self, class: &ClassName) -> bool {
        self.namespace.extents.count_of(class) > 0
    }

    fn not_built_in(&self, class: &ClassName) -> Result<(), CimError> {
        if self.namespace.brings(class) {
            let text = format!("the class {class} is part of the server and cannot be changed");
            return Err(CimError::not_supported(text));
        }
        Ok(())
    }
}

/// Changes the classes or qualifiers of the namespace. `None` when everything is already as it is wanted.
async fn change_schema(
    scope: Scope,
    make: impl FnOnce(&Scope) -> Result<Option<(Schema, Change)>, CimError> + Send + 'static,
) -> Result<OperationResult, CimError> {
    detached(async move {
        let registry = Arc::clone(&scope.inner.registry);
        let _turn = registry.turn.lock().await;
        let scope = now(scope)?;
        let Some((schema, change)) = make(&scope)? else { return Ok(OperationResult::Void) };
        keep(&registry, &[change]).await?;
        let mut all = Namespaces::clone(&registry.all());
        let namespace = scope.namespace.with_schema(schema);
        all.insert(namespace.name.clone(), Arc::new(namespace));
        registry.replace(all);
        Ok(OperationResult::Void)
    })
    .await
}

/// The scope with the namespace as it is now that it is this one's turn.
pub(crate) fn now(scope: Scope) -> Result<Scope, CimError> {
    let namespace = scope.inner.registry.namespace(&scope.namespace.name)?;
    Ok(Scope { namespace, ..scope })
}

pub(crate) async fn keep(registry: &Registry, changes: &[Change]) -> Result<(), CimError> {
    registry.store.apply(changes).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the repository failed");
        match error {
            RepositoryError::Full(_) => {
                let text = "the file system of the server's state directory is full; free space there, and try again";
                CimError::new(CimStatus::ServerLimitsExceeded, text)
            }
            _ => CimError::failed(
                "the repository cannot be used at the moment; the log of the server says why",
            ),
        }
    })
}

fn loaded_classes(registry: &Registry) -> usize {
    let count = |n: &Arc<Namespace>| {
        n.schema.class_names().len() - n.built_in.as_ref().map_or(0, |s| s.class_names().len())
    };
    registry.all().values().map(count).sum()
}

pub(crate) fn enough(room: bool, what: &str, most: usize) -> Result<(), CimError> {
    if room {
        return Ok(());
    }
    Err(CimError::new(CimStatus::ServerLimitsExceeded, format!("this server keeps up to {most} {what}")))
}

/// All names that a class declares must be such as MOF can write.
fn check_identifiers(class: &Class) -> Result<(), CimError> {
    check_identifier("a class", &class.name)?;
    class.properties.iter().try_for_each(|p| check_identifier("a property", &p.name))?;
    for method in &class.methods {
        check_identifier("a method", &method.name)?;
        method.parameters.iter().try_for_each(|p| check_identifier("a parameter", &p.name))?;
    }
    Ok(())
}

/// IDENTIFIER of DSP0004 Annex A: letters, digits and underscores, and no digit first; letters beyond ASCII are allowed.
fn check_identifier(what: &str, name: &Name) -> Result<(), CimError> {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || ('\u{80}'..='\u{ffef}').contains(&c);
    let text = name.as_str();
    if text.chars().next().is_some_and(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit()) {
        return Ok(());
    }
    Err(CimError::invalid_parameter(format!("\"{text}\" cannot be the name of {what}")))
}

/// DSP0004 does not say what a namespace may be called; these are names that every client can write.
fn check_name(name: &NamespaceName) -> Result<(), CimError> {
    let letter = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '~');
    let good = !name.as_str().is_empty()
        && name.as_str().len() <= 256
        && name.segments().all(|s| !s.is_empty() && s.chars().all(letter));
    if good {
        return Ok(());
    }
    let text =
        format!("\"{name}\" cannot be the name of a namespace; it is made of letters, digits and slashes");
    Err(CimError::invalid_parameter(text))
}
