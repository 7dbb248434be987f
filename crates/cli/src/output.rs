//! `--output`: the forms in which objects are shown.

use crate::exit::{CliError, say};
use crate::render::text::{clean, clean_line};
use crate::render::{instance, json, table};
use crate::session::{Session, path_text};
use cimwright_cim::{Class, Instance, InstancePath, NamespaceName, Schema};
use cimwright_codec::{cimxml, mof};
use std::collections::HashMap;

/// A form of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For reading: in the style of MOF, with the names of values beside them
    Text,
    /// One line for each object, one column for each property
    Table,
    /// MOF that compiles
    Mof,
    /// CIM-XML
    Xml,
    /// JSON
    Json,
}

/// The option of the commands that show objects.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct OutputArgs {
    /// How objects are shown
    #[arg(long, alias = "output-format", short, value_enum, value_name = "FORMAT", conflicts_with = "json")]
    pub(crate) output: Option<Format>,
}

impl OutputArgs {
    /// The form asked for; `--json` asks for one too.
    pub(crate) fn format(&self, session: &Session, usual: Format) -> Format {
        match self.output {
            None if session.json => Format::Json,
            None => usual,
            Some(format) => format,
        }
    }
}

/// Shows instances. `all`: also the properties that are NULL.
pub(crate) async fn instances(
    session: &Session,
    found: &[Instance],
    format: Format,
    all: bool,
) -> Result<(), CliError> {
    match format {
        Format::Text => {
            let classes = classes_of(session, found).await;
            for (at, one) in found.iter().enumerate() {
                if at > 0 {
                    say("")?;
                }
                if let Some(path) = one.path.as_ref().filter(|_| found.len() > 1) {
                    say(&clean_line(&format!("// {}", path_text(path))))?;
                }
                say(&clean(&instance::text(one, class_of(&classes, one), all)))?;
            }
            Ok(())
        }
        Format::Table => {
            let classes = classes_of(session, found).await;
            say(&table::instances(found, |one| class_of(&classes, one), all))
        }
        Format::Mof => {
            for one in found {
                say(clean(&mof::print_instance(one)).trim_end())?;
            }
            Ok(())
        }
        Format::Xml => found.iter().try_for_each(|one| say(&clean(&cimxml::instance_with_path_text(one)))),
        Format::Json => say(&json::pretty(&found.iter().map(json::instance).collect())),
    }
}

/// Shows one instance: as [`instances`], but JSON is an object and no array.
pub(crate) async fn one_instance(
    session: &Session,
    found: &Instance,
    format: Format,
    all: bool,
) -> Result<(), CliError> {
    match format {
        Format::Json => say(&json::pretty(&json::instance(found))),
        other => instances(session, std::slice::from_ref(found), other, all).await,
    }
}

/// Shows paths.
pub(crate) fn paths(found: &[InstancePath], format: Format) -> Result<(), CliError> {
    match format {
        Format::Text | Format::Mof => found.iter().try_for_each(|path| say(&clean_line(&path_text(path)))),
        Format::Table => say(&table::paths(found)),
        Format::Xml => found.iter().try_for_each(|path| say(&clean(&cimxml::instance_path_text(path)))),
        Format::Json => say(&json::pretty(&found.iter().map(path_text).collect())),
    }
}

/// Shows a class. `schema` has the declarations of its qualifiers, which tell MOF what need not be said.
pub(crate) fn class(found: &Class, format: Format, schema: Option<&Schema>) -> Result<(), CliError> {
    match format {
        Format::Text | Format::Mof => say(clean(&mof::print_class(found, schema)).trim_end()),
        Format::Table => say(&table::class(found)),
        Format::Xml => say(&clean(&cimxml::class_text(found))),
        Format::Json => say(&json::pretty(&json::class(found))),
    }
}

/// The classes of the instances, where the server tells them: they only add remarks.
async fn classes_of(session: &Session, found: &[Instance]) -> HashMap<(NamespaceName, String), Class> {
    let mut classes = HashMap::new();
    for one in found {
        let key = class_key(one);
        if !classes.contains_key(&key)
            && let Ok(class) = session.client.get_class(&key.0, one.class.as_str()).await
        {
            classes.insert(key, class);
        }
    }
    classes
}

fn class_of<'c>(classes: &'c HashMap<(NamespaceName, String), Class>, one: &Instance) -> Option<&'c Class> {
    classes.get(&class_key(one))
}

fn class_key(one: &Instance) -> (NamespaceName, String) {
    let namespace = one.path.as_ref().and_then(|p| p.namespace.clone());
    (namespace.unwrap_or_else(|| NamespaceName::new("")), one.class.as_str().to_ascii_lowercase())
}
