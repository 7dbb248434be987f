//! The chores of the project as one program: `cargo xtask COMMAND`.
//!
//! It depends on none of the crates it tests. Everything is done from outside, with the programs that a user has: cargo, the
//! built `cimwright` and the outside clients.

#![forbid(unsafe_code)]

mod demo;
mod drill;
mod failure;
mod fuzz;
mod install;
mod process;
mod scratch;
mod server;
mod term;
mod test;
mod wire;

use failure::Failure;
use std::process::ExitCode;

const HELP: &str = "\
The chores of Cimwright.

Usage: cargo xtask COMMAND [OPTIONS]

Commands:
  demo    Install what is missing, build, and play a whole story with a real server and real images
            --fast         a smaller image
            --dev          a debug build of the server: quicker to build
            --keep         leave the scratch directory behind and say where it is
            --no-install   install nothing; say what to run instead
  demo replica
          The same for Storage Replica: two servers, a file system on a replicated volume, a lost partner, a switch of direction
  test    Install what is missing, then format check, clippy, all Rust tests, a short fuzz run and the outside clients
            --no-install   install nothing; say what to run instead
            --only STAGES  comma-separated: fmt, clippy, rust, fuzz, interop
            --match TEXT   of the interop tests, run only those whose name contains TEXT
  drill   Kill the server at random moments under load, and prove that nothing was lost
            --kills N      how often (20)
            --seed N       play a drill again; all options: --help
  drill replica
          Kill daemons and servers of either side of a replicated volume under a verifying writer
  drill indications
          Kill listeners and the server, and prove that every change of every job was told in order
            --faults N     how often (100)
            --seed N       play a drill again; all options: --help
  bench   Measure the server against the least that the same work can cost
            --quick        within a minute, and less exact
            --write        replace the table in docs/performance.md; all options: --help
  fuzz    Feed everything that reads what others send with inputs that nobody would write
            --seconds N    how long each target runs (60)
            --target NAME  only this one: mof, request, response, query, wsman, token, uri, http, provider; repeatable
            --jobs N       with libFuzzer, so many targets at once (1)
            --seed N       another run (1)
            --replay FILE  run the target on one input
            --stable       without libFuzzer, although a nightly toolchain is there
  help    Print this text

Exit codes: 0 all is well; 1 something failed; 2 the command line is wrong; 3 something has to be installed by hand first.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, options) = match arguments.split_first() {
        Some((command, options)) => (command.as_str(), options),
        None => ("help", &[][..]),
    };
    let outcome = match command {
        "demo" => match options.split_first() {
            Some((first, rest)) if first == "replica" => {
                demo::Options::parse(rest).and_then(|o| demo::replica::run(&o))
            }
            _ => demo::Options::parse(options).and_then(|o| demo::run(&o)),
        },
        "test" => test::Options::parse(options).and_then(|o| test::run(&o)),
        test::INTEROP_COMMAND => test::Options::parse(options).and_then(|o| test::interop::serve_and_run(&o)),
        "drill" => {
            let (program, options) = drill::Program::of_drill(options);
            drill::run(program, options)
        }
        "bench" => drill::run(drill::Program::Bench, options),
        "fuzz" => fuzz::Options::parse(options).and_then(|o| fuzz::run(&o)),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        unknown => Err(Failure::Usage(format!("there is no command {unknown:?}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            term::error(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
