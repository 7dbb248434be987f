//! A server that answers what a test tells it to, byte by byte if need be.

use cimwright_cim::{CimError, OperationResult, Request};
use cimwright_client::Endpoint;
use cimwright_codec::cimxml::{EncodeContext, Headers, Limits, decode_request, encode_response};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which request of all, from 0.
    pub(crate) at: usize,
    /// Header fields, names in lower case.
    pub(crate) headers: HashMap<String, String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// What to answer.
pub(crate) enum Reply {
    /// These bytes; then wait for the next request.
    Bytes(Vec<u8>),
    /// These bytes; then close without announcing it.
    BytesThenClose(Vec<u8>),
    /// Never answer.
    Silence,
}

pub(crate) type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;
pub(crate) type Log = Arc<Mutex<Vec<Seen>>>;

/// Serves the script on a free loopback port.
pub(crate) async fn serve(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Endpoint, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Log::default();
    let (script, shared): (Script, Log) = (Arc::new(script), log.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, script.clone(), shared.clone()));
        }
    });
    (endpoint(address), log)
}

/// Serves what `answer` says to each decoded operation.
pub(crate) async fn serve_cim(
    answer: impl Fn(&Request) -> Result<OperationResult, CimError> + Send + Sync + 'static,
) -> (Endpoint, Log) {
    serve(move |seen| Reply::Bytes(cim_reply(seen, &answer))).await
}

pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_url(&format!("http://{address}")).unwrap()
}

/// One connection.
pub(crate) async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, script: Script, log: Log) {
    let mut buffer = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        let headers: HashMap<String, String> = head
            .lines()
            .skip(1)
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
            .collect();
        let length: usize = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
        while buffer.len() < head_end + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body = buffer[head_end..head_end + length].to_vec();
        buffer.drain(..head_end + length);
        let seen = {
            let mut log = log.lock().unwrap();
            let seen = Seen { at: log.len(), headers, body };
            log.push(seen.clone());
            seen
        };
        match script(&seen) {
            Reply::Bytes(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Reply::BytesThenClose(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Reply::Silence => std::future::pending().await,
        }
    }
}

/// A whole HTTP response.
pub(crate) fn http(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        out.push_str(header);
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    out.extend_from_slice(body);
    out
}

/// The HTTP response with what `answer` says to the operation in a request.
pub(crate) fn cim_reply(
    seen: &Seen,
    answer: &impl Fn(&Request) -> Result<OperationResult, CimError>,
) -> Vec<u8> {
    let header = |name: &str| seen.headers.get(name).map(String::as_bytes);
    let headers = Headers {
        cim_operation: header("cimoperation"),
        cim_method: header("cimmethod"),
        cim_object: header("cimobject"),
        cim_protocol_version: header("cimprotocolversion"),
        cim_batch: false,
    };
    let message = decode_request(&seen.body, &headers, &Limits::default()).expect("a sound request");
    let call = &message.requests[0];
    // What the codec refuses is answered as a server would.
    let (result, namespace) = match &call.request {
        Ok(request) => (answer(request), Some(&request.namespace)),
        Err(error) => (Err(error.clone()), None),
    };
    let context = EncodeContext { host: "test", namespace };
    let body = encode_response(&message.id, &call.name, call.intrinsic, &result, &context);
    http("200 OK", &["Content-Type: application/xml; charset=utf-8", "CIMOperation: MethodResponse"], &body)
}
