//! Client certificates: what the users file knows of one, and which user one stands for.

use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::Path;

/// The SHA-256 of a certificate in DER. Two certificates with the same one are the same certificate: neither a name in it nor the
/// authority that signed it can bring another certificate in its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, certificate).as_ref());
        Self(hash)
    }

    /// Of the first certificate in a PEM file: with a chain, that is the user's own.
    ///
    /// # Errors
    /// With a text for a person when the file cannot be read or holds no certificate.
    pub fn of_file(file: &Path) -> Result<Self, String> {
        let told = |problem: String| format!("{}: {problem}; give a certificate in PEM", file.display());
        let pem = std::fs::read(file).map_err(|e| told(format!("cannot be read: {e}")))?;
        let certificate = CertificateDer::from_pem_slice(&pem)
            .map_err(|e| told(format!("it holds no certificate: {e}")))?;
        Ok(Self::of(&certificate))
    }

    /// Reads 64 hexadecimal digits, with or without colons between the bytes, as `openssl x509 -fingerprint -sha256` shows them.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Thumbprint({self})")
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::from_hex(&text).ok_or_else(|| {
            serde::de::Error::custom("a certificate is not the 64 hexadecimal digits of its SHA-256")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let thumbprint = Thumbprint::of(b"certificate");
        let text = thumbprint.to_string();
        assert_eq!(Thumbprint::from_hex(&text), Some(thumbprint));
        let colons: Vec<_> = text.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair)).collect();
        assert_eq!(Thumbprint::from_hex(&colons.join(":").to_uppercase()), Some(thumbprint));
        for wrong in ["", &text[1..], &format!("{text}0"), &text.replace(&text[..1], "g"), &"é".repeat(32)] {
            assert_eq!(Thumbprint::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.pem");
        assert!(Thumbprint::of_file(&file).unwrap_err().contains("cannot be read"));
        std::fs::write(&file, "nothing").unwrap();
        assert!(Thumbprint::of_file(&file).unwrap_err().contains("no certificate"));
    }
}
