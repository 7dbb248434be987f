//! The keys of the services that this server is (the keytab file of MIT Kerberos, format 0x0502).

/// The longest file that is read, in bytes. A key takes less than 200.
pub(crate) const MAX_KEYTAB: usize = 1 << 20;

/// The encryption types that are used here (RFC 3962); older ones are too weak, and newer ones the library does not know.
const AES128: u16 = 17;
const AES256: u16 = 18;

/// One key of one service.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServiceKey {
    /// The name in its components, such as `HTTP` and `box.example.org`.
    pub(crate) name: Vec<String>,
    /// The realm of the name.
    pub(crate) realm: String,
    /// The encryption type.
    pub(crate) kind: u16,
    /// The number of the key.
    pub(crate) version: u32,
    /// The key itself.
    pub(crate) key: Vec<u8>,
}

/// The keys of a file.
#[derive(Clone)]
pub(crate) struct Keytab(Vec<ServiceKey>);

/// Why a file is no keytab, or none that helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeytabError {
    /// It is no keytab.
    #[error("this is no keytab of format 0x0502")]
    Malformed,
    /// No key in it can be used.
    #[error("it holds no key of the types aes256-cts-hmac-sha1-96 or aes128-cts-hmac-sha1-96")]
    NoKey,
}

impl Keytab {
    /// Reads a keytab. Keys of other types are left out.
    ///
    /// # Errors
    /// [`KeytabError`].
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, KeytabError> {
        let mut rest = bytes.strip_prefix(&[5, 2]).ok_or(KeytabError::Malformed)?;
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let (length, behind) = rest.split_first_chunk().ok_or(KeytabError::Malformed)?;
            let length = i32::from_be_bytes(*length);
            // A negative length is a hole where a key was removed.
            let size = length.unsigned_abs() as usize;
            let (entry, behind) = behind.split_at_checked(size).ok_or(KeytabError::Malformed)?;
            rest = behind;
            if length == 0 {
                break;
            }
            if length > 0 {
                keys.push(Reader(entry).key().ok_or(KeytabError::Malformed)?);
            }
        }
        keys.retain(|key| matches!(key.kind, AES128 | AES256));
        if keys.is_empty() { Err(KeytabError::NoKey) } else { Ok(Self(keys)) }
    }

    /// The key of a service; the newest if no version is asked for.
    pub(crate) fn find(
        &self,
        name: &[String],
        realm: &str,
        kind: u16,
        version: Option<u32>,
    ) -> Option<&ServiceKey> {
        self.0
            .iter()
            .filter(|key| key.name == name && key.realm == realm && key.kind == kind)
            // Of the version a ticket may carry only the lowest eight bits.
            .filter(|key| {
                version.is_none_or(|version| key.version == version || key.version & 0xff == version)
            })
            .max_by_key(|key| key.version)
    }
}

impl std::fmt::Debug for Keytab {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.0.iter().map(|key| format!("{}@{}", key.name.join("/"), key.realm));
        formatter.debug_list().entries(names).finish()
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn key(&mut self) -> Option<ServiceKey> {
        let components = self.u16()?;
        let realm = self.text()?;
        let name = (0..components).map(|_| self.text()).collect::<Option<_>>()?;
        let _type_of_name = self.u32()?;
        let _time = self.u32()?;
        let short = self.take(1)?[0];
        let kind = self.u16()?;
        let length = usize::from(self.u16()?);
        let key = self.take(length)?.to_vec();
        // Newer files repeat the version with all its bits.
        let version = self.u32().filter(|version| *version != 0).unwrap_or(u32::from(short));
        Some(ServiceKey { name, realm, kind, version, key })
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.u16()?);
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A keytab with these keys, as a file has it.
    pub(in super::super) fn file(keys: &[ServiceKey]) -> Vec<u8> {
        let mut file = vec![5, 2];
        for key in keys {
            let mut entry = (key.name.len() as u16).to_be_bytes().to_vec();
            for text in std::iter::once(&key.realm).chain(&key.name) {
                entry.extend((text.len() as u16).to_be_bytes());
                entry.extend(text.as_bytes());
            }
            entry.extend([0, 0, 0, 1, 0, 0, 0, 0, key.version as u8]);
            entry.extend(key.kind.to_be_bytes());
            entry.extend((key.key.len() as u16).to_be_bytes());
            entry.extend(&key.key);
            entry.extend(key.version.to_be_bytes());
            file.extend((entry.len() as i32).to_be_bytes());
            file.extend(entry);
        }
        file
    }

    pub(in super::super) fn key(version: u32, kind: u16) -> ServiceKey {
        ServiceKey {
            name: vec!["HTTP".to_owned(), "box".to_owned()],
            realm: "TEST".to_owned(),
            kind,
            version,
            key: vec![version as u8; if kind == AES128 { 16 } else { 32 }],
        }
    }

    #[test]
    fn the_right_key_is_found() {
        let mut file = file(&[key(1, AES256), key(300, AES256), key(2, AES128), key(9, 23)]);
        // A hole.
        file.extend((-4_i32).to_be_bytes());
        file.extend([0; 4]);
        let keytab = Keytab::read(&file).unwrap();
        let name = key(1, AES256).name;
        let find = |kind, version| keytab.find(&name, "TEST", kind, version).map(|key| key.version);
        assert_eq!(find(AES256, None), Some(300));
        assert_eq!(find(AES256, Some(1)), Some(1));
        assert_eq!(find(AES256, Some(300 & 0xff)), Some(300));
        assert_eq!(find(AES128, Some(1)), None);
        assert_eq!(find(23, None), None);
        assert!(keytab.find(&name, "OTHER", AES256, None).is_none());
        assert!(keytab.find(&name[..1], "TEST", AES256, None).is_none());
    }

    #[test]
    fn what_is_no_keytab_is_refused() {
        let whole = file(&[key(1, AES256)]);
        assert_eq!(Keytab::read(b"").unwrap_err(), KeytabError::Malformed);
        assert_eq!(Keytab::read(&[5, 1]).unwrap_err(), KeytabError::Malformed);
        assert_eq!(Keytab::read(&[5, 2]).unwrap_err(), KeytabError::NoKey);
        for length in 3..whole.len() {
            assert!(Keytab::read(&whole[..length]).is_err(), "{length}");
        }
        assert_eq!(Keytab::read(&file(&[key(1, 23)])).unwrap_err(), KeytabError::NoKey);
    }
}
