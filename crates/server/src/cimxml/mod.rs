//! CIM operations over HTTP (DSP0200 chapter 7).
//!
//! The checks are in the order in which DSP0200 has a server make them: method, credentials, headers, body. What is wrong up
//! to there is answered on the level of HTTP; everything later in a message with status 200.

mod headers;
mod respond;

use crate::body::{BodyError, RequestBody, ResponseBody};
use crate::connection::Connection;
use crate::http;
use cimwright_codec::cimxml::decode_request;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use respond::Call;
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
    let extension = match headers::check(&parts) {
        Ok(extension) => extension,
        Err(response) => return *response,
    };
    let limits = &app.limits;
    let bytes = match body.read(limits.max_body_bytes, limits.body_read_timeout()).await {
        Ok(bytes) => bytes,
        Err(error) => return bad_body(error, limits.max_body_bytes),
    };
    // From here on, nothing the client does stops the work: it is not part of the connection any more.
    let (answer, answered) = oneshot::channel();
    let call = Call {
        connection: Arc::clone(connection),
        principal,
        extension,
        version: parts.version,
        wants_trailers: headers::wants_trailers(&parts.headers),
        started,
        answer,
    };
    app.tasks.spawn(async move {
        let headers = headers::cim_headers(&parts.headers, call.extension.as_ref());
        let decoded = decode_request(&bytes, &headers, &call.connection.app.xml_limits);
        drop((bytes, parts));
        call.run(decoded).await;
    });
    answered.await.unwrap_or_else(|_| {
        // The task ended without an answer, which it only does by panicking; the panic itself is in the log.
        app.metrics.panicked();
        http::text(StatusCode::INTERNAL_SERVER_ERROR, "The server has a defect; its log says more.\n")
    })
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
