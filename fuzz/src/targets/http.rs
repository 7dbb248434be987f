//! Requests of HTTP, to a server that runs in this process: the headers are the input, the body is a good one.

use super::Outcome;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cimwright_cim::{CimError, NamespaceName, Operation, OperationResult, Request};
use cimwright_codec::cimxml::encode_request;
use cimwright_server::auth::users::UsersFile;
use cimwright_server::execute::{Answer, Execute, JobNumbers};
use cimwright_server::{Config, Principal, Role, Server};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::Duration;

/// Words of the language.
pub(super) const WORDS: &[&str] = &[
    "POST /cimom HTTP/1.1\r\n",
    "M-POST / HTTP/1.1\r\n",
    "GET ",
    "HTTP/1.0\r\n",
    "Host: a\r\n",
    "Content-Type: application/xml\r\n",
    "Content-Type: text/xml; charset=\"utf-8\"\r\n",
    "CIMOperation: MethodCall\r\n",
    "CIMMethod: EnumerateQualifiers\r\n",
    "CIMObject: root%2Fcimv2\r\n",
    "CIMBatch: \r\n",
    "CIMProtocolVersion: 1.0\r\n",
    "CIMExport: MethodRequest\r\n",
    "Man: http://www.dmtf.org/cim/mapping/http/v1.0 ; ns=73\r\n",
    "73-CIMMethod: GetClass\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "Expect: 100-continue\r\n",
    "TE: trailers\r\n",
    "Authorization: Basic YTpi\r\n",
    "Authorization: Negotiate \r\n",
    "Connection: close\r\n",
    "Upgrade: h2c\r\n",
    "Accept: */*\r\n",
    "\r\n\r\n",
    "/wsman",
    "/metrics",
    "/health",
    "*",
    "0\r\n\r\n",
];

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Nothing;

#[async_trait]
impl Execute for Nothing {
    async fn execute(&self, _: &Principal, request: Request) -> Result<Answer, CimError> {
        match request.operation {
            Operation::EnumerateQualifiers => Ok(Answer::Whole(OperationResult::Qualifiers(Vec::new()))),
            _ => Err(CimError::not_supported("not here")),
        }
    }

    async fn job_numbers(&self) -> Option<JobNumbers> {
        None
    }
}

/// The server; it ends with the process.
static SERVER: LazyLock<SocketAddr> = LazyLock::new(|| {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let state = tempfile::tempdir().expect("a directory");
            let mut config = Config::default();
            config.server.state = state.path().to_owned();
            config.server.http = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
            config.server.https.clear();
            let users = UsersFile::in_state(state.path());
            users.add("ann", Role::Administrator, "secret", false).expect("a user");
            let server = Server::bind(&config, Arc::new(Nothing)).expect("a port");
            tell.send(server.local_addrs().http[0]).expect("somebody waits");
            server.run(std::future::pending()).await;
        });
    });
    told.recv().expect("a server")
});

/// Sends the head with credentials and a body behind it. The server has to answer or close the connection, and never with 500.
pub(super) fn run(data: &[u8]) -> Outcome {
    let request =
        Request { namespace: NamespaceName::new("root/cimv2"), operation: Operation::EnumerateQualifiers };
    let (body, _) = encode_request("1", &request);
    let mut message = data.to_vec();
    let credentials = STANDARD.encode("ann:secret");
    message.extend(
        format!("Authorization: Basic {credentials}\r\nContent-Length: {}\r\n\r\n", body.len()).bytes(),
    );
    message.extend(body);
    let mut stream = TcpStream::connect(*SERVER).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time");
    // The server may have had enough before the end.
    let _ = stream.write_all(&message);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let reset =
            matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe);
        assert!(reset, "the server neither answers nor closes: {error}");
    }
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).unwrap_or_default();
    // A fault of WS-Management is a 500 too, and only one of them says that the server is to blame.
    let to_blame = status == "500"
        && (!answer.contains("<s:Fault>") || answer.contains("<s:Value>w:InternalError</s:Value>"));
    assert!(!to_blame, "the server failed inside: {answer}");
    let error =
        answer.lines().find(|line| line.to_ascii_lowercase().starts_with("cimerror")).unwrap_or_default();
    // The numbers are what tells these apart.
    let status: String = status.bytes().map(|b| char::from(b.wrapping_add(b'a' - b'0'))).collect();
    Outcome::of(&format!("{status} {error}"))
}
