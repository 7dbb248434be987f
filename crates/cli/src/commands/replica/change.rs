//! `cimwright replica suspend`, `resume`, `switch` and `rm`.

use super::{Call, carry_out, four_names, known, partnership, replication};
use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit, remark};
use crate::session::Session;
use cimwright_cim::{Catalogue, Param};
use cimwright_client::replica::End;

/// Stop copying; writes go on and are remembered
#[derive(clap::Args)]
pub(super) struct SuspendArgs {
    /// The group; may be left out when there is only one partnership
    group: Option<String>,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Copy again; only what was written meanwhile is sent
#[derive(clap::Args)]
pub(super) struct ResumeArgs {
    /// The group; may be left out when there is only one partnership
    group: Option<String>,

    /// Follow the job until both sides are the same
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Turn the direction round: the destination becomes the source
#[derive(clap::Args)]
pub(super) struct SwitchArgs {
    /// The group; may be left out when there is only one partnership
    group: Option<String>,

    /// Make the computer that is asked the source without asking the other one, which must be down: what that one had more is lost
    #[arg(long)]
    force: bool,

    /// Follow the job that turns it round
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Remove a topology: the partnership and the groups with their logs. Volumes keep their data
#[derive(clap::Args)]
pub(super) struct RmArgs {
    /// The group
    group: String,

    /// End the partnership only; both groups stay
    #[arg(long)]
    keep_groups: bool,

    /// Go on although the other side does not answer; its group stays as it is
    #[arg(long)]
    force: bool,

    /// Follow the job that removes it
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs `suspend`.
pub(super) async fn suspend(args: SuspendArgs, catalogues: &[&Catalogue]) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    let replication = replication(&session);
    let (found, _) = partnership(&replication, args.group.as_deref()).await?;
    let source = found.source;
    let call = Call {
        method: "SuspendGroup",
        params: of_source(&source),
        done: format!("{} on {} copies nothing until it is resumed.", source.group, source.computer),
        wait: false,
    };
    carry_out(&session, &replication, call, catalogues).await
}

/// Runs `resume`.
pub(super) async fn resume(args: ResumeArgs, catalogues: &[&Catalogue]) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    let replication = replication(&session);
    let (found, _) = partnership(&replication, args.group.as_deref()).await?;
    let source = found.source;
    let call = Call {
        method: "SyncGroup",
        params: of_source(&source),
        done: format!("{} on {} is replicated; both sides are the same.", source.group, source.computer),
        wait: args.wait,
    };
    carry_out(&session, &replication, call, catalogues).await
}

/// Runs `switch`.
pub(super) async fn switch(args: SwitchArgs, catalogues: &[&Catalogue]) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    let replication = replication(&session);
    let (found, own) = partnership(&replication, args.group.as_deref()).await?;
    let (old, new) = (found.source, found.destination);
    if args.force {
        if own.as_ref().is_some_and(|g| g.is_source) {
            return Err(CliError::new(
                Exit::Refused,
                format!("{} on {} is the source already", old.group, old.computer),
            )
            .advise(format!("ask {}, which is to become the source", new.computer)));
        }
        let call = Call {
            method: "WvrSetPrimaryReplicationGroup",
            params: vec![Param::new("ReplicationGroupName", new.group.as_str()), Param::new("Force", true)],
            done: format!(
                "{} on {} is the source now. {} takes the copy as soon as it is back.",
                new.group, new.computer, old.computer
            ),
            wait: args.wait,
        };
        return carry_out(&session, &replication, call, catalogues).await;
    }
    let call = Call {
        method: "SetPartnershipSetSourcePartnership",
        params: vec![
            Param::new("NewSourceComputerName", new.computer.as_str()),
            Param::new("SourceRGName", new.group.as_str()),
            Param::new("DestinationComputerName", old.computer.as_str()),
            Param::new("DestinationRGName", old.group.as_str()),
        ],
        done: format!("{} on {} is the source now.", new.group, new.computer),
        wait: args.wait,
    };
    carry_out(&session, &replication, call, catalogues).await
}

/// Runs `rm`.
pub(super) async fn rm(args: RmArgs, catalogues: &[&Catalogue]) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    let replication = replication(&session);
    let groups = known(replication.groups().await, replication.namespace())?;
    let own = groups.iter().find(|g| g.name.eq_ignore_ascii_case(&args.group));
    if let Some(group) = own.filter(|g| !g.in_partnership) {
        if args.keep_groups {
            return Err(CliError::new(
                Exit::NotFound,
                format!("\"{}\" has no partner: there is no partnership to end", group.name),
            )
            .advise("without --keep-groups the group itself is removed"));
        }
        return carry_out(&session, &replication, remove_group(&group.name, args.wait), catalogues).await;
    }
    let (found, local) = partnership(&replication, Some(&args.group)).await?;
    let (source, destination) = (&found.source, &found.destination);
    if !args.keep_groups && !args.force {
        let call = Call {
            method: "RemoveTopology",
            params: four_names(&found),
            done: format!(
                "{} on {} and {} on {} are removed with their partnership; the volumes keep their data.",
                source.group, source.computer, destination.group, destination.computer
            ),
            wait: args.wait,
        };
        return carry_out(&session, &replication, call, catalogues).await;
    }
    let mut params = four_names(&found);
    if args.force {
        // Of this computer, whichever side it is: the other one is not asked to carry it out.
        params.retain(|p| !p.name.is("SourceComputerName"));
        params.push(Param::new("IgnoreRemovalFailure", true));
    }
    let call = Call {
        method: "RemovePartnership",
        params,
        done: format!("{} and {} are no partners any more.", source.group, destination.group),
        wait: args.wait || args.force,
    };
    let ended = carry_out(&session, &replication, call, catalogues).await?;
    let Some(group) = local.filter(|_| args.force && !args.keep_groups && ended == Exit::Ok) else {
        return Ok(ended);
    };
    remark("The group of the other side is still there: remove it there with `cimwright replica rm`.");
    carry_out(&session, &replication, remove_group(&group.name, args.wait), catalogues).await
}

/// The removal of a group of the computer that is asked.
fn remove_group(name: &str, wait: bool) -> Call<'_> {
    Call {
        method: "RemoveSrGroup",
        params: vec![Param::new("Name", name)],
        done: format!("{name} is removed; its volumes keep their data."),
        wait,
    }
}

/// The parameters that name the source.
fn of_source(source: &End) -> Vec<Param> {
    vec![Param::new("ComputerName", source.computer.as_str()), Param::new("Name", source.group.as_str())]
}
