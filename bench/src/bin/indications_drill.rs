//! `cargo xtask drill indications`: kills listeners and the server, and proves that every change was told in order.
#![forbid(unsafe_code)]

use cimwright_bench::indications::{self, Options};
use cimwright_bench::program;
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    program::main("the drill", indications::run(Options::parse()))
}
