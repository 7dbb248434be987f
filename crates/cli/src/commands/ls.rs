//! `cimwright ls`

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit, say};
use crate::render::json;
use crate::render::text::clean_line;
use crate::session::Session;
use cimwright_cim::{ClassName, NamespaceName, Operation, OperationResult, Request};

/// List the namespaces of a server, or the classes of a namespace
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The namespace whose classes are wanted; without it, or --namespace, the namespaces are listed
    namespace_name: Option<String>,

    /// Only the subclasses of this class
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,

    /// Only the classes right below, not those below them
    #[arg(long)]
    shallow: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    let wanted = match &args.namespace_name {
        Some(name) => vec![NamespaceName::new(name)],
        None => session.namespaces.clone(),
    };
    if wanted.is_empty() {
        if args.class.is_some() {
            return Err(
                CliError::usage("--class needs a namespace").advise("cimwright ls NAMESPACE --class CLASS")
            );
        }
        let found = session.all_namespaces().await?;
        let names: Vec<&str> = found.iter().map(NamespaceName::as_str).collect();
        return list(&session, &names);
    }
    let mut names: Vec<String> = Vec::new();
    for namespace in &wanted {
        let prefix = if wanted.len() > 1 { format!("{namespace}:") } else { String::new() };
        let operation = Operation::EnumerateClassNames {
            class: args.class.as_deref().map(ClassName::new),
            deep: !args.shallow,
        };
        match session.client.execute(&Request { namespace: namespace.clone(), operation }).await? {
            OperationResult::ClassNames(found) => {
                let mut found: Vec<String> = found.iter().map(|name| format!("{prefix}{name}")).collect();
                found.sort_by_key(|name| name.to_ascii_lowercase());
                names.append(&mut found);
            }
            OperationResult::Void => {}
            _ => return Err(CliError::new(Exit::Trouble, "the server answered with something else")),
        }
    }
    list(&session, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn list(session: &Session, names: &[&str]) -> Result<Exit, CliError> {
    if session.json {
        say(&json::pretty(&names.to_vec().into()))?;
    } else {
        names.iter().try_for_each(|name| say(&clean_line(name)))?;
    }
    Ok(Exit::Ok)
}
