//! What the other computer tells about its side of a volume.

use crate::replication::engine::{Partner, PartnerTls, TlsDirectory};
use crate::replication::model::{Partition, Partnership};
use crate::replication::service::Shared;
use crate::replication::{errors, instances};
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::remote::RemoteError;
use std::time::Duration;

/// How long the other computer may take to tell.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// The other side of a volume, as its computer describes it at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Whether it takes itself for the source.
    pub is_source: bool,
    /// The direction it knows of; see [`Partnership::generation`].
    pub generation: u64,
    /// Whether it handed over in that generation, with both sides the same.
    pub handed_over: bool,
    /// What its volume looks like, if that can be told.
    pub fingerprint: Option<String>,
    /// Where it takes the copy.
    pub place: Option<(String, u16)>,
    /// MSFT_WvrReplica.ReplicationStatus of its volume, if it knows.
    pub status: Option<u32>,
}

impl Peer {
    /// Whether it is the source of a later direction than the one this computer knows: then this one is the source no more.
    pub fn supersedes(&self, partnership: &Partnership) -> bool {
        self.is_source && self.generation > partnership.generation
    }

    /// How the engine reaches it.
    ///
    /// # Errors
    /// When it does not take the copy.
    pub fn partner(
        &self,
        partition: &Partition,
        partnership: &Partnership,
        tls: Option<&TlsDirectory>,
    ) -> Result<Partner, ErrorDetail> {
        let computer = &partnership.there().computer;
        let Some((host, port)) = self.place.clone() else {
            return Err(errors::partner_not_ready(
                &partition.path,
                &format!("{computer} does not take it yet"),
            ));
        };
        Ok(Partner { host, port, ..nowhere(partition, partnership, tls) })
    }
}

/// The partner of a volume before anybody knows where it is.
pub(super) fn nowhere(
    partition: &Partition,
    partnership: &Partnership,
    tls: Option<&TlsDirectory>,
) -> Partner {
    let computer = partnership.there().computer.clone();
    Partner {
        host: String::new(),
        port: 0,
        export: export_name(partition),
        tls: tls.map(|directory| PartnerTls { directory: directory.clone(), server_name: Some(computer) }),
    }
}

/// The name under which a destination offers a volume: both sides know its replica set.
pub(super) fn export_name(partition: &Partition) -> String {
    partition.replica_set.unwrap_or(partition.id).to_string()
}

/// Asks the other side of a partnership about a volume.
///
/// # Errors
/// When there is no answer, or the volume is not known there.
pub async fn ask(
    shared: &Shared,
    partition: &Partition,
    partnership: &Partnership,
) -> Result<Peer, ErrorDetail> {
    let computer = &partnership.there().computer;
    let path = instances::endpoint_path(&export_name(partition));
    let asked = tokio::time::timeout(ASK_LIMIT, shared.computers.get(computer, &path)).await;
    let found = asked.unwrap_or_else(|_| {
        let reason = format!("it took longer than {} seconds", ASK_LIMIT.as_secs());
        Err(RemoteError::NoAnswer { name: computer.clone(), reason })
    });
    let found = found.map_err(|e| errors::remote_failed(&e, shared.computer()))?;
    let told = found.ok_or_else(|| {
        errors::partner_not_ready(&partition.path, &format!("{computer} does not know it yet"))
    })?;
    let flag = |name: &str| told.get(name).and_then(|v| v.as_bool()).unwrap_or(false);
    let port = told.get_u64("Port").and_then(|p| u16::try_from(p).ok());
    Ok(Peer {
        is_source: flag("IsSource"),
        generation: told.get_u64("Generation").unwrap_or(0),
        handed_over: flag("HandedOver"),
        fingerprint: told.get_str("Fingerprint").map(str::to_owned),
        place: told.get_str("Host").map(str::to_owned).zip(port),
        status: told.get_u64("ReplicationStatus").and_then(|n| u32::try_from(n).ok()),
    })
}
