//! What a TLS connection is to those who log in over it: the certificate that its client showed, and the hash by which a login can be
//! bound to the server's own certificate (RFC 5929, `tls-server-end-point`). A client that was made to speak TLS with somebody in
//! between names the certificate of that somebody, so its login is worth nothing here.

use super::certificate::Thumbprint;
use crate::config::ChannelBinding;
use md4::Digest;
use md5::Md5;
use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// How a binding is called in front of its hash (RFC 5929 4).
const PREFIX: &[u8] = b"tls-server-end-point:";

/// What is known of a connection that TLS protects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    /// The certificate that the client proved to own the key of, if it did. The authority behind it was checked in the handshake.
    pub(crate) client: Option<Thumbprint>,
    /// What logins over this connection are bound to.
    pub(crate) binding: BindingHash,
}

/// The MD5 over a gss_channel_bindings_struct without addresses: how NTLM (MS-NLMP 2.2.2.1) and Kerberos (RFC 4121 4.1.1.2) write a
/// binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BindingHash([u8; 16]);

impl BindingHash {
    /// For connections to a server with this certificate, in DER.
    pub(crate) fn of_server(certificate: &[u8]) -> Self {
        let hash = digest(algorithm(certificate), certificate);
        let length = (PREFIX.len() + hash.as_ref().len()) as u32;
        let bound = Md5::new()
            // Type and length of the addresses of both sides, which nobody uses.
            .chain_update([0; 16])
            .chain_update(length.to_le_bytes())
            .chain_update(PREFIX)
            .chain_update(hash);
        Self(bound.finalize().into())
    }

    #[cfg(test)]
    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// How a login has to be bound to the connection it comes over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// What the configuration asks for.
    pub(crate) rule: ChannelBinding,
    /// What it has to be bound to. Nothing where there is no TLS.
    pub(crate) to: Option<BindingHash>,
}

impl Bound {
    /// Whether a login that tells this binding is taken. Only zeros mean none.
    pub(crate) fn admits(self, told: Option<[u8; 16]>) -> bool {
        let told = told.filter(|told| *told != [0; 16]).map(BindingHash);
        match (self.rule, told) {
            (ChannelBinding::None, _) | (ChannelBinding::Relaxed, None) => true,
            (ChannelBinding::Required, None) => self.to.is_none(),
            // Also without TLS here: the client has it, so it ends at somebody else.
            (ChannelBinding::Relaxed | ChannelBinding::Required, told) => told == self.to,
        }
    }
}

/// The hash of the certificate's signature, or SHA-256 for the weak ones (RFC 5929 4.1). Where the signature has none of its own, clients
/// take SHA-256 too.
fn algorithm(certificate: &[u8]) -> &'static Algorithm {
    const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
    const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
    const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
    const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
    const ECDSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
    const HASH_SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
    const HASH_SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
    let named = signature_algorithm(certificate).and_then(|(oid, rest)| match oid {
        // The hash is the first of the parameters: SEQUENCE { [0] { SEQUENCE { hash … } } … }.
        RSA_PSS => {
            let (_, parameters, _) = element(rest)?;
            let (tag, hash, _) = element(parameters)?;
            let (_, hash, _) = element(hash).filter(|_| tag == 0xa0)?;
            Some(element(hash)?.1)
        }
        oid => Some(oid),
    });
    match named {
        Some(RSA_SHA384 | ECDSA_SHA384 | HASH_SHA384) => &SHA384,
        Some(RSA_SHA512 | ECDSA_SHA512 | HASH_SHA512) => &SHA512,
        _ => &SHA256,
    }
}

/// The identifier of the signature's algorithm and what stands behind it: Certificate ::= SEQUENCE { tbs, algorithm, signature }
/// (RFC 5280 4.1).
fn signature_algorithm(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, certificate, _) = element(certificate)?;
    let (_, _, behind_tbs) = element(certificate)?;
    let (_, algorithm, _) = element(behind_tbs)?;
    let (tag, oid, parameters) = element(algorithm)?;
    (tag == 6).then_some((oid, parameters))
}

/// Tag and value of an element of DER, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first & 0x80 == 0 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(b, _)| b.len() <= 4)?;
        (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn der(tag: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, 0x82];
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes
    }

    /// Something that looks like a certificate from outside.
    fn certificate(algorithm: &[u8]) -> Vec<u8> {
        let tbs = der(0x30, &[5; 300]);
        der(0x30, &[tbs, der(0x30, algorithm), der(3, &[0; 64])].concat())
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let (rsa, ecdsa) =
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1][..], &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3][..]);
        let (sha2, ed25519) = (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2][..], &[0x2b, 0x65, 0x70][..]);
        let oid = |front: &[u8], last: u8| der(6, &[front, &[last]].concat());
        let pss = |last: u8| {
            let hash = der(0xa0, &der(0x30, &oid(sha2, last)));
            [oid(rsa, 10), der(0x30, &hash)].concat()
        };
        let cases: [(Vec<u8>, &Algorithm); 11] = [
            (oid(rsa, 4), &SHA256),
            (oid(rsa, 5), &SHA256),
            (oid(rsa, 11), &SHA256),
            (oid(rsa, 12), &SHA384),
            (oid(rsa, 13), &SHA512),
            (oid(ecdsa, 2), &SHA256),
            (oid(ecdsa, 3), &SHA384),
            (oid(ecdsa, 4), &SHA512),
            (pss(1), &SHA256),
            (pss(2), &SHA384),
            (der(6, ed25519), &SHA256),
        ];
        for (given, expected) in cases {
            assert_eq!(algorithm(&certificate(&given)), expected, "{}", hex(&given));
        }
        let whole = certificate(&pss(3));
        assert_eq!(algorithm(&whole), &SHA512);
        for length in 0..whole.len() {
            // Nothing to be learned, and nothing that goes wrong.
            assert_eq!(algorithm(&whole[..length]), &SHA256);
        }
    }

    #[test]
    fn a_binding_is_what_others_compute() {
        // Computed with Python's hashlib over the same struct.
        let binding = BindingHash::of_server(b"no certificate at all");
        assert_eq!(hex(&binding.bytes()), "5618404c4154f5f67360be516a4c171e");
    }

    #[test]
    fn who_is_bound_to_another_channel_is_not_admitted() {
        let here = BindingHash([1; 16]);
        let (none, zeros, right, wrong) = (None, Some([0; 16]), Some([1; 16]), Some([2; 16]));
        let cases = [
            (ChannelBinding::None, Some(here), [true, true, true, true]),
            (ChannelBinding::Relaxed, Some(here), [true, true, true, false]),
            (ChannelBinding::Required, Some(here), [false, false, true, false]),
            // Over plain HTTP nobody can be asked for a binding, but who brings one has been deceived.
            (ChannelBinding::None, None, [true, true, true, true]),
            (ChannelBinding::Relaxed, None, [true, true, false, false]),
            (ChannelBinding::Required, None, [true, true, false, false]),
        ];
        for (rule, to, expected) in cases {
            let admits = [none, zeros, right, wrong].map(|told| Bound { rule, to }.admits(told));
            assert_eq!(admits, expected, "{rule:?} {to:?}");
        }
    }
}
