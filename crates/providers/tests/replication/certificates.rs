//! TLS between the sides: the right certificates, every wrong one, and none.

use crate::harness::{Host, MIB, Net, behind, flag};
use crate::sync::Pair;
use cimwright_sdk::jobs::JobState;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

/// The certificates of the computer with this name, for both roles. It trusts their issuer and one authority more.
fn directory(place: &Path, computer: &str, trusted: &Authority, issuer: &Authority) -> PathBuf {
    let path = place.join(format!("tls-{computer}"));
    std::fs::create_dir(&path).expect("made");
    std::fs::write(path.join("ca-cert.pem"), trusted.pem() + &issuer.pem()).expect("written");
    for (role, purpose) in
        [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let own = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![computer.to_owned()]).expect("names");
        params.distinguished_name.push(DnType::CommonName, computer);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![purpose];
        let signed = params.signed_by(&own, issuer).expect("signed");
        std::fs::write(path.join(format!("{role}-cert.pem")), signed.pem()).expect("written");
        std::fs::write(path.join(format!("{role}-key.pem")), own.serialize_pem()).expect("written");
    }
    path
}

/// Two computers that show these certificates; one without goes without TLS.
async fn pair(alpha: Option<PathBuf>, beta: Option<PathBuf>, plain: bool) -> Pair {
    let mut net = Net::default();
    net.engine = true;
    net.adjust = Some(Arc::new(move |computer, settings| {
        settings.tls_directory = if computer == "alpha" { alpha.clone() } else { beta.clone() };
        settings.plain_loopback = plain;
    }));
    let (alpha, beta) = (Host::named("alpha", &net).await, Host::named("beta", &net).await);
    Pair::of(net, alpha, beta, 4 * MIB).await
}

/// What becomes of a first copy that the certificates do not allow.
async fn refused(pair: &Pair) -> cimwright_sdk::cim::ErrorDetail {
    let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
    let reason = pair.alpha.fails("CWREPL1408", &answer).await;
    behind(&reason, "CWREPL1901");
    assert!(reason.recommended_actions[0].contains("tls_directory"), "{reason:?}");
    assert!(!pair.identical(), "nothing was copied");
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_one_authority_are_accepted() {
    let place = tempfile::tempdir().unwrap();
    let ca = authority("both");
    let [a, b] = ["alpha", "beta"].map(|name| Some(directory(place.path(), name, &ca, &ca)));
    let pair = pair(a, b, false).await;
    let job = pair.join(1).await;
    assert_eq!(job.run.state, JobState::Completed, "{job:?}");
    assert!(pair.identical());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_of_another_authority_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (ca, other) = (authority("one"), authority("other"));
    let a = directory(place.path(), "alpha", &ca, &ca);
    let b = directory(place.path(), "beta", &ca, &other);
    let pair = pair(Some(a), Some(b), false).await;
    refused(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_another_authority_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (ca, other) = (authority("one"), authority("other"));
    let a = directory(place.path(), "alpha", &ca, &other);
    let b = directory(place.path(), "beta", &ca, &ca);
    let pair = pair(Some(a), Some(b), false).await;
    refused(&pair).await;
}

/// The wrong partner: somebody of the same authority who is not the one that the partnership is with.
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_with_the_certificate_of_another_computer_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let ca = authority("both");
    let [a, b] = ["alpha", "gamma"].map(|name| Some(directory(place.path(), name, &ca, &ca)));
    let pair = pair(a, b, false).await;
    let reason = refused(&pair).await;
    assert!(reason.message.contains("ertificate"), "it says what about it: {reason:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_encrypts_and_one_that_does_not_do_not_meet() {
    let place = tempfile::tempdir().unwrap();
    let ca = authority("both");
    let pair = pair(Some(directory(place.path(), "alpha", &ca, &ca)), None, true).await;
    refused(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_certificates_nothing_is_copied_unless_the_configuration_allows_it() {
    let pair = pair(None, None, false).await;
    let answer = pair.alpha.call("CreatePartnership", pair.names()).await;
    let reason = pair.alpha.fails("CWREPL1413", &answer).await;
    assert!(reason.message.contains("no certificates"), "{reason:?}");
    assert!(!pair.identical());
}

/// Allowed by the configuration, but not by the group.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_demands_encryption_is_not_copied_without() {
    let pair = pair(None, None, true).await;
    let demanding = [pair.names(), vec![flag("EnableEncryption", true)]].concat();
    let answer = pair.alpha.call("CreatePartnership", demanding).await;
    pair.alpha.fails("CWREPL1413", &answer).await;
}
