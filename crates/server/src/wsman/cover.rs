//! What the envelope of a message is wrapped in. A request is opened before it is read and its answer, faults included, is closed
//! in the same way: whoever seals a request gets a sealed answer.

use super::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, SOAP};
use crate::body::ResponseBody;
use crate::http::text;
use bytes::Bytes;
use hyper::{Response, StatusCode};

/// How a request was wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// Not at all.
    Clear,
}

impl Cover {
    /// Takes the envelope out of a body.
    ///
    /// # Errors
    /// The answer to a body that is none of WS-Management.
    pub(super) fn open(
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(Bytes, Self), Box<Response<ResponseBody>>> {
        if headers.get(CONTENT_ENCODING).is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let answer = "Content-Encoding is not understood here; send the body as it is.\n";
            return Err(Box::new(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, answer)));
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
            "WS-Management has the Content-Type application/soap+xml.\n",
        )))
    }

    /// The answer with this envelope in it.
    pub(super) fn close(&self, status: StatusCode, envelope: Vec<u8>) -> Response<ResponseBody> {
        match self {
            Self::Clear => {
                let mut response = Response::new(ResponseBody::Whole(envelope.into()));
                *response.status_mut() = status;
                response.headers_mut().insert(CONTENT_TYPE, SOAP);
                response
            }
        }
    }
}
