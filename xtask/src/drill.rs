//! `cargo xtask drill` and `cargo xtask bench`: build the server and the program that treats it roughly, and run that.
//!
//! What they do is in the `cimwright-bench` package; it needs a client and a runtime, which this program does not.

use crate::failure::{Failure, Result};
use crate::server::{self, Profile};
use crate::test::interop;
use crate::{install, process, term};
use std::path::PathBuf;
use std::process::Command;

/// One of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Kills the server under load.
    Drill,
    /// Measures it.
    Bench,
}

impl Program {
    fn binary(self) -> &'static str {
        match self {
            Self::Drill => "cimwright-drill",
            Self::Bench => "cimwright-bench",
        }
    }
}

/// Builds and runs the program; it understands the options itself.
pub(crate) fn run(program: Program, options: &[String]) -> Result<()> {
    let (own, passed): (Vec<_>, Vec<_>) = options.iter().partition(|o| *o == "--no-install");
    let helps = passed.iter().any(|o| *o == "--help" || *o == "-h");
    if !helps {
        install::packages(&[install::QEMU_IMG], own.is_empty())?;
        term::note("building (the first time takes a few minutes) …");
    }
    let binary = build(program)?;
    let mut command = Command::new(binary);
    command.current_dir(process::workspace());
    if !helps {
        command.arg("--server").arg(server::build(Profile::Release)?);
    }
    if program == Program::Bench && !helps {
        // Both are extra: without them, that part says so.
        let schema = process::workspace().join("../shared/data/cim_schema_2.49.0Final-MOFs.zip");
        if schema.is_file() && !passed.iter().any(|o| *o == "--schema") {
            command.arg("--schema").arg(schema);
        }
        if let Ok(python) = install::python(&interop::requirements(), false) {
            command.arg("--python").arg(python);
        }
    }
    let status = command.args(passed).status();
    let failed =
        |how: String| Failure::Program { line: program.binary().to_owned(), how, said: String::new() };
    match status {
        Ok(status) if status.success() => Ok(()),
        // It has said why itself.
        Ok(status) => Err(failed(format!("failed ({status})"))),
        Err(error) => Err(failed(format!("could not be started: {error}"))),
    }
}

fn build(program: Program) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--quiet", "--release", "--package", "cimwright-bench"]);
    process::show(&mut cargo)?;
    Ok(process::target_directory().join("release").join(program.binary()))
}
