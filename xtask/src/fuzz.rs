//! `cargo xtask fuzz`: libFuzzer where a nightly toolchain can build it, else the driver of the fuzz package.

use crate::failure::{Failure, Result};
use crate::{process, term};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What the compiler adds for libFuzzer: counters at every edge, comparisons, and the sanitizer of addresses.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1";

/// What the command line asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    seconds: u64,
    seed: u64,
    targets: Vec<String>,
    replay: Option<String>,
    stable: bool,
}

impl Options {
    /// Reads the options of `fuzz`.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { seconds: 60, seed: 1, targets: Vec::new(), replay: None, stable: false };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| Failure::Usage(format!("{argument} needs a value")));
            let number = |text: &String| {
                text.parse().map_err(|_| Failure::Usage(format!("{argument} takes a number, not {text:?}")))
            };
            match argument.as_str() {
                "--seconds" => options.seconds = number(value()?)?,
                "--seed" => options.seed = number(value()?)?,
                "--target" => options.targets.push(value()?.clone()),
                "--replay" => options.replay = Some(value()?.clone()),
                "--stable" => options.stable = true,
                other => return Err(Failure::Usage(format!("fuzz has no option {other:?}"))),
            }
        }
        if options.replay.is_some() && options.targets.len() != 1 {
            return Err(Failure::Usage("--replay needs one --target".to_owned()));
        }
        Ok(options)
    }
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let driver = driver()?;
    if let Some(file) = &options.replay {
        return process::show(driver_command(&driver).args([
            "--target",
            &options.targets[0],
            "--replay",
            file,
        ]));
    }
    if options.stable {
        return by_driver(options, &driver);
    }
    match libfuzzer() {
        Ok(binary) => by_libfuzzer(options, &driver, &binary),
        Err(why) => {
            term::note(format_args!(
                "libFuzzer cannot be had here ({why}); mutation without coverage stands in"
            ));
            by_driver(options, &driver)
        }
    }
}

fn by_driver(options: &Options, driver: &Path) -> Result<()> {
    let mut command = driver_command(driver);
    command.args(["--seconds", &options.seconds.to_string(), "--seed", &options.seed.to_string()]);
    for target in &options.targets {
        command.args(["--target", target]);
    }
    process::show(&mut command)
}

/// Every target in a process of its own, beginning with the seeds and with what earlier runs have kept.
fn by_libfuzzer(options: &Options, driver: &Path, binary: &Path) -> Result<()> {
    let home = process::target_directory().join("fuzz");
    let mut seeds = driver_command(driver);
    seeds.arg("--write-seeds").arg(home.join("seeds"));
    for target in &options.targets {
        seeds.args(["--target", target]);
    }
    process::read(&mut seeds)?;
    let targets =
        if options.targets.is_empty() { all_targets(&home.join("seeds"))? } else { options.targets.clone() };
    let mut failed = Vec::new();
    for target in targets {
        let start = Instant::now();
        let (corpus, artifacts) = (home.join("corpus").join(&target), home.join(&target));
        for directory in [&corpus, &artifacts] {
            std::fs::create_dir_all(directory).map_err(Failure::io("create", directory))?;
        }
        let mut command = Command::new(binary);
        command
            .current_dir(process::workspace())
            .env("CIMWRIGHT_FUZZ_TARGET", &target)
            .arg(&corpus)
            .arg(home.join("seeds").join(&target))
            .arg(format!("-max_total_time={}", options.seconds))
            .arg(format!("-seed={}", options.seed))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-max_len=65536", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]);
        let output = process::run(&mut command)?;
        let said = process::spoken(&output);
        if output.status.success() {
            let runs = said.lines().find_map(|l| l.strip_prefix("stat::number_of_executed_units:"));
            term::done(
                format_args!("{target}: {} inputs", runs.unwrap_or("?").trim()),
                Some(start.elapsed()),
            );
        } else {
            term::bad(format_args!("{target}"));
            let lines: Vec<&str> = said.lines().collect();
            term::quote(&lines[lines.len().saturating_sub(40)..].join("\n"));
            failed.push(target);
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Tests(format!("something was found: {}", failed.join(", ")))),
    }
}

fn all_targets(seeds: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(seeds).map_err(Failure::io("read", seeds))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn driver_command(driver: &Path) -> Command {
    let mut command = Command::new(driver);
    command.current_dir(process::workspace());
    command.arg("--artifacts").arg(process::target_directory().join("fuzz"));
    command
}

/// Builds the driver.
fn driver() -> Result<PathBuf> {
    process::show(process::cargo().args(["build", "--quiet", "--package", "cimwright-fuzz"]))?;
    Ok(process::target_directory().join("debug/cimwright-fuzz"))
}

/// Builds the targets for libFuzzer, or says why that cannot be.
fn libfuzzer() -> std::result::Result<PathBuf, String> {
    let mut version = Command::new("rustup");
    version.args(["run", "nightly", "rustc", "--version", "--verbose"]);
    let version = process::read(&mut version).map_err(|_| "there is no nightly toolchain".to_owned())?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
    let directory = process::target_directory().join("libfuzzer");
    let mut build = Command::new("rustup");
    build
        .args([
            "run",
            "nightly",
            "cargo",
            "build",
            "--quiet",
            "--release",
            "--target",
            &host,
            "--manifest-path",
        ])
        .arg(process::workspace().join("fuzz/libfuzzer/Cargo.toml"))
        .arg("--target-dir")
        .arg(&directory)
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    let start = Instant::now();
    let output = process::run(&mut build).map_err(|e| e.to_string())?;
    if !output.status.success() {
        let said = process::spoken(&output);
        return Err(said.lines().find(|l| l.starts_with("error")).unwrap_or("it does not build").to_owned());
    }
    term::done("built the targets for libFuzzer", Some(start.elapsed()));
    Ok(directory.join(host).join("release/cimwright-libfuzzer"))
}
