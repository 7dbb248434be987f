//! From an HTTP request to the part of the server that answers it, and the answers that are the same for all parts.

use crate::auth::Refused;
use crate::body::{RequestBody, ResponseBody};
use crate::cimxml;
use crate::connection::Connection;
use crate::wsman;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, EXPECT, HeaderValue, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};
use std::borrow::Cow;
use std::sync::Arc;

/// Answers a request, whatever it is.
pub(crate) async fn answer(
    request: Request<Incoming>,
    connection: &Arc<Connection>,
) -> Response<ResponseBody> {
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::new(body);
    // A client that waits to be asked for the body sees a refusal without having sent it.
    let waits = parts.version == Version::HTTP_11 && parts.headers.contains_key(EXPECT);
    let response = match parts.uri.path() {
        "/healthz" => health(&parts, connection),
        "/metrics" => metrics(&parts, connection).await,
        "/wsman" | "/wsman/" | wsman::ANONYMOUS_PATH => wsman::handle(parts, &mut body, connection).await,
        _ => cimxml::handle(parts, &mut body, connection).await,
    };
    let mut response =
        if body.has_ended() { response } else { finish(response, waits, body, connection).await };
    if let Some(token) = connection.login.take_say() {
        response.headers_mut().append(WWW_AUTHENTICATE, token);
    }
    connection.app.metrics.http(response.status());
    response
}

/// How many bytes headers take, with the line above them and the empty one below (RFC 9112); `line` is the length of the former.
pub(crate) fn head_bytes(line: usize, headers: &hyper::HeaderMap) -> u64 {
    let lines: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (line + 2 + lines + 2) as u64
}

/// A short answer for people.
pub(crate) fn text(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Response<ResponseBody> {
    let bytes = match text.into() {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    let mut response = Response::new(ResponseBody::Whole(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The answer to somebody who did not prove who it is.
pub(crate) fn refuse(why: Refused, connection: &Connection) -> Response<ResponseBody> {
    let app = &connection.app;
    app.metrics.refused(why);
    tracing::debug!(transport = ?connection.transport, reason = why.name(), "refused");
    let status = match why {
        Refused::Missing | Refused::Malformed | Refused::Wrong | Refused::Continue | Refused::Certificate => {
            StatusCode::UNAUTHORIZED
        }
        Refused::Insecure => StatusCode::FORBIDDEN,
        Refused::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = text(status, format!("{}\n", why.text()));
    // While a login goes on there is nothing to choose from.
    if status == StatusCode::UNAUTHORIZED && why != Refused::Continue {
        for challenge in app.auth.challenges() {
            response.headers_mut().append(WWW_AUTHENTICATE, challenge);
        }
    }
    response
}

/// The answer to a method that is not for this place.
pub(crate) fn wrong_method(method: &Method, allowed: &'static str) -> Response<ResponseBody> {
    // RFC 9110 15.5.6 and 15.6.2: 405 for a method that is known, 501 for one that is not.
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
        Method::TRACE,
        Method::CONNECT,
    ];
    let status =
        if known.contains(method) { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_IMPLEMENTED };
    let mut response = text(status, format!("Only {allowed} is served here.\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// `GET /healthz`: whether the server takes work. Needs no authentication and tells nothing else.
fn health(parts: &Parts, connection: &Connection) -> Response<ResponseBody> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return wrong_method(&parts.method, "GET");
    }
    if connection.app.is_stopping() {
        text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
    } else {
        text(StatusCode::OK, "ok\n")
    }
}

/// `GET /metrics`: for everybody on this machine, and for users from elsewhere.
async fn metrics(parts: &Parts, connection: &Connection) -> Response<ResponseBody> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return wrong_method(&parts.method, "GET");
    }
    if !connection.transport.is_local()
        && let Err(refused) = connection.authenticate(&parts.headers).await
    {
        return refuse(refused, connection);
    }
    let app = &connection.app;
    let mut response = text(StatusCode::OK, app.metrics.render(app.executor.job_numbers().await));
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Takes care of a request body that nobody read to its end.
async fn finish(
    mut response: Response<ResponseBody>,
    waits: bool,
    mut body: RequestBody,
    connection: &Connection,
) -> Response<ResponseBody> {
    let limits = &connection.app.limits;
    if !waits && response.status() != StatusCode::REQUEST_TIMEOUT {
        body.discard(limits.max_body_bytes, limits.body_read_timeout()).await;
    }
    if !body.has_ended() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
