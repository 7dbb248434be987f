//! `cimwright replica`: Storage Replica from the command line, of this server or of any other that has it.

mod change;
mod new;
mod show;
mod watch;

use super::invoke::{told_to_the_end, told_why};
use crate::exit::{CliError, Exit, remark, say};
use crate::render::json;
use crate::session::{Session, path_text};
use cimwright_cim::{Catalogue, NamespaceName, Param};
use cimwright_client::replica::{End, Group, JOB_STARTED, Partnership, Replication};
use cimwright_sdk::remote::same_computer;
use clap::Subcommand;

/// Replicate volumes to another computer: make, list, watch, pause, turn round, remove
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    New(Box<new::Args>),
    Ls(show::Args),
    Watch(watch::Args),
    Suspend(change::SuspendArgs),
    Resume(change::ResumeArgs),
    Switch(change::SwitchArgs),
    Rm(change::RmArgs),
}

/// Runs the command.
pub(crate) async fn run(args: Args, catalogues: &[&Catalogue]) -> Result<Exit, CliError> {
    match args.command {
        Command::New(args) => new::run(*args, catalogues).await,
        Command::Ls(args) => show::run(args).await,
        Command::Watch(args) => watch::run(args).await,
        Command::Suspend(args) => change::suspend(args, catalogues).await,
        Command::Resume(args) => change::resume(args, catalogues).await,
        Command::Switch(args) => change::switch(args, catalogues).await,
        Command::Rm(args) => change::rm(args, catalogues).await,
    }
}

/// The replication that a session asks about: in the first namespace that was named, or where it usually is.
fn replication(session: &Session) -> Replication<'_> {
    match session.namespaces.first() {
        Some(namespace) => Replication::in_namespace(&session.client, namespace.clone()),
        None => Replication::new(&session.client),
    }
}

/// Says what is missing when a server knows no replication.
fn known<T>(
    answer: Result<T, cimwright_client::ClientError>,
    namespace: &NamespaceName,
) -> Result<T, CliError> {
    answer.map_err(|error| match error.is_unsupported() {
        true => CliError::new(
            Exit::NotFound,
            format!("this server has no Storage Replica in {namespace}: {error}"),
        )
        .advise("a Cimwright server has it when it has a storage root (`serve --storage-root DIR`) and replication.enabled is not switched off"),
        false => error.into(),
    })
}

/// The one partnership that a name of a group on the command line means, with the group of the computer that answers.
async fn partnership(
    replication: &Replication<'_>,
    name: Option<&str>,
) -> Result<(Partnership, Option<Group>), CliError> {
    let all = known(replication.partnerships().await, replication.namespace())?;
    let groups = known(replication.groups().await, replication.namespace())?;
    let own = |p: &Partnership| {
        let is = |g: &Group, end: &End| end.group == g.name && same_computer(&end.computer, &g.computer);
        groups.iter().find(|g| is(g, &p.source) || is(g, &p.destination)).cloned()
    };
    let mut fitting: Vec<&Partnership> = all
        .iter()
        .filter(|p| {
            name.is_none_or(|n| {
                p.source.group.eq_ignore_ascii_case(n) || p.destination.group.eq_ignore_ascii_case(n)
            })
        })
        .collect();
    let lists = "`cimwright replica ls` lists the groups and their partners";
    match (fitting.len(), name) {
        (1, _) => {
            let found = fitting.remove(0);
            Ok((found.clone(), own(found)))
        }
        (0, Some(name)) => {
            Err(CliError::new(Exit::NotFound, format!("no group \"{name}\" has a partner here"))
                .advise(lists))
        }
        (0, None) => Err(CliError::new(Exit::NotFound, "this computer replicates nothing").advise(lists)),
        (count, _) => Err(CliError::usage(format!("{count} partnerships are meant")).advise(format!(
            "name the group: {}",
            fitting.iter().map(|p| p.source.group.as_str()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// The parameters that name a partnership by its four names.
fn four_names(partnership: &Partnership) -> Vec<Param> {
    vec![
        Param::new("SourceComputerName", partnership.source.computer.as_str()),
        Param::new("SourceRGName", partnership.source.group.as_str()),
        Param::new("DestinationComputerName", partnership.destination.computer.as_str()),
        Param::new("DestinationRGName", partnership.destination.group.as_str()),
    ]
}

/// A call, what to say when it is done, and whether to follow its job.
struct Call<'a> {
    method: &'a str,
    params: Vec<Param>,
    done: String,
    wait: bool,
}

/// Calls a method of MSFT_WvrAdminTasks, follows its job if that is wanted, and tells why it failed.
async fn carry_out(
    session: &Session,
    replication: &Replication<'_>,
    call: Call<'_>,
    catalogues: &[&Catalogue],
) -> Result<Exit, CliError> {
    let called = known(replication.call(call.method, call.params).await, replication.namespace())?;
    let code = called.answer.code().unwrap_or_default();
    let job = called.job.as_ref().map(|path| replication.job(path));
    let id = job.as_ref().and_then(|j| j.path().key_str("InstanceID")).unwrap_or_default().to_owned();
    if session.json {
        let told = serde_json::json!({
            "method": call.method,
            "returnValue": i64::try_from(code).ok(),
            "meaning": meaning(code),
            "job": called.job.as_ref().map(path_text),
            "out": called.answer.out.iter()
                .map(|p| (p.name.to_string(), json::value(p.value.as_ref())))
                .collect::<serde_json::Map<_, _>>(),
        });
        say(&told.to_string())?;
    }
    match (code, job) {
        (0, _) => {
            if !session.json {
                say(&call.done)?;
            }
            Ok(Exit::Ok)
        }
        (JOB_STARTED, Some(job)) if call.wait => told_to_the_end(session, &job, catalogues).await,
        (JOB_STARTED, Some(_)) => {
            if !session.json {
                say(&format!("Job {id} goes on."))?;
                remark(&format!("`cimwright watch {id}` follows it, `cimwright replica watch` the copy."));
            }
            Ok(Exit::Ok)
        }
        (JOB_STARTED, None) => {
            remark("A job of the other computer goes on; ask that one for its jobs.");
            Ok(Exit::Ok)
        }
        (code, job) => {
            remark(&format!("cimwright: {} answered {code} ({})", call.method, meaning(code)));
            match job {
                Some(job) if !session.json => {
                    told_why(session, &job, catalogues).await?;
                }
                Some(_) => {}
                None => {
                    remark("  what to do: `cimwright jobs --only exception` lists the jobs that tell why")
                }
            }
            Ok(Exit::Unsuccessful)
        }
    }
}

/// What the return values of MSFT_WvrAdminTasks mean.
fn meaning(code: i128) -> &'static str {
    match code {
        0 => "Success",
        1 => "Not Supported",
        3 => "Timeout",
        4 => "Failed",
        5 => "Invalid Parameter",
        6 => "Access Denied",
        JOB_STARTED => "Job Started",
        _ => "Unspecified Error",
    }
}
