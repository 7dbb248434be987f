//! Two computers.

use crate::harness::{Host, MIB, Net, output, text, texts};
use cimwright_sdk::cim::CimStatus;
use cimwright_sdk::remote::RemoteError;
use cimwright_sdk::{Principal, Role};

async fn two() -> (Net, Host, Host) {
    let net = Net::default();
    let (alpha, beta) = (Host::named("alpha", &net).await, Host::named("beta.example", &net).await);
    (net, alpha, beta)
}

#[tokio::test]
async fn a_group_is_made_and_removed_on_another_computer() {
    let (_net, alpha, beta) = two().await;
    let volume = beta.volume("b.img", 4 * MIB);
    let made = alpha
        .done(
            "NewSrGroup",
            vec![
                text("ComputerName", "BETA"),
                text("Name", "RG02"),
                texts("VolumeName", &[&volume]),
                text("LogVolumeName", &beta.path("b.log")),
            ],
        )
        .await;
    assert_eq!(output(&made)[0].get_str("ComputerName"), Some("beta.example"));
    assert!(alpha.instances("MSFT_WvrReplicationGroup").await.is_empty());
    assert_eq!(beta.instances("MSFT_WvrReplicationGroup").await.len(), 1);
    let there = alpha.done("GetGroup", vec![text("ComputerName", "beta")]).await;
    assert_eq!(output(&there).len(), 1);
    // One's own name is no other computer.
    assert!(output(&alpha.done("GetGroup", vec![text("ComputerName", "Alpha.example")]).await).is_empty());
    alpha.done("RemoveSrGroup", vec![text("ComputerName", "beta"), text("Name", "RG02")]).await;
    assert!(beta.instances("MSFT_WvrReplicationGroup").await.is_empty());
}

#[tokio::test]
async fn what_the_other_side_refuses_has_its_code_here() {
    let (net, alpha, beta) = two().await;
    let there = || vec![text("ComputerName", "beta"), text("Name", "none")];
    let reason = alpha.refused("CWREPL1309", "RemoveSrGroup", there()).await;
    assert_eq!(reason.code, 5);
    assert!(
        reason.message.contains("beta") && reason.message.contains("5 (Invalid Parameter)"),
        "{reason:?}"
    );
    // There, the whole reason is kept.
    let job = beta.newest().await.unwrap();
    assert_eq!(job.run.errors[0].message_id, "CWREPL1102");
    // An operator without a grant there.
    net.join(&beta, Principal::authenticated("bob", Role::Operator));
    let reason = alpha.refused("CWREPL1309", "RemoveSrGroup", there()).await;
    assert_eq!(reason.code, 6);
}

#[tokio::test]
async fn whatever_goes_wrong_on_the_way_is_told_apart() {
    let (net, alpha, _beta) = two().await;
    let ask = |computer: &str| vec![text("ComputerName", computer)];
    let reason = alpha.refused("CWREPL1301", "GetGroup", ask("gamma")).await;
    assert!(reason.recommended_actions[0].contains("cimwright computer add gamma"), "{reason:?}");
    let (name, said) = ("beta".to_owned(), "so it is".to_owned());
    let faults = [
        ("CWREPL1302", RemoteError::Unreachable { name: name.clone(), reason: said.clone() }),
        ("CWREPL1303", RemoteError::CertificateRefused { name: name.clone(), reason: said.clone() }),
        ("CWREPL1304", RemoteError::AccessDenied { name: name.clone(), reason: said.clone() }),
        ("CWREPL1305", RemoteError::NoAnswer { name: name.clone(), reason: said.clone() }),
        ("CWREPL1307", RemoteError::Malformed { name: name.clone(), reason: said.clone() }),
        ("CWREPL1308", RemoteError::List { reason: said.clone() }),
    ];
    for (id, fault) in faults {
        net.break_with(fault);
        let reason = alpha.refused(id, "GetGroup", ask("beta")).await;
        assert!(reason.message.contains("so it is"), "{reason:?}");
    }
    let cim = |status| RemoteError::Cim { name: name.clone(), status, text: said.clone() };
    net.break_with(cim(CimStatus::Failed));
    alpha.refused("CWREPL1306", "GetGroup", ask("beta")).await;
    net.break_with(cim(CimStatus::AccessDenied));
    alpha.refused("CWREPL1304", "GetGroup", ask("beta")).await;
    net.mend();
    alpha.done("GetGroup", ask("beta")).await;
}

#[tokio::test]
async fn pairing_is_seen_on_both_sides_and_ends_on_both() {
    let (net, alpha, beta) = two().await;
    alpha.refused("CWREPL1313", "PairRemoteSubsystem", vec![text("ComputerName", "alpha")]).await;
    alpha.done("PairRemoteSubsystem", vec![text("ComputerName", "beta")]).await;
    let pairs = output(&alpha.done("GetSrAccess", Vec::new()).await);
    assert_eq!(pairs[0].get_str("PairedClusterName"), Some("beta"));
    let there = beta.instances("MSFT_WvrPairedCluster").await;
    assert_eq!(there[0].get_str("PairedClusterName"), Some("alpha"));
    net.break_with(RemoteError::Unreachable { name: "beta".to_owned(), reason: "gone".to_owned() });
    alpha.refused("CWREPL1302", "UnpairRemoteSubsystem", vec![text("ComputerName", "beta")]).await;
    assert_eq!(alpha.instances("MSFT_WvrPairedCluster").await.len(), 1, "not one-sidedly");
    net.mend();
    alpha.done("UnpairRemoteSubsystem", vec![text("ComputerName", "beta")]).await;
    assert!(alpha.instances("MSFT_WvrPairedCluster").await.is_empty());
    assert!(beta.instances("MSFT_WvrPairedCluster").await.is_empty());
    alpha.done("GrantSrAccess", vec![text("Cluster", "gamma")]).await;
    alpha.done("RevokeSrAccess", vec![text("Cluster", "gamma.example")]).await;
    assert!(alpha.instances("MSFT_WvrPairedCluster").await.is_empty());
}
