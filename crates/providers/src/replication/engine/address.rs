//! Where a side listens and whom it connects to.

use std::net::SocketAddr;

use super::tls::TlsDirectory;

/// The destination, as the source reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// A name or an address. Names are looked up by the server, for the engine has no access to a resolver.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The name of the volume there.
    pub export: String,
    /// How to speak TLS; nothing is allowed on the loopback interface only.
    pub tls: Option<PartnerTls>,
}

/// TLS of the connecting side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerTls {
    /// The own certificate and the authority of the partner's.
    pub directory: TlsDirectory,
    /// The name that the partner's certificate must carry; the host when nothing is said.
    pub server_name: Option<String>,
}

/// Where the destination listens for the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address. The port must be a real one: the daemon does not tell which it would have chosen.
    pub address: SocketAddr,
    /// The name the volume is offered under.
    pub export: String,
    /// How to speak TLS; nothing is allowed on the loopback interface only.
    pub tls: Option<ListenTls>,
}

/// TLS of the listening side. The source must always show a certificate of the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenTls {
    /// The own certificate and the authority of the source's.
    pub directory: TlsDirectory,
    /// The distinguished name in the only certificate that is let in (RFC 4514, such as `CN=a.example.org`); any of the
    /// authority when nothing is said.
    pub only: Option<String>,
}

impl Partner {
    /// Host and port, for people.
    pub fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The name that the partner's certificate must carry.
    pub(super) fn server_name(&self) -> &str {
        self.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).unwrap_or(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_version_6_is_put_in_brackets() {
        let mut partner = Partner { host: "::1".into(), port: 7, export: String::new(), tls: None };
        assert_eq!(partner.place(), "[::1]:7");
        partner.host = "b".into();
        assert_eq!(partner.place(), "b:7");
        assert_eq!(partner.server_name(), "b");
    }
}
