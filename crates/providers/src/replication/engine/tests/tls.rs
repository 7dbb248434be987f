//! Certificates: the right ones, and every wrong one.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::super::*;
use super::support::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

/// Fills a directory for both roles: it trusts the issuer of its own certificates and one authority more.
fn directory(stage: &Stage, name: &str, trusted: &Authority, issuer: &Authority) -> TlsDirectory {
    let path = stage.path(name);
    fs::create_dir(&path).expect("made");
    let trusted = trusted.pem() + &issuer.pem();
    fs::write(path.join(TlsDirectory::CA_CERTIFICATE), trusted).expect("written");
    let roles = [
        (TlsDirectory::SERVER_CERTIFICATE, TlsDirectory::SERVER_KEY, ExtendedKeyUsagePurpose::ServerAuth),
        (TlsDirectory::CLIENT_CERTIFICATE, TlsDirectory::CLIENT_KEY, ExtendedKeyUsagePurpose::ClientAuth),
    ];
    for (certificate, key, purpose) in roles {
        let own = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![format!("{name}.example.org")]).expect("names");
        params.distinguished_name.push(DnType::CommonName, format!("{name}.example.org"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![purpose];
        let signed = params.signed_by(&own, issuer).expect("signed");
        fs::write(path.join(certificate), signed.pem()).expect("written");
        fs::write(path.join(key), own.serialize_pem()).expect("written");
    }
    TlsDirectory::new(path)
}

/// What comes of a start with these certificates.
async fn attempt(
    stage: &mut Stage,
    source: &TlsDirectory,
    destination: &TlsDirectory,
    server_name: &str,
    only: Option<&str>,
) -> Result<(), ReplicationError> {
    stage.tls = vec![source.clone(), destination.clone()];
    stage.volumes(64 * MIB);
    let (a, b) = (stage.open("a").await, stage.open("b").await);
    let tls = ListenTls { directory: destination.clone(), only: only.map(str::to_owned) };
    b.receive(&Listen { tls: Some(tls), ..stage.listen() }).await?;
    let tls = PartnerTls { directory: source.clone(), server_name: Some(server_name.to_owned()) };
    let partner = Partner { tls: Some(tls), ..stage.partner() };
    a.start(partner, Basis::Full(FullReason::Requested), CopyMode::Synchronous).await?;
    until_in_sync(&a).await;
    let export = a.export().await?;
    write(&export, MIB, MIB, 0x55).await;
    assert!(has(&stage.path("b"), MIB, MIB, 0x55));
    a.suspend().await?;
    a.resume().await?;
    until_in_sync(&a).await;
    stage.assert_identical();
    Ok(())
}

fn assert_refused(result: Result<(), ReplicationError>, what: &str) {
    let error = result.expect_err(what);
    assert!(matches!(error.failure(), Some(Failure::TlsRefused { .. })), "{what}: {error:?}");
    println!("{what}: {error:?}");
}

#[tokio::test]
async fn certificates_of_one_authority_are_accepted() {
    let mut stage = Stage::set().await;
    let ca = authority("authority");
    let (a, b) = (directory(&stage, "tls-a", &ca, &ca), directory(&stage, "tls-b", &ca, &ca));
    let only = Some("CN=tls-a.example.org");
    attempt(&mut stage, &a, &b, "tls-b.example.org", only).await.expect("accepted");
}

#[tokio::test]
async fn a_destination_of_another_authority_or_name_is_refused() {
    let mut stage = Stage::set().await;
    let (ca, other) = (authority("authority"), authority("other"));
    let a = directory(&stage, "tls-a", &ca, &ca);
    let wrong = directory(&stage, "tls-wrong", &ca, &other);
    let b = directory(&stage, "tls-b", &ca, &ca);
    let foreign = attempt(&mut stage, &a, &wrong, "tls-wrong.example.org", None).await;
    assert_refused(foreign, "the destination's authority");
    let misnamed = attempt(&mut stage, &a, &b, "somebody.example.org", None).await;
    assert_refused(misnamed, "the destination's name");
}

#[tokio::test]
async fn a_source_of_another_authority_or_name_is_refused() {
    let mut stage = Stage::set().await;
    let (ca, other) = (authority("authority"), authority("other"));
    let (a, b) = (directory(&stage, "tls-a", &ca, &ca), directory(&stage, "tls-b", &ca, &ca));
    let wrong = directory(&stage, "tls-wrong", &ca, &other);
    let foreign = attempt(&mut stage, &wrong, &b, "tls-b.example.org", None).await;
    assert_refused(foreign, "the source's authority");
    let only = Some("CN=somebody.example.org");
    let misnamed = attempt(&mut stage, &a, &b, "tls-b.example.org", only).await;
    assert_refused(misnamed, "the source's name");
}

#[tokio::test]
async fn one_side_with_tls_and_one_without_do_not_meet() {
    let mut stage = Stage::set().await;
    let ca = authority("authority");
    let directory = directory(&stage, "tls-a", &ca, &ca);
    stage.tls = vec![directory.clone()];
    stage.volumes(64 * MIB);
    let (a, b) = (stage.open("a").await, stage.open("b").await);
    let start = Basis::Full(FullReason::Requested);

    b.receive(&stage.listen()).await.expect("listens");
    let tls = Some(PartnerTls { directory: directory.clone(), server_name: None });
    let secure = Partner { tls, ..stage.partner() };
    assert_refused(a.start(secure, start, CopyMode::Asynchronous).await, "a destination without TLS");

    b.stop_receiving().await.expect("stops");
    let tls = Some(ListenTls { directory, only: None });
    b.receive(&Listen { tls, ..stage.listen() }).await.expect("listens");
    let plain = a.start(stage.partner(), start, CopyMode::Asynchronous).await;
    assert_refused(plain, "a source without TLS");
}

#[tokio::test]
async fn certificates_that_are_missing_or_out_of_reach_are_named() {
    let mut stage = Stage::set().await;
    let ca = authority("authority");
    let granted = directory(&stage, "tls-a", &ca, &ca);
    let secret = directory(&stage, "tls-b", &ca, &ca);
    stage.tls = vec![granted.clone()];
    stage.volumes(64 * MIB);
    let b = stage.open("b").await;
    let receive = async |directory: &TlsDirectory| {
        let tls = Some(ListenTls { directory: directory.clone(), only: None });
        b.receive(&Listen { tls, ..stage.listen() }).await
    };
    fs::remove_file(granted.path().join(TlsDirectory::SERVER_KEY)).expect("removed");
    let error = receive(&granted).await.expect_err("incomplete");
    assert!(
        matches!(&error, ReplicationError::Tls(_)) && error.to_string().contains("server-key.pem"),
        "{error}"
    );
    // Only directories that were named at the start are open to the daemon.
    if crate::disk::engine::landlock_available() {
        let error = receive(&secret).await.expect_err("not granted");
        assert!(error.failure().is_some(), "{error:?}");
    }
}
