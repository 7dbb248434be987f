//! The schema of the served namespaces: MOF in `schema/`, embedded in the binary and compiled at every start.

use cimwright_broker::interop::INTEROP_NAMESPACE;
use cimwright_cim::{NamespaceName, Schema};
use cimwright_codec::mof::{Diagnostic, Source, compile_schema};
use cimwright_providers::{demo, hyper_v, replication};

macro_rules! source {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../schema/", $path)))
    };
}

const V1: &[(&str, &str)] = &[
    source!("qualifiers.mof"),
    source!("cim/v1.mof"),
    source!("interop/wmi.mof"),
    source!("cim/indications.mof"),
    source!("cim/method-results-v1.mof"),
    source!("virtualization/v1.mof"),
    source!("cimwright/history.mof"),
    source!("cimwright/demo.mof"),
];

const V2: &[(&str, &str)] = &[
    source!("qualifiers.mof"),
    source!("cim/v2.mof"),
    source!("interop/wmi.mof"),
    source!("cim/indications.mof"),
    source!("cim/method-results.mof"),
    source!("virtualization/v2.mof"),
    source!("cimwright/history.mof"),
    source!("cimwright/demo.mof"),
];

const STORAGE_REPLICA: &[(&str, &str)] = &[
    source!("qualifiers.mof"),
    source!("storage-replica/cim.mof"),
    source!("interop/wmi.mof"),
    source!("cim/indications.mof"),
    source!("cim/method-results.mof"),
    source!("storage-replica/wvr.mof"),
    source!("cimwright/replica-endpoint.mof"),
    source!("cimwright/history.mof"),
];

const INTEROP: &[(&str, &str)] = &[
    source!("qualifiers.mof"),
    source!("cim/v2.mof"),
    source!("interop/wmi.mof"),
    source!("interop/server.mof"),
    source!("interop/profiles.mof"),
    source!("cim/indications.mof"),
    source!("interop/indications.mof"),
];

/// The namespace above all others, in which WMI clients begin.
const ROOT: &[(&str, &str)] = &[source!("qualifiers.mof"), source!("interop/wmi.mof")];

const TEST: &[(&str, &str)] = &[
    source!("qualifiers.mof"),
    source!("cim/v2.mof"),
    source!("cim/indications.mof"),
    source!("cimwright/slow.mof"),
];

/// The classes that are there for the tests of clients, with the demonstration provider.
///
/// # Errors
/// As [`namespaces`].
pub(crate) fn test_classes() -> Result<Schema, Vec<Diagnostic>> {
    let sources: Vec<Source> = TEST.iter().map(|(name, text)| Source::new(*name, *text)).collect();
    compile_schema(&sources, &demo::test_namespace())
}

/// The qualifiers that every namespace knows, also one that declares none.
///
/// # Errors
/// As [`namespaces`].
pub(crate) fn common_qualifiers() -> Result<Schema, Vec<Diagnostic>> {
    let (name, text) = source!("qualifiers.mof");
    compile_schema(&[Source::new(name, text)], &root())
}

/// The namespace above all others.
pub(crate) fn root() -> NamespaceName {
    NamespaceName::new("root")
}

/// The namespaces and their classes.
///
/// # Errors
/// With everything that is wrong in the MOF; the tests of this crate make sure that nothing is.
pub(crate) fn namespaces() -> Result<Vec<(NamespaceName, Schema)>, Vec<Diagnostic>> {
    let interop = NamespaceName::new(INTEROP_NAMESPACE);
    [
        (hyper_v::v1(), V1),
        (hyper_v::v2(), V2),
        (replication::namespace(), STORAGE_REPLICA),
        (interop, INTEROP),
        (root(), ROOT),
    ]
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
        assert!(test_classes().unwrap().contains(demo::SLOW_CLASS));
        for (namespace, schema) in &namespaces {
            let classes: &[&str] = if *namespace == replication::namespace() {
                &["MSFT_SrJob", "CIM_ConcreteJob", "CIM_Error", "MSFT_WvrAdminTasks"]
            } else if *namespace == NamespaceName::new(INTEROP_NAMESPACE) {
                &["CIM_Namespace", "CIM_ObjectManager", "CIM_RegisteredProfile", "CIM_IndicationSubscription"]
            } else if *namespace == root() {
                &["__Namespace"]
            } else {
                &["Msvm_StorageJob", "Msvm_ConcreteJob", "Msvm_Error", "Msvm_ImageManagementService"]
            };
            for class in classes {
                assert!(schema.contains(class), "{namespace} has no {class}");
            }
        }
    }
}
