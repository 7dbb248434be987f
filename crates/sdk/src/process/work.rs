//! What is done for a call, in the provider's process.

use super::frame::{self, FrameError};
use super::wire::{
    Answer, Call, FromProvider, Operation, WireCimError, WireContext, WireDone, WireInstance, WireJob,
    WireStep, received, sent, to_reason,
};
use crate::call::MethodCall;
use crate::outcome::MethodOutcome;
use crate::plugin::{Context, Plugin, ServedClass};
use crate::principal::{Principal, Role};
use cimwright_cim::{
    CatalogueEntry, CimError, CimStatus, ErrorDetail, ErrorType, Instance, Name, NamespaceName, Schema,
    Severity,
};
use cimwright_jobs::live::Live;
use cimwright_jobs::{JobSpec, Progress, Step, StepContext, StepError, StepRecord};
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// How often the progress of a step is told, if it has changed.
const TICK: Duration = Duration::from_millis(100);

/// About how many bytes of instances go into one message.
const PORTION: usize = 256 << 10;

/// The reasons that the provider's end of the protocol can give by itself: `CWSDK…`.
pub static CATALOGUE: cimwright_cim::Catalogue =
    cimwright_cim::Catalogue { title: "Provider SDK", entries: &[PANICKED, NOT_ITS_OWN] };

const PANICKED: CatalogueEntry = CatalogueEntry {
    id: "CWSDK1001",
    message: "The provider met a defect of its own while it worked on {0}: {1}",
    meaning: "The code of the provider panicked. This is a defect of the provider, not a mistake of the caller; its process goes on.",
    error_type: ErrorType::Software,
    severity: Severity::Critical,
    probable_cause: 49,
    probable_cause_description: "Software Program Error",
    actions: &["Report the message together with the log of the server to the author of the provider."],
    status: CimStatus::Failed,
    code: 32768,
};

const NOT_ITS_OWN: CatalogueEntry = CatalogueEntry {
    id: "CWSDK1002",
    message: "The provider has nothing for {0}.",
    meaning: "The process was asked for a class, a kind of job or a step that it does not have: the program has been replaced since the server asked it what it serves, or since the job was started.",
    error_type: ErrorType::Software,
    severity: Severity::Major,
    probable_cause: 58,
    probable_cause_description: "Version Mismatch",
    actions: &["Restart the server, so that it asks the provider again.", "Start the operation again."],
    status: CimStatus::NotSupported,
    code: 32770,
};

/// All that calls share.
pub(super) struct Work {
    pub(super) plugin: Plugin,
    pub(super) schemas: HashMap<NamespaceName, Schema>,
    pub(super) out: mpsc::Sender<Vec<u8>>,
}

/// Why there is no better answer.
enum Trouble {
    Operation(CimError),
    Reason(Box<ErrorDetail>),
}

impl From<CimError> for Trouble {
    fn from(error: CimError) -> Self {
        Self::Operation(error)
    }
}

impl From<ErrorDetail> for Trouble {
    fn from(reason: ErrorDetail) -> Self {
        Self::Reason(Box::new(reason))
    }
}

impl From<super::wire::WireError> for Trouble {
    fn from(error: super::wire::WireError) -> Self {
        Self::Operation(CimError::failed(format!("the server sent what means nothing: {error}")))
    }
}

impl Work {
    /// Works on a call to its end.
    pub(super) async fn answer(&self, call: Call, more: &Semaphore, live: Arc<Live>) -> Answer {
        match self.work(call, more, live).await {
            Ok(answer) => answer,
            Err(Trouble::Operation(error)) => Answer::Failed { error: (&error).into() },
            Err(Trouble::Reason(reason)) => Answer::Reason { reason: to_reason(&reason) },
        }
    }

    /// The answer of a call whose work panicked.
    pub(super) fn panicked(operation: &'static str, panic: &(dyn Any + Send)) -> Answer {
        let text = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without text".to_owned());
        let reason = PANICKED.detail([operation, text.as_str()]);
        if matches!(operation, "steps" | "run" | "undo") {
            return Answer::Reason { reason: to_reason(&reason) };
        }
        let error = CimError::failed(reason.message.clone()).with_detail(reason);
        Answer::Failed { error: (&error).into() }
    }

    /// Sends an answer; one that is too long becomes one that says so.
    pub(super) async fn say_answer(&self, id: u64, answer: Answer) {
        if let Err(FrameError::TooLong { length }) = self.say(&FromProvider::Answer { id, answer }).await {
            let error = CimError::new(
                CimStatus::ServerLimitsExceeded,
                format!("the answer of the provider has {length} bytes, more than {}", frame::MAX_FRAME),
            );
            let answer = Answer::Failed { error: WireCimError::from(&error) };
            let _ = self.say(&FromProvider::Answer { id, answer }).await;
        }
    }

    /// Sends a message. A server that is gone is noticed by whoever listens to it.
    async fn say(&self, message: &FromProvider) -> Result<(), FrameError> {
        let frame = frame::encode(message)?;
        let _ = self.out.send(frame).await;
        Ok(())
    }

    async fn work(&self, call: Call, more: &Semaphore, live: Arc<Live>) -> Result<Answer, Trouble> {
        let id = call.id;
        let asked = match call.operation {
            Operation::Steps { job } => {
                let spec = JobSpec::try_from(*job)?;
                let steps = self.steps(&spec).await?;
                return Ok(Answer::Steps { steps: steps.iter().map(|s| step_form(s.as_ref())).collect() });
            }
            Operation::Run { job, step, name, done } => {
                let (step, context) = self.step(*job, step, &name, done, Arc::clone(&live)).await?;
                return Ok(self.run(id, step, context, &live).await);
            }
            Operation::Undo { job, step, name, done, output } => {
                let (step, context) = self.step(*job, step, &name, done, live).await?;
                step.undo(&context, output.as_deref()).await?;
                return Ok(Answer::Done {});
            }
            asked => asked,
        };
        let asker = Asker::new(call.context)?;
        let context = asker.context(&self.schemas)?;
        match asked {
            Operation::Enumerate { class } => self.enumerate(id, context, &class, more).await,
            Operation::Get { path } => {
                let path = path.try_into()?;
                let found = self.instances(&context, &path)?.get(context, &path).await?;
                Ok(Answer::Instance { instance: found.as_ref().map(Into::into) })
            }
            Operation::Create { instance } => {
                let instance = Instance::try_from(instance)?;
                let provider = self.served(&context, &instance.class, |s| s.instances.clone())?;
                let path = provider.create(context, instance).await?;
                Ok(Answer::Created { path: (&path).into() })
            }
            Operation::Modify { path, changes } => {
                let path = path.try_into()?;
                self.instances(&context, &path)?.modify(context, &path, received(changes)?).await?;
                Ok(Answer::Done {})
            }
            Operation::Delete { path } => {
                let path = path.try_into()?;
                self.instances(&context, &path)?.delete(context, &path).await?;
                Ok(Answer::Done {})
            }
            Operation::Invoke { target, method, params } => {
                let target: cimwright_cim::ObjectPath = target.try_into()?;
                let provider = self.served(&context, target.class(), |s| s.methods.clone())?;
                let call = MethodCall { target, method: Name::new(method), params: received(params)? };
                Ok(match provider.invoke(context, call).await? {
                    MethodOutcome::Done { return_value, out } => {
                        Answer::Method { return_value, out: sent(&out) }
                    }
                    MethodOutcome::Job(job) => Answer::Job { job: Box::new(job.as_ref().into()) },
                    MethodOutcome::Refused { job, reason } => {
                        Answer::Refused { job: Box::new(job.as_ref().into()), reason: to_reason(&reason) }
                    }
                })
            }
            // Handled above.
            Operation::Steps { .. } | Operation::Run { .. } | Operation::Undo { .. } => {
                Ok(Answer::Stopped {})
            }
        }
    }

    async fn enumerate(
        &self,
        id: u64,
        context: Context<'_>,
        class: &str,
        more: &Semaphore,
    ) -> Result<Answer, Trouble> {
        let class = Name::new(class);
        let provider = self.served(&context, &class, |s| s.instances.clone())?;
        let mut portions = provider.open(context, &class).await?;
        while let Some(instances) = portions.next().await? {
            let mut rest = instances.into_iter().peekable();
            while rest.peek().is_some() {
                let instances = next_portion(&mut rest);
                let last = rest.peek().is_none() && portions.is_finished();
                if let Ok(permit) = more.acquire().await {
                    permit.forget();
                }
                self.say(&FromProvider::Portion { id, instances, last }).await.map_err(|error| {
                    CimError::new(CimStatus::ServerLimitsExceeded, format!("an instance of {class}: {error}"))
                })?;
            }
        }
        Ok(Answer::Done {})
    }

    fn instances(
        &self,
        context: &Context<'_>,
        path: &cimwright_cim::InstancePath,
    ) -> Result<Arc<dyn crate::InstanceProvider>, Trouble> {
        self.served(context, &path.class, |s| s.instances.clone())
    }

    fn served<T>(
        &self,
        context: &Context<'_>,
        class: &Name,
        part: impl Fn(&ServedClass) -> Option<T>,
    ) -> Result<T, Trouble> {
        let mut classes = self.plugin.classes.iter();
        let here = |s: &&ServedClass| s.namespace == *context.namespace && s.class == *class;
        let found = classes.by_ref().filter(here).find_map(part);
        found.ok_or_else(|| {
            let reason = NOT_ITS_OWN.detail([format!("{class} in {}", context.namespace)]);
            CimError::new(reason.status, reason.message.clone()).with_detail(reason).into()
        })
    }

    async fn steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, Trouble> {
        let kind = self.plugin.kinds.iter().find(|k| k.name() == spec.kind);
        let kind = kind.ok_or_else(|| NOT_ITS_OWN.detail([format!("jobs of the kind {}", spec.kind)]))?;
        Ok(kind.find_steps(spec).await?)
    }

    async fn step(
        &self,
        job: WireJob,
        at: usize,
        name: &str,
        done: Vec<WireDone>,
        live: Arc<Live>,
    ) -> Result<(Arc<dyn Step>, StepContext), Trouble> {
        let spec = JobSpec::try_from(job)?;
        let steps = self.steps(&spec).await?;
        let step = steps.into_iter().nth(at).filter(|s| s.name() == name);
        let step =
            step.ok_or_else(|| NOT_ITS_OWN.detail([format!("step {at}, {name}, of the job {}", spec.name)]))?;
        let done: Vec<StepRecord> = done.into_iter().map(Into::into).collect();
        Ok((step, StepContext::over(spec, done, live)))
    }

    /// Runs a step and passes on what it says meanwhile.
    async fn run(&self, id: u64, step: Arc<dyn Step>, context: StepContext, live: &Live) -> Answer {
        let mut pauses = live.pauses();
        let mut tick = tokio::time::interval(TICK);
        let mut told = Progress::default();
        let mut work = std::pin::pin!(step.run(&context));
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = tick.tick() => {}
                _ = pauses.changed() => {
                    let paused = *pauses.borrow_and_update();
                    let _ = self.say(&FromProvider::Paused { id, paused }).await;
                }
            }
            self.tell(id, live, &mut told).await;
        };
        self.tell(id, live, &mut told).await;
        match ended {
            Ok(output) => Answer::Output { output },
            Err(StepError::Stopped) => Answer::Stopped {},
            Err(StepError::Failed(reason)) => Answer::Reason { reason: to_reason(&reason) },
        }
    }

    async fn tell(&self, id: u64, live: &Live, told: &mut Progress) {
        let progress = live.progress();
        if progress != *told {
            *told = progress;
            let Progress { done, total, share } = progress;
            let _ = self.say(&FromProvider::Progress { id, done, total, share }).await;
        }
        for (name, value) in live.take_results() {
            let _ = self.say(&FromProvider::Result { id, name, value: (&value).into() }).await;
        }
    }
}

/// Who asks, and where.
struct Asker {
    principal: Principal,
    namespace: NamespaceName,
}

impl Asker {
    fn new(context: Option<WireContext>) -> Result<Self, CimError> {
        let context = context.ok_or_else(|| CimError::failed("the server did not say who asks"))?;
        let role = Role::from_name(&context.role)
            .ok_or_else(|| CimError::failed(format!("{} is no role", context.role)))?;
        Ok(Self {
            principal: Principal::authenticated(context.user, role),
            namespace: NamespaceName::new(context.namespace),
        })
    }

    fn context<'a>(&'a self, schemas: &'a HashMap<NamespaceName, Schema>) -> Result<Context<'a>, CimError> {
        let (namespace, principal) = (&self.namespace, &self.principal);
        let schema = schemas.get(namespace);
        let schema =
            schema.ok_or_else(|| CimError::invalid_namespace(format!("nothing of {namespace} is here")))?;
        Ok(Context { principal, namespace, schema })
    }
}

/// As many instances as fit into a message.
fn next_portion(rest: &mut impl Iterator<Item = Instance>) -> Vec<WireInstance> {
    let mut portion = Vec::new();
    let mut bytes = 0;
    for instance in rest.by_ref() {
        let wire = WireInstance::from(&instance);
        // Measured, since a guess would have to be a bad one.
        bytes += serde_json::to_string(&wire).map_or(0, |text| text.len());
        portion.push(wire);
        if bytes >= PORTION {
            break;
        }
    }
    portion
}

fn step_form(step: &dyn Step) -> WireStep {
    WireStep {
        name: step.name().to_owned(),
        title: step.title(),
        on_restart: step.on_restart().into(),
        only_watches: step.only_watches(),
        cancellable: step.cancellable(),
    }
}
