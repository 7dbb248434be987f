//! A provider in a process of its own, as the broker sees it.

use crate::errors::{self, operation};
use crate::link::{Conversation, Event};
use crate::process::Inner;
use async_trait::async_trait;
use cimwright_cim::{CimError, ClassName, ErrorDetail, Instance, InstancePath, Property};
use cimwright_sdk::process::wire::{
    Answer, Operation, WireContext, WireError, WireNewJob, from_reason, received, sent,
};
use cimwright_sdk::{
    Context, InstancePortions, InstanceProvider, MethodCall, MethodOutcome, MethodProvider, NewJob,
};
use std::sync::Arc;

/// How many bytes of instances are held at once where a set is needed as a whole.
const WHOLE: usize = 64 << 20;

/// One class of a provider.
pub(crate) struct Remote {
    pub(crate) inner: Arc<Inner>,
    pub(crate) knows_owners: bool,
}

/// Instances that are on their way.
struct Portions {
    inner: Arc<Inner>,
    conversation: Conversation,
    /// Whether a portion may come that was not taken yet.
    allowed: bool,
    finished: bool,
    bytes: usize,
}

impl Remote {
    async fn ask(
        &self,
        context: Context<'_>,
        asked: Operation,
        what: &str,
    ) -> Result<Conversation, CimError> {
        self.inner.ask(Some(asker(context)), asked, what).await.map_err(operation)
    }

    /// Asks, and waits for the answer.
    async fn answer(
        &self,
        context: Context<'_>,
        asked: Operation,
        what: &str,
    ) -> Result<(Answer, Conversation), CimError> {
        let mut conversation = self.ask(context, asked, what).await?;
        match conversation.answer_within(self.inner.settings.call_timeout).await.map_err(operation)? {
            Answer::Failed { error } => Err(self.read(CimError::try_from(error))?),
            answer => Ok((answer, conversation)),
        }
    }

    async fn done(&self, context: Context<'_>, asked: Operation, what: &str) -> Result<(), CimError> {
        match self.answer(context, asked, what).await? {
            (Answer::Done {}, _) => Ok(()),
            (_, conversation) => Err(operation(conversation.misplaced())),
        }
    }

    fn read<T>(&self, result: Result<T, WireError>) -> Result<T, CimError> {
        result.map_err(|e| operation(errors::nonsense(&self.inner.settings.name, e.to_string())))
    }

    async fn portions(&self, context: Context<'_>, class: &ClassName) -> Result<Portions, CimError> {
        let asked = Operation::Enumerate { class: class.as_str().to_owned() };
        let conversation = self.ask(context, asked, &format!("the instances of {class}")).await?;
        Ok(Portions {
            inner: Arc::clone(&self.inner),
            conversation,
            allowed: true,
            finished: false,
            bytes: 0,
        })
    }

    fn job(&self, job: WireNewJob) -> Result<NewJob, CimError> {
        let Inner { hello, settings, .. } = self.inner.as_ref();
        if !hello.dialects.iter().any(|d| d.family == job.family) || !hello.kinds.contains(&job.kind) {
            let text = format!("a job of the family {:?} and the kind {:?}", job.family, job.kind);
            return Err(operation(errors::nonsense(&settings.name, text)));
        }
        let family = crate::names::lasting(&self.inner.ours(&job.family));
        let kind = crate::names::lasting(&self.inner.ours(&job.kind));
        self.read(job.into_job(family, kind))
    }
}

#[async_trait]
impl InstanceProvider for Remote {
    async fn enumerate(&self, context: Context<'_>, class: &ClassName) -> Result<Vec<Instance>, CimError> {
        let mut portions = self.portions(context, class).await?;
        let mut all = Vec::new();
        while let Some(portion) = portions.next().await? {
            all.extend(portion);
            if portions.bytes > WHOLE {
                let text =
                    format!("more than {WHOLE} bytes of instances of {class}, which are needed at once");
                return Err(operation(errors::too_much(&self.inner.settings.name, text)));
            }
        }
        Ok(all)
    }

    async fn open(
        &self,
        context: Context<'_>,
        class: &ClassName,
    ) -> Result<Box<dyn InstancePortions>, CimError> {
        Ok(Box::new(self.portions(context, class).await?))
    }

    async fn get(&self, context: Context<'_>, path: &InstancePath) -> Result<Option<Instance>, CimError> {
        let asked = Operation::Get { path: path.into() };
        match self.answer(context, asked, &format!("an instance of {}", path.class)).await? {
            (Answer::Instance { instance }, _) => self.read(instance.map(TryInto::try_into).transpose()),
            (_, conversation) => Err(operation(conversation.misplaced())),
        }
    }

    fn knows_owners(&self) -> bool {
        self.knows_owners
    }

    async fn create(&self, context: Context<'_>, instance: Instance) -> Result<InstancePath, CimError> {
        let what = format!("a new instance of {}", instance.class);
        let asked = Operation::Create { instance: (&instance).into() };
        match self.answer(context, asked, &what).await? {
            (Answer::Created { path }, _) => self.read(path.try_into()),
            (_, conversation) => Err(operation(conversation.misplaced())),
        }
    }

    async fn modify(
        &self,
        context: Context<'_>,
        path: &InstancePath,
        changes: Vec<Property>,
    ) -> Result<(), CimError> {
        let asked = Operation::Modify { path: path.into(), changes: sent(&changes) };
        self.done(context, asked, &format!("a change of an instance of {}", path.class)).await
    }

    async fn delete(&self, context: Context<'_>, path: &InstancePath) -> Result<(), CimError> {
        let asked = Operation::Delete { path: path.into() };
        self.done(context, asked, &format!("the removal of an instance of {}", path.class)).await
    }
}

#[async_trait]
impl MethodProvider for Remote {
    async fn invoke(&self, context: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        let what = format!("{}.{}", call.target.class(), call.method);
        let asked = Operation::Invoke {
            target: (&call.target).into(),
            method: call.method.as_str().to_owned(),
            params: sent(&call.params),
        };
        let (answer, conversation) = self.answer(context, asked, &what).await?;
        Ok(match answer {
            Answer::Method { return_value, out } => {
                MethodOutcome::Done { return_value, out: self.read(received(out))? }
            }
            Answer::Job { job } => MethodOutcome::Job(Box::new(self.job(*job)?)),
            Answer::Refused { job, reason } => MethodOutcome::Refused {
                job: Box::new(self.job(*job)?),
                reason: Box::new(self.read(from_reason(reason))?),
            },
            _ => return Err(operation(conversation.misplaced())),
        })
    }
}

#[async_trait]
impl InstancePortions for Portions {
    async fn next(&mut self) -> Result<Option<Vec<Instance>>, CimError> {
        if self.finished {
            return Ok(None);
        }
        let fetched = self.fetch().await;
        self.finished |= fetched.is_err();
        fetched
    }

    fn is_finished(&self) -> bool {
        self.finished
    }
}

impl Portions {
    async fn fetch(&mut self) -> Result<Option<Vec<Instance>>, CimError> {
        if !self.allowed {
            self.conversation.more().await.map_err(operation)?;
            self.allowed = true;
        }
        let limit = self.inner.settings.call_timeout;
        match self.conversation.next_within(limit).await.map_err(operation)? {
            Event::Portion(instances, last, bytes) => {
                self.allowed = false;
                self.finished = last;
                self.bytes += bytes;
                let all = received(instances).map_err(|e| self.nonsense(&e))?;
                Ok(Some(all))
            }
            Event::Answer(Answer::Done {}) => {
                self.finished = true;
                Ok(None)
            }
            Event::Answer(Answer::Failed { error }) => {
                Err(CimError::try_from(error).map_err(|e| self.nonsense(&e))?)
            }
            _ => Err(operation(self.conversation.misplaced())),
        }
    }

    fn nonsense(&self, error: &WireError) -> CimError {
        operation(errors::nonsense(&self.inner.settings.name, error.to_string()))
    }
}

/// The reason in an answer to a step that came as an error of an operation.
pub(crate) fn reason_of(name: &str, error: Result<CimError, WireError>) -> ErrorDetail {
    match error {
        Ok(error) => {
            let text = error.to_string();
            error.details.into_iter().next().unwrap_or_else(|| errors::nonsense(name, text))
        }
        Err(error) => errors::nonsense(name, error.to_string()),
    }
}

fn asker(context: Context<'_>) -> WireContext {
    WireContext {
        user: context.principal.name().to_owned(),
        role: context.principal.role().name().to_owned(),
        namespace: context.namespace.as_str().to_owned(),
    }
}
