//! The static instances of a namespace, in memory: by class and key, and by what they refer to.

use crate::keys::{key_text, path_text};
use cimwright_cim::{ClassName, Instance, InstancePath, NamespaceName, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// An instance that is kept, with room for the form it was last written in.
#[derive(Debug)]
pub struct Kept {
    /// The instance; its path has all keys and the namespace.
    pub instance: Instance,
    face: OnceLock<Box<str>>,
}

impl Kept {
    /// An instance that was never written.
    pub fn new(instance: Instance) -> Self {
        Self { instance, face: OnceLock::new() }
    }

    /// What `write` makes of the instance, made once. There is room for one form, so all callers have to want the same.
    pub fn face(&self, write: impl FnOnce(&Instance) -> String) -> &str {
        self.face.get_or_init(|| write(&self.instance).into_boxed_str())
    }
}

/// Where an instance stands: its class and its key text.
pub type Place = (ClassName, Arc<str>);

/// All static instances of a namespace.
#[derive(Debug)]
pub struct Extents {
    namespace: NamespaceName,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    classes: HashMap<ClassName, BTreeMap<Arc<str>, Arc<Kept>>>,
    /// From the text of a path to the instances with a reference to it.
    referring: HashMap<String, BTreeSet<Place>>,
    count: usize,
}

impl Extents {
    /// A namespace without instances.
    pub fn new(namespace: NamespaceName) -> Self {
        Self { namespace, inner: RwLock::default() }
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.read(|inner| inner.count)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many instances of just this class there are.
    pub fn count_of(&self, class: &ClassName) -> usize {
        self.read(|inner| inner.classes.get(class).map_or(0, BTreeMap::len))
    }

    /// The instance at a path.
    pub fn get(&self, path: &InstancePath) -> Option<Arc<Kept>> {
        let key = key_text(path);
        self.read(|inner| inner.classes.get(&path.class)?.get(key.as_str()).cloned())
    }

    /// Up to `limit` instances of just this class after the one with the key text `after`, in the order of their key texts, and
    /// the key text of the last one.
    pub fn page(
        &self,
        class: &ClassName,
        after: Option<&Arc<str>>,
        limit: usize,
    ) -> (Vec<Arc<Kept>>, Option<Arc<str>>) {
        let from = match after {
            Some(after) => Bound::Excluded(after.as_ref()),
            None => Bound::Unbounded,
        };
        self.read(|inner| {
            let Some(all) = inner.classes.get(class) else { return (Vec::new(), None) };
            let page: Vec<_> = all.range::<str, _>((from, Bound::Unbounded)).take(limit).collect();
            let last = page.last().map(|(key, _)| Arc::clone(key));
            (page.into_iter().map(|(_, kept)| Arc::clone(kept)).collect(), last)
        })
    }

    /// Up to `limit` instances with a reference to this path, after the one named by `after`.
    pub fn referring(
        &self,
        to: &InstancePath,
        after: Option<&Place>,
        limit: usize,
    ) -> Vec<(Place, Arc<Kept>)> {
        let target = path_text(to, &self.namespace);
        let from = match after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Unbounded,
        };
        self.read(|inner| {
            let Some(all) = inner.referring.get(&target) else { return Vec::new() };
            let found = all.range((from, Bound::Unbounded)).take(limit);
            found
                .filter_map(|(class, key)| {
                    let kept = inner.classes.get(class)?.get(key)?;
                    Some(((class.clone(), Arc::clone(key)), Arc::clone(kept)))
                })
                .collect()
        })
    }

    /// Adds or replaces an instance; its path says where.
    pub fn set(&self, instance: Instance) {
        let Some(path) = &instance.path else { return };
        let class = path.class.clone();
        let key: Arc<str> = key_text(path).into();
        let targets = targets(&instance, &self.namespace);
        let kept = Arc::new(Kept::new(instance));
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        match inner.classes.entry(class.clone()).or_default().insert(Arc::clone(&key), kept) {
            Some(old) => inner.forget(&class, &key, &self::targets(&old.instance, &self.namespace)),
            None => inner.count += 1,
        }
        for target in targets {
            inner.referring.entry(target).or_default().insert((class.clone(), Arc::clone(&key)));
        }
    }

    /// Removes an instance; FALSE if there is none.
    pub fn remove(&self, path: &InstancePath) -> bool {
        let key: Arc<str> = key_text(path).into();
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let Some(old) = inner.classes.get_mut(&path.class).and_then(|c| c.remove(&key)) else { return false };
        inner.count -= 1;
        inner.forget(&path.class, &key, &targets(&old.instance, &self.namespace));
        true
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn forget(&mut self, class: &ClassName, key: &Arc<str>, targets: &[String]) {
        for target in targets {
            if let Some(set) = self.referring.get_mut(target) {
                set.remove(&(class.clone(), Arc::clone(key)));
                if set.is_empty() {
                    self.referring.remove(target);
                }
            }
        }
    }
}

/// What an instance refers to.
fn targets(instance: &Instance, here: &NamespaceName) -> Vec<String> {
    let paths = instance.properties.iter().filter_map(|p| match &p.value {
        Some(Value::Reference(object)) => object.as_instance(),
        _ => None,
    });
    paths.map(|path| path_text(path, here)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> NamespaceName {
        NamespaceName::new("root/a")
    }

    fn path(n: u32) -> InstancePath {
        InstancePath::new(here(), "X").with_key("N", Value::Uint32(n))
    }

    fn item(n: u32) -> Instance {
        let mut item = Instance::new("X").with("N", Value::Uint32(n));
        item.path = Some(path(n));
        item
    }

    fn link(a: u32, b: u32) -> Instance {
        let mut link = Instance::new("L").with("A", path(a)).with("B", path(b));
        link.path = Some(InstancePath::new(here(), "L").with_key("A", path(a)).with_key("B", path(b)));
        link
    }

    #[test]
    fn pages_make_the_whole() {
        let extents = Extents::new(here());
        (0..25).for_each(|n| extents.set(item(n)));
        let mut seen = 0;
        let mut after = None;
        loop {
            let (page, last) = extents.page(&"x".into(), after.as_ref(), 10);
            seen += page.len();
            let Some(last) = last else { break };
            after = Some(last);
        }
        assert_eq!((seen, extents.len()), (25, 25));
        assert!(extents.get(&path(24)).is_some() && extents.get(&path(25)).is_none());
        extents.set(item(3));
        assert_eq!(extents.len(), 25);
        assert!(extents.remove(&path(3)) && !extents.remove(&path(3)));
        assert_eq!(extents.count_of(&"X".into()), 24);
    }

    #[test]
    fn references_are_found_and_forgotten() {
        let extents = Extents::new(here());
        extents.set(link(1, 2));
        extents.set(link(1, 3));
        assert_eq!(extents.referring(&path(1), None, 10).len(), 2);
        let first = extents.referring(&path(1), None, 1);
        assert_eq!(extents.referring(&path(1), Some(&first[0].0), 10).len(), 1);
        // A path without namespace is one of this namespace.
        let bare = InstancePath { namespace: None, ..path(3) };
        assert_eq!(extents.referring(&bare, None, 10).len(), 1);
        assert!(extents.remove(link(1, 3).path.as_ref().unwrap()));
        assert_eq!(extents.referring(&path(1), None, 10).len(), 1);
        assert!(extents.referring(&path(3), None, 10).is_empty());
    }
}
