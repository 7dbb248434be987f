//! `cargo xtask drill replica`: kills daemons and servers of either side of a replicated volume, and proves that nothing was lost.
#![forbid(unsafe_code)]

use cimwright_bench::program;
use cimwright_bench::replica::{self, Options};
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    program::main("the drill", replica::run(Options::parse()))
}
