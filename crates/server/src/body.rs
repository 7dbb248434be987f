//! Bodies of requests, read within limits, and of responses, whole or piece by piece.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// The body of a response.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// All of it; announced with Content-Length.
    Whole(Bytes),
    /// Pieces as they come; chunked, or up to the end of the connection with HTTP/1.0.
    Pieces(mpsc::Receiver<Result<Frame<Bytes>, Aborted>>),
}

/// The rest of a body cannot be sent. The connection is closed without the end of the body, so that the client cannot take
/// what it has for the whole.
#[derive(Debug)]
pub(crate) struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer could not be completed")
    }
}

impl std::error::Error for Aborted {}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Pieces(pieces) => pieces.poll_recv(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// Why there is no body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It has more bytes than are taken.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// The client went away, or sent what is no body.
    Broken,
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct RequestBody {
    incoming: Incoming,
    ended: bool,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming) -> Self {
        Self { ended: incoming.is_end_stream(), incoming }
    }

    /// Whether all of it has been read, so that the next request of the connection can be.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads a body of up to `limit` bytes within `time`.
    pub(crate) async fn read(&mut self, limit: usize, time: Duration) -> Result<Bytes, BodyError> {
        if self.incoming.size_hint().lower() > limit as u64 {
            return Err(BodyError::TooLarge);
        }
        tokio::time::timeout(time, self.collect(limit)).await.unwrap_or(Err(BodyError::TooSlow))
    }

    /// Takes what the client is still sending, up to `limit` bytes and for up to `time`, and forgets it. A client that is not
    /// listened to while it sends would not see the answer but a broken connection.
    pub(crate) async fn discard(&mut self, limit: usize, time: Duration) {
        let discard = async {
            let mut taken = 0;
            while taken <= limit
                && let Ok(Some(data)) = self.data().await
            {
                taken += data.len();
            }
        };
        // A client that takes too long sees the broken connection.
        let _ = tokio::time::timeout(time, discard).await;
    }

    async fn collect(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        // Most bodies come in one piece, which need not be copied.
        let Some(first) = self.data().await? else { return Ok(Bytes::new()) };
        if first.len() > limit {
            return Err(BodyError::TooLarge);
        }
        if self.ended {
            return Ok(first);
        }
        let mut all = BytesMut::with_capacity(first.len() + self.incoming.size_hint().lower() as usize);
        all.extend_from_slice(&first);
        while let Some(data) = self.data().await? {
            if all.len() + data.len() > limit {
                return Err(BodyError::TooLarge);
            }
            all.extend_from_slice(&data);
        }
        Ok(all.freeze())
    }

    /// The next piece; `None` at the end.
    async fn data(&mut self) -> Result<Option<Bytes>, BodyError> {
        while !self.ended {
            let frame = self.incoming.frame().await.transpose().map_err(|_| BodyError::Broken)?;
            self.ended = frame.is_none() || self.incoming.is_end_stream();
            // What is no data are trailers, which have no meaning here.
            if let Some(data) = frame.and_then(|f| f.into_data().ok()) {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}
