//! The list of volumes that may replicate.

use super::queries::{is_path, known};
use super::{done, guid, some_texts};
use crate::disk::jobs::toolbox::blocking;
use crate::replication::guid::Guid;
use crate::replication::model::Partition;
use crate::replication::service::{Handled, Shared};
use crate::replication::{errors, volume};
use cimwright_sdk::MethodCall;
use cimwright_sdk::cim::ErrorDetail;
use std::sync::Arc;

/// ProvisionPartitionsAdd: by path for a volume that has no identifier yet. Noting down twice is fine.
pub(super) async fn add(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let model = shared.model();
    let mut paths = Vec::new();
    for text in some_texts(call, "PartitionIds")? {
        paths.push(if is_path(&text) { text } else { known(shared, &model, call, &text)?.path.clone() });
    }
    let looking = Arc::clone(shared);
    let found = blocking(move || {
        paths.iter().map(|path| volume::look(&looking.roots, path)).collect::<Result<Vec<_>, ErrorDetail>>()
    })
    .await?;
    shared
        .state
        .change(move |model| {
            for volume in &found {
                if model.log_at(&volume.real_path).is_some() {
                    return Err(errors::log_is_volume(&volume.path));
                }
                let disk = model.disk_of(&volume.root);
                match model.partitions.iter_mut().find(|p| p.real_path == volume.real_path) {
                    Some(known) => known.provisioned = true,
                    None => model.partitions.push(Partition {
                        id: Guid::generate(),
                        disk,
                        path: volume.path.clone(),
                        real_path: volume.real_path.clone(),
                        size: volume.size,
                        sector_size: volume.sector_size,
                        group: None,
                        replica_set: None,
                        provisioned: true,
                        deactivated: false,
                    }),
                }
            }
            Ok(())
        })
        .await?;
    done()
}

/// ProvisionPartitionsRemove: a volume that a group needs stays.
pub(super) async fn remove(shared: &Arc<Shared>, call: &MethodCall) -> Handled {
    let model = shared.model();
    let mut ids = Vec::new();
    for text in some_texts(call, "PartitionIds")? {
        ids.push(if is_path(&text) { known(shared, &model, call, &text)?.id } else { guid(call, &text)? });
    }
    shared
        .state
        .change(move |model| {
            for id in &ids {
                let Some(partition) = model.partitions.iter().find(|p| p.id == *id) else {
                    return Err(errors::partition_unknown(&id.to_string()));
                };
                if let Some(owner) = partition.group.and_then(|g| model.group_by_id(g)) {
                    return Err(errors::partition_owned(&partition.path, &owner.name));
                }
                model.partitions.retain(|p| p.id != *id);
            }
            Ok(())
        })
        .await?;
    done()
}
