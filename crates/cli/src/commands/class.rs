//! `cimwright class`

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit};
use crate::output::{self, Format, OutputArgs};
use crate::session::Session;
use cimwright_cim::operation::ClassOptions;
use cimwright_cim::{Class, Name, NamespaceName, ObjectPath, Operation, OperationResult, Request, Schema};

/// Show a class
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The class, also with its namespace: root/cimv2:CIM_Process
    class: String,

    /// Show only what the class itself declares
    #[arg(long, alias = "lo")]
    local_only: bool,

    /// Leave the qualifiers out
    #[arg(long, alias = "nq")]
    no_qualifiers: bool,

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
    let ObjectPath::Class(path) = session.object(&args.class).await? else {
        return Err(CliError::usage("class takes the name of a class, not the path of an instance"));
    };
    let namespace = path.namespace.clone().unwrap_or_else(|| NamespaceName::new(""));
    let list: Vec<Name> = args.property_list.iter().map(Name::new).collect();
    let options = ClassOptions {
        local_only: args.local_only,
        include_qualifiers: !args.no_qualifiers,
        include_class_origin: true,
        property_list: (!list.is_empty()).then_some(list),
    };
    let class = get(&session, &namespace, path.class.as_str(), options).await?;
    let format = args.output.format(&session, Format::Mof);
    let schema = match format {
        Format::Mof | Format::Text => declarations(&session, &namespace).await,
        _ => None,
    };
    output::class(&class, format, schema.as_ref())?;
    Ok(Exit::Ok)
}

/// GetClass.
pub(crate) async fn get(
    session: &Session,
    namespace: &NamespaceName,
    class: &str,
    options: ClassOptions,
) -> Result<Class, CliError> {
    let operation = Operation::GetClass { class: class.into(), options };
    match session.client.execute(&Request { namespace: namespace.clone(), operation }).await? {
        OperationResult::Class(class) => Ok(*class),
        _ => Err(CliError::new(Exit::Trouble, "the server answered GetClass with something else")),
    }
}

/// The qualifier declarations of a namespace, where the server tells them: with them MOF says less about each qualifier.
pub(crate) async fn declarations(session: &Session, namespace: &NamespaceName) -> Option<Schema> {
    let request = Request { namespace: namespace.clone(), operation: Operation::EnumerateQualifiers };
    let Ok(OperationResult::Qualifiers(declarations)) = session.client.execute(&request).await else {
        return None;
    };
    let mut schema = Schema::new();
    declarations.into_iter().for_each(|declaration| schema.set_qualifier(declaration));
    Some(schema)
}
