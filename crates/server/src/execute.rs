//! What the front ends need of the object manager. The [`Broker`] is the one that serves; tests of this crate put in its place
//! what a broker does only on its worst days: hang, fail in the middle of an answer, or panic.

use crate::Principal;
use async_trait::async_trait;
use cimwright_broker::indications::Indications;
use cimwright_broker::statistics::Statistics;
use cimwright_broker::{Broker, ObjectStream, Portion};
use cimwright_cim::operation::ObjectShape;
use cimwright_cim::{CimError, Instance, NamespaceName, OperationResult, Request, Schema};
use std::sync::Arc;

/// Carries out operations.
#[async_trait]
pub trait Execute: Send + Sync + 'static {
    /// Carries out an operation for a user.
    ///
    /// # Errors
    /// With the status codes of DSP0200 5.3.
    async fn execute(&self, principal: &Principal, request: Request) -> Result<Answer, CimError>;

    /// The classes of a namespace, for protocols that send values without their types. `None` if there is no such namespace.
    fn schema(&self, principal: &Principal, namespace: &NamespaceName) -> Option<Arc<Schema>> {
        let _ = (principal, namespace);
        None
    }

    /// The namespaces that this user may ask for, for reasons that say what there is.
    fn namespaces(&self, principal: &Principal) -> Vec<NamespaceName> {
        let _ = principal;
        Vec::new()
    }

    /// Who tells subscribers what happens; `None` if nobody does.
    fn indications(&self) -> Option<&Indications> {
        None
    }

    /// What operations cost; `None` if nobody wants to know.
    fn statistics(&self) -> Option<&Statistics> {
        None
    }

    /// How many jobs there are; `None` if that cannot be told.
    async fn job_numbers(&self) -> Option<JobNumbers>;
}

/// What an operation answers.
pub enum Answer {
    /// All of it.
    Whole(OperationResult),
    /// A set of instances, to be fetched portion by portion.
    Objects(ObjectShape, Box<dyn Objects>),
}

/// A set of instances that need not be in memory as a whole.
#[async_trait]
pub trait Objects: Send {
    /// The next portion; `None` at the end.
    ///
    /// # Errors
    /// When the rest cannot be found out.
    async fn next(&mut self) -> Result<Option<Vec<Instance>>, CimError>;

    /// The next portion, which may be of instances whose text is there already.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    async fn next_portion(&mut self) -> Result<Option<Portion>, CimError> {
        Ok(self.next().await?.map(Portion::Instances))
    }
}

/// How many jobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobNumbers {
    /// Not ended.
    pub unfinished: u64,
    /// Ended, still in their namespace.
    pub finished: u64,
    /// In the history.
    pub history: u64,
}

#[async_trait]
impl Execute for Broker {
    async fn execute(&self, principal: &Principal, request: Request) -> Result<Answer, CimError> {
        Ok(match Broker::execute(self, principal, request).await? {
            cimwright_broker::Answer::Whole(result) => Answer::Whole(result),
            cimwright_broker::Answer::Stream(stream) => Answer::Objects(stream.shape, Box::new(stream)),
        })
    }

    fn schema(&self, _: &Principal, namespace: &NamespaceName) -> Option<Arc<Schema>> {
        Broker::schema(self, namespace)
    }

    fn namespaces(&self, _: &Principal) -> Vec<NamespaceName> {
        Broker::namespaces(self)
    }

    fn indications(&self) -> Option<&Indications> {
        Broker::indications(self)
    }

    fn statistics(&self) -> Option<&Statistics> {
        Some(Broker::statistics(self))
    }

    async fn job_numbers(&self) -> Option<JobNumbers> {
        match self.jobs().counts().await {
            Ok(counts) => Some(JobNumbers {
                unfinished: counts.unfinished,
                finished: counts.finished,
                history: counts.history,
            }),
            Err(error) => {
                tracing::warn!(%error, "cannot count the jobs");
                None
            }
        }
    }
}

#[async_trait]
impl Objects for ObjectStream {
    async fn next(&mut self) -> Result<Option<Vec<Instance>>, CimError> {
        ObjectStream::next(self).await
    }

    async fn next_portion(&mut self) -> Result<Option<Portion>, CimError> {
        ObjectStream::next_portion(self).await
    }
}
