//! Small texts do not become large ones.

use super::super::{NoIncludes, Schemas, Source, compile, print_instance, print_schema};
use super::{compiled, compiled_as, namespace, options, schema};
use cimwright_cim::Schema;

const H: &str = "class H { object o; object list[]; string s; };";

/// The only mistake of a text, which is the same by both rules.
#[track_caller]
fn mistake(text: &str) -> String {
    let [strict, lenient] = [true, false].map(|strict| {
        let found = compiled_as(text, strict).err().unwrap_or_default();
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].message.clone()
    });
    assert_eq!(strict, lenient);
    strict
}

#[track_caller]
fn read_again(schema: &Schema) -> Schema {
    let (printed, mut schemas) = (print_schema(schema), Schemas::new());
    let found = compile(&[Source::new("again", printed.as_str())], &NoIncludes, &mut schemas, &options(true));
    found.unwrap_or_else(|found| panic!("{}{printed}", found[0].render()));
    schemas.remove(&namespace()).unwrap()
}

/// A string with this text, which takes little more room in quotes in quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\x005C").replace('"', "\\x0022"))
}

/// Instances, one in the other.
fn instances(levels: usize, as_text: bool) -> String {
    let mut value = String::from("NULL");
    for _ in 0..levels {
        value = format!("instance of H {{ o = {value}; s = \"\\\\ \\\" \\n '\"; }}");
        if as_text {
            value = quoted(&format!("{value};"));
        }
    }
    value
}

/// Classes, one as the default in the other.
fn classes(levels: usize) -> String {
    (0..levels).fold("NULL".to_owned(), |value, _| quoted(&format!("class A {{ object o = {value}; }};")))
}

#[test]
fn eight_objects_may_stand_one_in_the_other() {
    for (value, too_deep) in [
        (instances(8, false), instances(9, false)),
        (instances(8, true), instances(9, true)),
        (classes(8), classes(9)),
        (classes(8), classes(60)),
    ] {
        let schema = schema(&format!("{H} class B {{ object y = {value}; }};"));
        assert_eq!(read_again(&schema).declared("B"), schema.declared("B"));
        // Each level adds to the escapes of those in it and does not double them.
        assert!(print_schema(&schema).len() < 8_000, "{}", print_schema(&schema));

        let limit = "objects are embedded too deep: at most 8 may stand one in the other";
        let message = mistake(&format!("{H} class B {{ object y = {too_deep}; }};"));
        assert!(message.contains(limit), "{message}");
        let message = mistake(&format!("{H} instance of H {{ o = {too_deep}; }};"));
        assert!(message.contains(limit), "{message}");
    }
}

#[test]
fn defaults_count_where_they_are_taken_over() {
    let chain = |length: usize| -> String {
        let links =
            (1..=length).map(|n| format!("class A{n} {{ object x = instance of A{} {{}}; }};", n - 1));
        format!("class A0 {{ object x; }}; {}", links.collect::<String>())
    };
    let schema = schema(&chain(8));
    assert_eq!(read_again(&schema).declared("A8"), schema.declared("A8"));
    let found = compiled(&chain(9)).unwrap_err();
    assert!(
        found[0].message.starts_with("with the default of x, objects are embedded too deep"),
        "{}",
        found[0]
    );
    // Each class has twenty of the one before.
    let links = (1..7).map(|n| {
        let items = vec![format!("instance of A{} {{}}", n - 1); 20].join(", ");
        format!("class A{n} {{ object x[] = {{ {items} }}; }};")
    });
    let found = compiled(&format!("class A0 {{ object x[]; }}; {}", links.collect::<String>())).unwrap_err();
    assert!(found[0].message.contains("more than 32 MiB"), "{}", found[0]);
}

#[test]
fn aliases_of_aliases_have_a_bound() {
    let links = (1..8).map(|n| {
        let items = vec![format!("$a{}", n - 1); 30].join(", ");
        format!("instance of H as $a{n} {{ list = {{ {items} }}; }};")
    });
    let found =
        compiled(&format!("{H} instance of H as $a0 {{}}; {}", links.collect::<String>())).unwrap_err();
    assert!(found.iter().all(|d| d.message.contains("more than 32 MiB")), "{found:#?}");
    // As text, which is read each time.
    let blank = " ".repeat(10_000);
    let text = format!(
        "{H} instance of H as $a {{ o = \"{blank} instance of H {{}};\"; }}; instance of H {{ list = {{ {} }}; }};",
        vec!["$a"; 5_000].join(", ")
    );
    assert!(mistake(&text).contains("more than 32 MiB"));
    // A hundred times the same is nothing.
    let many = vec!["$a"; 100].join(", ");
    let text = format!("{H} instance of H as $a {{ s = \"x\"; }}; instance of H {{ list = {{ {many} }}; }};");
    let (_, compiled) = compiled(&text).unwrap();
    assert_eq!(compiled.instances[1].1.get("list").unwrap().as_array().unwrap().len(), 100);
}

#[test]
fn keys_of_keys_have_a_bound() {
    let classes = "class X { [Key] string Id; }; class L { [Key] object REF k; [Key] object REF l; };";
    let chain = |length: usize, forwards: bool| {
        let mut links: Vec<String> = (1..=length)
            .map(|n| format!("instance of L as $a{n} {{ k = $a{}; l = NULL; }};", n - 1))
            .collect();
        if !forwards {
            links.reverse();
        }
        format!("{classes} instance of X as $a0 {{ Id = \"a\"; }}; {}", links.concat())
    };
    for forwards in [true, false] {
        let (_, eight) = compiled(&chain(7, forwards)).unwrap();
        for (_, instance) in &eight.instances {
            assert!(print_instance(instance).len() < 20_000);
        }
        let found = compiled(&chain(60, forwards)).unwrap_err();
        assert!(found[0].message.contains("at most 8 instances may be identified"), "{}", found[0]);
    }
}

#[test]
fn arrays_of_objects_are_printed_once() {
    let value = (0..7).fold("{ instance of H {} }".to_owned(), |value, _| {
        format!("{{ instance of H {{ list = {value}; s = \"{}\"; }} }}", "long ".repeat(30))
    });
    let schema = schema(&format!("{H} class B {{ object y[] = {value}; }};"));
    assert_eq!(read_again(&schema).declared("B"), schema.declared("B"));
}

#[test]
fn findings_that_are_not_kept_are_not_made() {
    // All in one line: to tell where one of them stands is to look through all before it.
    let many = |one: &dyn Fn(usize) -> String| (0..2_500).map(one).collect::<String>();
    let classes = many(&|n| format!("[MaxLen(1)]class A{n}{{}};"));
    let (_, lenient) = compiled_as(&classes, false).unwrap();
    assert_eq!(lenient.warnings.len(), 1_000);
    assert_eq!(compiled(&classes).unwrap_err().len(), 100);
    let missing = format!("class A {{ {} }};", many(&|n| format!("B{n} REF P{n};")));
    assert_eq!(compiled(&missing).unwrap_err().len(), 100);
    let wrong =
        format!("class A {{ [Key] string K; }};{}", many(&|n| format!("instance of A {{ K = {n}; }};")));
    assert_eq!(compiled(&wrong).unwrap_err().len(), 100);
}
