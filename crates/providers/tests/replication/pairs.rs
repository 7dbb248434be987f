//! Further volumes for a partnership, and fewer.

use crate::harness::{Host, MIB, flag, text, texts};
use crate::sync::{Pair, content, pair};
use cimwright_sdk::cim::Param;
use cimwright_sdk::jobs::JobState;
use cimwright_sdk::remote::RemoteError;

const ADD: &str = "SetPartnershipAddVolumes";

async fn joined() -> Pair {
    let pair = pair(8 * MIB).await;
    assert_eq!(pair.join(2).await.run.state, JobState::Completed);
    pair
}

fn add(pair: &Pair, here: &[&str], there: &[&str]) -> Vec<Param> {
    let volumes =
        vec![texts("SourceAddVolumePartnership", here), texts("DestinationAddVolumePartnership", there)];
    [pair.names(), volumes].concat()
}

fn same(pair: &Pair, name: &str) -> bool {
    std::fs::read(pair.alpha.path(name)).unwrap() == std::fs::read(pair.beta.path(name)).unwrap()
}

async fn volumes(host: &Host) -> usize {
    host.instances("MSFT_WvrReplica").await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partnership_gets_volumes_and_loses_them() {
    let pair = joined().await;
    for name in ["w", "x"] {
        let (here, there) = (pair.alpha.volume(name, 4 * MIB), pair.beta.volume(name, 4 * MIB));
        std::fs::write(&here, content(4 * MIB, 7)).unwrap();
        let answer = match name {
            "w" => pair.alpha.call(ADD, add(&pair, &[&here], &[&there])).await,
            _ => {
                let set = vec![
                    text("SourceReplicationGroupName", "A"),
                    text("SourcePartitionId", &here),
                    text("TargetComputerName", "beta"),
                    text("TargetReplicationGroupName", "B"),
                    text("TargetPartitionId", &there),
                ];
                pair.alpha.call("WvrAddReplicaSet", set).await
            }
        };
        let job = pair.ended(answer).await;
        assert_eq!(job.run.state, JobState::Completed, "{job:?}");
        assert!(same(&pair, name), "{name}");
    }
    assert!(pair.identical());
    assert_eq!((volumes(&pair.alpha).await, volumes(&pair.beta).await), (3, 3));
    let own = pair.alpha.path("w");
    pair.alpha.refused("CWREPL1005", ADD, add(&pair, &[&own], &["/none"])).await;

    let part = |volume: &str| {
        vec![
            text("SourceReplicationGroupName", "A"),
            text("SourcePartitionId", volume),
            text("TargetComputerName", "beta"),
            text("TargetReplicationGroupName", "B"),
            text("TargetPartitionId", "whichever it is"),
        ]
    };
    pair.alpha.done("WvrRemoveReplicaSet", part(&own)).await;
    pair.alpha.refused("CWREPL1007", "WvrRemoveReplicaSet", part(&own)).await;
    assert_eq!((volumes(&pair.alpha).await, volumes(&pair.beta).await), (2, 2));
    pair.alpha.done("WvrRemoveReplicaSet", part(&pair.alpha.path("x"))).await;
    pair.alpha.refused("CWREPL1008", "WvrRemoveReplicaSet", part(&pair.alpha.path("v"))).await;
    pair.alpha.done("RemovePartnership", pair.names()).await;
    assert!(pair.identical());
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_that_cannot_join_leave_nothing_behind() {
    let pair = joined().await;
    let (here, there) = (pair.alpha.volume("w", 4 * MIB), pair.beta.volume("w", 2 * MIB));
    // Of another size, which is seen when the other side has it.
    let answer = pair.alpha.call(ADD, add(&pair, &[&here], &[&there])).await;
    pair.alpha.says("CWREPL1403", &answer).await;
    // Not there on the other side.
    let none = pair.beta.path("none");
    let answer = pair.alpha.call(ADD, add(&pair, &[&here], &[&none])).await;
    pair.alpha.says("CWREPL1309", &answer).await;
    // Not there on this side.
    let none = pair.alpha.path("none");
    let answer = pair.alpha.call(ADD, add(&pair, &[&none], &[&there])).await;
    pair.alpha.says("CWREPL1001", &answer).await;
    pair.net.break_with(RemoteError::Unreachable { name: "beta".to_owned(), reason: "gone".to_owned() });
    let answer = pair.alpha.call(ADD, add(&pair, &[&here], &[&there])).await;
    pair.alpha.says("CWREPL1302", &answer).await;
    pair.net.mend();
    // It cannot be noted down here, after the other side has it.
    let obstacle = pair.alpha.state.join("replication.json.new");
    std::fs::create_dir(&obstacle).unwrap();
    std::fs::File::options().write(true).open(&there).unwrap().set_len(4 * MIB).unwrap();
    let answer = pair.alpha.call(ADD, add(&pair, &[&here], &[&there])).await;
    pair.alpha.says("CWREPL1202", &answer).await;
    std::fs::remove_dir(&obstacle).unwrap();
    assert_eq!((volumes(&pair.alpha).await, volumes(&pair.beta).await), (1, 1));

    pair.alpha.refused("CWREPL1113", ADD, add(&pair, &[&here], &[&there, "/more"])).await;
    let seeded = [add(&pair, &[&here], &[&there]), vec![flag("Seeded", true)]].concat();
    pair.alpha.refused("CWREPL1121", ADD, seeded).await;
    // One-sidedly only the source may ask for it.
    let params = |primary| {
        vec![
            text("ReplicationGroupName", "B"),
            texts("VolumeName", &[&there]),
            texts("ReplicaSetId", &["11111111-2222-4333-8444-555555555555"]),
            flag("IsPrimary", primary),
        ]
    };
    pair.beta.refused("CWREPL1106", "WvrAddReplicaById", params(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_form_of_a_partnership_takes_the_settings_of_the_group() {
    let pair = pair(4 * MIB).await;
    let form = vec![
        text("SourceReplicationGroupName", "A"),
        text("TargetReplicationGroupName", "B"),
        text("TargetComputerName", "beta"),
        text("PartnershipId", "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"),
    ];
    let answer = pair.alpha.call("WvrCreateReplicationPartnership", form.clone()).await;
    assert_eq!(pair.ended(answer).await.run.state, JobState::Completed);
    assert!(pair.identical());
    let shown = pair.beta.instances("MSFT_WvrReplicationPartnership").await.remove(0);
    assert_eq!(shown.get_str("Id"), Some("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"));
    pair.alpha.refused("CWREPL1106", "WvrCreateReplicationPartnership", form).await;
}
