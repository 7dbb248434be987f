//! What a client says before anybody knows who it is.

use super::Outcome;
use cimwright_server::auth::read_untrusted;

/// Words of the language.
pub(super) const WORDS: &[&str] = &[
    "NTLMSSP\0",
    "\u{1}\0\0\0",
    "\u{3}\0\0\0",
    "\u{60}",
    "+\u{6}\u{1}\u{5}\u{5}\u{2}",
    "\u{6}\u{9}",
    "--Encrypted Boundary\r\n",
    "--Encrypted Boundary--\r\n",
    "\tOriginalContent: type=a;Length=",
    "\tContent-Type: application/octet-stream\r\n",
    "\u{5}\u{2}",
];

/// Reads the bytes as each of the tokens of a login, as a sealed body and as a keytab.
pub(super) fn run(data: &[u8]) -> Outcome {
    Outcome::of(&read_untrusted(data))
}
