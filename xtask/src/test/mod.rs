//! `cargo xtask test`: everything that has to hold, the outside clients included.

pub(crate) mod interop;

use crate::failure::{Failure, Result};
use crate::{fuzz, install, process, term};
use std::time::{Duration, Instant};

/// The hidden command that runs the outside clients; see [`interop`].
pub(crate) const INTEROP_COMMAND: &str = "interop-in-own-mounts";

/// What the command line asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) may_install: bool,
    pub(crate) only: Vec<Stage>,
    pub(crate) matching: Option<String>,
}

/// One kind of test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Format,
    Clippy,
    Rust,
    Fuzz,
    Interop,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Format, Self::Clippy, Self::Rust, Self::Fuzz, Self::Interop];

    fn name(self) -> &'static str {
        match self {
            Self::Format => "fmt",
            Self::Clippy => "clippy",
            Self::Rust => "rust",
            Self::Fuzz => "fuzz",
            Self::Interop => "interop",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Format => "cargo fmt --all --check",
            Self::Clippy => "cargo clippy --workspace --all-targets -- -D warnings",
            Self::Rust => "cargo test --workspace",
            Self::Fuzz => "inputs that nobody would write",
            Self::Interop => "outside clients",
        }
    }

    fn run(self, options: &Options) -> Result<()> {
        let cargo = |arguments: &[&str]| process::show(process::cargo().args(arguments));
        match self {
            Self::Format => cargo(&["fmt", "--all", "--check"]),
            Self::Clippy => {
                cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
            }
            Self::Rust => {
                let mut test = process::cargo();
                test.args(["test", "--quiet", "--workspace", "--no-fail-fast"]);
                if std::env::var_os("RUST_TEST_THREADS").is_none() {
                    // Most tests wait for an engine or for time to pass, not for a processor.
                    let threads = 2 * std::thread::available_parallelism().map_or(1, usize::from);
                    test.env("RUST_TEST_THREADS", threads.to_string());
                }
                process::show(&mut test)
            }
            Self::Fuzz => fuzz::short(),
            Self::Interop => interop::run(options),
        }
    }
}

impl Options {
    /// Reads the options of `test`.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { may_install: true, only: Stage::ALL.to_vec(), matching: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| Failure::Usage(format!("{argument} needs a value")));
            match argument.as_str() {
                "--no-install" => options.may_install = false,
                "--only" => options.only = value()?.split(',').map(parse_stage).collect::<Result<_>>()?,
                "--match" => options.matching = Some(value()?.clone()),
                other => return Err(Failure::Usage(format!("test has no option {other:?}"))),
            }
        }
        Ok(options)
    }
}

fn parse_stage(name: &str) -> Result<Stage> {
    let stage = Stage::ALL.into_iter().find(|s| s.name() == name);
    stage.ok_or_else(|| Failure::Usage(format!("there are no tests called {name:?}")))
}

/// Runs the tests. All of them, even after a failure: one run should tell everything.
pub(crate) fn run(options: &Options) -> Result<()> {
    term::heading("What the tests need");
    let mut needs = Vec::new();
    if options.only.iter().any(|s| matches!(s, Stage::Rust | Stage::Interop)) {
        needs.push(install::QEMU_IMG);
    }
    if options.only.contains(&Stage::Interop) {
        needs.push(install::PYTHON_VENV);
        needs.extend(install::KERBEROS);
        needs.push(install::NODE);
    }
    install::packages(&needs, options.may_install)?;
    if options.only.contains(&Stage::Rust) {
        install::storage_daemon(options.may_install)?;
    }
    if options.only.contains(&Stage::Interop) {
        install::python(&interop::requirements(), options.may_install)?;
    }
    term::done("all there", None);

    let mut results: Vec<(Stage, Duration, Option<Failure>)> = Vec::new();
    for stage in options.only.iter().copied() {
        term::heading(stage.title());
        let start = Instant::now();
        let failure = stage.run(options).err();
        if let Some(failure) = &failure {
            term::bad(failure);
        }
        results.push((stage, start.elapsed(), failure));
    }

    term::heading("Summary");
    for (stage, took, failure) in &results {
        match failure {
            None => term::done(stage.title(), Some(*took)),
            Some(failure) => {
                term::bad(format_args!("{}  {}", stage.title(), term::seconds(*took)));
                // Once more: whoever sees the end of a long output only should see this.
                term::quote(&failure.to_string());
            }
        }
    }
    let failed = results.iter().filter(|(_, _, failure)| failure.is_some()).count();
    if failed > 0 {
        return Err(Failure::Tests(format!("{failed} of {} kinds of tests failed", results.len())));
    }
    Ok(())
}
