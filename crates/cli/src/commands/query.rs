//! `cimwright query`

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit};
use crate::output::{self, Format, OutputArgs};
use crate::session::Session;
use cimwright_cim::CimStatus;
use cimwright_codec::query;

/// Show what a query finds
///
/// The text goes to the server as it is. Without --namespace, the class after FROM is looked for in the namespaces that are known.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The query, such as "SELECT * FROM CIM_ConcreteJob WHERE JobState = 10"
    text: String,

    /// Its language: WQL, DMTF:CQL, or any other that the server knows
    #[arg(long, alias = "query-language", alias = "ql", value_name = "LANGUAGE", default_value = "WQL")]
    language: String,

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
    let namespace = match (&session.namespaces[..], query::parse(&args.language, &args.text)) {
        ([only], _) => only.clone(),
        (_, Ok(query)) => session.namespace_with(query.from.as_str()).await?,
        // What we do not understand the server may; it has to be told where.
        (_, Err(error)) => {
            let advice = match error.status {
                CimStatus::InvalidQuery => {
                    "correct the text of the query there; --namespace sends it as it is, to a server that takes more"
                }
                _ => "with --namespace the query goes to the server as it is",
            };
            return Err(CliError::usage(error.description).advise(advice));
        }
    };
    let mut found = session.client.exec_query_text(&namespace, &args.language, &args.text).await?;
    for one in &mut found {
        if let Some(path) = &mut one.path {
            path.namespace.get_or_insert_with(|| namespace.clone());
        }
    }
    output::instances(&session, &found, args.output.format(&session, Format::Table), args.all).await?;
    Ok(Exit::Ok)
}
