//! Who asks. Nothing reaches the broker without a [`Principal`], and in this crate only this module makes one.

mod basic;
mod certificate;
mod channel;
mod login;
mod negotiate;
mod peer;
pub mod users;

use crate::Principal;
use crate::config::{AuthConfig, ChannelBinding, UnixPeer};
use basic::BasicAuth;
use channel::Bound;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use login::{Heard, Unheard};
use negotiate::Proof;
use negotiate::kerberos::keytab::{KeytabError, MAX_KEYTAB};
use negotiate::kerberos::{Keytab, Seen};
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use users::UsersFile;

pub use certificate::Thumbprint;
pub(crate) use channel::{BindingHash, Channel};
pub(crate) use login::ConnectionLogin;
pub use negotiate::read_untrusted;
pub(crate) use negotiate::sealed_protocol;

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP without TLS.
    Http(SocketAddr),
    /// TCP with TLS.
    Https(SocketAddr),
    /// The unix socket, from a process of this user.
    Unix {
        /// The user's number.
        uid: u32,
    },
}

impl Transport {
    /// Whether nobody outside this machine is on the way.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Http(peer) | Self::Https(peer) => peer.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => true,
        }
    }

    /// The address of the client, if it came over a network.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Http(peer) | Self::Https(peer) => Some(*peer),
            Self::Unix { .. } => None,
        }
    }
}

/// The address by which clients are counted. Whoever has one address of IPv6 has the 2^64 of its network, so these count as one.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No credentials were given.
    Missing,
    /// What was given is not understood.
    Malformed,
    /// What was given is not right.
    Wrong,
    /// Passwords are not taken over this connection.
    Insecure,
    /// The credentials could not be checked.
    Unavailable,
    /// The login is not at its end; the client has to answer.
    Continue,
    /// The client certificate is nobody's, or there is none although the client says so.
    Certificate,
}

/// What the client says who logs in with the certificate alone (DSP0226 annex C, `https/mutual`; Windows does the same).
const MUTUAL: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual";

impl Refused {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::Missing,
        Self::Malformed,
        Self::Wrong,
        Self::Insecure,
        Self::Unavailable,
        Self::Continue,
        Self::Certificate,
    ];

    /// A short name, for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Wrong => "wrong",
            Self::Insecure => "insecure",
            Self::Unavailable => "unavailable",
            Self::Continue => "continue",
            Self::Certificate => "certificate",
        }
    }

    /// What the client is told.
    pub fn text(self) -> &'static str {
        match self {
            Self::Missing => "Log in with a user name and a password (Basic authentication).",
            Self::Malformed => {
                "The header Authorization is not `Basic` with the base64 of `name:password`, nor the next message of \
                 a login with `Negotiate`."
            }
            Self::Wrong => "The user name or the password is wrong.",
            Self::Insecure => {
                "This server takes passwords over plain HTTP only from its own machine. Use HTTPS, or set \
                 insecure_basic_over_http in the section [auth] of its configuration."
            }
            Self::Unavailable => "The password could not be checked. Try again; the server's log says more.",
            Self::Continue => "The login goes on.",
            Self::Certificate => {
                "No user of this server has the certificate of this connection. `cimwright user add NAME --certificate \
                 FILE` gives it to one."
            }
        }
    }
}

/// Tells who asks.
pub(crate) struct Authenticator {
    basic: BasicAuth,
    insecure_basic_over_http: bool,
    unix_peers: Vec<UnixPeer>,
    own_uid: u32,
    computer: String,
    keytab: Option<Keytab>,
    tickets: Seen,
    binding: ChannelBinding,
    challenge: HeaderValue,
}

/// The connection that a request came over, as far as it tells who asks.
pub(crate) struct Asker<'a> {
    /// How the client is connected.
    pub(crate) transport: &'a Transport,
    /// What is known of its TLS.
    pub(crate) channel: Option<Channel>,
    /// The user of a connection that proves by itself whose it is.
    pub(crate) connected: Option<&'a Arc<Principal>>,
    /// The login of several messages that the client went through.
    pub(crate) login: &'a ConnectionLogin,
}

/// Why an authenticator cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The system has no randomness to give.
    #[error("the operating system gives no random numbers, without which nobody can be authenticated")]
    NoRandomness,
    /// The keytab cannot be used.
    #[error("{}: the keytab cannot be used: {problem}; make one with `kadmin ktadd`, or take auth.keytab out of the configuration", path.display())]
    Keytab {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl Authenticator {
    /// An authenticator with the users of a state directory.
    ///
    /// # Errors
    /// [`AuthError`].
    pub(crate) fn new(config: &AuthConfig, users: UsersFile, computer: String) -> Result<Self, AuthError> {
        let challenge = HeaderValue::try_from(format!("Basic realm=\"{}\"", config.realm))
            .unwrap_or(HeaderValue::from_static("Basic realm=\"cimwright\""));
        Ok(Self {
            basic: BasicAuth::new(users).map_err(|_| AuthError::NoRandomness)?,
            keytab: config.keytab.as_deref().map(keytab).transpose()?,
            tickets: Seen::default(),
            binding: config.channel_binding,
            insecure_basic_over_http: config.insecure_basic_over_http,
            unix_peers: config.unix_peers.clone(),
            own_uid: rustix::process::geteuid().as_raw(),
            computer,
            challenge,
        })
    }

    /// The user of a connection that proves by itself who is at its other end. Asked once for each connection.
    pub(crate) fn connected(&self, transport: &Transport) -> Option<Arc<Principal>> {
        match transport {
            Transport::Unix { uid } => peer::principal(*uid, self.own_uid, &self.unix_peers).map(Arc::new),
            Transport::Http(_) | Transport::Https(_) => None,
        }
    }

    /// Who asks: the user in the header Authorization, or else whoever has logged in on the connection, or else the user of the
    /// connection: of its certificate, or of the process at the other end. A header that is wrong is wrong, whoever the connection's
    /// user is: with `https/mutual/basic` the certificate is that of a machine, and the header says who is at it.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        asker: &Asker<'_>,
    ) -> Result<Arc<Principal>, Refused> {
        let Asker { transport, channel, connected, login } = *asker;
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let header = match (given.next(), given.next()) {
            (header, None) => header,
            (_, Some(_)) => return Err(Refused::Malformed),
        };
        let negotiated = header.and_then(negotiated);
        let exposed = matches!(transport, Transport::Http(_))
            && !transport.is_local()
            && !self.insecure_basic_over_http;
        if header.is_some_and(|header| header.as_bytes().trim_ascii().eq_ignore_ascii_case(MUTUAL.as_bytes()))
        {
            if exposed {
                return Err(Refused::Insecure);
            }
            return self.owner_of(channel).unwrap_or(Err(Refused::Certificate));
        }
        // Asked before anything else: a challenge would make the client send its password over this connection. A login that
        // sends none is no danger, but what it leads to has to be sealed.
        let password = negotiated.is_none() && (header.is_some() || login.user().is_none());
        if exposed && (password || !is_sealed_or_empty(headers)) {
            return Err(Refused::Insecure);
        }
        let peer = transport.peer().map(|p| neighbourhood(p.ip()));
        match (header, negotiated) {
            (None, _) => match (login.user(), self.owner_of(channel)) {
                (Some((name, proof)), _) => self.principal(&name, proof),
                (None, Some(owner)) => owner,
                (None, None) => connected.cloned().ok_or(Refused::Missing),
            },
            (Some(_), Some(message)) => {
                let kerberos = self.keytab.as_ref().map(|keytab| (keytab, &self.tickets));
                let bound = Bound { rule: self.binding, to: channel.map(|channel| channel.binding) };
                match login.hear(message, &self.computer, kerberos, bound, |name| self.basic.find(name)) {
                    Ok(Heard::Continue) => Err(Refused::Continue),
                    Ok(Heard::Done(name, proof)) => {
                        if proof == Proof::Password {
                            self.basic.succeeded(&name, peer).await;
                        }
                        self.principal(&name, proof)
                    }
                    Err(Unheard::Malformed) => Err(Refused::Malformed),
                    Err(Unheard::Unavailable) => Err(Refused::Unavailable),
                    Err(Unheard::Wrong(name)) => {
                        self.basic.failed(name, peer).await;
                        Err(Refused::Wrong)
                    }
                }
            }
            (Some(header), None) => {
                self.basic.verify(header.as_bytes(), peer).await.map_err(|refusal| match refusal {
                    basic::Refusal::Malformed => Refused::Malformed,
                    basic::Refusal::Wrong => Refused::Wrong,
                    basic::Refusal::Unavailable => Refused::Unavailable,
                })
            }
        }
    }

    /// A user who has logged in, as the users file has it now: a user who was removed is refused at once.
    fn principal(&self, name: &str, proof: Proof) -> Result<Arc<Principal>, Refused> {
        let may = |user: &users::User| match proof {
            Proof::Password => user.nt_hash.is_some(),
            Proof::Ticket => true,
        };
        let user = self.basic.find(name).filter(|user| user.name == name && may(user));
        user.map(|user| Arc::new(Principal::authenticated(user.name, user.role))).ok_or(Refused::Wrong)
    }

    /// The user of the connection's certificate, if it has one: whoever the users file says it is now.
    fn owner_of(&self, channel: Option<Channel>) -> Option<Result<Arc<Principal>, Refused>> {
        let certificate = channel?.client?;
        let user = self.basic.owner(certificate);
        Some(
            user.map(|user| Arc::new(Principal::authenticated(user.name, user.role)))
                .ok_or(Refused::Certificate),
        )
    }

    /// The values of WWW-Authenticate, the strongest first.
    pub(crate) fn challenges(&self) -> impl Iterator<Item = HeaderValue> {
        let kerberos = self.keytab.is_some();
        let negotiate = (kerberos || self.basic.knows_ntlm()).then(|| HeaderValue::from_static("Negotiate"));
        negotiate.into_iter().chain([self.challenge.clone()])
    }
}

fn keytab(path: &Path) -> Result<Keytab, AuthError> {
    let unusable = |problem: String| AuthError::Keytab { path: path.to_owned(), problem };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| {
            users::warn_if_open(path, &file.metadata()?);
            file.take(MAX_KEYTAB as u64).read_to_end(&mut bytes)
        })
        .map_err(|error| unusable(error.to_string()))?;
    Keytab::read(&bytes).map_err(|error: KeytabError| unusable(error.to_string()))
}

/// Scheme and token of a login of several messages.
fn negotiated(header: &HeaderValue) -> Option<(&'static str, &str)> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    let scheme =
        ["Negotiate", "Kerberos", "NTLM"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    Some((scheme, token))
}

/// Whether nobody on the way learns anything from the body. Without a length it is taken for one that tells something.
fn is_sealed_or_empty(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(CONTENT_LENGTH) == Some("0") || text(CONTENT_TYPE).and_then(sealed_protocol).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use base64::Engine;

    fn transport(address: &str) -> Transport {
        Transport::Http(address.parse().unwrap())
    }

    async fn ask(
        config: AuthConfig,
        authorization: &[&str],
        transport: Transport,
    ) -> Result<String, Refused> {
        let state = tempfile::tempdir().unwrap();
        let users = UsersFile::in_state(state.path());
        users.add("ann", Role::Reader, "one", false).unwrap();
        let authenticator = Authenticator::new(&config, users, "box".to_owned()).unwrap();
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        let (connected, login) = (authenticator.connected(&transport), ConnectionLogin::default());
        let (connected, channel) = (connected.as_ref(), None);
        let asker = Asker { transport: &transport, channel, connected, login: &login };
        let principal = authenticator.authenticate(&headers, &asker).await?;
        Ok(principal.name().to_owned())
    }

    #[tokio::test]
    async fn passwords_over_plain_http_stay_on_the_machine() {
        let right = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("ann:one"));
        let (config, right) = (AuthConfig::default, right.as_str());
        for near in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(ask(config(), &[right], transport(near)).await.as_deref(), Ok("ann"), "{near}");
        }
        for far in ["10.0.0.1:1", "[fe80::1]:1", "[::ffff:10.0.0.1]:1"] {
            for authorization in [&[right][..], &[]] {
                assert_eq!(
                    ask(config(), authorization, transport(far)).await,
                    Err(Refused::Insecure),
                    "{far}"
                );
            }
        }
        let tls = Transport::Https("10.0.0.1:1".parse().unwrap());
        assert_eq!(ask(config(), &[right], tls).await.as_deref(), Ok("ann"));
        let insecure = AuthConfig { insecure_basic_over_http: true, ..config() };
        assert_eq!(ask(insecure, &[right], transport("10.0.0.1:1")).await.as_deref(), Ok("ann"));
        assert_eq!(ask(config(), &[right, right], transport("127.0.0.1:1")).await, Err(Refused::Malformed));
        assert_eq!(ask(config(), &[], transport("127.0.0.1:1")).await, Err(Refused::Missing));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let of = |text: &str| neighbourhood(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2::"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(of("10.0.0.1"), "10.0.0.1");
    }

    #[tokio::test]
    async fn a_login_without_a_password_opens_no_way_for_one() {
        let state = tempfile::tempdir().unwrap();
        let users = UsersFile::in_state(state.path());
        users.add("ann", Role::Reader, "one", false).unwrap();
        let authenticator = Authenticator::new(&AuthConfig::default(), users, "box".to_owned()).unwrap();
        let login = ConnectionLogin::logged_in("ann");
        let transport = transport("10.0.0.1:1");
        let asker = Asker { transport: &transport, channel: None, connected: None, login: &login };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        // The login itself is good for what tells nobody anything, if the user may still log in that way.
        assert_eq!(authenticator.authenticate(&headers, &asker).await, Err(Refused::Wrong));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic YW5uOm9uZQ=="));
        assert_eq!(authenticator.authenticate(&headers, &asker).await, Err(Refused::Insecure));
    }

    #[tokio::test]
    async fn a_password_on_the_unix_socket_comes_before_the_user_of_the_connection() {
        let right = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("ann:one"));
        let root = Transport::Unix { uid: 0 };
        assert_eq!(ask(AuthConfig::default(), &[], root).await.as_deref(), Ok("uid:0"));
        assert_eq!(ask(AuthConfig::default(), &[&right], root).await.as_deref(), Ok("ann"));
        assert_eq!(ask(AuthConfig::default(), &["Basic eA=="], root).await, Err(Refused::Malformed));
        let stranger = Transport::Unix { uid: 4_000_000 };
        assert_eq!(ask(AuthConfig::default(), &[], stranger).await, Err(Refused::Missing));
    }
}
