//! `cimwright mof check`

use super::CheckArgs;
use super::files::Files;
use crate::exit::{CliError, Exit, say};
use crate::render::json;
use cimwright_cim::NamespaceName;
use cimwright_codec::mof::{Diagnostic, Level, Options, Schemas, compile};

/// Runs the command.
pub(super) fn run(args: &CheckArgs) -> Result<Exit, CliError> {
    let files = Files::read(&args.compile.files)?;
    let options =
        Options { default_namespace: NamespaceName::new(&args.namespace), strict: args.compile.strict };
    let mut schemas = Schemas::new();
    let (findings, instances) = match compile(&files.sources, &files, &mut schemas, &options) {
        Ok(compiled) => (compiled.warnings, compiled.instances.len()),
        Err(findings) => (findings, 0),
    };
    let failed = findings.iter().any(|f| f.level == Level::Error || args.compile.deny_warnings);
    if args.json {
        say(&json::pretty(&findings.iter().map(finding).collect()))?;
    } else {
        super::report(&findings);
        if !failed {
            let classes = || {
                schemas.values().flat_map(|s| s.class_names().iter().filter_map(|n| s.declared(n.as_str())))
            };
            let properties: usize = classes().map(|c| c.properties.len()).sum();
            let methods: usize = classes().map(|c| c.methods.len()).sum();
            let qualifiers: usize = schemas.values().map(|s| s.qualifiers().count()).sum();
            say(&format!(
                "{} classes with {properties} properties and {methods} methods, {qualifiers} qualifier declarations, \
                 {instances} instances",
                classes().count()
            ))?;
        }
    }
    // The program ends here; taking the classes apart one by one would be a fifth of the time.
    std::mem::forget(schemas);
    Ok(if failed { Exit::Unsuccessful } else { Exit::Ok })
}

fn finding(finding: &Diagnostic) -> serde_json::Value {
    serde_json::json!({
        "level": match finding.level {
            Level::Error => "error",
            Level::Warning => "warning",
        },
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "text": finding.text,
        "message": finding.message,
        "hint": finding.hint,
    })
}
