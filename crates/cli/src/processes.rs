//! The providers in processes of their own: started with the server, and left out if they cannot be.

use cimwright_broker::Broker;
use cimwright_host::{Namespaces, ProcessSettings, ProviderProcess};
use cimwright_sdk::Plugin;
use cimwright_sdk::cim::{ErrorDetail, NamespaceName};
use cimwright_server::config::{self, Config};
use std::time::Duration;

/// Starts the providers of the configuration and adds their classes to the namespaces. One that does not start, or may not do what it
/// wants to, is left out until the next start of the server, and the log says why: it must not keep the server from running.
pub(crate) async fn join(config: &Config, namespaces: &mut Namespaces) -> Vec<Plugin> {
    let starting: Vec<_> = config
        .providers
        .process
        .iter()
        .map(|process| tokio::spawn(ProviderProcess::start(settings(process))))
        .collect();
    let mut plugins = Vec::new();
    for (process, starting) in config.providers.process.iter().zip(starting) {
        let joined = match starting.await {
            Ok(started) => started.and_then(|started| {
                let mut with = namespaces.clone();
                let plugin = started.join(&mut with)?;
                Broker::check(&with, &plugin).map_err(|e| started.refused(&e))?;
                *namespaces = with;
                Ok(plugin)
            }),
            Err(error) => {
                tracing::error!(provider = process.name, %error, "a provider could not be started");
                continue;
            }
        };
        match joined {
            Ok(plugin) => {
                tracing::info!(provider = process.name, classes = plugin.classes.len(), "took in a provider");
                plugins.push(plugin);
            }
            Err(reason) => left_out(&process.name, &reason),
        }
    }
    plugins
}

fn left_out(name: &str, reason: &ErrorDetail) {
    tracing::error!(
        provider = name,
        error = reason.message_id,
        "{}; the server goes on without it until it is started again",
        reason.message
    );
}

fn settings(process: &config::ProviderProcess) -> ProcessSettings {
    let mut command = process.command.iter();
    ProcessSettings {
        name: process.name.clone(),
        program: command.next().map_or_else(Default::default, Into::into),
        args: command.map(Into::into).collect(),
        user: process.user.map(|u| (u.uid, u.gid)),
        environment: process.environment.clone().into_iter().collect(),
        namespaces: process.namespaces.iter().map(NamespaceName::new).collect(),
        start_timeout: Duration::from_millis(process.start_timeout_ms),
        call_timeout: Duration::from_millis(process.call_timeout_ms),
    }
}
