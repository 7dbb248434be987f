//! Tests of the whole way from text to model and back.

mod accepted;
mod bounds;
mod instances;
mod refused;
mod roundtrip;

use super::{Compiled, Diagnostic, NoIncludes, Options, Schemas, Source, compile};
use cimwright_cim::{Class, NamespaceName, Schema};
use std::sync::Arc;

/// The qualifiers that the tests use.
const QUALIFIERS: &str = r#"
Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride);
Qualifier Abstract : boolean = false, Scope(class, association, indication), Flavor(Restricted);
Qualifier Association : boolean = false, Scope(association), Flavor(DisableOverride);
Qualifier Indication : boolean = false, Scope(class, indication), Flavor(DisableOverride);
Qualifier Aggregation : boolean = false, Scope(association), Flavor(DisableOverride);
Qualifier Description : string = null, Scope(any), Flavor(Translatable);
Qualifier Deprecated : string[], Scope(any), Flavor(Restricted);
Qualifier Override : string, Scope(property, reference, method), Flavor(Restricted);
Qualifier Version : string, Scope(class, association, indication), Flavor(Restricted, Translatable);
Qualifier Values : string[], Scope(property, method, parameter), Flavor(Translatable);
Qualifier ValueMap : string[], Scope(property, method, parameter);
Qualifier MaxValue : sint64, Scope(property, method, parameter);
Qualifier MaxLen : uint32 = 0x10, Scope(property, method, parameter);
Qualifier In : boolean = true, Scope(parameter), Flavor(DisableOverride);
Qualifier Out : boolean = false, Scope(parameter), Flavor(DisableOverride);
Qualifier EmbeddedInstance : string, Scope(property, method, parameter);
Qualifier EmbeddedObject : boolean = false, Scope(property, method, parameter), Flavor(DisableOverride);
"#;

fn namespace() -> NamespaceName {
    NamespaceName::new("root/test")
}

fn options(strict: bool) -> Options {
    Options { default_namespace: namespace(), strict }
}

/// Compiles `text` by the strict rules after the qualifiers above.
fn compiled(text: &str) -> Result<(Schema, Compiled), Vec<Diagnostic>> {
    compiled_as(text, true)
}

fn compiled_as(text: &str, strict: bool) -> Result<(Schema, Compiled), Vec<Diagnostic>> {
    let sources = [Source::new("q.mof", QUALIFIERS), Source::new("x.mof", text)];
    let mut schemas = Schemas::new();
    let compiled = compile(&sources, &NoIncludes, &mut schemas, &options(strict))?;
    Ok((schemas.remove(&namespace()).unwrap(), compiled))
}

/// The schema of a text that must be right.
fn schema(text: &str) -> Schema {
    match compiled(text) {
        Ok((schema, _)) => schema,
        Err(found) => panic!("{}", found.iter().map(Diagnostic::render).collect::<String>()),
    }
}

/// The class of a text that declares one class named X.
fn class_x(text: &str) -> Arc<Class> {
    Arc::clone(schema(text).declared("X").unwrap())
}
