//! Indications (DSP1054): who wants to know what, what there is to tell, and how it gets there.
//!
//! - `book`: the filters, destinations and subscriptions there are; `rules` says which of them may be made, `standing` which
//!   filters are always there.
//! - `sources`: the namespaces indications come from; `lifecycle` makes the indications of a change of a job.
//! - `routes`: for every namespace the distinct queries and whom each leads to. A query is compiled once, when its filter is
//!   made, and evaluated once for a change, however many subscribe to it.
//! - `delivery`: one task per destination that empties its durable queue in order.
//! - `eventing`: subscriptions of WS-Eventing, which are all of this in one, and end by themselves; `ending` tells of the end that
//!   the server decides; `bookmarks` keeps what was told, for those who want to be told again.
//! - `target`: where indications may be sent at all.
//! - `provider`: all of it as instances of root/interop.
//!
//! What a change of a job causes is found out inside the transaction of the change ([`ChangeObserver`]), so that the change and
//! what it tells become durable together.

mod book;
mod bookmarks;
mod config;
mod delivery;
mod ending;
mod eventing;
mod lifecycle;
mod provider;
mod routes;
mod rules;
mod service;
mod settings;
mod sources;
mod standing;
mod target;

pub use bookmarks::{Bookmark, EventStart, SubscribeError};
pub use config::{IndicationsConfig, RemovalAction};
pub use delivery::{Deliver, DeliveryError};
pub use ending::EventEnd;
pub use eventing::{EventAddress, EventMode, EventQuery, EventSink, Fetched, WaitingEvent};
pub use provider::plugin;
pub use target::{Allowed, Target};

use crate::errors;
use crate::registry::Namespaces;
use async_trait::async_trait;
use book::Book;
use cimwright_cim::query::Query;
use cimwright_cim::{CimError, DateTime, Instance, InstancePath, NamespaceName, Schema, Value};
use cimwright_jobs::{ChangeObserver, Clock, Entry, EntryKind, JobRecord, Outbox, Outgoing, StoreError};
use cimwright_repository::Kept;
use cimwright_sdk::{AlertSink, JobDialect};
use delivery::Lines;
use routes::Routes;
use sources::Sources;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use uuid::Uuid;

/// The class of the system that filters, destinations and the service belong to.
const SYSTEM_CLASS: &str = "CIM_ComputerSystem";

/// Makes a query of a language and a text, or says what is wrong with it.
pub type QueryParser = Arc<dyn Fn(&str, &str) -> Result<Query, CimError> + Send + Sync>;

/// Everything about indications. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Indications {
    shared: Arc<Shared>,
}

/// What [`Indications::open`] needs.
pub struct Parts<'a> {
    /// Where registrations and queues are kept: the store of the jobs.
    pub outbox: Arc<dyn Outbox>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The namespaces and their classes.
    pub namespaces: &'a [(NamespaceName, Schema)],
    /// The classes that show jobs.
    pub dialects: Vec<JobDialect>,
    /// The query languages.
    pub parser: QueryParser,
    /// How indications are delivered.
    pub config: IndicationsConfig,
}

/// A change of an instance that a client keeps.
pub(crate) struct InstanceChange {
    pub(crate) namespace: NamespaceName,
    pub(crate) before: Option<Arc<Kept>>,
    pub(crate) after: Option<Arc<Instance>>,
}

pub(crate) struct Shared {
    outbox: Arc<dyn Outbox>,
    clock: Arc<dyn Clock>,
    sources: RwLock<Sources>,
    parser: QueryParser,
    config: IndicationsConfig,
    book: Mutex<Book>,
    /// What was changed about the service.
    settings_entry: RwLock<Option<Entry>>,
    /// Held while a registration is checked, stored and entered in the book.
    turn: tokio::sync::Mutex<()>,
    routes: RwLock<Arc<Routes>>,
    /// Whether there is any route.
    active: AtomicBool,
    lines: Lines,
    deliver: OnceLock<Arc<dyn Deliver>>,
}

impl Indications {
    /// Reads what is registered and begins to watch the jobs of the store. To be called before jobs run, so that no change
    /// goes unnoticed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(parts: Parts<'_>) -> Result<Self, StoreError> {
        let Parts { outbox, clock, namespaces, dialects, parser, config } = parts;
        let sources = sources::all(namespaces, &dialects);
        let mut book = Book::new(standing::filters(&sources, &parser, &config.system_name));
        let mut settings = None;
        for entry in outbox.entries().await? {
            match entry.kind {
                EntryKind::Settings => settings = Some(entry),
                _ => book.restore(entry, &sources, &parser),
            }
        }
        let shared = Arc::new(Shared {
            outbox,
            clock,
            routes: RwLock::new(Arc::new(Routes::new(&book, Arc::clone(&sources)))),
            sources: RwLock::new(sources),
            parser,
            config,
            book: Mutex::new(book),
            settings_entry: RwLock::new(settings),
            turn: tokio::sync::Mutex::default(),
            active: AtomicBool::new(false),
            lines: Lines::default(),
            deliver: OnceLock::new(),
        });
        shared.reroute();
        shared.outbox.watch(Arc::clone(&shared) as Arc<dyn ChangeObserver>);
        Ok(Self { shared })
    }

    /// Begins to deliver what waits and what comes. Call inside a Tokio runtime, once.
    pub fn start(&self, deliver: Arc<dyn Deliver>) {
        if self.shared.deliver.set(deliver).is_err() {
            return;
        }
        let destinations: Vec<Uuid> = self.shared.book().destinations().map(|d| d.entry.id).collect();
        for destination in destinations {
            delivery::open_line(&self.shared, destination);
        }
        tokio::spawn(eventing::sweep_regularly(Arc::downgrade(&self.shared)));
    }

    /// Where providers' alerts go: for [`cimwright_sdk::Alerts::connect`].
    pub fn sink(&self) -> Arc<dyn AlertSink> {
        Arc::clone(&self.shared) as Arc<dyn AlertSink>
    }

    /// The path of the one CIM_IndicationService, where clients of the Indications profile begin.
    pub fn service_path(&self) -> InstancePath {
        self.shared.service_path()
    }

    /// Takes notice of the namespaces and classes that there are now: what clients load can be what filters are about.
    pub(crate) fn follow(&self, namespaces: &Namespaces) {
        let shared = &self.shared;
        let changed = {
            let mut sources = shared.sources.write().unwrap_or_else(PoisonError::into_inner);
            let now = sources::now(&sources, namespaces);
            let changed = sources::changed(&sources, &now);
            *sources = now;
            changed
        };
        if !changed.is_empty() {
            shared.book().rebind(&changed, &shared.sources(), &shared.parser);
            shared.reroute();
        }
    }

    /// Tells of changes of instances that clients keep, which are durable already. A failure to tell is logged: what was changed
    /// is changed.
    pub(crate) async fn instances_changed(&self, changes: &[InstanceChange]) {
        let shared = &self.shared;
        if !shared.is_active() {
            return;
        }
        let routes = shared.routes();
        let at = shared.clock.now();
        let told = changes.iter().filter_map(|change| {
            let (source, routes) = routes.of(&change.namespace).filter(|(_, r)| !r.is_empty())?;
            let before = change.before.as_ref().map(|kept| &kept.instance);
            let (kind, bare) =
                lifecycle::of_instance(before, change.after.as_deref(), &shared.config.system_name)?;
            let indication = shared.stamped(bare);
            let passed =
                routes.iter().filter(|r| r.takes(kind) && r.query.matches(&indication, &*source.schema));
            let to = routes::listeners(passed, at);
            (!to.is_empty()).then_some(Outgoing { at, indication, to })
        });
        let told: Vec<Outgoing> = told.collect();
        if told.is_empty() {
            return;
        }
        let many = told.len();
        if let Err(error) = shared.outbox.publish(told).await {
            tracing::error!(many, %error, "changes of instances are told to nobody");
        }
    }

    /// Ends the deliveries. What is queued stays queued.
    pub fn shut_down(&self) {
        self.shared.lines.close();
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sources(&self) -> Sources {
        Arc::clone(&self.sources.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Works out anew whom each query leads to; to be called after every change of the book.
    fn reroute(&self) {
        // Held to the end: whoever worked them out from an older book must not be the last to say so.
        let book = self.book();
        let routes = Routes::new(&book, self.sources());
        self.active.store(!routes.is_empty(), Ordering::Release);
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
        drop(book);
    }

    /// An indication with what every one of them has.
    fn stamped(&self, mut indication: Instance) -> Instance {
        if indication.get("IndicationIdentifier").is_none() {
            let identifier = format!("Cimwright:{}", Uuid::now_v7());
            indication.set("IndicationIdentifier", Some(Value::String(identifier)));
        }
        if indication.get("IndicationTime").is_none() {
            let now = DateTime::from_system_time(self.clock.now());
            indication.set("IndicationTime", Some(now.into()));
        }
        indication
    }
}

impl ChangeObserver for Shared {
    fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    fn observe(&self, before: Option<&JobRecord>, after: Option<&JobRecord>) -> Vec<Outgoing> {
        let routes = self.routes();
        let now = self.clock.now();
        let mut all = Vec::new();
        for (source, routes) in routes.by_source() {
            let Some(change) = lifecycle::Change::of(before, after) else { continue };
            let wanted = |kind| routes.iter().any(|r| r.takes(kind));
            for (kind, bare) in change.told(source, &self.config.system_name, now, wanted) {
                let indication = self.stamped(bare);
                let passed =
                    routes.iter().filter(|r| r.takes(kind) && r.query.matches(&indication, &*source.schema));
                let to = routes::listeners(passed, now);
                if !to.is_empty() {
                    all.push(Outgoing { at: now, indication, to });
                }
            }
        }
        all
    }

    fn queue_limit(&self) -> u64 {
        self.config.queue_limit
    }

    fn queued(&self, destinations: &[Uuid]) {
        self.lines.wake(destinations);
    }
}

#[async_trait]
impl AlertSink for Shared {
    async fn raise(&self, namespace: &NamespaceName, indication: Instance) -> Result<(), CimError> {
        let routes = self.routes();
        let Some((source, routes)) = routes.of(namespace) else {
            return Err(CimError::invalid_namespace(format!("there is no namespace {namespace}")));
        };
        if !source.is_indication(&indication.class) {
            let text = format!("{} is no class of indications of {namespace}", indication.class);
            return Err(CimError::invalid_class(text));
        }
        if routes.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let indication = self.stamped(indication);
        let passed = routes.iter().filter(|r| {
            source.schema.is_a(indication.class.as_str(), r.query.from.as_str())
                && r.query.matches(&indication, &*source.schema)
        });
        let to = routes::listeners(passed, now);
        if to.is_empty() {
            return Ok(());
        }
        self.outbox.publish(vec![Outgoing { at: now, indication, to }]).await.map_err(errors::from_store)
    }
}
