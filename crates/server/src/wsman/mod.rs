//! WS-Management over HTTP (DSP0226, DSP0227).
//!
//! The way of a request is that of CIM-XML: credentials first, then the body, then the codec, then [`exchange`], which asks the
//! object manager as the [`Principal`] that the credentials made. `enumerate` and `contexts` hold what lives longer than a
//! request, `eventing` what subscribers ask. What the body is wrapped in is the business of `cover` alone.

pub(crate) mod contexts;
mod cover;
mod enumerate;
mod eventing;
mod exchange;
mod hints;

use crate::Principal;
use crate::body::{BodyError, RequestBody, ResponseBody};
use crate::connection::Connection;
use crate::http::{self, text, wrong_method};
use cimwright_codec::wsman::{
    Action, Fault, Identity, Refusal, Request, Subcode, WindowsDetail, decode_request, encode_fault,
    soap_action_fits,
};
use cover::Cover;
use exchange::Exchange;
use futures_util::FutureExt as _;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::time::Instant;

/// Where strangers may ask what this server is.
pub(crate) const ANONYMOUS_PATH: &str = "/wsman-anon/identify";
const SOAP: HeaderValue = HeaderValue::from_static("application/soap+xml;charset=UTF-8");
/// The largest body that is read of somebody who has not logged in: Identify has some hundred bytes.
const MAX_OF_STRANGERS: usize = 16 << 10;
/// What Windows' clients add when they ask as strangers.
const IDENTIFY_HEADER: &str = "wsmanidentify";
const WINDOWS_CLIENT: &str = "Microsoft WinRM Client";

/// Answers a request of a WS-Management client.
pub(crate) async fn handle(
    parts: Parts,
    body: &mut RequestBody,
    connection: &Arc<Connection>,
) -> Response<ResponseBody> {
    let started = Instant::now();
    let app = &connection.app;
    if parts.method != Method::POST {
        return wrong_method(&parts.method, "POST");
    }
    if app.is_stopping() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "The server is shutting down.\n");
    }
    let anonymous = app.wsman.anonymous_identify
        && (parts.uri.path() == ANONYMOUS_PATH || parts.headers.contains_key(IDENTIFY_HEADER));
    let principal = match connection.authenticate(&parts.headers).await {
        Ok(principal) => Some(principal),
        Err(_) if anonymous => None,
        Err(refused) => return http::refuse(refused, connection),
    };
    let limits = &app.limits;
    let most = match principal {
        Some(_) => limits.max_body_bytes,
        None => limits.max_body_bytes.min(MAX_OF_STRANGERS),
    };
    let bytes = match body.read(most, limits.body_read_timeout()).await {
        Ok(bytes) => bytes,
        Err(error) => return bad_body(error, most),
    };
    if bytes.is_empty() {
        // A client that logs in in several steps sends nothing until it is through.
        return Response::new(ResponseBody::Whole(bytes));
    }
    let (bytes, cover) = match Cover::open(&parts.headers, bytes, connection) {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_request(&bytes, &app.xml_limits)));
    let Ok(decoded) = decoded else { return defect(connection, &cover) };
    drop(bytes);
    let windows = is_windows(&parts.headers);
    let request = match decoded.and_then(|request| checked(request, &parts.headers)) {
        Ok(request) => request,
        Err(refusal) => return fault(refusal.fault, &refusal.message_id, windows, connection, &cover),
    };
    let Some(principal) = principal else {
        // Strangers are told what this is, and nothing else: what follows takes a Principal.
        return match request.action {
            Action::Identify => cover.close(StatusCode::OK, identity(None).encode()),
            _ => http::refuse(crate::auth::Refused::Missing, connection),
        };
    };
    if request.action == Action::Identify {
        return cover.close(StatusCode::OK, identity(Some(&principal)).encode());
    }
    let message_id = request.header.message_id.clone();
    let timeout = request.header.operation_timeout;
    let only_reads = only_reads(&request.action);
    let exchange = Exchange::new(Arc::clone(connection), principal, request.header, started);
    let work = AssertUnwindSafe(exchange.answer(request.action)).catch_unwind();
    // Nothing the client does stops work that changes something: it is not part of the connection any more.
    let work = async {
        if only_reads { work.await.ok() } else { app.tasks.spawn(work).await.ok().and_then(Result::ok) }
    };
    let answered = match timeout {
        None => work.await,
        Some(time) => match tokio::time::timeout(time, work).await {
            Ok(answered) => answered,
            Err(_) => {
                let late =
                    Fault::new(Subcode::TimedOut, "The operation has timed out; what it began goes on.");
                return fault(late, &message_id, windows, connection, &cover);
            }
        },
    };
    match answered {
        Some(Ok(bytes)) => cover.close(StatusCode::OK, bytes),
        Some(Err(failed)) => fault(*failed, &message_id, windows, connection, &cover),
        None => defect(connection, &cover),
    }
}

/// What this server says about itself. Strangers are not told the version.
fn identity(principal: Option<&Principal>) -> Identity {
    Identity {
        vendor: "Cimwright".to_owned(),
        version: if principal.is_some() { env!("CARGO_PKG_VERSION") } else { "0.0.0" }.to_owned(),
        security_profiles: Vec::new(),
    }
}

/// Whether the work can be given up when the client is: it changes nothing. Pulling moves a context on, so it is none.
fn only_reads(action: &Action) -> bool {
    match action {
        Action::Identify | Action::Get => true,
        Action::Invoke { method, .. } => {
            ["GetError", "GetErrorEx", "GetErrors"].iter().any(|read| method.is(read))
        }
        _ => false,
    }
}

fn checked(request: Request, headers: &HeaderMap) -> Result<Request, Box<Refusal>> {
    let action = &request.header.action;
    let given = headers.get("soapaction").and_then(|v| v.to_str().ok()).unwrap_or_default();
    if request.action == Action::Identify || soap_action_fits(given, action) {
        return Ok(request);
    }
    let fault = Fault::new(
        Subcode::ActionNotSupported,
        "The header SOAPAction names another action than the message.",
    );
    Err(Box::new(Refusal { fault: fault.detail("ActionMismatch"), message_id: request.header.message_id }))
}

fn is_windows(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).and_then(|v| v.to_str().ok()).is_some_and(|agent| agent.contains(WINDOWS_CLIENT))
}

/// The answer to a request that failed.
fn fault(
    mut fault: Fault,
    relates_to: &str,
    windows: bool,
    connection: &Connection,
    cover: &Cover,
) -> Response<ResponseBody> {
    if windows {
        fault.windows = Some(WindowsDetail {
            code: fault.windows_code(),
            machine: connection.app.computer_name.clone(),
            provider: None,
        });
    }
    let status = StatusCode::from_u16(fault.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    cover.close(status, encode_fault(&fault, &exchange::message_id(), relates_to))
}

/// The answer when something panicked; the panic itself is in the log.
fn defect(connection: &Connection, cover: &Cover) -> Response<ResponseBody> {
    connection.app.metrics.panicked();
    let what = Fault::new(Subcode::InternalError, "The server has a defect; its log says more.");
    fault(what, "", false, connection, cover)
}

fn bad_body(error: BodyError, limit: usize) -> Response<ResponseBody> {
    match error {
        BodyError::TooLarge => text(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "The body has more than {limit} bytes, which is the limit (limits.max_body_bytes; less without a login).\n"
            ),
        ),
        BodyError::TooSlow => text(
            StatusCode::REQUEST_TIMEOUT,
            "The body did not come in time (limits.body_read_timeout_ms).\n",
        ),
        BodyError::Broken => text(StatusCode::BAD_REQUEST, "The body is broken.\n"),
    }
}
