//! Clients that show a certificate: whose it is, what it counts beside a password, and whose are not taken.
#![allow(clippy::unwrap_used, reason = "this is code of tests, although it is outside of test functions")]

mod support;

use cimwright_server::Role;
use cimwright_server::auth::Thumbprint;
use cimwright_server::auth::users::Credentials;
use cimwright_server::config::ClientCertificates;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use support::{Client, Post, TestServer, basic, in_time};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const MUTUAL: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual";

/// Somebody who signs certificates of clients.
struct Authority(Issuer<'static, KeyPair>, String);

/// A certificate of a client with its key.
struct Own(CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Own {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Own(certificate.der().clone(), PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap())
    }
}

impl Own {
    fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of(&self.0)
    }
}

/// A server that trusts an authority.
struct Place {
    server: TestServer,
    authority: Authority,
    _files: TempDir,
}

impl Place {
    fn new(demand: ClientCertificates) -> Self {
        let files = tempfile::tempdir().unwrap();
        let authority = Authority::new("the authority of clients");
        let client_ca: PathBuf = files.path().join("clients.pem");
        std::fs::write(&client_ca, &authority.1).unwrap();
        let server = TestServer::with(|c| {
            c.server.https = vec!["127.0.0.1:0".parse().unwrap()];
            c.tls.client_ca = Some(client_ca);
            c.tls.client_certificates = demand;
        });
        Self { server, authority, _files: files }
    }

    /// Gives a new certificate to a user.
    fn certified(&self, name: &str, role: Role) -> Own {
        let own = self.authority.sign(name, |_| {});
        self.give(name, role, &own);
        own
    }

    fn give(&self, name: &str, role: Role, own: &Own) {
        let credentials = Credentials { certificates: vec![own.thumbprint()], ..Credentials::default() };
        self.server.users().add_with(name, role, &credentials, true).unwrap();
    }

    async fn connect(&self, own: Option<&Own>) -> Client<TlsStream<TcpStream>> {
        self.try_connect(own, &rustls::version::TLS13).await.unwrap()
    }

    /// A connection, if the handshake as the client sees it comes to its end.
    async fn try_connect(
        &self,
        own: Option<&Own>,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> Option<Client<TlsStream<TcpStream>>> {
        let mut roots = rustls::RootCertStore::empty();
        let certificate = self.server.state.path().join("tls/cert.pem");
        roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let signers = provider.key_provider;
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            // Not looked at whether they fit: a thief would not either.
            Some(own) => {
                let signer = signers.load_private_key(own.1.clone_key()).unwrap();
                let certified = CertifiedKey::new(vec![own.0.clone()], signer);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        let stream = in_time(TcpStream::connect(self.server.addrs.https[0])).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connected = in_time(TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
        connected.ok().map(Client::new)
    }

    /// Whether the server refuses a certificate in the handshake, in both versions of TLS.
    async fn refuses(&self, own: Option<&Own>) -> bool {
        let mut refused = 0;
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            match self.try_connect(own, version).await {
                None => refused += 1,
                // With TLS 1.3 the client has ended its handshake before the server looks at the certificate.
                Some(mut client) => {
                    client.send(who_am_i().bytes()).await;
                    refused += usize::from(client.try_reply().await.is_none());
                }
            }
        }
        refused == 2
    }
}

fn who_am_i() -> Post {
    Post::method("WhoAmI").without("Authorization")
}

fn identify() -> String {
    let body = "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope' \
                xmlns:i='http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd'>\
                <s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>";
    format!(
        "POST /wsman HTTP/1.1\r\nHost: x\r\nAuthorization: {MUTUAL}\r\n\
         Content-Type: application/soap+xml;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_certificate_is_its_user_over_both_protocols() {
    let place = Place::new(ClientCertificates::Optional);
    let own = place.certified("bob", Role::Operator);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut client = place.try_connect(Some(&own), version).await.unwrap();
        client.ask(who_am_i().bytes()).await.assert_message("bob operator");
        client.ask(who_am_i().with("Authorization", MUTUAL).bytes()).await.assert_message("bob operator");
        let reply = client.ask(identify()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.body.contains("ProductVersion"));
    }
    // With a certificate of nobody, or none, the other ways are open.
    let stranger = place.authority.sign("bob", |_| {});
    for own in [Some(&stranger), None] {
        let mut client = place.connect(own).await;
        let reply = client.ask(who_am_i().bytes()).await;
        assert_eq!((reply.status, reply.header("WWW-Authenticate").is_some()), (401, true));
        assert_eq!(client.ask(who_am_i().with("Authorization", MUTUAL).bytes()).await.status, 401);
        assert_eq!(client.ask(identify()).await.status, 401);
        let right = who_am_i().with("Authorization", &basic("ann", "secret"));
        client.ask(right.bytes()).await.assert_message("ann administrator");
    }
    assert_eq!(place.server.fake.done.load(Ordering::SeqCst), 6, "only who got in reached the broker");
}

#[tokio::test]
async fn a_header_beside_a_certificate_says_who_it_is_and_has_to_be_right() {
    let place = Place::new(ClientCertificates::Required);
    let own = place.certified("bob", Role::Reader);
    let mut client = place.connect(Some(&own)).await;
    let with = |value: &str| who_am_i().with("Authorization", value).bytes();
    client.ask(with(&basic("ann", "secret"))).await.assert_message("ann administrator");
    let before = place.server.fake.done.load(Ordering::SeqCst);
    for wrong in
        [&basic("ann", "wrong"), &basic("bob", ""), "Basic", "", "Negotiate AAAA", &format!("{MUTUAL}/basic")]
    {
        assert_eq!(client.ask(with(wrong)).await.status, 401, "{wrong}");
    }
    for length in 0..MUTUAL.len() {
        assert_eq!(client.ask(with(&MUTUAL[..length])).await.status, 401, "{length}");
    }
    assert_eq!(place.server.fake.done.load(Ordering::SeqCst), before);
    // What failed leaves nothing behind.
    client.ask(who_am_i().bytes()).await.assert_message("bob reader");
}

#[tokio::test]
async fn users_with_certificates_come_and_go_at_once() {
    let place = Place::new(ClientCertificates::Optional);
    let own = place.certified("bob", Role::Operator);
    let mut client = place.connect(Some(&own)).await;
    client.ask(who_am_i().bytes()).await.assert_message("bob operator");
    place.give("bob", Role::Reader, &own);
    client.ask(who_am_i().bytes()).await.assert_message("bob reader");
    place.server.users().remove("bob").unwrap();
    assert_eq!(client.ask(who_am_i().bytes()).await.status, 401);
    place.give("eve", Role::Reader, &own);
    client.ask(who_am_i().bytes()).await.assert_message("eve reader");
    // A password alone takes the certificate away.
    place.server.users().add("eve", Role::Reader, "one", true).unwrap();
    assert_eq!(client.ask(who_am_i().bytes()).await.status, 401);
    // Whoever has a certificate only cannot be guessed.
    place.give("eve", Role::Reader, &own);
    for password in ["", "one"] {
        let guess = who_am_i().with("Authorization", &basic("eve", password));
        assert_eq!(client.ask(guess.bytes()).await.status, 401);
    }
}

#[tokio::test]
async fn certificates_that_prove_nothing_end_the_handshake() {
    let place = Place::new(ClientCertificates::Optional);
    let other = Authority::new("the authority of clients");
    let foreign = other.sign("bob", |_| {});
    place.give("bob", Role::Reader, &foreign);
    assert!(place.refuses(Some(&foreign)).await, "of another authority with the same name");
    let expired = place.authority.sign("bob", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    place.give("bob", Role::Reader, &expired);
    assert!(place.refuses(Some(&expired)).await, "expired");
    let server = place.authority.sign("bob", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    place.give("bob", Role::Reader, &server);
    assert!(place.refuses(Some(&server)).await, "the certificate of a server");
    // Somebody else's certificate, which is no secret, without its key.
    let stolen = place.certified("bob", Role::Reader);
    let thief = Own(stolen.0.clone(), place.authority.sign("thief", |_| {}).1);
    assert!(place.refuses(Some(&thief)).await, "with another key");
    assert!(!place.refuses(Some(&stolen)).await, "with its key");
    assert!(!place.refuses(None).await, "they may come without");

    let strict = Place::new(ClientCertificates::Required);
    assert!(strict.refuses(None).await);
    let own = strict.certified("bob", Role::Reader);
    assert!(!strict.refuses(Some(&own)).await);
    assert_eq!(strict.server.fake.done.load(Ordering::SeqCst), 2);
}
