//! What a login leaves behind: keys to seal and to sign messages with, one pair for each direction (MS-NLMP 3.4).

use super::message::flags;
use super::{hmac_md5, rc4};
use crate::auth::negotiate::NotGenuine;
use md4::Digest;
use md5::Md5;
use rc4::{Rc4, StreamCipher};
use subtle::ConstantTimeEq;

/// The length of a signature, in bytes.
pub(crate) const SIGNATURE_LENGTH: usize = 16;

/// A proven login.
pub(crate) struct Session {
    from_client: Direction,
    to_client: Direction,
    seals: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").field("seals", &self.seals).finish_non_exhaustive()
    }
}

/// One direction: its numbers count up, and its stream of key bytes goes on from message to message.
struct Direction {
    sign_key: [u8; 16],
    seal_key: [u8; 16],
    stream: Rc4,
    number: u32,
    encrypts_checksum: bool,
}

impl Session {
    /// From the key that both sides know and the flags they agreed on.
    pub(super) fn new(key: [u8; 16], agreed: u32) -> Self {
        let direction = |way: &str| {
            let magic = |what: &str| format!("session key to {way} {what} key magic constant\0").into_bytes();
            let strength = match agreed {
                flags if flags & flags::KEY_128 != 0 => 16,
                flags if flags & flags::KEY_56 != 0 => 7,
                _ => 5,
            };
            let sign_key: [u8; 16] =
                Md5::new().chain_update(key).chain_update(magic("signing")).finalize().into();
            let seal_key: [u8; 16] =
                Md5::new().chain_update(&key[..strength]).chain_update(magic("sealing")).finalize().into();
            let encrypts_checksum = agreed & flags::KEY_EXCHANGE != 0;
            Direction { sign_key, seal_key, stream: rc4(&seal_key), number: 0, encrypts_checksum }
        };
        Self {
            from_client: direction("client-to-server"),
            to_client: direction("server-to-client"),
            seals: agreed & flags::SEAL != 0,
        }
    }

    /// The client's side of the same session.
    #[cfg(test)]
    pub(crate) fn of_the_client(mut self) -> Self {
        std::mem::swap(&mut self.from_client, &mut self.to_client);
        self
    }

    /// Whether both sides agreed to seal messages.
    pub(crate) fn seals(&self) -> bool {
        self.seals
    }

    /// Opens a sealed message in place.
    ///
    /// # Errors
    /// When it is not the next one of this client. Nothing of it may be used then, and nothing after it can be opened.
    pub(crate) fn unseal(&mut self, signature: &[u8], message: &mut [u8]) -> Result<(), NotGenuine> {
        self.from_client.stream.apply_keystream(message);
        let expected = self.from_client.sign(message);
        self.from_client.number = self.from_client.number.wrapping_add(1);
        compare(&expected, signature)
    }

    /// Seals a message in place and returns its signature.
    pub(crate) fn seal(&mut self, message: &mut [u8]) -> [u8; SIGNATURE_LENGTH] {
        // The signature is of the clear text, but its own encryption comes after that of the text.
        let clear = self.to_client.checksum(message);
        self.to_client.stream.apply_keystream(message);
        let signature = self.to_client.signature(clear);
        self.to_client.number = self.to_client.number.wrapping_add(1);
        signature
    }

    /// Checks the client's code over the list of mechanisms, which keeps others from taking the better ones out of it
    /// (RFC 4178 5, MS-SPNG 3.3.5.1). It takes a number, and no bytes of the key stream.
    ///
    /// # Errors
    /// When it does not fit.
    pub(crate) fn verify_mechanisms(&mut self, code: &[u8], mechanisms: &[u8]) -> Result<(), NotGenuine> {
        let expected = self.from_client.sign_aside(mechanisms);
        compare(&expected, code)
    }

    /// The server's code over the list of mechanisms.
    pub(crate) fn sign_mechanisms(&mut self, mechanisms: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.to_client.sign_aside(mechanisms)
    }
}

impl Direction {
    fn checksum(&self, message: &[u8]) -> [u8; 8] {
        let whole = hmac_md5(&self.sign_key, &[&self.number.to_le_bytes(), message]);
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&whole[..8]);
        checksum
    }

    fn signature(&mut self, mut checksum: [u8; 8]) -> [u8; SIGNATURE_LENGTH] {
        if self.encrypts_checksum {
            self.stream.apply_keystream(&mut checksum);
        }
        let mut signature = [0; SIGNATURE_LENGTH];
        signature[..4].copy_from_slice(&1_u32.to_le_bytes());
        signature[4..12].copy_from_slice(&checksum);
        signature[12..].copy_from_slice(&self.number.to_le_bytes());
        signature
    }

    fn sign(&mut self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        let checksum = self.checksum(message);
        self.signature(checksum)
    }

    fn sign_aside(&mut self, message: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        let kept = std::mem::replace(&mut self.stream, rc4(&self.seal_key));
        let signature = self.sign(message);
        self.stream = kept;
        self.number = self.number.wrapping_add(1);
        signature
    }
}

fn compare(expected: &[u8], given: &[u8]) -> Result<(), NotGenuine> {
    if bool::from(expected.ct_eq(given)) { Ok(()) } else { Err(NotGenuine) }
}
