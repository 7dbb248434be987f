//! The server's half of NTLM version 2 (MS-NLMP), with the sealing of messages.
//!
//! Version 1 and anonymous logins do not exist here. A login counts only after the client's proof was compared, in constant time, with
//! the one computed from the user's own hash; nothing else (no integrity code, no key that fits) can take its place.

pub(crate) mod message;
mod session;

pub(crate) use message::Malformed;
pub(crate) use session::Session;

use crate::auth::channel::Bound;
use hmac::{Hmac, KeyInit, Mac};
use md4::{Digest, Md4};
use md5::Md5;
use message::{Authenticate, flags};
use rc4::{Rc4, StreamCipher};

/// The MD4 hash of a password: all that NTLM needs to know of it, and as good as the password for whoever has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NtHash([u8; 16]);

impl NtHash {
    /// Of a password.
    pub(crate) fn of(password: &str) -> Self {
        Self(Md4::digest(message::utf16(password)).into())
    }

    /// As the users file has it: 32 hexadecimal digits.
    pub(crate) fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads [`Self::to_hex`].
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 16];
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl std::fmt::Debug for NtHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("NtHash(…)")
    }
}

/// A login after the server has sent its challenge.
#[derive(Debug)]
pub(crate) struct Challenged {
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
    server_challenge: [u8; 8],
    offered: u32,
}

/// Who the client says it is, not yet proven.
#[derive(Debug)]
pub(crate) struct Claim {
    challenged: Challenged,
    authenticate: Vec<u8>,
    read: Authenticate,
}

/// Why a claim is not true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untrue {
    /// The proof was not computed with the user's password.
    Proof,
    /// Somebody changed a message on its way.
    Integrity,
    /// The client spoke to another server, which passed its messages on.
    Channel,
}

/// Answers the first message with the second. `random` is the challenge, never to be used twice; `filetime` is the time in units of
/// 100 ns since 1601.
///
/// # Errors
/// When it is not the first message, or the client cannot do what is needed here.
pub(crate) fn answer(
    negotiate: &[u8],
    random: [u8; 8],
    computer: &str,
    filetime: u64,
) -> Result<(Vec<u8>, Challenged), Malformed> {
    let asked = message::negotiate_flags(negotiate)?;
    let needed = flags::UNICODE | flags::NTLM | flags::EXTENDED_SESSION_SECURITY;
    if asked & (flags::UNICODE | flags::EXTENDED_SESSION_SECURITY)
        != flags::UNICODE | flags::EXTENDED_SESSION_SECURITY
    {
        return Err(Malformed);
    }
    let offered = needed
        | flags::TARGET_INFO
        | flags::TARGET_TYPE_SERVER
        | flags::REQUEST_TARGET
        | (asked
            & (flags::SIGN
                | flags::SEAL
                | flags::ALWAYS_SIGN
                | flags::KEY_128
                | flags::KEY_56
                | flags::KEY_EXCHANGE
                | flags::VERSION));
    let challenge = message::challenge(offered, random, computer, Some(filetime));
    let challenged = Challenged {
        negotiate: negotiate.to_vec(),
        challenge: challenge.clone(),
        server_challenge: random,
        offered,
    };
    Ok((challenge, challenged))
}

impl Challenged {
    /// Reads the third message.
    ///
    /// # Errors
    /// When it is not one of version 2.
    pub(crate) fn claim(self, authenticate: &[u8]) -> Result<Claim, Malformed> {
        let read = Authenticate::read(authenticate)?;
        Ok(Claim { challenged: self, authenticate: authenticate.to_vec(), read })
    }
}

impl Claim {
    /// The name the client gives.
    pub(crate) fn user(&self) -> &str {
        &self.read.user
    }

    /// Whether the client has the password behind this hash, and is bound to the connection that the messages came over. What it tells
    /// of that is covered by the proof.
    ///
    /// # Errors
    /// Why it has not.
    pub(crate) fn prove(self, hash: &NtHash, bound: Bound) -> Result<Session, Untrue> {
        let Authenticate {
            user,
            domain,
            proof,
            covered,
            encrypted_session_key,
            flags,
            mic,
            channel_bindings,
        } = self.read;
        let mut who = user.to_uppercase();
        who.push_str(&domain);
        let version_2 = hmac_md5(&hash.0, &[&message::utf16(&who)]);
        let right = keyed(&version_2, &[&self.challenged.server_challenge, &covered]);
        right.verify_slice(&proof).map_err(|_| Untrue::Proof)?;
        let base = hmac_md5(&version_2, &[&proof]);
        // The client chooses among what was offered; what was not does not come in through the third message.
        let flags = flags & self.challenged.offered;
        let key = match encrypted_session_key {
            Some(mut key) if flags & flags::KEY_EXCHANGE != 0 => {
                rc4(&base).apply_keystream(&mut key);
                key
            }
            _ => base,
        };
        if let Some(mic) = mic {
            let clear = Authenticate::without_mic(&self.authenticate);
            keyed(&key, &[&self.challenged.negotiate, &self.challenged.challenge, &clear])
                .verify_slice(&mic)
                .map_err(|_| Untrue::Integrity)?;
        }
        if !bound.admits(channel_bindings) {
            return Err(Untrue::Channel);
        }
        Ok(Session::new(key, flags))
    }
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Md5> {
    let mut mac = match Hmac::<Md5>::new_from_slice(key) {
        Ok(mac) => mac,
        // A key of any length will do.
        Err(_) => Hmac::<Md5>::new(&Default::default()),
    };
    for part in parts {
        mac.update(part);
    }
    mac
}

fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    keyed(key, parts).finalize().into_bytes().into()
}

/// RC4 with a key of 16 bytes.
fn rc4(key: &[u8; 16]) -> Rc4 {
    rc4::KeyInit::new_from_slice(key).unwrap_or_else(|_| rc4::KeyInit::new(&Default::default()))
}

#[cfg(test)]
pub(super) mod tests;
