//! One connection: requests come in, answers go out, until one side has had enough.

use crate::Principal;
use crate::auth::{Asker, Channel, ConnectionLogin, Refused, Transport};
use crate::body::ResponseBody;
use crate::http;
use crate::progress::{Patience, Progress, Watched};
use crate::server::{App, Life};
use hyper::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What all requests of a connection share.
pub(crate) struct Connection {
    /// What all connections share.
    pub(crate) app: Arc<App>,
    /// How the client is connected.
    pub(crate) transport: Transport,
    /// HOST in the object paths of answers: the server's name, with the port if it is not the default one.
    pub(crate) host: String,
    /// The user of a connection that proves by itself whose it is.
    principal: Option<Arc<Principal>>,
    /// The login of several messages, if the client went through one.
    pub(crate) login: ConnectionLogin,
    /// What is known of its TLS.
    channel: Option<Channel>,
    progress: Arc<Progress>,
}

impl Connection {
    /// A connection that was just accepted, on a listener with this port.
    pub(crate) fn new(
        app: Arc<App>,
        transport: Transport,
        channel: Option<Channel>,
        port: Option<u16>,
    ) -> Self {
        let limits = &app.limits;
        let patience = Patience {
            head: limits.header_read_timeout(),
            idle: limits.keep_alive(),
            stall: limits.write_stall_timeout(),
        };
        let host = match (port, &transport) {
            (None, _) | (Some(5988), Transport::Http(_)) | (Some(5989), Transport::Https(_)) => {
                app.computer_name.clone()
            }
            (Some(port), _) => format!("{}:{port}", app.computer_name),
        };
        let principal = app.auth.connected(&transport);
        let login = ConnectionLogin::default();
        let progress = Arc::new(Progress::new(patience));
        Self { transport, host, principal, login, channel, progress, app }
    }

    /// Who asks.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub(crate) async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Refused> {
        let asker = Asker {
            transport: &self.transport,
            channel: self.channel,
            connected: self.principal.as_ref(),
            login: &self.login,
        };
        self.app.auth.authenticate(headers, &asker).await
    }
}

/// What happened to a connection.
enum Event {
    /// It has ended.
    Ended(hyper::Result<()>),
    /// It is time to look whether the client is still there.
    Look,
    /// The server is being stopped.
    Life(Life),
}

/// Serves a connection to its end.
pub(crate) async fn serve<S>(stream: S, connection: Connection, mut life: watch::Receiver<Life>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let connection = Arc::new(connection);
    let limits = &connection.app.limits;
    let service = service_fn(|request: Request<Incoming>| {
        connection.progress.busy();
        let connection = Arc::clone(&connection);
        async move {
            let response = http::answer(request, &connection).await;
            Ok::<_, Infallible>(response.map(|body| Answered { body, connection }))
        }
    });
    let served = http1::Builder::new()
        // Times are limited by `Progress`.
        .header_read_timeout(None)
        .max_buf_size(limits.max_header_bytes)
        .max_headers(limits.max_headers)
        .serve_connection(TokioIo::new(Watched::new(stream, Arc::clone(&connection.progress))), service);
    let mut served = pin!(served);
    let mut look = pin!(sleep_until(Instant::now()));
    loop {
        let event = tokio::select! {
            biased;
            result = served.as_mut() => Event::Ended(result),
            () = look.as_mut() => Event::Look,
            changed = life.changed() => match changed {
                Ok(()) => Event::Life(*life.borrow_and_update()),
                Err(_) => Event::Life(Life::Over),
            },
        };
        match event {
            Event::Ended(Ok(())) => return,
            Event::Ended(Err(error)) => {
                tracing::debug!(transport = ?connection.transport, %error, "a connection failed");
                return;
            }
            Event::Look => match connection.progress.next_look() {
                Some(at) => look.as_mut().reset(at),
                None => {
                    tracing::debug!(transport = ?connection.transport, "a client took too long");
                    return;
                }
            },
            Event::Life(Life::Running) => {}
            Event::Life(Life::Stopping) => served.as_mut().graceful_shutdown(),
            Event::Life(Life::Over) => return,
        }
    }
}

/// The body of an answer, which tells the connection when it has been given.
struct Answered {
    body: ResponseBody,
    connection: Arc<Connection>,
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.connection.progress.idle();
    }
}

impl Body for Answered {
    type Data = <ResponseBody as Body>::Data;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
