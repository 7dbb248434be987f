//! Where the certificates of a side lie. Making them is not the engine's work.

use std::path::{Path, PathBuf};

/// A directory with PEM files under the names that the daemon looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsDirectory {
    path: PathBuf,
}

/// The side of a connection that a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsRole {
    /// The side that connects: the source.
    Client,
    /// The side that listens: the destination.
    Server,
}

/// Why a directory with certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsDirectoryError {
    /// A file is missing or cannot be seen.
    #[error("the file {} is needed for TLS", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl TlsDirectory {
    /// The certificate of the authority that both sides trust.
    pub const CA_CERTIFICATE: &str = "ca-cert.pem";
    /// The certificate of the listening side.
    pub const SERVER_CERTIFICATE: &str = "server-cert.pem";
    /// The key of [`Self::SERVER_CERTIFICATE`].
    pub const SERVER_KEY: &str = "server-key.pem";
    /// The certificate of the connecting side.
    pub const CLIENT_CERTIFICATE: &str = "client-cert.pem";
    /// The key of [`Self::CLIENT_CERTIFICATE`].
    pub const CLIENT_KEY: &str = "client-key.pem";

    /// Names a directory. Nothing is looked at yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks whether all files for a role are there.
    ///
    /// # Errors
    /// [`TlsDirectoryError::Missing`] for the first that is not.
    pub fn check(&self, role: TlsRole) -> Result<(), TlsDirectoryError> {
        let own = match role {
            TlsRole::Client => [Self::CLIENT_CERTIFICATE, Self::CLIENT_KEY],
            TlsRole::Server => [Self::SERVER_CERTIFICATE, Self::SERVER_KEY],
        };
        for name in [Self::CA_CERTIFICATE].into_iter().chain(own) {
            let path = self.path.join(name);
            std::fs::metadata(&path).map_err(|source| TlsDirectoryError::Missing { path, source })?;
        }
        Ok(())
    }
}

impl TlsRole {
    /// The word for it in the daemon's options.
    pub(super) fn endpoint(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}
