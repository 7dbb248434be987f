//! Other computers, reached as `cimwright computer` says: the file is read for every question, so a change is seen at once.

use crate::computer::{Computer, ComputersFile};
use async_trait::async_trait;
use cimwright_cim::{CimError, CimStatus, Instance, InstancePath, NamespaceName, ObjectPath, Param};
use cimwright_client::{Client, ClientError};
use cimwright_sdk::remote::{Computers, RemoteAnswer, RemoteError, same_computer};
use std::path::Path;

/// The computers of a state directory.
pub(crate) struct KnownComputers {
    local: String,
    file: ComputersFile,
}

impl KnownComputers {
    /// As the file in `state` has them; `local` is the name of this computer.
    pub(crate) fn new(local: &str, state: &Path) -> Self {
        Self { local: local.to_owned(), file: ComputersFile::in_state(state) }
    }

    fn list(&self) -> Result<Vec<Computer>, RemoteError> {
        self.file.list().map_err(|reason| RemoteError::List { reason })
    }

    /// A connection of its own for every question, so that a long one keeps no other waiting.
    async fn connect(&self, name: &str) -> Result<Client, RemoteError> {
        let known = self.list()?.into_iter().find(|c| same_computer(&c.name, name));
        let Some(computer) = known else {
            return Err(RemoteError::UnknownComputer { name: name.to_owned() });
        };
        let endpoint = computer.endpoint().map_err(|reason| RemoteError::List { reason })?;
        Client::connect(endpoint).await.map_err(|e| explain(name, e))
    }
}

#[async_trait]
impl Computers for KnownComputers {
    fn local_name(&self) -> &str {
        &self.local
    }

    fn names(&self) -> Result<Vec<String>, RemoteError> {
        Ok(self.list()?.into_iter().map(|c| c.name).collect())
    }

    async fn invoke(
        &self,
        computer: &str,
        target: &ObjectPath,
        method: &str,
        params: Vec<Param>,
    ) -> Result<RemoteAnswer, RemoteError> {
        let client = self.connect(computer).await?;
        let answer = client.invoke(target, method, params).await.map_err(|e| explain(computer, e))?;
        let code = answer.code().and_then(|c| u32::try_from(c).ok());
        let Some(return_value) = code else {
            let reason = format!("{method} has no return value that is a number");
            return Err(RemoteError::Malformed { name: computer.to_owned(), reason });
        };
        Ok(RemoteAnswer { return_value, out: answer.out })
    }

    async fn get(&self, computer: &str, path: &InstancePath) -> Result<Option<Instance>, RemoteError> {
        match self.connect(computer).await?.get_instance(path, None).await {
            Ok(instance) => Ok(Some(instance)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(explain(computer, error)),
        }
    }

    async fn enumerate(
        &self,
        computer: &str,
        namespace: &NamespaceName,
        class: &str,
    ) -> Result<Vec<Instance>, RemoteError> {
        let client = self.connect(computer).await?;
        client.enumerate_instances(namespace, class, None).await.map_err(|e| explain(computer, e))
    }
}

fn explain(computer: &str, error: ClientError) -> RemoteError {
    let name = computer.to_owned();
    match error {
        ClientError::Connect { reason, .. } => RemoteError::Unreachable { name, reason },
        ClientError::Tls { reason, .. } => RemoteError::CertificateRefused { name, reason },
        ClientError::Http { status: 503, .. } => RemoteError::Unreachable { name, reason: error.to_string() },
        ClientError::Unauthorized { .. } | ClientError::Http { status: 403, .. } => {
            RemoteError::AccessDenied { name, reason: error.to_string() }
        }
        ClientError::Cim(CimError { status: CimStatus::AccessDenied, description, .. }) => {
            RemoteError::AccessDenied { name, reason: description }
        }
        ClientError::Cim(error) => RemoteError::Cim { name, status: error.status, text: error.description },
        ClientError::Timeout { .. } | ClientError::Lost { .. } => {
            RemoteError::NoAnswer { name, reason: error.to_string() }
        }
        ClientError::Http { .. }
        | ClientError::TooLarge { .. }
        | ClientError::Malformed { .. }
        | ClientError::Method { .. } => RemoteError::Malformed { name, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::ClassPath;

    async fn ask(state: &Path, name: &str) -> RemoteError {
        let computers = KnownComputers::new("alpha", state);
        let target = ClassPath::new(NamespaceName::new("root/a"), "X").into();
        computers.invoke(name, &target, "M", Vec::new()).await.unwrap_err()
    }

    fn know(state: &Path, name: &str, url: &str) {
        let (user, password) = ("ann".to_owned(), "hush".to_owned());
        let computer = Computer { name: name.to_owned(), url: url.to_owned(), ca: None, user, password };
        ComputersFile::in_state(state).add(computer, true).unwrap();
    }

    #[tokio::test]
    async fn what_goes_wrong_on_the_way_has_a_name() {
        let state = tempfile::tempdir().unwrap();
        let state = state.path();
        assert!(matches!(ask(state, "beta").await, RemoteError::UnknownComputer { .. }));
        // A port that nobody listens on any more.
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        drop(taken);
        know(state, "beta", &format!("http://{address}"));
        assert!(matches!(ask(state, "BETA").await, RemoteError::Unreachable { .. }));
        // Somebody who takes the question and goes away.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        know(state, "beta", &format!("http://{}", listener.local_addr().unwrap()));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Not before the question has begun: a connection that was closed earlier is just opened anew.
            std::io::Read::read(&mut stream, &mut [0; 1]).unwrap();
        });
        let error = ask(state, "beta").await;
        server.join().unwrap();
        assert!(matches!(error, RemoteError::NoAnswer { .. }), "{error:?}");
        // Somebody who speaks no TLS.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        know(state, "beta", &format!("https://{}", listener.local_addr().unwrap()));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });
        let error = ask(state, "beta").await;
        server.join().unwrap();
        assert!(matches!(error, RemoteError::CertificateRefused { .. }), "{error:?}");
        std::fs::write(state.join("computers.toml"), "nonsense").unwrap();
        assert!(matches!(ask(state, "beta").await, RemoteError::List { .. }));
    }
}
