//! The three messages of NTLM (MS-NLMP 2.2.1). Only what a server reads and writes; everything else of a message is kept as bytes,
//! because the message integrity code covers them.

/// What every message begins with.
pub(crate) const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// The longest token that is read. Real ones have some hundred bytes.
pub(crate) const MAX_TOKEN: usize = 16 << 10;

/// NegotiateFlags (MS-NLMP 2.2.2.5), as far as they matter here.
pub(crate) mod flags {
    pub(crate) const UNICODE: u32 = 0x0000_0001;
    pub(crate) const REQUEST_TARGET: u32 = 0x0000_0004;
    pub(crate) const SIGN: u32 = 0x0000_0010;
    pub(crate) const SEAL: u32 = 0x0000_0020;
    pub(crate) const NTLM: u32 = 0x0000_0200;
    pub(crate) const ALWAYS_SIGN: u32 = 0x0000_8000;
    pub(crate) const TARGET_TYPE_SERVER: u32 = 0x0002_0000;
    pub(crate) const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
    pub(crate) const TARGET_INFO: u32 = 0x0080_0000;
    pub(crate) const VERSION: u32 = 0x0200_0000;
    pub(crate) const KEY_128: u32 = 0x2000_0000;
    pub(crate) const KEY_EXCHANGE: u32 = 0x4000_0000;
    pub(crate) const KEY_56: u32 = 0x8000_0000;
}

/// Identifiers of AV_PAIR (MS-NLMP 2.2.2.1).
mod av {
    pub(super) const END: u16 = 0;
    pub(super) const COMPUTER: u16 = 1;
    pub(super) const DOMAIN: u16 = 2;
    pub(super) const DNS_COMPUTER: u16 = 3;
    pub(super) const FLAGS: u16 = 6;
    pub(super) const TIMESTAMP: u16 = 7;
    pub(super) const CHANNEL_BINDINGS: u16 = 10;
}

/// MsvAvFlags: the message carries an integrity code.
const HAS_MIC: u32 = 2;
/// Where a message of the third kind has its integrity code, if it has one.
const MIC_AT: usize = 72;
const MIC_LENGTH: usize = 16;
/// Where the list of AV_PAIRs begins in a NTLMv2_CLIENT_CHALLENGE behind the proof.
const PAIRS_AT: usize = 28;

/// A message that is none, or says less than it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Which of the three messages this is, if it is one.
pub(crate) fn kind(message: &[u8]) -> Option<u32> {
    message.starts_with(SIGNATURE).then(|| u32_at(message, 8))?
}

/// The flags of the first message.
///
/// # Errors
/// When it is not the first message.
pub(crate) fn negotiate_flags(message: &[u8]) -> Result<u32, Malformed> {
    if message.len() > MAX_TOKEN || kind(message) != Some(1) {
        return Err(Malformed);
    }
    u32_at(message, 12).ok_or(Malformed)
}

/// Writes the second message.
pub(crate) fn challenge(
    flags: u32,
    server_challenge: [u8; 8],
    computer: &str,
    filetime: Option<u64>,
) -> Vec<u8> {
    let name = utf16(&computer.to_uppercase());
    let mut info = Vec::new();
    for (id, value) in [(av::DOMAIN, &name), (av::COMPUTER, &name), (av::DNS_COMPUTER, &utf16(computer))] {
        pair(&mut info, id, value);
    }
    if let Some(filetime) = filetime {
        pair(&mut info, av::TIMESTAMP, &filetime.to_le_bytes());
    }
    pair(&mut info, av::END, &[]);
    const PAYLOAD_AT: usize = 56;
    let mut message = SIGNATURE.to_vec();
    message.extend(2_u32.to_le_bytes());
    field(&mut message, PAYLOAD_AT, name.len());
    message.extend(flags.to_le_bytes());
    message.extend(server_challenge);
    message.extend([0; 8]);
    field(&mut message, PAYLOAD_AT + name.len(), info.len());
    // VERSION (2.2.2.10): only for debugging; the last byte is the revision of the protocol.
    message.extend([0, 0, 0, 0, 0, 0, 0, 15]);
    message.extend(name);
    message.extend(info);
    message
}

/// What the third message says.
#[derive(Debug)]
pub(crate) struct Authenticate {
    /// The user's name.
    pub(crate) user: String,
    /// The domain, which may be empty.
    pub(crate) domain: String,
    /// The proof: 16 bytes that only somebody with the password can compute.
    pub(crate) proof: [u8; 16],
    /// What the proof covers besides the server's challenge.
    pub(crate) covered: Vec<u8>,
    /// The session key, encrypted, if the client chose one.
    pub(crate) encrypted_session_key: Option<[u8; 16]>,
    /// The flags that count from now on.
    pub(crate) flags: u32,
    /// The integrity code over all three messages, if the client says that there is one. What it says is covered by the proof.
    pub(crate) mic: Option<[u8; 16]>,
    /// The hash of the TLS channel, if the client tells it (MsvAvChannelBindings).
    pub(crate) channel_bindings: Option<[u8; 16]>,
}

impl Authenticate {
    /// Reads the third message.
    ///
    /// # Errors
    /// When it is not one, or not of version 2 of NTLM.
    pub(crate) fn read(message: &[u8]) -> Result<Self, Malformed> {
        if message.len() > MAX_TOKEN || kind(message) != Some(3) {
            return Err(Malformed);
        }
        let flags = u32_at(message, 60).ok_or(Malformed)?;
        let response = payload(message, 20)?;
        // Version 1 has 24 bytes here and is not taken, whatever the flags say.
        if response.len() < 16 + PAIRS_AT + 4 {
            return Err(Malformed);
        }
        let (proof, covered) = response.split_at(16);
        let pairs = Pairs(&covered[PAIRS_AT..]);
        let has_mic = pairs
            .value(av::FLAGS)
            .and_then(|value| u32_at(value, 0))
            .is_some_and(|flags| flags & HAS_MIC != 0);
        let mic = if has_mic {
            Some(array(message.get(MIC_AT..MIC_AT + MIC_LENGTH).ok_or(Malformed)?)?)
        } else {
            None
        };
        let key = payload(message, 52)?;
        Ok(Self {
            user: text(payload(message, 36)?)?,
            domain: text(payload(message, 28)?)?,
            proof: array(proof)?,
            covered: covered.to_vec(),
            encrypted_session_key: if key.is_empty() { None } else { Some(array(key)?) },
            flags,
            mic,
            channel_bindings: pairs.value(av::CHANNEL_BINDINGS).map(array).transpose()?,
        })
    }

    /// The message as its integrity code was computed over it: with zeros in the code's place.
    pub(crate) fn without_mic(message: &[u8]) -> Vec<u8> {
        let mut message = message.to_vec();
        if let Some(mic) = message.get_mut(MIC_AT..MIC_AT + MIC_LENGTH) {
            mic.fill(0);
        }
        message
    }
}

/// A list of AV_PAIRs. Broken ones end it.
struct Pairs<'a>(&'a [u8]);

impl<'a> Pairs<'a> {
    fn value(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = self.0;
        loop {
            let id = u16_at(rest, 0)?;
            let length = usize::from(u16_at(rest, 2)?);
            let value = rest.get(4..4 + length)?;
            if id == av::END {
                return None;
            }
            if id == wanted {
                return Some(value);
            }
            rest = &rest[4 + length..];
        }
    }
}

/// Text as NTLM writes it.
pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    if !bytes.len().is_multiple_of(2) {
        return Err(Malformed);
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16(&units).map_err(|_| Malformed)
}

fn payload(message: &[u8], field_at: usize) -> Result<&[u8], Malformed> {
    let length = usize::from(u16_at(message, field_at).ok_or(Malformed)?);
    let offset = u32_at(message, field_at + 4).ok_or(Malformed)?;
    if length == 0 {
        return Ok(&[]);
    }
    let offset = usize::try_from(offset).map_err(|_| Malformed)?;
    message.get(offset..).and_then(|rest| rest.get(..length)).ok_or(Malformed)
}

fn field(message: &mut Vec<u8>, offset: usize, length: usize) {
    let (length, offset) = (length as u16, offset as u32);
    message.extend(length.to_le_bytes());
    message.extend(length.to_le_bytes());
    message.extend(offset.to_le_bytes());
}

fn pair(info: &mut Vec<u8>, id: u16, value: &[u8]) {
    info.extend(id.to_le_bytes());
    info.extend((value.len() as u16).to_le_bytes());
    info.extend(value);
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_messages_are_refused() {
        let message = challenge(flags::UNICODE, [1; 8], "box", Some(5));
        for length in 0..message.len() {
            let mut cut = message[..length].to_vec();
            if let Some(kind) = cut.get_mut(8) {
                *kind = 3;
            }
            assert!(Authenticate::read(&cut).is_err(), "{length}");
        }
    }

    #[test]
    fn pairs_that_lie_about_their_length_end_the_list() {
        let mut list = Vec::new();
        pair(&mut list, av::FLAGS, &2_u32.to_le_bytes());
        assert_eq!(Pairs(&list).value(av::FLAGS).and_then(|v| u32_at(v, 0)), Some(2));
        assert_eq!(Pairs(&list).value(av::TIMESTAMP), None);
        list[2] = 200;
        assert_eq!(Pairs(&list).value(av::FLAGS), None);
    }
}
