//! Starting, stopping, and what happens when one side goes away.

mod support;

use cimwright_cim::Operation;
use cimwright_server::execute::Execute;
use cimwright_server::{Config, Server, StartError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use support::{Client, Fake, Post, TestServer, in_time};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

fn post() -> Post {
    Post::new(Operation::EnumerateQualifiers)
}

#[tokio::test]
async fn tls_with_the_certificate_the_server_made() {
    let server = TestServer::with(|c| {
        c.server.http.clear();
        c.server.https = vec!["127.0.0.1:0".parse().unwrap()];
    });
    assert_eq!((server.addrs.http.len(), server.addrs.https.len()), (0, 1));
    let certificate = CertificateDer::from_pem_file(server.state.path().join("tls/cert.pem")).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for name in ["localhost", "127.0.0.1", "::1", "testhost"] {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(certificate.clone()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let stream = in_time(TcpStream::connect(server.addrs.https[0])).await.unwrap();
            let connector = TlsConnector::from(Arc::new(config));
            let stream =
                in_time(connector.connect(ServerName::try_from(name).unwrap(), stream)).await.unwrap();
            let mut client = Client::new(stream);
            client.ask(post().bytes()).await.assert_message("CIM");
            client.ask(Post::enumerate("Large").bytes()).await.assert_message("</CIM>");
        }
    }
    // Somebody who speaks no TLS is not served, and bothers nobody.
    let mut plain = Client::new(in_time(TcpStream::connect(server.addrs.https[0])).await.unwrap());
    plain.send(post().bytes()).await;
    assert!(plain.try_reply().await.is_none());
    assert!(server.ended().await);
}

#[tokio::test]
async fn a_client_that_goes_away_stops_nothing() {
    let server = TestServer::start();
    let mut client = server.connect().await;
    client.send(Post::method("Wait").bytes()).await;
    in_time(server.fake.begun.notified()).await;
    drop(client);
    // The server has seen that the client is gone when it has no connection but the one that asks.
    loop {
        let metrics = server.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        if metrics.body.contains("cimwright_connections 1\n") {
            break;
        }
    }
    assert_eq!(server.fake.done.load(Ordering::SeqCst), 0);
    server.fake.release.notify_one();
    in_time(server.fake.ended.notified()).await;
    assert!(server.ended().await);
}

#[tokio::test]
async fn nobody_reads_on_for_a_client_that_went_away() {
    let server = TestServer::start();
    let mut client = server.connect().await;
    client.send(Post::enumerate("Endless").bytes()).await;
    while server.fake.portions.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    // Otherwise the task of the endless stream would keep the server from ending.
    assert!(server.ended().await);
}

#[tokio::test]
async fn a_panic_is_an_answer_and_nothing_more() {
    let server = TestServer::start();
    let mut client = server.connect().await;
    let reply = client.ask(Post::method("Panic").bytes()).await;
    assert_eq!(reply.verdict(), (500, None));
    client.ask(post().bytes()).await.assert_message("CIM");
    let metrics = server.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(metrics.body.contains("cimwright_panics_total 1\n"));
    assert!(server.ended().await);
}

#[tokio::test]
async fn stopping_finishes_what_has_begun_and_takes_nothing_new() {
    let mut server = TestServer::start();
    let mut working = server.connect().await;
    let mut idle = server.connect().await;
    idle.ask(post().bytes()).await.assert_message("CIM");
    working.send(Post::method("Wait").bytes()).await;
    in_time(server.fake.begun.notified()).await;
    server.begin_stop();
    assert!(idle.is_closed().await);
    while TcpStream::connect(server.http()).await.is_ok() {}
    server.fake.release.notify_one();
    let reply = working.reply().await;
    reply.assert_message("Wait");
    assert!(working.is_closed().await);
    assert!(server.ended().await);
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let mut server = TestServer::with(|c| c.server.shutdown_grace_ms = 50);
    let mut working = server.connect().await;
    working.send(Post::method("Wait").bytes()).await;
    in_time(server.fake.begun.notified()).await;
    server.begin_stop();
    assert!(working.try_reply().await.is_none());
    assert!(!server.ended().await);
}

#[tokio::test]
async fn a_request_during_the_stop_is_told_so() {
    let mut server = TestServer::start();
    let mut client = server.connect().await;
    // A request whose head has begun keeps its connection.
    let bytes = post().bytes();
    client.send(&bytes[..20]).await;
    let mut working = server.connect().await;
    working.send(Post::method("Wait").bytes()).await;
    in_time(server.fake.begun.notified()).await;
    server.begin_stop();
    while TcpStream::connect(server.http()).await.is_ok() {}
    client.send(&bytes[20..]).await;
    if let Some(reply) = client.try_reply().await {
        assert_eq!(reply.status, 503);
    }
    server.fake.release.notify_one();
    working.reply().await.assert_message("Wait");
    assert!(server.ended().await);
}

fn bind(config: &Config) -> Result<Server, StartError> {
    Server::bind(config, Arc::new(Fake::default()) as Arc<dyn Execute>)
}

#[tokio::test]
async fn what_prevents_a_start_is_told() {
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.state = state.path().to_owned();
    config.server.http = vec!["127.0.0.1:0".parse().unwrap()];
    config.server.https.clear();
    let server = bind(&config).unwrap();
    let addrs = server.local_addrs();

    let error = bind(&config).err().unwrap();
    assert!(matches!(error, StartError::Unix { .. }), "{error}");
    assert!(error.to_string().contains("another server listens on it"), "{error}");

    let mut other = config.clone();
    other.server.unix = "".into();
    other.server.http.clone_from(&addrs.http);
    let error = bind(&other).err().unwrap().to_string();
    assert!(error.starts_with(&format!("cannot listen on {}", addrs.http[0])), "{error}");

    other.server.state = state.path().join("file/below");
    std::fs::write(state.path().join("file"), "").unwrap();
    assert!(matches!(bind(&other), Err(StartError::State { .. })));

    // What a killed server left behind is no obstacle.
    let socket = addrs.unix.unwrap();
    drop(server);
    assert!(!socket.exists());
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    bind(&config).unwrap();
}

#[tokio::test]
async fn a_state_directory_that_everybody_may_write_to_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.state = state.path().to_owned();
    config.server.http = vec!["127.0.0.1:0".parse().unwrap()];
    config.server.https = Vec::new();
    let modes =
        [(0o777, false), (0o1777, false), (0o702, false), (0o755, true), (0o770, true), (0o700, true)];
    for (mode, starts) in modes {
        std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        match bind(&config) {
            Ok(_) => assert!(starts, "{mode:o}"),
            Err(error) => {
                assert!(!starts && matches!(error, StartError::OpenState { .. }), "{mode:o}: {error}");
                assert!(error.to_string().contains("chmod o-w"));
            }
        }
    }
}
