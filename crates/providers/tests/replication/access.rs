//! Who may do what.

use crate::harness::{Host, flag, output, text};
use cimwright_sdk::{Principal, Role};

#[tokio::test]
async fn an_operator_needs_a_grant_and_loses_it() {
    let host = Host::new().await;
    let ann = Principal::authenticated("ann", Role::Operator);
    let answer = host.as_user(&ann, "GetGroup", Vec::new()).await.unwrap();
    host.says("CWREPL1310", &answer).await;
    let answer = host.as_user(&ann, "GrantSrUserAccess", vec![text("UserName", "ann")]).await.unwrap();
    host.says("CWREPL1311", &answer).await;
    host.done("GrantSrUserAccess", vec![text("UserName", "ann")]).await;
    host.done("WvrGrantUserAccess", vec![text("UserName", "Ann"), flag("IgnoreErrors", true)]).await;
    let users = output(&host.done("GetSrUserAccess", Vec::new()).await);
    assert_eq!(users.iter().map(|u| u.get_str("UserName").unwrap()).collect::<Vec<_>>(), ["ann"]);
    assert_eq!(host.instances("MSFT_WvrUser").await.len(), 1);
    assert_eq!(host.as_user(&ann, "GetGroup", Vec::new()).await.unwrap().code, 0);
    host.done("RevokeSrUserAccess", vec![text("UserName", "ANN")]).await;
    assert!(output(&host.done("WvrGetUserAccess", Vec::new()).await).is_empty());
    let answer = host.as_user(&ann, "GetGroup", Vec::new()).await.unwrap();
    host.says("CWREPL1310", &answer).await;
    host.done("WvrRevokeUserAccess", vec![text("UserName", "nobody")]).await;
}

#[tokio::test]
async fn an_account_must_exist_unless_the_caller_insists() {
    let host = Host::new().await;
    host.refused("CWREPL1312", "GrantSrUserAccess", vec![text("UserName", "ghost")]).await;
    host.done("GrantSrUserAccess", vec![text("UserName", "ghost"), flag("IgnoreErrors", true)]).await;
    let reader = Principal::authenticated("ghost", Role::Reader);
    let denied = host.as_user(&reader, "GetGroup", Vec::new()).await;
    assert!(denied.is_err(), "a reader starts nothing, granted or not");
}
