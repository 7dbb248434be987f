//! The load generator: keep-alive connections that send prepared bytes, as lean as they can be, so that the server is what is
//! measured. It runs on one thread of its own.

use crate::failure::{Failure, Result};
use crate::proc;
use bytes::Bytes;
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
        let counting = Rc::new(Cell::new(false));
        let over = Rc::new(Cell::new(false));
        let mut workers = Vec::with_capacity(self.connections);
        let next = Rc::new(Cell::new(0usize));
        for _ in 0..self.connections {
            let mut connection = Connection::open(self.address).await?;
            let (counting, over, next) = (Rc::clone(&counting), Rc::clone(&over), Rc::clone(&next));
            let (requests, expect) = (Arc::clone(&self.requests), self.expect);
            workers.push(tokio::task::spawn_local(async move {
                let mut count = 0u64;
                while !over.get() {
                    let at = next.get();
                    next.set(at + 1);
                    connection.ask(&requests[at % requests.len()]).await?;
                    // Looking into every answer would measure the looking.
                    if count.is_multiple_of(64) {
                        check(connection.body(), expect)?;
                    }
                    if counting.get() {
                        count += 1;
                    }
                }
                Ok::<u64, Failure>(count)
            }));
        }
        tokio::time::sleep(WARM_UP).await;
        let cpu_before = proc::cpu_time(self.pid).unwrap_or_default();
        let began = Instant::now();
        counting.set(true);
        tokio::time::sleep(self.span).await;
        counting.set(false);
        let passed = began.elapsed();
        let cpu = proc::cpu_time(self.pid).unwrap_or_default().saturating_sub(cpu_before);
        over.set(true);
        let mut count = 0;
        for worker in workers {
            count += worker
                .await
                .map_err(|e| Failure::connection("generating load")(std::io::Error::other(e)))??;
        }
        let per_second = count as f64 / passed.as_secs_f64();
        let cpu = cpu.checked_div(u32::try_from(count).unwrap_or(u32::MAX).max(1)).unwrap_or_default();
        Ok(Rate { per_second, cpu })
    }
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
    fn an_unexpected_body_is_an_error() {
        assert!(check(b"<VALUE>4096</VALUE>", ">4096<").is_ok());
        assert!(check(b"<ERROR CODE=\"1\"/>", ">4096<").is_err());
    }
}
