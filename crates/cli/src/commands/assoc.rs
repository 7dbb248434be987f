//! `cimwright assoc`

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit};
use crate::output::{self, Format, OutputArgs};
use crate::session::Session;
use cimwright_cim::operation::AssociationFilter;
use cimwright_cim::{Name, ObjectPath};

/// Show what an instance is associated with
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The path of the instance
    path: String,

    /// Only over associations of this class or its subclasses
    #[arg(long, alias = "ac", value_name = "CLASS")]
    assoc_class: Option<String>,

    /// Only far ends (with --references: associations) of this class or its subclasses
    #[arg(long, alias = "rc", value_name = "CLASS")]
    result_class: Option<String>,

    /// The property of the association that names the instance
    #[arg(long, short, value_name = "NAME")]
    role: Option<String>,

    /// The property of the association that names the far end
    #[arg(long, alias = "rr", value_name = "NAME")]
    result_role: Option<String>,

    /// Show the associations themselves, not what is at their other end
    #[arg(long, conflicts_with_all = ["assoc_class", "result_role"])]
    references: bool,

    /// Show only the paths
    #[arg(long, alias = "no")]
    names_only: bool,

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
    let path = match session.object(&args.path).await? {
        ObjectPath::Instance(path) => path,
        ObjectPath::Class(path) => {
            return Err(CliError::usage(format!(
                "assoc takes the path of an instance; {} is a class",
                path.class
            ))
            .advise("`cimwright enum CLASS --names-only` lists the paths of its instances"));
        }
    };
    let name = |text: &Option<String>| text.as_deref().map(Name::new);
    let filter = AssociationFilter {
        assoc_class: name(&args.assoc_class),
        result_class: name(&args.result_class),
        role: name(&args.role),
        result_role: name(&args.result_role),
    };
    let format = args.output.format(&session, Format::Text);
    let client = &session.client;
    if args.names_only {
        let found = match args.references {
            true => client.reference_names(&path, filter).await?,
            false => client.associator_names(&path, filter).await?,
        };
        output::paths(&found, format)?;
    } else {
        let found = match args.references {
            true => client.references(&path, filter).await?,
            false => client.associators(&path, filter).await?,
        };
        output::instances(&session, &found, format, args.all).await?;
    }
    Ok(Exit::Ok)
}
