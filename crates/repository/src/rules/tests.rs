use super::*;
use cimwright_cim::{CimType, Embedded, Flavor, Scopes, Value};

fn declaration(name: &str, cim_type: CimType, scopes: &[QualifierScope]) -> QualifierDeclaration {
    QualifierDeclaration {
        name: name.into(),
        cim_type,
        is_array: false,
        array_size: None,
        value: None,
        scopes: scopes.iter().fold(Scopes::default(), |all, s| all.with(*s)),
        flavor: Flavor::default(),
    }
}

fn common() -> Schema {
    let mut schema = Schema::new();
    let fixed = Flavor { overridable: false, ..Flavor::default() };
    let key = declaration("Key", CimType::Boolean, &[QualifierScope::Property, QualifierScope::Reference]);
    schema.set_qualifier(QualifierDeclaration { flavor: fixed, ..key });
    schema.set_qualifier(QualifierDeclaration {
        scopes: Scopes::ANY,
        ..declaration("Description", CimType::String, &[])
    });
    schema
}

fn note() -> Class {
    let mut class = Class::new("ACME_Note");
    let mut id = Property::new("Id", CimType::Uint32, None);
    id.qualifiers.push(Qualifier::flag("Key"));
    class.properties = vec![id, Property::new("Text", CimType::String, Some("none".into()))];
    class
}

fn with_note() -> Schema {
    create_class(Declarations { schema: &Schema::new(), common: &common() }, note()).unwrap().0
}

fn below(superclass: &str, name: &str) -> Class {
    Class { superclass: Some(superclass.into()), ..Class::new(name) }
}

#[test]
fn a_class_is_made_with_the_flavors_of_its_declarations() {
    let schema = with_note();
    let id = schema.class("acme_note").unwrap().property("Id").unwrap().clone();
    assert!(!id.qualifiers[0].flavor.overridable);
    assert!(id.is_key());
}

#[test]
fn what_cannot_be_made_is_refused() {
    let (schema, common) = (with_note(), common());
    let known = Declarations { schema: &schema, common: &common };
    let refused = |class: Class| create_class(known, class).unwrap_err().status;
    assert_eq!(refused(note()), CimStatus::AlreadyExists);
    assert_eq!(refused(below("ACME_None", "A")), CimStatus::InvalidSuperclass);
    let with = |qualifier: Qualifier| Class { qualifiers: vec![qualifier], ..Class::new("B") };
    assert_eq!(refused(with(Qualifier::flag("Unknown"))), CimStatus::InvalidParameter);
    assert_eq!(refused(with(Qualifier::flag("Description"))), CimStatus::InvalidParameter, "another type");
    assert_eq!(refused(with(Qualifier::flag("Key"))), CimStatus::InvalidParameter, "another scope");
    let mut unkeyed = below("ACME_Note", "C");
    let mut id = Property::new("Id", CimType::Uint32, None);
    id.qualifiers.push(Qualifier { value: Some(Value::Boolean(false)), ..Qualifier::flag("Key") });
    unkeyed.properties.push(id);
    assert_eq!(refused(unkeyed), CimStatus::InvalidParameter, "DisableOverride");
    let mut retyped = below("ACME_Note", "D");
    retyped.properties.push(Property::new("Text", CimType::Uint8, None));
    assert_eq!(refused(retyped), CimStatus::InvalidParameter);
}

#[test]
fn a_key_is_one_plain_value() {
    let (schema, common) = (with_note(), common());
    let known = Declarations { schema: &schema, common: &common };
    let status = |class: Class| create_class(known, class).map(|_| ()).map_err(|e| e.status);
    let with = |change: &dyn Fn(&mut Property)| {
        let mut class = note();
        class.name = "ACME_Other".into();
        change(&mut class.properties[0]);
        class
    };
    let string = |p: &mut Property| p.cim_type = CimType::String;
    assert_eq!(status(with(&string)), Ok(()));
    assert_eq!(status(with(&|p| p.is_array = true)), Err(CimStatus::InvalidParameter));
    let embedded = |p: &mut Property| (p.cim_type, p.embedded) = (CimType::String, Some(Embedded::Instance));
    assert_eq!(status(with(&embedded)), Err(CimStatus::InvalidParameter));
    let plain = with(&|p| {
        p.is_array = true;
        p.qualifiers.clear();
    });
    assert_eq!(status(plain), Ok(()), "what is no key may be an array");

    let (schema, _) = create_class(known, with(&string)).unwrap();
    let mut below = below("ACME_Other", "ACME_Below");
    let mut id = Property::new("Id", CimType::String, None);
    id.embedded = Some(Embedded::Object);
    below.properties.push(id);
    let known = Declarations { schema: &schema, common: &common };
    assert_eq!(
        create_class(known, below).unwrap_err().status,
        CimStatus::InvalidParameter,
        "an inherited key"
    );
}

#[test]
fn what_is_only_repeated_is_not_declared() {
    let (schema, common) = (with_note(), common());
    let known = Declarations { schema: &schema, common: &common };
    let whole = Class::clone(schema.class("ACME_Note").unwrap());
    let mut copy = below("acme_note", "ACME_Copy");
    copy.properties = whole.properties.into_iter().map(|p| Property { propagated: true, ..p }).collect();
    let (schema, class) = create_class(known, copy).unwrap();
    assert!(class.properties.is_empty());
    assert_eq!(class.superclass.unwrap().as_str(), "ACME_Note", "in the spelling of the superclass");
    assert_eq!(schema.class("ACME_Copy").unwrap().properties.len(), 2);
}

#[test]
fn a_class_is_modified_as_long_as_all_else_can_stay() {
    let (schema, common) = (with_note(), common());
    let (schema, _) =
        create_class(Declarations { schema: &schema, common: &common }, below("ACME_Note", "ACME_Sub"))
            .unwrap();
    let known = Declarations { schema: &schema, common: &common };
    let mut more = note();
    more.properties.push(Property::new("More", CimType::String, None));
    let (after, _) = modify_class(known, more.clone(), |_| false).unwrap();
    assert!(after.class("ACME_Sub").unwrap().property("More").is_some());
    let status = |class, instances: bool| modify_class(known, class, |_| instances).unwrap_err().status;
    assert_eq!(status(more, true), CimStatus::ClassHasInstances);
    modify_class(known, note(), |_| true).unwrap();
    assert_eq!(status(Class::new("ACME_None"), false), CimStatus::NotFound);
    assert_eq!(status(below("ACME_None", "ACME_Note"), false), CimStatus::InvalidSuperclass);
    let mut sub = below("ACME_Note", "ACME_Sub");
    sub.properties.push(Property::new("Own", CimType::String, None));
    let (schema, _) = modify_class(known, sub, |_| false).unwrap();
    let known = Declarations { schema: &schema, common: &common };
    let mut clash = note();
    clash.properties.push(Property::new("Own", CimType::Uint8, None));
    assert_eq!(modify_class(known, clash, |_| false).unwrap_err().status, CimStatus::ClassHasChildren);
}

#[test]
fn a_class_is_deleted_when_nothing_depends_on_it() {
    let (schema, common) = (with_note(), common());
    let (schema, _) =
        create_class(Declarations { schema: &schema, common: &common }, below("ACME_Note", "ACME_Sub"))
            .unwrap();
    let status = |name: &str, instances| delete_class(&schema, &name.into(), instances).unwrap_err().status;
    assert_eq!(status("ACME_None", false), CimStatus::NotFound);
    assert_eq!(status("ACME_Note", false), CimStatus::ClassHasChildren);
    assert_eq!(status("ACME_Sub", true), CimStatus::ClassHasInstances);
    assert!(!delete_class(&schema, &"ACME_Sub".into(), false).unwrap().contains("ACME_Sub"));
}

#[test]
fn a_qualifier_that_is_used_stays_what_it_is() {
    let (mut schema, nothing) = (common(), Schema::new());
    schema.add_class(note()).unwrap();
    let known = Declarations { schema: &schema, common: &nothing };
    assert_eq!(delete_qualifier(&schema, &"Nope".into()).unwrap_err().status, CimStatus::NotFound);
    assert_eq!(delete_qualifier(&schema, &"key".into()).unwrap_err().status, CimStatus::Failed);
    assert!(delete_qualifier(&schema, &"Description".into()).unwrap().qualifier("Description").is_none());
    let other = declaration("KEY", CimType::String, &[QualifierScope::Property]);
    assert_eq!(set_qualifier(known, &other).unwrap_err().status, CimStatus::InvalidParameter);
    let mut wrong = declaration("New", CimType::Uint8, &[QualifierScope::Property]);
    wrong.value = Some("x".into());
    assert_eq!(set_qualifier(known, &wrong).unwrap_err().status, CimStatus::InvalidParameter);
    wrong.value = Some(Value::Uint8(1));
    assert!(set_qualifier(known, &wrong).unwrap().qualifier("new").is_some());
}

#[test]
fn a_common_qualifier_that_is_used_stays_what_it_is() {
    let (schema, common) = (with_note(), common());
    let known = Declarations { schema: &schema, common: &common };
    let other = declaration("key", CimType::Uint8, &[QualifierScope::Property]);
    assert_eq!(set_qualifier(known, &other).unwrap_err().status, CimStatus::InvalidParameter);
    let unused = declaration("Description", CimType::Uint8, &[QualifierScope::Property]);
    assert!(set_qualifier(known, &unused).unwrap().qualifier("Description").is_some(), "nobody uses it");
    let same = declaration("Key", CimType::Boolean, &[QualifierScope::Property, QualifierScope::Reference]);
    assert!(set_qualifier(known, &same).unwrap().qualifier("Key").is_some());
}

#[test]
fn a_class_with_instances_stays_of_its_kind() {
    let mut common = common();
    for (name, scope) in [
        ("Association", QualifierScope::Association),
        ("Abstract", QualifierScope::Class),
        ("Indication", QualifierScope::Indication),
    ] {
        common.set_qualifier(declaration(name, CimType::Boolean, &[scope]));
    }
    let of_kind = |kinds: &[&str]| {
        let mut class = note();
        class.qualifiers = kinds.iter().map(|kind| Qualifier::flag(*kind)).collect();
        class
    };
    let change = |from: &[&str], to: &[&str], instances: bool| {
        let none = Schema::new();
        let schema = create_class(Declarations { schema: &none, common: &common }, of_kind(from)).unwrap().0;
        let known = Declarations { schema: &schema, common: &common };
        modify_class(known, of_kind(to), |_| instances).map(|_| ()).map_err(|e| e.status)
    };
    for (from, to) in [
        (&["Association"][..], &[][..]),
        (&[], &["Association"]),
        (&[], &["Abstract"]),
        (&[], &["Indication"]),
    ] {
        assert_eq!(change(from, to, true), Err(CimStatus::ClassHasInstances), "{from:?} to {to:?}");
        assert_eq!(change(from, to, false), Ok(()), "{from:?} to {to:?}");
    }
    assert_eq!(change(&["Association"], &["Association"], true), Ok(()));
}

#[test]
fn a_class_is_modified_as_long_as_its_subclasses_may_be_what_they_are() {
    let mut common = common();
    let fixed = Flavor { overridable: false, ..Flavor::default() };
    let mark = declaration("Mark", CimType::String, &[QualifierScope::Property]);
    common.set_qualifier(QualifierDeclaration { flavor: fixed, ..mark });
    let marked = |mut class: Class, value: &str| {
        let mut text = Property::new("Text", CimType::String, None);
        let value = Some(value.into());
        text.qualifiers.push(Qualifier { cim_type: CimType::String, value, ..Qualifier::flag("Mark") });
        class.properties.retain(|p| !p.name.is("Text"));
        class.properties.push(text);
        class
    };
    let mut schema = with_note();
    for class in [below("ACME_Note", "ACME_Sub"), marked(below("ACME_Sub", "ACME_Subsub"), "one")] {
        schema = create_class(Declarations { schema: &schema, common: &common }, class).unwrap().0;
    }
    let known = Declarations { schema: &schema, common: &common };
    let change = |class| modify_class(known, class, |_| false).map(|_| ()).map_err(|e| e.status);
    assert_eq!(change(marked(note(), "other")), Err(CimStatus::ClassHasChildren));
    assert_eq!(change(marked(note(), "one")), Ok(()));
    assert_eq!(change(note()), Ok(()));
}
