//! `cimwright replica` against two real servers with the installed qemu-storage-daemon.
#![allow(clippy::unwrap_used, reason = "a test stops where its ground gives way")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_cimwright");
/// Only there to end a broken test.
const PATIENCE: Duration = Duration::from_secs(60);
const SIZE: u64 = 8 << 20;

/// A server that is killed with the test.
struct Server {
    child: Child,
    place: PathBuf,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(place: &Path, name: &str) -> Self {
        let place = place.join(name);
        let (state, root, ports) = (place.join("state"), place.join("root"), place.join("ports"));
        std::fs::create_dir_all(&root).unwrap();
        let config = place.join("config.toml");
        std::fs::write(&config, "[replication]\nlisten = \"127.0.0.1\"\nplain_loopback = true\n").unwrap();
        let user = ["user", "add", "partner", "--role", "administrator", "--password-stdin", "--state"];
        with_password(Command::new(BINARY).args(user).arg(&state));
        let child = Command::new(BINARY)
            .args(["serve", "--http", "127.0.0.1:0", "--https", "none", "--computer-name", name, "--state"])
            .arg(&state)
            .arg("--storage-root")
            .arg(&root)
            .arg("--config")
            .arg(&config)
            .arg("--port-file")
            .arg(&ports)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, place, address: String::new() };
        let limit = Instant::now() + PATIENCE;
        while server.address.is_empty() {
            assert!(Instant::now() < limit, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(20));
            let text = std::fs::read_to_string(&ports).unwrap_or_default();
            if text.contains("unix=") && text.ends_with('\n') {
                server.address =
                    text.lines().find_map(|l| l.strip_prefix("http=")).unwrap_or_default().to_owned();
            }
        }
        server
    }

    fn knows(&self, name: &str, other: &Self) {
        let url = format!("http://{}", other.address);
        let add =
            ["computer", "add", name, "--url", &url, "--user", "partner", "--password-stdin", "--state"];
        with_password(Command::new(BINARY).args(add).arg(self.place.join("state")));
    }

    fn path(&self, name: &str) -> String {
        self.place.join("root").join(name).to_str().unwrap().to_owned()
    }

    /// Runs `cimwright replica` as the server's own user, and gives all it said.
    fn replica(&self, line: &[&str], code: i32) -> String {
        let output: Output = Command::new(BINARY)
            .env_clear()
            .arg("replica")
            .args(line)
            .arg("--state")
            .arg(self.place.join("state"))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap()).concat();
        assert_eq!(output.status.code(), Some(code), "{line:?}\n{text}");
        text
    }
}

fn with_password(command: &mut Command) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a password for this test\n").unwrap();
    assert!(child.wait().unwrap().success());
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "\"{part}\" is missing in:\n{text}");
    }
}

#[test]
fn a_topology_is_made_watched_paused_and_removed() {
    let scratch = tempfile::Builder::new().prefix("cw").tempdir().unwrap();
    let alpha = Server::start(scratch.path(), "alpha");
    let beta = Server::start(scratch.path(), "beta");
    alpha.knows("beta", &beta);
    beta.knows("alpha", &alpha);
    let content: Vec<u8> =
        (0..SIZE / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    std::fs::write(alpha.path("v"), &content).unwrap();
    std::fs::File::create(beta.path("v")).unwrap().set_len(SIZE).unwrap();

    holds(&alpha.replica(&["ls"], 0), &["no replication groups"]);
    holds(&alpha.replica(&["watch"], 5), &["source of no copy", "replica ls"]);
    holds(&alpha.replica(&["suspend"], 5), &["replicates nothing"]);
    let (a, b) = (alpha.path("v"), beta.path("v"));
    let (a_log, b_log) = (alpha.path("log"), beta.path("log"));
    let whole = [
        "new",
        "data",
        "--source-volume",
        &a,
        "--source-log",
        &a_log,
        "--destination",
        "beta",
        "--destination-volume",
        &b,
        "--destination-log",
        &b_log,
        "--log-size",
        "2M",
        "--wait",
    ];
    let two_volumes = [&whole[..], &["--source-volume", &a]].concat();
    holds(&alpha.replica(&two_volumes, 2), &["2 volumes of the source and 1"]);
    let unknown: Vec<&str> = whole.iter().map(|w| if *w == "beta" { "gamma" } else { w }).collect();
    holds(&alpha.replica(&unknown, 1), &["CreateTopology answered", "CWREPL1301", "What to do"]);
    alpha.replica(&whole, 0);

    holds(&alpha.replica(&["ls"], 0), &["data", "source", "data on beta", "sync"]);
    holds(&beta.replica(&["ls"], 0), &["destination", "data on alpha", "ask the source"]);
    let told = alpha.replica(&["watch", "DATA", "--until-in-sync", "--json", "--interval", "0.1"], 0);
    let last: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!((&last["bytesRemaining"], &last["lagSeconds"]), (&0.into(), &0.0.into()), "{last:#}");
    assert_eq!(last["statusName"], "ContinuouslyReplicating");
    holds(&beta.replica(&["watch"], 5), &["only the source knows"]);
    assert!(std::fs::read(&b).unwrap() == content, "both sides are the same");

    // Asked at the destination, it is passed on to the source.
    holds(&beta.replica(&["suspend", "data"], 0), &["copies nothing"]);
    holds(&alpha.replica(&["ls"], 0), &["suspended"]);
    alpha.replica(&["resume", "--wait"], 0);
    let told = alpha.replica(&["ls", "--json"], 0);
    let groups: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(groups[0]["suspended"], false);

    holds(&alpha.replica(&["rm", "other"], 5), &["no group \"other\""]);
    alpha.replica(&["rm", "data", "--keep-groups"], 0);
    holds(&alpha.replica(&["ls"], 0), &["no partner"]);
    for server in [&alpha, &beta] {
        holds(&server.replica(&["rm", "data"], 0), &["removed"]);
        holds(&server.replica(&["ls"], 0), &["no replication groups"]);
    }
}
