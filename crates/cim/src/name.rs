//! CIM names: compared without regard to case, shown in the case they were declared in (DSP0004 5.1.2).

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The name of a class, property, method, parameter or qualifier.
///
/// Equality, order and hash ignore ASCII case; [`fmt::Display`] gives the spelling it was made with. Cloning is cheap.
#[derive(Clone)]
pub struct Name(Arc<str>);

/// The name of a class. The same type as every other CIM name; the alias says what a field holds.
pub type ClassName = Name;

impl Name {
    /// Makes a name from its spelling. Nothing is checked: parsers decide what a legal identifier is.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// The spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the same name as `other`, which may be spelled in another case.
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self(Arc::from(text))
    }
}

impl From<&Name> for Name {
    fn from(name: &Name) -> Self {
        name.clone()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.is(other)
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.is(other)
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_folded(&self.0, state);
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_folded(&self.0, &other.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A `str` that compares, orders and hashes as a [`Name`] does; lets maps keyed by `Name` be asked with a `&str`.
#[derive(Debug)]
#[repr(transparent)]
pub struct Folded<'a>(pub &'a str);

/// Lookup key usable for both [`Name`] and plain text, so that a map need not allocate to be asked.
pub trait NameKey {
    /// The spelling to fold.
    fn spelling(&self) -> &str;
}

impl NameKey for Name {
    fn spelling(&self) -> &str {
        self.as_str()
    }
}

impl NameKey for Folded<'_> {
    fn spelling(&self) -> &str {
        self.0
    }
}

impl<'a> Borrow<dyn NameKey + 'a> for Name {
    fn borrow(&self) -> &(dyn NameKey + 'a) {
        self
    }
}

impl PartialEq for dyn NameKey + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.spelling().eq_ignore_ascii_case(other.spelling())
    }
}

impl Eq for dyn NameKey + '_ {}

impl Hash for dyn NameKey + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_folded(self.spelling(), state);
    }
}

impl PartialOrd for dyn NameKey + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn NameKey + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_folded(self.spelling(), other.spelling())
    }
}

fn hash_folded<H: Hasher>(text: &str, state: &mut H) {
    // In pieces: a hasher takes many bytes at once much faster than each by itself.
    for piece in text.as_bytes().chunks(32) {
        let mut folded = [0; 32];
        let folded = &mut folded[..piece.len()];
        folded.copy_from_slice(piece);
        folded.make_ascii_lowercase();
        state.write(folded);
    }
    state.write_u8(0xff);
}

fn cmp_folded(a: &str, b: &str) -> Ordering {
    for (x, y) in a.bytes().zip(b.bytes()) {
        if x != y {
            let order = x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase());
            if order != Ordering::Equal {
                return order;
            }
        }
    }
    a.len().cmp(&b.len())
}

/// A namespace, written `root/virtualization/v2`: forward slashes, no leading or trailing one, case ignored.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceName(Name);

impl NamespaceName {
    /// Makes a namespace name from any usual spelling: backslashes become slashes, white space around segments and empty segments
    /// are dropped.
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        // Nearly all are spelt as they should be; this is on the way of every request.
        let visible = text.bytes().all(|b| matches!(b, b'!'..=b'[' | b']'..=b'~'));
        if visible && text.split('/').all(|s| !s.is_empty()) {
            return Self(Name::new(text));
        }
        let parts: Vec<&str> = text.split(['/', '\\']).map(str::trim).filter(|s| !s.is_empty()).collect();
        Self(Name::from(parts.join("/")))
    }

    /// The spelling, without leading slash.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The segments from the root down, as LOCALNAMESPACEPATH lists them.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('/')
    }
}

impl From<&str> for NamespaceName {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashMap};

    #[test]
    fn names_ignore_case_and_keep_their_spelling() {
        let a = Name::new("Msvm_StorageJob");
        let b = Name::new("MSVM_storagejob");
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "Msvm_StorageJob");
        assert!(a.is("msvm_STORAGEjob"));
    }

    #[test]
    fn maps_can_be_asked_with_plain_text() {
        let mut hash = HashMap::new();
        hash.insert(Name::new("JobState"), 1);
        assert_eq!(hash.get(&Folded("jobstate") as &dyn NameKey), Some(&1));
        let mut tree = BTreeMap::new();
        tree.insert(Name::new("JobState"), 1);
        assert_eq!(tree.get(&Folded("JOBSTATE") as &dyn NameKey), Some(&1));
    }

    #[test]
    fn namespaces_are_normalised() {
        for text in [
            "root/virtualization/v2",
            "/root/virtualization/v2/",
            "ROOT\\Virtualization\\V2",
            "//root//virtualization/v2",
            "\troot/ virtualization/v2\u{c}",
        ] {
            assert_eq!(NamespaceName::new(text), NamespaceName::new("root/virtualization/v2"), "{text}");
        }
        assert_eq!(NamespaceName::new("root/a/b").segments().collect::<Vec<_>>(), ["root", "a", "b"]);
    }
}
