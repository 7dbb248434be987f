//! MSFT_WvrAdminTasks: takes a call, sees whether the caller may, passes it on if it is for another computer, and makes what comes
//! of it into an answer.

use super::health::Herald;
use super::instances::{self, Instances};
use super::model::Model;
use super::session::{EngineSettings, Sessions};
use super::state::State;
use super::{FAMILY, access, admin, errors, jobs, namespace};
use crate::disk::roots::StorageRoots;
use async_trait::async_trait;
use cimwright_sdk::cim::{CimError, ErrorDetail, InstancePath, Param, Value};
use cimwright_sdk::jobs::{Affected, JobId, JobSpec, Jobs};
use cimwright_sdk::{
    Alerts, Background, Computers, Context, InstanceProvider, MethodCall, MethodOutcome, MethodProvider,
    NewJob, Plugin, ServedClass,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long a method that answers with its result waits for the job that makes it.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The owner of jobs that nobody called for.
const OWN: &str = "system";

/// Whether there is an account of this name.
pub type AccountCheck = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What everything in this provider needs.
pub struct Shared {
    /// Where volumes and logs may be.
    pub roots: Arc<StorageRoots>,
    /// What this computer knows.
    pub state: Arc<State>,
    /// The other computers.
    pub computers: Arc<dyn Computers>,
    /// The accounts of this computer.
    pub accounts: AccountCheck,
    /// The sides of volumes that replicate.
    pub sessions: Sessions,
    /// Tells of changes of health.
    pub herald: Herald,
}

/// What a server gives the provider.
pub struct Parts {
    /// Where volumes and logs may be.
    pub roots: Arc<StorageRoots>,
    /// What this computer knows.
    pub state: Arc<State>,
    /// The other computers.
    pub computers: Arc<dyn Computers>,
    /// The accounts of this computer.
    pub accounts: AccountCheck,
    /// How the engine is run; without it there are groups, but no partnerships.
    pub engine: Option<EngineSettings>,
    /// Where changes of health are told.
    pub alerts: Alerts,
}

impl Shared {
    /// The name of this computer.
    pub fn computer(&self) -> &str {
        self.computers.local_name()
    }

    /// What this computer knows at this moment.
    pub fn model(&self) -> Arc<Model> {
        self.state.model()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("computer", &self.computer()).finish_non_exhaustive()
    }
}

/// What a method comes to.
pub enum Answer {
    /// It was done in the call.
    Done(Vec<Param>),
    /// It answers this code without a reason: the code is the answer to the question.
    Code(u32),
    /// It goes on in a job.
    Job(Planned),
    /// What another computer answered.
    Passed {
        /// Its return value.
        code: u32,
        /// Its output parameters.
        out: Vec<Param>,
    },
}

/// Why a method does nothing.
pub enum Refusal {
    /// The operation cannot be carried out.
    Reason(Box<ErrorDetail>),
    /// The call as such is wrong.
    Call(CimError),
}

/// What a handler gives back.
pub type Handled = Result<Answer, Refusal>;

/// A job that can be started.
pub struct Planned {
    /// Its kind.
    pub kind: &'static str,
    /// What it needs to know.
    pub payload: String,
    /// CIM_Job.Name.
    pub name: &'static str,
    /// A sentence for a person.
    pub description: String,
    /// What it works on, with CIM_AffectedJobElement.ElementEffects.
    pub touched: Vec<(InstancePath, u16)>,
    /// How long the answer waits for its end; without it, the answer is 4096 at once.
    pub wait: Option<Duration>,
}

/// The provider.
pub struct Replication {
    shared: Arc<Shared>,
}

impl Replication {
    /// What the provider brings to the server. Call inside a Tokio runtime: partnerships are taken up at once.
    pub fn plugin(parts: Parts) -> Plugin {
        let Parts { roots, state, computers, accounts, engine, alerts } = parts;
        let sessions = Sessions::new(engine);
        let shared =
            Arc::new(Shared { roots, state, computers, accounts, sessions, herald: Herald::new(alerts) });
        Sessions::start(&shared);
        let kinds = jobs::kinds(&shared);
        let provider = Arc::new(Self { shared: Arc::clone(&shared) });
        let background: Arc<dyn Background> = Arc::new(Keeper { shared: Arc::clone(&shared) });
        let instances: Arc<dyn InstanceProvider> = Arc::new(Instances::new(shared));
        let classes = instances::CLASSES
            .into_iter()
            .map(|class| ServedClass {
                namespace: namespace(),
                class: class.into(),
                instances: Some(Arc::clone(&instances)),
                methods: (class == instances::ADMIN_TASKS)
                    .then(|| Arc::clone(&provider) as Arc<dyn MethodProvider>),
            })
            .collect();
        Plugin {
            name: "storage replica",
            classes,
            kinds,
            catalogues: vec![&errors::CATALOGUE],
            background: vec![background],
            ..Plugin::default()
        }
    }

    async fn call(&self, context: Context<'_>, call: &MethodCall) -> Handled {
        let shared = &self.shared;
        access::check(&shared.model(), context.principal, call.method.as_str(), shared.computer())?;
        match elsewhere(shared, call) {
            Some((computer, parameter)) => pass_on(shared, &computer, parameter, call).await,
            None => admin::handle(shared, call).await,
        }
    }
}

/// Ends the engine with the server.
struct Keeper {
    shared: Arc<Shared>,
}

#[async_trait]
impl Background for Keeper {
    fn begin(&self, jobs: &Jobs) {
        self.shared.sessions.may_start(jobs);
    }

    async fn end(&self) {
        self.shared.sessions.end().await;
    }
}

/// The computer that a call is for, if it is not this one, and the parameter that says so.
fn elsewhere(shared: &Shared, call: &MethodCall) -> Option<(String, &'static str)> {
    // Pairing names the other side; queries about partnerships are answered by whichever side is asked.
    if admin::NOT_PASSED_ON.contains(&call.method.as_str()) {
        return None;
    }
    ["ComputerName", "SourceComputerName", "NewSourceComputerName"].into_iter().find_map(|parameter| {
        let name = call.str(parameter).filter(|name| !shared.computers.is_local(name))?;
        Some((name.to_owned(), parameter))
    })
}

/// Calls the method on another computer. There, no name means the computer that is asked; names that mean this one here are
/// replaced by its own.
///
/// # Errors
/// When there is no answer, or the other side answers with a code that means failure.
pub async fn pass_on(shared: &Shared, computer: &str, parameter: &str, call: &MethodCall) -> Handled {
    let mut params: Vec<Param> = call.params.iter().filter(|p| !p.name.is(parameter)).cloned().collect();
    for param in &mut params {
        let names_computer =
            ["SourceComputerName", "DestinationComputerName"].iter().any(|n| param.name.is(n));
        if names_computer
            && param.value.as_ref().and_then(Value::as_str).is_some_and(|n| shared.computers.is_local(n))
        {
            param.value = Some(shared.computer().into());
        }
    }
    let method = call.method.as_str();
    let target = instances::admin_tasks_class();
    let answered = shared.computers.invoke(computer, &target, method, params).await;
    let answer = answered.map_err(|e| errors::remote_failed(&e, shared.computer()))?;
    match answer.return_value {
        // The job is the other computer's, and so is its reference.
        0 | 4096 => Ok(Answer::Passed { code: answer.return_value, out: answer.out }),
        code if admin::ANSWERS_BY_CODE.contains(&method) => Ok(Answer::Code(code)),
        code => Err(errors::remote_code(computer, method, code).into()),
    }
}

/// A job that nobody called for.
pub(super) fn own_job(planned: Planned, jobs: &Jobs) -> JobSpec {
    let job = job(planned);
    JobSpec {
        id: JobId::generate(),
        family: job.family.to_owned(),
        kind: job.kind.to_owned(),
        payload: job.payload,
        origin: namespace(),
        owner: OWN.to_owned(),
        name: job.name,
        caption: job.caption,
        description: job.description,
        job_type: job.job_type,
        owning_element: job.owning_element,
        affected: job.affected,
        submitted: jobs.clock().now(),
        call: None,
        run_of: None,
    }
}

fn job(planned: Planned) -> NewJob {
    let touched = planned.touched.into_iter();
    NewJob {
        family: FAMILY,
        kind: planned.kind,
        payload: planned.payload,
        name: planned.name.to_owned(),
        caption: "Storage Replica job".to_owned(),
        description: planned.description,
        owning_element: Some(instances::admin_tasks_path()),
        affected: touched.map(|(element, effect)| Affected { element, effects: vec![effect] }).collect(),
        answer_within: planned.wait,
        ..NewJob::default()
    }
}

fn refused(method: &str, reason: ErrorDetail) -> MethodOutcome {
    let job = NewJob {
        family: FAMILY,
        name: "Refused replication operation".to_owned(),
        caption: "Storage Replica job".to_owned(),
        description: format!("A call of {method} that was refused"),
        owning_element: Some(instances::admin_tasks_path()),
        ..NewJob::default()
    };
    MethodOutcome::Refused { job: Box::new(job), reason: Box::new(reason) }
}

#[async_trait]
impl MethodProvider for Replication {
    async fn invoke(&self, context: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        call.check_lengths()?;
        Ok(match self.call(context, &call).await {
            Ok(Answer::Done(out)) => MethodOutcome::Done { return_value: 0, out },
            Ok(Answer::Code(code)) => MethodOutcome::code(code),
            Ok(Answer::Passed { code, out }) => MethodOutcome::Done { return_value: code, out },
            Ok(Answer::Job(planned)) => MethodOutcome::Job(Box::new(job(planned))),
            Err(Refusal::Reason(reason)) => refused(call.method.as_str(), *reason),
            Err(Refusal::Call(error)) => return Err(error),
        })
    }
}

impl From<ErrorDetail> for Refusal {
    fn from(reason: ErrorDetail) -> Self {
        Self::Reason(Box::new(reason))
    }
}

impl From<CimError> for Refusal {
    fn from(error: CimError) -> Self {
        Self::Call(error)
    }
}
