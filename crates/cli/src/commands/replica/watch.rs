//! `cimwright replica watch`

use super::show::{group_json, partner, state};
use super::{known, replication};
use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit, remark, say};
use crate::render::job::size;
use crate::render::text::{clean_line, datetime, duration};
use crate::session::Session;
use cimwright_client::replica::{Group, Partnership, Replication};
use cimwright_client::{Client, ClientError};
use cimwright_jobs::clock::{Clock, SystemClock};
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime};

/// Over how many looks the rate is taken.
const LOOKS: usize = 5;

/// How long the server may be away.
const AWAY: Duration = Duration::from_secs(30);

/// Follow a copy: bytes that remain, rate, lag, and when both sides were last the same
#[derive(clap::Args)]
pub(super) struct Args {
    /// The group. Without it, every source of the computer that is asked
    group: Option<String>,

    /// End with exit code 0 as soon as both sides are the same
    #[arg(long)]
    until_in_sync: bool,

    /// How often to look, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = interval)]
    interval: f64,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, CliError> {
    let watching = follow(&args);
    tokio::select! {
        end = watching => end,
        _ = tokio::signal::ctrl_c() => Err(CliError::new(Exit::Unsuccessful, "")),
    }
}

async fn follow(args: &Args) -> Result<Exit, CliError> {
    let mut session = Session::open(&args.connect).await?;
    let mut view = View::new(session.json);
    let mut away: Option<Instant> = None;
    loop {
        let replication = replication(&session);
        match look(&replication, args.group.as_deref()).await {
            Ok((groups, partnerships)) => {
                away = None;
                if groups.is_empty() {
                    let what = match &args.group {
                        Some(name) => format!("no group \"{name}\" of this computer is the source of a copy"),
                        None => "this computer is the source of no copy".to_owned(),
                    };
                    return Err(CliError::new(Exit::NotFound, what).advise(
                        "only the source knows how a copy goes: `cimwright replica ls` tells which computer that is",
                    ));
                }
                view.show(&groups, &partnerships, SystemClock.now())?;
                if args.until_in_sync && groups.iter().all(Group::in_sync) {
                    return Ok(Exit::Ok);
                }
            }
            Err(error) if error.is_transient() => {
                if away.is_none() {
                    remark(&format!("waiting for the server: {error}"));
                }
                if away.get_or_insert_with(Instant::now).elapsed() > AWAY {
                    return Err(error.into());
                }
                if let Ok(client) = Client::connect(args.connect.endpoint()?).await {
                    session.client = client;
                }
            }
            Err(error) => return known(Err(error), replication.namespace()),
        }
        tokio::time::sleep(Duration::from_secs_f64(args.interval)).await;
    }
}

/// The sources that are meant.
async fn look(
    replication: &Replication<'_>,
    name: Option<&str>,
) -> Result<(Vec<Group>, Vec<Partnership>), ClientError> {
    let mut groups = replication.groups().await?;
    groups.retain(|g| g.is_source && name.is_none_or(|n| g.name.eq_ignore_ascii_case(n)));
    let partnerships = replication.partnerships().await?;
    Ok((groups, partnerships))
}

/// How it is shown, and what was shown last.
struct View {
    json: bool,
    terminal: bool,
    /// Bytes recovered of each group, at the last looks.
    seen: Vec<(String, VecDeque<(Instant, u64)>)>,
    last: Vec<String>,
}

impl View {
    fn new(json: bool) -> Self {
        Self { json, terminal: std::io::stdout().is_terminal(), seen: Vec::new(), last: Vec::new() }
    }

    fn show(
        &mut self,
        groups: &[Group],
        partnerships: &[Partnership],
        now: SystemTime,
    ) -> Result<(), CliError> {
        let mut lines = Vec::new();
        for group in groups {
            let rate = self.rate(group, Instant::now());
            let partner = partner(group, partnerships);
            if self.json {
                let mut object = group_json(group, partner);
                object["bytesPerSecond"] = rate.map(|r| r.round() as u64).into();
                object["lagSeconds"] = lag(group, now).map(|l| l.as_secs_f64()).into();
                lines.push(object.to_string());
            } else {
                let other = partner.map(|(_, end)| end.computer.as_str()).unwrap_or("?");
                lines.push(line(group, other, rate, lag(group, now)));
            }
        }
        // A look that brings nothing new is worth a line nowhere but on a terminal, where it replaces the one before.
        if self.terminal && !self.json {
            say(&format!("\u{1b}[H\u{1b}[2J{}", lines.join("\n")))?;
        } else {
            for (at, line) in lines.iter().enumerate() {
                // That both sides are still the same is no news.
                let news = |l: &String| l.split("  last in sync").next().map(str::to_owned);
                if self.json || self.last.get(at).and_then(news) != news(line) {
                    say(line)?;
                }
            }
        }
        self.last = lines;
        Ok(())
    }

    /// Bytes a second over the last looks; `None` with the first, and when a new copy has begun.
    fn rate(&mut self, group: &Group, now: Instant) -> Option<f64> {
        let at = match self.seen.iter().position(|(name, _)| *name == group.name) {
            Some(at) => at,
            None => {
                self.seen.push((group.name.clone(), VecDeque::new()));
                self.seen.len() - 1
            }
        };
        let looks = &mut self.seen[at].1;
        let Some(done) = group.recovered() else {
            looks.clear();
            return None;
        };
        if looks.back().is_some_and(|(_, before)| *before > done) {
            looks.clear();
        }
        looks.push_back((now, done));
        if looks.len() > LOOKS {
            looks.pop_front();
        }
        let (since, before) = looks.front()?;
        let passed = now.duration_since(*since).as_secs_f64();
        (passed > 0.0).then(|| (done - before) as f64 / passed)
    }
}

/// How old the copy of the destination is; `None` when both sides were never the same.
fn lag(group: &Group, now: SystemTime) -> Option<Duration> {
    if group.in_sync() {
        return Some(Duration::ZERO);
    }
    let last = group.last_in_sync?.to_system_time()?;
    Some(now.duration_since(last).unwrap_or_default())
}

fn line(group: &Group, other: &str, rate: Option<f64>, lag: Option<Duration>) -> String {
    let mut parts = vec![format!("{} → {}: {}", group.name, other, state(group.status))];
    let total: Option<u64> = group.volumes.iter().map(|v| v.size).sum();
    match (group.remaining(), total) {
        (Some(left), Some(total)) => parts.push(format!("{} of {} remain", size(left), size(total))),
        (Some(left), None) => parts.push(format!("{} remain", size(left))),
        (None, _) => parts.push("how much remains is not known".to_owned()),
    }
    if let Some(rate) = rate.filter(|_| !group.in_sync()) {
        parts.push(format!("{}/s", size(rate as u64)));
    }
    parts.push(lag.map_or_else(|| "never in sync".to_owned(), |l| format!("lag {}", duration(l))));
    if let Some(last) = group.last_in_sync.as_ref().and_then(datetime) {
        parts.push(format!("last in sync {last}"));
    }
    clean_line(&parts.join("  "))
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("give a number of seconds from 0.05 to 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{DateTime, Instance, Value};
    use std::time::UNIX_EPOCH;

    fn source(status: u32, remaining: u64, recovered: u64, last: Option<u64>) -> Group {
        let volume = Instance::new("MSFT_WvrReplica")
            .with("PartitionSize", Value::Uint64(4 << 30))
            .with("NumOfBytesRemaining", Value::Uint64(remaining))
            .with("NumOfBytesRecovered", Value::Uint64(recovered));
        let mut group = Instance::new("MSFT_WvrReplicationGroup")
            .with("Name", "G")
            .with("IsPrimary", true)
            .with("IsInPartnership", true)
            .with("ReplicationStatus", Value::Uint32(status))
            .with("Replicas", Value::Array(vec![Some(Value::Instance(Box::new(volume)))]));
        if let Some(second) = last {
            let at = DateTime::from_system_time(UNIX_EPOCH + Duration::from_secs(second));
            group = group.with("LastInSyncTime", Value::DateTime(at));
        }
        Group::of(&group)
    }

    #[test]
    fn the_lag_is_the_age_of_the_last_common_state() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_010);
        assert_eq!(lag(&source(12, 0, 0, Some(1_800_000_000)), now), Some(Duration::ZERO));
        assert_eq!(lag(&source(14, 1, 0, Some(1_800_000_000)), now), Some(Duration::from_secs(10)));
        assert_eq!(lag(&source(10, 1, 0, None), now), None);
    }

    #[test]
    fn a_line_tells_what_remains_how_fast_and_how_late() {
        let group = source(10, 1 << 30, 3 << 30, None);
        assert_eq!(
            line(&group, "beta", Some(f64::from(200 << 20)), None),
            "G → beta: copying everything  1.0 GiB of 4.0 GiB remain  200 MiB/s  never in sync"
        );
        let group = source(1, 0, 4 << 30, Some(1_800_000_000));
        assert_eq!(
            line(&group, "beta", Some(0.0), Some(Duration::ZERO)),
            "G → beta: replicating  0 B of 4.0 GiB remain  lag 0 s  last in sync 2027-01-15 08:00:00 UTC"
        );
    }

    #[test]
    fn the_rate_is_that_of_the_last_looks_and_begins_anew_with_a_new_copy() {
        let mut view = View::new(true);
        let begin = Instant::now();
        let mut at =
            |seconds, done| view.rate(&source(10, 0, done, None), begin + Duration::from_secs(seconds));
        assert_eq!(at(0, 0), None);
        assert_eq!(at(2, 200), Some(100.0));
        assert_eq!(at(4, 1000), Some(250.0));
        assert_eq!(at(5, 10), None, "a copy that has done less is another one");
        assert_eq!(at(6, 20), Some(10.0));
    }
}
