//! `cargo xtask bench`: what the server costs, as ratios to the least that the same work can cost.
#![forbid(unsafe_code)]

use cimwright_bench::measure::{self, Options};
use cimwright_bench::program;
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    program::main("the measurement", async { measure::run(Options::parse()).await.map(|()| true) })
}
