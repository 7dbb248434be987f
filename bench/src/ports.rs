//! The file in which a server tells where it listens.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// HTTP.
    pub http: SocketAddr,
    /// The unix socket.
    pub unix: PathBuf,
}

/// Reads the file; `None` while it is not complete.
pub fn parse(text: &str) -> Option<Addresses> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    if !text.ends_with('\n') {
        return None;
    }
    Some(Addresses { http: value("http")?.parse().ok()?, unix: value("unix")?.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_file_counts() {
        let whole = "http=127.0.0.1:5\nunix=/s/x.sock\n";
        let addresses = parse(whole).expect("complete");
        assert_eq!(addresses.http.port(), 5);
        assert_eq!(addresses.unix, PathBuf::from("/s/x.sock"));
        assert_eq!(parse(&whole[..whole.len() - 1]), None);
        assert_eq!(parse("http=127.0.0.1:5\n"), None);
    }
}
