//! Indications over real sockets: our exporter and our listener, and what each refuses of others.

use cimwright_cim::{CimError, Instance, Value};
use cimwright_client::{Address, Arrival, ClientError, Endpoint, Exporter, Listener, Taker, server_config};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Heard = Arc<Mutex<Vec<(i128, Arrival)>>>;

fn indication(number: i64) -> Instance {
    Instance::new("CIM_AlertIndication")
        .with("SequenceContext", "c")
        .with("SequenceNumber", Value::Sint64(number))
        .with("Inner", Value::Instance(Box::new(Instance::new("X").with("Text", "a < b & \"c\""))))
}

fn endpoint(address: SocketAddr, tls: bool) -> Endpoint {
    let mut endpoint = Endpoint::new(Address::Tcp {
        host: address.ip().to_string(),
        port: address.port(),
        tls,
        path: "/".to_owned(),
    });
    endpoint.connect_timeout = Duration::from_secs(20);
    endpoint.answer_timeout = Duration::from_secs(20);
    endpoint
}

fn taker(heard: &Heard) -> Taker {
    let heard = Arc::clone(heard);
    Arc::new(move |indication, arrival| {
        let number = indication.get("SequenceNumber").and_then(Value::as_i128).unwrap();
        if number == 13 {
            return Err(CimError::failed("queue full"));
        }
        assert_eq!(
            indication.get("Inner").unwrap().as_instance().unwrap().get_str("Text"),
            Some("a < b & \"c\"")
        );
        heard.lock().unwrap().push((number, arrival));
        Ok(())
    })
}

async fn listener(heard: &Heard) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None).await.unwrap();
    (listener.address().unwrap(), tokio::spawn(listener.run(taker(heard))))
}

#[tokio::test]
async fn indications_arrive_once_and_refusals_come_back() {
    let heard = Heard::default();
    let (address, task) = listener(&heard).await;
    let exporter = Exporter::new(endpoint(address, false)).unwrap();
    for number in [0, 1, 1, 4] {
        exporter.export(&indication(number)).await.unwrap();
    }
    let expected = [(0, Arrival::First), (1, Arrival::Next), (4, Arrival::After(2))];
    assert_eq!(*heard.lock().unwrap(), expected);
    match exporter.export(&indication(13)).await.unwrap_err() {
        ClientError::Cim(error) => assert!(error.to_string().contains("queue full"), "{error}"),
        other => panic!("{other}"),
    }
    task.abort();
    let _ = task.await;
    assert!(exporter.export(&indication(5)).await.is_err(), "nobody is there");

    // It comes back on its port, and the exporter finds it again.
    let again = Listener::bind(address, None).await.unwrap();
    let task = tokio::spawn(again.run(taker(&heard)));
    exporter.export(&indication(5)).await.unwrap();
    assert_eq!(heard.lock().unwrap().last(), Some(&(5, Arrival::First)));
    task.abort();
}

#[tokio::test]
async fn https_is_spoken_and_certificates_are_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    assert!(server_config(&key, &certificate).is_err(), "the wrong way round");
    let config = server_config(&certificate, &key).unwrap();
    let heard = Heard::default();
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Some(config)).await.unwrap();
    let address = listener.address().unwrap();
    let task = tokio::spawn(listener.run(taker(&heard)));

    let strange = Exporter::new(endpoint(address, true)).unwrap();
    assert!(matches!(strange.export(&indication(0)).await, Err(ClientError::Tls { .. })));
    let mut trusting = endpoint(address, true);
    trusting.tls.ca_file = Some(certificate);
    Exporter::new(trusting).unwrap().export(&indication(0)).await.unwrap();
    assert_eq!(heard.lock().unwrap().len(), 1);
    task.abort();
}

/// Sends a request as it stands and gives the first line of the answer.
async fn status(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 200];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_listener_takes_nothing_but_exports() {
    let heard = Heard::default();
    let (address, task) = listener(&heard).await;
    let export = "CIMExport: MethodRequest\r\nCIMExportMethod: ExportIndication\r\n";
    for (request, code) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "405"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".to_owned(), "400"),
        (format!("POST / HTTP/1.1\r\nHost: x\r\n{export}Content-Length: 3\r\n\r\n<x>"), "400"),
    ] {
        let line = status(address, &request).await;
        assert!(line.contains(code), "{request}: {line}");
    }
    assert!(heard.lock().unwrap().is_empty());
    task.abort();
}

/// A server that answers everything with these bytes.
async fn answering(answer: &'static [u8]) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut request = vec![0; 64 << 10];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

#[tokio::test]
async fn an_exporter_follows_nobody_and_believes_nothing_else() {
    let elsewhere = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let exporter = Exporter::new(endpoint(answering(elsewhere).await, false)).unwrap();
    assert!(matches!(exporter.export(&indication(0)).await, Err(ClientError::Http { status: 302, .. })));
    let nonsense = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 4\r\n\r\n<a/>";
    let exporter = Exporter::new(endpoint(answering(nonsense).await, false)).unwrap();
    assert!(matches!(exporter.export(&indication(0)).await, Err(ClientError::Malformed { .. })));
    let endless = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 99999999\r\n\r\n";
    let mut bounded = endpoint(answering(endless).await, false);
    bounded.max_answer = 1000;
    let exporter = Exporter::new(bounded).unwrap();
    assert!(matches!(exporter.export(&indication(0)).await, Err(ClientError::TooLarge { .. })));
}
