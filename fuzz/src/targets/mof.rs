//! MOF.

use super::Outcome;
use cimwright_cim::NamespaceName;
use cimwright_codec::mof::{
    Diagnostic, EmbeddedFiles, NoIncludes, Options, Schemas, Source, compile, parse, print_instance,
    print_schema,
};
use std::fmt::Write;

/// Words of the language.
pub(super) const WORDS: &[&str] = &[
    "class ",
    "instance of ",
    "Qualifier ",
    "Scope(",
    "Flavor(",
    "#pragma include (\"a.mof\")",
    "#pragma namespace (\"root/x\")",
    "[Key]",
    "[Association]",
    "[EmbeddedObject]",
    "[EmbeddedInstance(\"A\")]",
    " REF ",
    " as $A ",
    "$A",
    "uint8 ",
    "sint64 ",
    "real32 ",
    "datetime ",
    "char16 ",
    "string ",
    "boolean ",
    "object:A ",
    "void ",
    "[]",
    "[3]",
    "= NULL;",
    "{ \"a\", \"b\" }",
    "TRUE",
    "\"20240101000000.000000+000\"",
    "\"\\x41\"",
    "'a'",
    "/* */",
    "// \n",
    ": ToSubclass",
    "DisableOverride",
    "Override(\"A\")",
    "any",
    "0x1F",
    "101b",
    "077",
    "1.5e3",
    "\\\\",
    "\\n",
    "};\n",
    "ValueMap",
    "Values",
];

/// What inputs may include.
const FILES: EmbeddedFiles<'_> = EmbeddedFiles(&[
    ("a.mof", "class A { [Key] string Name; };\n"),
    ("b.mof", "#pragma include (\"b.mof\")\n"),
]);

/// Compiles the text. What compiles is printed and has to compile to the same again.
pub(super) fn run(data: &[u8]) -> Outcome {
    let source = Source::new("fuzz.mof", String::from_utf8_lossy(data));
    let _ = parse(&source);
    let mut outcome = String::new();
    for strict in [true, false] {
        let options = Options { default_namespace: NamespaceName::new("root/fuzz"), strict };
        let mut schemas = Schemas::new();
        match compile(std::slice::from_ref(&source), &FILES, &mut schemas, &options) {
            Err(findings) => told(&mut outcome, &findings),
            Ok(compiled) => {
                told(&mut outcome, &compiled.warnings);
                for (namespace, schema) in &schemas {
                    let options = Options { default_namespace: namespace.clone(), strict };
                    let printed = print_schema(schema);
                    let mut again = Schemas::new();
                    let text = [Source::new("printed.mof", printed.as_str())];
                    if let Err(findings) = compile(&text, &NoIncludes, &mut again, &options) {
                        let rendered: String = findings.iter().map(Diagnostic::render).collect();
                        panic!("what was printed does not compile:\n{printed}\n{rendered}");
                    }
                    let empty = cimwright_cim::Schema::new();
                    let again = again.get(namespace).unwrap_or(&empty);
                    assert_eq!(again.class_names(), schema.class_names());
                    for name in schema.class_names() {
                        let (one, other) = (again.declared(name.as_str()), schema.declared(name.as_str()));
                        // NaN is not equal to itself.
                        assert_eq!(format!("{one:?}"), format!("{other:?}"), "{printed}");
                    }
                    assert!(again.qualifiers().eq(schema.qualifiers()), "{printed}");
                    let _ = write!(outcome, "{:?}", schema.class_names().len().min(4));
                }
                for (_, instance) in &compiled.instances {
                    let _ = print_instance(instance);
                    let _ = write!(outcome, "{:?}", instance.properties.len().min(4));
                }
            }
        }
    }
    Outcome::of(&outcome)
}

fn told(outcome: &mut String, findings: &[Diagnostic]) {
    for finding in findings {
        // Showing what is wrong must not go wrong itself.
        let _ = finding.render();
        outcome.push_str(&finding.message);
    }
}
