//! What the envelope of a message is wrapped in. A request is opened before it is read and its answer, faults included, is closed
//! in the same way: whoever seals a request gets a sealed answer.

use super::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, SOAP};
use crate::auth::{Refused, sealed_protocol};
use crate::body::ResponseBody;
use crate::connection::Connection;
use crate::http::{refuse, text};
use bytes::Bytes;
use hyper::{Response, StatusCode};
use std::sync::Arc;

/// How a request was wrapped.
#[derive(Clone)]
pub(super) enum Cover {
    /// Not at all.
    Clear,
    /// Sealed with the keys of a login (MS-WSMV 2.2.9.1).
    Sealed {
        /// Which of the ways it says it is.
        protocol: String,
        /// Whose login it is.
        connection: Arc<Connection>,
    },
}

impl Cover {
    /// Takes the envelope out of a body.
    ///
    /// # Errors
    /// The answer to a body that is none of WS-Management.
    pub(super) fn open(
        headers: &HeaderMap,
        body: Bytes,
        connection: &Arc<Connection>,
    ) -> Result<(Bytes, Self), Box<Response<ResponseBody>>> {
        if headers.get(CONTENT_ENCODING).is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let answer = "Content-Encoding is not understood here; send the body as it is.\n";
            return Err(Box::new(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, answer)));
        }
        let sealed = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).and_then(sealed_protocol);
        if let Some(protocol) = sealed {
            let clear = connection.login.unseal(&body).map_err(|r| Box::new(refuse(r, connection)))?;
            let cover = Self::Sealed { protocol: protocol.to_owned(), connection: Arc::clone(connection) };
            return Ok((clear.into(), cover));
        }
        let media = headers.get(CONTENT_TYPE).map(|v| v.as_bytes()).unwrap_or_default();
        let media = media.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if [&b"application/soap+xml"[..], b"text/xml", b"application/xml"]
            .iter()
            .any(|known| media.eq_ignore_ascii_case(known))
        {
            return Ok((body, Self::Clear));
        }
        Err(Box::new(text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send WS-Management with the header Content-Type: application/soap+xml;charset=UTF-8.\n",
        )))
    }

    /// The answer with this envelope in it.
    pub(super) fn close(&self, status: StatusCode, envelope: Vec<u8>) -> Response<ResponseBody> {
        let (body, content_type) = match self {
            Self::Clear => (envelope, SOAP),
            Self::Sealed { protocol, connection } => {
                let soap = SOAP;
                let original = soap.to_str().unwrap_or_default();
                let Some(sealed) = connection.login.seal(protocol, original, envelope) else {
                    // Whoever asked under seal is not answered in the clear.
                    return refuse(Refused::Unavailable, connection);
                };
                let content_type = HeaderValue::try_from(sealed.content_type).unwrap_or(SOAP);
                (sealed.body, content_type)
            }
        };
        let mut response = Response::new(ResponseBody::Whole(body.into()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}
