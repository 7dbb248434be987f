//! `cargo xtask bench`: what the server costs, as ratios to the least that the same work can cost.
#![forbid(unsafe_code)]

use cimwright_bench::measure::{self, Options};
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(measure::run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("the measurement could not be carried out: {failure}");
            ExitCode::FAILURE
        }
    }
}
