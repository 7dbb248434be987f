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
    /// Kills daemons and servers of either side of a replicated volume under a verifying writer.
    ReplicaDrill,
    /// Kills listeners of indications and the server.
    IndicationsDrill,
    /// Measures it.
    Bench,
}

impl Program {
    /// The drill that the options of `drill` mean, and the options that are left for it.
    pub(crate) fn of_drill(options: &[String]) -> (Self, &[String]) {
        match options.split_first() {
            Some((first, rest)) if first == "replica" => (Self::ReplicaDrill, rest),
            Some((first, rest)) if first == "indications" => (Self::IndicationsDrill, rest),
            _ => (Self::Drill, options),
        }
    }

    /// Whether it replicates volumes with these options.
    fn replicates(self, options: &[&String]) -> bool {
        match self {
            Self::Drill | Self::IndicationsDrill => false,
            Self::ReplicaDrill => true,
            Self::Bench => self.does("replica", options),
        }
    }

    /// Whether it is the bench, and measures this part with these options.
    fn does(self, part: &str, options: &[&String]) -> bool {
        let only = options.iter().position(|o| o.starts_with("--only"));
        self == Self::Bench && only.is_none_or(|at| options[at..].iter().take(2).any(|o| o.contains(part)))
    }

    fn binary(self) -> &'static str {
        match self {
            Self::Drill => "cimwright-drill",
            Self::ReplicaDrill => "cimwright-replica-drill",
            Self::IndicationsDrill => "cimwright-indications-drill",
            Self::Bench => "cimwright-bench",
        }
    }
}

/// Builds and runs the program; it understands the options itself.
pub(crate) fn run(program: Program, options: &[String]) -> Result<()> {
    let (own, passed): (Vec<_>, Vec<_>) = options.iter().partition(|o| *o == "--no-install");
    let helps = passed.iter().any(|o| *o == "--help" || *o == "-h");
    if !helps {
        let may_install = own.is_empty();
        install::packages(&[install::QEMU_IMG], may_install)?;
        if program.replicates(&passed) {
            install::storage_daemon(may_install)?;
        }
        if program == Program::Bench && program.replicates(&passed) {
            install::packages(&[install::NBDCOPY], may_install)?;
        }
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
        let may_install = own.is_empty() && program.does("mof", &passed);
        if let Ok(python) = install::python(&interop::requirements(), may_install) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_chooses_the_drill_and_only_chooses_what_is_needed() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (drill, rest) = (words("replica --faults 3"), words("--kills 2"));
        assert_eq!(Program::of_drill(&drill), (Program::ReplicaDrill, &drill[1..]));
        assert_eq!(Program::of_drill(&rest), (Program::Drill, &rest[..]));
        let replicates = |line: &str| Program::Bench.replicates(&words(line).iter().collect::<Vec<_>>());
        assert!(replicates("--quick") && replicates("--only reads,replica") && replicates("--only=replica"));
        assert!(!replicates("--quick --only reads --write"));
        let mof = |line: &str| Program::Bench.does("mof", &words(line).iter().collect::<Vec<_>>());
        assert!(mof("") && mof("--only mof,reads") && mof("--only=mof") && !mof("--only statics"));
    }
}
