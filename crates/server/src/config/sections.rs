//! The sections of the configuration file. The documentation of each field is the one place that defines its key.

use crate::Role;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// The directory for jobs, users and the certificate. Created, for the server's user only, when it is missing.
    pub state: PathBuf,
    /// Addresses for HTTP.
    pub http: Vec<SocketAddr>,
    /// Addresses for HTTPS.
    pub https: Vec<SocketAddr>,
    /// More addresses for HTTP, on the port that clients of WS-Management look for: 5985. The same is served on all.
    pub wsman: Vec<SocketAddr>,
    /// More addresses for HTTPS, on the port that clients of WS-Management look for: 5986.
    pub wsman_tls: Vec<SocketAddr>,
    /// The unix socket of local clients; a relative path is taken from `state`, an empty one means none.
    pub unix: PathBuf,
    /// The host name in object paths and in SystemName; empty means that of the machine.
    pub computer_name: String,
    /// How long requests may take to finish when the server is stopped, in milliseconds.
    pub shutdown_grace_ms: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            state: "/var/lib/cimwright".into(),
            http: vec![SocketAddr::from(([127, 0, 0, 1], 5988))],
            https: vec![SocketAddr::from(([127, 0, 0, 1], 5989))],
            wsman: Vec::new(),
            wsman_tls: Vec::new(),
            unix: "cimwright.sock".into(),
            computer_name: String::new(),
            shutdown_grace_ms: 10_000,
        }
    }
}

impl ServerConfig {
    /// `shutdown_grace_ms`
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_millis(self.shutdown_grace_ms)
    }
}

/// `[storage]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// The directories clients may work in; nothing outside them can be reached. Without one, image management has no files.
    pub roots: Vec<StorageRoot>,
}

/// One directory of `storage.roots`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StorageRoot {
    /// The directory.
    pub path: PathBuf,
    /// Windows names that mean this directory, such as `C:\VMs`.
    #[serde(default)]
    pub windows: Vec<String>,
}

/// `[engine]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// The program, as an absolute path.
    pub program: PathBuf,
    /// The user and group the program runs as; not set means the server's own. Needs a server that may change users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<EngineUser>,
    /// The largest address space of the program, in bytes.
    pub memory_limit_bytes: u64,
    /// Refuse to run the program on a kernel that cannot confine it to its files (Landlock).
    pub require_landlock: bool,
    /// Added to the niceness of the program.
    pub nice: i8,
    /// More directories the program may read from, for one that is installed elsewhere.
    pub library_directories: Vec<PathBuf>,
}

/// A user and a group by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EngineUser {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            program: "/usr/bin/qemu-img".into(),
            user: None,
            memory_limit_bytes: 2 << 30,
            require_landlock: true,
            nice: 0,
            library_directories: Vec::new(),
        }
    }
}

/// `[jobs]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobsConfig {
    /// Where jobs are kept.
    pub store: JobStoreKind,
    /// How many jobs run at once.
    pub concurrency: usize,
    /// How many jobs that have not ended are accepted; one more is refused.
    pub max_unfinished: u64,
    /// How many ended jobs the history keeps.
    pub history_limit: u64,
    /// TimeBeforeRemoval of a new job, in milliseconds: how long it stays after its end.
    pub time_before_removal_ms: u64,
    /// How often ended jobs are looked through, in milliseconds.
    pub retention_interval_ms: u64,
    /// How long the right to drive a job lasts without being renewed, in milliseconds.
    pub lease_ms: u64,
    /// How often a running job writes its progress, in milliseconds.
    pub tick_ms: u64,
    /// How long a terminated step may take to stop in order when the client sets no limit, in milliseconds.
    pub stop_grace_ms: u64,
    /// How long undoing one step may take, in milliseconds.
    pub undo_limit_ms: u64,
    /// How long RequestStateChange waits for the change before it answers 4096, in milliseconds.
    pub change_wait_ms: u64,
}

/// Where jobs are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStoreKind {
    /// In a SQLite database in the state directory.
    #[default]
    Sqlite,
    /// In memory: nothing survives a restart. For tests.
    Memory,
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self {
            store: JobStoreKind::Sqlite,
            concurrency: 4,
            max_unfinished: 100_000,
            history_limit: 100_000,
            time_before_removal_ms: 300_000,
            retention_interval_ms: 1_000,
            lease_ms: 30_000,
            tick_ms: 1_000,
            stop_grace_ms: 30_000,
            undo_limit_ms: 60_000,
            change_wait_ms: 5_000,
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The largest request body in bytes; more is answered 413.
    pub max_body_bytes: usize,
    /// The largest request line with all headers in bytes; more is answered 431.
    pub max_header_bytes: usize,
    /// The largest number of headers; more is answered 431.
    pub max_headers: usize,
    /// How many network connections there may be; one more is answered 503 (HTTP) or closed (HTTPS).
    pub connections: usize,
    /// How many of them may come from one address; of IPv6, from one network (/64).
    pub connections_per_address: usize,
    /// How long a client may take for the TLS handshake, and for the headers of a request, in milliseconds.
    pub header_read_timeout_ms: u64,
    /// How long a client may take for the body of a request, in milliseconds.
    pub body_read_timeout_ms: u64,
    /// How long a client may refuse to take more of an answer, in milliseconds.
    pub write_stall_timeout_ms: u64,
    /// How long a connection may be idle between requests, in milliseconds.
    pub keep_alive_ms: u64,
    /// How much one batch of requests may answer in bytes; what is beyond gets an error instead.
    pub max_batch_response_bytes: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 4 << 20,
            max_header_bytes: 64 << 10,
            max_headers: 100,
            connections: 1024,
            connections_per_address: 512,
            header_read_timeout_ms: 10_000,
            body_read_timeout_ms: 30_000,
            write_stall_timeout_ms: 30_000,
            keep_alive_ms: 60_000,
            max_batch_response_bytes: 64 << 20,
        }
    }
}

impl LimitsConfig {
    /// `header_read_timeout_ms`
    pub fn header_read_timeout(&self) -> Duration {
        Duration::from_millis(self.header_read_timeout_ms)
    }

    /// `body_read_timeout_ms`
    pub fn body_read_timeout(&self) -> Duration {
        Duration::from_millis(self.body_read_timeout_ms)
    }

    /// `write_stall_timeout_ms`
    pub fn write_stall_timeout(&self) -> Duration {
        Duration::from_millis(self.write_stall_timeout_ms)
    }

    /// `keep_alive_ms`
    pub fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }
}

/// `[wsman]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WsmanConfig {
    /// Tell strangers what this server is (Identify without credentials), without its version.
    pub anonymous_identify: bool,
    /// The namespace of requests that name none.
    pub default_namespace: String,
    /// The largest answer in bytes, whatever a client says it takes.
    pub max_envelope_bytes: usize,
    /// How many enumerations may be open at once.
    pub contexts: usize,
    /// How many of them one user may have.
    pub contexts_per_user: usize,
    /// How long an enumeration stays open without being used, at most and when a client does not say, in milliseconds.
    pub context_lifetime_ms: u64,
}

impl Default for WsmanConfig {
    fn default() -> Self {
        Self {
            anonymous_identify: false,
            default_namespace: "root/cimv2".to_owned(),
            max_envelope_bytes: 4 << 20,
            contexts: 256,
            contexts_per_user: 32,
            context_lifetime_ms: 600_000,
        }
    }
}

impl WsmanConfig {
    /// `context_lifetime_ms`
    pub fn context_lifetime(&self) -> Duration {
        Duration::from_millis(self.context_lifetime_ms)
    }
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Take passwords over HTTP without TLS from other machines too, where everybody on the way can read them.
    pub insecure_basic_over_http: bool,
    /// The realm of the challenge.
    pub realm: String,
    /// Who users of this machine are when they come over the unix socket. Root and the server's own user are administrators.
    pub unix_peers: Vec<UnixPeer>,
    /// The keys of the services `HTTP/host` and `WSMAN/host` of this computer, for users who log in with Kerberos. A user of the same
    /// realm is the user of that name here. Not set means that there is no Kerberos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keytab: Option<PathBuf>,
    /// How logins with NTLM and Kerberos have to be bound to the TLS connection they come over.
    pub channel_binding: ChannelBinding,
}

/// How strictly the binding of a login to its TLS connection is looked at (RFC 5929; CbtHardeningLevel of Windows).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelBinding {
    /// Not at all.
    None,
    /// A binding that a client tells has to be right; it need not tell one.
    #[default]
    Relaxed,
    /// Every login over TLS has to tell the right one.
    Required,
}

/// One entry of `auth.unix_peers`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UnixPeer {
    /// The user of the operating system, by number.
    pub uid: u32,
    /// The name the server knows the user by.
    pub name: String,
    /// What the user may do.
    #[serde(serialize_with = "role_name", deserialize_with = "role_from_name")]
    pub role: Role,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            insecure_basic_over_http: false,
            realm: "cimwright".to_owned(),
            unix_peers: Vec::new(),
            keytab: None,
            channel_binding: ChannelBinding::Relaxed,
        }
    }
}

/// `[tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate chain in PEM; not set means a self-signed one, made at the first start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its private key in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// PEM file with the authorities whose client certificates are taken; not set means that clients are asked for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate may connect. Only looked at with `client_ca`.
    pub client_certificates: ClientCertificates,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They may, or log in otherwise.
    #[default]
    Optional,
    /// Without one there is no connection.
    Required,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What is logged, in the syntax of `RUST_LOG`.
    pub filter: String,
    /// How it is written.
    pub format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// `[providers]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProvidersConfig {
    /// The demonstration provider, whose jobs wait to be told how to end.
    pub demo: bool,
    /// Providers in processes of their own.
    pub process: Vec<ProviderProcess>,
}

/// One table of `[[providers.process]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderProcess {
    /// Its name, for messages and before the names of its kinds of jobs; not to be changed while such jobs are there.
    pub name: String,
    /// The program, as an absolute path, and its arguments.
    pub command: Vec<String>,
    /// The namespaces that it may declare and serve classes in.
    pub namespaces: Vec<String>,
    /// The user and group that it runs as; not set means the server's own. Needs a server that may change users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<EngineUser>,
    /// Its environment, beside PATH and LC_ALL.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// How long it may take to say what it serves, in milliseconds.
    #[serde(default = "default_start_timeout")]
    pub start_timeout_ms: u64,
    /// How long it may take to answer, in milliseconds; of an enumeration, to send the next portion.
    #[serde(default = "default_call_timeout")]
    pub call_timeout_ms: u64,
}

fn default_start_timeout() -> u64 {
    10_000
}

fn default_call_timeout() -> u64 {
    60_000
}

/// `[replication]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplicationConfig {
    /// Whether the server offers Storage Replica.
    pub enabled: bool,
    /// The address of this computer that partners send blocks to; not set means groups without partners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<IpAddr>,
    /// The program that replicates, as an absolute path.
    pub program: PathBuf,
    /// Where its sockets are; a relative path is taken from the state directory.
    pub runtime_directory: PathBuf,
    /// The directory with ca-cert.pem, server-cert.pem, server-key.pem, client-cert.pem and client-key.pem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_directory: Option<PathBuf>,
    /// Whether blocks may travel unencrypted on the loopback interface.
    pub plain_loopback: bool,
}

impl Default for ReplicationConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: None,
            program: "/usr/bin/qemu-storage-daemon".into(),
            runtime_directory: "run".into(),
            tls_directory: None,
            plain_loopback: false,
        }
    }
}

/// Writes a role by its name.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(crate) fn role_name<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(role.name())
}

/// Reads a role by its name.
pub(crate) fn role_from_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
    let name = String::deserialize(deserializer)?;
    Role::from_name(&name).ok_or_else(|| {
        D::Error::custom(format!("`{name}` is no role; use reader, operator or administrator"))
    })
}
