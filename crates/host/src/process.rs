//! The life of a provider outside the server: started when it is needed, started again when it has ended, taken in only as what it
//! said it was.

use crate::declare::{Namespaces, declare};
use crate::errors;
use crate::link::{Conversation, Greeted, Link};
use crate::names::lasting;
use crate::remote::Remote;
use crate::steps::RemoteKind;
use async_trait::async_trait;
use cimwright_cim::{Class, ClassName, ErrorDetail, Name, NamespaceName, Schema};
use cimwright_jobs::{JobKind, Jobs};
use cimwright_sdk::process::frame;
use cimwright_sdk::process::wire::{Hello, Operation, ToProvider, VERSIONS, WireContext};
use cimwright_sdk::{Alerts, Background, InstanceProvider, MethodProvider, Plugin, ServedClass};
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The longest time that a provider which keeps failing is not started again.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// What is known about a provider before it is started.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// Its name, for messages and before the names of its kinds of jobs.
    pub name: String,
    /// The program, as an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// User and group that it runs as; `None` means the server's own. Needs a server that may change users.
    pub user: Option<(u32, u32)>,
    /// Its environment, beside PATH and LC_ALL. It has nothing of the server's.
    pub environment: Vec<(String, String)>,
    /// The namespaces that it may declare and serve classes in, and raise indications in.
    pub namespaces: Vec<NamespaceName>,
    /// How long it may take to say hello.
    pub start_timeout: Duration,
    /// How long it may take to answer; of an enumeration, to send the next portion. Steps of jobs may take as long as they like.
    pub call_timeout: Duration,
}

impl ProcessSettings {
    /// A program without arguments in the server's own user, with ten seconds to start and a minute to answer.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            user: None,
            environment: Vec::new(),
            namespaces: Vec::new(),
            start_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(60),
        }
    }
}

/// A provider in a process of its own. Cheap to clone; all clones are the same process.
#[derive(Clone)]
pub struct ProviderProcess {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: ProcessSettings,
    pub(crate) hello: Hello,
    alerts: Alerts,
    /// What it is told before the first call; there once it has been taken in.
    welcome: OnceLock<Vec<Vec<u8>>>,
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    /// Started before it was known whether it would be taken in.
    greeted: Option<Greeted>,
    link: Option<Arc<Link>>,
    failures: u32,
    rest_until: Option<Instant>,
    last: Option<ErrorDetail>,
}

/// How long an undoing waits for a process that is not started again for a while.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Why there is no process to ask.
enum NoLink {
    /// It failed again and again, and is not started before then.
    Resting {
        until: Instant,
        reason: ErrorDetail,
    },
    Failed(ErrorDetail),
}

impl ProviderProcess {
    /// Starts the program and asks it what it serves.
    ///
    /// # Errors
    /// When it does not start, or does not say hello in a form and a version that this server understands.
    pub async fn start(settings: ProcessSettings) -> Result<Self, ErrorDetail> {
        let greeted = Greeted::start(&settings).await?;
        let hello = greeted.hello.clone();
        if !hello.versions.iter().any(|v| VERSIONS.contains(v)) {
            let spoken = format!(
                "it speaks the versions {:?} of the protocol, this server {VERSIONS:?}",
                hello.versions
            );
            return Err(errors::refused(&settings.name, spoken));
        }
        let life = Mutex::new(Life { greeted: Some(greeted), ..Life::default() });
        let (alerts, welcome) = (Alerts::new(), OnceLock::new());
        Ok(Self { inner: Arc::new(Inner { settings, hello, alerts, welcome, life }) })
    }

    /// Takes it in: adds its classes to the namespaces and makes a plugin of it. On an error nothing has been added.
    ///
    /// # Errors
    /// When it declares or serves what it may not: a namespace that it is not allowed, a class that it does not bring itself, MOF with
    /// mistakes.
    pub fn join(&self, namespaces: &mut Namespaces) -> Result<Plugin, ErrorDetail> {
        self.try_join(namespaces).map_err(|why| errors::refused(&self.inner.settings.name, why))
    }

    /// The reason for leaving it out, since the server cannot serve what it says.
    pub fn refused(&self, why: &dyn std::fmt::Display) -> ErrorDetail {
        errors::refused(&self.inner.settings.name, why.to_string())
    }

    fn try_join(&self, namespaces: &mut Namespaces) -> Result<Plugin, String> {
        let Inner { settings, hello, alerts, .. } = self.inner.as_ref();
        let declarations: Vec<(NamespaceName, &str, &str)> = hello
            .declarations
            .iter()
            .map(|d| (NamespaceName::new(&d.namespace), d.name.as_str(), d.mof.as_str()))
            .collect();
        if let Some((namespace, ..)) = declarations.iter().find(|(n, ..)| !settings.namespaces.contains(n)) {
            return Err(format!("it wants to declare classes in {namespace}, which it is not allowed"));
        }
        let mut joined = namespaces.clone();
        let own = declare(&mut joined, declarations.iter().map(|(n, name, mof)| (n, *name, *mof)))?;
        let own: HashSet<(NamespaceName, ClassName)> = own.into_iter().collect();
        let its_own = |namespace: &NamespaceName, class: &ClassName| {
            if own.contains(&(namespace.clone(), class.clone())) {
                return Ok(());
            }
            Err(format!("it wants to serve {class} in {namespace}, which it does not bring itself"))
        };
        let mut plugin =
            Plugin { name: lasting(&settings.name), alerts: alerts.clone(), ..Plugin::default() };
        for served in &hello.classes {
            let (namespace, class) = (NamespaceName::new(&served.namespace), Name::new(&served.class));
            its_own(&namespace, &class)?;
            let remote =
                Arc::new(Remote { inner: Arc::clone(&self.inner), knows_owners: served.knows_owners });
            plugin.classes.push(ServedClass {
                namespace,
                class,
                instances: served.instances.then(|| Arc::clone(&remote) as Arc<dyn InstanceProvider>),
                methods: served.methods.then_some(remote as Arc<dyn MethodProvider>),
            });
        }
        for dialect in &hello.dialects {
            let family = lasting(&self.inner.ours(&dialect.family));
            let type_property = dialect.type_property.as_deref().map(lasting);
            let dialect = dialect.clone().into_dialect(family, type_property);
            its_own(&dialect.namespace, &dialect.class)?;
            plugin.dialects.push(dialect);
        }
        for kind in &hello.kinds {
            let name = lasting(&self.inner.ours(kind));
            let kind = RemoteKind { inner: Arc::clone(&self.inner), name, theirs: kind.clone() };
            plugin.kinds.push(Arc::new(kind) as Arc<dyn JobKind>);
        }
        plugin.background.push(Arc::new(Begin(Arc::clone(&self.inner))));
        let messages = welcome(&joined, &plugin)?;
        *namespaces = joined;
        let _ = self.inner.welcome.set(messages);
        Ok(plugin)
    }
}

impl Inner {
    /// Asks the process, and starts it if it is not there.
    pub(crate) async fn ask(
        &self,
        context: Option<WireContext>,
        operation: Operation,
        what: &str,
    ) -> Result<Conversation, ErrorDetail> {
        let link = self.link().await?;
        self.ask_over(&link, context, operation, what).await
    }

    /// The same, but if the process is not started again for a while, waits until it is. The bound is the caller's.
    pub(crate) async fn ask_after_rest(
        &self,
        operation: Operation,
        what: &str,
    ) -> Result<Conversation, ErrorDetail> {
        let link = loop {
            match self.find_link().await {
                Ok(link) => break link,
                // As long as a whole undoing may take: better the reason than no time left.
                Err(NoLink::Resting { until, reason }) if until > Instant::now() + LONGEST_WAIT => {
                    return Err(reason);
                }
                Err(NoLink::Resting { until, .. }) => tokio::time::sleep_until(until).await,
                Err(NoLink::Failed(reason)) => return Err(reason),
            }
        };
        self.ask_over(&link, None, operation, what).await
    }

    async fn ask_over(
        &self,
        link: &Arc<Link>,
        context: Option<WireContext>,
        operation: Operation,
        what: &str,
    ) -> Result<Conversation, ErrorDetail> {
        let limit = self.settings.call_timeout;
        let before = link.sent();
        match tokio::time::timeout(limit, link.call(context, operation, what)).await {
            Ok(asked) => asked,
            Err(_) => {
                // Its queue was full all the time. That may be for the many others who ask, unless it has read nothing at all.
                if link.sent() == before {
                    link.end_unless_it_listens();
                }
                Err(errors::timed_out(&self.settings.name, what, limit))
            }
        }
    }

    /// The name that the server has for a family or a kind of this provider, so that it cannot be taken for one of another.
    pub(crate) fn ours(&self, theirs: &str) -> String {
        format!("{}/{theirs}", self.settings.name)
    }

    async fn link(&self) -> Result<Arc<Link>, ErrorDetail> {
        self.find_link().await.map_err(|none| match none {
            NoLink::Resting { reason, .. } | NoLink::Failed(reason) => reason,
        })
    }

    async fn find_link(&self) -> Result<Arc<Link>, NoLink> {
        let mut life = self.life.lock().await;
        if let Some(link) = &life.link {
            if !link.has_ended() {
                return Ok(Arc::clone(link));
            }
            let (proved, reason) = (link.has_proved_itself(), link.reason("nothing").await);
            life.link = None;
            if proved {
                life.failures = 0;
            }
            life.failed(reason);
        }
        if let Some(until) = life.rest_until {
            let rest = until.saturating_duration_since(Instant::now());
            if !rest.is_zero() {
                let (name, times) = (&self.settings.name, life.failures);
                let reason = errors::resting(name, times, rest, life.last.clone());
                return Err(NoLink::Resting { until, reason });
            }
        }
        match self.begin(life.greeted.take()).await {
            Ok(link) => {
                life.link = Some(Arc::clone(&link));
                Ok(link)
            }
            Err(reason) => {
                life.failed(reason.clone());
                Err(NoLink::Failed(reason))
            }
        }
    }

    async fn begin(&self, greeted: Option<Greeted>) -> Result<Arc<Link>, ErrorDetail> {
        let name = &self.settings.name;
        let greeted = match greeted {
            Some(greeted) => greeted,
            None => Greeted::start(&self.settings).await?,
        };
        if greeted.hello != self.hello {
            return Err(errors::refused(name, "it says something else than it said when the server started"));
        }
        let Some(messages) = self.welcome.get() else {
            return Err(errors::refused(name, "the server has not taken it in"));
        };
        tracing::info!(provider = name, "started the process of a provider");
        Ok(greeted.welcome(name, messages, self.alerts.clone(), self.settings.namespaces.clone()))
    }
}

/// Welcomes the process as soon as there is a server around it, so that what it raises before anybody asks it is told.
struct Begin(Arc<Inner>);

#[async_trait]
impl Background for Begin {
    fn begin(&self, _: &Jobs) {
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            if let Err(reason) = inner.link().await {
                tracing::warn!(
                    provider = inner.settings.name,
                    error = reason.message_id,
                    "{}",
                    reason.message
                );
            }
        });
    }

    async fn end(&self) {}
}

impl Life {
    /// Notes a failure. After the first one the next try comes at once, then after a second, two, four, and so on.
    fn failed(&mut self, reason: ErrorDetail) {
        self.failures += 1;
        self.last = Some(reason);
        let rest = match self.failures {
            0 | 1 => Duration::ZERO,
            more => LONGEST_REST.min(Duration::from_secs(1 << (more - 2).min(6))),
        };
        self.rest_until = Some(Instant::now() + rest);
    }
}

/// What the process is told before the first call: the version, and the classes that it serves or that those refer to.
fn welcome(namespaces: &Namespaces, plugin: &Plugin) -> Result<Vec<Vec<u8>>, String> {
    let mut messages = vec![ToProvider::Welcome { version: VERSIONS[0] }];
    for (namespace, schema) in namespaces {
        let served = plugin.classes.iter().filter(|c| c.namespace == *namespace).map(|c| &c.class);
        let shown = plugin.dialects.iter().filter(|d| d.namespace == *namespace).map(|d| &d.class);
        let mut told = HashSet::new();
        for class in served.chain(shown).filter_map(|c| schema.class(c.as_str())) {
            let parameters = class.methods.iter().flat_map(|m| &m.parameters);
            let named = class.properties.iter().filter_map(|p| p.reference_class.as_ref());
            let named = named.chain(parameters.filter_map(|p| p.reference_class.as_ref()));
            for class in std::iter::once(&class.name).chain(named) {
                tell(namespace, schema, class, &mut told, &mut messages);
            }
        }
    }
    messages.push(ToProvider::Ready {});
    messages.iter().map(|m| frame::encode(m).map_err(|e| e.to_string())).collect()
}

/// Adds a class and what it inherits from, superclasses first.
fn tell(
    namespace: &NamespaceName,
    schema: &Schema,
    class: &ClassName,
    told: &mut HashSet<ClassName>,
    messages: &mut Vec<ToProvider>,
) {
    let declared = |name: &ClassName| schema.declared(name.as_str()).map(Arc::as_ref);
    let line: Vec<&Class> =
        std::iter::successors(declared(class), |c| c.superclass.as_ref().and_then(declared)).collect();
    for class in line.into_iter().rev() {
        if told.insert(class.name.clone()) {
            messages
                .push(ToProvider::Class { namespace: namespace.as_str().to_owned(), class: class.into() });
        }
    }
}
