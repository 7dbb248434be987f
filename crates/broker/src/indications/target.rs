//! Where indications may be sent: the URL of a listener, and which of them an administrator allows.
//!
//! A URL that a client gives is a request that the server will make. So it is looked at when it is given: the scheme, the host
//! and the form, against a list that holds nothing but the own machine unless somebody says otherwise. A host name is allowed by
//! its name and an address by its number; a name is never resolved to find out whether its address might do.

use cimwright_cim::CimError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest URL that is taken.
const MAX_LENGTH: usize = 2048;

/// The usual port of CIM-XML over HTTP.
const HTTP_PORT: u16 = 5988;

/// The usual port of CIM-XML over HTTPS.
const HTTPS_PORT: u16 = 5989;

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Host name or address; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path of the request, `/` where the URL has none.
    pub path: String,
}

/// What an administrator allows as a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Every host: `any`.
    Any,
    /// The own machine: `loopback`.
    Loopback,
    /// Addresses that begin with these bits: `192.0.2.0/24`, or one address.
    Network(IpAddr, u8),
    /// One host: `listener.example.com`.
    Host(String),
    /// The hosts of a domain: `*.example.com`.
    Domain(String),
}

impl Target {
    /// Reads the URL of a listener. Without a scheme it is http (CIM_ListenerDestinationCIMXML.Destination).
    ///
    /// # Errors
    /// CIM_ERR_INVALID_PARAMETER with what is wrong.
    pub fn parse(url: &str) -> Result<Self, CimError> {
        Self::parse_with(url, HTTP_PORT, HTTPS_PORT)
    }

    /// Reads the URL of a listener that has other ports where the URL has none.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn parse_with(url: &str, http: u16, https: u16) -> Result<Self, CimError> {
        let wrong = |what: &str| {
            let shown: String = url.chars().take(200).collect();
            Err(CimError::invalid_parameter(format!("Destination \"{shown}\": {what}")))
        };
        if url.len() > MAX_LENGTH {
            return wrong("it is too long");
        }
        if !url.bytes().all(|b| b.is_ascii_graphic()) {
            return wrong("it holds characters that no URL has");
        }
        let (tls, rest) = match url.split_once("://") {
            None => (false, url),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return wrong("the scheme must be http or https"),
        };
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, ""),
        };
        if rest.contains('#') || authority.contains('@') {
            return wrong("it may have neither a user nor a fragment");
        }
        let (host, port) = match authority.strip_prefix('[').map(|v6| v6.split_once(']')) {
            Some(Some((host, port))) if host.parse::<Ipv6Addr>().is_ok() => (host, port.strip_prefix(':')),
            Some(_) => return wrong("there is no address between [ and ]"),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            None => {
                if tls {
                    https
                } else {
                    http
                }
            }
            Some(text) => match text.parse::<u16>() {
                Ok(port) if port > 0 => port,
                _ => return wrong("the port must be a number from 1 to 65535"),
            },
        };
        let is_name = |h: &str| {
            h.len() <= 253
                && h.split('.').all(|label| {
                    !label.is_empty()
                        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                })
        };
        if host.parse::<Ipv6Addr>().is_err() && !is_name(host) {
            return wrong("it names no host");
        }
        // A resolver would take 0x7f000001 or 127.1 for an address; a list of names would not.
        let last = host.rsplit('.').next().unwrap_or_default();
        if host.parse::<IpAddr>().is_err() && last.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
            return wrong("an address has four numbers from 0 to 255");
        }
        let path = match path {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        Ok(Self { tls, host: host.to_ascii_lowercase(), port, path })
    }

    /// Whether the list allows this host.
    pub fn is_allowed(&self, list: &[Allowed]) -> bool {
        let address = self.host.parse::<IpAddr>().ok().map(|a| a.to_canonical());
        list.iter().any(|allowed| match (allowed, address) {
            (Allowed::Any, _) => true,
            (Allowed::Loopback, Some(address)) => address.is_loopback(),
            (Allowed::Loopback, None) => self.host == "localhost",
            (Allowed::Network(network, bits), Some(address)) => within(address, *network, *bits),
            (Allowed::Host(name), None) => self.host == *name,
            (Allowed::Domain(domain), None) => {
                self.host.strip_suffix(domain.as_str()).is_some_and(|front| front.ends_with('.'))
            }
            (Allowed::Network(..), None) | (Allowed::Host(_) | Allowed::Domain(_), Some(_)) => false,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}{}", self.host, self.port, self.path)
    }
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no destination; write loopback, any, an address, a network such as 192.0.2.0/24, a host or *.domain"
            )
        };
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "any" => return Ok(Self::Any),
            "loopback" => return Ok(Self::Loopback),
            _ => {}
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address, bits_of(address)));
        }
        if let Some((network, bits)) = text.split_once('/') {
            let network: IpAddr = network.parse().map_err(|_| wrong())?;
            let bits = bits.parse().ok().filter(|b| *b <= bits_of(network)).ok_or_else(wrong)?;
            return Ok(Self::Network(network, bits));
        }
        let plain = |name: &str| {
            !name.is_empty()
                && name.split('.').all(|label| {
                    !label.is_empty()
                        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                })
        };
        match text.strip_prefix("*.") {
            Some(domain) if plain(domain) => Ok(Self::Domain(domain.to_owned())),
            None if plain(&text) => Ok(Self::Host(text)),
            _ => Err(wrong()),
        }
    }
}

fn bits_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let high = |value: u128, width: u32| value.checked_shr(width - u32::from(bits)).unwrap_or(0);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            let number = |a: Ipv4Addr| u128::from(a.to_bits());
            high(number(a), 32) == high(number(n), 32)
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => high(a.to_bits(), 128) == high(n.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        Target::parse(url).unwrap().to_string()
    }

    #[test]
    fn urls_have_defaults() {
        assert_eq!(shown("https://Host:5991"), "https://host:5991/");
        assert_eq!(shown("host"), "http://host:5988/");
        assert_eq!(shown("HTTPS://a.b/x/y?z"), "https://a.b:5989/x/y?z");
        assert_eq!(shown("[::1]:7"), "http://[::1]:7/");
        assert_eq!(shown("127.0.0.1:80?a"), "http://127.0.0.1:80/?a");
    }

    #[test]
    fn what_is_no_listener_is_refused() {
        for url in [
            "",
            "ftp://a",
            "file:///etc/passwd",
            "http://",
            "http://u:p@a",
            "http://a:0",
            "http://a:x",
            "http://a:70000",
            "http://[::1",
            "http://[x]",
            "http://a b",
            "http://a/\r\nX: y",
            "http://a#f",
            "http://é",
            "http://a..b",
            "http://127.1",
            "http://0x7f000001",
            "http://2130706433",
            "gopher://a",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
        assert!(Target::parse(&format!("http://a/{}", "x".repeat(3000))).is_err());
    }

    #[test]
    fn the_list_decides() {
        let list = |items: &[&str]| items.iter().map(|i| i.parse().unwrap()).collect::<Vec<Allowed>>();
        let allows = |items: &[&str], url: &str| Target::parse(url).unwrap().is_allowed(&list(items));
        for url in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(allows(&["loopback"], url), "{url}");
        }
        for url in ["10.0.0.1", "169.254.169.254", "[fe80::1]", "localhost.example.com", "example.com"] {
            assert!(!allows(&["loopback"], url), "{url}");
            assert!(allows(&["any"], url), "{url}");
        }
        assert!(allows(&["192.0.2.0/24"], "192.0.2.7"));
        assert!(!allows(&["192.0.2.0/24"], "192.0.3.7"));
        assert!(allows(&["0.0.0.0/0"], "9.9.9.9"));
        assert!(allows(&["2001:db8::/32"], "[2001:db8:1::1]"));
        assert!(allows(&["192.0.2.7"], "192.0.2.7") && !allows(&["192.0.2.7"], "192.0.2.8"));
        assert!(allows(&["*.example.com"], "a.b.example.com"));
        assert!(!allows(&["*.example.com"], "example.com") && !allows(&["*.example.com"], "badexample.com"));
        assert!(allows(&["Listener.Example.com"], "listener.example.COM"));
        assert!(!allows(&[], "localhost"));
        for text in ["", "192.0.2.0/33", "*.", "a b", "*", "http://a"] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
    }
}
