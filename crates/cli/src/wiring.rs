//! Puts the server together from its parts: the one place that knows all of them.

use crate::remote::KnownComputers;
use crate::{listeners, processes, schema, state_directory};
use cimwright_broker::indications::Indications;
use cimwright_broker::interop::{Central, Discovery, Profile};
use cimwright_broker::{Broker, history};
use cimwright_codec::cimxml::parse_instance_text;
use cimwright_codec::mof::Diagnostic;
use cimwright_host::declare;
use cimwright_jobs::{JobKinds, JobStore, Jobs, JobsConfig, Outbox, SystemClock};
use cimwright_providers::demo::{self, DemoProvider};
use cimwright_providers::disk::engine::{EnginePolicy, QemuImg, landlock_available};
use cimwright_providers::disk::roots::{RootConfig, StorageRoots};
use cimwright_providers::disk::{ImageManagement, Toolbox};
use cimwright_providers::hyper_v;
use cimwright_providers::replication::{self, AccountCheck, EngineSettings, Parts, Replication, State};
use cimwright_repository::RepositoryStore;
use cimwright_sdk::{Alerts, Plugin};
use cimwright_server::auth::users::UsersFile;
use cimwright_server::config::{Config, JobStoreKind};
use cimwright_store::{MemoryRepository, MemoryStore, SqliteOptions, SqliteRepository, SqliteStore};
use std::error::Error;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Name of the database in the state directory.
const DATABASE: &str = "jobs.sqlite";

/// Name of the database of what clients load, beside it.
const REPOSITORY: &str = "repository.sqlite";

/// Opens the store, starts the job service and builds the broker on top of it.
///
/// # Errors
/// With a text that says what cannot be opened and what to do.
pub(crate) async fn build(config: &Config) -> Result<Broker, Box<dyn Error>> {
    let computer = config.computer_name();
    let alerts = Alerts::new();
    let mut plugins: Vec<Plugin> =
        vec![hyper_v::job_classes(), hyper_v::management_service(&computer, Arc::new(parse_instance_text))];
    plugins.push(replication::job_class());
    if config.storage.roots.is_empty() {
        tracing::warn!(
            "no storage root is configured: image management has no files to work on (--storage-root DIR)"
        );
    } else {
        plugins.push(ImageManagement::plugin(&computer, Arc::new(toolbox(config)?)));
        if config.replication.enabled {
            plugins.push(storage_replica(config, &computer, &alerts)?);
        }
    }
    if config.providers.demo {
        plugins.push(DemoProvider::plugin(&computer, &[hyper_v::v1(), hyper_v::v2()]));
        plugins.push(demo::slow_answers());
        plugins.push(demo::test_indications(&alerts));
    }

    let rendered =
        |errors: Vec<Diagnostic>| errors.iter().map(Diagnostic::render).collect::<Vec<_>>().join("\n");
    let mut namespaces = schema::namespaces().map_err(rendered)?;
    let wmi_namespaces = namespaces.iter().map(|(name, _)| name.clone()).collect();
    if config.providers.demo {
        namespaces.push((demo::test_namespace(), schema::test_classes().map_err(rendered)?));
    }
    for plugin in &plugins {
        declare(&mut namespaces, plugin.declarations.iter().map(|d| (&d.namespace, d.name, d.mof)))?;
    }
    plugins.extend(processes::join(config, &mut namespaces).await);

    let mut kinds = JobKinds::new();
    for kind in plugins.iter().flat_map(|p| &p.kinds) {
        kinds.register(Arc::clone(kind));
    }
    let (store, outbox): (Arc<dyn JobStore>, Arc<dyn Outbox>) = match config.jobs.store {
        JobStoreKind::Sqlite => {
            let store = Arc::new(open_sqlite(&config.server.state).await?);
            (store.clone(), store)
        }
        JobStoreKind::Memory => {
            let store = Arc::new(MemoryStore::new());
            (store.clone(), store)
        }
    };
    // Before jobs run: what happens unwatched is told to nobody.
    let indications = listeners::open(config, &computer, outbox, &namespaces, &plugins).await?;
    for line in plugins.iter().map(|p| &p.alerts).chain([&alerts]) {
        line.connect(indications.sink());
    }
    let jobs = Jobs::open(store, Arc::new(SystemClock), kinds, jobs_config(config)).await?;

    let repository: Arc<dyn RepositoryStore> = match config.jobs.store {
        JobStoreKind::Sqlite => {
            Arc::new(SqliteRepository::open(&config.server.state.join(REPOSITORY)).await?)
        }
        JobStoreKind::Memory => Arc::new(MemoryRepository::new()),
    };
    let began = tokio::time::Instant::now();
    let content = repository.load().await?;
    tracing::info!(
        classes = content.classes.len(),
        instances = content.instances.len(),
        millis = began.elapsed().as_millis(),
        "read what clients have loaded"
    );
    let mut builder = Broker::builder(jobs.clone())
        .embedded_parser(Arc::new(parse_instance_text))
        .filter_parser(Arc::new(cimwright_codec::query::parse_filter))
        .repository(repository, content)
        .common_qualifiers(schema::common_qualifiers().map_err(rendered)?);
    builder = builder.discovery(Discovery {
        computer: computer.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        profiles: profiles(&indications),
        wmi_namespaces,
    });
    for (namespace, schema) in namespaces {
        builder = builder.namespace(namespace, schema);
    }
    plugins.push(history::history(&jobs, &[hyper_v::v1(), hyper_v::v2(), replication::namespace()]));
    for plugin in plugins {
        builder = builder.plugin(plugin);
    }
    let broker = builder.indications(indications.clone()).build()?;
    listeners::start(config, &indications);
    Ok(broker)
}

/// The profiles that the server follows.
fn profiles(indications: &Indications) -> Vec<Profile> {
    const DMTF: u16 = 2;
    const SNIA: u16 = 11;
    vec![
        Profile {
            organization: DMTF,
            name: "Profile Registration",
            version: "1.0.0",
            central: Central::Profiles,
            part_of: None,
        },
        Profile {
            organization: SNIA,
            name: "Server",
            version: "1.2.0",
            central: Central::ObjectManager,
            part_of: None,
        },
        Profile {
            organization: DMTF,
            name: "Job Control",
            version: "1.0.0",
            central: Central::Jobs,
            part_of: Some("Server"),
        },
        Profile {
            organization: DMTF,
            name: "Indications",
            version: "1.2.2",
            central: Central::Instances(vec![indications.service_path()]),
            part_of: Some("Server"),
        },
    ]
}

async fn open_sqlite(state: &Path) -> Result<SqliteStore, Box<dyn Error>> {
    Ok(SqliteStore::open(&state.join(DATABASE), SqliteOptions::default()).await?)
}

fn storage_replica(config: &Config, computer: &str, alerts: &Alerts) -> Result<Plugin, Box<dyn Error>> {
    let state = &config.server.state;
    let computers = KnownComputers::new(computer, state);
    let users = UsersFile::in_state(state);
    let peers: Vec<String> = config.auth.unix_peers.iter().map(|p| p.name.clone()).collect();
    let accounts: AccountCheck = Arc::new(move |name| {
        // A users file that cannot be read knows nobody; whoever logs in next is told what is wrong with it.
        users.list().unwrap_or_default().iter().any(|u| u.name == name) || peers.iter().any(|p| p == name)
    });
    let roots = Arc::new(StorageRoots::open(roots(config))?);
    let engine = config.replication.listen.map(|listen| replication_engine(config, listen)).transpose()?;
    Ok(Replication::plugin(Parts {
        roots,
        state: Arc::new(State::open(state)?),
        computers: Arc::new(computers),
        accounts,
        engine,
        alerts: alerts.clone(),
    }))
}

fn replication_engine(config: &Config, listen: IpAddr) -> Result<EngineSettings, Box<dyn Error>> {
    let replication = &config.replication;
    let mut policy = EnginePolicy::new(&replication.program);
    policy.require_landlock = config.engine.require_landlock;
    policy.user = config.engine.user.map(|u| (u.uid, u.gid));
    policy.library_directories.clone_from(&config.engine.library_directories);
    let runtime_directory = config.server.state.join(&replication.runtime_directory);
    state_directory::make(&runtime_directory)?;
    let tls_directory = replication.tls_directory.clone();
    Ok(EngineSettings {
        policy,
        runtime_directory,
        listen,
        tls_directory,
        plain_loopback: replication.plain_loopback,
    })
}

fn roots(config: &Config) -> Vec<RootConfig> {
    let roots = config.storage.roots.iter();
    roots.map(|root| RootConfig { path: root.path.clone(), windows_prefixes: root.windows.clone() }).collect()
}

fn toolbox(config: &Config) -> Result<Toolbox, Box<dyn Error>> {
    let engine = &config.engine;
    let mut policy = EnginePolicy::new(&engine.program);
    policy.user = engine.user.map(|u| (u.uid, u.gid));
    policy.memory_limit_bytes = engine.memory_limit_bytes;
    policy.require_landlock = engine.require_landlock;
    policy.nice = (engine.nice != 0).then_some(engine.nice);
    policy.library_directories.clone_from(&engine.library_directories);
    if !landlock_available() {
        if engine.require_landlock {
            tracing::error!(
                "this kernel has no Landlock, so the disk engine will not be started; use a kernel since 5.13, or set \
                 engine.require_landlock = false if all images are trusted"
            );
        } else {
            tracing::warn!("this kernel has no Landlock: the disk engine can reach every file of its user");
        }
    }
    Ok(Toolbox { roots: StorageRoots::open(roots(config))?, engine: QemuImg::new(policy) })
}

fn jobs_config(config: &Config) -> JobsConfig {
    let jobs = &config.jobs;
    JobsConfig {
        concurrency: jobs.concurrency,
        max_unfinished: jobs.max_unfinished,
        history_limit: jobs.history_limit,
        lease: Duration::from_millis(jobs.lease_ms),
        tick: Duration::from_millis(jobs.tick_ms),
        retention_interval: Duration::from_millis(jobs.retention_interval_ms),
        stop_grace: Duration::from_millis(jobs.stop_grace_ms),
        undo_limit: Duration::from_millis(jobs.undo_limit_ms),
        change_wait: Duration::from_millis(jobs.change_wait_ms),
        time_before_removal: Duration::from_millis(jobs.time_before_removal_ms),
        ..JobsConfig::default()
    }
}
