//! Computers without sockets: a broker each, with the provider on storage roots of its own, joined by name.

use async_trait::async_trait;
use cimwright_broker::{Answer as Answered, Broker};
use cimwright_cim::operation::{InstanceOptions, Operation, OperationResult, Request};
use cimwright_codec::cimxml::parse_instance_text;
use cimwright_codec::mof::{Source, compile_schema};
use cimwright_providers::disk::engine::{EnginePolicy, landlock_available};
use cimwright_providers::disk::roots::{RootConfig, StorageRoots};
use cimwright_providers::replication::{self, EngineSettings, Parts, Replication, State};
use cimwright_sdk::cim::{
    CatalogueEntry, CimError, CimStatus, ClassPath, ErrorDetail, Instance, InstancePath, NamespaceName,
    ObjectPath, Param, Schema, Value,
};
use cimwright_sdk::jobs::{JobFilter, JobKinds, JobRecord, JobStore, Jobs, JobsConfig, SystemClock};
use cimwright_sdk::remote::{Computers, RemoteAnswer, RemoteError, same_computer};
use cimwright_sdk::{Plugin, Principal, Role};
use cimwright_store::MemoryStore;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;

macro_rules! schema {
    ($($file:literal),*) => {
        LazyLock::new(|| {
            let sources = [$(Source::new($file, include_str!(concat!("../../../../schema/", $file)))),*];
            compile_schema(&sources, &replication::namespace()).expect("the schema compiles")
        })
    };
}

pub(crate) static SCHEMA: LazyLock<Schema> = schema!(
    "qualifiers.mof",
    "storage-replica/cim.mof",
    "storage-replica/wvr.mof",
    "cimwright/replica-endpoint.mof"
);

/// The computers that can reach each other, and the failures that a test puts between them.
#[derive(Clone, Default)]
pub(crate) struct Net {
    reachable: Arc<Mutex<HashMap<String, Reachable>>>,
    fault: Arc<Mutex<Option<RemoteError>>>,
    lost: Arc<Mutex<Option<&'static str>>>,
    /// Whether the computers have an engine.
    pub(crate) engine: bool,
    /// What is different about the engine of the computer with this name.
    pub(crate) adjust: Option<Adjust>,
}

pub(crate) type Adjust = Arc<dyn Fn(&str, &mut EngineSettings) + Send + Sync>;

/// Only there to end a broken test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// A computer as the others reach it: it serves them in its own runtime, so that what it does for them does not end with them.
type Reachable = (Broker, Principal, tokio::runtime::Handle);

/// How one computer sees the others.
struct Neighbours {
    local: String,
    net: Net,
}

/// A computer.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) broker: Broker,
    pub(crate) jobs: Jobs,
    pub(crate) root: PathBuf,
    pub(crate) state: PathBuf,
    _scratch: Option<TempDir>,
}

/// What a method answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u32,
    pub(crate) out: Vec<Param>,
}

impl Net {
    /// From now on every question between computers fails like this.
    pub(crate) fn break_with(&self, fault: RemoteError) {
        *self.fault.lock().unwrap() = Some(fault);
    }

    /// From now on this method is carried out on the other computer, but nobody hears its answer.
    pub(crate) fn lose_answers_of(&self, method: &'static str) {
        *self.lost.lock().unwrap() = Some(method);
    }

    pub(crate) fn mend(&self) {
        *self.lost.lock().unwrap() = None;
        *self.fault.lock().unwrap() = None;
    }

    /// Lets others reach a computer, where they are this user.
    pub(crate) fn join(&self, host: &Host, user: Principal) {
        let place = tokio::runtime::Handle::current();
        self.reachable.lock().unwrap().insert(host.name.clone(), (host.broker.clone(), user, place));
    }

    /// Nobody can reach a computer any more.
    pub(crate) fn part(&self, name: &str) {
        self.reachable.lock().unwrap().remove(name);
    }

    fn find(&self, name: &str) -> Result<Reachable, RemoteError> {
        if let Some(fault) = self.fault.lock().unwrap().clone() {
            return Err(fault);
        }
        let reachable = self.reachable.lock().unwrap();
        let found = reachable.iter().find(|(known, _)| same_computer(known, name));
        found.map(|(_, f)| f.clone()).ok_or_else(|| RemoteError::UnknownComputer { name: name.to_owned() })
    }

    async fn ask(
        &self,
        name: &str,
        namespace: NamespaceName,
        operation: Operation,
    ) -> Result<OperationResult, RemoteError> {
        let (broker, user, place) = self.find(name)?;
        let request = Request { namespace, operation };
        let served =
            place.spawn(async move { Ok(whole_stream(broker.execute(&user, request).await?).await) }).await;
        let lost = |_| RemoteError::NoAnswer { name: name.to_owned(), reason: "it went away".to_owned() };
        served.map_err(lost)?.map_err(|error: CimError| RemoteError::Cim {
            name: name.to_owned(),
            status: error.status,
            text: error.description,
        })
    }
}

#[async_trait]
impl Computers for Neighbours {
    fn local_name(&self) -> &str {
        &self.local
    }

    fn names(&self) -> Result<Vec<String>, RemoteError> {
        Ok(self.net.reachable.lock().unwrap().keys().cloned().collect())
    }

    async fn invoke(
        &self,
        computer: &str,
        target: &ObjectPath,
        method: &str,
        params: Vec<Param>,
    ) -> Result<RemoteAnswer, RemoteError> {
        let operation = Operation::InvokeMethod { target: target.clone(), method: method.into(), params };
        let answered = self.net.ask(computer, replication::namespace(), operation).await?;
        if self.net.lost.lock().unwrap().is_some_and(|lost| lost == method) {
            let reason = "its answer was lost".to_owned();
            return Err(RemoteError::NoAnswer { name: computer.to_owned(), reason });
        }
        match answered {
            OperationResult::Method { return_value, out } => Ok(RemoteAnswer {
                return_value: return_value.and_then(|v| v.as_u64()).unwrap_or_default() as u32,
                out,
            }),
            other => panic!("{other:?}"),
        }
    }

    async fn get(&self, computer: &str, path: &InstancePath) -> Result<Option<Instance>, RemoteError> {
        let options = InstanceOptions::default();
        let operation = Operation::GetInstance { path: path.clone(), options };
        match self.net.ask(computer, replication::namespace(), operation).await {
            Ok(OperationResult::Instance(instance)) => Ok(Some(*instance)),
            Err(RemoteError::Cim { status: CimStatus::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
            Ok(other) => panic!("{other:?}"),
        }
    }

    async fn enumerate(
        &self,
        computer: &str,
        namespace: &NamespaceName,
        class: &str,
    ) -> Result<Vec<Instance>, RemoteError> {
        let operation = Operation::EnumerateInstances {
            class: class.into(),
            deep: true,
            options: InstanceOptions::default(),
        };
        match self.net.ask(computer, namespace.clone(), operation).await? {
            OperationResult::Instances { items, .. } => Ok(items),
            other => panic!("{other:?}"),
        }
    }
}

impl Host {
    /// A computer of its own, known to nobody else.
    pub(crate) async fn new() -> Self {
        Self::named("alpha", &Net::default()).await
    }

    pub(crate) async fn named(name: &str, net: &Net) -> Self {
        let scratch = tempfile::tempdir().expect("scratch directory");
        for directory in ["root", "state"] {
            std::fs::create_dir(scratch.path().join(directory)).expect("directory");
        }
        let store = Arc::new(MemoryStore::new());
        let host = Self::at(name, net, scratch.path(), store).await;
        net.join(&host, Principal::authenticated("root", Role::Administrator));
        Self { _scratch: Some(scratch), ..host }
    }

    /// A computer on directories and a job store that somebody else takes care of.
    pub(crate) async fn at(name: &str, net: &Net, place: &Path, store: Arc<dyn JobStore>) -> Self {
        let (root, state) = (place.join("root"), place.join("state"));
        let config = RootConfig { path: root.clone(), windows_prefixes: vec!["D:\\".to_owned()] };
        let roots = Arc::new(StorageRoots::open(vec![config]).expect("storage root"));
        let computers = Arc::new(Neighbours { local: name.to_owned(), net: net.clone() });
        let accounts = Arc::new(|user: &str| user == "ann");
        let kept = Arc::new(State::open(&state).expect("state"));
        let engine = net.engine.then(|| {
            let mut settings = engine(place);
            if let Some(adjust) = &net.adjust {
                adjust(name, &mut settings);
            }
            settings
        });
        let plugin = Replication::plugin(Parts { roots, state: kept, computers, accounts, engine });
        let (broker, jobs) = broker(plugin, store).await;
        Self { name: name.to_owned(), broker, jobs, root, state, _scratch: None }
    }

    /// The same in a place that is made now, and reached by others.
    pub(crate) async fn in_place(name: &str, net: &Net, place: &Path) -> Self {
        for directory in ["root", "state"] {
            std::fs::create_dir_all(place.join(directory)).expect("directory");
        }
        let host = Self::at(name, net, place, Arc::new(MemoryStore::new())).await;
        net.join(&host, Principal::authenticated("root", Role::Administrator));
        host
    }

    /// A path as a client on Linux writes it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.root.join(name).to_str().expect("text").to_owned()
    }

    /// A volume of this many bytes.
    pub(crate) fn volume(&self, name: &str, bytes: u64) -> String {
        let file = std::fs::File::create(self.root.join(name)).expect("volume");
        file.set_len(bytes).expect("length");
        self.path(name)
    }

    pub(crate) async fn as_user(
        &self,
        user: &Principal,
        method: &str,
        params: Vec<Param>,
    ) -> Result<Answer, CimError> {
        let target = ObjectPath::Class(ClassPath::new(replication::namespace(), "MSFT_WvrAdminTasks"));
        self.call_on(user, target, method, params).await
    }

    pub(crate) async fn call_on(
        &self,
        user: &Principal,
        target: ObjectPath,
        method: &str,
        params: Vec<Param>,
    ) -> Result<Answer, CimError> {
        let operation = Operation::InvokeMethod { target, method: method.into(), params };
        let request = Request { namespace: replication::namespace(), operation };
        match whole(self.broker.execute(user, request).await)? {
            OperationResult::Method { return_value, out } => {
                Ok(Answer { code: return_value.and_then(|v| v.as_u64()).unwrap_or(99) as u32, out })
            }
            other => panic!("{other:?}"),
        }
    }

    /// Calls a method as an administrator.
    pub(crate) async fn call(&self, method: &str, params: Vec<Param>) -> Answer {
        let root = Principal::authenticated("root", Role::Administrator);
        self.as_user(&root, method, params).await.expect("the call as such is right")
    }

    /// Calls a method that must answer 0.
    pub(crate) async fn done(&self, method: &str, params: Vec<Param>) -> Answer {
        let answer = self.call(method, params).await;
        assert_eq!(answer.code, 0, "{method}: {:?}", self.newest().await.map(|j| j.run.errors.clone()));
        answer
    }

    /// Calls a method that must be refused for this reason, and gives the reason.
    pub(crate) async fn refused(&self, id: &str, method: &str, params: Vec<Param>) -> ErrorDetail {
        let answer = self.call(method, params).await;
        self.says(id, &answer).await
    }

    /// The reason that the job behind an answer gives: the newest one, whose GetError an embedded CIM_Error answers.
    pub(crate) async fn says(&self, id: &str, answer: &Answer) -> ErrorDetail {
        let job = self.newest().await.expect("a refused call leaves a job");
        let reason = self.reason(id, &job).await;
        assert_eq!(answer.code, u32::from(reason.code), "the answer has the code of its reason");
        reason
    }

    /// The reason of the newest job, which an answer did not wait for, once it has failed. Until then it gives none.
    pub(crate) async fn fails(&self, id: &str, answer: &Answer) -> ErrorDetail {
        let job = self.newest().await.expect("a job");
        if answer.code == 4096 && !job.run.state.is_finished() {
            assert!(self.error(&job).await.is_none(), "no error while it runs");
        }
        let ended = self.jobs.wait_end(job.id(), PATIENCE).await.expect("the store").expect("there");
        assert!(ended.run.state.is_finished(), "{id}: it goes on: {ended:?}");
        self.reason(id, &ended).await
    }

    /// What a job says: the first reason with those behind it, each with what to do about it, and the same over GetError.
    async fn reason(&self, id: &str, job: &JobRecord) -> ErrorDetail {
        let reason = job.run.errors.first().cloned().unwrap_or_else(|| panic!("{id}: no reason, {job:?}"));
        assert_eq!(reason.message_id, id, "{reason:?}");
        let mut next = Some(&reason);
        while let Some(one) = next {
            assert!(!one.recommended_actions.is_empty() && entry(&one.message_id).meaning.len() > 10);
            assert!(!one.message.contains("{0}") && !one.message.contains("{1}"), "{one:?}");
            next = one.cause.as_deref();
        }
        let error = self.error(job).await.expect("GetError gives an embedded instance");
        assert_eq!((error.class.as_str(), error.get_str("MessageID")), ("CIM_Error", Some(id)));
        assert_eq!(error.get_str("Message"), Some(reason.message.as_str()));
        let words = error.get_str("ProbableCauseDescription").expect("words");
        assert!(reason.chain().skip(1).all(|cause| words.contains(&cause.message)), "the chain: {words}");
        assert_eq!(strings(error.get("RecommendedActions")), reason.recommended_actions);
        reason
    }

    /// What GetError of a job answers to anyone.
    async fn error(&self, job: &JobRecord) -> Option<Instance> {
        let path = InstancePath::new(replication::namespace(), "MSFT_SrJob")
            .with_key("InstanceID", job.id().to_string());
        let anyone = Principal::authenticated("r", Role::Reader);
        let told = self.call_on(&anyone, path.into(), "GetError", Vec::new()).await.expect("GetError");
        assert_eq!(told.code, 0);
        told.out.first().and_then(|p| p.value.as_ref()).and_then(|v| v.as_instance().cloned())
    }

    /// The newest job that somebody asked for: a copy that begins by itself has one too.
    pub(crate) async fn newest(&self) -> Option<Arc<JobRecord>> {
        let all = self.jobs.list(&JobFilter::default(), None, 1000).await.expect("jobs");
        all.into_iter().filter(|j| j.spec.owner != "system").max_by_key(|j| j.id())
    }

    /// The instances of a class.
    pub(crate) async fn instances(&self, class: &str) -> Vec<Instance> {
        let operation = Operation::EnumerateInstances {
            class: class.into(),
            deep: true,
            options: InstanceOptions::default(),
        };
        let anyone = Principal::authenticated("r", Role::Reader);
        let request = Request { namespace: replication::namespace(), operation };
        match whole_stream(self.broker.execute(&anyone, request).await.expect("enumerated")).await {
            OperationResult::Instances { items, .. } => items,
            other => panic!("{other:?}"),
        }
    }

    /// Makes a group of one volume of 4 MiB.
    pub(crate) async fn group(&self, name: &str) -> Instance {
        let volume = self.volume(&format!("{name}.img"), 4 * MIB);
        let params = vec![
            text("Name", name),
            texts("VolumeName", &[&volume]),
            text("LogVolumeName", &self.path(&format!("{name}.log"))),
            number("LogSizeInBytes", 2 * MIB),
        ];
        output(&self.done("NewSrGroup", params).await).remove(0)
    }
}

/// The installed daemon, plain on the loopback interface.
fn engine(place: &Path) -> EngineSettings {
    let mut policy = EnginePolicy::new("/usr/bin/qemu-storage-daemon");
    policy.require_landlock = landlock_available();
    EngineSettings {
        policy,
        runtime_directory: place.to_owned(),
        listen: [127, 0, 0, 1].into(),
        tls_directory: None,
        plain_loopback: true,
    }
}

async fn broker(plugin: Plugin, store: Arc<dyn JobStore>) -> (Broker, Jobs) {
    let mut kinds = JobKinds::new();
    plugin.kinds.iter().for_each(|kind| kinds.register(Arc::clone(kind)));
    let config = JobsConfig { tick: Duration::from_millis(20), ..JobsConfig::default() };
    let jobs = Jobs::open(store, Arc::new(SystemClock), kinds, config).await.expect("job service");
    let broker = Broker::builder(jobs.clone())
        .embedded_parser(Arc::new(parse_instance_text))
        .namespace(replication::namespace(), SCHEMA.clone())
        .plugin(replication::job_class())
        .plugin(plugin)
        .build()
        .expect("plugins fit the schema");
    (broker, jobs)
}

fn whole(answered: Result<Answered, CimError>) -> Result<OperationResult, CimError> {
    match answered? {
        Answered::Whole(result) => Ok(result),
        Answered::Stream(_) => panic!("a stream"),
    }
}

async fn whole_stream(answered: Answered) -> OperationResult {
    match answered {
        Answered::Whole(result) => result,
        Answered::Stream(mut stream) => {
            let mut items = Vec::new();
            while let Some(part) = stream.next().await.expect("a portion") {
                items.extend(part);
            }
            OperationResult::Instances { shape: cimwright_cim::operation::ObjectShape::NamedInstance, items }
        }
    }
}

/// The catalogue's entry.
pub(crate) fn entry(id: &str) -> &'static CatalogueEntry {
    replication::errors::CATALOGUE.find(id).unwrap_or_else(|| panic!("no catalogue has {id}"))
}

/// The instances of the parameter Output.
pub(crate) fn output(answer: &Answer) -> Vec<Instance> {
    embedded(answer.get("Output"))
}

/// The embedded instances of an array.
pub(crate) fn embedded(value: Option<&Value>) -> Vec<Instance> {
    let items = value.and_then(Value::as_array).unwrap_or(&[]);
    items.iter().flatten().filter_map(|v| v.as_instance().cloned()).collect()
}

impl Answer {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.out.iter().find(|p| p.name.is(name)).and_then(|p| p.value.as_ref())
    }

    pub(crate) fn str(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

/// The texts of an array.
pub(crate) fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).unwrap_or(&[]);
    items.iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(crate) fn text(name: &str, value: &str) -> Param {
    Param::new(name, value)
}

pub(crate) fn texts(name: &str, values: &[&str]) -> Param {
    Param::new(name, Value::strings(values.iter().copied()))
}

pub(crate) fn number(name: &str, value: u64) -> Param {
    Param::new(name, Value::Uint64(value))
}

pub(crate) fn flag(name: &str, value: bool) -> Param {
    Param::new(name, value)
}

/// Whether a reason has this one somewhere behind it.
pub(crate) fn behind<'r>(reason: &'r ErrorDetail, id: &str) -> &'r ErrorDetail {
    let mut next = reason.cause.as_deref();
    while let Some(cause) = next {
        if cause.message_id == id {
            return cause;
        }
        next = cause.cause.as_deref();
    }
    panic!("{id} is not behind {reason:?}");
}

/// Waits until something is so.
pub(crate) async fn eventually(so: impl Fn() -> bool) {
    let limit = tokio::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(tokio::time::Instant::now() < limit, "it never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn set_mode(path: impl AsRef<Path>, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions set");
}
