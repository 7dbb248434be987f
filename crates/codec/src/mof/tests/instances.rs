//! Instances, aliases and embedded objects.

use super::{compiled, schema};
use cimwright_cim::{Instance, InstancePath, NamespaceName, ObjectPath, Value};

const CLASSES: &str = r#"
    class X { [Key] string Id; [Key] string Kind = "x"; uint8 Level = 3; uint16 List[]; datetime T; };
    class Y : X { [EmbeddedInstance("X")] string Inner; [EmbeddedObject] string Any[]; };
    [Association] class Link { [Key] X REF Left; [Key] X REF Right; X REF Other; };
    [Abstract] class Pure { };
"#;

fn instances(text: &str) -> Vec<Instance> {
    let (_, compiled) = compiled(&format!("{CLASSES}{text}")).unwrap_or_else(|found| panic!("{found:#?}"));
    compiled.instances.into_iter().map(|(_, instance)| instance).collect()
}

#[track_caller]
fn refused(text: &str, offending: &str, message: &str) {
    let found = compiled(&format!("{CLASSES}{text}")).expect_err("it must be refused");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].text, offending, "{found:#?}");
    assert!(found[0].message.contains(message), "{found:#?}");
    assert_eq!(found[0].line, CLASSES.lines().count() + 1);
}

#[test]
fn values_defaults_and_path() {
    let all = instances(
        "instance of x { id = \"a\"; List = { 1, 2 }; T = NULL; };\n[Description(\"q\")] instance of X { [Key] Id = \"b\"; Level = 9; };",
    );
    let a = &all[0];
    assert_eq!(a.class.as_str(), "X");
    assert_eq!(a.get("List"), Some(&Value::uint16s([1, 2])));
    assert_eq!(a.get("Level"), Some(&Value::Uint8(3)), "the default of the class");
    assert!(a.property("T").is_some() && a.get("T").is_none());
    let path =
        InstancePath::new(NamespaceName::new("root/test"), "X").with_key("Id", "a").with_key("Kind", "x");
    assert_eq!(a.path, Some(path));
    assert_eq!(all[1].get("Level"), Some(&Value::Uint8(9)));
}

#[test]
fn aliases_stand_for_paths_before_and_after() {
    let all = instances(
        r#"instance of Link { Left = $a; Right = "X.Id=\"q\",Kind=\"x\""; Other = $L; };
           instance of X as $A { Id = "a"; };
           instance of Link as $L { Left = $A; Right = $A; };"#,
    );
    let a = ObjectPath::Instance(all[1].path.clone().unwrap());
    assert_eq!(all[0].get("Left").unwrap().as_reference(), Some(&a));
    assert_eq!(all[0].get("Right").unwrap().as_reference().unwrap().class().as_str(), "X");
    let link = all[2].path.clone().unwrap();
    assert_eq!(all[0].get("Other").unwrap().as_reference().unwrap().as_instance(), Some(&link));
    assert_eq!(link.key("Right").unwrap().as_reference(), Some(&a));
}

#[test]
fn references_may_go_in_circles_but_keys_may_not() {
    let all = instances(
        r#"instance of X as $X { Id = "a"; };
           instance of Link as $A { Left = $X; Right = $X; Other = $A; };"#,
    );
    let other = all[1].get("Other").unwrap().as_reference().unwrap().clone();
    assert_eq!(other.as_instance(), all[1].path.as_ref());
    refused("instance of Link as $A { Left = $A; Right = $A; };", "Link", "name the instance itself");
}

#[test]
fn embedded_objects_are_mof_in_a_string_or_written_in_place() {
    let all = instances(
        r#"instance of Y { Id = "1"; Inner = "instance of X { Id = \"in\"; };"; };
           instance of Y { Id = "2"; Inner = instance of X { Id = "in"; }; Any = { instance of X { Id = "a"; }, $B, "class Z { uint8 A; };" }; };
           instance of X as $B { Id = "b"; };"#,
    );
    let one = all[0].get("Inner").unwrap().as_instance().unwrap();
    assert_eq!(one.get_str("Id"), Some("in"));
    assert_eq!(one.path, None);
    assert_eq!(all[1].get("Inner"), all[0].get("Inner"));
    let any = all[1].get("Any").unwrap().as_array().unwrap();
    assert_eq!(any[1].as_ref().unwrap().as_instance().unwrap().get_str("Id"), Some("b"));
    assert!(matches!(&any[2], Some(Value::Class(c)) if c.properties.len() == 1));
}

#[test]
fn a_class_alias_stands_for_the_class() {
    let all = instances("class Z as $Z : X { };\ninstance of Link { Left = $Z; Right = $Z; };");
    let left = all[0].get("Left").unwrap().as_reference().unwrap();
    assert!(matches!(left, ObjectPath::Class(path) if path.class.is("Z")));
}

#[test]
fn an_embedded_default_of_a_class_is_read_too() {
    let schema = schema(
        "class A { string P; }; class X { [EmbeddedInstance(\"A\")] string E = \"instance of A { P = \\\"v\\\"; };\"; };",
    );
    let value = schema.class("X").unwrap().properties[0].value.clone().unwrap();
    assert_eq!(value.as_instance().unwrap().get_str("P"), Some("v"));
}

#[test]
fn wrong_instances() {
    refused("instance of Nope { };", "Nope", "is not declared");
    refused("instance of Pure { };", "Pure", "is abstract");
    refused("instance of X { Idd = \"a\"; };", "Idd", "has no property");
    refused("instance of X { Id = \"a\"; ID = \"b\"; };", "ID", "given twice");
    refused("instance of X { Id = 5; };", "5", "does not fit");
    refused("instance of X { Id = { \"a\" }; };", "{ \"a\" }", "an array stands");
    refused("instance of X { List = 5; };", "5", "where an array");
    refused("instance of Link { Left = $A; };", "$A", "nothing has the alias");
    refused("instance of X as $A { Id = $A; };", "$A", "does not fit the type string");
    refused("instance of X as $A { Id = \"a\"; }; instance of X as $a { Id = \"b\"; };", "$a", "given twice");
    refused("instance of Link { Left = \"no path=\"; };", "\"no path=\"", "no object path");
    refused("instance of X { Id = instance of X { }; };", "instance of X { }", "does not fit");
    refused(
        "instance of Y { Inner = \"instance of X { Ad = 5; };\"; };",
        "\"instance of X { Ad = 5; };\"",
        "in the MOF of this string, line 1 column 17: X has no property 'Ad'",
    );
    refused("instance of Y { Inner = \"instance of X { \"; };", "\"instance of X { \"", "line 1 column 17");
    refused("instance of Y { Inner = \"\"; };", "\"\"", "one instance or class is expected");
}

#[test]
fn nesting_is_bounded() {
    let deep = format!(
        "instance of Y {{ Inner = {}5{}; }};",
        "instance of Y { Inner = ".repeat(2000),
        "; }".repeat(2000)
    );
    let found = compiled(&format!("{CLASSES}{deep}")).unwrap_err();
    assert!(found[0].message.contains("nested too deep"), "{}", found[0]);
    // An instance that holds itself.
    refused("instance of Y as $A { Id = \"a\"; Inner = $A; };", "$A", "too deep");
}
