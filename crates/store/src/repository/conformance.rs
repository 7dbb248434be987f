//! The promise of [`RepositoryStore`], as tests that every backend runs.

use cimwright_cim::{
    CimType, Class, Flavor, Instance, InstancePath, Method, NamespaceName, Parameter, Property, Qualifier,
    QualifierDeclaration, QualifierScope, Scopes, Value,
};
use cimwright_repository::{Change, RepositoryStore};
use std::sync::Arc;

/// Puts something of everything in.
pub(super) async fn fill(store: &dyn RepositoryStore) {
    let here = here();
    let changes = vec![
        Change::AddNamespace(here.clone()),
        Change::SetQualifier(here.clone(), Arc::new(qualifier())),
        Change::SetClass(here.clone(), Arc::new(class("ACME_Note", None))),
        Change::SetClass(here.clone(), Arc::new(class("ACME_Big", Some("ACME_Note")))),
        Change::SetInstance(here.clone(), Arc::new(note(1, "one"))),
        Change::SetInstance(here.clone(), Arc::new(note(2, "two"))),
    ];
    store.apply(&changes).await.unwrap();
}

/// All of the promise.
pub(super) async fn all(store: &dyn RepositoryStore) {
    assert_eq!(store.load().await.unwrap(), Default::default());
    fill(store).await;
    let content = store.load().await.unwrap();
    assert_eq!(content.namespaces, [here()]);
    assert_eq!(content.qualifiers, [(here(), qualifier())]);
    let classes: Vec<_> = content.classes.iter().map(|(_, c)| c.name.as_str()).collect();
    assert_eq!(classes, ["ACME_Note", "ACME_Big"], "in the order they were made");
    assert_eq!(content.classes[0].1, class("ACME_Note", None));
    assert_eq!(content.instances.len(), 2);
    assert!(content.instances.contains(&(here(), note(1, "one"))));
    replacing(store).await;
    removing(store).await;
}

async fn replacing(store: &dyn RepositoryStore) {
    let mut other = class("acme_note", None);
    other.methods.clear();
    let changes = vec![
        Change::AddNamespace(NamespaceName::new("ROOT/Test")),
        Change::SetClass(here(), Arc::new(other.clone())),
        Change::SetInstance(here(), Arc::new(note(2, "other"))),
    ];
    store.apply(&changes).await.unwrap();
    let content = store.load().await.unwrap();
    assert_eq!(content.namespaces.len(), 1, "names ignore case");
    assert_eq!(content.classes.len(), 2);
    assert_eq!(content.classes[0].1, other, "in its old place");
    assert_eq!(content.instances.len(), 2);
    assert!(content.instances.contains(&(here(), note(2, "other"))));
}

async fn removing(store: &dyn RepositoryStore) {
    let path = |n| note(n, "").path.unwrap();
    let changes = vec![
        Change::RemoveInstance(here(), path(1)),
        Change::RemoveInstance(here(), path(7)),
        Change::RemoveClass(here(), "acme_big".into()),
        Change::RemoveQualifier(here(), "KEY".into()),
    ];
    store.apply(&changes).await.unwrap();
    let content = store.load().await.unwrap();
    assert_eq!((content.classes.len(), content.instances.len(), content.qualifiers.len()), (1, 1, 0));
    let other = NamespaceName::new("root/other");
    store.apply(&[Change::AddNamespace(other.clone()), Change::RemoveNamespace(here())]).await.unwrap();
    let content = store.load().await.unwrap();
    assert_eq!(content.namespaces, [other]);
    assert!(content.classes.is_empty() && content.instances.is_empty());
}

fn here() -> NamespaceName {
    NamespaceName::new("root/test")
}

pub(crate) fn qualifier() -> QualifierDeclaration {
    QualifierDeclaration {
        name: "Key".into(),
        cim_type: CimType::Boolean,
        is_array: false,
        array_size: None,
        value: Some(Value::Boolean(false)),
        scopes: Scopes::default().with(QualifierScope::Property).with(QualifierScope::Reference),
        flavor: Flavor { overridable: false, ..Flavor::default() },
    }
}

pub(crate) fn class(name: &str, superclass: Option<&str>) -> Class {
    let mut class = Class { superclass: superclass.map(Into::into), ..Class::new(name) };
    let mut id = Property::new("Id", CimType::Uint32, None);
    id.qualifiers.push(Qualifier::flag("Key"));
    class.properties = vec![id, Property::new("Text", CimType::String, Some("none".into()))];
    class.methods.push(Method {
        name: "Print".into(),
        return_type: Some(CimType::Uint32),
        parameters: vec![Parameter {
            name: "Copies".into(),
            cim_type: CimType::Uint8,
            is_array: true,
            array_size: Some(4),
            embedded: None,
            reference_class: None,
            qualifiers: vec![Qualifier::flag("In")],
        }],
        class_origin: None,
        propagated: false,
        qualifiers: Vec::new(),
    });
    class
}

pub(crate) fn note(id: u32, text: &str) -> Instance {
    let mut note = Instance::new("ACME_Note").with("Id", Value::Uint32(id)).with("Text", text);
    note.path = Some(InstancePath::new(here(), "ACME_Note").with_key("Id", Value::Uint32(id)));
    note
}
