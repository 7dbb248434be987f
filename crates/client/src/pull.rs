//! Enumerations in portions: Open, Pull until the end, Close when the caller has enough.

use crate::client::{Client, complete_paths};
use crate::error::ClientError;
use cimwright_cim::operation::{ObjectShape, PullKind};
use cimwright_cim::{CimStatus, Instance, Operation, OperationResult, Request};

/// An enumeration that is read portion by portion.
pub struct Enumeration<'c> {
    client: &'c Client,
    request: Request,
    /// Asked instead when the server has no pulled enumerations.
    whole: Option<Operation>,
    portion: u32,
    state: State,
}

enum State {
    /// Nothing was asked yet.
    Fresh,
    /// The server holds a session.
    Open { context: String, kind: PullKind },
    /// There is no more.
    Ended,
}

impl<'c> Enumeration<'c> {
    /// An enumeration that begins with `request`, one of the Open… operations, and asks for `portion` objects at a time.
    pub fn new(client: &'c Client, request: Request, whole: Option<Operation>, portion: u32) -> Self {
        Self { client, request, whole, portion, state: State::Fresh }
    }

    /// The next portion; `None` at the end. A portion may be empty while the server is still looking.
    ///
    /// # Errors
    /// See [`ClientError`]. After an error the enumeration is over.
    pub async fn next(&mut self) -> Result<Option<Vec<Instance>>, ClientError> {
        let (operation, kind) = match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => return Ok(None),
            State::Fresh => (self.request.operation.clone(), None),
            State::Open { context, kind } => {
                (Operation::Pull { kind, context, max_object_count: self.portion }, Some(kind))
            }
        };
        let namespace = self.request.namespace.clone();
        let request = Request { namespace: namespace.clone(), operation };
        let result = match self.client.execute(&request).await {
            Err(ClientError::Cim(error)) if kind.is_none() && error.status == CimStatus::NotSupported => {
                let Some(operation) = self.whole.take() else { return Err(ClientError::Cim(error)) };
                return self.client.ask_instances("enumeration", namespace, operation).await.map(Some);
            }
            other => other?,
        };
        match result {
            OperationResult::Pulled { shape, mut items, context, .. } => {
                complete_paths(&mut items, &namespace);
                if let Some(context) = context {
                    let kind = kind.unwrap_or(match shape {
                        ObjectShape::InstancePath => PullKind::InstancePaths,
                        ObjectShape::Instance => PullKind::Instances,
                        _ => PullKind::InstancesWithPath,
                    });
                    self.state = State::Open { context, kind };
                }
                Ok(Some(items))
            }
            other => Err(self.client.unexpected("pulled enumeration", &other)),
        }
    }

    /// Everything that is left.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn all(mut self) -> Result<Vec<Instance>, ClientError> {
        let mut found = Vec::new();
        while let Some(mut portion) = self.next().await? {
            found.append(&mut portion);
        }
        Ok(found)
    }

    /// Ends the session on the server before its end. Dropping it without does no harm: the server forgets it after a while.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn close(self) -> Result<(), ClientError> {
        let State::Open { context, .. } = self.state else { return Ok(()) };
        let operation = Operation::CloseEnumeration { context };
        self.client.execute(&Request { namespace: self.request.namespace, operation }).await.map(|_| ())
    }
}
