//! HTTP to a server: one keep-alive connection, made again when it went stale.

use crate::endpoint::{Address, Endpoint, Protocol};
use crate::error::ClientError;
use crate::tls;
use base64::Engine;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// A request that must not be sent twice uses a connection only if it was idle for less: servers close idle ones, and one that
/// closes while the request travels leaves open whether it was read.
const FRESH: Duration = Duration::from_secs(4);

/// How a client of WS-Management says that its certificate tells who it is (DSP0226 annex C).
const MUTUAL: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual";

/// The way to one server.
pub(crate) struct Transport {
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
    authorization: Option<HeaderValue>,
    connection: Mutex<Option<Connection>>,
}

/// One question, as HTTP has it.
pub(crate) struct Question {
    /// CIM headers.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The message.
    pub(crate) body: Bytes,
    /// Whether the server may be asked twice without harm.
    pub(crate) repeatable: bool,
    /// Whether the message is one of WS-Management.
    pub(crate) soap: bool,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    idle_since: Instant,
}

/// Why an exchange on a connection failed.
enum Broken {
    /// The server has seen nothing of the request.
    Unsent(hyper::Error),
    /// The server may have seen it.
    Lost(hyper::Error),
    /// The connection is sound but the answer is not wanted.
    Refused(ClientError),
}

impl Transport {
    /// Prepares the way; nothing is sent yet.
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self, ClientError> {
        let tls = match &endpoint.address {
            Address::Tcp { tls: true, .. } => {
                Some(tls::config(&endpoint.tls).map_err(|reason| ClientError::Tls {
                    endpoint: endpoint.to_string(),
                    reason,
                    advice: "name readable PEM files: the certificates to trust, and an own certificate with its key",
                })?)
            }
            Address::Tcp { .. } | Address::Unix(_) => None,
        };
        let mutual = || {
            // Windows wants to be told that the certificate is all there is; others take it without a word.
            let own =
                tls.is_some() && endpoint.tls.identity.is_some() && endpoint.protocol == Protocol::WsMan;
            own.then(|| HeaderValue::from_static(MUTUAL))
        };
        let authorization = endpoint.credentials.as_ref().map_or_else(mutual, |c| {
            let pair = format!("{}:{}", c.user, c.password);
            let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
            let mut value = HeaderValue::try_from(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Ok(Self { endpoint, tls, authorization, connection: Mutex::new(None) })
    }

    /// The server.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Connects, if there is no connection yet.
    pub(crate) async fn open(&self) -> Result<(), ClientError> {
        let mut slot = self.connection.lock().await;
        if slot.is_none() {
            *slot = Some(self.connect().await?);
        }
        Ok(())
    }

    /// Asks and waits for the whole answer: the body of a response with status 200.
    pub(crate) async fn exchange(&self, question: &Question) -> Result<Bytes, ClientError> {
        let (response, body, trailers) = self.answer(question).await?;
        self.judge(&response, body, &trailers, question.soap)
    }

    /// Asks and waits for the whole answer, of which any status that is no failure will do (202 and 204 among them).
    pub(crate) async fn hand_over(&self, question: &Question) -> Result<Bytes, ClientError> {
        let (response, body, _) = self.answer(question).await?;
        if response.status.is_success() {
            return Ok(body);
        }
        Err(ClientError::Http {
            endpoint: self.endpoint.to_string(),
            status: response.status.as_u16(),
            cim_error: None,
            detail: detail(&response.headers, &body),
        })
    }

    async fn answer(
        &self,
        question: &Question,
    ) -> Result<(hyper::http::response::Parts, Bytes, HeaderMap), ClientError> {
        // Taken out while in use: a caller that gives up in the middle leaves no half-read connection behind.
        let mut slot = self.connection.lock().await;
        let mut kept = slot.take().filter(|c| question.repeatable || c.idle_since.elapsed() < FRESH);
        loop {
            let (mut connection, reused) = match kept.take() {
                Some(connection) => (connection, true),
                None => (self.connect().await?, false),
            };
            let limit = self.endpoint.answer_timeout;
            let Ok(outcome) = timeout(limit, self.ask(&mut connection.sender, question)).await else {
                return Err(ClientError::Timeout { endpoint: self.endpoint.to_string(), limit });
            };
            match outcome {
                Ok(answer) => {
                    connection.idle_since = Instant::now();
                    *slot = Some(connection);
                    return Ok(answer);
                }
                Err(Broken::Refused(error)) => return Err(error),
                Err(Broken::Unsent(_)) if reused => {}
                Err(Broken::Lost(_)) if reused && question.repeatable => {}
                Err(Broken::Unsent(error) | Broken::Lost(error)) => {
                    if !reused && self.tls.is_none() && is_no_http(&error) {
                        return Err(self.other_protocol(&error));
                    }
                    return Err(ClientError::Lost {
                        endpoint: self.endpoint.to_string(),
                        reason: with_cause(&error),
                    });
                }
            }
        }
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let limit = self.endpoint.connect_timeout;
        match timeout(limit, self.dial()).await {
            Ok(connection) => connection,
            Err(_) => Err(self.no_connection(&io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} s", limit.as_secs_f32()),
            ))),
        }
    }

    async fn dial(&self) -> Result<Connection, ClientError> {
        match &self.endpoint.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|e| self.no_connection(&e))?;
                self.begin(stream).await
            }
            Address::Tcp { host, port, .. } => {
                let stream =
                    TcpStream::connect((host.as_str(), *port)).await.map_err(|e| self.no_connection(&e))?;
                // Questions are small and each waits for its answer.
                let _ = stream.set_nodelay(true);
                let Some(config) = &self.tls else { return self.begin(stream).await };
                let name = ServerName::try_from(host.clone())
                    .map_err(|e| self.no_tls(e.to_string(), "use a host name or an IP address"))?;
                let stream = TlsConnector::from(config.clone())
                    .connect(name, stream)
                    .await
                    .map_err(|e| self.no_tls(e.to_string(), tls_advice(&e)))?;
                self.begin(stream).await
            }
        }
    }

    async fn begin<S>(&self, stream: S) -> Result<Connection, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| self.no_connection(&io::Error::other(with_cause(&e))))?;
        // Ends when the sender is dropped or the server closes; its error also reaches the waiting request.
        tokio::spawn(connection);
        Ok(Connection { sender, idle_since: Instant::now() })
    }

    async fn ask(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        question: &Question,
    ) -> Result<(hyper::http::response::Parts, Bytes, HeaderMap), Broken> {
        sender.ready().await.map_err(Broken::Unsent)?;
        let response = sender.try_send_request(self.request(question)).await.map_err(|mut e| {
            match e.take_message() {
                Some(_) => Broken::Unsent(e.into_error()),
                None => Broken::Lost(e.into_error()),
            }
        })?;
        let (parts, body) = Response::into_parts(response);
        let (body, trailers) = self.collect(body).await?;
        Ok((parts, body, trailers))
    }

    fn request(&self, question: &Question) -> Request<Full<Bytes>> {
        let (target, host) = match &self.endpoint.address {
            Address::Tcp { path, host, port, .. } if host.contains(':') => {
                (path.as_str(), format!("[{host}]:{port}"))
            }
            Address::Tcp { path, host, port, .. } => (path.as_str(), format!("{host}:{port}")),
            Address::Unix(_) if question.soap => ("/wsman", "localhost".to_owned()),
            Address::Unix(_) => ("/cimom", "localhost".to_owned()),
        };
        let mut request = Request::new(Full::new(question.body.clone()));
        *request.method_mut() = Method::POST;
        // Both were checked when the endpoint was made; the defaults keep this function total.
        *request.uri_mut() = target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::try_from(host).unwrap_or(HeaderValue::from_static("localhost")));
        headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("cimwright/", env!("CARGO_PKG_VERSION"))));
        let (kind, accepted) = if question.soap {
            ("application/soap+xml;charset=UTF-8", "application/soap+xml")
        } else {
            ("application/xml; charset=utf-8", "application/xml, text/xml")
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(ACCEPT, HeaderValue::from_static(accepted));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        for (name, value) in &question.headers {
            headers.insert(name.clone(), value.clone());
        }
        request
    }

    async fn collect(&self, mut body: Incoming) -> Result<(Bytes, HeaderMap), Broken> {
        let limit = self.endpoint.max_answer;
        let too_large =
            || Broken::Refused(ClientError::TooLarge { endpoint: self.endpoint.to_string(), limit });
        let announced = body.size_hint().lower();
        if announced > limit as u64 {
            return Err(too_large());
        }
        // An announced length is a claim: no more than a mebibyte is set aside for it.
        let mut whole = BytesMut::with_capacity(announced.min(1 << 20) as usize);
        let mut trailers = HeaderMap::new();
        while let Some(frame) = body.frame().await {
            match frame.map_err(Broken::Lost)?.into_data() {
                Ok(data) if whole.len() + data.len() > limit => return Err(too_large()),
                Ok(data) => whole.extend_from_slice(&data),
                Err(other) => {
                    if let Ok(fields) = other.into_trailers() {
                        trailers = fields;
                    }
                }
            }
        }
        Ok((whole.freeze(), trailers))
    }

    /// The body of an answer that is a CIM message; every other answer is an error.
    fn judge(
        &self,
        response: &hyper::http::response::Parts,
        body: Bytes,
        trailers: &HeaderMap,
        soap: bool,
    ) -> Result<Bytes, ClientError> {
        let endpoint = self.endpoint.to_string();
        if response.status == StatusCode::UNAUTHORIZED {
            return Err(ClientError::Unauthorized {
                endpoint,
                user: self.endpoint.credentials.as_ref().map(|c| c.user.clone()),
                challenge: text(&response.headers, WWW_AUTHENTICATE.as_str()),
            });
        }
        if soap && kind_of(&response.headers) == "application/soap+xml" {
            // A fault comes with a status of its own.
            return Ok(body);
        }
        if response.status != StatusCode::OK {
            return Err(ClientError::Http {
                endpoint,
                status: response.status.as_u16(),
                cim_error: text(&response.headers, "CIMError"),
                detail: detail(&response.headers, &body),
            });
        }
        // A server that fails while it streams says so after the last chunk (DSP0200 7.2.2).
        if let Some(error) = crate::wire::trailer_error(
            text(trailers, "CIMStatusCode").as_deref(),
            text(trailers, "CIMStatusCodeDescription").as_deref(),
        ) {
            return Err(ClientError::Cim(error));
        }
        let kind = kind_of(&response.headers);
        if !matches!(kind.as_str(), "" | "application/xml" | "text/xml") {
            let wanted = if soap { "application/soap+xml" } else { "application/xml" };
            let reason = format!("its Content-Type is \"{kind}\", not {wanted}");
            return Err(ClientError::Malformed { endpoint, reason });
        }
        Ok(body)
    }

    fn no_connection(&self, error: &io::Error) -> ClientError {
        let unix = matches!(self.endpoint.address, Address::Unix(_));
        let advice = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused if unix => {
                "start the local server with `cimwright serve`, or give the address of another one"
            }
            io::ErrorKind::PermissionDenied if unix => {
                "the socket is not open to this user; ask as the user the server runs as, or connect over http(s) with a password"
            }
            io::ErrorKind::ConnectionRefused => "check that the server runs and that the port is right",
            io::ErrorKind::TimedOut => "check the address, and that no firewall is in between",
            _ => "check the host name and the network",
        };
        ClientError::Connect { endpoint: self.endpoint.to_string(), reason: error.to_string(), advice }
    }

    /// What a port for TLS says to plain HTTP is an alert, and nothing of the request has been read as one.
    fn other_protocol(&self, error: &hyper::Error) -> ClientError {
        ClientError::Connect {
            endpoint: self.endpoint.to_string(),
            reason: format!("what answers there speaks no HTTP ({})", with_cause(error)),
            advice: "if the port speaks TLS, ask with https:// instead of http://: 5989 and 5986 usually do",
        }
    }

    fn no_tls(&self, reason: String, advice: &'static str) -> ClientError {
        ClientError::Tls { endpoint: self.endpoint.to_string(), reason, advice }
    }
}

/// Whether an answer does not even begin as one of HTTP.
fn is_no_http(error: &hyper::Error) -> bool {
    // hyper tells this kind from others by its text only.
    error.is_parse() && error.to_string().contains("invalid HTTP version")
}

fn tls_advice(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName))
        | Some(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForNameContext {
            ..
        })) => "use the host name that the certificate was made for",
        Some(rustls::Error::InvalidCertificate(_)) => {
            "name the file with the certificate to trust, or, knowing the risk, switch the verification off"
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "check that the port speaks TLS: 5989 usually does, 5988 does not"
        }
        _ => "check that the port speaks TLS: 5989 usually does, 5988 does not",
    }
}

/// The media type of an answer; empty if it has none.
fn kind_of(headers: &HeaderMap) -> String {
    let kind = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The text of a header, if it is text at all.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned()).filter(|t| !t.is_empty())
}

/// What a server says beside the status: in the header that OpenPegasus and its peers use, in the one that pywbem's listener
/// uses, or in a short plain body.
fn detail(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    if let Some(detail) = text(headers, "PGErrorDetail").or_else(|| text(headers, "CIMErrorDetails")) {
        return Some(crate::wire::percent_decoded(&detail));
    }
    let kind = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    if !kind.starts_with("text/plain") {
        return None;
    }
    let line = String::from_utf8_lossy(&body[..body.len().min(400)]).lines().next()?.trim().to_owned();
    Some(line).filter(|l| !l.is_empty())
}

fn with_cause(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
