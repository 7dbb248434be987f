//! `cimwright replica ls`, and how a group is shown.

use super::{known, replication};
use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit, say};
use crate::render::job::size;
use crate::render::json::pretty;
use crate::render::text::{clean_line, datetime, table};
use crate::session::Session;
use cimwright_client::replica::{End, Group, Partnership, Status};
use serde_json::{Value, json};

/// List the groups of a computer with their partners
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    let replication = replication(&session);
    let groups = known(replication.groups().await, replication.namespace())?;
    let partnerships = known(replication.partnerships().await, replication.namespace())?;
    if session.json {
        let all: Vec<Value> = groups.iter().map(|g| group_json(g, partner(g, &partnerships))).collect();
        say(&pretty(&all.into()))?;
        return Ok(Exit::Ok);
    }
    if groups.is_empty() {
        say("There are no replication groups here. `cimwright replica new` makes some.")?;
        return Ok(Exit::Ok);
    }
    let rows: Vec<Vec<String>> = groups.iter().map(|g| row(g, partner(g, &partnerships))).collect();
    let head = ["GROUP", "COMPUTER", "ROLE", "PARTNER", "MODE", "STATUS", "REMAINING", "LAST IN SYNC"];
    say(&table(&head, &rows))?;
    Ok(Exit::Ok)
}

/// The partnership that a group is in, with its other side.
pub(super) fn partner<'p>(group: &Group, all: &'p [Partnership]) -> Option<(&'p Partnership, &'p End)> {
    if !group.in_partnership {
        return None;
    }
    let is = |end: &End| end.group == group.name;
    all.iter().find_map(|p| match group.is_source {
        true => is(&p.source).then_some((p, &p.destination)),
        false => is(&p.destination).then_some((p, &p.source)),
    })
}

/// What part a group plays.
pub(super) fn role(group: &Group) -> &'static str {
    match (group.in_partnership, group.is_source) {
        (false, _) => "none",
        (true, true) => "source",
        (true, false) => "destination",
    }
}

/// What replication is doing, for a person.
pub(super) fn state(status: Option<Status>) -> String {
    let known = match status {
        None => "ask the source",
        Some(Status::CONTINUOUS) => "replicating",
        Some(Status::IN_RPO) => "replicating, within RPO",
        Some(Status::OUT_OF_RPO) => "replicating, beyond RPO",
        Some(Status::INITIAL_BLOCK_COPY) => "copying everything",
        Some(Status::BLOCK_COPY) => "catching up",
        Some(Status::SUSPENDED) => "suspended",
        Some(Status::WAITING_FOR_DESTINATION) => "waiting for the destination",
        Some(Status(6)) => "waiting for the source",
        Some(Status::FAILED) => "failed",
        Some(Status::NOT_IN_PARTNERSHIP) => "no partner",
        Some(other) => return other.to_string(),
    };
    known.to_owned()
}

/// A group with all that is known of it.
pub(super) fn group_json(group: &Group, partner: Option<(&Partnership, &End)>) -> Value {
    let volumes: Vec<Value> = group
        .volumes
        .iter()
        .map(|v| {
            json!({
                "partitionId": v.id,
                "path": v.path,
                "size": v.size,
                "bytesRemaining": v.remaining,
                "bytesRecovered": v.recovered,
                "status": v.status.map(|s| s.0),
                "statusName": v.status.map(|s| s.to_string()),
                "lastInSyncTime": v.last_in_sync.map(|t| t.to_string()),
                "lastOutOfSyncTime": v.last_out_of_sync.map(|t| t.to_string()),
            })
        })
        .collect();
    json!({
        "name": group.name,
        "computer": group.computer,
        "role": role(group),
        "partner": partner.map(|(_, end)| json!({ "computer": end.computer, "group": end.group })),
        "partnershipId": partner.and_then(|(p, _)| p.id.clone()),
        "mode": mode(group),
        "asyncRpo": group.async_rpo,
        "suspended": group.suspended,
        "status": group.status.map(|s| s.0),
        "statusName": group.status.map(|s| s.to_string()),
        "inSync": group.in_sync(),
        "bytesRemaining": group.remaining(),
        "bytesRecovered": group.recovered(),
        "lastInSyncTime": group.last_in_sync.map(|t| t.to_string()),
        "volumes": volumes,
    })
}

/// The name of the mode; `None` at a destination: the one in force is that of the source.
fn mode(group: &Group) -> Option<&'static str> {
    let of_source = group.synchronous.filter(|_| group.is_source || !group.in_partnership);
    of_source.map(|synchronous| if synchronous { "sync" } else { "async" })
}

fn row(group: &Group, partner: Option<(&Partnership, &End)>) -> Vec<String> {
    let dash = || "-".to_owned();
    vec![
        clean_line(&group.name),
        clean_line(&group.computer),
        role(group).to_owned(),
        partner.map_or_else(dash, |(_, end)| clean_line(&format!("{} on {}", end.group, end.computer))),
        mode(group).map_or_else(dash, str::to_owned),
        state(group.status),
        group.remaining().map_or_else(dash, size),
        group.last_in_sync.as_ref().and_then(datetime).unwrap_or_else(dash),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::Instance;

    fn end(computer: &str, group: &str) -> End {
        End { computer: computer.to_owned(), group: group.to_owned() }
    }

    #[test]
    fn the_partner_is_the_other_side() {
        let both_named_alike =
            Partnership { id: None, source: end("alpha", "G"), destination: end("beta", "G") };
        let all = [both_named_alike];
        let mut group = Group::of(&Instance::new("X").with("Name", "G").with("IsInPartnership", true));
        assert_eq!(partner(&group, &all).map(|(_, e)| e.computer.as_str()), Some("alpha"));
        assert_eq!(role(&group), "destination");
        group.is_source = true;
        assert_eq!(partner(&group, &all).map(|(_, e)| e.computer.as_str()), Some("beta"));
        group.in_partnership = false;
        assert_eq!(partner(&group, &all), None);
    }

    #[test]
    fn what_is_not_known_is_no_number() {
        let group = Group::of(&Instance::new("X").with("Name", "G\u{1b}[1m"));
        let row = row(&group, None);
        assert_eq!(row[0], "G\u{fffd}[1m");
        assert_eq!(row[5], "ask the source");
        assert_eq!(group_json(&group, None)["status"], Value::Null);
    }
}
