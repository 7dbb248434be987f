//! The HTTP side of the client against a server that misbehaves on command.

use crate::server::{Reply, Seen, cim_reply, http, serve, serve_cim, talk};
use cimwright_cim::{
    CimError, CimStatus, Instance, InstancePath, NamespaceName, ObjectPath, OperationResult, Request,
};
use cimwright_client::{Client, ClientError, Credentials, Endpoint};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};

fn path() -> InstancePath {
    InstancePath::new(NamespaceName::new("root/x"), "X_Thing").with_key("K", "é \"1\"")
}

fn instance(_: &Request) -> Result<OperationResult, CimError> {
    Ok(OperationResult::Instance(Box::new(Instance::new("X_Thing").with("K", "é \"1\""))))
}

fn sound(seen: &Seen) -> Vec<u8> {
    cim_reply(seen, &instance)
}

#[tokio::test]
async fn one_connection_serves_many_calls_and_sends_the_headers_of_the_standard() {
    let (endpoint, log) = serve_cim(instance).await;
    let client = Client::connect(endpoint).await.unwrap();
    for _ in 0..3 {
        let found = client.get_instance(&path(), None).await.unwrap();
        assert_eq!(found.get_str("K"), Some("é \"1\""));
        assert_eq!(found.path, Some(path()));
    }
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 3);
    assert_eq!(log[0].headers["cimoperation"], "MethodCall");
    assert_eq!(log[0].headers["cimmethod"], "GetInstance");
    assert_eq!(log[0].headers["cimobject"], "root/x");
    assert!(log[0].headers["content-type"].starts_with("application/xml"));
    assert!(!log[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn plain_http_to_a_port_for_tls_is_told_as_such() {
    // The alert that ends a handshake which cannot be: fatal, decode_error.
    let (endpoint, _) =
        serve(|_| Reply::BytesThenClose(vec![0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x32])).await;
    let client = Client::connect(endpoint).await.unwrap();
    let error = client.get_instance(&path(), None).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("speaks no HTTP"), "{error}");
    assert!(error.advice().unwrap().contains("https://"), "{:?}", error.advice());
}

#[tokio::test]
async fn wrong_credentials_are_told_apart_from_none() {
    let (mut endpoint, log) =
        serve(|_| Reply::Bytes(http("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"x\""], b"")))
            .await;
    endpoint.credentials = Some(Credentials { user: "ann".into(), password: "pä:ss".into() });
    let client = Client::connect(endpoint.clone()).await.unwrap();
    let error = client.get_instance(&path(), None).await.unwrap_err();
    let ClientError::Unauthorized { user, challenge, .. } = &error else { panic!("{error:?}") };
    assert_eq!((user.as_deref(), challenge.as_deref()), (Some("ann"), Some("Basic realm=\"x\"")));
    assert!(!error.to_string().contains("pä:ss"));
    // RFC 7617 in UTF-8.
    assert_eq!(log.lock().unwrap()[0].headers["authorization"], "Basic YW5uOnDDpDpzcw==");

    endpoint.credentials = None;
    let client = Client::connect(endpoint).await.unwrap();
    let error = client.get_instance(&path(), None).await.unwrap_err();
    assert_eq!(error.advice().as_deref(), Some("name a user and a password"));
}

#[tokio::test]
async fn the_cim_error_header_and_its_detail_are_told() {
    let (endpoint, _) = serve(|_| {
        Reply::Bytes(http(
            "400 Bad Request",
            &["CIMError: header-mismatch", "PGErrorDetail: no%20such%20%C3%A4"],
            b"",
        ))
    })
    .await;
    let client = Client::connect(endpoint).await.unwrap();
    let error = client.get_instance(&path(), None).await.unwrap_err();
    let ClientError::Http { status, cim_error, detail, .. } = &error else { panic!("{error:?}") };
    assert_eq!(
        (*status, cim_error.as_deref(), detail.as_deref()),
        (400, Some("header-mismatch"), Some("no such ä"))
    );
}

#[tokio::test]
async fn a_refused_operation_keeps_its_status_and_text() {
    let (endpoint, _) = serve_cim(|_| Err(CimError::not_found("no thing \"1\""))).await;
    let client = Client::connect(endpoint).await.unwrap();
    let error = client.get_instance(&path(), None).await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(error.to_string(), "CIM_ERR_NOT_FOUND: no thing \"1\"");
    assert!(client.delete_instance(&path()).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_connection_that_went_stale_is_replaced_for_reading() {
    // The second request on each connection meets a server that has just closed it.
    let (endpoint, log) = serve(|seen| Reply::BytesThenClose(sound(seen))).await;
    let client = Client::connect(endpoint).await.unwrap();
    for _ in 0..4 {
        client.get_instance(&path(), None).await.unwrap();
    }
    assert_eq!(log.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn an_answer_lost_on_a_kept_connection_is_asked_for_again_only_when_reading() {
    let (endpoint, log) = serve(|seen| match seen.at {
        1 | 4 => Reply::BytesThenClose(Vec::new()),
        _ => Reply::Bytes(sound(seen)),
    })
    .await;
    let client = Client::connect(endpoint).await.unwrap();
    client.get_instance(&path(), None).await.unwrap();
    client.get_instance(&path(), None).await.unwrap();
    assert_eq!(log.lock().unwrap().len(), 3, "the second request was repeated");
    client.get_instance(&path(), None).await.unwrap();
    let error = client.delete_instance(&path()).await.unwrap_err();
    assert!(matches!(error, ClientError::Lost { .. }), "{error:?}");
    assert_eq!(log.lock().unwrap().len(), 5, "a deletion is never repeated");
    let target = ObjectPath::Instance(path());
    let answer = client.invoke(&target, "Destroy", Vec::new()).await;
    assert!(answer.is_err(), "the reply is that of GetInstance");
    client.get_instance(&path(), None).await.unwrap();
}

#[tokio::test]
async fn an_answer_beyond_the_bound_is_refused_announced_or_not() {
    let big = vec![b' '; 5000];
    let chunked = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n".as_slice(),
        &big,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let announced = http("200 OK", &["Content-Type: text/xml"], &big);
    let (mut endpoint, _) =
        serve(move |seen| Reply::Bytes(if seen.at == 0 { announced.clone() } else { chunked.clone() })).await;
    endpoint.max_answer = 4999;
    let client = Client::connect(endpoint).await.unwrap();
    for _ in 0..2 {
        let error = client.get_instance(&path(), None).await.unwrap_err();
        assert!(matches!(error, ClientError::TooLarge { limit: 4999, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_fails_while_it_streams_says_so_in_the_trailers() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nTransfer-Encoding: chunked\r\n\
        Trailer: CIMStatusCode, CIMStatusCodeDescription\r\n\r\n4\r\n<CIM\r\n0\r\n\
        CIMStatusCode: 27\r\nCIMStatusCodeDescription: too%20much\r\n\r\n";
    let (endpoint, _) = serve(move |_| Reply::Bytes(reply.as_bytes().to_vec())).await;
    let client = Client::connect(endpoint).await.unwrap();
    let error = client.get_instance(&path(), None).await.unwrap_err();
    assert_eq!(error.status(), Some(CimStatus::ServerLimitsExceeded));
    assert!(error.to_string().ends_with("too much"));
}

#[tokio::test]
async fn what_is_no_cim_xml_is_malformed() {
    let (endpoint, _) = serve(|seen| {
        Reply::Bytes(match seen.at {
            0 => http("200 OK", &["Content-Type: text/html"], b"<html></html>"),
            1 => http("200 OK", &["Content-Type: text/xml"], b"<CIM"),
            _ => http("200 OK", &[], b""),
        })
    })
    .await;
    let client = Client::connect(endpoint).await.unwrap();
    for _ in 0..3 {
        let error = client.get_instance(&path(), None).await.unwrap_err();
        assert!(matches!(error, ClientError::Malformed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up_on() {
    let (mut endpoint, _) = serve(|_| Reply::Silence).await;
    endpoint.answer_timeout = Duration::from_millis(50);
    let client = Client::connect(endpoint).await.unwrap();
    let error = client.get_instance(&path(), None).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_there_is_told_with_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::connect(crate::server::endpoint(address)).await.err().unwrap();
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    assert!(error.advice().unwrap().contains("port"));

    let missing = Endpoint::from_url("unix:///nonexistent/cimwright.sock").unwrap();
    let error = Client::connect(missing).await.err().unwrap();
    assert!(error.advice().unwrap().contains("cimwright serve"), "{error}");
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("a.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        talk(stream, Arc::new(|seen: &Seen| Reply::Bytes(sound(seen))), crate::server::Log::default()).await;
    });
    let endpoint = Endpoint::from_url(&format!("unix://{}", socket.display())).unwrap();
    let client = Client::connect(endpoint).await.unwrap();
    assert_eq!(client.get_instance(&path(), None).await.unwrap().class, "X_Thing");
}

#[tokio::test]
async fn a_certificate_is_trusted_when_named_or_when_told_so() {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                let script = Arc::new(|seen: &Seen| Reply::Bytes(sound(seen)));
                tokio::spawn(talk(stream, script, crate::server::Log::default()));
            }
        }
    });
    let mut endpoint = Endpoint::from_url(&format!("https://127.0.0.1:{port}")).unwrap();

    let error = Client::connect(endpoint.clone()).await.err().unwrap();
    assert!(matches!(error, ClientError::Tls { .. }), "{error:?}");
    assert!(error.advice().unwrap().contains("certificate to trust"), "{:?}", error.advice());

    endpoint.tls.insecure = true;
    let client = Client::connect(endpoint.clone()).await.unwrap();
    client.get_instance(&path(), None).await.unwrap();

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    endpoint.tls = cimwright_client::TlsOptions { ca_file: Some(file.clone()), ..Default::default() };
    let client = Client::connect(endpoint.clone()).await.unwrap();
    client.get_instance(&path(), None).await.unwrap();

    std::fs::write(&file, "nothing").unwrap();
    let error = Client::connect(endpoint).await.err().unwrap();
    assert!(error.to_string().contains("no certificate"), "{error}");
}
