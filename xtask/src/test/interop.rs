//! Runs the outside clients against a server of their own.
//!
//! A full disk is one of the failures they provoke. So this part runs again in a mount namespace of its own, where a small file
//! system can be mounted that goes away with the processes that see it. Where that is not allowed, a limit on the size of files
//! stands in for the small file system; the tests are told which of both they have.

use super::{INTEROP_COMMAND, Options};
use crate::failure::{Failure, Result};
use crate::scratch::Scratch;
use crate::server::{self, Profile, Server, Setup, Signal};
use crate::{install, process, term};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The size of the small file system.
const SMALL: u64 = 24 << 20;

/// The largest file where there is no small file system; above all that the other tests need.
const FILE_LIMIT: u64 = 3 << 30;

/// The users and their roles; every one has a password of its own.
const USERS: [(&str, &str); 4] =
    [("ada", "administrator"), ("olga", "operator"), ("otto", "operator"), ("rita", "reader")];

/// Variables of the environment that would reach into the connections of the tests.
const FOREIGN: [&str; 7] = [
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
];

/// The ways to get a mount namespace: as root, and as an ordinary user.
const NAMESPACES: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];

/// The Python packages that the tests need.
pub(crate) fn requirements() -> PathBuf {
    tests_directory().join("requirements.txt")
}

/// Builds the server and runs the tests against it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    server::build(Profile::Dev)?;
    term::done("built cimwright", Some(start.elapsed()));
    let this = std::env::current_exe().map_err(Failure::io("find", Path::new("xtask")))?;
    let mut command = match NAMESPACES.iter().find(|n| may_mount(n)) {
        Some(namespace) => {
            let mut command = Command::new("unshare");
            command.args(*namespace).arg(&this);
            command
        }
        None => Command::new(&this),
    };
    command.arg(INTEROP_COMMAND);
    if let Some(text) = &options.matching {
        command.args(["--match", text]);
    }
    process::show(&mut command)
}

/// Starts the server and runs the tests: what the process in the mount namespace does.
pub(crate) fn serve_and_run(options: &Options) -> Result<()> {
    let mut scratch = Scratch::new("cimwright-interop-")?;
    let root = scratch.directory("images")?;
    let small = scratch.directory("small")?;
    let mounted = process::succeeds(&mut mount(&small));
    if mounted {
        scratch.mounted(&small);
    } else {
        term::note(
            "no file system can be mounted here: a limit on the size of files stands in for a full disk",
        );
    }
    let setup = Setup {
        binary: process::target_directory().join("debug/cimwright"),
        state: scratch.directory("state")?,
        roots: vec![root.clone(), small.clone()],
        config: None,
        arguments: Vec::new(),
        http: server::ANY_PORT.to_owned(),
        log: scratch.path().join("server.log"),
        file_size_limit: (!mounted).then_some(FILE_LIMIT),
    };
    for (name, role) in USERS {
        setup.add_user(name, role, &password(name))?;
    }
    let server = setup.start(&mut scratch)?;
    term::done(format_args!("server on {}, {}", server.addresses().http, server.addresses().https), None);
    let full_disk =
        if mounted { format!("tmpfs:{}", small.display()) } else { format!("limit:{FILE_LIMIT}") };
    let directories = [("ROOT", root), ("FULL", full_disk.into()), ("SCRATCH", scratch.path().to_owned())];
    let outcome = run_tests(options, &setup, &server, &directories);
    let status = server.end(Signal::Terminate, &mut scratch)?;
    if outcome.is_err() {
        term::note("the end of the server's log:");
        term::quote(&server::tail(&setup.log, 30));
    }
    if !status.success() {
        term::bad(format_args!("the server did not end in order ({status})"));
        outcome?;
        return Err(Failure::Server(format!("the server ended with {status} after SIGTERM")));
    }
    outcome
}

fn run_tests(options: &Options, setup: &Setup, server: &Server, more: &[(&str, PathBuf)]) -> Result<()> {
    let python = install::python(&requirements(), false)?;
    let mut command = Command::new(python);
    command.arg("-B").arg(tests_directory().join("run.py"));
    if let Some(text) = &options.matching {
        command.args(["--match", text]);
    }
    command
        .env("INTEROP_HTTP", format!("http://{}", server.addresses().http))
        .env("INTEROP_HTTPS", format!("https://{}", server.addresses().https))
        .env("INTEROP_PROGRAM", &setup.binary)
        .env("INTEROP_DATA", process::workspace().join("../shared/data"))
        .env("INTEROP_SERVER_PID", server.pid().to_string())
        .env("INTEROP_CERTIFICATE", setup.state.join("tls/cert.pem"))
        .env("INTEROP_CACHE", process::target_directory().join("interop-sources"));
    // What the environment says about proxies and certificates is meant for the way out, not for a server on loopback; the HTTP
    // library of pywbem would prefer it to what a test says.
    for name in FOREIGN {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    for (name, value) in more {
        command.env(format!("INTEROP_{name}"), value);
    }
    for (name, _) in USERS {
        command.env(format!("INTEROP_PASSWORD_{}", name.to_uppercase()), password(name));
    }
    process::show(&mut command)
}

fn tests_directory() -> PathBuf {
    process::workspace().join("tests/interop")
}

fn password(user: &str) -> String {
    format!("the password of {user}: 5€")
}

/// Whether a namespace of this kind can be had and allows to mount.
fn may_mount(namespace: &[&str]) -> bool {
    let probe = "mount -t tmpfs -o size=64k probe /mnt";
    process::succeeds(Command::new("unshare").args(namespace).args(["sh", "-c", probe]))
}

fn mount(directory: &Path) -> Command {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", &format!("size={SMALL},mode=0700"), "cimwright-small"]).arg(directory);
    command
}
