//! Fuzzing without a special toolchain; `cargo xtask fuzz` calls this. Exits with 1 if something was found.
#![forbid(unsafe_code)]

use cimwright_fuzz::driver::{self, Finding, Until};
use cimwright_fuzz::{TARGETS, Target, find, seeds};
use clap::Parser;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Fuzz everything that reads what others send
#[derive(Parser)]
struct Options {
    /// Only these targets; all of them without
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,

    /// How long each target runs, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,

    /// The run is the same for the same seed, but for how far it gets
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Run one target on the input in this file, and nothing else
    #[arg(long, value_name = "FILE", requires = "target")]
    replay: Option<PathBuf>,

    /// Write the seeds and the words of the targets below this directory, tell their names, and do nothing else
    #[arg(long, value_name = "DIR")]
    write_seeds: Option<PathBuf>,

    /// Where inputs are kept that are findings
    #[arg(long, value_name = "DIR", default_value = "target/fuzz")]
    artifacts: PathBuf,

    /// The directory of the project
    #[arg(long, value_name = "DIR", default_value = ".")]
    project: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let targets: Option<Vec<&Target>> = match options.target.is_empty() {
        true => Some(TARGETS.iter().collect()),
        false => options.target.iter().map(|name| find(name)).collect(),
    };
    let Some(targets) = targets else {
        let names: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
        eprintln!("there are the targets {}", names.join(", "));
        return ExitCode::from(2);
    };
    let failed = match (&options.replay, &options.write_seeds) {
        (Some(file), _) => replay(targets[0], file),
        (None, Some(directory)) => write_seeds(&targets, &options.project, directory),
        (None, None) => {
            // Every one, even after a finding: one run should tell everything.
            targets.iter().filter(|target| !fuzz(target, &options)).count() > 0
        }
    };
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whether nothing was found.
fn fuzz(target: &'static Target, options: &Options) -> bool {
    let (name, artifacts) = (target.name, options.artifacts.clone());
    let hung = move |finding: &Finding| {
        keep(name, finding, &artifacts);
        // Nothing else can be done about a thread that does not come back.
        std::process::exit(1);
    };
    // The finding tells it all; what every caught panic prints would only hide it.
    std::panic::set_hook(Box::new(|_| {}));
    let until = Until::Passed(Duration::from_secs(options.seconds));
    let outcome = driver::run(target, &options.project, options.seed, until, hung);
    let _ = std::panic::take_hook();
    match outcome {
        Ok(summary) => {
            println!(
                " ✓ {:9} {} inputs, {} outcomes: {}",
                target.name, summary.inputs, summary.outcomes, target.about
            );
            true
        }
        Err(finding) => {
            keep(target.name, &finding, &options.artifacts);
            false
        }
    }
}

/// Writes a finding down and says so.
fn keep(name: &str, finding: &Finding, artifacts: &Path) {
    let mut hasher = DefaultHasher::new();
    finding.input.hash(&mut hasher);
    let directory = artifacts.join(name);
    let file = directory.join(format!("{:016x}", hasher.finish()));
    let kept = fs::create_dir_all(&directory).and_then(|()| fs::write(&file, &finding.input));
    let shown: String = finding.to_string().chars().take(4000).collect();
    println!(" ✗ {name}: {shown}");
    match kept {
        Ok(()) => println!("   again: cargo xtask fuzz --target {name} --replay {}", file.display()),
        Err(error) => println!("   {} cannot be written: {error}", file.display()),
    }
}

/// Whether the input is a finding.
fn replay(target: &Target, file: &Path) -> bool {
    let input = match fs::read(file) {
        Ok(input) => input,
        Err(error) => {
            eprintln!("cannot read {}: {error}", file.display());
            return true;
        }
    };
    match driver::once(target, &input) {
        Ok(_) => {
            println!(" ✓ {}: nothing wrong", target.name);
            false
        }
        Err(finding) => {
            println!(" ✗ {}: {finding}", target.name);
            true
        }
    }
}

/// Whether something went wrong.
fn write_seeds(targets: &[&Target], project: &Path, directory: &Path) -> bool {
    targets.iter().any(|target| {
        let seeds = directory.join(target.name);
        let written = fs::create_dir_all(&seeds).and_then(|()| {
            for (at, seed) in seeds::of(target.name, project).iter().enumerate() {
                fs::write(seeds.join(format!("seed-{at:04}")), seed)?;
            }
            fs::write(directory.join(format!("{}.dict", target.name)), dictionary(target.words))
        });
        match &written {
            Ok(()) => println!("{}", target.name),
            Err(error) => {
                eprintln!("cannot write the seeds of {} to {}: {error}", target.name, seeds.display());
            }
        }
        written.is_err()
    })
}

/// The words in the form that libFuzzer reads.
fn dictionary(words: &[&str]) -> String {
    let quoted = |word: &&str| {
        let escaped: String = word
            .bytes()
            .map(|byte| match byte {
                b'"' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02X}"),
            })
            .collect();
        format!("\"{escaped}\"\n")
    };
    words.iter().map(quoted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_escaped_for_libfuzzer() {
        assert_eq!(dictionary(&["a b", "\"\\", "\r\n\u{1}"]), "\"a b\"\n\"\\\"\\\\\"\n\"\\x0D\\x0A\\x01\"\n");
    }
}
