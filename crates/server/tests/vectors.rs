//! The exchange vectors that may lie beside the project, against a running server: each request as it stands, over HTTP. They are
//! extra data; without them the tests say so. The codec's tests list the same vectors and read and write each of them.

#![allow(clippy::unwrap_used, reason = "a test stops where its ground gives way")]

mod support;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cimwright_cim::{CimError, NamespaceName, Operation, OperationResult, Request};
use cimwright_codec::cimxml::{Headers, Limits, Message, decode_request, decode_response};
use cimwright_server::auth::users::UsersFile;
use cimwright_server::execute::{Answer, Execute, JobNumbers};
use cimwright_server::{Config, Principal, Role, Server};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use support::{Client, Reply, basic, in_time};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// How the vectors of plain HTTP are covered.
enum Http {
    /// Sent as it stands; the status and CIMError have to be those of the vector.
    Same,
    /// Sent as it stands, without credentials.
    Challenge,
    /// M-POST: the answer has its headers under a prefix of its own.
    Extended,
    /// Several requests in one message are served here, not refused as the vector allows.
    Batches,
    /// Sent as it stands; HTTP has a status of its own for this (405), which says more than that of the vector (501).
    Method,
    /// Another test provokes it: it needs an answer that breaks off.
    Elsewhere(&'static str),
    /// The first message of a login: a token of NTLM stands for the one that the vector leaves out. The answer has a challenge, and
    /// only that: while a login goes on there is nothing to choose from.
    Negotiate,
    /// A sealed body whose seal nobody has the keys for: it is taken for what it is, and refused. How good ones are opened and
    /// written is tested where the keys are.
    Sealed,
}

/// Every vector of plain HTTP. One that is missing here fails the test.
const HTTP: &[(&str, Http)] = &[
    ("h01-cimmethod-mismatch", Http::Same),
    ("h02-cimobject-mismatch", Http::Same),
    ("h03-cimobject-encoded-m-post", Http::Extended),
    ("h04-cimoperation-missing", Http::Same),
    ("h05-cimoperation-bad-value", Http::Same),
    ("h06-not-well-formed", Http::Same),
    ("h07-not-valid", Http::Same),
    ("h08-cim-version", Http::Same),
    ("h09-dtd-version", Http::Same),
    ("h10-protocol-version", Http::Same),
    ("h11-batch-unsupported", Http::Batches),
    ("h12-auth-challenge", Http::Challenge),
    (
        "h13-chunked-with-trailer-error",
        Http::Elsewhere("an_answer_that_fails_is_never_taken_for_a_whole_one"),
    ),
    ("h14-wrong-http-method", Http::Method),
    ("h15-wsman-401-negotiate", Http::Negotiate),
    ("h16-wsman-encrypted-body", Http::Sealed),
];

/// Vectors for listeners, not for servers.
const EXPORTS: [&str; 2] = ["c74-export-indication", "c75-export-indication-rejected"];

/// Vectors that the front end refuses by itself, in words of its own.
const REFUSED: [&str; 3] =
    ["c34-exec-query-language-unsupported", "c35-exec-query-invalid", "c67-missing-parameter"];

/// A broker that gives the answers of the vectors.
#[derive(Default)]
struct Replay(Mutex<VecDeque<Result<OperationResult, CimError>>>);

#[async_trait]
impl Execute for Replay {
    async fn execute(&self, _: &Principal, request: Request) -> Result<Answer, CimError> {
        let next = self.0.lock().unwrap().pop_front();
        next.unwrap_or_else(|| Err(CimError::failed(format!("nobody expects {request:?}"))))
            .map(Answer::Whole)
    }

    async fn job_numbers(&self) -> Option<JobNumbers> {
        None
    }
}

fn folder() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/protocols/vectors");
    path.is_dir().then_some(path)
}

/// The names of the vectors with this beginning and end, in order.
fn names(folder: &PathBuf, prefix: char, suffix: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(suffix).map(str::to_owned))
        .filter(|n| n.starts_with(prefix))
        .collect();
    names.sort();
    names
}

/// The headers in the comment of a vector.
fn headers(text: &str) -> Vec<(String, String)> {
    let comment = text.split_once("<!--").and_then(|(_, rest)| rest.split_once("-->")).unwrap().0;
    comment
        .split(" | ")
        .filter_map(|part| part.trim().split_once(": "))
        .map(|(name, value)| {
            let value = if value.contains("present, empty value") { "" } else { value };
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

fn read(request: &str, headers: &[(String, String)]) -> Message {
    let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_bytes());
    let headers = Headers {
        cim_operation: value("CIMOperation"),
        cim_method: value("CIMMethod"),
        cim_object: value("CIMObject"),
        cim_batch: value("CIMBatch").is_some(),
        cim_protocol_version: None,
    };
    decode_request(request.as_bytes(), &headers, &Limits::default()).unwrap()
}

/// The single responses of a message, each as a message of its own.
fn apart(response: &str) -> Vec<String> {
    let Some((before, rest)) = response.split_once("<MULTIRSP>") else { return vec![response.to_owned()] };
    let (inside, after) = rest.split_once("</MULTIRSP>").unwrap();
    let parts = inside.split_inclusive("</SIMPLERSP>").filter(|part| part.contains("<SIMPLERSP>"));
    parts.map(|part| format!("{before}{part}{after}")).collect()
}

struct Running {
    replay: Arc<Replay>,
    address: std::net::SocketAddr,
    _state: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

impl Running {
    fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.state = state.path().to_owned();
        config.server.http = vec!["127.0.0.1:0".parse().unwrap()];
        config.server.https.clear();
        UsersFile::in_state(state.path()).add("ann", Role::Administrator, "secret", false).unwrap();
        let replay = Arc::new(Replay::default());
        let server = Server::bind(&config, Arc::clone(&replay) as Arc<dyn Execute>).unwrap();
        let address = server.local_addrs().http[0];
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { replay, address, _state: state, _stop: stop }
    }

    async fn ask(&self, line: &str, headers: &[(String, String)], authorized: bool, body: &str) -> Reply {
        let mut head = format!("{line}\r\n");
        for (name, value) in headers {
            let value = if name == "Content-Length" { body.len().to_string() } else { value.clone() };
            head += &format!("{name}: {value}\r\n");
        }
        if !headers.iter().any(|(name, _)| name == "Host") {
            head += "Host: wbem.example.com:5989\r\n";
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| name == "Content-Type") {
            head += "Content-Type: application/xml\r\n";
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| name == "Content-Length") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        if authorized {
            head += &format!("Authorization: {}\r\n", basic("ann", "secret"));
        }
        let mut client = Client::new(TcpStream::connect(self.address).await.unwrap());
        in_time(client.ask(format!("{head}\r\n{body}"))).await
    }
}

#[tokio::test]
async fn exchanges_happen_as_the_vectors_have_them() {
    let Some(folder) = folder() else {
        println!("skipped: no vectors");
        return;
    };
    let running = Running::start();
    let limits = Limits::default();
    let mut failures = Vec::new();
    for name in names(&folder, 'c', ".req.xml") {
        if EXPORTS.contains(&name.as_str()) {
            continue;
        }
        let text = |suffix| std::fs::read_to_string(folder.join(format!("{name}.{suffix}.xml"))).unwrap();
        let (request, response) = (text("req"), text("rsp"));
        let headers = headers(&request);
        let message = read(&request, &headers);
        let asked: Vec<Request> = message
            .requests
            .iter()
            .map(|simple| match &simple.request {
                Ok(asked) => asked.clone(),
                Err(_) => Request {
                    namespace: NamespaceName::new("root/cimv2"),
                    operation: Operation::Unsupported { name: simple.name.clone() },
                },
            })
            .collect();
        let answers = |text: &str| -> Vec<_> {
            apart(text)
                .iter()
                .zip(&asked)
                .map(|(one, asked)| decode_response(one.as_bytes(), asked, &limits).unwrap())
                .collect()
        };
        let wanted = answers(&response);
        *running.replay.0.lock().unwrap() = wanted.iter().map(|answer| answer.result.clone()).collect();
        let reply = running.ask("POST /cimom HTTP/1.1", &headers, true, &request).await;
        if reply.status != 200 || reply.header("CIMOperation") != Some("MethodResponse") {
            failures.push(format!("{name}: {reply:?}"));
            continue;
        }
        let found = answers(&reply.body);
        let (found, wanted) = if REFUSED.contains(&name.as_str()) {
            let status = |answers: &[cimwright_codec::cimxml::Response]| {
                format!("{:?}", answers[0].result.as_ref().err().map(|e| e.status))
            };
            (status(&found), status(&wanted))
        } else {
            // NaN is not equal to itself.
            (format!("{found:#?}"), format!("{wanted:#?}"))
        };
        if found != wanted {
            failures.push(format!("{name}: found {found}\nwanted {wanted}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn the_rules_of_http_are_those_of_the_vectors() {
    let Some(folder) = folder() else {
        println!("skipped: no vectors");
        return;
    };
    let listed: Vec<&str> = HTTP.iter().map(|(name, _)| *name).collect();
    assert_eq!(names(&folder, 'h', ".http"), listed, "every vector is covered and listed");
    let running = Running::start();
    let here = include_str!("http_rules.rs");
    for (name, covered) in HTTP {
        let text = std::fs::read_to_string(folder.join(format!("{name}.http"))).unwrap();
        // One vector is a request alone.
        let (request, response) = text.split_once("### response\n").unwrap_or((&text, ""));
        let (head, body) = request.split_once("\n\n").unwrap();
        let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
        let fields: Vec<(String, String)> = fields
            .lines()
            .filter_map(|field| field.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let wanted = |name: &str| {
            let field = response.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
            field.map(|value| value.trim().to_owned())
        };
        let status: u16 = response.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
        match covered {
            Http::Same => {
                let reply = running.ask(line, &fields, true, body.trim_end()).await;
                assert_eq!(reply.status, status, "{name}: {reply:?}");
                assert_eq!(reply.header("CIMError"), wanted("CIMError").as_deref(), "{name}: {reply:?}");
            }
            Http::Method => {
                let reply = running.ask(line, &fields, true, body.trim_end()).await;
                assert_eq!(
                    (reply.status, reply.header("Allow")),
                    (405, Some("POST, M-POST, OPTIONS")),
                    "{name}"
                );
            }
            Http::Challenge => {
                let reply = running.ask(line, &fields, false, body.trim_end()).await;
                assert_eq!(reply.status, status, "{name}: {reply:?}");
                assert!(reply.head.contains("Basic realm="), "{name}: {reply:?}");
            }
            Http::Extended => {
                let request =
                    std::fs::read_to_string(folder.join("c01-geterror-embedded-instance.req.xml")).unwrap();
                let nothing = OperationResult::Method { return_value: None, out: Vec::new() };
                *running.replay.0.lock().unwrap() = [Ok(nothing)].into();
                let reply = running.ask(line, &fields, true, &request).await;
                assert_eq!(reply.status, status, "{name}: {reply:?}");
                assert!(reply.header("Man").is_some() && reply.header("Ext").is_some(), "{name}: {reply:?}");
                assert!(
                    reply.head.to_ascii_lowercase().contains("-cimoperation: methodresponse"),
                    "{name}: {reply:?}"
                );
            }
            Http::Batches => {
                let request = std::fs::read_to_string(folder.join("c70-multireq-batch.req.xml")).unwrap();
                let reply = running.ask(line, &fields, true, &request).await;
                assert_eq!(reply.status, 200, "{name}: {reply:?}");
                assert!(reply.body.contains("<MULTIRSP>"), "{name}: {reply:?}");
            }
            Http::Elsewhere(test) => assert!(here.contains(&format!("async fn {test}(")), "{name}"),
            Http::Negotiate => {
                let hello = [&b"NTLMSSP\0\x01\0\0\0\x97\x82\x08\xe2"[..], &[0; 24]].concat();
                let mut fields = fields;
                for (name, value) in &mut fields {
                    if name == "Authorization" {
                        *value = format!("Negotiate {}", STANDARD.encode(&hello));
                    }
                }
                let reply = running.ask(line, &fields, false, "").await;
                assert_eq!(reply.status, status, "{name}: {reply:?}");
                let challenge = reply.header("WWW-Authenticate").and_then(|c| c.strip_prefix("Negotiate "));
                let challenge = STANDARD.decode(challenge.unwrap_or_default()).unwrap();
                assert!(challenge.starts_with(b"NTLMSSP\0\x02"), "{name}: {reply:?}");
            }
            Http::Sealed => {
                let sealed = "\u{10}\0\0\0................sealed";
                let end = body.rsplit_once("(4 bytes").unwrap().0;
                let body = format!("{end}{sealed}--Encrypted Boundary--\n").replace('\n', "\r\n");
                for authorized in [true, false] {
                    let reply = running.ask(line, &fields, authorized, &body).await;
                    assert_eq!(reply.status, 401, "{name}: {reply:?}");
                    assert!(!reply.body.contains("Envelope"), "{name}: {reply:?}");
                }
            }
        }
    }
}
