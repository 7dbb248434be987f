//! `cimwright get`

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit};
use crate::output::{self, Format, OutputArgs};
use crate::session::Session;
use cimwright_cim::{NamespaceName, ObjectPath};

/// Show an instance, or the paths of the instances of a class
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A path (root/virtualization/v2:Msvm_StorageJob.InstanceID="…"), or a class for the paths of its instances
    path: String,

    /// Show properties that are NULL as well
    #[arg(long)]
    all: bool,

    /// Show only these properties
    #[arg(long, alias = "pl", value_name = "NAMES", value_delimiter = ',')]
    property_list: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    match session.object(&args.path).await? {
        ObjectPath::Instance(path) => {
            let list: Vec<&str> = args.property_list.iter().map(String::as_str).collect();
            let list = (!list.is_empty()).then_some(&list[..]);
            let found = session.client.get_instance(&path, list).await?;
            output::one_instance(&session, &found, args.output.format(&session, Format::Text), args.all)
                .await?;
        }
        ObjectPath::Class(path) => {
            let namespace = path.namespace.clone().unwrap_or_else(|| NamespaceName::new(""));
            let names = session.client.enumerate_instance_names(&namespace, path.class.as_str()).await?;
            output::paths(&names, args.output.format(&session, Format::Text))?;
        }
    }
    Ok(Exit::Ok)
}
