//! The daemon's control protocol: one JSON object per line, answers by number, events in between.
//!
//! Our own, because generated bindings know a closed list of events and end the connection at the first one that a newer
//! daemon adds; this engine needs twenty commands and reads six events.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, broadcast, oneshot};
use tokio::task::JoinHandle;

/// The longest line that is read. The longest real one, a list of all nodes, has some ten kilobytes.
const LINE_LIMIT: u64 = 4 << 20;
/// How long any command may take. The slowest wait for the partner, and those waits are bounded by their callers.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
const EVENT_BACKLOG: usize = 256;

/// Something that the daemon reports by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct DaemonEvent {
    /// Its name in QEMU's schema, such as `BLOCK_JOB_READY`.
    pub name: String,
    /// What belongs to it.
    pub data: Value,
}

/// Why a command has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QmpError {
    /// The daemon says no.
    Refused(String),
    /// The connection has ended.
    Closed,
    /// There was no answer in time.
    TimedOut(Duration),
    /// The answer is not of the expected form.
    Unreadable(String),
}

/// What events have said that a later question would not be told.
#[derive(Debug, Default)]
pub(super) struct EventBook {
    /// Told at every event of a job or a node.
    pub(super) news: Notify,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    /// Per job, whether the first error since the last start was one of reading.
    first_error_was_read: HashMap<String, bool>,
    /// Nodes on which a write has failed.
    bad_nodes: HashSet<String>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Qmp {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    pending: Arc<Mutex<Pending>>,
    book: Arc<EventBook>,
    events: broadcast::Sender<DaemonEvent>,
    reader: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Pending {
    closed: bool,
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<Value, String>>>,
}

impl Qmp {
    /// Greets a daemon. The second result is its answer to `query-version`, which is part of its greeting.
    pub(super) async fn greet(stream: UnixStream) -> Result<(Self, Value), QmpError> {
        let (read, write) = stream.into_split();
        let mut read = BufReader::new(read);
        let mut greeting = match next_line(&mut read).await {
            Some(line) => serde_json::from_slice::<Value>(&line)
                .map_err(|error| QmpError::Unreadable(error.to_string()))?,
            None => return Err(QmpError::Closed),
        };
        let version = greeting["QMP"]["version"].take();
        let pending = Arc::new(Mutex::new(Pending::default()));
        let book = Arc::new(EventBook::default());
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let reader = tokio::spawn(listen(read, pending.clone(), book.clone(), events.clone()));
        let qmp = Self { writer: tokio::sync::Mutex::new(write), pending, book, events, reader };
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok((qmp, version))
    }

    /// What events have said.
    pub(super) fn book(&self) -> &Arc<EventBook> {
        &self.book
    }

    /// All events from now on. Whoever reads too slowly misses some.
    pub(super) fn events(&self) -> broadcast::Receiver<DaemonEvent> {
        self.events.subscribe()
    }

    /// Executes a command whose answer says nothing.
    pub(super) async fn execute(&self, command: &'static str, arguments: Value) -> Result<(), QmpError> {
        self.ask::<Value>(command, arguments).await.map(drop)
    }

    /// Executes a command and reads its answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        command: &'static str,
        arguments: Value,
    ) -> Result<T, QmpError> {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut pending = lock(&self.pending);
            if pending.closed {
                return Err(QmpError::Closed);
            }
            pending.next += 1;
            let id = pending.next;
            pending.waiting.insert(id, sender);
            id
        };
        let mut line =
            json!({ "execute": command, "arguments": arguments, "id": id }).to_string().into_bytes();
        line.push(b'\n');
        let exchange = async {
            self.writer.lock().await.write_all(&line).await.map_err(|_| QmpError::Closed)?;
            answer.await.map_err(|_| QmpError::Closed)
        };
        match tokio::time::timeout(COMMAND_LIMIT, exchange).await {
            Err(_) => {
                lock(&self.pending).waiting.remove(&id);
                Err(QmpError::TimedOut(COMMAND_LIMIT))
            }
            Ok(Err(error)) => Err(error),
            Ok(Ok(Err(desc))) => Err(QmpError::Refused(desc)),
            Ok(Ok(Ok(value))) => {
                serde_json::from_value(value).map_err(|error| QmpError::Unreadable(error.to_string()))
            }
        }
    }
}

impl Drop for Qmp {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl EventBook {
    /// Whether the first error of a job since [`Self::forget`] was one of reading; nothing when it had none.
    pub(super) fn first_error_was_read(&self, job: &str) -> Option<bool> {
        lock(&self.notes).first_error_was_read.get(job).copied()
    }

    /// Forgets the errors of a job.
    pub(super) fn forget(&self, job: &str) {
        lock(&self.notes).first_error_was_read.remove(job);
    }

    /// Whether a write to a node has failed. The node is forgotten then.
    pub(super) fn take_bad(&self, node: &str) -> bool {
        lock(&self.notes).bad_nodes.remove(node)
    }

    fn note(&self, name: &str, data: &Value) {
        match name {
            "BLOCK_JOB_ERROR" => {
                if let Some(job) = data["device"].as_str() {
                    let read = data["operation"] == "read";
                    lock(&self.notes).first_error_was_read.entry(job.to_owned()).or_insert(read);
                }
            }
            "QUORUM_REPORT_BAD" => {
                if let Some(node) = data["node-name"].as_str() {
                    lock(&self.notes).bad_nodes.insert(node.to_owned());
                }
            }
            _ => {}
        }
        // One permit is kept while nobody waits, so a flood of events costs one look.
        self.news.notify_one();
    }
}

/// The life of a connection: every line is an answer, an event or the end.
async fn listen(
    mut read: BufReader<OwnedReadHalf>,
    pending: Arc<Mutex<Pending>>,
    book: Arc<EventBook>,
    events: broadcast::Sender<DaemonEvent>,
) {
    while let Some(line) = next_line(&mut read).await {
        let Ok(mut message) = serde_json::from_slice::<Value>(&line) else { break };
        if let Some(name) = message["event"].as_str().map(str::to_owned) {
            let data = message["data"].take();
            book.note(&name, &data);
            // Fails only when nobody listens.
            let _ = events.send(DaemonEvent { name, data });
        } else if let Some(waiting) = message["id"].as_u64().and_then(|id| lock(&pending).waiting.remove(&id))
        {
            let answer = match message["error"]["desc"].as_str() {
                Some(desc) => Err(desc.to_owned()),
                None => Ok(message["return"].take()),
            };
            // Fails only when the caller has given up.
            let _ = waiting.send(answer);
        }
    }
    let mut pending = lock(&pending);
    pending.closed = true;
    pending.waiting.clear();
    book.news.notify_one();
}

/// The next line; nothing at the end, and for a line that cannot be right.
async fn next_line(read: &mut BufReader<OwnedReadHalf>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    read.take(LINE_LIMIT).read_until(b'\n', &mut line).await.ok()?;
    line.ends_with(b"\n").then_some(line)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}}}"#;

    /// A daemon that answers every line with what `reply` makes of its number.
    async fn daemon(stream: UnixStream, reply: impl Fn(u64) -> String) {
        let (read, mut write) = stream.into_split();
        write.write_all(format!("{GREETING}\n").as_bytes()).await.expect("written");
        let mut read = BufReader::new(read);
        while let Some(line) = next_line(&mut read).await {
            let id = serde_json::from_slice::<Value>(&line).expect("JSON")["id"].as_u64().expect("a number");
            if write.write_all(reply(id).as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn connected(reply: impl Fn(u64) -> String + Send + 'static) -> (Qmp, Value) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        tokio::spawn(daemon(theirs, reply));
        Qmp::greet(ours).await.expect("greets")
    }

    #[tokio::test]
    async fn answers_find_their_question_and_events_are_kept() {
        let (qmp, version) = connected(|id| {
            format!(
                "{{\"event\":\"SOMETHING_NEW\",\"data\":{{}}}}\n\
                 {{\"event\":\"BLOCK_JOB_ERROR\",\"data\":{{\"device\":\"m\",\"operation\":\"read\"}}}}\n\
                 {{\"event\":\"BLOCK_JOB_ERROR\",\"data\":{{\"device\":\"m\",\"operation\":\"write\"}}}}\n\
                 {{\"event\":\"QUORUM_REPORT_BAD\",\"data\":{{\"node-name\":\"n\"}}}}\n\
                 {{\"return\":{id},\"id\":{id}}}\n"
            )
        })
        .await;
        assert_eq!(version["qemu"]["major"], 10);
        assert_eq!(qmp.ask::<u64>("query", json!({})).await, Ok(2));
        assert_eq!(qmp.book().first_error_was_read("m"), Some(true), "the first one counts");
        qmp.book().forget("m");
        assert_eq!(qmp.book().first_error_was_read("m"), None);
        assert!(qmp.book().take_bad("n"));
        assert!(!qmp.book().take_bad("n"));
    }

    #[tokio::test]
    async fn refusals_nonsense_and_the_end_are_told_apart() {
        let (qmp, _) = connected(|id| match id {
            1 => format!("{{\"return\":{{}},\"id\":{id}}}\n"),
            2 => format!("{{\"error\":{{\"class\":\"GenericError\",\"desc\":\"no\"}},\"id\":{id}}}\n"),
            3 => format!("{{\"return\":\"text\",\"id\":{id}}}\n"),
            _ => "not JSON\n".to_owned(),
        })
        .await;
        assert_eq!(qmp.execute("a", json!({})).await, Err(QmpError::Refused("no".into())));
        assert!(matches!(qmp.ask::<u64>("b", json!({})).await, Err(QmpError::Unreadable(_))));
        assert_eq!(qmp.execute("c", json!({})).await, Err(QmpError::Closed));
        assert_eq!(qmp.execute("d", json!({})).await, Err(QmpError::Closed));
    }
}
