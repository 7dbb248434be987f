//! `cimwright get`

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit, say};
use crate::render::text::clean_line;
use crate::render::{instance, json};
use crate::session::{Session, path_text};
use cimwright_cim::{NamespaceName, ObjectPath};

/// Show an instance, or the paths of the instances of a class
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A path (root/virtualization/v2:Msvm_StorageJob.InstanceID="…"), or a class for the paths of its instances
    path: String,

    /// Show properties that are NULL as well
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    match session.object(&args.path).await? {
        ObjectPath::Instance(path) => {
            let found = session.client.get_instance(&path, None).await?;
            if session.json {
                say(&json::pretty(&json::instance(&found)))?;
            } else {
                // The class only adds remarks; without it the instance is still worth showing.
                let namespace = path.namespace.clone().unwrap_or_else(|| NamespaceName::new(""));
                let class = session.client.get_class(&namespace, found.class.as_str()).await.ok();
                say(&instance::text(&found, class.as_ref(), args.all))?;
            }
        }
        ObjectPath::Class(path) => {
            let namespace = path.namespace.clone().unwrap_or_else(|| NamespaceName::new(""));
            let names = session.client.enumerate_instance_names(&namespace, path.class.as_str()).await?;
            let names: Vec<String> = names.iter().map(path_text).collect();
            if session.json {
                say(&json::pretty(&names.into()))?;
            } else {
                for name in names {
                    say(&clean_line(&name))?;
                }
            }
        }
    }
    Ok(Exit::Ok)
}
