//! A server without sockets: storage root, engine, job service and the provider's methods, called as the broker calls them.

use cimwright_codec::mof::{Source, compile_schema};
use cimwright_providers::demo::DemoProvider;
use cimwright_providers::disk::engine::{EnginePolicy, QemuImg, landlock_available};
use cimwright_providers::disk::roots::{RootConfig, StorageRoots};
use cimwright_providers::disk::{ImageManagement, Toolbox, errors};
use cimwright_providers::{demo, hyper_v};
use cimwright_sdk::cim::{
    CatalogueEntry, ClassPath, ErrorDetail, Instance, ObjectPath, Param, Schema, Value,
};
use cimwright_sdk::jobs::{
    ChangeOutcome, Clock, JobId, JobKinds, JobRecord, JobSettings, JobSpec, JobState, JobStore, Jobs,
    JobsConfig, RequestedState, SystemClock,
};
use cimwright_sdk::{Context, MethodCall, MethodOutcome, MethodProvider, NewJob, Principal, Role};
use cimwright_store::MemoryStore;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) const MIB: u64 = 1 << 20;

/// Nothing here takes that long; the bound only ends a broken test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const JOB_STARTED: u32 = 4096;

macro_rules! schema {
    ($($file:literal),*) => {
        LazyLock::new(|| {
            let sources = [$(Source::new($file, include_str!(concat!("../../../../schema/", $file)))),*];
            compile_schema(&sources, &hyper_v::v2()).expect("the schema compiles")
        })
    };
}

static V1: LazyLock<Schema> =
    schema!("qualifiers.mof", "cim/v1.mof", "virtualization/v1.mof", "cimwright/demo.mof");
static V2: LazyLock<Schema> =
    schema!("qualifiers.mof", "cim/v2.mof", "virtualization/v2.mof", "cimwright/demo.mof");

/// The storage root, everything that works on it, and nothing else.
pub(crate) struct House {
    pub(crate) root: PathBuf,
    pub(crate) jobs: Jobs,
    kinds: JobKinds,
    disk: Arc<dyn MethodProvider>,
    demo: Arc<dyn MethodProvider>,
    _scratch: Option<TempDir>,
}

/// What a call came to, once its job (if there is one) has ended.
pub(crate) struct Answer {
    pub(crate) code: u32,
    pub(crate) out: Vec<Param>,
    pub(crate) job: Option<Arc<JobRecord>>,
    /// The files under the root before the call.
    before: Files,
}

/// Length, time of last change and mode of every file under a root.
pub(crate) type Files = BTreeMap<PathBuf, (u64, i64, i64, u32)>;

/// Who met the failure: the engine, whose words are then kept as the cause, or the server itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    Engine,
    Server,
}

/// The installed qemu-img, or the one the environment names.
pub(crate) fn program() -> String {
    std::env::var("CIMWRIGHT_TEST_QEMU_IMG").unwrap_or_else(|_| "/usr/bin/qemu-img".to_owned())
}

/// The rules a server would run `program` under.
pub(crate) fn policy(program: impl Into<PathBuf>) -> EnginePolicy {
    let mut policy = EnginePolicy::new(program);
    policy.require_landlock = landlock_available();
    // A script that starts the engine must be able to reach one outside the system's directories.
    policy.library_directories =
        Path::new(&self::program()).parent().map(Path::to_owned).into_iter().collect();
    policy
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with_engine(policy(program())).await
    }

    pub(crate) async fn with_engine(policy: EnginePolicy) -> Self {
        let scratch = tempfile::tempdir().expect("scratch directory");
        let root = scratch.path().join("root");
        std::fs::create_dir(&root).expect("storage root");
        // An engine that runs as another user must be able to get here.
        for directory in [scratch.path(), &root] {
            set_mode(directory, 0o755);
        }
        Self { _scratch: Some(scratch), ..Self::at(&root, policy).await }
    }

    /// A house whose qemu-img is started through a script. The script begins with the command in `$1` and may use `$QEMU`.
    pub(crate) async fn with_script(script: &str) -> Self {
        let scratch = tempfile::tempdir().expect("scratch directory");
        set_mode(scratch.path(), 0o755);
        let engine = scratch.path().join("engine");
        std::fs::write(&engine, format!("#!/bin/sh\nQEMU='{}'\n{script}\n", program())).expect("script");
        set_mode(&engine, 0o755);
        let root = scratch.path().join("root");
        std::fs::create_dir(&root).expect("storage root");
        set_mode(&root, 0o755);
        Self { _scratch: Some(scratch), ..Self::at(&root, policy(engine)).await }
    }

    /// The real engine, stopped at the very beginning of one of its commands until [`Self::engine_of`] is told to go on.
    pub(crate) async fn holding(command: &str) -> Self {
        let script = format!("[ \"$1\" = {command} ] && kill -STOP $$\nexec \"$QEMU\" \"$@\"");
        Self::with_script(&script).await
    }

    /// The real engine, converting no faster than that many bytes a second.
    pub(crate) async fn slow(bytes_per_second: &str) -> Self {
        let script = format!(
            "command=$1; shift\n[ $command = convert ] && set -- -r {bytes_per_second} \"$@\"\nexec \"$QEMU\" $command \"$@\""
        );
        Self::with_script(&script).await
    }

    /// A house on a directory that somebody else takes care of.
    pub(crate) async fn at(root: &Path, policy: EnginePolicy) -> Self {
        let config = RootConfig { path: root.to_owned(), windows_prefixes: vec!["C:\\VMs".to_owned()] };
        let roots = StorageRoots::open(vec![config]).expect("storage root");
        let tools = Arc::new(Toolbox { roots, engine: QemuImg::new(policy) });
        let disk = ImageManagement::plugin("host", Arc::clone(&tools));
        let demo = DemoProvider::plugin("host", &[hyper_v::v2()]);
        let methods = |plugin: &cimwright_sdk::Plugin| plugin.classes[0].methods.clone().expect("methods");
        let (disk_methods, demo_methods) = (methods(&disk), methods(&demo));
        let mut kinds = JobKinds::new();
        disk.kinds.into_iter().chain(demo.kinds).for_each(|kind| kinds.register(kind));
        let own_kinds = kinds.clone();
        let config = JobsConfig {
            tick: Duration::from_millis(20),
            stop_grace: Duration::from_secs(20),
            ..JobsConfig::default()
        };
        let store: Arc<dyn JobStore> = Arc::new(MemoryStore::new());
        let jobs = Jobs::open(store, Arc::new(SystemClock), kinds, config).await.expect("job service");
        Self {
            root: root.to_owned(),
            jobs,
            kinds: own_kinds,
            disk: disk_methods,
            demo: demo_methods,
            _scratch: None,
        }
    }

    /// A path as a client on Linux writes it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.root.join(name).to_str().expect("text").to_owned()
    }

    /// What the provider makes of a call. The parameters are those of the class in one of the two namespaces.
    pub(crate) async fn plan(&self, method: &str, params: Vec<Param>) -> MethodOutcome {
        let fits = |schema: &Schema, class: &str| {
            schema
                .class(class)
                .and_then(|c| c.method(method))
                .is_some_and(|m| params.iter().all(|p| m.parameter(p.name.as_str()).is_some()))
        };
        let disk = cimwright_providers::disk::service::CLASS;
        let (schema, namespace, class, provider) = if fits(&V2, disk) {
            (&*V2, hyper_v::v2(), disk, &self.disk)
        } else if fits(&V1, disk) {
            (&*V1, hyper_v::v1(), disk, &self.disk)
        } else {
            assert!(fits(&V2, demo::CLASS), "no class has {method} with {params:?}");
            (&*V2, hyper_v::v2(), demo::CLASS, &self.demo)
        };
        let principal = Principal::authenticated("anna", Role::Operator);
        let context = Context { principal: &principal, namespace: &namespace, schema };
        let target = ObjectPath::Class(ClassPath::new(namespace.clone(), class));
        let call = MethodCall { target, method: method.into(), params };
        provider.invoke(context, call).await.expect("the call as such is right")
    }

    /// The names of the steps of a job that was planned.
    pub(crate) fn steps(&self, job: &NewJob) -> Vec<String> {
        let kind = self.kinds.get(job.kind).expect("a kind of ours");
        let steps = kind.steps(&self.spec(job.clone())).expect("a payload of ours");
        steps.iter().map(|step| step.name().to_owned()).collect()
    }

    pub(crate) async fn start(&self, job: NewJob) -> JobId {
        self.jobs.start(self.spec(job), JobSettings::default()).await.expect("accepted").id()
    }

    /// Calls a method that must come to a job, and does not wait for it.
    pub(crate) async fn begin(&self, method: &str, params: Vec<Param>) -> JobId {
        match self.plan(method, params).await {
            MethodOutcome::Job(job) => self.start(*job).await,
            other => panic!("{method} came to no job: {other:?}"),
        }
    }

    /// Calls a method and waits until its job has ended.
    pub(crate) async fn call(&self, method: &str, params: Vec<Param>) -> Answer {
        let before = self.files();
        let outcome = self.plan(method, params).await;
        self.carry_out(before, outcome).await
    }

    /// Carries out what [`Self::plan`] said, as the broker does.
    pub(crate) async fn carry_out(&self, before: Files, outcome: MethodOutcome) -> Answer {
        match outcome {
            MethodOutcome::Done { return_value, out } => {
                Answer { code: return_value, out, job: None, before }
            }
            MethodOutcome::Job(job) => {
                let id = self.start(*job).await;
                self.ended(before, id).await
            }
            MethodOutcome::Refused { job, reason } => {
                let code = u32::from(reason.code);
                let refused = self.jobs.refuse(self.spec(*job), JobSettings::default(), *reason).await;
                Answer { code, out: Vec::new(), job: Some(refused.expect("stored")), before }
            }
        }
    }

    /// The answer to a call whose job was started by hand.
    pub(crate) async fn ended(&self, before: Files, id: JobId) -> Answer {
        let job = self.until(id, "the end", |record| record.run.state.is_finished()).await;
        Answer { code: JOB_STARTED, out: Vec::new(), job: Some(job), before }
    }

    /// Waits until a job is as wanted.
    pub(crate) async fn until(
        &self,
        id: JobId,
        what: &str,
        wanted: impl Fn(&JobRecord) -> bool,
    ) -> Arc<JobRecord> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let record = self.jobs.load(id).await.expect("readable").expect("the job is there");
            if wanted(&record) {
                return record;
            }
            assert!(Instant::now() < limit, "waiting for {what}: {:?}", record.run);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn change(&self, id: JobId, wanted: RequestedState) -> ChangeOutcome {
        self.jobs.change_state(id, wanted, "bert", None).await.expect("possible")
    }

    /// Waits until the engine of a job stands still at its beginning; see [`Self::holding`].
    pub(crate) async fn held_engine(&self, needle: &str) -> Engine {
        self.engine_of(needle, |_, state| state == 'T').await
    }

    /// Waits until the real qemu-img runs with these words in its arguments.
    pub(crate) async fn running_engine(&self, needle: &str) -> Engine {
        self.engine_of(needle, |program, _| program.ends_with("qemu-img")).await
    }

    /// Waits until no process has anything to do with this house any more.
    pub(crate) async fn no_engine_works(&self) {
        let root = self.path("");
        eventually(|| {
            !std::fs::read_dir("/proc").expect("processes").flatten().any(|process| {
                let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(&root)
            })
        })
        .await;
    }

    async fn engine_of(&self, needle: &str, wanted: impl Fn(&str, char) -> bool) -> Engine {
        let limit = Instant::now() + PATIENCE;
        loop {
            for process in std::fs::read_dir("/proc").expect("processes").flatten() {
                let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                    continue;
                };
                let Ok(line) = std::fs::read(process.path().join("cmdline")) else { continue };
                let line = String::from_utf8_lossy(&line);
                let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
                let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('?');
                if line.contains(needle) && wanted(line.split('\0').next().unwrap_or_default(), state) {
                    return Engine(rustix::process::Pid::from_raw(pid).expect("a process number"));
                }
            }
            assert!(Instant::now() < limit, "no engine works on {needle}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Every file under the root.
    pub(crate) fn files(&self) -> Files {
        fn walk(directory: &Path, files: &mut Files) {
            // A directory that may not be read holds nothing that could be left behind.
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                let seen = (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.mode());
                if metadata.is_dir() {
                    walk(&entry.path(), files);
                } else {
                    files.insert(entry.path(), seen);
                }
            }
        }
        let mut files = Files::new();
        walk(&self.root, &mut files);
        files
    }

    /// Every file under the root except the unfinished ones of running jobs.
    pub(crate) fn finished_files(&self) -> Files {
        self.files()
            .into_iter()
            .filter(|(path, _)| path.extension().is_none_or(|end| end != "cwpart"))
            .collect()
    }

    /// Asserts that a call failed for the reason `id`, in every way a client could see it, and left nothing behind.
    pub(crate) fn provoked(&self, id: &str, answer: &Answer, names: &str, by: By) {
        let job = answer.job.as_ref().unwrap_or_else(|| panic!("{id}: there is no job to ask"));
        self.failed(id, job, names, by);
        if answer.code != JOB_STARTED {
            assert_eq!(answer.code, u32::from(entry(id).code), "{id}: the return value");
            assert!(job.run.started.is_none(), "{id}: a refused call starts nothing");
        }
        assert_eq!(self.files(), answer.before, "{id}: something was left behind, changed or lost");
    }

    /// As [`Self::provoked`], for a call that is refused before anything is started, and whose reason no engine gave.
    pub(crate) fn refused(&self, id: &str, answer: &Answer, names: &str) {
        assert_ne!(answer.code, JOB_STARTED, "{id}: the call should have been refused");
        self.provoked(id, answer, names, By::Server);
    }

    /// Asserts that a job says why it failed. What is left of it is the caller's to look at.
    pub(crate) fn failed(&self, id: &str, job: &JobRecord, names: &str, by: By) {
        assert_eq!(job.run.state, JobState::Exception, "{id}: {:?}", job.run);
        let reason = &job.run.errors[0];
        assert_reason(id, reason, names);
        assert_eq!(job.run.errors.len(), 1, "{id}: undoing met trouble: {:?}", job.run.errors);
        assert_eq!(job.run.status, reason.message, "{id}: JobStatus");
        assert_eq!(job.operational_status(), [6, 17]);
        assert!(job.percent_complete() < 100);
        let said = reason.chain().find(|cause| cause.message_id == "CWDISK1901");
        match by {
            By::Engine => {
                let said = said.unwrap_or_else(|| panic!("{id}: the engine's words are missing: {reason:?}"));
                assert_eq!(said.arguments[0], "qemu-img");
                assert!(!said.arguments[2].is_empty(), "{said:?}");
            }
            By::Server => assert_eq!(said, None, "{id}: no engine should have been asked"),
        }
        if !job.run.results.is_empty() {
            let status = job.result("JobCompletionStatusCode").and_then(Value::as_u64);
            assert_eq!(status, Some(u64::from(errors::hresult(reason))), "{id}: JobCompletionStatusCode");
            assert!(status.is_some_and(|status| status >= 0x8000_0000));
            assert!(job.result("Child").and_then(Value::as_str).is_some(), "{id}: Child");
        } else {
            assert!(
                job.run.steps.is_empty() && job.run.progress.share == 0,
                "{id}: nothing says how it ended"
            );
        }
    }

    fn spec(&self, job: NewJob) -> JobSpec {
        JobSpec {
            id: JobId::generate(),
            family: job.family.to_owned(),
            kind: job.kind.to_owned(),
            payload: job.payload,
            origin: hyper_v::v2(),
            owner: "anna".to_owned(),
            name: job.name,
            caption: job.caption,
            description: job.description,
            job_type: job.job_type,
            owning_element: job.owning_element,
            affected: job.affected,
            submitted: SystemClock.now(),
            call: None,
            run_of: None,
        }
    }
}

/// The process of an engine.
pub(crate) struct Engine(rustix::process::Pid);

impl Engine {
    pub(crate) fn kill(&self) {
        rustix::process::kill_process(self.0, rustix::process::Signal::KILL).expect("it is there");
    }

    /// Lets a held engine begin.
    pub(crate) fn go_on(&self) {
        rustix::process::kill_process(self.0, rustix::process::Signal::CONT).expect("it is there");
    }
}

impl Answer {
    /// The job of a call that went well.
    pub(crate) fn completed(&self) -> &JobRecord {
        let job = self.job.as_ref().unwrap_or_else(|| panic!("no job, answer {}", self.code));
        assert_eq!(job.run.state, JobState::Completed, "{:?}", job.run);
        assert_eq!(job.result("JobCompletionStatusCode"), Some(&Value::Uint32(0)));
        assert!(job.run.errors.is_empty() && job.percent_complete() == 100);
        job
    }

    /// The embedded instance that a call answered.
    pub(crate) fn instance(&self) -> &Instance {
        assert_eq!(self.code, 0, "{:?}", self.job);
        self.out[0].value.as_ref().and_then(Value::as_instance).expect("an instance")
    }
}

/// The entry of one of the catalogues.
pub(crate) fn entry(id: &str) -> &'static CatalogueEntry {
    let catalogues = [&errors::CATALOGUE, &demo::CATALOGUE];
    catalogues.iter().find_map(|c| c.find(id)).unwrap_or_else(|| panic!("{id} is in no catalogue"))
}

/// Asserts that a reason is this entry, whole, and about the thing as the client calls it.
pub(crate) fn assert_reason(id: &str, reason: &ErrorDetail, names: &str) {
    assert_eq!(reason.message_id, id, "{reason:?}");
    let entry = entry(id);
    assert_eq!((reason.code, reason.status), (entry.code, entry.status));
    assert!(
        reason.message.contains(&format!("\"{names}\"")),
        "{id} does not name {names}: {}",
        reason.message
    );
    assert!(reason.arguments.iter().any(|argument| argument == names), "{id}: {:?}", reason.arguments);
    for text in std::iter::once(&reason.message).chain(&reason.recommended_actions) {
        let unfilled =
            (0..5).any(|n| text.contains(&format!("{{{n}}}")) && !names.contains(&format!("{{{n}}}")));
        assert!(!unfilled, "{id} is not filled in: {text}");
    }
    assert!(!reason.recommended_actions.is_empty(), "{id} says not what to do");
}

/// Waits until something is so.
pub(crate) async fn eventually(so: impl Fn() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < limit, "it never came");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A string parameter.
pub(crate) fn text(name: &str, value: impl Into<String>) -> Param {
    Param::new(name, value.into())
}

/// A uint64 parameter.
pub(crate) fn number(name: &str, value: u64) -> Param {
    Param::new(name, Value::Uint64(value))
}

/// A uint16 parameter.
pub(crate) fn short(name: &str, value: u16) -> Param {
    Param::new(name, Value::Uint16(value))
}

pub(crate) const FIXED: u16 = 2;
pub(crate) const DYNAMIC: u16 = 3;

/// The embedded parameter of CreateVirtualHardDisk and ConvertVirtualHardDisk.
pub(crate) fn disk(path: &str, kind: u16, bytes: u64) -> Instance {
    Instance::of_class(V2.class("Msvm_VirtualHardDiskSettingData").expect("declared"))
        .with("Path", path)
        .with("Type", Value::Uint16(kind))
        .with("MaxInternalSize", Value::Uint64(bytes))
}

pub(crate) fn embedded(disk: Instance) -> Param {
    Param::new("VirtualDiskSettingData", Value::Instance(Box::new(disk)))
}

/// The parameters of CreateVirtualHardDisk.
pub(crate) fn new_disk(path: &str, kind: u16, bytes: u64) -> Vec<Param> {
    vec![embedded(disk(path, kind, bytes))]
}

/// The parameters of ConvertVirtualHardDisk (v2).
pub(crate) fn conversion(source: &str, target: &str, kind: u16) -> Vec<Param> {
    vec![text("SourcePath", source), embedded(disk(target, kind, 0))]
}

/// The parameter of everything that works on one image.
pub(crate) fn on(path: &str) -> Vec<Param> {
    vec![text("Path", path)]
}

/// The parameters of ResizeVirtualHardDisk and ExpandVirtualHardDisk.
pub(crate) fn to_size(path: &str, bytes: u64) -> Vec<Param> {
    vec![text("Path", path), number("MaxInternalSize", bytes)]
}

pub(crate) fn set_mode(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions set");
}
