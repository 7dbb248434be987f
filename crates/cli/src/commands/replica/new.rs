//! `cimwright replica new`

use super::{Call, carry_out, replication};
use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit};
use crate::session::Session;
use cimwright_cim::{Catalogue, Param, Value};

/// Make a topology: a group on both computers and the partnership between them. The destination is overwritten
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the groups
    group: String,

    /// Computer whose volumes are copied. Without it, the computer that is asked
    #[arg(long, value_name = "COMPUTER")]
    source: Option<String>,

    /// Volume of the source: a file or a block device. May be given several times
    #[arg(long, value_name = "PATH", required = true)]
    source_volume: Vec<String>,

    /// Where the log of the source goes: a file, or a directory that exists
    #[arg(long, value_name = "PATH")]
    source_log: String,

    /// Computer that takes the copy, as `cimwright computer ls` on the source names it
    #[arg(long, value_name = "COMPUTER")]
    destination: String,

    /// Volume of the destination, of the same size as that of the source; in the same order
    #[arg(long, value_name = "PATH", required = true)]
    destination_volume: Vec<String>,

    /// Where the log of the destination goes
    #[arg(long, value_name = "PATH")]
    destination_log: String,

    /// Name of the group of the destination, if it is another one
    #[arg(long, value_name = "GROUP")]
    destination_group: Option<String>,

    /// Size of each log in bytes; K, M and G are understood. Without it, the server chooses
    #[arg(long, value_name = "SIZE", value_parser = size)]
    log_size: Option<u64>,

    /// Writes do not wait for the destination
    #[arg(long = "async")]
    asynchronous: bool,

    /// How far the destination may fall behind, in seconds
    #[arg(long, value_name = "SECONDS", requires = "asynchronous")]
    rpo: Option<u32>,

    /// Encrypt the blocks on their way
    #[arg(long)]
    encrypt: bool,

    /// Do not copy yet; `cimwright replica resume` starts it
    #[arg(long)]
    prevent: bool,

    /// Follow the first copy; the exit code is then that of its job
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(super) async fn run(args: Args, catalogues: &[&Catalogue]) -> Result<Exit, CliError> {
    let (ours, theirs) = (args.source_volume.len(), args.destination_volume.len());
    if ours != theirs {
        return Err(CliError::usage(format!("{ours} volumes of the source and {theirs} of the destination"))
            .advise("give one --destination-volume for every --source-volume, in the same order"));
    }
    let session = Session::open(&args.connect).await?;
    let replication = replication(&session);
    let there = args.destination_group.as_deref().unwrap_or(&args.group);
    let then = match args.prevent {
        true => format!("Nothing is copied before `cimwright replica resume {}`.", args.group),
        false => format!("`cimwright replica watch {}` shows how the copy goes.", args.group),
    };
    let done = format!("{} is replicated to {there} on {}. {then}", args.group, args.destination);
    let call = Call { method: "CreateTopology", params: params(&args, there), done, wait: args.wait };
    carry_out(&session, &replication, call, catalogues).await
}

fn params(args: &Args, there: &str) -> Vec<Param> {
    let texts = |list: &[String]| Value::strings(list.iter().cloned());
    let mut params = vec![
        Param::new("SourceRGName", args.group.as_str()),
        Param::new("SourceVolumeName", texts(&args.source_volume)),
        Param::new("SourceLogVolumeName", args.source_log.as_str()),
        Param::new("DestinationComputerName", args.destination.as_str()),
        Param::new("DestinationRGName", there),
        Param::new("DestinationVolumeName", texts(&args.destination_volume)),
        Param::new("DestinationLogVolumeName", args.destination_log.as_str()),
        Param::new("ReplicationMode", Value::Uint32(if args.asynchronous { 2 } else { 1 })),
    ];
    params.extend(args.source.as_deref().map(|name| Param::new("SourceComputerName", name)));
    params.extend(args.log_size.map(|bytes| Param::new("LogSizeInBytes", Value::Uint64(bytes))));
    params.extend(args.rpo.map(|seconds| Param::new("AsyncRPO", Value::Uint32(seconds))));
    params.extend(args.encrypt.then(|| Param::new("EnableEncryption", true)));
    params.extend(args.prevent.then(|| Param::new("PreventReplication", true)));
    params
}

/// A number of bytes with a binary unit.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is no size; write 67108864, 64M or 1G");
    let bare = text.trim().trim_end_matches(['B', 'b']).trim_end_matches('i');
    let (digits, shift) = match bare.char_indices().last() {
        Some((at, 'K' | 'k')) => (&bare[..at], 10),
        Some((at, 'M' | 'm')) => (&bare[..at], 20),
        Some((at, 'G' | 'g')) => (&bare[..at], 30),
        _ => (bare, 0),
    };
    let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size("67108864"), Ok(64 << 20));
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!(size("1 GiB"), Ok(1 << 30));
        assert_eq!(size("2k"), Ok(2048));
        for wrong in ["", "M", "-1", "1T5", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
