//! What the author of a provider needs to test it: the server's own broker, job service and MOF compiler around a plugin, without
//! sockets, users and files.
//!
//! ```text
//! let kit = Testkit::of(my_plugin()).await;
//! let called = kit.operator("ann").invoke(&path, "Measure", vec![]).await?;
//! let job = kit.end_of(&called).await;
//! assert_reason(&job, "MYDISK1001");
//! ```
//!
//! [`Testkit::of`] runs the plugin in the process of the test, [`Testkit::of_program`] its finished program in a process of its own;
//! everything after that is the same. It is a crate beside the sdk and not a part of it, because it brings the whole server
//! along, which a provider does not need.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test stops where its ground gives way")]

mod ask;
mod reasons;

pub use ask::{Asked, Called};
pub use cimwright_host::ProcessSettings;
pub use reasons::{assert_reason, assert_refused, reasons};

use async_trait::async_trait;
use cimwright_broker::Broker;
use cimwright_cim::{CimError, Instance, NamespaceName};
use cimwright_codec::cimxml::parse_instance_text;
use cimwright_host::{Namespaces, ProviderProcess, declare};
use cimwright_jobs::{JobId, JobKinds, JobRecord, Jobs, JobsConfig, SystemClock};
use cimwright_sdk::{AlertSink, Plugin, Principal, Role};
use cimwright_store::MemoryStore;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long anything may take on a busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server around one provider.
pub struct Testkit {
    broker: Broker,
    jobs: Jobs,
    store: Arc<MemoryStore>,
    raised: Arc<Raised>,
}

/// The indications that were raised.
#[derive(Default)]
struct Raised(Mutex<Vec<(NamespaceName, Instance)>>);

#[async_trait]
impl AlertSink for Raised {
    async fn raise(&self, namespace: &NamespaceName, indication: Instance) -> Result<(), CimError> {
        self.0.lock().unwrap().push((namespace.clone(), indication));
        Ok(())
    }
}

impl Testkit {
    /// A server with this plugin in it.
    ///
    /// # Panics
    /// When the plugin does not fit: mistakes in its MOF, a class that it serves and that nobody declares.
    pub async fn of(plugin: Plugin) -> Self {
        Self::over(Arc::new(MemoryStore::new()), plugin).await
    }

    /// A server that runs this program in a process of its own, as one under `[[providers.process]]`.
    ///
    /// # Panics
    /// When the program does not start, or is not taken in; the text is the reason.
    pub async fn of_program(settings: ProcessSettings) -> Self {
        let process = ProviderProcess::start(settings).await.unwrap_or_else(|e| panic!("{}", e.message));
        let mut namespaces = Namespaces::new();
        let plugin = process.join(&mut namespaces).unwrap_or_else(|e| panic!("{}", e.message));
        Self::with(Arc::new(MemoryStore::new()), namespaces, plugin).await
    }

    /// The same server after a restart, with what is stored about jobs and nothing else. Jobs under way are brought to a safe
    /// point first, as at an orderly end; they are taken up again as their steps say.
    ///
    /// # Panics
    /// As [`Testkit::of`].
    pub async fn restarted(self, plugin: Plugin) -> Self {
        self.jobs.shut_down(PATIENCE).await;
        Self::over(self.store, plugin).await
    }

    async fn over(store: Arc<MemoryStore>, plugin: Plugin) -> Self {
        let mut namespaces = Namespaces::new();
        let declarations = plugin.declarations.iter().map(|d| (&d.namespace, d.name, d.mof));
        if let Err(mistakes) = declare(&mut namespaces, declarations) {
            panic!("{mistakes}");
        }
        Self::with(store, namespaces, plugin).await
    }

    async fn with(store: Arc<MemoryStore>, namespaces: Namespaces, plugin: Plugin) -> Self {
        let mut kinds = JobKinds::new();
        for kind in &plugin.kinds {
            kinds.register(Arc::clone(kind));
        }
        let raised = Arc::new(Raised::default());
        plugin.alerts.connect(raised.clone());
        let config = JobsConfig::default();
        let jobs = Jobs::open(store.clone(), Arc::new(SystemClock), kinds, config).await.unwrap();
        let mut builder = Broker::builder(jobs.clone())
            .embedded_parser(Arc::new(|text: &str| parse_instance_text(text).map_err(|e| e.to_string())));
        for (namespace, schema) in namespaces {
            builder = builder.namespace(namespace, schema);
        }
        let broker = builder.plugin(plugin).build().unwrap_or_else(|e| panic!("{e}"));
        Self { broker, jobs, store, raised }
    }

    /// Asks as a user who may do everything.
    pub fn administrator(&self) -> Asked<'_> {
        self.as_user(Principal::authenticated("administrator", Role::Administrator))
    }

    /// Asks as a user who may start operations.
    pub fn operator(&self, name: &str) -> Asked<'_> {
        self.as_user(Principal::authenticated(name, Role::Operator))
    }

    /// Asks as a user who may look.
    pub fn reader(&self, name: &str) -> Asked<'_> {
        self.as_user(Principal::authenticated(name, Role::Reader))
    }

    /// Asks as this user.
    pub fn as_user(&self, principal: Principal) -> Asked<'_> {
        Asked { broker: &self.broker, principal }
    }

    /// Waits for the end of the job that a call started.
    ///
    /// # Panics
    /// When the call started none, or it does not end.
    pub async fn end_of(&self, called: &Called) -> Arc<JobRecord> {
        let record = self.jobs.wait_end(called.job_id(), PATIENCE).await.unwrap();
        let record = record.expect("the job is gone");
        assert!(record.run.state.is_finished(), "the job has not ended: {:?}", record.run);
        record
    }

    /// Waits until a job is as it should be, such as under way or half done.
    ///
    /// # Panics
    /// When it never is.
    pub async fn until(&self, job: JobId, what: impl Fn(&JobRecord) -> bool) -> Arc<JobRecord> {
        let watch = async {
            loop {
                let record = self.jobs.load(job).await.unwrap().expect("the job is gone");
                if what(&record) {
                    return record;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, watch).await {
            Ok(record) => record,
            Err(_) => panic!("the job never came there: {:?}", self.jobs.load(job).await),
        }
    }

    /// The indications that the provider has raised, in order.
    pub fn raised(&self) -> Vec<(NamespaceName, Instance)> {
        self.raised.0.lock().unwrap().clone()
    }

    /// The job service, for what this kit has no short way to.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The broker, for what this kit has no short way to.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }
}
