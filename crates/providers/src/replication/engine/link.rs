//! The connection to the partner, and exchanging it under a living mirror.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, lookup_host};

use super::address::Partner;
use super::failure::{About, Failure, ReplicationError};
use super::mirror::Mirror;
use super::replica::Shared;
use super::tls::{TlsDirectory, TlsRole};

/// How long a partner may take to accept a connection. The daemon itself would wait for minutes.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an operation that waits for the partner may take before the connection is cut under it.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(5);

/// How long a partner may take to greet before it is taken to stand still.
const ALIVE_LIMIT: Duration = Duration::from_secs(4);

/// A node that is the partner's volume.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) node: String,
    pub(super) address: SocketAddr,
    /// The object with the credentials.
    credentials: Option<String>,
}

impl Shared {
    /// Connects to the partner. The volume there must be as large as the one here.
    pub(super) async fn add_link(&self, partner: &Partner) -> Result<Link, ReplicationError> {
        let address = reach(partner).await?;
        let credentials = match &partner.tls {
            Some(tls) => Some(self.add_credentials(&tls.directory, TlsRole::Client, &partner.place()).await?),
            None if address.ip().is_loopback() => None,
            None => return Err(ReplicationError::PlaintextRefused { address }),
        };
        let link = Link { node: self.name("link"), address, credentials };
        let checked = self.connect(&link, partner).await;
        match checked {
            Ok(()) => Ok(link),
            Err(error) => {
                self.remove_link(link).await;
                Err(error)
            }
        }
    }

    async fn connect(&self, link: &Link, partner: &Partner) -> Result<(), ReplicationError> {
        let mut node = json!({
            "driver": "nbd", "node-name": link.node, "export": partner.export, "discard": "unmap",
            "server": {
                "type": "inet", "host": link.address.ip().to_string(), "port": link.address.port().to_string(),
            },
        });
        if let Some(credentials) = &link.credentials {
            node["tls-creds"] = json!(credentials);
            node["tls-hostname"] = json!(partner.server_name());
        }
        let place = partner.place();
        let about = About {
            partner: Some(&place),
            export: Some(&partner.export),
            tls: link.credentials.is_some(),
            ..About::default()
        };
        // A partner that accepts and then stands still would hold up the whole daemon.
        self.or_sever(link.address, self.daemon.execute("blockdev-add", node, about)).await?;
        let nodes: Vec<Value> =
            self.daemon.ask("query-named-block-nodes", json!({ "flat": true }), About::default()).await?;
        let size = nodes
            .iter()
            .find(|known| known["node-name"] == link.node)
            .and_then(|known| known["image"]["virtual-size"].as_u64());
        match size {
            Some(there) if there != self.volume.bytes() => {
                let (source_bytes, destination_bytes) = (self.volume.bytes(), there);
                Err(Failure::SizeMismatch { source_bytes, destination_bytes }.into())
            }
            _ => Ok(()),
        }
    }

    /// Ends a connection. What cannot be removed was never made.
    pub(super) async fn remove_link(&self, link: Link) {
        let node = json!({ "node-name": link.node });
        let _ =
            self.or_sever(link.address, self.daemon.execute("blockdev-del", node, About::default())).await;
        if let Some(id) = link.credentials {
            self.remove_credentials(&id).await;
        }
        self.daemon.book().take_bad(&link.node);
    }

    /// Makes the certificates of a directory known to the daemon. They are read once, so a new connection gets new ones.
    pub(super) async fn add_credentials(
        &self,
        directory: &TlsDirectory,
        role: TlsRole,
        place: &str,
    ) -> Result<String, ReplicationError> {
        directory.check(role)?;
        let id = self.name("credentials");
        let object = json!({
            "qom-type": "tls-creds-x509", "id": id, "dir": directory.path(), "endpoint": role.endpoint(),
            "verify-peer": true,
        });
        let about = About { path: Some(directory.path()), ..About::default() };
        self.daemon.execute("object-add", object, about).await.map_err(|error| match error {
            ReplicationError::Failed(Failure::Unrecognised { desc }) => {
                Failure::TlsRefused { partner: place.to_owned(), desc }.into()
            }
            error => error,
        })?;
        Ok(id)
    }

    pub(super) async fn remove_credentials(&self, id: &str) {
        // It stays when something still uses it, and goes with the daemon.
        let _ = self.daemon.execute("object-del", json!({ "id": id }), About::default()).await;
    }

    /// Makes sure that the partner lives, if there is a connection to it; one that stands still is cut off, so that nothing waits for
    /// it any more.
    pub(super) async fn check_partner(&self) {
        let address =
            self.state.lock().await.mirror.as_ref().and_then(|m| m.link.as_ref()).map(|l| l.address);
        let Some(address) = address else { return };
        // One that refuses is gone, which the mirror notices by itself.
        if tokio::time::timeout(ALIVE_LIMIT, greeted(address)).await.is_err() {
            self.sever_loudly(address);
        }
    }

    /// Puts the cut in the place of the link. The writes under way are finished first, or fail.
    pub(super) async fn cut_off(&self, mirror: &mut Mirror) -> Result<(), ReplicationError> {
        let Some(link) = mirror.link.take() else { return Ok(()) };
        let cut = mirror.cut.clone();
        let exchanged = self.or_sever(link.address, self.exchange(mirror, &cut)).await;
        if exchanged.is_err() {
            mirror.link = Some(link);
            return exchanged;
        }
        self.remove_link(link).await;
        Ok(())
    }

    /// Connects anew, brings over what a former mirror may have left out, and lets the job go on.
    pub(super) async fn go_on(&self, mirror: &mut Mirror) -> Result<(), ReplicationError> {
        if mirror.link.is_none() {
            let link = self.add_link(&mirror.partner).await?;
            if let Err(error) = self.exchange(mirror, &link.node).await {
                self.remove_link(link).await;
                return Err(error);
            }
            mirror.link = Some(link);
        }
        if mirror.gap.is_some()
            && let Err(error) = self.close_gap(mirror).await
        {
            // Whatever it was, the next attempt begins with a new connection.
            self.cut_off(mirror).await?;
            return Err(error);
        }
        self.daemon.book().forget(&mirror.job);
        let paused = self.report(&mirror.job).await?.is_some_and(|report| report.paused);
        if paused {
            self.daemon.execute("job-resume", json!({ "id": mirror.job }), About::default()).await?;
        }
        Ok(())
    }

    /// Exchanges the only child of the mirror's target. For a moment there are two, of which the cut never takes a write,
    /// so none is lost.
    async fn exchange(&self, mirror: &mut Mirror, node: &str) -> Result<(), ReplicationError> {
        let change = "x-blockdev-change";
        let about = About::default();
        let add = json!({ "parent": mirror.target, "node": node });
        self.daemon.execute(change, add, about).await?;
        let (old, new) = (mirror.child, mirror.child + 1);
        let remove = |child: u32| json!({ "parent": mirror.target, "child": format!("children.{child}") });
        if let Err(error) = self.daemon.execute(change, remove(old), about).await {
            // The number is then free again.
            let _ = self.daemon.execute(change, remove(new), about).await;
            return Err(error);
        }
        mirror.child = new;
        Ok(())
    }

    /// Waits for something that waits for the partner. When that takes too long the connection is cut, and what waits for
    /// it comes to an end.
    pub(super) async fn or_sever<T>(&self, address: SocketAddr, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(STALL_LIMIT, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.sever_loudly(address),
            }
        }
    }

    /// Cuts the connections to a partner that stands still.
    pub(super) fn sever_loudly(&self, address: SocketAddr) {
        match self.daemon.sever(address) {
            Ok(connections) => tracing::warn!(%address, connections, "cut off a partner that stands still"),
            Err(error) => tracing::warn!(%address, %error, "cannot cut off a partner that stands still"),
        }
    }
}

/// What every NBD server says first, before any encryption.
const GREETING: &[u8; 8] = b"NBDMAGIC";

/// Connects and waits for the greeting. The kernel accepts connections for a process that stands still; only a greeting shows that
/// it lives.
async fn greeted(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let mut said = [0; GREETING.len()];
    stream.read_exact(&mut said).await?;
    if said == *GREETING { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

/// Finds an address of the partner where somebody lives. The daemon is not asked, because it would stand still while it
/// waits, and because it has no resolver.
async fn reach(partner: &Partner) -> Result<SocketAddr, ReplicationError> {
    let unreachable = |desc: String| Failure::PartnerUnreachable { partner: partner.place(), desc };
    let attempt = async {
        let mut last = None;
        for address in lookup_host((partner.host.as_str(), partner.port)).await? {
            match greeted(address).await {
                Ok(()) => return Ok(address),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrNotAvailable.into()))
    };
    match tokio::time::timeout(CONNECT_LIMIT, attempt).await {
        Ok(Ok(address)) => Ok(address),
        Ok(Err(error)) => Err(unreachable(error.to_string()).into()),
        Err(_) => Err(unreachable(format!("no answer within {CONNECT_LIMIT:?}")).into()),
    }
}
