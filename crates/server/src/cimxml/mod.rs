//! CIM operations over HTTP (DSP0200 chapter 7).
//!
//! The checks are in the order in which DSP0200 has a server make them: method, credentials, headers, body. What is wrong up
//! to there is answered on the level of HTTP; everything later in a message with status 200.

mod capabilities;
mod headers;
mod respond;

use crate::body::{BodyError, RequestBody, ResponseBody};
use crate::connection::Connection;
use crate::http;
use crate::server::App;
use cimwright_broker::statistics::Statistics;
use cimwright_cim::{Operation, Request};
use cimwright_codec::cimxml::{SimpleRequest, decode_request};
use futures_util::FutureExt as _;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use respond::Call;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Answers a request of a CIM client.
pub(crate) async fn handle(
    parts: Parts,
    body: &mut RequestBody,
    connection: &Arc<Connection>,
) -> Response<ResponseBody> {
    let started = Instant::now();
    let app = &connection.app;
    if let Err(response) = headers::check_method(&parts) {
        return *response;
    }
    if app.is_stopping() {
        return http::text(StatusCode::SERVICE_UNAVAILABLE, "The server is shutting down.\n");
    }
    let principal = match connection.authenticate(&parts.headers).await {
        Ok(principal) => principal,
        Err(refused) => return http::refuse(refused, connection),
    };
    if parts.method == Method::OPTIONS {
        return capabilities::answer();
    }
    let extension = match headers::check(&parts) {
        Ok(extension) => extension,
        Err(response) => return *response,
    };
    let limits = &app.limits;
    let bytes = match body.read(limits.max_body_bytes, limits.body_read_timeout()).await {
        Ok(bytes) => bytes,
        Err(error) => return bad_body(error, limits.max_body_bytes),
    };
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let headers = headers::cim_headers(&parts.headers, extension.as_ref());
        decode_request(&bytes, &headers, &app.xml_limits)
    }));
    let Ok(decoded) = decoded else { return defect(app) };
    let line = parts.method.as_str().len() + parts.uri.path().len() + " HTTP/1.1 ".len();
    let request_bytes = http::head_bytes(line, &parts.headers) + bytes.len() as u64;
    drop(bytes);
    let only_reads = decoded.as_ref().is_ok_and(|message| message.requests.iter().all(only_reads));
    let (answer, answered) = oneshot::channel();
    let meter = app.executor.statistics().map(Statistics::meter).unwrap_or_default();
    let call = Call {
        connection: Arc::clone(connection),
        principal,
        extension,
        version: parts.version,
        wants_trailers: headers::wants_trailers(&parts.headers),
        started,
        request_bytes,
        meter: meter.clone(),
        answer,
    };
    let work = AssertUnwindSafe(async move { meter.measure(call.run(decoded)).await }).catch_unwind();
    let answered = if only_reads {
        read_here(Box::pin(work), answered, connection).await
    } else {
        // Nothing the client does from here on stops the work: it is not part of the connection any more.
        app.tasks.spawn(work);
        answered.await.ok()
    };
    // Work ends without an answer only by panicking.
    answered.unwrap_or_else(|| defect(app))
}

/// The answer when something panicked; the panic itself is in the log.
fn defect(app: &App) -> Response<ResponseBody> {
    app.metrics.panicked();
    http::text(StatusCode::INTERNAL_SERVER_ERROR, "The server has a defect; its log says more.\n")
}

/// Whether a request can be given up when its client does: it changes nothing. Pull operations move their session on, so they are
/// none.
fn only_reads(request: &SimpleRequest) -> bool {
    use Operation as O;
    let Ok(Request { operation, .. }) = &request.request else { return true };
    match operation {
        O::GetInstance { .. }
        | O::GetProperty { .. }
        | O::EnumerateInstances { .. }
        | O::EnumerateInstanceNames { .. }
        | O::Associators { .. }
        | O::AssociatorNames { .. }
        | O::References { .. }
        | O::ReferenceNames { .. }
        | O::ExecQuery { .. }
        | O::GetClass { .. }
        | O::EnumerateClasses { .. }
        | O::EnumerateClassNames { .. }
        | O::GetQualifier { .. }
        | O::EnumerateQualifiers => true,
        O::InvokeMethod { method, .. } => {
            ["GetError", "GetErrorEx", "GetErrors"].iter().any(|read| method.is(read))
        }
        _ => false,
    }
}

/// Carries out a read in the task of its connection: handing it to another one would cost more than most reads do. The rest of an
/// answer that is sent piece by piece goes on beside the connection.
async fn read_here(
    mut work: Pin<Box<impl Future<Output: Send> + Send + 'static>>,
    mut answered: oneshot::Receiver<Response<ResponseBody>>,
    connection: &Connection,
) -> Option<Response<ResponseBody>> {
    tokio::select! {
        biased;
        _ = &mut work => answered.try_recv().ok(),
        answer = &mut answered => {
            connection.app.tasks.spawn(async move { drop(work.await) });
            answer.ok()
        }
    }
}

fn bad_body(error: BodyError, limit: usize) -> Response<ResponseBody> {
    match error {
        BodyError::TooLarge => http::text(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The body has more than {limit} bytes, which is the limit (limits.max_body_bytes).\n"),
        ),
        BodyError::TooSlow => http::text(
            StatusCode::REQUEST_TIMEOUT,
            "The body did not come in time (limits.body_read_timeout_ms).\n",
        ),
        BodyError::Broken => http::text(StatusCode::BAD_REQUEST, "The body is broken.\n"),
    }
}
