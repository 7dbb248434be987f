//! The floor for requests: a hyper server that reads the request and answers always the same bytes.

use crate::failure::{Failure, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// The limits that the server sets for hyper, so that both do the same.
const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;

/// A bare server in a process of its own. Dropping it kills it.
pub(crate) struct Bare {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Bare {
    /// Starts one that answers with the head and body in `answer`.
    pub(crate) async fn start(answer: &Path) -> Result<Self> {
        let program = std::env::current_exe().map_err(Failure::io("find", Path::new("this program")))?;
        let failed = |said: String| Failure::Program { line: "the bare server".to_owned(), said };
        let mut child = Command::new(program)
            .arg("--bare-answer")
            .arg(answer)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(e.to_string()))?;
        let output = child.stdout.take().ok_or_else(|| failed("has no output".to_owned()))?;
        let line = BufReader::new(output).lines().next_line().await.map_err(|e| failed(e.to_string()))?;
        let address =
            line.and_then(|l| l.parse().ok()).ok_or_else(|| failed("told no address".to_owned()))?;
        Ok(Self { child, address })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }
}

/// Is the bare server, until it is killed.
///
/// # Errors
/// When it cannot listen, or the file holds no answer.
pub(crate) async fn serve(answer: &Path) -> Result<()> {
    let bytes = std::fs::read(answer).map_err(Failure::io("read", answer))?;
    let response = parse(bytes).ok_or_else(|| Failure::Answer {
        asked: "the bare server",
        answered: "a file without an answer".into(),
    })?;
    let listening = Failure::connection;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(listening("listening"))?;
    println!("{}", listener.local_addr().map_err(listening("listening"))?);
    loop {
        let (stream, _) = listener.accept().await.map_err(listening("accepting"))?;
        let _ = stream.set_nodelay(true);
        let response = response.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = response.clone();
                async move {
                    request.into_body().collect().await?;
                    Ok::<_, hyper::Error>(response)
                }
            });
            // A connection that breaks is the client's affair.
            let _ = http1::Builder::new()
                .header_read_timeout(None)
                .max_buf_size(MAX_HEADER_BYTES)
                .max_headers(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// The response that these bytes are, without what hyper adds by itself.
fn parse(bytes: Vec<u8>) -> Option<Response<Full<Bytes>>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut response = Response::new(Full::new(Bytes::from(bytes[end + 4..].to_vec())));
    for line in head.split("\r\n").skip(1) {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::try_from(name).ok()?;
        if name != CONTENT_LENGTH && name != DATE {
            response.headers_mut().append(name, HeaderValue::try_from(value.trim()).ok()?);
        }
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_over_with_its_headers() {
        let bytes = b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 2\r\n\r\nhi".to_vec();
        let response = parse(bytes).expect("response");
        assert_eq!(response.headers().len(), 1);
        assert_eq!(response.headers()["a"], "b");
        assert!(parse(b"no answer".to_vec()).is_none());
    }
}
