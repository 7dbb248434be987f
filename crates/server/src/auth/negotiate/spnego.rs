//! The wrapping in which client and server agree on a mechanism (RFC 4178, MS-SPNG): which ones the client offers, and the tokens of
//! the one that is taken. Reads only definite lengths, as DER has them.

/// A mechanism by its object identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// Kerberos 5 (RFC 4121).
    Kerberos,
    /// Kerberos 5 with the identifier that Windows once got wrong and kept.
    KerberosOfWindows,
    /// NTLM.
    Ntlm,
    /// Any other.
    Other,
}

/// The first token of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offer<'a> {
    /// What the client offers, the one it likes best first.
    pub(crate) mechanisms: Vec<Mechanism>,
    /// The list as it was sent; codes are computed over it.
    pub(crate) list: &'a [u8],
    /// A first token of the first mechanism, to save a round.
    pub(crate) token: Option<&'a [u8]>,
}

/// A later token of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    /// A token of the mechanism.
    pub(crate) token: Option<&'a [u8]>,
    /// The code over the list of mechanisms.
    pub(crate) list_code: Option<&'a [u8]>,
}

/// How far the login is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// accept-completed.
    Completed,
    /// accept-incomplete.
    Incomplete,
}

/// A token that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

const SPNEGO: &[u8] = &[0x2b, 6, 1, 5, 5, 2];
const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];
const KERBEROS_OF_WINDOWS: &[u8] = &[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 1, 2, 2];
const NTLM: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 10];
/// More mechanisms than anybody offers.
const MAX_MECHANISMS: usize = 16;

mod tag {
    pub(super) const OCTETS: u8 = 0x04;
    pub(super) const OBJECT_ID: u8 = 0x06;
    pub(super) const ENUMERATED: u8 = 0x0a;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const APPLICATION: u8 = 0x60;

    pub(super) const fn context(number: u8) -> u8 {
        0xa0 | number
    }
}

impl Mechanism {
    fn of(identifier: &[u8]) -> Self {
        match identifier {
            KERBEROS => Self::Kerberos,
            KERBEROS_OF_WINDOWS => Self::KerberosOfWindows,
            NTLM => Self::Ntlm,
            _ => Self::Other,
        }
    }

    fn identifier(self) -> &'static [u8] {
        match self {
            Self::Kerberos => KERBEROS,
            Self::KerberosOfWindows => KERBEROS_OF_WINDOWS,
            Self::Ntlm => NTLM,
            Self::Other => &[],
        }
    }
}

impl<'a> Offer<'a> {
    /// Reads a NegTokenInit in its GSS-API frame.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn read(token: &'a [u8]) -> Result<Self, Malformed> {
        let mut frame = Reader(Reader(token).expect(tag::APPLICATION)?);
        if frame.expect(tag::OBJECT_ID)? != SPNEGO {
            return Err(Malformed);
        }
        let mut init = Reader(Reader(frame.expect(tag::context(0))?).expect(tag::SEQUENCE)?);
        let list = init.expect(tag::context(0))?;
        let mut items = Reader(Reader(list).expect(tag::SEQUENCE)?);
        let mut mechanisms = Vec::new();
        while !items.0.is_empty() {
            if mechanisms.len() == MAX_MECHANISMS {
                return Err(Malformed);
            }
            mechanisms.push(Mechanism::of(items.expect(tag::OBJECT_ID)?));
        }
        let mut first = None;
        while !init.0.is_empty() {
            let (tag, value) = init.next()?;
            if tag == tag::context(2) {
                first = Some(Reader(value).expect(tag::OCTETS)?);
            }
        }
        Ok(Self { mechanisms, list, token: first })
    }
}

impl<'a> Reply<'a> {
    /// Reads a NegTokenResp.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn read(token: &'a [u8]) -> Result<Self, Malformed> {
        let mut parts = Reader(Reader(Reader(token).expect(tag::context(1))?).expect(tag::SEQUENCE)?);
        let mut reply = Self { token: None, list_code: None };
        while !parts.0.is_empty() {
            let (tag, value) = parts.next()?;
            if tag == tag::context(2) {
                reply.token = Some(Reader(value).expect(tag::OCTETS)?);
            } else if tag == tag::context(3) {
                reply.list_code = Some(Reader(value).expect(tag::OCTETS)?);
            }
        }
        Ok(reply)
    }
}

/// Writes a NegTokenResp of the server.
pub(crate) fn response(
    progress: Progress,
    mechanism: Option<Mechanism>,
    token: Option<&[u8]>,
    list_code: Option<&[u8]>,
) -> Vec<u8> {
    let state = match progress {
        Progress::Completed => 0,
        Progress::Incomplete => 1,
    };
    let mut parts = element(tag::context(0), &element(tag::ENUMERATED, &[state]));
    if let Some(mechanism) = mechanism {
        parts.extend(element(tag::context(1), &element(tag::OBJECT_ID, mechanism.identifier())));
    }
    for (number, value) in [(2, token), (3, list_code)] {
        if let Some(value) = value {
            parts.extend(element(tag::context(number), &element(tag::OCTETS, value)));
        }
    }
    element(tag::context(1), &element(tag::SEQUENCE, &parts))
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let (&tag, rest) = self.0.split_first().ok_or(Malformed)?;
        let (&first, mut rest) = rest.split_first().ok_or(Malformed)?;
        let mut length = usize::from(first & 0x7f);
        if first & 0x80 != 0 {
            // Two bytes are enough for every token that is read here.
            let bytes = rest.get(..length).filter(|bytes| matches!(bytes.len(), 1..=2)).ok_or(Malformed)?;
            rest = &rest[length..];
            length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        }
        let value = rest.get(..length).ok_or(Malformed)?;
        self.0 = &rest[length..];
        Ok((tag, value))
    }

    fn expect(&mut self, wanted: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            (tag, value) if tag == wanted => Ok(value),
            _ => Err(Malformed),
        }
    }
}

/// An element of DER.
pub(super) fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match value.len() {
        short @ 0..=0x7f => bytes.push(short as u8),
        middle @ 0x80..=0xff => bytes.extend([0x81, middle as u8]),
        long => bytes.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    bytes.extend(value);
    bytes
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a client would send first.
    pub(in super::super) fn offer(mechanisms: &[Mechanism], token: Option<&[u8]>) -> Vec<u8> {
        let list: Vec<u8> = mechanisms.iter().flat_map(|m| element(tag::OBJECT_ID, m.identifier())).collect();
        let mut init = element(tag::context(0), &element(tag::SEQUENCE, &list));
        if let Some(token) = token {
            init.extend(element(tag::context(2), &element(tag::OCTETS, token)));
        }
        let mut frame = element(tag::OBJECT_ID, SPNEGO);
        frame.extend(element(tag::context(0), &element(tag::SEQUENCE, &init)));
        element(tag::APPLICATION, &frame)
    }

    #[test]
    fn what_is_written_is_read() {
        let long = vec![7; 300];
        let token = offer(&[Mechanism::KerberosOfWindows, Mechanism::Ntlm], Some(&long));
        let read = Offer::read(&token).unwrap();
        assert_eq!(read.mechanisms, [Mechanism::KerberosOfWindows, Mechanism::Ntlm]);
        assert_eq!(read.token, Some(&long[..]));
        assert_eq!(read.list[0], tag::SEQUENCE);
        for code in [None, Some(&[1; 16][..])] {
            let token = response(Progress::Incomplete, Some(Mechanism::Ntlm), Some(&long), code);
            assert_eq!(Reply::read(&token).unwrap(), Reply { token: Some(&long), list_code: code });
        }
    }

    #[test]
    fn nothing_cut_or_changed_brings_it_down() {
        let token = offer(&[Mechanism::Ntlm], Some(&[7; 140]));
        for length in 0..token.len() {
            assert_eq!(Offer::read(&token[..length]), Err(Malformed), "{length}");
        }
        let mut rng = 1_u32;
        for _ in 0..20_000 {
            rng = rng.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut changed = token.clone();
            let at = (rng >> 8) as usize % changed.len();
            changed[at] = rng as u8;
            let _ = Offer::read(&changed);
            let _ = Reply::read(&changed);
        }
    }
}
