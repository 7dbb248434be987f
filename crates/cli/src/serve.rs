//! `cimwright serve`: runs the server until it is told to stop.

use crate::exit::{CliError, Exit};
use crate::{state_directory, wiring};
use cimwright_broker::interop::AccessPoint;
use cimwright_server::Server;
use cimwright_server::auth::users::UsersFile;
use cimwright_server::config::{Config, LogFormat, Overrides};
use clap::Args;
use std::error::Error;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Run the server.
///
/// Flags win over the configuration file. Without either, the server listens on 127.0.0.1:5988 (HTTP), 127.0.0.1:5989 (HTTPS) and a
/// unix socket in its state directory. It stops in order on SIGTERM or SIGINT: running jobs are brought to a safe point and taken up
/// again at the next start.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Configuration file (TOML); config/example.toml shows every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory for jobs, users and the certificate [default: /var/lib/cimwright].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Address for HTTP, repeatable; port 0 takes a free one, `none` means no HTTP.
    #[arg(long, value_name = "ADDR")]
    http: Vec<String>,
    /// Address for HTTPS, repeatable; port 0 takes a free one, `none` means no HTTPS.
    #[arg(long, value_name = "ADDR")]
    https: Vec<String>,
    /// Address for HTTP on the port that WS-Management's clients look for (5985), repeatable.
    #[arg(long, value_name = "ADDR")]
    wsman: Vec<String>,
    /// Address for HTTPS on the port that WS-Management's clients look for (5986), repeatable.
    #[arg(long, value_name = "ADDR")]
    wsman_tls: Vec<String>,
    /// Directory that clients may work in, repeatable.
    #[arg(long, value_name = "DIR")]
    storage_root: Vec<PathBuf>,
    /// Name of this computer in object paths [default: the host name].
    #[arg(long, value_name = "NAME")]
    computer_name: Option<String>,
    /// Offer Cimwright_DemoService, whose jobs wait to be told how to end.
    #[arg(long)]
    demo_provider: bool,
    /// Write the addresses that were taken to this file once the server listens.
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
}

/// Runs the server.
///
/// # Errors
/// When the server cannot start; the text says what to do.
pub(crate) fn run(args: ServeArgs) -> Result<Exit, CliError> {
    let listeners = Listeners::of(&args)?;
    start(&args, listeners)
        .map(|()| Exit::Ok)
        .map_err(|error| CliError::new(Exit::Trouble, whole_reason(&*error)))
}

/// The addresses that the command line names, `None` where it names none.
struct Listeners {
    http: Option<Vec<SocketAddr>>,
    https: Option<Vec<SocketAddr>>,
    wsman: Option<Vec<SocketAddr>>,
    wsman_tls: Option<Vec<SocketAddr>>,
}

impl Listeners {
    fn of(args: &ServeArgs) -> Result<Self, CliError> {
        let read = |option: &str, values: &[String]| {
            Overrides::listeners(values).map_err(|e| CliError::usage(format!("{option}: {e}")))
        };
        Ok(Self {
            http: read("--http", &args.http)?,
            https: read("--https", &args.https)?,
            wsman: read("--wsman", &args.wsman)?,
            wsman_tls: read("--wsman-tls", &args.wsman_tls)?,
        })
    }
}

fn start(args: &ServeArgs, listeners: Listeners) -> Result<(), Box<dyn Error>> {
    let config = configuration(args, listeners)?;
    start_log(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config, args.port_file.as_deref()))
}

async fn serve(config: Config, port_file: Option<&Path>) -> Result<(), Box<dyn Error>> {
    // Before anything is opened, so that no early signal is lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    state_directory::make(&config.server.state)?;
    raise_file_limit(&config);
    look_at_users(&config);
    let grace = config.server.shutdown_grace();
    let broker = wiring::build(&config).await?;
    let jobs = broker.jobs().clone();
    let indications = broker.indications().cloned();
    let background = broker.clone();
    let server = Server::bind(&config, Arc::new(broker.clone()))?;
    broker.announce(access_points(&server));
    for address in listening(&server) {
        tracing::info!("listening on {address}");
    }
    if let Some(file) = port_file {
        write_ports(file, &server)?;
    }
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop: finishing requests, bringing jobs to a safe point");
    };
    server.run(stop).await;
    if let Some(indications) = indications {
        indications.shut_down();
    }
    let calm = jobs.shut_down(grace.max(Duration::from_secs(1))).await;
    if !calm {
        tracing::warn!(
            "some jobs did not come to a safe point in time; they will be taken up again at the next start"
        );
    }
    background.end_background().await;
    tracing::info!("stopped");
    Ok(())
}

/// Lets the process open as many files as it may: connections, images, engines and databases all take some.
fn raise_file_limit(config: &Config) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// What is left for everything but connections.
    const OTHERS: u64 = 512;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let now =
        if current != maximum && setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current };
    let wanted = config.limits.connections as u64 + OTHERS;
    if now.is_some_and(|now| now < wanted) {
        tracing::warn!(
            files = now.unwrap_or_default(),
            wanted,
            "this process may open fewer files than limits.connections needs; raise the limit (LimitNOFILE), or lower limits.connections"
        );
    }
}

/// Says at the start that nobody can log in, and not only when somebody tries.
fn look_at_users(config: &Config) {
    let file = UsersFile::in_state(&config.server.state);
    match file.list() {
        Ok(users) if users.is_empty() => {
            tracing::warn!(
                "there are no users yet; add one with `cimwright user add NAME --state {}`",
                config.server.state.display()
            );
        }
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "the users file cannot be used; nobody can log in"),
    }
}

/// Where the server listens, for people.
fn listening(server: &Server) -> Vec<String> {
    let addresses = server.local_addrs();
    let of = |scheme: &str, all: &[SocketAddr], wsman: &[SocketAddr]| -> Vec<String> {
        let customary = |a| if wsman.contains(a) { " (WS-Management)" } else { "" };
        all.iter().map(|a| format!("{scheme}://{a}{}", customary(a))).collect()
    };
    let mut all = of("http", &addresses.http, &addresses.wsman);
    all.extend(of("https", &addresses.https, &addresses.wsman_tls));
    all.extend(addresses.unix.iter().map(|path| path.display().to_string()));
    all
}

/// Where clients reach the server over TCP.
fn access_points(server: &Server) -> Vec<AccessPoint> {
    let addresses = server.local_addrs();
    let plain = addresses.http.iter().map(|a| format!("http://{a}"));
    let secure = addresses.https.iter().map(|a| format!("https://{a}"));
    plain.chain(secure).map(|url| AccessPoint { url }).collect()
}

fn configuration(args: &ServeArgs, listeners: Listeners) -> Result<Config, Box<dyn Error>> {
    let mut config = match &args.config {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    };
    let absolute = |path: &PathBuf| std::path::absolute(path);
    config.merge(Overrides {
        state: args.state.as_ref().map(absolute).transpose()?,
        http: listeners.http,
        https: listeners.https,
        wsman: listeners.wsman,
        wsman_tls: listeners.wsman_tls,
        storage_roots: args.storage_root.iter().map(absolute).collect::<Result<_, _>>()?,
    });
    if let Some(name) = &args.computer_name {
        config.server.computer_name.clone_from(name);
    }
    config.providers.demo |= args.demo_provider;
    config.validate()?;
    Ok(config)
}

fn start_log(config: &Config) -> Result<(), Box<dyn Error>> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| config.log.filter.clone());
    let filter = EnvFilter::try_new(&filter).map_err(|e| {
        format!("log.filter or RUST_LOG: `{filter}` cannot be understood: {e}; write for example info,cimwright_jobs=debug")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// An error with the reasons behind it that its own text does not tell already.
fn whole_reason(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        let reason = cause.to_string();
        if !text.contains(&reason) {
            let _ = write!(text, ": {reason}");
        }
        behind = cause.source();
    }
    text
}

/// Written beside and renamed, so that whoever waits for the file never sees half of it.
fn write_ports(file: &Path, server: &Server) -> Result<(), Box<dyn Error>> {
    let addresses = server.local_addrs();
    let mut text = String::new();
    for address in addresses.http.iter().filter(|a| !addresses.wsman.contains(a)) {
        let _ = writeln!(text, "http={address}");
    }
    for address in addresses.https.iter().filter(|a| !addresses.wsman_tls.contains(a)) {
        let _ = writeln!(text, "https={address}");
    }
    for address in &addresses.wsman {
        let _ = writeln!(text, "wsman={address}");
    }
    for address in &addresses.wsman_tls {
        let _ = writeln!(text, "wsman-tls={address}");
    }
    if let Some(path) = &addresses.unix {
        let _ = writeln!(text, "unix={}", path.display());
    }
    let beside = file.with_extension("new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, file))
        .map_err(|e| format!("cannot write {}: {e}", file.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_behind_an_error_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("the root cannot be opened")]
        struct Silent(#[source] std::io::Error);
        #[derive(Debug, thiserror::Error)]
        #[error("the root cannot be opened: {0}")]
        struct Telling(#[source] std::io::Error);
        let cause = || std::io::Error::other("no such thing");
        let text = "the root cannot be opened: no such thing";
        assert_eq!(whole_reason(&Silent(cause())), text);
        assert_eq!(whole_reason(&Telling(cause())), text);
    }
}
