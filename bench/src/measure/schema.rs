//! The whole schema of the DMTF, for the parts that measure it: unpacked, and kept by a server as if clients had loaded it.

use super::Bench;
use crate::failure::{Failure, Result};
use cimwright_cim::{Instance, InstancePath, NamespaceName};
use cimwright_codec::mof::{LoadError, Options, Schemas, Source, compile, resolve_include};
use cimwright_repository::{Change, RepositoryStore as _};
use cimwright_store::SqliteRepository;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file that includes all others.
const ROOT: &str = "cim_schema_2.49.0.mof";

/// Unpacks the archive; gives the file that includes all others.
///
/// # Errors
/// When it cannot be unpacked.
pub(crate) fn unpacked(bench: &Bench, archive: &Path) -> Result<PathBuf> {
    let directory = bench.scratch.make("schema")?;
    let file = std::fs::File::open(archive).map_err(Failure::io("open", archive))?;
    let broken = |error: zip::result::ZipError| Failure::Answer {
        asked: "what is in the schema",
        answered: error.to_string(),
    };
    zip::ZipArchive::new(file).map_err(broken)?.extract(&directory).map_err(broken)?;
    Ok(directory.join(ROOT))
}

/// Puts the schema and one static instance of it into the repository of a state directory that no server uses. Gives the number of
/// classes, and the path of the instance.
///
/// # Errors
/// When it does not compile or cannot be stored.
pub(crate) async fn fill(state: &Path, root: &Path) -> Result<(usize, InstancePath)> {
    let namespace = NamespaceName::new("root/bench");
    let failed = |answered: String| Failure::Answer { asked: "the schema", answered };
    let text = std::fs::read_to_string(root).map_err(Failure::io("read", root))?;
    let loader = |from: &str, file: &str| {
        let path = resolve_include(from, file);
        let text = std::fs::read_to_string(&path).map_err(|e| LoadError::Unreadable(e.to_string()))?;
        Ok(Source::new(path, text))
    };
    let mut schemas = Schemas::new();
    let options = Options { default_namespace: namespace.clone(), strict: true };
    compile(&[Source::new(root.display().to_string(), text)], &loader, &mut schemas, &options)
        .map_err(|found| failed(found.first().map(ToString::to_string).unwrap_or_default()))?;
    let schema = &schemas[&namespace];

    let mut changes = vec![Change::AddNamespace(namespace.clone())];
    let declarations =
        schema.qualifiers().map(|q| Change::SetQualifier(namespace.clone(), Arc::new(q.clone())));
    changes.extend(declarations);
    let classes = schema.class_names().iter().filter_map(|name| schema.declared(name.as_str()));
    changes.extend(classes.map(|class| Change::SetClass(namespace.clone(), Arc::clone(class))));
    let path = InstancePath::new(namespace.clone(), "CIM_ComputerSystem")
        .with_key("CreationClassName", "CIM_ComputerSystem")
        .with_key("Name", "bench");
    let mut instance = Instance::new("CIM_ComputerSystem")
        .with("CreationClassName", "CIM_ComputerSystem")
        .with("Name", "bench");
    instance.path = Some(path.clone());
    changes.push(Change::SetInstance(namespace, Arc::new(instance)));

    let store = SqliteRepository::open(&state.join("repository.sqlite")).await;
    let kept = match store {
        Ok(store) => store.apply(&changes).await,
        Err(error) => Err(error),
    };
    kept.map_err(|error| failed(error.to_string()))?;
    Ok((schema.class_names().len(), path))
}
