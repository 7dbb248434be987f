//! Cutting a connection of the daemon that hangs.
//!
//! A partner that stands still without closing its connections holds up the requests that wait for it, for as long as the
//! kernel repeats what was not acknowledged: a quarter of an hour. The daemon cannot be told to give up, so its socket is
//! shut down under it; the requests then fail, and what they carried is remembered as a difference.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use rustix::net::Shutdown;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use super::daemon::Daemon;

impl Daemon {
    /// Shuts down every connection to an address. Says how many there were.
    ///
    /// # Errors
    /// What the system said when the process cannot be looked at.
    pub fn sever(&self, partner: SocketAddr) -> std::io::Result<usize> {
        let mut cut = 0;
        for entry in fs::read_dir(format!("/proc/{}/fd", self.pid()))? {
            // Descriptors come and go while we look.
            let Ok(entry) = entry else { continue };
            let is_socket = fs::read_link(entry.path())
                .is_ok_and(|link| link.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let (true, Some(number)) = (is_socket, number) else { continue };
            let socket = match pidfd_getfd(self.pidfd().as_fd(), number, PidfdGetfdFlags::empty()) {
                Ok(socket) => socket,
                Err(rustix::io::Errno::BADF) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let peer = rustix::net::getpeername(&socket).ok().flatten();
            if peer.and_then(|peer| SocketAddr::try_from(peer).ok()) == Some(partner) {
                rustix::net::shutdown(&socket, Shutdown::Both)?;
                cut += 1;
            }
        }
        Ok(cut)
    }
}
