//! The schema of the served namespaces: MOF in `schema/`, embedded in the binary and compiled at every start.

use cimwright_cim::{NamespaceName, Schema};
use cimwright_codec::mof::{Diagnostic, Source, compile_schema};
use cimwright_providers::hyper_v;

macro_rules! source {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../schema/", $path)))
    };
}

const V1: &[(&str, &str)] = &[
    source!("qualifiers.mof"),
    source!("cim/v1.mof"),
    source!("virtualization/v1.mof"),
    source!("cimwright/history.mof"),
    source!("cimwright/demo.mof"),
];

const V2: &[(&str, &str)] = &[
    source!("qualifiers.mof"),
    source!("cim/v2.mof"),
    source!("virtualization/v2.mof"),
    source!("cimwright/history.mof"),
    source!("cimwright/demo.mof"),
];

/// The namespaces and their classes.
///
/// # Errors
/// With everything that is wrong in the MOF; the tests of this crate make sure that nothing is.
pub(crate) fn namespaces() -> Result<Vec<(NamespaceName, Schema)>, Vec<Diagnostic>> {
    [(hyper_v::v1(), V1), (hyper_v::v2(), V2)]
        .into_iter()
        .map(|(namespace, files)| {
            let sources: Vec<Source> = files.iter().map(|(name, text)| Source::new(*name, *text)).collect();
            compile_schema(&sources, &namespace).map(|schema| (namespace, schema))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_schema_compiles() {
        let namespaces = namespaces()
            .unwrap_or_else(|errors| panic!("{}", errors.iter().map(Diagnostic::render).collect::<String>()));
        for (namespace, schema) in &namespaces {
            for class in ["Msvm_StorageJob", "Msvm_ConcreteJob", "Msvm_Error", "Msvm_ImageManagementService"]
            {
                assert!(schema.contains(class), "{namespace} has no {class}");
            }
        }
    }
}
