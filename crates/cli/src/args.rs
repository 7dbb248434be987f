//! The options that lead to a server, the same for every command that asks one.

use crate::exit::{CliError, Exit, remark};
use cimwright_client::{Address, Credentials, Endpoint, Identity};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where the state of the local server is when nobody says otherwise.
pub(crate) const DEFAULT_STATE: &str = "/var/lib/cimwright";

/// The name of the local server's socket in its state directory.
pub(crate) const SOCKET: &str = "cimwright.sock";

/// Which server to ask, and as whom.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ConnectArgs {
    /// Address of the server: http://HOST[:5988], https://HOST[:5989] or unix:///PATH. Without it, the local server
    #[arg(long, value_name = "URL", env = "CIMWRIGHT_URL")]
    pub(crate) url: Option<String>,

    /// Speak WS-Management instead of CIM-XML; the ports are then 5985 and 5986 where the address names none
    #[arg(long, env = "CIMWRIGHT_WSMAN")]
    pub(crate) wsman: bool,

    /// State directory of the local server, which is reached over the socket in it
    #[arg(long, value_name = "DIR", env = "CIMWRIGHT_STATE", default_value = DEFAULT_STATE)]
    pub(crate) state: PathBuf,

    /// User to ask as. The local server knows its users by their uid
    #[arg(long, value_name = "NAME", env = "CIMWRIGHT_USER")]
    pub(crate) user: Option<String>,

    /// File whose first line is the password; - reads it from standard input
    #[arg(long, value_name = "FILE", env = "CIMWRIGHT_PASSWORD_FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// Namespace to look in; may be given several times. Without it, those of Hyper-V and Storage Replica
    #[arg(long, short, value_name = "NAMESPACE", env = "CIMWRIGHT_NAMESPACE", value_delimiter = ';')]
    pub(crate) namespace: Vec<String>,

    /// PEM file with the certificates to trust for https, instead of the system's
    #[arg(long, value_name = "FILE", env = "CIMWRIGHT_CA")]
    pub(crate) ca: Option<PathBuf>,

    /// Accept any certificate. The connection may then end at anybody
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,

    /// Certificate in PEM that shows the server who asks, over https
    #[arg(long, value_name = "FILE", env = "CIMWRIGHT_CERT")]
    pub(crate) cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM. Without it, the file of the certificate holds the key as well
    #[arg(long, value_name = "FILE", env = "CIMWRIGHT_KEY", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl ConnectArgs {
    /// The server that these options name.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, CliError> {
        // A variable that is set to nothing is the shell's way to unset it.
        let mut endpoint = match self.url.as_deref().filter(|u| !u.is_empty()) {
            Some(url) if self.wsman => {
                Endpoint::from_wsman_url(url).map_err(|e| CliError::usage(e.to_string()))?
            }
            Some(url) => Endpoint::from_url(url).map_err(|e| CliError::usage(e.to_string()))?,
            None if self.wsman => Endpoint::new(Address::Unix(self.state.join(SOCKET))).over_wsman(),
            None => Endpoint::new(Address::Unix(self.state.join(SOCKET))),
        };
        endpoint.tls.ca_file = self.ca.clone();
        endpoint.tls.insecure = self.insecure;
        endpoint.tls.identity = self.identity(&endpoint)?;
        endpoint.credentials = match (&self.user, &self.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => {
                if user.contains(':') {
                    return Err(CliError::usage("a user name cannot hold a colon"));
                }
                Some(Credentials { user: user.clone(), password: read_password(file)? })
            }
            (Some(_), None) => {
                return Err(CliError::usage("--user needs a password").advise(
                    "give it with --password-file FILE; --password-file - reads it from standard input",
                ));
            }
            (None, Some(_)) => {
                return Err(
                    CliError::usage("--password-file needs a user").advise("name it with --user NAME")
                );
            }
        };
        if let (Some(_), Address::Tcp { host, tls: false, .. }) = (&endpoint.credentials, &endpoint.address)
            && !is_loopback(host)
        {
            remark(&format!(
                "warning: the password travels to {host} unencrypted; https:// would protect it"
            ));
        }
        Ok(endpoint)
    }
}

impl ConnectArgs {
    /// The certificate to show, which needs TLS to be shown over.
    fn identity(&self, endpoint: &Endpoint) -> Result<Option<Identity>, CliError> {
        let Some(certificate) = &self.cert else { return Ok(None) };
        if !matches!(endpoint.address, Address::Tcp { tls: true, .. }) {
            return Err(CliError::usage("--cert needs an address with https://")
                .advise("name it with --url; over the unix socket the server knows its users by their uid"));
        }
        let key = self.key.clone().unwrap_or_else(|| certificate.clone());
        Ok(Some(Identity { certificate: certificate.clone(), key }))
    }
}

fn read_password(file: &Path) -> Result<String, CliError> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|e| {
        CliError::new(Exit::Trouble, format!("cannot read the password from {}: {e}", file.display()))
            .advise("the file must be readable by this user and hold the password as its first line")
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Whether a host is this machine, as far as its name or number tells.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut ConnectArgs)) -> Result<Endpoint, CliError> {
        let mut args = ConnectArgs { state: DEFAULT_STATE.into(), ..ConnectArgs::default() };
        change(&mut args);
        args.endpoint()
    }

    #[test]
    fn without_an_address_the_local_socket_is_meant() {
        let endpoint = with(|_| {}).unwrap();
        assert_eq!(endpoint.to_string(), "unix:///var/lib/cimwright/cimwright.sock");
        let endpoint = with(|a| a.state = "/tmp/s".into()).unwrap();
        assert_eq!(endpoint.to_string(), "unix:///tmp/s/cimwright.sock");
    }

    #[test]
    fn user_and_password_come_together() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("p");
        std::fs::write(&file, "secret word\nmore\n").unwrap();
        let endpoint = with(|a| {
            a.url = Some("http://127.0.0.1".into());
            a.user = Some("ann".into());
            a.password_file = Some(file.clone());
        });
        let credentials = endpoint.unwrap().credentials.unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("ann", "secret word"));
        assert_eq!(with(|a| a.user = Some("ann".into())).unwrap_err().exit, Exit::Usage);
        assert_eq!(with(|a| a.password_file = Some(file.clone())).unwrap_err().exit, Exit::Usage);
        let missing = with(|a| {
            a.user = Some("ann".into());
            a.password_file = Some("/nonexistent".into());
        });
        assert_eq!(missing.unwrap_err().exit, Exit::Trouble);
    }

    #[test]
    fn a_certificate_needs_tls() {
        let certificate = |url: &str| {
            let url = Some(url.to_owned()).filter(|u| !u.is_empty());
            with(|a| (a.url, a.cert) = (url, Some("/c.pem".into())))
        };
        let identity = certificate("https://box").unwrap().tls.identity.unwrap();
        assert_eq!(identity.key, identity.certificate);
        for url in ["http://box", "", "unix:///s"] {
            assert_eq!(certificate(url).unwrap_err().exit, Exit::Usage, "{url}");
        }
    }

    #[test]
    fn a_wrong_address_is_a_usage_error() {
        assert_eq!(with(|a| a.url = Some("nowhere".into())).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn loopback_is_known_by_name_and_number() {
        assert!(is_loopback("LocalHost") && is_loopback("127.3.2.1") && is_loopback("::1"));
        assert!(!is_loopback("10.0.0.1") && !is_loopback("localhost.example"));
    }
}
