//! `cargo xtask fuzz`: libFuzzer where a nightly toolchain can build it, else the driver of the fuzz package.

use crate::failure::{Failure, Result};
use crate::{process, term};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What the compiler adds for libFuzzer: counters at every edge, comparisons, and the sanitizer of addresses.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1";

/// How long `cargo xtask test` fuzzes each target, and all of them together at most, in seconds.
const SHORT: u64 = 60;
const SHORT_IN_ALL: u64 = 300;

/// What the command line asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    seconds: u64,
    seed: u64,
    targets: Vec<String>,
    replay: Option<String>,
    stable: bool,
    jobs: usize,
}

impl Options {
    /// Reads the options of `fuzz`.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options =
            Self { seconds: 60, seed: 1, targets: Vec::new(), replay: None, stable: false, jobs: 1 };
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
                "--jobs" => options.jobs = number(value()?)?.clamp(1, 64) as usize,
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

/// What `cargo xtask test` does: libFuzzer for a short time, as many targets at once as there are cores, or a replay of what is
/// known where libFuzzer cannot be had.
pub(crate) fn short() -> Result<()> {
    let driver = driver()?;
    let binary = match libfuzzer() {
        Ok(binary) => binary,
        Err(why) => {
            term::note(format_args!(
                "libFuzzer cannot be had here ({why}); seeds and earlier findings are replayed"
            ));
            return process::show(process::cargo().args(["test", "--quiet", "--package", "cimwright-fuzz"]));
        }
    };
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let all = Options { seconds: SHORT, seed: 1, targets: Vec::new(), replay: None, stable: false, jobs };
    let rounds = write_seeds(&all, &driver)?.len().div_ceil(jobs).max(1) as u64;
    let seconds = SHORT.min(SHORT_IN_ALL / rounds);
    if seconds < SHORT {
        term::note(format_args!(
            "{jobs} at once would take longer than {SHORT_IN_ALL} s with {SHORT} s each, so they have {seconds} s"
        ));
    }
    by_libfuzzer(&Options { seconds, ..all }, &driver, &binary)
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
    let home = home();
    let targets = write_seeds(options, driver)?;
    for target in &targets {
        for directory in [home.join("corpus").join(target), home.join(target)] {
            std::fs::create_dir_all(&directory).map_err(Failure::io("create", &directory))?;
        }
    }
    let waiting = Mutex::new(VecDeque::from(targets));
    let failed = Mutex::new(Vec::new());
    // One that waits is taken whenever one that ran is through.
    let work = || -> Result<()> {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(target) = next else { return Ok(()) };
            let start = Instant::now();
            let output = process::run(&mut libfuzzer_command(options, binary, &home, &target))?;
            let said = process::spoken(&output);
            if output.status.success() {
                term::done(told(&target, &said), Some(start.elapsed()));
            } else {
                let lines: Vec<&str> = said.lines().collect();
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                term::bad(format_args!("{target}"));
                term::quote(&lines[lines.len().saturating_sub(40)..].join("\n"));
                failed.push(format!("{target}: {}", found(&said)));
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(Failure::Tests("the fuzzer was not watched".to_owned())))
        })
    })?;
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Tests(format!("something was found\n{}", failed.join("\n")))),
    }
}

fn libfuzzer_command(options: &Options, binary: &Path, home: &Path, target: &str) -> Command {
    let mut command = Command::new(binary);
    command
        .current_dir(process::workspace())
        .env("CIMWRIGHT_FUZZ_TARGET", target)
        .arg(home.join("corpus").join(target))
        .arg(home.join("seeds").join(target))
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-seed={}", options.seed))
        .arg(format!("-artifact_prefix={}/", home.join(target).display()))
        .args(["-max_len=65536", "-timeout=60", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    let words = home.join("seeds").join(format!("{target}.dict"));
    if words.is_file() {
        command.arg(format!("-dict={}", words.display()));
    }
    command
}

/// What libFuzzer tells at its end, in one line: `#8192 DONE cov: 3 ft: 4 corp: 2/9b …`.
fn told(target: &str, said: &str) -> String {
    let line = said.lines().rev().find(|line| line.contains("DONE")).unwrap_or_default();
    let behind = |word: &str| line.split_whitespace().skip_while(|w| *w != word).nth(1).unwrap_or("?");
    let inputs = line.trim_start_matches('#').split_whitespace().next().unwrap_or("?");
    let corpus = behind("corp:").split('/').next().unwrap_or("?");
    format!("{target}: {inputs} inputs, {} edges, a corpus of {corpus}", behind("cov:"))
}

/// What libFuzzer has found, for whoever has to mend it elsewhere: what was said of it, where the input is, and the input itself.
fn found(said: &str) -> String {
    /// As long as what is told of one finding is.
    const LINE: usize = 1000;
    let lines: Vec<&str> = said.lines().collect();
    let behind =
        |word: &str| lines.iter().rev().find_map(|line| line.split_once(word)).map(|(_, rest)| rest.trim());
    let panic = lines.iter().position(|line| line.contains("panicked at"));
    let panic =
        panic.map(|at| lines[at..].iter().take(2).map(|line| line.trim()).collect::<Vec<_>>().join(" "));
    let what =
        panic.or_else(|| behind("SUMMARY:").map(str::to_owned)).unwrap_or_else(|| "it ended".to_owned());
    let place = behind("Test unit written to").unwrap_or("nowhere");
    let what: String = what.chars().take(LINE).collect();
    match behind("Base64:").filter(|text| text.len() <= 4 * LINE) {
        Some(input) => format!("{what}\n  {place}\n  in Base64: {input}"),
        None => format!("{what}\n  {place}"),
    }
}

/// Writes the seeds and the words of the targets that are wanted, and tells which these are.
fn write_seeds(options: &Options, driver: &Path) -> Result<Vec<String>> {
    let seeds = home().join("seeds");
    let mut command = driver_command(driver);
    command.arg("--write-seeds").arg(&seeds);
    for target in &options.targets {
        command.args(["--target", target]);
    }
    let told = process::read(&mut command)?;
    Ok(told.lines().map(str::to_owned).collect())
}

/// Where seeds, corpora and findings are.
fn home() -> PathBuf {
    process::target_directory().join("fuzz")
}

fn driver_command(driver: &Path) -> Command {
    let mut command = Command::new(driver);
    command.current_dir(process::workspace());
    command.arg("--artifacts").arg(home());
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
    let lock = locked(&directory).map_err(|e| e.to_string())?;
    let build = |more: &[&str]| {
        let mut build = Command::new("rustup");
        build
            .args(["run", "nightly", "cargo", "build", "--quiet", "--release", "--target", &host])
            .args(more)
            .arg("--manifest-path")
            .arg(process::workspace().join("fuzz/libfuzzer/Cargo.toml"))
            .arg("--target-dir")
            .arg(&directory)
            .arg("--config")
            .arg(format!("resolver.lockfile-path={:?}", lock.display().to_string()))
            .env("RUSTFLAGS", FLAGS)
            .env_remove("CARGO")
            .env_remove("RUSTUP_TOOLCHAIN");
        process::run(&mut build).map_err(|e| e.to_string())
    };
    let start = Instant::now();
    let mut output = build(&[])?;
    if !output.status.success() && process::spoken(&output).contains("--offline") {
        // The registry does not answer, but what is needed may have been fetched before.
        output = build(&["--offline"])?;
    }
    if !output.status.success() {
        let said = process::spoken(&output);
        return Err(said.lines().find(|l| l.starts_with("error")).unwrap_or("it does not build").to_owned());
    }
    term::done("built the targets for libFuzzer", Some(start.elapsed()));
    Ok(directory.join(host).join("release/cimwright-libfuzzer"))
}

/// The lock file of the build: the one of the workspace, to which cargo adds libFuzzer. Kept as long as that one is the same, so that
/// nothing is asked of the registry again.
fn locked(directory: &Path) -> Result<PathBuf> {
    let (ours, lock, begun) =
        (process::workspace().join("Cargo.lock"), directory.join("Cargo.lock"), directory.join("begun.lock"));
    std::fs::create_dir_all(directory).map_err(Failure::io("create", directory))?;
    let text = std::fs::read(&ours).map_err(Failure::io("read", &ours))?;
    if !lock.is_file() || std::fs::read(&begun).ok().as_ref() != Some(&text) {
        for file in [&lock, &begun] {
            std::fs::write(file, &text).map_err(Failure::io("write", file))?;
        }
    }
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_libfuzzer_is_understood() {
        let said = "#2\tINITED cov: 1 ft: 1 corp: 1/1b exec/s: 0\n\
                    #39436\tDONE   cov: 1498 ft: 3337 corp: 529/81Kb lim: 854 exec/s: 6572 rss: 269Mb\nDone 39436 runs\n";
        assert_eq!(told("uri", said), "uri: 39436 inputs, 1498 edges, a corpus of 529");
        assert_eq!(told("uri", ""), "uri: ? inputs, ? edges, a corpus of ?");
    }

    #[test]
    fn what_was_found_is_told_with_its_input() {
        let said = "#7\tNEW cov: 1\nthread 'main' panicked at fuzz/src/targets/uri.rs:7:9:\nassertion failed\n  left: 1\n\
                    SUMMARY: libFuzzer: deadly signal\nMS: 1 CopyPart-\n\
                    artifact_prefix='x/'; Test unit written to x/crash-1\nBase64: QUI=\n";
        let told = "thread 'main' panicked at fuzz/src/targets/uri.rs:7:9: assertion failed\n  x/crash-1\n  in Base64: QUI=";
        assert_eq!(found(said), told);
        assert_eq!(found("SUMMARY: libFuzzer: out-of-memory"), "libFuzzer: out-of-memory\n  nowhere");
        assert_eq!(found(""), "it ended\n  nowhere");
    }

    #[test]
    fn options_are_read() {
        let parse =
            |words: &[&str]| Options::parse(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        let options = parse(&["--seconds", "5", "--jobs", "0", "--target", "mof"]).expect("good options");
        assert_eq!((options.seconds, options.jobs, options.targets.len()), (5, 1, 1));
        assert!(parse(&["--replay", "x"]).is_err() && parse(&["--jobs", "two"]).is_err());
    }
}
