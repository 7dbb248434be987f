//! `cargo xtask demo replica`: a file system on two computers, one of which dies while it is being copied.

mod diary;
mod listener;
mod story;
mod volume;

use super::{Options, free_space, say_what_to_try, stage, too_little};
use crate::failure::{Failure, Result};
use crate::scratch::Scratch;
use crate::server::{self, Server, Setup, Signal};
use crate::{install, term};
use std::path::{Path, PathBuf};
use std::time::Instant;
use volume::Volume;

/// How large the file system is, in bytes: its first copy must take longer than it takes to kill somebody.
const SIZE: u64 = 3 << 30;
const SIZE_WHEN_FAST: u64 = 2 << 30;
/// How much more room than both volumes the story takes.
const SLACK: u64 = 512 << 20;

const USER: &str = "partner";
const PASSWORD: &str = "a password for the demonstration";
const CONFIG: &str = "[replication]\nlisten = \"127.0.0.1\"\nplain_loopback = true\n";

/// One of the two computers.
struct Computer {
    name: &'static str,
    setup: Setup,
    /// The server; none while it is down.
    server: Option<Server>,
    /// The storage root.
    root: PathBuf,
}

/// Plays the story.
pub(crate) fn run(options: &Options) -> Result<()> {
    let needed = || {
        install::packages(&[install::QEMU_IMG, install::MKE2FS, install::DEBUGFS], options.may_install)?;
        install::storage_daemon(options.may_install)
    };
    stage(options, "qemu-storage-daemon", needed, |binary, scratch| play(options, binary, scratch))?;
    try_next();
    Ok(())
}

fn play(options: &Options, binary: &Path, scratch: &mut Scratch) -> Result<()> {
    let room = free_space(scratch.path())?;
    let fast = options.fast || room < 2 * SIZE + SLACK;
    let size = if fast { SIZE_WHEN_FAST } else { SIZE };
    if room < 2 * size + SLACK {
        return Err(too_little(room, 2 * size + SLACK, scratch));
    }
    if fast != options.fast {
        term::note(format_args!("only {} are free here: a smaller volume, as with --fast", term::size(room)));
    }
    let config = scratch.path().join("replication.toml");
    std::fs::write(&config, CONFIG).map_err(Failure::io("write", &config))?;
    let mut computers = ["alpha", "beta"].map(|name| Computer::new(name, binary, &config, scratch));
    let [alpha, beta] = &mut computers;
    let (alpha, beta) = (alpha.as_mut(), beta.as_mut());
    let (alpha, beta) = match (alpha, beta) {
        (Ok(alpha), Ok(beta)) => (alpha, beta),
        (Err(e), _) | (_, Err(e)) => {
            return Err(Failure::Server(format!("a computer could not be prepared: {e}")));
        }
    };
    let start = Instant::now();
    let volume = volume::build(&alpha.root.join("volume.img"), &scratch.directory("tree")?, size)?;
    let empty = beta.root.join("volume.img");
    let made = std::fs::File::create(&empty).and_then(|file| file.set_len(size));
    made.map_err(Failure::io("create", &empty))?;
    term::done(
        format_args!("made volume.img, {}: ext4 with {}", term::size(size), volume.made_of),
        Some(start.elapsed()),
    );
    for computer in [&mut *alpha, &mut *beta] {
        computer.start(scratch)?;
    }
    alpha.knows(beta)?;
    beta.knows(alpha)?;
    term::done("both servers know each other (`cimwright computer add`)", None);

    let told = story::Story::new(alpha, beta, &volume, scratch).tell();
    let start = Instant::now();
    if told.is_err() {
        for computer in [&*alpha, &*beta] {
            term::note(format_args!("the end of the log of {}:", computer.name));
            term::quote(&server::tail(&computer.setup.log, 30));
        }
    }
    for computer in [alpha, beta] {
        if let Some(server) = computer.server.take() {
            let status = server.end(Signal::Terminate, scratch)?;
            if !status.success() && told.is_ok() {
                return Err(Failure::Server(format!("{} ended with {status} after SIGTERM", computer.name)));
            }
        }
    }
    told?;
    term::done("both servers have stopped", Some(start.elapsed()));
    Ok(())
}

impl Computer {
    fn new(name: &'static str, binary: &Path, config: &Path, scratch: &Scratch) -> Result<Self> {
        let place = scratch.directory(name)?;
        let (root, state) = (place.join("root"), place.join("state"));
        for directory in [&root, &state] {
            std::fs::create_dir(directory).map_err(Failure::io("create", directory))?;
        }
        let setup = Setup {
            binary: binary.to_owned(),
            state,
            roots: vec![root.clone()],
            config: Some(config.to_owned()),
            arguments: vec!["--computer-name".to_owned(), name.to_owned()],
            http: server::ANY_PORT.to_owned(),
            log: place.join("server.log"),
            file_size_limit: None,
        };
        setup.add_user(USER, "administrator", PASSWORD)?;
        Ok(Self { name, setup, server: None, root })
    }

    /// Starts its server, where it was before if it has been started already.
    fn start(&mut self, scratch: &mut Scratch) -> Result<()> {
        let start = Instant::now();
        let server = self.setup.start(scratch)?;
        // The partner finds it again at the same place.
        self.setup.http.clone_from(&server.addresses().http);
        let (http, pid) = (&server.addresses().http, server.pid());
        let text = format!("{}: cimwright serve listens on http://{http} (process {pid})", self.name);
        term::done(text, Some(start.elapsed()));
        self.server = Some(server);
        Ok(())
    }

    fn knows(&self, other: &Self) -> Result<()> {
        self.setup.add_computer(other.name, &format!("http://{}", other.setup.http), USER, PASSWORD)
    }

    fn volume(&self) -> PathBuf {
        self.root.join("volume.img")
    }
}

fn try_next() {
    say_what_to_try(&[
        "cargo xtask demo replica --keep      the same, and look at the volumes, the logs and the state afterwards",
        "cargo xtask drill replica            the same a hundred times, with checks: kills on either side under load",
        "cargo xtask bench --only replica     what it costs",
        "cargo run -p cimwright-cli -- help replica      the commands of your own",
        "docs/storage-replica.md              what is there, and what is not",
    ]);
}

/// What the story needs to know of the volume.
fn offset_of(volume: &Volume, entry: usize) -> u64 {
    volume.diary[entry % volume.diary.len()] * volume::BLOCK
}
