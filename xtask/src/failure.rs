//! What can go wrong in a chore.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of a chore or a part of it.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Why a chore could not be done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// Something has to be installed by a person.
    Missing {
        /// What is missing.
        what: String,
        /// The command that installs it.
        run: String,
    },
    /// A program failed.
    Program {
        /// The program with its arguments.
        line: String,
        /// How it ended.
        how: String,
        /// What it said, if that was not shown already.
        said: String,
    },
    /// The system refused to work on a file.
    Io {
        /// What was being done, such as "read".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The server did something other than it should.
    Server(String),
    /// Some of the tests failed; they have said so themselves.
    Tests(String),
}

impl Failure {
    /// Makes an I/O failure out of the error of a system call; for `map_err`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// The exit code that tells this kind of failure from the others.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Missing { .. } => 3,
            Self::Program { .. } | Self::Io { .. } | Self::Server(_) | Self::Tests(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => write!(f, "{text}; see: cargo xtask help"),
            Self::Missing { what, run } => {
                write!(f, "not installed: {what}. To install, run:\n\n    {run}\n")
            }
            Self::Program { line, how, said } => {
                write!(f, "`{line}` {how}")?;
                let said = said.trim();
                if said.is_empty() { Ok(()) } else { write!(f, ":\n{said}") }
            }
            Self::Io { doing, path, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
            Self::Server(text) | Self::Tests(text) => f.write_str(text),
        }
    }
}
