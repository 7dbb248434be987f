//! The server's half of Kerberos 5 under GSS-API (RFC 4120 3.2.3 and 3.2.4, RFC 4121): a ticket that only this service can open, and
//! beside it the proof that whoever sends it knows the key inside. Nobody has to be asked for it. The encryption is the library's.

pub(crate) mod keytab;
mod replay;
mod session;

pub(crate) use keytab::Keytab;
pub(crate) use replay::Seen;
pub(crate) use session::Session;

use crate::auth::channel::Bound;
use picky_asn1::wrapper::{
    ExplicitContextTag0, ExplicitContextTag1, ExplicitContextTag2, ExplicitContextTag3, IntegerAsn1,
    OctetStringAsn1, Optional,
};
use picky_krb::constants::key_usages::{AP_REP_ENC, AP_REQ_AUTHENTICATOR, TICKET_REP};
use picky_krb::crypto::CipherSuite;
use picky_krb::data_types::{
    Authenticator, AuthenticatorInner, EncApRepPart, EncApRepPartInner, EncTicketPart, EncryptedData,
    EncryptionKey, KerberosStringAsn1, KerberosTime, PrincipalName,
};
use picky_krb::messages::{ApRep, ApRepInner, ApReq};

/// How far the clocks may be apart, in seconds (RFC 4120 recommends five minutes).
pub(crate) const SKEW: i64 = 300;
/// The longest token that is read. Tickets with the groups of a Windows domain in them have some ten kilobytes.
pub(crate) const MAX_TOKEN: usize = 64 << 10;

const MECHANISM: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];
const AP_REQ: [u8; 2] = [1, 0];
const AP_REP: [u8; 2] = [2, 0];
/// The checksum of an authenticator that carries what GSS-API wants to say (RFC 4121 4.1.1).
const GSS_CHECKSUM: i64 = 0x8003;
const GSS_MUTUAL: u32 = 2;
/// Bits of AP-Options and of TicketFlags, counted from the left.
const USE_SESSION_KEY: usize = 1;
const MUTUAL_REQUIRED: usize = 2;
const INVALID: usize = 7;

/// A client whose ticket and proof are right.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The client's name: one component, as people have.
    pub(crate) client: String,
    /// The last word of the server, if the client wants to know that it is the right one.
    pub(crate) reply: Option<Vec<u8>>,
    /// The keys.
    pub(crate) session: Session,
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The token is none of this mechanism.
    Malformed,
    /// The ticket is for a service or with a key that this server has not.
    NoKey,
    /// Ticket and authenticator do not fit the key or each other.
    Proof,
    /// Too early, too late, or the clocks are too far apart.
    Time,
    /// The same proof was here before.
    Replay,
    /// The client is of another realm, or no user of one.
    Client,
    /// The client is bound to another connection, or to none where it has to be.
    Channel,
}

/// Whether this is a token of Kerberos that is in no other wrapping.
pub(crate) fn is_token(token: &[u8]) -> bool {
    unframed(token).is_some()
}

/// Takes the token of a client. `now` is in seconds since 1970.
///
/// # Errors
/// [`Refused`].
pub(crate) fn accept(
    token: &[u8],
    keytab: &Keytab,
    now: i64,
    seen: &Seen,
    bound: Bound,
) -> Result<Accepted, Refused> {
    if token.len() > MAX_TOKEN {
        return Err(Refused::Malformed);
    }
    let request = unframed(token).ok_or(Refused::Malformed)?;
    let request: ApReq = picky_asn1_der::from_bytes(request).map_err(|_| Refused::Malformed)?;
    let request = request.0;
    if number(&request.pvno.0) != Some(5) || has_bit(request.ap_options.0.0.as_bytes(), USE_SESSION_KEY) {
        return Err(Refused::Malformed);
    }
    let ticket = request.ticket.0.0;
    let (service, realm) = (components(&ticket.sname.0), text(&ticket.realm.0));
    let sealed = ticket.enc_part.0;
    let kind = number(&sealed.etype.0).and_then(|kind| u16::try_from(kind).ok()).ok_or(Refused::NoKey)?;
    let version = match sealed.kvno.0 {
        Some(version) => Some(u32::try_from(number(&version.0).ok_or(Refused::Malformed)?).unwrap_or(0)),
        None => None,
    };
    let key = keytab.find(&service, &realm, kind, version).ok_or(Refused::NoKey)?;
    let opened = decrypt(kind, &key.key, TICKET_REP, &sealed.cipher.0.0)?;
    let ticket: EncTicketPart = picky_asn1_der::from_bytes(&opened).map_err(|_| Refused::Malformed)?;
    let ticket = ticket.0;
    let session_key = Key::of(&ticket.key.0)?;
    let proof = request.authenticator.0;
    let opened = decrypt(session_key.kind, &session_key.bytes, AP_REQ_AUTHENTICATOR, &proof.cipher.0.0)?;
    let authenticator: Authenticator = picky_asn1_der::from_bytes(&opened).map_err(|_| Refused::Malformed)?;
    let authenticator = authenticator.0;

    let client = components(&ticket.cname.0);
    if client != components(&authenticator.cname.0) || text(&ticket.crealm.0) != text(&authenticator.crealm.0)
    {
        return Err(Refused::Proof);
    }
    if has_bit(ticket.flags.0.0.as_bytes(), INVALID) {
        return Err(Refused::Time);
    }
    let begins = seconds(ticket.starttime.0.as_ref().map_or(&ticket.auth_time.0, |time| &time.0));
    let (ends, told) = (seconds(&ticket.endtime.0), seconds(&authenticator.ctime.0));
    match (begins, ends, told) {
        (Some(begins), Some(ends), Some(told))
            if begins <= now + SKEW && now <= ends + SKEW && (now - told).abs() <= SKEW => {}
        _ => return Err(Refused::Time),
    }
    if !seen.first_time(&proof.cipher.0.0, now) {
        return Err(Refused::Replay);
    }
    // A name of several components is somebody else's than its first one: of a service, or of a user in another role.
    let [name] = client.as_slice() else { return Err(Refused::Client) };
    if text(&ticket.crealm.0) != realm {
        return Err(Refused::Client);
    }

    if !bound.admits(gss_binding(&authenticator)) {
        return Err(Refused::Channel);
    }
    let mutual = has_bit(request.ap_options.0.0.as_bytes(), MUTUAL_REQUIRED)
        || gss_flags(&authenticator).ok_or(Refused::Malformed)? & GSS_MUTUAL != 0;
    let from_client = authenticator.seq_number.0.as_ref().and_then(|n| number(&n.0)).unwrap_or(0) as u64;
    let to_client = if mutual { random()? } else { from_client };
    let reply = if mutual { Some(reply(&authenticator, &session_key, to_client)?) } else { None };
    // The client's own key counts for messages when it chose one (RFC 4121 2).
    let key = match &authenticator.subkey.0 {
        Some(key) => Key::of(&key.0)?,
        None => session_key,
    };
    let session = Session::new(key, from_client, to_client);
    Ok(Accepted { client: name.clone(), reply, session })
}

/// A key with its encryption type.
#[derive(Clone)]
pub(super) struct Key {
    kind: u16,
    bytes: Vec<u8>,
}

impl Key {
    fn of(key: &EncryptionKey) -> Result<Self, Refused> {
        let kind =
            number(&key.key_type.0).and_then(|kind| u16::try_from(kind).ok()).ok_or(Refused::Malformed)?;
        Ok(Self { kind, bytes: key.key_value.0.0.clone() })
    }
}

fn reply(authenticator: &AuthenticatorInner, key: &Key, number: u64) -> Result<Vec<u8>, Refused> {
    let part = EncApRepPart::from(EncApRepPartInner {
        ctime: ExplicitContextTag0::from(authenticator.ctime.0.clone()),
        cusec: ExplicitContextTag1::from(authenticator.cusec.0.clone()),
        subkey: Optional::from(None),
        seq_number: Optional::from(Some(ExplicitContextTag3::from(IntegerAsn1::from_bytes_be_unsigned(
            (number as u32).to_be_bytes().to_vec(),
        )))),
    });
    let part = picky_asn1_der::to_vec(&part).map_err(|_| Refused::Malformed)?;
    let cipher =
        suite(key.kind)?.cipher().encrypt(&key.bytes, AP_REP_ENC, &part).map_err(|_| Refused::Proof)?;
    let small = |number: u8| IntegerAsn1::from_bytes_be_unsigned(vec![number]);
    let message = ApRep::from(ApRepInner {
        pvno: ExplicitContextTag0::from(small(5)),
        msg_type: ExplicitContextTag1::from(small(15)),
        enc_part: ExplicitContextTag2::from(EncryptedData {
            etype: ExplicitContextTag0::from(small(key.kind as u8)),
            kvno: Optional::from(None),
            cipher: ExplicitContextTag2::from(OctetStringAsn1::from(cipher)),
        }),
    });
    let message = picky_asn1_der::to_vec(&message).map_err(|_| Refused::Malformed)?;
    Ok(framed(AP_REP, &message))
}

/// Opens something encrypted, with its integrity checked.
fn decrypt(kind: u16, key: &[u8], usage: i32, cipher: &[u8]) -> Result<Vec<u8>, Refused> {
    suite(kind)?.cipher().decrypt(key, usage, cipher).map_err(|_| Refused::Proof)
}

/// Only the types of RFC 3962: what else the library knows is too weak.
pub(super) fn suite(kind: u16) -> Result<CipherSuite, Refused> {
    match kind {
        17 => Ok(CipherSuite::Aes128CtsHmacSha196),
        18 => Ok(CipherSuite::Aes256CtsHmacSha196),
        _ => Err(Refused::NoKey),
    }
}

/// The flags of GSS-API in an authenticator's checksum.
fn gss_flags(authenticator: &AuthenticatorInner) -> Option<u32> {
    Some(u32::from_le_bytes(gss_checksum(authenticator)?.get(20..24)?.try_into().ok()?))
}

/// The hash of the connection that the client is bound to (Bnd of RFC 4121 4.1.1), zeros if it is to none.
fn gss_binding(authenticator: &AuthenticatorInner) -> Option<[u8; 16]> {
    let checksum = gss_checksum(authenticator)?;
    (checksum.get(..4)? == [16, 0, 0, 0]).then(|| checksum.get(4..20)?.try_into().ok())?
}

fn gss_checksum(authenticator: &AuthenticatorInner) -> Option<&[u8]> {
    let checksum = &authenticator.cksum.0.as_ref()?.0;
    (number(&checksum.cksumtype.0) == Some(GSS_CHECKSUM)).then_some(&checksum.checksum.0.0)
}

/// What is in the frame of GSS-API around the first tokens (RFC 4121 4.1).
fn unframed(token: &[u8]) -> Option<&[u8]> {
    let rest = token.strip_prefix(&[0x60])?;
    let (&first, rest) = rest.split_first()?;
    let extra = if first & 0x80 == 0 { 0 } else { usize::from(first & 0x7f) };
    rest.get(extra..)?.strip_prefix(MECHANISM)?.strip_prefix(&AP_REQ)
}

fn framed(kind: [u8; 2], message: &[u8]) -> Vec<u8> {
    super::spnego::element(0x60, &[MECHANISM, &kind, message].concat())
}

fn components(name: &PrincipalName) -> Vec<String> {
    name.name_string.0.0.iter().map(text).collect()
}

fn text(text: &KerberosStringAsn1) -> String {
    text.to_string()
}

fn number(number: &IntegerAsn1) -> Option<i64> {
    let bytes = number.as_unsigned_bytes_be();
    if bytes.len() > 4 {
        return None;
    }
    Some(bytes.iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte)))
}

/// Bits are behind a byte that tells how many at the end are unused.
fn has_bit(bits: &[u8], at: usize) -> bool {
    bits.get(1 + at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
}

fn seconds(time: &KerberosTime) -> Option<i64> {
    time::OffsetDateTime::try_from(time.0.clone()).ok().map(|time| time.unix_timestamp())
}

fn random() -> Result<u64, Refused> {
    let mut bytes = [0; 4];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| Refused::Proof)?;
    // Some clients take the number for one with a sign.
    Ok(u64::from(u32::from_be_bytes(bytes) >> 2))
}

#[cfg(test)]
pub(super) mod tests;
