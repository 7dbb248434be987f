//! What a destination can be told.

use serde_json::json;

use super::address::Listen;
use super::failure::{About, ReplicationError};
use super::replica::{Listening, Replica, Shared};
use super::tls::TlsRole;

const EXPORT_ID: &str = "partner";

impl Replica {
    /// Listens for the source and lets it write to the volume. Nobody else is offered anything.
    ///
    /// # Errors
    /// [`ReplicationError::WrongState`] when the side is a source or listens already; [`ReplicationError::PlaintextRefused`];
    /// [`super::Failure::AddressInUse`]. Nothing listens then.
    pub async fn receive(&self, listen: &Listen) -> Result<(), ReplicationError> {
        let operation = "receive";
        let shared = &self.shared;
        let mut state = shared.state.lock().await;
        state.must_not_receive(operation)?;
        if state.exported || state.mirror.is_some() {
            return Err(ReplicationError::WrongState { operation, state: "this side is a source" });
        }
        if listen.tls.is_none() && !listen.address.ip().is_loopback() {
            return Err(ReplicationError::PlaintextRefused { address: listen.address });
        }
        let mut listening = Listening::default();
        match shared.listen(listen, &mut listening).await {
            Ok(()) => {
                state.listening = Some(listening);
                Ok(())
            }
            Err(error) => {
                shared.remove_objects(listening).await;
                Err(error)
            }
        }
    }

    /// Closes the connections and stops listening. Does nothing when the side is no destination.
    ///
    /// # Errors
    /// [`super::Failure::DaemonDied`].
    pub async fn stop_receiving(&self) -> Result<(), ReplicationError> {
        let mut state = self.shared.state.lock().await;
        if state.listening.is_some() {
            self.shared.end_export(EXPORT_ID, "hard").await?;
        }
        if let Some(listening) = state.listening.take() {
            self.shared.remove_objects(listening).await;
        }
        Ok(())
    }
}

impl Shared {
    async fn listen(&self, listen: &Listen, listening: &mut Listening) -> Result<(), ReplicationError> {
        let mut server = json!({ "addr": { "type": "inet", "data": {
            "host": listen.address.ip().to_string(), "port": listen.address.port().to_string(),
        } } });
        if let Some(tls) = &listen.tls {
            let credentials =
                self.add_credentials(&tls.directory, TlsRole::Server, &listen.address.to_string()).await?;
            server["tls-creds"] = json!(credentials);
            listening.objects.push(credentials);
            if let Some(name) = &tls.only {
                let id = self.name("only");
                let object = json!({ "qom-type": "authz-simple", "id": id, "identity": name });
                self.daemon.execute("object-add", object, About::default()).await?;
                server["tls-authz"] = json!(id);
                listening.objects.push(id);
            }
        }
        let about = About { listen: Some(listen.address), ..About::default() };
        self.daemon.execute("nbd-server-start", server, about).await?;
        let offer = json!({
            "type": "nbd", "id": EXPORT_ID, "node-name": super::replica::DISK, "name": listen.export,
            "writable": true,
        });
        let offered = self.daemon.execute("block-export-add", offer, about).await;
        if offered.is_err() {
            // The first error is the one to report.
            let _ = self.daemon.execute("nbd-server-stop", json!({}), about).await;
        }
        offered
    }

    async fn remove_objects(&self, listening: Listening) {
        // What uses another goes before it.
        for id in listening.objects.into_iter().rev() {
            self.remove_credentials(&id).await;
        }
    }
}
