//! The program itself against a small server with a handful of jobs: what it prints and how it ends.
#![allow(clippy::unwrap_used, reason = "a test stops where its ground gives way")]

mod listen;
mod local;
mod real;
mod server;
mod wsman;

use server::{DONE, FAILED, GONE, RUNNING, Server};
use std::process::{Command, Output};

/// Runs the program; the environment of the test does not reach it.
fn cimwright(url: &str, line: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cimwright"))
        .env_clear()
        .args(line)
        .args(["--url", url])
        .output()
        .unwrap()
}

fn ran(server: &Server, line: &[&str], code: i32) -> String {
    let output = cimwright(&server.url, line);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{line:?}\n{text}\n{errors}");
    format!("{text}{errors}")
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "\"{part}\" is missing in:\n{text}");
    }
}

#[test]
fn jobs_lists_each_job_once_newest_first() {
    let server = Server::start();
    let text = ran(&server, &["jobs"], 0);
    let ids: Vec<&str> = text.lines().skip(1).filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(ids, [RUNNING, FAILED, DONE]);
    holds(&ran(&server, &["jobs", "--only", "exception"], 0), &[FAILED, "Exception"]);
    assert!(!ran(&server, &["jobs", "--only", "exception"], 0).contains(DONE));
    holds(&ran(&server, &["jobs", "--history"], 0), &[GONE]);
    let json: serde_json::Value = serde_json::from_str(&ran(&server, &["jobs", "--json"], 0)).unwrap();
    assert_eq!(json[1]["instanceId"], FAILED);
    assert_eq!(json[1]["errorCode"], 32768);
    ran(&server, &["jobs", "--only", "nonsense"], 2);
}

#[test]
fn why_tells_the_whole_chain_and_reaches_into_the_history() {
    let server = Server::start();
    let text = ran(&server, &["why", FAILED], 0);
    holds(
        &text,
        &[
            "Failed after 12 s at 40 %",
            "cannot be converted. [CWTEST1]",
            "because: The image is cut off. [CWTEST2]",
            "  1. Restore it.",
        ],
    );
    let text = ran(&server, &["why", GONE], 0);
    holds(&text, &["cannot be converted. [CWTEST1]", "left", "Cimwright_JobHistory.InstanceID="]);
    let former = format!("root/virtualization/v2:Msvm_StorageJob.InstanceID=\"{GONE}\"");
    holds(&ran(&server, &["why", &former], 0), &["Cimwright_JobHistory.InstanceID="]);
    let json: serde_json::Value = serde_json::from_str(&ran(&server, &["why", FAILED, "--json"], 0)).unwrap();
    assert_eq!(json["errors"][1]["messageId"], "CWTEST2");
    holds(&ran(&server, &["why", RUNNING], 0), &["Nothing has gone wrong"]);
    holds(&ran(&server, &["why", "77"], 5), &["there is no job \"77\"", "--history"]);
}

#[test]
fn a_prefix_is_enough_if_it_is_unique() {
    let server = Server::start();
    holds(&ran(&server, &["why", "b"], 0), &["Failed after"]);
    holds(&ran(&server, &["why", "A"], 2), &["may be 2 jobs", RUNNING, DONE]);
}

#[test]
fn watch_ends_as_the_job_ends() {
    let server = Server::start();
    holds(&ran(&server, &["watch", DONE], 0), &["Completed in 12 s"]);
    holds(
        &ran(&server, &["watch", FAILED], 1),
        &["Failed after 12 s", "cannot be converted", "cimwright why"],
    );
    // The running job completes after some looks.
    holds(&ran(&server, &["watch", RUNNING], 0), &["Running  40 %", "Completed in"]);
}

#[test]
fn cancel_waits_for_the_end_and_takes_an_ended_job_as_it_is() {
    let server = Server::start();
    holds(&ran(&server, &["cancel", RUNNING], 0), &["Terminated after"]);
    holds(&ran(&server, &["cancel", DONE], 0), &["Completed in"]);
    let server = Server::start();
    holds(&ran(&server, &["cancel", "--kill", RUNNING], 0), &["Killed after"]);
}

#[test]
fn suspend_and_resume_reach_their_state_or_say_why_not() {
    let server = Server::start();
    holds(&ran(&server, &["suspend", RUNNING], 0), &["Suspended: "]);
    holds(&ran(&server, &["resume", RUNNING], 0), &["Running: "]);
    holds(&ran(&server, &["suspend", DONE], 1), &["the job has ended"]);
}

#[test]
fn invoke_types_its_parameters_and_follows_the_job() {
    let server = Server::start();
    let call = ["invoke", "X_Service", "Convert", "Source=/a", "Size=10", "Setting={Path=/b}"];
    let text = ran(&server, &call, 0);
    holds(&text, &["4096 (Job Started)", "Job = ", FAILED, "cimwright watch"]);
    let text = ran(&server, &[&call[..], &["--wait"]].concat(), 1);
    holds(&text, &["Failed after 12 s", "because: The image is cut off. [CWTEST2]"]);
    for once in ["Failed after", "The disk image"] {
        assert_eq!(text.matches(once).count(), 1, "{once} is told once: {text}");
    }
    holds(&ran(&server, &["invoke", "X_Service", "Convert", "Size=ten"], 2), &["Size: \"ten\" is no uint64"]);
    holds(&ran(&server, &["invoke", "X_Service", "Convert", "Nope=1"], 2), &["it has Source, Size, Setting"]);
    holds(&ran(&server, &["invoke", "X_Service", "Nope"], 2), &["no method Nope; it has Convert"]);
    holds(&ran(&server, &["invoke", "X_Nothing", "Convert"], 5), &["no class X_Nothing", "--namespace"]);
}

#[test]
fn get_shows_an_instance_or_the_names_of_a_class() {
    let server = Server::start();
    let path = format!("root/virtualization/v2:Msvm_StorageJob.InstanceID=\"{FAILED}\"");
    holds(&ran(&server, &["get", &path], 0), &["instance of Msvm_StorageJob {", "JobState = 10;"]);
    holds(&ran(&server, &["get", "X_Service"], 0), &["root/virtualization/v2:X_Service.Name=\"it\""]);
    holds(&ran(&server, &["get", "Msvm_StorageJob.InstanceID=\"77\""], 5), &["CIM_ERR_NOT_FOUND"]);
    holds(&ran(&server, &["get", "= ="], 2), &["is no object path"]);
}

#[test]
fn a_server_that_is_not_there_or_does_not_let_in_is_exit_code_3() {
    let output = cimwright("http://127.0.0.1:1", &["jobs"]);
    assert_eq!(output.status.code(), Some(3));
    let server = Server::start();
    let text = ran(&server, &["jobs", "--user", "locked-out", "--password-file", "/dev/null"], 3);
    holds(&text, &["refused the credentials of user \"locked-out\""]);
}
