//! The MOF compiler on whole schemas: our own, and the DMTF's where it is at hand.

use cimwright_cim::{NamespaceName, Schema, Value};
use cimwright_codec::mof::{
    Compiled, Diagnostic, EmbeddedFiles, NoIncludes, Options, Schemas, Source, compile, compile_schema,
    print_schema,
};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn told(found: &[Diagnostic]) -> String {
    found.iter().map(Diagnostic::render).collect()
}

/// What is printed must compile to the same schema.
fn assert_survives_printing(schema: &Schema, namespace: &NamespaceName) {
    let again = compile_schema(&[Source::new("printed.mof", print_schema(schema))], namespace)
        .unwrap_or_else(|found| panic!("{}", told(&found)));
    assert_eq!(again.class_names(), schema.class_names());
    for name in schema.class_names() {
        assert_eq!(again.declared(name.as_str()), schema.declared(name.as_str()));
    }
    assert!(again.qualifiers().eq(schema.qualifiers()));
}

#[test]
fn our_own_schema_compiles_by_the_strict_rules() {
    for (version, job) in [("v1", "Msvm_ConcreteJob"), ("v2", "Msvm_StorageJob")] {
        let names = [
            "qualifiers.mof".to_owned(),
            format!("cim/{version}.mof"),
            format!("virtualization/{version}.mof"),
            "cimwright/demo.mof".to_owned(),
        ];
        let sources: Vec<Source> = names
            .iter()
            .map(|name| {
                let text = std::fs::read_to_string(repository().join("schema").join(name)).unwrap();
                Source::new(name, text)
            })
            .collect();
        let namespace = NamespaceName::new("root/virtualization");
        let options = Options { default_namespace: namespace.clone(), strict: true };
        let mut schemas = Schemas::new();
        let compiled = compile(&sources, &NoIncludes, &mut schemas, &options)
            .unwrap_or_else(|found| panic!("{}", told(&found)));
        assert_eq!(compiled, Compiled::default(), "{}", told(&compiled.warnings));
        let schema = &schemas[&namespace];
        let class = schema.class(job).unwrap();
        assert!(schema.is_a(job, "CIM_ConcreteJob"), "{version}");
        assert_eq!(class.keys().map(|k| k.name.as_str()).collect::<Vec<_>>(), ["InstanceID"]);
        assert_survives_printing(schema, &namespace);
    }
}

/// Version 2.49 of the DMTF's schema, if the archive lies beside the repository: 1634 files, none treated specially.
#[test]
fn the_schema_of_the_dmtf_compiles_by_the_strict_rules() {
    let archive = repository().join("../shared/data/cim_schema_2.49.0Final-MOFs.zip");
    let Ok(file) = std::fs::File::open(&archive) else {
        eprintln!("skipped: {} is not there", archive.display());
        return;
    };
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut files = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        if entry.is_file() {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            files.push((entry.name().unwrap().into_owned(), text));
        }
    }
    let table: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let root = table.iter().find(|(name, _)| *name == "cim_schema_2.49.0.mof").unwrap();
    let namespace = NamespaceName::new("root/cimv2");
    let options = Options { default_namespace: namespace.clone(), strict: true };
    let mut schemas = Schemas::new();
    let compiled = compile(&[Source::new(root.0, root.1)], &EmbeddedFiles(&table), &mut schemas, &options)
        .unwrap_or_else(|found| panic!("{}", told(&found)));
    assert_eq!(compiled, Compiled::default(), "{}", told(&compiled.warnings));
    let schema = &schemas[&namespace];
    assert_eq!((schema.class_names().len(), schema.qualifiers().count()), (1631, 70));
    // What each class declares itself; the outside clients count the same.
    let declared = || schema.class_names().iter().filter_map(|name| schema.declared(name.as_str()));
    let properties: usize = declared().map(|class| class.properties.len()).sum();
    let methods: usize = declared().map(|class| class.methods.len()).sum();
    assert_eq!((properties, methods), (7154, 428));
    let job = schema.class("CIM_ConcreteJob").unwrap();
    let retention = job.property("TimeBeforeRemoval").and_then(|p| p.value.as_ref()).unwrap();
    assert!(matches!(retention, Value::DateTime(d) if d.to_duration() == Some(Duration::from_secs(300))));
    assert_survives_printing(schema, &namespace);
}
