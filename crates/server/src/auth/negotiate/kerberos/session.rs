//! Sealing with the key of a ticket (RFC 4121 4.2): tokens of which the front part travels as the signature, the rest as the data.

use super::{Key, suite};
use crate::auth::negotiate::NotGenuine;
use picky_krb::constants::key_usages::{ACCEPTOR_SEAL, INITIATOR_SEAL};

/// The header of a sealed token, in bytes.
const HEADER: usize = 16;
/// How far the end of a token is turned to the front: the encrypted copy of the header, and the checksum.
const TURNED: usize = HEADER + 12;
/// What of a token travels as the signature: the header, what is turned to the front, and the random block before the data.
const FRONT: usize = HEADER + TURNED + 16;

const SENT_BY_ACCEPTOR: u8 = 1;
const SEALED: u8 = 2;

/// The keys and the numbers of both directions.
pub(crate) struct Session {
    key: Key,
    from_client: u64,
    to_client: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(key: Key, from_client: u64, to_client: u64) -> Self {
        Self { key, from_client, to_client }
    }

    /// Opens a sealed message.
    ///
    /// # Errors
    /// When it is not the next one of this client.
    pub(crate) fn unseal(&mut self, signature: &[u8], sealed: &[u8]) -> Result<Vec<u8>, NotGenuine> {
        let (token, number) = (&[signature, sealed].concat(), self.from_client);
        self.from_client = number.wrapping_add(1);
        open(&self.key, INITIATOR_SEAL, 0, number, token)
    }

    /// Seals a message; returns its signature and what is sealed.
    ///
    /// # Errors
    /// When the key is none that messages can be sealed with.
    pub(crate) fn seal(&mut self, message: &[u8]) -> Result<(Vec<u8>, Vec<u8>), NotGenuine> {
        let number = self.to_client;
        self.to_client = number.wrapping_add(1);
        let mut token = close(&self.key, ACCEPTOR_SEAL, SENT_BY_ACCEPTOR, number, message)?;
        let sealed = token.split_off(FRONT.min(token.len()));
        Ok((token, sealed))
    }

    /// The client's side of the same session.
    #[cfg(test)]
    pub(super) fn seal_as_the_client(&mut self, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut token = close(&self.key, INITIATOR_SEAL, 0, self.from_client, message).unwrap();
        self.from_client += 1;
        let sealed = token.split_off(FRONT);
        (token, sealed)
    }

    /// As before the last message that was sealed.
    #[cfg(test)]
    pub(super) fn seal_again(&mut self) {
        self.to_client -= 1;
    }

    #[cfg(test)]
    pub(super) fn unseal_as_the_client(
        &mut self,
        signature: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, NotGenuine> {
        self.to_client += 1;
        let token = [signature, sealed].concat();
        open(&self.key, ACCEPTOR_SEAL, SENT_BY_ACCEPTOR, self.to_client - 1, &token)
    }
}

fn header(flags: u8, filler: u16, turned: u16, number: u64) -> [u8; HEADER] {
    let mut header = [5, 4, flags | SEALED, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[4..6].copy_from_slice(&filler.to_be_bytes());
    header[6..8].copy_from_slice(&turned.to_be_bytes());
    header[8..].copy_from_slice(&number.to_be_bytes());
    header
}

fn close(key: &Key, usage: i32, flags: u8, number: u64, message: &[u8]) -> Result<Vec<u8>, NotGenuine> {
    let clear = [message, &header(flags, 0, 0, number)].concat();
    let cipher = suite(key.kind).map_err(|_| NotGenuine)?.cipher();
    let mut sealed = cipher.encrypt(&key.bytes, usage, &clear).map_err(|_| NotGenuine)?;
    sealed.rotate_right(TURNED);
    Ok([&header(flags, 0, TURNED as u16, number)[..], &sealed].concat())
}

fn open(key: &Key, usage: i32, flags: u8, number: u64, token: &[u8]) -> Result<Vec<u8>, NotGenuine> {
    let (head, sealed) = token.split_first_chunk::<HEADER>().ok_or(NotGenuine)?;
    let filler = u16::from_be_bytes([head[4], head[5]]);
    let turned = u16::from_be_bytes([head[6], head[7]]);
    if *head != header(flags, filler, turned, number) || sealed.is_empty() {
        return Err(NotGenuine);
    }
    let cipher = suite(key.kind).map_err(|_| NotGenuine)?.cipher();
    // Windows turns by the filler as well (MS-KILE 3.4.5.4.1). Which of the two it is, the checksum tells.
    let clear = [0, filler].into_iter().find_map(|extra| {
        let mut sealed = sealed.to_vec();
        let turned = (usize::from(turned) + usize::from(extra)) % sealed.len();
        sealed.rotate_left(turned);
        cipher.decrypt(&key.bytes, usage, &sealed).ok()
    });
    let mut clear = clear.ok_or(NotGenuine)?;
    let length = clear.len().checked_sub(HEADER + usize::from(filler)).ok_or(NotGenuine)?;
    // The header is there twice, so that nobody can change the outer one.
    if clear[length + usize::from(filler)..] != header(flags, filler, 0, number) {
        return Err(NotGenuine);
    }
    clear.truncate(length);
    Ok(clear)
}
