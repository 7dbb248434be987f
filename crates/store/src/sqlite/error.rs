//! What SQLite says, as what a store says.

use cimwright_jobs::StoreError;
use std::error::Error;
use std::io;
use std::sync::Arc;

/// Primary result codes of SQLite that mean more than "it failed".
const SQLITE_FULL: u32 = 13;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_NOTADB: u32 = 26;

/// The error of a statement, with what it was for.
pub(crate) fn backend(context: impl Into<String>, error: impl Into<Arc<sqlx::Error>>) -> StoreError {
    let (context, error) = (context.into(), error.into());
    if let sqlx::Error::Decode(what) = error.as_ref() {
        return StoreError::Corrupt(format!("{context}: {what}"));
    }
    match primary_code(&error) {
        Some(SQLITE_FULL) => StoreError::Full(format!("{context}: {error}")),
        Some(SQLITE_CORRUPT | SQLITE_NOTADB) => StoreError::Corrupt(format!(
            "{context}: {error}; the database file is damaged: restore a backup of the state directory, or move the file away and \
             start without what it held"
        )),
        _ => failed(context, error),
    }
}

/// An error that is not SQLite's, with what was attempted.
pub(super) fn failed(context: impl Into<String>, source: impl Error + Send + Sync + 'static) -> StoreError {
    StoreError::Backend { context: context.into(), source: Box::new(source) }
}

/// The answer to everything asked after the end.
pub(super) fn closed() -> StoreError {
    failed("the job store is closed", io::Error::from(io::ErrorKind::BrokenPipe))
}

/// Whether a row with the same key exists.
pub(super) fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| e.is_unique_violation())
}

/// The low byte of the extended result code.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
