//! Keeping new connections of applications out for a moment.
//!
//! While a job ends, the daemon holds the requests of all connections it knows, and takes the job's node out of their way.
//! A connection that is made in that very moment is not held: its first write runs into the node that is being freed, and
//! the daemon crashes (seen with 10.0.2; about every second time when a client connects within 10 ms of the end). So the
//! socket gets another name meanwhile. Connections that exist are not touched; who connects in between finds no socket, as
//! before the volume was offered, and connects again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::replica::Shared;

/// How long the handshake of a client that came in just before may take. It needs about a millisecond.
const HANDSHAKE: Duration = Duration::from_millis(50);

/// The door is shut as long as this lives.
#[derive(Debug)]
pub(super) struct ShutDoor {
    moved: Option<(PathBuf, PathBuf)>,
}

impl Shared {
    /// Lets no application connect, and waits until those that are about to have done so.
    pub(super) async fn shut_door(&self) -> ShutDoor {
        let socket = self.application_export().socket;
        let door = ShutDoor::shut(&socket);
        if door.moved.is_some() {
            tokio::time::sleep(HANDSHAKE).await;
        }
        door
    }
}

impl ShutDoor {
    /// Does nothing when there is no socket: it is not offered, or shut already by somebody who will open it.
    fn shut(socket: &Path) -> Self {
        let aside = socket.with_extension("shut");
        let moved = std::fs::rename(socket, &aside).is_ok();
        Self { moved: moved.then(|| (aside, socket.to_path_buf())) }
    }
}

impl Drop for ShutDoor {
    fn drop(&mut self) {
        if let Some((aside, socket)) = self.moved.take()
            && let Err(error) = std::fs::rename(&aside, &socket)
        {
            tracing::error!(socket = %socket.display(), %error, "applications cannot connect any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_that_is_shut_twice_is_opened_by_the_first() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("volume");
        let nothing = ShutDoor::shut(&socket);
        std::fs::write(&socket, "").expect("made");
        drop(nothing);
        let outer = ShutDoor::shut(&socket);
        let inner = ShutDoor::shut(&socket);
        assert!(!socket.exists());
        drop(inner);
        assert!(!socket.exists());
        drop(outer);
        assert!(socket.exists());
    }
}
