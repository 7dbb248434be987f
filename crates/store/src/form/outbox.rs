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

const KINDS: [(EntryKind, &str); 3] = [
    (EntryKind::Filter, "filter"),
    (EntryKind::Destination, "destination"),
    (EntryKind::Subscription, "subscription"),
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
