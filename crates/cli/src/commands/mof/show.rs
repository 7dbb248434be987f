//! `cimwright mof show`

use super::ShowArgs;
use super::load::own;
use crate::commands::class::{declarations, get};
use crate::exit::{CliError, Exit, say};
use crate::render::text::clean;
use crate::session::Session;
use cimwright_cim::operation::ClassOptions;
use cimwright_cim::{Class, NamespaceName, ObjectPath, Qualifier, Schema};
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
    let mut schema = declarations(&session, &namespace).await;
    let mut classes = vec![class];
    while let Some(superclass) = classes.last().and_then(|c| c.superclass.clone()).filter(|_| args.complete) {
        let mut class = get(&session, &namespace, superclass.as_str(), options.clone()).await?;
        own(&mut class);
        classes.push(class);
    }
    if args.complete {
        // Where the server needs no declaration, whoever compiles the text does.
        add_common(schema.get_or_insert_default(), &super::common()?, &classes);
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

/// Adds the common qualifiers that stand on the classes and that the namespace does not declare.
fn add_common(schema: &mut Schema, common: &Schema, classes: &[Class]) {
    for Qualifier { name, .. } in classes.iter().flat_map(used) {
        if schema.qualifier(name.as_str()).is_none()
            && let Some(declaration) = common.qualifier(name.as_str())
        {
            schema.set_qualifier(declaration.clone());
        }
    }
}

/// All qualifiers of a class and of what it declares.
fn used(class: &Class) -> impl Iterator<Item = &Qualifier> {
    let properties = class.properties.iter().flat_map(|p| &p.qualifiers);
    let methods = class.methods.iter().flat_map(|m| {
        m.qualifiers.iter().chain(m.parameters.iter().flat_map(|parameter| &parameter.qualifiers))
    });
    class.qualifiers.iter().chain(properties).chain(methods)
}
