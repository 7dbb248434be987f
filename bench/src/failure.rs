//! What can go wrong in a drill or a measurement, other than the violations and shortfalls they look for.

use cimwright_client::ClientError;
use cimwright_jobs::StoreError;
use std::io;
use std::path::{Path, PathBuf};

/// The result of a part of a drill or a measurement.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why something could not even be tried.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The system refused to work on a file.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, such as "read".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program failed or could not be started.
    #[error("`{line}` failed: {said}")]
    Program {
        /// The program with its arguments.
        line: String,
        /// What it said, or why it could not be started.
        said: String,
    },
    /// A program is missing that has to be installed.
    #[error("{what} is missing; install it with: {run}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// The command that installs it.
        run: &'static str,
    },
    /// The server did not start, or ended by itself.
    #[error("the server {what}; the end of its log:\n{log}")]
    Server {
        /// What it did.
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// The server answered something else than it should have.
    #[error("{asked} was answered with {answered}")]
    Answer {
        /// What was asked.
        asked: &'static str,
        /// What came back.
        answered: String,
    },
    /// A connection of the load generator broke.
    #[error("a connection broke while {doing}: {source}")]
    Connection {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A call of the typed client failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The job store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// SQLite failed.
    #[error("SQLite failed: {0}")]
    Sql(#[from] sqlx::Error),
    /// It took longer than it may.
    #[error("{what} took longer than {seconds} s")]
    Late {
        /// What.
        what: &'static str,
        /// The limit.
        seconds: u64,
    },
}

impl Failure {
    /// Makes an I/O failure out of the error of a system call; for `map_err`.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// Makes a failure out of the error of a connection; for `map_err`.
    pub fn connection(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Connection { doing, source }
    }
}
