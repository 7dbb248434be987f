//! TLS with the system's trust, with a file of one's own, or with none.

use crate::endpoint::{Identity, TlsOptions};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// Where distributions keep the certificates they trust, the usual place of Debian first.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The TLS configuration for these options, or what is wrong with them.
pub(crate) fn config(options: &TlsOptions) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    if options.insecure {
        let verifier = Arc::new(AnyCertificate(provider));
        return identify(builder.dangerous().with_custom_certificate_verifier(verifier), options);
    }
    let mut roots = RootCertStore::empty();
    match &options.ca_file {
        Some(file) => {
            if add_file(&mut roots, file)? == 0 {
                return Err(format!("{} holds no certificate in PEM form", file.display()));
            }
        }
        None => {
            for bundle in SYSTEM_BUNDLES.map(Path::new).into_iter().filter(|b| b.is_file()) {
                if add_file(&mut roots, bundle)? > 0 {
                    break;
                }
            }
        }
    }
    identify(builder.with_root_certificates(roots), options)
}

/// With the certificate that the client shows, if it has one.
fn identify(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    options: &TlsOptions,
) -> Result<Arc<ClientConfig>, String> {
    let Some(Identity { certificate, key }) = &options.identity else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let told = |file: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| told(certificate, &e))?;
    if chain.is_empty() {
        return Err(told(certificate, &"it holds no certificate in PEM form"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| told(key, &e))?;
    builder.with_client_auth_cert(chain, secret).map(Arc::new).map_err(|e| told(certificate, &e))
}

/// What a listener needs to speak TLS: a certificate chain and its private key, both in PEM.
///
/// # Errors
/// With a text for a person when a file cannot be read or used.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>, String> {
    let told = |file: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| told(certificate, &e))?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| told(key, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key_der))
        .map(Arc::new)
        .map_err(|e| told(certificate, &e))
}

fn add_file(roots: &mut RootCertStore, file: &Path) -> Result<usize, String> {
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    let mut added = 0;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| format!("{}: {e}", file.display()))?;
        // Bundles hold old certificates that no rule of today admits; one of them must not spoil the rest.
        added += usize::from(roots.add(certificate).is_ok());
    }
    Ok(added)
}

/// Accepts every certificate, because the user said so. The handshake itself is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
