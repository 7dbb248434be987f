//! Where a server is and how to get in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where a server is, who asks, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// How it is asked.
    pub protocol: Protocol,
    /// Who asks. Over a unix socket the server can tell by the peer's uid, and none are needed.
    pub credentials: Option<Credentials>,
    /// What to trust. Only looked at for `https`.
    pub tls: TlsOptions,
    /// How long to try to connect, the TLS handshake included.
    pub connect_timeout: Duration,
    /// How long an answer may take, from the first byte sent to the last byte received.
    pub answer_timeout: Duration,
    /// The longest answer that is read, in bytes.
    pub max_answer: usize,
}

/// How a server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// CIM-XML (DSP0200).
    #[default]
    CimXml,
    /// WS-Management (DSP0226).
    WsMan,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp {
        /// Host name or address; an IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whether TLS is spoken.
        tls: bool,
        /// The request path, such as `/cimom`.
        path: String,
    },
    /// A unix socket of this machine.
    Unix(PathBuf),
}

/// A user name and a password for HTTP Basic authentication (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user. Holds no colon.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What a client trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A PEM file with the certificates to trust; the system's own ones are then not used.
    pub ca_file: Option<PathBuf>,
    /// Accept every certificate. The connection is then encrypted but may end at anybody.
    pub insecure: bool,
    /// What the client shows if the server asks who it is.
    pub identity: Option<Identity>,
}

/// A client certificate and its private key, as files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, with the chain behind it if the server does not know that.
    pub certificate: PathBuf,
    /// Its private key. May be the same file.
    pub key: PathBuf,
}

/// A text that names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError {
    /// The text.
    pub url: String,
    /// What is wrong with it and what would be right.
    pub reason: &'static str,
}

impl Endpoint {
    /// The usual port for CIM-XML over HTTP.
    pub const HTTP_PORT: u16 = 5988;
    /// The usual port for CIM-XML over HTTPS.
    pub const HTTPS_PORT: u16 = 5989;

    /// An endpoint with the usual limits: 10 seconds to connect, 2 minutes to answer, 256 MiB.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            protocol: Protocol::CimXml,
            credentials: None,
            tls: TlsOptions::default(),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(120),
            max_answer: 256 << 20,
        }
    }

    /// Reads `http://host[:5988][/path]`, `https://host[:5989][/path]` or `unix:///path/of/socket`.
    ///
    /// # Errors
    /// When the text is none of these. A password in the URL is refused: everybody on the machine could read it.
    pub fn from_url(url: &str) -> Result<Self, EndpointError> {
        Self::read(url, (Self::HTTP_PORT, Self::HTTPS_PORT), "/cimom")
    }

    /// As [`Endpoint::from_url`], for WS-Management: `http://host[:5985][/path]`, `https://host[:5986][/path]`, path `/wsman`.
    ///
    /// # Errors
    /// As for [`Endpoint::from_url`].
    pub fn from_wsman_url(url: &str) -> Result<Self, EndpointError> {
        Ok(Self::read(url, (5985, 5986), "/wsman")?.over_wsman())
    }

    /// The same endpoint, asked over WS-Management.
    #[must_use]
    pub fn over_wsman(mut self) -> Self {
        self.protocol = Protocol::WsMan;
        self
    }

    fn read(url: &str, ports: (u16, u16), default_path: &str) -> Result<Self, EndpointError> {
        let fail = |reason| EndpointError { url: url.to_owned(), reason };
        let Some((scheme, rest)) = url.trim().split_once("://") else {
            return Err(fail("it must begin with http://, https:// or unix://"));
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            "unix" if rest.starts_with('/') => return Ok(Self::new(Address::Unix(PathBuf::from(rest)))),
            "unix" => return Err(fail("after unix:// an absolute path is expected: unix:///run/x.sock")),
            _ => return Err(fail("the scheme must be http, https or unix")),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, default_path),
        };
        if authority.contains('@') {
            return Err(fail("user and password do not belong in the URL"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => match v6.split_once(']') {
                Some((host, "")) => (host, None),
                Some((host, port)) => {
                    (host, Some(port.strip_prefix(':').ok_or_else(|| fail("after ] a port is expected"))?))
                }
                None => return Err(fail("a ] is missing")),
            },
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(text) => text.parse().map_err(|_| fail("the port must be a number up to 65535"))?,
            None if tls => ports.1,
            None => ports.0,
        };
        if host.is_empty() || host.contains([' ', ':']) && !authority.starts_with('[') {
            return Err(fail("it names no host"));
        }
        let path = if path == "/" { default_path } else { path };
        if !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(fail("the path holds characters that must be percent-encoded"));
        }
        Ok(Self::new(Address::Tcp { host: host.to_owned(), port, tls, path: path.to_owned() }))
    }

    /// The same endpoint with a user and a password.
    #[must_use]
    pub fn with_credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some(Credentials { user: user.into(), password: password.into() });
        self
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address, f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, tls, .. } => {
                let scheme = if *tls { "https" } else { "http" };
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "{scheme}://{open}{host}{close}:{port}")
            }
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is no server address: {}", self.url, self.reason)
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(url: &str) -> (String, u16, bool, String) {
        match Endpoint::from_url(url).unwrap().address {
            Address::Tcp { host, port, tls, path } => (host, port, tls, path),
            Address::Unix(_) => panic!("a unix socket"),
        }
    }

    #[test]
    fn ports_and_paths_have_defaults() {
        assert_eq!(tcp("http://a"), ("a".into(), 5988, false, "/cimom".into()));
        assert_eq!(tcp("HTTPS://a.b/"), ("a.b".into(), 5989, true, "/cimom".into()));
        assert_eq!(tcp("http://127.0.0.1:80/x/y"), ("127.0.0.1".into(), 80, false, "/x/y".into()));
        assert_eq!(tcp("https://[::1]:7"), ("::1".into(), 7, true, "/cimom".into()));
        assert_eq!(tcp("http://[fe80::2]"), ("fe80::2".into(), 5988, false, "/cimom".into()));
        let unix = Endpoint::from_url("unix:///run/a b.sock").unwrap();
        assert_eq!(unix.address, Address::Unix("/run/a b.sock".into()));
    }

    #[test]
    fn the_other_protocol_has_its_own_ports() {
        let endpoint = Endpoint::from_wsman_url("https://a").unwrap();
        assert_eq!(endpoint.protocol, Protocol::WsMan);
        let address = |port, tls| Address::Tcp { host: "a".into(), port, tls, path: "/wsman".into() };
        assert_eq!(endpoint.address, address(5986, true));
        assert_eq!(Endpoint::from_wsman_url("http://a/").unwrap().address, address(5985, false));
        assert_eq!(Endpoint::from_wsman_url("http://a:7/").unwrap().address, address(7, false));
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for url in [
            "",
            "localhost",
            "ftp://a",
            "unix://run/x",
            "http://",
            "http://:80",
            "http://a:b",
            "http://a:70000",
            "http://u:p@a",
            "http://[::1",
            "http://[::1]x",
            "http://::1",
            "http://a/ü",
        ] {
            assert!(Endpoint::from_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_address_is_shown_as_it_would_be_typed() {
        for url in ["http://a:5988", "https://[::1]:7", "unix:///run/x.sock"] {
            assert_eq!(Endpoint::from_url(url).unwrap().to_string(), url);
        }
    }

    #[test]
    fn the_password_is_not_in_debug_output() {
        let endpoint = Endpoint::from_url("http://a").unwrap().with_credentials("u", "hush");
        assert!(!format!("{endpoint:?}").contains("hush"));
    }
}
