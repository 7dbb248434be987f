//! `cimwright mof show`

use super::ShowArgs;
use super::load::own;
use crate::commands::class::{declarations, get};
use crate::exit::{CliError, Exit, say};
use crate::render::text::clean;
use crate::session::Session;
use cimwright_cim::operation::ClassOptions;
use cimwright_cim::{NamespaceName, ObjectPath};
use cimwright_codec::mof::{print_class, print_qualifier};

/// Runs the command.
pub(super) async fn run(args: ShowArgs) -> Result<Exit, CliError> {
    let session = Session::open(&args.connect).await?;
    let ObjectPath::Class(path) = session.object(&args.class).await? else {
        return Err(CliError::usage("mof show takes the name of a class, not the path of an instance"));
    };
    let namespace = path.namespace.clone().unwrap_or_else(|| NamespaceName::new(""));
    let options = ClassOptions {
        local_only: true,
        include_qualifiers: true,
        include_class_origin: true,
        property_list: None,
    };
    let mut class = get(&session, &namespace, path.class.as_str(), options.clone()).await?;
    own(&mut class);
    let schema = declarations(&session, &namespace).await;
    let mut classes = vec![class];
    while let Some(superclass) = classes.last().and_then(|c| c.superclass.clone()).filter(|_| args.complete) {
        let mut class = get(&session, &namespace, superclass.as_str(), options.clone()).await?;
        own(&mut class);
        classes.push(class);
    }
    let mut text = String::new();
    if let Some(schema) = schema.as_ref().filter(|_| args.complete) {
        schema.qualifiers().for_each(|declaration| text.push_str(&print_qualifier(declaration)));
    }
    for class in classes.iter().rev() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&print_class(class, schema.as_ref()));
    }
    say(clean(&text).trim_end())?;
    Ok(Exit::Ok)
}
