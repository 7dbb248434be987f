//! A broker with everything around it, and short ways to ask it.

use async_trait::async_trait;
use cimwright_broker::history::history;
use cimwright_broker::indications::{Indications, IndicationsConfig, Parts};
use cimwright_broker::{Answer, Broker, BrokerBuilder, Limits, Principal, Role};
use cimwright_cim::operation::{Operation, OperationResult, Param, Request};
use cimwright_cim::{
    CatalogueEntry, CimError, CimStatus, ClassName, DateTime, ErrorDetail, ErrorType, Instance, InstancePath,
    NamespaceName, Schema, Severity, Value,
};
use cimwright_codec::mof::{Source, compile_schema};
use cimwright_jobs::live::Wish;
use cimwright_jobs::{
    Affected, JobKind, JobKinds, JobSpec, JobStore, Jobs, JobsConfig, ManualClock, Outbox, Progress, Step,
    StepContext, StepError,
};
use cimwright_sdk::{
    ChangeCodes, Context, ErrorForm, InstanceProvider, JobDialect, MethodCall, MethodOutcome, MethodProvider,
    NewJob, Plugin, ServedClass,
};
use cimwright_store::MemoryStore;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::{Semaphore, watch};

pub(crate) const V1: &str = "root/virtualization";
pub(crate) const V2: &str = "root/virtualization/v2";
pub(crate) const DMTF: &str = "root/dmtf";
pub(crate) const INTEROP: &str = "root/interop";
pub(crate) const FAMILY: &str = "test.storage";

/// A broker and what stands behind it.
pub(crate) struct House {
    pub(crate) broker: Broker,
    pub(crate) jobs: Jobs,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) script: Arc<Script>,
    /// The instances of Test_Slow come as permits are added.
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) indications: Option<Indications>,
}

/// How the jobs that wait are to end, by their names.
#[derive(Default)]
pub(crate) struct Script(Mutex<HashMap<String, watch::Sender<Option<bool>>>>);

impl Script {
    fn line(&self, name: &str) -> watch::Sender<Option<bool>> {
        self.0.lock().unwrap().entry(name.to_owned()).or_insert_with(|| watch::Sender::new(None)).clone()
    }

    /// Lets a waiting job end, well or not.
    pub(crate) fn end(&self, name: &str, well: bool) {
        self.line(name).send_replace(Some(well));
    }
}

/// Jobs of one step. The payload says how it behaves: `gate` waits for [`Script::end`], pauses and stops when told; `deaf`
/// waits and hears nothing; `firm` waits and cannot be cancelled; `ok` and `fail` end at once; `later` is not to begin before 2029
/// and then waits as well.
struct Kind(Arc<Script>);

struct Work {
    word: String,
    end: watch::Sender<Option<bool>>,
}

impl JobKind for Kind {
    fn name(&self) -> &'static str {
        "test"
    }

    fn steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        Ok(vec![Arc::new(Work { word: spec.payload.clone(), end: self.0.line(&spec.name) })])
    }
}

#[async_trait]
impl Step for Work {
    fn name(&self) -> &'static str {
        "work"
    }

    fn title(&self) -> String {
        "Working".to_owned()
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        context.set_progress(Progress { done: 1, total: 4, share: 2500 });
        context.set_result("Child", "/images/child.vhdx");
        let mut end = self.end.subscribe();
        let mut known = Wish::Run;
        let well = match self.word.as_str() {
            "ok" => true,
            "fail" => false,
            word => loop {
                tokio::select! {
                    verdict = end.wait_for(Option::is_some) => break verdict.unwrap().unwrap(),
                    wish = context.wish_other_than(known), if word != "deaf" => {
                        known = wish;
                        if wish == Wish::Stop {
                            return Err(StepError::Stopped);
                        }
                        context.report_paused(wish == Wish::Pause);
                    }
                }
            },
        };
        if well { Ok(String::new()) } else { Err(broken().because(full()).into()) }
    }

    async fn undo(&self, _: &StepContext, _: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }

    fn cancellable(&self) -> bool {
        self.word != "firm"
    }
}

/// The reason of a job that fails.
pub(crate) fn broken() -> ErrorDetail {
    static ENTRY: CatalogueEntry = CatalogueEntry {
        id: "TEST1001",
        message: "The work broke.",
        meaning: "",
        error_type: ErrorType::Software,
        severity: Severity::Critical,
        probable_cause: 47,
        probable_cause_description: "Software Error",
        actions: &["Try again."],
        status: CimStatus::ServerLimitsExceeded,
        code: 32778,
    };
    ENTRY.detail([] as [&str; 0])
}

/// The reason behind it.
pub(crate) fn full() -> ErrorDetail {
    ErrorDetail { message_id: "TEST1002".into(), message: "The disk is full.".into(), ..broken() }
        .about("/dev/x")
}

pub(crate) fn disk(name: &str) -> InstancePath {
    InstancePath::new(None, "Test_Disk").with_key("Name", name)
}

pub(crate) fn service() -> InstancePath {
    InstancePath::new(None, "Test_Service").with_key("Name", "main")
}

struct Things(Arc<Semaphore>);

#[async_trait]
impl InstanceProvider for Things {
    async fn enumerate(&self, context: Context<'_>, class: &ClassName) -> Result<Vec<Instance>, CimError> {
        Ok(match class.as_str() {
            "Test_Service" => vec![Instance::new("Test_Service").with("Name", "main")],
            // A size of the wrong type: the server puts it right.
            "Test_Disk" => ["a", "b"]
                .map(|n| Instance::new("Test_Disk").with("Size", Value::Uint8(7)).with("Name", n))
                .to_vec(),
            "Test_BigDisk" => vec![Instance::new("Test_BigDisk").with("Name", "big")],
            "Test_Holds" => {
                let here =
                    |path: InstancePath| InstancePath { namespace: Some(context.namespace.clone()), ..path };
                vec![
                    Instance::new("Test_Holds").with("Holder", here(service())).with("Held", here(disk("a"))),
                ]
            }
            "Test_Slow" => {
                self.0.acquire().await.unwrap().forget();
                vec![Instance::new("Test_Slow").with("Id", "x")]
            }
            other => panic!("nobody serves {other}"),
        })
    }
}

struct Methods;

#[async_trait]
impl MethodProvider for Methods {
    async fn invoke(&self, _: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        let job = |script: &str, label: &str| {
            Box::new(NewJob {
                family: FAMILY,
                kind: "test",
                payload: script.to_owned(),
                name: label.to_owned(),
                caption: format!("The work {label}"),
                description: format!("Works on {label}."),
                job_type: 6,
                owning_element: Some(service()),
                affected: vec![
                    Affected { element: disk("a"), effects: vec![2, 1] },
                    Affected {
                        element: InstancePath::new(None, "Test_Image").with_key("Name", "/images/x"),
                        effects: vec![5],
                    },
                    Affected {
                        element: InstancePath::new(None, "Not_Here").with_key("Name", "x"),
                        effects: vec![],
                    },
                ],
                ..NewJob::default()
            })
        };
        Ok(match call.method.as_str() {
            "StartWork" => {
                let mut job = job(call.required_str("Script")?, call.required_str("Label")?);
                if job.payload == "later" {
                    let start = "20290101000000.000000+000".parse::<DateTime>().unwrap();
                    job.schedule.scheduled_start_time = Some(start);
                }
                MethodOutcome::Job(job)
            }
            "WorkWithin" => MethodOutcome::Job(Box::new(NewJob {
                answer_within: Some(std::time::Duration::from_millis(call.required_u64("Milliseconds")?)),
                ..*job(call.required_str("Script")?, "within")
            })),
            "Forbid" | "ForbidSilently" => MethodOutcome::Refused {
                job: job("ok", "forbidden"),
                reason: Box::new(broken().because(full())),
            },
            "Version" => {
                let target = call.target.class();
                MethodOutcome::Done { return_value: 0, out: vec![Param::new("Text", format!("of {target}"))] }
            }
            "Echo" => MethodOutcome::Done {
                return_value: call.u64("Count").unwrap_or(0) as u32,
                // Out of order, and with a number of another type than declared.
                out: vec![
                    Param::new("Number", Value::Uint8(9)),
                    Param::null("Nothing", cimwright_cim::CimType::String),
                    Param::new(
                        "Words",
                        call.instance("Settings").map_or(String::new(), |i| format!("{i:?}")),
                    ),
                ],
            },
            "Panic" => panic!("as the test wants"),
            other => panic!("nobody answers {other}"),
        })
    }
}

pub(crate) fn dialect(namespace: &str, class: &str) -> JobDialect {
    let v2 = namespace == V2;
    JobDialect {
        namespace: namespace.into(),
        class: class.into(),
        family: FAMILY,
        error_form: if namespace == DMTF { ErrorForm::Embedded } else { ErrorForm::Text },
        error_class: if v2 { "Msvm_Error" } else { "CIM_Error" }.into(),
        errors_class: if namespace == DMTF { "CIM_Error" } else { "Msvm_Error" }.into(),
        hyper_v_severity: namespace != DMTF,
        max_status_code: if v2 { 20 } else { 29 },
        change_codes: if v2 { ChangeCodes::HyperV } else { ChangeCodes::Dmtf },
        kill_job: namespace == DMTF,
        type_property: Some(if v2 { "JobType" } else { "Type" }),
        affected_class: Some(
            if namespace == DMTF { "Test_AffectedJobElement" } else { "Msvm_AffectedStorageJobElement" }
                .into(),
        ),
        owning_class: (namespace != DMTF).then(|| "Msvm_OwningJobElement".into()),
    }
}

pub(crate) fn plugin(gate: &Arc<Semaphore>) -> Plugin {
    let mut plugin = Plugin { name: "test", ..Plugin::default() };
    for namespace in [V1, V2, DMTF] {
        let class = if namespace == DMTF { "Test_Job" } else { "Msvm_StorageJob" };
        plugin.dialects.push(dialect(namespace, class));
        for class in ["Test_Service", "Test_Disk", "Test_BigDisk", "Test_Holds", "Test_Slow"] {
            plugin.classes.push(ServedClass {
                namespace: namespace.into(),
                class: class.into(),
                instances: Some(Arc::new(Things(Arc::clone(gate)))),
                methods: (class == "Test_Service").then(|| Arc::new(Methods) as Arc<dyn MethodProvider>),
            });
        }
    }
    plugin
}

pub(crate) fn schema(namespace: &str) -> Schema {
    let qualifiers = Source::new("qualifiers.mof", include_str!("../../../../schema/qualifiers.mof"));
    let test = Source::new("test.mof", include_str!("test.mof"));
    let (cim, own) = match namespace {
        V1 => (
            Source::new("cim/v1.mof", include_str!("../../../../schema/cim/v1.mof")),
            Source::new("virtualization/v1.mof", include_str!("../../../../schema/virtualization/v1.mof")),
        ),
        V2 => (
            Source::new("cim/v2.mof", include_str!("../../../../schema/cim/v2.mof")),
            Source::new("virtualization/v2.mof", include_str!("../../../../schema/virtualization/v2.mof")),
        ),
        INTEROP => (
            Source::new("cim/v2.mof", include_str!("../../../../schema/cim/v2.mof")),
            Source::new("interop.mof", include_str!("../../../../schema/interop/indications.mof")),
        ),
        _ => (
            Source::new("cim/v2.mof", include_str!("../../../../schema/cim/v2.mof")),
            Source::new("dmtf.mof", include_str!("dmtf.mof")),
        ),
    };
    let history = Source::new("history.mof", include_str!("../../../../schema/cimwright/history.mof"));
    let told = Source::new("indications.mof", include_str!("../../../../schema/cim/indications.mof"));
    let results =
        Source::new("method-results.mof", include_str!("../../../../schema/cim/method-results.mof"));
    let sources = match namespace {
        INTEROP => {
            let wmi = Source::new("wmi.mof", include_str!("../../../../schema/interop/wmi.mof"));
            let server = Source::new("server.mof", include_str!("../../../../schema/interop/server.mof"));
            let profiles =
                Source::new("profiles.mof", include_str!("../../../../schema/interop/profiles.mof"));
            vec![qualifiers, cim, wmi, server, profiles, told, own]
        }
        DMTF => vec![qualifiers, cim, told, results, own, history, test],
        _ => vec![qualifiers, cim, told, own, history, test],
    };
    match compile_schema(&sources, &namespace.into()) {
        Ok(schema) => schema,
        Err(mistakes) => panic!("{mistakes:?}"),
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(JobsConfig { concurrency: 64, ..JobsConfig::default() }, Limits::default()).await
    }

    pub(crate) async fn with(config: JobsConfig, limits: Limits) -> Self {
        let store = Arc::new(MemoryStore::new());
        Self::over(Arc::clone(&store) as Arc<dyn JobStore>, store, config, limits).await
    }

    /// A house with more in it.
    pub(crate) async fn with_more(more: impl FnOnce(BrokerBuilder) -> BrokerBuilder) -> Self {
        let store = Arc::new(MemoryStore::new());
        let config = JobsConfig { concurrency: 64, ..JobsConfig::default() };
        let front = Arc::clone(&store) as Arc<dyn JobStore>;
        Self::built(front, store, config, Limits::default(), None, more).await
    }

    /// A house whose jobs are in `front`, which has `store` behind it.
    pub(crate) async fn over(
        front: Arc<dyn JobStore>,
        store: Arc<MemoryStore>,
        config: JobsConfig,
        limits: Limits,
    ) -> Self {
        Self::built(front, store, config, limits, None, |builder| builder).await
    }

    /// A house that tells whoever subscribes. It keeps nothing when it goes but `store`.
    pub(crate) async fn telling(store: Arc<MemoryStore>, indications: IndicationsConfig) -> Self {
        let config = JobsConfig { concurrency: 64, ..JobsConfig::default() };
        let front = Arc::clone(&store) as Arc<dyn JobStore>;
        Self::built(front, store, config, Limits::default(), Some(indications), |builder| builder).await
    }

    async fn built(
        front: Arc<dyn JobStore>,
        store: Arc<MemoryStore>,
        config: JobsConfig,
        limits: Limits,
        indications: Option<IndicationsConfig>,
        more: impl FnOnce(BrokerBuilder) -> BrokerBuilder,
    ) -> Self {
        let script = Arc::new(Script::default());
        let gate = Arc::new(Semaphore::new(0));
        let clock = Arc::new(ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
        let mut kinds = JobKinds::new();
        kinds.register(Arc::new(Kind(Arc::clone(&script))));
        let namespaces: Vec<_> =
            [V1, V2, DMTF, INTEROP].map(|n| (NamespaceName::new(n), schema(n))).into_iter().collect();
        let indications = match indications {
            None => None,
            Some(config) => {
                let parts = Parts {
                    outbox: Arc::clone(&store) as Arc<dyn Outbox>,
                    clock: clock.clone(),
                    namespaces: &namespaces,
                    dialects: plugin(&gate).dialects,
                    parser: Arc::new(cimwright_codec::query::parse),
                    config,
                };
                Some(Indications::open(parts).await.unwrap())
            }
        };
        let jobs = Jobs::open(front, clock.clone(), kinds, config).await.unwrap();
        let mut builder = Broker::builder(jobs.clone())
            .plugin(plugin(&gate))
            .plugin(history(&jobs, &[V1.into(), V2.into()]))
            .limits(limits);
        for (namespace, schema) in namespaces {
            builder = builder.namespace(namespace, schema);
        }
        if let Some(indications) = &indications {
            builder = builder.indications(indications.clone());
        }
        let parser = Arc::new(|text: &str| {
            cimwright_codec::cimxml::parse_instance_text(text).map_err(|e| e.to_string())
        });
        let broker = more(
            builder.embedded_parser(parser).filter_parser(Arc::new(cimwright_codec::query::parse_filter)),
        )
        .build()
        .unwrap();
        Self { broker, jobs, store, clock, script, gate, indications }
    }

    /// Asks as `who`, and fetches a stream to its end.
    pub(crate) async fn ask(
        &self,
        who: &Principal,
        namespace: &str,
        operation: Operation,
    ) -> Result<OperationResult, CimError> {
        let request = Request { namespace: namespace.into(), operation };
        match self.broker.execute(who, request).await? {
            Answer::Whole(result) => Ok(result),
            Answer::Stream(mut stream) => {
                let mut items = Vec::new();
                while let Some(portion) = stream.next().await? {
                    items.extend(portion);
                }
                Ok(OperationResult::Instances { shape: stream.shape, items })
            }
        }
    }

    pub(crate) async fn items(
        &self,
        namespace: &str,
        operation: Operation,
    ) -> Result<Vec<Instance>, CimError> {
        match self.ask(&admin(), namespace, operation).await? {
            OperationResult::Instances { items, .. } => Ok(items),
            other => panic!("no instances: {other:?}"),
        }
    }

    /// The error that an operation answers.
    pub(crate) async fn refused(&self, namespace: &str, operation: Operation) -> CimError {
        self.ask(&admin(), namespace, operation).await.expect_err("the operation was carried out")
    }

    pub(crate) async fn get(&self, path: &InstancePath) -> Result<Instance, CimError> {
        let namespace = path.namespace.as_ref().unwrap().as_str();
        let operation = Operation::GetInstance { path: path.clone(), options: Default::default() };
        match self.ask(&reader(), namespace, operation).await? {
            OperationResult::Instance(instance) => Ok(*instance),
            other => panic!("no instance: {other:?}"),
        }
    }

    pub(crate) async fn call(
        &self,
        who: &Principal,
        target: &InstancePath,
        method: &str,
        params: Vec<Param>,
    ) -> Result<(u64, Vec<Param>), CimError> {
        let namespace = target.namespace.as_ref().unwrap().as_str();
        let operation =
            Operation::InvokeMethod { target: target.clone().into(), method: method.into(), params };
        match self.ask(who, namespace, operation).await? {
            OperationResult::Method { return_value, out } => {
                let code = return_value.unwrap();
                assert!(matches!(code, Value::Uint32(_)), "{code:?}");
                Ok((code.as_u64().unwrap(), out))
            }
            other => panic!("no method answer: {other:?}"),
        }
    }

    /// Starts a job and gives its path.
    pub(crate) async fn start(
        &self,
        who: &Principal,
        namespace: &str,
        script: &str,
        label: &str,
    ) -> InstancePath {
        let params = vec![Param::new("Script", script), Param::new("Label", label)];
        let (code, out) = self.call(who, &at(namespace, service()), "StartWork", params).await.unwrap();
        assert_eq!(code, 4096);
        let [work] = out.as_slice() else { panic!("{out:?}") };
        assert!(work.name.is("Work"));
        work.value.as_ref().unwrap().as_reference().unwrap().as_instance().unwrap().clone()
    }

    /// Asks until the job is in this state.
    pub(crate) async fn until(&self, job: &InstancePath, state: u64) -> Instance {
        let wait = async {
            loop {
                let instance = self.get(job).await.unwrap();
                if instance.get_u64("JobState") == Some(state) {
                    return instance;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(30), wait).await {
            Ok(instance) => instance,
            Err(_) => panic!("{job:?} never came to state {state}: {:?}", self.get(job).await),
        }
    }

    /// RequestStateChange; the return value.
    pub(crate) async fn change(
        &self,
        who: &Principal,
        job: &InstancePath,
        state: u16,
        period: Option<&str>,
    ) -> u64 {
        let mut params = vec![Param::new("RequestedState", Value::Uint16(state))];
        if let Some(period) = period {
            params.push(Param::new("TimeoutPeriod", period.parse::<DateTime>().unwrap()));
        }
        self.call(who, job, "RequestStateChange", params).await.unwrap().0
    }

    /// The one output parameter of GetError, GetErrorEx or GetErrors.
    pub(crate) async fn error(&self, job: &InstancePath, method: &str) -> Option<Value> {
        let (code, out) = self.call(&reader(), job, method, vec![]).await.unwrap();
        assert_eq!(code, 0, "the question was answered");
        let [only] = <[Param; 1]>::try_from(out).unwrap();
        only.value
    }
}

pub(crate) fn at(namespace: &str, path: InstancePath) -> InstancePath {
    InstancePath { namespace: Some(NamespaceName::new(namespace)), ..path }
}

/// The same job as another namespace shows it.
pub(crate) fn seen_in(namespace: &str, class: &str, job: &InstancePath) -> InstancePath {
    InstancePath { class: class.into(), ..at(namespace, job.clone()) }
}

pub(crate) fn reader() -> Principal {
    Principal::authenticated("rita", Role::Reader)
}

pub(crate) fn operator() -> Principal {
    Principal::authenticated("otto", Role::Operator)
}

pub(crate) fn stranger() -> Principal {
    Principal::authenticated("stan", Role::Operator)
}

pub(crate) fn admin() -> Principal {
    Principal::authenticated("ada", Role::Administrator)
}
