//! Other computers that run a server, as a provider sees them: by name.
//!
//! How a computer is reached, as whom and with which certificates is the business of whoever implements [`Computers`]; a provider
//! names it and asks. Everything that goes wrong on the way is a [`RemoteError`]; what the other side answers, even a refusal by
//! return code, is an answer.

use async_trait::async_trait;
use cimwright_cim::{CimStatus, Instance, InstancePath, NamespaceName, ObjectPath, Param, Value};

/// The computers that this one knows how to reach, and its own name.
#[async_trait]
pub trait Computers: Send + Sync + 'static {
    /// The name of this computer.
    fn local_name(&self) -> &str;

    /// Whether a name means this computer: its own one in any case, with or without domain, `localhost`, `.` or nothing at all.
    fn is_local(&self, name: &str) -> bool {
        let name = name.trim();
        name.is_empty()
            || name == "."
            || name.eq_ignore_ascii_case("localhost")
            || same_computer(name, self.local_name())
    }

    /// The names of the other computers, in no order.
    ///
    /// # Errors
    /// [`RemoteError::List`] when they cannot be found out.
    fn names(&self) -> Result<Vec<String>, RemoteError>;

    /// Calls a method on another computer.
    ///
    /// # Errors
    /// When there is no answer, or the answer is an error of the operation.
    async fn invoke(
        &self,
        computer: &str,
        target: &ObjectPath,
        method: &str,
        params: Vec<Param>,
    ) -> Result<RemoteAnswer, RemoteError>;

    /// An instance of another computer; `None` if it is not there. The path names its namespace.
    ///
    /// # Errors
    /// When there is no answer, or the answer is another error than "not found".
    async fn get(&self, computer: &str, path: &InstancePath) -> Result<Option<Instance>, RemoteError>;

    /// The instances of a class on another computer, subclasses included.
    ///
    /// # Errors
    /// When there is no answer, or the answer is an error of the operation.
    async fn enumerate(
        &self,
        computer: &str,
        namespace: &NamespaceName,
        class: &str,
    ) -> Result<Vec<Instance>, RemoteError>;
}

/// What a method of another computer answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteAnswer {
    /// The return value.
    pub return_value: u32,
    /// Output parameters.
    pub out: Vec<Param>,
}

impl RemoteAnswer {
    /// The value of an output parameter; `None` also when it is NULL or not there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.out.iter().find(|p| p.name.is(name)).and_then(|p| p.value.as_ref())
    }
}

/// Why another computer could not be asked, or did not do it. The texts name the computer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Nobody told this server how to reach a computer of that name.
    #[error("no computer is known by the name {name}")]
    UnknownComputer {
        /// The name.
        name: String,
    },
    /// The list of computers cannot be read.
    #[error("the list of computers cannot be used: {reason}")]
    List {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no connection.
    #[error("{name} cannot be reached: {reason}")]
    Unreachable {
        /// The computer.
        name: String,
        /// What the way to it said.
        reason: String,
    },
    /// The certificate of the other side is not trusted, or no encryption can be agreed on.
    #[error("no secure connection to {name}: {reason}")]
    CertificateRefused {
        /// The computer.
        name: String,
        /// What the TLS library said.
        reason: String,
    },
    /// The other side does not know the user, or does not let it do this.
    #[error("{name} denies access: {reason}")]
    AccessDenied {
        /// The computer.
        name: String,
        /// What it said.
        reason: String,
    },
    /// No answer came in time, or none that was complete: whether it was done is not known.
    #[error("{name} did not answer: {reason}")]
    NoAnswer {
        /// The computer.
        name: String,
        /// What happened.
        reason: String,
    },
    /// The other side refused the operation as such.
    #[error("{name} answered {status}: {text}")]
    Cim {
        /// The computer.
        name: String,
        /// The status.
        status: CimStatus,
        /// The other side's words.
        text: String,
    },
    /// The other side is no server of this kind, or another version.
    #[error("the answer of {name} cannot be understood: {reason}")]
    Malformed {
        /// The computer.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl RemoteError {
    /// Whether asking once more a little later may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } => true,
            Self::Cim { status, .. } => *status == CimStatus::ServerIsShuttingDown,
            Self::UnknownComputer { .. }
            | Self::List { .. }
            | Self::CertificateRefused { .. }
            | Self::AccessDenied { .. }
            | Self::Malformed { .. } => false,
        }
    }
}

/// Whether two names mean one computer: the same in any case, where a name without domain matches any domain.
pub fn same_computer(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim(), other.trim());
    if one.eq_ignore_ascii_case(other) {
        return true;
    }
    let host = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_address = |name: &str| name.parse::<std::net::IpAddr>().is_ok();
    // Of two full names the domains count; of two addresses everything does.
    (one.contains('.') != other.contains('.'))
        && !is_address(one)
        && !is_address(other)
        && host(one) == host(other)
}

/// A computer that knows no other one.
#[derive(Clone, Debug)]
pub struct Alone {
    name: String,
}

impl Alone {
    /// The computer with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

#[async_trait]
impl Computers for Alone {
    fn local_name(&self) -> &str {
        &self.name
    }

    fn names(&self) -> Result<Vec<String>, RemoteError> {
        Ok(Vec::new())
    }

    async fn invoke(
        &self,
        computer: &str,
        _target: &ObjectPath,
        _method: &str,
        _params: Vec<Param>,
    ) -> Result<RemoteAnswer, RemoteError> {
        Err(RemoteError::UnknownComputer { name: computer.to_owned() })
    }

    async fn get(&self, computer: &str, _path: &InstancePath) -> Result<Option<Instance>, RemoteError> {
        Err(RemoteError::UnknownComputer { name: computer.to_owned() })
    }

    async fn enumerate(
        &self,
        computer: &str,
        _namespace: &NamespaceName,
        _class: &str,
    ) -> Result<Vec<Instance>, RemoteError> {
        Err(RemoteError::UnknownComputer { name: computer.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_computer_answers_to_its_name_with_and_without_domain() {
        let here = Alone::new("alpha.example");
        for name in ["", " ", ".", "LocalHost", "alpha", "ALPHA", "Alpha.Example"] {
            assert!(here.is_local(name), "{name:?}");
        }
        for name in ["beta", "alpha.other", "alph", "127.0.0.1", "alpha.example.org"] {
            assert!(!here.is_local(name), "{name:?}");
        }
    }

    #[test]
    fn addresses_are_compared_whole() {
        assert!(same_computer("10.0.0.1", "10.0.0.1"));
        assert!(!same_computer("10.0.0.1", "10"));
        assert!(!same_computer("10.0.0.1", "10.0.0.2"));
    }
}
