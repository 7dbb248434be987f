//! `cimwright mof`: MOF files checked, loaded into a server, and written back.

mod check;
mod files;
mod load;
mod show;

use crate::args::ConnectArgs;
use crate::exit::{CliError, Exit};
use cimwright_cim::Schema;
use cimwright_codec::mof::Diagnostic;
use clap::Subcommand;
use std::io::Write;
use std::path::PathBuf;

/// Check MOF files, load them into a server, or write the classes of a server as MOF
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what is wrong in MOF files; asks no server
    ///
    /// The files are read in order, as one text. Each may include files of its own directory and of those below.
    Check(CheckArgs),
    /// Compile MOF files and bring their qualifiers, classes and instances to a server
    ///
    /// What the namespace has already counts as declared. Nothing is sent before everything compiles.
    Load(LoadArgs),
    /// Write a class of a server as MOF that compiles
    Show(ShowArgs),
}

/// How files are compiled.
#[derive(clap::Args)]
pub(crate) struct CompileArgs {
    /// MOF files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Hold to the letter of the standard: every qualifier declared and in its scope, every class known
    #[arg(long)]
    strict: bool,

    /// Treat warnings as errors
    #[arg(long)]
    deny_warnings: bool,
}

/// `mof check`
#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    compile: CompileArgs,

    /// Namespace that the files begin in
    #[arg(long, value_name = "NAMESPACE", default_value = "root/cimv2")]
    namespace: String,

    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// `mof load`
#[derive(clap::Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    compile: CompileArgs,

    /// Compile against the classes of the server and say what would be sent, but send nothing
    #[arg(long, short)]
    dry_run: bool,

    /// Make the namespaces that the server does not have
    #[arg(long)]
    create_namespace: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// `mof show`
#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    /// The class, also with its namespace: root/cimv2:CIM_Process
    class: String,

    /// Write its superclasses and the declarations of all qualifiers before it, so that the text compiles by itself
    #[arg(long)]
    complete: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<Exit, CliError> {
    match args.command {
        Command::Check(args) => check::run(&args),
        Command::Load(args) => super::block_on(load::run(args)),
        Command::Show(args) => super::block_on(show::run(args)),
    }
}

/// The qualifiers of DSP0004, which a namespace need not declare.
fn common() -> Result<Schema, CliError> {
    crate::schema::common_qualifiers().map_err(|findings| {
        let texts: String = findings.iter().map(Diagnostic::render).collect();
        CliError::new(Exit::Trouble, format!("the qualifiers of DSP0004 do not compile: {texts}"))
    })
}

/// Tells the findings to the person, and how many there were.
fn report(findings: &[Diagnostic]) {
    use cimwright_codec::mof::Level;
    let mut text = String::new();
    for finding in findings {
        text.push_str(&crate::render::text::clean(&finding.render()));
    }
    let errors = findings.iter().filter(|f| f.level == Level::Error).count();
    let warnings = findings.len() - errors;
    let count = |n: usize, word: &str| match n {
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    };
    match (errors, warnings) {
        (0, 0) => {}
        (0, _) => text.push_str(&format!("cimwright: {}\n", count(warnings, "warning"))),
        (_, 0) => text.push_str(&format!("cimwright: {}\n", count(errors, "error"))),
        _ => {
            text.push_str(&format!("cimwright: {}, {}\n", count(errors, "error"), count(warnings, "warning")))
        }
    }
    // Nobody left to tell when this fails.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
