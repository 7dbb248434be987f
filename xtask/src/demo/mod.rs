//! `cargo xtask demo`: the story a person would want to see, with a real server, a real engine and a real image.

mod image;
pub(crate) mod replica;
mod story;

use crate::failure::{Failure, Result};
use crate::scratch::Scratch;
use crate::server::{self, Profile, Setup, Signal};
use crate::{install, process, term};
use std::path::Path;
use std::time::Instant;

/// How often the installer is on the disk: large enough to watch, and small enough for `--fast`.
const COPIES: u32 = 12;
const FEW_COPIES: u32 = 3;

/// How much room the story takes, in bytes, with the large and with the small image.
const ROOM: u64 = 16 << 30;
const ROOM_WHEN_FAST: u64 = 9 << 30;

/// What the command line asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    keep: bool,
    fast: bool,
    dev: bool,
    may_install: bool,
}

impl Options {
    /// Reads the options of `demo` and of `demo replica`.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { keep: false, fast: false, dev: false, may_install: true };
        for argument in arguments {
            match argument.as_str() {
                "--keep" => options.keep = true,
                "--fast" => options.fast = true,
                "--dev" => options.dev = true,
                "--no-install" => options.may_install = false,
                other => return Err(Failure::Usage(format!("demo has no option {other:?}"))),
            }
        }
        Ok(options)
    }
}

/// Plays the story.
pub(crate) fn run(options: &Options) -> Result<()> {
    let needed =
        || install::packages(&[install::QEMU_IMG, install::MKE2FS, install::APT], options.may_install);
    stage(options, "qemu-img", needed, |binary, scratch| play(options, binary, scratch))?;
    try_next();
    Ok(())
}

/// What every story has around it: the programs it needs (of `engine` the version is shown), a built server, and a scratch
/// directory that goes afterwards.
fn stage(
    options: &Options,
    engine: &str,
    install: impl FnOnce() -> Result<()>,
    play: impl FnOnce(&Path, &mut Scratch) -> Result<()>,
) -> Result<()> {
    let whole = Instant::now();
    term::heading("Getting ready");
    install()?;
    let version = process::read(std::process::Command::new(engine).arg("--version"))?;
    term::done(version.lines().next().unwrap_or(engine), None);
    let start = Instant::now();
    term::note("building cimwright (the first time takes a few minutes) …");
    let binary = server::build(if options.dev { Profile::Dev } else { Profile::Release })?;
    term::done("built cimwright", Some(start.elapsed()));

    let after_build = Instant::now();
    let mut scratch = Scratch::new("cimwright-demo-")?;
    if options.keep {
        scratch.keep();
    }
    let outcome = play(&binary, &mut scratch);
    let place = scratch.path().to_owned();
    drop(scratch);
    if options.keep {
        term::note(format_args!("everything is still in {}", place.display()));
    } else {
        term::done(format_args!("removed {}", place.display()), None);
    }
    outcome?;
    term::note(format_args!(
        "the story took {}, with the build {}",
        term::seconds(after_build.elapsed()),
        term::seconds(whole.elapsed())
    ));
    Ok(())
}

/// The story cannot be played with less room than this, in bytes.
fn too_little(room: u64, needed: u64, scratch: &Scratch) -> Failure {
    Failure::Server(format!(
        "there are only {} free in {}; the demonstration needs {}. Set TMPDIR to a directory with more room",
        term::size(room),
        scratch.path().display(),
        term::size(needed)
    ))
}

fn say_what_to_try(next: &[&str]) {
    term::heading("What to try next");
    for text in next {
        term::note(text);
    }
}

fn play(options: &Options, binary: &Path, scratch: &mut Scratch) -> Result<()> {
    let room = free_space(scratch.path())?;
    let fast = options.fast || room < ROOM;
    if room < ROOM_WHEN_FAST {
        return Err(too_little(room, ROOM_WHEN_FAST, scratch));
    }
    if fast != options.fast {
        term::note(format_args!("only {} are free here: a smaller image, as with --fast", term::size(room)));
    }
    let images = scratch.directory("images")?;
    let work = scratch.directory("work")?;
    let start = Instant::now();
    let copies = if fast { FEW_COPIES } else { COPIES };
    let disk = image::build(&images.join("boot.raw"), &work, copies)?;
    term::done(
        format_args!("made boot.raw, {}: {}", term::size(disk.bytes), disk.made_of),
        Some(start.elapsed()),
    );

    let setup = Setup {
        binary: binary.to_owned(),
        state: scratch.directory("state")?,
        roots: vec![images],
        config: None,
        arguments: Vec::new(),
        http: server::ANY_PORT.to_owned(),
        log: scratch.path().join("server.log"),
        file_size_limit: None,
    };
    let (user, password) = ("demo", "a password for the demonstration");
    setup.add_user(user, "operator", password)?;
    let password_file = scratch.path().join("password");
    std::fs::write(&password_file, password).map_err(Failure::io("write", &password_file))?;
    let start = Instant::now();
    let server = setup.start(scratch)?;
    term::done(
        format_args!(
            "cimwright serve listens on http://{} (process {})",
            server.addresses().http,
            server.pid()
        ),
        Some(start.elapsed()),
    );

    let told = story::Story::new(&setup, &server, &disk, user, password, &password_file).tell();
    let start = Instant::now();
    term::heading("Tearing down");
    let status = server.end(Signal::Terminate, scratch)?;
    if told.is_err() {
        term::note("the end of the server's log:");
        term::quote(&server::tail(&setup.log, 30));
    }
    told?;
    if !status.success() {
        return Err(Failure::Server(format!("the server ended with {status} after SIGTERM")));
    }
    term::done("the server has stopped", Some(start.elapsed()));
    Ok(())
}

/// How much may still be written to the file system of a directory, in bytes.
fn free_space(directory: &Path) -> Result<u64> {
    let mut df = std::process::Command::new("df");
    let table = process::read(df.args(["--output=avail", "--block-size=1"]).arg(directory))?;
    table.split_whitespace().last().and_then(|n| n.parse().ok()).ok_or_else(|| {
        Failure::Server(format!("df does not tell how much room there is in {}", directory.display()))
    })
}

fn try_next() {
    say_what_to_try(&[
        "cargo xtask demo --keep      the same, and look at the images, the log and the state afterwards",
        "cargo xtask demo replica     the other story: a volume on two computers, one of which dies",
        "cargo xtask test             all tests, outside clients included",
        "cargo run -p cimwright-cli -- serve --help      a server of your own",
        "cargo run -p cimwright-cli -- explain CWDISK1016     any reason the server can give",
        "docs/hyper-v.md              which methods of Hyper-V are there",
    ]);
}
