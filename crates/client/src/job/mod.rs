//! Jobs of any WBEM server that has CIM_ConcreteJob: find one, look at it, follow it, stop it, ask why it failed.

mod errors;
mod find;
mod follow;
mod snapshot;

pub use errors::ErrorView;
pub use find::{Finder, KNOWN_NAMESPACES, ambiguous_text};
pub use follow::{Followed, Patience, PollEvent};
pub use snapshot::{Bytes, JobSnapshot, State};

use crate::client::Client;
use crate::error::ClientError;
use crate::values::meaning;
use cimwright_cim::{CimStatus, Class, DateTime, Instance, InstancePath, NamespaceName, Param, Value};
use std::time::Duration;
use tokio::sync::OnceCell;

/// What RequestStateChange can be asked for (CIM_ConcreteJob); the discriminant is the value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Wanted {
    /// Begin, or go on after a suspension.
    Start = 2,
    /// Pause, to be started again.
    Suspend = 3,
    /// End in order and undo.
    Terminate = 4,
    /// End at once.
    Kill = 5,
}

/// What RequestStateChange answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The return value.
    pub code: i128,
    /// What it means: the class's own words, or those of CIM_ConcreteJob.
    pub meaning: Option<String>,
}

/// One job of one server.
pub struct JobHandle<'c> {
    client: &'c Client,
    path: InstancePath,
    namespace: NamespaceName,
    class: OnceCell<Option<Class>>,
}

impl StateChange {
    /// Whether the job is on its way or there: 0 done, 4096 started.
    pub fn accepted(&self) -> bool {
        matches!(self.code, 0 | 4096)
    }
}

impl<'c> JobHandle<'c> {
    /// The job with this path, which must name a namespace. Nothing is asked yet.
    pub fn new(client: &'c Client, path: InstancePath) -> Self {
        let namespace =
            path.namespace.clone().unwrap_or_else(|| NamespaceName::new("root/virtualization/v2"));
        Self { client, path, namespace, class: OnceCell::new() }
    }

    /// The path of the job.
    pub fn path(&self) -> &InstancePath {
        &self.path
    }

    /// The namespace of the job.
    pub fn namespace(&self) -> &NamespaceName {
        &self.namespace
    }

    /// What the job says about itself now.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::is_not_found`] once it has left the namespace.
    pub async fn snapshot(&self) -> Result<JobSnapshot, ClientError> {
        Ok(JobSnapshot::of(self.client.get_instance(&self.path, None).await?))
    }

    /// The class of the job; `None` if the server does not tell classes.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn class(&self) -> Result<Option<&Class>, ClientError> {
        let class = self.class.get_or_try_init(|| async {
            match self.client.get_class(&self.namespace, self.path.class.as_str()).await {
                Ok(class) => Ok(Some(class)),
                Err(e) if e.is_unsupported() || e.is_not_found() => Ok(None),
                Err(e) => Err(e),
            }
        });
        Ok(class.await?.as_ref())
    }

    /// Calls RequestStateChange. `within` is the longest time the change may take (TimeoutPeriod); `None` sets no limit.
    ///
    /// # Errors
    /// See [`ClientError`]. A refusal by return value is an answer, not an error.
    pub async fn request(
        &self,
        wanted: Wanted,
        within: Option<Duration>,
    ) -> Result<StateChange, ClientError> {
        let mut params = vec![Param::new("RequestedState", Value::Uint16(wanted as u16))];
        if let Some(within) = within {
            params.push(Param::new("TimeoutPeriod", DateTime::from_duration(within)));
        }
        let answer = self.client.invoke(&self.path.clone().into(), "RequestStateChange", params).await?;
        let code = answer.code().ok_or_else(|| ClientError::Malformed {
            endpoint: self.client.endpoint().to_string(),
            reason: "RequestStateChange was answered without a return value".to_owned(),
        })?;
        Ok(StateChange { code, meaning: self.meaning_of("RequestStateChange", code).await })
    }

    /// Why the job failed or was stopped, outermost reason first; empty while it runs and after success.
    ///
    /// Asks the method that tells most of those the class has: GetErrors (DMTF), GetErrorEx (Hyper-V), GetError. If one fails the
    /// next is tried.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::Method`] when every one of them answered with a failure of its own.
    pub async fn errors(&self) -> Result<Vec<ErrorView>, ClientError> {
        let class = self.class().await?;
        let mut last = None;
        for (method, out) in [("GetErrors", "Errors"), ("GetErrorEx", "Errors"), ("GetError", "Error")] {
            if class.is_some_and(|c| c.method(method).is_none()) {
                continue;
            }
            let answer = match self.client.invoke(&self.path.clone().into(), method, Vec::new()).await {
                Ok(answer) => answer,
                Err(e) if class.is_none() && e.is_unsupported() => continue,
                Err(e) if e.is_not_found() || e.is_transient() => return Err(e),
                Err(e) => {
                    last = Some(e);
                    continue;
                }
            };
            match answer.code() {
                None | Some(0) => return Ok(ErrorView::all_of(answer.get(out), &self.namespace)),
                Some(code) => {
                    let meaning = self.meaning_of(method, code).await.map(|m| format!("({m})"));
                    last = Some(ClientError::Method { method: method.to_owned(), code, meaning });
                }
            }
        }
        last.map_or_else(|| Ok(Vec::new()), Err)
    }

    /// Deletes the job from its namespace (DeleteInstance).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete(&self) -> Result<(), ClientError> {
        self.client.delete_instance(&self.path).await
    }

    /// What a return value of a method of this job means. Never an error: it only decorates.
    async fn meaning_of(&self, method: &str, code: i128) -> Option<String> {
        let declared = match self.class().await {
            Ok(Some(class)) => class.method(method).and_then(|m| meaning(&m.qualifiers, code)),
            _ => None,
        };
        declared.map(str::to_owned).or_else(|| usual_meaning(code).map(str::to_owned))
    }
}

/// What return values of job methods mean when the class does not say: CIM_ConcreteJob and Hyper-V's common set.
pub fn usual_meaning(code: i128) -> Option<&'static str> {
    Some(match code {
        0 => "Completed with No Error",
        1 => "Not Supported",
        2 => "Unknown or unspecified error",
        3 => "Cannot complete within the timeout period",
        4 => "Failed",
        5 => "Invalid Parameter",
        6 => "In Use",
        4096 => "Transition started",
        4097 => "Invalid state transition",
        4098 => "A timeout is not supported",
        4099 => "Busy",
        32768 => "Failed",
        32769 => "Access Denied",
        32770 => "Not Supported",
        32771 => "Status is unknown",
        32772 => "Timeout",
        32773 => "Invalid parameter",
        32774 => "System is in use",
        32775 => "Invalid state for this operation",
        32776 => "Incorrect data type",
        32777 => "System is not available",
        32778 => "Out of memory",
        32779 => "File not found",
        _ => return None,
    })
}

/// Whether an error says that there is no such namespace or no such class in it.
pub(crate) fn is_absent(error: &ClientError) -> bool {
    matches!(
        error.status(),
        Some(CimStatus::InvalidNamespace | CimStatus::InvalidClass | CimStatus::NotFound)
    )
}

/// The InstanceID in an instance, or in its path.
pub(crate) fn instance_id(instance: &Instance) -> Option<&str> {
    instance.get_str("InstanceID").or_else(|| instance.path.as_ref()?.key_str("InstanceID"))
}
