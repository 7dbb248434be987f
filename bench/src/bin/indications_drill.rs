//! `cargo xtask drill indications`: kills listeners and the server, and proves that every change was told in order.
#![forbid(unsafe_code)]

use cimwright_bench::indications::{self, Options};
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
    match runtime.block_on(indications::run(options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("the drill could not be carried out: {failure}");
            ExitCode::FAILURE
        }
    }
}
