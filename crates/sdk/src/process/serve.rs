//! The provider's end of the connection: says hello, takes calls, lets each be worked on by a task of its own.

use super::frame::{self, FrameError};
use super::raise::Line;
use super::wire::{
    Answer, Call, FromProvider, Hello, ToProvider, VERSIONS, WireDeclaration, WireError, WireServed, sent,
};
use super::work::Work;
use crate::plugin::Plugin;
use cimwright_cim::{Class, NamespaceName, Schema, SchemaError};
use cimwright_jobs::live::Live;
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

/// How many messages wait for the socket before whoever makes more has to wait.
const QUEUE: usize = 32;

/// Why a provider cannot be served, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no socket at descriptor 0: the program was not started by a server.
    #[error(
        "there is no server at descriptor 0 ({0}); this program is started by the server, as [[providers.process]] in its \
         configuration says"
    )]
    NoServer(#[source] io::Error),
    /// The plugin does things without being asked, for which it needs the server's job service.
    #[error("the plugin {0} has a background part, which only works within the server")]
    Background(&'static str),
    /// The server said something out of order.
    #[error("the server said something else than {expected}")]
    OutOfOrder {
        /// What should have come.
        expected: &'static str,
    },
    /// The server speaks another version.
    #[error("the server speaks version {0} of the protocol, which this program does not")]
    Version(u32),
    /// The connection broke, or what came cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What came means nothing.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The classes that came do not fit together.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Serves a plugin to the server that started this process, until the server closes the connection. To be called in a tokio
/// runtime, and the last thing that a provider's `main` does.
///
/// # Errors
/// [`ServeError`]. When the server is gone there is nobody left to serve, so `main` has nothing to do but say so and end.
pub async fn serve(plugin: Plugin) -> Result<(), ServeError> {
    let stream = || -> io::Result<UnixStream> {
        let socket = std::os::unix::net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // Fails for anything that is no socket.
        socket.local_addr()?;
        socket.set_nonblocking(true)?;
        UnixStream::from_std(socket)
    };
    serve_on(plugin, stream().map_err(ServeError::NoServer)?).await
}

/// The same over any connection, for tests.
///
/// # Errors
/// As [`serve`].
pub async fn serve_on(plugin: Plugin, stream: UnixStream) -> Result<(), ServeError> {
    if !plugin.background.is_empty() {
        return Err(ServeError::Background(plugin.name));
    }
    let (mut from, mut to) = stream.into_split();
    frame::send(&mut to, &FromProvider::Hello(Box::new(hello(&plugin)))).await?;
    let schemas = be_welcomed(&mut from).await?;
    let (out, queue) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(write(to, queue));
    let line = Arc::new(Line::new(out.clone()));
    plugin.alerts.connect(line.clone());
    let calls = Arc::new(Calls::default());
    let work = Arc::new(Work { plugin, schemas, out });
    let ended = listen(&mut from, &work, &calls, &line).await;
    calls.end_all();
    writer.abort();
    ended
}

/// What a plugin says of itself.
pub(super) fn hello(plugin: &Plugin) -> Hello {
    Hello {
        versions: VERSIONS.to_vec(),
        name: plugin.name.to_owned(),
        declarations: plugin
            .declarations
            .iter()
            .map(|d| WireDeclaration {
                namespace: d.namespace.as_str().to_owned(),
                name: d.name.to_owned(),
                mof: d.mof.to_owned(),
            })
            .collect(),
        classes: plugin
            .classes
            .iter()
            .map(|c| WireServed {
                namespace: c.namespace.as_str().to_owned(),
                class: c.class.as_str().to_owned(),
                instances: c.instances.is_some(),
                methods: c.methods.is_some(),
                knows_owners: c.instances.as_ref().is_some_and(|i| i.knows_owners()),
            })
            .collect(),
        dialects: sent(&plugin.dialects),
        kinds: plugin.kinds.iter().map(|k| k.name().to_owned()).collect(),
    }
}

/// The calls that are worked on.
#[derive(Default)]
struct Calls(Mutex<HashMap<u64, Running>>);

/// The line to a call that is worked on.
struct Running {
    /// `None` for the moment between its being known and its beginning.
    task: Option<AbortHandle>,
    /// Permits to send portions.
    more: Arc<Semaphore>,
    /// What the step is told.
    live: Arc<Live>,
}

impl Calls {
    fn with<R>(&self, id: u64, what: impl FnOnce(&mut Running) -> R) -> Option<R> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&id).map(what)
    }

    fn insert(&self, id: u64, running: Running) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, running);
    }

    fn remove(&self, id: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn end_all(&self) {
        for (_, running) in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            if let Some(task) = running.task {
                task.abort();
            }
        }
    }
}

async fn be_welcomed(from: &mut OwnedReadHalf) -> Result<HashMap<NamespaceName, Schema>, ServeError> {
    match frame::receive(from).await? {
        Some(ToProvider::Welcome { version }) if VERSIONS.contains(&version) => {}
        Some(ToProvider::Welcome { version }) => return Err(ServeError::Version(version)),
        _ => return Err(ServeError::OutOfOrder { expected: "welcome" }),
    }
    let mut schemas: HashMap<NamespaceName, Schema> = HashMap::new();
    loop {
        match frame::receive(from).await? {
            Some(ToProvider::Class { namespace, class }) => {
                let schema = schemas.entry(NamespaceName::new(namespace)).or_default();
                schema.add_class(Class::try_from(class)?)?;
            }
            Some(ToProvider::Ready {}) => return Ok(schemas),
            _ => return Err(ServeError::OutOfOrder { expected: "a class, or ready" }),
        }
    }
}

async fn listen(
    from: &mut OwnedReadHalf,
    work: &Arc<Work>,
    calls: &Arc<Calls>,
    line: &Line,
) -> Result<(), ServeError> {
    while let Some(message) = frame::receive(from).await? {
        match message {
            ToProvider::Call(call) => begin(work, calls, call),
            ToProvider::More { id } => {
                calls.with(id, |c| c.more.add_permits(1));
            }
            ToProvider::Wish { id, wish } => {
                calls.with(id, |c| c.live.set_wish(wish.into()));
            }
            ToProvider::Cancel { id } => {
                // The task beside it sees the end and answers.
                calls.with(id, |c| c.task.as_ref().map(AbortHandle::abort));
            }
            ToProvider::Raised { id, error } => line.answered(id, error),
            ToProvider::Welcome { .. } | ToProvider::Class { .. } | ToProvider::Ready {} => {
                return Err(ServeError::OutOfOrder { expected: "a call" });
            }
        }
    }
    Ok(())
}

/// Begins to work on a call. One task works, another waits for it: whatever becomes of the first, there is an answer.
fn begin(work: &Arc<Work>, calls: &Arc<Calls>, call: Call) {
    let (id, name) = (call.id, call.operation.name());
    let more = Arc::new(Semaphore::new(1));
    let live = Arc::new(Live::default());
    calls.insert(id, Running { task: None, more: Arc::clone(&more), live: Arc::clone(&live) });
    let worker = Arc::clone(work);
    let task = tokio::spawn(async move { worker.answer(call, &more, live).await });
    calls.with(id, |c| c.task = Some(task.abort_handle()));
    let (work, calls) = (Arc::clone(work), Arc::clone(calls));
    tokio::spawn(async move {
        let answer = match task.await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => Work::panicked(name, error.into_panic().as_ref()),
            Err(_) => Answer::Stopped {},
        };
        calls.remove(id);
        work.say_answer(id, answer).await;
    });
}

async fn write(mut to: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    use tokio::io::AsyncWriteExt as _;
    while let Some(frame) = queue.recv().await {
        if to.write_all(&frame).await.is_err() {
            // The reading side sees it too and ends.
            return;
        }
    }
}
