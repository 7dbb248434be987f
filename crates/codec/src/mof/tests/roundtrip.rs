//! What is printed compiles to the same, and no text makes the parser panic.

use super::super::{
    NoIncludes, Options, Schemas, Source, compile, compile_schema, parse, print_class, print_instance,
    print_qualifier, print_schema,
};
use super::{QUALIFIERS, compiled, namespace, schema};
use cimwright_cim::{
    CimType, Class, Flavor, Instance, InstancePath, Method, NamespaceName, Parameter, Property, Qualifier,
    QualifierDeclaration, QualifierScope, Schema, Scopes, Value,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[track_caller]
fn assert_same(again: &Schema, schema: &Schema) {
    assert_eq!(again.class_names(), schema.class_names());
    for name in schema.class_names() {
        assert_eq!(again.declared(name.as_str()), schema.declared(name.as_str()));
    }
    assert!(again.qualifiers().eq(schema.qualifiers()));
}

#[test]
fn a_class_is_printed_to_be_read() {
    let schema = schema(
        r#"[Version("1.0"), Description("Long text, which is split after a space when it gets longer than a line may be, so that people can read it.")]
           class X { [Key, Description("d") : Restricted] string Id; [Values { "a", "b" }] uint8 A[] = { 1, 2 };
           uint32 M([In(false), Out] X REF R, string S[4]); void N(); };"#,
    );
    let text = print_class(schema.declared("X").unwrap(), Some(&schema));
    let wanted = r#"[Version("1.0"),
 Description("Long text, which is split after a space when it gets longer than a line may "
     "be, so that people can read it.")]
class X {

      [Key,
       Description("d") : Restricted]
    string Id;

      [Values { "a", "b" }]
    uint8 A[] = { 1, 2 };

    uint32 M(
          [In(FALSE),
           Out]
        X REF R,
        string S[4]);

    void N();
};
"#;
    assert_eq!(text, wanted);
    let declared = schema.qualifier("Deprecated").unwrap();
    assert_eq!(
        print_qualifier(declared),
        "Qualifier Deprecated : string[], Scope(any), Flavor(Restricted);\n"
    );
}

#[test]
fn instances_survive_printing() {
    let classes = r#"class X { [Key] string Id; real64 R = 0.1; char16 C; datetime T; boolean B; X REF P; sint64 N[];
                     [EmbeddedInstance("X")] string E; };"#;
    let text = r#"instance of X { Id = "q\"\\\n\x1é"; R = -1.5e300; C = '\xD800'; T = "00000000000500.000000:000"; B = FALSE;
                  P = "root/a:X.Id=\"a\\\"b\""; N = { -1, NULL }; E = instance of X { Id = "deep \"quotes\""; R = 1.0e16; }; };"#;
    let (_, first) = compiled(&format!("{classes}{text}")).unwrap();
    let printed = print_instance(&first.instances[0].1);
    let (_, second) = compiled(&format!("{classes}{printed}")).unwrap();
    assert_eq!(second.instances, first.instances, "{printed}");
}

/// What a text declares, printed and read again by the same rules.
#[track_caller]
fn survives(text: &str, strict: bool) -> Schema {
    let compiled = |text: &str| {
        let options = Options { default_namespace: namespace(), strict };
        let mut schemas = Schemas::new();
        match compile(&[Source::new("x", text)], &NoIncludes, &mut schemas, &options) {
            Ok(_) => schemas.remove(&namespace()).unwrap(),
            Err(found) => panic!("{}{text}", found[0].render()),
        }
    };
    let schema = compiled(text);
    let printed = print_schema(&schema);
    let again = compiled(&printed);
    assert_same(&again, &schema);
    for name in schema.class_names() {
        // In the same spelling too.
        let [one, other] = [&again, &schema].map(|s| format!("{:?}", s.declared(name.as_str())));
        assert_eq!(one, other, "{printed}");
    }
    schema
}

#[test]
fn an_embedding_qualifier_that_says_nothing_hides_no_type() {
    for text in [
        "Qualifier EmbeddedObject : boolean, Scope(any); class A { [EmbeddedObject(false)] object P; };",
        "Qualifier EmbeddedObject : boolean, Scope(any); class A { void M([EmbeddedObject(false)] object P); };",
        "Qualifier EmbeddedInstance : string, Scope(any); class A { [EmbeddedInstance(NULL)] object:A P; };",
        "Qualifier EmbeddedInstance : string[], Scope(any); class A { [EmbeddedInstance{\"A\"}] object P; };",
        "Qualifier EmbeddedObject : uint8, Scope(any); class A { [EmbeddedObject(1)] object P; };",
    ] {
        let schema = survives(text, true);
        let class = schema.declared("A").unwrap();
        let embedded =
            class.properties.first().map_or_else(|| class.methods[0].parameters[0].embedded, |p| p.embedded);
        assert!(embedded.is_some(), "{text}");
    }
}

#[test]
fn flavors_in_objects_in_objects_survive() {
    for (declared, stated) in
        [("Restricted", "ToSubclass"), ("ToInstance", "NotToInstance"), ("Translatable", "Restricted")]
    {
        survives(
            &format!(
                "Qualifier F : boolean, Scope(any), Flavor({declared}); class H {{ object o; }};
                 class B {{ object Y = instance of H {{ o = \"[F : {stated}] class Z {{}};\"; }}; }};"
            ),
            true,
        );
    }
}

#[test]
fn what_is_declared_after_its_use_changes_nothing() {
    for (text, kept) in [
        // What declares the same is the same, in the first spelling.
        ("Qualifier f : boolean, Scope(any); [f] class A {}; Qualifier F : boolean, Scope(any);", true),
        ("Qualifier F : uint8, Scope(any); [F(5)] class A {}; Qualifier F : string, Scope(any);", true),
        ("Qualifier F : uint8, Scope(any); [F(5)] class A {}; Qualifier F : uint8, Scope(method);", true),
        ("Qualifier F : boolean, Scope(any); [F] class A {}; Qualifier F : Translatable;", true),
        (
            "Qualifier F : boolean, Scope(any); class A { object o = \"[F] class Z {};\"; }; Qualifier F : Translatable;",
            true,
        ),
        ("[F] class A {}; Qualifier F : boolean, Scope(any), Flavor(Translatable);", false),
        ("[F(5)] class A {}; Qualifier F : string, Scope(any);", false),
        ("[f] class A {}; Qualifier F : boolean, Scope(any);", false),
        ("[F] class A {}; [f] class B {}; Qualifier F : boolean, Scope(any);", false),
        ("[F : Restricted] class A {}; Qualifier F : boolean, Scope(any);", false),
        // Nothing else would have come of the use.
        ("[F] class A {}; Qualifier F : boolean, Scope(any);", true),
        ("[F{\"a\"}] class A {}; Qualifier F : string[], Scope(any); [F(\"b\")] class B {};", true),
        // Superclasses come later and their subclasses wait: only then is the qualifier used.
        ("[F(5)] class B : A {}; Qualifier F : uint8, Scope(any); class A {};", true),
    ] {
        let schema = survives(text, false);
        assert_eq!(schema.qualifier("F").is_some(), kept, "{text}");
    }
}

fn any_name() -> impl Strategy<Value = String> {
    "[A-Za-z_\u{e9}][A-Za-z0-9_]{0,8}"
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,20}",
        vec(any::<char>(), 0..12).prop_map(|c| c.into_iter().collect()),
        "[a-z \"'\\\\\n\t/*]{0,300}"
    ]
}

fn any_flavor() -> impl Strategy<Value = Flavor> {
    any::<(bool, bool, bool, bool)>().prop_map(|(overridable, to_subclass, to_instance, translatable)| {
        Flavor { overridable, to_subclass, to_instance, translatable }
    })
}

fn scalar_type() -> impl Strategy<Value = CimType> {
    prop::sample::select(&CimType::ALL[..14])
}

fn scalar(cim_type: CimType) -> BoxedStrategy<Value> {
    match cim_type {
        CimType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        CimType::Char16 => any::<u16>().prop_map(Value::Char16).boxed(),
        CimType::Uint8 => any::<u8>().prop_map(Value::Uint8).boxed(),
        CimType::Sint8 => any::<i8>().prop_map(Value::Sint8).boxed(),
        CimType::Uint16 => any::<u16>().prop_map(Value::Uint16).boxed(),
        CimType::Sint16 => any::<i16>().prop_map(Value::Sint16).boxed(),
        CimType::Uint32 => any::<u32>().prop_map(Value::Uint32).boxed(),
        CimType::Sint32 => any::<i32>().prop_map(Value::Sint32).boxed(),
        CimType::Uint64 => any::<u64>().prop_map(Value::Uint64).boxed(),
        CimType::Sint64 => any::<i64>().prop_map(Value::Sint64).boxed(),
        CimType::Real32 => any::<f32>()
            .prop_filter("MOF has no word for it", |x| x.is_finite())
            .prop_map(Value::Real32)
            .boxed(),
        CimType::Real64 => any::<f64>()
            .prop_filter("MOF has no word for it", |x| x.is_finite())
            .prop_map(Value::Real64)
            .boxed(),
        CimType::DateTime => (0u64..8_000_000_000_000)
            .prop_map(|s| {
                Value::DateTime(cimwright_cim::DateTime::from_duration(std::time::Duration::from_secs(s)))
            })
            .boxed(),
        CimType::Reference => any_text()
            .prop_map(|id| InstancePath::new(NamespaceName::new("root/a"), "X").with_key("Id", id).into())
            .boxed(),
        CimType::String => any_text().prop_map(Value::String).boxed(),
    }
}

/// A type, whether it is an array, its size, and a value of it.
fn typed() -> impl Strategy<Value = (CimType, bool, Option<u32>, Option<Value>)> {
    (scalar_type(), any::<bool>(), option::of(1u32..9)).prop_flat_map(|(cim_type, is_array, size)| {
        let value = if is_array {
            vec(option::of(scalar(cim_type)), 0..5).prop_map(Value::Array).boxed()
        } else {
            scalar(cim_type)
        };
        (Just(cim_type), Just(is_array), Just(size.filter(|_| is_array)), option::of(value))
    })
}

/// A schema of one class and the qualifiers on it. Names are numbered, so that none occurs twice.
fn any_schema() -> impl Strategy<Value = Schema> {
    let declarations = vec((any_name(), typed(), any_flavor()), 0..4);
    let properties = vec((any_name(), typed()), 0..5);
    let parameters = vec((any_name(), typed()), 0..3);
    let methods = vec((any_name(), option::of(scalar_type()), parameters), 0..3);
    (declarations, any::<(bool, bool)>(), properties, methods, any_flavor()).prop_map(
        |(declarations, (scoped, stated), properties, methods, flavor)| {
            let mut schema = Schema::new();
            let mut qualifiers = Vec::new();
            for (n, (name, (cim_type, is_array, array_size, value), declared)) in
                declarations.into_iter().enumerate()
            {
                let name = cimwright_cim::Name::from(format!("{name}{n}"));
                let scopes = if scoped {
                    Scopes::ANY
                } else {
                    Scopes::default()
                        .with(QualifierScope::Class)
                        .with(QualifierScope::Property)
                        .with(QualifierScope::Method)
                        .with(QualifierScope::Parameter)
                };
                let used = Flavor {
                    overridable: declared.overridable && flavor.overridable,
                    translatable: declared.translatable || flavor.translatable,
                    ..if stated { flavor } else { declared }
                };
                let flavor = declared;
                schema.set_qualifier(QualifierDeclaration {
                    name: name.clone(),
                    cim_type,
                    is_array,
                    array_size,
                    value: value.clone(),
                    scopes,
                    flavor,
                });
                qualifiers.push(Qualifier {
                    name,
                    cim_type,
                    is_array,
                    value,
                    flavor: used,
                    propagated: false,
                });
            }
            let mut class = Class::new("X");
            class.qualifiers = qualifiers.clone();
            for (n, (name, (cim_type, is_array, array_size, value))) in properties.into_iter().enumerate() {
                class.properties.push(Property {
                    is_array,
                    array_size,
                    qualifiers: qualifiers.clone(),
                    ..Property::new(format!("{name}{n}"), cim_type, value)
                });
            }
            for (n, (name, return_type, parameters)) in methods.into_iter().enumerate() {
                let parameter = |(at, (name, (cim_type, is_array, array_size, _)))| Parameter {
                    name: format!("{name}{at}").into(),
                    cim_type,
                    is_array,
                    array_size,
                    embedded: None,
                    reference_class: None,
                    qualifiers: qualifiers.clone(),
                };
                class.methods.push(Method {
                    name: format!("{name}m{n}").into(),
                    return_type,
                    parameters: parameters.into_iter().enumerate().map(parameter).collect(),
                    class_origin: None,
                    propagated: false,
                    qualifiers: qualifiers.clone(),
                });
            }
            schema.add_class(class).unwrap();
            schema
        },
    )
}

/// Texts made of what MOF is made of, so that the parser gets further than the first token.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop::sample::select(vec![
        "class",
        "X",
        "A",
        "{",
        "}",
        ";",
        "[",
        "]",
        "(",
        ")",
        ",",
        ":",
        "=",
        "Key",
        "string",
        "uint8",
        "REF",
        "\"t\"",
        "\"\\x4",
        "5",
        "-1",
        "08",
        "1.5",
        "'c'",
        "NULL",
        "true",
        "$A",
        "as",
        "instance",
        "of",
        "Qualifier",
        "Scope",
        "any",
        "Flavor",
        "#pragma",
        "include",
        "namespace",
        "//",
        "/*",
        "*/",
        "\n",
        "\r",
        "é",
        "void",
        "object",
        "\\",
    ]);
    vec(scrap, 0..60).prop_map(|words| words.join(" "))
}

fn everything(text: &str) {
    let source = Source::new("x", text);
    if let Err(found) = parse(&source) {
        for diagnostic in found {
            assert!(!diagnostic.render().is_empty());
        }
    }
    let mut schemas = Schemas::new();
    let options = Options { default_namespace: namespace(), strict: false };
    let _ = compile(&[Source::new("q", QUALIFIERS), source], &NoIncludes, &mut schemas, &options);
}

proptest! {
    #[test]
    fn schemas_survive_printing(schema in any_schema()) {
        let text = print_schema(&schema);
        match compile_schema(&[Source::new("printed", text.as_str())], &namespace()) {
            Ok(again) => assert_same(&again, &schema),
            Err(found) => panic!("{}{text}", found[0].render()),
        }
    }

    #[test]
    fn values_survive_printing((cim_type, is_array, array_size, value) in typed(), path in scalar(CimType::Reference)) {
        let mut class = Class::new("X");
        class.properties.push(Property { is_array, array_size, ..Property::new("P", cim_type, None) });
        class.properties.push(Property {
            reference_class: Some("X".into()),
            ..Property::new("R", CimType::Reference, None)
        });
        let instance = Instance {
            properties: vec![
                Property { is_array, array_size, class_origin: Some("X".into()), ..Property::new("P", cim_type, value) },
                Property {
                    reference_class: Some("X".into()),
                    class_origin: Some("X".into()),
                    ..Property::new("R", CimType::Reference, Some(path))
                },
            ],
            ..Instance::new("X")
        };
        let text = format!("{}{}", print_class(&class, None), print_instance(&instance));
        let (_, compiled) = match compiled(&text) {
            Ok(done) => done,
            Err(found) => panic!("{}{text}", found[0].render()),
        };
        let again = Instance { path: None, ..compiled.instances[0].1.clone() };
        prop_assert_eq!(again, instance, "{}", text);
    }

    #[test]
    fn no_text_panics(text in any_text()) {
        everything(&text);
    }

    #[test]
    fn no_scraps_panic(text in scraps()) {
        everything(&text);
    }

    #[test]
    fn no_cut_panics(cut in 0usize..QUALIFIERS.len(), extra in any_text()) {
        everything(&format!("{}{extra}{}", &QUALIFIERS[..cut], &QUALIFIERS[cut..]));
    }
}
