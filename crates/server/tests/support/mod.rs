//! What the tests of this crate share: a server on scratch ports, a broker that does what it is told, and a client that sends
//! exactly the bytes it is given.
#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "this is code of tests, although it is outside of test functions")]

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cimwright_cim::operation::{InstanceOptions, ObjectShape};
use cimwright_cim::{
    CimError, CimStatus, ClassName, ClassPath, ErrorDetail, ErrorType, Instance, InstancePath, Name,
    NamespaceName, ObjectPath, Operation, OperationResult, Request, Schema, Severity, Value,
};
use cimwright_codec::cimxml::encode_request;
use cimwright_codec::mof::{Source, compile_schema};
use cimwright_server::auth::users::UsersFile;
use cimwright_server::execute::{Answer, Execute, JobNumbers, Objects};
use cimwright_server::{Config, LocalAddrs, Principal, Role, Server};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Nothing in a test takes this long.
pub const LONG: Duration = Duration::from_secs(20);

/// The classes of the broker below.
const MOF: &str = "
Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride, ToSubclass);
Qualifier Out : boolean = false, Scope(parameter), Flavor(DisableOverride, ToSubclass);
class Large { [Key] string InstanceID; string Text; string WhoAmI(); uint32 Wait(); uint32 Panic(); uint32 Fail(); };
class Small : Large { };
class Endless : Large { };
";

/// The reason of a failure.
pub fn full_disk() -> ErrorDetail {
    ErrorDetail {
        message_id: "TEST1".to_owned(),
        message: "No space is left".to_owned(),
        arguments: Vec::new(),
        error_type: ErrorType::Environmental,
        severity: Severity::Major,
        probable_cause: 51,
        probable_cause_description: String::new(),
        recommended_actions: Vec::new(),
        source: None,
        source_is_path: false,
        status: CimStatus::Failed,
        code: 32768,
        cause: None,
    }
}

/// A broker that does what the name of the class or the method says.
#[derive(Default)]
pub struct Fake {
    /// Calls of `Wait` that have begun.
    pub begun: Notify,
    /// Lets one call of `Wait` go on.
    pub release: Notify,
    /// Told when a call of `Wait` has ended.
    pub ended: Notify,
    /// Operations that have ended.
    pub done: AtomicUsize,
    /// Portions of streams that were asked for.
    pub portions: Arc<AtomicUsize>,
    /// The classes of `root/test`, for protocols that ask for them.
    pub schema: Arc<Schema>,
}

#[async_trait]
impl Execute for Fake {
    async fn execute(&self, principal: &Principal, request: Request) -> Result<Answer, CimError> {
        let result = match request.operation {
            Operation::InvokeMethod { method, .. } => match method.as_str() {
                "WhoAmI" => Ok(Answer::Whole(OperationResult::Method {
                    return_value: Some(format!("{} {}", principal.name(), principal.role()).into()),
                    out: Vec::new(),
                })),
                "Wait" => {
                    self.begun.notify_one();
                    self.release.notified().await;
                    self.ended.notify_one();
                    Ok(Answer::Whole(OperationResult::Method {
                        return_value: Some(Value::Uint32(0)),
                        out: Vec::new(),
                    }))
                }
                "Fail" => Err(CimError::failed("the disk is full").with_detail(full_disk())),
                "Panic" => panic!("as the test wants it"),
                _ => Err(CimError::not_found("no such thing")),
            },
            Operation::EnumerateInstances { class, .. } => {
                let (portions, fails) = match class.as_str() {
                    "Small" => (2, false),
                    "SmallBroken" => (2, true),
                    "Large" => (40, false),
                    "LargeBroken" => (40, true),
                    "Endless" => (usize::MAX, false),
                    _ => (0, false),
                };
                let stream = Stream { left: portions, fails, asked: Arc::clone(&self.portions) };
                Ok(Answer::Objects(ObjectShape::NamedInstance, Box::new(stream)))
            }
            Operation::EnumerateQualifiers => Ok(Answer::Whole(OperationResult::Qualifiers(Vec::new()))),
            Operation::GetInstance { path, .. } => {
                let mut instance = Instance::new(path.class.as_str()).with("InstanceID", "x");
                instance.path = Some(path);
                Ok(Answer::Whole(OperationResult::Instance(Box::new(instance))))
            }
            _ => Err(CimError::not_supported("not here")),
        };
        self.done.fetch_add(1, Ordering::SeqCst);
        result
    }

    fn schema(&self, _: &Principal, namespace: &NamespaceName) -> Option<Arc<Schema>> {
        (namespace.as_str() == "root/test").then(|| Arc::clone(&self.schema))
    }

    async fn job_numbers(&self) -> Option<JobNumbers> {
        Some(JobNumbers { unfinished: 3, finished: 2, history: 1 })
    }
}

struct Stream {
    left: usize,
    fails: bool,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Objects for Stream {
    async fn next(&mut self) -> Result<Option<Vec<Instance>>, CimError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.left == 0 {
            return if self.fails { Err(CimError::failed("the disk is gone: 100 %")) } else { Ok(None) };
        }
        self.left -= 1;
        let id = format!("{}", self.left);
        let mut instance =
            Instance::new("Large").with("InstanceID", id.as_str()).with("Text", "x".repeat(32 << 10));
        instance.path = Some(InstancePath::new(None, "Large").with_key("InstanceID", id.as_str()));
        Ok(Some(vec![instance]))
    }
}

/// A server that runs until it is stopped or dropped.
pub struct TestServer {
    pub state: TempDir,
    pub fake: Arc<Fake>,
    pub addrs: LocalAddrs,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<bool>,
}

impl TestServer {
    /// A server with a user `ann`, administrator, password `secret`.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// The same with another configuration.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.state = state.path().to_owned();
        config.server.http = vec!["127.0.0.1:0".parse().unwrap()];
        config.server.https = Vec::new();
        config.server.computer_name = "testhost".to_owned();
        change(&mut config);
        let users = UsersFile::in_state(state.path());
        users.add("ann", Role::Administrator, "secret", false).unwrap();
        let sources = [Source::new("test.mof", MOF)];
        let schema = Arc::new(compile_schema(&sources, &NamespaceName::new("root/test")).unwrap());
        let fake = Arc::new(Fake { schema, ..Fake::default() });
        let server = Server::bind(&config, Arc::clone(&fake) as Arc<dyn Execute>).unwrap();
        let addrs = server.local_addrs();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { state, fake, addrs, stop: Some(stop), task }
    }

    pub fn http(&self) -> SocketAddr {
        self.addrs.http[0]
    }

    pub fn users(&self) -> UsersFile {
        UsersFile::in_state(self.state.path())
    }

    pub async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.http()).await.unwrap())
    }

    /// Sends one request on a connection of its own.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut client = self.connect().await;
        client.send(request).await;
        client.reply().await
    }

    /// Begins to stop the server.
    pub fn begin_stop(&mut self) {
        self.stop.take().map(|s| s.send(()));
    }

    /// Waits for the end and tells whether all requests had finished.
    pub async fn ended(mut self) -> bool {
        self.begin_stop();
        in_time(&mut self.task).await.unwrap()
    }
}

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
    /// Whether the body has the end that its framing promises.
    pub complete: bool,
    pub trailers: String,
}

impl Reply {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The status with the token of CIMError.
    pub fn verdict(&self) -> (u16, Option<&str>) {
        (self.status, self.header("CIMError"))
    }

    /// Checks that it is a CIM message that contains this.
    #[track_caller]
    pub fn assert_message(&self, part: &str) {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(self.complete && self.body.contains(part), "{self:?}");
    }
}

/// A client that sends what it is told.
pub struct Client<S> {
    pub stream: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have closed the connection after an answer that did not need the rest.
        let _ = in_time(self.stream.write_all(bytes.as_ref())).await;
        let _ = in_time(self.stream.flush()).await;
    }

    /// Sends a request on this connection and reads its response.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Reply {
        self.send(request).await;
        self.reply().await
    }

    /// Reads a response.
    pub async fn reply(&mut self) -> Reply {
        self.try_reply().await.expect("a response")
    }

    /// Reads a response; `None` if the connection ends before one.
    pub async fn try_reply(&mut self) -> Option<Reply> {
        while find(&self.read, b"\r\n\r\n").is_none() {
            if !self.fill().await {
                return None;
            }
        }
        let end = find(&self.read, b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply { status, head, body: String::new(), complete: true, trailers: String::new() };
        if status == 100 {
            return Some(reply);
        }
        let mut body = Vec::new();
        if let Some(length) = reply.header("Content-Length") {
            let length: usize = length.parse().unwrap();
            reply.complete = self.take(length, &mut body).await;
        } else if reply.header("Transfer-Encoding") == Some("chunked") {
            reply.complete = self.take_chunks(&mut body, &mut reply.trailers).await;
        } else {
            while self.fill().await {}
            body.append(&mut self.read);
        }
        reply.body = String::from_utf8(body).unwrap();
        Some(reply)
    }

    /// Whether the server ends the connection without saying anything more.
    pub async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill().await
    }

    async fn take_chunks(&mut self, body: &mut Vec<u8>, trailers: &mut String) -> bool {
        loop {
            let Some(size) = self.line().await else { return false };
            let size = usize::from_str_radix(&size, 16).unwrap();
            if size == 0 {
                break;
            }
            if !self.take(size, body).await || self.line().await.is_none() {
                return false;
            }
        }
        loop {
            match self.line().await {
                None => return false,
                Some(line) if line.is_empty() => return true,
                Some(line) => {
                    trailers.push_str(&line);
                    trailers.push('\n');
                }
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn take(&mut self, length: usize, body: &mut Vec<u8>) -> bool {
        while self.read.len() < length {
            if !self.fill().await {
                body.append(&mut self.read);
                return false;
            }
        }
        body.extend(self.read.drain(..length));
        true
    }

    async fn fill(&mut self) -> bool {
        let mut buffer = vec![0; 64 << 10];
        match in_time(self.stream.read(&mut buffer)).await {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.read.extend_from_slice(&buffer[..n]);
                true
            }
        }
    }
}

/// Waits for something that has to happen.
#[track_caller]
pub fn in_time<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let at = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(LONG, future).await {
            Ok(output) => output,
            Err(_) => panic!("nothing happened at {at}"),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// The value of Authorization for a user.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A request whose headers can be changed before it is written.
#[derive(Clone, Debug)]
pub struct Post {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Post {
    /// An operation as a client sends it, with the credentials of `ann`.
    pub fn new(operation: Operation) -> Self {
        let request = Request { namespace: NamespaceName::new("root/test"), operation };
        let (body, headers) = encode_request("1001", &request);
        let headers = [
            ("Host", "testhost".to_owned()),
            ("Content-Type", "application/xml; charset=\"utf-8\"".to_owned()),
            ("Authorization", basic("ann", "secret")),
            ("CIMOperation", "MethodCall".to_owned()),
            ("CIMMethod", headers.cim_method),
            ("CIMObject", headers.cim_object),
        ];
        Self {
            line: "POST /cimom HTTP/1.1".to_owned(),
            headers: headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
            body,
        }
    }

    /// A call of a method of the class `Test`.
    pub fn method(name: &str) -> Self {
        let target = ObjectPath::Class(ClassPath {
            host: None,
            namespace: Some(NamespaceName::new("root/test")),
            class: ClassName::new("Test"),
        });
        Self::new(Operation::InvokeMethod { target, method: Name::new(name), params: Vec::new() })
    }

    /// EnumerateInstances of a class.
    pub fn enumerate(class: &str) -> Self {
        Self::new(Operation::EnumerateInstances {
            class: ClassName::new(class),
            deep: true,
            options: InstanceOptions::default(),
        })
    }

    pub fn line(mut self, line: &str) -> Self {
        self.line = line.to_owned();
        self
    }

    /// The same with a header replaced or added.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// The same with a part of the body replaced.
    pub fn replace(mut self, from: &str, to: &str) -> Self {
        let body = String::from_utf8(self.body).unwrap();
        assert!(body.contains(from), "{from} is not in {body}");
        self.body = body.replace(from, to).into_bytes();
        self
    }

    /// The head, with Content-Length unless the headers have a framing already.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.line);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.headers.iter().any(|(n, _)| ["Transfer-Encoding", "Content-Length"].contains(&n.as_str())) {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        (head + "\r\n").into_bytes()
    }

    pub fn bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }
}
