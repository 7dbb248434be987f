//! What a compiler must take although it looks odd.

use super::super::{
    EmbeddedFiles, LoadError, NoIncludes, Schemas, Source, compile, compile_for, compile_schema,
};
use super::{QUALIFIERS, class_x, compiled_as, namespace, options, schema};
use cimwright_cim::{CimType, DateTime, Embedded, NamespaceName, Schema, Value, class};
use std::time::Duration;

fn default(declaration: &str) -> Option<Value> {
    class_x(&format!("class X {{ {declaration} }};")).properties[0].value.clone()
}

#[test]
fn strings_are_joined_across_comments_wherever_they_stand() {
    let x = class_x(
        r#"
        [Description("one " // first
            "two " /* second */
            "three"),
         Values { "a" "b", // 31
            "c"
            //32
            "d" }]
        class X { string S = "p" "q"; };"#
            .replace("Values", "Deprecated")
            .as_str(),
    );
    assert_eq!(x.qualifiers[0].value, Some("one two three".into()));
    assert_eq!(x.qualifiers[1].value, Some(Value::strings(["ab", "cd"])));
    assert_eq!(x.properties[0].value, Some("pq".into()));
}

#[test]
fn strings_may_hold_quotes_and_what_looks_like_a_comment() {
    assert_eq!(
        default(r#"string S = "it\'s /* no */ // \"comment\"";"#),
        Some("it's /* no */ // \"comment\"".into())
    );
}

#[test]
fn keywords_are_names_where_a_name_stands() {
    let x = class_x(
        "class X { string Schema; uint8 Class; boolean Instance; string REF; X REF As; uint32 Qualifier(string Of); \
         string uint8; string Association[]; string void; };",
    );
    let names: Vec<&str> = x.properties.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["Schema", "Class", "Instance", "REF", "As", "uint8", "Association", "void"]);
    assert_eq!(x.methods[0].name.as_str(), "Qualifier");
    assert_eq!(x.methods[0].parameters[0].name.as_str(), "Of");
}

#[test]
fn keywords_and_qualifier_names_come_in_any_case() {
    let x = class_x(
        "[DESCRIPTION(\"d\"), aBSTRACT] CLASS X { UINT8 A = NULL; [KEY] String B; Boolean C = TRue; };",
    );
    assert!(x.is_abstract());
    assert_eq!(x.properties[0].cim_type, CimType::Uint8);
    assert!(x.properties[1].is_key());
    assert_eq!(x.properties[2].value, Some(Value::Boolean(true)));
    assert_eq!(x.qualifiers[0].name.as_str(), "Description", "the declaration's spelling is shown");
}

#[test]
fn values_and_value_map_need_not_agree() {
    let x = class_x(
        "class X { [ValueMap { \"0\", \"-1\", \"32768..65535\", \"..\" }, Values { \"a\" }] uint16 A; \
         [Values { \"x\", \"y\" }] uint8 B; };",
    );
    let map = class::find(&x.properties[0].qualifiers, "ValueMap").unwrap();
    assert_eq!(map.value, Some(Value::strings(["0", "-1", "32768..65535", ".."])));
}

#[test]
fn blanks_line_ends_and_the_byte_order_mark_do_not_matter() {
    let text = "\u{feff}class X {\r\n\x0c uint8 A; \t\r // c\r uint8 B;\n};  \x0b\n";
    assert_eq!(class_x(text).properties.len(), 2);
}

#[test]
fn names_may_have_letters_of_any_script() {
    assert_eq!(class_x("class X { uint8 Größe_1; };").properties[0].name.as_str(), "Größe_1");
}

#[test]
fn a_file_included_twice_counts_once_and_its_case_may_differ() {
    let files = EmbeddedFiles(&[
        ("dir/q.mof", QUALIFIERS),
        ("dir/a.mof", "#pragma include (\"Q.MOF\")\nclass A { };"),
        ("dir/b.mof", "#pragma include (\"q\" \".mof\")\n#pragma include (\"a.mof\")\nclass B : A { };"),
    ]);
    let root = Source::new(
        "all.mof",
        "#pragma locale(\"en_US\")\n#pragma include (\"dir/b.mof\")\n#pragma include(\"dir/a.mof\")",
    );
    let mut schemas = Schemas::new();
    compile(&[root], &files, &mut schemas, &options(true)).unwrap();
    let schema = &schemas[&namespace()];
    assert_eq!(schema.class_names(), ["A", "B"]);
}

/// So many that they are read ahead of their turn, by several threads.
#[test]
fn many_included_files_count_in_the_order_of_the_text() {
    let files: Vec<(String, String)> = (0..200)
        .map(|n| {
            // Each needs the one before it; every tenth includes ten of its own.
            let superclass = if n == 0 { String::new() } else { format!(" : C{}", n - 1) };
            let inner: String = (0..if n % 10 == 0 { 10 } else { 0 })
                .map(|i| format!("#pragma include(\"i{i}of{n}\")\n"))
                .collect();
            (format!("f{n}"), format!("{inner}class C{n}{superclass} {{ }};"))
        })
        .collect();
    let inner: Vec<(String, String)> = (0..200)
        .step_by(10)
        .flat_map(|n| (0..10).map(move |i| (format!("i{i}of{n}"), format!("class I{i}of{n} {{ }};"))))
        .collect();
    let table: Vec<(&str, &str)> =
        files.iter().chain(&inner).map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let includes: String = (0..200).map(|n| format!("#pragma include(\"f{n}\")\n")).collect();
    let all = |text: String| {
        let mut schemas = Schemas::new();
        let source = Source::new("all", text);
        compile(&[source], &EmbeddedFiles(&table), &mut schemas, &options(true)).map(|_| schemas)
    };
    // What is included again counts once.
    let schemas = all(format!("{includes}{includes}")).unwrap();
    let names: Vec<String> = schemas[&namespace()].class_names().iter().map(ToString::to_string).collect();
    let wanted: Vec<String> = (0..200)
        .flat_map(|n| {
            let inner = if n % 10 == 0 { 10 } else { 0 };
            (0..inner).map(move |i| format!("I{i}of{n}")).chain([format!("C{n}")])
        })
        .collect();
    assert_eq!(names, wanted);
    // What is missing or wrong among them is told where it stands, and the others are taken.
    let found = all(format!("{includes}#pragma include(\"nope\")\nclass X : Y {{ }};")).unwrap_err();
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("all:201:17: error: cannot include 'nope'"), "{told:?}");
    assert!(told[1].contains("the superclass Y of X is not declared"), "{told:?}");
}

#[test]
#[should_panic(expected = "a loader of two minds")]
fn a_loader_that_panics_leaves_nobody_waiting() {
    let loader = |_: &str, file: &str| match file {
        "f50" => panic!("a loader of two minds"),
        _ => Ok(Source::new(file, "")),
    };
    let includes: String = (0..100).map(|n| format!("#pragma include(\"f{n}\")\n")).collect();
    let _ = compile(&[Source::new("all", includes)], &loader, &mut Schemas::new(), &options(true));
}

#[test]
fn files_that_include_each_other_end() {
    let files = EmbeddedFiles(&[
        ("a", "#pragma include(\"b\")\nclass A{};"),
        ("b", "#pragma include(\"a\")\nclass B{};"),
    ]);
    let mut schemas = Schemas::new();
    compile(&[Source::new("a", "#pragma include(\"b\")\nclass A{};")], &files, &mut schemas, &options(true))
        .unwrap();
    assert_eq!(schemas[&namespace()].class_names().len(), 2);
    // Names that never repeat end too.
    let endless =
        |from: &str, _: &str| Ok::<_, LoadError>(Source::new(format!("{from}x"), "#pragma include(\"y\")"));
    let found =
        compile(&[Source::new("x", "#pragma include(\"y\")")], &endless, &mut schemas, &options(true));
    assert!(found.unwrap_err()[0].message.contains("too deep"));
}

#[test]
fn classes_may_refer_to_themselves_and_to_each_other() {
    let schema = schema(
        "class X { X REF Me; [EmbeddedInstance(\"X\")] string Inner; Y REF Other; }; class Y { X REF Other; };",
    );
    let x = schema.class("X").unwrap();
    assert_eq!(x.properties[0].reference_class, Some("X".into()));
    assert_eq!(x.properties[1].embedded, Some(Embedded::Instance));
    assert_eq!(x.properties[1].reference_class, Some("X".into()));
    assert_eq!(x.properties[2].reference_class, Some("Y".into()));
}

#[test]
fn classes_before_their_superclass_wait_for_it() {
    let schema = schema("class D : C {}; class B : A { uint8 P; }; class C : b { uint16 Q; }; class A {};");
    assert_eq!(schema.class_names(), ["A", "B", "C", "D"]);
    assert_eq!(schema.class("D").unwrap().properties.len(), 2);
}

#[test]
fn a_superclass_may_be_spelled_in_another_case() {
    let schema = schema("class Cim_A { }; class X : CIM_a { };");
    assert_eq!(schema.declared("X").unwrap().superclass.as_ref().unwrap().as_str(), "Cim_A");
}

#[test]
fn being_an_association_is_inherited() {
    let schema = schema("[Association] class A { [Key] A REF L; }; [Aggregation] class X : A { };");
    assert!(schema.class("X").unwrap().is_association());
}

#[test]
fn integers_reach_to_the_ends_of_their_types() {
    assert_eq!(default("uint64 A = 18446744073709551615;"), Some(Value::Uint64(u64::MAX)));
    assert_eq!(default("sint64 A = -9223372036854775808;"), Some(Value::Sint64(i64::MIN)));
    assert_eq!(default("uint32 A = 0755;"), Some(Value::Uint32(493)));
    assert_eq!(default("uint8 A = 101b;"), Some(Value::Uint8(5)));
    assert_eq!(default("sint16 A = -0x7F;"), Some(Value::Sint16(-127)));
    assert_eq!(default("real32 A = -.5;"), Some(Value::Real32(-0.5)));
    assert_eq!(default("real64 A = 3;"), Some(Value::Real64(3.0)));
    assert_eq!(default("char16 A = '\\x41';"), Some(Value::Char16(65)));
}

#[test]
fn arrays_have_defaults_and_sizes() {
    let x = class_x("class X { uint8 A[] = {}; uint8 B[]; uint8 C[4] = { 1, NULL, 3 }; };");
    assert_eq!(x.properties[0].value, Some(Value::Array(vec![])));
    assert_eq!(x.properties[1].value, None);
    assert_eq!(x.properties[2].array_size, Some(4));
    assert_eq!(
        x.properties[2].value,
        Some(Value::Array(vec![Some(Value::Uint8(1)), None, Some(Value::Uint8(3))]))
    );
}

#[test]
fn a_datetime_is_written_as_a_string() {
    let Some(Value::DateTime(five)) = default("datetime T = \"00000000000500.000000:000\";") else {
        panic!()
    };
    assert_eq!(five.to_duration(), Some(Duration::from_secs(300)));
    assert!(matches!(
        default("datetime T = \"20260131123000.000000+060\";"),
        Some(Value::DateTime(DateTime::Timestamp { .. }))
    ));
}

#[test]
fn qualifier_values_come_in_parentheses_and_braces() {
    let x = class_x(
        "class X { [Values(\"a\", \"b\"), MaxLen{5}, Deprecated(\"old\"), Description] string A; [MaxLen] string B; };",
    );
    let value = |name: &str| class::find(&x.properties[0].qualifiers, name).unwrap().value.clone();
    assert_eq!(value("Values"), Some(Value::strings(["a", "b"])));
    assert_eq!(value("MaxLen"), Some(Value::Uint32(5)));
    assert_eq!(value("Deprecated"), Some(Value::strings(["old"])));
    assert_eq!(value("Description"), None, "the declared default");
    assert_eq!(x.properties[1].qualifiers[0].value, Some(Value::Uint32(16)), "the declared default");
}

#[test]
fn flavors_come_from_the_declaration_and_from_the_use() {
    let x = class_x("class X { [Key, Description(\"d\") : DisableOverride Restricted] string A; };");
    let key = x.properties[0].qualifiers[0].flavor;
    assert!(!key.overridable && key.to_subclass && !key.translatable);
    let description = x.properties[0].qualifiers[1].flavor;
    assert!(!description.overridable && !description.to_subclass && description.translatable);
}

#[test]
fn embedded_objects_are_marked_on_parameters_too() {
    let x = class_x(
        "class X { uint32 M([In, EmbeddedInstance(\"x\")] string A[], [EmbeddedObject, Out, In(false)] string B, \
         X REF C[]); [EmbeddedObject] string P; void V(); };",
    );
    let m = &x.methods[0];
    assert_eq!(m.return_type, Some(CimType::Uint32));
    assert_eq!((m.parameters[0].embedded, m.parameters[0].is_array), (Some(Embedded::Instance), true));
    assert_eq!(m.parameters[0].reference_class, Some("X".into()));
    assert_eq!((m.parameters[1].embedded, m.parameters[1].is_in()), (Some(Embedded::Object), false));
    assert_eq!((m.parameters[2].cim_type, m.parameters[2].is_array), (CimType::Reference, true));
    assert_eq!(x.properties[0].embedded, Some(Embedded::Object));
    assert_eq!(x.methods[1].return_type, None);
}

#[test]
fn a_class_declared_again_in_the_same_words_is_accepted() {
    let text =
        "class A { [Key, Description(\"d\")] string K; }; [Description(\"x\")] class X : A { uint8 P = 1; };";
    let twice = format!("{text}\n{}", text.replace("X : A", "x:a"));
    assert_eq!(schema(&twice).class_names().len(), 2);
    // The same goes for a later compilation into the same schema.
    let mut schemas = Schemas::from([(namespace(), schema(text))]);
    compile(&[Source::new("y", text)], &EmbeddedFiles(&[]), &mut schemas, &options(true)).unwrap();
}

#[test]
fn namespaces_switch_until_the_end_of_the_file() {
    let one = Source::new(
        "one",
        "#pragma namespace (\"\\\\\\\\.\\\\Root\\\\a\")\nclass A {};\n#pragma namespace(\"root/b\")\nclass A {};\n\
         instance of __Namespace { Name = \"c\"; };",
    );
    let two = Source::new("two", "class A {};");
    let mut schemas = Schemas::new();
    compile(&[one, two], &EmbeddedFiles(&[]), &mut schemas, &options(true)).unwrap();
    let names: Vec<&NamespaceName> = schemas.keys().collect();
    assert_eq!(
        names,
        ["root/a", "root/b", "root/b/c", "root/test"].map(NamespaceName::new).iter().collect::<Vec<_>>()
    );
}

#[test]
fn wmi_files_compile_when_not_strict() {
    let text = r#"
        #pragma autorecover
        #pragma classflags("forceupdate")
        #pragma deleteclass("X", nofail)
        #line 5 "x.c"
        Qualifier Description : ToSubClass Amended;
        [Dynamic: ToInstance, Provider("p"): ToInstance Amended, Locale(0x409), Singleton, Ranges {1, 2}]
        class X : __Base {
            [Implemented, Static] void Start([In, ID(0): DisableOverride ToInstance] string A);
            [CIMTYPE("object:Y")] object:Y P;
            [Big(4294967296)] object Q;
            object ref R;
            Y ref S = "Y=@";
        };
        class __Base { };"#;
    let (schema, compiled) = compiled_as(text, false).unwrap();
    let x = schema.class("X").unwrap();
    assert_eq!(class::find(&x.qualifiers, "Locale").unwrap().value, Some(Value::Sint32(0x409)));
    assert!(class::find(&x.qualifiers, "dynamic").unwrap().flavor.to_instance);
    assert_eq!(class::find(&x.qualifiers, "Ranges").unwrap().cim_type, CimType::Sint32);
    assert_eq!(x.properties[0].embedded, Some(Embedded::Instance));
    assert_eq!(x.properties[0].reference_class, Some("Y".into()));
    assert_eq!(x.properties[1].embedded, Some(Embedded::Object));
    assert_eq!(x.properties[2].reference_class, None);
    assert!(matches!(x.properties[3].value, Some(Value::Reference(_))));
    let told: Vec<String> = compiled.warnings.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|w| w.contains("warning: class Y is not declared")), "{told:?}");
    assert_eq!(told.iter().filter(|w| w.contains("'Implemented'")).count(), 1, "{told:?}");
}

#[test]
fn method_and_property_overrides_are_checked_against_the_superclass() {
    let schema = schema(
        "class A { [EmbeddedObject] string E; string S; A REF R; uint32 M(string P); };
         class X : A { [Override(\"s\"), EmbeddedInstance(\"A\")] string S; [Override(\"R\")] X REF R; \
         [Override(\"M\")] uint32 M(string P); [Override(\"A.E\")] string E; };",
    );
    let x = schema.class("X").unwrap();
    assert_eq!(x.property("S").unwrap().embedded, Some(Embedded::Instance));
    assert_eq!(x.property("R").unwrap().reference_class, Some("X".into()));
    assert_eq!(x.property("E").unwrap().embedded, Some(Embedded::Object));
}

#[test]
fn one_call_makes_a_schema_of_texts() {
    let sources = [Source::new("q", QUALIFIERS), Source::new("x", "class X { };")];
    let schema = compile_schema(&sources, &namespace()).unwrap();
    assert!(schema.contains("x"));
    assert_eq!(compile_schema(&[], &namespace()).unwrap().class_names().len(), 0);
}

#[test]
fn common_qualifiers_stand_where_the_namespace_declares_none() {
    let common = compile_schema(&[Source::new("q.mof", QUALIFIERS)], &namespace()).unwrap();
    let with = |text: &str, common: Option<&Schema>| {
        let mut schemas = Schemas::new();
        let sources = [Source::new("x.mof", text)];
        compile_for(&sources, &NoIncludes, &mut schemas, &options(true), common)
            .map(|compiled| (schemas.remove(&namespace()).unwrap(), compiled.warnings))
    };
    const CLASS: &str = "class X { [Key] string A; };";
    assert!(with(CLASS, None).is_err(), "nobody declares it");
    let (schema, warnings) = with(CLASS, Some(&common)).unwrap();
    assert_eq!(schema.declared("X"), Some(&class_x(CLASS)), "as if it were declared");
    assert!(warnings.is_empty() && schema.qualifiers().next().is_none(), "and yet it is not");
    let own =
        "Qualifier Key : boolean = false, Scope(property), Flavor(EnableOverride);\n".to_owned() + CLASS;
    let (schema, warnings) = with(&own, Some(&common)).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(schema.declared("X").unwrap().properties[0].qualifiers[0].flavor.overridable, "the own one wins");
}
