//! What the server and a provider say to each other. docs/provider-protocol.md is the same in words.

use super::class::WireClass;
use super::error::{WireCimError, WireReason};
use super::job::{WireDone, WireJob, WireNewJob, WireStep};
use super::value::{WireInstance, WireParam, WirePath, WireValue};
use super::{WireError, WireProperty};
use crate::dialect::{ChangeCodes, ErrorForm, JobDialect};
use cimwright_cim::{Name, NamespaceName};
use cimwright_jobs::live::Wish;
use serde::{Deserialize, Serialize};

/// What the server says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToProvider {
    /// The hello is accepted.
    Welcome {
        /// The version that is spoken from now on.
        version: u32,
    },
    /// A class that the provider serves or needs to know, superclasses first, as declared.
    Class {
        /// Where it is.
        namespace: String,
        /// The class.
        class: WireClass,
    },
    /// All classes have been told; calls may come.
    Ready {},
    /// Something is to be done.
    Call(Call),
    /// One more portion of an enumeration may be sent.
    More {
        /// The call.
        id: u64,
    },
    /// What a running step should be doing.
    Wish {
        /// The call.
        id: u64,
        /// Run, pause or stop.
        wish: WireWish,
    },
    /// The answer is not wanted any more: the work is to end now, and the call to be answered in any way.
    Cancel {
        /// The call.
        id: u64,
    },
    /// What became of an indication.
    Raised {
        /// The number that the provider gave it.
        id: u64,
        /// Why it was not taken, if it was not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<WireCimError>,
    },
}

/// What a provider says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromProvider {
    /// What it is; the first message.
    Hello(Box<Hello>),
    /// Instances of an enumeration.
    Portion {
        /// The call.
        id: u64,
        /// The instances.
        instances: Vec<WireInstance>,
        /// Whether nothing more comes; the answer follows at once.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        last: bool,
    },
    /// How much of the job a step has done.
    Progress {
        /// The call.
        id: u64,
        /// Bytes done.
        done: u64,
        /// Bytes in all; 0 while unknown.
        total: u64,
        /// Hundredths of a percent.
        share: u16,
    },
    /// A result of a step.
    Result {
        /// The call.
        id: u64,
        /// An output parameter of the method or a property of the job.
        name: String,
        /// Its value.
        value: WireValue,
    },
    /// Whether a step has paused.
    Paused {
        /// The call.
        id: u64,
        /// Whether it rests.
        paused: bool,
    },
    /// The end of a call.
    Answer {
        /// The call.
        id: u64,
        /// What came of it.
        answer: Answer,
    },
    /// Something has happened that subscribers are to be told.
    Raise {
        /// A number for the reply.
        id: u64,
        /// Where.
        namespace: String,
        /// The indication.
        indication: WireInstance,
    },
}

/// What a provider is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The versions of the protocol it speaks.
    pub versions: Vec<u32>,
    /// Its name for itself.
    pub name: String,
    /// Classes it brings along.
    pub declarations: Vec<WireDeclaration>,
    /// Classes it serves.
    pub classes: Vec<WireServed>,
    /// Job classes it brings.
    #[serde(default)]
    pub dialects: Vec<WireDialect>,
    /// Kinds of jobs it runs.
    #[serde(default)]
    pub kinds: Vec<String>,
}

/// MOF for a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireDeclaration {
    /// Where the classes go.
    pub namespace: String,
    /// A name for messages.
    pub name: String,
    /// Class declarations and nothing else.
    pub mof: String,
}

/// A class that a provider serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireServed {
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub class: String,
    /// Whether the provider gives instances.
    #[serde(default)]
    pub instances: bool,
    /// Whether the provider answers methods.
    #[serde(default)]
    pub methods: bool,
    /// Whether the provider looks itself at who may change which instance.
    #[serde(default)]
    pub knows_owners: bool,
}

/// A [`JobDialect`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of JobDialect")]
pub struct WireDialect {
    pub namespace: String,
    pub class: String,
    pub family: String,
    /// Errors as text that holds an instance, the way of Hyper-V.
    #[serde(default)]
    pub errors_as_text: bool,
    #[serde(default = "cim_error")]
    pub error_class: String,
    #[serde(default = "cim_error")]
    pub errors_class: String,
    #[serde(default)]
    pub hyper_v_severity: bool,
    #[serde(default = "newest_status")]
    pub max_status_code: u32,
    #[serde(default)]
    pub hyper_v_change_codes: bool,
    #[serde(default)]
    pub kill_job: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_property: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affected_class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owning_class: Option<String>,
}

/// Something that is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// A number for everything that is said about it; not used again.
    pub id: u64,
    /// Who asks, and where; absent for the work of jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<WireContext>,
    /// What.
    pub operation: Operation,
}

/// Who asks, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireContext {
    /// The user.
    pub user: String,
    /// `reader`, `operator` or `administrator`.
    pub role: String,
    /// The namespace.
    pub namespace: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are what their types say")]
pub enum Operation {
    /// All instances of a class, in portions.
    Enumerate { class: String },
    /// One instance.
    Get { path: WirePath },
    /// A new instance.
    Create { instance: WireInstance },
    /// Other values for properties.
    Modify { path: WirePath, changes: Vec<WireProperty> },
    /// The end of an instance.
    Delete { path: WirePath },
    /// A method.
    Invoke { target: WirePath, method: String, params: Vec<WireParam> },
    /// The steps of a job.
    Steps { job: Box<WireJob> },
    /// A step of a job is to be run.
    Run { job: Box<WireJob>, step: usize, name: String, done: Vec<WireDone> },
    /// What a step has left is to be removed.
    Undo { job: Box<WireJob>, step: usize, name: String, done: Vec<WireDone>, output: Option<String> },
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are what their types say")]
pub enum Answer {
    /// It is done: enumerate (the last portion was sent), modify, delete, undo.
    Done {},
    /// Get; `null` if there is none.
    Instance { instance: Option<WireInstance> },
    /// Create.
    Created { path: WirePath },
    /// Invoke: done in the call.
    Method { return_value: u32, out: Vec<WireParam> },
    /// Invoke: goes on in a job.
    Job { job: Box<WireNewJob> },
    /// Invoke: cannot be done.
    Refused { job: Box<WireNewJob>, reason: WireReason },
    /// Steps.
    Steps { steps: Vec<WireStep> },
    /// Run: what the step leaves for later steps.
    Output { output: String },
    /// Run: it was told to stop and did. Anything: it was cancelled.
    Stopped {},
    /// An operation failed.
    Failed { error: WireCimError },
    /// Steps, run, undo: it failed, for this reason.
    Reason { reason: WireReason },
}

/// A [`Wish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the variants are those of Wish")]
pub enum WireWish {
    Run,
    Pause,
    Stop,
}

impl Operation {
    /// Its name, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Enumerate { .. } => "enumerate",
            Self::Get { .. } => "get",
            Self::Create { .. } => "create",
            Self::Modify { .. } => "modify",
            Self::Delete { .. } => "delete",
            Self::Invoke { .. } => "invoke",
            Self::Steps { .. } => "steps",
            Self::Run { .. } => "run",
            Self::Undo { .. } => "undo",
        }
    }
}

impl From<Wish> for WireWish {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::Run => Self::Run,
            Wish::Pause => Self::Pause,
            Wish::Stop => Self::Stop,
        }
    }
}

impl From<WireWish> for Wish {
    fn from(wish: WireWish) -> Self {
        match wish {
            WireWish::Run => Self::Run,
            WireWish::Pause => Self::Pause,
            WireWish::Stop => Self::Stop,
        }
    }
}

impl From<&JobDialect> for WireDialect {
    fn from(dialect: &JobDialect) -> Self {
        let text = |name: &Name| name.as_str().to_owned();
        Self {
            namespace: dialect.namespace.as_str().to_owned(),
            class: text(&dialect.class),
            family: dialect.family.to_owned(),
            errors_as_text: dialect.error_form == ErrorForm::Text,
            error_class: text(&dialect.error_class),
            errors_class: text(&dialect.errors_class),
            hyper_v_severity: dialect.hyper_v_severity,
            max_status_code: dialect.max_status_code,
            hyper_v_change_codes: dialect.change_codes == ChangeCodes::HyperV,
            kill_job: dialect.kill_job,
            type_property: dialect.type_property.map(str::to_owned),
            affected_class: dialect.affected_class.as_ref().map(text),
            owning_class: dialect.owning_class.as_ref().map(text),
        }
    }
}

impl WireDialect {
    /// The dialect, under the names that the server has for its family and its property of the job type.
    pub fn into_dialect(self, family: &'static str, type_property: Option<&'static str>) -> JobDialect {
        JobDialect {
            namespace: NamespaceName::new(self.namespace),
            class: Name::new(self.class),
            family,
            error_form: if self.errors_as_text { ErrorForm::Text } else { ErrorForm::Embedded },
            error_class: Name::new(self.error_class),
            errors_class: Name::new(self.errors_class),
            hyper_v_severity: self.hyper_v_severity,
            max_status_code: self.max_status_code,
            change_codes: if self.hyper_v_change_codes { ChangeCodes::HyperV } else { ChangeCodes::Dmtf },
            kill_job: self.kill_job,
            type_property,
            affected_class: self.affected_class.map(Name::new),
            owning_class: self.owning_class.map(Name::new),
        }
    }
}

/// All of a list in its sent form.
pub fn sent<'a, T: 'a, W: From<&'a T>>(all: impl IntoIterator<Item = &'a T>) -> Vec<W> {
    all.into_iter().map(W::from).collect()
}

/// All of a list that was sent.
///
/// # Errors
/// When one of them means nothing.
pub fn received<W, T: TryFrom<W, Error = WireError>>(all: Vec<W>) -> Result<Vec<T>, WireError> {
    all.into_iter().map(T::try_from).collect()
}

fn cim_error() -> String {
    "CIM_Error".to_owned()
}

fn newest_status() -> u32 {
    29
}
