//! `cargo xtask drill`: kills the server at random moments under load and proves that nothing was lost.
#![forbid(unsafe_code)]

use cimwright_bench::drill::{self, Options};
use cimwright_bench::program;
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    program::main("the drill", drill::run(Options::parse()))
}
