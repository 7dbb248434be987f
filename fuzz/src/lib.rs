//! Fuzzing of everything that reads what others send. A target takes bytes and panics when something is wrong: the code under test
//! panicked, took too long, or wrote what it cannot read again.
//!
//! Three ways lead to the targets: `cargo test` replays the seeds, the regressions and some thousand mutations of them; the program
//! of this package (`cargo xtask fuzz` without a nightly toolchain) mutates for as long as it is told; `libfuzzer/` hands the same
//! targets to libFuzzer (`cargo xtask fuzz` with one).
#![forbid(unsafe_code)]

pub mod driver;
mod mutate;
mod rng;
pub mod seeds;
mod targets;

pub use targets::{Outcome, TARGETS, Target, find};
