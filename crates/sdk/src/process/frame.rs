//! Messages on a stream: four bytes with the length, highest first, then that many bytes of JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest message, without its length, in either direction.
pub const MAX_FRAME: usize = 4 << 20;

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The message is longer than allowed. Nothing of it was sent, or read.
    #[error("a message of {length} bytes is longer than the {MAX_FRAME} that are allowed")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It is none.
    #[error("a message cannot be understood: {0}")]
    Nonsense(#[from] serde_json::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
}

/// The bytes of a message.
///
/// # Errors
/// [`FrameError::TooLong`].
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - 4;
    match u32::try_from(length) {
        Ok(head) if length <= MAX_FRAME => frame[..4].copy_from_slice(&head.to_be_bytes()),
        _ => return Err(FrameError::TooLong { length }),
    }
    Ok(frame)
}

/// Sends a message.
///
/// # Errors
/// [`FrameError::TooLong`], with nothing sent; [`FrameError::Broken`].
pub async fn send<M: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &M) -> Result<(), FrameError> {
    let frame = encode(message)?;
    to.write_all(&frame).await?;
    Ok(to.flush().await?)
}

/// The next message; `None` when the other side has closed the connection between two messages.
///
/// # Errors
/// As [`FrameError`] says. After an error the stream is of no use.
pub async fn receive<M: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<Option<M>, FrameError> {
    Ok(receive_sized(from).await?.map(|(message, _)| message))
}

/// The same, with the length of the message in bytes.
///
/// # Errors
/// As [`receive`].
pub async fn receive_sized<M: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<Option<(M, usize)>, FrameError> {
    let mut head = [0; 4];
    match from.read_exact(&mut head[..1]).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    from.read_exact(&mut head[1..]).await?;
    let length = u32::from_be_bytes(head) as usize;
    if length > MAX_FRAME {
        return Err(FrameError::TooLong { length });
    }
    // Grows with what arrives and not with what was announced.
    let mut body = Vec::new();
    if from.take(length as u64).read_to_end(&mut body).await? < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Some((serde_json::from_slice(&body)?, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_arrives_as_it_was_sent_and_a_long_one_is_refused() {
        let mut bytes = Vec::new();
        send(&mut bytes, &vec!["a", "b"]).await.unwrap();
        assert_eq!(&bytes[..6], [0, 0, 0, 9, b'[', b'"']);
        let mut from = bytes.as_slice();
        assert_eq!(receive::<Vec<String>>(&mut from).await.unwrap().unwrap(), ["a", "b"]);
        assert!(receive::<Vec<String>>(&mut from).await.unwrap().is_none());

        let long = "x".repeat(MAX_FRAME);
        assert!(matches!(encode(&long), Err(FrameError::TooLong { .. })));
        let mut from: &[u8] = &[0xff, 0, 0, 0, b'"'];
        assert!(matches!(receive::<String>(&mut from).await, Err(FrameError::TooLong { .. })));
        for broken in [&[0_u8, 0][..], &[0, 0, 0, 5, b'"']] {
            let mut from = broken;
            assert!(matches!(receive::<String>(&mut from).await, Err(FrameError::Broken(_))));
        }
        let mut from: &[u8] = &[0, 0, 0, 2, b'"', b'x'];
        assert!(matches!(receive::<String>(&mut from).await, Err(FrameError::Nonsense(_))));
    }
}
