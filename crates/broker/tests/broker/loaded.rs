//! Classes, qualifiers and static instances that clients load.

use crate::house::{House, V1, admin, operator, reader};
use cimwright_broker::Limits;
use cimwright_cim::operation::{
    AssociationFilter, ClassOptions, InstanceOptions, Operation, OperationResult,
};
use cimwright_cim::{
    CimStatus, CimType, Class, ClassPath, Embedded, Instance, InstancePath, NamespaceName, Property,
    Qualifier, QualifierDeclaration, QualifierScope, Scopes, Value,
};
use cimwright_repository::{Change, Content, RepositoryError, RepositoryStore};
use cimwright_store::{MemoryRepository, SqliteRepository};
use std::sync::Arc;

fn key(name: &str, cim_type: CimType) -> Property {
    let mut property = Property::new(name, cim_type, None);
    property.qualifiers.push(Qualifier::flag("Key"));
    property
}

fn reference(name: &str, class: &str) -> Property {
    Property { reference_class: Some(class.into()), ..key(name, CimType::Reference) }
}

fn note_class() -> Class {
    let mut class = Class::new("ACME_Note");
    class.properties = vec![
        key("Id", CimType::Uint32),
        Property::new("Text", CimType::String, Some("none".into())),
        Property::new("Tags", CimType::String, None),
    ];
    class.properties[2].is_array = true;
    class
}

fn below(superclass: &str, name: &str) -> Class {
    Class { superclass: Some(superclass.into()), ..Class::new(name) }
}

fn link_class() -> Class {
    let mut class = Class::new("ACME_Follows");
    class.qualifiers.push(Qualifier::flag("Association"));
    class.properties = vec![reference("Before", "ACME_Note"), reference("After", "ACME_Note")];
    class
}

async fn create_class(house: &House, class: Class) {
    let create = Operation::CreateClass { class: Box::new(class) };
    assert_eq!(house.ask(&admin(), V1, create).await.unwrap(), OperationResult::Void);
}

/// A house with notes, big notes and an association among them.
async fn with_classes() -> House {
    let house = House::open().await;
    create_class(&house, note_class()).await;
    let mut big = below("ACME_Note", "ACME_BigNote");
    big.properties.push(Property::new("Size", CimType::Uint64, Some(Value::Uint64(7))));
    create_class(&house, big).await;
    create_class(&house, link_class()).await;
    house
}

fn path(class: &str, id: u32) -> InstancePath {
    InstancePath::new(NamespaceName::new(V1), class).with_key("Id", Value::Uint32(id))
}

async fn add(house: &House, instance: Instance) -> InstancePath {
    match house.ask(&admin(), V1, Operation::CreateInstance { instance }).await.unwrap() {
        OperationResult::Created(path) => path,
        other => panic!("{other:?}"),
    }
}

async fn refused_as_admin(house: &House, operation: Operation) -> CimStatus {
    house.ask(&admin(), V1, operation).await.unwrap_err().status
}

#[tokio::test]
async fn only_administrators_load() {
    let house = House::open().await;
    let declaration = QualifierDeclaration {
        name: "Colour".into(),
        cim_type: CimType::String,
        is_array: false,
        array_size: None,
        value: None,
        scopes: Scopes::default().with(QualifierScope::Property),
        flavor: Default::default(),
    };
    let operations = [
        Operation::CreateClass { class: Box::new(note_class()) },
        Operation::SetQualifier { declaration: Box::new(declaration) },
        Operation::CreateInstance { instance: Instance::new("ACME_Note").with("Id", Value::Uint32(1)) },
        Operation::ModifyInstance {
            instance: Instance { path: Some(path("ACME_Note", 1)), ..Instance::new("ACME_Note") }
                .with("Text", "x"),
            property_list: None,
        },
        Operation::SetProperty { path: path("ACME_Note", 1), property: "Text".into(), value: None },
        Operation::DeleteInstance { path: path("ACME_Note", 1) },
        Operation::DeleteQualifier { name: "Colour".into() },
        Operation::DeleteClass { class: "ACME_Note".into() },
    ];
    for operation in operations {
        for who in [reader(), operator()] {
            let error = house.ask(&who, V1, operation.clone()).await.unwrap_err();
            assert_eq!(error.status, CimStatus::AccessDenied, "{operation:?}: {error}");
        }
        house.ask(&admin(), V1, operation).await.unwrap();
    }
}

#[tokio::test]
async fn a_class_comes_and_goes() {
    let house = with_classes().await;
    let options = ClassOptions {
        local_only: true,
        include_qualifiers: true,
        include_class_origin: false,
        property_list: None,
    };
    let get = Operation::GetClass { class: "acme_bignote".into(), options };
    let OperationResult::Class(class) = house.ask(&reader(), V1, get).await.unwrap() else { panic!() };
    assert_eq!((class.name.as_str(), class.properties.len()), ("ACME_BigNote", 1));

    let create = |class| Operation::CreateClass { class: Box::new(class) };
    assert_eq!(refused_as_admin(&house, create(note_class())).await, CimStatus::AlreadyExists);
    assert_eq!(refused_as_admin(&house, create(below("ACME_None", "X"))).await, CimStatus::InvalidSuperclass);
    let delete = |class: &str| Operation::DeleteClass { class: class.into() };
    assert_eq!(refused_as_admin(&house, delete("ACME_None")).await, CimStatus::NotFound);
    assert_eq!(refused_as_admin(&house, delete("ACME_Note")).await, CimStatus::ClassHasChildren);
    add(&house, Instance::new("ACME_BigNote").with("Id", Value::Uint32(1))).await;
    assert_eq!(refused_as_admin(&house, delete("ACME_BigNote")).await, CimStatus::ClassHasInstances);
    let mut other = below("ACME_Note", "ACME_BigNote");
    other.properties.push(Property::new("Other", CimType::String, None));
    let modify = Operation::ModifyClass { class: Box::new(other.clone()) };
    assert_eq!(refused_as_admin(&house, modify.clone()).await, CimStatus::ClassHasInstances);
    house.ask(&admin(), V1, Operation::DeleteInstance { path: path("ACME_BigNote", 1) }).await.unwrap();
    house.ask(&admin(), V1, modify).await.unwrap();
    house.ask(&admin(), V1, delete("ACME_BigNote")).await.unwrap();
    assert_eq!(refused_as_admin(&house, delete("ACME_BigNote")).await, CimStatus::NotFound);
}

#[tokio::test]
async fn what_the_server_brings_is_not_changed() {
    let house = House::open().await;
    let delete = Operation::DeleteClass { class: "Test_BigDisk".into() };
    assert_eq!(refused_as_admin(&house, delete).await, CimStatus::NotSupported);
    let delete = Operation::DeleteClass { class: "CIM_Job".into() };
    assert_eq!(refused_as_admin(&house, delete).await, CimStatus::ClassHasChildren);
    let create = Operation::CreateInstance { instance: Instance::new("Test_Orphan").with("Id", "x") };
    assert_eq!(refused_as_admin(&house, create).await, CimStatus::NotSupported);
    // But a class may be derived from it.
    create_class(&house, below("Test_Disk", "ACME_Disk")).await;
    let made = add(&house, Instance::new("ACME_Disk").with("Name", "mine")).await;
    let all = Operation::EnumerateInstanceNames { class: "Test_Disk".into() };
    let names = house.items(V1, all).await.unwrap();
    assert!(names.iter().any(|i| i.path.as_ref() == Some(&made)), "{names:?}");
}

#[tokio::test]
async fn static_instances_live_and_are_found() {
    let house = with_classes().await;
    let made =
        add(&house, Instance::new("acme_note").with("id", "5").with("Tags", Value::strings(["a"]))).await;
    assert_eq!(made, path("ACME_Note", 5));
    let note = house.get(&made).await.unwrap();
    assert_eq!(note.get("Text"), Some(&"none".into()), "the default of the class");
    assert_eq!(note.get("Id"), Some(&Value::Uint32(5)), "of the declared type");
    add(&house, Instance::new("ACME_BigNote").with("Id", Value::Uint32(5))).await;

    let create = |instance| Operation::CreateInstance { instance };
    let refused = [
        (Instance::new("ACME_Note").with("Id", Value::Uint32(5)), CimStatus::AlreadyExists),
        (Instance::new("ACME_Note"), CimStatus::InvalidParameter),
        (Instance::new("ACME_None").with("Id", Value::Uint32(5)), CimStatus::InvalidClass),
        (Instance::new("ACME_Note").with("Id", "five"), CimStatus::InvalidParameter),
        (
            Instance::new("ACME_Note").with("Id", Value::Uint32(6)).with("Nope", "x"),
            CimStatus::InvalidParameter,
        ),
    ];
    for (instance, status) in refused {
        assert_eq!(refused_as_admin(&house, create(instance.clone())).await, status, "{instance:?}");
    }

    let all = |deep| Operation::EnumerateInstances {
        class: "ACME_Note".into(),
        deep,
        options: InstanceOptions::default(),
    };
    let found = house.items(V1, all(true)).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].get("Size"), Some(&Value::Uint64(7)));
    let found = house.items(V1, all(false)).await.unwrap();
    assert!(found[1].property("Size").is_none(), "not of the class that was asked for");

    let mut change = Instance::new("ACME_Note").with("Text", "new").with("Id", Value::Uint32(5));
    change.path = Some(made.clone());
    let modify = |instance: &Instance, list: Option<Vec<&str>>| Operation::ModifyInstance {
        instance: instance.clone(),
        property_list: list.map(|l| l.into_iter().map(Into::into).collect()),
    };
    house.ask(&admin(), V1, modify(&change, None)).await.unwrap();
    assert_eq!(house.get(&made).await.unwrap().get("Text"), Some(&"new".into()));
    assert!(house.get(&made).await.unwrap().get("Tags").is_some(), "what was not given stays");
    change.properties.clear();
    house.ask(&admin(), V1, modify(&change, Some(vec!["Text"]))).await.unwrap();
    assert_eq!(house.get(&made).await.unwrap().get("Text"), Some(&"none".into()), "listed and not given");
    let moved = change.clone().with("Id", Value::Uint32(6));
    assert_eq!(refused_as_admin(&house, modify(&moved, None)).await, CimStatus::InvalidParameter);
    let odd = change.clone().with("Nope", "x");
    assert_eq!(refused_as_admin(&house, modify(&odd, None)).await, CimStatus::NoSuchProperty);

    let delete = Operation::DeleteInstance { path: made.clone() };
    house.ask(&admin(), V1, delete.clone()).await.unwrap();
    assert_eq!(refused_as_admin(&house, delete).await, CimStatus::NotFound);
    assert_eq!(refused_as_admin(&house, modify(&change, None)).await, CimStatus::NotFound);
}

#[tokio::test]
async fn properties_are_read_and_set_one_by_one() {
    let house = with_classes().await;
    let made = add(&house, Instance::new("ACME_Note").with("Id", Value::Uint32(1))).await;
    let get = |property: &str| Operation::GetProperty { path: made.clone(), property: property.into() };
    let set = |property: &str, value: Option<Value>| Operation::SetProperty {
        path: made.clone(),
        property: property.into(),
        value,
    };
    let text = house.ask(&reader(), V1, get("text")).await.unwrap();
    assert_eq!(text, OperationResult::Property(Some("none".into())));
    house.ask(&admin(), V1, set("Tags", Some(Value::strings(["a", "b"])))).await.unwrap();
    house.ask(&admin(), V1, set("Text", None)).await.unwrap();
    let text = house.ask(&reader(), V1, get("Text")).await.unwrap();
    assert_eq!(text, OperationResult::Property(None));
    let tags = house.ask(&reader(), V1, get("Tags")).await.unwrap();
    assert_eq!(tags, OperationResult::Property(Some(Value::strings(["a", "b"]))));
    assert_eq!(refused_as_admin(&house, get("Nope")).await, CimStatus::NoSuchProperty);
    assert_eq!(refused_as_admin(&house, set("Nope", None)).await, CimStatus::NoSuchProperty);
    assert_eq!(refused_as_admin(&house, set("Id", Some("x".into()))).await, CimStatus::TypeMismatch);
    let gone = Operation::GetProperty { path: path("ACME_Note", 9), property: "Text".into() };
    assert_eq!(refused_as_admin(&house, gone).await, CimStatus::NotFound);
}

#[tokio::test]
async fn static_associations_are_followed() {
    let house = with_classes().await;
    for id in 1..=3 {
        add(&house, Instance::new("ACME_Note").with("Id", Value::Uint32(id))).await;
    }
    let big = add(&house, Instance::new("ACME_BigNote").with("Id", Value::Uint32(4))).await;
    let link = |before: InstancePath, after: InstancePath| {
        Instance::new("ACME_Follows").with("Before", before).with("After", after)
    };
    add(&house, link(path("ACME_Note", 1), path("ACME_Note", 2))).await;
    // As clients send it: without namespace, and the key as text.
    let bare = InstancePath::new(None, "acme_note").with_key("Id", "1");
    let made = add(&house, link(bare.clone(), big.clone())).await;
    let twice = Operation::CreateInstance { instance: link(path("ACME_Note", 1), big.clone()) };
    assert_eq!(refused_as_admin(&house, twice).await, CimStatus::AlreadyExists);
    let wrong = Operation::CreateInstance { instance: link(bare, made.clone()) };
    assert_eq!(refused_as_admin(&house, wrong).await, CimStatus::InvalidParameter);
    assert!(house.get(&made).await.is_ok());

    let ask = async |filter: AssociationFilter| {
        let object = path("ACME_Note", 1).into();
        let found = house.items(V1, Operation::AssociatorNames { object, filter }).await.unwrap();
        let id = |i: &Instance| i.path.as_ref().unwrap().key("Id").and_then(Value::as_u64).unwrap();
        found.iter().map(id).collect::<Vec<_>>()
    };
    let none = AssociationFilter::default;
    let mut all = ask(none()).await;
    all.sort_unstable();
    assert_eq!(all, [2, 4]);
    assert_eq!(ask(AssociationFilter { result_class: Some("ACME_BigNote".into()), ..none() }).await, [4]);
    assert_eq!(ask(AssociationFilter { role: Some("before".into()), ..none() }).await.len(), 2);
    assert_eq!(ask(AssociationFilter { role: Some("After".into()), ..none() }).await.len(), 0);
    assert_eq!(ask(AssociationFilter { result_role: Some("Before".into()), ..none() }).await.len(), 0);
    assert_eq!(ask(AssociationFilter { assoc_class: Some("ACME_Follows".into()), ..none() }).await.len(), 2);
    assert_eq!(ask(AssociationFilter { assoc_class: Some("ACME_Note".into()), ..none() }).await.len(), 0);

    let object = big.clone().into();
    let references = Operation::References { object, filter: none(), options: InstanceOptions::default() };
    let found = house.items(V1, references).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, Some(made));
    let absent = Operation::AssociatorNames { object: path("ACME_Note", 9).into(), filter: none() };
    assert_eq!(refused_as_admin(&house, absent).await, CimStatus::NotFound);

    let object = ClassPath::new(NamespaceName::new(V1), "ACME_BigNote").into();
    let classes = Operation::AssociatorNames { object, filter: none() };
    let OperationResult::ClassPaths(classes) = house.ask(&reader(), V1, classes).await.unwrap() else {
        panic!()
    };
    assert!(classes.iter().any(|c| c.class.is("ACME_Note")), "{classes:?}");
}

/// As clients send it: the references without their namespace, and what they are keyed with as text.
#[tokio::test]
async fn a_path_with_references_is_one_path_for_reading_and_writing() {
    let house = with_classes().await;
    let mut class = link_class();
    class.properties.push(Property::new("Why", CimType::String, None));
    house.ask(&admin(), V1, Operation::ModifyClass { class: Box::new(class) }).await.unwrap();
    let bare = |id: &str| InstancePath::new(None, "acme_note").with_key("Id", id);
    add(&house, Instance::new("ACME_Follows").with("Before", bare("1")).with("After", bare("2"))).await;
    let path = InstancePath::new(NamespaceName::new(V1), "ACME_Follows")
        .with_key("Before", bare("1"))
        .with_key("After", bare("2"));
    assert_eq!(house.get(&path).await.unwrap().get("Why"), None);
    let change =
        Instance { path: Some(path.clone()), ..Instance::new("ACME_Follows") }.with("Why", "modified");
    let modify = Operation::ModifyInstance { instance: change, property_list: None };
    house.ask(&admin(), V1, modify).await.unwrap();
    assert_eq!(house.get(&path).await.unwrap().get_str("Why"), Some("modified"));
    let set =
        Operation::SetProperty { path: path.clone(), property: "Why".into(), value: Some("set".into()) };
    house.ask(&admin(), V1, set).await.unwrap();
    assert_eq!(house.get(&path).await.unwrap().get_str("Why"), Some("set"));
    house.ask(&admin(), V1, Operation::DeleteInstance { path: path.clone() }).await.unwrap();
    assert_eq!(house.get(&path).await.unwrap_err().status, CimStatus::NotFound);
}

#[tokio::test]
async fn an_association_does_not_lead_to_what_is_gone() {
    let house = with_classes().await;
    for id in 1..=3 {
        add(&house, Instance::new("ACME_Note").with("Id", Value::Uint32(id))).await;
    }
    for after in [path("ACME_Note", 2), path("ACME_Note", 3)] {
        let link = Instance::new("ACME_Follows").with("Before", path("ACME_Note", 1)).with("After", after);
        add(&house, link).await;
    }
    house.ask(&admin(), V1, Operation::DeleteInstance { path: path("ACME_Note", 2) }).await.unwrap();
    let (object, filter) = (path("ACME_Note", 1).into(), AssociationFilter::default());
    let whole = Operation::Associators { object, filter, options: InstanceOptions::default() };
    let (object, filter) = (path("ACME_Note", 1).into(), AssociationFilter::default());
    let names = Operation::AssociatorNames { object, filter };
    for operation in [whole, names] {
        let found = house.items(V1, operation).await.unwrap();
        let paths: Vec<_> = found.into_iter().map(|i| i.path.unwrap()).collect();
        assert_eq!(paths, [path("ACME_Note", 3)]);
    }
    let (object, filter) = (path("ACME_Note", 1).into(), AssociationFilter::default());
    let links = house.items(V1, Operation::ReferenceNames { object, filter }).await.unwrap();
    assert_eq!(links.len(), 2, "the associations themselves are there");
}

#[tokio::test]
async fn many_instances_come_in_portions() {
    let house = with_classes().await;
    for id in 0..1203 {
        add(&house, Instance::new("ACME_Note").with("Id", Value::Uint32(id))).await;
    }
    let all = Operation::EnumerateInstanceNames { class: "ACME_Note".into() };
    assert_eq!(house.items(V1, all).await.unwrap().len(), 1203);
}

#[tokio::test]
async fn what_was_loaded_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("repository.sqlite");
    let open = async || {
        let store = SqliteRepository::open(&file).await.unwrap();
        let content = store.load().await.unwrap();
        House::with_more(|builder| builder.repository(Arc::new(store), content)).await
    };
    {
        let house = open().await;
        create_class(&house, note_class()).await;
        create_class(&house, below("ACME_Note", "ACME_BigNote")).await;
        create_class(&house, link_class()).await;
        for id in 1..=2 {
            add(&house, Instance::new("ACME_Note").with("Id", Value::Uint32(id))).await;
        }
        let link = Instance::new("ACME_Follows")
            .with("Before", path("ACME_Note", 1))
            .with("After", path("ACME_Note", 2));
        add(&house, link).await;
        let delete = Operation::DeleteClass { class: "ACME_BigNote".into() };
        house.ask(&admin(), V1, delete).await.unwrap();
        house
            .ask(
                &admin(),
                V1,
                Operation::SetProperty {
                    path: path("ACME_Note", 2),
                    property: "Text".into(),
                    value: Some("kept".into()),
                },
            )
            .await
            .unwrap();
    }
    let house = open().await;
    assert_eq!(house.get(&path("ACME_Note", 2)).await.unwrap().get("Text"), Some(&"kept".into()));
    let object = path("ACME_Note", 1).into();
    let filter = AssociationFilter::default();
    let found = house.items(V1, Operation::AssociatorNames { object, filter }).await.unwrap();
    assert_eq!(found[0].path, Some(path("ACME_Note", 2)));
    let gone = Operation::EnumerateInstanceNames { class: "ACME_BigNote".into() };
    assert_eq!(refused_as_admin(&house, gone).await, CimStatus::InvalidClass);
}

#[tokio::test]
async fn what_the_server_brings_now_hides_what_was_loaded_under_its_name() {
    // As an older version of the server, which had no Test_Image, let a client load it.
    let mut class = Class::new("Test_Image");
    class.properties = vec![key("Number", CimType::Uint32)];
    let made = |class: &str| {
        let path = InstancePath::new(NamespaceName::new(V1), class).with_key("Number", Value::Uint32(1));
        let mut instance = Instance::new(class).with("Number", Value::Uint32(1));
        instance.path = Some(path);
        (NamespaceName::new(V1), instance)
    };
    let other = Class { name: "ACME_Image".into(), ..class.clone() };
    let content = Content {
        classes: [class, other].map(|class| (NamespaceName::new(V1), class)).into(),
        instances: ["Test_Image", "ACME_Image"].map(made).into(),
        ..Content::default()
    };
    let store = Arc::new(MemoryRepository::new());
    let house = House::with_more(|builder| builder.repository(store, content)).await;
    let count = async |class: &str| {
        let all = Operation::EnumerateInstanceNames { class: class.into() };
        house.items(V1, all).await.unwrap().len()
    };
    assert_eq!(count("Test_Image").await, 0);
    assert_eq!(count("ACME_Image").await, 1);
}

#[tokio::test]
async fn a_repository_that_fails_changes_nothing() {
    struct Full;
    #[async_trait::async_trait]
    impl RepositoryStore for Full {
        async fn load(&self) -> Result<Content, RepositoryError> {
            Ok(Content::default())
        }
        async fn apply(&self, _: &[Change]) -> Result<(), RepositoryError> {
            Err(RepositoryError::Full("/secret/repository.sqlite".to_owned()))
        }
    }
    let house = House::with_more(|builder| builder.repository(Arc::new(Full), Content::default())).await;
    let create = Operation::CreateClass { class: Box::new(note_class()) };
    let error = house.refused(V1, create).await;
    assert_eq!(error.status, CimStatus::ServerLimitsExceeded);
    assert!(!error.description.contains("secret"), "{error}");
    let names = Operation::EnumerateInstanceNames { class: "ACME_Note".into() };
    assert_eq!(refused_as_admin(&house, names).await, CimStatus::InvalidClass);
}

#[tokio::test]
async fn what_clients_load_has_bounds() {
    let limits = Limits { static_instances: 2, loaded_classes: 1, ..Limits::default() };
    let house = House::with_more(|builder| builder.limits(limits)).await;
    create_class(&house, note_class()).await;
    let create = Operation::CreateClass { class: Box::new(link_class()) };
    assert_eq!(refused_as_admin(&house, create).await, CimStatus::ServerLimitsExceeded);
    let note = |id| Instance::new("ACME_Note").with("Id", Value::Uint32(id));
    add(&house, note(1)).await;
    add(&house, note(2)).await;
    let create = Operation::CreateInstance { instance: note(3) };
    assert_eq!(refused_as_admin(&house, create).await, CimStatus::ServerLimitsExceeded);
}

#[tokio::test]
async fn names_are_such_as_mof_can_write() {
    let house = House::open().await;
    let create = |class: Class| Operation::CreateClass { class: Box::new(class) };
    for name in ["", "A B", "9x", "a-b", "a.b", "a\u{7}"] {
        assert_eq!(
            refused_as_admin(&house, create(Class::new(name))).await,
            CimStatus::InvalidParameter,
            "{name:?}"
        );
        let mut class = Class::new("ACME_Odd");
        class.properties.push(Property::new(name, CimType::String, None));
        assert_eq!(refused_as_admin(&house, create(class)).await, CimStatus::InvalidParameter, "{name:?}");
    }
    for name in ["ACME_Odd", "__Thing", "Äcme_Größe", "X2"] {
        create_class(&house, Class::new(name)).await;
    }
}

#[tokio::test]
async fn values_keep_to_their_declaration() {
    let house = with_classes().await;
    let mut class = Class::new("ACME_Shelf");
    let mut fixed = Property::new("Notes", CimType::String, None);
    (fixed.is_array, fixed.array_size) = (true, Some(2));
    fixed.embedded = Some(Embedded::Instance);
    fixed.reference_class = Some("ACME_Note".into());
    class.properties = vec![key("Id", CimType::Uint32), fixed];
    create_class(&house, class).await;
    let shelf = |id: u32, classes: &[&str]| {
        let note = |class: &&str| {
            let note = Instance::new(*class).with("Id", Value::Uint32(1));
            Some(Value::Instance(Box::new(note)))
        };
        Instance::new("ACME_Shelf")
            .with("Id", Value::Uint32(id))
            .with("Notes", Value::Array(classes.iter().map(note).collect()))
    };
    add(&house, shelf(1, &["ACME_Note", "ACME_BigNote"])).await;
    for wrong in [&["ACME_Follows"][..], &["ACME_Nope"], &["ACME_Note", "ACME_Note", "ACME_Note"]] {
        let create = Operation::CreateInstance { instance: shelf(2, wrong) };
        assert_eq!(refused_as_admin(&house, create).await, CimStatus::InvalidParameter, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_key_is_one_plain_value() {
    let house = House::open().await;
    let mut class = Class::new("ACME_Tag");
    class.properties = vec![key("Name", CimType::String)];
    let mut array = class.clone();
    array.properties[0].is_array = true;
    let create = Operation::CreateClass { class: Box::new(array) };
    assert_eq!(refused_as_admin(&house, create).await, CimStatus::InvalidParameter);
    create_class(&house, class).await;
    let inner = || Box::new(Instance::new("ACME_Tag").with("Name", "x"));
    for object in [
        Value::Instance(inner()),
        Value::InstanceText(inner()),
        Value::Class(Box::new(Class::new("ACME_Tag"))),
    ] {
        let create = Operation::CreateInstance { instance: Instance::new("ACME_Tag").with("Name", object) };
        assert_eq!(refused_as_admin(&house, create).await, CimStatus::InvalidParameter);
    }
    add(&house, Instance::new("ACME_Tag").with("Name", "x")).await;
}
