//! The server as a whole: listening, accepting within limits, and stopping without breaking what runs.

use crate::auth::users::{UsersFile, private_directory};
use crate::auth::{AuthError, Authenticator, Transport, neighbourhood};
use crate::config::{Config, ConfigError, LimitsConfig, WsmanConfig};
use crate::connection::{self, Connection};
use crate::execute::Execute;
use crate::metrics::Metrics;
use crate::tls::{self, Tls, TlsError};
use crate::wsman::contexts::{ContextLimits, Contexts};
use cimwright_codec::cimxml::Limits;
use std::collections::HashMap;
use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

/// Connections over the unix socket, beside those over the network: whatever the network does, the administrator gets in.
const UNIX_CONNECTIONS: usize = 256;
/// How many connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
const TURNED_AWAY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// A server that listens. Clients that connect are served once [`Server::run`] is called.
pub struct Server {
    app: Arc<App>,
    life: watch::Sender<Life>,
    http: Vec<TcpListener>,
    https: Vec<(TcpListener, Tls)>,
    unix: Option<(UnixListener, SocketFile)>,
    /// How many of the listeners for HTTP and HTTPS, from the first on, are not WS-Management's own.
    own: (usize, usize),
    grace: Duration,
}

/// Where a server listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddrs {
    /// Addresses for HTTP, with the ports that were chosen for port 0.
    pub http: Vec<SocketAddr>,
    /// Addresses for HTTPS.
    pub https: Vec<SocketAddr>,
    /// The unix socket.
    pub unix: Option<PathBuf>,
    /// Those of [`LocalAddrs::http`] that were asked for as WS-Management's own.
    pub wsman: Vec<SocketAddr>,
    /// Those of [`LocalAddrs::https`], likewise.
    pub wsman_tls: Vec<SocketAddr>,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The state directory cannot be created.
    #[error("{}: cannot create the state directory: {source}; choose another with --state or server.state", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The state directory is open to everybody.
    #[error("{}: every user of this machine may write to the state directory, and so become a user of the server; take that away with `chmod o-w`, or choose another with --state or server.state", path.display())]
    OpenState {
        /// The directory.
        path: PathBuf,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; stop the other server, or choose another address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The unix socket cannot be made.
    #[error("{}: cannot listen on the unix socket: {source}; choose another path with server.unix", path.display())]
    Unix {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nobody could be authenticated.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

/// What all connections share.
pub(crate) struct App {
    /// Who carries out operations.
    pub(crate) executor: Arc<dyn Execute>,
    /// Who tells who asks.
    pub(crate) auth: Authenticator,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// What one client may take.
    pub(crate) limits: LimitsConfig,
    /// What one message may ask for.
    pub(crate) xml_limits: Limits,
    /// What is configured for WS-Management.
    pub(crate) wsman: WsmanConfig,
    /// Enumerations over WS-Management.
    pub(crate) wsman_contexts: Contexts,
    /// How the server calls itself.
    pub(crate) computer_name: String,
    /// Requests that are being carried out, apart from their connections.
    pub(crate) tasks: TaskTracker,
    stopping: AtomicBool,
    network: Arc<Semaphore>,
    local: Arc<Semaphore>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    connections: TaskTracker,
}

/// How far the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It serves.
    Running,
    /// It takes nothing new, and finishes what it has.
    Stopping,
    /// It is over, also for who is not finished.
    Over,
}

impl App {
    /// Whether the server takes no more work.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Room for one more connection from the network, given back when it is dropped.
    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        let permit = Arc::clone(&self.network).try_acquire_owned().ok()?;
        let address = neighbourhood(address);
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(address).or_default();
        if *count >= self.limits.connections_per_address {
            return None;
        }
        *count += 1;
        Some(Admitted { app: Arc::clone(self), address, _permit: permit })
    }
}

/// A place among the connections from the network.
struct Admitted {
    app: Arc<App>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut by_address = self.app.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

impl Server {
    /// Checks the configuration, makes what is missing in the state directory, and listens. Call inside a Tokio runtime.
    ///
    /// # Errors
    /// When one of these is not possible; nothing is left listening then.
    pub fn bind(config: &Config, executor: Arc<dyn Execute>) -> Result<Self, StartError> {
        config.validate()?;
        let state = &config.server.state;
        private_directory(state).map_err(|source| StartError::State { path: state.clone(), source })?;
        if std::fs::metadata(state).is_ok_and(|m| m.permissions().mode() & 0o002 != 0) {
            return Err(StartError::OpenState { path: state.clone() });
        }
        let auth = Authenticator::new(&config.auth, UsersFile::in_state(state), config.computer_name())?;
        let server = &config.server;
        // What is served does not depend on the port: the customary ones of WS-Management are only more of them.
        let http =
            server.http.iter().chain(&server.wsman).map(|a| listen(*a)).collect::<Result<Vec<_>, _>>()?;
        let https = if server.https.is_empty() && server.wsman_tls.is_empty() {
            Vec::new()
        } else {
            let tls = tls::server_config(config)?;
            let listen = |address: &SocketAddr| Ok((listen(*address)?, tls.clone()));
            server
                .https
                .iter()
                .chain(&server.wsman_tls)
                .map(listen)
                .collect::<Result<Vec<_>, StartError>>()?
        };
        let unix = config
            .unix_socket()
            .map(|path| listen_unix(&path).map_err(|source| StartError::Unix { path, source }))
            .transpose()?;
        let limits = config.limits.clone();
        let app = Arc::new(App {
            executor,
            auth,
            metrics: Metrics::new(),
            xml_limits: Limits { bytes: limits.max_body_bytes, ..Limits::default() },
            wsman: config.wsman.clone(),
            wsman_contexts: Contexts::new(ContextLimits {
                contexts: config.wsman.contexts,
                per_user: config.wsman.contexts_per_user,
            }),
            computer_name: config.computer_name(),
            tasks: TaskTracker::new(),
            stopping: AtomicBool::new(false),
            network: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            local: Arc::new(Semaphore::new(UNIX_CONNECTIONS)),
            by_address: Mutex::default(),
            connections: TaskTracker::new(),
            limits,
        });
        let life = watch::Sender::new(Life::Running);
        let own = (server.http.len(), server.https.len());
        Ok(Self { app, life, http, https, unix, own, grace: server.shutdown_grace() })
    }

    /// Where the server listens.
    pub fn local_addrs(&self) -> LocalAddrs {
        let http: Vec<SocketAddr> = self.http.iter().filter_map(|l| l.local_addr().ok()).collect();
        let https: Vec<SocketAddr> = self.https.iter().filter_map(|(l, _)| l.local_addr().ok()).collect();
        LocalAddrs {
            wsman: http.iter().skip(self.own.0).copied().collect(),
            wsman_tls: https.iter().skip(self.own.1).copied().collect(),
            http,
            https,
            unix: self.unix.as_ref().map(|(_, file)| file.path.clone()),
        }
    }

    /// Serves until `shutdown` is ready. Then no more connections and requests are taken, and those that are being carried out
    /// may finish within `server.shutdown_grace_ms`. Returns whether all did.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> bool {
        let Self { app, life, http, https, unix, grace, own: _ } = self;
        let listeners = TaskTracker::new();
        for listener in http {
            listeners.spawn(accept_tcp(listener, None, Arc::clone(&app), life.subscribe()));
        }
        for (listener, tls) in https {
            listeners.spawn(accept_tcp(listener, Some(tls), Arc::clone(&app), life.subscribe()));
        }
        if let Some((listener, file)) = unix {
            listeners.spawn(accept_unix(listener, file, Arc::clone(&app), life.subscribe()));
        }
        shutdown.await;
        app.stopping.store(true, Ordering::Relaxed);
        life.send_replace(Life::Stopping);
        for tracker in [&listeners, &app.connections, &app.tasks] {
            tracker.close();
        }
        let all_finished = tokio::time::timeout(grace, async {
            listeners.wait().await;
            app.connections.wait().await;
            app.tasks.wait().await;
        })
        .await
        .is_ok();
        if !all_finished {
            tracing::warn!(
                connections = app.connections.len(),
                requests = app.tasks.len(),
                "stopping although not everything has finished"
            );
        }
        life.send_replace(Life::Over);
        all_finished
    }
}

async fn accept_tcp(listener: TcpListener, tls: Option<Tls>, app: Arc<App>, mut life: watch::Receiver<Life>) {
    let port = listener.local_addr().ok().map(|a| a.port());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = life.changed() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        let Some(admitted) = app.admit(peer.ip()) else {
            app.metrics.turned_away();
            if tls.is_none() {
                turn_away(stream);
            }
            continue;
        };
        // An answer is written at once; waiting for more to send would only delay it.
        let _ = stream.set_nodelay(true);
        let (tls, life, task_app) = (tls.clone(), life.clone(), Arc::clone(&app));
        app.connections.spawn(async move {
            let _admitted = admitted;
            let _open = task_app.metrics.connection();
            let app = Arc::clone(&task_app);
            let Some(tls) = tls else {
                let connection = Connection::new(app, Transport::Http(peer), None, port);
                return connection::serve(stream, connection, life).await;
            };
            let time = app.limits.header_read_timeout();
            let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
            match tokio::time::timeout(time, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let channel = tls.channel(stream.get_ref().1);
                    let connection = Connection::new(app, Transport::Https(peer), Some(channel), port);
                    connection::serve(stream, connection, life).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
            }
        });
    }
}

async fn accept_unix(
    listener: UnixListener,
    file: SocketFile,
    app: Arc<App>,
    mut life: watch::Receiver<Life>,
) {
    // Removed when listening ends.
    let _file = file;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = life.changed() => return,
        };
        let accepted = accepted.and_then(|(stream, _)| {
            let uid = stream.peer_cred()?.uid();
            Ok((stream, uid))
        });
        let (stream, uid): (UnixStream, u32) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&app.local).try_acquire_owned() else {
            app.metrics.turned_away();
            continue;
        };
        let (life, task_app) = (life.clone(), Arc::clone(&app));
        app.connections.spawn(async move {
            let _permit = permit;
            let _open = task_app.metrics.connection();
            let connection = Connection::new(Arc::clone(&task_app), Transport::Unix { uid }, None, None);
            connection::serve(stream, connection, life).await;
        });
    }
}

/// Accepting fails when a client was too quick to go away, or when there are no more files to open. Trying again at once would
/// only burn time in the second case.
async fn accept_failed(error: &io::Error) {
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Tells a client that there are too many, if it can be told without waiting.
fn turn_away(stream: TcpStream) {
    // The send buffer of a new connection is empty, so this does not block.
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write(TURNED_AWAY);
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // So that a restart need not wait until the old connections are forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| StartError::Bind { address, source })
}

/// The file of a unix socket, removed on drop if it is still that of this server.
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|m| m.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn listen_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if let Some(directory) = path.parent() {
        private_directory(directory)?;
    }
    // What an earlier server left, which nobody listens on, is in the way.
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens on it"));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let file = SocketFile { path: path.to_owned(), inode: std::fs::symlink_metadata(path)?.ino() };
    // Everybody may connect: who they are is asked for each connection. The directory decides who gets as far as that.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok((listener, file))
}
