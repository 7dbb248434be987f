//! The classes that providers bring along, on top of those of the server.

use cimwright_cim::{ClassName, NamespaceName, Schema};
use cimwright_codec::mof::{Diagnostic, NoIncludes, Options, Schemas, Source, compile, compile_schema};

macro_rules! source {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../schema/", $path)))
    };
}

/// What every namespace has that providers bring: qualifiers, the base classes of elements, services, jobs and errors, method
/// results and indications.
const BASE: &[(&str, &str)] = &[
    source!("qualifiers.mof"),
    source!("cim/v2.mof"),
    source!("cim/indications.mof"),
    source!("cim/method-results.mof"),
];

/// The namespaces of a server and their classes.
pub type Namespaces = Vec<(NamespaceName, Schema)>;

/// The base classes of a namespace that a provider brings.
///
/// # Errors
/// With everything that is wrong in the MOF of the server; the tests make sure that nothing is.
pub fn base(namespace: &NamespaceName) -> Result<Schema, Vec<Diagnostic>> {
    let sources: Vec<Source> = BASE.iter().map(|(name, text)| Source::new(*name, *text)).collect();
    compile_schema(&sources, namespace)
}

/// Adds declarations (namespace, name for messages, MOF) to the namespaces, and tells which classes are new. A namespace that is
/// not there is made. Either all of them are added or none.
///
/// # Errors
/// With a text for a person: mistakes in the MOF, a class that is there already in other words, instances, or a `#pragma namespace`
/// that leads elsewhere.
pub fn declare<'a>(
    namespaces: &mut Namespaces,
    declarations: impl IntoIterator<Item = (&'a NamespaceName, &'a str, &'a str)>,
) -> Result<Vec<(NamespaceName, ClassName)>, String> {
    let mut changed: Namespaces = Vec::new();
    let mut new = Vec::new();
    for (namespace, name, mof) in declarations {
        let at = changed.iter().position(|(n, _)| n == namespace);
        let before = match at {
            Some(at) => changed.swap_remove(at).1,
            None => match namespaces.iter().find(|(n, _)| n == namespace) {
                Some((_, schema)) => schema.clone(),
                None => base(namespace).map_err(rendered)?,
            },
        };
        let known = before.class_names().len();
        let mut schemas = Schemas::from([(namespace.clone(), before)]);
        let options = Options { default_namespace: namespace.clone(), strict: true };
        let compiled =
            compile(&[Source::new(name, mof)], &NoIncludes, &mut schemas, &options).map_err(rendered)?;
        if !compiled.instances.is_empty() {
            return Err(format!("{name}: a provider gives instances when asked; its MOF may not have any"));
        }
        if let Some(other) = schemas.keys().find(|n| *n != namespace) {
            return Err(format!("{name}: a #pragma leads to the namespace {other}; declare it separately"));
        }
        let Some(schema) = schemas.remove(namespace) else { continue };
        new.extend(schema.class_names().iter().skip(known).map(|c| (namespace.clone(), c.clone())));
        changed.push((namespace.clone(), schema));
    }
    for (namespace, schema) in changed {
        match namespaces.iter_mut().find(|(n, _)| *n == namespace) {
            Some(there) => there.1 = schema,
            None => namespaces.push((namespace, schema)),
        }
    }
    Ok(new)
}

fn rendered(mistakes: Vec<Diagnostic>) -> String {
    mistakes.iter().map(Diagnostic::render).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOF: &str =
        "class X_Thing : CIM_ManagedElement { [Key, Override(\"InstanceID\")] string InstanceID; };";

    fn declared(namespaces: &mut Namespaces, mof: &str) -> Result<Vec<(NamespaceName, ClassName)>, String> {
        declare(namespaces, [(&NamespaceName::new("root/x"), "x.mof", mof)])
    }

    #[test]
    fn a_namespace_is_made_and_what_is_there_cannot_be_changed() {
        let mut namespaces = Namespaces::new();
        let new = declared(&mut namespaces, MOF).unwrap();
        assert_eq!(new, [(NamespaceName::new("root/x"), ClassName::new("X_Thing"))]);
        assert!(
            namespaces[0].1.contains("CIM_ConcreteJob") && namespaces[0].1.contains("CIM_AlertIndication")
        );
        // The same words again are nothing new; other words are a mistake, and nothing is added then.
        assert_eq!(declared(&mut namespaces, MOF).unwrap(), []);
        let other = "class Y_Thing {};\nclass CIM_Error { string Message; };";
        let refused = declared(&mut namespaces, other).unwrap_err();
        assert!(refused.contains("CIM_Error"), "{refused}");
        assert!(!namespaces[0].1.contains("Y_Thing"));
    }

    #[test]
    fn only_classes_and_only_here() {
        let mut namespaces = Namespaces::new();
        let instance = format!("{MOF}\ninstance of X_Thing {{ InstanceID = \"1\"; }};");
        assert!(declared(&mut namespaces, &instance).unwrap_err().contains("instances when asked"));
        let elsewhere = "#pragma namespace (\"root/y\")\nclass Y_Thing {};";
        assert!(declared(&mut namespaces, elsewhere).is_err());
        assert!(declared(&mut namespaces, "class Z {").unwrap_err().contains("x.mof"));
        assert!(namespaces.is_empty());
    }
}
