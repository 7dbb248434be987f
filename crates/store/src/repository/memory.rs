//! A repository that is gone with the process, for tests and servers that must not leave anything behind.

use async_trait::async_trait;
use cimwright_cim::{Class, Instance, InstancePath, NamespaceName, QualifierDeclaration};
use cimwright_repository::keys::key_text;
use cimwright_repository::{Change, Content, RepositoryError, RepositoryStore};
use std::sync::{Mutex, PoisonError};

/// A [`RepositoryStore`] in memory.
#[derive(Debug, Default)]
pub struct MemoryRepository(Mutex<Content>);

impl MemoryRepository {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl RepositoryStore for MemoryRepository {
    async fn load(&self) -> Result<Content, RepositoryError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), RepositoryError> {
        let mut content = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.iter().for_each(|change| make(&mut content, change));
        Ok(())
    }
}

fn make(content: &mut Content, change: &Change) {
    match change {
        Change::AddNamespace(name) => {
            if !content.namespaces.contains(name) {
                content.namespaces.push(name.clone());
            }
        }
        Change::RemoveNamespace(name) => {
            content.namespaces.retain(|n| n != name);
            content.qualifiers.retain(|(n, _)| n != name);
            content.classes.retain(|(n, _)| n != name);
            content.instances.retain(|(n, _)| n != name);
        }
        Change::SetQualifier(namespace, declaration) => {
            let same = |q: &QualifierDeclaration| q.name == declaration.name;
            set(&mut content.qualifiers, namespace, QualifierDeclaration::clone(declaration), same);
        }
        Change::RemoveQualifier(namespace, name) => {
            content.qualifiers.retain(|(n, q)| n != namespace || q.name != *name);
        }
        Change::SetClass(namespace, class) => {
            let same = |c: &Class| c.name == class.name;
            set(&mut content.classes, namespace, Class::clone(class), same);
        }
        Change::RemoveClass(namespace, name) => {
            content.classes.retain(|(n, c)| n != namespace || c.name != *name);
        }
        Change::SetInstance(namespace, instance) => {
            if let Some(path) = &instance.path {
                set(&mut content.instances, namespace, Instance::clone(instance), |i| is_at(i, path));
            }
        }
        Change::RemoveInstance(namespace, path) => {
            content.instances.retain(|(n, i)| n != namespace || !is_at(i, path));
        }
    }
}

fn set<T>(list: &mut Vec<(NamespaceName, T)>, namespace: &NamespaceName, new: T, same: impl Fn(&T) -> bool) {
    match list.iter_mut().find(|(n, item)| n == namespace && same(item)) {
        Some((_, old)) => *old = new,
        None => list.push((namespace.clone(), new)),
    }
}

fn is_at(instance: &Instance, path: &InstancePath) -> bool {
    instance.path.as_ref().is_some_and(|own| own.class == path.class && key_text(own) == key_text(path))
}
