use super::*;
use crate::auth::channel::BindingHash;
use crate::config::ChannelBinding;

const UNBOUND: Bound = Bound { rule: ChannelBinding::Relaxed, to: None };
const PASSWORD: &str = "Password";
const CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

/// A client, small and honest unless told otherwise.
pub(in super::super) struct Client {
    pub(in super::super) user: String,
    pub(in super::super) domain: String,
    pub(in super::super) password: String,
    pub(in super::super) mic: bool,
    pub(in super::super) session_key: [u8; 16],
    /// MsvAvChannelBindings.
    pub(in super::super) binding: Option<[u8; 16]>,
    negotiate: Vec<u8>,
}

impl Client {
    pub(in super::super) fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            domain: "Domain".to_owned(),
            password: password.to_owned(),
            mic: true,
            session_key: [0x55; 16],
            binding: None,
            negotiate: Vec::new(),
        }
    }

    pub(in super::super) fn negotiate(&mut self) -> Vec<u8> {
        let asked = flags::UNICODE
            | flags::NTLM
            | flags::SIGN
            | flags::SEAL
            | flags::EXTENDED_SESSION_SECURITY
            | flags::KEY_128
            | flags::KEY_EXCHANGE
            | flags::VERSION;
        let mut message = message::SIGNATURE.to_vec();
        message.extend(1_u32.to_le_bytes());
        message.extend(asked.to_le_bytes());
        message.extend([0; 24]);
        self.negotiate.clone_from(&message);
        message
    }

    pub(in super::super) fn authenticate(&self, challenge: &[u8]) -> Vec<u8> {
        let server_challenge = &challenge[24..32];
        let offered = u32::from_le_bytes(challenge[20..24].try_into().unwrap());
        let mut covered = vec![1, 1, 0, 0, 0, 0, 0, 0];
        covered.extend([0; 8]);
        covered.extend([0xaa; 8]);
        covered.extend([0; 4]);
        if self.mic {
            covered.extend([6, 0, 4, 0, 2, 0, 0, 0]);
        }
        if let Some(binding) = self.binding {
            covered.extend([10, 0, 16, 0]);
            covered.extend(binding);
        }
        covered.extend([0; 8]);
        let who = message::utf16(&format!("{}{}", self.user.to_uppercase(), self.domain));
        let version_2 = hmac_md5(&NtHash::of(&self.password).0, &[&who]);
        let proof = hmac_md5(&version_2, &[server_challenge, &covered]);
        let base = hmac_md5(&version_2, &[&proof]);
        let mut encrypted = self.session_key;
        rc4(&base).apply_keystream(&mut encrypted);

        let response = [&proof[..], &covered].concat();
        let parts = [
            Vec::new(),
            response,
            message::utf16(&self.domain),
            message::utf16(&self.user),
            Vec::new(),
            encrypted.to_vec(),
        ];
        let mut message = message::SIGNATURE.to_vec();
        message.extend(3_u32.to_le_bytes());
        let mut at = 88_u32;
        for part in &parts {
            message.extend((part.len() as u16).to_le_bytes());
            message.extend((part.len() as u16).to_le_bytes());
            message.extend(at.to_le_bytes());
            at += part.len() as u32;
        }
        message.extend(offered.to_le_bytes());
        message.extend([0; 8]);
        message.extend([0; 16]);
        message.extend(parts.concat());
        if self.mic {
            let mic = hmac_md5(&self.session_key, &[&self.negotiate, challenge, &message]);
            message[72..88].copy_from_slice(&mic);
        }
        message
    }
}

fn login(client: &mut Client, spoil: impl FnOnce(&mut Vec<u8>)) -> Result<Session, Untrue> {
    let (challenge, challenged) = answer(&client.negotiate(), CHALLENGE, "box", 7).unwrap();
    let mut third = client.authenticate(&challenge);
    spoil(&mut third);
    let claim = challenged.claim(&third).unwrap();
    assert_eq!(claim.user(), client.user);
    claim.prove(&NtHash::of(PASSWORD), UNBOUND)
}

#[test]
fn the_published_example_comes_out() {
    // MS-NLMP 4.2.4: the values every implementation must arrive at.
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let hash = NtHash::of(PASSWORD);
    assert_eq!(hash.to_hex(), "a4f49c406510bdcab6824ee7c30fd852");
    assert_eq!(NtHash::from_hex(&hash.to_hex()), Some(hash));
    let version_2 = hmac_md5(&hash.0, &[&message::utf16("USERDomain")]);
    assert_eq!(hex(&version_2), "0c868a403bfd7a93a3001ef22ef02e3f");
    let mut covered = vec![1, 1, 0, 0, 0, 0, 0, 0];
    covered.extend([0; 8]);
    covered.extend([0xaa; 8]);
    covered.extend([0; 4]);
    for (id, name) in [(2_u16, "Domain"), (1, "Server")] {
        covered.extend(id.to_le_bytes());
        covered.extend(12_u16.to_le_bytes());
        covered.extend(message::utf16(name));
    }
    covered.extend([0; 8]);
    let proof = hmac_md5(&version_2, &[&CHALLENGE, &covered]);
    assert_eq!(hex(&proof), "68cd0ab851e51c96aabc927bebef6a1c");
    assert_eq!(hex(&hmac_md5(&version_2, &[&proof])), "8de40ccadbc14a82f15cb0ad0de95ca3");
}

#[test]
fn the_right_password_is_taken_with_and_without_an_integrity_code() {
    for mic in [true, false] {
        let session = login(&mut Client { mic, ..Client::new("User", PASSWORD) }, |_| ()).unwrap();
        assert!(session.seals());
    }
}

#[test]
fn nothing_takes_the_place_of_the_proof() {
    for mic in [true, false] {
        let mut wrong = Client { mic, ..Client::new("User", "password") };
        assert_eq!(login(&mut wrong, |_| ()).unwrap_err(), Untrue::Proof, "mic {mic}");
        let mut right = Client { mic, ..Client::new("User", PASSWORD) };
        assert_eq!(login(&mut right, |third| third[88 + 3] ^= 1).unwrap_err(), Untrue::Proof);
        // Covered by the proof: among it whether there is an integrity code at all.
        assert_eq!(login(&mut right, |third| third[88 + 16 + 28] ^= 4).unwrap_err(), Untrue::Proof);
    }
}

#[test]
fn a_changed_message_is_noticed() {
    let mut client = Client::new("User", PASSWORD);
    // The flags: somebody would like the messages not to be sealed.
    assert_eq!(login(&mut client, |third| third[60] ^= 0x20).unwrap_err(), Untrue::Integrity);
    assert_eq!(login(&mut client, |third| third[72] ^= 1).unwrap_err(), Untrue::Integrity);
}

#[test]
fn an_answer_to_another_challenge_proves_nothing() {
    let mut client = Client::new("User", PASSWORD);
    let (challenge, _) = answer(&client.negotiate(), CHALLENGE, "box", 7).unwrap();
    let replayed = client.authenticate(&challenge);
    let (_, challenged) = answer(&client.negotiate(), [9; 8], "box", 7).unwrap();
    let claim = challenged.claim(&replayed).unwrap();
    assert_eq!(claim.prove(&NtHash::of(PASSWORD), UNBOUND).unwrap_err(), Untrue::Proof);
}

#[test]
fn a_proof_that_is_bound_to_another_connection_is_refused() {
    let (ours, other) = (BindingHash::of_server(b"ours"), BindingHash::of_server(b"another"));
    let try_bound = |binding, rule, spoil: Option<usize>| {
        let mut client = Client { binding, mic: false, ..Client::new("User", PASSWORD) };
        let (challenge, challenged) = answer(&client.negotiate(), CHALLENGE, "box", 7).unwrap();
        let mut third = client.authenticate(&challenge);
        if let Some(at) = spoil {
            third[88 + at] ^= 1;
        }
        let claim = challenged.claim(&third).unwrap();
        claim.prove(&NtHash::of(PASSWORD), Bound { rule, to: Some(ours) }).map(|_| ())
    };
    let (zeros, right, wrong) = (Some([0; 16]), Some(ours.bytes()), Some(other.bytes()));
    use ChannelBinding::{Relaxed, Required};
    for (binding, rule) in [
        (None, Relaxed),
        (zeros, Relaxed),
        (right, Relaxed),
        (right, Required),
        (wrong, ChannelBinding::None),
    ] {
        assert_eq!(try_bound(binding, rule, None), Ok(()), "{binding:?} {rule:?}");
    }
    for (binding, rule) in [(wrong, Relaxed), (wrong, Required), (None, Required), (zeros, Required)] {
        assert_eq!(try_bound(binding, rule, None), Err(Untrue::Channel), "{binding:?} {rule:?}");
    }
    // Whoever is in between cannot put the right one in the wrong one's place.
    assert_eq!(try_bound(right, Required, Some(16 + 28 + 4)), Err(Untrue::Proof));
}

#[test]
fn clients_without_session_security_and_old_responses_are_malformed() {
    let mut first = Client::new("User", PASSWORD).negotiate();
    first[14] &= !0x08;
    assert!(answer(&first, CHALLENGE, "box", 7).is_err());
    let mut client = Client::new("User", PASSWORD);
    let (challenge, challenged) = answer(&client.negotiate(), CHALLENGE, "box", 7).unwrap();
    let mut third = client.authenticate(&challenge);
    // A response of 24 bytes is one of version 1.
    third[20..22].copy_from_slice(&24_u16.to_le_bytes());
    assert!(challenged.claim(&third).is_err());
}

#[test]
fn sealed_messages_come_through_in_order_and_only_then() {
    let mut server = login(&mut Client::new("User", PASSWORD), |_| ()).unwrap();
    let mut client = login(&mut Client::new("User", PASSWORD), |_| ()).unwrap().of_the_client();
    for text in ["first", "second, and longer than the first", ""] {
        let mut message = text.as_bytes().to_vec();
        let signature = client.seal(&mut message);
        assert!(text.is_empty() || message != text.as_bytes());
        server.unseal(&signature, &mut message).unwrap();
        assert_eq!(message, text.as_bytes());
        let signature = server.seal(&mut message);
        client.unseal(&signature, &mut message).unwrap();
        assert_eq!(message, text.as_bytes());
    }
    let mut again = b"once".to_vec();
    let signature = client.seal(&mut again);
    let copy = again.clone();
    server.unseal(&signature, &mut again).unwrap();
    assert_eq!(server.unseal(&signature, &mut copy.clone()), Err(crate::auth::negotiate::NotGenuine));
}
