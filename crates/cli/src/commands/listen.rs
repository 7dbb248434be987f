//! `cimwright listen`

use crate::exit::{CliError, Exit, remark, say};
use crate::render::json;
use crate::render::text::clean_line;
use cimwright_cim::{CimError, Instance, Property, Value};
use cimwright_client::{Arrival, Listener, Taker, server_config};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// How many properties of a change are shown on its line.
const SHOWN: usize = 6;

/// Receive indications and print them, one line each
///
/// A subscription on the server has to lead here: docs/indications.md shows how to make one. Whatever arrives twice is printed
/// once; what was lost on the way is told. Ctrl-C ends it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 5990)]
    port: u16,

    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    bind: IpAddr,

    /// PEM file with the certificate of the listener; it then speaks https and nothing else
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,

    /// PEM file with the private key of the certificate
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,

    /// Write the URL of the listener to this file once it listens
    #[arg(long, value_name = "FILE")]
    url_file: Option<PathBuf>,

    /// End after so many indications
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Print each indication as JSON on a line of its own
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let trouble = |what: String| CliError::new(Exit::Trouble, what);
    let tls = match (&args.certificate, &args.key) {
        (Some(certificate), Some(key)) => Some(server_config(certificate, key).map_err(trouble)?),
        _ => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let wanted = SocketAddr::new(args.bind, args.port);
    let listener = Listener::bind(wanted, tls).await.map_err(|e| {
        trouble(format!("cannot listen on {wanted}: {e}")).advise("--port 0 takes a free port")
    })?;
    let address = listener.address().map_err(|e| trouble(format!("cannot listen on {wanted}: {e}")))?;
    let url = format!("{scheme}://{address}");
    remark(&format!("listening on {url}"));
    if let Some(file) = &args.url_file {
        let beside = file.with_extension("new");
        std::fs::write(&beside, format!("{url}\n"))
            .and_then(|()| std::fs::rename(&beside, file))
            .map_err(|e| trouble(format!("cannot write {}: {e}", file.display())))?;
    }
    // Printed before it is acknowledged: what was answered has been seen. So the taker prints and only counts here.
    let (sender, mut printed) = mpsc::unbounded_channel::<Result<(), CliError>>();
    let as_json = args.json;
    let left = args.count.map(AtomicU64::new);
    let taker: Taker = Arc::new(move |indication, arrival| {
        // They come over several connections, and faster than this program ends: what is not wanted is not acknowledged either.
        let wanted = |left: &AtomicU64| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
        };
        if !left.as_ref().is_none_or(wanted) {
            return Err(CimError::failed("this listener takes no more"));
        }
        let outcome = show(&indication, arrival, as_json);
        let told = outcome.as_ref().map_err(|e| CimError::failed(e.message.clone())).copied();
        let _ = sender.send(outcome);
        told
    });
    let receiving = listener.run(taker);
    let mut left = args.count;
    let counting = async {
        while let Some(outcome) = printed.recv().await {
            outcome?;
            if let Some(left) = &mut left {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    // The answer to the last one is still on its way.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    break;
                }
            }
        }
        Ok(Exit::Ok)
    };
    tokio::select! {
        () = receiving => Ok(Exit::Ok),
        outcome = counting => outcome,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Ok),
    }
}

fn show(indication: &Instance, arrival: Arrival, as_json: bool) -> Result<(), CliError> {
    if let Arrival::After(lost) = arrival {
        remark(&format!("{lost} indications were lost before the next one"));
    }
    if as_json { say(&json::instance(indication).to_string()) } else { say(&line(indication)) }
}

/// The time, what happened, to what, and what is different now.
fn line(indication: &Instance) -> String {
    let time = match indication.get("IndicationTime") {
        Some(Value::DateTime(time)) => time.to_string(),
        _ => "-".to_owned(),
    };
    let number = indication.get("SequenceNumber").and_then(Value::as_i128);
    let number = number.map_or_else(String::new, |n| format!(" #{n}"));
    let mut line = format!("{time}{number} {}", indication.class);
    if let Some(path) = indication.get_str("SourceInstanceModelPath") {
        line.push(' ');
        line.push_str(path);
    }
    let embedded = |name: &str| indication.get(name).and_then(Value::as_instance);
    let mut parts = Vec::new();
    match (embedded("PreviousInstance"), embedded("SourceInstance")) {
        (Some(before), Some(after)) => {
            for property in &after.properties {
                let old = before.get(property.name.as_str());
                if old != property.value.as_ref() {
                    parts.push(format!(
                        "{} {} → {}",
                        property.name,
                        text(old),
                        text(property.value.as_ref())
                    ));
                }
            }
        }
        (None, Some(instance)) => parts.extend(plain(&instance.properties)),
        _ => parts.extend(plain(&indication.properties)),
    }
    let more = parts.len().saturating_sub(SHOWN);
    parts.truncate(SHOWN);
    if !parts.is_empty() {
        line.push_str(": ");
        line.push_str(&parts.join(", "));
    }
    if more > 0 {
        line.push_str(&format!(" and {more} more"));
    }
    clean_line(&line)
}

/// The properties that hold something, without those that every indication has.
fn plain(properties: &[Property]) -> Vec<String> {
    const COMMON: [&str; 7] = [
        "IndicationIdentifier",
        "IndicationTime",
        "IndicationFilterName",
        "SequenceContext",
        "SequenceNumber",
        "SourceInstanceModelPath",
        "SourceInstanceHost",
    ];
    properties
        .iter()
        .filter(|p| p.value.is_some() && !COMMON.iter().any(|c| p.name.is(c)))
        .map(|p| format!("{} {}", p.name, text(p.value.as_ref())))
        .collect()
}

fn text(value: Option<&Value>) -> String {
    json::value(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_by_what_is_different() {
        let job = |state: u16| {
            Value::Instance(Box::new(
                Instance::new("J").with("Name", "x").with("JobState", Value::Uint16(state)),
            ))
        };
        let indication = Instance::new("CIM_InstModification")
            .with("SequenceNumber", Value::Sint64(3))
            .with("SourceInstanceModelPath", "root/a:J.Name=\"x\"")
            .with("PreviousInstance", job(4))
            .with("SourceInstance", job(7));
        assert_eq!(line(&indication), "- #3 CIM_InstModification root/a:J.Name=\"x\": JobState 4 → 7");
        let alert = Instance::new("CIM_AlertIndication")
            .with("AlertType", Value::Uint16(5))
            .with("Message", "hot\u{1b}[2J");
        assert_eq!(line(&alert).matches('\u{1b}').count(), 0, "no control characters on the terminal");
    }
}
