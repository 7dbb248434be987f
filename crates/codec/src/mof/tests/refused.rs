//! What must be refused, and where the finger points.

use super::super::{Diagnostic, EmbeddedFiles, LoadError, Schemas, Source, compile, parse};
use super::{compiled, compiled_as, options};

/// Asserts that `text` is refused with exactly one mistake at line and column, about `offending`, with `message`.
#[track_caller]
fn refused(text: &str, line: usize, column: usize, offending: &str, message: &str) {
    let found = compiled(text).expect_err("it must be refused");
    let all: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{all:#?}");
    let one = &found[0];
    assert_eq!((one.line, one.column, one.text.as_str()), (line, column, offending), "{all:#?}");
    assert!(one.message.contains(message), "{all:#?}");
    assert_eq!(all[0], format!("x.mof:{line}:{column}: error: {}", one.message));
    assert!(one.render().contains(&format!("x.mof:{line}:{column}")), "{}", one.render());
}

#[test]
fn syntax() {
    refused("class X {\n  uint8 A\n};", 3, 1, "}", "expected ';', found '}'");
    refused("class X {\n}\nclass Y { };", 2, 1, "}", "expected ';' after this");
    refused("class X { uint8 A; ", 1, 20, "", "found the end of the file");
    refused("class X { uint9 A; };", 1, 11, "uint9", "is no type");
    refused("class X { CIM_Y A; };", 1, 11, "CIM_Y", "is no type");
    refused("class X { uint8[] A; };", 1, 16, "[", "expected a name");
    refused("clas X { };", 1, 1, "clas", "expected a class");
    refused("[Abstract]\nQualifier A : string, Scope(any);", 2, 1, "Qualifier", "after the qualifiers");
    refused("#include \"x\"\n;", 1, 1, "#include", "expected #pragma");
    refused("class X { uint8 A[0]; };", 1, 19, "0", "the size of an array");
    refused("class X { uint8 A = ; };", 1, 21, ";", "expected a value");
    refused("class X { uint8 A[] = { 1, }; };", 1, 28, "}", "expected a value");
    refused("[Abstract : Strong] class X { };", 1, 13, "Strong", "is no flavor");
    refused("[Abstract : Restricted ToSubclass] class X { };", 1, 24, "ToSubclass", "contradicts");
    refused("Qualifier A : string;", 1, 21, ";", "Scope");
    refused("Qualifier A : string, Scope(klass);", 1, 29, "klass", "is no scope");
    refused("Qualifier A : string, Scope(any), Flavor(Sweet);", 1, 42, "Sweet", "is no flavor");
    refused("instance X { };", 1, 10, "X", "expected 'of'");
    refused("class X ? { };", 1, 9, "?", "expected '{'");
}

#[test]
fn tokens() {
    refused("class X { string A = \"ab\n\"; };", 1, 22, "\"ab", "not closed");
    refused("class X { };\n/* no end", 2, 1, "/*", "never closed");
    refused("class X { string A = \"a\\qb\"; };", 1, 24, "\\q", "no such escape");
    refused("class X { string A = \"é\\q\"; };", 1, 24, "\\q", "no such escape");
    refused("class X { string A = \"ok\" \"a\\xZ\"; };", 1, 29, "\\x", "hexadecimal digits");
    refused("class X { uint8 A = 08; };", 1, 21, "08", "octal");
    refused("class X { uint8 A = 2b; };", 1, 21, "2b", "binary");
    refused("class X { uint8 A = 0x1G; };", 1, 21, "0x1G", "hexadecimal");
    refused("class X { real32 A = 5.; };", 1, 22, "5.", "real");
    refused("class X { real32 A = 1e5; };", 1, 22, "1e5", "not a number");
    refused("class X { char16 A = 'ab'; };", 1, 22, "'ab'", "exactly one character");
    refused("class X { char16 A = 'a; };\n};", 1, 22, "'a; };", "not closed");
}

#[test]
fn values() {
    refused("class X { uint8 A = 256; };", 1, 21, "256", "out of the range of uint8");
    refused("class X { uint8 A = -1; };", 1, 21, "-1", "out of the range of uint8");
    refused("class X { uint8 A = \"1\"; };", 1, 21, "\"1\"", "a string does not fit the type uint8");
    refused("class X { string A = 1; };", 1, 22, "1", "an integer does not fit the type string");
    refused("class X { boolean A = \"true\"; };", 1, 23, "\"true\"", "does not fit");
    refused("class X { datetime A = \"now\"; };", 1, 24, "\"now\"", "no datetime");
    refused("class X { uint8 A[] = 1; };", 1, 23, "1", "where an array of uint8 is expected");
    refused("class X { uint8 A = { 1 }; };", 1, 21, "{ 1 }", "where one uint8 is expected");
    refused("class X { uint8 A[] = { 1,\n 300 }; };", 2, 2, "300", "out of the range");
    refused("class X { real32 A = 1.0e39; };", 1, 22, "1.0e39", "out of the range of real32");
    refused("class X { X REF A = \"=\"; };", 1, 21, "\"=\"", "no object path");
    refused("class X { [MaxValue(9223372036854775808)] uint64 A; };", 1, 21, "9223372036854775808", "sint64");
}

#[test]
fn qualifiers() {
    refused("[Abstrakt] class X { };", 1, 2, "Abstrakt", "is not declared");
    refused("[Abstract(\"yes\")] class X { };", 1, 11, "\"yes\"", "does not fit the type boolean");
    refused("[Description(5)] class X { };", 1, 14, "5", "does not fit the type string");
    refused("[Description{\"a\", \"b\"}] class X { };", 1, 13, "{\"a\", \"b\"}", "an array stands");
    refused("[Key] class X { };", 1, 2, "Key", "cannot stand on a class");
    refused("class X { [Association] string A; };", 1, 12, "Association", "cannot stand on a property");
    refused("[Aggregation] class X { };", 1, 2, "Aggregation", "cannot stand on a class");
    refused("class X { [Abstract] uint32 M(); };", 1, 12, "Abstract", "cannot stand on a method");
    refused("class X { uint32 M([Key] string A); };", 1, 21, "Key", "cannot stand on a parameter");
    refused("class X { [MaxLen(5)] X REF A; };", 1, 12, "MaxLen", "cannot stand on a reference");
    refused("class X { [Key, KEY] string A; };", 1, 17, "KEY", "twice");
    refused("class X { [Key : EnableOverride] string A; };", 1, 12, "Key", "DisableOverride");
    refused("Qualifier Q : object, Scope(any);", 1, 15, "object", "no type of a qualifier");
    refused("Qualifier Q : uint8 = 300, Scope(any);", 1, 23, "300", "out of the range");
    let text = "class A { [Key] string K; }; class X : A { [Override(\"K\"), Key(false)] string K; };";
    refused(text, 1, 60, "Key", "cannot change");
    let used = "Qualifier Q : uint8, Scope(any);\n[Q(5)] class X { };\n";
    let again = "is declared again, differently, after it has been used; the first declaration holds";
    refused(&format!("{used}Qualifier q : string, Scope(any);"), 3, 11, "q", again);
    refused(&format!("{used}Qualifier Q : uint8 = 1, Scope(any);"), 3, 11, "Q", again);
    refused(&format!("{used}Qualifier Q : Translatable;"), 3, 11, "Q", again);
    let inside = "class X { object o = \"[Q] class Z {};\"; };\nQualifier Q : boolean, Scope(class);";
    assert!(compiled(inside).is_ok(), "the same would have come of it");
    refused(&inside.replace("boolean", "string"), 2, 11, "Q", "is declared after it has been used");
    // One word about each unknown qualifier, with what was probably meant.
    let found = compiled("[Abstrakt] class X { }; [Abstrakt] class Y { };").unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].hint.as_deref(), Some("did you mean Abstract?"));
}

#[test]
fn classes() {
    refused("class X : Nope { };", 1, 11, "Nope", "superclass Nope of X is not declared");
    refused("class X { uint8 A; string a; };", 1, 27, "a", "declares 'a' twice");
    refused("class X { uint8 A; uint32 A(); };", 1, 27, "A", "twice");
    refused("class X { uint32 M(string P, uint8 p); };", 1, 36, "p", "two parameters");
    refused("class X { void P; };", 1, 11, "void", "only a method can be void");
    refused("class X { uint32 M(void P); };", 1, 20, "void", "only a method can be void");
    refused("class X { X REF R[]; };", 1, 17, "R", "cannot be an array");
    refused("class A { uint8 P; }; class X : A { string P; };", 1, 44, "P", "of type uint8");
    refused("class A { uint8 P[]; }; class X : A { uint8 P; };", 1, 45, "P", "of type uint8[]");
    refused("class X { }; class x { uint8 A; };", 1, 20, "x", "declared differently");
    refused("class X { Y REF R; };", 1, 11, "Y", "class Y is not declared");
    refused("class X { [EmbeddedInstance(\"Y\")] string E; };", 1, 42, "E", "class Y is not declared");
    refused("class X { [EmbeddedObject] uint8 E; };", 1, 34, "E", "must be a string");
    refused("class A { }; class X : A { [Override(\"P\")] string P; };", 1, 38, "\"P\"", "A has no 'P'");
    refused("class X { [Override(\"Q\")] string P; };", 1, 21, "\"Q\"", "P can only override P");
    let default = "Qualifier Override : string = \"y\", Scope(any); class A { string x; };\n";
    let found = compile_alone(&format!("{default}class B : A {{ [Override] string X; }};"));
    assert_eq!((found.line, found.text.as_str()), (2, "Override"));
    assert_eq!(found.message, "X can only override X, not 'y'");
    let two = "'P' carries objects of X by its type and any object by its qualifier";
    refused("class X { [EmbeddedObject] object:X P; };", 1, 37, "P", two);
    refused(
        "class A {}; class X { [EmbeddedInstance(\"A\")] object:X P; };",
        1,
        56,
        "P",
        "and objects of A by",
    );
    // Classes that wait for each other: each is told.
    let found = compiled("class A : B { }; class B : A { };").unwrap_err();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|d| d.message.contains("its own ancestor")));
    // What waits for a class that is missing itself is not told.
    refused("class B : A { };\nclass C : B { };", 1, 11, "A", "superclass A of B");
}

/// The one mistake of a text that declares its own qualifiers.
#[track_caller]
fn compile_alone(text: &str) -> Diagnostic {
    let source = Source::new("x", text);
    let mut found = compile(&[source], &EmbeddedFiles(&[]), &mut Schemas::new(), &options(true)).unwrap_err();
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

#[test]
fn pragmas() {
    refused("#pragma include (5)", 1, 18, "5", "takes a string");
    refused("#pragma include", 1, 9, "include", "takes a string");
    refused("\n#pragma include (\"nope.mof\")", 2, 18, "\"nope.mof\"", "cannot include 'nope.mof'");
    let secret = |_: &str, _: &str| Err::<Source, _>(LoadError::Unreadable("permission denied".into()));
    let source = Source::new("x", "#pragma include(\"y\")");
    let found = compile(&[source], &secret, &mut Schemas::new(), &options(true)).unwrap_err();
    assert_eq!(found[0].to_string(), "x:1:17: error: cannot include 'y': permission denied");
    let (_, compiled) = compiled_as("#pragma frobnicate(\"x\")", true).unwrap();
    assert_eq!(
        compiled.warnings[0].to_string(),
        "x.mof:1:9: warning: the pragma 'frobnicate' is not known and is ignored"
    );
}

#[test]
fn a_mistake_in_an_included_file_names_that_file() {
    let files = EmbeddedFiles(&[("sub/bad.mof", "class A {\n\n  oops\n};")]);
    let source = Source::new("x", "#pragma include(\"sub/bad.mof\")\nclass B : Nope { };");
    let found = compile(&[source], &files, &mut Schemas::new(), &options(true)).unwrap_err();
    let all: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(all.len(), 2);
    assert!(all[0].starts_with("sub/bad.mof:3:3: error: "), "{all:?}");
    assert!(all[1].starts_with("x:2:11: error: "), "{all:?}");
}

#[test]
fn several_mistakes_are_found_in_one_run() {
    let source = Source::new(
        "x",
        "class A { uint8 ; };\n\
         class B { uint8 P; };\n\
         [Values { \"a\" \"b\" 5 }, Other] class C { uint8 P = { { } }; };\n\
         Qualifier D : string;\n\
         class E { string S = \"open; };\n\
         class F { uint8 P = 08; };\n\
         class G { }\n\
         instance of A { P 5; };\n\
         class H { };",
    );
    let found = parse(&source).unwrap_err();
    let lines: Vec<usize> = found.iter().map(|d| d.line).collect();
    assert_eq!(lines, [1, 3, 4, 5, 6, 7, 8], "{found:#?}");
}

#[test]
fn very_many_mistakes_are_cut_off() {
    let text = "class X { oops };\n".repeat(5000);
    let found = compile(&[Source::new("x", text)], &EmbeddedFiles(&[]), &mut Schemas::new(), &options(true));
    assert_eq!(found.unwrap_err().len(), 100);
}

#[test]
fn the_lenient_rules_warn_of_what_the_strict_ones_refuse() {
    for text in [
        "[Key] class X { };",
        "class X { Y REF R; };",
        "class X { [Override(\"P\")] string P; };",
        "[New] class X { };",
        "class X { [EmbeddedObject] object:X P; };",
        "[MaxLen(5)] class X { };",
        "[Deprecated{\"a\"}] class X { }; Qualifier Deprecated : string, Scope(any);",
    ] {
        assert!(compiled_as(text, true).is_err(), "{text}");
        let (schema, compiled) = compiled_as(text, false).unwrap();
        assert!(schema.contains("X"), "{text}");
        assert_eq!(compiled.warnings.len(), 1, "{text}");
    }
}
