//! The filters that are always there, so that a client can subscribe without writing a query.

use super::book::{COLLECTION, Collection, Filter};
use super::sources::Source;
use super::{QueryParser, SYSTEM_CLASS};
use crate::interop::INTEROP_NAMESPACE;
use cimwright_cim::{Instance, InstancePath, NamespaceName, Value};
use cimwright_jobs::{Entry, EntryKind};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use uuid::Uuid;

/// A filter that is always there: its name, and the language and text of its query.
type Standing = (&'static str, &'static str, &'static str);

/// They apply to all namespaces in which something raises the class of the query.
const STANDING: [Standing; 7] = [
    (
        "Cimwright:JobControl:JobCreated",
        "WQL",
        "SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA \"CIM_Job\"",
    ),
    (
        "Cimwright:JobControl:JobChanged",
        "WQL",
        "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA \"CIM_Job\"",
    ),
    (
        "Cimwright:JobControl:JobStateChanged",
        "DMTF:CQL",
        "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ConcreteJob AND \
         SourceInstance.CIM_ConcreteJob::JobState <> PreviousInstance.CIM_ConcreteJob::JobState",
    ),
    (
        "Cimwright:JobControl:JobDeleted",
        "WQL",
        "SELECT * FROM CIM_InstDeletion WHERE SourceInstance ISA \"CIM_Job\"",
    ),
    (
        "Cimwright:JobControl:JobEvents",
        "WQL",
        "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA \"CIM_Job\"",
    ),
    ("Cimwright:Alerts:All", "WQL", "SELECT * FROM CIM_AlertIndication"),
    ("Cimwright:StorageReplica:HealthChange", "WQL", "SELECT * FROM MSFT_WvrHealthChangeEvent"),
];

/// The collections: the InstanceID, the CollectionName, and how the names of the filters in it begin.
const COLLECTIONS: [(&str, &str, &str); 3] = [
    ("Cimwright:FilterCollection:JobControl", "Cimwright:JobControl:Filters", "Cimwright:JobControl:"),
    ("Cimwright:FilterCollection:Alerts", "Cimwright:Alerts:Filters", "Cimwright:Alerts:"),
    (
        "Cimwright:FilterCollection:StorageReplica",
        "Cimwright:StorageReplica:Filters",
        "Cimwright:StorageReplica:",
    ),
];

/// The collections of these filters; none is empty.
pub(crate) fn collections(filters: &[Filter]) -> Vec<Collection> {
    let collection = |(id, name, beginning): &(&str, &'static str, &str)| {
        let members: Vec<Uuid> = filters
            .iter()
            .filter(|f| f.standing && f.name.starts_with(beginning))
            .map(|f| f.entry.id)
            .collect();
        let path =
            InstancePath::new(NamespaceName::new(INTEROP_NAMESPACE), COLLECTION).with_key("InstanceID", *id);
        (!members.is_empty()).then(|| Collection { id: Uuid::now_v7(), name, path, members })
    };
    COLLECTIONS.iter().filter_map(collection).collect()
}

/// The filters that make sense here.
pub(crate) fn filters(sources: &[Arc<Source>], parser: &QueryParser, system_name: &str) -> Vec<Filter> {
    let interop = NamespaceName::new(INTEROP_NAMESPACE);
    let mut filters = Vec::new();
    for (name, language, text) in STANDING {
        let Ok(query) = parser(language, text) else { continue };
        let namespaces: Vec<NamespaceName> = sources
            .iter()
            .filter(|s| s.name != interop && s.check_raised(&query.from).is_ok())
            .map(|s| s.name.clone())
            .collect();
        let query = Arc::new(query);
        if namespaces.is_empty() {
            continue;
        }
        let path = InstancePath::new(interop.clone(), "CIM_IndicationFilter")
            .with_key("SystemCreationClassName", SYSTEM_CLASS)
            .with_key("SystemName", system_name)
            .with_key("CreationClassName", "CIM_IndicationFilter")
            .with_key("Name", name);
        let mut instance = Instance::new("CIM_IndicationFilter");
        for key in &path.keys {
            instance.set(key.name.clone(), Some(key.value.clone()));
        }
        instance.path = Some(path);
        let instance = instance
            .with("SourceNamespaces", Value::strings(namespaces.iter().map(|n| n.as_str())))
            .with("IndividualSubscriptionSupported", true)
            .with("Query", text)
            .with("QueryLanguage", language);
        let entry = Entry {
            id: Uuid::now_v7(),
            kind: EntryKind::Filter,
            owner: String::new(),
            created: UNIX_EPOCH,
            instance,
        };
        let queries = namespaces.into_iter().map(|n| (n, Arc::clone(&query))).collect();
        filters.push(Filter::new(entry, queries, true));
    }
    filters
}
