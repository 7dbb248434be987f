//! The configuration: one file in TOML, every key optional, no key unknown.
//!
//! `config/example.toml` shows every key with its meaning and default; a test keeps the two the same.

mod indications;
mod sections;

pub use indications::{IndicationsConfig, Removal};
pub use sections::{
    AuthConfig, ChannelBinding, ClientCertificates, EngineConfig, EngineUser, JobStoreKind, JobsConfig,
    LimitsConfig, LogConfig, LogFormat, ProviderProcess, ProvidersConfig, ReplicationConfig, ServerConfig,
    StorageConfig, StorageRoot, TlsConfig, UnixPeer, WsmanConfig,
};

pub(crate) use sections::{role_from_name, role_name};

use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the server keeps its things and where it listens.
    pub server: ServerConfig,
    /// Which files clients may work on.
    pub storage: StorageConfig,
    /// The program that does the work on disk images, and how it is confined.
    pub engine: EngineConfig,
    /// How many jobs there may be, and how long they stay.
    pub jobs: JobsConfig,
    /// What one client may take of the server.
    pub limits: LimitsConfig,
    /// What is particular to WS-Management.
    pub wsman: WsmanConfig,
    /// Who may ask, and how they prove who they are.
    pub auth: AuthConfig,
    /// The certificate of the server.
    pub tls: TlsConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Which optional providers are there.
    pub providers: ProvidersConfig,
    /// Replication between computers.
    pub replication: ReplicationConfig,
    /// How indications get to those who subscribed.
    pub indications: IndicationsConfig,
    /// The file it was read from, for messages.
    #[serde(skip)]
    file: Option<PathBuf>,
}

/// What the command line says instead of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--state DIR`.
    pub state: Option<PathBuf>,
    /// `--http ADDR`, repeatable; replaces the addresses of the file. See [`Overrides::listeners`].
    pub http: Option<Vec<SocketAddr>>,
    /// `--https ADDR`, likewise.
    pub https: Option<Vec<SocketAddr>>,
    /// `--wsman ADDR`, repeatable; replaces the addresses of the file.
    pub wsman: Option<Vec<SocketAddr>>,
    /// `--wsman-tls ADDR`, likewise.
    pub wsman_tls: Option<Vec<SocketAddr>>,
    /// `--storage-root DIR`, repeatable; replaces the roots of the file.
    pub storage_roots: Vec<PathBuf>,
}

impl Overrides {
    /// The addresses in the values of a repeatable listener flag: addresses, or the single word `none` for no listener.
    /// `None` if the flag was not given.
    ///
    /// # Errors
    /// A text for the user when a value is neither.
    pub fn listeners<S: AsRef<str>>(values: &[S]) -> Result<Option<Vec<SocketAddr>>, String> {
        match values {
            [] => Ok(None),
            [one] if one.as_ref() == "none" => Ok(Some(Vec::new())),
            values => values
                .iter()
                .map(|v| {
                    let v = v.as_ref();
                    v.parse().map_err(|_| {
                        format!("`{v}` is no address; write IP:PORT, such as 127.0.0.1:5988 or [::1]:5988, or none")
                    })
                })
                .collect::<Result<_, _>>()
                .map(Some),
        }
    }
}

/// A configuration that cannot be used. The text names the file, the key and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration: {source}; give the path of a readable file with --config", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no TOML, or has a key or a type of value that the configuration does not have.
    #[error(
        "{}:{line}:{column}: {message}; the offending line is `{text}`; config/example.toml shows every key",
        file.display()
    )]
    Parse {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1, in characters.
        column: usize,
        /// What is wrong.
        message: String,
        /// The line.
        text: String,
    },
    /// A value is of the right type but makes no sense.
    #[error("{}: {key}: {problem}; {action}", file.as_deref().unwrap_or(Path::new("command line")).display())]
    Value {
        /// The file, if there is one.
        file: Option<PathBuf>,
        /// The key, with its section.
        key: String,
        /// What is wrong with the value.
        problem: String,
        /// What to do.
        action: String,
    },
}

impl Config {
    /// Reads a file. The values are checked by [`Config::validate`], after the command line was merged in.
    ///
    /// # Errors
    /// When the file cannot be read, is no TOML, or has an unknown key or a value of the wrong type.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
        Self::parse(&text, file)
    }

    /// As [`Config::load`], from a text; `file` is for the messages.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|e| parse_error(&e, text, file))?;
        config.file = Some(file.to_owned());
        Ok(config)
    }

    /// Lets the command line have its way.
    pub fn merge(&mut self, overrides: Overrides) {
        let Overrides { state, http, https, wsman, wsman_tls, storage_roots } = overrides;
        if let Some(state) = state {
            self.server.state = state;
        }
        if let Some(http) = http {
            self.server.http = http;
        }
        if let Some(https) = https {
            self.server.https = https;
        }
        if let Some(wsman) = wsman {
            self.server.wsman = wsman;
        }
        if let Some(wsman_tls) = wsman_tls {
            self.server.wsman_tls = wsman_tls;
        }
        if !storage_roots.is_empty() {
            self.storage.roots =
                storage_roots.into_iter().map(|path| StorageRoot { path, windows: Vec::new() }).collect();
        }
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_server()?;
        for root in &self.storage.roots {
            if !root.path.is_absolute() {
                let problem = format!("`{}` is not absolute", root.path.display());
                return Err(self.value("storage.roots", problem, "write the path from / on"));
            }
        }
        if !self.engine.program.is_absolute() {
            let problem = format!("`{}` is not absolute", self.engine.program.display());
            return Err(self.value(
                "engine.program",
                problem,
                "write the path from / on, such as /usr/bin/qemu-img",
            ));
        }
        if !self.replication.program.is_absolute() {
            let problem = format!("`{}` is not absolute", self.replication.program.display());
            let action = "write the path from / on, such as /usr/bin/qemu-storage-daemon";
            return Err(self.value("replication.program", problem, action));
        }
        self.validate_providers()?;
        for (key, value, least) in self.numbers() {
            if value < least {
                return Err(self.value(
                    key,
                    format!("{value} is too small"),
                    format!("use at least {least}"),
                ));
            }
        }
        let mut uids = HashSet::new();
        for peer in &self.auth.unix_peers {
            if !uids.insert(peer.uid) {
                let problem = format!("the uid {} is mapped twice", peer.uid);
                return Err(self.value("auth.unix_peers", problem, "keep one of them"));
            }
            if let Err(problem) = crate::auth::users::check_name(&peer.name) {
                return Err(self.value("auth.unix_peers", problem, "choose another name"));
            }
        }
        if self.auth.realm.contains(['"', '\\']) || !self.auth.realm.chars().all(|c| (' '..='~').contains(&c))
        {
            let problem = "the realm has characters that do not fit into an HTTP header";
            return Err(self.value("auth.realm", problem, "use printable ASCII without \" and \\"));
        }
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            let action = "set both tls.certificate and tls.key, or neither for a self-signed certificate";
            return Err(self.value("tls", "only one of certificate and key is set", action));
        }
        if self.tls.client_certificates == ClientCertificates::Required && self.tls.client_ca.is_none() {
            let problem = "certificates are required, but no authority is named that they may come from";
            return Err(self.value("tls.client_certificates", problem, "set tls.client_ca to a PEM file"));
        }
        Ok(())
    }

    /// The unix socket: a relative path is taken from the state directory. `None` when it is switched off.
    pub fn unix_socket(&self) -> Option<PathBuf> {
        let path = &self.server.unix;
        (!path.as_os_str().is_empty()).then(|| self.server.state.join(path))
    }

    /// The name under which the server presents itself: the configured one or that of the machine.
    pub fn computer_name(&self) -> String {
        if self.server.computer_name.is_empty() {
            host_name().unwrap_or_else(|| "localhost".to_owned())
        } else {
            self.server.computer_name.clone()
        }
    }

    fn validate_providers(&self) -> Result<(), ConfigError> {
        let mut names = HashSet::new();
        for process in &self.providers.process {
            let wrong = |problem: String, action: &str| Err(self.value("providers.process", problem, action));
            let name = &process.name;
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(plain) {
                return wrong(
                    format!("`{name}` is no name for a provider"),
                    "use letters, digits, -, _ and .",
                );
            }
            if !names.insert(name) {
                return wrong(format!("the name {name} is given twice"), "give each provider its own name");
            }
            if !process.command.first().is_some_and(|program| Path::new(program).is_absolute()) {
                let problem = format!("the command of {name} does not begin with an absolute path");
                return wrong(problem, "write the path of the program from / on");
            }
            if process.namespaces.is_empty() {
                let problem = format!("{name} has no namespaces");
                return wrong(problem, "list those that it may declare and serve classes in");
            }
            if process.start_timeout_ms == 0 || process.call_timeout_ms == 0 {
                return wrong(format!("a timeout of {name} is 0"), "use at least 1");
            }
        }
        Ok(())
    }

    fn validate_server(&self) -> Result<(), ConfigError> {
        let server = &self.server;
        if server.state.as_os_str().is_empty() {
            return Err(self.value(
                "server.state",
                "it is empty",
                "name a directory the server may write to",
            ));
        }
        if server.http.is_empty() && server.https.is_empty() && self.unix_socket().is_none() {
            let action = "set at least one of server.http, server.https and server.unix";
            return Err(self.value("server", "there is no listener", action));
        }
        let mut seen = HashSet::new();
        for address in server.http.iter().chain(&server.https).chain(&server.wsman).chain(&server.wsman_tls) {
            if address.port() != 0 && !seen.insert(address) {
                let problem = format!("{address} is listed twice");
                return Err(self.value("server.http and server.https", problem, "give each its own port"));
            }
        }
        if server.computer_name.chars().any(|c| c.is_control() || c.is_whitespace() || "<>&\"".contains(c)) {
            let problem = "it has characters that no host name has";
            return Err(self.value("server.computer_name", problem, "write a host name, or leave it empty"));
        }
        Ok(())
    }

    /// Numbers with the least value that works.
    fn numbers(&self) -> [(&'static str, u64, u64); 22] {
        let (l, j, i) = (&self.limits, &self.jobs, &self.indications);
        [
            ("limits.max_body_bytes", l.max_body_bytes as u64, 1024),
            // What hyper needs for its buffer.
            ("limits.max_header_bytes", l.max_header_bytes as u64, 8192),
            ("limits.max_headers", l.max_headers as u64, 16),
            ("limits.connections", l.connections as u64, 1),
            ("limits.connections_per_address", l.connections_per_address as u64, 1),
            ("limits.header_read_timeout_ms", l.header_read_timeout_ms, 1),
            ("limits.body_read_timeout_ms", l.body_read_timeout_ms, 1),
            ("limits.write_stall_timeout_ms", l.write_stall_timeout_ms, 1),
            ("limits.keep_alive_ms", l.keep_alive_ms, 1),
            // The least that a client of WS-Management must be able to ask for.
            ("wsman.max_envelope_bytes", self.wsman.max_envelope_bytes as u64, 8192),
            ("wsman.contexts", self.wsman.contexts as u64, 1),
            ("wsman.contexts_per_user", self.wsman.contexts_per_user as u64, 1),
            ("wsman.context_lifetime_ms", self.wsman.context_lifetime_ms, 1000),
            ("jobs.concurrency", j.concurrency as u64, 1),
            ("jobs.max_unfinished", j.max_unfinished, 1),
            ("jobs.lease_ms", j.lease_ms, 1000),
            ("jobs.tick_ms", j.tick_ms, 10),
            ("indications.queue_limit", i.queue_limit, 1),
            ("indications.retry_interval_ms", i.retry_interval_ms, 1),
            ("indications.delivery_timeout_ms", i.delivery_timeout_ms, 1),
            ("indications.lifetime_ms", i.lifetime_ms, 1),
            ("engine.memory_limit_bytes", self.engine.memory_limit_bytes, 64 << 20),
        ]
    }

    fn value(&self, key: &str, problem: impl Into<String>, action: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            file: self.file.clone(),
            key: key.to_owned(),
            problem: problem.into(),
            action: action.into(),
        }
    }
}

/// The name of the machine, if it has one.
pub(crate) fn host_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}

fn parse_error(error: &toml::de::Error, text: &str, file: &Path) -> ConfigError {
    let at = error.span().map_or(0, |s| s.start).min(text.len());
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    ConfigError::Parse {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[start..].chars().count() + 1,
        message: error.message().trim().to_owned(),
        text: text[start..].lines().next().unwrap_or_default().trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../../config/example.toml");

    fn parse(text: &str) -> Result<Config, String> {
        let config = Config::parse(text, Path::new("a.toml")).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn the_example_shows_the_defaults() {
        let mut example = parse(EXAMPLE).unwrap();
        example.file = None;
        assert_eq!(example, Config::default());
    }

    #[test]
    fn the_example_shows_every_key_with_a_comment() {
        let default = toml::Table::try_from(Config::default()).unwrap();
        let example: toml::Table = toml::from_str(EXAMPLE).unwrap();
        for (section, keys) in &default {
            for key in keys.as_table().unwrap().keys() {
                assert!(example[section].get(key).is_some(), "{section}.{key} is missing in the example");
            }
        }
        let lines: Vec<_> = EXAMPLE.lines().collect();
        for pair in lines.windows(2) {
            let key = pair[1].split(" = ").next().unwrap();
            if pair[1].contains(" = ") && !pair[1].starts_with('#') {
                assert!(pair[0].starts_with("# "), "{key} has no comment");
            }
        }
    }

    #[test]
    fn what_the_example_suggests_can_be_loaded() {
        let suggestion = |line: &&str| {
            let Some((key, _)) = line.strip_prefix("# ").and_then(|l| l.split_once(" = ")) else {
                return false;
            };
            key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        let mut suggested: HashSet<String> = HashSet::new();
        for line in EXAMPLE.lines().filter(suggestion) {
            suggested.insert(line[2..].split_once(" = ").unwrap().0.to_owned());
        }
        assert_eq!(suggested.len(), 10, "{suggested:?}");
        // A suggestion replaces the line that shows the default of the same key.
        let text: Vec<_> = EXAMPLE
            .lines()
            .filter(|l| l.split_once(" = ").is_none_or(|(key, _)| !suggested.contains(key)))
            .map(|l| if suggestion(&l) { &l[2..] } else { l })
            .collect();
        let config = parse(&text.join("\n")).unwrap();
        assert_eq!(config.storage.roots[0].windows, ["C:\\VMs"]);
        assert!(config.tls.certificate.is_some() && config.engine.user.is_some());
        assert_eq!(config.auth.unix_peers.len(), 1);
        assert_eq!(config.providers.process[0].environment["RUST_LOG"], "info");
    }

    #[test]
    fn an_error_names_file_line_and_what_to_do() {
        let unknown = parse("[server]\nstat = \"/x\"\n").unwrap_err();
        assert!(
            unknown.starts_with("a.toml:2:1: unknown field `stat`, expected one of `state`"),
            "{unknown}"
        );
        assert!(unknown.contains("the offending line is `stat = \"/x\"`"), "{unknown}");
        let mistyped = parse("[server]\n\nhttp = [\"localhost\"]\n").unwrap_err();
        assert!(mistyped.starts_with("a.toml:3:"), "{mistyped}");
        let role = parse("[auth]\nunix_peers = [{ uid = 7, name = \"x\", role = \"king\" }]").unwrap_err();
        assert!(role.contains("reader, operator or administrator"), "{role}");
        let small = parse("[limits]\nmax_header_bytes = 100\n").unwrap_err();
        assert_eq!(small, "a.toml: limits.max_header_bytes: 100 is too small; use at least 8192");
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for (text, key) in [
            ("[server]\nhttp = []\nhttps = []\nunix = \"\"", "server: there is no listener"),
            ("[server]\nhttp = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "127.0.0.1:1 is listed twice"),
            ("[tls]\nkey = \"/k\"", "tls: only one"),
            (
                "[tls]\nclient_certificates = \"required\"",
                "tls.client_certificates: certificates are required",
            ),
            ("[storage]\nroots = [{ path = \"relative\" }]", "storage.roots: `relative`"),
            ("[engine]\nprogram = \"qemu-img\"", "engine.program"),
            ("[auth]\nrealm = \"a\\\"b\"", "auth.realm"),
            ("[jobs]\nconcurrency = 0", "jobs.concurrency: 0 is too small"),
            ("[server]\ncomputer_name = \"a b\"", "server.computer_name"),
            (
                "[[providers.process]]\nname = \"a\"\ncommand = [\"a\"]\nnamespaces = [\"root/a\"]",
                "providers.process: the command of a does not begin with an absolute path",
            ),
            (
                "[[providers.process]]\nname = \"a b\"\ncommand = [\"/a\"]\nnamespaces = []",
                "providers.process: `a b`",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(key), "{text}: {error}");
        }
    }

    #[test]
    fn the_command_line_wins() {
        let mut config = parse("[storage]\nroots = [{ path = \"/a\" }]").unwrap();
        config.merge(Overrides::default());
        assert_eq!(config.storage.roots.len(), 1);
        config.merge(Overrides {
            state: Some("/s".into()),
            http: Overrides::listeners(&["127.0.0.1:0", "[::1]:0"]).unwrap(),
            https: Overrides::listeners(&["none"]).unwrap(),
            wsman: None,
            wsman_tls: None,
            storage_roots: vec!["/b".into(), "/c".into()],
        });
        assert_eq!(config.server.http.len(), 2);
        assert!(config.server.https.is_empty());
        assert_eq!(config.storage.roots[1].path, Path::new("/c"));
        assert_eq!(config.unix_socket(), Some("/s/cimwright.sock".into()));
        assert!(Overrides::listeners(&["5988"]).unwrap_err().contains("IP:PORT"));
    }
}
