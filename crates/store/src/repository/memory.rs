//! A repository that is gone with the process, for tests and servers that must not leave anything behind.

use async_trait::async_trait;
use cimwright_cim::{Class, ClassName, Instance, InstancePath, Name, NamespaceName, QualifierDeclaration};
use cimwright_repository::keys::key_text;
use cimwright_repository::{Change, Content, RepositoryError, RepositoryStore};
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// A [`RepositoryStore`] in memory.
#[derive(Debug, Default)]
pub struct MemoryRepository(Mutex<Kept>);

impl MemoryRepository {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl RepositoryStore for MemoryRepository {
    async fn load(&self) -> Result<Content, RepositoryError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Content {
            namespaces: kept.namespaces.clone(),
            qualifiers: kept.qualifiers.content(),
            classes: kept.classes.content(),
            instances: kept.instances.content(),
        })
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), RepositoryError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.iter().for_each(|change| kept.make(change));
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Kept {
    namespaces: Vec<NamespaceName>,
    qualifiers: Shelf<Name, QualifierDeclaration>,
    classes: Shelf<ClassName, Class>,
    /// By class and key text.
    instances: Shelf<(ClassName, String), Instance>,
}

impl Kept {
    fn make(&mut self, change: &Change) {
        match change {
            Change::AddNamespace(name) => {
                if !self.namespaces.contains(name) {
                    self.namespaces.push(name.clone());
                }
            }
            Change::RemoveNamespace(name) => {
                self.namespaces.retain(|n| n != name);
                self.qualifiers.empty(name);
                self.classes.empty(name);
                self.instances.empty(name);
            }
            Change::SetQualifier(namespace, declaration) => {
                self.qualifiers.set(namespace, declaration.name.clone(), declaration);
            }
            Change::RemoveQualifier(namespace, name) => self.qualifiers.remove(namespace, name),
            Change::SetClass(namespace, class) => self.classes.set(namespace, class.name.clone(), class),
            Change::RemoveClass(namespace, name) => self.classes.remove(namespace, name),
            Change::SetInstance(namespace, instance) => {
                if let Some(path) = &instance.path {
                    self.instances.set(namespace, place(path), instance);
                }
            }
            Change::RemoveInstance(namespace, path) => self.instances.remove(namespace, &place(path)),
        }
    }
}

fn place(path: &InstancePath) -> (ClassName, String) {
    (path.class.clone(), key_text(path))
}

/// Things by namespace and key, found without a look at the others, in the order they were first put there.
#[derive(Debug)]
struct Shelf<K, T> {
    /// Where each thing stands.
    numbers: HashMap<NamespaceName, HashMap<K, u64>>,
    things: BTreeMap<u64, (NamespaceName, Arc<T>)>,
    /// How many were put there, ever.
    count: u64,
}

impl<K, T> Default for Shelf<K, T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), things: BTreeMap::new(), count: 0 }
    }
}

impl<K: Eq + Hash, T: Clone> Shelf<K, T> {
    /// Adds a thing, or replaces it in its place.
    fn set(&mut self, namespace: &NamespaceName, key: K, thing: &Arc<T>) {
        let next = self.count;
        let number = *self.numbers.entry(namespace.clone()).or_default().entry(key).or_insert(next);
        self.count += u64::from(number == next);
        self.things.insert(number, (namespace.clone(), Arc::clone(thing)));
    }

    fn remove(&mut self, namespace: &NamespaceName, key: &K) {
        if let Some(number) = self.numbers.get_mut(namespace).and_then(|numbers| numbers.remove(key)) {
            self.things.remove(&number);
        }
    }

    fn empty(&mut self, namespace: &NamespaceName) {
        for number in self.numbers.remove(namespace).into_iter().flat_map(HashMap::into_values) {
            self.things.remove(&number);
        }
    }

    fn content(&self) -> Vec<(NamespaceName, T)> {
        self.things.values().map(|(namespace, thing)| (namespace.clone(), T::clone(thing))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;
    use std::time::Duration;
    use tokio::time::Instant;

    /// With a look at all instances at each write, this takes minutes: the bound is far from both.
    #[tokio::test]
    async fn a_write_does_not_take_longer_the_more_there_is() {
        let repository = MemoryRepository::new();
        let begin = Instant::now();
        for id in 0..30_000 {
            let note = conformance::note(id, "x");
            let here = NamespaceName::new("root/test");
            repository.apply(&[Change::SetInstance(here, Arc::new(note))]).await.unwrap();
            assert!(begin.elapsed() < Duration::from_secs(60), "only {id} writes in a minute");
        }
        assert_eq!(repository.load().await.unwrap().instances.len(), 30_000);
    }
}
