//! The commands that ask no server: users, other computers, and what is wrong on the command line.

use crate::holds;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the program says with this on its standard input, and that it ends so.
#[track_caller]
fn ran(line: &[&str], input: &str, state: &Path, code: i32) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cimwright"))
        .env_clear()
        .args(line)
        .arg("--state")
        .arg(state)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who needs no input may have ended by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{line:?}: {text}");
    text
}

#[test]
fn users_come_and_go_and_what_is_not_there_is_exit_code_5() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    for line in [&["user", "ls"][..], &["user", "rm", "ann"], &["computer", "ls"], &["computer", "rm", "b"]] {
        holds(&ran(line, "", &state, 5), &["there is no state directory", "--state DIR"]);
        assert!(!state.exists(), "{line:?} makes none");
    }
    let add = |name, code| {
        let line = ["user", "add", name, "--role", "reader", "--password-stdin"];
        ran(&line, "secret\n", &state, code)
    };
    add("ann", 0);
    holds(&add("ann", 6), &["there is a user ann already", "--replace"]);
    add("a:b", 2);
    add("", 2);
    assert_eq!(ran(&["user", "ls"], "", &state, 0), "ann\treader\n");
    holds(&ran(&["user", "rm", "nobody"], "", &state, 5), &["there is no user nobody"]);
    ran(&["user", "rm", "ann"], "", &state, 0);
}

#[test]
fn computers_come_and_go_and_what_is_not_there_is_exit_code_5() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let add = |name, url, code| {
        let line = ["computer", "add", name, "--url", url, "--user", "ann", "--password-stdin"];
        ran(&line, "secret\n", &state, code)
    };
    add("a b", "https://beta", 2);
    add("beta", "nonsense", 2);
    assert!(!state.exists(), "what cannot be makes no state directory");
    add("beta", "https://beta", 0);
    holds(&add("beta", "https://beta", 6), &["--replace"]);
    holds(&ran(&["computer", "rm", "x"], "", &state, 5), &["there is no computer x"]);
    ran(&["computer", "rm", "beta"], "", &state, 0);
}

#[test]
fn an_address_that_is_none_is_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    for option in ["--http", "--https", "--wsman", "--wsman-tls"] {
        holds(&ran(&["serve", option, "nonsense"], "", &state, 2), &[option, "`nonsense` is no address"]);
    }
    assert!(!state.exists());
}
