//! `cimwright enum`

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit, say};
use crate::output::{self, Format, OutputArgs};
use crate::session::Session;
use cimwright_cim::{NamespaceName, ObjectPath};

/// How many instances are asked for at a time.
const PORTION: u32 = 500;

/// Show the instances of a class and its subclasses
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The class, also with its namespace: root/cimv2:CIM_Process
    class: String,

    /// Show only the paths
    #[arg(long, alias = "no")]
    names_only: bool,

    /// Show only these properties
    #[arg(long, alias = "pl", value_name = "NAMES", value_delimiter = ',')]
    property_list: Vec<String>,

    /// Show only how many there are
    #[arg(long, short, conflicts_with_all = ["output", "json"])]
    summary: bool,

    /// Show properties that are NULL as well
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    let ObjectPath::Class(path) = session.object(&args.class).await? else {
        return Err(CliError::usage("enum takes a class, not the path of an instance")
            .advise("`cimwright get PATH` shows one instance"));
    };
    let namespace = path.namespace.clone().unwrap_or_else(|| NamespaceName::new(""));
    let class = path.class.as_str();
    if args.names_only {
        let names = session.client.enumerate_instance_names(&namespace, class).await?;
        match args.summary {
            true => say(&format!("{} instances", names.len()))?,
            false => output::paths(&names, args.output.format(&session, Format::Text))?,
        }
        return Ok(Exit::Ok);
    }
    let list: Vec<&str> = args.property_list.iter().map(String::as_str).collect();
    let list = (!list.is_empty()).then_some(&list[..]);
    let found = session.client.open_instances(&namespace, class, list, PORTION).all().await?;
    match args.summary {
        true => say(&format!("{} instances", found.len()))?,
        false => {
            output::instances(&session, &found, args.output.format(&session, Format::Text), args.all).await?;
        }
    }
    Ok(Exit::Ok)
}
