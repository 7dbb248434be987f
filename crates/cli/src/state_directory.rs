//! The directory of the server's own files.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes the directory if it is not there. Passwords and the private key lie in it: nobody else looks in.
///
/// # Errors
/// With a text that says what to do.
pub(crate) fn make(path: &Path) -> Result<(), String> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| {
        format!("cannot make the state directory {}: {e}; choose another with --state DIR", path.display())
    })
}
