use super::keytab::tests as keytab_tests;
use super::*;
use crate::auth::channel::BindingHash;
use crate::config::ChannelBinding;
use picky_asn1::bit_string::BitString;
use picky_asn1::restricted_string::Ia5String;
use picky_asn1::wrapper::*;
use picky_krb::data_types::{Checksum, EncTicketPartInner, Ticket, TicketInner, TransitedEncoding};
use picky_krb::messages::ApReqInner;

const UNBOUND: Bound = Bound { rule: ChannelBinding::Relaxed, to: None };

pub(in super::super) const NOW: i64 = 1_800_000_000;

/// A key distribution centre and a client of it in one, honest unless told otherwise.
pub(in super::super) struct Client {
    pub(in super::super) names: Vec<&'static str>,
    pub(in super::super) names_in_ticket: Vec<&'static str>,
    pub(in super::super) realm: &'static str,
    pub(in super::super) service_key: keytab::ServiceKey,
    pub(in super::super) told: i64,
    pub(in super::super) ends: i64,
    pub(in super::super) flags: u32,
    pub(in super::super) binding: [u8; 16],
}

impl Client {
    pub(in super::super) fn new() -> Self {
        Self {
            names: vec!["ann"],
            names_in_ticket: vec!["ann"],
            realm: "TEST",
            service_key: keytab_tests::key(1, 18),
            told: NOW,
            ends: NOW + 3600,
            flags: 0,
            binding: [0; 16],
        }
    }

    pub(in super::super) fn token(&self) -> Vec<u8> {
        let session_key = vec![7; 32];
        let ticket = EncTicketPart::from(EncTicketPartInner {
            flags: ExplicitContextTag0::from(bits(self.flags)),
            key: ExplicitContextTag1::from(key(&session_key)),
            crealm: ExplicitContextTag2::from(string(self.realm)),
            cname: ExplicitContextTag3::from(name(&self.names_in_ticket)),
            transited: ExplicitContextTag4::from(TransitedEncoding {
                tr_type: ExplicitContextTag0::from(int(1)),
                contents: ExplicitContextTag1::from(OctetStringAsn1::from(Vec::new())),
            }),
            auth_time: ExplicitContextTag5::from(at(NOW - 60)),
            starttime: Optional::from(None),
            endtime: ExplicitContextTag7::from(at(self.ends)),
            renew_till: Optional::from(None),
            caddr: Optional::from(None),
            authorization_data: Optional::from(None),
        });
        let mut gss = vec![16, 0, 0, 0];
        gss.extend(self.binding);
        gss.extend((GSS_MUTUAL | 16 | 32).to_le_bytes());
        let proof = Authenticator::from(AuthenticatorInner {
            authenticator_vno: ExplicitContextTag0::from(int(5)),
            crealm: ExplicitContextTag1::from(string(self.realm)),
            cname: ExplicitContextTag2::from(name(&self.names)),
            cksum: Optional::from(Some(ExplicitContextTag3::from(Checksum {
                cksumtype: ExplicitContextTag0::from(int(0x8003)),
                checksum: ExplicitContextTag1::from(OctetStringAsn1::from(gss)),
            }))),
            cusec: ExplicitContextTag4::from(int(1)),
            ctime: ExplicitContextTag5::from(at(self.told)),
            subkey: Optional::from(Some(ExplicitContextTag6::from(key(&[8; 32])))),
            seq_number: Optional::from(Some(ExplicitContextTag7::from(int(77)))),
            authorization_data: Optional::from(None),
        });
        let request = ApReq::from(ApReqInner {
            pvno: ExplicitContextTag0::from(int(5)),
            msg_type: ExplicitContextTag1::from(int(14)),
            ap_options: ExplicitContextTag2::from(bits(0x2000_0000)),
            ticket: ExplicitContextTag3::from(Ticket::from(TicketInner {
                tkt_vno: ExplicitContextTag0::from(int(5)),
                realm: ExplicitContextTag1::from(string("TEST")),
                sname: ExplicitContextTag2::from(name(&["HTTP", "box"])),
                enc_part: ExplicitContextTag3::from(encrypted(
                    &self.service_key.key,
                    TICKET_REP,
                    &picky_asn1_der::to_vec(&ticket).unwrap(),
                )),
            })),
            authenticator: ExplicitContextTag4::from(encrypted(
                &session_key,
                AP_REQ_AUTHENTICATOR,
                &picky_asn1_der::to_vec(&proof).unwrap(),
            )),
        });
        framed(AP_REQ, &picky_asn1_der::to_vec(&request).unwrap())
    }
}

pub(in super::super) fn keytab() -> Keytab {
    Keytab::read(&keytab_tests::file(&[keytab_tests::key(1, 18)])).unwrap()
}

fn try_token(token: &[u8]) -> Result<Accepted, Refused> {
    accept(token, &keytab(), NOW, &Seen::default(), UNBOUND)
}

fn int(number: u32) -> IntegerAsn1 {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take(3).take_while(|byte| **byte == 0).count();
    IntegerAsn1::from_bytes_be_unsigned(bytes[zeros..].to_vec())
}

fn bits(bits: u32) -> BitStringAsn1 {
    BitStringAsn1::from(BitString::with_bytes(bits.to_be_bytes().to_vec()))
}

fn string(text: &str) -> KerberosStringAsn1 {
    KerberosStringAsn1::from(Ia5String::from_string(text.to_owned()).unwrap())
}

fn name(components: &[&str]) -> PrincipalName {
    let components: Vec<_> = components.iter().map(|c| string(c)).collect();
    PrincipalName {
        name_type: ExplicitContextTag0::from(int(1)),
        name_string: ExplicitContextTag1::from(Asn1SequenceOf::from(components)),
    }
}

fn key(bytes: &[u8]) -> EncryptionKey {
    EncryptionKey {
        key_type: ExplicitContextTag0::from(int(18)),
        key_value: ExplicitContextTag1::from(OctetStringAsn1::from(bytes.to_vec())),
    }
}

fn at(seconds: i64) -> KerberosTime {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    KerberosTime::from(picky_asn1::date::GeneralizedTime::from(time))
}

fn encrypted(key: &[u8], usage: i32, clear: &[u8]) -> EncryptedData {
    let cipher = suite(18).unwrap().cipher().encrypt(key, usage, clear).unwrap();
    EncryptedData {
        etype: ExplicitContextTag0::from(int(18)),
        kvno: Optional::from(Some(ExplicitContextTag1::from(int(1)))),
        cipher: ExplicitContextTag2::from(OctetStringAsn1::from(cipher)),
    }
}

#[test]
fn a_right_ticket_with_its_proof_is_taken() {
    let accepted = try_token(&Client::new().token()).unwrap();
    assert_eq!(accepted.client, "ann");
    assert!(accepted.reply.is_some_and(|reply| reply.starts_with(&[0x60])));
}

#[test]
fn what_does_not_fit_is_refused() {
    let good = Client::new;
    let other_key = keytab::ServiceKey { key: vec![9; 32], ..keytab_tests::key(1, 18) };
    let cases = [
        ("another key", Client { service_key: other_key, ..good() }, Refused::Proof),
        ("another name than in the ticket", Client { names: vec!["root"], ..good() }, Refused::Proof),
        ("a ticket that has ended", Client { ends: NOW - SKEW - 1, ..good() }, Refused::Time),
        ("an old proof", Client { told: NOW - SKEW - 1, ..good() }, Refused::Time),
        ("a proof of the future", Client { told: NOW + SKEW + 1, ..good() }, Refused::Time),
        ("an invalid ticket", Client { flags: 0x8000_0000 >> INVALID, ..good() }, Refused::Time),
        (
            "a name that only begins like a user's",
            Client { names: vec!["ann", "x"], names_in_ticket: vec!["ann", "x"], ..good() },
            Refused::Client,
        ),
        ("another realm", Client { realm: "ELSEWHERE", ..good() }, Refused::Client),
    ];
    for (what, client, refused) in cases {
        assert_eq!(try_token(&client.token()).unwrap_err(), refused, "{what}");
    }
}

#[test]
fn a_proof_that_is_bound_to_another_connection_is_refused() {
    let (ours, other) = (BindingHash::of_server(b"ours"), BindingHash::of_server(b"another"));
    let try_bound = |binding, rule| {
        let token = Client { binding, ..Client::new() }.token();
        accept(&token, &keytab(), NOW, &Seen::default(), Bound { rule, to: Some(ours) }).map(|a| a.client)
    };
    let (none, right, wrong) = ([0; 16], ours.bytes(), other.bytes());
    use ChannelBinding::{None, Relaxed, Required};
    for (binding, rule) in [(none, Relaxed), (right, Relaxed), (right, Required), (wrong, None), (none, None)]
    {
        assert_eq!(try_bound(binding, rule).as_deref(), Ok("ann"), "{binding:?} {rule:?}");
    }
    for (binding, rule) in [(wrong, Relaxed), (wrong, Required), (none, Required)] {
        assert_eq!(try_bound(binding, rule), Err(Refused::Channel), "{binding:?} {rule:?}");
    }
}

#[test]
fn the_same_proof_counts_once() {
    let (token, seen) = (Client::new().token(), Seen::default());
    accept(&token, &keytab(), NOW, &seen, UNBOUND).unwrap();
    assert_eq!(accept(&token, &keytab(), NOW, &seen, UNBOUND).unwrap_err(), Refused::Replay);
}

#[test]
fn no_change_to_a_token_is_taken_nor_brings_it_down() {
    let token = Client::new().token();
    for length in 0..token.len() {
        assert!(try_token(&token[..length]).is_err(), "{length}");
    }
    let mut rng = 1_u32;
    for _ in 0..4000 {
        rng = rng.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut changed = token.clone();
        let at = (rng >> 8) as usize % changed.len();
        changed[at] ^= (rng as u8).max(1);
        if let Ok(accepted) = try_token(&changed) {
            // Only what nothing depends on may have changed, such as the type of a name.
            assert_eq!(accepted.client, "ann");
        }
    }
}

#[test]
fn sealed_messages_come_through_in_order_and_only_then() {
    let both = try_token(&Client::new().token()).unwrap().session;
    let (mut server, mut client) = (both, try_token(&Client::new().token()).unwrap().session);
    let mut first = Vec::new();
    for text in ["first", "", "the third, which is longer than a block"] {
        let (signature, sealed) = client.seal_as_the_client(text.as_bytes());
        first.push((signature.clone(), sealed.clone()));
        assert_eq!(server.unseal(&signature, &sealed).unwrap(), text.as_bytes());
    }
    assert!(server.unseal(&first[0].0, &first[0].1).is_err(), "again");
    let (signature, mut sealed) = client.seal_as_the_client(b"changed on its way");
    sealed[0] ^= 1;
    assert!(server.unseal(&signature, &sealed).is_err());

    let (signature, sealed) = server.seal(b"answer").unwrap();
    assert_eq!(signature.len(), 60, "what other implementations send and expect");
    let mut client = server;
    client.seal_again();
    assert_eq!(client.unseal_as_the_client(&signature, &sealed).unwrap(), b"answer");
}
