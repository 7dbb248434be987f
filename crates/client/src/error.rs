//! What can go wrong between a question and its answer.

use cimwright_cim::{CimError, CimStatus};
use std::time::Duration;

/// Why there is no answer, or none that helps. The text of each names what was wrong and, where there is something, what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or the way is blocked.
    #[error("cannot connect to {endpoint}: {reason}")]
    Connect {
        /// The server.
        endpoint: String,
        /// What the system said.
        reason: String,
        /// What a person can do about it.
        advice: &'static str,
    },
    /// No encrypted connection could be agreed on.
    #[error("no secure connection to {endpoint}: {reason}")]
    Tls {
        /// The server.
        endpoint: String,
        /// What the TLS library said.
        reason: String,
        /// What a person can do about it.
        advice: &'static str,
    },
    /// The server does not know the user, or the password is wrong, or none were given (HTTP 401).
    #[error("{endpoint} refused the credentials{}", .user.as_ref().map_or_else(String::new, |u| format!(" of user \"{u}\"")))]
    Unauthorized {
        /// The server.
        endpoint: String,
        /// The user that was named.
        user: Option<String>,
        /// The server's challenge (WWW-Authenticate).
        challenge: Option<String>,
    },
    /// An answer on the level of HTTP that is no CIM message (DSP0200 7.3).
    #[error("{endpoint} answered HTTP {status}{}{}", shown(" ", .cim_error.as_deref()), shown(": ", .detail.as_deref()))]
    Http {
        /// The server.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// The CIMError header: a token such as `request-not-valid`.
        cim_error: Option<String>,
        /// What else the server said, from a detail header or the beginning of a text body.
        detail: Option<String>,
    },
    /// The operation was refused or failed: the server's own words.
    #[error("{0}")]
    Cim(CimError),
    /// The answer took too long.
    #[error("{endpoint} did not answer within {} seconds", .limit.as_secs_f32())]
    Timeout {
        /// The server.
        endpoint: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection ended before the answer was complete.
    #[error("the connection to {endpoint} ended before the answer was complete: {reason}")]
    Lost {
        /// The server.
        endpoint: String,
        /// What the connection said.
        reason: String,
    },
    /// The answer is longer than the endpoint allows.
    #[error("the answer of {endpoint} is longer than {limit} bytes")]
    TooLarge {
        /// The server.
        endpoint: String,
        /// The bound, in bytes.
        limit: usize,
    },
    /// The answer is no CIM-XML response to the question.
    #[error("the answer of {endpoint} cannot be understood: {reason}")]
    Malformed {
        /// The server.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A method answered that it failed, where nothing but success helps.
    #[error("{method} answered {code}{}", shown(" ", .meaning.as_deref()))]
    Method {
        /// The method.
        method: String,
        /// The return value.
        code: i128,
        /// What the class says that it means.
        meaning: Option<String>,
    },
}

impl ClientError {
    /// The CIM status, if the server gave one.
    pub fn status(&self) -> Option<CimStatus> {
        match self {
            Self::Cim(error) => Some(error.status),
            _ => None,
        }
    }

    /// Whether the server says that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(CimStatus::NotFound)
    }

    /// Whether asking once more a little later may help: the server is away or goes away.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Lost { .. } | Self::Timeout { .. } => true,
            Self::Http { status, .. } => *status == 503,
            Self::Cim(error) => error.status == CimStatus::ServerIsShuttingDown,
            Self::Tls { .. }
            | Self::Unauthorized { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Method { .. } => false,
        }
    }

    /// Whether the server has no such class, method or operation, so that another way of asking may be tried.
    pub fn is_unsupported(&self) -> bool {
        matches!(
            self.status(),
            Some(
                CimStatus::NotSupported
                    | CimStatus::MethodNotFound
                    | CimStatus::MethodNotAvailable
                    | CimStatus::InvalidClass
                    | CimStatus::InvalidNamespace
                    | CimStatus::QueryLanguageNotSupported
                    | CimStatus::QueryFeatureNotSupported
                    | CimStatus::InvalidQuery
            )
        )
    }

    /// What a person can do about it.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Connect { advice, .. } | Self::Tls { advice, .. } => (*advice).to_owned(),
            Self::Unauthorized { user: None, .. } => "name a user and a password".to_owned(),
            Self::Unauthorized { user: Some(_), .. } => {
                "check the user name and the password; on the server, `cimwright user` shows and sets them"
                    .to_owned()
            }
            Self::Http { status: 403, .. } => "ask the administrator of the server for access".to_owned(),
            Self::Http { status: 503, .. } => "the server is stopping or too busy; try again later".to_owned(),
            Self::Http { status: 404 | 405 | 501, .. } => {
                "check that the address is that of a CIM-XML server (usual ports: 5988 for http, 5989 for https)"
                    .to_owned()
            }
            Self::Lost { .. } => {
                "whether the server carried out what was asked is not known; look before asking again".to_owned()
            }
            Self::Timeout { .. } => {
                "the server may still be working on it; look at its jobs before asking again".to_owned()
            }
            Self::TooLarge { .. } => "ask for less at once".to_owned(),
            Self::Malformed { .. } => {
                "check that the address is that of a CIM-XML server and that no proxy is in between".to_owned()
            }
            Self::Cim(error) => match error.status {
                CimStatus::AccessDenied => "ask as a user who may do this".to_owned(),
                CimStatus::InvalidNamespace => "name another namespace".to_owned(),
                _ => error.details.first()?.recommended_actions.first()?.clone(),
            },
            Self::Http { .. } | Self::Method { .. } => return None,
        })
    }
}

fn shown(before: &str, text: Option<&str>) -> String {
    text.map_or_else(String::new, |t| format!("{before}{t}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_what_is_known_and_nothing_else() {
        let error = ClientError::Unauthorized { endpoint: "http://a:1".into(), user: None, challenge: None };
        assert_eq!(error.to_string(), "http://a:1 refused the credentials");
        let error = ClientError::Http {
            endpoint: "http://a:1".into(),
            status: 400,
            cim_error: Some("header-mismatch".into()),
            detail: None,
        };
        assert_eq!(error.to_string(), "http://a:1 answered HTTP 400 header-mismatch");
        let error =
            ClientError::Method { method: "GetError".into(), code: 32772, meaning: Some("(Timeout)".into()) };
        assert_eq!(error.to_string(), "GetError answered 32772 (Timeout)");
    }
}
