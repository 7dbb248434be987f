//! `cargo xtask drill replica`: kills daemons and servers of either side of a replicated volume, and proves that nothing was lost.
#![forbid(unsafe_code)]

use cimwright_bench::replica::{self, Options};
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
    match runtime.block_on(replica::run(options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("the drill could not be carried out: {failure}");
            ExitCode::FAILURE
        }
    }
}
