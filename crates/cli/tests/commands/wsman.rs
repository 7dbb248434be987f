//! The same commands over WS-Management, against the real server.

use super::holds;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A failing test waits this long, no other.
const PATIENCE: Duration = Duration::from_secs(60);
const V2: &str = "root/virtualization/v2";

/// A server that listens on its unix socket only, where this user needs no password.
struct RealServer {
    child: Child,
    state: PathBuf,
    _directory: TempDir,
}

impl RealServer {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (state, ports) = (directory.path().join("state"), directory.path().join("ports"));
        let child = Command::new(env!("CARGO_BIN_EXE_cimwright"))
            .env_clear()
            .args(["serve", "--http", "none", "--https", "none", "--demo-provider"])
            .args([Path::new("--state"), &state, Path::new("--port-file"), &ports])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, state, _directory: directory };
        let deadline = Instant::now() + PATIENCE;
        while !ports.exists() {
            assert!(Instant::now() < deadline, "the server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// Runs a command over WS-Management and wants this exit code; what it printed.
    #[track_caller]
    fn ran(&self, line: &[&str], code: i32) -> String {
        self.asked(&[line, &["--wsman"]].concat(), code)
    }

    /// The same over CIM-XML, unless the line says otherwise.
    #[track_caller]
    fn asked(&self, line: &[&str], code: i32) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_cimwright"))
            .env_clear()
            .args(line)
            .args([Path::new("--state"), &self.state])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line:?}\n{text}");
        text
    }

    /// Starts a demonstration job that ends in this way, and gives its identifier.
    fn job(&self, ending: &str) -> String {
        let ending = format!("Ending={ending}");
        let parameters = ["Name=over SOAP", "Steps=1", "DurationMilliseconds=0", &ending, "Bytes=1000"];
        let line =
            [&["invoke", "Cimwright_DemoService", "StartJob", "--namespace", V2][..], &parameters].concat();
        let text = self.ran(&line, 0);
        holds(&text, &["4096 (Method Parameters Checked - Job Started)"]);
        let (_, id) = text.split_once("InstanceID=\\\"").expect("a job");
        id.split_once('\\').unwrap().0.to_owned()
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_story_of_a_job_over_ws_management() {
    let server = RealServer::start();
    let job = server.job("fail");
    server.ran(&["watch", &job], 1);
    holds(&server.ran(&["jobs"], 0), &[&job, "Exception", "over SOAP"]);
    holds(&server.ran(&["why", &job], 0), &["[CWDEMO1001]"]);
    let path = format!("{V2}:Msvm_ConcreteJob.InstanceID=\"{job}\"");
    holds(&server.ran(&["get", &path], 0), &["JobState", "Exception", "OperationalStatus"]);
    holds(&server.ran(&["get", "Msvm_ConcreteJob", "--namespace", V2], 0), &[&job]);
    let waiting = server.job("wait");
    server.ran(&["cancel", &waiting], 0);
    holds(&server.ran(&["jobs"], 0), &[&waiting, "Terminated"]);
    let missing = format!("{V2}:Msvm_ConcreteJob.InstanceID=\"00000000-0000-0000-0000-000000000000\"");
    holds(&server.ran(&["get", &missing], 5), &["there is no"]);
}

#[test]
fn a_class_is_shown_as_the_options_say_over_either_protocol() {
    let server = RealServer::start();
    let path = format!("{V2}:Msvm_StorageJob");
    for options in [
        &[][..],
        &["--local-only"],
        &["--no-qualifiers"],
        &["--local-only", "--no-qualifiers"],
        &["--property-list", "JobState,Name"],
    ] {
        // JSON shows no flavors, which MOF leaves out only where the declarations are at hand.
        let line = [&["class", &path, "--json"], options].concat();
        let shown = server.ran(&line, 0);
        assert_eq!(shown, server.asked(&line, 0), "{options:?}");
        assert_eq!(shown.contains("KillJob"), !options.contains(&"--local-only"), "{options:?}");
    }
}

#[test]
fn what_ws_management_cannot_say_is_told() {
    let server = RealServer::start();
    holds(&server.ran(&["ls", V2], 4), &["CIM_ERR_NOT_SUPPORTED", "ask over CIM-XML"]);
    holds(&server.ran(&["ls"], 0), &[V2]);
    let file = server.state.join("x.mof");
    std::fs::write(&file, "class X_Mine { [Key] string A; };\n").unwrap();
    let load = ["mof", "load", file.to_str().unwrap(), "--namespace", V2];
    holds(&server.ran(&load, 4), &["CIM_ERR_NOT_SUPPORTED", "ask over CIM-XML"]);
    let shown = server.ran(&["mof", "show", "CIM_Job", "--complete", "--namespace", V2], 0);
    holds(&shown, &["Qualifier Abstract : boolean", "class CIM_Job : CIM_LogicalElement {"]);
}
