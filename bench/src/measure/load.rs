//! The load generator: keep-alive connections on one thread of their own.
//!
//! It comes in two kinds. A hyper client is what a program would use. The lean one writes prepared bytes and looks only for the
//! length of the answer, so that as much as possible of the processor is left to the server.

use crate::failure::{Failure, Result};
use crate::proc;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// What every connection does before it is counted.
const WARM_UP: Duration = Duration::from_millis(100);

/// What is sent to whom.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The server.
    pub(crate) address: SocketAddr,
    /// Its process, for the processor time it takes.
    pub(crate) pid: u32,
    /// The requests, sent in turn.
    pub(crate) requests: Arc<[Bytes]>,
    /// How many connections ask at the same time, each one request after the other.
    pub(crate) connections: usize,
    /// How long.
    pub(crate) span: Duration,
    /// What every answer must hold.
    pub(crate) expect: &'static str,
    /// Which kind of client asks.
    pub(crate) client: ClientKind,
}

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    /// hyper.
    Hyper,
    /// Prepared bytes.
    Lean,
}

/// How fast a server answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Answers in a second.
    pub(crate) per_second: f64,
    /// Processor time of the server for each.
    pub(crate) cpu: Duration,
}

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    head: usize,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.map_err(Failure::connection("connecting"))?;
        stream.set_nodelay(true).map_err(Failure::connection("connecting"))?;
        Ok(Self { stream, buffer: Vec::with_capacity(32 << 10), head: 0 })
    }

    /// Sends a request and reads the answer, which must have a Content-Length.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await.map_err(Failure::connection("sending"))?;
        self.buffer.clear();
        let mut wanted = None;
        loop {
            let read =
                self.stream.read_buf(&mut self.buffer).await.map_err(Failure::connection("reading"))?;
            if read == 0 {
                let ended = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(Failure::connection("reading")(ended));
            }
            if wanted.is_none() {
                wanted = measure(&self.buffer)
                    .map_err(|answered| Failure::Answer { asked: "a request", answered })?;
            }
            if let Some((head, length)) = wanted
                && self.buffer.len() >= head + length
            {
                self.head = head;
                return Ok(());
            }
        }
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.head..]
    }

    /// Head and body of the last answer.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.buffer
    }
}

impl Load {
    /// Measures.
    pub(crate) async fn run(&self) -> Result<Rate> {
        let load = self.clone();
        let worker = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(Failure::connection("starting the load generator"))?;
            LocalSet::new().block_on(&runtime, load.generate())
        });
        worker.await.map_err(|e| Failure::connection("generating load")(std::io::Error::other(e)))?
    }

    async fn generate(self) -> Result<Rate> {
        let pace = Rc::new(Pace::default());
        let mut workers = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            let (pace, requests, expect) = (Rc::clone(&pace), Arc::clone(&self.requests), self.expect);
            workers.push(match self.client {
                ClientKind::Lean => {
                    let connection = Connection::open(self.address).await?;
                    tokio::task::spawn_local(ask_leanly(connection, pace, requests, expect))
                }
                ClientKind::Hyper => {
                    let sender = connect(self.address).await?;
                    tokio::task::spawn_local(ask_properly(sender, pace, requests, expect))
                }
            });
        }
        tokio::time::sleep(WARM_UP).await;
        let cpu_before = proc::cpu_time(self.pid).unwrap_or_default();
        let began = Instant::now();
        pace.counting.set(true);
        tokio::time::sleep(self.span).await;
        pace.counting.set(false);
        let passed = began.elapsed();
        let cpu = proc::cpu_time(self.pid).unwrap_or_default().saturating_sub(cpu_before);
        pace.over.set(true);
        for worker in workers {
            worker.await.map_err(|e| Failure::connection("generating load")(std::io::Error::other(e)))??;
        }
        let count = pace.count.get();
        let per_second = count as f64 / passed.as_secs_f64();
        let cpu = cpu.checked_div(u32::try_from(count).unwrap_or(u32::MAX).max(1)).unwrap_or_default();
        Ok(Rate { per_second, cpu })
    }
}

/// What all connections of a load share.
#[derive(Default)]
struct Pace {
    next: Cell<usize>,
    counting: Cell<bool>,
    over: Cell<bool>,
    count: Cell<u64>,
}

impl Pace {
    /// The place of the next request.
    fn next(&self, requests: usize) -> usize {
        let at = self.next.get();
        self.next.set(at + 1);
        at % requests.max(1)
    }

    /// An answer came. TRUE if it is one to look into: to look into all of them would measure the looking.
    fn answered(&self) -> bool {
        if self.counting.get() {
            self.count.set(self.count.get() + 1);
        }
        self.count.get().is_multiple_of(64)
    }
}

async fn ask_leanly(
    mut connection: Connection,
    pace: Rc<Pace>,
    requests: Arc<[Bytes]>,
    expect: &'static str,
) -> Result<()> {
    while !pace.over.get() {
        connection.ask(&requests[pace.next(requests.len())]).await?;
        if pace.answered() {
            check(connection.body(), expect)?;
        }
    }
    Ok(())
}

async fn ask_properly(
    mut sender: SendRequest<Full<Bytes>>,
    pace: Rc<Pace>,
    requests: Arc<[Bytes]>,
    expect: &'static str,
) -> Result<()> {
    let broken = |e: hyper::Error| Failure::connection("asking")(std::io::Error::other(e));
    let prepared: Vec<(HeaderMap, Bytes)> = requests.iter().filter_map(split).collect();
    if prepared.is_empty() {
        return Err(Failure::Answer { asked: "the load generator", answered: "nothing to send".to_owned() });
    }
    while !pace.over.get() {
        let (headers, body) = &prepared[pace.next(prepared.len())];
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = hyper::Uri::from_static("/cimom");
        *request.headers_mut() = headers.clone();
        sender.ready().await.map_err(broken)?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        if status != 200 {
            return Err(Failure::Answer { asked: "a request", answered: status.to_string() });
        }
        if pace.answered() {
            check(&body, expect)?;
        }
    }
    Ok(())
}

/// The body of one answer, however it is framed.
pub(crate) async fn fetch(address: SocketAddr, request: &Bytes) -> Result<Bytes> {
    let broken = |e: hyper::Error| Failure::connection("asking")(std::io::Error::other(e));
    let stream = TcpStream::connect(address).await.map_err(Failure::connection("connecting"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let (headers, body) = split(request)
        .ok_or_else(|| Failure::Answer { asked: "a request", answered: "no request".to_owned() })?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = hyper::Method::POST;
    *request.uri_mut() = hyper::Uri::from_static("/cimom");
    *request.headers_mut() = headers;
    let response = sender.send_request(request).await.map_err(broken)?;
    let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
    driver.abort();
    Ok(body)
}

/// A connection of hyper, driven by a task of its own.
async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.map_err(Failure::connection("connecting"))?;
    stream.set_nodelay(true).map_err(Failure::connection("connecting"))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) =
        handshake.map_err(|e| Failure::connection("connecting")(std::io::Error::other(e)))?;
    // Ends when the sender is dropped; its error also reaches the request.
    tokio::task::spawn_local(connection);
    Ok(sender)
}

/// The headers and the body of prepared bytes.
fn split(request: &Bytes) -> Option<(HeaderMap, Bytes)> {
    let end = request.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&request[..end]).ok()?;
    let mut headers = HeaderMap::new();
    for line in head.split("\r\n").skip(1) {
        let (name, value) = line.split_once(':')?;
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value.trim()).ok()?);
    }
    Some((headers, request.slice(end + 4..)))
}

/// Whether a body is what it should be.
pub(crate) fn check(body: &[u8], expect: &str) -> Result<()> {
    if contains(body, expect.as_bytes()) {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(&body[..body.len().min(600)]).into_owned();
    Err(Failure::Answer { asked: "a request of the load generator", answered: shown })
}

/// Whether `needle` is in `text`.
pub(crate) fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// Where the body begins and how long it is; nothing while the head is not complete.
fn measure(answer: &[u8]) -> std::result::Result<Option<(usize, usize)>, String> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&answer[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(head.into_owned());
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    length.map(|length| Some((end + 4, length))).ok_or_else(|| head.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_an_answer_is_read() {
        assert_eq!(measure(b"HTTP/1.1 200 OK\r\ncontent-Length: 5\r\n"), Ok(None));
        let whole = b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-Length: 5\r\n\r\nhello";
        assert_eq!(measure(whole), Ok(Some((whole.len() - 5, 5))));
        assert!(measure(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(measure(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn prepared_bytes_are_taken_apart() {
        let (headers, body) =
            split(&Bytes::from_static(b"POST / HTTP/1.1\r\nA: b\r\n\r\nhi")).expect("whole");
        assert_eq!((headers["a"].as_bytes(), &body[..]), (&b"b"[..], &b"hi"[..]));
        assert!(split(&Bytes::from_static(b"POST / HTTP/1.1\r\nA: b\r\n")).is_none());
    }

    #[test]
    fn an_unexpected_body_is_an_error() {
        assert!(check(b"<VALUE>4096</VALUE>", ">4096<").is_ok());
        assert!(check(b"<ERROR CODE=\"1\"/>", ">4096<").is_err());
    }
}
