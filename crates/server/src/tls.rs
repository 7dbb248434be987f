//! TLS: the certificate, which is the configured one or one the server makes for itself at its first start, and whose certificates
//! clients may show.

use crate::auth::users::{private_directory, warn_if_open, write_private};
use crate::auth::{BindingHash, Channel, Thumbprint};
use crate::config::{ClientCertificates, Config, host_name};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: cannot {attempt}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}; {action}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        action: &'static str,
    },
    /// The certificate could not be made.
    #[error("cannot make a self-signed certificate: {0}; set tls.certificate and tls.key to one of your own")]
    Making(#[from] rcgen::Error),
}

/// TLS as this server speaks it.
#[derive(Clone, Debug)]
pub struct Tls {
    /// TLS 1.2 and 1.3 with the server's certificate.
    pub(crate) config: Arc<ServerConfig>,
    /// What logins are bound to that come over connections to this certificate.
    binding: BindingHash,
}

impl Tls {
    /// What is known of a connection whose handshake has succeeded.
    pub(crate) fn channel(&self, connection: &ServerConnection) -> Channel {
        let certificates = connection.peer_certificates();
        let client = certificates.and_then(<[_]>::first).map(|certificate| Thumbprint::of(certificate));
        Channel { client, binding: self.binding }
    }
}

/// The settings for TLS 1.2 and 1.3 with the server's certificate, which is made first if there is none, and the authorities of clients.
///
/// # Errors
/// When the certificate, its key or the authorities cannot be read, written or used.
pub fn server_config(config: &Config) -> Result<Tls, TlsError> {
    let (certificate, key) = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => self_signed(config)?,
    };
    let unusable = |path: &Path, problem: String| TlsError::Unusable {
        path: path.to_owned(),
        problem,
        action: "give a certificate chain and its private key in PEM, or remove both for a new self-signed one",
    };
    let pem = read(&certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|e| unusable(&certificate, format!("no certificate in PEM: {e}")))?;
    if chain.is_empty() {
        return Err(unusable(&certificate, "it holds no certificate".to_owned()));
    }
    if let Ok(metadata) = std::fs::metadata(&key) {
        warn_if_open(&key, &metadata);
    }
    let secret = PrivateKeyDer::from_pem_slice(&read(&key)?)
        .map_err(|e| unusable(&key, format!("no private key in PEM: {e}")))?;
    let binding = BindingHash::of_server(&chain[0]);
    let clients = client_verifier(config)?;
    let mut tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .and_then(|b| b.with_client_cert_verifier(clients).with_single_cert(chain, secret))
        .map_err(|e| unusable(&certificate, format!("certificate and key cannot be used: {e}")))?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    if config.tls.client_ca.is_some() {
        // A resumed session would not look at the certificate again, which may have expired since.
        tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
    }
    Ok(Tls { config: Arc::new(tls), binding })
}

/// Who checks the certificates of clients, if they are asked for any.
fn client_verifier(config: &Config) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(file) = &config.tls.client_ca else { return Ok(WebPkiClientVerifier::no_client_auth()) };
    let unusable = |problem: String| TlsError::Unusable {
        path: file.clone(),
        problem,
        action: "give the certificates of the authorities in PEM, or take tls.client_ca out of the configuration",
    };
    let pem = read(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| unusable(format!("no certificate in PEM: {e}")))?;
        roots.add(certificate).map_err(|e| unusable(format!("a certificate cannot be used: {e}")))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = match config.tls.client_certificates {
        ClientCertificates::Optional => verifier.allow_unauthenticated(),
        ClientCertificates::Required => verifier,
    };
    let built = verifier.build().map_err(|e| unusable(format!("the authorities cannot be used: {e}")))?;
    Ok(built)
}

/// The server's own certificate and key in the state directory, made if one of them is missing.
fn self_signed(config: &Config) -> Result<(PathBuf, PathBuf), TlsError> {
    let directory = config.server.state.join("tls");
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let pair = KeyPair::generate()?;
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend([Some(config.computer_name()), host_name()].into_iter().flatten().filter(|n| n.is_ascii()));
    names.extend(config.server.https.iter().filter(|a| !a.ip().is_unspecified()).map(|a| a.ip().to_string()));
    let mut seen = std::collections::HashSet::new();
    names.retain(|n| seen.insert(n.to_ascii_lowercase()));
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "Cimwright self-signed");
    // Clients trust these very bytes or do not; an end of their time would protect nobody and stop everybody.
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2124, 1, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let made = params.self_signed(&pair)?;
    let write = |path: &Path, pem: &str| {
        write_private(path, pem.as_bytes()).map_err(|source| TlsError::Io {
            path: path.to_owned(),
            attempt: "write",
            source,
        })
    };
    private_directory(&directory).map_err(|source| TlsError::Io {
        path: directory.clone(),
        attempt: "create the directory",
        source,
    })?;
    write(&key, &pair.serialize_pem())?;
    write(&certificate, &made.pem())?;
    tracing::info!(certificate = %certificate.display(), "made a self-signed certificate");
    Ok((certificate, key))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Io { path: path.to_owned(), attempt: "read", source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn config(state: &Path) -> Config {
        let mut config = Config::default();
        config.server.state = state.to_owned();
        config
    }

    #[test]
    fn the_certificate_is_made_once_and_its_key_is_private() {
        let state = tempfile::tempdir().unwrap();
        let config = config(state.path());
        server_config(&config).unwrap();
        let key = state.path().join("tls/key.pem");
        let first = std::fs::read(&key).unwrap();
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        server_config(&config).unwrap();
        assert_eq!(std::fs::read(&key).unwrap(), first);
    }

    #[test]
    fn an_own_certificate_is_loaded_and_a_bad_one_is_told() {
        let state = tempfile::tempdir().unwrap();
        let mut config = config(state.path());
        server_config(&config).unwrap();
        let own = state.path().join("own.pem");
        std::fs::rename(state.path().join("tls/cert.pem"), &own).unwrap();
        config.tls.certificate = Some(own.clone());
        config.tls.key = Some(state.path().join("tls/key.pem"));
        server_config(&config).unwrap();
        let other = KeyPair::generate().unwrap();
        std::fs::write(state.path().join("tls/key.pem"), other.serialize_pem()).unwrap();
        assert!(server_config(&config).unwrap_err().to_string().contains("cannot be used"));
        std::fs::write(state.path().join("tls/key.pem"), "nothing").unwrap();
        assert!(server_config(&config).unwrap_err().to_string().contains("no private key"));
        std::fs::write(&own, "nothing").unwrap();
        assert!(server_config(&config).unwrap_err().to_string().contains("holds no certificate"));
        config.tls.certificate = Some(state.path().join("missing.pem"));
        assert!(server_config(&config).unwrap_err().to_string().contains("missing.pem: cannot read"));
    }
}
