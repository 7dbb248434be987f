//! The stored form of what clients register about indications.

use super::time::{micros, moment};
use super::value::{StoredInstance, parse};
use super::{Form, FormError, VERSION};
use cimwright_jobs::{Entry, EntryKind};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// An [`Entry`].
#[derive(Serialize, Deserialize)]
pub(super) struct StoredEntry<'a> {
    v: u32,
    id: Cow<'a, str>,
    kind: Cow<'a, str>,
    owner: Cow<'a, str>,
    created: i64,
    instance: StoredInstance<'a>,
}

const KINDS: [(EntryKind, &str); 4] = [
    (EntryKind::Filter, "filter"),
    (EntryKind::Destination, "destination"),
    (EntryKind::Subscription, "subscription"),
    (EntryKind::Settings, "settings"),
];

impl Form for StoredEntry<'_> {
    fn version(&self) -> u32 {
        self.v
    }
}

impl<'a> From<&'a Entry> for StoredEntry<'a> {
    fn from(entry: &'a Entry) -> Self {
        let kind = KINDS.iter().find(|(k, _)| *k == entry.kind).map_or("", |(_, name)| name);
        Self {
            v: VERSION,
            id: entry.id.to_string().into(),
            kind: kind.into(),
            owner: entry.owner.as_str().into(),
            created: micros(entry.created),
            instance: (&entry.instance).into(),
        }
    }
}

impl TryFrom<StoredEntry<'_>> for Entry {
    type Error = FormError;

    fn try_from(stored: StoredEntry<'_>) -> Result<Self, FormError> {
        let kind = KINDS.iter().find(|(_, name)| *name == stored.kind).map(|(k, _)| *k);
        Ok(Self {
            id: parse("id", stored.id)?,
            kind: kind.ok_or_else(|| FormError::Field {
                form: "registration",
                field: "kind",
                found: stored.kind.into_owned(),
            })?,
            owner: stored.owner.into_owned(),
            created: moment(stored.created),
            instance: stored.instance.try_into()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::form::{decode_entry, encode_entry};
    use crate::samples::at;
    use cimwright_cim::{Instance, InstancePath};
    use cimwright_jobs::{Entry, EntryKind};
    use uuid::Uuid;

    const VERSION_1: &str = r#"{"v":1,"id":"00000000-0000-0000-0000-000000000007","kind":"destination","owner":"ada",
        "created":1750000000000000,"instance":{"class":"CIM_ListenerDestinationCIMXML",
        "path":{"namespace":"root/interop","class":"CIM_ListenerDestinationCIMXML","keys":[["Name",{"s":"d"}]]}}}"#;

    #[test]
    fn version_1_reads_and_is_what_is_written() {
        let mut instance = Instance::new("CIM_ListenerDestinationCIMXML");
        let interop = cimwright_cim::NamespaceName::new("root/interop");
        instance.path = Some(InstancePath::new(interop, instance.class.clone()).with_key("Name", "d"));
        let entry = Entry {
            id: Uuid::from_u128(7),
            kind: EntryKind::Destination,
            owner: "ada".to_owned(),
            created: at(0),
            instance,
        };
        let read = decode_entry(VERSION_1.as_bytes()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{entry:?}"));
        let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(json(&encode_entry(&entry).unwrap()), json(VERSION_1.as_bytes()));
        let other = VERSION_1.replace("\"destination\"", "\"nothing\"");
        assert!(decode_entry(other.as_bytes()).is_err());
    }
}
