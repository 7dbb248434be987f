//! The other end of an export: a listener that takes indications (DSP0200 6.2, 7.4).

use crate::sequence::{Arrival, Sequences};
use bytes::Bytes;
use cimwright_cim::{CimError, Instance};
use cimwright_codec::cimxml;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// The largest indication that is taken, in bytes.
const MAX_BODY: usize = 16 << 20;

/// How many connections there may be at a time.
const CONNECTIONS: usize = 256;

/// How long a sender may take for the TLS handshake, for the headers, and for the body of a message.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is done with an indication. The sender is answered when it returns, and sends the indication again after an error.
pub type Taker = Arc<dyn Fn(Instance, Arrival) -> Result<(), CimError> + Send + Sync>;

/// A listener on a TCP port.
pub struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Takes the address; port 0 takes a free port. With `tls`, https is spoken and nothing else.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, tls: tls.map(TlsAcceptor::from) })
    }

    /// The address that was taken.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes indications until the future is dropped. What has been taken before, by context and number, is answered as taken
    /// and not given to `taker` again.
    pub async fn run(self, taker: Taker) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let sequences = Arc::new(Mutex::new(Sequences::default()));
        // Ends the connections when the listener ends.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let Ok((stream, _)) = self.socket.accept().await else {
                // Too many open files, most likely: others have to close some first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let (tls, taker, sequences) = (self.tls.clone(), Arc::clone(&taker), Arc::clone(&sequences));
            connections.spawn(async move {
                match tls {
                    None => serve(stream, &taker, &sequences).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                            serve(stream, &taker, &sequences).await;
                        }
                    }
                }
                drop(permit);
            });
        }
    }
}

async fn serve<S>(stream: S, taker: &Taker, sequences: &Mutex<Sequences>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        service_fn(|request| async move { Ok::<_, Infallible>(answer(request, taker, sequences).await) });
    // A sender that breaks off is no concern of the listener: it will come again.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    taker: &Taker,
    sequences: &Mutex<Sequences>,
) -> Response<Full<Bytes>> {
    if request.method() != Method::POST {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, None);
    }
    if !is_export(request.headers()) {
        return refusal(StatusCode::BAD_REQUEST, Some("header-mismatch"));
    }
    let body = tokio::time::timeout(PATIENCE, Limited::new(request.into_body(), MAX_BODY).collect()).await;
    let Ok(body) = body else { return refusal(StatusCode::REQUEST_TIMEOUT, None) };
    let Ok(body) = body else { return refusal(StatusCode::PAYLOAD_TOO_LARGE, None) };
    let limits = cimxml::Limits { bytes: MAX_BODY, ..cimxml::Limits::for_responses() };
    let (id, indication) = match cimxml::decode_export_request(&body.to_bytes(), &limits) {
        Ok(message) => message,
        Err(error) => {
            let status = StatusCode::from_u16(error.http_status).unwrap_or(StatusCode::BAD_REQUEST);
            return refusal(status, Some("request-not-valid"));
        }
    };
    // Held while it is taken: two connections may bring the same indication.
    let mut sequences = sequences.lock().unwrap_or_else(PoisonError::into_inner);
    let arrival = sequences.look(&indication);
    let result = match arrival {
        Arrival::Repeated => Ok(()),
        _ => {
            let context = indication.get_str("SequenceContext").map(str::to_owned);
            let number = indication.get("SequenceNumber").and_then(cimwright_cim::Value::as_i128);
            let taken = taker(indication, arrival);
            if taken.is_ok() {
                sequences.taken(context, number);
            }
            taken
        }
    };
    drop(sequences);
    let mut response = Response::new(Full::new(Bytes::from(cimxml::encode_export_response(&id, &result))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
    headers.insert("CIMExport", HeaderValue::from_static("MethodResponse"));
    response
}

fn is_export(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| {
        headers.get(name).and_then(|h| h.to_str().ok()).is_some_and(|h| h.trim().eq_ignore_ascii_case(value))
    };
    is("CIMExport", "MethodRequest") && is("CIMExportMethod", cimxml::EXPORT_INDICATION)
}

fn refusal(status: StatusCode, error: Option<&'static str>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    if let Some(error) = error {
        response.headers_mut().insert("CIMError", HeaderValue::from_static(error));
    }
    response
}
