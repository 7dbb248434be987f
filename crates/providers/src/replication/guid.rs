//! Identifiers: GUIDs that are stored as text.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use uuid::Uuid;

/// An identifier of a group, volume, replica set, disk or partnership.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid(Uuid);

impl Guid {
    /// One that was never used.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }

    /// Reads one, with or without braces, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bare = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        // The parser would take a form without hyphens and a URN as well.
        (bare.len() == 36).then(|| Uuid::try_parse(bare).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is no GUID")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_guid() {
        let id = Guid::generate();
        let text = id.to_string();
        for form in [text.clone(), text.to_uppercase(), format!("{{{text}}}"), format!(" {text} ")] {
            assert_eq!(Guid::parse(&form), Some(id), "{form}");
        }
        for form in ["", "x", &text.replace('-', ""), &format!("{{{text}"), &format!("urn:uuid:{text}")] {
            assert_eq!(Guid::parse(form), None, "{form}");
        }
        assert_eq!(serde_json::from_str::<Guid>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }
}
